//! Recorded episodes: episodes of a policy to disk, and back as what a learner takes.

use super::observation_adapter::ObservationAdapter;
use crate::contract::Seed;
use crate::data::DataError;
use crate::data::episodes::{Decision, EpisodeReader, EpisodeWriter, RecordedEpisode, RecordedObservation};
use crate::rl::action::ActionSpace;
use crate::rl::error::RlError;
use crate::rl::qtopt::collect::{BehaviorPolicy, Episode, play};
use crate::rl::qtopt::config::ExplorationConfig;
use crate::rl::qtopt::network::state_features;
use crate::rl::qtopt::policy::CemPolicy;
use crate::rl::qtopt::privileged::Privileged;
use crate::rl::replay::{Record, Termination, Transition};
use crate::rl::vec_env::{VecEnv, VecEnvError};

#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    #[error(transparent)]
    Data(#[from] DataError),
    #[error(transparent)]
    Play(#[from] RlError),
}

/// Plays and writes until the recording is full; false when `should_continue` (told the episodes written so far) said no. Each
/// shard is played from its own seed, so that an interrupted recording goes on with the same episodes.
///
/// # Errors
/// The simulator, the network or the disk fails.
pub fn record_episodes(
    envs: &mut dyn VecEnv,
    (cem_policy, behavior): (Option<CemPolicy<'_>>, BehaviorPolicy),
    exploration: &ExplorationConfig,
    mut writer: EpisodeWriter,
    should_continue: &mut dyn FnMut(u64) -> bool,
) -> Result<bool, RecordError> {
    let config = writer.config().clone();
    while writer.remaining() > 0 {
        let shard = writer.next_episode() / config.episodes_per_shard;
        let count = config.episodes_per_shard.min(writer.remaining()) as usize;
        let seed = config.seed.derive("episodes", shard);
        for episode in play(envs, cem_policy, exploration, &vec![behavior; count], seed)? {
            writer.write(&to_recorded(&episode))?;
        }
        if !should_continue(writer.next_episode()) && writer.remaining() > 0 {
            return Ok(false);
        }
    }
    writer.finish()?;
    Ok(true)
}

/// An episode that was seen in plain pictures, as it is recorded.
fn to_recorded(episode: &Episode) -> RecordedEpisode {
    let last = episode.transitions.len().saturating_sub(1);
    let images = episode.transitions.iter().map(|transition| &transition.image).chain([&episode.last_image]);
    RecordedEpisode {
        seed: episode.seed.0,
        observations: images
            .zip(&episode.gripper)
            .map(|(image, gripper)| RecordedObservation { image: image.clone(), gripper: *gripper })
            .collect(),
        decisions: episode
            .transitions
            .iter()
            .zip(&episode.actions)
            .enumerate()
            .map(|(index, (transition, action))| Decision {
                action: *action,
                reward: transition.record.reward,
                terminated: !episode.invalid && transition.record.termination == Termination::Terminated,
                truncated: !episode.invalid && transition.record.termination == Termination::TimeLimit,
                invalid: index == last && episode.invalid,
                exploratory: transition.record.exploratory > 0.0,
            })
            .collect(),
        grasped: episode.grasped.clone(),
    }
}

/// Episodes as episodes to learn from, seen through `adapter`. Those that the simulation cut off are left out.
pub fn recorded_episodes<'a>(
    reader: &'a EpisodeReader,
    space: &'a ActionSpace,
    adapter: &'a ObservationAdapter,
) -> impl Iterator<Item = Result<Episode, VecEnvError>> + 'a {
    let size = [reader.config().height as usize, reader.config().width as usize];
    let usable = |recorded: &Result<RecordedEpisode, DataError>| match recorded {
        Ok(recorded) => recorded.decisions.last().is_some_and(|decision| decision.terminated || decision.truncated),
        Err(_) => true,
    };
    reader.iter().filter(usable).map(move |recorded| {
        let recorded = recorded.map_err(VecEnvError::new)?;
        to_episode(&recorded, space, adapter, size)
    })
}

fn to_episode(
    recorded: &RecordedEpisode,
    space: &ActionSpace,
    adapter: &ObservationAdapter,
    size: [usize; 2],
) -> Result<Episode, VecEnvError> {
    let rgb: Vec<u8> = recorded.observations.iter().flat_map(|observation| observation.image.iter().copied()).collect();
    let images = adapter.encode_rgb(rgb, size)?;
    let mut images = images.chunks_exact(size[0] * size[1] * adapter.channels());
    let mut episode = Episode::new(BehaviorPolicy::Scripted, Seed(recorded.seed));
    for ((observation, decision), image) in recorded.observations.iter().zip(&recorded.decisions).zip(images.by_ref()) {
        let action = space.effective(&decision.action, observation.gripper.closed);
        let record = Record {
            state: state_features(&observation.gripper),
            action: space.features(&action),
            reward: decision.reward,
            termination: match (decision.terminated || decision.truncated, action.terminate) {
                (false, _) => Termination::None,
                (true, true) => Termination::Terminated,
                (true, false) => Termination::TimeLimit,
            },
            exploratory: f32::from(u8::from(decision.exploratory)),
            privileged: Privileged::UNKNOWN,
        };
        episode.transitions.push(Transition { image: image.to_vec(), record });
        episode.actions.push(action);
    }
    episode.gripper = recorded.observations.iter().map(|observation| observation.gripper).collect();
    episode.last_image = images.next().map(<[u8]>::to_vec).unwrap_or_default();
    episode.success = recorded.success();
    episode.grasped.clone_from(&recorded.grasped);
    Ok(episode)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::{Action, Domain, GripperCommand, GripperState};

    #[test]
    fn what_is_recorded_is_what_is_learned_from() -> anyhow::Result<()> {
        let space = ActionSpace { step_m: [0.08; 3], step_rad: 0.8 };
        let mut episode = Episode::new(BehaviorPolicy::Noisy, Seed(9));
        for step in 0..3_u8 {
            let gripper = GripperState { closed: step > 1, height_m: 0.1, aperture_m: 0.08 };
            let action = Action { translation_m: [0.01, 0.0, -0.02], rotation_rad: 0.25, ..Action::default() };
            let action = Action { gripper: GripperCommand::Close, terminate: step == 2, ..action };
            let action = space.effective(&action, gripper.closed);
            let record = Record {
                state: state_features(&gripper),
                action: space.features(&action),
                reward: if step == 2 { 1.0 } else { -0.05 },
                termination: if step == 2 { Termination::Terminated } else { Termination::None },
                exploratory: f32::from(u8::from(step == 1)),
                privileged: Privileged::UNKNOWN,
            };
            episode.transitions.push(Transition { image: vec![step; 2 * 2 * 3], record });
            episode.actions.push(action);
            episode.gripper.push(gripper);
        }
        episode.gripper.push(GripperState { closed: true, height_m: 0.3, aperture_m: 0.03 });
        (episode.last_image, episode.success, episode.grasped) = (vec![7; 12], true, vec![1]);
        let recorded = to_recorded(&episode);
        assert_eq!((recorded.observations.len(), recorded.decisions.len()), (4, 3));
        let back = to_episode(&recorded, &space, &ObservationAdapter::plain(Domain::Reality), [2, 2])?;
        assert_eq!(back.transitions, episode.transitions);
        assert_eq!((back.gripper, back.last_image), (episode.gripper, episode.last_image));
        assert!(back.success);
        Ok(())
    }
}
