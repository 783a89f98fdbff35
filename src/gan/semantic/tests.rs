//! The semantic CycleGAN against numbers done by hand and against PyTorch.

use super::batch::CHANNELS;
use super::discriminator::mean_tanh;
use super::loss::{discriminator_loss, generator_loss, image_distance, semantic_loss};
use super::*;
use crate::contract::{Class, Rng, Seed};
use crate::nn::HOST;
use crate::nn::ParamStore;
use crate::nn::ops::{Activations, GradientSource, Gradients, backward};
use crate::train::{Learner, Module};
use candle_core::{Result as CandleResult, Tensor};
use std::collections::HashMap;

fn scalar(tensor: &Tensor) -> CandleResult<f64> {
    Ok(f64::from(tensor.flatten_all()?.to_vec1::<f32>()?[0]))
}

/// Small networks and the paper's terms alone.
fn narrow_config() -> SemanticConfig {
    let weights = LossWeights { raw_segmentation: 0.0, ..LossWeights::default() };
    SemanticConfig { filters: 1, p_dropout: 0.0, weights, ..SemanticConfig::default() }
}

#[test]
fn losses_by_hand() -> anyhow::Result<()> {
    let half = Tensor::new(&[0.5_f32, 0.5], &HOST)?;
    // LSGAN with 1/2 at D = 0.5: 0.125 each.
    assert_eq!(scalar(&discriminator_loss(&half, &half)?)?, 0.25);
    assert_eq!(scalar(&generator_loss(&half)?)?, 0.125);
    // tanh(ln 2) = 0.6, tanh(ln 3) = 0.8.
    let maps = Tensor::new(&[0.0_f32, 2.0_f32.ln(), 3.0_f32.ln(), -(3.0_f32.ln())], &HOST)?;
    let value = mean_tanh(&Activations::from_tensor(&maps.reshape((1, 1, 2, 2))?)?)?;
    assert!((scalar(&value)? - 0.15).abs() < 1e-6);
    let uniform = Tensor::zeros((1, 3, 2, 2), candle_core::DType::F32, &HOST)?;
    let classes = Tensor::new(&[0_u32, 1, 2, 1], &HOST)?.reshape((1, 2, 2))?;
    assert!((scalar(&semantic_loss(&uniform, &classes)?)? - 3.0_f64.ln()).abs() < 1e-6);
    // Colours 1 apart, depth 2 apart: (3 + 2 w) / (3 + w).
    let a = Tensor::zeros((1, CHANNELS, 2, 2), candle_core::DType::F32, &HOST)?;
    let b = Tensor::cat(&[a.narrow(1, 0, 3)?.affine(1.0, 1.0)?, a.narrow(1, 3, 1)?.affine(1.0, -2.0)?], 1)?;
    assert!((scalar(&image_distance(&a, &b, 1.0)?)? - 1.25).abs() < 1e-6);
    assert!((scalar(&image_distance(&a, &b, 3.0)?)? - 1.5).abs() < 1e-6);
    assert!((scalar(&image_distance(&a, &b, 0.0)?)? - 1.0).abs() < 1e-6);
    Ok(())
}

#[test]
fn parameter_counts_are_the_designs() -> anyhow::Result<()> {
    let config = SemanticConfig::default();
    let generator = RgbdGenerator::new(&config, Seed(1), &HOST)?;
    assert_eq!(generator.store().parameter_count(), 1_190_100);
    let concatenated = SemanticConfig { skip: SkipJoin::Concatenate, ..config.clone() };
    assert_eq!(RgbdGenerator::new(&concatenated, Seed(1), &HOST)?.store().parameter_count(), 1_472_804);
    // One output channel fewer: 16 * 9 + 1 parameters.
    let discriminator = SemanticDiscriminator::new(&config, Seed(1), &HOST)?;
    assert_eq!(discriminator.store().parameter_count(), 1_190_100 - 145);
    Ok(())
}

