//! Motions of the gripper: carried out by physics, tick by tick.
//!
//! In: a [`Motion`]. Out: whether the gripper has arrived. A small machine, so that a viewer may draw between ticks; whether
//! anyone looks or not, the outcome is the same, bit for bit. What a motion is for is a task's to know.

use super::{GraspWorld, GraspWorldMut};
use crate::scene::BinDescription;
use crate::sim::gripper::Gripper;
use crate::sim::motion::{Speed, ToolPose};
use glam::Vec3;

/// What the gripper is to do next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Motion {
    /// Along a straight way to a pose, while the jaws close (`true`), open (`false`) or do as before. It is given up after
    /// `max_s` seconds.
    Move {
        /// Where the gripper is to arrive.
        goal: ToolPose,
        /// What the jaws do on the way; `None` leaves the command that they have.
        close: Option<bool>,
        /// How fast the motion gains speed.
        speed: Speed,
        /// Simulated seconds after which it ends where it is.
        max_s: f32,
    },
    /// Hold still.
    Hold {
        /// How long, in simulated seconds.
        seconds: f32,
    },
    /// The hand is put there at once and meets nothing on its way: for steps that are not to disturb the cell.
    Place {
        /// Where the hand is put; the jaws keep their command.
        goal: ToolPose,
    },
}

/// How far a motion is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MotionState {
    /// More ticks are needed before it is over.
    Moving,
    /// It is over, or there is none.
    Arrived,
    /// A pose is no longer finite: nothing can be done with this world before its next reset.
    Broken,
}

/// A motion under way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct ActiveMotion {
    ticks: u32,
    end: MotionEnd,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum MotionEnd {
    /// When the gripper has arrived, or after so many ticks.
    Arrival {
        max_ticks: u32,
    },
    After {
        seconds: f32,
    },
}

impl GraspWorldMut<'_> {
    /// Begins a motion without moving anything yet; [`Self::advance`] carries it out.
    pub fn begin_motion(&mut self, motion: &Motion) {
        let end = match *motion {
            Motion::Move { goal, close, speed, max_s } => {
                let here = self.view().tool_pose();
                let Some(gripper) = &mut self.state.gripper else { return };
                let closed = gripper.closed();
                if let Some(close) = close {
                    gripper.command(close);
                }
                let still = closed == gripper.closed();
                gripper.move_to(here, goal, speed);
                self.state.free = still && self.view().way_is_free();
                MotionEnd::Arrival { max_ticks: (max_s * self.config.rate_hz as f32).round() as u32 }
            }
            // Nothing moves that did not move before.
            Motion::Hold { seconds } => MotionEnd::After { seconds },
            Motion::Place { goal } => {
                if let Some(gripper) = &mut self.state.gripper {
                    let here = gripper.tool_pose(&self.physics.view());
                    gripper.move_to(here, goal, Speed::Full);
                    gripper.move_kinematic(&mut self.physics, f32::INFINITY);
                }
                self.state.motion = None;
                return;
            }
        };
        self.state.motion = Some(ActiveMotion { ticks: 0, end });
    }

    /// Carries on with the motion by at most `left` ticks, and counts them down. `at_once`: nobody looks on between, and
    /// where there is no physics to be done the whole motion is one tick.
    pub fn advance(&mut self, left: &mut u32, at_once: bool) -> MotionState {
        while let Some(ActiveMotion { ticks, end }) = self.motion {
            if *left == 0 {
                return MotionState::Moving;
            }
            *left -= 1;
            self.motion_tick(self.free, at_once);
            let ticks = ticks + 1;
            let over = match end {
                MotionEnd::Arrival { max_ticks } => self.view().gripper_finished() || ticks >= max_ticks,
                MotionEnd::After { seconds } => ticks as f32 * self.config.dt() >= seconds || (self.free && at_once),
            };
            self.state.motion = (!over).then_some(ActiveMotion { ticks, end });
            if !self.view().is_finite() {
                self.state.motion = None;
                return MotionState::Broken;
            }
        }
        MotionState::Arrived
    }

    /// One tick; where there is no physics to be done and nobody looks on, the whole motion.
    fn motion_tick(&mut self, free: bool, at_once: bool) {
        let dt = if at_once { f32::INFINITY } else { self.config.dt() };
        if !free {
            self.physics_tick();
        } else if let Some(gripper) = &mut self.state.gripper {
            gripper.move_kinematic(&mut self.physics, dt);
        }
    }

    /// One tick with the gripper driven from one place to another, whatever the acceleration.
    #[cfg(test)]
    pub(in crate::sim) fn shake_tick(&mut self, from: Vec3, to: Vec3) {
        let dt = self.config.dt();
        if let Some(gripper) = &mut self.state.gripper {
            let tool_pose = |position| ToolPose { position, yaw: 0.0 };
            gripper.force_path(tool_pose(from), tool_pose(to), dt);
        }
        self.physics_tick();
    }
}

impl GraspWorld<'_> {
    /// Whether everything rests and the gripper meets nothing on its way to its goal.
    fn way_is_free(&self) -> bool {
        const MARGIN: f32 = 0.005;
        let Some(gripper) = &self.gripper else { return true };
        if !(self.physics.all_asleep() && gripper.at_rest(&self.physics)) {
            return false;
        }
        let bounds = gripper.swept_bounds(MARGIN);
        let above_rims = |low: Vec3| self.cell.bins.iter().all(|bin| low.z - bin.position.z > bin.wall_height);
        let inside_a_bin = |low: Vec3, high: Vec3| {
            self.cell.bins.iter().zip(&self.divider_offsets).any(|(bin, &offset)| {
                let half = bin.half_size();
                let (low, high) = bounds_in_bin(bin, low, high);
                let inside = low.truncate().cmpge(-half).all() && high.truncate().cmple(half).all() && low.z > 0.0;
                let beside_divider = bin.divider.is_none_or(|divider| {
                    let reach = 0.5 * divider.thickness;
                    low.z > divider.height || low.y > offset + reach || high.y < offset - reach
                });
                inside && beside_divider
            })
        };
        let clear_of_bins = bounds.iter().all(|&(low, high)| above_rims(low) || inside_a_bin(low, high));
        clear_of_bins
            && (0..self.models.len()).all(|index| {
                let (low, high) = self.physics.object_bounds(index);
                bounds.iter().all(|(from, to)| low.cmpgt(*to).any() || high.cmplt(*from).any())
            })
    }

    /// The nearest pose that the gripper may take.
    pub fn reachable(&self, pose: ToolPose) -> ToolPose {
        let limit = self.cell.motion.max_yaw_rad;
        ToolPose { position: self.clamp_to_workspace(pose.position), yaw: pose.yaw.clamp(-limit, limit) }
    }

    fn gripper_finished(&self) -> bool {
        self.gripper.as_ref().is_none_or(Gripper::finished)
    }

    fn is_finite(&self) -> bool {
        (0..self.models.len()).all(|i| self.physics.object_pose(i).is_finite()) && self.gripper_pose().is_finite()
    }
}

/// The box in a bin's frame around a box along the world's axes.
fn bounds_in_bin(bin: &BinDescription, low: Vec3, high: Vec3) -> (Vec3, Vec3) {
    let corners = [low, low.with_x(high.x), low.with_y(high.y), high].map(|corner| bin.to_bin(corner));
    corners.iter().fold((Vec3::INFINITY, Vec3::NEG_INFINITY), |(a, b), &corner| (a.min(corner), b.max(corner)))
}
