//! The policy of a trained Q-function: the action with the highest Q that the cross-entropy method finds.

use super::bellman::choose;
use super::network::{AT_ONCE, EncoderMode, QFunction, image_activations, may_end, state_activations, state_features};
use crate::contract::action_space::ActionSpace;
use crate::contract::{GripperState, Seed};
use crate::rl::cem::{CemConfig, Choice};
use crate::rl::error::RlError;
use rayon::prelude::*;

/// Borrowed: what decides.
#[derive(Clone, Copy)]
pub struct CemPolicy<'a> {
    /// Scores the actions that the search tries.
    pub q: &'a dyn QFunction,
    /// Largest displacement (m) and rotation (rad) of an action, which the search draws within.
    pub space: &'a ActionSpace,
    /// Rounds and samples of the search, and where an episode may be ended.
    pub cem: &'a CemConfig,
    /// Edge of the square images, pixels.
    pub size: usize,
    /// 3 for an image of the camera, 6 with a generated image before it.
    pub channels: usize,
}

impl CemPolicy<'_> {
    /// Decides for several situations at once: images of `[size, size, channels]` bytes, one seed for each search.
    ///
    /// # Errors
    /// Images of another size.
    pub fn act(&self, images: &[&[u8]], gripper: &[GripperState], seeds: &[Seed]) -> Result<Vec<Choice>, RlError> {
        if images.is_empty() {
            return Ok(Vec::new());
        }
        let _frozen = self.q.store().freeze();
        let device = self.q.store().device();
        let states: Vec<_> = gripper.iter().map(state_features).collect();
        let some = |group: usize| {
            let group = group * AT_ONCE..images.len().min((group + 1) * AT_ONCE);
            let states = &states[group.clone()];
            let images = image_activations(&images[group.clone()], self.size, self.channels, device)?;
            let encoded = self.q.encode(&images, &state_activations(states, device)?, EncoderMode::Evaluate)?;
            let may_end: Vec<bool> = states.iter().map(|state| may_end(self.cem, state)).collect();
            choose(self.q, &encoded, (self.space, self.cem), &may_end, &seeds[group])
        };
        let groups = (0..images.len().div_ceil(AT_ONCE)).into_par_iter().map(some);
        Ok(groups.collect::<Result<Vec<_>, RlError>>()?.concat())
    }
}

/// Owned: a policy from a run.
pub struct QPolicy {
    /// Scores the actions; weights of a checkpoint, on the device that it was loaded to.
    pub q: Box<dyn QFunction>,
    /// Largest displacement (m) and rotation (rad) of an action, as in training.
    pub space: ActionSpace,
    /// The search, with the settings of the run; more samples cost time and may find better actions.
    pub cem: CemConfig,
    /// Edge of the square images, pixels.
    pub size: usize,
    /// 3 for an image of the camera, 6 with a generated image before it.
    pub channels: usize,
}

impl QPolicy {
    /// The same policy, borrowed, which can act.
    pub fn cem_policy(&self) -> CemPolicy<'_> {
        CemPolicy { q: self.q.as_ref(), space: &self.space, cem: &self.cem, size: self.size, channels: self.channels }
    }
}
