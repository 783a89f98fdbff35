//! Trained generators: which kind a run holds.

use super::UsageError;
use crate::files::console;
use crate::gan::cyclegan::{self, CycleGanConfig, LoadedGenerator};
use crate::nn::HOST;
use crate::rl::rl_cyclegan::{self, load::is_joint};
use crate::train::{LearnerConfig, learner_name};
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
