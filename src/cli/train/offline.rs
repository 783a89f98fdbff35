//! Recorded episodes that a run of `train qtopt` begins with.

use crate::cli::{UsageError, agent, common};
use crate::collect::episodes::recorded_episodes;
use crate::data::episodes::EpisodeReader;
use crate::rl::Preset;
use crate::rl::qtopt::train::{Settings, Trainer};
use anyhow::Context;
use std::path::Path;

/// The recorded episodes that a run is to begin with, checked to be such as its network can learn from.
pub(super) fn open(settings: &Settings) -> anyhow::Result<Option<EpisodeReader>> {
    let offline = agent::data(settings, "offline");
    if offline.is_empty() {
        return Ok(None);
    }
    let reader =
        EpisodeReader::open(Path::new(offline)).with_context(|| format!("opening the episodes in {offline}"))?;
    let (size, recorded) = (settings.qtopt.size as u32, reader.config());
    if (recorded.width, recorded.height) != (size, size) {
        let message = format!(
            "the episodes in {offline} are {}x{} and the network takes {size}x{size}; record them with --size {size}",
            recorded.width, recorded.height
        );
        return Err(UsageError(message).into());
    }
    let text = |key: &str| recorded.generator.get(key).and_then(toml::Value::as_str);
    // The small network knows where in the image things are; earlier recordings were cropped at random and do not say so.
    let (camera, crop) = (text("camera").unwrap_or(common::CAMERA), text("crop").unwrap_or("random"));
    let wanted = (agent::data(settings, "camera"), agent::data(settings, "crop"));
    if settings.qtopt.preset == Preset::Small && (camera, crop) != wanted {
        let message = format!(
            "the episodes in {offline} show the {crop} crop of the camera {camera}, and the network is for the {} crop of \
             {}; record them anew, or use the preset paper",
            wanted.1, wanted.0
        );
        return Err(UsageError(message).into());
    }
    Ok(Some(reader))
}

/// Recorded episodes into the trainer's memory.
pub(super) fn preload(out: &Path, trainer: &mut Trainer) -> anyhow::Result<()> {
    // Later they are in the replay, and their files may be gone.
    if trainer.iteration() > 0 {
        return Ok(());
    }
    let settings = trainer.settings().clone();
    let Some(reader) = open(&settings)? else { return Ok(()) };
    let adapter = agent::adapter(out, &settings, reader.config().domain)?;
    let episodes = recorded_episodes(&reader, &settings.space, &adapter);
    Ok(trainer.preload(episodes)?)
}
