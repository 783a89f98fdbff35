//! The training loop: iterations of episodes and gradient steps, figures, pictures, checkpoints.
//!
//! An iteration plays episodes, then labels and learns. Checkpoints are written between iterations, when no episode is going on:
//! what an iteration does is decided by its number, the replay and the weights, so that a run that was killed and resumed ends
//! in the same bytes as one that was not (a limit in minutes lets the clock into the schedule of the learning rate).

mod figures;
mod iteration;
mod saved;
mod settings;
mod watch;

pub use settings::{LEARNER, Settings};
pub use watch::{Outcome, Progress, TrainCallback};

use super::collect::Episode;
use super::learner::QLearner;
use crate::contract::Seed;
use crate::rl::error::RlError;
use crate::rl::replay::{Replay, ReplayState};
use crate::rl::vec_env::{VecEnv, VecEnvError};
use crate::train::{Ended, Limits, RunDir};
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
    iteration: u64,
    episodes: u64,
    bellman_batches: u64,
    /// The policy has become better than the script.
    policy_beats_script: bool,
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
        let replay = |name, capacity| Replay::new(name, config.image_bytes(), config.segment_len, capacity);
        Ok(Self {
            off_policy: replay("off-policy", config.off_policy_capacity),
            on_policy: replay("on-policy", config.on_policy_capacity),
            learner,
            run,
            buffer: VecDeque::new(),
            iteration: 0,
            episodes: 0,
            bellman_batches: 0,
            policy_beats_script: false,
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
    pub fn iteration(&self) -> u64 {
        self.iteration
    }

    pub fn learner(&self) -> &QLearner {
        &self.learner
    }

    /// Transitions in memory: off-policy and on-policy.
    pub fn transitions(&self) -> [usize; 2] {
        [self.off_policy.len(), self.on_policy.len()]
    }

    /// Fills the off-policy replay with recorded episodes before training starts; their success is the one to beat. Does
    /// nothing in a resumed run, which has them in its replay.
    ///
    /// # Errors
    /// What the recording met.
    pub fn preload(&mut self, episodes: impl Iterator<Item = Result<Episode, VecEnvError>>) -> Result<(), RlError> {
        if self.iteration > 0 || !self.off_policy.is_empty() {
            return Ok(());
        }
        for episode in episodes {
            let episode = episode?;
            self.off_policy.push(&episode.transitions);
            self.scripted.add(episode.success);
        }
        Ok(())
    }

    fn is_over(&self, elapsed_s: f64) -> bool {
        self.settings.limits.progress(self.learner.steps(), elapsed_s) >= 1.0
    }

    /// Trains until a limit or until the callback says stop. Call it inside [`crate::nn::with_large_stack`].
    ///
    /// # Errors
    /// The environments, the disk, or gradients that stay infinite. What was saved before stays.
    pub fn run(
        &mut self,
        open: impl FnOnce() -> Result<Box<dyn VecEnv>, VecEnvError>,
        callback: &mut dyn TrainCallback,
    ) -> Result<Outcome, RlError> {
        let started = Instant::now();
        let (first_step, first_episode) = (self.learner.steps(), self.episodes);
        let mut ended = Ended::Complete;
        if !self.is_over(self.elapsed_s) {
            let mut envs = open()?;
            self.check(envs.as_ref())?;
            loop {
                let mut means = Means::default();
                let mark = (Instant::now(), self.episodes, self.learner.steps());
                let episodes = self.play_iteration(envs.as_mut(), &mut means)?;
                let elapsed = self.elapsed_s + started.elapsed().as_secs_f64();
                let mut progress = self.progress("playing", elapsed);
                callback.progress(&progress);
                let start = (started, self.elapsed_s);
                self.learn_iteration(start, &mut means, callback)?;
                self.iteration += 1;
                let elapsed = self.elapsed_s + started.elapsed().as_secs_f64();
                let over = self.is_over(elapsed);
                let stop = !over && !callback.should_continue();
                let every = |iterations: u64| iterations > 0 && self.iteration % iterations == 0;
                let (log_images, save) =
                    (every(self.settings.image_interval), every(self.settings.checkpoint_interval));
                if log_images || over {
                    self.log_images(&episodes, &mut means)?;
                }
                let seconds = mark.0.elapsed().as_secs_f64().max(1e-9);
                progress = self.progress("learning", elapsed);
                progress.episodes_per_s = (self.episodes - mark.1) as f64 / seconds;
                progress.steps_per_s = (self.learner.steps() - mark.2) as f64 / seconds;
                let figures = means.take();
                progress.loss = figures.iter().find(|(name, _)| *name == "loss/cross_entropy").map_or(0.0, |f| f.1);
                callback.progress(&progress);
                let step = self.learner.steps();
                self.run.scalars(step, &figures)?;
                let speeds = [
                    ("speed/episodes per second", progress.episodes_per_s),
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
            episodes: self.episodes,
            seconds: started.elapsed().as_secs_f64(),
            playing_s: self.clock.playing,
            labelling_s: self.clock.labelling,
            learning_s: self.clock.learning,
            steps_here: self.learner.steps() - first_step,
            episodes_here: self.episodes - first_episode,
            greedy: self.greedy.rate(),
            scripted: self.scripted.rate(),
        })
    }

    fn progress(&self, phase: &'static str, elapsed: f64) -> Progress {
        Progress {
            steps: self.learner.steps(),
            episodes: self.episodes,
            done: self.settings.limits.progress(self.learner.steps(), elapsed),
            phase,
            greedy: self.greedy.rate(),
            scripted: self.scripted.rate(),
            ..Progress::default()
        }
    }

    fn check(&self, envs: &dyn VecEnv) -> Result<(), RlError> {
        let config = &self.settings.qtopt;
        if envs.image_shape() != (config.size, config.channels) {
            let (size, channels) = envs.image_shape();
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
