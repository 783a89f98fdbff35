//! Episodes of the single-bin cell keep their bits: changes for other cells must not move one object of this one.
//!
//! The digests were measured before bins could turn or stand beside each other. They hold on x86-64 Linux with glibc,
//! whose sine and cosine the physics uses; another C library may round differently.

use super::{BinGrasp, TaskEpisode};
use crate::contract::Seed;
use crate::objects::{ObjectSet, Split};
use crate::policies::PolicyKind;
use crate::scene::CellDescription;
use crate::sim::testing::distinct;
use crate::sim::{GraspWorldBundle, SimConfig};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// Digest of two attempts: poses of objects and gripper after every step, rewards and what was grasped.
fn digest(kind: PolicyKind, seed: u64) -> String {
    let objects = ObjectSet::builtin().split(Split::Train);
    let seed = Seed(seed);
    let cell = CellDescription::iiwa_bin();
    let mut world = GraspWorldBundle::new(Arc::new(cell), &SimConfig::default());
    let mut episode = TaskEpisode::new(Box::<BinGrasp>::default(), world.cell());
    episode.reset(&mut world.edit(), &distinct(&objects, 5, seed), None, seed);
    let mut policy = kind.create();
    let mut rng = seed.derive("policy", 0).rng();
    let mut hash = Sha256::new();
    for attempt in 0..2 {
        policy.begin();
        loop {
            let action = policy.act(&world.view(), &mut rng);
            let step = episode.step(&mut world.edit(), &action);
            let palm = world.view().gripper_pose();
            for pose in world.object_poses().iter().chain([&palm]) {
                for value in pose.translation.to_array().into_iter().chain(pose.rotation.to_array()) {
                    hash.update(value.to_bits().to_le_bytes());
                }
            }
            hash.update(step.reward.to_bits().to_le_bytes());
            step.grasped.iter().for_each(|&index| hash.update((index as u64).to_le_bytes()));
            if step.done() {
                episode.keep_objects(&mut world.edit(), seed.derive("attempt", attempt));
                break;
            }
        }
    }
    hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[test]
#[cfg(all(target_arch = "x86_64", target_os = "linux", target_env = "gnu"))]
fn episodes_of_the_single_bin_cell_keep_their_bits() {
    let measured: Vec<String> = [
        (PolicyKind::Oracle, 1),
        (PolicyKind::Oracle, 2),
        (PolicyKind::Scripted, 3),
        (PolicyKind::NoisyPlanner, 4),
        (PolicyKind::Random, 5),
    ]
    .into_iter()
    .map(|(kind, seed)| digest(kind, seed))
    .collect();
    assert_eq!(
        measured,
        ["4492f7dd27da0877", "2988e0a4e372fd6a", "da6d80fab865a8f9", "af14a253063a0ddc", "2daa807da8b3f391"]
    );
}
