//! Where QT-Opt's batches come from: episodes that the simulator plays with the learner's own policy, and recordings.
//!
//! Every `updates_per_iteration` steps the source plays `episodes_per_iteration` episodes, scripted or with the policy;
//! Bellman updaters label transitions, and batches are drawn from the labelled ones. A recording has a replay and an
//! updater of its own.

mod initial;
mod on_policy;

use super::collect::{BehaviorPolicy, Episode, play_each};
use super::config::QtOptConfig;
use super::diagnostics::{cem_optimality, evaluate_q};
use super::episode_sheet::episode_sheet;
use super::learner::QLearner;
use super::policy::CemPolicy;
use super::stream::{Samples, Stream, StreamState};
use super::success::SuccessWindow;
use crate::contract::{EpisodeCollector, Rng, Seed, VecEnvError};
use crate::rl::error::RlError;
use crate::train::checkpoint::CHECKPOINTS_NAME;
use crate::train::{
    BatchSource, Checkpoint, Checkpoints, Evaluation, Learner, Means, SourceState, StepProgress, TrainError,
};
use on_policy::OnPolicy;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::VecDeque;
use std::path::Path;
use std::time::Instant;

/// Where a run keeps its replay.
pub(super) const REPLAY_FOLDER: &str = "replay";
/// Greedy episodes that must have been seen before the policy may be called better than the script.
const MIN_GREEDY: usize = 100;
/// Episodes in a picture.
const SHEET_EPISODES: usize = 10;

/// Without greedy episodes so many others are pictured.
const MAX_PICTURED: usize = 24;
/// Iterations between dense searches.
const DENSE_SEARCH_INTERVAL: u64 = 10;

/// Opens the environments when the first episodes are to be played.
pub type EnvOpener = Box<dyn FnOnce() -> Result<Box<dyn EpisodeCollector>, VecEnvError> + Send>;

/// Labelled transitions for one step.
#[derive(Clone)]
pub struct QBatch {
    /// Images, records and targets; simulated ones come before those of the real stream.
    pub samples: Samples,
    /// How many of the samples, the last ones, are of a recording, and the weight of their loss.
    pub real: usize,
    /// Multiplies the mean loss of those samples, where the batch has simulated ones as well.
    pub real_weight: f32,
    /// Decides how images are shifted and tinted.
    pub rng: Rng,
}

/// Plays, labels, and draws batches.
pub struct ExperienceSource {
    seed: Seed,
    config: QtOptConfig,
    open: Option<EnvOpener>,
    envs: Option<Box<dyn EpisodeCollector>>,
    /// The simulator's replays and labels, and of episodes loaded before training.
    pub simulation: Stream,
    /// Data of the domain to transfer to: a recording, and what the policy plays there.
    pub real: Option<Stream>,
    on_policy: Option<OnPolicy>,
    /// The simulator plays nothing, and batches are of the real stream.
    real_alone: bool,
    iteration: u64,
    episodes: u64,
    /// The policy has become better than the script.
    policy_beats_script: bool,
    greedy: SuccessWindow,
    scripted: SuccessWindow,
    /// The last iteration's episodes, to draw.
    shown: Vec<Episode>,
    means: Means,
    collect_s: f64,
    label_s: f64,
    /// Streams as the kept checkpoints name them.
    named: VecDeque<Vec<StreamState>>,
}

/// What is saved beside tensors and replay.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Saved {
    iteration: u64,
    episodes: u64,
    policy_beats_script: bool,
    greedy: SuccessWindow,
    scripted: SuccessWindow,
    means: Means,
    streams: Vec<StreamState>,
    /// Episodes played in the domain to transfer to.
    #[serde(default)]
    on_policy_played: u64,
}

impl ExperienceSource {
    /// An empty source of a run with this seed.
    pub fn new(config: &QtOptConfig, seed: Seed, open: EnvOpener) -> Self {
        Self {
            seed,
            config: config.clone(),
            open: Some(open),
            envs: None,
            simulation: Stream::simulation(config),
            real: None,
            on_policy: None,
            real_alone: false,
            iteration: 0,
            episodes: 0,
            policy_beats_script: false,
            greedy: SuccessWindow::default(),
            scripted: SuccessWindow::default(),
            shown: Vec::new(),
            means: Means::default(),
            collect_s: 0.0,
            label_s: 0.0,
            named: VecDeque::new(),
        }
    }

    /// Episodes played since the run began.
    pub fn episodes(&self) -> u64 {
        self.episodes
    }

    /// Success of the policy without noise, and of the script, over the last episodes in training; NaN before the first.
    pub fn success(&self) -> [f64; 2] {
        [self.greedy.rate(), self.scripted.rate()]
    }

