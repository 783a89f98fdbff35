//! `bingrasp train qtopt`.

use super::run::{RunArgs, TrainCommand};
use super::{identity, initial, recording};
use crate::cli::agent::{action_space, projection};
use crate::cli::generator::{self as generators, GeneratorKind};
use crate::cli::numbers;
use crate::cli::{UsageError, agent, common};
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
use crate::train::{EnvData, Limits, Outcome, ReportText, RunConfig, Trainer, load_run};
use anyhow::Context;
use candle_core::Device;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// The settings of a run of QT-Opt.
pub type QtOptRun = RunConfig<QtOptConfig>;
pub(super) type QtOptTrainer = Trainer<QtOptConfig, QLearner, ExperienceSource>;

#[derive(clap::Args, Clone, Default)]
pub struct Args {
    #[command(flatten)]
    pub run: RunArgs,
    /// Size: small (64x64, two processor cores) or paper (472x472, the published network)
    #[arg(long, value_name = "PRESET")]
    pub size_preset: Option<Preset>,
    /// Network of the small size: state-estimating (reads an estimated height map and pose, learned from the simulator's
    /// labels) or end-to-end (the published shape, pixels to Q); the size paper is end-to-end
    /// [default: state-estimating]
    #[arg(long, value_name = "NETWORK")]
    pub network: Option<QNetwork>,
    /// Domain that the agent sees: canonical, randomized-mild, randomized-medium, randomized-heavy,
    /// reality, reality-dev, reality-2
    /// [default: canonical]
    #[arg(long)]
    pub domain: Option<Domain>,
    /// Cell: one of `bingrasp cells list`, or a TOML file [default: iiwa-bin]
    #[arg(long, value_name = "NAME|FILE")]
    pub cell: Option<String>,
    /// Look through a frozen generator. Of RCAN the agent sees the generated and the source image, 6 channels; of gan,
    /// cyclegan, graspgan or rl-cyclegan it sees G's translation of the simulator and reality as it is, 3 channels
    #[arg(long, value_name = "RUN")]
    pub generator: Option<PathBuf>,
    /// See the mask of objects and the depth that RCAN's generator gives beside its picture, too: 8 channels
    #[arg(long, requires = "generator")]
    pub generator_maps: bool,
    /// Begin with recorded episodes (`bingrasp episodes record`) in place of the script's first ones
    #[arg(long, value_name = "DIR")]
    pub offline: Option<PathBuf>,
    /// Begin with the weights of a finished run, and with its network. One that saw plain pictures may begin one behind
    /// RCAN's generator: the generated picture gets its weights, the source none
    #[arg(long, value_name = "RUN")]
    pub init: Option<PathBuf>,
    /// Begin with so many episodes of that run's agent, too, in place of the script's first ones: its newest ones, or, where it
    /// saw another domain, new ones in which it sees that domain while this run keeps pictures of its own
    #[arg(long, value_name = "N", requires = "init", conflicts_with_all = ["offline", "real_only"])]
    pub init_episodes: Option<u64>,
    /// Learn from a recording of another domain beside the simulator: images, gripper, actions, rewards and ends alone
    #[arg(long, value_name = "DIR")]
    pub real: Option<PathBuf>,
    /// Learn from --real and --on-policy-domain alone; the simulator plays nothing
    #[arg(long)]
    pub real_only: bool,
    /// Play in this domain too while learning, with the policy and its noise: images, gripper, actions, rewards and ends
    /// alone are learned from
    #[arg(long, value_name = "DOMAIN", requires = "on_policy_episodes")]
    pub on_policy_domain: Option<Domain>,
    /// Episodes to play there in all
    #[arg(long, value_name = "N", requires = "on_policy_domain")]
    pub on_policy_episodes: Option<u64>,
    /// Weight of the loss on what --real and --on-policy-domain bring [default: 0.1]
    #[arg(long, value_name = "W", allow_negative_numbers = true, value_parser = numbers::real32(numbers::WEIGHT))]
    pub real_weight: Option<f32>,
    /// Transitions a step [default: 64, paper 32]
    #[arg(long)]
    pub batch: Option<usize>,
    /// Objects: train, test, all, household, household:SEED, ycb, spring-jointed, spring-jointed-rigid, or a folder of OBJ,
    /// URDF or glTF files; several with commas between them [default: train]
    #[arg(long, value_name = "SET|DIR")]
    pub objects: Option<String>,
    #[command(flatten)]
    pub object_files: common::ImportArgs,
    #[command(flatten)]
    pub textures: common::TextureArgs,
}

