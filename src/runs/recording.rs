//! Recordings that a run of `train qtopt` begins with (`--offline`) or learns from beside the simulator (`--real`).

use super::environments::CAMERA;
use super::qtopt::QtOptRun;
use super::{UsageError, agent};
use crate::contract::Crop;
use crate::data::episodes::EpisodeReader;
use crate::rl::qtopt::network::QNetwork;
use crate::rl::qtopt::{ExperienceSource, QLearner, QtOptConfig};
use crate::train::{EnvData, Trainer};
use anyhow::Context;
use std::path::Path;

/// Refuses recordings that the run's network cannot learn from.
pub fn check(config: &QtOptRun) -> anyhow::Result<()> {
    let data = &config.data;
    if data.real_only && data.init.is_none() && config.learner.q_network() == QNetwork::StateEstimating {
        return Err(UsageError(
            "real data alone have no labels to teach the state-estimating network where the hand is: take --network \
             end-to-end, which learns from rewards alone, or begin with a run that had labels (--init)"
                .into(),
        )
        .into());
    }
    for path in [&config.data.offline, &config.data.real].into_iter().flatten() {
        open(path, &config.data.env, &config.learner)?;
    }
    Ok(())
}

/// Opens a recording for a network that looks through the camera of `env`.
pub fn open(path: &Path, env: &EnvData, learner: &QtOptConfig) -> anyhow::Result<EpisodeReader> {
    let shown = path.display();
    let reader = EpisodeReader::open(path).with_context(|| format!("opening the episodes in {shown}"))?;
    let (size, recorded) = (learner.size as u32, reader.config());
    if (recorded.width, recorded.height) != (size, size) {
        let message = format!(
            "the episodes in {shown} are {}x{} and the network takes {size}x{size}; record them with --size {size}",
            recorded.width, recorded.height
        );
        return Err(UsageError(message).into());
    }
    let text = |key: &str| recorded.generator.get(key).and_then(toml::Value::as_str);
    // The state-estimating network knows where in the image things are; recordings that do not say so were cropped at random.
    let (camera, crop) = (text("camera").unwrap_or(CAMERA), text("crop").unwrap_or("random"));
    let wanted = (env.camera.as_str(), if env.crop == Crop::Random { "random" } else { "centre" });
    if learner.is_calibrated() && (camera, crop) != wanted {
        let message = format!(
            "the episodes in {shown} show the {crop} crop of the camera {camera}, and the network is for the {} crop of \
             {}; record them anew, or use --network end-to-end",
            wanted.1, wanted.0
        );
        return Err(UsageError(message).into());
    }
    Ok(reader)
}

/// Recorded episodes into a new run's memory.
///
/// # Errors
/// A recording that is missing, damaged or of another kind.
pub fn preload(trainer: &mut Trainer<QtOptConfig, QLearner, ExperienceSource>) -> anyhow::Result<()> {
    let config = trainer.config().clone();
    for (path, is_real) in [(&config.data.offline, false), (&config.data.real, true)] {
        let Some(path) = path else { continue };
        let reader = open(path, &config.data.env, &config.learner)?;
        let adapter = agent::adapter(trainer.root(), &config, reader.config().domain)?;
        let adapter = adapter.as_deref().map(|adapter| adapter as _);
        let episodes = agent::recorded_episodes(&reader, &config.data.space, adapter);
        if is_real {
            trainer.source.add_real(episodes)?;
        } else {
            trainer.source.preload(episodes)?;
        }
    }
    Ok(())
}
