//! Recorded episodes: attempts of a policy to disk, and back as what a learner takes.

use super::sight::Sight;
use crate::contract::Seed;
use crate::data::DataError;
use crate::data::episodes::{Decision, Episode, EpisodeReader, EpisodeWriter, Observation};
use crate::rl::action::ActionSpace;
use crate::rl::arena::{Arena, ArenaError};
use crate::rl::collect::{Attempt, Conduct, play};
use crate::rl::config::ExplorationConfig;
use crate::rl::error::RlError;
use crate::rl::network::state_features;
use crate::rl::policy::Decider;
use crate::rl::privileged::Privileged;
use crate::rl::replay::{ENDED, GOES_ON, RAN_OUT, Record, Transition};

#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    #[error(transparent)]
    Data(#[from] DataError),
    #[error(transparent)]
    Play(#[from] RlError),
}

/// Plays and writes until the recording is full; false when `keep_on` (told the episodes written so far) said no. Each
/// shard is played from its own seed, so that an interrupted recording goes on with the same episodes.
///
/// # Errors
/// The simulator, the network or the disk fails.
pub fn record_episodes(
    arena: &mut dyn Arena,
    (decider, conduct): (Option<Decider<'_>>, Conduct),
    exploration: &ExplorationConfig,
    mut writer: EpisodeWriter,
    keep_on: &mut dyn FnMut(u64) -> bool,
) -> Result<bool, RecordError> {
    let config = writer.config().clone();
    while writer.remaining() > 0 {
        let shard = writer.next_episode() / config.episodes_per_shard;
        let count = config.episodes_per_shard.min(writer.remaining()) as usize;
        let seed = config.seed.derive("episodes", shard);
        for attempt in play(arena, decider, exploration, &vec![conduct; count], seed)? {
            writer.write(&to_episode(&attempt))?;
        }
        if !keep_on(writer.next_episode()) && writer.remaining() > 0 {
            return Ok(false);
        }
    }
    writer.finish()?;
    Ok(true)
}

/// An attempt that was seen in plain pictures, as an episode.
fn to_episode(attempt: &Attempt) -> Episode {
    let last = attempt.transitions.len().saturating_sub(1);
    let images = attempt.transitions.iter().map(|transition| &transition.image).chain([&attempt.last_image]);
    Episode {
        seed: attempt.seed.0,
        observations: images
            .zip(&attempt.gripper)
            .map(|(image, gripper)| Observation { image: image.clone(), gripper: *gripper })
            .collect(),
        decisions: attempt
            .transitions
            .iter()
            .zip(&attempt.actions)
            .enumerate()
            .map(|(index, (transition, action))| Decision {
                action: *action,
                reward: transition.record.reward,
                terminated: index == last && !attempt.truncated,
                truncated: index == last && attempt.truncated,
                strayed: transition.record.strayed > 0.0,
            })
            .collect(),
        grasped: attempt.grasped.clone(),
    }
}

/// Episodes as attempts to learn from, seen through `sight`. Those that the simulation cut off are left out.
pub fn recorded_attempts<'a>(
    reader: &'a EpisodeReader,
    space: &'a ActionSpace,
    sight: &'a Sight,
) -> impl Iterator<Item = Result<Attempt, ArenaError>> + 'a {
    let size = [reader.config().height as usize, reader.config().width as usize];
    let usable = |episode: &Result<Episode, DataError>| match episode {
        Ok(episode) => episode.decisions.last().is_some_and(|decision| decision.terminated),
        Err(_) => true,
    };
    reader.iter().filter(usable).map(move |episode| {
        let episode = episode.map_err(ArenaError::new)?;
        to_attempt(&episode, space, sight, size)
    })
}

fn to_attempt(episode: &Episode, space: &ActionSpace, sight: &Sight, size: [usize; 2]) -> Result<Attempt, ArenaError> {
    let rgb: Vec<u8> = episode.observations.iter().flat_map(|observation| observation.image.iter().copied()).collect();
    let images = sight.see_bytes(rgb, size)?;
    let mut images = images.chunks_exact(size[0] * size[1] * sight.channels());
    let mut attempt = Attempt::new(Conduct::Scripted, Seed(episode.seed));
    for ((observation, decision), image) in episode.observations.iter().zip(&episode.decisions).zip(images.by_ref()) {
        let action = space.effective(&decision.action, observation.gripper.closed);
        let record = Record {
            state: state_features(&observation.gripper),
            action: space.features(&action),
            reward: decision.reward,
            ending: match (decision.terminated || decision.truncated, action.terminate) {
                (false, _) => GOES_ON,
                (true, true) => ENDED,
                (true, false) => RAN_OUT,
            },
            strayed: f32::from(u8::from(decision.strayed)),
            privileged: Privileged::UNKNOWN,
        };
        attempt.transitions.push(Transition { image: image.to_vec(), record });
        attempt.actions.push(action);
    }
    attempt.gripper = episode.observations.iter().map(|observation| observation.gripper).collect();
    attempt.last_image = images.next().map(<[u8]>::to_vec).unwrap_or_default();
    attempt.success = episode.success();
    attempt.grasped.clone_from(&episode.grasped);
    Ok(attempt)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::{Action, Domain, GripperCommand, GripperState};

    #[test]
    fn what_is_recorded_is_what_is_learned_from() -> anyhow::Result<()> {
        let space = ActionSpace { step_m: [0.08; 3], step_rad: 0.8 };
        let mut attempt = Attempt::new(Conduct::Noisy, Seed(9));
        for step in 0..3_u8 {
            let gripper = GripperState { closed: step > 1, height_m: 0.1, aperture_m: 0.08 };
            let action = Action { translation_m: [0.01, 0.0, -0.02], rotation_rad: 0.25, ..Action::default() };
            let action = Action { gripper: GripperCommand::Close, terminate: step == 2, ..action };
            let action = space.effective(&action, gripper.closed);
            let record = Record {
                state: state_features(&gripper),
                action: space.features(&action),
                reward: if step == 2 { 1.0 } else { -0.05 },
                ending: if step == 2 { ENDED } else { GOES_ON },
                strayed: f32::from(u8::from(step == 1)),
                privileged: Privileged::UNKNOWN,
            };
            attempt.transitions.push(Transition { image: vec![step; 2 * 2 * 3], record });
            attempt.actions.push(action);
            attempt.gripper.push(gripper);
        }
        attempt.gripper.push(GripperState { closed: true, height_m: 0.3, aperture_m: 0.03 });
        (attempt.last_image, attempt.success, attempt.grasped) = (vec![7; 12], true, vec![1]);
        let episode = to_episode(&attempt);
        assert_eq!((episode.observations.len(), episode.decisions.len()), (4, 3));
        let back = to_attempt(&episode, &space, &Sight::plain(Domain::Reality), [2, 2])?;
        assert_eq!(back.transitions, attempt.transitions);
        assert_eq!((back.gripper, back.last_image), (attempt.gripper, attempt.last_image));
        assert!(back.success);
        Ok(())
    }
}
