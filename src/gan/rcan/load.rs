//! A trained generator from a run's folder.

use super::config::RcanConfig;
use super::generator::Generator;
use super::learner::AVERAGED;
use crate::contract::Seed;
use crate::train::state::{from_file, to_bytes};
use crate::train::{CheckpointContent, LoadedRun, RunConfig, TrainError, keep_run, load_run};
use candle_core::Device;
use std::path::Path;

/// A generator and where it comes from.
pub struct Loaded {
    /// The averaged generator.
    pub generator: Generator,
    /// The settings of the run that trained it.
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
        let mut content = CheckpointContent::default();
        content.groups.insert(AVERAGED.to_owned(), to_bytes(&self.generator.store().state_tensors()?)?);
        keep_run(folder, &self.config, self.step, &content)
    }
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
