//! The semantic CycleGAN of Pedersen et al., 2020 (section II-B): RGB-D images between a simulation X and a reality Y, with a
//! segmentation by the discriminators that keeps objects where they are.
//!
//! In: unpaired RGB-D images of both sides, with segmentation labels of X alone. Out: `generator_y` (G: X to Y), `generator_x`
//! (F: Y to X, which the pose agent looks through) and `discriminator_y`, whose segmentation of real images the servo tracks.
//! No label of Y is ever asked for.

pub mod batch;
pub mod bench;
pub mod config;
pub mod discriminator;
pub mod generator;
pub mod images;
pub mod learner;
mod looks;
pub mod loss;
pub mod picture;
pub mod source;
pub mod train;
pub mod unet;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod train_tests;

pub use batch::{
    RgbdImage, SegmentedRgbd, SemanticBatch, SemanticClass, TranslatedRgbd, decode_batch, encode_batch, encode_rgbd,
};
pub use config::{Holes, IdentityLoss, LossWeights, SemanticConfig, SkipJoin};
pub use discriminator::{Judgement, SemanticDiscriminator};
pub use generator::RgbdGenerator;
pub use images::{ImagesError, RgbdImages, SegmentedImages};
pub use learner::{SemanticCycleGan, SemanticError, SemanticMetrics};
pub use source::UnpairedSource;
pub use train::{LoadedSemantic, SemanticData, load_semantic};
