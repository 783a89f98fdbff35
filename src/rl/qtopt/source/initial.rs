//! What the simulator's replays hold before anything is played: recorded episodes, or those of the run that this one begins with.

use super::ExperienceSource;
use crate::contract::{EpisodeCollector, ImageAdapter, VecEnvError};
use crate::files::interrupt;
use crate::rl::error::RlError;
use crate::rl::qtopt::collect::{BehaviorPolicy, Episode, play_each};
use crate::rl::qtopt::policy::CemPolicy;
use crate::rl::qtopt::stream::Stream;
use crate::rl::replay::{Replay, Transition};

/// The newest `count` episodes of two replays, off-policy and on-policy: as many of each, and more of one where the other has
/// fewer.
fn newest_of([off_policy, on_policy]: [&Replay; 2], count: usize) -> [Vec<Vec<Transition>>; 2] {
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
        for episode in scripted {
            self.scripted.add(episode.last().is_some_and(|last| last.record.reward > 0.5));
            self.simulation.off_policy.push(&seen_through(adapter, self.config.size, episode)?);
        }
        for episode in own {
            self.simulation.on_policy.push(&seen_through(adapter, self.config.size, episode)?);
        }
        Ok(taken)
    }

    /// Plays `count` episodes in `envs`, some by the script and some by `policy`, with its noise or without, as in training
    /// before a policy is better than the script; each picture is kept as `adapter` shows it. `policy` sees what `envs` show to
    /// it: its own domain, for example, where episodes keep pictures of another one. Returns how many can be learned from.
    ///
    /// # Errors
    /// The environments, the policy or the adapter fail; not one episode can be learned from;
    /// [`RlError::Interrupted`].
    pub fn play_before(
        &mut self,
        envs: &mut dyn EpisodeCollector,
        policy: CemPolicy<'_>,
        count: usize,
        adapter: Option<&dyn ImageAdapter>,
    ) -> Result<usize, RlError> {
        let seed = self.seed.derive("before", 0);
        let exploration = self.config.exploration;
        let plan = exploration.draw_behaviors(count, exploration.p_policy_warmup, seed);
        let (mut played, mut kept, mut failed) = (0, 0, None);
        let (size, scripted) = (self.config.size, &mut self.scripted);
        let Stream { off_policy, on_policy, .. } = &mut self.simulation;
        play_each(envs, Some(policy), &exploration, &plan, seed, Some(interrupt::requested), &mut |episode| {
            played += 1;
            if episode.invalid || failed.is_some() {
                return;
            }
            let is_scripted = episode.behavior == BehaviorPolicy::Scripted;
            let replay = if is_scripted { &mut *off_policy } else { &mut *on_policy };
            match seen_through(adapter, size, episode.transitions) {
                Ok(transitions) => replay.push(&transitions),
                Err(error) => {
                    failed = Some(error);
                    return;
                }
            }
            if is_scripted {
                scripted.add(episode.success);
            }
            kept += 1;
        })?;
        match failed {
            Some(error) => Err(error),
            None if played < count => Err(RlError::Interrupted),
            None if kept == 0 => Err(RlError::Config("no episode before training can be learned from".into())),
            None => Ok(kept),
        }
    }
}

/// An episode whose pictures `[size, size, 3]` an adapter has made others of.
fn seen_through(
    adapter: Option<&dyn ImageAdapter>,
    size: usize,
    mut episode: Vec<Transition>,
) -> Result<Vec<Transition>, RlError> {
    let Some(adapter) = adapter else { return Ok(episode) };
    let rgb = episode.iter().flat_map(|transition| transition.image.iter().copied()).collect();
    let images = adapter.encode(rgb, [size; 2])?;
    let each = images.chunks_exact(size * size * adapter.channels());
    episode.iter_mut().zip(each).for_each(|(transition, image)| transition.image = image.to_vec());
    Ok(episode)
}
