//! A trained generator for the viewer: `--generator RUN`.

use crate::files::console;
use crate::gan::images::images_tensor;
use crate::gan::rcan::{Generator, load_generator};
use crate::nn::HOST;
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

/// The generator of a run, at work on a thread of its own.
///
/// # Errors
/// No run, a run of another learner, no checkpoint, damage.
pub fn translator(run: &Path) -> anyhow::Result<Translator> {
    let loaded = load_generator(run, &HOST)?;
    console::warn_all(&loaded.warnings);
    let name = format!("{}, step {}", run.display(), loaded.step);
    Ok(Translator::start(Box::new(Rcan(loaded.generator)), name)?)
}
