//! The semantic CycleGAN of Pedersen et al., 2020 (section II-B): RGB-D images between a simulation X and a reality Y, with a
//! segmentation by the discriminators that keeps objects where they are.
//!
//! In: unpaired RGB-D images of both sides, with segmentation labels of X alone. Out: `generator_y` (G: X to Y), `generator_x`
//! (F: Y to X, which the pose agent looks through) and `discriminator_y`, whose segmentation of real images the servo tracks.
//! No label of Y is ever asked for.

pub mod batch;
pub mod config;
pub mod discriminator;
pub mod generator;
pub mod learner;
pub mod loss;
pub mod unet;

#[cfg(test)]
mod tests;

pub use batch::{RgbdImage, SegmentedRgbd, SemanticBatch, SemanticClass, encode_rgbd};
pub use config::{IdentityLoss, LossWeights, SemanticConfig, SkipJoin};
pub use discriminator::{Judgement, SemanticDiscriminator};
pub use generator::RgbdGenerator;
pub use learner::{SemanticCycleGan, SemanticError, SemanticMetrics};
