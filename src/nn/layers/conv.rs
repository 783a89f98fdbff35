//! Convolutions: plain, and with a spectrally normalized weight.

use candle_core::{Result as CandleResult, Tensor, bail};

use super::norm::{BatchNorm, InstanceNorm};
use crate::nn::builder::Scope;
use crate::nn::error::NnError;
use crate::nn::init::Init;
use crate::nn::ops::{
    Activation, Activations, ConvInput, ConvNorm, ConvOptions, SingularVectors, conv2d_fused, spectral_normalize,
};
use crate::nn::params::{Param, StateBuffer};

/// Sizes and settings of a convolution; the default is 3x3, stride 1, "same" padding, with bias, linear.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conv2dConfig {
    /// Channels of the input; those of all inputs together where several are joined.
    pub inputs: usize,
    /// Channels of the output.
    pub outputs: usize,
    /// Edge of the square kernel, pixels.
    pub kernel: usize,
    /// Input pixels from one output to the next, along rows and columns, at least 1.
    pub stride: usize,
    /// Zeros on each of the four sides, pixels.
    pub padding: usize,
    /// Whether a number is added to each output channel.
    pub bias: bool,
    /// Applied last, after bias and normalization.
    pub activation: Activation,
    /// How the weight starts. With [`Init::PYTORCH`] the bias is random too; otherwise it starts at 0.
    pub init: Init,
}

impl Conv2dConfig {
    /// `kernel x kernel`, padded so that stride 1 keeps the size (odd kernels).
    pub fn new(inputs: usize, outputs: usize, kernel: usize) -> Self {
        Self {
            inputs,
            outputs,
            kernel,
            stride: 1,
            padding: kernel / 2,
            bias: true,
            activation: Activation::None,
            init: Init::PYTORCH,
        }
    }

    /// With another stride; the padding stays as it is.
    pub fn stride(self, stride: usize) -> Self {
        Self { stride, ..self }
    }

    /// With `padding` zeros on each of the four sides.
    pub fn padding(self, padding: usize) -> Self {
        Self { padding, ..self }
    }

    /// With an activation after bias and normalization.
    pub fn activation(self, activation: Activation) -> Self {
        Self { activation, ..self }
    }

    /// Without a bias, as before a normalization with a shift of its own.
    pub fn without_bias(self) -> Self {
        Self { bias: false, ..self }
    }

    /// With another start of the weight; a bias then starts at 0, except with [`Init::PYTORCH`].
    pub fn init(self, init: Init) -> Self {
        Self { init, ..self }
    }

    fn weight_shape(&self) -> [usize; 4] {
        [self.outputs, self.inputs, self.kernel, self.kernel]
    }

    fn create_bias(&self, scope: &Scope<'_>) -> Result<Option<Param>, NnError> {
        if !self.bias {
            return Ok(None);
        }
        // PyTorch draws the bias within 1 / sqrt(fan_in) of the weight; other initialisers start it at zero.
        let fan_in = (self.inputs * self.kernel * self.kernel).max(1) as f32;
        let init =
            if self.init == Init::PYTORCH { Init::Uniform { bound: fan_in.sqrt().recip() } } else { Init::Zeros };
        scope.param("bias", &[self.outputs], init).map(Some)
    }

