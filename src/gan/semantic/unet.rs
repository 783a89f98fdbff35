//! The U-Net of both networks: seven 3x3 convolutions down, seven up.
//!
//! The first layer keeps the size, the other six halve it: 64 pixels become 1. Down: leaky ReLU, instance normalization from
//! `normalized_from` on but not on a 1x1 map, where it would leave nothing. Up: enlargement by two, ReLU, instance
//! normalization, dropout from the second layer on; the seventh layer makes the outputs.

use super::batch::CHANNELS;
use super::config::{SemanticConfig, SkipJoin};
use crate::contract::Seed;
use crate::nn::layers::{Conv2d, Conv2dConfig, InstanceNorm};
use crate::nn::ops::{Activation, Activations, ConvInput, Resample, activate, dropout};
use crate::nn::{Init, NnError, ParamStore};
use candle_core::{Device, Result};

/// Layers on each side.
pub const LEVELS: usize = 7;
const SLOPE: f32 = 0.2;

/// Multiples of the first layer's width.
const WIDTHS: [usize; LEVELS] = [1, 2, 4, 8, 8, 8, 8];

/// Shape of a [`UNet`] beyond the settings.
#[derive(Clone, Copy, Debug)]
pub struct UNetShape {
    /// Output channels: 4 of an image, or one for each class.
    pub outputs: usize,
    /// First encoder layer, counted from 0, that is normalized.
    pub normalized_from: usize,
    /// Probability of dropout in the decoder from the second layer on, in `[0, 1)`.
    pub p_dropout: f32,
}

/// The network with its parameters: `down.0` to `down.6`, `up.0` to `up.6`, and `mix.0` to `mix.5`.
#[derive(Debug)]
pub struct UNet {
    store: ParamStore,
    down: Vec<Conv2d>,
    up: Vec<Conv2d>,
    mix: Vec<Conv2d>,
    norm: InstanceNorm,
    skip: SkipJoin,
    shape: UNetShape,
}

impl UNet {
    /// # Errors
    /// A device that fails.
    pub fn new(
        config: &SemanticConfig,
        shape: UNetShape,
        seed: Seed,
        device: &Device,
    ) -> std::result::Result<Self, NnError> {
        let store = ParamStore::new(seed, device);
        let width = |level: usize| config.filters * WIDTHS[level];
        let init = Init::KaimingUniform { gain: std::f32::consts::SQRT_2 };
        let (mut down, mut up, mut mix) = (Vec::new(), Vec::new(), Vec::new());
        for level in 0..LEVELS {
            let inputs = if level == 0 { CHANNELS } else { width(level - 1) };
            // The activation follows in `encode`: the discriminator needs the third layer without it.
            let conv = Conv2dConfig::new(inputs, width(level), 3).stride(if level == 0 { 1 } else { 2 }).init(init);
            down.push(Conv2d::new(store.root().sub("down").sub(level), conv)?);
        }
        let joined = |level: usize| match config.skip {
            SkipJoin::Concatenate => 2 * width(level),
            SkipJoin::Mix => width(level),
        };
        for layer in 0..LEVELS - 1 {
            // Decoder layer 0 makes the second smallest map.
            let level = LEVELS - 2 - layer;
            let inputs = if layer == 0 { width(LEVELS - 1) } else { joined(level + 1) };
            let conv = Conv2dConfig::new(inputs, width(level), 3).activation(Activation::Relu).init(init);
            up.push(Conv2d::new(store.root().sub("up").sub(layer), conv)?);
        }
        up.push(Conv2d::new(
            store.root().sub("up").sub(LEVELS - 1),
            Conv2dConfig::new(joined(0), shape.outputs, 3).init(Init::XavierUniform { gain: 1.0 }),
        )?);
        if config.skip == SkipJoin::Mix {
            for layer in 0..LEVELS - 1 {
                let level = LEVELS - 2 - layer;
                let conv = Conv2dConfig::new(2 * width(level), width(level), 1).activation(Activation::Relu).init(init);
                mix.push(Conv2d::new(store.root().sub("mix").sub(layer), conv)?);
            }
        }
        Ok(Self { store, down, up, mix, norm: InstanceNorm::plain(), skip: config.skip, shape })
    }

    /// Parameters of all convolutions.
    pub fn store(&self) -> &ParamStore {
        &self.store
    }

    /// The first `layers` encoder layers' maps, activated, and the last one's as it left the convolution.
    fn encode(&self, x: &Activations, layers: usize) -> Result<(Vec<Activations>, Activations)> {
        let mut maps = Vec::with_capacity(layers);
        let mut raw = x.clone();
        for (level, conv) in self.down.iter().take(layers).enumerate() {
            let input = maps.last().unwrap_or(x);
            let normalized = level >= self.shape.normalized_from && level < LEVELS - 1;
            raw = conv.forward_fused(&[input.into()], normalized.then_some(&self.norm))?;
            maps.push(activate(&raw, Activation::LeakyRelu(SLOPE))?);
        }
        Ok((maps, raw))
    }

    /// What leaves the third convolution, before its activation: `[n, 4 filters, size / 4, size / 4]`.
    ///
    /// # Errors
    /// Another shape.
    pub fn third_layer(&self, x: &Activations) -> Result<Activations> {
        Ok(self.encode(x, 3)?.1)
    }

    /// The third convolution's output and the network's, `[n, outputs, size, size]`, linear. Dropout takes place with a seed.
    ///
    /// # Errors
    /// Another shape.
    pub fn forward(&self, x: &Activations, seed: Option<Seed>) -> Result<(Activations, Activations)> {
        let (mut maps, third) = self.encode(x, 3)?;
        for (level, conv) in self.down.iter().enumerate().skip(3) {
            let normalized = level < LEVELS - 1 && level >= self.shape.normalized_from;
            let raw = conv.forward_fused(&[(&maps[level - 1]).into()], normalized.then_some(&self.norm))?;
            maps.push(activate(&raw, Activation::LeakyRelu(SLOPE))?);
        }
        let Some(mut x) = maps.pop() else { candle_core::bail!("a U-Net without layers") };
        for (layer, conv) in self.up.iter().take(LEVELS - 1).enumerate() {
            let skip = &maps[LEVELS - 2 - layer];
            // With `Concatenate` the previous layer's skip joins here, where it is enlarged with what it goes with.
            let enlarge = |value| ConvInput { value, resample: Resample::Nearest2 };
            let previous = (self.skip == SkipJoin::Concatenate && layer > 0).then(|| &maps[LEVELS - 1 - layer]);
            let inputs: Vec<ConvInput<'_>> = std::iter::once(&x).chain(previous).map(enlarge).collect();
            let mut y = conv.forward_fused(&inputs, Some(&self.norm))?;
            if let Some(mix) = self.mix.get(layer) {
                y = mix.forward_fused(&[(&y).into(), skip.into()], None)?;
            }
            if let (Some(seed), true) = (seed, layer > 0) {
                y = dropout(&y, self.shape.p_dropout, seed.derive("dropout", layer as u64))?;
            }
            x = y;
        }
        let last = &self.up[LEVELS - 1];
        let out = match self.skip {
            SkipJoin::Mix => last.forward(&x)?,
            SkipJoin::Concatenate => last.forward_fused(&[(&x).into(), (&maps[0]).into()], None)?,
        };
        Ok((third, out))
    }
}
