//! The judgement of a grasp: the arm rises above the rims, holds still, and what is still between the fingers counts.
//!
//! In: a world whose jaws have closed. Out: [`Motion`]s, then the objects that are held.

use crate::contract::{EMPTY_APERTURE_M, Failure};
use crate::scene::{BinDescription, CellDescription};
use crate::sim::{GraspWorld, Motion, Speed, ToolPose};
use glam::Vec3;

/// A lift under way.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Lift {
    /// Distance between the pads when it began, metres.
    aperture_m: f32,
    /// Offsets of the objects from the gripper when the hold began.
    held_offsets: Vec<Vec3>,
}

impl Lift {
    /// The arm rises gently: what is held should not be shaken off by the judgement.
    pub fn rise(&mut self, world: &GraspWorld, max_s: f32) -> Motion {
        self.aperture_m = world.gripper_state().aperture_m;
        let here = world.tool_pose();
        let height = highest_rim(world.cell()) + world.cell().motion.lift_height;
        let up = ToolPose { position: here.position.with_z(height.max(here.position.z)), yaw: here.yaw };
        Motion::Move { goal: up, close: None, speed: Speed::Gentle, max_s }
    }

    /// It has risen and holds still in the air.
    pub fn hold(&mut self, world: &GraspWorld, seconds: f32) -> Motion {
        self.held_offsets = offsets_from_gripper(world);
        Motion::Hold { seconds }
    }

    /// Objects whose lowest point is above every rim and that kept their distance from the gripper during the hold: what
    /// falls or slides loses it, what swings between the fingers does not.
    pub fn held(&self, world: &GraspWorld) -> Vec<usize> {
        let rim = highest_rim(world.cell());
        let now = offsets_from_gripper(world);
        (0..now.len())
            .filter(|&i| {
                let kept = self.held_offsets.get(i).is_some_and(|then| keeps_distance(*then, now[i]));
                world.lowest_point(i) > rim && kept
            })
            .collect()
    }

    /// Why nothing is held.
    pub fn failure(&self, world: &GraspWorld) -> Failure {
        if !world.gripper_state().closed {
            Failure::JawsOpen
        } else if self.aperture_m < EMPTY_APERTURE_M {
            Failure::EmptyGrasp
        } else {
            Failure::Slipped
        }
    }
}

pub fn highest_rim(cell: &CellDescription) -> f32 {
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
