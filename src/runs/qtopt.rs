//! QT-Opt: an agent that learns in the simulator, from recordings, or in `reality`.

use super::agent::{self, action_space, projection};
use super::environments::{CAMERA, CELL, env_config, load_cell, num_envs_for};
use super::generator::{self, GeneratorKind};
use super::inputs::Inputs;
use super::{LearnerSetup, Start, UsageError, identity, initial, recording};
use crate::contract::privileged::CELL_M;
use crate::contract::{Crop, Domain, EpisodeCollector, PrivilegedAccess, Seed, VecEnvError};
use crate::env::{Channels, EnvConfig, GraspEnv, map_frame};
use crate::files::atomic::human_bytes;
use crate::files::console::remark;
use crate::gan::rcan::GeneratorAdapter;
use crate::policies::PolicyKind;
use crate::rl::qtopt::network::{QNetwork, StateEstimatorQConfig};
use crate::rl::qtopt::{EnvOpener, ExperienceSource, Preset, QLearner, QtOptConfig, QtOptData};
use crate::scene::CellDescription;
use crate::tasks::{BinGraspConfig, bin_grasp};
use crate::train::{EnvData, Outcome, ReportText, RunConfig, Trainer, load_run};
use anyhow::Context;
use candle_core::Device;
use serde_json::Value;
use std::path::Path;

/// The settings of a run of QT-Opt.
pub type QtOptRun = RunConfig<QtOptConfig>;
pub(super) type QtOptTrainer = Trainer<QtOptConfig, QLearner, ExperienceSource>;

/// QT-Opt of a size. A run that begins with another one, or looks through a generator, needs [`take_network`] and
/// [`look_through`] too.
#[derive(Clone, Copy, Debug, Default)]
pub struct QtOpt {
    pub preset: Preset,
}

impl LearnerSetup for QtOpt {
    type Config = QtOptConfig;
    type Learner = QLearner;
    type Source = ExperienceSource;
    const DEFAULT_STEPS: u64 = 60_000;

    fn defaults(&self) -> QtOptRun {
        let mut learner = QtOptConfig::preset(self.preset);
        let cell = CellDescription::default();
        if let Some(projection) = projection(&cell, CAMERA, learner.size as u32) {
            learner.network.projection = projection;
        }
        let env = EnvData {
            domain: Domain::Canonical,
            objects: "train".to_owned(),
            textures: None,
            cell: CELL.to_owned(),
            camera: CAMERA.to_owned(),
            crop: Crop::Centre,
            num_envs: num_envs_for(learner.size as u32),
            object_files: None,
            digests: std::collections::BTreeMap::new(),
        };
        let iteration = learner.updates_per_iteration;
        let data = QtOptData {
            env,
            script: PolicyKind::NoisyPlanner.name().to_owned(),
            space: action_space(&cell),
            generator: None,
            offline: None,
            init: None,
            init_episodes: 0,
            real: None,
            on_policy_domain: None,
            on_policy_episodes: 0,
            real_only: false,
        };
        RunConfig::new([iteration, 10 * iteration, 12 * iteration], data, learner)
    }

    fn remember(&self, config: &mut QtOptRun) -> anyhow::Result<()> {
        let folders = [("offline", config.data.offline.clone()), ("real", config.data.real.clone())];
        identity::remember(&mut config.data.env, &folders)?;
        identity::remember_init(&mut config.data.env, config.data.init.as_deref())
    }

    fn same_inputs(&self, start: &Start, saved: &QtOptRun, wanted: &mut QtOptRun) -> anyhow::Result<()> {
        let (saved, wanted) = (&saved.data, &mut wanted.data);
        identity::same_env(&saved.env, &mut wanted.env)?;
        if start.names_offline {
            identity::same_folder(("offline", "--offline"), &saved.env.digests, &saved.offline, &mut wanted.offline)?;
        }
        if start.names_real {
            identity::same_folder(("real", "--real"), &saved.env.digests, &saved.real, &mut wanted.real)?;
        }
        Ok(())
    }

    fn derive(&self, config: &mut QtOptRun) -> anyhow::Result<()> {
        // A run of few steps, to try things out, needs no more of the script's episodes than steps.
        let usual = QtOptConfig::preset(config.learner.preset).exploration.initial_episodes;
        let episodes = &mut config.learner.exploration.initial_episodes;
        if let Some(steps) = config.limits.steps.filter(|_| *episodes == usual) {
            *episodes = usual.min(usize::try_from(steps).unwrap_or(usize::MAX));
        }
        let cell = load_cell(&config.data.env.cell)?;
        config.data.space = action_space(&cell);
        calibrate(config, &self.defaults(), &cell)
    }

