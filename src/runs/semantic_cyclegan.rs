//! The semantic CycleGAN: translation of RGB-D images between a simulation and a reality, with a segmentation of both, from two
//! unpaired sets of images.

use super::environments::CELL;
use super::inputs::Inputs;
use super::{LearnerSetup, Start, UsageError, rgbd};
use crate::contract::Seed;
use crate::data::paired::{DatasetConfig, Manifest};
use crate::files::atomic::sha256_hex;
use crate::gan::semantic::{SemanticConfig, SemanticCycleGan, SemanticData, UnpairedSource};
use crate::train::{Limits, Outcome, ReportText, RunConfig, Trainer};
use candle_core::Device;
use serde_json::Value;
use std::collections::BTreeMap;

pub type SemanticRun = RunConfig<SemanticConfig>;
type SemanticTrainer = Trainer<SemanticConfig, SemanticCycleGan, UnpairedSource>;

const SIMULATION: &str = "simulation";
const REALITY: &str = "reality";

/// The semantic CycleGAN.
#[derive(Clone, Copy, Debug, Default)]
pub struct Semantic {
    /// Passes over both sets, in place of the settings' steps.
    pub epochs: Option<u64>,
}

impl LearnerSetup for Semantic {
    type Config = SemanticConfig;
    type Learner = SemanticCycleGan;
    type Source = UnpairedSource;
    /// 17 epochs of 655 images in batches of 2, half an hour on two cores. The paper has 200 epochs.
    const DEFAULT_STEPS: u64 = 5_000;

    fn defaults(&self) -> SemanticRun {
        let data = SemanticData::default();
        RunConfig::new([25, 500, 500], data, SemanticConfig::default())
    }

    fn derive(&self, config: &mut SemanticRun) -> anyhow::Result<()> {
        let Some(epochs) = self.epochs else { return Ok(()) };
        let counts = [&config.data.simulation, &config.data.reality].map(|root| rgbd::RgbdFolder::open(root));
        let mut largest = 0;
        for count in counts {
            largest = largest.max(count?.count() as u64);
        }
        let images = largest.checked_mul(epochs).ok_or_else(|| {
            UsageError(format!("--epochs {epochs}: no run passes over {largest} images so often; give fewer"))
        })?;
        let steps = images.div_ceil(config.learner.batch.max(1) as u64);
        config.limits = Limits { steps: Some(steps), minutes: config.limits.minutes };
        Ok(config.limits.validate().map_err(UsageError)?)
    }

    fn inputs<'a>(&self, config: &'a SemanticRun) -> Inputs<'a> {
        Inputs::default()
            .users("--simulation", Some(&config.data.simulation))
            .users("--reality", Some(&config.data.reality))
    }

    fn remember(&self, config: &mut SemanticRun) -> anyhow::Result<()> {
        config.data.digests = digests(config)?;
        let dataset = Manifest::read(&config.data.simulation)?.dataset;
        config.data.domain = Some(dataset.domain);
        let (cell, digest) = cell_of(&dataset);
        (config.data.cell, config.data.cell_digest) = (Some(cell), digest);
        Ok(())
    }

    fn same_inputs(&self, _: &Start, saved: &SemanticRun, wanted: &mut SemanticRun) -> anyhow::Result<()> {
        let found = digests(wanted)?;
        for (name, folder) in [(SIMULATION, &wanted.data.simulation), (REALITY, &wanted.data.reality)] {
            if found.get(name) != saved.data.digests.get(name) {
                return Err(UsageError(format!(
                    "what is in {} is not what the run was begun with: its contents differ; pass --{name} with the place of \
                     the same images, or start another run",
                    folder.display()
                ))
                .into());
            }
        }
        wanted.data = saved.data.clone();
        Ok(())
    }

    fn build(
        &self,
        _: &Start,
        config: &SemanticRun,
        device: &Device,
    ) -> anyhow::Result<(SemanticCycleGan, UnpairedSource)> {
        let (learner, seed) = (&config.learner, Seed(config.seed));
        let simulation = rgbd::load_segmented(&config.data.simulation, learner.size)?;
        let reality = rgbd::load_images(&config.data.reality, learner.size)?;
        let source = UnpairedSource::new(simulation, reality, seed.derive("images", 0), device)
            .map_err(|error| UsageError(error.to_string()))?;
        Ok((SemanticCycleGan::new(learner, seed, device)?, source))
    }

    fn report(&self, trainer: &SemanticTrainer, outcome: &Outcome) -> ReportText {
        let config = trainer.config();
        let fact = |name: &str, value: String| (name.to_owned(), value);
        let networks = trainer.learner.networks().into_iter();
        let parameters =
            networks.map(|(name, store)| fact(&format!("parameters of {name}"), store.parameter_count().to_string()));
        let (x, y) = (trainer.source.simulation().images(), trainer.source.reality());
        let images = outcome.steps * config.learner.batch as u64;
        ReportText {
            title: "Semantic CycleGAN: simulation (x) to reality (y) and back".into(),
            summary: "G translates x to y, F translates y to x; D_Y segments real images, taught on G(x) alone. \
                      `validation/object_iou_*` is of simulated images, whose labels are known: of x by D_X and of G(x) by \
                      D_Y. Real masks are measured by `bingrasp eval translation`."
                .into(),
            facts: [
                fact("images seen of each side", images.to_string()),
                fact("epochs of x", format!("{:.1}", images as f64 / x.len() as f64)),
                fact("images of x and y", format!("{} and {}", x.len(), y.len())),
                fact("pixels without depth", format!("{:.1}% of x, {:.1}% of y", 100.0 * x.hole_rate(), 100.0 * y.hole_rate())),
                fact("image size", format!("{0}x{0}", config.learner.size)),
            ]
            .into_iter()
            .chain(parameters)
            .collect(),
        }
    }

    fn figures(&self, trainer: &SemanticTrainer, outcome: &Outcome) -> Vec<(&'static str, Value)> {
        let images = 2.0 * outcome.steps_here as f64 * trainer.config().learner.batch as f64;
        vec![("images_per_s", (images / outcome.seconds.max(1e-9)).into())]
    }
}

/// The name of the cell that a dataset shows, and the checksum of its description where it is not the usual one.
pub fn cell_of(dataset: &DatasetConfig) -> (String, Option<String>) {
    let text = |key: &str| dataset.generator.get(key).and_then(toml::Value::as_str).map(str::to_owned);
    (text("cell").unwrap_or_else(|| CELL.to_owned()), text("cell_digest"))
}

/// Checksums of what training reads of both sides: nothing else in the folders counts.
fn digests(config: &SemanticRun) -> anyhow::Result<BTreeMap<String, String>> {
    let size = config.learner.size;
    let simulation = rgbd::load_segmented(&config.data.simulation, size)?.bytes();
    let reality = rgbd::load_images(&config.data.reality, size)?.bytes();
    Ok([(SIMULATION, simulation), (REALITY, reality)]
        .into_iter()
        .map(|(name, bytes)| (name.to_owned(), sha256_hex(&bytes)))
        .collect())
}
