//! The training loop: frames from a source, steps, figures, pictures, checkpoints.
//!
//! A step is decided by the settings and its number: the batch's random stream is derived from the number, and so is the
//! newest block of the pool. With a number of steps as the only limit, a run that was killed and resumed therefore ends
//! in the same bytes as one that was not. A limit in minutes lets the clock into the schedule of the learning rate.

use super::batch::{TrainBatch, images_tensor};
use super::config::RcanConfig;
use super::generator::{Generator, Translation};
use super::learner::{RcanError, RcanLearner, StepFigures};
use super::picture::{Row, sheet};
use crate::contract::{FrameBatch, Seed};
use crate::files::memory;
use crate::gan::frames::{BoxedSource, Frame, FrameError, FramePool, Prefetch};
use crate::train::directory::check_run_format;
use crate::train::{Ended, Limits, RunDir};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::time::Instant;

/// The whole of a run's settings: its `config.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// [`RUN_FORMAT`](crate::train::directory::RUN_FORMAT).
    pub format_version: u32,
    /// `rcan`
    pub learner: String,
    #[serde(with = "crate::contract::seed::seed_number")]
    pub seed: u64,
    /// Steps between lines of figures, pictures with a validation, and checkpoints.
    pub log_interval: u64,
    pub image_interval: u64,
    pub checkpoint_interval: u64,
    /// Frames in each block of the source.
    pub frames_per_block: usize,
    pub limits: Limits,
    /// Where frames come from; for whoever opens the source.
    pub data: toml::Table,
    pub rcan: RcanConfig,
}

/// The learner's name in `config.toml`.
pub const LEARNER: &str = "rcan";
/// Steps of a process after which its memory has grown to what it needs: the pool of frames is full.
pub const WARM_STEPS: u64 = 2000;

impl Settings {
    /// Reads the settings of the run in `root`.
    ///
    /// # Errors
    /// Text that is no such settings, or those of another learner.
    pub fn parse(text: &str, root: &Path) -> Result<Self, RcanError> {
        let fail =
            |message: String| RcanError::NotRcan { path: root.join("config.toml").display().to_string(), message };
        let table: toml::Table = toml::from_str(text).map_err(|e| fail(e.to_string()))?;
        match table.get("learner").and_then(toml::Value::as_str) {
            Some(LEARNER) => {}
            other => return Err(fail(format!("it is a run of '{}', not of rcan", other.unwrap_or("nothing known")))),
        }
        check_run_format(&table).map_err(&fail)?;
        let settings: Self = toml::from_str(text).map_err(|e| fail(e.to_string()))?;
        settings.rcan.validate().map_err(|e| fail(e.to_string()))?;
        settings.limits.validate().map_err(|e| fail(format!("limits: {e}")))?;
        Ok(settings)
    }
}

/// What a run tells while it goes on.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Steps done.
    pub step: u64,
    /// In `[0, 1]`.
    pub done: f64,
    pub images_per_s: f64,
    pub figures: StepFigures,
}

/// Who looks at a run from outside.
pub trait TrainCallback: Send {
    /// False stops the run after a checkpoint.
    fn should_continue(&mut self) -> bool;

    fn progress(&mut self, progress: &Progress);

    /// Figures of the averaged generator on frames that it is not trained on, by name.
    ///
    /// # Errors
    /// A sentence.
    fn validate(&mut self, generator: &Generator, frames: &[FrameBatch]) -> Result<Vec<(String, f64)>, String>;
}

/// How a run ended, and how fast it was.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub ended: Ended,
    /// Steps done in all.
    pub steps: u64,
    /// Steps done by this process, in how many seconds, of which waiting for frames.
    pub steps_here: u64,
    pub seconds: f64,
    pub waiting_s: f64,
    /// Processor seconds of all threads meanwhile.
    pub processor_s: f64,
    /// Resident memory after [`WARM_STEPS`] steps (0 before that) and at the end, GiB.
    pub warm_gib: f64,
    pub last_gib: f64,
    /// The last validation by this process.
    pub validation: Vec<(String, f64)>,
}

/// Sums of figures since the last line.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Window {
    count: u64,
    sums: Vec<f64>,
}

impl Window {
    fn add(&mut self, figures: &StepFigures) {
        let named = figures.named();
        // A step that was skipped for its gradients says nothing about the others.
        if named.iter().any(|(_, value)| !value.is_finite()) {
            return;
        }
        self.sums.resize(named.len(), 0.0);
        self.sums.iter_mut().zip(named).for_each(|(sum, (_, value))| *sum += value);
        self.count += 1;
    }

    fn take(&mut self) -> Vec<(&'static str, f64)> {
        let window = std::mem::take(self);
        let names = StepFigures::default().named().map(|(name, _)| name);
        names.into_iter().zip(window.sums.iter().map(|sum| sum / window.count.max(1) as f64)).collect()
    }
}

/// What is saved beside the tensors. Nothing in it depends on the clock unless a limit does.
#[derive(Debug, Serialize, Deserialize)]
struct Saved {
    window: Window,
    elapsed_s: Option<f64>,
}

