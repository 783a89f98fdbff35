//! Physics of the cell [Bevy, Rapier]: objects, gripper, steps, grasp outcomes, and policies that act on them.
//!
//! In: a [`crate::scene::CellDescription`], object models, seeds, actions. Out: [`GraspWorld`]s whose poses the
//! renderer draws and whose [`crate::contract::Step`]s learners learn from. An environment is an entity with a
//! `GraspWorld`; plain functions step slices of worlds without any `App`.

pub mod checks;
mod config;
pub mod evaluate;
mod gripper;
mod motion;
mod physics;
pub mod plugin;
pub mod policy;
mod world;

pub use config::SimConfig;
pub use evaluate::{
    AttemptOutcome, EvaluationConfig, GraspEvaluation, SoakReport, draw, evaluate_policy, soak, summarize,
};
pub use plugin::{Driver, LastStep, Pace, PendingAction, SimPlugin, SimSystems, step_worlds};
pub use world::GraspWorld;

#[cfg(test)]
mod digests;
#[cfg(test)]
mod mobile_cell;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod three_bins;
