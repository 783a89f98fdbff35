//! The discriminator: a value of the image, and a segmentation of it, by one U-Net.
//!
//! The value is the mean hyperbolic tangent of the third layer (16x16 maps of a 64x64 image), so in (-1, 1); the first three
//! layers have no normalization: instance normalization would make that mean 0 whatever the image.

use super::batch::SemanticClass;
use super::config::SemanticConfig;
use super::unet::{UNet, UNetShape};
use crate::contract::Seed;
use crate::nn::ops::{Activation, Activations, activate};
use crate::nn::{NnError, ParamStore};
use candle_core::{Device, Result, Tensor};

/// What the discriminator makes of images.
pub struct Judgement {
    /// `[n]`, real is 1.
    pub values: Tensor,
    /// `[n, 3, size, size]` logits of [`SemanticClass`].
    pub segmentation: Tensor,
}

/// The network with its parameters.
#[derive(Debug)]
pub struct SemanticDiscriminator {
    unet: UNet,
}

impl SemanticDiscriminator {
    /// # Errors
    /// A device that fails.
    pub fn new(config: &SemanticConfig, seed: Seed, device: &Device) -> std::result::Result<Self, NnError> {
        let shape = UNetShape { outputs: SemanticClass::COUNT, normalized_from: 3, p_dropout: 0.0 };
        Ok(Self { unet: UNet::new(config, shape, seed, device)? })
    }

    /// Parameters of the U-Net.
    pub fn store(&self) -> &ParamStore {
        self.unet.store()
    }

    /// The value alone, which needs three layers: `[n]`.
    ///
    /// # Errors
    /// Another shape.
    pub fn values(&self, images: &Activations) -> Result<Tensor> {
        mean_tanh(&self.unet.third_layer(images)?)
    }

    /// # Errors
    /// Another shape.
    pub fn judge(&self, images: &Activations) -> Result<Judgement> {
        let (third, segmentation) = self.unet.forward(images, None)?;
        Ok(Judgement { values: mean_tanh(&third)?, segmentation: segmentation.to_tensor()? })
    }

    /// The likeliest class of each pixel, `[n, size, size]` as bytes, row by row.
    ///
    /// # Errors
    /// Another shape.
    pub fn segment(&self, images: &Tensor) -> Result<Vec<u8>> {
        let _frozen = self.store().freeze();
        let judged = self.judge(&Activations::from_tensor(&images.detach())?)?;
        let classes = judged.segmentation.argmax(1)?.flatten_all()?.to_vec1::<u32>()?;
        Ok(classes.into_iter().map(|class| class as u8).collect())
    }

    /// Probability of one class in each pixel, `[n, size, size]` row by row: what the servo's soft masks are made of.
    ///
    /// # Errors
    /// Another shape.
    pub fn probabilities(&self, images: &Tensor, class: SemanticClass) -> Result<Vec<f32>> {
        let _frozen = self.store().freeze();
        let logits = self.judge(&Activations::from_tensor(&images.detach())?)?.segmentation;
        let shifted = logits.broadcast_sub(&logits.max_keepdim(1)?)?.exp()?;
        let shares = shifted.broadcast_div(&shifted.sum_keepdim(1)?)?;
        shares.narrow(1, class as usize, 1)?.flatten_all()?.to_vec1()
    }
}

/// Mean over channels and pixels of the hyperbolic tangent: `[n, ...]` to `[n]`.
///
/// # Errors
/// A device that fails.
pub fn mean_tanh(x: &Activations) -> Result<Tensor> {
    activate(x, Activation::Tanh)?.to_tensor()?.flatten_from(1)?.mean(1)
}
