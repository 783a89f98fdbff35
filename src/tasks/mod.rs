//! What an episode is: how actions become motions of the gripper, what is rewarded, when it ends and what success is.
//!
//! In: a world at rest between motions, actions. Out: [`Motion`]s, and the outcome of each step. Physics knows nothing of it:
//! another task is another file here. [`TaskEpisode`] runs a task in a world.

#![warn(missing_docs)]

pub mod bin_grasp;
#[cfg(test)]
mod digests;
mod episode;
pub mod grasp_poses;
mod lift;
#[cfg(test)]
mod mobile_cell;
pub mod pose_grasp;
pub mod pose_reward;
pub mod pose_script;
#[cfg(test)]
mod pose_tests;
#[cfg(test)]
mod tests;

pub use bin_grasp::{BinGrasp, BinGraspConfig};
pub use episode::TaskEpisode;
pub use grasp_poses::GraspLibrary;
pub use lift::Lift;
pub use pose_grasp::{PoseGrasp, PoseGraspConfig};

use crate::contract::{Action, ActionSpace, Failure, TaskKind};
use crate::policies::{PolicyKind, WorldPolicy};
use crate::scene::CellDescription;
use crate::sim::{GraspWorld, Motion};
use std::sync::Arc;

/// The rules of an episode. One instance serves one environment.
pub trait Task: Send + Sync {
    /// What one action may ask for in a cell. Actions are clamped to it before the task sees them.
    fn action_space(&self, cell: &CellDescription) -> ActionSpace;

    /// Displacements are along the gripper's axes before the action, and not along those of the world.
    fn is_relative(&self) -> bool {
        false
    }

    /// Steps after which an episode is over at the latest.
    fn max_steps(&self) -> u64;

    /// An episode begins in a world that was just reset.
    fn begin(&mut self, world: &GraspWorld);

    /// The motion that carries out an action that was clamped ([`ActionSpace::effective`]); the episode's first step has the
    /// index 1.
    fn act(&mut self, world: &GraspWorld, action: &Action, step_index: u64) -> Motion;

    /// The motion has ended: another one, or the outcome of the step.
    fn after_motion(&mut self, world: &GraspWorld) -> Next;

    /// A built-in policy that knows the task's actions.
    fn script(&self, kind: PolicyKind) -> Box<dyn WorldPolicy> {
        kind.create()
    }
}

/// What follows a motion.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// Another motion within the same step, such as the lift.
    Move(Motion),
    /// The step is done and the episode goes on.
    Step {
        /// Reward of a step that does not end the episode.
        reward: f32,
    },
    /// The episode is over and judged.
    End(Judgement),
}

/// How an episode ended.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Judgement {
    /// Reward of the episode's last step.
    pub reward: f32,
    /// By the policy; else by the time limit.
    pub terminated: bool,
    /// Numbers of the objects that are held.
    pub grasped: Vec<usize>,
    /// Why nothing is held; `None` for a success, and for a kinematic hand, which never grasps.
    pub failure: Option<Failure>,
}

/// Makes the task of each environment.
pub type TaskFactory = Arc<dyn Fn() -> Box<dyn Task> + Send + Sync>;

/// Grasping from the bin with QT-Opt's rules.
pub fn bin_grasp(config: BinGraspConfig) -> TaskFactory {
    Arc::new(move || Box::new(BinGrasp::new(config)))
}

/// Relative poses and a grasp. What is found out about objects is kept in `library`, for all environments of the factory.
pub fn pose_grasp(config: PoseGraspConfig, library: Arc<GraspLibrary>) -> TaskFactory {
    Arc::new(move || Box::new(PoseGrasp::new(config, Arc::clone(&library))))
}

/// A task with its usual settings.
pub fn usual(kind: TaskKind) -> TaskFactory {
    match kind {
        TaskKind::BinGrasp => bin_grasp(BinGraspConfig::default()),
        TaskKind::PoseGrasp => pose_grasp(PoseGraspConfig::default(), Arc::default()),
    }
}
