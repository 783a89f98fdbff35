//! Episodes of a policy to disk.

use super::EpisodeWriter;
use crate::contract::{EpisodeCollector, EpisodePlan, Policy, VecEnvError};
use crate::data::DataError;

/// Why a recording stopped.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// An episode cannot be written: the disk, or an episode that does not fit the settings.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The environments or the policy failed while an episode was played.
    #[error(transparent)]
    Play(#[from] VecEnvError),
}

/// Plays and writes until the recording is full; false when `should_continue`, which is told the episodes written so far,
/// said no. Each shard is played from its own seed, so that an interrupted recording goes on with the same episodes. An
/// episode's seed names its objects: each begins anew.
///
/// # Errors
/// The simulator, the network or the disk fails.
pub fn record_episodes(
    envs: &mut dyn EpisodeCollector,
    policy: &mut dyn Policy,
    mut writer: EpisodeWriter,
    should_continue: &mut dyn FnMut(u64) -> bool,
) -> Result<bool, RecordError> {
    let config = writer.config().clone();
    while writer.remaining() > 0 {
        let shard = writer.next_episode() / config.episodes_per_shard;
        let count = config.episodes_per_shard.min(writer.remaining()) as usize;
        let plan =
            EpisodePlan { count, seed: config.seed.derive("episodes", shard), p_keep_objects: 0.0, should_stop: None };
        let mut episodes = Vec::with_capacity(count);
        envs.collect(policy, &plan, &mut |episode| episodes.push(episode))?;
        for episode in &episodes {
            writer.write(episode)?;
        }
        if !should_continue(writer.next_episode()) && writer.remaining() > 0 {
            return Ok(false);
        }
    }
    writer.finish()?;
    Ok(true)
}
