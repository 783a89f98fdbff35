//! Drives eight bins from Rust without knowing Bevy: random actions, pictures in two domains, rewards.
//!
//!     cargo run --release --example grasp_env

use bingrasp::contract::{Class, Domain, Seed};
use bingrasp::env::{EnvConfig, GraspEnv, Reset};
use bingrasp::objects::{ObjectSet, Split};
use bingrasp::policies::PolicyKind;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let objects = ObjectSet::builtin().split(Split::Train);
    let config = EnvConfig {
        sources: vec![Domain::RandomizedHeavy, Domain::Reality],
        ..EnvConfig::new(objects, Domain::RandomizedHeavy, 8, 64, Seed(1))
    };
    let mut env = GraspEnv::new(config)?;
    let first = env.reset_all()?;
    let frames = first.of(Domain::Reality).ok_or("reality was asked for")?;
    println!("{} pictures of {}x{} pixels a domain", frames.count, frames.width, frames.height);

    let mut policy = PolicyKind::Random.create();
    let mut rng = Seed(2).rng();
    for step in 1..=5 {
        let actions: Vec<_> = (0..env.len()).map(|i| Some(policy.act(env.world(i), &mut rng))).collect();
        let outcome = env.step(&actions, true)?;
        let frames = &outcome.observation.frames[0];
        let objects = frames.segmentation.iter().filter(|&&c| c == Class::Object as u8).count();
        let rewards: f32 = outcome.steps.iter().map(|s| s.reward).sum();
        println!(
            "step {step}: reward {rewards:+.2}, objects fill {:.1}% of the pixels",
            100.0 * objects as f64 / frames.segmentation.len() as f64
        );
        let over = (0..env.len()).filter(|&i| outcome.steps[i].done());
        env.reset(over.map(|index| Reset::Next { index }))?;
    }
    Ok(())
}
