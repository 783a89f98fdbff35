//! Two unpaired sets of images as a source of batches, with figures and pictures of held-out ones.

use super::batch::{SemanticBatch, SemanticClass, encode_batch};
use super::images::{EpochOrder, ImagesError, RgbdImages, SegmentedImages};
use super::learner::SemanticCycleGan;
use super::picture::{reality_sheet, simulation_sheet};
use crate::contract::Seed;
use crate::train::{BatchSource, Evaluation, StepProgress, TrainError};
use candle_core::{Device, Tensor};
use std::time::Instant;

/// Images of each side that are kept for figures and pictures, at most; never more than a tenth.
const HELD_OUT: usize = 64;
/// Fewer images than this leave none to hold out.
const FEWEST: usize = 10;
/// Rows of a sheet.
const SHEET_ROWS: usize = 6;
/// Images that are judged at once.
const CHUNK: usize = 16;

/// Batches of simulated images with classes and of real images without; the step's number decides a batch.
pub struct UnpairedSource {
    x: SegmentedImages,
    y: RgbdImages,
    x_order: EpochOrder,
    y_order: EpochOrder,
    seed: Seed,
    device: Device,
    make_s: f64,
}

/// How many of `count` images are trained on; the others are held out.
fn train_count(side: &str, count: usize) -> Result<usize, ImagesError> {
    if count < FEWEST {
        let message =
            format!("there are {count} images of {side}; training takes at least {FEWEST}, a tenth is held out");
        return Err(ImagesError(message));
    }
    Ok(count - (count / 10).min(HELD_OUT))
}

impl UnpairedSource {
    /// # Errors
    /// Too few images; sides of different sizes.
    pub fn new(x: SegmentedImages, y: RgbdImages, seed: Seed, device: &Device) -> Result<Self, ImagesError> {
        if x.images().size() != y.size() {
            let (x, y) = (x.images().size(), y.size());
            return Err(ImagesError(format!("simulated images have {x} pixels and real ones {y}; make both the same")));
        }
        let x_order = EpochOrder::new(seed.derive("x", 0), train_count("simulation", x.images().len())?);
        let y_order = EpochOrder::new(seed.derive("y", 0), train_count("reality", y.len())?);
        Ok(Self { x, y, x_order, y_order, seed, device: device.clone(), make_s: 0.0 })
    }

    /// All simulated images, the held-out ones included.
    pub fn simulation(&self) -> &SegmentedImages {
        &self.x
    }

    /// All real images, the held-out ones included.
    pub fn reality(&self) -> &RgbdImages {
        &self.y
    }

    /// Places of the held-out images of both sides.
    fn held_out(&self) -> [std::ops::Range<usize>; 2] {
        let from = |side: &str, count: usize| train_count(side, count).unwrap_or(count)..count;
        [from("simulation", self.x.images().len()), from("reality", self.y.len())]
    }
}

impl BatchSource<SemanticCycleGan> for UnpairedSource {
    fn next(&mut self, learner: &SemanticCycleGan, progress: StepProgress) -> Result<SemanticBatch, TrainError> {
        let started = Instant::now();
        let config = learner.config();
        let first = progress.step * config.batch as u64;
        let draws = first..first + config.batch as u64;
        let x: Vec<usize> = draws.clone().map(|number| self.x_order.index(number)).collect();
        let y: Vec<usize> = draws.map(|number| self.y_order.index(number)).collect();
        let x: Vec<_> = x.into_iter().map(|index| self.x.image(index)).collect();
        let y: Vec<_> = y.into_iter().map(|index| self.y.image(index)).collect();
        let mut flips = self.seed.derive("flips", progress.step).rng();
        let batch = SemanticBatch::new(config, &x, &y, &mut flips, &self.device)?;
        self.make_s += started.elapsed().as_secs_f64();
        Ok(batch)
    }

