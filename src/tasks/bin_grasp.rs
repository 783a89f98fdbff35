//! Grasping any object from the bin (QT-Opt, section 4): displacements of the gripper, its jaws, and the end of the episode
//! are actions; the last step is judged by lifting what is held above the rims.
//!
//! | | |
//! |---|---|
//! | reward | 1 for a grasp, 0 for none, -0.05 for every other step |
//! | ends | the policy's `terminate`, or step 20; both are judged |
//! | success | an object is above every rim and keeps its distance from the gripper while it is held still |

use super::lift::Lift;
use super::{Judgement, Next, Task};
use crate::contract::{Action, ActionSpace, Failure, GripperCommand};
use crate::scene::CellDescription;
use crate::sim::{GraspWorld, Motion, Speed, ToolPose};
use glam::Vec3;
use serde::{Deserialize, Serialize};

/// Limits and rewards of [`BinGrasp`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BinGraspConfig {
    /// Actions an episode may have; the last is judged.
    pub max_steps: u32,
    /// Seconds after which a step ends even if its motion has not.
    pub max_step_s: f32,
    /// The same for the lift.
    pub max_lift_s: f32,
    /// Seconds a grasp is held in the air before it is judged.
    pub hold_s: f32,
    /// Reward of every step that does not end the episode.
    pub step_reward: f32,
    /// Reward of the last step where at least one object is held.
    pub success_reward: f32,
    /// Reward of the last step where nothing is held.
    pub failure_reward: f32,
}

impl Default for BinGraspConfig {
    fn default() -> Self {
        Self {
            max_steps: 20,
            max_step_s: 0.375,
            max_lift_s: 3.0,
            hold_s: 0.2,
            step_reward: -0.05,
            success_reward: 1.0,
            failure_reward: 0.0,
        }
    }
}

/// What the motion under way is for.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Phase {
    #[default]
    Acting,
    /// The arm rises to be judged.
    Lifting,
    /// It holds still in the air.
    Holding,
}

/// The task `bin-grasp` in one environment.
#[derive(Debug, Default)]
pub struct BinGrasp {
    config: BinGraspConfig,
    phase: Phase,
    /// The step under way is the policy's last, or the time limit's.
    terminating: bool,
    is_last: bool,
    lift: Lift,
}

impl BinGrasp {
    /// A task that waits for its first [`Task::begin`].
    pub fn new(config: BinGraspConfig) -> Self {
        Self { config, ..Self::default() }
    }

    fn judge(&self, world: &GraspWorld) -> Judgement {
        let grasped = self.lift.held(world);
        let success = !grasped.is_empty();
        let failure = match (success, self.terminating) {
            (true, _) => None,
            (false, false) => Some(Failure::TimedOut),
            (false, true) => Some(self.lift.failure(world)),
        };
        let reward = if success { self.config.success_reward } else { self.config.failure_reward };
        Judgement { reward, terminated: self.terminating, grasped, failure }
    }
}

impl Task for BinGrasp {
    fn action_space(&self, cell: &CellDescription) -> ActionSpace {
        ActionSpace { step_m: cell.motion.step_m.to_array(), step_rad: cell.motion.step_rad }
    }

    fn max_steps(&self) -> u64 {
        u64::from(self.config.max_steps)
    }

    fn begin(&mut self, _: &GraspWorld) {
        *self = Self::new(self.config);
    }

    fn act(&mut self, world: &GraspWorld, action: &Action, step_index: u64) -> Motion {
        self.phase = Phase::Acting;
        self.terminating = action.terminate;
        self.is_last = action.terminate || step_index >= self.max_steps();
        let here = world.tool_pose();
        // A policy that ends the episode has said that everything is as it wants it to be.
        let (goal, close) = if action.terminate {
            (here, None)
        } else {
            let position = here.position + Vec3::from(action.translation_m);
            let goal = world.reachable(ToolPose { position, yaw: here.yaw + action.rotation_rad });
            let close = match action.gripper {
                GripperCommand::Keep => None,
                GripperCommand::Close => Some(true),
                GripperCommand::Open => Some(false),
            };
            (goal, close)
        };
        Motion::Move { goal, close, speed: Speed::Full, max_s: self.config.max_step_s }
    }

    fn after_motion(&mut self, world: &GraspWorld) -> Next {
        match self.phase {
            Phase::Acting if self.is_last => {
                self.phase = Phase::Lifting;
                Next::Move(self.lift.rise(world, self.config.max_lift_s))
            }
            Phase::Acting => Next::Step { reward: self.config.step_reward },
            Phase::Lifting => {
                self.phase = Phase::Holding;
                Next::Move(self.lift.hold(world, self.config.hold_s))
            }
            Phase::Holding => Next::End(self.judge(world)),
        }
    }
}
