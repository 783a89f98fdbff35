//! Whether what is held stays held: planned grasps, lifted, then shaken as hard as the cell's arm moves.

use crate::contract::Seed;
use crate::objects::{ObjectModel, draw_objects};
use crate::policies::Planner;
use crate::scene::CellDescription;
use crate::sim::{GraspWorldBundle, GraspWorldMut, Motion, MotionState, SimConfig, Speed, ToolPose};
use crate::tasks::Lift;
use glam::Vec3;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// There and back by this much, metres and radians.
const AMPLITUDE_M: f32 = 0.04;
const AMPLITUDE_RAD: f32 = 0.3;
/// A grasp begins this far above the object.
const ABOVE_M: f32 = 0.1;
/// What is held slides by at most this much while it is shaken.
const SLIP_M: f32 = 0.02;

/// What became of grasped objects.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ShakeReport {
    /// Bins with objects in which a grasp was planned and tried.
    pub grasps: u64,
    /// Grasps that lifted an object.
    pub lifted: u64,
    /// Lifted objects that were still held, within 2 cm of where they were in the hand, after `seconds` of shaking.
    pub stayed: u64,
    /// Shakings that ended with a pose that is not finite.
    pub not_finite: u64,
    pub seconds: f32,
    /// Seeds and names of the objects that were lost.
    pub lost: Vec<(u64, String)>,
}

impl ShakeReport {
    /// Of the lifted objects.
    pub fn share(&self) -> Option<f64> {
        (self.lifted > 0).then(|| self.stayed as f64 / self.lifted as f64)
    }
}

enum Outcome {
    NotLifted,
    Stayed,
    Lost(String),
    NotFinite,
}

/// Grasps an object in each of `grasps` bins, lifts it and shakes it for `seconds` along x, y and z and about the vertical, at
/// the cell's full acceleration.
///
/// # Errors
/// A set without objects.
pub fn shake(
    cell: &Arc<CellDescription>,
    objects: &[Arc<ObjectModel>],
    grasps: u64,
    seconds: f32,
    seed: Seed,
) -> Result<ShakeReport, String> {
    if objects.is_empty() {
        return Err("there are no objects to grasp".into());
    }
    let outcomes: Vec<(u64, Outcome)> = (0..grasps)
        .into_par_iter()
        .map(|number| {
            let own = seed.derive("shake", number);
            (own.0, one(cell, objects, seconds, own))
        })
        .collect();
    let mut report = ShakeReport { grasps, seconds, ..ShakeReport::default() };
    for (seed, outcome) in outcomes {
        match outcome {
            Outcome::NotLifted => continue,
            Outcome::Stayed => report.stayed += 1,
            Outcome::Lost(name) => report.lost.push((seed, name)),
            Outcome::NotFinite => report.not_finite += 1,
        }
        report.lifted += 1;
    }
    Ok(report)
}

fn one(cell: &Arc<CellDescription>, objects: &[Arc<ObjectModel>], seconds: f32, seed: Seed) -> Outcome {
    let mut bundle = GraspWorldBundle::new(Arc::clone(cell), &SimConfig::default());
    let mut world = bundle.edit();
    let drawn = draw_objects(objects, cell.objects.per_episode, seed);
    world.reset(&drawn, seed);
    let Some(plan) = Planner::default().plan(&world.view(), |_, _, _| true) else { return Outcome::NotLifted };
    let (index, goal) = (plan.object, ToolPose { position: plan.tip, yaw: plan.yaw });
    world.begin_motion(&Motion::Place { goal: ToolPose { position: plan.tip + Vec3::Z * ABOVE_M, yaw: plan.yaw } });
    let mut lift = Lift::default();
    let approach = |close| Motion::Move { goal, close, speed: Speed::Full, max_s: 1.0 };
    let mut finite = carry_out(&mut world, &approach(None)) && carry_out(&mut world, &approach(Some(true)));
    let rise = lift.rise(&world.view(), 3.0);
    finite &= carry_out(&mut world, &rise);
    let hold = lift.hold(&world.view(), 0.5);
    finite &= carry_out(&mut world, &hold);
    if !finite {
        return Outcome::NotFinite;
    }
    if !lift.held(&world.view()).contains(&index) {
        return Outcome::NotLifted;
    }
    let offset = |world: &GraspWorldMut| {
        let view = world.view();
        let gripper = view.gripper_pose();
        gripper.inverse().transform_point(view.object_pose(index).translation)
    };
    let (before, middle) = (offset(&world), world.view().tool_pose());
    let dt = world.config().dt();
    let mut ticks = (seconds / dt).round() as u32;
    let mut rng = seed.derive("directions", 0).rng();
    while ticks > 0 {
        let side = if rng.chance(0.5) { 1.0 } else { -1.0 };
        let mut goal = middle;
        match rng.below(4) {
            3 => goal.yaw += side * AMPLITUDE_RAD,
            axis => goal.position[axis] += side * AMPLITUDE_M,
        }
        for goal in [goal, middle] {
            world.begin_motion(&Motion::Move { goal, close: None, speed: Speed::Full, max_s: 1.0 });
            let state = world.advance(&mut ticks, false);
            world.publish();
            if state == MotionState::Broken {
                return Outcome::NotFinite;
            }
        }
    }
    let after = offset(&world);
    let stayed = (after.length() - before.length()).abs() < SLIP_M;
    if stayed { Outcome::Stayed } else { Outcome::Lost(world.objects()[index].name.clone()) }
}

/// Whether all poses are still finite.
fn carry_out(world: &mut GraspWorldMut<'_>, motion: &Motion) -> bool {
    world.begin_motion(motion);
    let state = world.advance(&mut u32::MAX.clone(), true);
    world.publish();
    state != MotionState::Broken
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::{ObjectSet, Split};

    #[test]
    fn what_is_held_stays_held() -> Result<(), String> {
        let cell = Arc::new(CellDescription::iiwa_bin());
        let objects = ObjectSet::builtin().split(Split::Test);
        let report = shake(&cell, &objects, 40, 2.0, Seed(4))?;
        assert_eq!((report.grasps, report.not_finite), (40, 0));
        assert!(report.lifted >= 25, "{report:?}");
        assert_eq!(report.lifted, report.stayed + report.lost.len() as u64);
        assert!(report.share() > Some(0.9), "{report:?}");
        // Jaws that hardly press hold little.
        let mut weak = CellDescription::iiwa_bin();
        weak.gripper.force_n = 0.2;
        let report = shake(&Arc::new(weak), &objects, 40, 2.0, Seed(4))?;
        assert!(report.stayed < 10, "{report:?}");
        Ok(())
    }
}
