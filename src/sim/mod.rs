//! Physics of the cell [Bevy, Rapier]: objects, gripper, steps, grasp outcomes, and policies that act on them.
//!
//! In: a [`crate::scene::CellDescription`], object models, seeds, actions. Out: [`GraspWorld`]s whose poses the
//! renderer draws and whose [`crate::contract::Step`]s learners learn from. An environment is an entity with a
//! `GraspWorld`; plain functions step slices of worlds without any `App`.

mod config;
mod gripper;
mod physics;
mod world;

pub use config::SimConfig;
pub use world::GraspWorld;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
