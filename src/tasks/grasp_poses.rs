//! Good grasp poses: planned for each way in which an object rests, tried by physics, kept in the object's frame.
//!
//! In: worlds with objects. Out: the poses of the gripper, tips' middle and yaw, that grasp an object as it lies now. What
//! was found for an object is kept: environments share one [`GraspLibrary`].

use super::lift::Lift;
use super::pose_reward::GripperPose;
use crate::contract::{Pose, Seed};
use crate::objects::{ObjectModel, StablePose};
use crate::policies::{GraspPlan, Planner};
use crate::scene::CellDescription;
use crate::sim::{GraspWorld, GraspWorldBundle, GraspWorldMut, Motion, MotionState, SimConfig, Speed, ToolPose};
use glam::{Quat, Vec3};
use std::collections::HashMap;
use std::f32::consts::PI;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Poses of one resting pose, at most (the paper: two to ten an object).
const MOST: usize = 10;
/// Plans of a resting pose that are tried, at most.
const TRIED: usize = 20;
/// Poses that differ by less than both are one: metres, radians modulo half a turn.
const APART: (f32, f32) = (0.012, 0.2);
/// Plans this much worse than the best one are no good poses.
const SCORE_RANGE: f32 = 3.0;
/// The approach axis leans by at most this where a pose counts, cosine.
const UPRIGHT: f32 = 0.98;
/// A trial begins this far above the grasp, metres.
const ABOVE: f32 = 0.1;

/// A grasp in the object's frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GoodGrasp {
    /// The gripper in the object's frame: origin midway between the tips, x along the closing direction, z away from
    /// the tips.
    pub body_from_gripper: Pose,
    /// Expected distance between the closed pads.
    pub width_m: f32,
}

/// Good grasps of the objects that were asked about.
#[derive(Default)]
pub struct GraspLibrary {
    /// By the address of the model, which the entry keeps alive.
    entries: Mutex<HashMap<usize, Arc<Entry>>>,
}

struct Entry {
    model: Arc<ObjectModel>,
    rests: Vec<StablePose>,
    grasps: Vec<OnceLock<Vec<GoodGrasp>>>,
}

impl Entry {
    fn new(model: &Arc<ObjectModel>) -> Self {
        let rests = model.stable_poses();
        let grasps = rests.iter().map(|_| OnceLock::new()).collect();
        Self { model: Arc::clone(model), rests, grasps }
    }
}

impl GraspLibrary {
    /// The poses that grasp object `index` of a world as it lies: tips' middle in the world, and yaw. Empty where none does.
    pub fn poses(&self, world: &GraspWorld, index: usize) -> Vec<GripperPose> {
        let Some(model) = world.objects().get(index) else { return Vec::new() };
        let world_from_body = world.object_pose(index);
        let up = world_from_body.rotation.inverse() * Vec3::Z;
        let grasps = self.of_rest(model, up, (world.nominal_cell(), world.config()));
        let placed = grasps.iter().filter_map(|grasp| {
            let pose = world_from_body * grasp.body_from_gripper;
            ((pose.rotation * Vec3::Z).z > UPRIGHT).then(|| {
                let closing = pose.rotation * Vec3::X;
                GripperPose {
                    position: pose.translation.as_dvec3().to_array(),
                    yaw: f64::from(closing.y.atan2(closing.x)),
                }
            })
        });
        placed.collect()
    }

    /// The grasps of an object that rests with `up`, in its own frame, upwards.
    pub fn of_rest(
        &self,
        model: &Arc<ObjectModel>,
        up: Vec3,
        (cell, sim): (&Arc<CellDescription>, &SimConfig),
    ) -> Vec<GoodGrasp> {
        let address = Arc::as_ptr(model) as usize;
        let entry = {
            let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(entries.entry(address).or_insert_with(|| Arc::new(Entry::new(model))))
        };
        let leaning = |rest: &StablePose| rest.up().dot(up);
        let nearest = (0..entry.rests.len())
            .max_by(|&a, &b| leaning(&entry.rests[a]).total_cmp(&leaning(&entry.rests[b])).then(b.cmp(&a)));
        let Some(nearest) = nearest else { return Vec::new() };
        entry.grasps[nearest].get_or_init(|| find(cell, sim, &entry.model, &entry.rests[nearest])).clone()
    }
}

