//! What values an action: the part of the small Q-function that joins an action's numbers, and what is seen where it leads,
//! with the features of the image.

use super::sizes::StateEstimatorQConfig;
use super::state_estimator::EXPANDED;
use crate::nn::layers::Linear;
use crate::nn::ops::{self, Activation, Activations};
use crate::nn::{Init, NnError, ParamStore};
use candle_core::{Result, Tensor};

/// He et al., 2015, for layers with ReLU; and the same variance without it.
pub(super) const HE: Init = Init::KaimingUniform { gain: std::f32::consts::SQRT_2 };
pub(super) const PLAIN: Init = Init::KaimingUniform { gain: 1.0 };

pub(super) struct Critic {
    shift: Linear,
    scale: Linear,
    pub embed: Linear,
    pub embed_map: Linear,
    pub action: Linear,
    pub hidden: Linear,
    pub value: Linear,
}

impl Critic {
    /// `reached` numbers are read where an action leads.
    pub fn new(
        store: &ParamStore,
        name: &str,
        config: &StateEstimatorQConfig,
        map_samples: usize,
    ) -> std::result::Result<Self, NnError> {
        let linear = |part: &str, sizes: [usize; 2], activation, weight, bias| {
            Linear::with_init(store.root().sub(format!("{name}{part}")), sizes, activation, [weight, bias])
        };
        let (none, zero) = (Activation::None, Init::Zeros);
        Ok(Self {
            shift: linear("shift", [config.features, config.merged], none, PLAIN, zero)?,
            // The action counts from the beginning, and the image may turn its signs.
            scale: linear("scale", [config.features, config.merged], none, PLAIN, Init::Ones)?,
            embed: linear("embed", [EXPANDED, config.embedding], none, HE, zero)?,
            embed_map: linear("embed_map", [map_samples, config.embedding], none, HE, zero)?,
            action: linear("action", [config.embedding, config.merged], none, HE, zero)?,
            hidden: linear("hidden", [config.merged, config.hidden], Activation::Relu, HE, zero)?,
            // Grasps are rare: Q begins near the script's success, not at one half.
            value: linear("value", [config.hidden, 1], none, Init::PYTORCH, Init::Constant(-1.0))?,
        })
    }

    /// How the image moves and scales the embeddings of actions, `[n, merged]` each.
    pub fn film(&self, features: &Activations) -> Result<[Activations; 2]> {
        Ok([self.shift.forward(features)?, self.scale.forward(features)?])
    }

    /// Logits `[n]` of an action each: its numbers `[n, EXPANDED]` and what is read where it leads `[n, reached]`.
    pub fn logits(
        &self,
        [shift, scale]: [&Activations; 2],
        expanded: &Activations,
        map_samples: &Activations,
    ) -> Result<Tensor> {
        let embedded = ops::add(&self.embed.forward(expanded)?, &self.embed_map.forward(map_samples)?)?;
        let action = self.action.forward(&ops::activate(&embedded, Activation::Relu)?)?;
        let modulated = ops::activate(&ops::add(shift, &ops::mul(scale, &action)?)?, Activation::Relu)?;
        self.value.forward(&self.hidden.forward(&modulated)?)?.to_tensor()?.flatten_all()
    }
}
