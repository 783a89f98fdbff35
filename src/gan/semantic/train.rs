//! The semantic CycleGAN on the training loop: its settings, and the networks of a trained run.

use super::config::SemanticConfig;
use super::discriminator::SemanticDiscriminator;
use super::generator::RgbdGenerator;
use super::learner::{NETWORKS, SemanticCycleGan};
use crate::contract::{Domain, Seed};
use crate::train::state::from_file;
use crate::train::{LearnerConfig, LoadedRun, RunConfig, TrainError, load_run};
use candle_core::Device;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The section `data` of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SemanticData {
    /// Simulated RGB-D images with classes (x): a dataset.
    pub simulation: PathBuf,
    /// Real RGB-D images (y): a dataset, or a folder with `rgb/` and `depth/`.
    pub reality: PathBuf,
    /// The domain of the simulated images.
    pub domain: Option<Domain>,
    /// The cell that they show, and the checksum of its description where it is not the usual one; none in runs of versions
    /// that did not keep it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cell: Option<String>,
    /// SHA-256 of the cell's description as TOML; `None` for the usual cell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cell_digest: Option<String>,
    /// Checksums of what training reads of both.
    pub digests: BTreeMap<String, String>,
}

impl LearnerConfig for SemanticConfig {
    const NAME: &'static str = "semantic-cyclegan";
    type Data = SemanticData;

    fn validate(&self, _: &SemanticData) -> Result<(), String> {
        Self::validate(self)
    }

    fn lr_scale(&self, _: u64, done: f64) -> f64 {
        Self::lr_scale(done)
    }
}

/// A trained run's networks and where they come from.
pub struct LoadedSemantic {
    /// G: simulation to reality.
    pub generator_y: RgbdGenerator,
    /// F: reality to simulation.
    pub generator_x: RgbdGenerator,
    /// D_X, which judges and segments simulated images.
    pub discriminator_x: SemanticDiscriminator,
    /// D_Y, which judges and segments real images.
    pub discriminator_y: SemanticDiscriminator,
    /// The settings of the run that trained them.
    pub config: RunConfig<SemanticConfig>,
    /// The training step after which they were saved.
    pub step: u64,
    /// Sentences about newer checkpoints that are damaged.
    pub warnings: Vec<String>,
}

/// Loads the networks of a run's newest whole checkpoint, or of the checkpoint that `path` names.
///
/// # Errors
/// No run, a run of another learner, no checkpoint, damage.
pub fn load_semantic(path: &Path, device: &Device) -> Result<LoadedSemantic, TrainError> {
    let LoadedRun { config, checkpoint, warnings, .. } = load_run::<SemanticConfig>(path)?;
    let SemanticCycleGan { generator_y, generator_x, discriminator_x, discriminator_y, .. } =
        SemanticCycleGan::new(&config.learner, Seed(0), device)?;
    let stores = [generator_y.store(), generator_x.store(), discriminator_x.store(), discriminator_y.store()];
    for (name, store) in NETWORKS.into_iter().zip(stores) {
        store.load_state(&from_file(checkpoint.group(name)?)?)?;
    }
    let step = checkpoint.step;
    Ok(LoadedSemantic { generator_y, generator_x, discriminator_x, discriminator_y, config, step, warnings })
}
