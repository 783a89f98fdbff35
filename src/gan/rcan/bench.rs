//! The time of one whole training step: translation, discriminator, generator, both optimizers, average.

use super::batch::TrainBatch;
use super::config::{Preset, RcanConfig};
use super::learner::RcanLearner;
use crate::contract::{Class, Seed};
use crate::nn::ops::{Activations, memory};
use crate::nn::with_large_stack;
use crate::train::TrainError;
use candle_core::{Device, Tensor};
use serde::Serialize;
use std::time::Instant;

/// Names for `bench train-step --network`.
pub const BENCH_NETWORKS: [&str; 2] = ["rcan-small", "rcan-paper"];

/// Steps before the first measured one.
const WARM_UP: usize = 2;

/// What was measured.
#[derive(Clone, Debug, Serialize)]
pub struct StepTimes {
    /// One of [`BENCH_NETWORKS`].
    pub network: String,
    /// Edge of the square images, pixels.
    pub size: usize,
    /// Images in each step.
    pub batch: usize,
    /// Learned floats of the generator.
    pub generator_parameters: usize,
    /// Learned floats of the discriminator, all scales.
    pub discriminator_parameters: usize,
    /// Threads of the pool that the steps ran in.
    pub threads: usize,
    /// Vector instructions that the kernels use.
    pub instructions: String,
    /// Timed steps; a few untimed ones come before them.
    pub repeats: usize,
    /// Median.
    pub ms_per_step: f64,
    /// Time of the fastest timed step, ms.
    pub fastest_ms: f64,
    /// Images of a step over the median time.
    pub images_per_s: f64,
    /// Activations, gradients and scratch at the worst moment.
    pub peak_memory_gib: f64,
}

/// Times steps of `network` on one random batch. `None` for a name that is not ours.
///
/// # Errors
/// The threads cannot be started.
pub fn bench_step(
    network: &str,
    batch: Option<usize>,
    repeats: usize,
    device: &Device,
) -> Result<Option<StepTimes>, TrainError> {
    let preset = match network {
        "rcan-small" => Preset::Small,
        "rcan-paper" => Preset::Paper,
        _ => return Ok(None),
    };
    let mut config = RcanConfig::preset(preset);
    config.batch = batch.unwrap_or(if preset == Preset::Small { 16 } else { 1 }).max(1);
    let repeats = repeats.max(1);
    with_large_stack(move || measure(network, &config, repeats, device))?.map(Some)
}

fn measure(network: &str, config: &RcanConfig, repeats: usize, device: &Device) -> Result<StepTimes, TrainError> {
    let mut learner = RcanLearner::new(config, Seed(0), device)?;
    let (n, size) = (config.batch, config.size);
    let mut rng = Seed(0).derive("bench", 0).rng();
    let mut random = |channels: usize, low: f32, high: f32| {
        let values: Vec<f32> = (0..n * channels * size * size).map(|_| rng.range(low, high)).collect();
        Tensor::from_vec(values, (n, channels, size, size), device)
    };
    let batch = TrainBatch {
        source: Activations::from_tensor(&random(3, -1.0, 1.0)?)?,
        canonical: random(3, -1.0, 1.0)?,
        mask: random(Class::COUNT, 0.0, 1.0)?,
        depth: random(1, -1.0, 1.0)?,
    };
    let mut times = Vec::with_capacity(repeats);
    for step in 0..WARM_UP + repeats {
        let start = Instant::now();
        learner.learn(&batch, 1.0)?;
        if step >= WARM_UP {
            times.push(start.elapsed().as_secs_f64() * 1e3);
        }
    }
    times.sort_by(f64::total_cmp);
    let median = times[times.len() / 2];
    Ok(StepTimes {
        network: network.to_owned(),
        size,
        batch: n,
        generator_parameters: learner.generator.store().parameter_count(),
        discriminator_parameters: learner.discriminator.store().parameter_count(),
        threads: rayon::current_num_threads(),
        instructions: crate::nn::ops::instructions(),
        repeats,
        ms_per_step: median,
        fastest_ms: times[0],
        images_per_s: n as f64 / median * 1e3,
        peak_memory_gib: memory::peak_bytes() as f64 / f64::from(1 << 30),
    })
}
