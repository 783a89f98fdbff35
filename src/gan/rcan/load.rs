//! A trained generator from a run's folder.

use super::config::RcanConfig;
use super::generator::Generator;
use super::learner::AVERAGED;
use crate::contract::Seed;
use crate::files::atomic::{FileError, create_folder, sync_folder, write_atomic};
use crate::train::checkpoint::CHECKPOINTS_NAME;
use crate::train::directory::CONFIG_NAME;
use crate::train::state::{from_file, to_bytes};
use crate::train::{CheckpointContent, Checkpoints, LoadedRun, RunConfig, TrainError, load_run};
use candle_core::Device;
use std::path::Path;

/// A generator and where it comes from.
pub struct Loaded {
    pub generator: Generator,
    pub config: RunConfig<RcanConfig>,
    /// The training step after which it was saved.
    pub step: u64,
    /// Sentences about newer checkpoints that are damaged.
    pub warnings: Vec<String>,
}

impl Loaded {
    /// Writes the generator alone into `folder`, there as a whole or not at all, for [`load_generator`] to take.
    ///
    /// # Errors
    /// A folder that is there already, a full disk.
    pub fn keep(&self, folder: &Path) -> Result<(), TrainError> {
        let config = self.config.to_toml()?;
        let mut content = CheckpointContent::default();
        content.groups.insert(AVERAGED.to_owned(), to_bytes(&self.generator.store().state_tensors()?)?);
        write_folder(folder, |unfinished| {
            write_atomic(&unfinished.join(CONFIG_NAME), config.as_bytes())?;
            Checkpoints::new(unfinished.join(CHECKPOINTS_NAME)).save(self.step, &content)?;
            Ok(())
        })
    }
}

/// Lets `write` fill a folder of a temporary name, and gives it its own when it is whole.
fn write_folder(folder: &Path, write: impl FnOnce(&Path) -> Result<(), TrainError>) -> Result<(), TrainError> {
    let unfinished = folder.with_extension("unfinished");
    if unfinished.exists() {
        std::fs::remove_dir_all(&unfinished).map_err(|e| FileError::io("remove", &unfinished, e))?;
    }
    create_folder(&unfinished)?;
    write(&unfinished)?;
    std::fs::rename(&unfinished, folder).map_err(|e| FileError::io("rename", folder, e))?;
    Ok(sync_folder(folder.parent().unwrap_or(Path::new(".")))?)
}

/// Loads the averaged generator of a run's newest whole checkpoint, or of one checkpoint when `path` is its folder
/// (`RUN/checkpoints/step-000001000`).
///
/// # Errors
/// No run, a run of another learner, no checkpoint, damage.
pub fn load_generator(path: &Path, device: &Device) -> Result<Loaded, TrainError> {
    let LoadedRun { config, checkpoint, warnings, .. } = load_run::<RcanConfig>(path)?;
    let generator = Generator::new(&config.learner, Seed(0), device)?;
    generator.store().load_state(&from_file(checkpoint.group(AVERAGED)?)?)?;
    Ok(Loaded { generator, config, step: checkpoint.step, warnings })
}
