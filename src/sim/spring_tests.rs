//! Spring-jointed objects do what springs do: give way by F/k, droop by the sum of moments, rest without creeping, keep their bits.

use super::testing::{Halves, carry_out, chain, go_to, open_bin};
use super::{GraspWorldBundle, Motion, Speed};
use crate::contract::{Pose, Seed};
use crate::objects::{Assembly, AxisSpring, ObjectModel, ObjectSet};
use bevy_rapier3d::rapier::prelude::{RigidBody, RigidBodyType};
use glam::{Quat, Vec3};
use rayon::prelude::*;
use std::sync::Arc;

const GRAVITY: f32 = 9.81;

fn bodies(world: &GraspWorldBundle) -> Vec<RigidBody> {
    let view = world.view();
    let pieces = view.physics.objects.iter().flat_map(|object| &object.pieces);
    pieces.map(|piece| view.physics.world.bodies[piece.handle].clone()).collect()
}

fn change(world: &mut GraspWorldBundle, piece: usize, change: impl Fn(&mut RigidBody)) {
    let edit = world.edit();
    let handle = edit.physics.cell.objects[0].pieces[piece].handle;
    change(&mut edit.physics.world.bodies[handle]);
}

/// How far the second piece is from rest, as seen from the first, in the object's frame.
fn displacement(world: &GraspWorldBundle) -> Vec3 {
    let [first, second] = [world.piece_poses(0)[0], world.piece_poses(0)[1]];
    (first.inverse() * second).translation
}

#[test]
fn under_a_force_a_spring_gives_way_by_f_over_k() {
    let halves = Halves { stiffness: 500.0, along: Vec3::Z, ..Halves::default() };
    let mut world = open_bin(&[halves.object()], 1);
    let floor = world.cell().bins[0].position;
    world.edit().place_object(0, Pose::from_translation(floor + Vec3::Z * halves.half_height()));
    world.edit().idle(480);
    // Its own upper half alone.
    let sag = -displacement(&world).z;
    let expected = halves.piece_mass_kg * GRAVITY / halves.stiffness;
    assert!((sag - expected).abs() < 0.05 * expected, "{sag} m for {expected}");
    for newtons in [1.0_f32, 2.0, 4.0] {
        change(&mut world, 1, |body| {
            body.reset_forces(true);
            body.add_force(-Vec3::Z * newtons, true);
        });
        world.edit().idle(480);
        let travel = -displacement(&world).z - sag;
        let expected = newtons / halves.stiffness;
        println!("{newtons} N: {travel} m for {expected}");
        assert!((travel - expected).abs() < 0.05 * expected, "{newtons} N: {travel} m for {expected}");
    }
    // Beyond its stop it does not go, but for what the stop itself gives way.
    change(&mut world, 1, |body| body.add_force(-Vec3::Z * 40.0, true));
    world.edit().idle(480);
    let travel = -displacement(&world).z;
    assert!((travel - halves.travel_m).abs() < 0.003, "{travel} m beyond a stop at {}", halves.travel_m);
}

/// An object in the middle of the bin between closed jaws: the world, and the distance between the pads.
fn pinched(object: &Arc<ObjectModel>, half_height: f32) -> (GraspWorldBundle, f32) {
    let mut world = open_bin(std::slice::from_ref(object), 1);
    let floor = world.cell().bins[0].position;
    world.edit().place_object(0, Pose::from_translation(floor + Vec3::Z * half_height));
    go_to(&mut world, floor + Vec3::Z * 0.01, 0.0);
    let goal = world.view().tool_pose();
    carry_out(&mut world, &Motion::Move { goal, close: Some(true), speed: Speed::Full, max_s: 1.0 });
    let aperture = world.view().gripper_state().aperture_m;
    (world, aperture)
}

#[test]
fn between_the_jaws_it_gives_way_by_their_force() {
    let halves = Halves { stiffness: 3000.0, along: Vec3::X, ..Halves::default() };
    let (world, _) = pinched(&halves.object(), halves.half_width());
    let [left, right, _] = world.view().contact_forces();
    let travel = -displacement(&world).x;
    println!("{left} N and {right} N: {travel} m");
    assert!(left > 5.0 && (left - right).abs() < 0.05 * left, "{left} N and {right} N");
    // Contacts are soft too, and what the fingers feel is how the last substep left it: a sixth either way.
    let expected = left / halves.stiffness;
    assert!((travel - expected).abs() < 0.16 * expected, "{travel} m for {expected}");
}

