//! What the simulator's replays hold before anything is played: recorded episodes, or those of the run that this one begins with.

use super::ExperienceSource;
use crate::contract::{ImageAdapter, VecEnvError};
use crate::rl::error::RlError;
use crate::rl::qtopt::collect::Episode;
use crate::rl::replay::{Replay, Transition};

/// The newest `count` episodes of two replays, off-policy and on-policy: as many of each, and more of one where the other has
/// fewer.
pub(in crate::rl) fn newest_of([off_policy, on_policy]: [&Replay; 2], count: usize) -> [Vec<Vec<Transition>>; 2] {
    let own = on_policy.newest_episodes(count / 2);
    let scripted = off_policy.newest_episodes(count.saturating_sub(own.len()));
    // Few scripted ones leave room for more of the policy's.
    let room = count.saturating_sub(scripted.len());
    let own = if own.len() < room { on_policy.newest_episodes(room) } else { own };
    [scripted, own]
}

impl ExperienceSource {
    /// Fills the off-policy replay with recorded episodes before training; their success is the one to beat. A resumed run
    /// has them in its replay already.
    ///
    /// # Errors
    /// What the recording met.
    pub fn preload(&mut self, episodes: impl Iterator<Item = Result<Episode, VecEnvError>>) -> Result<(), RlError> {
        for episode in episodes {
            let episode = episode?;
            self.simulation.off_policy.push(&episode.transitions);
            self.scripted.add(episode.success);
        }
        Ok(())
    }

    /// Takes over the newest `count` episodes of another run's replays, off-policy and on-policy, each picture as `adapter`
    /// shows it: an agent that knows how to grasp and starts with nothing but the script's episodes forgets more than it learns.
    /// Returns how many there were.
    ///
    /// # Errors
    /// Replays without an episode; an adapter that fails.
    pub fn take_over(
        &mut self,
        replays: [&Replay; 2],
        count: usize,
        adapter: Option<&dyn ImageAdapter>,
    ) -> Result<usize, RlError> {
        let [scripted, own] = newest_of(replays, count);
        let taken = scripted.len() + own.len();
        if taken == 0 {
            return Err(RlError::Config("the run of --init keeps no episode any more".into()));
        }
        let size = self.config.size;
        let seen = |mut episode: Vec<Transition>| -> Result<Vec<Transition>, RlError> {
            let Some(adapter) = adapter else { return Ok(episode) };
            let rgb = episode.iter().flat_map(|transition| transition.image.iter().copied()).collect();
            let images = adapter.encode(rgb, [size; 2])?;
            let each = images.chunks_exact(size * size * adapter.channels());
            episode.iter_mut().zip(each).for_each(|(transition, image)| transition.image = image.to_vec());
            Ok(episode)
        };
        for episode in scripted {
            self.scripted.add(episode.last().is_some_and(|last| last.record.reward > 0.5));
            self.simulation.off_policy.push(&seen(episode)?);
        }
        for episode in own {
            self.simulation.on_policy.push(&seen(episode)?);
        }
        Ok(taken)
    }
}
