//! RCAN: from the live simulator, where scripts or an agent play, or from a dataset.

use super::environments::{CAMERA, CELL, env_config, num_envs_for};
use super::inputs::Inputs;
use super::pair_agent::PairAgent;
use super::{LearnerSetup, Start, UsageError, frames, identity};
use crate::contract::{Crop, Domain, FrameBatch, PrivilegedAccess, Seed};
use crate::data::paired::PairReader;
use crate::eval::translation::TranslationMeter;
use crate::gan::rcan::{Generator, PairSource, Preset, RcanConfig, RcanData, RcanLearner};
use crate::train::{EnvData, Outcome, ReportText, RunConfig, Trainer};
use anyhow::Context;
use candle_core::Device;
use serde_json::Value;

/// RCAN of a size.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rcan {
    pub preset: Preset,
    /// Train on what measurements are made with: a stand-in for reality, or test objects.
    pub allow_evaluation_data: bool,
}

impl LearnerSetup for Rcan {
    type Config = RcanConfig;
    type Learner = RcanLearner;
    type Source = PairSource;
    const DEFAULT_STEPS: u64 = 20_000;

    fn defaults(&self) -> RunConfig<RcanConfig> {
        let learner = RcanConfig::preset(self.preset);
        let num_envs = num_envs_for(learner.size as u32);
        let env = EnvData {
            domain: Domain::RandomizedHeavy,
            objects: "train".to_owned(),
            textures: None,
            cell: CELL.to_owned(),
            camera: CAMERA.to_owned(),
            crop: Crop::Random,
            num_envs,
            object_files: None,
            digests: std::collections::BTreeMap::new(),
        };
        let data = RcanData {
            env,
            dataset: None,
            policy: None,
            policy_share: 1.0,
            camera_effects: self.preset == Preset::Small,
            frames_per_block: frames::frames_per_block(num_envs),
        };
        RunConfig::new([25, 500, 500], data, learner)
    }

    fn remember(&self, config: &mut RunConfig<RcanConfig>) -> anyhow::Result<()> {
        let dataset = config.data.dataset.clone();
        identity::remember(&mut config.data.env, &[("dataset", dataset)])?;
        identity::remember_policy(&mut config.data.env, config.data.policy.as_deref())
    }

    fn same_inputs(
        &self,
        _: &Start,
        saved: &RunConfig<RcanConfig>,
        wanted: &mut RunConfig<RcanConfig>,
    ) -> anyhow::Result<()> {
        let (saved, wanted) = (&saved.data, &mut wanted.data);
        identity::same_env(&saved.env, &mut wanted.env)?;
        identity::same_folder(("dataset", "--data"), &saved.env.digests, &saved.dataset, &mut wanted.dataset)?;
        identity::same_policy(&saved.env.digests, &saved.policy, &mut wanted.policy)
    }

    fn derive(&self, config: &mut RunConfig<RcanConfig>) -> anyhow::Result<()> {
        config.data.frames_per_block = match config.data.dataset {
            None => frames::frames_per_block(config.data.env.num_envs),
            Some(_) => frames::PAIRS_PER_BLOCK,
        };
        Ok(())
    }

    fn inputs<'a>(&self, config: &'a RunConfig<RcanConfig>) -> Inputs<'a> {
        Inputs::default()
            .ours("--data", config.data.dataset.as_deref())
            .run("--policy", config.data.policy.as_deref())
            .env(&config.data.env)
    }

    fn build(
        &self,
        start: &Start,
        config: &RunConfig<RcanConfig>,
        device: &Device,
    ) -> anyhow::Result<(RcanLearner, PairSource)> {
        if !start.resume && !self.allow_evaluation_data {
            refuse_evaluation_data(config)?;
        }
        let (learner, seed) = (&config.learner, Seed(config.seed));
        let source = PairSource::new(learner, seed, config.data.frames_per_block, opener(config)?, Box::new(score));
        Ok((RcanLearner::new(learner, seed, device)?, source))
    }

    fn report(&self, trainer: &Trainer<RcanConfig, RcanLearner, PairSource>, outcome: &Outcome) -> ReportText {
        let (config, learner) = (trainer.config(), &trainer.learner);
        let fact = |name: &str, value: String| (name.to_owned(), value);
        ReportText {
            title: "RCAN: randomized to canonical".into(),
            summary:
                "Validation frames show training objects in scenes and looks that were not trained on, translated \
                      by the averaged generator. Measure test objects with `bingrasp eval translation`. The pairwise \
                      image loss does not see a constant offset of the colours: watch the colour bias."
                    .into(),
            facts: vec![
                fact("images seen", (outcome.steps * config.learner.batch as u64).to_string()),
                fact("image size", format!("{0}x{0}", config.learner.size)),
                fact("domain", config.data.env.domain.to_string()),
                fact(
                    "played by",
                    config.data.policy.as_ref().map_or("scripts".into(), |run| run.display().to_string()),
                ),
                fact("generator parameters", learner.generator.store().parameter_count().to_string()),
                fact("discriminator parameters", learner.discriminator.store().parameter_count().to_string()),
            ],
        }
    }

    fn figures(
        &self,
        trainer: &Trainer<RcanConfig, RcanLearner, PairSource>,
        o: &Outcome,
    ) -> Vec<(&'static str, Value)> {
        let images = o.steps_here as f64 * trainer.config().learner.batch as f64;
        vec![("images_per_s", (images / o.seconds.max(1e-9)).into())]
    }
}

