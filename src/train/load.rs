//! A finished or interrupted run, read without being opened for writing.

use super::checkpoint::{CHECKPOINTS_NAME, Checkpoint, CheckpointContent, Checkpoints};
use super::directory::{CONFIG_NAME, RunDir};
use super::error::TrainError;
use super::run_config::{LearnerConfig, RunConfig};
use crate::files::atomic::{FileError, create_folder, sync_folder, write_atomic};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// The settings of a run and one of its checkpoints.
pub struct LoadedRun<C: LearnerConfig> {
    /// Its settings, checked.
    pub config: RunConfig<C>,
    /// The newest whole checkpoint, or the one that was named.
    pub checkpoint: Checkpoint,
    /// The run's folder.
    pub run: PathBuf,
    /// Sentences about newer checkpoints that are damaged.
    pub warnings: Vec<String>,
}

impl<C: LearnerConfig> LoadedRun<C> {
    /// What the source of the run's batches saved; nothing where it keeps no state.
    pub fn source_state(&self) -> Value {
        self.checkpoint.state.pointer("/learner/source").cloned().unwrap_or_default()
    }
}

/// Loads a run's newest whole checkpoint, or one checkpoint when `path` is its folder
/// (`RUN/checkpoints/step-000001000`).
///
/// # Errors
/// No run, a run of another learner, no checkpoint, damage.
pub fn load_run<C: LearnerConfig>(path: &Path) -> Result<LoadedRun<C>, TrainError> {
    let (run, step) = run_and_step(path);
    let config = RunConfig::parse(&RunDir::read_config(run)?, run)?;
    let checkpoints = Checkpoints::new(run.join(CHECKPOINTS_NAME));
    let mut warnings = Vec::new();
    let none = || TrainError::WrongRun {
        path: path.display().to_string(),
        message: "it has no checkpoint yet; train longer or wait for the first one".to_owned(),
    };
    let checkpoint = match step {
        Some(step) => checkpoints.load(step)?,
        None => checkpoints.load_latest(|error| warnings.push(error.to_string()))?.ok_or_else(none)?,
    };
    Ok(LoadedRun { config, checkpoint, run: run.to_owned(), warnings })
}

/// Writes the settings and one checkpoint of a run into `folder`, there as a whole or not at all, for [`load_run`] to take: a
/// network that another run goes on using.
///
/// # Errors
/// A folder that is there already, a full disk.
pub fn keep_run<C: LearnerConfig>(
    folder: &Path,
    config: &RunConfig<C>,
    step: u64,
    content: &CheckpointContent<'_>,
) -> Result<(), TrainError> {
    let config = config.to_toml()?;
    let unfinished = folder.with_extension("unfinished");
    if unfinished.exists() {
        std::fs::remove_dir_all(&unfinished).map_err(|e| FileError::io("remove", &unfinished, e))?;
    }
    create_folder(&unfinished)?;
    write_atomic(&unfinished.join(CONFIG_NAME), config.as_bytes())?;
    Checkpoints::new(unfinished.join(CHECKPOINTS_NAME)).save(step, content)?;
    std::fs::rename(&unfinished, folder).map_err(|e| FileError::io("rename", folder, e))?;
    Ok(sync_folder(folder.parent().unwrap_or(Path::new(".")))?)
}

/// The learner that a run, or the run of one checkpoint, is of: `rcan`, `qtopt`, `cyclegan`.
///
/// # Errors
/// No run; settings without a learner.
pub fn learner_name(path: &Path) -> Result<String, TrainError> {
    let (run, _) = run_and_step(path);
    let table = toml::from_str::<toml::Table>(&RunDir::read_config(run)?);
    let name = table.ok().and_then(|mut table| match table.remove("learner") {
        Some(toml::Value::String(name)) => Some(name),
        _ => None,
    });
    name.ok_or_else(|| TrainError::WrongRun {
        path: run.join("config.toml").display().to_string(),
        message: "it names no learner".to_owned(),
    })
}

/// The run's folder, and the step where `path` is the folder of one checkpoint.
fn run_and_step(path: &Path) -> (&Path, Option<u64>) {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let step = name.strip_prefix("step-").and_then(|digits| digits.parse::<u64>().ok());
    let above = path.parent().filter(|folder| folder.ends_with(CHECKPOINTS_NAME)).and_then(Path::parent);
    match (step, above) {
        (Some(step), Some(run)) => (run, Some(step)),
        _ => (path, None),
    }
}