/// The images of `semantic.py`.
fn sines(phase: f64) -> CandleResult<Tensor> {
    let value = |index: usize| {
        let index = index as f64;
        (0.8 * (0.37 * index + phase).sin() * (0.011 * index).cos()) as f32
    };
    Tensor::from_vec((0..2 * 4 * 64 * 64).map(value).collect::<Vec<_>>(), (2, 4, 64, 64), &HOST)
}

fn sine_batch() -> CandleResult<SemanticBatch> {
    let classes: Vec<u32> = (0..2 * 64 * 64).map(|index| index / 7 % 3).collect();
    Ok(SemanticBatch { x: sines(0.0)?, classes: Tensor::from_vec(classes, (2, 64, 64), &HOST)?, y: sines(1.0)? })
}

struct Fixture(HashMap<String, Tensor>);

impl Fixture {
    fn load() -> CandleResult<Self> {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/torch/semantic.safetensors");
        Ok(Self(candle_core::safetensors::load(path, &HOST)?))
    }

    fn get(&self, name: &str) -> CandleResult<&Tensor> {
        self.0.get(name).map_or_else(|| candle_core::bail!("'{name}' is not in the fixture; run semantic.py"), Ok)
    }

    fn load_into(&self, name: &str, store: &ParamStore) -> anyhow::Result<()> {
        let prefix = format!("weights/{name}.");
        let state =
            self.0.iter().filter_map(|(key, value)| Some((key.strip_prefix(&prefix)?.to_owned(), value.clone())));
        Ok(store.load_state(&state.collect::<Vec<_>>())?)
    }

    fn assert_loss(&self, name: &str, loss: f64) -> CandleResult<()> {
        let expected = scalar(self.get(&format!("loss/{name}"))?)?;
        assert!((loss - expected).abs() < 2e-5 * expected.abs().max(1.0), "{name}: {loss}, by PyTorch {expected}");
        Ok(())
    }

    /// All gradients of a store; returns how many were compared.
    fn assert_gradients(&self, prefix: &str, store: &ParamStore, gradients: &Gradients) -> CandleResult<usize> {
        let flat = |tensor: &Tensor| tensor.flatten_all()?.to_vec1::<f32>();
        let mut largest = 0.0_f32;
        let mut pairs = Vec::new();
        for param in store.params() {
            let expected = flat(self.get(&format!("{prefix}{}", param.name()))?)?;
            let found = gradients.tensor(param.var())?.map_or(Ok(vec![0.0; expected.len()]), |found| flat(&found))?;
            largest = expected.iter().fold(largest, |largest, value| largest.max(value.abs()));
            pairs.push((param.name().to_owned(), expected, found));
        }
        assert!(largest > 1e-3, "{prefix}: the fixture has no gradients");
        for (name, expected, found) in &pairs {
            for (a, b) in expected.iter().zip(found) {
                assert!((a - b).abs() < 2e-4 * largest, "{prefix}{name}: {b}, by PyTorch {a} (largest {largest})");
            }
        }
        Ok(pairs.len())
    }
}

