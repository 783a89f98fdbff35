//! Grasping any object from the bin (QT-Opt, section 4): displacements of the gripper, its jaws, and the end of the episode
//! are actions; the last step is judged by lifting what is held above the rims.
//!
//! | | |
//! |---|---|
//! | reward | 1 for a grasp, 0 for none, -0.05 for every other step |
//! | ends | the policy's `terminate`, or step 20; both are judged |
//! | success | an object is above every rim and keeps its distance from the gripper while it is held still |

use super::{Judgement, Next, Task};
use crate::contract::{Action, ActionSpace, EMPTY_APERTURE_M, Failure, GripperCommand};
use crate::scene::{BinDescription, CellDescription};
use crate::sim::{GraspWorld, Motion, Speed, ToolPose};
use glam::Vec3;
use serde::{Deserialize, Serialize};

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
    pub step_reward: f32,
    pub success_reward: f32,
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

#[derive(Debug, Default)]
pub struct BinGrasp {
    config: BinGraspConfig,
    phase: Phase,
    /// The step under way is the policy's last, or the time limit's.
    terminating: bool,
    is_last: bool,
    /// Distance between the pads when the lift began, metres.
    lift_aperture_m: f32,
    /// Offsets of the objects from the gripper when the hold began.
    held_offsets: Vec<Vec3>,
}

impl BinGrasp {
    pub fn new(config: BinGraspConfig) -> Self {
        Self { config, ..Self::default() }
    }

    /// The arm rises above the rims, gently: what is held should not be shaken off by the judgement.
    fn lift(&mut self, world: &GraspWorld) -> Motion {
        self.phase = Phase::Lifting;
        self.lift_aperture_m = world.gripper_state().aperture_m;
        let here = world.tool_pose();
        let height = highest_rim(world.cell()) + world.cell().motion.lift_height;
        let up = ToolPose { position: here.position.with_z(height.max(here.position.z)), yaw: here.yaw };
        Motion::Move { goal: up, close: None, speed: Speed::Gentle, max_s: self.config.max_lift_s }
    }

    fn judge(&self, world: &GraspWorld) -> Judgement {
        let grasped = self.held_clear(world);
        let success = !grasped.is_empty();
        let failure = if success {
            None
        } else if !self.terminating {
            Some(Failure::TimedOut)
        } else if !world.gripper_state().closed {
            Some(Failure::JawsOpen)
        } else if self.lift_aperture_m < EMPTY_APERTURE_M {
            Some(Failure::EmptyGrasp)
        } else {
            Some(Failure::Slipped)
        };
        let reward = if success { self.config.success_reward } else { self.config.failure_reward };
        Judgement { reward, terminated: self.terminating, grasped, failure }
    }

    /// Objects whose lowest point is above every rim and that kept their distance from the gripper during the hold: what
    /// falls or slides loses it, what swings between the fingers does not.
    fn held_clear(&self, world: &GraspWorld) -> Vec<usize> {
        let rim = highest_rim(world.cell());
        let now = offsets_from_gripper(world);
        (0..now.len())
            .filter(|&i| {
                let kept = self.held_offsets.get(i).is_some_and(|then| keeps_distance(*then, now[i]));
                world.lowest_point(i) > rim && kept
            })
            .collect()
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
            Phase::Acting if self.is_last => Next::Move(self.lift(world)),
            Phase::Acting => Next::Step { reward: self.config.step_reward },
            Phase::Lifting => {
                self.phase = Phase::Holding;
                self.held_offsets = offsets_from_gripper(world);
                Next::Move(Motion::Hold { seconds: self.config.hold_s })
            }
            Phase::Holding => Next::End(self.judge(world)),
        }
    }
}

fn highest_rim(cell: &CellDescription) -> f32 {
    cell.bins.iter().map(BinDescription::rim_z).fold(f32::NEG_INFINITY, f32::max)
}

fn offsets_from_gripper(world: &GraspWorld) -> Vec<Vec3> {
    let gripper = world.gripper_pose().translation;
    (0..world.objects().len()).map(|i| world.object_pose(i).translation - gripper).collect()
}

/// Whether what was at one offset from the gripper and is at another is as far from it, but for 2 cm.
fn keeps_distance(then: Vec3, now: Vec3) -> bool {
    (then.length() - now.length()).abs() < 0.02
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_swings_is_held_and_what_falls_is_not() {
        // Held at one end, 5 cm from its middle, it turns by 60 degrees about the fingers.
        let hanging = Vec3::new(0.0, 0.0, -0.05);
        let aside = Vec3::new(0.043, 0.0, -0.025);
        assert!(hanging.distance(aside) > 0.04 && keeps_distance(hanging, aside));
        // It slides down, or has left the hand and falls for a tenth of a second.
        assert!(!keeps_distance(hanging, Vec3::new(0.0, 0.0, -0.075)));
        assert!(!keeps_distance(Vec3::new(0.02, 0.0, -0.01), Vec3::new(0.02, 0.0, -0.059)));
    }
}