#[test]
fn the_stiffer_it_is_the_more_it_is_its_rigid_twin() {
    let with = |stiffness: f32| Halves { stiffness, along: Vec3::X, ..Halves::default() };
    let soft = with(3000.0);
    let (_, rigid) = pinched(&Arc::new(soft.object().rigid_twin()), soft.half_width());
    let away = [1.0, 10.0, 100.0].map(|times| {
        let (_, aperture) = pinched(&with(3000.0 * times).object(), soft.half_width());
        (aperture - rigid).abs()
    });
    println!("{rigid} m, apart by {away:?}");
    assert!(away[0] > 0.004 && away[1] < 0.2 * away[0] && away[2] < 0.05 * away[0], "{away:?}");
}

#[test]
fn a_chain_held_by_an_end_droops_by_the_moments_of_what_hangs_there() {
    let (stiffness, length, mass) = (0.15, 0.03, 0.02);
    let model = chain(4, length, mass, stiffness);
    let mut world = open_bin(std::slice::from_ref(&model), 1);
    // Above the floor and beside the gripper.
    let place = world.cell().bins[0].position + Vec3::new(0.0, 0.15, 0.14);
    world.edit().place_object(0, Pose::from_translation(place));
    change(&mut world, 0, |body| body.set_body_type(RigidBodyType::Fixed, true));
    world.edit().idle(960);
    let assembly = model.assembly.as_ref().expect("pieces");
    let poses = world.piece_poses(0);
    let (mut droop, mut expected) = (0.0, 0.0);
    for (hinge, joint) in assembly.joints.iter().enumerate() {
        let at = poses[hinge].transform_point(joint.object_from_joint.translation);
        let beyond = assembly.pieces.iter().zip(poses).skip(hinge + 1);
        let moment: f32 =
            beyond.map(|(piece, pose)| piece.mass_kg * GRAVITY * (pose.transform_point(piece.center) - at).x).sum();
        let angle = poses[hinge].rotation.angle_between(poses[hinge + 1].rotation);
        println!("hinge {hinge}: {angle} rad for {}", moment / stiffness);
        droop += angle;
        expected += moment / stiffness;
    }
    assert!(droop > 0.2 && (droop - expected).abs() < 0.1 * expected, "{droop} rad for {expected}");
}

/// Kinetic, potential and elastic energy of all pieces, joules.
fn energy(world: &GraspWorldBundle, assembly: &Assembly) -> f32 {
    let moving: f32 =
        bodies(world).iter().map(|body| body.kinetic_energy() + body.mass() * GRAVITY * body.center_of_mass().z).sum();
    let poses = world.piece_poses(0);
    let strained = assembly.joints.iter().map(|joint| {
        let [first, second] = joint.pieces.map(|number| poses[number] * joint.object_from_joint);
        let between = first.inverse() * second;
        let turn = between.rotation * between.rotation.w.signum();
        let turned = [turn.x, turn.y, turn.z].map(|part| 2.0 * part.clamp(-1.0, 1.0).asin());
        let stored = |(spring, way): (&Option<AxisSpring>, f32)| spring.map_or(0.0, |s| 0.5 * s.stiffness * way * way);
        let linear = joint.linear.iter().zip(between.translation.to_array()).map(stored);
        linear.chain(joint.angular.iter().zip(turned).map(stored)).sum::<f32>()
    });
    moving + strained.sum::<f32>()
}

