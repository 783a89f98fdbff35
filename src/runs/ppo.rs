//! PPO: relative grasp poses, or QT-Opt's task, on the live simulator.

use super::environments::{CELL, env_config, load_cell};
use super::inputs::Inputs;
use super::{LearnerSetup, Start, UsageError, identity};
use crate::contract::{Crop, Domain, Seed, TaskKind, VecEnv, VecEnvError};
use crate::env::{Channels, EnvConfig, GraspEnv};
use crate::policies::PolicyKind;
use crate::rl::ppo::{DepthInput, EnvOpener, PpoConfig, PpoData, PpoLearner, RolloutSource};
use crate::tasks::{PoseGraspConfig, TaskFactory, bin_grasp, pose_grasp};
use crate::train::{EnvData, Outcome, ReportText, RunConfig, Trainer};
use candle_core::Device;
use serde_json::Value;
use std::sync::Arc;

/// The settings of a run of PPO.
pub type PpoRun = RunConfig<PpoConfig>;
type PpoTrainer = Trainer<PpoConfig, PpoLearner, RolloutSource>;

/// Edge of the images, pixels.
const SIZE: usize = 64;

/// PPO on a task.
#[derive(Clone, Copy, Debug)]
pub struct Ppo {
    pub task: TaskKind,
}

impl Default for Ppo {
    fn default() -> Self {
        Self { task: TaskKind::PoseGrasp }
    }
}

impl LearnerSetup for Ppo {
    type Config = PpoConfig;
    type Learner = PpoLearner;
    type Source = RolloutSource;
    /// Half a million decisions: an update learns from 64 environments of 30 steps.
    const DEFAULT_STEPS: u64 = 260;

    fn defaults(&self) -> PpoRun {
        let learner = PpoConfig::default();
        let task = self.task;
        let (cell, objects) = match task {
            TaskKind::PoseGrasp => ("panda-table", "ycb"),
            TaskKind::BinGrasp => (CELL, "train"),
        };
        let (camera, space) = usual_view(task, cell);
        let depth = match task {
            TaskKind::PoseGrasp => DepthInput::Background,
            TaskKind::BinGrasp => DepthInput::AsMeasured,
        };
        let env = EnvData {
            domain: Domain::Canonical,
            objects: objects.to_owned(),
            textures: None,
            cell: cell.to_owned(),
            camera,
            crop: Crop::Centre,
            num_envs: learner.num_envs,
            object_files: None,
            digests: std::collections::BTreeMap::new(),
        };
        let data = PpoData { env, task, size: SIZE, depth, every_step_reward: false, eval_episodes: 256, space };
        RunConfig::new([1, 20, 20], data, learner)
    }

    fn derive(&self, config: &mut PpoRun) -> anyhow::Result<()> {
        let RunConfig { data, learner, .. } = config;
        if data.env.num_envs != PpoConfig::default().num_envs && data.env.num_envs != learner.num_envs {
            let message = format!("data.num_envs follows ppo.num_envs; set ppo.num_envs={} alone", data.env.num_envs);
            return Err(UsageError(message).into());
        }
        data.env.num_envs = learner.num_envs;
        let cell = load_cell(&data.env.cell)?;
        data.space = task_of(data.task, data.every_step_reward)().action_space(&cell);
        Ok(())
    }

    fn remember(&self, config: &mut PpoRun) -> anyhow::Result<()> {
        identity::remember(&mut config.data.env, &[])
    }

    fn same_inputs(&self, _: &Start, saved: &PpoRun, wanted: &mut PpoRun) -> anyhow::Result<()> {
        identity::same_env(&saved.data.env, &mut wanted.data.env)
    }

