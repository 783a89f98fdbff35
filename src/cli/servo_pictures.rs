//! Figures 6, 7 and 10 of `reproduce servo-figures`, from images of `reality` that no training saw: the way from an image to a
//! tracked object, segmentations beside each other, and translations.

use super::common;
use super::eval_semantic::{Kept, draw, translate};
use super::servo_trials::{CELL, gripper_region};
use crate::contract::{Class, FrameBatch};
use crate::data::paired::{PairReader, to_frames};
use crate::draw::palette::{class_colour, colour_classes};
use crate::draw::{ContactSheet, Picture};
use crate::eval::semantic::{SemanticMeter, SemanticReport};
use crate::gan::semantic::picture::colour_semantic;
use crate::gan::semantic::{SemanticClass, load_semantic};
use crate::nn::{HOST, with_large_stack};
use crate::servo::classical::{ColourImage, segment_by_k_means, segment_by_watershed};
use crate::servo::{Mask, Moments, Tracker, TrackerConfig, Tracking, morphology};
use serde::Serialize;
use std::path::Path;

/// Rows of figures 6 and 7.
const SHOWN: usize = 5;
/// Images that are judged at once.
const CHUNK: usize = 64;

/// Intersection over union of the object, over the pixels of all images.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SegmentationReport {
    pub images: usize,
    pub k_means_iou: f64,
    pub watershed_iou: f64,
    pub network: SemanticReport,
}

impl SegmentationReport {
    pub fn markdown(&self) -> String {
        let (network, mm) = (&self.network, |metres: f64| 1e3 * metres);
        format!(
            "## Figures 6, 7 and 10: masks and translations\n\n\
             | object's mask, {} images that no training saw | IoU |\n|---|---:|\n| K-means on the colour histogram | {:.3} |\n\
             | watershed | {:.3} |\n| semantic discriminator | {:.3} |\n\n\
             Depth of F(y): {:.1} mm off on objects, {:.1} mm elsewhere (the sensor: {:.1} and {:.1} mm where it measures).\n\n\
             ![from an image to a tracked object](figure-6.png)\n\n![segmentations](figure-7.png)\n\n\
             ![translations](figure-10.png)\n\n",
            self.images,
            self.k_means_iou,
            self.watershed_iou,
            network.object_iou,
            mm(network.depth_mae_object_m),
            mm(network.depth_mae_other_m),
            mm(network.sensor_mae_object_m),
            mm(network.sensor_mae_other_m),
        )
    }
}

#[derive(Default)]
struct Overlap {
    both: usize,
    either: usize,
}

impl Overlap {
    fn add(&mut self, found: &Mask, truth: &Mask) {
        for (&found, &truth) in found.pixels().iter().zip(truth.pixels()) {
            self.both += usize::from(found && truth);
            self.either += usize::from(found || truth);
        }
    }

    fn iou(&self) -> f64 {
        self.both as f64 / self.either as f64
    }
}

/// Judges the dataset in `held_out` with a run's networks and without, and writes the figures into `out`.
///
/// # Errors
/// A dataset or run that is missing or damaged; a full disk.
pub fn segmentation_figures(held_out: &Path, run: &Path, out: &Path) -> anyhow::Result<SegmentationReport> {
    let reader = PairReader::open(held_out)?;
    let loaded = load_semantic(run, &HOST)?;
    let gripper = gripper_region(&common::load_cell(CELL)?)?;
    let mut meter = SemanticMeter::new(&loaded.config.learner);
    let mut kept = Vec::new();
    let (mut k_means, mut watershed) = (Overlap::default(), Overlap::default());
    let mut figure_6 = sheet_6();
    let mut figure_7 = sheet_7();
    let shown: Vec<usize> = (0..SHOWN).map(|row| row * reader.len() / SHOWN).collect();
    for first in (0..reader.len()).step_by(CHUNK) {
        let places: Vec<usize> = (first..reader.len().min(first + CHUNK)).collect();
        let pairs = reader.read_many(&places).into_iter().collect::<Result<Vec<_>, _>>()?;
        let batch = to_frames(&pairs)?;
        let translations = with_large_stack(|| translate(&loaded, &batch))??;
        for (index, translation) in translations.into_iter().enumerate() {
            let image = ColourImage { rgb: batch.source_image(index), width: batch.width, height: batch.height };
            let masks = [segment_by_k_means(image, &gripper), segment_by_watershed(image, &gripper)];
            let truth = mask_of(&batch, batch.segmentation_image(index), Class::Object as u8)?;
            k_means.add(&masks[0], &truth);
            watershed.add(&masks[1], &truth);
            if shown.contains(&(first + index)) {
                let network = mask_of(&batch, &translation.classes, SemanticClass::Object as u8)?;
                row_6(&mut figure_6, &batch, index, &translation.classes, &network);
                row_7(&mut figure_7, &batch, index, &masks, &translation.classes);
            }
            let episode = pairs[index].meta.episode_seed;
            let score = meter.add(&batch, index, episode, &translation)?;
            kept.push(Kept::new(&batch, index, score.object_iou, translation));
        }
    }
    let network = meter.report();
    kept.retain(|kept| kept.object_iou.is_finite());
    kept.sort_by(|a, b| b.object_iou.total_cmp(&a.object_iou));
    draw(&kept, &network, reader.config().domain).save(&out.join("figure-10.png"))?;
    figure_6.save(&out.join("figure-6.png"))?;
    figure_7.save(&out.join("figure-7.png"))?;
    Ok(SegmentationReport {
        images: network.frames,
        k_means_iou: k_means.iou(),
        watershed_iou: watershed.iou(),
        network,
    })
}

