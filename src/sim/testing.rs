//! Objects and worlds for this room's tests.

use super::{GraspCell, GraspWorldBundle, Motion, MotionState, SimConfig, Speed, ToolPose};
use crate::contract::{Action, GripperCommand, Pose, Rng, Seed};
use crate::objects::{AxisSpring, ConvexPart, ObjectModel, Physics, PieceDescription, SpringJoint};
use crate::scene::CellDescription;
use glam::{Quat, Vec3};
use std::sync::Arc;

/// A box of full size `size` metres, 0.1 kg.
pub fn cuboid(size: Vec3, friction: f32) -> Arc<ObjectModel> {
    let part = ConvexPart::Box { half_extents: 0.5 * size, body_from_part: Pose::IDENTITY };
    let physics = Physics { friction, ..Physics::default() };
    Arc::new(ObjectModel::new("box", vec![part], None, physics).expect("a box is solid"))
}

/// Three prisms merged at random, in the size of the catalogue's.
pub fn prisms(rng: &mut Rng) -> Arc<ObjectModel> {
    let mut parts = Vec::new();
    for i in 0..3 {
        let half = 0.5 * Vec3::new(rng.range(0.02, 0.035), rng.range(0.02, 0.045), rng.range(0.03, 0.07));
        let offset = if i == 0 { Vec3::ZERO } else { rng.direction() * 0.015 };
        let rotation = if i == 0 { glam::Quat::IDENTITY } else { rng.rotation() };
        parts.push(ConvexPart::Box { half_extents: half, body_from_part: Pose::new(offset, rotation) });
    }
    Arc::new(ObjectModel::new("prisms", parts, None, Physics::default()).expect("prisms are solid"))
}

pub fn five_prisms(seed: u64) -> Vec<Arc<ObjectModel>> {
    let mut rng = Seed(seed).rng();
    (0..5).map(|_| prisms(&mut rng)).collect()
}

/// A world with `objects` dropped into a bin without divider.
pub fn open_bin(objects: &[Arc<ObjectModel>], seed: u64) -> GraspWorldBundle {
    let mut cell = CellDescription::iiwa_bin();
    cell.bins[0].divider = None;
    let mut world = GraspWorldBundle::new(Arc::new(cell), &SimConfig::default());
    world.edit().reset(objects, Seed(seed));
    world
}

pub fn action(translation_m: Vec3, rotation_rad: f32, gripper: GripperCommand) -> Action {
    Action { translation_m: translation_m.to_array(), rotation_rad, gripper, terminate: false }
}

/// Carries out a motion to its end.
pub fn carry_out(world: &mut GraspWorldBundle, motion: &Motion) {
    let mut world = world.edit();
    world.begin_motion(motion);
    assert_eq!(world.advance(&mut u32::MAX.clone(), true), MotionState::Arrived);
    world.publish();
}

/// Brings the gripper to `place` with `yaw`.
pub fn go_to(world: &mut GraspWorldBundle, place: Vec3, yaw: f32) {
    let goal = ToolPose { position: place, yaw };
    carry_out(world, &Motion::Move { goal, close: None, speed: Speed::Full, max_s: 3.0 });
}

/// Everything that a renderer or a learner could see of a world, as bits.
pub fn fingerprint(world: &GraspCell) -> Vec<u32> {
    let poses = world.body_poses().iter().flat_map(|p| [p.translation.extend(0.0), glam::Vec4::from(p.rotation)]);
    poses.flat_map(|v| v.to_array()).map(f32::to_bits).collect()
}

/// `count` different objects, at random.
pub fn distinct(objects: &[Arc<ObjectModel>], count: usize, seed: Seed) -> Vec<Arc<ObjectModel>> {
    let mut order: Vec<usize> = (0..objects.len()).collect();
    seed.derive("objects", 0).rng().shuffle(&mut order);
    order.into_iter().take(count).map(|i| Arc::clone(&objects[i])).collect()
}

/// Two boxes with a spring between them, as wide and high as one cube of 48 mm along and 36 mm across.
#[derive(Clone, Copy)]
pub struct Halves {
    pub stiffness: f32,
    /// The spring's axis, which is also that of the two boxes.
    pub along: Vec3,
    pub piece_mass_kg: f32,
    pub travel_m: f32,
}

impl Default for Halves {
    fn default() -> Self {
        Self { stiffness: 500.0, along: Vec3::X, piece_mass_kg: 0.02, travel_m: 0.015 }
    }
}

impl Halves {
    const LONG: f32 = 0.048;
    const WIDE: f32 = 0.036;

    /// Half of its length along the spring.
    pub fn half_height(&self) -> f32 {
        0.5 * Self::LONG
    }

    /// Half of its width across the spring.
    pub fn half_width(&self) -> f32 {
        0.5 * Self::WIDE
    }

    pub fn object(&self) -> Arc<ObjectModel> {
        let turn = Quat::from_rotation_arc(Vec3::X, self.along);
        let half_extents = Vec3::new(0.25 * Self::LONG, 0.5 * Self::WIDE, 0.5 * Self::WIDE);
        let piece = |side: f32| {
            let body_from_part = Pose::new(turn * (Vec3::X * (0.25 * Self::LONG * side)), turn);
            let parts = vec![ConvexPart::Box { half_extents, body_from_part }];
            PieceDescription { parts, mesh: None, mass_kg: self.piece_mass_kg }
        };
        let spring = AxisSpring::damped(self.stiffness, 0.7, 0.5 * self.piece_mass_kg, [-self.travel_m, 0.001]);
        let joint = SpringJoint {
            pieces: [0, 1],
            object_from_joint: Pose::new(Vec3::ZERO, turn),
            linear: [Some(spring), None, None],
            angular: [None; 3],
        };
        let pieces = vec![piece(-1.0), piece(1.0)];
        Arc::new(ObjectModel::spring_jointed("halves", pieces, vec![joint], Physics::default()).expect("two boxes"))
    }
}

/// Boxes in a row along x with hinges about y between them.
pub fn chain(count: usize, length: f32, mass_kg: f32, stiffness: f32) -> Arc<ObjectModel> {
    let at = |k: f32| length * (k - 0.5 * count as f32);
    let piece = |k: usize| PieceDescription {
        parts: vec![ConvexPart::Box {
            half_extents: Vec3::new(0.5 * length, 0.012, 0.006),
            body_from_part: Pose::from_translation(Vec3::X * at(k as f32 + 0.5)),
        }],
        mesh: None,
        mass_kg,
    };
    let joint = |k: usize| {
        let spring = AxisSpring::damped(stiffness, 0.7, mass_kg * length * length * 2.0, [-1.0, 1.0]);
        SpringJoint {
            pieces: [k - 1, k],
            object_from_joint: Pose::from_translation(Vec3::X * at(k as f32)),
            linear: [None; 3],
            angular: [None, Some(spring), None],
        }
    };
    let (pieces, joints) = ((0..count).map(piece).collect(), (1..count).map(joint).collect());
    Arc::new(ObjectModel::spring_jointed("chain", pieces, joints, Physics::default()).expect("boxes"))
}
