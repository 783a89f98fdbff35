//! GAN and CycleGAN on the training loop: the learner's modules and pictures, and two folders of images as its source.

use super::batch::UnpairedBatch;
use super::config::CycleGanConfig;
use super::folder::{FolderConfig, ImageFolders};
use super::generator::Generator;
use super::learner::{Critics, CycleGanLearner};
use super::state::{POOLS, REAL2SIM, SIM2REAL};
use crate::contract::Seed;
use crate::draw::{ContactSheet, Picture};
use crate::gan::images::to_bytes;
use crate::train::state::{from_file, to_bytes as to_checkpoint};
use crate::train::{
    BatchSource, Checkpoint, CheckpointContent, Evaluation, Learner, LearnerConfig, LoadedRun, Metrics, Module,
    NamedGroup, NamedImage, RunConfig, StepProgress, TrainError, keep_run, load_run,
};
use candle_core::{DType, Device, Tensor};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Rows of the picture sheet.
const SHEET_ROWS: usize = 6;
/// Edge of a cell of the sheet, pixels.
const SHEET_CELL: usize = 160;

/// The section `data` of a run on two folders.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CycleGanData {
    /// The folder that holds `trainA/` and `trainB/`.
    pub root: PathBuf,
    /// How the pictures are resized, cropped, mirrored and cached.
    pub images: FolderConfig,
    /// SHA-256 of the pictures below the root: what a run was begun with is remembered by its contents.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub digests: BTreeMap<String, String>,
}

impl LearnerConfig for CycleGanConfig {
    const NAME: &'static str = "cyclegan";
    type Data = CycleGanData;

    fn validate(&self, data: &CycleGanData) -> Result<(), String> {
        if data.images.load_size < self.size {
            return Err(format!(
                "data.images.load_size must be at least the image size, {}, not {}",
                self.size, data.images.load_size
            ));
        }
        Self::validate(self).map_err(|error| error.to_string())
    }

    fn lr_scale(&self, _: u64, done: f64) -> f64 {
        Self::lr_scale(self, done)
    }
}

impl Learner for CycleGanLearner {
    type Batch = UnpairedBatch;

    fn update(&mut self, batch: &UnpairedBatch, lr_scale: f64) -> Result<Metrics, TrainError> {
        Self::update(self, batch, lr_scale, Critics::default()).map_err(TrainError::other)
    }

    fn step(&self) -> u64 {
        self.steps
    }

    fn set_step(&mut self, step: u64) {
        self.steps = step;
    }

    fn modules(&mut self) -> Vec<(&'static str, Module<'_>)> {
        let mut modules = vec![
            ("sim2real", Module::Network(self.sim2real.generator.store())),
            (SIM2REAL, Module::Network(self.sim2real.averaged.store())),
            ("sim2real_adam", Module::Optimizer(&mut self.sim2real.adam)),
            ("real_discriminator", Module::Network(self.real_discriminator.discriminator.store())),
            ("real_discriminator_adam", Module::Optimizer(&mut self.real_discriminator.adam)),
        ];
        if let Some(f) = &mut self.real2sim {
            modules.push(("real2sim", Module::Network(f.generator.store())));
            modules.push((REAL2SIM, Module::Network(f.averaged.store())));
            modules.push(("real2sim_adam", Module::Optimizer(&mut f.adam)));
        }
        if let Some(d) = &mut self.sim_discriminator {
            modules.push(("sim_discriminator", Module::Network(d.discriminator.store())));
            modules.push(("sim_discriminator_adam", Module::Optimizer(&mut d.adam)));
        }
        if let Some(domain) = &mut self.domain {
            modules.push(("domain_classifier", Module::Network(&domain.store)));
            modules.push(("domain_classifier_adam", Module::Optimizer(&mut domain.adam)));
        }
        modules
    }

    fn state(&self) -> Result<Value, TrainError> {
        self.state_values().map_err(TrainError::other)
    }

    fn tensors(&self) -> Result<Vec<NamedGroup>, TrainError> {
        self.pool_tensors().map_err(TrainError::other)
    }

    fn restore(&mut self, state: Value, checkpoint: &Checkpoint) -> Result<(), TrainError> {
        let images = |name: &str| -> Result<Option<Tensor>, TrainError> {
            let Some(file) = checkpoint.groups.get(name) else { return Ok(None) };
            Ok(from_file(file)?.into_iter().next().map(|(_, tensor)| tensor))
        };
        let pools = [images(POOLS[0])?, images(POOLS[1])?];
        self.restore_values(state, &pools).map_err(TrainError::state)
    }
}

/// Batches of two folders; the step's number decides each, so that nothing has to be saved.
pub struct FolderSource {
    folders: ImageFolders,
    batch: usize,
    read_s: f64,
}

impl FolderSource {
    /// Batches of `batch` images of each folder.
    pub fn new(folders: ImageFolders, batch: usize) -> Self {
        Self { folders, batch, read_s: 0.0 }
    }

    /// The opened folders, with their lengths and the files that were left out.
    pub fn folders(&self) -> &ImageFolders {
        &self.folders
    }
}

