//! Q-values for `bingrasp eval translation` of a run with Q-functions: Q_sim and Q_real over the same actions, on images and
//! their translations.

use crate::contract::action_space::ActionFeatures;
use crate::contract::{GripperState, Seed};
use crate::gan::cyclegan::Generator;
use crate::gan::images::images_tensor;
use crate::nn::{HOST, with_large_stack};
use crate::rl::qtopt::QPolicy;
use crate::rl::qtopt::bellman::{score_all, value_of};
use crate::rl::qtopt::network::{EncoderMode, image_activations, state_activations, state_features};
use crate::rl::rl_cyclegan::load::{JointQ, load_q};
use crate::rl::rl_cyclegan::saliency::{Asked, Column, Judges};
use std::path::Path;

/// Random actions at which Q-functions are compared, the same in every state.
const ACTIONS: usize = 64;

/// Q_sim and Q_real of a joint run.
pub struct QFunctions {
    sim: QPolicy,
    real: QPolicy,
    actions: Vec<ActionFeatures>,
}

/// Whose Q-function an image is for: x, F(G(x)) and F(y) are simulation's, y, G(x) and G(F(y)) reality's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Simulation,
    Reality,
}

impl QFunctions {
    /// # Errors
    /// A run without Q-functions, damage.
    pub fn load(run: &Path, seed: Seed) -> anyhow::Result<Self> {
        let [sim, real] = [load_q(run, JointQ::Sim, &HOST)?.policy, load_q(run, JointQ::Real, &HOST)?.policy];
        let (space, mut rng) = (sim.space, seed.derive("actions", 0).rng());
        let mut random = || space.features(&space.effective(&space.random(&mut rng), false));
        Ok(Self { actions: (0..ACTIONS).map(|_| random()).collect(), sim, real })
    }

    /// Values `[images][actions]` of images `[size, size, 3]` bytes.
    ///
    /// # Errors
    /// Images of another size.
    pub fn values(&self, side: Side, images: &[&[u8]], gripper: &[GripperState]) -> anyhow::Result<Vec<Vec<f32>>> {
        let QPolicy { q, size, channels, .. } = if side == Side::Simulation { &self.sim } else { &self.real };
        with_large_stack(|| -> anyhow::Result<_> {
            let (_frozen, device) = (q.store().freeze(), q.store().device());
            let states: Vec<_> = gripper.iter().map(state_features).collect();
            let images = image_activations(images, *size, *channels, device)?;
            let encoded = q.encode(&images, &state_activations(&states, device)?, EncoderMode::Evaluate)?;
            let logits = score_all(q.as_ref(), &encoded, &self.actions)?;
            Ok(logits.into_iter().map(|logits| logits.into_iter().map(value_of).collect()).collect())
        })?
    }
}

/// The saliency of pictures of some states, one row a state: `images` are all kinds by name, `[states]` bytes each, and
/// `actions` says which of the actions is asked about in each state.
///
/// # Errors
/// Images of another size.
pub fn saliency_columns(
    q: &QFunctions,
    sim2real: &Generator,
    images: &[(&'static str, Vec<Vec<u8>>)],
    (gripper, actions): (&[GripperState], &[usize]),
) -> anyhow::Result<Vec<Column>> {
    with_large_stack(|| -> anyhow::Result<_> {
        let size = [q.sim.size; 2];
        let tensor = |(name, images): &(&'static str, Vec<Vec<u8>>)| {
            Ok((*name, images_tensor(images.iter().map(Vec::as_slice), size)?))
        };
        let images = images.iter().map(tensor).collect::<candle_core::Result<Vec<_>>>()?;
        let states: Vec<_> = gripper.iter().map(state_features).collect();
        let actions: Vec<ActionFeatures> = actions.iter().map(|&action| q.actions[action]).collect();
        let asked = Asked { states: &states, actions: &actions };
        let judges = Judges { sim: q.sim.q.as_ref(), real: q.real.q.as_ref(), sim2real };
        Ok(judges.columns(&images, [asked; 2])?.0)
    })?
}

/// The place of the highest value; 0 of none.
pub fn best(values: &[f32]) -> usize {
    (0..values.len()).max_by(|&a, &b| values[a].total_cmp(&values[b]).then(b.cmp(&a))).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_action_is_the_first_of_the_highest() {
        assert_eq!((best(&[0.1, 0.9, 0.9, 0.2]), best(&[0.5]), best(&[])), (1, 0, 0));
    }
}
