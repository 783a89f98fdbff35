//! The training loop: rounds of attempts and gradient steps, figures, pictures, checkpoints.
//!
//! A round plays attempts, then labels and learns. Checkpoints are written between rounds, when no attempt is going on:
//! what a round does is decided by its number, the replay and the weights, so that a run that was killed and resumed ends
//! in the same bytes as one that was not (a limit in minutes lets the clock into the schedule of the learning rate).

use super::action::ActionSpace;
use super::arena::{Arena, ArenaError};
use super::collect::{Attempt, Conduct, play};
use super::config::{ExplorationConfig, QtOptConfig};
use super::diagnostics::{judge, share_of_dense_search};
use super::error::RlError;
use super::learner::{QLearner, Sample, StepFigures};
use super::replay::{Replay, ReplayState};
use crate::contract::Seed;
use crate::draw::{ContactSheet, Picture};
use crate::gan::rcan::{Limits, train::Ended};
use crate::run::{CheckpointContent, RunDir, TensorBytes};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::path::Path;
use std::time::Instant;

/// The learner's name in `config.toml`.
pub const LEARNER: &str = "qtopt";
const REPLAY_FOLDER: &str = "replay";
const TRAINING_BUFFER: &str = "training_buffer";
/// Attempts over which success is followed.
const WINDOW: usize = 300;
/// Greedy attempts that must have been seen before the policy may be called better than the script.
const LEAST_GREEDY: usize = 100;

/// The whole of a run's settings: its `config.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// `qtopt`
    pub learner: String,
    pub seed: u64,
    /// Rounds between checkpoints, and between pictures with diagnostics.
    pub checkpoint_every: u64,
    pub picture_every: u64,
    pub limits: Limits,
    /// What one step may do.
    pub space: ActionSpace,
    /// Where attempts are played; for whoever opens the arena.
    pub data: toml::Table,
    pub qtopt: QtOptConfig,
}

impl Settings {
    /// Reads the settings of the run in `root`.
    ///
    /// # Errors
    /// Text that is no such settings, or those of another learner.
    pub fn parse(text: &str, root: &Path) -> Result<Self, RlError> {
        let fail =
            |message: String| RlError::NotQtOpt { path: root.join("config.toml").display().to_string(), message };
        let table: toml::Table = toml::from_str(text).map_err(|e| fail(e.to_string()))?;
        match table.get("learner").and_then(toml::Value::as_str) {
            Some(LEARNER) => {}
            other => return Err(fail(format!("it is a run of '{}', not of qtopt", other.unwrap_or("nothing known")))),
        }
        let settings: Self = toml::from_str(text).map_err(|e| {
            let of_another = ["missing field", "unknown field"].iter().any(|sign| e.message().contains(sign));
            let cure =
                "\nanother version of bingrasp wrote it, unless somebody changed it: use that version, or train anew";
            fail(format!("{e}{}", if of_another { cure } else { "" }))
        })?;
        settings.qtopt.validate().map_err(RlError::Config)?;
        Ok(settings)
    }
}

/// What a run tells while it goes on.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    pub steps: u64,
    pub attempts: u64,
    /// In `[0, 1]`.
    pub done: f64,
    pub phase: &'static str,
    pub attempts_per_s: f64,
    pub steps_per_s: f64,
    /// Success of the policy without noise over the last attempts; NaN before the first.
    pub greedy: f64,
    pub scripted: f64,
    pub loss: f64,
}

/// Who looks at a run from outside.
pub trait Watcher: Send {
    /// False stops the run after a checkpoint.
    fn keep_on(&mut self) -> bool;

    fn progress(&mut self, progress: &Progress);
}

/// How a run ended, and how fast it was.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub ended: Ended,
    pub steps: u64,
    pub attempts: u64,
    /// By this process: seconds, and of them playing, labelling and learning.
    pub seconds: f64,
    pub playing_s: f64,
    pub labelling_s: f64,
    pub learning_s: f64,
    pub steps_here: u64,
    pub attempts_here: u64,
    pub greedy: f64,
    pub scripted: f64,
}