/// A run that is open.
pub struct Trainer {
    settings: Settings,
    run: RunDir,
    learner: RcanLearner,
    /// The next step.
    step: u64,
    /// Seconds spent by earlier processes.
    elapsed_s: f64,
    window: Window,
}

impl Trainer {
    /// Starts a run in a folder that is missing or empty.
    ///
    /// # Errors
    /// An impossible setting; a folder that is in use.
    pub fn create(root: &Path, settings: &Settings) -> Result<Self, RcanError> {
        let learner = RcanLearner::new(&settings.rcan, Seed(settings.seed))?;
        let text = toml::to_string(settings).map_err(|e| super::config::ConfigError(e.to_string()))?;
        let run = RunDir::create(root, &text)?;
        Ok(Self { settings: settings.clone(), run, learner, step: 0, elapsed_s: 0.0, window: Window::default() })
    }

    /// Goes on with a run from its newest whole checkpoint. Also returns sentences about damaged ones.
    ///
    /// # Errors
    /// No run, a run of another learner, a folder that is in use.
    pub fn resume(root: &Path) -> Result<(Self, Vec<String>), RcanError> {
        let resumed = RunDir::resume(root)?;
        let settings = Settings::parse(resumed.run.config(), root)?;
        let learner = RcanLearner::new(&settings.rcan, Seed(settings.seed))?;
        let run = resumed.run;
        let mut trainer = Self { settings, run, learner, step: 0, elapsed_s: 0.0, window: Window::default() };
        if let Some(mut checkpoint) = resumed.checkpoint {
            trainer.learner.load(&checkpoint)?;
            let state = std::mem::take(&mut checkpoint.state);
            let saved: Saved = serde_json::from_value(state)
                .map_err(|e| RcanError::BadState { step: checkpoint.step, message: e.to_string() })?;
            trainer.step = checkpoint.step + 1;
            trainer.elapsed_s = saved.elapsed_s.unwrap_or(0.0);
            trainer.window = saved.window;
        }
        Ok((trainer, resumed.warnings))
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Lets the run end elsewhere than it was meant to; the schedules follow.
    ///
    /// # Errors
    /// Limits that no run ends at, a full disk.
    pub fn set_limits(&mut self, limits: Limits) -> Result<(), RcanError> {
        limits.validate().map_err(super::config::ConfigError)?;
        if limits != self.settings.limits {
            self.settings.limits = limits;
            let text = toml::to_string(&self.settings).map_err(|e| super::config::ConfigError(e.to_string()))?;
            self.run.set_config(&text)?;
        }
        Ok(())
    }

    pub fn learner(&self) -> &RcanLearner {
        &self.learner
    }

    /// Steps done.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// Trains until a limit or until the callback says stop. Call it inside [`crate::nn::with_large_stack`].
    ///
    /// # Errors
    /// The source, the disk, or gradients that stay infinite. What was saved before stays.
    pub fn run(
        &mut self,
        open: impl FnOnce() -> Result<BoxedSource, FrameError> + Send + 'static,
        callback: &mut dyn TrainCallback,
    ) -> Result<Outcome, RcanError> {
        let started = Instant::now();
        let processor_before = memory::processor_s();
        let first_step = self.step;
        let mut outcome = Outcome {
            ended: Ended::Complete,
            steps: self.step,
            steps_here: 0,
            seconds: 0.0,
            waiting_s: 0.0,
            processor_s: 0.0,
            warm_gib: 0.0,
            last_gib: 0.0,
            validation: Vec::new(),
        };
        if self.is_over(self.elapsed_s) {
            return Ok(outcome);
        }
        let config = self.settings.rcan.clone();
        let steps_per_block = config.steps_per_block(self.settings.frames_per_block);
        let first_block = FramePool::first_needed(config.num_pool_blocks, self.step / steps_per_block);
        let (mut frames, validation) = Prefetch::start(first_block, open)?;
        self.check_size(&validation)?;
        let mut pool = FramePool::new(config.num_pool_blocks, first_block);
        let batches = Seed(self.settings.seed).derive("batch", 0);
        let mut mark = (Instant::now(), self.step);
        loop {
            let waiting = Instant::now();
            pool.advance(self.step / steps_per_block, &mut frames)?;
            outcome.waiting_s += waiting.elapsed().as_secs_f64();
            let picked = pool.draw(config.batch, &mut batches.derive("step", self.step).rng());
            let batch = TrainBatch::new(&picked, config.depth)?;
            let elapsed = self.elapsed_s + started.elapsed().as_secs_f64();
            let done = self.settings.limits.progress(self.step, elapsed);
            let rate = config.rate_factor(self.step, done);
            let figures = self.learner.step(&batch, rate, self.step)?;
            if self.step == first_step + WARM_STEPS {
                outcome.warm_gib = memory::resident_gib();
            }
            self.window.add(&figures);
            let step = self.step;
            self.step += 1;

            let elapsed = self.elapsed_s + started.elapsed().as_secs_f64();
            let over = self.is_over(elapsed);
            let stop = !over && !callback.should_continue();
            let every = |steps: u64| steps > 0 && self.step % steps == 0;
            let (log, look, save) = (
                every(self.settings.log_interval),
                every(self.settings.image_interval),
                every(self.settings.checkpoint_interval),
            );
            let speed = (self.step - mark.1) as f64 * config.batch as f64 / mark.0.elapsed().as_secs_f64().max(1e-9);
            callback.progress(&Progress { step: self.step, done, images_per_s: speed, figures });
            if log || over {
                self.log(step, rate * config.generator_lr, speed)?;
                mark = (Instant::now(), self.step);
            }
            if look || over {
                outcome.validation = self.log_images(step, &batch, &validation, callback)?;
            }
            if save || over || stop {
                self.save(step, elapsed)?;
            }
            if over || stop {
                outcome.ended = if over { Ended::Complete } else { Ended::Interrupted };
                break;
            }
        }
        outcome.steps = self.step;
        outcome.steps_here = self.step - first_step;
        outcome.seconds = started.elapsed().as_secs_f64();
        outcome.processor_s = memory::processor_s() - processor_before;
        outcome.last_gib = memory::resident_gib();
        Ok(outcome)
    }

    fn is_over(&self, elapsed_s: f64) -> bool {
        self.settings.limits.progress(self.step, elapsed_s) >= 1.0
    }

    fn check_size(&self, frames: &[FrameBatch]) -> Result<(), RcanError> {
        let size = self.settings.rcan.size;
        match frames.iter().find(|batch| [batch.width, batch.height] != [size; 2]) {
            None => Ok(()),
            Some(batch) => {
                let message =
                    format!("the frames are {}x{} and the network takes {size}x{size}", batch.width, batch.height);
                Err(super::config::ConfigError(message).into())
            }
        }
    }

    fn log(&mut self, step: u64, generator_lr: f64, images_per_s: f64) -> Result<(), RcanError> {
        let mut values = self.window.take();
        values.push(("rate/learning", generator_lr));
        self.run.scalars(step, &values)?;
        let timings = [("speed/images per second", images_per_s), ("memory/resident GiB", memory::resident_gib())];
        Ok(self.run.timings(step, &timings)?)
    }

    /// Validation figures and a sheet of pictures.
    fn log_images(
        &mut self,
        step: u64,
        batch: &TrainBatch,
        validation: &[FrameBatch],
        callback: &mut dyn TrainCallback,
    ) -> Result<Vec<(String, f64)>, RcanError> {
        let figures = callback.validate(&self.learner.averaged, validation).map_err(RcanError::TrainCallback)?;
        let mut values: Vec<(&str, f64)> = figures.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        if self.settings.rcan.weights.gan > 0.0 {
            values.extend(self.learner.gradient_norms(batch)?);
        }
        self.run.scalars(step, &values)?;
        let picked = spread(validation, 6);
        let translations = translate_frames(&self.learner.averaged, &picked)?;
        let rows: Vec<Row<'_>> = picked
            .iter()
            .zip(&translations)
            .map(|(frame, translation)| Row { frame: *frame, translation, caption: String::new() })
            .collect();
        let subtitle = format!("{} images seen", (step + 1) * self.settings.rcan.batch as u64);
        let canvas = sheet(format!("RCAN after {} steps", step + 1), subtitle, &rows).draw();
        self.run.image(step, "translation", &canvas)?;
        Ok(figures)
    }

    fn save(&mut self, step: u64, elapsed_s: f64) -> Result<(), RcanError> {
        let mut content = self.learner.save()?;
        // A run that once had a clock keeps it, whatever its limits are now.
        let timed = self.settings.limits.minutes.is_some() || self.elapsed_s > 0.0;
        let elapsed_s = timed.then_some(elapsed_s);
        let saved = Saved { window: self.window.clone(), elapsed_s };
        content.state =
            serde_json::to_value(saved).map_err(|e| RcanError::BadState { step, message: e.to_string() })?;
        self.run.save_checkpoint(step, content)?;
        Ok(())
    }
}

/// `count` frames at equal distances.
fn spread(batches: &[FrameBatch], count: usize) -> Vec<Frame<'_>> {
    let all: Vec<Frame<'_>> =
        batches.iter().flat_map(|batch| (0..batch.count).map(move |index| Frame { batch, index })).collect();
    let count = count.min(all.len());
    (0..count).map(|i| all[i * all.len() / count]).collect()
}

/// Translates frames of one size.
///
/// # Errors
/// Frames of different sizes.
pub fn translate_frames(generator: &Generator, frames: &[Frame<'_>]) -> candle_core::Result<Vec<Translation>> {
    let Some(first) = frames.first() else { return Ok(Vec::new()) };
    let images = frames.iter().map(|frame| frame.batch.source_image(frame.index));
    generator.translate(&images_tensor(images, [first.batch.height, first.batch.width])?)
}

#[cfg(test)]
#[path = "train_tests.rs"]
mod tests;