    fn inputs<'a>(&self, config: &'a PpoRun) -> Inputs<'a> {
        Inputs::default().env(&config.data.env)
    }

    fn build(&self, _: &Start, config: &PpoRun, device: &Device) -> anyhow::Result<(PpoLearner, RolloutSource)> {
        let (seed, codec) = (Seed(config.seed), config.data.codec());
        let open = opener(config)?;
        let learner = PpoLearner::new(&config.learner, codec.network(), seed, device)?;
        let source = RolloutSource::new(&config.learner, codec, config.data.eval_episodes, seed, open);
        Ok((learner, source))
    }

    fn report(&self, trainer: &PpoTrainer, _: &Outcome) -> ReportText {
        let (config, source) = (trainer.config(), &trainer.source);
        let fact = |name: &str, value: String| (name.to_owned(), value);
        let size = config.data.size;
        let ceiling = config.learner.imitation || config.data.env.domain.stands_for_reality();
        let method = match (config.learner.imitation, ceiling) {
            (true, _) => "Ceiling by regression to the oracle",
            (false, true) => "Ceiling by PPO",
            (false, false) => "PPO",
        };
        ReportText {
            title: format!("{method}: {} from RGB-D images", config.data.task),
            summary:
                "`charts/episodic_return` is the mean return of the episodes that ended in a rollout, played with \
                      the policy's noise; `eval/episodic_return` that of episodes of other seeds, played by its means. \
                      Measure grasps with `bingrasp eval grasp --policy RUN`."
                    .into(),
            facts: vec![
                fact("decisions", source.decisions().to_string()),
                fact("image", format!("{size}x{size}, red, green, blue and depth")),
                fact("domain", config.data.env.domain.to_string()),
                fact("cell", config.data.env.cell.clone()),
                fact("parameters", trainer.learner.network.store().parameter_count().to_string()),
            ],
        }
    }

    fn figures(&self, trainer: &PpoTrainer, outcome: &Outcome) -> Vec<(&'static str, Value)> {
        let config = &trainer.config().learner;
        let per_update = (config.num_envs * config.num_steps) as f64;
        let evaluating: f64 =
            outcome.source_seconds.iter().filter(|(name, _)| *name == "evaluate").map(|(_, s)| s).sum();
        let training = (outcome.seconds - evaluating).max(1e-9);
        vec![
            ("decisions", trainer.source.decisions().into()),
            ("decisions_per_s", (outcome.steps_here as f64 * per_update / training).into()),
        ]
    }
}

/// The task that agents are trained on: relative poses with a kinematic hand.
fn task_of(task: TaskKind, every_step_reward: bool) -> TaskFactory {
    match task {
        TaskKind::BinGrasp => bin_grasp(crate::tasks::BinGraspConfig::default()),
        TaskKind::PoseGrasp => pose_grasp(
            PoseGraspConfig { kinematic: true, every_step_reward, ..PoseGraspConfig::default() },
            Arc::default(),
        ),
    }
}

/// The first camera of a cell that is built in, and what an action may do there.
fn usual_view(task: TaskKind, cell: &str) -> (String, crate::contract::ActionSpace) {
    let cell = crate::scene::CellDescription::load(cell).unwrap_or_default();
    let camera = cell.cameras.first().map(|camera| camera.name.clone()).unwrap_or_default();
    (camera, task_of(task, false)().action_space(&cell))
}

/// Checks where episodes are played, and says how to open it.
fn opener(config: &PpoRun) -> anyhow::Result<EnvOpener> {
    let data = &config.data;
    let env = env_config(&data.env, data.size as u32, Seed(config.seed).derive("arena", 0))?;
    let task = task_of(data.task, data.every_step_reward);
    let expected = task().action_space(&env.cell);
    if expected != data.space {
        let message = format!(
            "data.space: the run's actions reach {:?} and those of the cell {} {expected:?}; use the cell that the run was \
             begun with",
            data.space, env.cell.name
        );
        return Err(UsageError(message).into());
    }
    // Asked only where actions are imitated.
    let scripts = vec![PolicyKind::Oracle];
    let env = EnvConfig { task, scripts, channels: Channels::IMAGE.with_depth(), ..env };
    env.validate().map_err(|error| UsageError(error.to_string()))?;
    Ok(Box::new(move || {
        let envs = GraspEnv::new(env.clone()).map_err(VecEnvError::new)?;
        Ok(Box::new(envs) as Box<dyn VecEnv>)
    }))
}
