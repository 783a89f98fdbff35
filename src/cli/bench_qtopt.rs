//! `bingrasp bench qtopt`: what QT-Opt spends its time on.

use super::{agent, common, numbers, output};
use crate::contract::{ActionSpace, Domain, EpisodeCollector, GripperState, PrivilegedState, Rng, Seed, VecEnvError};
use crate::env::{Channels, EnvConfig, GraspEnv, map_frame};
use crate::nn::HOST;
use crate::nn::with_large_stack;
use crate::objects::{ObjectSet, Split};
use crate::rl::qtopt::QBatch;
use crate::rl::qtopt::collect::{BehaviorPolicy, play};
use crate::rl::qtopt::network::{QNetwork, state_features};
use crate::rl::qtopt::privileged::CELLS;
use crate::rl::qtopt::stream::Samples;
use crate::rl::replay::{NStepTransition, Record, Termination};
use crate::rl::{Preset, QLearner, QtOptConfig};
use anyhow::Context;
use serde::Serialize;
use std::time::Instant;

#[derive(clap::Args)]
pub struct Args {
    /// Gradient steps to time
    #[arg(long, default_value_t = 96, value_parser = numbers::whole(1..=1_000_000))]
    steps: u64,
    /// Transitions a step
    #[arg(long, default_value_t = 64, value_parser = numbers::count(1..=65_536))]
    batch: usize,
    /// Attempts to play, half by the script and half by a policy that has learned nothing
    #[arg(long, default_value_t = 512, value_parser = numbers::count(2..=1_000_000))]
    episodes: usize,
    /// Network: state-estimating or end-to-end
    #[arg(long, default_value_t = QNetwork::StateEstimating)]
    network: QNetwork,
    /// What the agent sees
    #[arg(long, default_value_t = Domain::RandomizedHeavy)]
    domain: Domain,
    #[command(flatten)]
    cell: common::CellArg,
    #[command(flatten)]
    seed: common::SeedArg,
    /// One JSON object on standard output
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    network: &'static str,
    parameters: usize,
    /// Gradient steps with the Bellman targets they need, found by the cross-entropy method.
    updates_per_s: f64,
    /// One decision of the cross-entropy method for each of 64 environments, pictures encoded.
    decision_ms: f64,
    /// Attempts played, rendered and decided.
    episodes_per_s: f64,
    batch: usize,
    num_envs: usize,
    threads: usize,
    peak_memory_gib: f64,
    seed: u64,
}

const ENVIRONMENTS: usize = 64;

pub fn run(args: &Args) -> anyhow::Result<()> {
    let config = QtOptConfig::preset(Preset::Small).with_network(args.network);
    let mut config = QtOptConfig { batch: args.batch, ..config };
    let cell = args.cell.load()?;
    let size = config.size as u32;
    if let Some(projection) = agent::projection(&cell, &cell.cameras[0].name, size) {
        config.network.projection = projection;
    }
    let map = map_frame(&cell, &cell.cameras[0].name, size);
    config.network.map_cell_m = map.cell_m;
    let objects = ObjectSet::builtin().split(Split::Train);
    let environment = EnvConfig {
        channels: Channels::IMAGE.with_state(),
        access: common::measured_access(args.domain),
        map,
        ..EnvConfig::new(&cell, objects, args.domain, (ENVIRONMENTS, size), args.seed.get())
    };
    let (seed, steps, episodes) = (args.seed.get(), args.steps, args.episodes);
    let report = with_large_stack(move || {
        let mut envs = GraspEnv::new(environment)?;
        measure(&config, &mut envs, seed, steps, episodes)
    })??;
    if args.json {
        return output::json(&report);
    }
    output::line(&format!(
        "{:.1} updates/s at batch {} with their targets; a decision for {} environments in {:.1} ms; {:.1} episodes/s",
        report.updates_per_s, report.batch, report.num_envs, report.decision_ms, report.episodes_per_s
    ))
}

/// Pictures of noise and random actions: the time does not depend on them.
struct Noise {
    images: Vec<Vec<u8>>,
    records: Vec<Record>,
}

