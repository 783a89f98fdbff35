//! The one training loop: batches, steps, metrics, pictures, checkpoints, limits, and the way back after an interruption.
//!
//! A step is decided by the settings, its number, and the states of learner and source, which checkpoints hold. With a
//! number of steps as the only limit, a run that was killed and resumed therefore ends in the same bytes as one that was
//! not. A limit in minutes lets the clock into the schedule of the learning rate.

use super::callback::{Progress, TrainCallback};
use super::checkpoint::{Checkpoint, CheckpointContent};
use super::directory::RunDir;
use super::error::TrainError;
use super::learner::{Learner, Module};
use super::limits::{Ended, Limits};
use super::means::Means;
use super::run_config::{LearnerConfig, RunConfig};
use super::source::{BatchSource, StepProgress};
use super::state::{from_file, to_bytes};
use crate::files::memory;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::Path;
use std::time::Instant;

/// Steps of a process after which its memory has grown to what it needs.
pub const WARM_STEPS: u64 = 2000;

/// How a run ended, and how fast it was.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// By reaching a limit, or interrupted by the callback.
    pub ended: Ended,
    /// Steps in all, and by this process.
    pub steps: u64,
    /// Steps of this process alone.
    pub steps_here: u64,
    /// Seconds of this process, and those that the source names ("collect", "wait").
    pub seconds: f64,
    /// Seconds by phase, as the source names them; the rest of `seconds` is learning.
    pub source_seconds: Vec<(&'static str, f64)>,
    /// Processor seconds of all threads meanwhile.
    pub processor_s: f64,
    /// Resident memory after [`WARM_STEPS`] steps (0 before that) and at the end, GiB.
    pub warm_gib: f64,
    /// Resident memory at the end, GiB.
    pub last_gib: f64,
    /// Figures of the last evaluation by this process.
    pub evaluation: Vec<(String, f64)>,
}

/// What a checkpoint's `state.json` holds. Nothing in it depends on the clock unless a limit does.
#[derive(Debug, Serialize, Deserialize)]
struct Saved {
    means: Means,
    learner: Value,
    source: Value,
    elapsed_s: Option<f64>,
}

/// A run that is open: a learner, the source of its batches, and the run's folder.
pub struct Trainer<C: LearnerConfig, L, S> {
    config: RunConfig<C>,
    run: RunDir,
    /// The learner, as the last step left it.
    pub learner: L,
    /// The source of its batches, with its own state.
    pub source: S,
    means: Means,
    /// Seconds spent by earlier processes.
    elapsed_s: f64,
}

impl<C: LearnerConfig, L: Learner, S: BatchSource<L>> Trainer<C, L, S> {
    /// Starts a run in a folder that is missing or empty.
    ///
    /// # Errors
    /// An impossible setting; a folder that is in use.
    pub fn create(root: &Path, config: RunConfig<C>, learner: L, source: S) -> Result<Self, TrainError> {
        config.validate().map_err(TrainError::Config)?;
        let run = RunDir::create(root, &config.to_toml()?)?;
        Ok(Self { config, run, learner, source, means: Means::default(), elapsed_s: 0.0 })
    }

    /// Continues a run from its newest whole checkpoint, with a learner and a source that were made of its settings. Also
    /// returns sentences about what was damaged.
    ///
    /// # Errors
    /// No run, a run of another learner, a folder that is in use, no checkpoint that is whole.
    pub fn resume(root: &Path, learner: L, source: S) -> Result<(Self, Vec<String>), TrainError> {
        let resumed = RunDir::resume(root)?;
        let config = RunConfig::parse(resumed.run.config(), root)?;
        let run = resumed.run;
        let mut trainer = Self { config, run, learner, source, means: Means::default(), elapsed_s: 0.0 };
        let mut warnings = resumed.warnings;
        if let Some(checkpoint) = resumed.checkpoint {
            let step = checkpoint.step;
            warnings.extend(trainer.restore(checkpoint).map_err(|error| error.at_step(step))?);
        }
        Ok((trainer, warnings))
    }

    /// The run's settings, with the limits that were set last.
    pub fn config(&self) -> &RunConfig<C> {
        &self.config
    }

    /// The run's folder.
    pub fn root(&self) -> &Path {
        self.run.root()
    }

    /// Gives the run another end than it was begun with; the schedules follow.
    ///
    /// # Errors
    /// Limits that no run ends at, a full disk.
    pub fn set_limits(&mut self, limits: Limits) -> Result<(), TrainError> {
        limits.validate().map_err(TrainError::Config)?;
        if limits != self.config.limits {
            self.config.limits = limits;
            self.run.set_config(&self.config.to_toml()?)?;
        }
        Ok(())
    }

