//! What a user of the simulation relies on: friction holds, the same seed gives the same bits, rewards and ends are
//! as documented.

use super::testing::{action, cuboid, fingerprint, five_prisms, go_to, open_bin};
use super::{GraspWorld, SimConfig, step_worlds};
use crate::contract::{Action, GripperCommand, Pose, Seed};
use crate::scene::CellDescription;
use glam::Vec3;
use std::sync::Arc;

/// Grips a box of 0.1 kg that stands in the middle of the bin and lifts it; then shakes it for 10 s along x, y and z
/// in turn with accelerations of up to 1 g. Returns how far the object moved in the gripper.
fn slip_when_shaken(size: Vec3, friction: f32) -> f32 {
    let mut world = open_bin(&[cuboid(size, friction)], 1);
    let centre = world.cell().bins[0].position;
    world.physics.move_object(0, Pose::from_translation(centre + Vec3::Z * (0.5 * size.z)));
    go_to(&mut world, centre + Vec3::Z * 0.01, 0.0);
    world.step(&action(Vec3::ZERO, 0.0, GripperCommand::Close));
    go_to(&mut world, centre + Vec3::Z * 0.2, 0.0);
    let place = |world: &GraspWorld| world.gripper_pose().inverse() * world.physics.object_pose(0);
    let before = place(&world);
    let dt = world.config().dt();
    let period = 60;
    let omega = std::f32::consts::TAU / (period as f32 * dt);
    let amplitude = 9.81 / (omega * omega);
    let mut worst = 0.0_f32;
    for k in 0..10 * world.config().rate_hz {
        let axis = [Vec3::X, Vec3::Y, Vec3::Z][(k / period % 3) as usize];
        let offset = |k: u32| axis * (amplitude * (1.0 - (omega * k as f32 * dt).cos()));
        let start = centre + Vec3::Z * 0.2;
        world.shake_tick(start + offset(k % period), start + offset(k % period + 1));
        worst = worst.max(place(&world).translation.distance(before.translation));
    }
    worst
}

#[test]
fn friction_holds_a_shaken_object_and_its_lack_drops_it() {
    for size in [Vec3::new(0.04, 0.05, 0.06), Vec3::new(0.06, 0.03, 0.03), Vec3::new(0.02, 0.09, 0.09)] {
        let slip = slip_when_shaken(size, 0.8);
        assert!(slip < 0.002, "{size}: slipped by {slip} m at friction 0.8");
        let slip = slip_when_shaken(size, 0.05);
        assert!(slip > 0.02, "{size}: stayed ({slip} m) at friction 0.05");
    }
}

#[test]
fn heights_are_those_of_the_object_that_lies_there() {
    let mut world = open_bin(&[cuboid(Vec3::new(0.04, 0.06, 0.05), 1.0)], 1);
    let centre = world.cell().bins[0].position;
    world.physics.move_object(0, Pose::from_translation(centre + Vec3::new(0.05, -0.1, 0.025)));
    // From the bin's centre along the world's axes, wherever the hand is and however it is turned.
    go_to(&mut world, centre + Vec3::new(-0.05, 0.05, 0.15), 0.5);
    let places = [[0.05, -0.1], [0.065, -0.125], [0.075, -0.1], [0.05, -0.135], [-0.05, 0.1], [0.0, 0.0]];
    let heights = world.object_heights(&places.map(glam::Vec2::from));
    let expected = [0.05, 0.05, 0.0, 0.0, 0.0, 0.0];
    assert!(heights.iter().zip(expected).all(|(a, b): (&f32, f32)| (a - b).abs() < 0.002), "{heights:?}");
}

#[test]
fn a_grasp_is_rewarded_and_ends_the_episode() {
    let size = Vec3::new(0.04, 0.05, 0.06);
    let mut world = open_bin(&[cuboid(size, 1.0)], 1);
    let centre = world.cell().bins[0].position;
    world.physics.move_object(0, Pose::from_translation(centre + Vec3::Z * 0.03));
    go_to(&mut world, centre + Vec3::Z * 0.01, 0.0);
    let steps = world.step_index();
    let step = world.step(&action(Vec3::ZERO, 0.0, GripperCommand::Close));
    assert_eq!((step.reward, step.done(), step.step_index), (-0.05, false, steps + 1));
    let state = world.gripper_state();
    assert!(state.closed && (state.aperture_m - 0.04).abs() < 0.001, "{state:?}");
    // Both fingers press with the grip force.
    let [left, right, palm] = world.contact_forces();
    let force = world.cell().gripper.force_n;
    assert!((left - force).abs() < 0.25 * force && (right - force).abs() < 0.25 * force && palm == 0.0);
    let step = world.step(&Action { terminate: true, ..Action::default() });
    assert_eq!((step.reward, step.terminated, step.truncated), (1.0, true, false));
    assert_eq!(step.grasped, [0]);
    assert!(world.is_done() && world.object_poses()[0].translation.z > world.cell().bins[0].rim_z());
    // Nothing happens after the end.
    let poses = world.body_poses().to_vec();
    assert_eq!(world.step(&action(Vec3::X, 0.0, GripperCommand::Open)), step);
    assert_eq!(world.body_poses(), poses);
}

#[test]
fn an_empty_or_open_gripper_fails() {
    let mut world = open_bin(&[cuboid(Vec3::splat(0.04), 1.0)], 2);
    let step = world.step(&Action { terminate: true, ..Action::default() });
    assert_eq!((step.reward, step.terminated, step.success()), (0.0, true, false));
}