#[test]
fn losses_and_gradients_equal_pytorch() -> anyhow::Result<()> {
    let fixture = Fixture::load()?;
    let learner = SemanticCycleGan::new(&narrow_config(), Seed(3), &HOST)?;
    for (name, store) in learner.networks() {
        fixture.load_into(name, store)?;
    }
    let batch = sine_batch()?;
    let losses = {
        let _frozen = (learner.discriminator_x.store().freeze(), learner.discriminator_y.store().freeze());
        learner.generator_losses(&batch, None)?
    };
    let terms = [("gan", &losses.gan), ("cycle", &losses.cycle), ("identity", &losses.identity)];
    for (name, loss) in terms.into_iter().chain([("semantic", &losses.semantic)]) {
        fixture.assert_loss(name, loss.as_ref().map_or(Ok(f64::NAN), scalar)?)?;
    }
    fixture.assert_loss("generator", scalar(&losses.total)?)?;
    let gradients = backward(&losses.total)?;
    let mut compared = 0;
    for (name, store) in &learner.networks()[..2] {
        compared += fixture.assert_gradients(&format!("generators/{name}."), store, &gradients)?;
    }
    // Frozen discriminators have none.
    for (name, store) in &learner.networks()[2..] {
        for param in store.params() {
            assert!(gradients.tensor(param.var())?.is_none(), "{name}.{} moved", param.name());
        }
    }
    for (name, segmentation, of, store) in [
        (
            "discriminator_x",
            "segmentation_x",
            learner.discriminator_x_losses(&batch, &losses.fake_x)?,
            learner.discriminator_x.store(),
        ),
        (
            "discriminator_y",
            "segmentation_y",
            learner.discriminator_y_losses(&batch, &losses.fake_y)?,
            learner.discriminator_y.store(),
        ),
    ] {
        fixture.assert_loss(name, of.gan.as_ref().map_or(Ok(f64::NAN), scalar)?)?;
        fixture.assert_loss(segmentation, of.segmentation.as_ref().map_or(Ok(f64::NAN), scalar)?)?;
        let gradients = backward(&of.total)?;
        compared += fixture.assert_gradients(&format!("discriminators/{name}."), store, &gradients)?;
        for (_, generator) in &learner.networks()[..2] {
            for param in generator.params() {
                assert!(gradients.tensor(param.var())?.is_none(), "{} moved", param.name());
            }
        }
    }
    // Twenty layers a network, weight and bias each.
    assert_eq!(compared, 4 * 40);
    Ok(())
}

#[test]
fn raw_images_teach_d_y_on_top_of_translated_ones() -> anyhow::Result<()> {
    let paper = SemanticCycleGan::new(&narrow_config(), Seed(3), &HOST)?;
    let weights = LossWeights { raw_segmentation: 2.0, ..LossWeights::default() };
    let raw = SemanticCycleGan::new(&SemanticConfig { weights, ..narrow_config() }, Seed(3), &HOST)?;
    let batch = sine_batch()?;
    let fake = paper.generator_losses(&batch, None)?.fake_y;
    let [of_paper, of_raw] = [&paper, &raw].map(|learner| learner.discriminator_y_losses(&batch, &fake));
    let (of_paper, of_raw) = (of_paper?, of_raw?);
    let on_x = paper.discriminator_y.judge(&Activations::from_tensor(&batch.x)?)?.segmentation;
    let expected = scalar(&of_paper.total)? + 2.0 * scalar(&semantic_loss(&on_x, &batch.classes)?)?;
    assert!((scalar(&of_raw.total)? - expected).abs() < 1e-5 * expected, "{}", scalar(&of_raw.total)?);
    // What is reported is the paper's.
    assert_eq!(
        of_raw.segmentation.map(|loss| scalar(&loss)).transpose()?,
        of_paper.segmentation.map(|loss| scalar(&loss)).transpose()?
    );
    Ok(())
}

#[test]
fn concatenated_skips_equal_pytorch() -> anyhow::Result<()> {
    let fixture = Fixture::load()?;
    let config = SemanticConfig { skip: SkipJoin::Concatenate, ..narrow_config() };
    let generator = RgbdGenerator::new(&config, Seed(3), &HOST)?;
    fixture.load_into("concatenated", generator.store())?;
    let x = sines(0.0)?;
    let out = generator.forward(&Activations::from_tensor(&x)?, None)?.to_tensor()?;
    let loss = image_distance(&out, &x, 1.0)?;
    fixture.assert_loss("concatenated", scalar(&loss)?)?;
    assert_eq!(fixture.assert_gradients("concatenated/", generator.store(), &backward(&loss)?)?, 28);
    Ok(())
}

