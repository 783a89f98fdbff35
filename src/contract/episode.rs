//! Episodes that were played, as learners and recordings take them.

use super::{Action, Failure, GripperState, Policy, PrivilegedState, Seed, VecEnv, VecEnvError};

/// What was seen before an action, or after the last one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EpisodeObservation {
    /// `[size, size, channels]` bytes.
    pub image: Vec<u8>,
    /// The gripper at the same moment.
    pub gripper: GripperState,
}

/// What was done, and what came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct EpisodeStep {
    /// As it was carried out (see [`super::ActionSpace::effective`]).
    pub action: Action,
    /// Reward of this step alone, not discounted.
    pub reward: f32,
    /// The policy ended the episode.
    pub terminated: bool,
    /// The episode reached its time limit.
    pub truncated: bool,
    /// The simulation failed: nothing can be learned from the episode.
    pub invalid: bool,
    /// Chance moved the action away from what the policy would have done.
    pub exploratory: bool,
    /// The value that the policy expected, where it has one.
    pub value: Option<f32>,
}

/// One episode: `observations.len() == steps.len() + 1`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Episode {
    /// As its schedule counts.
    pub number: usize,
    /// Decides the episode: its objects, their places, and the seeds of its looks.
    pub seed: Seed,
    /// One before each step, and one after the last.
    pub observations: Vec<EpisodeObservation>,
    /// The actions and their outcomes, in order; the last one ends the episode.
    pub steps: Vec<EpisodeStep>,
    /// Objects (numbers within the episode) that were held at the end.
    pub grasped: Vec<usize>,
    /// Where the group of bins stands from its place in the cell's description: x, y in metres, yaw in radians.
    pub bin_group: [f32; 3],
    /// How it failed; none for a success, and where that is not known.
    pub failure: Option<Failure>,
    /// Of the state before each step; empty where the environments do not tell.
    pub privileged: Vec<PrivilegedState>,
    /// Privileged too: classes ([`Class`](super::Class)) of the pixels before each step, `[size, size]` bytes; empty
    /// unless the environments were built with them.
    pub masks: Vec<Vec<u8>>,
}

impl Episode {
    /// At least one object was held at the end.
    pub fn success(&self) -> bool {
        !self.grasped.is_empty()
    }

    /// The simulation cut it off.
    pub fn invalid(&self) -> bool {
        self.steps.last().is_some_and(|step| step.invalid)
    }

    /// Discounted sum of rewards from the first step.
    pub fn discounted_return(&self, discount: f32) -> f32 {
        self.steps.iter().rev().fold(0.0, |sum, step| step.reward + discount * sum)
    }
}

/// Episodes to be played: as many as `count`, numbered from 0; the seed and its number decide each.
#[derive(Clone, Copy, Debug)]
pub struct EpisodePlan {
    /// Episodes to play.
    pub count: usize,
    /// The seed that every episode's own is derived from.
    pub seed: Seed,
    /// Probability that an episode begins with what the one before it left.
    pub p_keep_objects: f32,
    /// No further episode begins once this says so; those under way are played. For episodes that nothing is lost with: what is
    /// played is then a part of the plan.
    pub should_stop: Option<fn() -> bool>,
}

/// Environments that play whole episodes. Every [`VecEnv`] does, by the one loop of the room `env`.
pub trait EpisodeCollector: VecEnv {
    /// Plays the episodes of a plan and hands each to `sink` as soon as those before it are done: of thousands few are in
    /// memory.
    ///
    /// # Errors
    /// The environments or the policy fail.
    fn collect(
        &mut self,
        policy: &mut dyn Policy,
        plan: &EpisodePlan,
        sink: &mut dyn FnMut(Episode),
    ) -> Result<(), VecEnvError>;
}
