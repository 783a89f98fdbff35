//! A trained generator from a run's folder.

use super::generator::Generator;
use super::learner::{AVERAGED, RcanError, group_of};
use super::train::Settings;
use crate::contract::Seed;
use crate::files::atomic::{FileError, create_folder, sync_folder, write_atomic};
use crate::gan::state::{from_file, to_bytes};
use crate::train::checkpoint::CHECKPOINTS_NAME;
use crate::train::directory::CONFIG_NAME;
use crate::train::{CheckpointContent, Checkpoints, RunDir, RunError};
use candle_core::Device;
use std::path::Path;

/// A generator and where it comes from.
pub struct Loaded {
    pub generator: Generator,
    pub settings: Settings,
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
    pub fn keep(&self, folder: &Path) -> Result<(), RcanError> {
        let config = toml::to_string(&self.settings)
            .map_err(|e| RcanError::NotRcan { path: folder.display().to_string(), message: e.to_string() })?;
        let mut content = CheckpointContent::default();
        content.groups.insert(AVERAGED.to_owned(), to_bytes(&self.generator.store().state_tensors()?)?);
        write_folder(folder, |unfinished| {
            write_atomic(&unfinished.join(CONFIG_NAME), config.as_bytes()).map_err(RunError::from)?;
            Checkpoints::new(unfinished.join(CHECKPOINTS_NAME)).save(self.step, &content).map_err(RunError::from)?;
            Ok(())
        })
    }
}

/// Lets `write` fill a folder of a temporary name, and gives it its own when it is whole.
fn write_folder(folder: &Path, write: impl FnOnce(&Path) -> Result<(), RcanError>) -> Result<(), RcanError> {
    let unfinished = folder.with_extension("unfinished");
    if unfinished.exists() {
        std::fs::remove_dir_all(&unfinished).map_err(|e| RunError::from(FileError::io("remove", &unfinished, e)))?;
    }
    create_folder(&unfinished).map_err(RunError::from)?;
    write(&unfinished)?;
    std::fs::rename(&unfinished, folder).map_err(|e| RunError::from(FileError::io("rename", folder, e)))?;
    let above = folder.parent().unwrap_or(Path::new("."));
    Ok(sync_folder(above).map_err(RunError::from)?)
}

/// Loads the averaged generator of a run's newest whole checkpoint, or of one checkpoint when `path` is its folder
/// (`RUN/checkpoints/step-000001000`).
///
/// # Errors
/// No run, a run of another learner, no checkpoint, damage.
pub fn load_generator(path: &Path) -> Result<Loaded, RcanError> {
    let not_rcan = |message: &str| RcanError::NotRcan { path: path.display().to_string(), message: message.into() };
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
        Some(step) => checkpoints.load(step).map_err(crate::train::RunError::from)?,
        None => checkpoints
            .load_latest(|error| warnings.push(error.to_string()))
            .map_err(crate::train::RunError::from)?
            .ok_or_else(|| not_rcan("it has no checkpoint yet; train longer or wait for the first one"))?,
    };
    let generator = Generator::new(&settings.rcan, Seed(0), &Device::Cpu)?;
    generator.store().load_state(&from_file(group_of(&checkpoint, AVERAGED)?)?)?;
    Ok(Loaded { generator, settings, step: checkpoint.step, warnings })
}
