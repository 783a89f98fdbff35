//! What a user of the task relies on: rewards and ends are as documented, the same seed gives the same bits.

use super::{BinGrasp, TaskEpisode};
use crate::contract::{Action, Failure, GripperCommand, Pose, Seed, Step};
use crate::objects::ObjectModel;
use crate::policies::PolicyKind;
use crate::sim::GraspWorldBundle;
use crate::sim::testing::{action, cuboid, fingerprint, five_prisms, open_bin};
use glam::Vec3;
use std::sync::Arc;

/// A bin without divider, and an episode in it.
struct Bin {
    world: GraspWorldBundle,
    episode: TaskEpisode,
}

impl Bin {
    fn new(objects: &[Arc<ObjectModel>], seed: u64) -> Self {
        let world = open_bin(&[], 0);
        let episode = TaskEpisode::new(Box::<BinGrasp>::default(), world.cell());
        let mut bin = Self { world, episode };
        bin.reset(objects, seed);
        bin
    }

    fn reset(&mut self, objects: &[Arc<ObjectModel>], seed: u64) {
        self.episode.reset(&mut self.world.edit(), objects, None, Seed(seed));
    }

    fn step(&mut self, action: &Action) -> Step {
        self.episode.step(&mut self.world.edit(), action)
    }

    /// Steps until the gripper stands at `place` with `yaw`.
    fn go_to(&mut self, place: Vec3, yaw: f32) {
        for _ in 0..15 {
            let here = self.world.view().gripper_pose().translation;
            let turn = yaw - self.world.view().gripper_yaw();
            if here.distance(place) < 1e-3 && turn.abs() < 0.01 {
                return;
            }
            self.step(&action(place - here, turn, GripperCommand::Keep));
        }
    }

    fn play(&mut self, kind: PolicyKind) -> Step {
        let (mut policy, mut rng) = (kind.create(), Seed(0).rng());
        loop {
            let action = policy.act(&self.world.view(), &mut rng);
            let step = self.step(&action);
            if step.done() {
                return step;
            }
        }
    }
}

#[test]
fn a_grasp_is_rewarded_and_ends_the_episode() {
    let mut bin = Bin::new(&[cuboid(Vec3::new(0.04, 0.05, 0.06), 1.0)], 1);
    let centre = bin.world.cell().bins[0].position;
    bin.world.edit().place_object(0, Pose::from_translation(centre + Vec3::Z * 0.03));
    bin.go_to(centre + Vec3::Z * 0.01, 0.0);
    let steps = bin.episode.step_index();
    let step = bin.step(&action(Vec3::ZERO, 0.0, GripperCommand::Close));
    assert_eq!((step.reward, step.done(), step.step_index), (-0.05, false, steps + 1));
    let state = bin.world.view().gripper_state();
    assert!(state.closed && (state.aperture_m - 0.04).abs() < 0.001, "{state:?}");
    // Both fingers press with the grip force.
    let [left, right, palm] = bin.world.view().contact_forces();
    let force = bin.world.cell().gripper.force_n;
    assert!((left - force).abs() < 0.25 * force && (right - force).abs() < 0.25 * force && palm == 0.0);
    let step = bin.step(&Action { terminate: true, ..Action::default() });
    assert_eq!((step.reward, step.terminated, step.truncated, step.failure), (1.0, true, false, None));
    assert_eq!(step.grasped, [0]);
    assert!(bin.episode.is_done());
    assert!(bin.world.object_poses()[0].translation.z > bin.world.cell().bins[0].rim_z());
    // Nothing happens after the end.
    let poses = bin.world.body_poses().to_vec();
    assert_eq!(bin.step(&action(Vec3::X, 0.0, GripperCommand::Open)), step);
    assert_eq!(bin.world.body_poses(), poses);
}

#[test]
fn failures_are_told_apart() {
    let ends = Action { terminate: true, ..Action::default() };
    let mut bin = Bin::new(&[cuboid(Vec3::splat(0.04), 1.0)], 2);
    let step = bin.step(&ends);
    assert_eq!((step.reward, step.terminated, step.success()), (0.0, true, false));
    assert_eq!(step.failure, Some(Failure::JawsOpen));
    // Closed high above everything.
    bin.reset(&[cuboid(Vec3::splat(0.04), 1.0)], 2);
    bin.step(&action(Vec3::ZERO, 0.0, GripperCommand::Close));
    assert_eq!(bin.step(&ends).failure, Some(Failure::EmptyGrasp));
}

#[test]
fn the_last_step_is_judged() {
    let mut bin = Bin::new(&[cuboid(Vec3::splat(0.04), 1.0)], 3);
    for tick in 1..=20 {
        let step = bin.step(&action(Vec3::new(0.0, 0.02, 0.0), 0.1, GripperCommand::Keep));
        assert_eq!((step.step_index, step.done()), (tick, tick == 20));
        assert_eq!(step.reward, if tick == 20 { 0.0 } else { -0.05 });
        // Gymnasium: a time limit truncates.
        assert_eq!((step.terminated, step.truncated), (false, tick == 20));
    }
    assert_eq!(bin.episode.last_step().failure, Some(Failure::TimedOut));
}

