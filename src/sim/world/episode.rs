//! An episode: actions are carried out, the last one is judged (DESIGN section 5).
//!
//! In: actions. Out: rewards and terminations. A small machine, so that a viewer may draw between ticks; whoever looks
//! or does not look, the outcome is the same, bit for bit.

use super::GraspWorld;
use crate::contract::{Action, GripperCommand, Step};
use crate::scene::BinDescription;
use crate::sim::gripper::Gripper;
use crate::sim::motion::{Speed, ToolPose};
use glam::Vec3;

/// What the machine that carries out a step is doing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Phase {
    /// Waits for an action.
    Ready,
    /// Carries out an action; `judge` when the episode ends with it. In this and the next phases `free` says that
    /// nothing but the gripper moves and it meets nothing, so that there is no physics to be done.
    Moving {
        ticks: u32,
        judge: bool,
        free: bool,
    },
    /// The arm rises to be judged.
    Lifting {
        ticks: u32,
        free: bool,
    },
    /// Holds still in the air.
    Holding {
        ticks: u32,
        free: bool,
    },
    Done,
}

impl GraspWorld {
    /// Carries out one action to its end. After the last step of an episode this does nothing but repeat its outcome
    /// until the next reset.
    pub fn step(&mut self, action: &Action) -> Step {
        self.begin_step(action);
        loop {
            if let Some(step) = self.advance(u32::MAX) {
                return step;
            }
        }
    }

    /// Takes an action without moving anything yet; [`Self::advance`] carries it out. For viewers, which draw between.
    pub fn begin_step(&mut self, action: &Action) {
        if self.phase != Phase::Ready {
            return;
        }
        self.step_index += 1;
        let last = self.step_index >= u64::from(self.config.max_steps);
        let goal = self.goal_of(action);
        let Some(gripper) = &mut self.gripper else { return };
        let here = gripper.tool_pose(&self.physics);
        let closed = gripper.closed();
        // A policy that ends the episode has said that everything is as it wants it to be.
        match action.gripper {
            _ if action.terminate => {}
            GripperCommand::Keep => {}
            GripperCommand::Close => gripper.command(true),
            GripperCommand::Open => gripper.command(false),
        }
        let still = closed == gripper.closed();
        let goal = if action.terminate { here } else { goal };
        gripper.move_to(here, goal, Speed::Full);
        let free = still && self.way_is_free();
        self.terminating = action.terminate;
        self.phase = Phase::Moving { ticks: 0, judge: action.terminate || last, free };
    }

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

    /// The arm rises above the rim, gently: what is held should not be shaken off by the judgement.
    fn lift(&mut self) {
        let height = self.highest_rim() + self.cell.motion.lift_height;
        self.lift_aperture = self.gripper_state().aperture_m;
        if let Some(gripper) = &mut self.gripper {
            let here = gripper.tool_pose(&self.physics);
            let up = ToolPose { position: here.position.with_z(height.max(here.position.z)), yaw: here.yaw };
            gripper.move_to(here, up, Speed::Gentle);
        }
        self.phase = Phase::Lifting { ticks: 0, free: self.way_is_free() };
    }

    fn highest_rim(&self) -> f32 {
        self.cell.bins.iter().map(BinDescription::rim_z).fold(f32::NEG_INFINITY, f32::max)
    }

    /// Where an action leads: displacement and rotation clamped, then the place held inside the workspace.
    fn goal_of(&self, action: &Action) -> ToolPose {
        let limits = &self.cell.motion;
        let base = self.tool_pose();
        let translation = Vec3::from(action.translation_m);
        // A policy that returns nonsense stays where it is.
        let translation = if translation.is_finite() { translation } else { Vec3::ZERO };
        let rotation = if action.rotation_rad.is_finite() { action.rotation_rad } else { 0.0 };
        let wanted = base.position + translation.clamp(-limits.step_m, limits.step_m);
        let yaw = base.yaw + rotation.clamp(-limits.step_rad, limits.step_rad);
        ToolPose { position: self.clamp_to_workspace(wanted), yaw: yaw.clamp(-limits.max_yaw_rad, limits.max_yaw_rad) }
    }

