//! Reinforcement learning from pixels, on Candle: QT-Opt (Kalashnikov et al., 2018), as RCAN and RL-CycleGAN use it.
//!
//! In: an [`Arena`] of environments that are stepped side by side. Out: Q-functions, policies that maximise them by the
//! cross-entropy method, and the runs that trained them.

pub mod action;
pub mod arena;
pub mod bellman;
pub mod cem;
pub mod collect;
pub mod config;
pub mod diagnostics;
pub mod draws;
pub mod error;
pub mod film;
pub mod learner;
pub mod load;
pub mod network;
pub mod policy;
pub mod ppo;
pub mod privileged;
pub mod replay;
pub mod train;

pub use action::{ActionFeatures, ActionSpace};
pub use arena::{Arena, ArenaError, View};
pub use cem::{CemConfig, Choice};
pub use config::{Preset, QtOptConfig};
pub use error::RlError;
pub use learner::QLearner;
pub use load::load_policy;
pub use policy::QPolicy;
pub use train::{Settings, Trainer};