/// Whether to learn for minutes (`make test-learning`), not for seconds.
fn full() -> bool {
    std::env::var("BINGRASP_LEARNING").is_ok_and(|value| value == "full")
}

/// A coloured box on a light table, fingers at the lower edge; the two sides differ in colours and depth noise.
pub(super) struct Picture {
    pub(super) rgb: Vec<u8>,
    pub(super) depth_m: Vec<f32>,
    pub(super) classes: Vec<u8>,
}

pub(super) fn picture(rng: &mut Rng, real: bool) -> Picture {
    let (left, top) = (8 + rng.below(28), 6 + rng.below(24));
    let (width, height) = (10 + rng.below(12), 8 + rng.below(12));
    let mut picture = Picture { rgb: Vec::new(), depth_m: Vec::new(), classes: Vec::new() };
    for pixel in 0..64 * 64 {
        let (column, row) = (pixel % 64, pixel / 64);
        let object = (left..left + width).contains(&column) && (top..top + height).contains(&row);
        let fingers = row > 55 && !(20..44).contains(&column);
        let (class, rgb, depth) = match (object, fingers, real) {
            (_, true, false) => (Class::Arm, [60, 60, 60], 0.2),
            (_, true, true) => (Class::Arm, [30, 30, 40], 0.2),
            (true, _, false) => (Class::Object, [220, 60, 40], 0.5),
            (true, _, true) => (Class::Object, [150, 90, 60], 0.5),
            (_, _, false) => (Class::Tray, [240, 240, 240], 0.6),
            (_, _, true) => (Class::Tray, [190, 200, 180], 0.6),
        };
        let noise = if real { 8.0 * rng.normal() } else { 0.0 };
        picture.rgb.extend(rgb.map(|colour: u8| (f32::from(colour) + noise).clamp(0.0, 255.0) as u8));
        let hole = real && rng.chance(0.03);
        picture.depth_m.push(if hole { 0.0 } else { depth });
        picture.classes.push(class as u8);
    }
    picture
}

impl Picture {
    fn image(&self) -> RgbdImage<'_> {
        RgbdImage { rgb: &self.rgb, depth_m: &self.depth_m }
    }
}

fn batch_of(config: &SemanticConfig, rng: &mut Rng, count: usize) -> CandleResult<SemanticBatch> {
    let x: Vec<Picture> = (0..count).map(|_| picture(rng, false)).collect();
    let y: Vec<Picture> = (0..count).map(|_| picture(rng, true)).collect();
    let x: Vec<_> = x.iter().map(|p| SegmentedRgbd { image: p.image(), classes: &p.classes }).collect();
    let y: Vec<_> = y.iter().map(Picture::image).collect();
    SemanticBatch::new(config, &x, &y, rng, &HOST)
}

