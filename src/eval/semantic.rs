//! How well a semantic CycleGAN sees images that stand for the real world: its masks, the depth that it makes of a sensor's,
//! and its picture, against the truth.
//!
//! Masks are judged in the network's three classes. Depths are judged where the truth lies in the network's range, apart for
//! objects and for everything else; beside them stands the sensor's own error, over the pixels that it measured.

use super::metrics::{Confusion, DepthError, bootstrap_mean, mean, ssim};
use crate::contract::{Class, FrameBatch, FrameChannels, MissingChannels, Seed};
use crate::gan::semantic::{SemanticClass, SemanticConfig, TranslatedRgbd};
use serde::Serialize;
use std::collections::BTreeMap;

/// What the truth and the measured depth are taken from.
pub const WANTED: FrameChannels = FrameChannels::ALL;

/// One translated frame: what the networks made of it.
#[derive(Clone, Debug, PartialEq)]
pub struct SemanticTranslation {
    /// `F(y)`.
    pub image: TranslatedRgbd,
    /// `D_Y`'s classes, `[size, size]`, [`SemanticClass`] numbers.
    pub classes: Vec<u8>,
}

/// Everything that was seen so far.
#[derive(Clone, Debug, Default)]
pub struct SemanticMeter {
    range_m: (f32, f32),
    confusion: Confusion,
    /// The object's pixels of each episode: in both masks, in either.
    episodes: BTreeMap<u64, (u64, u64)>,
    /// Frames whose object is seen and not found at all.
    missed: u64,
    frames_with_object: u64,
    frames: usize,
    object_depth: DepthError,
    other_depth: DepthError,
    sensor_object_depth: DepthError,
    sensor_other_depth: DepthError,
    hole_depth: DepthError,
    holes: u64,
    pixels: u64,
    ssims: Vec<f64>,
}

/// One frame's figures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SemanticScore {
    /// NaN where no object is seen and none is found.
    pub object_iou: f64,
}

/// What came out; what nothing was seen of is NaN (`null` in JSON).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SemanticReport {
    pub frames: usize,
    pub episodes: usize,
    /// Over the pixels of all frames.
    pub object_iou: f64,
    /// Mean over episodes with its 95 % bootstrap interval.
    pub object_iou_by_episode: f64,
    pub object_iou_interval: [f64; 2],
    pub fingers_iou: f64,
    pub background_iou: f64,
    pub pixel_accuracy: f64,
    /// Share of the frames with an object in which no pixel of it was found.
    pub missed_object_rate: f64,
    /// Mean absolute error of F(y)'s depth, metres.
    pub depth_mae_object_m: f64,
    pub depth_mae_other_m: f64,
    /// The same where the sensor measured nothing.
    pub depth_mae_holes_m: f64,
    /// The sensor's own error where it measured.
    pub sensor_mae_object_m: f64,
    pub sensor_mae_other_m: f64,
    pub hole_rate: f64,
    /// Of F(y) against the canonical picture: means something where simulation was canonical.
    pub ssim_to_canonical: f64,
}

impl SemanticMeter {
    pub fn new(config: &SemanticConfig) -> Self {
        Self { range_m: (config.near_m, config.far_m), ..Self::default() }
    }

    pub fn frames(&self) -> usize {
        self.frames
    }

    /// Adds frame `index` of a batch, which belongs to `episode`.
    ///
    /// # Errors
    /// Frames that were captured without their truth.
    pub fn add(
        &mut self,
        batch: &FrameBatch,
        index: usize,
        episode: u64,
        translation: &SemanticTranslation,
    ) -> Result<SemanticScore, MissingChannels> {
        batch.require(WANTED)?;
        let truth: Vec<SemanticClass> =
            batch.segmentation_image(index).iter().map(|&class| SemanticClass::from_rendered(class)).collect();
        let rendered = |class: u8| SemanticClass::to_rendered(class) as u8;
        let truth_ids: Vec<u8> = truth.iter().map(|&class| rendered(class as u8)).collect();
        let found_ids: Vec<u8> = translation.classes.iter().map(|&class| rendered(class)).collect();
        self.confusion.add(&found_ids, &truth_ids);
        let (mut both, mut either, mut seen) = (0, 0, 0);
        for (&found, &truth) in translation.classes.iter().zip(&truth) {
            let (found, truth) = (found == SemanticClass::Object as u8, truth == SemanticClass::Object);
            both += u64::from(found && truth);
            either += u64::from(found || truth);
            seen += u64::from(truth);
        }
        let sums = self.episodes.entry(episode).or_default();
        *sums = (sums.0 + both, sums.1 + either);
        self.frames_with_object += u64::from(seen > 0);
        self.missed += u64::from(seen > 0 && both == 0);
        self.add_depths(batch, index, &truth, &translation.image.depth_m);
        let picture = ssim(&translation.image.rgb, batch.canonical_image(index), batch.width, batch.height);
        self.ssims.extend(picture);
        self.frames += 1;
        Ok(SemanticScore { object_iou: both as f64 / either as f64 })
    }

    fn add_depths(&mut self, batch: &FrameBatch, index: usize, truth: &[SemanticClass], found_m: &[f32]) {
        let (near, far) = self.range_m;
        let (true_m, sensed_m) = (batch.depth_image(index), batch.sensed_depth_image(index));
        for (pixel, class) in truth.iter().enumerate() {
            let (true_m, sensed, found) = (true_m[pixel], sensed_m[pixel], found_m[pixel]);
            let is_hole = !(sensed.is_finite() && sensed > 0.0);
            self.pixels += 1;
            self.holes += u64::from(is_hole);
            if !(near..=far).contains(&true_m) {
                continue;
            }
            let (of_network, of_sensor) = if *class == SemanticClass::Object {
                (&mut self.object_depth, &mut self.sensor_object_depth)
            } else {
                (&mut self.other_depth, &mut self.sensor_other_depth)
            };
            of_network.add(&[found], &[true_m]);
            if is_hole {
                self.hole_depth.add(&[found], &[true_m]);
            } else {
                of_sensor.add(&[sensed], &[true_m]);
            }
        }
    }

