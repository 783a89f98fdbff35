//! RL-CycleGAN and GraspGAN, and GAN and CycleGAN on the same data: translation between the simulator of a finished QT-Opt run and
//! a recording.

use super::environments::env_config;
use super::inputs::Inputs;
use super::qtopt::QtOpt;
use super::{LearnerSetup, Start, UsageError, agent, identity, recording};
use crate::contract::{EpisodeCollector, PrivilegedAccess, Seed, VecEnvError};
use crate::data::episodes::EpisodeReader;
use crate::env::{Channels, EnvConfig, GraspEnv};
use crate::files::console::{remark, warn_all};
use crate::gan::cyclegan::{CycleGanConfig, Method};
use crate::policies::PolicyKind;
use crate::rl::qtopt::load::load_replays;
use crate::rl::qtopt::{EnvOpener, QtOptConfig, load_policy};
use crate::rl::rl_cyclegan::{JointSource, RlCycleGanConfig, RlCycleGanData, RlCycleGanLearner};
use crate::tasks::{BinGraspConfig, bin_grasp};
use crate::train::{EnvData, LearnerConfig, Outcome, Preset, ReportText, RunConfig, Trainer, load_run};
use anyhow::Context;
use candle_core::Device;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// The settings of a joint run.
pub type JointRun = RunConfig<RlCycleGanConfig>;
type JointTrainer = Trainer<RlCycleGanConfig, RlCycleGanLearner, JointSource>;

/// One of the four methods. A new run needs [`take_settings`] once `data.init` is set.
#[derive(Clone, Copy, Debug)]
pub struct Joint {
    pub method: Method,
}

impl LearnerSetup for Joint {
    type Config = RlCycleGanConfig;
    type Learner = RlCycleGanLearner;
    type Source = JointSource;
    const DEFAULT_STEPS: u64 = 8_000;

    fn name(&self) -> String {
        self.method.to_string()
    }

    fn defaults(&self) -> JointRun {
        let learner = RlCycleGanConfig::preset(self.method, Preset::Small);
        let qtopt = QtOpt::default().defaults();
        let data = RlCycleGanData {
            env: qtopt.data.env,
            script: qtopt.data.script,
            space: qtopt.data.space,
            init: PathBuf::new(),
            real: PathBuf::new(),
        };
        RunConfig::new([25, 500, 500], data, learner)
    }

    fn remember(&self, config: &mut JointRun) -> anyhow::Result<()> {
        let folders = [("real", Some(config.data.real.clone()))];
        identity::remember(&mut config.data.env, &folders)?;
        identity::remember_init(&mut config.data.env, Some(&config.data.init))
    }

    fn same_inputs(&self, start: &Start, saved: &JointRun, wanted: &mut JointRun) -> anyhow::Result<()> {
        start.check_method(saved.learner.gan.method, self.method)?;
        let (saved, wanted) = (&saved.data, &mut wanted.data);
        identity::same_env(&saved.env, &mut wanted.env)?;
        if start.names_real {
            let mut place = Some(wanted.real.clone());
            identity::same_folder(("real", "--real"), &saved.env.digests, &Some(saved.real.clone()), &mut place)?;
            wanted.real = place.unwrap_or_default();
        }
        Ok(())
    }

    fn same_beginning(&self, saved: &JointRun) -> anyhow::Result<()> {
        let real = Some(saved.data.real.clone());
        identity::same_folder(("real", "--real"), &saved.data.env.digests, &real, &mut real.clone())?;
        identity::same_init(&saved.data.env.digests, Some(&saved.data.init))
    }