    fn apply(
        &self,
        inputs: &[ConvInput<'_>],
        weight: &Tensor,
        bias: Option<&Tensor>,
        norm: Option<&InstanceNorm>,
    ) -> CandleResult<Activations> {
        let parameters = norm.map(InstanceNorm::tensors);
        let norm = match (&parameters, norm) {
            (Some((gamma, beta)), Some(norm)) => {
                ConvNorm::Instance { epsilon: norm.epsilon(), gamma: gamma.as_ref(), beta: beta.as_ref() }
            }
            _ => ConvNorm::None,
        };
        let options =
            ConvOptions { stride: [self.stride; 2], padding: [self.padding; 2], norm, activation: self.activation };
        conv2d_fused(inputs, weight, bias, options)
    }
}

/// A 2D convolution with parameters `weight` and `bias`.
#[derive(Clone, Debug)]
pub struct Conv2d {
    config: Conv2dConfig,
    weight: Param,
    bias: Option<Param>,
}

impl Conv2d {
    /// Creates `weight` `[outputs, inputs, kernel, kernel]` and, if there is one, `bias` `[outputs]` in `scope`.
    ///
    /// # Errors
    /// A name that is taken; a backend without such a tensor.
    pub fn new(scope: Scope<'_>, config: Conv2dConfig) -> Result<Self, NnError> {
        let weight = scope.param("weight", &config.weight_shape(), config.init)?;
        let bias = config.create_bias(&scope)?;
        Ok(Self { config, weight, bias })
    }

    /// The sizes and settings that it was created with.
    pub fn config(&self) -> &Conv2dConfig {
        &self.config
    }

    /// `[n, inputs, h, w]` to `[n, outputs, h', w']`.
    pub fn forward(&self, x: &Activations) -> CandleResult<Activations> {
        self.forward_fused(&[x.into()], None)
    }

