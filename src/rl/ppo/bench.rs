//! The time of one gradient step of PPO on RGB-D images: forward, clipped objective, value, entropy, backward, Adam.

use super::codec::{DepthInput, TaskCodec};
use super::config::PpoConfig;
use super::learner::{PpoError, PpoLearner};
use super::network::Observations;
use super::rollout::Rollout;
use crate::contract::{ActionSpace, Rng, Seed, TaskKind};
use crate::nn::bench::Report;
use crate::nn::ops::memory;
use crate::nn::with_large_stack;
use candle_core::Device;
use std::time::Instant;

/// The name for `bench train-step --network`.
pub const BENCH_NETWORK: &str = "ppo";
const WARM_UP: usize = 3;
const SIZE: usize = 64;

/// Times gradient steps on one random minibatch; `None` for a name that is not ours.
///
/// # Errors
/// The threads cannot be started.
pub fn bench_step(
    network: &str,
    batch: Option<usize>,
    repeats: usize,
    device: &Device,
) -> Result<Option<Report>, PpoError> {
    if network != BENCH_NETWORK {
        return Ok(None);
    }
    let usual = PpoConfig::default();
    let minibatch_size = batch.unwrap_or(usual.minibatch_size).max(1);
    let config = PpoConfig { minibatch_size, num_epochs: 1, target_kl: None, ..usual };
    with_large_stack(move || measure(&config, repeats.max(1), device))?.map(Some)
}

fn measure(config: &PpoConfig, repeats: usize, device: &Device) -> Result<Report, PpoError> {
    let space = ActionSpace { step_m: [0.15, 0.15, 0.12], step_rad: 1.57 };
    let codec = TaskCodec { task: TaskKind::PoseGrasp, space, size: SIZE, depth: DepthInput::Background };
    let mut learner = PpoLearner::new(config, codec.network(), Seed(0), device)?;
    let rollout = noise(&learner, config.minibatch_size, &mut Seed(0).derive("bench", 0).rng())?;
    // Memory of other benchmarks of this process would count as ours.
    memory::release_cached();
    let (mut times, mut losses) = (Vec::new(), Vec::new());
    for step in 0..WARM_UP + repeats {
        let start = Instant::now();
        losses.push(learner.learn(&rollout, 1.0)?.value_loss);
        if step >= WARM_UP {
            times.push(start.elapsed().as_secs_f64() * 1e3);
        }
    }
    times.sort_by(f64::total_cmp);
    let median = times[times.len() / 2];
    Ok(Report {
        network: BENCH_NETWORK.to_owned(),
        batch: config.minibatch_size,
        parameters: learner.network.store().parameter_count(),
        threads: rayon::current_num_threads(),
        instructions: crate::nn::ops::instructions(),
        repeats,
        ms_per_step: median,
        fastest_ms: times[0],
        images_per_second: config.minibatch_size as f64 / median * 1e3,
        peak_memory_gib: memory::peak_bytes() as f64 / f64::from(1 << 30),
        first_loss: losses[0],
        last_loss: losses[losses.len() - 1],
    })
}

/// Random images, and what the policy does there.
fn noise(learner: &PpoLearner, count: usize, rng: &mut Rng) -> Result<Rollout, PpoError> {
    let network = learner.network_config().clone();
    let mut numbers = |len: usize| -> Vec<f32> { (0..len).map(|_| rng.range(-1.0, 1.0)).collect() };
    let observations = Observations {
        count,
        images: numbers(count * network.image_len()),
        states: numbers(count * network.state_len),
    };
    let (advantages, returns) = (numbers(count), numbers(count));
    let decisions = learner.decide(&observations, rng)?;
    Ok(Rollout {
        observations,
        actions: decisions.actions,
        log_probs: decisions.log_probs,
        values: decisions.values,
        advantages,
        returns,
        targets: Vec::new(),
        episodic_return: None,
        episodic_length: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::HOST;

    #[test]
    fn a_benchmark_trains_what_it_times() -> anyhow::Result<()> {
        let Some(report) = bench_step("ppo", Some(8), 6, &HOST)? else { anyhow::bail!("no such benchmark") };
        assert!(report.last_loss < report.first_loss, "{report:?}");
        assert!(report.ms_per_step > 0.0 && report.fastest_ms <= report.ms_per_step && report.batch == 8);
        assert!(bench_step("dqn", None, 1, &HOST)?.is_none());
        Ok(())
    }
}
