//! Trained generators: which kind a run holds, and `--generator RUN` of the viewer.

use super::UsageError;
use crate::files::console;
use crate::gan::cyclegan::{self, CycleGanConfig, LoadedGenerator};
use crate::gan::images::images_tensor;
use crate::gan::rcan::{Generator, load_generator};
use crate::nn::HOST;
use crate::rl::rl_cyclegan::{self, load::is_joint};
use crate::train::{LearnerConfig, learner_name};
use crate::viewer::translator::{Translate, Translated, Translator};
use std::path::Path;

/// What the generator of a run does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GeneratorKind {
    /// Any look to the canonical one, with mask and depth; agents see it beside the picture.
    Rcan,
    /// From A (simulation) to B (reality): gan, cyclegan, graspgan, rl-cyclegan; agents see it in place of the picture.
    Translation,
}

/// The kind of a run; a run without a generator is taken for RCAN's, whose loader refuses it by name.
///
/// # Errors
/// No run.
pub fn kind(run: &Path) -> anyhow::Result<GeneratorKind> {
    let name = learner_name(run)?;
    let translates = name == CycleGanConfig::NAME || is_joint(&name);
    Ok(if translates { GeneratorKind::Translation } else { GeneratorKind::Rcan })
}

/// G of a run, or F with `backward`; damage is said on standard error.
///
/// # Errors
/// No run, a run of another learner, no checkpoint, damage, a method without F.
pub fn load_translation(run: &Path, backward: bool) -> anyhow::Result<LoadedGenerator> {
    let name = learner_name(run)?;
    if backward && kind(run)? == GeneratorKind::Rcan {
        let message =
            format!("a way back needs a run of train cyclegan or rl-cyclegan, and {} is one of {name}", run.display());
        return Err(UsageError(message).into());
    }
    let loaded = if is_joint(&name) {
        rl_cyclegan::load::load_generator(run, backward, &HOST)?
    } else {
        cyclegan::load_generator(run, backward, &HOST)?
    };
    console::warn_all(&loaded.warnings);
    Ok(loaded)
}

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
