//! The discriminator (RCAN, appendix A): patch decisions on three scales, "is this image canonical?"
//!
//! Each scale has its own network of 3x3 convolutions with 32, 32, 64 and 128 filters and a last one that gives one
//! decision (a logit) for each patch. It sees the image alone, not what it was made from, and has no normalization, so
//! that it can tell colours that are off by a constant, to which the pairwise error is blind.

use super::config::RcanConfig;
use crate::contract::Seed;
use crate::nn::layers::{Conv2d, Conv2dConfig};
use crate::nn::ops::{Activation, Activations, avg_pool, loss};
use crate::nn::{Init, NnError, ParamStore};
use candle_core::{Device, Result, Tensor};

/// Slope of the leaky ReLU.
const SLOPE: f32 = 0.2;

/// The network with its parameters.
#[derive(Debug)]
pub struct Discriminator {
    store: ParamStore,
    /// Layers of each scale, full size first.
    scales: Vec<Vec<Conv2d>>,
}

impl Discriminator {
    /// # Errors
    /// A device that fails.
    pub fn new(config: &RcanConfig, seed: Seed, device: &Device) -> std::result::Result<Self, NnError> {
        let store = ParamStore::new(seed, device);
        let mut scales = Vec::new();
        for scale in 0..config.discriminator.num_scales {
            let mut inputs = 3;
            let mut layers = Vec::new();
            let sizes = config.discriminator.filters.iter().zip(&config.discriminator.strides);
            for (index, (&filters, &stride)) in sizes.enumerate() {
                let conv = Conv2dConfig::new(inputs, filters, 3)
                    .stride(stride)
                    .activation(Activation::LeakyRelu(SLOPE))
                    .init(Init::KaimingUniform { gain: std::f32::consts::SQRT_2 });
                layers.push(Conv2d::new(store.root().sub(format!("scale{scale}")).sub(index), conv)?);
                inputs = filters;
            }
            let decide = Conv2dConfig::new(inputs, 1, 3);
            layers.push(Conv2d::new(store.root().sub(format!("scale{scale}")).sub("decide"), decide)?);
            scales.push(layers);
        }
        Ok(Self { store, scales })
    }

    /// Parameters of all scales.
    pub fn store(&self) -> &ParamStore {
        &self.store
    }

    /// `[n, 3, height, width]` in `[-1, 1]` to logits `[n, 1, h', w']` of each scale; large is canonical.
    ///
    /// # Errors
    /// Another shape.
    pub fn forward(&self, image: &Activations) -> Result<Vec<Tensor>> {
        let mut logits = Vec::with_capacity(self.scales.len());
        let mut image = image.clone();
        for (scale, layers) in self.scales.iter().enumerate() {
            if scale > 0 {
                image = avg_pool(&image, [2, 2], [2, 2])?;
            }
            let mut x = image.clone();
            for layer in layers {
                x = layer.forward(&x)?;
            }
            logits.push(x.to_tensor()?);
        }
        Ok(logits)
    }
}

/// Sigmoid cross-entropy of all patches with one target, averaged over the patches of each scale, then the scales.
///
/// # Errors
/// No scale.
pub fn adversarial_loss(logits: &[Tensor], target: f64) -> Result<Tensor> {
    let Some((first, rest)) = logits.split_first() else { candle_core::bail!("no decisions to judge") };
    let mut total = loss::sigmoid_cross_entropy(first, target)?;
    for scale in rest {
        total = (total + loss::sigmoid_cross_entropy(scale, target)?)?;
    }
    total / logits.len() as f64
}

#[cfg(test)]
mod tests {
    use super::super::config::Preset;
    use super::*;

    #[test]
    fn three_scales_of_patches() -> anyhow::Result<()> {
        let config = RcanConfig::preset(Preset::Small);
        let discriminator = Discriminator::new(&config, Seed(1), &Device::Cpu)?;
        let image = Activations::from_tensor(&Tensor::ones((2, 3, 64, 64), candle_core::DType::F32, &Device::Cpu)?)?;
        let shapes: Vec<_> = discriminator.forward(&image)?.iter().map(|l| l.dims().to_vec()).collect();
        assert_eq!(shapes, [[2, 1, 8, 8], [2, 1, 4, 4], [2, 1, 2, 2]]);
        // Each scale: 3x3 convolutions 3-32-32-64-128 and 128-1, with biases.
        let one = 9 * (3 * 32 + 32 * 32 + 32 * 64 + 64 * 128 + 128) + 32 + 32 + 64 + 128 + 1;
        assert_eq!(discriminator.store().parameter_count(), 3 * one);
        Ok(())
    }

    #[test]
    fn scales_count_alike_whatever_their_size() -> anyhow::Result<()> {
        // softplus(-0) = ln 2 on the first scale, softplus(-ln 3) = ln(4/3) on the second.
        let logits = [Tensor::new(&[0.0_f32, 0.0, 0.0], &Device::Cpu)?, Tensor::new(&[3.0_f32.ln()], &Device::Cpu)?];
        let loss = adversarial_loss(&logits, 1.0)?.to_scalar::<f32>()?;
        assert!((loss - 0.5 * (2.0_f32.ln() + (4.0_f32 / 3.0).ln())).abs() < 1e-6);
        // As fake: softplus(0) = ln 2 and softplus(ln 3) = ln 4.
        let loss = adversarial_loss(&logits, 0.0)?.to_scalar::<f32>()?;
        assert!((loss - 0.5 * (2.0_f32.ln() + 4.0_f32.ln())).abs() < 1e-6);
        assert!(adversarial_loss(&[], 1.0).is_err());
        Ok(())
    }
}
