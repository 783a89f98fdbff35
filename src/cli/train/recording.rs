//! Recordings that a run of `train qtopt` begins with (`--offline`) or learns from beside the simulator (`--real`).

use super::qtopt::QtOptRun;
use crate::cli::{UsageError, agent, common};
use crate::contract::Crop;
use crate::data::episodes::EpisodeReader;
use crate::files::console::{remark, warn_all};
use crate::rl::qtopt::load::load_replays;
use crate::rl::qtopt::{ExperienceSource, QLearner, QtOptConfig};
use crate::train::{EnvData, Trainer, load_run};
use anyhow::Context;
use std::path::Path;

/// Refuses recordings that the run's network cannot learn from.
pub(super) fn check(config: &QtOptRun) -> anyhow::Result<()> {
    for path in [&config.data.offline, &config.data.real].into_iter().flatten() {
        open(path, &config.data.env, &config.learner)?;
    }
    check_init_episodes(config)
}

/// Refuses episodes of `--init` that show what this run's simulator does not.
fn check_init_episodes(config: &QtOptRun) -> anyhow::Result<()> {
    let data = &config.data;
    let Some(init) = data.init.as_ref().filter(|_| data.init_episodes > 0) else { return Ok(()) };
    let theirs =
        load_run::<QtOptConfig>(init).with_context(|| format!("opening the run in {} for --init", init.display()))?;
    let refuse = |what: String| {
        let shown = init.display();
        Err(UsageError(format!("--init-episodes: the run in {shown} {what}; leave the flag out")).into())
    };
    let (env, other) = (&data.env, &theirs.config.data.env);
    if theirs.config.data.generator.is_some() {
        return refuse("keeps pictures that a generator made".into());
    }
    let wide = |learner: &QtOptConfig| (learner.size, learner.network.map_cell_m.to_bits());
    for (name, own, other) in [
        ("domain", env.domain.to_string(), other.domain.to_string()),
        ("cell", env.cell.clone(), other.cell.clone()),
        ("camera", env.camera.clone(), other.camera.clone()),
        ("crop", format!("{:?}", env.crop).to_lowercase(), format!("{:?}", other.crop).to_lowercase()),
    ] {
        if own != other {
            return refuse(format!("saw the {name} {other}, and this one sees {own}"));
        }
    }
    if wide(&config.learner) != wide(&theirs.config.learner) {
        return refuse("saw pictures of another size, or labels of another map".into());
    }
    Ok(())
}

/// Opens a recording for a network that looks through the camera of `env`.
pub(super) fn open(path: &Path, env: &EnvData, learner: &QtOptConfig) -> anyhow::Result<EpisodeReader> {
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
    let (camera, crop) = (text("camera").unwrap_or(common::CAMERA), text("crop").unwrap_or("random"));
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
pub(super) fn preload(trainer: &mut Trainer<QtOptConfig, QLearner, ExperienceSource>) -> anyhow::Result<()> {
    let config = trainer.config().clone();
    if let Some(init) = config.data.init.as_ref().filter(|_| config.data.init_episodes > 0) {
        let loading = || format!("taking over episodes of the run in {} for --init-episodes", init.display());
        let (replays, warnings) = load_replays(init).with_context(loading)?;
        warn_all(&warnings);
        let adapter = agent::adapter(trainer.root(), &config, config.data.env.domain)?;
        let count = usize::try_from(config.data.init_episodes).unwrap_or(usize::MAX);
        let adapter = adapter.as_deref().map(|adapter| adapter as _);
        let taken = trainer.source.take_over([&replays[0], &replays[1]], count, adapter).with_context(loading)?;
        remark(format_args!("{taken} episodes of {} are in the replay", init.display()));
    }
    if let Some(path) = &config.data.offline {
        let reader = open(path, &config.data.env, &config.learner)?;
        let adapter = agent::adapter(trainer.root(), &config, reader.config().domain)?;
        trainer.source.preload(agent::recorded_episodes(
            &reader,
            &config.data.space,
            adapter.as_deref().map(|adapter| adapter as _),
        ))?;
    }
    if let Some(path) = &config.data.real {
        let reader = open(path, &config.data.env, &config.learner)?;
        let adapter = agent::adapter(trainer.root(), &config, reader.config().domain)?;
        trainer.source.add_real(agent::recorded_episodes(
            &reader,
            &config.data.space,
            adapter.as_deref().map(|adapter| adapter as _),
        ))?;
    }
    Ok(())
}
