//! Tests that use the library and the binary as a user would.

mod command_line;
mod episodes;
mod grasping;
mod inputs;
mod leaks;
mod object_looks;
mod pacing;
mod pose_agent;
mod rendering;
mod robustness;
mod rooms;
mod semantic;
mod servo;
mod training;
#[cfg(feature = "viewer")]
mod viewer;
