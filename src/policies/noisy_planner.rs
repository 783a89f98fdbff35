//! Exploration that begins near something: the script's ways, but most attempts go to a grasp that the planner knows,
//! missed by an error that is drawn anew each time, from none to an object's size.
//!
//! What a learner needs most is what tells a grasp that holds from one that slips, and that lies a centimetre apart;
//! places drawn at random are mostly nowhere near an object. It reads the simulator's state, as [`super::Oracle`] does.

use super::planner::Planner;
use super::{Policy, Scripted};
use crate::contract::{Action, Rng};
use crate::sim::GraspWorld;
use glam::Vec3;

/// Share of places drawn at random all the same.
const ANYWHERE: f32 = 0.2;
/// Largest deviations of the error: across (m), in height (m), of the angle (rad).
const ACROSS: f32 = 0.02;
const HEIGHT: f32 = 0.01;
const ANGLE: f32 = 0.6;

#[derive(Default)]
pub struct NoisyPlanner {
    script: Scripted,
    planner: Planner,
}

impl Policy for NoisyPlanner {
    fn begin(&mut self) {
        self.script.begin();
    }

    fn act(&mut self, world: &GraspWorld, rng: &mut Rng) -> Action {
        if self.script.chooses()
            && !rng.chance(ANYWHERE)
            && let Some((place, yaw)) = self.aim(world, rng)
        {
            return self.script.choose(world, place, yaw);
        }
        self.script.act(world, rng)
    }
}

impl NoisyPlanner {
    /// A place and an angle near a grasp of any object.
    fn aim(&mut self, world: &GraspWorld, rng: &mut Rng) -> Option<(Vec3, f32)> {
        let object = rng.below(world.objects().len().max(1));
        let plan = self.planner.plan_among(world, &[object], |_, _, _| true);
        let error = rng.f32();
        let mut off = |std: f32| error * std * rng.normal();
        let (x, y, z, turn) = (off(ACROSS), off(ACROSS), off(HEIGHT), off(ANGLE));
        let plan = plan?;
        let place = world.clamp_to_workspace(plan.tip + Vec3::new(x, y, z));
        Some((place, plan.yaw + turn))
    }
}
