//! Unpaired translation between simulation (x) and reality (y): GAN, CycleGAN, GraspGAN and RL-CycleGAN as one learner
//! with terms on or off.
//!
//! In: batches of images of both domains that show different scenes ([`UnpairedBatch`]), from two folders
//! ([`folder::ImageFolders`]) or from whoever collects episodes. Out: G (simulation to reality), F (back), and what a
//! checkpoint needs. Q-networks are not known here: whoever has them gives a [`SceneLoss`] (RL-CycleGAN) or a
//! [`TaskNetwork`] (GraspGAN).

pub mod adapter;
pub mod balance;
pub mod batch;
pub mod bench;
pub mod config;
pub mod discriminator;
pub mod error;
pub mod folder;
pub mod generator;
pub mod learner;
pub mod noise;
mod objective;
mod parts;
pub mod scene;
mod state;
pub mod task;
pub mod train;
pub mod watch;

pub use adapter::TranslationAdapter;
pub use batch::UnpairedBatch;
pub use config::{CycleGanConfig, Method, Preset};
pub use discriminator::Discriminator;
pub use error::CycleGanError;
pub use generator::Generator;
pub use learner::{Critics, CycleGanLearner, Metrics, StepTranslations};
pub use scene::{SceneLoss, SceneTerm};
pub use state::LearnerState;
pub use task::{ImageDomain, TaskNetwork};
pub use train::{CycleGanData, FolderSource, LoadedGenerator, generator_of, load_generator};

#[cfg(test)]
mod learning_tests;
#[cfg(test)]
mod vanish_tests;
