//! Runs of the learners in this program's simulator: what settings become. `cli/train` turns flags into settings; here lie what a
//! learner's settings are before any flag, its environments, the learner and its source of batches, what it begins with, what it
//! reads by checksums, and what its report says. Other commands load here what runs have learned.
//!
//! A program of one's own trains without the command line: [`settings`], then [`train`].

pub mod agent;
pub mod cyclegan;
pub mod environments;
mod frames;
pub mod generator;
pub mod identity;
mod initial;
pub mod inputs;
pub mod left_out;
pub mod objects;
pub mod pair_agent;
pub mod ppo;
pub mod qtopt;
pub mod rcan;
mod recording;
pub mod rgbd;
pub mod rl_cyclegan;
pub mod semantic_cyclegan;
mod setup;

pub use setup::{LearnerSetup, Start, TrainerOf, settings, train};

/// Settings, files or flags that do not fit together: wrong usage, exit code 2 of the program.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub String);
