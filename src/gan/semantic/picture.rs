//! Translations for people: what each network makes of images of both sides.

use super::batch::{RgbdImage, SegmentedRgbd, SemanticClass, decode_batch, encode_batch};
use super::learner::SemanticCycleGan;
use crate::draw::palette::{colour_classes, colour_depth};
use crate::draw::{Canvas, ContactSheet, Picture, depth_range};
use crate::train::Learner;
use candle_core::{Device, Result, Tensor};

/// Edge of a cell, pixels.
const CELL: usize = 160;

/// A network's classes in the colours of the renderer's.
pub fn colour_semantic(classes: &[u8]) -> Vec<u8> {
    colour_classes(&classes.iter().map(|&class| SemanticClass::to_rendered(class) as u8).collect::<Vec<_>>())
}

/// Columns of a sheet, one picture a row.
struct Columns {
    size: usize,
    range_m: (f32, f32),
    columns: Vec<Vec<Picture>>,
}

impl Columns {
    fn colours_and_depth(&mut self, learner: &SemanticCycleGan, images: &Tensor) -> Result<()> {
        let images = decode_batch(learner.config(), images)?;
        let size = self.size;
        let (near, far) = self.range_m;
        self.columns.push(images.iter().map(|image| Picture::exact(size, size, image.rgb.clone())).collect());
        let depth = |metres: &[f32]| Picture::exact(size, size, colour_depth(metres, near, far));
        self.columns.push(images.iter().map(|image| depth(&image.depth_m)).collect());
        Ok(())
    }

    fn classes(&mut self, classes: &[u8]) {
        let masks = classes.chunks_exact(self.size * self.size);
        self.columns.push(masks.map(|mask| Picture::exact(self.size, self.size, colour_semantic(mask))).collect());
    }

    fn draw(self, title: String, subtitle: &str, names: &[&str]) -> Canvas {
        let (near, far) = self.range_m;
        let mut sheet =
            ContactSheet::new(title, subtitle).columns(names).cell(CELL).class_legend().depth_legend(near, far);
        for row in 0..self.columns.first().map_or(0, Vec::len) {
            sheet.row(String::new(), self.columns.iter().map(|column| column[row].clone()).collect());
        }
        sheet.draw()
    }
}

fn range_of<'a>(images: impl Iterator<Item = RgbdImage<'a>>) -> (f32, f32) {
    depth_range(images.flat_map(|image| image.depth_m.iter().copied()))
}

/// Simulated images, what G makes of them, and both segmentations beside the labels.
///
/// # Errors
/// Images of another size.
pub fn simulation_sheet(learner: &SemanticCycleGan, rows: &[SegmentedRgbd<'_>], device: &Device) -> Result<Canvas> {
    let config = learner.config();
    let range_m = range_of(rows.iter().map(|row| row.image));
    let mut columns = Columns { size: config.size, range_m, columns: Vec::new() };
    let x = encode_batch(config, rows.iter().map(|row| row.image), device)?;
    let fake = learner.generator_y.translate(&x)?;
    columns.colours_and_depth(learner, &x)?;
    columns.colours_and_depth(learner, &fake)?;
    columns.classes(&learner.discriminator_y.segment(&fake)?);
    let labels = rows.iter().flat_map(|row| row.classes).map(|&class| SemanticClass::from_rendered(class) as u8);
    columns.classes(&labels.collect::<Vec<_>>());
    let names = ["x", "depth of x", "G(x)", "depth of G(x)", "D_Y's mask of G(x)", "label of x"];
    let title = format!("Simulation to reality after {} steps", learner.step());
    Ok(columns.draw(title, "x is simulated and was not trained on; G translates it to reality", &names))
}

/// Real images, what F makes of them and of the way back, and D_Y's segmentation. Labels of real images do not exist.
///
/// # Errors
/// Images of another size.
pub fn reality_sheet(learner: &SemanticCycleGan, rows: &[RgbdImage<'_>], device: &Device) -> Result<Canvas> {
    let config = learner.config();
    let range_m = range_of(rows.iter().copied());
    let mut columns = Columns { size: config.size, range_m, columns: Vec::new() };
    let y = encode_batch(config, rows.iter().copied(), device)?;
    let fake = learner.generator_x.translate(&y)?;
    columns.colours_and_depth(learner, &y)?;
    columns.colours_and_depth(learner, &fake)?;
    columns.classes(&learner.discriminator_y.segment(&y)?);
    let names = ["y", "depth of y", "F(y)", "depth of F(y)", "D_Y's mask of y"];
    let title = format!("Reality to simulation after {} steps", learner.step());
    Ok(columns.draw(
        title,
        "y is real and was not trained on; F translates it to simulation; depths as the networks take them",
        &names,
    ))
}
