//! A trained policy from a run's folder.

use super::learner::{AVERAGED, group_of};
use super::network::build;
use super::policy::QPolicy;
use super::train::Settings;
use crate::contract::Seed;
use crate::gan::state::from_file;
use crate::rl::error::RlError;
use crate::train::checkpoint::CHECKPOINTS_NAME;
use crate::train::{Checkpoints, RunDir};
use candle_core::Device;
use std::path::{Path, PathBuf};

/// A policy and where it comes from.
pub struct Loaded {
    pub policy: QPolicy,
    /// Its run's folder.
    pub run: PathBuf,
    pub settings: Settings,
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
pub fn load_policy(path: &Path) -> Result<Loaded, RlError> {
    let not_ours = |message: &str| RlError::NotQtOpt { path: path.display().to_string(), message: message.into() };
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let step = name.strip_prefix("step-").and_then(|digits| digits.parse::<u64>().ok());
    let above = path.parent().filter(|folder| folder.ends_with(CHECKPOINTS_NAME)).and_then(Path::parent);
    let (run, step) = match (step, above) {
        (Some(step), Some(run)) => (run, Some(step)),
        _ => (path, None),
    };
    let settings = Settings::parse(&RunDir::read_config(run)?, run)?;
    let checkpoints = Checkpoints::new(run.join(CHECKPOINTS_NAME));
    let mut warnings = Vec::new();
    let checkpoint = match step {
        Some(step) => checkpoints.load(step)?,
        None => checkpoints
            .load_latest(|error| warnings.push(error.to_string()))?
            .ok_or_else(|| not_ours("it has no checkpoint yet; train longer or wait for the first one"))?,
    };
    let config = &settings.qtopt;
    let q = build(config, &settings.space, Seed(0), &Device::Cpu)?;
    q.store().load_state(&from_file(group_of(&checkpoint, AVERAGED)?)?)?;
    let policy = QPolicy { q, space: settings.space, cem: config.cem, size: config.size, channels: config.channels };
    Ok(Loaded { policy, run: run.to_owned(), settings, step: checkpoint.step, warnings })
}
