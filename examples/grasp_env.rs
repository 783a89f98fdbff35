//! Drives eight bins from Rust without knowing Bevy: a built-in policy, pictures in two domains, rewards.
//!
//!     cargo run --release --example grasp_env

use bingrasp::contract::{Class, Domain, PrivilegedAccess, ScriptPolicy, Seed};
use bingrasp::env::{BlockSchedule, EnvConfig, EpisodeLoop, GraspEnv};
use bingrasp::objects::{ObjectSet, Split};
use bingrasp::policies::PolicyKind;
use bingrasp::scene::CellDescription;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (cell, objects) = (CellDescription::iiwa_bin().into(), ObjectSet::builtin().split(Split::Train));
    let config = EnvConfig {
        sources: vec![Domain::RandomizedHeavy, Domain::Reality],
        scripts: vec![PolicyKind::Random],
        ..EnvConfig::new(&cell, objects, Domain::RandomizedHeavy, (8, 64), Seed(1))
    };
    // Masks and canonical pictures of `reality` are the truth that learners may not see: here they are measured.
    let mut env = GraspEnv::new(config.with_frames(PrivilegedAccess::GroundTruth))?;
    let mut episodes = EpisodeLoop::new(BlockSchedule { block: Seed(2) }, env.len());
    for step in 0..=5 {
        let Some(moment) = episodes.step(&mut env, &mut ScriptPolicy, true)? else { break };
        let privileged = moment.batch.privileged.take().unwrap_or_default();
        let frames = &privileged.frames[0];
        let objects = frames.segmentation.iter().filter(|&&c| c == Class::Object as u8).count();
        let rewards: f32 = moment.transitions.iter().map(|transition| transition.step.reward).sum();
        println!(
            "step {step}: reward {rewards:+.2}, objects fill {:.1}% of the pixels of {} pictures of {}x{}",
            100.0 * objects as f64 / frames.segmentation.len() as f64,
            frames.count,
            frames.width,
            frames.height
        );
    }
    Ok(())
}