/// A row of a real camera: fingers that are too near, an object with a hole on each side of it, and table.
#[test]
fn holes_and_near_depths_become_what_is_behind_them() -> anyhow::Result<()> {
    let size = 64;
    let mut depth = vec![0.0_f32; size * size];
    let row = &mut depth[..size];
    row.fill(0.6);
    row[0] = 0.12;
    row[1] = f32::NAN;
    row[10] = 0.0;
    row[11..20].fill(0.5);
    row[15] = 0.0;
    row[20..22].fill(0.0);
    row[63] = 0.0;
    let rgb = vec![0; 3 * size * size];
    let image = RgbdImage { rgb: &rgb, depth_m: &depth };
    let encoded = |holes, flip| -> anyhow::Result<Vec<f32>> {
        let mut planes = Vec::new();
        encode_rgbd(&SemanticConfig { holes, ..SemanticConfig::default() }, image, flip, &mut planes)?;
        Ok(planes.split_off(3 * size * size))
    };
    let filled = encoded(Holes::Background, false)?;
    // 0.6 m is 0 and 0.5 m is -0.25 in 0.2 to 1.0 m.
    let (table, object) = (0.0, -0.25);
    let close = |at: usize, wanted: f32| (filled[at] - wanted).abs() < 1e-5;
    for at in [0, 1, 2, 9, 10, 20, 21, 22, 63] {
        assert!(close(at, table), "{at}: {}", filled[at]);
    }
    assert!((11..20).all(|at| close(at, object)));
    // Nothing is measured in the second row.
    assert!(filled[size..].iter().all(|&depth| depth == 1.0));
    let mirrored = encoded(Holes::Background, true)?;
    assert!((0..size).all(|at| mirrored[at] == filled[size - 1 - at]));
    let far = encoded(Holes::Far, false)?;
    assert_eq!([far[0], far[1], far[10], far[15], far[63]], [-1.0, 1.0, 1.0, 1.0, 1.0]);
    // Runs from before the setting keep what they have learned from.
    let text = toml::to_string(&SemanticConfig::default())?;
    let is_newer =
        |line: &&str| ["holes", "p_varied_looks", "raw_segmentation"].iter().any(|name| line.starts_with(name));
    assert_eq!(text.lines().filter(is_newer).count(), 3);
    let earlier: String = text.lines().filter(|line| !is_newer(line)).map(|line| format!("{line}\n")).collect();
    let earlier = toml::from_str::<SemanticConfig>(&earlier)?;
    assert_eq!((earlier.holes, earlier.p_varied_looks, earlier.weights.raw_segmentation), (Holes::Far, 0.0, 0.0));
    Ok(())
}

#[test]
fn images_depths_and_labels_flip_together_and_holes_can_be_far() -> anyhow::Result<()> {
    let config = SemanticConfig { holes: Holes::Far, ..SemanticConfig::default() };
    let mut rng = Seed(6).rng();
    let original = picture(&mut rng, false);
    let mut depth = original.depth_m.clone();
    (depth[0], depth[1], depth[2], depth[3]) = (0.0, f32::NAN, 0.6, 0.1);
    let image = RgbdImage { rgb: &original.rgb, depth_m: &depth };
    let (mut straight, mut mirrored) = (Vec::new(), Vec::new());
    encode_rgbd(&config, image, false, &mut straight)?;
    encode_rgbd(&config, image, true, &mut mirrored)?;
    for channel in 0..CHANNELS {
        for pixel in 0..64 * 64 {
            let other = pixel - pixel % 64 + 63 - pixel % 64;
            assert_eq!(straight[channel * 4096 + pixel], mirrored[channel * 4096 + other]);
        }
    }
    // 0.6 m is the middle of 0.2 to 1.
    let found = &straight[3 * 4096..3 * 4096 + 4];
    assert!(found[0] == 1.0 && found[1] == 1.0 && found[2].abs() < 1e-6 && found[3] == -1.0, "{found:?}");
    assert_eq!(straight[0], f32::from(original.rgb[0]) / 127.5 - 1.0);
    let config = SemanticConfig { p_varied_looks: 0.0, ..config };
    // In a batch the classes go with the image: green is 240 on the table, else 60, and the fingers' blue is 60 as well.
    let batch = batch_of(&config, &mut Seed(9).rng(), 8)?;
    let plane = |channel: usize| batch.x.narrow(1, channel, 1)?.flatten_all()?.to_vec1::<f32>();
    let classes = batch.classes.flatten_all()?.to_vec1::<u32>()?;
    for ((green, blue), class) in plane(1)?.iter().zip(&plane(2)?).zip(&classes) {
        let expected = if *green > 0.5 { 0 } else { 1 + u32::from(*blue == 60.0 / 127.5 - 1.0) };
        assert_eq!(*class, expected);
    }
    assert!([0, 1, 2].iter().all(|class| classes.contains(class)));
    assert!(SemanticBatch::new(&config, &[], &[], &mut rng, &HOST).is_err());
    Ok(())
}