fn mask_of(batch: &FrameBatch, classes: &[u8], class: u8) -> anyhow::Result<Mask> {
    Ok(Mask::of_class(classes, batch.width, batch.height, class)?)
}

fn sheet_6() -> ContactSheet {
    let names = ["image", "segmentation", "object, cleaned", "tracked, with its axis"];
    let subtitle = "reality, a simulated stand-in; largest part with centroid and longer axis";
    ContactSheet::new("From an image to a tracked object (figure 6)", subtitle).columns(&names).cell(192).class_legend()
}

fn row_6(sheet: &mut ContactSheet, batch: &FrameBatch, index: usize, classes: &[u8], object: &Mask) {
    let (w, h) = (batch.width, batch.height);
    let exact = |rgb: Vec<u8>| Picture::exact(w, h, rgb);
    let cleaned = morphology::clean(object, TrackerConfig::default().clean_radius_px);
    let mut tracked = paint(&Mask::new(w, h));
    if let Tracking::Found(part) = Tracker::new(TrackerConfig::default()).track(object) {
        tracked = paint(&part.mask);
        if let Some(moments) = Moments::from_pixels(&part.mask) {
            let (sin, cos) = moments.alpha().sin_cos();
            for step in -60..=60 {
                let along = f64::from(step) * 0.25;
                mark(&mut tracked, (w, h), (moments.x + along * cos, moments.y + along * sin), [255, 255, 255]);
            }
            mark(&mut tracked, (w, h), (moments.x, moments.y), [0, 114, 178]);
        }
    }
    let pictures = vec![
        exact(batch.source_image(index).to_vec()),
        exact(colour_semantic(classes)),
        exact(paint(&cleaned)),
        exact(tracked),
    ];
    sheet.row(String::new(), pictures);
}

/// A mask in the colours of object and background.
fn paint(mask: &Mask) -> Vec<u8> {
    mask.pixels().iter().flat_map(|&on| class_colour(if on { Class::Object } else { Class::Background })).collect()
}

fn mark(rgb: &mut [u8], (width, height): (usize, usize), (x, y): (f64, f64), colour: [u8; 3]) {
    let (x, y) = (x.round(), y.round());
    if x >= 0.0 && y >= 0.0 && x < width as f64 && y < height as f64 {
        let at = 3 * (y as usize * width + x as usize);
        rgb[at..at + 3].copy_from_slice(&colour);
    }
}

fn sheet_7() -> ContactSheet {
    let names = ["image", "k-means", "watershed", "semantic discriminator", "truth"];
    let subtitle = "reality, a simulated stand-in: the object by each method on the same images; the gripper's region is known to \
                    the first two";
    ContactSheet::new("Segmentation (figure 7)", subtitle).columns(&names).cell(192).class_legend()
}

fn row_7(sheet: &mut ContactSheet, batch: &FrameBatch, index: usize, masks: &[Mask; 2], classes: &[u8]) {
    let (w, h) = (batch.width, batch.height);
    let exact = |rgb: Vec<u8>| Picture::exact(w, h, rgb);
    let truth: Vec<u8> = (batch.segmentation_image(index).iter())
        .map(|&class| SemanticClass::to_rendered(SemanticClass::from_rendered(class) as u8) as u8)
        .collect();
    let pictures = vec![
        exact(batch.source_image(index).to_vec()),
        exact(paint(&masks[0])),
        exact(paint(&masks[1])),
        exact(colour_semantic(classes)),
        exact(colour_classes(&truth)),
    ];
    sheet.row(String::new(), pictures);
}
