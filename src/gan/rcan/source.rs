//! Where RCAN's batches come from: a pool of the newest blocks of frames, made on a thread of their own.

use super::batch::TrainBatch;
use super::config::RcanConfig;
use super::generator::{Generator, Translation};
use super::learner::RcanLearner;
use super::picture::{Row, sheet};
use crate::contract::{FrameBatch, Seed};
use crate::gan::frames::{BoxedSource, Frame, FrameError, FramePool, Prefetch};
use crate::gan::images::images_tensor;
use crate::train::{BatchSource, Evaluation, Learner, StepProgress, TrainError};
use std::time::Instant;

/// Opens the source of frames on the thread that makes them.
pub type FrameOpener = Box<dyn FnOnce() -> Result<BoxedSource, FrameError> + Send>;

/// Scores the averaged generator on held-out frames: named figures, or a sentence on what failed.
pub type Score = Box<dyn FnMut(&Generator, &[FrameBatch]) -> Result<Vec<(String, f64)>, String>>;

/// Pictures in a sheet.
const SHEET_ROWS: usize = 6;

/// Batches of pairs. What a step gets is decided by its number, so that nothing of this has to be saved.
pub struct PairSource {
    config: RcanConfig,
    seed: Seed,
    frames_per_block: usize,
    open: Option<FrameOpener>,
    frames: Option<Prefetch>,
    pool: FramePool,
    validation: Vec<FrameBatch>,
    score: Score,
    wait_s: f64,
}

impl PairSource {
    /// Frames are made when the first batch is asked for.
    pub fn new(config: &RcanConfig, seed: Seed, frames_per_block: usize, open: FrameOpener, score: Score) -> Self {
        Self {
            config: config.clone(),
            seed,
            frames_per_block,
            open: Some(open),
            frames: None,
            pool: FramePool::new(config.num_pool_blocks, 0),
            validation: Vec::new(),
            score,
            wait_s: 0.0,
        }
    }

    fn start(&mut self, block: u64) -> Result<(), TrainError> {
        let Some(open) = self.open.take() else { return Ok(()) };
        let first = FramePool::first_needed(self.config.num_pool_blocks, block);
        let (frames, validation) = Prefetch::start(first, open).map_err(TrainError::other)?;
        let size = self.config.size;
        if let Some(batch) = validation.iter().find(|batch| [batch.width, batch.height] != [size; 2]) {
            let message =
                format!("the frames are {}x{} and the network takes {size}x{size}", batch.width, batch.height);
            return Err(TrainError::Config(message));
        }
        (self.frames, self.validation) = (Some(frames), validation);
        self.pool = FramePool::new(self.config.num_pool_blocks, first);
        Ok(())
    }
}

impl BatchSource<RcanLearner> for PairSource {
    fn next(&mut self, learner: &RcanLearner, progress: StepProgress) -> Result<TrainBatch, TrainError> {
        let block = progress.step / self.config.steps_per_block(self.frames_per_block);
        let waiting = Instant::now();
        self.start(block)?;
        let frames = self.frames.as_mut().ok_or_else(|| TrainError::other(FrameError::Gone))?;
        self.pool.advance(block, frames).map_err(TrainError::other)?;
        self.wait_s += waiting.elapsed().as_secs_f64();
        let mut rng = self.seed.derive("batch", 0).derive("step", progress.step).rng();
        let picked = self.pool.draw(self.config.batch, &mut rng);
        Ok(TrainBatch::new(&picked, self.config.depth, learner.device())?)
    }

    fn seconds(&self) -> Vec<(&'static str, f64)> {
        vec![("wait", self.wait_s)]
    }

    fn evaluate(&mut self, learner: &mut RcanLearner) -> Result<Evaluation, TrainError> {
        let metrics = (self.score)(&learner.averaged, &self.validation).map_err(TrainError::other)?;
        let picked = spread(&self.validation, SHEET_ROWS);
        let translations = translate_frames(&learner.averaged, &picked)?;
        let rows: Vec<Row<'_>> = picked
            .iter()
            .zip(&translations)
            .map(|(frame, translation)| Row { frame: *frame, translation, caption: String::new() })
            .collect();
        let subtitle = format!("{} images seen", learner.step() * self.config.batch as u64);
        let canvas = sheet(format!("RCAN after {} steps", learner.step()), subtitle, &rows).draw();
        Ok(Evaluation { metrics, images: vec![("translation", canvas)] })
    }
}

/// `count` frames at equal distances.
pub(super) fn spread(batches: &[FrameBatch], count: usize) -> Vec<Frame<'_>> {
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
