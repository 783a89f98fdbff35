//! Grasps with full knowledge of the state: an upper bound, and a source of good data.
//!
//! Plans a grasp, goes above it, down, closes, lifts a little, looks whether the object came along, and ends the
//! episode or tries again while there are steps left. What lies along a wall leaves a finger no room: then it is dragged
//! towards the middle of the bin with the closed fingers on top of it, and the planning starts again.

use super::Policy;
use super::planner::{GraspPlan, Planner};
use crate::contract::{Action, GripperCommand, Pose, Rng};
use crate::sim::GraspWorld;
use glam::Vec3;

/// Closer than this (m, rad) the gripper is where it should be.
const ARRIVED: (f32, f32) = (0.0015, 0.02);
/// How far the closed fingers are asked to go below the top of what they drag, and how far they drag it, metres.
const PRESS: f32 = 0.004;
const DRAG: f32 = 0.07;
/// Below this the jaws have closed on nothing.
const EMPTY_APERTURE: f32 = 0.002;

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Stage {
    #[default]
    Plan,
    Above,
    /// `z` is the gripper's height before the last move down.
    Down {
        z: f32,
    },
    /// Closed; the object's pose in the gripper and its height then.
    Lift {
        gripper_from_object: Pose,
        z: f32,
    },
    /// Over an object that cannot be grasped where it lies, with the fingers closed; `place` is on its top.
    Press {
        place: Vec3,
        /// The gripper's height before the last move down.
        z: f32,
    },
    /// Nothing came along: up and open again.
    Retreat,
}

#[derive(Default)]
pub struct Oracle {
    planner: Planner,
    stage: Stage,
    plan: Option<GraspPlan>,
    /// Grasps that failed in this episode.
    failed: Vec<GraspPlan>,
}

impl Policy for Oracle {
    fn begin(&mut self) {
        self.stage = Stage::Plan;
        self.plan = None;
        self.failed.clear();
    }

    fn act(&mut self, world: &GraspWorld, rng: &mut Rng) -> Action {
        // Stages that need no motion of their own fall through to the next.
        for _ in 0..4 {
            if let Some(action) = self.next(world, rng) {
                return action;
            }
        }
        Action::default()
    }
}

impl Oracle {
    /// The grasp being carried out, for overlays.
    pub fn plan(&self) -> Option<&GraspPlan> {
        self.plan.as_ref()
    }

    fn next(&mut self, world: &GraspWorld, rng: &mut Rng) -> Option<Action> {
        let here = world.gripper_pose().translation;
        match (self.stage, self.plan) {
            (Stage::Press { place, z }, _) => Some(self.press(world, place, z)),
            (Stage::Retreat, _) => {
                self.plan = None;
                self.stage = Stage::Plan;
                let up = (travel_height(world) - here.z).max(0.0);
                Some(Action { translation_m: [0.0, 0.0, up], gripper: GripperCommand::Open, ..Action::default() })
            }
            (Stage::Plan, _) | (_, None) => {
                self.plan = self.choose(world);
                if self.plan.is_some() {
                    self.stage = Stage::Above;
                    return None;
                }
                // Nothing can be reached: moving something is worth more than waiting.
                let place = self.top_of_some_object(world, rng)?;
                self.stage = Stage::Press { place, z: f32::INFINITY };
                None
            }
            (Stage::Above, Some(plan)) => {
                let height = travel_height(world).max(plan.tip.z);
                let above = plan.tip.with_z(height);
                let turn = plan.yaw - world.gripper_yaw();
                if (above - here).truncate().length() < ARRIVED.0 && turn.abs() < ARRIVED.1 {
                    self.stage = Stage::Down { z: f32::INFINITY };
                    return None;
                }
                // Go down only as far as one is over everything.
                Some(Action {
                    translation_m: (above - here).to_array(),
                    rotation_rad: turn,
                    gripper: GripperCommand::Open,
                    terminate: false,
                })
            }
            (Stage::Down { z }, Some(plan)) => {
                let way = plan.tip - here;
                // Something is in the way that was not seen, or gave way too little.
                let blocked = z - here.z < 0.004;
                if blocked && -way.z > 0.025 {
                    return self.give_up(plan);
                }
                if way.z > -ARRIVED.0 || blocked {
                    let object = world.object_poses()[plan.object];
                    self.stage = Stage::Lift {
                        gripper_from_object: world.gripper_pose().inverse() * object,
                        z: object.translation.z,
                    };
                    return Some(Action { gripper: GripperCommand::Close, ..Action::default() });
                }
                self.stage = Stage::Down { z: here.z };
                let turn = plan.yaw - world.gripper_yaw();
                Some(Action { translation_m: way.to_array(), rotation_rad: turn, ..Action::default() })
            }
            (Stage::Lift { gripper_from_object, z }, Some(plan)) => {
                let object = world.object_poses()[plan.object];
                let rise = object.translation.z - z;
                let step = world.cell().motion.step_m.z;
                if world.gripper_state().aperture_m < EMPTY_APERTURE {
                    return self.give_up(plan);
                }
                // What has turned or slipped in the jaws is lifted on with care before it counts.
                let now = world.gripper_pose().inverse() * object;
                let slip = now.translation.distance(gripper_from_object.translation);
                let turn = now.rotation.angle_between(gripper_from_object.rotation);
                let sure = slip < 0.01 && turn < 0.15;
                if rise > if sure { 0.03 } else { 0.1 } {
                    return Some(Action { terminate: true, ..Action::default() });
                }
                if rise < 0.02 && here.z - plan.tip.z > 0.06 {
                    return self.give_up(plan);
                }
                Some(Action { translation_m: [0.0, 0.0, step], ..Action::default() })
            }
        }
    }

