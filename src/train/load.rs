//! A finished or interrupted run, read without being opened for writing.

use super::checkpoint::{CHECKPOINTS_NAME, Checkpoint, CheckpointContent, Checkpoints};
use super::directory::{CONFIG_NAME, RunDir};
use super::error::TrainError;
use super::run_config::{LearnerConfig, RunConfig};
use crate::files::atomic::{FileError, create_folder, sync_folder, write_atomic};
use crate::files::paths;
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
    let config = RunConfig::parse(&RunDir::read_config(&run)?, &run)?;
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
    Ok(LoadedRun { config, checkpoint, run, warnings })
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
    let table = toml::from_str::<toml::Table>(&RunDir::read_config(&run)?);
    let name = table.ok().and_then(|mut table| match table.remove("learner") {
        Some(toml::Value::String(name)) => Some(name),
        _ => None,
    });
    name.ok_or_else(|| TrainError::WrongRun {
        path: run.join("config.toml").display().to_string(),
        message: "it names no learner".to_owned(),
    })
}

/// The run's folder, and the step where `path` is the folder of one checkpoint (`RUN/checkpoints/step-000001000`), however it is
/// spelled.
pub fn run_and_step(path: &Path) -> (PathBuf, Option<u64>) {
    let of = |path: &Path| {
        let step = path.file_name()?.to_str()?.strip_prefix("step-")?.parse::<u64>().ok()?;
        let run = path.parent().filter(|folder| folder.ends_with(CHECKPOINTS_NAME))?.parent()?;
        // `checkpoints/step-1` lies in a run that is the working folder.
        Some((if run.as_os_str().is_empty() { PathBuf::from(".") } else { run.to_owned() }, Some(step)))
    };
    // From within a run, or through a link, the place alone says what it is.
    let placed = || of(&paths::resolve(path).ok()?);
    of(path).or_else(placed).unwrap_or_else(|| (path.to_owned(), None))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_is_one_however_it_is_spelled() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let run = folder.path().canonicalize()?.join("run");
        let step = run.join("checkpoints/step-000000042");
        std::fs::create_dir_all(&step)?;
        assert_eq!(run_and_step(&step), (run.clone(), Some(42)));
        assert_eq!(run_and_step(&step.join("../step-000000042/.")), (run.clone(), Some(42)));
        assert_eq!(run_and_step(&run), (run.clone(), None));
        assert_eq!(run_and_step(Path::new("checkpoints/step-7")), (PathBuf::from("."), Some(7)));
        let missing = folder.path().join("nowhere");
        assert_eq!(run_and_step(&missing), (missing, None));
        #[cfg(unix)]
        {
            let link = folder.path().join("best");
            std::os::unix::fs::symlink(&step, &link)?;
            assert_eq!(run_and_step(&link), (run, Some(42)));
        }
        Ok(())
    }
}
