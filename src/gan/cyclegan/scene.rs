//! The place of RL-CycleGAN's scene consistency: what a Q-function gives the generators to agree on.

use super::batch::UnpairedBatch;
use super::error::CycleGanError;
use crate::contract::Seed;
use crate::nn::{Activations, ParamStore};
use candle_core::Tensor;

/// The scene term of one step.
pub struct SceneTerm {
    /// Scalar, with gradients to the images: [`crate::gan::losses::scene_consistency`] of the six Q-values.
    pub loss: Tensor,
    /// Figures by name, for metrics: the normalized scene error of each translation at least.
    pub metrics: Vec<(&'static str, f64)>,
}

/// Compares Q-values within `{x, G(x), F(G(x))}` and `{y, F(y), G(F(y))}`: x, F(G(x)) and F(y) by Q_sim, the others by
/// Q_real.
///
/// The learner freezes the stores while the term is computed, so that its gradient reaches G and F alone, "selectively", as
/// RL-CycleGAN's appendix asks. The images come as the generators made them; an implementation that wants no code to pass
/// between G and Q adds noise and rounding ([`super::noise::as_observed`]).
pub trait SceneLoss {
    /// The parameters of the Q-functions.
    fn stores(&self) -> Vec<&ParamStore>;

    /// Whether Q has learned enough to be agreed on; until then the term is left out.
    fn is_ready(&self) -> bool {
        true
    }

    /// The term. The batch brings the actions; `seed` is the step's own.
    ///
    /// # Errors
    /// Images or actions that do not fit.
    fn loss(
        &self,
        x: [&Activations; 3],
        y: [&Activations; 3],
        batch: &UnpairedBatch,
        seed: Seed,
    ) -> Result<SceneTerm, CycleGanError>;
}