    /// Carries on with the step by at most `ticks` of physics. Returns its outcome when it is finished.
    pub fn advance(&mut self, ticks: u32) -> Option<Step> {
        let ticks_at_once = ticks == u32::MAX;
        let mut left = ticks;
        while left > 0 {
            left -= 1;
            match self.phase {
                Phase::Ready | Phase::Done => return Some(self.last_step.clone()),
                Phase::Moving { ticks, judge, free } => {
                    self.motion_tick(free, ticks_at_once);
                    self.phase = Phase::Moving { ticks: ticks + 1, judge, free };
                    if self.gripper_finished() || ticks + 1 >= self.config.max_ticks_per_step {
                        if judge {
                            self.lift();
                            continue;
                        }
                        self.phase = Phase::Ready;
                        return Some(self.finish(self.config.step_reward, false, Vec::new()));
                    }
                }
                Phase::Lifting { ticks, free } => {
                    self.motion_tick(free, ticks_at_once);
                    self.phase = Phase::Lifting { ticks: ticks + 1, free };
                    if self.gripper_finished() || ticks + 1 >= 3 * self.config.rate_hz {
                        self.held_offsets = self.offsets_from_gripper();
                        self.phase = Phase::Holding { ticks: 0, free };
                    }
                }
                Phase::Holding { ticks, free } => {
                    self.motion_tick(free, ticks_at_once);
                    self.phase = Phase::Holding { ticks: ticks + 1, free };
                    let held = (ticks + 1) as f32 * self.config.dt() >= self.config.hold_seconds;
                    if held || (free && ticks_at_once) {
                        let grasped = self.held_clear();
                        let reward =
                            if grasped.is_empty() { self.config.failure_reward } else { self.config.success_reward };
                        self.phase = Phase::Done;
                        return Some(self.finish(reward, true, grasped));
                    }
                }
            }
            if !self.is_finite() {
                self.phase = Phase::Done;
                let mut step = self.finish(self.config.failure_reward, false, Vec::new());
                step.invalid = true;
                self.last_step = step.clone();
                return Some(step);
            }
        }
        self.publish();
        None
    }

    /// One tick; where there is no physics to be done and nobody looks on, the whole motion.
    fn motion_tick(&mut self, free: bool, at_once: bool) {
        if !free {
            self.physics_tick();
        } else if let Some(gripper) = &mut self.gripper {
            gripper.move_kinematic(&mut self.physics, if at_once { f32::INFINITY } else { self.config.dt() });
        }
    }

    fn gripper_finished(&self) -> bool {
        self.gripper.as_ref().is_none_or(Gripper::finished)
    }

    fn finish(&mut self, reward: f32, judged: bool, grasped: Vec<usize>) -> Step {
        self.publish();
        self.last_step = Step {
            reward,
            terminated: judged && self.terminating,
            truncated: judged && !self.terminating,
            invalid: false,
            grasped,
            step_index: self.step_index,
        };
        self.last_step.clone()
    }

    fn offsets_from_gripper(&self) -> Vec<Vec3> {
        let gripper = self.gripper_pose().translation;
        (0..self.models.len()).map(|i| self.physics.object_pose(i).translation - gripper).collect()
    }

    /// Objects whose lowest point is above every rim and that kept their distance from the gripper during the hold: what
    /// falls or slides loses it, what swings between the fingers does not.
    fn held_clear(&self) -> Vec<usize> {
        let rim = self.highest_rim();
        let now = self.offsets_from_gripper();
        (0..self.models.len())
            .filter(|&i| {
                let kept = self.held_offsets.get(i).is_some_and(|then| keeps_distance(*then, now[i]));
                self.physics.lowest_point(i) > rim && kept
            })
            .collect()
    }

    fn is_finite(&self) -> bool {
        (0..self.models.len()).all(|i| self.physics.object_pose(i).is_finite()) && self.gripper_pose().is_finite()
    }

    /// One tick with the gripper driven from one place to another, whatever the acceleration.
    #[cfg(test)]
    pub(in crate::sim) fn shake_tick(&mut self, from: Vec3, to: Vec3) {
        let dt = self.config.dt();
        if let Some(gripper) = &mut self.gripper {
            let tool_pose = |position| ToolPose { position, yaw: 0.0 };
            gripper.force_path(tool_pose(from), tool_pose(to), dt);
        }
        self.physics_tick();
    }
}

/// The box in a bin's frame around a box along the world's axes.
fn bounds_in_bin(bin: &BinDescription, low: Vec3, high: Vec3) -> (Vec3, Vec3) {
    let corners = [low, low.with_x(high.x), low.with_y(high.y), high].map(|corner| bin.to_bin(corner));
    corners.iter().fold((Vec3::INFINITY, Vec3::NEG_INFINITY), |(a, b), &corner| (a.min(corner), b.max(corner)))
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