    /// Trains to a limit, or until the callback stops it. Call it inside [`crate::nn::with_large_stack`].
    ///
    /// # Errors
    /// The source, the learner or the disk fails. What was saved before stays.
    pub fn run(&mut self, callback: &mut dyn TrainCallback) -> Result<Outcome, TrainError> {
        let started = Instant::now();
        let processor_before = memory::processor_s();
        let first = self.learner.step();
        let before = self.elapsed_s;
        let elapsed = || before + started.elapsed().as_secs_f64();
        let mut outcome = Outcome {
            ended: Ended::Complete,
            steps: first,
            steps_here: 0,
            seconds: 0.0,
            source_seconds: Vec::new(),
            processor_s: 0.0,
            warm_gib: 0.0,
            last_gib: 0.0,
            evaluation: Vec::new(),
        };
        let mut mark = (Instant::now(), first);
        while self.config.limits.progress(self.learner.step(), elapsed()) < 1.0 {
            let step = self.learner.step();
            let done = self.config.limits.progress(step, elapsed());
            let batch = self.source.next(&self.learner, StepProgress { step, done })?;
            let done = self.config.limits.progress(step, elapsed());
            let lr_scale = self.config.learner.lr_scale(step, done);
            let metrics = self.learner.update(&batch, lr_scale)?;
            self.means.add(metrics.iter().copied());
            if step == first + WARM_STEPS {
                outcome.warm_gib = memory::resident_gib();
            }
            let over = self.config.limits.progress(step + 1, elapsed()) >= 1.0;
            let stop = !over && !callback.should_continue();
            let at = |interval: u64| interval > 0 && (step + 1) % interval == 0;
            let steps_per_s = (step + 1 - mark.1) as f64 / mark.0.elapsed().as_secs_f64().max(1e-9);
            let log = at(self.config.log_interval) || over;
            callback.progress(&Progress {
                step: step + 1,
                done,
                steps_per_s,
                metrics: &metrics,
                source: &|| self.source.progress_line(),
                logged: log,
            });
            if at(self.config.image_interval) || over {
                outcome.evaluation = self.evaluate(step, &batch)?;
                callback.evaluated(&outcome.evaluation);
            }
            if log {
                self.log(step, lr_scale, steps_per_s)?;
                mark = (Instant::now(), step + 1);
            }
            if at(self.config.checkpoint_interval) || over || stop {
                self.save(step, elapsed())?;
            }
            if stop {
                outcome.ended = Ended::Interrupted;
                break;
            }
        }
        outcome.steps = self.learner.step();
        outcome.steps_here = outcome.steps - first;
        outcome.seconds = started.elapsed().as_secs_f64();
        outcome.source_seconds = self.source.seconds();
        outcome.processor_s = memory::processor_s() - processor_before;
        outcome.last_gib = memory::resident_gib();
        Ok(outcome)
    }

    fn log(&mut self, step: u64, lr_scale: f64, steps_per_s: f64) -> Result<(), TrainError> {
        let mut values = self.means.take();
        values.extend(self.source.metrics());
        values.push(("train/lr_scale".to_owned(), lr_scale));
        self.run.scalars(step, &borrowed(&values))?;
        let timings = [("speed/steps per second", steps_per_s), ("memory/resident GiB", memory::resident_gib())];
        Ok(self.run.timings(step, &timings)?)
    }

    /// Figures and pictures of the learner and of the source.
    fn evaluate(&mut self, step: u64, batch: &L::Batch) -> Result<Vec<(String, f64)>, TrainError> {
        let evaluation = self.source.evaluate(&mut self.learner)?;
        let diagnostics = self.learner.diagnostics(batch)?;
        let mut values = borrowed(&evaluation.metrics);
        values.extend(diagnostics);
        self.run.scalars(step, &values)?;
        for (name, canvas) in evaluation.images.into_iter().chain(self.learner.images(batch)?) {
            self.run.image(step, name, &canvas)?;
        }
        Ok(evaluation.metrics)
    }

    fn save(&mut self, step: u64, elapsed_s: f64) -> Result<(), TrainError> {
        let mut content = CheckpointContent::default();
        for (name, module) in self.learner.modules() {
            let tensors = match module {
                Module::Network(store) => store.state_tensors()?,
                Module::Optimizer(adam) => adam.state_tensors()?,
            };
            content.groups.insert(name.to_owned(), to_bytes(&tensors)?);
        }
        for (name, tensors) in self.learner.tensors()? {
            content.groups.insert(name.to_owned(), to_bytes(&tensors)?);
        }
        let source = self.source.save(self.run.root())?;
        content.groups.extend(source.groups);
        // A run that once had a clock keeps it, whatever its limits are now.
        let timed = self.config.limits.minutes.is_some() || self.elapsed_s > 0.0;
        let saved = Saved {
            means: self.means.clone(),
            learner: self.learner.state()?,
            source: source.state,
            elapsed_s: timed.then_some(elapsed_s),
        };
        content.state = serde_json::to_value(saved).map_err(TrainError::state).map_err(|error| error.at_step(step))?;
        self.run.save_checkpoint(step, content)?;
        let keep = self.run.checkpoints().keep;
        self.source.saved(self.run.root(), keep)
    }

    fn restore(&mut self, mut checkpoint: Checkpoint) -> Result<Vec<String>, TrainError> {
        let saved: Saved = serde_json::from_value(std::mem::take(&mut checkpoint.state)).map_err(TrainError::state)?;
        load_modules(&mut self.learner, &checkpoint)?;
        self.learner.set_step(checkpoint.step + 1);
        self.learner.restore(saved.learner, &checkpoint)?;
        let warnings = self.source.restore(self.run.root(), &checkpoint, saved.source)?;
        (self.means, self.elapsed_s) = (saved.means, saved.elapsed_s.unwrap_or(0.0));
        Ok(warnings)
    }
}

/// Takes over the tensors of a checkpoint, by the learner's own list.
///
/// # Errors
/// A group that is missing, tensors of other sizes.
pub fn load_modules(learner: &mut impl Learner, checkpoint: &Checkpoint) -> Result<(), TrainError> {
    for (name, module) in learner.modules() {
        let tensors = from_file(checkpoint.group(name)?)?;
        match module {
            Module::Network(store) => store.load_state(&tensors)?,
            Module::Optimizer(adam) => adam.load_state(&tensors)?,
        }
    }
    Ok(())
}

fn borrowed(values: &[(String, f64)]) -> Vec<(&str, f64)> {
    values.iter().map(|(name, value)| (name.as_str(), *value)).collect()
}