impl Noise {
    fn new(config: &QtOptConfig, space: &ActionSpace, rng: &mut Rng) -> Self {
        let image = |rng: &mut Rng| (0..config.image_bytes()).map(|_| rng.below(256) as u8).collect();
        let record = |rng: &mut Rng| {
            let ends = rng.chance(0.3);
            let gripper = GripperState {
                closed: ends,
                height_m: rng.range(0.0, 0.2),
                aperture_m: 0.08,
                ..GripperState::default()
            };
            let action = space.effective(&space.random(rng), gripper.closed);
            Record {
                state: state_features(&gripper),
                action: space.features(&action),
                reward: if ends { 1.0 } else { -0.05 },
                termination: if ends { Termination::Terminated } else { Termination::None },
                exploratory: 0.0,
                privileged: PrivilegedState::new(&[0.02; CELLS], None, glam::Vec2::ZERO, rng.range(-1.0, 1.0)),
            }
        };
        let count = config.bellman_batch;
        Self { images: (0..count).map(|_| image(rng)).collect(), records: (0..count).map(|_| record(rng)).collect() }
    }

    fn batch(&self, range: std::ops::Range<usize>, targets: &[f32], rng: &Rng) -> QBatch {
        let samples = Samples {
            images: self.images[range.clone()].to_vec(),
            records: self.records[range.clone()].to_vec(),
            targets: targets[range].to_vec(),
            ..Samples::default()
        };
        QBatch { samples, real: 0, real_weight: 0.0, rng: rng.clone() }
    }

    fn transitions(&self, discount: f32) -> Vec<NStepTransition<'_>> {
        let next = |at: usize| (&self.images[(at + 1) % self.images.len()][..], self.records[at].state);
        let transition = |(at, record): (usize, &Record)| NStepTransition {
            n_step_return: record.reward,
            discount,
            next: (record.termination == Termination::None).then(|| next(at)),
        };
        self.records.iter().enumerate().map(transition).collect()
    }
}

fn measure(
    config: &QtOptConfig,
    envs: &mut dyn EpisodeCollector,
    seed: Seed,
    steps: u64,
    episodes: usize,
) -> anyhow::Result<Report> {
    let space = envs.action_space();
    let mut learner = QLearner::new(config, space, seed, &HOST)?;
    let mut rng = seed.derive("noise", 0).rng();
    let noise = Noise::new(config, &space, &mut rng);
    let transitions = noise.transitions(config.discount);
    let block = config.label_interval();
    let mut targets = learner.bellman_targets(&transitions, seed)?.targets;
    let count = noise.images.len();
    learner.learn(&noise.batch(0..config.batch.min(count), &targets, &rng), 1.0)?;
    let begun = Instant::now();
    for step in 0..steps {
        if step % block == 0 {
            targets = learner.bellman_targets(&transitions, seed.derive("label", step))?.targets;
        }
        let at = (step as usize * config.batch) % (count - config.batch + 1).max(1);
        learner.learn(&noise.batch(at..(at + config.batch).min(count), &targets, &rng), 1.0)?;
    }
    let updates_per_s = steps as f64 / begun.elapsed().as_secs_f64();

    let images: Vec<&[u8]> = noise.images.iter().take(ENVIRONMENTS).map(Vec::as_slice).collect();
    let open = GripperState { closed: false, height_m: 0.1, aperture_m: 0.08, ..GripperState::default() };
    let seeds: Vec<Seed> = (0..images.len() as u64).map(|index| seed.derive("search", index)).collect();
    let mut times = Vec::new();
    for _ in 0..12 {
        let start = Instant::now();
        learner.cem_policy().act(&images, &vec![open; images.len()], &seeds)?;
        times.push(start.elapsed().as_secs_f64());
    }

    let plan: Vec<BehaviorPolicy> =
        (0..episodes).map(|i| if i % 2 == 0 { BehaviorPolicy::Scripted } else { BehaviorPolicy::Noisy }).collect();
    let begun = Instant::now();
    let played: Result<_, _> = play(envs, Some(learner.cem_policy()), &config.exploration, &plan, seed);
    let played = played.map_err(VecEnvError::new).context("playing episodes")?;
    Ok(Report {
        network: config.q_network().name(),
        parameters: learner.q.store().parameter_count(),
        updates_per_s,
        decision_ms: output::median(&times) * 1e3,
        episodes_per_s: played.len() as f64 / begun.elapsed().as_secs_f64(),
        batch: config.batch,
        num_envs: ENVIRONMENTS,
        threads: rayon::current_num_threads(),
        peak_memory_gib: output::peak_memory_gib(),
        seed: seed.0,
    })
}