#[test]
fn other_looks_change_the_colours_of_simulated_images_alone() -> anyhow::Result<()> {
    let config = |p_varied_looks| SemanticConfig { p_varied_looks, ..SemanticConfig::default() };
    let mut rng = Seed(9).rng();
    let (x, y) = (picture(&mut rng, false), picture(&mut rng, true));
    let of = |p: f32, seed: u64| -> CandleResult<[Vec<f32>; 3]> {
        let x = SegmentedRgbd { image: x.image(), classes: &x.classes };
        let batch = SemanticBatch::new(&config(p), &[x], &[y.image()], &mut Seed(seed).rng(), &HOST)?;
        let flat = |tensor: Tensor| tensor.flatten_all()?.to_vec1::<f32>();
        Ok([flat(batch.x.narrow(1, 0, 3)?)?, flat(batch.x.narrow(1, 3, 1)?)?, flat(batch.y)?])
    };
    let mut rendered = Vec::new();
    for seed in 0..8 {
        rendered.push(of(0.0, seed)?);
    }
    for seed in 0..8 {
        let [colours, depth, real] = of(1.0, seed)?;
        assert!(rendered.iter().all(|[before, ..]| *before != colours), "seed {seed} changes nothing");
        // Mirrored or not, depth and real images are among those as they were.
        assert!(rendered.iter().any(|[_, before, _]| *before == depth));
        assert!(rendered.iter().any(|[.., before]| *before == real));
    }
    let varied = (0..200).filter(|&seed| {
        of(0.5, seed).is_ok_and(|[colours, ..]| rendered.iter().all(|[before, ..]| *before != colours))
    });
    assert!((70..130).contains(&varied.count()), "half of the images");
    Ok(())
}

#[test]
fn learning_to_segment_real_images_without_their_labels() -> anyhow::Result<()> {
    let config = SemanticConfig { filters: 4, p_dropout: 0.0, learning_rate: 2e-3, ..SemanticConfig::default() };
    let mut learner = SemanticCycleGan::new(&config, Seed(1), &HOST)?;
    let mut rng = Seed(2).rng();
    let first = learner.learn(&batch_of(&config, &mut rng, 4)?, 1.0)?;
    let mut last = first;
    for _ in 0..if full() { 900 } else { 20 } {
        last = learner.learn(&batch_of(&config, &mut rng, 4)?, 1.0)?;
    }
    println!("{first:?}\n{last:?}");
    if !full() {
        assert!(last.segmentation_y < 0.8 * first.segmentation_y && last.cycle < first.cycle, "{first:?} {last:?}");
        return Ok(());
    }
    let (mut both, mut either) = (0, 0);
    for _ in 0..8 {
        let real = picture(&mut rng, true);
        let mut planes = Vec::new();
        encode_rgbd(&config, real.image(), false, &mut planes)?;
        let image = Tensor::from_vec(planes, (1, CHANNELS, 64, 64), &HOST)?;
        let found = learner.discriminator_y.segment(&image)?;
        let soft = learner.discriminator_y.probabilities(&image, SemanticClass::Object)?;
        for ((&class, &found), &soft) in real.classes.iter().zip(&found).zip(&soft) {
            let (truth, found) = (class == Class::Object as u8, found == SemanticClass::Object as u8);
            both += usize::from(truth && found);
            either += usize::from(truth || found);
            assert!((0.0..=1.0).contains(&soft) && (!found || soft > 1.0 / 3.0));
        }
    }
    let iou = both as f64 / f64::from(u32::try_from(either.max(1))?);
    println!("object IoU on real images {iou}");
    assert!(iou > 0.6, "{iou}");
    assert!(last.cycle < 0.5 && last.segmentation_y < 0.3, "{last:?}");
    Ok(())
}

