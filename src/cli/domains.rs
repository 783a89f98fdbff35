//! The same moments in every visual domain, as one picture.

use super::common;
use crate::contract::{Action, Domain, Seed};
use crate::draw::{ContactSheet, Picture};
use crate::env::{EnvConfig, GraspEnv, Rollout};
use crate::policies::PolicyKind;
use std::path::Path;

/// Draws `moments` moments of different bins, a row each, in all five domains.
pub fn sheet(out: &Path, moments: usize, size: u32, seed: Seed) -> anyhow::Result<()> {
    let objects = common::load_objects("test", common::ImportArgs::default())?;
    let config =
        EnvConfig { sources: Domain::ALL.to_vec(), ..EnvConfig::new(objects, Domain::Canonical, moments, size, seed) };
    let mut env = GraspEnv::new(config)?;
    let mut rollout = Rollout::begin(&mut env, PolicyKind::Oracle, seed)?;
    // On the way down, where the gripper and the objects are both in sight.
    for _ in 0..2 {
        rollout.step(&mut env, false)?;
    }
    let observation = env.step(&vec![None::<Action>; moments], true)?.observation;
    let mut sheet = ContactSheet::new(
        "One moment, five domains",
        "reality is a simulated stand-in for the real world; no network is trained on it",
    )
    .columns(&["canonical", "mild", "medium", "heavy", "reality"])
    .cell(size as usize);
    let size = size as usize;
    for moment in 0..moments {
        let pictures = observation
            .frames
            .iter()
            .map(|frames| Picture::photo(size, size, frames.source_image(moment).to_vec()))
            .collect();
        sheet.row(format!("bin {moment}, step {}", observation.step_indices[moment]), pictures);
    }
    sheet.save(out)?;
    Ok(())
}
