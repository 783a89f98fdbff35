//! The time of a whole step of the joint phase: generators, discriminators, the scene term, both Q-functions.

use super::batch::{JointBatch, actions_to_compare};
use super::config::{BellmanTargetsOf, RlCycleGanConfig};
use super::learner::{RlCycleGanLearner, state_planes};
use super::scene::query_rows;
use crate::contract::{ActionSpace, GripperState, PrivilegedState, Rng, Seed};
use crate::gan::cyclegan::bench::StepTimes;
use crate::gan::cyclegan::{Method, UnpairedBatch};
use crate::gan::images::images_tensor;
use crate::nn::ops::memory;
use crate::nn::{HOST, with_large_stack};
use crate::rl::error::RlError;
use crate::rl::qtopt::network::{QNetwork, state_features};
use crate::rl::qtopt::privileged::CELLS;
use crate::rl::qtopt::stream::{Outcome, Samples};
use crate::rl::replay::{Record, Termination};
use crate::train::{Learner, Preset};
use glam::Vec2;
use std::time::Instant;

/// Names for `bench train-step --network`.
pub const BENCH_NETWORKS: [&str; 3] = ["rl-cyclegan", "rl-cyclegan-end-to-end", "rl-cyclegan-paper"];
const SPACE: ActionSpace = ActionSpace { step_m: [0.08; 3], step_rad: 0.8 };

/// Times steps of `network` on random batches; `None` for a name that is not ours. `repeats` counts whole cycles of the terms
/// that take part in every other step, and the time is the mean over a cycle.
///
/// # Errors
/// The threads cannot be started.
pub fn bench_step(network: &str, batch: Option<usize>, repeats: usize) -> Result<Option<StepTimes>, RlError> {
    let (preset, q_network) = match network {
        "rl-cyclegan" => (Preset::Small, QNetwork::StateEstimating),
        "rl-cyclegan-end-to-end" => (Preset::Small, QNetwork::EndToEnd),
        "rl-cyclegan-paper" => (Preset::Paper, QNetwork::EndToEnd),
        _ => return Ok(None),
    };
    let mut config = RlCycleGanConfig::preset(Method::RlCycleGan, preset);
    if q_network != config.qtopt.q_network() {
        config.qtopt = config.qtopt.with_network(q_network);
    }
    // Measured is the adversarial step, with its noise and its pool.
    (config.gan.warm_start_steps, config.gan.balance, config.scene.least_auc) = (0, None, 0.0);
    config.gan.batch = batch.unwrap_or(if preset == Preset::Small { 8 } else { 1 }).max(1);
    let repeats = repeats.max(1);
    with_large_stack(move || measure(network, &config, repeats)).map_err(RlError::other)?.map(Some)
}

fn measure(network: &str, config: &RlCycleGanConfig, repeats: usize) -> Result<StepTimes, RlError> {
    let mut learner = RlCycleGanLearner::new(config, SPACE, Seed(0), &HOST)?;
    let batch = random_batch(config, &mut Seed(0).derive("bench", 0).rng())?;
    // Memory of other benchmarks of this process would count as ours.
    memory::release_cached();
    let cycle = config.gan.scene_interval.max(config.q_interval);
    let mut times = Vec::new();
    for round in 0..=repeats {
        let start = Instant::now();
        for _ in 0..cycle {
            learner.update(&batch, 1.0).map_err(RlError::other)?;
        }
        if round > 0 {
            times.push(start.elapsed().as_secs_f64() * 1e3 / cycle as f64);
        }
    }
    times.sort_by(f64::total_cmp);
    let median = times[times.len() / 2];
    let generators = learner.gan().networks().iter().map(|(_, store)| store.parameter_count()).sum::<usize>();
    let q = learner.q().map_or(0, |q| q.sim.q.store().parameter_count() + q.real.q.store().parameter_count());
    Ok(StepTimes {
        network: network.to_owned(),
        size: config.gan.size,
        batch: config.gan.batch,
        parameters: generators + q,
        threads: rayon::current_num_threads(),
        instructions: crate::nn::ops::instructions(),
        repeats,
        ms_per_step: median,
        fastest_ms: times[0],
        images_per_s: 2.0 * config.gan.batch as f64 / median * 1e3,
        peak_memory_gib: memory::peak_bytes() as f64 / f64::from(1 << 30),
    })
}

/// Noise for pictures, with states, actions and targets beside it; x has labels and y none.
fn random_batch(config: &RlCycleGanConfig, rng: &mut Rng) -> Result<JointBatch, RlError> {
    let (count, size) = (config.gan.batch, config.gan.size);
    let mut samples = |privileged: PrivilegedState| {
        let mut samples = Samples::default();
        for _ in 0..count {
            samples.images.push((0..size * size * 3).map(|_| rng.below(256) as u8).collect());
            let action = SPACE.features(&SPACE.random(rng));
            let gripper = GripperState {
                closed: rng.chance(0.5),
                height_m: rng.range(0.05, 0.3),
                aperture_m: rng.range(0.0, 0.08),
                ..GripperState::default()
            };
            let state = state_features(&gripper);
            samples.records.push(Record {
                state,
                action,
                reward: 0.0,
                termination: Termination::None,
                exploratory: 0.0,
                privileged,
            });
            samples.targets.push(rng.f32());
            if config.bellman_targets_of == BellmanTargetsOf::Picture {
                let next = (0..size * size * 3).map(|_| rng.below(256) as u8).collect();
                samples.outcomes.push(Outcome {
                    n_step_return: -0.05,
                    discount: config.qtopt.discount,
                    next: Some((next, state)),
                });
            }
        }
        samples
    };
    let sim = samples(PrivilegedState::new(&[0.02; CELLS], None, Vec2::ZERO, 0.1));
    let real = samples(PrivilegedState::UNKNOWN);
    let images = |samples: &Samples| images_tensor(samples.images.iter().map(Vec::as_slice), [size; 2]);
    let mut unpaired = UnpairedBatch::new(images(&sim)?, images(&real)?);
    (unpaired.x_state, unpaired.y_state) = (Some(state_planes(&sim)?), Some(state_planes(&real)?));
    let mut rows = |samples: &Samples| {
        let actions = actions_to_compare(samples, config.scene.actions, &SPACE, rng);
        let states: Vec<_> = samples.records.iter().map(|record| record.state).collect();
        query_rows(&states, &actions)
    };
    (unpaired.x_actions, unpaired.y_actions) = (Some(rows(&sim)?), Some(rows(&real)?));
    Ok(JointBatch { unpaired, sim, real, rng: rng.clone(), auc: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_of_two_images_is_timed() -> anyhow::Result<()> {
        let Some(times) = bench_step("rl-cyclegan", Some(2), 1)? else { anyhow::bail!("no such benchmark") };
        assert!(times.ms_per_step > 0.0 && times.parameters > 500_000, "{times:?}");
        assert!(bench_step("cyclegan", None, 1)?.is_none());
        Ok(())
    }
}
