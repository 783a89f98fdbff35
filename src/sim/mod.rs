//! Physics of the cell [Bevy, bevy_rapier3d]: objects, gripper, motions, contacts.
//!
//! In: a [`crate::scene::CellDescription`], object models, seeds, [`Motion`]s. Out: [`GraspWorld`]s whose poses the renderer
//! draws. An environment is an entity with a [`GraspWorldBundle`]: the context components of `bevy_rapier3d`, which hold its
//! Rapier world, and what we know of it. [`SimPlugin`] steps all of them. What an episode is, is decided in the room `tasks`.

#![warn(missing_docs)]

pub mod checks;
mod config;
mod context;
mod gripper;
mod motion;
mod object_body;
mod physics;
pub mod plugin;
mod springs;
mod world;

pub use config::SimConfig;
pub use motion::{Speed, ToolPose};
pub use physics::CellBodies;
pub use plugin::{Driver, Motions, Pace, SimPlugin, SimSystems};
pub use world::{
    GraspCell, GraspWorld, GraspWorldBundle, GraspWorldMut, GraspWorldParts, GraspWorldPartsMut, Motion, MotionState,
};

#[cfg(test)]
mod spring_tests;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod three_bins;