/// What a run is measured with is no training data, unless that is meant: nothing that is trained on `reality` or on test
/// objects can show that it generalizes to them.
fn refuse_evaluation_data(config: &RunConfig<RcanConfig>) -> anyhow::Result<()> {
    let (domain, objects) = match &config.data.dataset {
        None => (config.data.env.domain, config.data.env.objects.clone()),
        Some(root) => {
            let opening = || format!("opening the dataset in {}", root.display());
            let found = PairReader::open(root).with_context(opening)?.config().clone();
            let is_builtin = found.objects.catalogue == "built-in";
            (found.domain, if is_builtin { found.objects.split } else { String::new() })
        }
    };
    let what = if domain.stands_for_reality() {
        format!("the domain {domain}, which stands for the real world")
    } else if let Some(set) = objects.split(',').map(str::trim).find(|set| ["test", "all"].contains(set)) {
        format!("test objects (the objects '{set}'), which are there to measure with")
    } else {
        return Ok(());
    };
    let message =
        format!("this would train on {what}; choose other data, or pass --allow-evaluation-data if it is meant");
    Err(UsageError(message).into())
}

/// Checks where frames come from, and says how to open it.
fn opener(config: &RunConfig<RcanConfig>) -> anyhow::Result<crate::gan::rcan::FrameOpener> {
    let size = config.learner.size as u32;
    let seed = Seed(config.seed).derive("frames", 0);
    if let Some(root) = config.data.dataset.clone() {
        let opening = || format!("opening the dataset in {}", root.display());
        let found = PairReader::open(&root).with_context(opening)?.config().clone();
        let shrink = found.width / size;
        if shrink == 0 || (found.width, found.height) != (size * shrink, size * shrink) {
            return Err(UsageError(format!(
                "the pairs in {} are {}x{} and the network takes {size}x{size}; make a dataset with --size {size} or a \
                 multiple of it",
                root.display(),
                found.width,
                found.height
            ))
            .into());
        }
        return Ok(Box::new(move || frames::folder(&root, shrink as usize, seed)));
    }
    // RCAN learns from simulation alone: a domain that stands for the real world is refused.
    let mut env = env_config(&config.data.env, size, seed)?.with_frames(PrivilegedAccess::Simulation);
    env.camera_effects = config.data.camera_effects;
    env.validate().map_err(|error| UsageError(error.to_string()))?;
    let Some(run) = &config.data.policy else { return Ok(Box::new(move || frames::live(env, None, seed))) };
    let (agent, env) = PairAgent::load(run, env, "--policy")?;
    if let Some(reality) = agent.reality() {
        let message = format!(
            "--policy {}: the agent learned from {reality}, and RCAN sees nothing of the real world; pass one that was trained \
             in simulation alone",
            run.display()
        );
        return Err(UsageError(message).into());
    }
    let num_agents = num_agents(config.data.policy_share, env.num_envs);
    Ok(Box::new(move || frames::live(env, Some((agent, num_agents)), seed)))
}

/// Environments of `num_envs` that an agent plays in: the nearest number to its share, and at least one.
fn num_agents(share: f64, num_envs: usize) -> usize {
    ((share * num_envs as f64).round() as usize).clamp(1, num_envs.max(1))
}

/// Scores the averaged generator on held-out frames.
fn score(generator: &Generator, frames: &[FrameBatch]) -> Result<Vec<(String, f64)>, String> {
    let mut meter = TranslationMeter::default();
    for batch in frames {
        meter.add_batch(generator, batch).map_err(|e| e.to_string())?;
    }
    let report = meter.report();
    let figures = [
        ("validation/ssim", report.ssim),
        ("validation/object_iou", report.object_iou),
        ("validation/mean_iou", report.mean_iou),
        ("validation/psnr_db", report.psnr),
        ("validation/colour_bias", report.colour_bias_abs),
        ("validation/depth_mae_m", report.depth_mae_m),
        ("validation/vanish_rate", report.vanish_rate),
        ("validation/ghost_rate", report.ghost_rate),
    ];
    Ok(figures.into_iter().filter(|(_, v)| v.is_finite()).map(|(name, v)| (name.to_owned(), v)).collect())
}
