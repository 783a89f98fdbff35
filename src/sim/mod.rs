//! Physics of the cell [Bevy, Rapier]: objects, gripper, steps, grasp outcomes.
//!
//! In: a [`crate::scene::CellDescription`], object models, seeds, actions. Out: [`GraspWorld`]s whose poses the
//! renderer draws and whose [`crate::contract::Step`]s learners learn from. An environment is an entity with a
//! `GraspWorld`; plain functions step slices of worlds without any `App`.

pub mod checks;
mod config;
mod gripper;
mod motion;
mod physics;
pub mod plugin;
mod policy;
mod world;

pub use config::SimConfig;
pub use plugin::{Driver, LastStep, Pace, PendingAction, SimPlugin, SimSystems, step_worlds};
pub use policy::Policy;
pub use world::GraspWorld;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod three_bins;