#[test]
fn learning_to_copy_by_cycle_and_identity_alone() -> anyhow::Result<()> {
    let weights =
        LossWeights { gan: 0.0, semantic: 0.0, segmentation: 0.0, raw_segmentation: 0.0, ..LossWeights::default() };
    let config =
        SemanticConfig { filters: 4, p_dropout: 0.0, learning_rate: 3e-3, weights, ..SemanticConfig::default() };
    let mut learner = SemanticCycleGan::new(&config, Seed(1), &HOST)?;
    let before = learner.discriminator_y.store().state_tensors()?;
    let mut rng = Seed(2).rng();
    let first = learner.learn(&batch_of(&config, &mut rng, 2)?, 1.0)?;
    let mut last = first;
    let steps = if full() { 600 } else { 20 };
    for step in 0..steps {
        last = learner.learn(&batch_of(&config, &mut rng, 2)?, 1.0 - f64::from(step) / f64::from(steps))?;
    }
    println!("{first:?}\n{last:?}");
    assert!(last.cycle < 0.7 * first.cycle && last.identity < first.identity, "{first:?} {last:?}");
    // Both directions are added up.
    assert!(!full() || (last.cycle < 0.2 * first.cycle && last.identity < 0.4 * first.identity), "{last:?}");
    for ((name, before), (_, after)) in before.iter().zip(learner.discriminator_y.store().state_tensors()?) {
        assert_eq!(scalar(&(before - after)?.abs()?.sum_all()?)?, 0.0, "{name} moved without a loss");
    }
    Ok(())
}

#[test]
fn a_resumed_run_equals_the_uninterrupted_one() -> anyhow::Result<()> {
    let config = SemanticConfig { filters: 1, p_dropout: 0.3, ..SemanticConfig::default() };
    let mut whole = SemanticCycleGan::new(&config, Seed(4), &HOST)?;
    let mut rng = Seed(5).rng();
    whole.learn(&batch_of(&config, &mut rng, 2)?, 1.0)?;
    // The run's seed draws the dropout; all else comes from the lists that a checkpoint is made of.
    let mut resumed = SemanticCycleGan::new(&config, Seed(4), &HOST)?;
    for ((name, from), (to_name, to)) in whole.modules().into_iter().zip(resumed.modules()) {
        assert_eq!(name, to_name);
        match (from, to) {
            (Module::Network(from), Module::Network(to)) => to.load_state(&from.state_tensors()?)?,
            (Module::Optimizer(from), Module::Optimizer(to)) => to.load_state(&from.state_tensors()?)?,
            _ => anyhow::bail!("{name} is a network here and an optimizer there"),
        }
    }
    resumed.set_step(Learner::step(&whole));
    for _ in 0..2 {
        let batch = batch_of(&config, &mut rng, 2)?;
        assert_eq!(whole.learn(&batch, 0.5)?, resumed.learn(&batch, 0.5)?);
    }
    // Another step draws another dropout.
    let batch = batch_of(&config, &mut rng, 2)?;
    resumed.set_step(77);
    assert_ne!(whole.learn(&batch, 0.5)?, resumed.learn(&batch, 0.5)?);
    Ok(())
}

#[test]
fn dropout_is_seeded_and_absent_when_translating() -> anyhow::Result<()> {
    let config = SemanticConfig { filters: 2, p_dropout: 0.5, ..SemanticConfig::default() };
    let generator = RgbdGenerator::new(&config, Seed(1), &HOST)?;
    let x = sines(0.0)?;
    let run = |seed: Option<Seed>| -> CandleResult<Vec<f32>> {
        generator.forward(&Activations::from_tensor(&x)?, seed)?.to_tensor()?.flatten_all()?.to_vec1()
    };
    assert_eq!(run(Some(Seed(1)))?, run(Some(Seed(1)))?);
    assert_ne!(run(Some(Seed(1)))?, run(Some(Seed(2)))?);
    assert_eq!(generator.translate(&x)?.flatten_all()?.to_vec1::<f32>()?, run(None)?);
    assert!(SemanticConfig { size: 48, ..SemanticConfig::default() }.validate().is_err());
    Ok(())
}