impl BatchSource<CycleGanLearner> for FolderSource {
    fn next(&mut self, _: &CycleGanLearner, progress: StepProgress) -> Result<UnpairedBatch, TrainError> {
        let started = Instant::now();
        let batch = self.folders.batch(progress.step, self.batch).map_err(TrainError::other)?;
        self.read_s += started.elapsed().as_secs_f64();
        Ok(batch)
    }

    fn seconds(&self) -> Vec<(&'static str, f64)> {
        vec![("read", self.read_s)]
    }

    fn evaluate(&mut self, learner: &mut CycleGanLearner) -> Result<Evaluation, TrainError> {
        let batch = self.folders.validation(SHEET_ROWS).map_err(TrainError::other)?;
        let images = learner.translations(&batch).map_err(TrainError::other)?;
        let mut metrics = Vec::new();
        let of = |wanted: &str| images.iter().find(|(name, _)| *name == wanted).map(|(_, image)| image);
        for (name, image, back) in
            [("validation/cycle_x", of("x"), of("F(G(x))")), ("validation/cycle_y", of("y"), of("G(F(y))"))]
        {
            if let (Some(image), Some(back)) = (image, back) {
                let error = (image - back)?.abs()?.mean_all()?.to_dtype(DType::F32)?.to_scalar::<f32>()?;
                metrics.push((name.to_owned(), f64::from(error)));
            }
        }
        Ok(Evaluation { metrics, images: vec![sheet(learner, &images)?] })
    }
}

/// One row an image, one column for everything that the generators make of it.
fn sheet(learner: &CycleGanLearner, images: &[(&'static str, Tensor)]) -> Result<NamedImage, TrainError> {
    let names: Vec<&str> = images.iter().map(|(name, _)| *name).collect();
    let method = learner.config().method;
    let title = format!("{method} after {} steps", learner.step());
    let subtitle = "x is A (simulation), y is B (reality); G translates x, F translates y";
    let mut sheet = ContactSheet::new(title, subtitle).columns(&names).cell(SHEET_CELL);
    let bytes = images.iter().map(|(_, image)| to_pictures(image)).collect::<Result<Vec<_>, _>>()?;
    for row in 0..bytes.first().map_or(0, Vec::len) {
        sheet.row(String::new(), bytes.iter().map(|column| column[row].clone()).collect());
    }
    Ok(("translation", sheet.draw()))
}

/// `[n, 3, height, width]` in `[-1, 1]` as pictures.
fn to_pictures(images: &Tensor) -> candle_core::Result<Vec<Picture>> {
    let (_, _, height, width) = images.dims4()?;
    Ok(to_bytes(images)?.into_iter().map(|bytes| Picture::photo(width, height, bytes)).collect())
}

/// A trained generator of a run and where it comes from.
pub struct LoadedGenerator {
    /// The averaged G, or F where the way back was asked for.
    pub generator: Generator,
    /// The settings of the run that trained it.
    pub config: RunConfig<CycleGanConfig>,
    /// The training step after which it was saved.
    pub step: u64,
    /// Sentences about newer checkpoints that are damaged.
    pub warnings: Vec<String>,
}

impl LoadedGenerator {
    /// Writes G alone into `folder`, there as a whole or not at all, for [`load_generator`] to take.
    ///
    /// # Errors
    /// A folder that is there already, a full disk.
    pub fn keep(&self, folder: &Path) -> Result<(), TrainError> {
        let mut content = CheckpointContent::default();
        content.groups.insert(SIM2REAL.to_owned(), to_checkpoint(&self.generator.store().state_tensors()?)?);
        keep_run(folder, &self.config, self.step, &content)
    }
}

/// Loads the averaged G (A to B), or F with `backward`, of a run's newest whole checkpoint.
///
/// # Errors
/// No run, a run of another learner, no checkpoint, damage, a method without F.
pub fn load_generator(path: &Path, backward: bool, device: &Device) -> Result<LoadedGenerator, TrainError> {
    let LoadedRun { config, checkpoint, warnings, .. } = load_run::<CycleGanConfig>(path)?;
    generator_of(path, config, &checkpoint, warnings, backward, device)
}

/// The averaged G, or F with `backward`, of a checkpoint; `path` is named in errors.
///
/// # Errors
/// A method without F, a checkpoint of another learner.
pub fn generator_of(
    path: &Path,
    config: RunConfig<CycleGanConfig>,
    checkpoint: &Checkpoint,
    warnings: Vec<String>,
    backward: bool,
    device: &Device,
) -> Result<LoadedGenerator, TrainError> {
    if backward && !config.learner.method.has_cycle() {
        let message = format!("a run of {} learns no way from B to A; train cyclegan", config.learner.method);
        return Err(TrainError::WrongRun { path: path.display().to_string(), message });
    }
    // F draws no masks.
    let mut shape = config.learner.generator.clone();
    if backward {
        shape.mask_classes = 0;
    }
    let generator = Generator::new(&shape, config.learner.size, Seed(0), device).map_err(TrainError::other)?;
    let group = if backward { REAL2SIM } else { SIM2REAL };
    generator.store().load_state(&from_file(checkpoint.group(group)?)?)?;
    Ok(LoadedGenerator { generator, config, step: checkpoint.step, warnings })
}