#[test]
fn actions_are_clamped_and_what_they_achieve_is_measured() {
    let mut bin = Bin::new(&[], 1);
    let before = bin.world.view().gripper_pose().translation;
    bin.step(&action(Vec3::new(f32::NAN, 0.0, 0.0), f32::INFINITY, GripperCommand::Keep));
    assert!(bin.world.view().gripper_pose().translation.distance(before) < 1e-4);
    let step = bin.step(&action(Vec3::new(0.0, 1.0, 0.0), 9.0, GripperCommand::Keep));
    let moved = bin.world.view().gripper_pose().translation - before;
    let limits = bin.world.cell().motion;
    assert!((moved.y - limits.step_m.y).abs() < 5e-4, "{moved}");
    assert!((bin.world.view().gripper_yaw() - limits.step_rad).abs() < 5e-3, "{}", bin.world.view().gripper_yaw());
    assert_eq!((step.action.translation_m[1], step.action.rotation_rad), (limits.step_m.y, limits.step_rad));
    let state = bin.episode.gripper_state(&bin.world.view());
    assert_eq!(state.commanded.translation_m, [0.0, limits.step_m.y, 0.0]);
    assert!(Vec3::from(state.achieved.translation_m).distance(moved) < 1e-4, "{state:?}");
    // However often it is asked, the gripper stays over the bin and above its floor.
    for _ in 0..15 {
        bin.step(&action(Vec3::new(-0.1, -0.1, -0.1), 0.0, GripperCommand::Keep));
    }
    let place = bin.world.view().gripper_pose().translation;
    assert!(bin.world.cell().bins[0].contains_xy(place, limits.wall_margin - 5e-3), "{place}");
    assert!(bin.world.view().gripper_state().height_m > 0.002, "{place}");
    // Against the wall it gets nowhere, and says so.
    let state = bin.episode.gripper_state(&bin.world.view());
    assert!(state.commanded.translation_m[0] < -0.07 && state.achieved.translation_m[0].abs() < 0.01, "{state:?}");
    bin.reset(&[], 2);
    let state = bin.episode.gripper_state(&bin.world.view());
    assert_eq!((state.commanded, state.achieved), Default::default());
}

#[test]
fn a_reset_forgets_the_past() {
    let objects = five_prisms(4);
    let mut used = Bin::new(&five_prisms(9), 77);
    for _ in 0..3 {
        used.step(&action(Vec3::new(0.03, 0.0, -0.08), 0.3, GripperCommand::Close));
    }
    let mut fresh = Bin::new(&objects, 5);
    used.reset(&objects, 5);
    for k in 0..4 {
        assert_eq!(fingerprint(&used.world), fingerprint(&fresh.world), "step {k}");
        let action = action(Vec3::new(0.01, -0.02, -0.06), 0.2, GripperCommand::Keep);
        assert_eq!(used.step(&action), fresh.step(&action));
    }
    used.reset(&objects, 6);
    assert_ne!(fingerprint(&used.world), fingerprint(&fresh.world));
}

#[test]
fn drawing_between_ticks_changes_nothing() {
    let (mut whole, mut pieces) = (Bin::new(&five_prisms(3), 8), Bin::new(&five_prisms(3), 8));
    for (k, command) in [GripperCommand::Keep, GripperCommand::Keep, GripperCommand::Close].into_iter().enumerate() {
        let mut action = action(Vec3::new(0.02, -0.01, -0.07), 0.3, command);
        action.terminate = k == 2;
        let step = whole.step(&action);
        pieces.episode.begin_step(&mut pieces.world.edit(), &action);
        let mut calls = 0;
        let piecewise = loop {
            calls += 1;
            if let Some(step) = pieces.episode.advance(&mut pieces.world.edit(), 4) {
                break step;
            }
        };
        assert!(calls > 3, "{calls}");
        assert_eq!(step, piecewise);
        assert_eq!(fingerprint(&whole.world), fingerprint(&pieces.world), "action {k}");
    }
}

#[test]
fn another_attempt_returns_what_was_grasped() {
    let mut bin = Bin::new(&five_prisms(6), 6);
    let step = bin.play(PolicyKind::Oracle);
    assert!(step.success());
    let left: Vec<_> = (0..5).filter(|i| !step.grasped.contains(i)).map(|i| bin.world.object_poses()[i]).collect();
    bin.episode.keep_objects(&mut bin.world.edit(), Seed(7));
    assert!(bin.episode.is_ready() && bin.episode.step_index() == 0 && !bin.world.view().gripper_state().closed);
    let check = bin.world.view().check();
    assert!(check.out_of_bounds == 0 && check.deepest_m < 0.003, "{check:?}");
    let moved = (0..5)
        .filter(|i| !step.grasped.contains(i))
        .zip(&left)
        .filter(|(i, then)| bin.world.object_poses()[*i].translation.distance(then.translation) > 0.03);
    assert!(moved.count() <= 1, "the others stay where they were, but for one that is hit");
}
