//! The time of one whole training step: both generators there and back, both discriminators, and Adam.

use super::batch::{CHANNELS, SemanticBatch, SemanticClass};
use super::config::{LossWeights, SemanticConfig};
use super::learner::{SemanticCycleGan, SemanticError};
use crate::contract::Seed;
use crate::gan::cyclegan::bench::StepTimes;
use crate::nn::ops::memory;
use crate::nn::{HOST, with_large_stack};
use candle_core::Tensor;
use std::time::Instant;

/// Names for `bench train-step --network`.
pub const BENCH_NETWORKS: [&str; 1] = ["semantic-cyclegan"];

/// Images of each side in a step, where none are given.
const BATCH: usize = 8;

/// Times steps of `network` on one random batch, with all terms of equation 4 and no others; `None` for a name that is not ours.
///
/// # Errors
/// The threads cannot be started.
pub fn bench_step(network: &str, batch: Option<usize>, repeats: usize) -> Result<Option<StepTimes>, SemanticError> {
    if network != BENCH_NETWORKS[0] {
        return Ok(None);
    }
    let weights = LossWeights { raw_segmentation: 0.0, ..LossWeights::default() };
    let config = SemanticConfig { batch: batch.unwrap_or(BATCH).max(1), weights, ..SemanticConfig::default() };
    let repeats = repeats.max(1);
    with_large_stack(move || measure(&config, repeats))?.map(Some)
}

fn measure(config: &SemanticConfig, repeats: usize) -> Result<StepTimes, SemanticError> {
    const WARM_UP: usize = 3;
    let mut learner = SemanticCycleGan::new(config, Seed(0), &HOST)?;
    let mut rng = Seed(0).derive("bench", 0).rng();
    let shape = [config.batch, CHANNELS, config.size, config.size];
    let mut images = || {
        let values: Vec<f32> = (0..shape.iter().product()).map(|_| rng.range(-1.0, 1.0)).collect();
        Tensor::from_vec(values, &shape, &HOST)
    };
    let (x, y) = (images()?, images()?);
    let pixels = config.batch * config.size * config.size;
    let classes: Vec<u32> = (0..pixels).map(|_| rng.below(SemanticClass::COUNT) as u32).collect();
    let classes = Tensor::from_vec(classes, (config.batch, config.size, config.size), &HOST)?;
    let batch = SemanticBatch { x, classes, y };
    // Memory of other benchmarks of this process would count as ours.
    memory::release_cached();
    let mut times = Vec::new();
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
        network: BENCH_NETWORKS[0].to_owned(),
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
    fn the_benchmark_has_the_networks_of_the_design() -> anyhow::Result<()> {
        let Some(times) = bench_step("semantic-cyclegan", Some(1), 1)? else { anyhow::bail!("no such benchmark") };
        assert_eq!(times.parameters, 2 * 1_190_100 + 2 * (1_190_100 - 145));
        assert!(times.ms_per_step > 0.0 && times.fastest_ms <= times.ms_per_step);
        assert!(bench_step("stargan", None, 1)?.is_none());
        Ok(())
    }
}
