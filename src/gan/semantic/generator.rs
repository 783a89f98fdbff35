//! The generator: an RGB-D image of the other domain.

use super::batch::CHANNELS;
use super::config::SemanticConfig;
use super::unet::{UNet, UNetShape};
use crate::contract::Seed;
use crate::nn::ops::{Activation, Activations, activate};
use crate::nn::{NnError, ParamStore};
use candle_core::{Device, Result, Tensor};

/// The network with its parameters.
#[derive(Debug)]
pub struct RgbdGenerator {
    unet: UNet,
}

impl RgbdGenerator {
    /// # Errors
    /// A device that fails.
    pub fn new(config: &SemanticConfig, seed: Seed, device: &Device) -> std::result::Result<Self, NnError> {
        let shape = UNetShape { outputs: CHANNELS, normalized_from: 1, p_dropout: config.p_dropout };
        Ok(Self { unet: UNet::new(config, shape, seed, device)? })
    }

    /// Parameters of the U-Net.
    pub fn store(&self) -> &ParamStore {
        self.unet.store()
    }

    /// `[n, 4, size, size]` in [-1, 1] to the same; dropout takes place with a seed.
    ///
    /// # Errors
    /// Another shape.
    pub fn forward(&self, images: &Activations, dropout: Option<Seed>) -> Result<Activations> {
        activate(&self.unet.forward(images, dropout)?.1, Activation::Tanh)
    }

    /// Translates without dropout and without keeping gradients.
    ///
    /// # Errors
    /// Another shape.
    pub fn translate(&self, images: &Tensor) -> Result<Tensor> {
        let _frozen = self.store().freeze();
        self.forward(&Activations::from_tensor(&images.detach())?, None)?.to_tensor()
    }
}
