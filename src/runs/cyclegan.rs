//! GAN and CycleGAN: translation between two folders of images, no simulator needed.

use super::inputs::Inputs;
use super::left_out::warn_left_out;
use super::{LearnerSetup, Start, identity};
use crate::contract::Seed;
use crate::gan::cyclegan::folder::{FolderConfig, ImageFolders};
use crate::gan::cyclegan::{CycleGanConfig, CycleGanData, CycleGanLearner, FolderSource, Method, Preset};
use crate::train::{Outcome, ReportText, RunConfig, Trainer};
use candle_core::Device;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The settings of a run on two folders.
pub type CycleGanRun = RunConfig<CycleGanConfig>;
type CycleGanTrainer = Trainer<CycleGanConfig, CycleGanLearner, FolderSource>;

/// One of the two methods, of a size.
#[derive(Clone, Copy, Debug)]
pub struct TwoFolders {
    pub method: Method,
    pub preset: Preset,
    /// Edge of the images, pixels; none: the preset's.
    pub size: Option<usize>,
}

impl LearnerSetup for TwoFolders {
    type Config = CycleGanConfig;
    type Learner = CycleGanLearner;
    type Source = FolderSource;
    const DEFAULT_STEPS: u64 = 20_000;

    fn name(&self) -> String {
        self.method.to_string()
    }

    fn defaults(&self) -> CycleGanRun {
        let mut learner = CycleGanConfig::preset(self.method, self.preset);
        learner.size = self.size.unwrap_or(learner.size);
        let data = CycleGanData {
            root: PathBuf::new(),
            images: FolderConfig::for_size(learner.size),
            digests: BTreeMap::new(),
        };
        RunConfig::new([25, 500, 500], data, learner)
    }

    fn remember(&self, config: &mut CycleGanRun) -> anyhow::Result<()> {
        config.data.digests = identity::pictures_digests(&config.data.root)?;
        Ok(())
    }

    fn same_inputs(&self, start: &Start, saved: &CycleGanRun, wanted: &mut CycleGanRun) -> anyhow::Result<()> {
        start.check_method(saved.learner.method, self.method)?;
        identity::same_pictures(&saved.data.digests, &wanted.data.root)?;
        // Runs of earlier versions remember nothing but the place.
        if !saved.data.digests.is_empty() {
            wanted.data.root.clone_from(&saved.data.root);
        }
        Ok(())
    }

    fn inputs<'a>(&self, config: &'a CycleGanRun) -> Inputs<'a> {
        Inputs::default().users("--data", Some(&config.data.root))
    }

    fn build(
        &self,
        _: &Start,
        config: &CycleGanRun,
        device: &Device,
    ) -> anyhow::Result<(CycleGanLearner, FolderSource)> {
        let (learner, seed) = (&config.learner, Seed(config.seed));
        let folders =
            ImageFolders::open(&config.data.root, config.data.images, learner.size, seed.derive("folders", 0))?;
        warn_left_out(folders.left_out());
        Ok((CycleGanLearner::new(learner, seed, device)?, FolderSource::new(folders, learner.batch)))
    }

    fn report(&self, trainer: &CycleGanTrainer, outcome: &Outcome) -> ReportText {
        let config = trainer.config();
        let fact = |name: &str, value: String| (name.to_owned(), value);
        let folders = trainer.source.folders();
        let networks = trainer.learner.networks().into_iter();
        let parameters =
            networks.map(|(name, store)| fact(&format!("parameters of {name}"), store.parameter_count().to_string()));
        ReportText {
            title: format!("{}: {} to and from", self.method, config.data.root.display()),
            summary: "A is trainA (x), B is trainB (y). The loss curves of adversarial training say little: look at the \
                      pictures. `validation/cycle_*` is the mean absolute difference of an image and its way there and back."
                .into(),
            facts: [
                fact("images seen", (2 * outcome.steps * config.learner.batch as u64).to_string()),
                fact("image size", format!("{0}x{0}", config.learner.size)),
                fact("images of A and B", folders.lengths().map(|count| count.to_string()).join(" and ")),
                fact("files left out", folders.left_out().len().to_string()),
            ]
            .into_iter()
            .chain(parameters)
            .collect(),
        }
    }

    fn figures(&self, trainer: &CycleGanTrainer, outcome: &Outcome) -> Vec<(&'static str, Value)> {
        let images = 2.0 * outcome.steps_here as f64 * trainer.config().learner.batch as f64;
        let left_out = trainer.source.folders().left_out().len();
        vec![("images_per_s", (images / outcome.seconds.max(1e-9)).into()), ("files_left_out", left_out.into())]
    }
}
