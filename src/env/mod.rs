//! The vectorized environment: the one room that builds a headless Bevy app.
//!
//! In: an [`EnvConfig`] and one [`crate::contract::Action`] an environment. Out: [`Observation`]s (pictures of every
//! domain, ids, depth, gripper state), rewards, terminations, and which objects were grasped.

mod app;
mod config;
mod grasp_env;
mod observation;
mod rollout;

pub use app::{Episode, look_seed, scene_bounds_of};
pub use config::{EnvConfig, EnvError};
pub use grasp_env::{GraspEnv, Reset};
pub use observation::{Observation, StepBatch};
pub use rollout::{Rollout, Transition};