/// Plans and tries the grasps of an object on one of its faces.
fn find(cell: &Arc<CellDescription>, sim: &SimConfig, model: &Arc<ObjectModel>, rest: &StablePose) -> Vec<GoodGrasp> {
    let mut bundle = GraspWorldBundle::new(Arc::clone(cell), sim);
    let mut world = bundle.edit();
    world.reset(std::slice::from_ref(model), Seed(0));
    let place = cell.middle_of_bins() + Vec3::Z * (rest.height_m + 0.0005);
    world.place_object(0, Pose::new(place, rest.world_from_body));
    world.idle(1);
    for _ in 0..sim.max_settle_ticks {
        if world.view().is_calm() {
            break;
        }
        world.idle(1);
    }
    let resting = world.view().object_pose(0);
    let plans = Planner::default().all(&world.view(), 0);
    let worst = plans.first().map_or(0.0, |best| best.score - SCORE_RANGE);
    let mut good: Vec<(GraspPlan, Pose)> = Vec::new();
    let mut tried: Vec<GraspPlan> = Vec::new();
    for plan in plans.into_iter().take_while(|plan| plan.score >= worst) {
        if good.len() == MOST || tried.len() == TRIED {
            break;
        }
        if tried.iter().any(|other| is_near(other, &plan)) {
            continue;
        }
        tried.push(plan);
        if holds(&mut world, model, resting, &plan) {
            good.push((plan, ToolPose { position: plan.tip, yaw: plan.yaw }.pose()));
        }
    }
    good.iter()
        .map(|(plan, pose)| GoodGrasp { body_from_gripper: resting.inverse() * *pose, width_m: plan.width })
        .collect()
}

fn is_near(a: &GraspPlan, b: &GraspPlan) -> bool {
    let turn = (a.yaw - b.yaw + 0.5 * PI).rem_euclid(PI) - 0.5 * PI;
    a.tip.distance(b.tip) < APART.0 && turn.abs() < APART.1
}

/// Whether a grasp lifts the object: down, close, up, hold.
fn holds(world: &mut GraspWorldMut<'_>, model: &Arc<ObjectModel>, resting: Pose, plan: &GraspPlan) -> bool {
    world.reset(std::slice::from_ref(model), Seed(0));
    world.place_object(0, resting);
    world.idle(1);
    let goal = ToolPose { position: plan.tip, yaw: plan.yaw };
    let above = ToolPose { position: plan.tip + Vec3::Z * ABOVE, yaw: plan.yaw };
    world.begin_motion(&Motion::Place { goal: above });
    let carry_out = |world: &mut GraspWorldMut<'_>, motion: Motion| {
        world.begin_motion(&motion);
        let arrived = world.advance(&mut u32::MAX.clone(), true) == MotionState::Arrived;
        world.publish();
        arrived
    };
    let to = |close: Option<bool>| Motion::Move { goal, close, speed: Speed::Full, max_s: 1.0 };
    if !carry_out(world, to(None)) || world.view().tool_pose().position.distance(plan.tip) > 0.004 {
        return false;
    }
    let mut lift = Lift::default();
    carry_out(world, to(Some(true)))
        && {
            let up = lift.rise(&world.view(), 3.0);
            carry_out(world, up)
        }
        && {
            let hold = lift.hold(&world.view(), 0.2);
            carry_out(world, hold)
        }
        && lift.held(&world.view()) == [0]
}

/// The frame of a gripper's pose over a table.
pub fn frame_of(pose: &GripperPose) -> Pose {
    let [x, y, z] = pose.position;
    Pose::new(Vec3::new(x as f32, y as f32, z as f32), Quat::from_rotation_z(pose.yaw as f32))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::ObjectSet;

    #[test]
    fn every_object_has_two_to_ten_poses_in_most_of_its_rests_and_they_follow_it() {
        let cell = Arc::new(CellDescription::load("panda-table").expect("built in"));
        let sim = SimConfig::default();
        let library = GraspLibrary::default();
        for model in ObjectSet::ycb().expect("ten solids").objects() {
            let rests = model.graspable_rests(&cell.jaws());
            for rest in &rests {
                let up = rest.up();
                let grasps = library.of_rest(model, up, (&cell, &sim));
                println!("{} {:.2} {}", model.name, rest.probability, grasps.len());
                assert!(grasps.len() <= MOST, "{}: {}", model.name, grasps.len());
                for grasp in &grasps {
                    assert!(grasp.width_m <= cell.gripper.stroke, "{}: {grasp:?}", model.name);
                }
            }
            let found: Vec<usize> =
                rests.iter().map(|rest| library.of_rest(model, rest.up(), (&cell, &sim)).len()).collect();
            assert!(found.iter().all(|&count| count >= 2), "{}: {found:?}", model.name);
        }
        // Moved and turned about the vertical, the object takes its poses along.
        let mut bundle = GraspWorldBundle::new(Arc::clone(&cell), &sim);
        let mut world = bundle.edit();
        let banana = ObjectSet::ycb().expect("ten solids").objects()[5].clone();
        world.reset(&[banana], Seed(4));
        let before = library.poses(&world.view(), 0);
        let pose = world.view().object_pose(0);
        let turn = Quat::from_rotation_z(0.7);
        let moved = Pose::new(pose.translation + Vec3::new(0.05, -0.08, 0.0), turn * pose.rotation);
        world.place_object(0, moved);
        let after = library.poses(&world.view(), 0);
        assert!(before.len() >= 2 && before.len() == after.len());
        for (a, b) in before.iter().zip(&after) {
            let way = frame_of(a).translation - pose.translation;
            let expected = moved.translation + turn * way;
            assert!(frame_of(b).translation.distance(expected) < 1e-5);
            assert!(
                ((b.yaw - a.yaw - 0.7 + std::f64::consts::PI).rem_euclid(std::f64::consts::TAU) - std::f64::consts::PI)
                    .abs()
                    < 1e-4
            );
        }
    }
}
