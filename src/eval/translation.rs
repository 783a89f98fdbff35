//! How well a generator makes images canonical: figures over any number of paired frames.
//!
//! Images are judged by PSNR, SSIM and colour bias; masks by intersection over union; depth by its mean absolute error;
//! and objects that got lost or were invented by [`Presence`], once in the predicted mask and once in the image alone.

use super::metrics::{
    Confusion, DepthError, Presence, PresenceSettings, TruthFrame, bootstrap_mean, colour_bias, mean, psnr, ssim,
};
use crate::contract::{Class, FrameBatch, FrameChannels, Seed};
use crate::gan::frames::Frame;
use crate::gan::rcan::translate_frames;
use crate::gan::rcan::{Generator, Translation};
use rayon::prelude::*;
use serde::Serialize;
use std::collections::BTreeMap;

/// Frames translated at once.
const BATCH: usize = 32;

/// One frame's figures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FrameScore {
    pub psnr_db: f64,
    pub ssim: f64,
    /// Mean of generated minus canonical, each channel, in [-1, 1].
    pub colour_bias: [f64; 3],
}

/// Everything that was seen so far.
#[derive(Clone, Debug, Default)]
pub struct TranslationMeter {
    scores: Vec<FrameScore>,
    confusion: Confusion,
    depth: DepthError,
    by_mask: Presence,
    by_image: Presence,
}

/// A rate with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct RateWithInterval {
    pub rate: f64,
    pub low: f64,
    pub high: f64,
    /// Objects or images that were judged.
    pub judged: u64,
}

/// What came out.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TranslationReport {
    pub frames: usize,
    /// Mean over frames, decibels.
    pub psnr: f64,
    pub ssim: f64,
    /// 95 % bootstrap interval of the mean.
    pub ssim_interval: [f64; 2],
    /// Mean of generated minus canonical image, each channel, in [-1, 1]: RCAN's image loss is blind to it.
    pub colour_bias: [f64; 3],
    /// Mean over frames and channels of the bias's magnitude.
    pub colour_bias_abs: f64,
    pub object_iou: f64,
    pub mean_iou: f64,
    pub class_iou: BTreeMap<&'static str, f64>,
    pub pixel_accuracy: f64,
    pub depth_mae_m: f64,
    /// Share of objects that the generated mask lost, and of images whose mask invents one.
    pub vanish_rate: f64,
    pub ghost_rate: f64,
    pub vanish: RateWithInterval,
    pub ghost: RateWithInterval,
    /// The same, judged by the generated image alone.
    pub image_vanish: RateWithInterval,
    pub image_ghost: RateWithInterval,
}

impl TranslationMeter {
    /// Adds a translated frame. `None`, and nothing added, when the sizes do not fit.
    pub fn add(&mut self, frame: Frame<'_>, translation: &Translation) -> Option<FrameScore> {
        let judged = Judged::of(frame, translation)?;
        self.merge(&judged);
        Some(judged.score)
    }

    fn merge(&mut self, judged: &Judged) {
        self.scores.push(judged.score);
        self.confusion.merge(&judged.confusion);
        self.depth.merge(&judged.depth);
        self.by_mask.merge(&judged.by_mask);
        self.by_image.merge(&judged.by_image);
    }

    /// Translates and adds whole batches. Returns each frame's score and translation, in order.
    ///
    /// # Errors
    /// The network does not take these frames; they were captured without their truth.
    pub fn add_batch(
        &mut self,
        generator: &Generator,
        batch: &FrameBatch,
    ) -> candle_core::Result<Vec<(FrameScore, Translation)>> {
        batch.require(FrameChannels::PAIRED).map_err(candle_core::Error::wrap)?;
        let frames: Vec<Frame<'_>> = (0..batch.count).map(|index| Frame { batch, index }).collect();
        let mut scored = Vec::with_capacity(frames.len());
        for part in frames.chunks(BATCH) {
            let translations = translate_frames(generator, part)?;
            let judged: Vec<Option<Judged>> = part
                .par_iter()
                .zip(&translations)
                .map(|(frame, translation)| Judged::of(*frame, translation))
                .collect();
            for (judged, translation) in judged.into_iter().zip(translations) {
                let Some(judged) = judged else {
                    candle_core::bail!("frames of {}x{} are too small to judge", batch.width, batch.height)
                };
                self.merge(&judged);
                scored.push((judged.score, translation));
            }
        }
        Ok(scored)
    }

    pub fn frames(&self) -> usize {
        self.scores.len()
    }

