//! bingrasp: a robot grasping from a bin, rendered in several visual domains at once, and the learners that cross
//! the gap between them. See ARCHITECTURE.md for the map.

// What people read goes through `files::console`, which no closed or full stream can stop.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

pub mod appearance;
pub mod cli;
pub mod contract;
pub mod data;
pub mod draw;
pub mod env;
pub mod eval;
pub mod files;
pub mod gan;
pub mod nn;
pub mod objects;
pub mod pictures;
pub mod policies;
pub mod render;
pub mod rl;
pub mod runs;
pub mod scene;
pub mod servo;
pub mod sim;
pub mod tasks;
pub mod train;
#[cfg(feature = "viewer")]
pub mod viewer;
