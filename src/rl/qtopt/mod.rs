//! QT-Opt (Kalashnikov et al., 2018): the Q-functions, Bellman updates, collection of episodes, and the training loop.

pub mod bellman;
pub mod collect;
pub mod config;
pub mod diagnostics;
pub mod episode_sheet;
pub mod learner;
pub mod load;
pub mod network;
pub mod policy;
pub mod privileged;
pub mod train;

pub use config::{Preset, QtOptConfig};
pub use learner::QLearner;
pub use load::load_policy;
pub use policy::QPolicy;
pub use train::{Settings, Trainer};