    /// The figures so far; what nothing was seen of is NaN.
    pub fn report(&self) -> TranslationReport {
        let ssims: Vec<f64> = self.scores.iter().map(|s| s.ssim).collect();
        // An exact translation has no finite PSNR; it counts as that of a difference below the smallest step.
        let psnrs: Vec<f64> = self.scores.iter().map(|s| s.psnr_db.min(99.0)).collect();
        let ssim = bootstrap_mean(&ssims, 0.95, 500, Seed(0));
        let bias = |channel: usize| mean(&self.scores.iter().map(|s| s.colour_bias[channel]).collect::<Vec<_>>());
        let magnitude = |s: &FrameScore| s.colour_bias.iter().map(|b| b.abs()).sum::<f64>() / 3.0;
        let rate = |interval: super::metrics::Rate, judged: u64| RateWithInterval {
            rate: interval.value,
            low: interval.low,
            high: interval.high,
            judged,
        };
        let vanish = rate(self.by_mask.vanish_rate(), self.by_mask.objects);
        let ghost = rate(self.by_mask.ghost_rate(), self.by_mask.images);
        TranslationReport {
            frames: self.scores.len(),
            psnr: mean(&psnrs),
            ssim: ssim.value,
            ssim_interval: [ssim.low, ssim.high],
            colour_bias: [0, 1, 2].map(bias),
            colour_bias_abs: mean(&self.scores.iter().map(magnitude).collect::<Vec<_>>()),
            object_iou: self.confusion.object_iou().unwrap_or(f64::NAN),
            mean_iou: self.confusion.mean_iou().unwrap_or(f64::NAN),
            class_iou: Class::ALL
                .into_iter()
                .filter_map(|class| Some((class.name(), self.confusion.iou(class)?)))
                .collect(),
            pixel_accuracy: self.confusion.accuracy().unwrap_or(f64::NAN),
            depth_mae_m: self.depth.mean_m().unwrap_or(f64::NAN),
            vanish_rate: vanish.rate,
            ghost_rate: ghost.rate,
            vanish,
            ghost,
            image_vanish: rate(self.by_image.vanish_rate(), self.by_image.objects),
            image_ghost: rate(self.by_image.ghost_rate(), self.by_image.images),
        }
    }
}

/// One frame's part of every figure.
struct Judged {
    score: FrameScore,
    confusion: Confusion,
    depth: DepthError,
    by_mask: Presence,
    by_image: Presence,
}

impl Judged {
    fn of(frame: Frame<'_>, translation: &Translation) -> Option<Self> {
        let (batch, index) = (frame.batch, frame.index);
        let (width, height) = (batch.width, batch.height);
        let canonical = batch.canonical_image(index);
        let segmentation = batch.segmentation_image(index);
        let truth = TruthFrame { width, height, canonical, segmentation, instances: batch.instance_image(index) };
        let settings = PresenceSettings::for_size(width, height);
        let score = FrameScore {
            psnr_db: psnr(&translation.image, canonical)?,
            ssim: ssim(&translation.image, canonical, width, height)?,
            colour_bias: colour_bias(&translation.image, canonical)?,
        };
        let mut confusion = Confusion::default();
        confusion.add(&translation.classes, segmentation);
        let mut depth = DepthError::default();
        depth.add(&translation.depth_m, batch.depth_image(index));
        Some(Self {
            score,
            confusion,
            depth,
            by_mask: Presence::by_mask(&truth, &translation.classes, &settings)?,
            by_image: Presence::by_image(&truth, &translation.image, &settings)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gan::frames::testing::squares;

    fn perfect(frame: Frame<'_>) -> Translation {
        Translation {
            width: frame.batch.width,
            height: frame.batch.height,
            image: frame.batch.canonical_image(frame.index).to_vec(),
            classes: frame.batch.segmentation_image(frame.index).to_vec(),
            depth_m: frame.batch.depth_image(frame.index).to_vec(),
        }
    }

    #[test]
    fn the_truth_scores_full_marks() {
        let frames = squares(Seed(3), 4, 24);
        let mut meter = TranslationMeter::default();
        for index in 0..4 {
            let frame = Frame { batch: &frames, index };
            assert!(meter.add(frame, &perfect(frame)).is_some());
        }
        let report = meter.report();
        assert_eq!((report.frames, report.psnr, report.object_iou, report.mean_iou), (4, 99.0, 1.0, 1.0));
        assert!((report.ssim - 1.0).abs() < 1e-12);
        assert_eq!((report.depth_mae_m, report.vanish_rate, report.ghost_rate), (0.0, 0.0, 0.0));
        assert_eq!(report.vanish.judged, 4);
    }

    #[test]
    fn lost_objects_and_offsets_show() {
        let frames = squares(Seed(3), 2, 24);
        let mut meter = TranslationMeter::default();
        for index in 0..2 {
            let frame = Frame { batch: &frames, index };
            let mut translation = perfect(frame);
            translation.depth_m.iter_mut().for_each(|d| *d += 0.25);
            translation.image.iter_mut().skip(1).step_by(3).for_each(|green| *green += 51);
            if index == 0 {
                translation.classes.fill(Class::Background as u8);
            }
            assert!(meter.add(frame, &translation).is_some());
        }
        let report = meter.report();
        assert!((report.depth_mae_m - 0.25).abs() < 1e-6);
        assert!((report.colour_bias[1] - 0.2).abs() < 1e-12 && report.colour_bias[0] == 0.0);
        assert!((report.colour_bias_abs - 0.2 / 3.0).abs() < 1e-12);
        assert_eq!(report.vanish_rate, 0.5);
        // One of two equal squares is found.
        assert_eq!(report.object_iou, 0.5);
    }

    #[test]
    fn other_sizes_are_refused() {
        let frames = squares(Seed(3), 1, 24);
        let frame = Frame { batch: &frames, index: 0 };
        let mut translation = perfect(frame);
        translation.image.pop();
        let mut meter = TranslationMeter::default();
        assert_eq!(meter.add(frame, &translation), None);
        assert_eq!(meter.frames(), 0);
    }
}