    /// The figures so far.
    pub fn report(&self) -> SemanticReport {
        let iou = |class| self.confusion.iou(class).unwrap_or(f64::NAN);
        let depth = |error: &DepthError| error.mean_m().unwrap_or(f64::NAN);
        let of_episodes: Vec<f64> = (self.episodes.values())
            .filter(|(_, either)| *either > 0)
            .map(|&(both, either)| both as f64 / either as f64)
            .collect();
        let interval = bootstrap_mean(&of_episodes, 0.95, 500, Seed(0));
        SemanticReport {
            frames: self.frames,
            episodes: of_episodes.len(),
            object_iou: iou(Class::Object),
            object_iou_by_episode: interval.value,
            object_iou_interval: [interval.low, interval.high],
            fingers_iou: iou(Class::Arm),
            background_iou: iou(Class::Background),
            pixel_accuracy: self.confusion.accuracy().unwrap_or(f64::NAN),
            missed_object_rate: self.missed as f64 / self.frames_with_object as f64,
            depth_mae_object_m: depth(&self.object_depth),
            depth_mae_other_m: depth(&self.other_depth),
            depth_mae_holes_m: depth(&self.hole_depth),
            sensor_mae_object_m: depth(&self.sensor_object_depth),
            sensor_mae_other_m: depth(&self.sensor_other_depth),
            hole_rate: self.holes as f64 / self.pixels as f64,
            ssim_to_canonical: mean(&self.ssims),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Domain;

    /// Two rows of 12 pixels repeated to 12 lines (SSIM needs a window): object left, table right; the right column is arm.
    fn frames() -> FrameBatch {
        let mut batch = FrameBatch::blank(Domain::Reality, WANTED, 1, 12, 12);
        for pixel in 0..144 {
            let class = match pixel % 12 {
                0..6 => Class::Object,
                6..11 => Class::Tray,
                _ => Class::Arm,
            };
            batch.segmentation[pixel] = class as u8;
            batch.depth_m[pixel] = if class == Class::Object { 0.5 } else { 0.6 };
            batch.sensed_depth_m[pixel] = batch.depth_m[pixel] + 0.01;
        }
        batch
    }

    fn perfect(batch: &FrameBatch) -> SemanticTranslation {
        let classes = batch.segmentation.iter().map(|&class| SemanticClass::from_rendered(class) as u8).collect();
        let image = TranslatedRgbd { rgb: batch.canonical_rgb.clone(), depth_m: batch.depth_m.clone() };
        SemanticTranslation { image, classes }
    }

    #[test]
    fn a_perfect_translation_is_perfect_and_the_sensor_is_judged_beside_it() -> anyhow::Result<()> {
        let (mut meter, mut batch) = (SemanticMeter::new(&SemanticConfig::default()), frames());
        // A hole in the object, and a pixel of the table beyond the range.
        batch.sensed_depth_m[0] = 0.0;
        batch.depth_m[10] = 1.5;
        meter.add(&batch, 0, 3, &perfect(&batch))?;
        let report = meter.report();
        assert_eq!((report.frames, report.episodes, report.object_iou), (1, 1, 1.0));
        assert_eq!((report.fingers_iou, report.background_iou, report.pixel_accuracy), (1.0, 1.0, 1.0));
        assert_eq!((report.depth_mae_object_m, report.depth_mae_other_m, report.depth_mae_holes_m), (0.0, 0.0, 0.0));
        assert!((report.sensor_mae_object_m - 0.01).abs() < 1e-6 && (report.sensor_mae_other_m - 0.01).abs() < 1e-6);
        assert!((report.hole_rate - 1.0 / 144.0).abs() < 1e-12 && (report.ssim_to_canonical - 1.0).abs() < 1e-9);
        assert_eq!(report.missed_object_rate, 0.0);
        Ok(())
    }

    #[test]
    fn wrong_masks_and_depths_show_by_episode() -> anyhow::Result<()> {
        let (mut meter, batch) = (SemanticMeter::new(&SemanticConfig::default()), frames());
        let mut half = perfect(&batch);
        // Columns 3 to 5 of the object are called table, and F's depth is 2 cm too far there.
        for pixel in (0..144).filter(|pixel| (3..6).contains(&(pixel % 12))) {
            half.classes[pixel] = SemanticClass::Background as u8;
            half.image.depth_m[pixel] += 0.02;
        }
        let score = meter.add(&batch, 0, 0, &half)?;
        assert_eq!(score.object_iou, 0.5);
        let mut none = perfect(&batch);
        none.classes.fill(SemanticClass::Background as u8);
        meter.add(&batch, 0, 1, &none)?;
        let report = meter.report();
        // 36 of 144 object pixels over both frames; by episode one half and nothing.
        assert_eq!((report.object_iou, report.object_iou_by_episode, report.missed_object_rate), (0.25, 0.25, 0.5));
        assert_eq!(report.fingers_iou, 0.5);
        assert!((report.depth_mae_object_m - 0.005).abs() < 1e-6, "{}", report.depth_mae_object_m);
        let mut bare = frames();
        bare.keep(FrameChannels::PAIRED);
        assert!(meter.add(&bare, 0, 2, &none).is_err_and(|error| error.to_string().contains("sensed-depth")));
        Ok(())
    }
}
