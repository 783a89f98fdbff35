//! QT-Opt (Kalashnikov et al., 2018), as the RCAN and RL-CycleGAN papers use it: the Q-function, its learner, and the source
//! of its experience.

pub mod bellman;
pub mod collect;
pub mod config;
pub mod diagnostics;
pub mod episode_sheet;
mod exploration;
pub mod learner;
pub mod load;
pub mod network;
pub mod policy;
pub mod privileged;
pub mod settings;
pub mod source;
pub mod stream;
pub mod success;
mod warm_start;

pub use config::{ExplorationConfig, Preset, QtOptConfig};
pub use learner::QLearner;
pub use load::load_policy;
pub use policy::{CemPolicy, QPolicy};
pub use settings::QtOptData;
pub use source::{EnvOpener, ExperienceSource, QBatch};

#[cfg(test)]
pub(in crate::rl) mod end_to_end_train_tests;
#[cfg(test)]
mod initial_tests;
#[cfg(test)]
mod real_stream_tests;
#[cfg(test)]
pub(in crate::rl) mod train_tests;
