//! A trained policy from a run's folder.

use super::config::QtOptConfig;
use super::learner::AVERAGED;
use super::network::build;
use super::policy::QPolicy;
use crate::contract::Seed;
use crate::rl::error::RlError;
use crate::train::state::from_file;
use crate::train::{LoadedRun, RunConfig, load_run};
use candle_core::Device;
use std::path::{Path, PathBuf};

/// A policy and where it comes from.
pub struct Loaded {
    pub policy: QPolicy,
    /// Its run's folder.
    pub run: PathBuf,
    pub config: RunConfig<QtOptConfig>,
    /// The training step after which it was saved.
    pub step: u64,
    /// Sentences about newer checkpoints that are damaged.
    pub warnings: Vec<String>,
}

/// Loads the averaged Q-function of a run's newest whole checkpoint, or of one checkpoint when `path` is its folder
/// (`RUN/checkpoints/step-000001000`).
///
/// # Errors
/// No run, a run of another learner, no checkpoint, damage.
pub fn load_policy(path: &Path, device: &Device) -> Result<Loaded, RlError> {
    let LoadedRun { config, checkpoint, run, warnings } = load_run::<QtOptConfig>(path).map_err(Box::new)?;
    let (learner, space) = (&config.learner, config.data.space);
    let q = build(learner, &space, Seed(0), device)?;
    q.store().load_state(&from_file(checkpoint.group(AVERAGED)?)?)?;
    let policy = QPolicy { q, space, cem: learner.cem, size: learner.size, channels: learner.channels };
    Ok(Loaded { policy, run, config, step: checkpoint.step, warnings })
}
