//! Uniformly random actions: a floor for comparisons, and what the soak test throws at the simulation.

use super::Policy;
use crate::contract::{Action, GripperCommand, Rng};
use crate::sim::GraspWorld;

pub struct Random;

impl Policy for Random {
    fn begin(&mut self) {}

    fn act(&mut self, world: &GraspWorld, rng: &mut Rng) -> Action {
        let limits = &world.cell().motion;
        let mut within = |limit: f32| rng.range(-limit, limit);
        let translation_m = limits.step_m.to_array().map(&mut within);
        let rotation_rad = within(limits.step_rad);
        let gripper = *rng.pick(&[GripperCommand::Keep, GripperCommand::Close, GripperCommand::Open]);
        Action { translation_m, rotation_rad, gripper, terminate: rng.chance(0.05) }
    }
}
