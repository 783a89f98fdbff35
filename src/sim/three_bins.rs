//! Adjacent bins do not disturb each other: what lies in one stays there, walls hold, the gripper passes between.

use super::testing::{cuboid, five_prisms, go_to};
use super::{GraspWorldBundle, SimConfig};
use crate::contract::{Pose, Seed};
use crate::objects::ObjectModel;
use crate::scene::CellDescription;
use glam::{Quat, Vec3};
use std::sync::Arc;

const INSIDE: f32 = 0.26;
const PITCH: f32 = 0.275;

/// Three bins side by side along y, turned together about the middle one by `yaw`.
fn three_bins(objects: &[Arc<ObjectModel>], seed: u64, yaw: f32) -> GraspWorldBundle {
    let mut cell = CellDescription::iiwa_bin();
    let turn = Quat::from_rotation_z(yaw);
    let middle = Vec3::new(0.52, 0.0, 0.012);
    let bin = crate::scene::BinDescription {
        yaw_rad: yaw,
        inner_size: glam::Vec2::splat(INSIDE),
        wall_thickness: 0.006,
        divider: None,
        ..cell.bins[0].clone()
    };
    cell.bins = [-1.0, 0.0, 1.0]
        .map(|k| crate::scene::BinDescription {
            position: middle + turn * Vec3::new(0.0, k * PITCH, 0.0),
            ..bin.clone()
        })
        .to_vec();
    cell.validate().expect("a valid cell");
    let mut world = GraspWorldBundle::new(Arc::new(cell), &SimConfig::default());
    world.edit().reset(objects, Seed(seed));
    world
}

#[test]
fn dropped_objects_come_to_rest_in_their_bins() {
    for seed in 0..6 {
        let world = three_bins(&five_prisms(seed), seed, if seed < 3 { 0.0 } else { 0.3 });
        let check = world.view().check();
        assert!(check.finite && check.out_of_bounds == 0 && check.deepest_m < 0.003, "seed {seed}: {check:?}");
        assert!(world.view().is_calm(), "seed {seed}: something still moves");
        for pose in world.object_poses() {
            // Not on a wall: inside the inner faces of exactly one bin.
            let holding = world.cell().bins.iter().filter(|bin| bin.contains_xy(pose.translation, 0.0)).count();
            assert_eq!(holding, 1, "seed {seed}: {pose:?}");
        }
    }
}

#[test]
fn what_lies_by_a_wall_stays_there_on_both_of_its_sides() {
    for yaw in [0.0, 0.4] {
        let size = Vec3::new(0.04, 0.04, 0.06);
        let boxes: Vec<_> = (0..4).map(|_| cuboid(size, 1.0)).collect();
        let mut world = three_bins(&boxes, 1, yaw);
        // Half a millimetre from the walls on both sides of both gaps.
        let beside = 0.5 * (INSIDE - size.y) - 0.0005;
        let places = [(0, beside), (1, -beside), (1, beside), (2, -beside)];
        let poses = places.map(|(bin, y)| {
            let place = Vec3::new(0.0, y, 0.5 * size.z);
            world.cell().bins[bin].world_from_bin() * Pose::from_translation(place)
        });
        poses.iter().enumerate().for_each(|(index, &pose)| world.edit().place_object(index, pose));
        world.edit().idle(240);
        for (index, pose) in poses.iter().enumerate() {
            let moved = world.object_poses()[index].translation.distance(pose.translation);
            assert!(moved < 0.001, "yaw {yaw}: object {index} moved by {moved} m");
        }
        let check = world.view().check();
        assert!(check.out_of_bounds == 0 && check.deepest_m < 0.001, "{check:?}");
    }
}

#[test]
fn walls_between_bins_hold_what_is_thrown_at_them() {
    for (speed, toward) in [(1.0, 1.0), (2.9, 1.0), (2.9, -1.0)] {
        let mut world = three_bins(&[cuboid(Vec3::splat(0.05), 0.3)], 1, 0.0);
        let start = world.cell().bins[1].position + Vec3::Z * 0.03;
        world.edit().place_object(0, Pose::from_translation(start));
        let edit = world.edit();
        let handle = edit.physics.cell.objects[0].pieces[0].handle;
        edit.physics.world.bodies[handle].set_linvel(Vec3::new(0.0, toward * speed, 0.0), true);
        let mut deepest = 0.0_f32;
        for _ in 0..240 {
            world.edit().idle(1);
            deepest = deepest.max(world.view().check().deepest_m);
        }
        let place = world.object_poses()[0].translation;
        assert!(world.cell().bins[1].contains_xy(place, 0.02), "{speed} m/s: it is at {place}");
        assert!(deepest < 0.006, "{speed} m/s: {deepest} m into the wall");
    }
}

#[test]
fn the_gripper_passes_from_bin_to_bin_and_reaches_every_floor() {
    for yaw in [0.0, 0.3] {
        let mut world = three_bins(&[], 1, yaw);
        for bin in [0, 2, 1] {
            let middle = world.cell().bins[bin].position;
            go_to(&mut world, middle + Vec3::Z * 0.15, yaw);
            go_to(&mut world, middle + Vec3::Z * 0.008, yaw);
            let place = world.view().gripper_pose().translation;
            assert!(place.distance(middle + Vec3::Z * 0.008) < 0.002, "bin {bin}: {place} for {middle}");
            assert_eq!(world.view().contact_forces(), [0.0; 3], "bin {bin}");
            go_to(&mut world, middle + Vec3::Z * 0.15, yaw);
        }
    }
}

#[test]
fn the_gripper_does_not_pass_through_a_wall() {
    let mut world = three_bins(&[], 1, 0.0);
    let (from, to) = (world.cell().bins[1].position + Vec3::Z * 0.02, world.cell().bins[2].position + Vec3::Z * 0.02);
    go_to(&mut world, from, 0.0);
    go_to(&mut world, to, 0.0);
    let place = world.view().gripper_pose().translation;
    assert!(world.cell().bins[1].contains_xy(place, 0.0), "{place}");
    assert!(world.body_poses().iter().all(|pose| pose.is_finite()));
}
