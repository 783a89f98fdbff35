//! The same moments in every visual domain, as one picture.

use super::common;
use crate::contract::{Domain, PrivilegedAccess, ScriptPolicy, Seed};
use crate::draw::{ContactSheet, Picture};
use crate::env::{BlockSchedule, EnvConfig, EpisodeLoop, GraspEnv};
use crate::policies::PolicyKind;
use std::path::Path;

/// Draws `moments` moments of different bins, a row each, in all domains.
pub fn sheet(out: &Path, moments: usize, size: u32, seed: Seed) -> anyhow::Result<()> {
    let (cell, objects) =
        (common::load_cell(common::CELL)?, common::load_objects("test", common::ImportArgs::default())?);
    let config = EnvConfig {
        sources: Domain::LOOKS.to_vec(),
        scripts: vec![PolicyKind::Oracle],
        ..EnvConfig::new(&cell, objects, Domain::Canonical, (moments, size), seed)
    };
    let mut env = GraspEnv::new(config.with_frames(PrivilegedAccess::GroundTruth))?;
    let mut episodes = EpisodeLoop::new(BlockSchedule { block: seed }, moments);
    // On the way down, where the gripper and the objects are both in sight.
    for _ in 0..3 {
        episodes.step(&mut env, &mut ScriptPolicy, false)?;
    }
    let batch = env.observe()?;
    let (observation, frames) =
        (batch.observation, batch.privileged.map(|privileged| privileged.frames).unwrap_or_default());
    let mut sheet = ContactSheet::new(
        "One moment, six domains",
        "reality and reality-2 are simulated stand-ins for the real world; no label of theirs is learned from",
    )
    .columns(&["canonical", "mild", "medium", "heavy", "reality", "reality-2"])
    .cell(size as usize);
    let size = size as usize;
    for moment in 0..moments {
        let pictures =
            frames.iter().map(|frames| Picture::photo(size, size, frames.source_image(moment).to_vec())).collect();
        sheet.row(format!("bin {moment}, step {}", observation.step_indices[moment]), pictures);
    }
    sheet.save(out)?;
    Ok(())
}
