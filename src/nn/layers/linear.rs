//! The fully connected layer.

use candle_core::{Result as CandleResult, Tensor};

use crate::nn::builder::Scope;
use crate::nn::error::NnError;
use crate::nn::init::Init;
use crate::nn::ops::{Activation, Activations, linear};
use crate::nn::params::Param;

/// `activation(x weight^T + bias)` with parameters `weight` `[outputs, inputs]` and `bias` `[outputs]`.
#[derive(Clone, Debug)]
pub struct Linear {
    weight: Param,
    bias: Param,
    activation: Activation,
}

impl Linear {
    /// PyTorch's initialisation.
    pub fn new(scope: Scope<'_>, inputs: usize, outputs: usize, activation: Activation) -> Result<Self, NnError> {
        let bias = Init::Uniform { bound: (inputs.max(1) as f32).sqrt().recip() };
        Self::with_init(scope, [inputs, outputs], activation, [Init::PYTORCH, bias])
    }

    /// `sizes` are inputs and outputs, `inits` those of weight and bias.
    pub fn with_init(
        scope: Scope<'_>,
        sizes: [usize; 2],
        activation: Activation,
        inits: [Init; 2],
    ) -> Result<Self, NnError> {
        let [inputs, outputs] = sizes;
        let weight = scope.param("weight", &[outputs, inputs], inits[0])?;
        let bias = scope.param("bias", &[outputs], inits[1])?;
        Ok(Self { weight, bias, activation })
    }

    /// Weight `[outputs, inputs]` and bias `[outputs]`, as values.
    pub fn tensors(&self) -> (Tensor, Tensor) {
        (self.weight.var().as_detached_tensor(), self.bias.var().as_detached_tensor())
    }

    /// `[..., inputs]` to `[..., outputs]`.
    pub fn forward(&self, x: &Activations) -> CandleResult<Activations> {
        linear(x, &self.weight.tensor(), Some(&self.bias.tensor()), self.activation)
    }
}
