//! `--generator RUN` of the viewer.

use crate::files::console;
use crate::gan::cyclegan;
use crate::gan::images::images_tensor;
use crate::gan::rcan::{Generator, load_generator};
use crate::nn::HOST;
use crate::runs::generator::{GeneratorKind, kind, load_translation};
use crate::viewer::translator::{Translate, Translated, Translator};
use std::path::Path;

/// RCAN behind the viewer's trait.
struct Rcan(Generator);

impl Translate for Rcan {
    fn size(&self) -> u32 {
        // At most 2,048: the configuration is checked when it is read.
        self.0.size() as u32
    }

    fn translate(&mut self, rgb: &[u8]) -> Result<Translated, String> {
        let images = images_tensor(std::iter::once(rgb), [self.0.size(); 2]).map_err(|error| error.to_string())?;
        let mut translations = self.0.translate(&images).map_err(|error| error.to_string())?;
        let one = translations.pop().ok_or("the generator returned nothing")?;
        Ok(Translated { rgb: one.image, classes: one.classes, depth_m: one.depth_m })
    }
}

/// G behind the viewer's trait: a picture, and neither classes nor depths beside it.
struct Translation(cyclegan::Generator);

impl Translate for Translation {
    fn size(&self) -> u32 {
        self.0.size() as u32
    }

    fn translate(&mut self, rgb: &[u8]) -> Result<Translated, String> {
        let images = images_tensor(std::iter::once(rgb), [self.0.size(); 2]).map_err(|error| error.to_string())?;
        let mut translations = self.0.translate(&images).map_err(|error| error.to_string())?;
        let rgb = translations.pop().ok_or("the generator returned nothing")?;
        let pixels = self.0.size() * self.0.size();
        Ok(Translated { rgb, classes: vec![0; pixels], depth_m: vec![0.0; pixels] })
    }
}

/// The generator of a run, at work on a thread of its own.
///
/// # Errors
/// No run, a run of another learner, no checkpoint, damage.
pub fn translator(run: &Path) -> anyhow::Result<Translator> {
    let name = |step: u64| format!("{}, step {step}", run.display());
    if kind(run)? == GeneratorKind::Translation {
        let loaded = load_translation(run, false)?;
        return Ok(Translator::start(Box::new(Translation(loaded.generator)), name(loaded.step))?);
    }
    let loaded = load_generator(run, &HOST)?;
    console::warn_all(&loaded.warnings);
    Ok(Translator::start(Box::new(Rcan(loaded.generator)), name(loaded.step))?)
}
