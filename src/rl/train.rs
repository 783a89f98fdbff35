//! The training loop: rounds of attempts and gradient steps, figures, pictures, checkpoints.
//!
//! A round plays attempts, then labels and learns. Checkpoints are written between rounds, when no attempt is going on:
//! what a round does is decided by its number, the replay and the weights, so that a run that was killed and resumed ends
//! in the same bytes as one that was not (a limit in minutes lets the clock into the schedule of the learning rate).

mod figures;
mod round;
mod saved;
mod settings;
mod watch;

pub use settings::{LEARNER, Settings};
pub use watch::{Outcome, Progress, Watcher};

use super::arena::{Arena, ArenaError};
use super::collect::Attempt;
use super::error::RlError;
use super::learner::QLearner;
use super::replay::{Replay, ReplayState};
use crate::contract::Seed;
use crate::run::{Ended, Limits, RunDir};
use figures::{Clock, Means, Recent};
use saved::Labelled;
use std::collections::VecDeque;
use std::path::Path;
use std::time::Instant;

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

    /// Goes on with a run from its newest whole checkpoint. Also returns sentences about damaged ones, and about damaged
    /// replay.
    ///
    /// # Errors
    /// No run, a run of another learner, a folder that is in use, no checkpoint that is whole.
    pub fn resume(root: &Path) -> Result<(Self, Vec<String>), RlError> {
        let resumed = RunDir::resume(root)?;
        let settings = Settings::parse(resumed.run.config(), root)?;
        let mut trainer = Self::open(settings, resumed.run)?;
        let mut warnings = resumed.warnings;
        if let Some(checkpoint) = resumed.checkpoint {
            warnings.extend(trainer.restore(checkpoint, root)?);
        }
        Ok((trainer, warnings))
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Lets the run end elsewhere than it was meant to; the schedules follow.
    ///
    /// # Errors
    /// Limits that no run ends at, a full disk.
    pub fn set_limits(&mut self, limits: Limits) -> Result<(), RlError> {
        limits.validate().map_err(RlError::Config)?;
        if limits != self.settings.limits {
            self.settings.limits = limits;
            let text = toml::to_string(&self.settings).map_err(|e| RlError::Config(e.to_string()))?;
            self.run.set_config(&text)?;
        }
        Ok(())
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
}

#[cfg(test)]
mod tests;