    fn same_beginning(&self, saved: &QtOptRun) -> anyhow::Result<()> {
        let data = &saved.data;
        for (names, folder) in [(("offline", "--offline"), &data.offline), (("real", "--real"), &data.real)] {
            identity::same_folder(names, &data.env.digests, folder, &mut folder.clone())?;
        }
        identity::same_init(&data.env.digests, data.init.as_deref())
    }

    fn inputs<'a>(&self, config: &'a QtOptRun) -> Inputs<'a> {
        let data = &config.data;
        Inputs::default()
            .ours("--offline", data.offline.as_deref())
            .ours("--real", data.real.as_deref())
            .run("--generator", data.generator.as_deref())
            .run("--init", data.init.as_deref())
            .env(&data.env)
    }

    fn build(&self, start: &Start, config: &QtOptRun, device: &Device) -> anyhow::Result<(QLearner, ExperienceSource)> {
        let seed = Seed(config.seed);
        let out = &start.out;
        let open = opener(out, config)?;
        if !start.resume {
            recording::check(config)?;
            initial::check(config)?;
        }
        let learner = QLearner::new(&config.learner, config.data.space, seed, device)?;
        let memory = human_bytes(config.learner.replay_bytes());
        remark(format_args!("transitions take up to {memory} of memory, and as much of the disk in {}", out.display()));
        let mut source = ExperienceSource::new(&config.learner, seed, open);
        if config.data.real_only {
            source.learn_from_real_alone();
        }
        if let Some(open) = on_policy_opener(out, config)? {
            source.play_in_reality(open, config.data.on_policy_episodes);
        }
        Ok((learner, source))
    }

    fn begin(&self, trainer: &mut QtOptTrainer) -> anyhow::Result<()> {
        agent::keep_generator(trainer.root(), trainer.config())?;
        if let Some(init) = trainer.config().data.init.clone() {
            agent::warm_start(&mut trainer.learner, &init)?;
        }
        initial::begin(trainer)?;
        recording::preload(trainer)
    }

    fn report(&self, trainer: &QtOptTrainer, _: &Outcome) -> ReportText {
        let (config, source) = (trainer.config(), &trainer.source);
        let fact = |name: &str, value: String| (name.to_owned(), value);
        let kept = [&source.simulation.off_policy, &source.simulation.on_policy].map(|replay| replay.len());
        ReportText {
            title: "QT-Opt: grasping from pixels".into(),
            summary: "Success in the curves is that of episodes in training, on training objects, in the domain that the \
                      agent is trained in. Measure unseen objects with `bingrasp eval grasp --policy RUN`. \
                      `separation/auc_*` tells how well Q separates grasps that succeed from those that fail, on episodes \
                      it was not trained on yet; `cem/share_of_dense` is Q of the chosen action over the best that a \
                      dense search found."
                .into(),
            facts: vec![
                fact("episodes", source.episodes().to_string()),
                fact("network", config.learner.q_network().to_string()),
                fact("image", format!("{0}x{0}, {1} channels", config.learner.size, config.learner.channels)),
                fact("domain", config.data.env.domain.to_string()),
                fact("transitions kept", format!("{} off-policy, {} on-policy", kept[0], kept[1])),
                fact("parameters", trainer.learner.q.store().parameter_count().to_string()),
            ],
        }
    }

    fn figures(&self, trainer: &QtOptTrainer, _: &Outcome) -> Vec<(&'static str, Value)> {
        let [greedy, scripted] = trainer.source.success();
        let stream = &trainer.source.simulation;
        let transitions = vec![stream.off_policy.len(), stream.on_policy.len()];
        let mut figures = vec![("episodes", trainer.source.episodes().into()), ("transitions", transitions.into())];
        figures.extend(
            [("success_greedy", greedy), ("success_scripted", scripted)].map(|(name, rate)| (name, rate.into())),
        );
        figures
    }
}

/// Puts a new run's channels to what its agent sees through the generator in `run`; what is no run is refused when it is opened.
///
/// # Errors
/// [`UsageError`] for a mask and depth of a generator that gives none.
pub fn look_through(learner: &mut QtOptConfig, run: &Path, with_maps: bool) -> anyhow::Result<()> {
    let translates = generator::kind(run).is_ok_and(|kind| kind == GeneratorKind::Translation);
    if translates && with_maps {
        let message = "--generator-maps: only RCAN's generator gives a mask and depth; leave the flag out";
        return Err(UsageError(message.into()).into());
    }
    learner.channels = if translates { 3 } else { GeneratorAdapter::num_channels(with_maps) };
    Ok(())
}

