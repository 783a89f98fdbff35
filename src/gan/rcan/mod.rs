//! RCAN (James et al., 2019, "Sim-to-Real via Sim-to-Sim"): a generator that makes any look of the scene canonical, with
//! segmentation and depth as auxiliary outputs, trained on paired frames with an adversary.
//!
//! In: paired [`crate::contract::FrameBatch`]es. Out: [`Generator`]s, training runs, translations.

pub mod adapter;
pub mod batch;
pub mod bench;
pub mod config;
pub mod discriminator;
pub mod generator;
pub mod learner;
pub mod load;
pub mod loss;
pub mod picture;
pub mod settings;
pub mod source;

pub use adapter::{CanonicalAdapter, GeneratorAdapter};
pub use batch::{DepthRange, TrainBatch};
pub use bench::{BENCH_NETWORKS, StepTimes, bench_step};
pub use config::{ConfigError, DiscriminatorConfig, GeneratorConfig, ImageLoss, LossWeights, Preset, RcanConfig};
pub use discriminator::Discriminator;
pub use generator::{Generated, Generator, Translation};
pub use learner::{RcanLearner, StepFigures};
pub use load::{Loaded, load_generator};
pub use settings::RcanData;
pub use source::{FrameOpener, PairSource, Score, translate_frames};

#[cfg(test)]
mod train_tests;