#[test]
fn the_last_step_is_judged() {
    let mut world = open_bin(&[cuboid(Vec3::splat(0.04), 1.0)], 3);
    for tick in 1..=20 {
        let step = world.step(&action(Vec3::new(0.0, 0.02, 0.0), 0.1, GripperCommand::Keep));
        assert_eq!((step.step_index, step.done()), (tick, tick == 20));
        assert_eq!(step.reward, if tick == 20 { 0.0 } else { -0.05 });
    }
}

#[test]
fn actions_are_clamped_and_nonsense_is_ignored() {
    let mut world = open_bin(&[], 1);
    let before = world.gripper_pose().translation;
    world.step(&action(Vec3::new(f32::NAN, 0.0, 0.0), f32::INFINITY, GripperCommand::Keep));
    assert!(world.gripper_pose().translation.distance(before) < 1e-4);
    world.step(&action(Vec3::new(0.0, 1.0, 0.0), 9.0, GripperCommand::Keep));
    let moved = world.gripper_pose().translation - before;
    let limits = world.cell().motion;
    assert!((moved.y - limits.step_m.y).abs() < 5e-4, "{moved}");
    assert!((world.gripper_yaw() - limits.step_rad).abs() < 5e-3, "{}", world.gripper_yaw());
    // However often it is asked, the gripper stays over the bin and above its floor.
    for _ in 0..15 {
        world.step(&action(Vec3::new(-0.1, -0.1, -0.1), 0.0, GripperCommand::Keep));
    }
    let bin = &world.cell().bins[0];
    let place = world.gripper_pose().translation;
    assert!(bin.contains_xy(place, limits.wall_margin - 5e-3), "{place}");
    assert!(world.gripper_state().height_m > 0.002, "{place}");
}

#[test]
fn a_reset_forgets_the_past() {
    let objects = five_prisms(4);
    let mut used = open_bin(&five_prisms(9), 77);
    for _ in 0..3 {
        used.step(&action(Vec3::new(0.03, 0.0, -0.08), 0.3, GripperCommand::Close));
    }
    let mut fresh = open_bin(&objects, 5);
    used.reset(&objects, Seed(5));
    for k in 0..4 {
        assert_eq!(fingerprint(&used), fingerprint(&fresh), "step {k}");
        let action = action(Vec3::new(0.01, -0.02, -0.06), 0.2, GripperCommand::Keep);
        assert_eq!(used.step(&action), fresh.step(&action));
    }
    used.reset(&objects, Seed(6));
    assert_ne!(fingerprint(&used), fingerprint(&fresh));
}

#[test]
fn dropped_objects_lie_in_the_bin() {
    for seed in 0..8 {
        let world = open_bin(&five_prisms(seed), seed);
        let bin = &world.cell().bins[0];
        assert_eq!(world.object_poses().len(), 5);
        for (i, pose) in world.object_poses().iter().enumerate() {
            assert!(bin.contains_xy(pose.translation, 0.0), "{pose:?}");
            let lowest = world.physics.lowest_point(i) - bin.position.z;
            assert!(lowest > -0.001 && lowest < 0.08, "seed {seed}: object {i} lies {lowest} m above the floor");
        }
        assert!(world.physics.all_asleep());
    }
}

/// Poses of `count` environments after a few steps, stepped on `threads` threads.
fn stepped(count: usize, threads: usize) -> Vec<Vec<u32>> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
    pool.install(|| {
        let cell = Arc::new(CellDescription::iiwa_bin());
        let mut worlds: Vec<GraspWorld> = (0..count)
            .map(|i| {
                let mut world = GraspWorld::new(Arc::clone(&cell), &SimConfig::default());
                world.reset(&five_prisms(i as u64), Seed(i as u64));
                world
            })
            .collect();
        for k in 0..5_u16 {
            let actions: Vec<Action> = (0..count)
                .map(|i| action(Vec3::new(0.02, 0.01 * i as f32, -0.05), 0.1 * f32::from(k), GripperCommand::Keep))
                .collect();
            assert_eq!(step_worlds(&mut worlds, &actions).len(), count);
        }
        worlds.iter().map(fingerprint).collect()
    })
}

#[test]
fn threads_and_neighbours_change_nothing() {
    let alone = stepped(2, 1);
    let many = stepped(5, 2);
    assert_eq!(alone[..], many[..2]);
    assert_ne!(many[2], many[3]);
}

#[test]
fn drawing_between_ticks_changes_nothing() {
    let (mut whole, mut pieces) = (open_bin(&five_prisms(3), 8), open_bin(&five_prisms(3), 8));
    for (k, command) in [GripperCommand::Keep, GripperCommand::Keep, GripperCommand::Close].into_iter().enumerate() {
        let mut action = action(Vec3::new(0.02, -0.01, -0.07), 0.3, command);
        action.terminate = k == 2;
        let step = whole.step(&action);
        pieces.begin_step(&action);
        let mut calls = 0;
        let piecewise = loop {
            calls += 1;
            if let Some(step) = pieces.advance(4) {
                break step;
            }
        };
        assert!(calls > 3, "{calls}");
        assert_eq!(step, piecewise);
        assert_eq!(fingerprint(&whole), fingerprint(&pieces), "action {k}");
    }
}
