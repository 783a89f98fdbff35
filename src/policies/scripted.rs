//! The human-designed exploration that real robots' data begins with (RL-CycleGAN, appendix A): go to a random place
//! near the bin floor, close, lift. It feels only its own gripper, tries a second place when the jaws have closed on
//! nothing, and succeeds a small fraction of the time.

use super::Policy;
use crate::contract::{Action, GripperCommand, Rng};
use crate::sim::GraspWorld;
use glam::Vec3;
use std::f32::consts::FRAC_PI_2;

const TRIES: u32 = 2;
/// Below this opening (metres) there is nothing between the pads.
const EMPTY: f32 = 0.003;
/// Tips travel at least this high above the bin floor.
const TRAVEL: f32 = 0.1;

#[derive(Clone, Copy, Debug, Default)]
enum Stage {
    #[default]
    Choose,
    /// To a place and an angle: over it, then down. `z` is the height before the last move down.
    Approach {
        place: Vec3,
        yaw: f32,
        z: f32,
    },
    Closed,
    Lifted,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Scripted {
    stage: Stage,
    tries: u32,
}

impl Policy for Scripted {
    fn begin(&mut self) {
        *self = Self::default();
    }

    fn act(&mut self, world: &GraspWorld, rng: &mut Rng) -> Action {
        let step = world.cell().motion.step_m.z;
        let lift = Action { translation_m: [0.0, 0.0, step], ..Action::default() };
        match self.stage {
            Stage::Choose => {
                let (place, yaw) = random_place(world, rng);
                self.choose(world, place, yaw)
            }
            Stage::Approach { place, yaw, z } => self.approach(world, place, yaw, z),
            Stage::Closed if world.gripper_state().aperture_m < EMPTY && self.tries < TRIES => {
                self.stage = Stage::Choose;
                let up = world.gripper_state().height_m;
                let rise = (TRAVEL - up).clamp(0.0, step);
                Action { translation_m: [0.0, 0.0, rise], gripper: GripperCommand::Open, ..Action::default() }
            }
            Stage::Closed => {
                self.stage = Stage::Lifted;
                lift
            }
            Stage::Lifted => Action { terminate: true, ..Action::default() },
        }
    }
}

impl Scripted {
    /// Whether it chooses a new place next.
    pub(super) fn chooses(&self) -> bool {
        matches!(self.stage, Stage::Choose)
    }

    /// Chooses `place` and `yaw` in place of random ones.
    pub(super) fn choose(&mut self, world: &GraspWorld, place: Vec3, yaw: f32) -> Action {
        self.tries += 1;
        self.approach(world, place, yaw, f32::INFINITY)
    }

    fn approach(&mut self, world: &GraspWorld, place: Vec3, yaw: f32, z: f32) -> Action {
        let here = world.gripper_pose().translation;
        let way = place - here;
        let turn = yaw - world.gripper_yaw();
        self.stage = Stage::Approach { place, yaw, z };
        if way.truncate().abs().max_element() > 0.01 || turn.abs() > 0.05 {
            let down = (TRAVEL - world.gripper_state().height_m).min(0.0);
            let gripper = GripperCommand::Open;
            return Action { translation_m: [way.x, way.y, down], rotation_rad: turn, gripper, terminate: false };
        }
        // Down as far as it goes: to the place, or onto something.
        if way.z > -0.005 || z - here.z < 0.004 {
            self.stage = Stage::Closed;
            return Action { gripper: GripperCommand::Close, ..Action::default() };
        }
        self.stage = Stage::Approach { place, yaw, z: here.z };
        Action { translation_m: way.to_array(), rotation_rad: turn, ..Action::default() }
    }
}

/// Somewhere in a bin that holds objects, near its floor; away from the walls by about half an object.
fn random_place(world: &GraspWorld, rng: &mut Rng) -> (Vec3, f32) {
    let bin = &world.cell().bins[*rng.pick(world.filled_bins())];
    let half = (bin.half_size() - 0.05).max(glam::Vec2::splat(0.01));
    let (x, y) = (rng.range(-half.x, half.x), rng.range(-half.y, half.y));
    let place = bin.world_from_bin().transform_point(Vec3::new(x, y, rng.range(0.005, 0.02)));
    (world.clamp_to_workspace(place), rng.range(-FRAC_PI_2, FRAC_PI_2))
}
