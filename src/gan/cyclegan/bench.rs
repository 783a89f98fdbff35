//! The time of one whole training step: both generators, both discriminators, cycle and Adam.
//!
//! `cyclegan` has the networks and the step of the PyTorch program that it is held against: generators 24-48-96 with two
//! convolutions at the bottom, biases and instance normalization without parameters; patch discriminators 32-64-1 with
//! spectral normalization on three scales; log loss, squared cycle, no pool, no noise. It differs in what this program always
//! does: a moving average of the generators, and one round of power iteration a step, where PyTorch takes one a pass.

use super::batch::UnpairedBatch;
use super::config::{CycleGanConfig, DiscriminatorNorm, Method, NoiseConfig, Preset};
use super::error::CycleGanError;
use super::learner::{Critics, CycleGanLearner};
use crate::contract::Seed;
use crate::nn::HOST;
use crate::nn::ops::memory;
use crate::nn::{AdamConfig, with_large_stack};
use candle_core::Tensor;
use serde::Serialize;
use std::time::Instant;

/// Names for `bench train-step --network`.
pub const BENCH_NETWORKS: [&str; 3] = ["cyclegan", "cyclegan-small", "cyclegan-paper"];

/// What was measured.
#[derive(Clone, Debug, Serialize)]
pub struct StepTimes {
    /// One of [`BENCH_NETWORKS`].
    pub network: String,
    /// Edge of the square images, pixels.
    pub size: usize,
    /// Images of each domain.
    pub batch: usize,
    /// Learned floats of all four networks.
    pub parameters: usize,
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
    /// Images of both domains over the median time.
    pub images_per_s: f64,
    /// Activations, gradients and scratch at the worst moment.
    pub peak_memory_gib: f64,
}

/// The peer's networks and step.
pub fn peer_config() -> CycleGanConfig {
    let mut config = CycleGanConfig::preset(Method::CycleGan, Preset::Small);
    (config.generator.raw_input, config.generator.affine) = (false, false);
    (config.discriminator.filters, config.discriminator.strides) = (vec![32, 64], vec![2, 1]);
    config.discriminator.norm = DiscriminatorNorm::Spectral;
    (config.warm_start_steps, config.balance, config.image_pool) = (0, None, 0);
    config.noise = NoiseConfig { discriminator_std: 0.0, cycle_std: 0.0 };
    (config.weights.real_cycle, config.real_cycle_pooling) = (1.0, 1);
    (config.adam, config.discriminator_adam) = (AdamConfig::default(), AdamConfig::default());
    config
}

/// Times steps of `network` on one random batch; `None` for a name that is not ours.
///
/// # Errors
/// The threads cannot be started.
pub fn bench_step(network: &str, batch: Option<usize>, repeats: usize) -> Result<Option<StepTimes>, CycleGanError> {
    let mut config = match network {
        "cyclegan" => peer_config(),
        "cyclegan-small" => CycleGanConfig::preset(Method::CycleGan, Preset::Small),
        "cyclegan-paper" => CycleGanConfig::preset(Method::CycleGan, Preset::Paper),
        _ => return Ok(None),
    };
    // Measured is the adversarial step, with its noise and its pool.
    (config.warm_start_steps, config.balance) = (0, None);
    config.batch = batch.unwrap_or(if config.preset == Preset::Small { 8 } else { 1 }).max(1);
    let repeats = repeats.max(1);
    with_large_stack(move || measure(network, &config, repeats))?.map(Some)
}

fn measure(network: &str, config: &CycleGanConfig, repeats: usize) -> Result<StepTimes, CycleGanError> {
    let mut learner = CycleGanLearner::new(config, Seed(0), &HOST)?;
    let mut rng = Seed(0).derive("bench", 0).rng();
    let shape = [config.batch, 3, config.size, config.size];
    let mut images = || {
        let values: Vec<f32> = (0..shape.iter().product()).map(|_| rng.range(-1.0, 1.0)).collect();
        Tensor::from_vec(values, &shape, &HOST)
    };
    let batch = UnpairedBatch::new(images()?, images()?);
    // Memory of other benchmarks of this process would count as ours.
    memory::release_cached();
    let warm_up = if config.preset == Preset::Small { 3 } else { 1 };
    let mut times = Vec::new();
    for step in 0..warm_up + repeats {
        let start = Instant::now();
        learner.update(&batch, 1.0, Critics::default())?;
        if step >= warm_up {
            times.push(start.elapsed().as_secs_f64() * 1e3);
        }
    }
    times.sort_by(f64::total_cmp);
    let median = times[times.len() / 2];
    Ok(StepTimes {
        network: network.to_owned(),
        size: config.size,
        batch: config.batch,
        parameters: learner.networks().iter().map(|(_, store)| store.parameter_count()).sum(),
        threads: rayon::current_num_threads(),
        instructions: crate::nn::ops::instructions(),
        repeats,
        ms_per_step: median,
        fastest_ms: times[0],
        images_per_s: 2.0 * config.batch as f64 / median * 1e3,
        peak_memory_gib: memory::peak_bytes() as f64 / f64::from(1 << 30),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peers_networks_have_the_parameters_that_pytorch_counts() -> anyhow::Result<()> {
        let Some(times) = bench_step("cyclegan", Some(1), 1)? else { anyhow::bail!("no such benchmark") };
        // Generator: 5x5 3-24, 3x3 24-48-96-96-96-48-24-24, 5x5 24-3; discriminator: 3x3 3-32-64-1 on three scales.
        let generator = 25 * 3 * 24 + 9 * (24 * 48 + 48 * 96 + 2 * 96 * 96 + 96 * 48 + 48 * 24 + 24 * 24) + 25 * 24 * 3;
        let biases = 24 + 48 + 3 * 96 + 48 + 24 + 24 + 3;
        assert_eq!(times.parameters, 2 * (generator + biases + 3 * 19_969));
        assert!(times.ms_per_step > 0.0 && times.fastest_ms <= times.ms_per_step);
        assert!(bench_step("stargan", None, 1)?.is_none());
        Ok(())
    }
}