    fn give_up(&mut self, plan: GraspPlan) -> Option<Action> {
        self.failed.push(plan);
        self.stage = Stage::Retreat;
        None
    }

    fn choose(&mut self, world: &GraspWorld) -> Option<GraspPlan> {
        let failed = &self.failed;
        let fresh = |object: usize, tip: Vec3, yaw: f32| {
            !failed.iter().any(|plan| {
                let turn = (yaw - plan.yaw).sin().abs();
                plan.object == object && plan.tip.distance(tip) < 0.012 && turn < 0.3
            })
        };
        self.planner.plan(world, fresh)
    }

    /// Goes over a place with closed fingers, down onto it, and chooses the way to drag it.
    fn press(&mut self, world: &GraspWorld, place: Vec3, z: f32) -> Action {
        let here = world.gripper_pose().translation;
        let way = place - here;
        let over = way.truncate().length() < 0.004;
        let up = (travel_height(world) - here.z).max(0.0);
        if !over || !world.gripper_state().closed {
            let climb = if over { 0.0 } else { up };
            return Action {
                translation_m: [way.x, way.y, climb],
                gripper: GripperCommand::Close,
                ..Action::default()
            };
        }
        let arrived = way.z > -ARRIVED.0 || z - here.z < 0.004;
        if !arrived {
            self.stage = Stage::Press { place, z: here.z };
            return Action { translation_m: [0.0, 0.0, way.z], ..Action::default() };
        }
        // Towards the middle of the bin, as far as one step goes.
        let middle = world
            .cell()
            .bins
            .iter()
            .map(|bin| bin.position)
            .min_by(|a, b| a.distance_squared(here).total_cmp(&b.distance_squared(here)))
            .unwrap_or(here);
        let towards = (middle - here).with_z(0.0);
        let step = world.cell().motion.step_m.min_element();
        self.stage = Stage::Retreat;
        Action { translation_m: towards.clamp_length_max(step.min(DRAG)).to_array(), ..Action::default() }
    }

    /// A place a little below the top of an object, over its centre of mass, where the fingers may go.
    fn top_of_some_object(&self, world: &GraspWorld, rng: &mut Rng) -> Option<Vec3> {
        let present: Vec<usize> = (0..world.objects().len()).filter(|&index| world.is_present(index)).collect();
        let object = *present.get(rng.below(present.len()))?;
        let pose = world.object_poses().get(object)?;
        let origin = world.cell().bins.first()?.position;
        let height = world.object_heights(&[(pose.translation - origin).truncate()]).first().copied()?;
        Some(world.clamp_to_workspace(pose.translation.with_z(origin.z + height - PRESS)))
    }
}

/// Tips at this height pass over everything in the bin.
fn travel_height(world: &GraspWorld) -> f32 {
    let objects = (0..world.objects().len()).map(|i| world.highest_point(i));
    let rim = world.cell().bins.iter().map(|bin| bin.rim_z()).fold(f32::NEG_INFINITY, f32::max);
    let ceiling = world.cell().bins.first().map_or(rim, |bin| bin.position.z) + world.cell().motion.ceiling;
    (objects.fold(rim - 0.02, f32::max) + 0.012).min(ceiling)
}
