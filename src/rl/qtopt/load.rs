//! A trained policy from a run's folder.

use super::config::QtOptConfig;
use super::learner::AVERAGED;
use super::network::build;
use super::policy::QPolicy;
use super::source::REPLAY_FOLDER;
use super::stream::{Stream, StreamState};
use crate::contract::Seed;
use crate::rl::error::RlError;
use crate::rl::replay::Replay;
use crate::train::state::from_file;
use crate::train::{LoadedRun, RunConfig, load_run};
use candle_core::Device;
use std::path::{Path, PathBuf};

/// A policy and where it comes from.
pub struct Loaded {
    /// Acts by the averaged Q-function of the checkpoint at `step`.
    pub policy: QPolicy,
    /// Its run's folder.
    pub run: PathBuf,
    /// The run's settings as it saved them; of a joint run's Q-function, those that a run of QT-Opt would have.
    pub config: RunConfig<QtOptConfig>,
    /// The training step after which it was saved.
    pub step: u64,
    /// Sentences about newer checkpoints that are damaged.
    pub warnings: Vec<String>,
}

/// The replays of a run's simulator, off-policy and on-policy, as its newest whole checkpoint names them, and sentences about
/// what of them is damaged.
///
/// # Errors
/// No run, a run of another learner, no checkpoint, a replay that may not be read.
pub fn load_replays(path: &Path) -> Result<([Replay; 2], Vec<String>), RlError> {
    let loaded = load_run::<QtOptConfig>(path).map_err(Box::new)?;
    let streams = loaded.source_state().get("streams").cloned().unwrap_or_default();
    let LoadedRun { config, run, mut warnings, .. } = loaded;
    let streams: Vec<StreamState> = serde_json::from_value(streams).map_err(|error| {
        RlError::Inconsistent(format!("the checkpoint of {} names no replay: {error}", path.display()))
    })?;
    let Stream { mut off_policy, mut on_policy, .. } = Stream::simulation(&config.learner);
    if let Some(state) = streams.first() {
        let folder = run.join(REPLAY_FOLDER);
        warnings.extend(off_policy.load(&folder, &state.off_policy)?);
        warnings.extend(on_policy.load(&folder, &state.on_policy)?);
    }
    Ok(([off_policy, on_policy], warnings))
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
    let policy = QPolicy { q, space, cem: learner.acting_cem(), size: learner.size, channels: learner.channels };
    Ok(Loaded { policy, run, config, step: checkpoint.step, warnings })
}
