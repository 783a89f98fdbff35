//! Policies of the task `pose_grasp` that do not learn. In: a world. Out: relative poses.

use super::grasp_poses::GraspLibrary;
use super::pose_grasp::PoseGraspConfig;
use super::pose_reward::GripperPose;
use crate::contract::{Action, Rng};
use crate::policies::{PolicyKind, WorldPolicy};
use crate::scene::arm::wrap;
use crate::sim::GraspWorld;
use glam::{Quat, Vec3};
use std::sync::Arc;

/// Standard deviations of the noisy planner's errors: along x and y, in height, and of the turn.
const NOISE: (f32, f32, f32) = (0.02, 0.015, 0.25);
/// Share of the largest step that the script takes: it knows only where the table is.
const SCRIPTED: f32 = 0.5;

/// One of the built-in policies.
pub struct PoseScript {
    kind: PolicyKind,
    config: PoseGraspConfig,
    library: Arc<GraspLibrary>,
    decision: u32,
    /// The pose that is aimed at, once it is chosen.
    target: Option<GripperPose>,
}

impl PoseScript {
    /// A policy of this kind for episodes with these settings; the noisy planner and the oracle take good poses from
    /// `library`.
    pub fn new(kind: PolicyKind, config: PoseGraspConfig, library: Arc<GraspLibrary>) -> Self {
        Self { kind, config, library, decision: 0, target: None }
    }

    /// The nearest good pose, with the noisy planner's error.
    fn choose(&self, world: &GraspWorld, rng: &mut Rng) -> Option<GripperPose> {
        let here = world.tool_pose();
        let hand = GripperPose { position: here.position.as_dvec3().to_array(), yaw: f64::from(here.yaw) };
        let good = self.library.poses(world, 0);
        // Heights differ by little: what counts is the way over the table and the turn.
        let level = |pose: &GripperPose| {
            let [x, y, _] = pose.position;
            GripperPose { position: [x, y, hand.position[2]], ..*pose }
        };
        let levelled: Vec<GripperPose> = good.iter().map(level).collect();
        let (_, index) = self.config.reward.best(&hand, &levelled, false)?;
        let mut pose = good[index];
        if self.kind == PolicyKind::NoisyPlanner {
            let mut error = |std: f32| f64::from(std * rng.normal());
            pose.position[0] += error(NOISE.0);
            pose.position[1] += error(NOISE.0);
            pose.position[2] += error(NOISE.1);
            pose.yaw += error(NOISE.2);
        }
        Some(pose)
    }

    fn random(&self, world: &GraspWorld, share: f32, rng: &mut Rng) -> Action {
        let motion = &world.cell().motion;
        let mut within = |limit: f32| rng.range(-limit, limit) * share;
        let (x, y) = (within(motion.step_m.x), within(motion.step_m.y));
        let translation_m = [x, y, within(self.config.last_range_m)];
        Action { translation_m, rotation_rad: within(motion.step_rad), ..Action::default() }
    }
}

impl WorldPolicy for PoseScript {
    fn begin(&mut self) {
        (self.decision, self.target) = (0, None);
    }

    fn act(&mut self, world: &GraspWorld, rng: &mut Rng) -> Action {
        self.decision += 1;
        if self.decision > self.config.decisions + 1 {
            return Action { terminate: true, ..Action::default() };
        }
        match self.kind {
            PolicyKind::Random => return self.random(world, 1.0, rng),
            PolicyKind::Scripted => return self.random(world, SCRIPTED, rng),
            PolicyKind::NoisyPlanner | PolicyKind::Oracle => {}
        }
        if self.target.is_none() {
            self.target = self.choose(world, rng);
        }
        let Some(target) = self.target else { return self.random(world, 1.0, rng) };
        let here = world.tool_pose();
        let [x, y, z] = target.position.map(|value| value as f32);
        let way = Quat::from_rotation_z(-here.yaw) * (Vec3::new(x, y, z) - here.position);
        // Half a turn is no turn for a parallel jaw.
        let turn = 0.5 * wrap(2.0 * (target.yaw as f32 - here.yaw));
        let limit = world.cell().motion.max_yaw_rad;
        let turn = if (here.yaw + turn).abs() > limit { turn - std::f32::consts::PI.copysign(turn) } else { turn };
        let servoing = self.decision > self.config.decisions;
        let z = if servoing { way.z } else { way.z + self.config.last_descent_m };
        Action { translation_m: [way.x, way.y, z], rotation_rad: turn, ..Action::default() }
    }
}