/// Successes of the last attempts of one kind.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Recent(VecDeque<bool>);

impl Recent {
    fn add(&mut self, success: bool) {
        if self.0.len() >= WINDOW {
            self.0.pop_front();
        }
        self.0.push_back(success);
    }

    fn rate(&self) -> f64 {
        if self.0.is_empty() {
            return f64::NAN;
        }
        self.0.iter().filter(|success| **success).count() as f64 / self.0.len() as f64
    }
}

/// What is saved beside tensors and replay. Nothing in it depends on the clock unless a limit does.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Saved {
    round: u64,
    steps: u64,
    attempts: u64,
    label_blocks: u64,
    better: bool,
    greedy: Recent,
    scripted: Recent,
    off_policy: ReplayState,
    on_policy: ReplayState,
    elapsed_s: Option<f64>,
}

/// A labelled transition that waits to be trained on.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Labelled {
    on_policy: bool,
    number: u64,
    target: f32,
}

/// Seconds spent by this process.
#[derive(Clone, Copy, Debug, Default)]
struct Clock {
    playing: f64,
    labelling: f64,
    learning: f64,
}

/// Means of figures over one round.
#[derive(Default)]
struct Means {
    sums: Vec<(&'static str, f64, u64)>,
}

impl Means {
    fn add(&mut self, values: &[(&'static str, f64)]) {
        for &(name, value) in values.iter().filter(|(_, value)| value.is_finite()) {
            match self.sums.iter_mut().find(|(known, ..)| *known == name) {
                Some((_, sum, count)) => (*sum, *count) = (*sum + value, *count + 1),
                None => self.sums.push((name, value, 1)),
            }
        }
    }

    fn take(&mut self) -> Vec<(&'static str, f64)> {
        std::mem::take(&mut self.sums).into_iter().map(|(name, sum, count)| (name, sum / count as f64)).collect()
    }
}

/// A run that is open.
pub struct Trainer {
    settings: Settings,
    run: RunDir,
    learner: QLearner,
    off_policy: Replay,
    on_policy: Replay,
    buffer: VecDeque<Labelled>,
    round: u64,
    attempts: u64,
    label_blocks: u64,
    /// The policy has become better than the script.
    better: bool,
    greedy: Recent,
    scripted: Recent,
    /// Seconds spent by earlier processes.
    elapsed_s: f64,
    /// Replay files that the kept checkpoints name.
    named: VecDeque<[ReplayState; 2]>,
    clock: Clock,
}

impl Trainer {
    fn open(settings: Settings, run: RunDir) -> Result<Self, RlError> {
        let config = &settings.qtopt;
        let learner = QLearner::new(config, settings.space, Seed(settings.seed))?;
        let replay = |name, capacity| Replay::new(name, config.image_bytes(), config.segment, capacity);
        Ok(Self {
            off_policy: replay("off-policy", config.off_policy_capacity),
            on_policy: replay("on-policy", config.on_policy_capacity),
            learner,
            run,
            buffer: VecDeque::new(),
            round: 0,
            attempts: 0,
            label_blocks: 0,
            better: false,
            greedy: Recent::default(),
            scripted: Recent::default(),
            elapsed_s: 0.0,
            named: VecDeque::new(),
            clock: Clock::default(),
            settings,
        })
    }

    /// Starts a run in a folder that is missing or empty.
    ///
    /// # Errors
    /// An impossible setting; a folder that is in use.
    pub fn create(root: &Path, settings: &Settings) -> Result<Self, RlError> {
        settings.qtopt.validate().map_err(RlError::Config)?;
        let text = toml::to_string(settings).map_err(|e| RlError::Config(e.to_string()))?;
        Self::open(settings.clone(), RunDir::create(root, &text)?)
    }

    /// Goes on with a run from its newest whole checkpoint. Also returns sentences about damaged ones.
    ///
    /// # Errors
    /// No run, a run of another learner, a folder that is in use, replay that is damaged.
    pub fn resume(root: &Path) -> Result<(Self, Vec<String>), RlError> {
        let resumed = RunDir::resume(root)?;
        let settings = Settings::parse(resumed.run.config(), root)?;
        let mut trainer = Self::open(settings, resumed.run)?;
        if let Some(mut checkpoint) = resumed.checkpoint {
            let state = std::mem::take(&mut checkpoint.state);
            let step = checkpoint.step;
            let bad = |message: String| RlError::BadState { step, message };
            let saved: Saved = serde_json::from_value(state).map_err(|e| bad(e.to_string()))?;
            trainer.learner.load(&checkpoint, saved.steps)?;
            let folder = root.join(REPLAY_FOLDER);
            trainer.off_policy.load(&folder, &saved.off_policy)?;
            trainer.on_policy.load(&folder, &saved.on_policy)?;
            let file = super::learner::group_of(&checkpoint, TRAINING_BUFFER)?;
            trainer.buffer = read_buffer(&file.tensors()?).ok_or_else(|| bad("the training buffer".into()))?;
            (trainer.round, trainer.attempts) = (saved.round, saved.attempts);
            (trainer.label_blocks, trainer.better) = (saved.label_blocks, saved.better);
            (trainer.greedy, trainer.scripted) = (saved.greedy, saved.scripted);
            trainer.elapsed_s = saved.elapsed_s.unwrap_or(0.0);
            trainer.named.push_back([saved.off_policy, saved.on_policy]);
        }
        Ok((trainer, resumed.warnings))
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Rounds done.
    pub fn round(&self) -> u64 {
        self.round
    }

    pub fn learner(&self) -> &QLearner {
        &self.learner
    }

    /// Transitions in memory: off-policy and on-policy.
    pub fn transitions(&self) -> [usize; 2] {
        [self.off_policy.len(), self.on_policy.len()]
    }

    /// Fills the off-policy replay with recorded attempts before training starts; their success is the one to beat. Does
    /// nothing in a resumed run, which has them in its replay.
    ///
    /// # Errors
    /// What the recording met.
    pub fn preload(&mut self, attempts: impl Iterator<Item = Result<Attempt, ArenaError>>) -> Result<(), RlError> {
        if self.round > 0 || !self.off_policy.is_empty() {
            return Ok(());
        }
        for attempt in attempts {
            let attempt = attempt?;
            self.off_policy.push(&attempt.transitions);
            self.scripted.add(attempt.success);
        }
        Ok(())
    }

    fn is_over(&self, elapsed_s: f64) -> bool {
        self.settings.limits.progress(self.learner.steps(), elapsed_s) >= 1.0
    }

    /// Trains until a limit or until the watcher says stop. Call it inside [`crate::nn::with_large_stack`].
    ///
    /// # Errors
    /// The arena, the disk, or gradients that stay infinite. What was saved before stays.
    pub fn run(
        &mut self,
        open: impl FnOnce() -> Result<Box<dyn Arena>, ArenaError>,
        watcher: &mut dyn Watcher,
    ) -> Result<Outcome, RlError> {
        let started = Instant::now();
        let (first_step, first_attempt) = (self.learner.steps(), self.attempts);
        let mut ended = Ended::Complete;
        if !self.is_over(self.elapsed_s) {
            let mut arena = open()?;
            self.check(arena.as_ref())?;
            loop {
                let mut means = Means::default();
                let mark = (Instant::now(), self.attempts, self.learner.steps());
                let attempts = self.play_round(arena.as_mut(), &mut means)?;
                let elapsed = self.elapsed_s + started.elapsed().as_secs_f64();
                let mut progress = self.told("playing", elapsed);
                watcher.progress(&progress);
                let start = (started, self.elapsed_s);
                self.learn_round(start, &mut means, watcher)?;
                self.round += 1;
                let elapsed = self.elapsed_s + started.elapsed().as_secs_f64();
                let over = self.is_over(elapsed);
                let stop = !over && !watcher.keep_on();
                let every = |rounds: u64| rounds > 0 && self.round % rounds == 0;
                let (look, save) = (every(self.settings.picture_every), every(self.settings.checkpoint_every));
                if look || over {
                    self.look(&attempts, &mut means)?;
                }
                let seconds = mark.0.elapsed().as_secs_f64().max(1e-9);
                progress = self.told("learning", elapsed);
                progress.attempts_per_s = (self.attempts - mark.1) as f64 / seconds;
                progress.steps_per_s = (self.learner.steps() - mark.2) as f64 / seconds;
                let figures = means.take();
                progress.loss = figures.iter().find(|(name, _)| *name == "loss/cross_entropy").map_or(0.0, |f| f.1);
                watcher.progress(&progress);
                let step = self.learner.steps();
                self.run.scalars(step, &figures)?;
                let speeds = [
                    ("speed/attempts per second", progress.attempts_per_s),
                    ("speed/steps per second", progress.steps_per_s),
                ];
                self.run.timings(step, &speeds)?;
                if save || over || stop {
                    self.save(elapsed)?;
                }
                if over || stop {
                    ended = if over { Ended::Complete } else { Ended::Interrupted };
                    break;
                }
            }
        }
        Ok(Outcome {
            ended,
            steps: self.learner.steps(),
            attempts: self.attempts,
            seconds: started.elapsed().as_secs_f64(),
            playing_s: self.clock.playing,
            labelling_s: self.clock.labelling,
            learning_s: self.clock.learning,
            steps_here: self.learner.steps() - first_step,
            attempts_here: self.attempts - first_attempt,
            greedy: self.greedy.rate(),
            scripted: self.scripted.rate(),
        })
    }

    fn told(&self, phase: &'static str, elapsed: f64) -> Progress {
        Progress {
            steps: self.learner.steps(),
            attempts: self.attempts,
            done: self.settings.limits.progress(self.learner.steps(), elapsed),
            phase,
            greedy: self.greedy.rate(),
            scripted: self.scripted.rate(),
            ..Progress::default()
        }
    }

    fn check(&self, arena: &dyn Arena) -> Result<(), RlError> {
        let config = &self.settings.qtopt;
        if arena.image_shape() != (config.size, config.channels) {
            let (size, channels) = arena.image_shape();
            return Err(RlError::Config(format!(
                "the images are {size}x{size} with {channels} channels and the network takes {0}x{0} with {1}",
                config.size, config.channels
            )));
        }
        Ok(())
    }

    /// Who plays each attempt of a round.
    fn plan(&self, seed: Seed) -> Vec<Conduct> {
        let config = &self.settings.qtopt;
        let e = &config.exploration;
        if self.round == 0 {
            // Data to learn from is there already when episodes were loaded.
            let first = if self.off_policy.is_empty() { e.first_attempts } else { 0 };
            return vec![Conduct::Scripted; first.max(config.attempts_per_round)];
        }
        let mut rng = seed.derive("plan", 0).rng();
        let share = if self.better { e.policy_after } else { e.policy_before };
        (0..config.attempts_per_round)
            .map(|_| match (rng.chance(share), rng.chance(e.greedy)) {
                (false, _) => Conduct::Scripted,
                (true, true) => Conduct::Greedy,
                (true, false) => Conduct::Noisy,
            })
            .collect()
    }

    fn play_round(&mut self, arena: &mut dyn Arena, means: &mut Means) -> Result<Vec<Attempt>, RlError> {
        let started = Instant::now();
        let seed = Seed(self.settings.seed).derive("round", self.round);
        let plan = self.plan(seed);
        let exploration: &ExplorationConfig = &self.settings.qtopt.exploration;
        let attempts = play(arena, Some(self.learner.decider()), exploration, &plan, seed)?;
        let usable: Vec<&Attempt> = attempts.iter().filter(|attempt| !attempt.truncated).collect();
        if self.learner.steps() > 0 {
            let of = |kind: &dyn Fn(Conduct) -> bool| -> Vec<&Attempt> {
                usable.iter().copied().filter(|attempt| kind(attempt.conduct)).collect()
            };
            let fresh = judge(self.learner.decider(), &of(&|conduct| conduct == Conduct::Scripted))?;
            let own = judge(self.learner.decider(), &of(&|conduct| conduct != Conduct::Scripted))?;
            means.add(&[
                ("separation/auc_script", fresh.auc),
                ("separation/auc_policy", own.auc),
                ("calibration/predicted", own.predicted),
                ("calibration/achieved", own.achieved),
                ("separation/cross_entropy", own.cross_entropy),
                ("separation/base_entropy", own.base),
            ]);
        }
        for attempt in &usable {
            let success = f64::from(u8::from(attempt.success));
            let length = attempt.transitions.len() as f64;
            match attempt.conduct {
                Conduct::Scripted => {
                    self.scripted.add(attempt.success);
                    self.off_policy.push(&attempt.transitions);
                    means.add(&[("success/scripted", success), ("length/scripted", length)]);
                }
                conduct => {
                    self.on_policy.push(&attempt.transitions);
                    if conduct == Conduct::Greedy {
                        self.greedy.add(attempt.success);
                        let first = attempt.choices.first().map_or(f64::NAN, |choice| f64::from(choice.value()));
                        let gained = attempt.discounted_return(self.settings.qtopt.discount);
                        means.add(&[
                            ("success/greedy", success),
                            ("length/greedy", length),
                            ("calibration/start_predicted", first),
                            ("calibration/start_achieved", f64::from(gained)),
                        ]);
                    } else {
                        means.add(&[("success/noisy", success), ("length/noisy", length)]);
                    }
                }
            }
        }
        self.attempts += attempts.len() as u64;
        if !self.better && self.greedy.0.len() >= LEAST_GREEDY && self.greedy.rate() > self.scripted.rate() {
            self.better = true;
        }
        means.add(&[
            ("success/greedy_window", self.greedy.rate()),
            ("replay/off_policy", self.off_policy.len() as f64),
            ("replay/on_policy", self.on_policy.len() as f64),
            ("replay/attempts", self.attempts as f64),
        ]);
        self.clock.playing += started.elapsed().as_secs_f64();
        Ok(attempts)
    }

    /// The gradient steps of a round, with the labelling that they need.
    fn learn_round(
        &mut self,
        (started, before): (Instant, f64),
        means: &mut Means,
        watcher: &mut dyn Watcher,
    ) -> Result<(), RlError> {
        let config = self.settings.qtopt.clone();
        let steps = Seed(self.settings.seed).derive("steps", 0);
        for index in 0..config.steps_per_round {
            if index % config.steps_per_label() == 0 {
                self.label(means)?;
            }
            let learning = Instant::now();
            let step = self.learner.steps();
            let mut rng = steps.derive("batch", step).rng();
            let mut samples = Vec::with_capacity(config.batch);
            let mut targets = Vec::with_capacity(config.batch);
            // A labelled transition may have left the replay since; another is drawn then.
            for _ in 0..4 * config.batch {
                if samples.len() == config.batch || self.buffer.is_empty() {
                    break;
                }
                let labelled = self.buffer[rng.below(self.buffer.len())];
                let replay = if labelled.on_policy { &self.on_policy } else { &self.off_policy };
                if let Some((image, record)) = replay.get(labelled.number) {
                    samples.push(Sample { image, record });
                    targets.push(labelled.target);
                }
            }
            let elapsed = before + started.elapsed().as_secs_f64();
            let done = self.settings.limits.progress(step, elapsed);
            let figures: StepFigures =
                self.learner.step(&samples, &targets, config.rate_factor(step, done), &mut rng)?;
            means.add(&figures.named());
            self.clock.learning += learning.elapsed().as_secs_f64();
            if index % 16 == 15 {
                let elapsed = before + started.elapsed().as_secs_f64();
                watcher.progress(&Progress { loss: figures.loss, ..self.told("learning", elapsed) });
            }
        }
        Ok(())
    }

    /// Draws transitions from both replays and labels them for training.
    fn label(&mut self, means: &mut Means) -> Result<(), RlError> {
        let started = Instant::now();
        let config = &self.settings.qtopt;
        let seed = Seed(self.settings.seed).derive("labels", self.label_blocks);
        self.label_blocks += 1;
        let mut rng = seed.derive("draw", 0).rng();
        // The policy's own transitions count for more than the script's: they show where Q is wrong.
        let (off, on) = (self.off_policy.len() as f32, self.on_policy.len() as f32);
        let weighted = config.on_policy_weight * on / (config.on_policy_weight * on + off).max(1.0);
        let share = weighted.min(config.on_policy_share).max(on / (on + off).max(1.0));
        let mut drawn = Vec::with_capacity(config.label_block);
        let mut traces = Vec::with_capacity(config.label_block);
        while drawn.len() < config.label_block {
            let on_policy = rng.chance(share);
            let replay = if on_policy { &self.on_policy } else { &self.off_policy };
            let Some(number) = replay.draw((config.terminal_share, config.closing_share), &mut rng) else { break };
            if let Some(trace) = replay.trace(number, config.n_step, config.discount) {
                traces.push(trace);
                drawn.push((on_policy, number));
            }
        }
        let labels = self.learner.label(&traces, seed)?;
        means.add(&[
            ("cem/spread", labels.spread),
            ("q/disagreement", labels.disagreement),
            ("replay/on_policy_share", f64::from(share)),
        ]);
        for ((on_policy, number), target) in drawn.into_iter().zip(labels.targets) {
            if self.buffer.len() >= config.training_buffer {
                self.buffer.pop_front();
            }
            self.buffer.push_back(Labelled { on_policy, number, target });
        }
        self.clock.labelling += started.elapsed().as_secs_f64();
        Ok(())
    }

    /// Diagnostics and a film strip of attempts.
    fn look(&mut self, attempts: &[Attempt], means: &mut Means) -> Result<(), RlError> {
        let greedy: Vec<&Attempt> = attempts.iter().filter(|attempt| attempt.conduct == Conduct::Greedy).collect();
        let shown = if greedy.is_empty() { attempts.iter().take(24).collect() } else { greedy };
        let states: Vec<_> = shown.iter().take(32).filter_map(|attempt| attempt.transitions.first()).collect();
        let images: Vec<&[u8]> = states.iter().map(|transition| &transition.image[..]).collect();
        let grippers: Vec<_> = states.iter().map(|transition| transition.record.state).collect();
        let seed = Seed(self.settings.seed).derive("dense", self.round);
        let share = share_of_dense_search(self.learner.decider(), &images, &grippers, 4096, seed)?;
        means.add(&[("cem/share_of_dense", share)]);
        let config = &self.settings.qtopt;
        let step = self.learner.steps();
        let title = format!("QT-Opt after {step} steps and {} attempts", self.attempts);
        let subtitle = format!("the policy's success over its last attempts: {:.0}%", 100.0 * self.greedy.rate());
        let strip = film_strip(&title, &subtitle, &shown[..shown.len().min(10)], config.size, config.channels);
        self.run.image(step, "episodes", &strip.draw())?;
        Ok(())
    }

    fn save(&mut self, elapsed_s: f64) -> Result<(), RlError> {
        let folder = self.run.root().join(REPLAY_FOLDER);
        let mut content = CheckpointContent::default();
        self.learner.save(&mut content)?;
        let (off_policy, on_policy) = (self.off_policy.save(&folder)?, self.on_policy.save(&folder)?);
        content.groups.insert(TRAINING_BUFFER.to_owned(), buffer_tensors(&self.buffer));
        let steps = self.learner.steps();
        let saved = Saved {
            round: self.round,
            steps,
            attempts: self.attempts,
            label_blocks: self.label_blocks,
            better: self.better,
            greedy: self.greedy.clone(),
            scripted: self.scripted.clone(),
            off_policy: off_policy.clone(),
            on_policy: on_policy.clone(),
            elapsed_s: self.settings.limits.minutes.map(|_| elapsed_s),
        };
        let step = steps.saturating_sub(1);
        content.state = serde_json::to_value(saved).map_err(|e| RlError::BadState { step, message: e.to_string() })?;
        self.run.save_checkpoint(step, content)?;
        self.named.push_back([off_policy, on_policy]);
        while self.named.len() > self.run.checkpoints().keep {
            self.named.pop_front();
        }
        // A resumed run does not know what older checkpoints name until it has written as many itself.
        if self.named.len() == self.run.checkpoints().keep {
            for (index, replay) in [&self.off_policy, &self.on_policy].into_iter().enumerate() {
                let states: Vec<ReplayState> = self.named.iter().map(|pair| pair[index].clone()).collect();
                replay.remove_unnamed(&folder, &states)?;
            }
        }
        Ok(())
    }
}

/// Rows of an attempt's images, one a step, the judged state last.
pub fn film_strip(title: &str, subtitle: &str, attempts: &[&Attempt], size: usize, channels: usize) -> ContactSheet {
    let longest = attempts.iter().map(|attempt| attempt.transitions.len() + 1).max().unwrap_or(1).min(12);
    let names: Vec<String> = (1..=longest).map(|step| step.to_string()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut sheet = ContactSheet::new(title, subtitle).columns(&names).cell(2 * size.min(96));
    for attempt in attempts {
        // Of six channels the last three are what the camera saw.
        let camera = |image: &[u8]| -> Vec<u8> {
            image.chunks_exact(channels).flat_map(|pixel| pixel[channels - 3..].iter().copied()).collect()
        };
        let mut images: Vec<&[u8]> = attempt.transitions.iter().map(|transition| &transition.image[..]).collect();
        images.push(&attempt.last_image);
        // Of a long attempt, the end.
        let shown = &images[images.len().saturating_sub(longest)..];
        let pictures = shown.iter().map(|image| Picture::photo(size, size, camera(image))).collect();
        let values: Vec<String> = attempt.choices.iter().map(|choice| format!("{:.2}", choice.value())).collect();
        let outcome = if attempt.success { "grasped" } else { "failed" };
        let steps = attempt.transitions.len();
        sheet.row(format!("{outcome} after {steps} steps; Q {}", values.join(" ")), pictures);
    }
    sheet
}

fn buffer_tensors(buffer: &VecDeque<Labelled>) -> Vec<(String, TensorBytes<'static>)> {
    let numbers: Vec<i64> = buffer.iter().map(|l| i64::try_from(l.number).unwrap_or(i64::MAX)).collect();
    let kinds: Vec<u8> = buffer.iter().map(|l| u8::from(l.on_policy)).collect();
    let targets: Vec<f32> = buffer.iter().map(|l| l.target).collect();
    let shape = [buffer.len()];
    let owned = |kind, bytes: &[u8]| TensorBytes::new(kind, &shape, bytes.to_vec());
    vec![
        ("number".into(), owned(crate::run::TensorKind::I64, bytemuck::cast_slice(&numbers))),
        ("on_policy".into(), owned(crate::run::TensorKind::U8, &kinds)),
        ("target".into(), owned(crate::run::TensorKind::F32, bytemuck::cast_slice(&targets))),
    ]
}

fn read_buffer(tensors: &[(String, TensorBytes<'_>)]) -> Option<VecDeque<Labelled>> {
    let find = |name: &str| tensors.iter().find(|(known, _)| known == name).map(|(_, tensor)| tensor);
    let (numbers, targets) = (find("number")?.to_i64()?, find("target")?.to_f32()?);
    let kinds = &find("on_policy")?.data;
    if numbers.len() != targets.len() || kinds.len() != targets.len() {
        return None;
    }
    let labelled = |((number, &kind), target): ((i64, &u8), f32)| {
        Some(Labelled { on_policy: kind != 0, number: u64::try_from(number).ok()?, target })
    };
    numbers.into_iter().zip(kinds.iter()).zip(targets).map(labelled).collect()
}

#[cfg(test)]
#[path = "train_tests.rs"]
mod tests;
