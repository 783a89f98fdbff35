//! Physics of the cell [Bevy, Rapier]: objects, gripper, motions, contacts.
//!
//! In: a [`crate::scene::CellDescription`], object models, seeds, [`Motion`]s. Out: [`GraspWorld`]s whose poses the renderer
//! draws. An environment is an entity with a `GraspWorld`; what an episode is, is decided in the room `tasks`.

pub mod checks;
mod config;
mod gripper;
mod motion;
mod physics;
pub mod plugin;
mod world;

pub use config::SimConfig;
pub use motion::{Speed, ToolPose};
pub use plugin::{LastMotion, Pace, SimPlugin, SimSystems};
pub use world::{GraspWorld, Motion, MotionState};

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod three_bins;