    fn seconds(&self) -> Vec<(&'static str, f64)> {
        vec![("make batches", self.make_s)]
    }

    fn evaluate(&mut self, learner: &mut SemanticCycleGan) -> Result<Evaluation, TrainError> {
        let [x_places, y_places] = self.held_out();
        let mut figures = Figures::default();
        let config = learner.config();
        for chunk in x_places.clone().collect::<Vec<_>>().chunks(CHUNK) {
            let x = encode_batch(config, chunk.iter().map(|&i| self.x.image(i).image), &self.device)?;
            let fake = learner.generator_y.translate(&x)?;
            let back = learner.generator_x.translate(&fake)?;
            figures.cycle_x.add(&x, &back)?;
            let truth = chunk.iter().flat_map(|&i| self.x.image(i).classes.iter().copied());
            let truth: Vec<SemanticClass> = truth.map(SemanticClass::from_rendered).collect();
            figures.of_x.add(&learner.discriminator_x.segment(&x)?, &truth);
            figures.of_fake_y.add(&learner.discriminator_y.segment(&fake)?, &truth);
        }
        for chunk in y_places.clone().collect::<Vec<_>>().chunks(CHUNK) {
            let y = encode_batch(config, chunk.iter().map(|&i| self.y.image(i)), &self.device)?;
            let back = learner.generator_y.translate(&learner.generator_x.translate(&y)?)?;
            figures.cycle_y.add(&y, &back)?;
        }
        let rows = |places: std::ops::Range<usize>| {
            let count = SHEET_ROWS.min(places.len());
            (0..count).map(|row| places.start + row * places.len() / count).collect::<Vec<_>>()
        };
        let simulated: Vec<_> = rows(x_places).into_iter().map(|index| self.x.image(index)).collect();
        let real: Vec<_> = rows(y_places).into_iter().map(|index| self.y.image(index)).collect();
        let images = vec![
            ("simulation", simulation_sheet(learner, &simulated, &self.device)?),
            ("reality", reality_sheet(learner, &real, &self.device)?),
        ];
        Ok(Evaluation { metrics: figures.named(), images })
    }
}

/// Figures of held-out images.
#[derive(Default)]
struct Figures {
    cycle_x: MeanDifference,
    cycle_y: MeanDifference,
    of_x: Overlap,
    of_fake_y: Overlap,
}

impl Figures {
    fn named(&self) -> Vec<(String, f64)> {
        let figures = [
            ("validation/object_iou_x", self.of_x.iou()),
            ("validation/object_iou_fake_y", self.of_fake_y.iou()),
            ("validation/cycle_x", self.cycle_x.mean()),
            ("validation/cycle_y", self.cycle_y.mean()),
        ];
        figures
            .into_iter()
            .filter(|(_, value)| value.is_finite())
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }
}

/// Mean absolute difference of images and their way there and back.
#[derive(Default)]
struct MeanDifference {
    sum: f64,
    count: usize,
}

impl MeanDifference {
    fn add(&mut self, a: &Tensor, b: &Tensor) -> candle_core::Result<()> {
        self.sum += f64::from((a - b)?.abs()?.mean_all()?.to_scalar::<f32>()?) * a.dim(0)? as f64;
        self.count += a.dim(0)?;
        Ok(())
    }

    fn mean(&self) -> f64 {
        self.sum / self.count as f64
    }
}

/// Intersection over union of the object's pixels in all images.
#[derive(Default)]
struct Overlap {
    both: u64,
    either: u64,
}

impl Overlap {
    fn add(&mut self, found: &[u8], truth: &[SemanticClass]) {
        for (&found, &truth) in found.iter().zip(truth) {
            let (found, truth) = (found == SemanticClass::Object as u8, truth == SemanticClass::Object);
            self.both += u64::from(found && truth);
            self.either += u64::from(found || truth);
        }
    }

    fn iou(&self) -> f64 {
        self.both as f64 / self.either as f64
    }
}
