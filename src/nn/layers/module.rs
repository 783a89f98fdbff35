//! Layers as candle-nn's modules: on tensors, so that they stand in `Sequential`s and beside stock layers.
//!
//! Inside our networks layers take [`Activations`], which spares the copies in and out.

use candle_core::{Module, ModuleT, Result, Tensor};

use super::{BatchNorm, Conv2d, GroupNorm, InstanceNorm, LayerNorm, Linear, SpectralConv2d};
use crate::nn::ops::{Activation, Activations};

/// Enters the tensor, runs the layer, leaves again; differentiable.
fn through(x: &Tensor, layer: impl FnOnce(&Activations) -> Result<Activations>) -> Result<Tensor> {
    layer(&Activations::from_tensor(x)?)?.to_tensor()
}

impl Module for Conv2d {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        through(x, |x| Conv2d::forward(self, x))
    }
}

impl Module for Linear {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        through(x, |x| Linear::forward(self, x))
    }
}

/// Without an activation.
impl Module for InstanceNorm {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        through(x, |x| InstanceNorm::forward(self, x, Activation::None))
    }
}

/// Without an activation.
impl Module for GroupNorm {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        through(x, |x| GroupNorm::forward(self, x, Activation::None))
    }
}

/// Without an activation.
impl Module for LayerNorm {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        through(x, |x| LayerNorm::forward(self, x, Activation::None))
    }
}

/// Without an activation.
impl ModuleT for BatchNorm {
    fn forward_t(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        through(x, |x| BatchNorm::forward(self, x, Activation::None, train))
    }
}

impl ModuleT for SpectralConv2d {
    fn forward_t(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        through(x, |x| SpectralConv2d::forward(self, x, train))
    }
}
