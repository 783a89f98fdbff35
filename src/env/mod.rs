//! The vectorized environment: the one room that builds a headless Bevy app.
//!
//! In: an [`EnvConfig`] and one [`crate::contract::Action`] an environment. Out: [`Observation`]s (pictures of every
//! domain, ids, depth, gripper state), rewards, terminations, and which objects were grasped.

mod app;
mod config;
mod grasp_env;
mod observation;
mod rollout;

pub use app::{Episode, anchors_of, look_seed};
pub use config::{Crop, EnvConfig, EnvError};
pub use grasp_env::GraspEnv;
pub use observation::{Observation, StepBatch};
pub use rollout::{Rollout, Transition};