    /// Adds a recording of the domain to transfer to as a stream of its own; half of every batch is drawn from it, and
    /// `real_weight` multiplies the loss of that half (lambda_RL-real of RL-CycleGAN, section 4.3). Privileged state that
    /// the episodes carry is dropped.
    ///
    /// # Errors
    /// What the recording met.
    pub fn add_real(&mut self, episodes: impl Iterator<Item = Result<Episode, VecEnvError>>) -> Result<(), RlError> {
        let mut stream = Stream::real(&self.config);
        for episode in episodes {
            stream.off_policy.push(&episode?.without_privileged().transitions);
        }
        if stream.is_empty() {
            return Err(RlError::Config("the recording of --real holds no episode to learn from".into()));
        }
        self.real = Some(stream);
        Ok(())
    }

    /// Leaves the simulator out: all batches are of the domain to transfer to ("real only" of RL-CycleGAN, Table 2).
    pub fn learn_from_real_alone(&mut self) {
        self.real_alone = true;
    }

    /// The behavior policy of each episode of an iteration.
    fn plan(&self, seed: Seed) -> Vec<BehaviorPolicy> {
        let e = &self.config.exploration;
        if self.iteration == 0 {
            // Data to learn from is there already when episodes were loaded.
            let first = if self.simulation.off_policy.is_empty() { e.initial_episodes } else { 0 };
            return vec![BehaviorPolicy::Scripted; first.max(self.config.episodes_per_iteration)];
        }
        let p_policy = if self.policy_beats_script { e.p_policy } else { e.p_policy_warmup };
        e.draw_behaviors(self.config.episodes_per_iteration, p_policy, seed)
    }

    /// The environments, opened where they are not yet.
    pub(in crate::rl) fn envs(&mut self) -> Result<&mut dyn EpisodeCollector, RlError> {
        if let Some(open) = self.open.take() {
            let envs = open()?;
            let ((size, channels), config) = (envs.image_shape(), &self.config);
            if (size, channels) != (config.size, config.channels) {
                return Err(RlError::Config(format!(
                    "the images are {size}x{size} with {channels} channels and the network takes {0}x{0} with {1}",
                    config.size, config.channels
                )));
            }
            self.envs = Some(envs);
        }
        self.envs
            .as_deref_mut()
            .map(|envs| envs as _)
            .ok_or_else(|| RlError::Inconsistent("the environments failed to open".into()))
    }

    /// Plays the episodes of an iteration into the replay; a policy that has not learned yet is not judged on them.
    pub(in crate::rl) fn collect(&mut self, policy: CemPolicy<'_>, has_learned: bool) -> Result<(), RlError> {
        let started = Instant::now();
        let seed = self.seed.derive("round", self.iteration);
        let plan = self.plan(seed);
        self.envs()?;
        let Some(envs) = self.envs.as_deref_mut() else { return Ok(()) };
        let discount = self.config.discount;
        // The script's first episodes are many times an iteration's: the last of them are enough to look at.
        let kept = self.config.episodes_per_iteration;
        let mut episodes = VecDeque::new();
        let Stream { off_policy, on_policy, .. } = &mut self.simulation;
        let (scripted, greedy, means) = (&mut self.scripted, &mut self.greedy, &mut self.means);
        play_each(envs, Some(policy), &self.config.exploration, &plan, seed, None, &mut |episode| {
            if !episode.invalid {
                let is_scripted = episode.behavior == BehaviorPolicy::Scripted;
                let replay = if is_scripted { &mut *off_policy } else { &mut *on_policy };
                replay.push(&episode.transitions);
                match episode.behavior {
                    BehaviorPolicy::Scripted => scripted.add(episode.success),
                    BehaviorPolicy::Greedy => greedy.add(episode.success),
                    BehaviorPolicy::Noisy => {}
                }
                means.add(episode.figures(discount));
            }
            if episodes.len() >= kept {
                episodes.pop_front();
            }
            episodes.push_back(episode);
        })?;
        self.shown = episodes.into();
        if has_learned {
            let usable = |scripted: bool| -> Vec<&Episode> {
                let kind = |episode: &&Episode| (episode.behavior == BehaviorPolicy::Scripted) == scripted;
                self.shown.iter().filter(|episode| !episode.invalid).filter(kind).collect()
            };
            let fresh = evaluate_q(policy, &usable(true))?;
            let own = evaluate_q(policy, &usable(false))?;
            self.means.add([
                ("separation/auc_script", fresh.auc),
                ("separation/auc_policy", own.auc),
                ("calibration/predicted", own.predicted),
                ("calibration/achieved", own.achieved),
                ("separation/cross_entropy", own.cross_entropy),
                ("separation/base_entropy", own.base),
            ]);
        }
        if self.iteration > 0 && self.iteration % DENSE_SEARCH_INTERVAL == 0 {
            let share = self.dense_search(policy)?;
            self.means.add([("cem/share_of_dense", share)]);
        }
        self.episodes += plan.len() as u64;
        self.iteration += 1;
        let [greedy, scripted] = self.success();
        self.policy_beats_script |= self.greedy.count() >= MIN_GREEDY && greedy > scripted;
        self.means.add([
            ("success/greedy_window", greedy),
            ("replay/off_policy", self.simulation.off_policy.len() as f64),
            ("replay/on_policy", self.simulation.on_policy.len() as f64),
            ("replay/episodes", self.episodes as f64),
        ]);
        self.collect_s += started.elapsed().as_secs_f64();
        Ok(())
    }

