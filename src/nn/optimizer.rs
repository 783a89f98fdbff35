//! Our optimizers as candle-nn's: a learning rate that they keep, and candle's own gradients.

use candle_core::backprop::GradStore;
use candle_core::{Error, Result, Var};
use candle_nn::Optimizer;

use super::optim::{Adam, AdamConfig, Sgd, SgdConfig};
use super::params::Param;

/// Variables without a store, named by their number, as PyTorch's optimizers list them.
fn numbered(vars: Vec<Var>) -> Vec<Param> {
    let param = |(index, var): (usize, Var)| Param::new(&index.to_string(), var, std::sync::Arc::default());
    vars.into_iter().filter(|var| var.dtype().is_float()).enumerate().map(param).collect()
}

impl Optimizer for Adam {
    type Config = AdamConfig;

    fn new(vars: Vec<Var>, config: AdamConfig) -> Result<Self> {
        Self::for_params(numbered(vars), config).map_err(Error::wrap)
    }

    fn step(&mut self, grads: &GradStore) -> Result<()> {
        let rate = Optimizer::learning_rate(self);
        Adam::step(self, grads, rate).map(drop).map_err(Error::wrap)
    }

    fn learning_rate(&self) -> f64 {
        self.learning_rate
    }

    fn set_learning_rate(&mut self, rate: f64) {
        self.learning_rate = rate;
    }
}

impl Optimizer for Sgd {
    type Config = SgdConfig;

    fn new(vars: Vec<Var>, config: SgdConfig) -> Result<Self> {
        Ok(Self::for_params(numbered(vars), config))
    }

    fn step(&mut self, grads: &GradStore) -> Result<()> {
        let rate = Optimizer::learning_rate(self);
        Sgd::step(self, grads, rate).map(drop).map_err(Error::wrap)
    }

    fn learning_rate(&self) -> f64 {
        self.learning_rate
    }

    fn set_learning_rate(&mut self, rate: f64) {
        self.learning_rate = rate;
    }
}
