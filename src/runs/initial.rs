//! The episodes that a run of `train qtopt` begins with, by `--init-episodes`: those of the agent that it starts from.
//!
//! Where that agent sees what this run's simulator shows, they are the newest of its replays. Else they are played anew: the
//! agent sees its own domain, through its own generator, while the run keeps its own domain's pictures of the same states.

use super::agent;
use super::pair_agent::PairAgent;
use super::qtopt::{QtOptRun, QtOptTrainer, simulator};
use crate::contract::{ImageAdapter, Seed};
use crate::env::GraspEnv;
use crate::files::console::{remark, warn_all};
use crate::files::interrupt;
use crate::rl::error::RlError;
use crate::rl::qtopt::QtOptConfig;
use crate::rl::qtopt::load::load_replays;
use crate::train::load_run;
use anyhow::Context;
use std::path::Path;

/// The agent that the run starts from and the number of its episodes, where `--init-episodes` asks for some.
fn wanted(config: &QtOptRun) -> Option<(&Path, usize)> {
    let init = config.data.init.as_deref().filter(|_| config.data.init_episodes > 0)?;
    Some((init, usize::try_from(config.data.init_episodes).unwrap_or(usize::MAX)))
}

fn loading(init: &Path) -> String {
    format!("taking episodes of the agent in {} for --init-episodes", init.display())
}

/// Whether the agent has seen what this run's simulator shows, so that its replays serve.
fn has_seen(init: &Path, config: &QtOptRun) -> anyhow::Result<bool> {
    let theirs = load_run::<QtOptConfig>(init).with_context(|| loading(init))?.config;
    let shown = |run: &QtOptRun| {
        let env = &run.data.env;
        let map_cell = run.learner.network.map_cell_m.to_bits();
        (env.domain, env.cell.clone(), env.camera.clone(), env.crop, run.learner.size, map_cell)
    };
    // The replay of an agent behind a generator holds translated pictures.
    Ok(theirs.data.generator.is_none() && shown(&theirs) == shown(config))
}

/// Refuses an agent that cannot act where this run learns.
///
/// # Errors
/// No run of QT-Opt; [`crate::runs::UsageError`] for another cell or size.
pub fn check(config: &QtOptRun) -> anyhow::Result<()> {
    let Some((init, _)) = wanted(config) else { return Ok(()) };
    if !has_seen(init, config)? {
        PairAgent::load(init, simulator(config, Seed(config.seed))?, "--init-episodes of")
            .with_context(|| loading(init))?;
    }
    Ok(())
}

/// The episodes into a new run's memory.
///
/// # Errors
/// A run that is missing or damaged; the simulator fails.
pub fn begin(trainer: &mut QtOptTrainer) -> anyhow::Result<()> {
    let config = trainer.config().clone();
    let Some((init, count)) = wanted(&config) else { return Ok(()) };
    let adapter = agent::adapter(trainer.root(), &config, config.data.env.domain)?;
    let adapter = adapter.as_deref().map(|adapter| adapter as &dyn ImageAdapter);
    let shown = init.display();
    if has_seen(init, &config)? {
        let (replays, warnings) = load_replays(init).with_context(|| loading(init))?;
        warn_all(&warnings);
        let taken =
            trainer.source.take_over([&replays[0], &replays[1]], count, adapter).with_context(|| loading(init))?;
        remark(format_args!("{taken} episodes of {shown} are in the replay"));
        return Ok(());
    }
    let domain = config.data.env.domain;
    remark(format_args!("the agent in {shown} plays {count} episodes; their pictures in {domain} are kept"));
    let seed = Seed(config.seed).derive("before-training", 0);
    let (agent, env) = PairAgent::load(init, simulator(&config, seed)?, "--init-episodes of")?;
    let (loaded, mut env) = agent.enter(GraspEnv::new(env).with_context(|| loading(init))?);
    match trainer.source.play_before(&mut env, loaded.policy.cem_policy(), count, adapter) {
        Err(RlError::Interrupted) => Err(interrupt::Interrupted.into()),
        played => played.map(drop).with_context(|| loading(init)),
    }
}