impl TrainCommand for Args {
    type Config = QtOptConfig;
    type Learner = QLearner;
    type Source = ExperienceSource;
    const DEFAULT_STEPS: u64 = 60_000;

    fn run_args(&self) -> &RunArgs {
        &self.run
    }

    fn defaults(&self) -> QtOptRun {
        let mut learner = QtOptConfig::preset(self.size_preset.unwrap_or_default());
        let cell = CellDescription::default();
        if let Some(projection) = projection(&cell, common::CAMERA, learner.size as u32) {
            learner.network.projection = projection;
        }
        let env = EnvData {
            domain: Domain::Canonical,
            objects: "train".to_owned(),
            textures: None,
            cell: common::CELL.to_owned(),
            camera: common::CAMERA.to_owned(),
            crop: Crop::Centre,
            num_envs: common::num_envs_for(learner.size as u32),
            object_files: None,
            digests: std::collections::BTreeMap::new(),
        };
        RunConfig {
            seed: 0,
            log_interval: learner.updates_per_iteration,
            image_interval: 10 * learner.updates_per_iteration,
            checkpoint_interval: 12 * learner.updates_per_iteration,
            limits: Limits { steps: None, minutes: None },
            data: QtOptData {
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
            },
            learner,
        }
    }

    fn apply(&self, config: &mut QtOptRun) -> anyhow::Result<()> {
        let RunConfig { data, learner, .. } = config;
        learner.preset = self.size_preset.unwrap_or(learner.preset);
        if let Some(network) = self.network.filter(|network| *network != learner.q_network()) {
            if learner.preset == Preset::Paper {
                let message =
                    format!("--network {network}: the size paper has one network, the published one, end-to-end");
                return Err(UsageError(message).into());
            }
            *learner = learner.clone().with_network(network);
        }
        learner.batch = self.batch.unwrap_or(learner.batch);
        learner.real_weight = self.real_weight.unwrap_or(learner.real_weight);
        data.on_policy_domain = self.on_policy_domain.or(data.on_policy_domain);
        data.on_policy_episodes = self.on_policy_episodes.unwrap_or(data.on_policy_episodes);
        let objects = (self.objects.as_deref(), self.object_files);
        common::apply_env(&mut data.env, (self.cell.as_deref(), self.domain), objects, &self.textures)?;
        for (place, typed) in [
            (&mut data.generator, &self.generator),
            (&mut data.offline, &self.offline),
            (&mut data.init, &self.init),
            (&mut data.real, &self.real),
        ] {
            if let Some(path) = typed {
                *place = Some(common::absolute(path));
            }
        }
        data.real_only |= self.real_only;
        data.init_episodes = self.init_episodes.unwrap_or(data.init_episodes);
        if let Some(init) = self.init.as_deref().filter(|_| !self.run.resume) {
            take_network(learner, init, self.network)?;
        }
        if let Some(generator) = self.generator.as_deref().filter(|_| !self.run.resume) {
            // What is no run is refused when it is opened.
            let translates = generators::kind(generator).is_ok_and(|kind| kind == GeneratorKind::Translation);
            if translates && self.generator_maps {
                let message = "--generator-maps: only RCAN's generator gives a mask and depth; leave the flag out";
                return Err(UsageError(message.into()).into());
            }
            learner.channels = if translates { 3 } else { GeneratorAdapter::num_channels(self.generator_maps) };
        }
        Ok(())
    }

    fn remember(&self, config: &mut QtOptRun) -> anyhow::Result<()> {
        let folders = [("offline", config.data.offline.clone()), ("real", config.data.real.clone())];
        identity::remember(&mut config.data.env, &folders)
    }