    /// The episodes to look at: those of the policy without noise, where there are any.
    fn pictured(&self) -> Vec<&Episode> {
        let greedy: Vec<_> = self.shown.iter().filter(|episode| episode.behavior == BehaviorPolicy::Greedy).collect();
        if greedy.is_empty() { self.shown.iter().take(MAX_PICTURED).collect() } else { greedy }
    }

    /// Q of the chosen actions over the best that a dense search finds in the same states.
    fn dense_search(&self, policy: CemPolicy<'_>) -> Result<f64, RlError> {
        let (count, draws) = self.config.dense_search();
        let shown = self.pictured();
        let states: Vec<_> = shown.iter().take(count).filter_map(|episode| episode.transitions.first()).collect();
        let images: Vec<&[u8]> = states.iter().map(|transition| &transition.image[..]).collect();
        let grippers: Vec<_> = states.iter().map(|transition| transition.record.state).collect();
        cem_optimality(policy, &images, &grippers, draws, self.seed.derive("dense", self.iteration))
    }

    /// Labels transitions of the simulator by the first learner, and recorded ones by the second.
    pub(in crate::rl) fn label(&mut self, [simulation, real]: [&QLearner; 2]) -> Result<(), RlError> {
        let started = Instant::now();
        if !self.real_alone {
            self.means.add(self.simulation.label(simulation, self.seed)?);
        }
        if let Some(stream) = &mut self.real {
            let [spread, disagreement, _] = stream.label(real, self.seed.derive("real", 0))?;
            self.means.add([("cem/spread_real", spread.1), ("q/disagreement_real", disagreement.1)]);
        }
        self.label_s += started.elapsed().as_secs_f64();
        Ok(())
    }

    fn streams(&mut self) -> impl Iterator<Item = &mut Stream> {
        std::iter::once(&mut self.simulation).chain(&mut self.real)
    }
}

impl BatchSource<QLearner> for ExperienceSource {
    fn next(&mut self, learner: &QLearner, progress: StepProgress) -> Result<QBatch, TrainError> {
        let index = progress.step % self.config.updates_per_iteration;
        if index == 0 {
            if !self.real_alone {
                self.collect(learner.cem_policy(), learner.step() > 0)?;
            }
            let started = Instant::now();
            self.collect_in_reality(learner.cem_policy())?;
            self.collect_s += started.elapsed().as_secs_f64();
        }
        let unlabelled = match &self.real {
            Some(stream) if self.real_alone => stream.is_unlabelled(),
            _ => self.simulation.is_unlabelled(),
        };
        if index % self.config.label_interval() == 0 || unlabelled {
            self.label([learner, learner])?;
        }
        let mut rng = self.seed.derive("steps", 0).derive("batch", progress.step).rng();
        let mut samples = Samples::default();
        let (mut real, mut real_weight) = (0, 0.0);
        let batch = self.config.batch;
        let of_real = match &self.real {
            None => 0,
            Some(_) if self.real_alone => batch,
            Some(_) => batch / 2,
        };
        self.simulation.sample(batch - of_real, &mut rng, &mut samples);
        if let Some(stream) = &self.real {
            let before = samples.targets.len();
            stream.sample(of_real, &mut rng, &mut samples);
            (real, real_weight) = (samples.targets.len() - before, self.config.real_weight);
        }
        Ok(QBatch { samples, real, real_weight, rng })
    }

    fn metrics(&mut self) -> Vec<(String, f64)> {
        self.means.take()
    }

    fn seconds(&self) -> Vec<(&'static str, f64)> {
        vec![("collect", self.collect_s), ("label", self.label_s)]
    }