    fn inputs<'a>(&self, config: &'a JointRun) -> Inputs<'a> {
        let data = &config.data;
        Inputs::default().run("--init", Some(&data.init)).ours("--real", Some(&data.real)).env(&data.env)
    }

    fn build(
        &self,
        start: &Start,
        config: &JointRun,
        device: &Device,
    ) -> anyhow::Result<(RlCycleGanLearner, JointSource)> {
        let seed = Seed(config.seed);
        if !start.resume {
            open_recording(config)?;
        }
        let learner = RlCycleGanLearner::new(&config.learner, config.data.space, seed, device)?;
        Ok((learner, JointSource::new(&config.learner, seed, opener(config)?)))
    }

    fn begin(&self, trainer: &mut JointTrainer) -> anyhow::Result<()> {
        let config = trainer.config().clone();
        let init = &config.data.init;
        let loading = || format!("loading the run in {} for --init", init.display());
        let loaded = load_policy(init, trainer.learner.device()).with_context(loading)?;
        let other =
            |error| UsageError(format!("--init {}: {error}; its network must be that of this run", init.display()));
        trainer.learner.warm_start(loaded.policy.q.as_ref()).map_err(other)?;
        if config.learner.has_masks() {
            let count = config.learner.sim_episodes;
            remark(format_args!("playing {count} episodes in the simulator: the replay of --init keeps no masks"));
            trainer.source.play_simulated(loaded.policy.cem_policy())?;
        } else {
            let (replays, warnings) = load_replays(init).with_context(loading)?;
            warn_all(&warnings);
            trainer.source.take_simulated([&replays[0], &replays[1]])?;
        }
        let reader = open_recording(&config)?;
        trainer.source.take_recorded(agent::recorded_episodes(&reader, &config.data.space, None))?;
        Ok(())
    }

    fn report(&self, trainer: &JointTrainer, outcome: &Outcome) -> ReportText {
        let config = trainer.config();
        let fact = |name: &str, value: String| (name.to_owned(), value);
        let [x, y] = trainer.source.transitions();
        let networks = trainer.learner.gan().networks().into_iter();
        let parameters =
            networks.map(|(name, store)| fact(&format!("parameters of {name}"), store.parameter_count().to_string()));
        let facts = [
            fact("images seen", (2 * outcome.steps * config.learner.gan.batch as u64).to_string()),
            fact("transitions", format!("{x} of x, {y} of y")),
            fact("episodes played", trainer.source.episodes().to_string()),
            fact("recording", config.data.real.display().to_string()),
        ];
        ReportText {
            title: format!("{}: from {} to a recording", self.method, config.data.env.domain),
            summary: "x is the simulator, y the recording. `success/*` is judged in the simulator, on training objects: Q_sim \
                      on x, Q_real through G. `scene_error/*` is 0 where a translation leaves Q alone and 1 where it leaves \
                      nothing of it. `watch/*` are the known failures; alarms are in the log."
                .into(),
            facts: facts.into_iter().chain(parameters).collect(),
        }
    }

    fn figures(&self, trainer: &JointTrainer, outcome: &Outcome) -> Vec<(&'static str, Value)> {
        let images = 2.0 * outcome.steps_here as f64 * trainer.config().learner.gan.batch as f64;
        vec![
            ("images_per_s", (images / outcome.seconds.max(1e-9)).into()),
            ("episodes", trainer.source.episodes().into()),
        ]
    }
}

/// What a joint run has of the run that `data.init` names: environments, actions, the Q-function's network. It replaces the learner's
/// settings, so that it comes before any other change.
///
/// # Errors
/// No run of QT-Opt with a checkpoint, or one that looks through a generator.
pub fn take_settings(config: &mut JointRun, method: Method) -> anyhow::Result<()> {
    let init = &config.data.init;
    let run =
        load_run::<QtOptConfig>(init).with_context(|| format!("opening the run in {} for --init", init.display()))?;
    let RunConfig { data, learner, .. } = run.config;
    if learner.channels != 3 || data.generator.is_some() {
        let message = format!(
            "--init {}: its agent looks through a generator; take one that sees plain pictures",
            init.display()
        );
        return Err(UsageError(message).into());
    }
    let (env, space, script) = (data.env, data.space, data.script);
    config.data.env = EnvData { digests: std::collections::BTreeMap::new(), ..env };
    (config.data.space, config.data.script) = (space, script);
    let preset = learner.preset;
    config.learner = RlCycleGanConfig {
        gan: CycleGanConfig { size: learner.size, ..RlCycleGanConfig::preset(method, preset).gan },
        qtopt: RlCycleGanConfig::q_preset(learner),
        ..RlCycleGanConfig::preset(method, preset)
    };
    Ok(())
}

fn open_recording(config: &JointRun) -> anyhow::Result<EpisodeReader> {
    recording::open(&config.data.real, &config.data.env, &config.learner.qtopt)
}

/// Checks where episodes are played, and says how to open it.
fn opener(config: &JointRun) -> anyhow::Result<EnvOpener> {
    let unknown = |error: String| UsageError(format!("data.script: {error}"));
    let script: PolicyKind = config.data.script.parse().map_err(|e| unknown(format!("{e}")))?;
    let seed = Seed(config.seed).derive("arena", 0);
    let env = env_config(&config.data.env, config.learner.gan.size as u32, seed)?;
    let channels = Channels::IMAGE.with_state().with_masks(config.learner.has_masks());
    let task = bin_grasp(BinGraspConfig::default());
    let map = agent::map_of(&config.learner.qtopt, &config.data.env)?;
    let env = EnvConfig { scripts: vec![script], channels, access: PrivilegedAccess::Simulation, map, task, ..env };
    Ok(Box::new(move || {
        let envs = GraspEnv::new(env).map_err(VecEnvError::new)?;
        Ok(Box::new(envs) as Box<dyn EpisodeCollector>)
    }))
}

/// Whether the run in a folder is of this kind.
pub fn is_joint_run(out: &Path) -> bool {
    crate::train::learner_name(out).is_ok_and(|name| name == RlCycleGanConfig::NAME)
}