    fn same_inputs(&self, saved: &QtOptRun, wanted: &mut QtOptRun) -> anyhow::Result<()> {
        let (saved, wanted) = (&saved.data, &mut wanted.data);
        identity::same_env(&saved.env, &mut wanted.env)?;
        // What was recorded is in the replay by now, and its files may be gone: they count only where they are named anew.
        if self.offline.is_some() {
            identity::same_folder(("offline", "--offline"), &saved.env.digests, &saved.offline, &mut wanted.offline)?;
        }
        if self.real.is_some() {
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
        let cell = common::load_cell(&config.data.env.cell)?;
        config.data.space = action_space(&cell);
        calibrate(config, self, &cell)
    }

    fn same_beginning(&self, saved: &QtOptRun) -> anyhow::Result<()> {
        let data = &saved.data;
        for (names, folder) in [(("offline", "--offline"), &data.offline), (("real", "--real"), &data.real)] {
            identity::same_folder(names, &data.env.digests, folder, &mut folder.clone())?;
        }
        Ok(())
    }

    fn inputs<'a>(&self, config: &'a QtOptRun) -> common::Inputs<'a> {
        let data = &config.data;
        common::Inputs::default()
            .ours("--offline", data.offline.as_deref())
            .ours("--real", data.real.as_deref())
            .run("--generator", data.generator.as_deref())
            .run("--init", data.init.as_deref())
            .env(&data.env)
    }

    fn build(&self, out: &Path, config: &QtOptRun, device: &Device) -> anyhow::Result<(QLearner, ExperienceSource)> {
        let seed = Seed(config.seed);
        let open = opener(out, config)?;
        if !self.run.resume {
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

/// Gives a new run the network of the run that it begins with, unless another one was typed; where the camera stands is its own
/// affair.
fn take_network(learner: &mut QtOptConfig, init: &Path, typed: Option<QNetwork>) -> anyhow::Result<()> {
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
fn calibrate(config: &mut QtOptRun, args: &Args, cell: &CellDescription) -> anyhow::Result<()> {
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
    if config.learner.network.projection == args.defaults().learner.network.projection {
        let missing = || {
            let usual = common::CAMERA;
            UsageError(format!("data.camera: '{camera}' is not a camera that stands still; the usual one is {usual}"))
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
    let env = common::env_config(&data, config.learner.size as u32, seed)?;
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
    let env = common::env_config(&config.data.env, config.learner.size as u32, seed)?;
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

#[cfg(test)]
mod tests {
    use super::super::run::{RunArgs, resolve};
    use super::{Args, Preset, QNetwork};

    #[test]
    fn a_run_of_few_steps_begins_with_few_episodes() -> anyhow::Result<()> {
        let initial = |steps: u64, set: &[&str]| {
            let set = set.iter().map(ToString::to_string).collect();
            let run = RunArgs { steps: Some(steps), set, ..RunArgs::default() };
            anyhow::Ok(resolve(&Args { run, ..Args::default() })?.learner.exploration.initial_episodes)
        };
        assert_eq!((initial(3, &[])?, initial(60_000, &[])?), (3, 6_000));
        assert_eq!(initial(3, &["qtopt.exploration.initial_episodes=500"])?, 500);
        Ok(())
    }

    #[test]
    fn the_network_is_chosen_once_and_its_sizes_may_be_set() -> anyhow::Result<()> {
        let resolved = |network: Option<QNetwork>, size_preset: Option<Preset>, set: &[&str]| {
            let set = set.iter().map(ToString::to_string).collect();
            let run = RunArgs { set, ..RunArgs::default() };
            resolve(&Args { run, network, size_preset, ..Args::default() })
        };
        let usual = resolved(None, None, &[])?;
        assert_eq!(usual, resolved(Some(QNetwork::StateEstimating), None, &[])?);
        let sizes = ["qtopt.end_to_end.hidden=32", "qtopt.auxiliary_weight=0.5"];
        let learner = resolved(Some(QNetwork::EndToEnd), None, &sizes)?.learner;
        assert_eq!((learner.q_network(), learner.auxiliary_weight), (QNetwork::EndToEnd, 0.5));
        assert_eq!(learner.end_to_end.map(|sizes| sizes.hidden), Some(32));
        // Without a head nothing has to know the crop.
        assert!(resolved(Some(QNetwork::EndToEnd), None, &["data.crop=random"]).is_ok());
        let message = |result: anyhow::Result<super::QtOptRun>| result.err().map(|e| e.to_string()).unwrap_or_default();
        let refused = message(resolved(Some(QNetwork::EndToEnd), None, &["data.crop=random", sizes[1]]));
        assert!(refused.contains("auxiliary loss"), "{refused}");
        let refused = message(resolved(Some(QNetwork::StateEstimating), Some(Preset::Paper), &[]));
        assert!(refused.contains("end-to-end"), "{refused}");
        assert!(resolved(Some(QNetwork::EndToEnd), Some(Preset::Paper), &[])?.learner.end_to_end.is_none());
        Ok(())
    }
}