    /// Several inputs one after the other in the channels, each enlarged if asked; instance normalization before the
    /// activation. One op, no intermediate images.
    pub fn forward_fused(&self, inputs: &[ConvInput<'_>], norm: Option<&InstanceNorm>) -> CandleResult<Activations> {
        let bias = self.bias.as_ref().map(Param::tensor);
        self.config.apply(inputs, &self.weight.tensor(), bias.as_ref(), norm)
    }

    /// A convolution without bias followed by batch normalization and an activation. With fixed statistics
    /// (`train` is false) both are one convolution, and its parameters get no gradient.
    ///
    /// # Errors
    /// Inputs that do not fit; a convolution with a bias, which the normalization would take away again.
    pub fn forward_normalized(
        &self,
        inputs: &[ConvInput<'_>],
        norm: &BatchNorm,
        activation: Activation,
        train: bool,
    ) -> CandleResult<Activations> {
        if self.bias.is_some() || self.config.activation != Activation::None {
            bail!("a convolution before batch normalization has neither bias nor activation of its own")
        }
        if train {
            return norm.forward(&self.forward_fused(inputs, None)?, activation, true);
        }
        let [scale, shift] = norm.fixed()?;
        let weight = self.weight.tensor().detach().broadcast_mul(&scale.reshape(((), 1, 1, 1))?)?;
        Conv2dConfig { activation, ..self.config }.apply(inputs, &weight, Some(&shift), None)
    }
}

/// A convolution whose weight is divided by its largest singular value. Parameters `weight_orig` and `bias`, buffers
/// `weight_u` and `weight_v`, as PyTorch's `spectral_norm` names them.
#[derive(Clone, Debug)]
pub struct SpectralConv2d {
    config: Conv2dConfig,
    weight: Param,
    bias: Option<Param>,
    left: StateBuffer,
    right: StateBuffer,
}

impl SpectralConv2d {
    /// Creates the layer's tensors in `scope` and improves the random singular vectors by 15 rounds of power iteration.
    ///
    /// # Errors
    /// A name that is taken; a backend without such a tensor.
    pub fn new(scope: Scope<'_>, config: Conv2dConfig) -> Result<Self, NnError> {
        let bias = config.create_bias(&scope)?;
        let weight = scope.param("weight_orig", &config.weight_shape(), config.init)?;
        let (rows, columns) = (config.outputs, config.inputs * config.kernel * config.kernel);
        let left = scope.buffer("weight_u", &[rows], Init::Normal { std: 1.0 })?;
        let right = scope.buffer("weight_v", &[columns], Init::Normal { std: 1.0 })?;
        let layer = Self { config, weight, bias, left, right };
        // As PyTorch does at creation: a few rounds of power iteration from the random start.
        layer.normalized(15)?;
        Ok(layer)
    }

    /// `train` improves the singular vectors by one round first.
    pub fn forward(&self, x: &Activations, train: bool) -> CandleResult<Activations> {
        if train {
            self.power_iteration()?;
        }
        self.forward_fused(&[x.into()], None)
    }

    /// As [`Conv2d::forward_fused`], with the singular vectors as they are: for a layer that runs several times a training
    /// step and calls [`Self::power_iteration`] once.
    pub fn forward_fused(&self, inputs: &[ConvInput<'_>], norm: Option<&InstanceNorm>) -> CandleResult<Activations> {
        let weight = self.normalized(0)?;
        let bias = self.bias.as_ref().map(Param::tensor);
        self.config.apply(inputs, &weight, bias.as_ref(), norm)
    }

    /// Improves the singular vectors by one round of power iteration.
    pub fn power_iteration(&self) -> CandleResult<()> {
        self.normalized(1).map(drop)
    }

    /// The weight as it is used, divided by the estimate of its largest singular value, without gradients:
    /// `[outputs, inputs, kernel, kernel]`. With it and the bias, a plain convolution does the same.
    pub fn effective_weight(&self) -> CandleResult<Tensor> {
        Ok(self.normalized(0)?.detach())
    }

    fn normalized(&self, rounds: usize) -> CandleResult<Tensor> {
        let (mut left, mut right) = (self.left.lock(), self.right.lock());
        let widen = |values: &[f32]| values.iter().map(|&x| f64::from(x)).collect();
        let mut vectors = SingularVectors { left: widen(&left), right: widen(&right) };
        let weight = spectral_normalize(&self.weight.tensor(), &mut vectors, rounds)?;
        left.iter_mut().zip(&vectors.left).for_each(|(to, &from)| *to = from as f32);
        right.iter_mut().zip(&vectors.right).for_each(|(to, &from)| *to = from as f32);
        Ok(weight)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Seed;
    use crate::nn::ParamStore;
    use candle_core::Device;

    #[test]
    fn with_fixed_statistics_a_normalized_convolution_is_one_convolution() -> anyhow::Result<()> {
        let store = ParamStore::new(Seed(3), &Device::Cpu);
        let conv = Conv2d::new(store.root().sub("conv"), Conv2dConfig::new(3, 5, 3).stride(2).without_bias())?;
        let norm = BatchNorm::new(store.root().sub("norm"), 5)?;
        let mut rng = Seed(4).rng();
        let mut image = || {
            let values: Vec<f32> = (0..4 * 3 * 8 * 8).map(|_| 1.0 + 2.0 * rng.normal()).collect();
            Activations::from_tensor(&Tensor::from_vec(values, (4, 3, 8, 8), &Device::Cpu)?)
        };
        // The running statistics leave where they began.
        for _ in 0..5 {
            conv.forward_normalized(&[(&image()?).into()], &norm, Activation::Relu, true)?;
        }
        let x = image()?;
        let floats =
            |value: &Activations| -> anyhow::Result<Vec<f32>> { Ok(value.to_tensor()?.flatten_all()?.to_vec1()?) };
        let expected = floats(&norm.forward(&conv.forward(&x)?, Activation::Relu, false)?)?;
        let found = floats(&conv.forward_normalized(&[(&x).into()], &norm, Activation::Relu, false)?)?;
        assert!(expected.iter().any(|&v| v > 0.1) && expected.contains(&0.0));
        assert!(expected.iter().zip(&found).all(|(a, b)| (a - b).abs() < 1e-5), "{expected:?} {found:?}");
        let biased = Conv2d::new(store.root().sub("biased"), Conv2dConfig::new(3, 5, 3))?;
        assert!(biased.forward_normalized(&[(&x).into()], &norm, Activation::Relu, false).is_err());
        Ok(())
    }
}