#[test]
fn at_rest_nothing_creeps_jitters_or_gains_energy() {
    let set = ObjectSet::spring_jointed().expect("six");
    let restless = set.objects().par_iter().enumerate().filter_map(|(number, model)| {
        let assembly = model.assembly.as_ref().expect("pieces");
        let mut world = open_bin(std::slice::from_ref(model), number as u64);
        // Put down in its most probable pose, as on the table; dropped, round things roll for a while.
        let rest = model.stable_poses()[0];
        let place = world.cell().bins[0].position + Vec3::new(0.0, 0.1, rest.height_m + 0.0005);
        world.edit().place_object(0, Pose::new(place, rest.world_from_body));
        world.edit().idle(480);
        let rests = world.view().is_calm();
        // Kept awake: asleep anything rests.
        for piece in 0..assembly.pieces.len() {
            change(&mut world, piece, |body| {
                body.wake_up(true);
                body.activation_mut().normalized_linear_threshold = -1.0;
            });
        }
        world.edit().idle(240);
        let start: Vec<Pose> = world.piece_poses(0).to_vec();
        let first = energy(&world, assembly);
        let (mut most, mut fastest) = (f32::NEG_INFINITY, 0.0_f32);
        for _ in 0..1200 {
            world.edit().idle(1);
            most = most.max(energy(&world, assembly) - first);
            fastest = bodies(&world).iter().map(|body| body.linvel().length()).fold(fastest, f32::max);
        }
        world.edit().idle(55 * 240);
        assert!(!world.view().is_calm(), "{}: it fell asleep", model.name);
        let moved = world.piece_poses(0).iter().zip(&start).map(|(a, b)| a.translation.distance(b.translation));
        let drift = moved.fold(0.0, f32::max);
        let line =
            format!("{}: rests {rests}, gains {most:.2e} J, {fastest:.1e} m/s, drifts {drift:.1e} m", model.name);
        println!("{line}");
        let is_still = rests && most < 2e-6 && fastest < 0.003 && drift < 0.001;
        (!is_still).then_some(line)
    });
    let restless: Vec<String> = restless.collect();
    assert!(restless.is_empty(), "{restless:?}");
}

#[test]
fn pieces_are_drawn_where_they_are_and_the_object_is_their_middle() {
    let halves = Halves { along: Vec3::X, ..Halves::default() };
    let rigid = Arc::new(halves.object().rigid_twin());
    let mut world = open_bin(&[halves.object(), rigid, halves.object()], 3);
    let bodies = world.bodies();
    assert_eq!(world.object_poses().len(), 3);
    assert_eq!(world.body_poses().len(), bodies.count(3) + 4);
    assert_eq!(world.piece_poses(1), &world.object_poses()[1..2]);
    let drawn = |world: &GraspWorldBundle, index: u8| -> Vec<usize> {
        let id = crate::scene::instance::OBJECT + index;
        world.parts().iter().filter(|part| part.instance == id).map(|part| part.body).collect()
    };
    assert_eq!(drawn(&world, 0), [bodies.count(3), bodies.count(3) + 1]);
    assert_eq!(drawn(&world, 1), [bodies.object(1); 2]);
    assert_eq!(drawn(&world, 2), [bodies.count(3) + 2, bodies.count(3) + 3]);
    for index in [0, 2] {
        let mean = world.piece_poses(index).iter().map(|pose| pose.translation).sum::<Vec3>() / 2.0;
        assert!(mean.distance(world.object_poses()[index].translation) < 1e-3);
    }
    // Another object moves the pieces' numbers, and what is drawn follows.
    assert!(world.edit().drop_object(&halves.object(), Seed(9)));
    assert_eq!(drawn(&world, 0), [bodies.count(4), bodies.count(4) + 1]);
    assert_eq!(world.body_poses()[bodies.count(4)], world.piece_poses(0)[0]);
    // It leaves and comes back as a whole.
    world.edit().physics.set_object_present(0, false);
    assert!(!world.view().is_present(0) && world.view().objects_present() == 3);
    world.edit().physics.set_object_present(0, true);
    let pose = Pose::new(world.cell().bins[0].position + Vec3::Z * 0.3, Quat::from_rotation_x(0.7));
    world.edit().place_object(0, pose);
    let now = world.view().object_pose(0);
    assert!(now.translation.distance(pose.translation) < 1e-6 && now.rotation.dot(pose.rotation).abs() > 1.0 - 1e-6);
}

#[test]
fn a_hand_pulls_a_chain_up_and_lets_it_fall() {
    let model = chain(4, 0.03, 0.02, 0.15);
    let mut world = open_bin(std::slice::from_ref(&model), 2);
    let start = world.view().object_pose(0).translation;
    // By its end.
    let (end, place) = (Vec3::X * 0.05, start + Vec3::Z * 0.2);
    for _ in 0..960 {
        world.edit().pull_object(0, end, place);
        world.edit().idle(1);
    }
    assert!(world.view().lowest_point(0) > start.z + 0.03, "{}", world.view().lowest_point(0));
    assert!(world.body_poses().iter().all(|pose| pose.is_finite()));
    let lifted = world.view().object_pose(0).translation.z;
    world.edit().release_object(0);
    world.edit().idle(720);
    // It may come to lie over a wall.
    let fallen = world.view().object_pose(0).translation.z;
    assert!(fallen < lifted - 0.05, "from {lifted} m to {fallen} m");
}
