//! Reinforcement learning from pixels, on Candle: what learners share; QT-Opt (Kalashnikov et al., 2018), as RCAN and
//! RL-CycleGAN use it; RL-CycleGAN's and GraspGAN's joint phase; and PPO (Schulman et al., 2017).
//!
//! In: a [`crate::contract::VecEnv`] of environments that are stepped side by side. Out: Q-functions, policies that maximise them by the
//! cross-entropy method, and the runs that trained them.

#![warn(missing_docs)]

pub mod cem;
pub mod error;
pub mod ppo;
pub mod qtopt;
pub mod quasi_random;
pub mod replay;
pub mod rl_cyclegan;

pub use cem::{CemConfig, Choice};
pub use error::RlError;
pub use qtopt::{Preset, QLearner, QPolicy, QtOptConfig};
