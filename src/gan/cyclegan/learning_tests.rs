//! Runs that must learn what is known to be there to learn.
//!
//! Each runs in a short form with a bound that a broken learner misses, and, with `BINGRASP_LEARNING=full` in the
//! environment (`make test-learning`), for minutes against the bound that matters.

use super::config::{CycleGanConfig, DiscriminatorConfig, GeneratorConfig, Method, Preset};
use super::learner::{Critics, CycleGanLearner};
use super::{CycleGanError, UnpairedBatch};
use crate::contract::{Rng, Seed};
use crate::nn::HOST;
use crate::nn::{Activations, with_large_stack};
use candle_core::{Device, Tensor};

/// Whether to run for minutes.
fn full() -> bool {
    std::env::var("BINGRASP_LEARNING").is_ok_and(|value| value == "full")
}

/// Scenes: a floor of changing brightness, a red and a green square. Colours differ in more than their order, so that
/// their distribution alone tells how they were changed.
fn scenes(count: usize, size: usize, rng: &mut Rng) -> candle_core::Result<Tensor> {
    let mut planes = vec![0.0_f32; count * 3 * size * size];
    for image in planes.chunks_exact_mut(3 * size * size) {
        let light = rng.range(0.7, 1.3);
        let mut fill = |[left, top]: [usize; 2], edge: [usize; 2], colour: [f32; 3]| {
            for (plane, value) in image.chunks_exact_mut(size * size).zip(colour) {
                for y in top..(top + edge[1]).min(size) {
                    plane[y * size + left..(y * size + left + edge[0]).min((y + 1) * size)].fill(value);
                }
            }
        };
        fill([0, 0], [size, size], [0.3 * light, 0.1 * light, -0.3 * light]);
        for colour in [[0.8, -0.5, -0.6], [-0.5, 0.6, -0.4]] {
            let edge = size / 4 + rng.below(size / 4);
            let place = [rng.below(size - edge), rng.below(size - edge)];
            fill(place, [edge; 2], colour);
        }
    }
    Tensor::from_vec(planes, (count, 3, size, size), &Device::Cpu)
}

/// The fixed change of colours that makes y of x.
fn colour_map(x: &Tensor) -> candle_core::Result<Tensor> {
    let scale = Tensor::new(&[0.6_f32, 0.6, 0.5], &Device::Cpu)?.reshape((1, 3, 1, 1))?;
    let shift = Tensor::new(&[0.4_f32, -0.35, 0.2], &Device::Cpu)?.reshape((1, 3, 1, 1))?;
    x.broadcast_mul(&scale)?.broadcast_add(&shift)
}

/// Peak signal to noise ratio of images in `[-1, 1]`, dB.
fn psnr(a: &Tensor, b: &Tensor) -> candle_core::Result<f64> {
    let error = (a - b)?.sqr()?.mean_all()?.to_scalar::<f32>()?;
    Ok(10.0 * (4.0 / f64::from(error)).log10())
}

/// The small preset at a size that learns in seconds or minutes.
fn config(method: Method) -> CycleGanConfig {
    let preset = CycleGanConfig::preset(method, Preset::Small);
    let (size, filters, decisions) =
        if full() { (32, vec![16, 32, 48], vec![24, 48]) } else { (16, vec![8, 16], vec![16, 24]) };
    CycleGanConfig {
        size,
        batch: 4,
        generator: GeneratorConfig { filters, bottleneck: 1, ..preset.generator.clone() },
        discriminator: DiscriminatorConfig { filters: decisions, scales: 2, ..preset.discriminator.clone() },
        warm_start_steps: 100,
        generator_lr: 1e-3,
        discriminator_lr: 1e-3,
        ema_decay: 0.98,
        ..preset
    }
}

/// Trains for so many steps on what `draw` gives.
fn train(
    config: &CycleGanConfig,
    steps: u64,
    draw: impl Fn(&mut Rng) -> candle_core::Result<UnpairedBatch> + Send,
) -> anyhow::Result<CycleGanLearner> {
    let config = config.clone();
    let learner = with_large_stack(move || -> Result<CycleGanLearner, CycleGanError> {
        let mut learner = CycleGanLearner::new(&config, Seed(11), &HOST)?;
        for step in 0..steps {
            let batch = draw(&mut Seed(12).derive("batch", step).rng())?;
            learner.update(&batch, config.lr_scale(step as f64 / steps as f64), Critics::default())?;
        }
        Ok(learner)
    })??;
    Ok(learner)
}

#[test]
fn learning_a_known_map_of_colours() -> anyhow::Result<()> {
    let config = config(Method::CycleGan);
    // Measured in the short form: 14.6 dB untranslated, 30.1 dB translated.
    let steps = if full() { 3_000 } else { 400 };
    let (size, count) = (config.size, config.batch);
    let draw = move |rng: &mut Rng| {
        let x = scenes(count, size, rng)?;
        // Other scenes: nothing tells which image of y belongs to which of x.
        Ok(UnpairedBatch::new(x, colour_map(&scenes(count, size, rng)?)?))
    };
    let learner = train(&config, steps, draw)?;
    let x = scenes(32, size, &mut Seed(13).rng())?;
    let truth = colour_map(&x)?;
    let gx = learner.sim2real().forward(&Activations::from_tensor(&x)?)?.to_tensor()?;
    let (before, after) = (psnr(&x, &truth)?, psnr(&gx, &truth)?);
    println!("known map: {before:.1} dB untranslated, {after:.1} dB translated after {steps} steps");
    assert!(before < 16.0 && after > 25.0, "{before:.1} dB before, {after:.1} dB after");
    Ok(())
}

#[test]
fn learning_with_noise_in_the_cycle_hides_no_code() -> anyhow::Result<()> {
    let steps = if full() { 3_000 } else { 400 };
    let mut config = config(Method::CycleGan);
    config.noise.cycle_std = 0.1;
    (config.weights.real_cycle, config.real_cycle_pooling) = (1.0, 1);
    let (size, count) = (config.size, config.batch);
    // Only y has a brightness of its own in every image, which the way back could give again from a code in F(y).
    let bright = move |rng: &mut Rng, count: usize| -> candle_core::Result<Tensor> {
        let shift: Vec<f32> = (0..count).map(|_| rng.range(-0.4, 0.4)).collect();
        let y = (colour_map(&scenes(count, size, rng)?)? * 0.6)?;
        y.broadcast_add(&Tensor::from_vec(shift, (count, 1, 1, 1), &Device::Cpu)?)?.clamp(-1.0, 1.0)
    };
    let draw = move |rng: &mut Rng| {
        let x = scenes(count, size, rng)?;
        Ok(UnpairedBatch::new(x, bright(rng, count)?))
    };
    let learner = train(&config, steps, draw)?;
    let mut rng = Seed(14).rng();
    let batch = UnpairedBatch::new(scenes(16, size, &mut rng)?, bright(&mut rng, 16)?);
    // Noise that can be seen disturbs the way back, so that the measure is not 1 whatever happens.
    let of = |std: f64| -> anyhow::Result<f64> { Ok(learner.noise_sensitivity(&batch, std, Seed(15))?[1].1) };
    let (none, faint, strong) = (of(0.0)?, of(0.03)?, of(1.0)?);
    println!("hidden code: noise sensitivity {faint:.2} at 0.03, {strong:.2} at 1.0, after {steps} steps");
    assert_eq!(none, 1.0);
    assert!(faint < 1.5 && strong > faint, "{faint:.2} {strong:.2}");
    Ok(())
}
