//! `bench train-step`: the time of one whole training step of a benchmark network, to be held against PyTorch's.

use std::time::Instant;

use candle_core::Device;
use serde::Serialize;

use super::error::NnError;
use super::networks::{Network, bench_network};
use super::ops::{Activations, backward, loss, memory};
use super::optim::{Adam, AdamConfig};
use super::threads::with_large_stack;
use crate::contract::Seed;

/// Steps before the first measured one.
const WARM_UP: usize = 3;

/// What was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// One of [`BENCH_NETWORKS`](super::networks::BENCH_NETWORKS).
    pub network: String,
    /// Samples in each step's batch.
    pub batch: usize,
    /// Learned floats of the network.
    pub parameters: usize,
    /// Threads of the pool that the steps ran in.
    pub threads: usize,
    /// Vector instructions the kernels use.
    pub instructions: String,
    /// Timed steps; a few untimed ones come before them.
    pub repeats: usize,
    /// Median of forward, backward and Adam together.
    pub ms_per_step: f64,
    /// Time of the fastest timed step, ms.
    pub fastest_ms: f64,
    /// Samples of a batch over the median time.
    pub images_per_second: f64,
    /// Activations, gradients and scratch at the worst moment.
    pub peak_memory_gib: f64,
    /// Mean of the squared outputs before the first update, untimed steps included.
    pub first_loss: f64,
    /// Mean of the squared outputs before the last timed step's update.
    pub last_loss: f64,
}

/// Trains `network` on one random batch (mean of the squared outputs, Adam at 1e-4) and times the steps. `batch` of
/// `None` is the network's own. `Ok(None)` for an unknown network.
pub fn bench_train_step(
    network: &str,
    batch: Option<usize>,
    repeats: usize,
    device: &Device,
) -> Result<Option<Report>, NnError> {
    let Some((network_box, own_batch)) = bench_network(network, Seed(0), device)? else { return Ok(None) };
    let batch = batch.unwrap_or(own_batch).max(1);
    let repeats = repeats.max(1);
    with_large_stack(move || measure(network, network_box.as_ref(), batch, repeats))?.map(Some)
}

fn measure(name: &str, network: &dyn Network, batch: usize, repeats: usize) -> Result<Report, NnError> {
    let mut rng = Seed(0).derive("bench", 0).rng();
    let inputs = network
        .inputs()
        .iter()
        .map(|spec| spec.random(batch, &mut rng, network.store().device()))
        .collect::<candle_core::Result<Vec<_>>>()?;
    let mut adam = Adam::new(&[network.store()], AdamConfig::default())?;
    let mut losses = Vec::new();
    let mut times = Vec::new();
    for step in 0..WARM_UP + repeats {
        let start = Instant::now();
        let values = inputs.iter().map(Activations::from_tensor).collect::<candle_core::Result<Vec<_>>>()?;
        let output = network.forward(&values)?;
        let loss = loss::squared_error(&output[0].to_tensor()?, 0.0)?;
        let grads = backward(&loss)?;
        adam.step(&grads, 1e-4)?;
        losses.push(f64::from(loss.to_scalar::<f32>()?));
        drop((output, loss, grads, values));
        if step >= WARM_UP {
            times.push(start.elapsed().as_secs_f64() * 1e3);
        }
    }
    times.sort_by(f64::total_cmp);
    let median = times[times.len() / 2];
    Ok(Report {
        network: name.to_owned(),
        batch,
        parameters: network.store().parameter_count(),
        threads: rayon::current_num_threads(),
        instructions: super::ops::instructions(),
        repeats,
        ms_per_step: median,
        fastest_ms: times[0],
        images_per_second: batch as f64 / median * 1e3,
        peak_memory_gib: memory::peak_bytes() as f64 / f64::from(1 << 30),
        first_loss: losses[0],
        last_loss: losses[losses.len() - 1],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_benchmark_trains_what_it_times() -> anyhow::Result<()> {
        let Some(report) = bench_train_step("q-encoder", Some(4), 6, &Device::Cpu)? else { anyhow::bail!("no report") };
        assert!(report.last_loss < report.first_loss, "{report:?}");
        assert!(report.ms_per_step > 0.0 && report.fastest_ms <= report.ms_per_step);
        assert_eq!((report.batch, report.parameters), (4, 196_768));
        assert!(bench_train_step("nothing", None, 1, &Device::Cpu)?.is_none());
        Ok(())
    }
}