/// Gives a new run the network of the run that it begins with, unless another one was typed; where the camera stands is its own
/// affair. To be called once `data.init` names that run.
///
/// # Errors
/// No run of QT-Opt with a checkpoint.
pub fn take_network(learner: &mut QtOptConfig, init: &Path, typed: Option<QNetwork>) -> anyhow::Result<()> {
    let run =
        load_run::<QtOptConfig>(init).with_context(|| format!("opening the run in {} for --init", init.display()))?;
    let trained = run.config.learner;
    let other = typed.is_some_and(|network| network != trained.q_network());
    // Another size or network is refused by name when its weights are loaded.
    if trained.preset == learner.preset && !other {
        let StateEstimatorQConfig { projection, map_cell_m, .. } = learner.network;
        *learner = learner.clone().with_network(trained.q_network());
        learner.network = StateEstimatorQConfig { projection, map_cell_m, ..trained.network };
        learner.end_to_end = trained.end_to_end;
        learner.auxiliary_weight = trained.auxiliary_weight;
        learner.auxiliary_interval = trained.auxiliary_interval;
        learner.auxiliary_lr_scale = trained.auxiliary_lr_scale;
    }
    Ok(())
}

/// The state-estimating network, and auxiliary losses, have to know what the camera makes of places, unless it is set: of
/// images of this size (how much the centre crop cuts off depends on it) and of this camera.
fn calibrate(config: &mut QtOptRun, usual: &QtOptRun, cell: &CellDescription) -> anyhow::Result<()> {
    let (network, size) = (config.learner.q_network(), config.learner.size as u32);
    if !config.learner.is_calibrated() {
        return Ok(());
    }
    if config.data.env.crop == Crop::Random {
        let knows = match network {
            QNetwork::StateEstimating => "the state-estimating network knows",
            QNetwork::EndToEnd => "the targets of the auxiliary loss say",
        };
        let message = format!("data.crop: {knows} where the centre crop lies; leave it at centre");
        return Err(UsageError(message).into());
    }
    let camera = &config.data.env.camera;
    if config.learner.network.projection == usual.learner.network.projection {
        let missing = || {
            UsageError(format!("data.camera: '{camera}' is not a camera that stands still; the usual one is {CAMERA}"))
        };
        config.learner.network.projection = projection(cell, camera, size).ok_or_else(missing)?;
        // What was set by hand stays.
        if config.learner.network.map_cell_m == CELL_M {
            config.learner.network.map_cell_m = map_frame(cell, camera, size).cell_m;
        }
    }
    Ok(())
}

/// The environments of `--on-policy-domain`. They give no privileged state, and their script reads its gripper alone.
fn on_policy_opener(out: &Path, config: &QtOptRun) -> anyhow::Result<Option<EnvOpener>> {
    let Some(domain) = config.data.on_policy_domain else { return Ok(None) };
    let seed = Seed(config.seed).derive("on-policy-arena", 0);
    let data = EnvData { domain, ..config.data.env.clone() };
    let env = env_config(&data, config.learner.size as u32, seed)?;
    let env = EnvConfig { scripts: vec![PolicyKind::Scripted], channels: Channels::IMAGE, ..env };
    let (out, config) = (out.to_owned(), config.clone());
    Ok(Some(Box::new(move || open_envs(env, &out, &config, domain))))
}

/// Opens environments behind the generator of the run, which has its own copy by now.
fn open_envs(
    env: EnvConfig,
    out: &Path,
    config: &QtOptRun,
    domain: Domain,
) -> Result<Box<dyn EpisodeCollector>, VecEnvError> {
    let adapter = agent::adapter(out, config, domain).map_err(|error| VecEnvError::new(format!("{error:#}")))?;
    let envs = GraspEnv::new(env).map_err(VecEnvError::new)?.with_adapter(adapter.map(|adapter| adapter as _));
    Ok(Box::new(envs))
}

/// Checks where episodes are played, and says how to open it.
fn opener(out: &Path, config: &QtOptRun) -> anyhow::Result<EnvOpener> {
    let env = simulator(config, Seed(config.seed).derive("arena", 0))?;
    let domain = config.data.env.domain;
    agent::adapter(out, config, domain)?;
    let (out, config) = (out.to_owned(), config.clone());
    Ok(Box::new(move || open_envs(env, &out, &config, domain)))
}

/// The simulator of a run: its pictures, and the labels that its network learns from.
pub(super) fn simulator(config: &QtOptRun, seed: Seed) -> anyhow::Result<EnvConfig> {
    let unknown = |error: String| UsageError(format!("data.script: {error}"));
    let script: PolicyKind = config.data.script.parse().map_err(|e| unknown(format!("{e}")))?;
    let env = env_config(&config.data.env, config.learner.size as u32, seed)?;
    // With labels of a domain that stands for the real world the run is a ceiling.
    let access = if env.sources.iter().any(|domain| domain.stands_for_reality()) {
        PrivilegedAccess::GroundTruth
    } else {
        PrivilegedAccess::Simulation
    };
    let task = bin_grasp(BinGraspConfig::default());
    let map = agent::map_of(&config.learner, &config.data.env)?;
    Ok(EnvConfig { scripts: vec![script], channels: Channels::IMAGE.with_state(), access, map, task, ..env })
}
