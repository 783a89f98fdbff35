//! The cell of Robot 2: bins placed anew every episode, a reach limit, objects that leave when grasped.

use super::{BinGrasp, TaskEpisode};
use crate::contract::{Action, Seed};
use crate::objects::{ObjectModel, ObjectSet};
use crate::policies::PolicyKind;
use crate::scene::CellDescription;
use crate::sim::testing::distinct;
use crate::sim::{GraspWorldBundle, SimConfig};
use glam::Vec3;
use std::sync::Arc;

fn world(cell: &str) -> GraspWorldBundle {
    GraspWorldBundle::new(Arc::new(CellDescription::load(cell).expect("built in")), &SimConfig::default())
}

fn objects(seed: u64) -> Vec<Arc<ObjectModel>> {
    distinct(ObjectSet::household(Seed(0)).expect("solid objects").objects(), 6, Seed(seed))
}

#[test]
fn the_bins_stand_elsewhere_every_episode_and_hold_the_objects() {
    let mut world = world("mobile-three-bins");
    let mut poses = Vec::new();
    for seed in 0..6 {
        world.edit().reset(&objects(seed), Seed(seed));
        let pose = world.bin_group_pose();
        assert!(pose.x_m.abs() <= 0.05 && pose.y_m.abs() <= 0.3 && pose.yaw_rad.abs() <= 0.15, "{pose:?}");
        assert!(!poses.contains(&pose));
        poses.push(pose);
        assert_eq!(*world.cell().bins, *world.nominal_cell().with_bin_group_at(pose).bins);
        let check = world.view().check();
        assert!(check.finite && check.out_of_bounds == 0 && check.deepest_m < 0.003, "seed {seed}: {check:?}");
        for (index, object) in world.object_poses().iter().enumerate() {
            let bin = world.view().bin_below(object.translation);
            assert!(
                bin.is_some_and(|bin| world.filled_bins().contains(&bin)),
                "seed {seed}: object {index} in {bin:?}"
            );
        }
        // The drawn tray is where the colliding one is.
        let tray = world.parts().iter().find(|part| part.class == crate::contract::Class::Tray).expect("a tray");
        let bin = &world.cell().bins[0];
        assert!(tray.body_from_part.translation.truncate().distance(bin.position.truncate()) < 1e-5);
        assert!(tray.body_from_part.rotation.angle_between(bin.world_from_bin().rotation) < 1e-3);
    }
    // The same seed again is the same episode, whatever came before.
    let mut fresh = self::world("mobile-three-bins");
    fresh.edit().reset(&objects(2), Seed(2));
    world.edit().reset(&objects(2), Seed(2));
    assert_eq!(fresh.body_poses(), world.body_poses());
    assert_eq!(fresh.bin_group_pose(), world.bin_group_pose());
}

#[test]
fn placements_are_the_papers_and_fill_the_bins_they_name() {
    let mut world = world("mobile-three-bins:multi-bin-eval");
    let before_robot = |world: &GraspWorldBundle, bin: usize| world.cell().bins[bin].position.y.abs() < 1e-5;
    for (placement, before, filled) in
        [(0, Some(0), 1), (1, None, 2), (2, Some(1), 1), (3, Some(1), 3), (4, None, 2), (5, Some(2), 1)]
    {
        world.edit().reset_at(placement, &objects(placement as u64), Seed(7));
        assert_eq!(world.bin_group_pose().placement, Some(placement));
        assert_eq!(world.filled_bins().len(), filled, "placement {placement}");
        assert_eq!((0..3).find(|&bin| before_robot(&world, bin)), before, "placement {placement}");
        assert_eq!(world.view().objects_present(), 6);
    }
}

#[test]
fn the_gripper_stays_over_the_bins_and_within_reach_and_the_arm_follows() {
    let mut world = world("mobile-three-bins");
    let mut episode = TaskEpisode::new(Box::<BinGrasp>::default(), world.cell());
    let mut rng = Seed(3).rng();
    for seed in 0..12 {
        world.edit().reset(&[], Seed(seed));
        let limits = world.cell().motion;
        let reach = limits.reach_m.expect("a limit");
        for _ in 0..400 {
            let place = Vec3::new(rng.range(-0.2, 1.3), rng.range(-1.2, 1.2), rng.range(-0.1, 0.5));
            let allowed = world.view().clamp_to_workspace(place);
            let distance = allowed.truncate().length();
            assert!(distance > reach[0] - 0.002 && distance < reach[1] + 0.002, "{place} to {allowed}");
            let over = world.cell().bins.iter().any(|bin| bin.contains_xy(allowed, limits.wall_margin - 1e-4));
            assert!(over, "{place} to {allowed}");
            assert!(world.view().clamp_to_workspace(allowed).distance(allowed) < 2e-3, "{place} to {allowed}");
        }
        // As far as it goes to every side: the drawn arm's flange is at the hand.
        for way in [Vec3::X, Vec3::Y, -Vec3::X, -Vec3::Y, Vec3::X + Vec3::Y, Vec3::X - Vec3::Y] {
            episode.reset(&mut world.edit(), &[], None, Seed(seed));
            for k in 0..12_u8 {
                let translation_m = (way + Vec3::Z * if k % 2 == 0 { 0.3 } else { -0.3 }).to_array();
                let rotation_rad = if k % 4 < 2 { 0.8 } else { -0.8 };
                episode.step(&mut world.edit(), &Action { translation_m, rotation_rad, ..Action::default() });
                let flange = world.body_poses()[world.bodies().arm_link(7)].translation;
                let apart = flange.distance(world.view().wrist_pose().translation);
                assert!(apart < 1e-4, "seed {seed}, {way}, step {k}: the arm is {apart} m from the hand");
            }
        }
    }
}

#[test]
fn what_is_grasped_leaves_until_all_come_back() {
    let mut world = world("mobile-three-bins:single-bin");
    world.edit().reset(&objects(1), Seed(1));
    world.edit().next_attempt(&[2, 4], Seed(2));
    assert_eq!(
        (world.view().objects_present(), world.view().is_present(2), world.view().is_present(3)),
        (4, false, true)
    );
    let check = world.view().check();
    assert!(check.finite && check.out_of_bounds == 0, "{check:?}");
    // It is neither seen from above nor in the way.
    assert!(world.object_poses()[2].translation.z < -1.0);
    let mut policy = PolicyKind::Oracle.create();
    let mut rng = Seed(0).rng();
    policy.begin();
    let mut episode = TaskEpisode::new(Box::<BinGrasp>::default(), world.cell());
    episode.begin(&world.view());
    while !episode.is_done() {
        let action = policy.act(&world.view(), &mut rng);
        episode.step(&mut world.edit(), &action);
    }
    assert!(!episode.last_step().grasped.contains(&2));
    world.edit().next_attempt(&[0, 1, 3, 5], Seed(3));
    assert_eq!(world.view().objects_present(), 6);
    let check = world.view().check();
    assert!(check.finite && check.out_of_bounds == 0 && check.deepest_m < 0.003, "{check:?}");
}
