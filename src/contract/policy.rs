//! Decisions: what plays episodes.

use super::{Action, Observation, Script, Seed, VecEnvError};

/// An environment that needs an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActRequest {
    /// Number of the environment, from 0: its place in an [`Observation`].
    pub index: usize,
    /// The episode, as its schedule counts, and its seed.
    pub episode: usize,
    /// Seed of the episode, for random numbers that follow from it alone.
    pub seed: Seed,
    /// Steps of the episode so far.
    pub step: usize,
}

/// What a policy decided for one environment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Decision {
    /// The action to carry out; the environment clamps it ([`super::ActionSpace::effective`]).
    pub action: Action,
    /// Chance moved the action away from what the policy would have done.
    pub exploratory: bool,
    /// The value that the policy expects, where it has one.
    pub value: Option<f32>,
}

impl From<Action> for Decision {
    fn from(action: Action) -> Self {
        Self { action, ..Self::default() }
    }
}

/// Decides for all environments that need an action at once.
pub trait Policy {
    /// One decision for each request, in their order.
    ///
    /// # Errors
    /// A network that fails; images of another size.
    fn act(
        &mut self,
        observation: &Observation,
        requests: &[ActRequest],
        script: &mut dyn Script,
    ) -> Result<Vec<Decision>, VecEnvError>;
}

/// The environments' own scripts as a policy.
#[derive(Clone, Copy, Debug, Default)]
pub struct ScriptPolicy;

impl Policy for ScriptPolicy {
    fn act(
        &mut self,
        _: &Observation,
        requests: &[ActRequest],
        script: &mut dyn Script,
    ) -> Result<Vec<Decision>, VecEnvError> {
        let indices: Vec<usize> = requests.iter().map(|request| request.index).collect();
        Ok(script.scripted(&indices).into_iter().map(Decision::from).collect())
    }
}