    fn progress_line(&self) -> String {
        let percent = |rate: f64| if rate.is_finite() { format!("{:.0}%", 100.0 * rate) } else { "-".to_owned() };
        let [greedy, scripted] = self.success().map(percent);
        format!("{} episodes, success {greedy} (script {scripted})", self.episodes)
    }

    /// A picture of the last iteration's episodes; there is none in the rest of an iteration that another process began.
    fn evaluate(&mut self, learner: &mut QLearner) -> Result<Evaluation, TrainError> {
        let shown = self.pictured();
        if shown.is_empty() {
            return Ok(Evaluation::default());
        }
        let title = format!("QT-Opt after {} steps and {} episodes", learner.step(), self.episodes);
        let subtitle = format!("the policy's success over its last episodes: {:.0}%", 100.0 * self.greedy.rate());
        let shown = &shown[..shown.len().min(SHEET_EPISODES)];
        let sheet = episode_sheet(&title, &subtitle, shown, self.config.size, self.config.channels);
        Ok(Evaluation { metrics: Vec::new(), images: vec![("episodes", sheet.draw())] })
    }

    fn save(&mut self, root: &Path) -> Result<SourceState, TrainError> {
        let folder = root.join(REPLAY_FOLDER);
        let mut saved = SourceState::default();
        let mut streams = Vec::new();
        for stream in self.streams() {
            let (state, (name, tensors)) = stream.save(&folder)?;
            saved.groups.insert(name, tensors);
            streams.push(state);
        }
        self.named.push_back(streams.clone());
        let state = Saved {
            iteration: self.iteration,
            episodes: self.episodes,
            policy_beats_script: self.policy_beats_script,
            greedy: self.greedy.clone(),
            scripted: self.scripted.clone(),
            means: self.means.clone(),
            streams,
            on_policy_played: self.on_policy.as_ref().map_or(0, |on_policy| on_policy.played),
        };
        saved.state = serde_json::to_value(state).map_err(TrainError::state)?;
        Ok(saved)
    }

    fn saved(&mut self, root: &Path, keep: usize) -> Result<(), TrainError> {
        while self.named.len() > keep {
            self.named.pop_front();
        }
        // Fewer checkpoints than are kept: nothing is too old.
        if self.named.len() < keep {
            return Ok(());
        }
        let folder = root.join(REPLAY_FOLDER);
        let named = std::mem::take(&mut self.named);
        for (index, stream) in self.streams().enumerate() {
            let states = |of: fn(&StreamState) -> &crate::rl::replay::ReplayState| -> Vec<_> {
                named.iter().filter_map(|streams| streams.get(index)).map(|state| of(state).clone()).collect()
            };
            stream.off_policy.remove_unnamed(&folder, &states(|state| &state.off_policy))?;
            stream.on_policy.remove_unnamed(&folder, &states(|state| &state.on_policy))?;
        }
        self.named = named;
        Ok(())
    }

    fn restore(&mut self, root: &Path, checkpoint: &Checkpoint, state: Value) -> Result<Vec<String>, TrainError> {
        let saved: Saved = serde_json::from_value(state).map_err(TrainError::state)?;
        let folder = root.join(REPLAY_FOLDER);
        if saved.streams.len() > 1 {
            self.real = Some(Stream::real(&self.config));
        }
        let mut lost = Vec::new();
        for (stream, state) in self.streams().zip(&saved.streams) {
            lost.extend(stream.restore(&folder, checkpoint, state)?);
        }
        (self.iteration, self.episodes) = (saved.iteration, saved.episodes);
        if let Some(on_policy) = &mut self.on_policy {
            on_policy.played = saved.on_policy_played;
        }
        self.policy_beats_script = saved.policy_beats_script;
        (self.greedy, self.scripted, self.means) = (saved.greedy, saved.scripted, saved.means);
        self.named = named_before(root, checkpoint.step);
        self.named.push_back(saved.streams);
        Ok(lost)
    }
}

/// What the whole checkpoints before `step` name, oldest first: with them a resumed run knows which files are too old.
fn named_before(root: &Path, step: u64) -> VecDeque<Vec<StreamState>> {
    let checkpoints = Checkpoints::new(root.join(CHECKPOINTS_NAME));
    let steps = checkpoints.steps().unwrap_or_default().into_iter().filter(|older| *older < step);
    // Alone, or within the source of a joint run.
    let places = ["/learner/source/streams", "/learner/source/experience/streams"];
    let named = |older| {
        let state = checkpoints.load_state(older).ok()?;
        let streams = places.iter().find_map(|place| state.pointer(place))?;
        Vec::<StreamState>::deserialize(streams).ok()
    };
    steps.filter_map(named).collect()
}
