//! What a user of the simulation relies on: friction holds, objects lie in their bins, environments are kept apart.

use super::testing::{carry_out, cuboid, fingerprint, five_prisms, go_to, open_bin};
use super::{
    CellBodies, GraspCell, GraspWorld, GraspWorldBundle, GraspWorldParts, Motion, MotionState, Motions, Pace,
    SimPlugin, Speed, ToolPose,
};
use crate::contract::Pose;
use crate::objects::{ObjectModel, ObjectSet};
use glam::Vec3;
use std::sync::Arc;

/// Grips a box of 0.1 kg that stands in the middle of the bin and lifts it; then shakes it for 10 s along x, y and z
/// in turn with accelerations of up to 1 g. Returns how far the object moved in the gripper.
fn slip_when_shaken(size: Vec3, friction: f32) -> f32 {
    let mut world = open_bin(&[cuboid(size, friction)], 1);
    let centre = world.cell().bins[0].position;
    world.edit().place_object(0, Pose::from_translation(centre + Vec3::Z * (0.5 * size.z)));
    go_to(&mut world, centre + Vec3::Z * 0.01, 0.0);
    let here = world.view().tool_pose();
    carry_out(&mut world, &Motion::Move { goal: here, close: Some(true), speed: Speed::Full, max_s: 0.375 });
    go_to(&mut world, centre + Vec3::Z * 0.2, 0.0);
    let place = |world: &GraspWorldBundle| world.view().gripper_pose().inverse() * world.view().object_pose(0);
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
        world.edit().shake_tick(start + offset(k % period), start + offset(k % period + 1));
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
    world.edit().place_object(0, Pose::from_translation(centre + Vec3::new(0.05, -0.1, 0.025)));
    // From the bin's centre along the world's axes, wherever the hand is and however it is turned.
    go_to(&mut world, centre + Vec3::new(-0.05, 0.05, 0.15), 0.5);
    let places = [[0.05, -0.1], [0.065, -0.125], [0.075, -0.1], [0.05, -0.135], [-0.05, 0.1], [0.0, 0.0]];
    let heights = world.view().object_heights(centre, &places.map(glam::Vec2::from));
    let expected = [0.05, 0.05, 0.0, 0.0, 0.0, 0.0];
    assert!(heights.iter().zip(expected).all(|(a, b): (&f32, f32)| (a - b).abs() < 0.002), "{heights:?}");
}

#[test]
fn dropped_objects_lie_in_the_bin() {
    for seed in 0..8 {
        let world = open_bin(&five_prisms(seed), seed);
        let bin = &world.cell().bins[0];
        assert_eq!(world.object_poses().len(), 5);
        for (i, pose) in world.object_poses().iter().enumerate() {
            assert!(bin.contains_xy(pose.translation, 0.0), "{pose:?}");
            let lowest = world.view().lowest_point(i) - bin.position.z;
            assert!(lowest > -0.001 && lowest < 0.08, "seed {seed}: object {i} lies {lowest} m above the floor");
        }
        assert!(world.view().is_calm());
    }
}

type Objects = fn(u64) -> Vec<Arc<ObjectModel>>;

/// Poses of `count` environments after some motions through the plugin, on `threads` threads, `pace` ticks an update.
fn stepped(objects: Objects, count: u64, threads: usize, pace: Option<u32>) -> Vec<Vec<u32>> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
    pool.install(|| {
        let mut app = bevy::prelude::App::new();
        app.add_plugins((bevy::app::TaskPoolPlugin::default(), SimPlugin::<Motions>::default()));
        let spawn = |seed| {
            let entity = app.world_mut().spawn((open_bin(&objects(seed), seed), Motions::default())).id();
            if let Some(ticks) = pace {
                app.world_mut().entity_mut(entity).insert(Pace { ticks });
            }
            entity
        };
        let entities: Vec<_> = (0..count).map(spawn).collect();
        for k in 0..4_u16 {
            for (number, &entity) in entities.iter().enumerate() {
                let (parts, mut motions) = app
                    .world_mut()
                    .query::<(GraspWorldParts, &mut Motions)>()
                    .get_mut(app.world_mut(), entity)
                    .expect("the world");
                let world = GraspWorld::new(parts);
                let here = world.tool_pose();
                let position = here.position + Vec3::new(0.02, 0.01 * number as f32, -0.04);
                let goal = world.reachable(ToolPose { position, yaw: here.yaw + 0.1 });
                motions.begin(Motion::Move { goal, close: Some(k == 3), speed: Speed::Full, max_s: 0.375 });
            }
            loop {
                app.update();
                let moves =
                    |&entity| app.world().get::<Motions>(entity).is_some_and(|m| m.state() == MotionState::Moving);
                if !entities.iter().any(moves) {
                    break;
                }
            }
        }
        let worlds = entities.iter().filter_map(|&entity| app.world().get::<GraspCell>(entity));
        worlds.map(fingerprint).collect()
    })
}

#[test]
fn threads_neighbours_and_pauses_change_nothing() {
    let springs: Objects = |seed| {
        let set = ObjectSet::spring_jointed().expect("six solids");
        (0..2).map(|k| Arc::clone(&set.objects()[(2 * seed as usize + k) % 6])).collect()
    };
    for objects in [five_prisms as Objects, springs] {
        let alone = stepped(objects, 2, 1, None);
        let many = stepped(objects, 4, 2, None);
        assert_eq!(alone[..], many[..2]);
        assert_ne!(many[2], many[3]);
        assert_eq!(alone, stepped(objects, 2, 2, Some(3)));
    }
}

#[test]
fn the_stock_plugin_leaves_our_worlds_alone() {
    use bevy_rapier3d::prelude::{
        NoUserData, RapierConfiguration, RapierPhysicsPlugin, RapierRigidBodySet, TimestepMode,
    };
    // An object in the air falls only in a world that is stepped.
    let falls_m = |switched_on: bool| {
        let mut app = bevy::prelude::App::new();
        app.add_plugins((
            bevy::app::TaskPoolPlugin::default(),
            bevy::time::TimePlugin,
            bevy::transform::TransformPlugin,
            SimPlugin::<Motions>::default(),
            RapierPhysicsPlugin::<NoUserData>::default(),
        ));
        app.insert_resource(TimestepMode::Fixed { dt: 1.0 / 240.0, substeps: 1 });
        let mut world = open_bin(&[cuboid(Vec3::splat(0.04), 1.0)], 1);
        let place = world.cell().bins[0].position + Vec3::Z * 0.4;
        world.edit().place_object(0, Pose::from_translation(place));
        let entity = app.world_mut().spawn(world).id();
        app.world_mut().get_mut::<RapierConfiguration>(entity).expect("settings").physics_pipeline_active |=
            switched_on;
        (0..24).for_each(|_| app.update());
        let set = app.world().get::<RapierRigidBodySet>(entity).expect("bodies");
        let handles = app.world().get::<CellBodies>(entity).expect("handles").objects();
        place.z - handles.map(|handle| set.bodies[handle].translation().z).sum::<f32>()
    };
    assert_eq!(falls_m(false), 0.0);
    // A tenth of a second from rest: g t^2 / 2 = 4.9 cm.
    assert!((falls_m(true) - 0.049).abs() < 0.004);
}
