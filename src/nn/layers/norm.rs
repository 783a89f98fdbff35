//! Normalization layers.

use candle_core::{Result as CandleResult, Tensor};

use crate::nn::builder::Scope;
use crate::nn::error::NnError;
use crate::nn::init::Init;
use crate::nn::ops::{
    Activation, Activations, BatchStatistics, NormOptions, batch_norm, group_norm, instance_norm, layer_norm,
};
use crate::nn::params::{Param, StateBuffer};

const EPSILON: f64 = 1e-5;

/// Scale and shift of a normalization, `weight` and `bias`.
#[derive(Clone, Debug)]
struct Affine {
    gamma: Param,
    beta: Param,
}

impl Affine {
    fn new(scope: &Scope<'_>, size: usize) -> Result<Self, NnError> {
        Ok(Self {
            gamma: scope.param("weight", &[size], Init::Ones)?,
            beta: scope.param("bias", &[size], Init::Zeros)?,
        })
    }
}

/// Runs `normalize` with the options that `affine` and `activation` make.
fn with_options<R>(affine: Option<&Affine>, activation: Activation, normalize: impl FnOnce(NormOptions<'_>) -> R) -> R {
    let gamma = affine.map(|affine| affine.gamma.tensor());
    let beta = affine.map(|affine| affine.beta.tensor());
    normalize(NormOptions { gamma: gamma.as_ref(), beta: beta.as_ref(), epsilon: EPSILON, activation })
}

/// Instance normalization, with or without learned scale and shift.
#[derive(Clone, Debug)]
pub struct InstanceNorm {
    affine: Option<Affine>,
}

impl InstanceNorm {
    /// No parameters, as PyTorch's default.
    pub fn plain() -> Self {
        Self { affine: None }
    }

    /// With a scale that starts at 1 and a shift that starts at 0, `[channels]` each.
    ///
    /// # Errors
    /// A name that is taken; a backend without such a tensor.
    pub fn affine(scope: Scope<'_>, channels: usize) -> Result<Self, NnError> {
        Ok(Self { affine: Some(Affine::new(&scope, channels)?) })
    }

    /// The number that is added to the variance, 1e-5 as in PyTorch.
    pub fn epsilon(&self) -> f64 {
        EPSILON
    }

    /// Scale and shift, if it has them.
    pub fn tensors(&self) -> (Option<Tensor>, Option<Tensor>) {
        (self.affine.as_ref().map(|a| a.gamma.tensor()), self.affine.as_ref().map(|a| a.beta.tensor()))
    }

    /// Normalizes every plane of `[n, c, h, w]` by itself, scales and shifts, then activates.
    ///
    /// # Errors
    /// An input of other than four dimensions, or of another number of channels than scale and shift.
    pub fn forward(&self, x: &Activations, activation: Activation) -> CandleResult<Activations> {
        with_options(self.affine.as_ref(), activation, |options| instance_norm(x, options))
    }
}

/// Group normalization with learned scale and shift.
#[derive(Clone, Debug)]
pub struct GroupNorm {
    groups: usize,
    affine: Affine,
}

impl GroupNorm {
    /// Normalizes `channels / groups` neighbouring channels together. Scale and shift `[channels]` start at 1 and 0.
    ///
    /// # Errors
    /// A name that is taken; a backend without such a tensor.
    pub fn new(scope: Scope<'_>, groups: usize, channels: usize) -> Result<Self, NnError> {
        Ok(Self { groups, affine: Affine::new(&scope, channels)? })
    }

    /// `[n, channels, h, w]` to the same shape: normalizes each sample's groups, scales and shifts, then activates.
    ///
    /// # Errors
    /// An input of another shape; channels that do not divide into the groups.
    pub fn forward(&self, x: &Activations, activation: Activation) -> CandleResult<Activations> {
        with_options(Some(&self.affine), activation, |options| group_norm(x, self.groups, options))
    }
}

/// Batch normalization with learned scale and shift and running statistics (`running_mean`, `running_var`).
#[derive(Clone, Debug)]
pub struct BatchNorm {
    affine: Affine,
    mean: StateBuffer,
    variance: StateBuffer,
    momentum: f64,
}

impl BatchNorm {
    /// Scale and running variance `[channels]` start at 1, shift and running mean at 0. A batch counts a tenth in the
    /// running statistics.
    ///
    /// # Errors
    /// A name that is taken; a backend without such a tensor.
    pub fn new(scope: Scope<'_>, channels: usize) -> Result<Self, NnError> {
        let affine = Affine::new(&scope, channels)?;
        let mean = scope.buffer("running_mean", &[channels], Init::Zeros)?;
        let variance = scope.buffer("running_var", &[channels], Init::Ones)?;
        Ok(Self { affine, mean, variance, momentum: 0.1 })
    }

    /// The same scale and shift with running statistics of its own, in `scope`: for images of another domain.
    pub fn with_own_statistics(&self, scope: Scope<'_>) -> Result<Self, NnError> {
        let channels = self.mean.get().len();
        let mean = scope.buffer("running_mean", &[channels], Init::Zeros)?;
        let variance = scope.buffer("running_var", &[channels], Init::Ones)?;
        Ok(Self { affine: self.affine.clone(), mean, variance, momentum: self.momentum })
    }

    /// `train` normalizes by the batch and moves the running statistics (variance unbiased there, as in PyTorch);
    /// otherwise the running statistics are used.
    pub fn forward(&self, x: &Activations, activation: Activation, train: bool) -> CandleResult<Activations> {
        if !train {
            let widen = |buffer: &StateBuffer| buffer.get().into_iter().map(f64::from).collect::<Vec<_>>();
            let (mean, variance) = (widen(&self.mean), widen(&self.variance));
            let statistics = BatchStatistics::Fixed { mean: &mean, variance: &variance };
            return with_options(Some(&self.affine), activation, |o| batch_norm(x, statistics, o)).map(|(y, _)| y);
        }
        let (y, moments) = with_options(Some(&self.affine), activation, |o| batch_norm(x, BatchStatistics::Batch, o))?;
        let [n, _, h, w] = x.dims4()?;
        let count = (n * h * w) as f64;
        let unbiased = if count > 1.0 { count / (count - 1.0) } else { 1.0 };
        let follow = |buffer: &StateBuffer, values: &[f64], scale: f64| {
            for (running, value) in buffer.lock().iter_mut().zip(values) {
                *running = ((1.0 - self.momentum) * f64::from(*running) + self.momentum * scale * value) as f32;
            }
        };
        follow(&self.mean, &moments.mean, 1.0);
        follow(&self.variance, &moments.variance, unbiased);
        Ok(y)
    }

    /// What it does with the running statistics, `scale * x + shift` a channel: both `[channels]`, without gradients.
    ///
    /// # Errors
    /// A device that fails.
    pub fn fixed(&self) -> CandleResult<[Tensor; 2]> {
        let (gamma, beta) = (self.affine.gamma.tensor().detach(), self.affine.beta.tensor().detach());
        let tensor = |values: Vec<f32>| Tensor::from_vec(values, gamma.dims(), gamma.device())?.to_dtype(gamma.dtype());
        let inverse = tensor(self.variance.get().into_iter().map(|v| 1.0 / (v + EPSILON as f32).sqrt()).collect())?;
        let scale = (&gamma * inverse)?;
        let shift = (beta - tensor(self.mean.get())?.mul(&scale)?)?;
        Ok([scale, shift])
    }
}

/// Layer normalization over the last dimension with learned scale and shift.
#[derive(Clone, Debug)]
pub struct LayerNorm {
    affine: Affine,
}

impl LayerNorm {
    /// For rows of `width` elements. Scale and shift `[width]` start at 1 and 0.
    ///
    /// # Errors
    /// A name that is taken; a backend without such a tensor.
    pub fn new(scope: Scope<'_>, width: usize) -> Result<Self, NnError> {
        Ok(Self { affine: Affine::new(&scope, width)? })
    }

    /// `[..., width]` to the same shape: normalizes every row, scales and shifts, then activates.
    ///
    /// # Errors
    /// An input whose last dimension is not `width`.
    pub fn forward(&self, x: &Activations, activation: Activation) -> CandleResult<Activations> {
        with_options(Some(&self.affine), activation, |options| layer_norm(x, options))
    }
}
