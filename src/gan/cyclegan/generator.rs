//! The generators G (simulation to reality) and F (reality to simulation): RL-CycleGAN's U-Net (figure 5).
//!
//! Convolutions of stride two going down; nearest-neighbour enlargement and a convolution going up, to whose result the
//! features of the way down are added. Where an enlarged image is one pixel larger than those, its first row or column is
//! dropped. Spectral normalization on every convolution, instance normalization and ReLU on every one but the last.
//!
//! Every layer's singular vectors take one round of power iteration a training step ([`Generator::power_iteration`]), not
//! one a pass: a step runs each generator two or three times.

use super::config::GeneratorConfig;
use super::error::CycleGanError;
use crate::contract::Seed;
use crate::gan::images::to_bytes;
use crate::nn::Activations;
use crate::nn::layers::{Conv2dConfig, InstanceNorm, SpectralConv2d};
use crate::nn::networks::{Network, Range, Spec};
use crate::nn::ops::{Activation, ConvInput, Resample, activate, add, softmax};
use crate::nn::{Init, NnError, ParamStore};
use candle_core::{Device, Result, Tensor};

/// He et al.'s gain for ReLU.
const RELU_GAIN: f32 = std::f32::consts::SQRT_2;

/// A convolution with spectral normalization, then instance normalization and ReLU.
#[derive(Debug)]
struct Block {
    conv: SpectralConv2d,
    norm: InstanceNorm,
}

impl Block {
    fn new(store: &ParamStore, name: &str, config: Conv2dConfig, affine: bool) -> std::result::Result<Self, NnError> {
        let config = config.activation(Activation::Relu).init(Init::KaimingUniform { gain: RELU_GAIN });
        // Instance normalization takes a bias away again; its own shift stands in.
        let config = if affine { config.without_bias() } else { config };
        let conv = SpectralConv2d::new(store.root().sub(name).sub("conv"), config)?;
        let norm = match affine {
            true => InstanceNorm::affine(store.root().sub(name).sub("norm"), config.outputs)?,
            false => InstanceNorm::plain(),
        };
        Ok(Self { conv, norm })
    }

    fn forward(&self, inputs: &[ConvInput<'_>]) -> Result<Activations> {
        self.conv.forward_fused(inputs, Some(&self.norm))
    }
}

/// What a generator makes of a batch.
pub struct Generated {
    /// `[n, 3, height, width]` in `[-1, 1]`
    pub image: Activations,
    /// `[n, classes, height, width]`, probabilities that add up to 1 in each pixel, from a generator with a mask head.
    pub mask: Option<Tensor>,
}

/// The network with its parameters.
#[derive(Debug)]
pub struct Generator {
    store: ParamStore,
    stem: Block,
    down: Vec<Block>,
    bottleneck: Vec<Block>,
    up: Vec<Block>,
    refine: Vec<Block>,
    head: SpectralConv2d,
    raw_input: bool,
    mask_classes: usize,
    size: usize,
}

/// The number of learned floats of a generator, by counting.
pub fn parameter_count(config: &GeneratorConfig) -> usize {
    let block = |inputs: usize, outputs: usize, kernel: usize| {
        let extra = if config.affine { 2 * outputs } else { outputs };
        inputs * outputs * kernel * kernel + extra
    };
    let filters = &config.filters;
    let deepest = filters[filters.len() - 1];
    let raw = if config.raw_input { 3 } else { 0 };
    let outputs = 3 + config.mask_classes;
    let levels: usize = filters.windows(2).map(|pair| block(pair[0], pair[1], 3) + block(pair[1], pair[0], 3)).sum();
    block(3, filters[0], config.stem_kernel)
        + levels
        + config.bottleneck * block(deepest, deepest, 3)
        + config.refine * block(filters[0], filters[0], 3)
        + (filters[0] + raw) * outputs * config.head_kernel.pow(2)
        + outputs
}

impl Generator {
    /// A generator for images of `size` pixels squared (it takes any other size as well).
    ///
    /// # Errors
    /// An impossible setting; a device that fails.
    pub fn new(
        config: &GeneratorConfig,
        size: usize,
        seed: Seed,
        device: &Device,
    ) -> std::result::Result<Self, CycleGanError> {
        config.validate(size)?;
        let GeneratorConfig { filters, bottleneck, stem_kernel, head_kernel, refine, raw_input, mask_classes, affine } =
            config;
        let store = ParamStore::new(seed, device);
        let block = |name: String, config: Conv2dConfig| Block::new(&store, &name, config, *affine);
        let levels = filters.len();
        let stem = block("stem".into(), Conv2dConfig::new(3, filters[0], *stem_kernel))?;
        let many = |name: &str, configs: Vec<(usize, Conv2dConfig)>| {
            configs
                .into_iter()
                .map(|(index, config)| block(format!("{name}{index}"), config))
                .collect::<std::result::Result<Vec<_>, _>>()
        };
        let down = (1..levels).map(|l| (l, Conv2dConfig::new(filters[l - 1], filters[l], 3).stride(2))).collect();
        let down = many("down", down)?;
        let same = |width: usize, count: usize| (0..count).map(|i| (i, Conv2dConfig::new(width, width, 3))).collect();
        let bottleneck = many("bottleneck", same(filters[levels - 1], *bottleneck))?;
        let up = (0..levels - 1).rev().map(|l| (l, Conv2dConfig::new(filters[l + 1], filters[l], 3))).collect();
        let up = many("up", up)?;
        let refine = many("refine", same(filters[0], *refine))?;
        let raw = if *raw_input { 3 } else { 0 };
        // The three colours' tanh joins the convolution unless class scores come out of it too.
        let activation = if *mask_classes == 0 { Activation::Tanh } else { Activation::None };
        let head = Conv2dConfig::new(filters[0] + raw, 3 + mask_classes, *head_kernel).activation(activation);
        let head = SpectralConv2d::new(store.root().sub("head"), head)?;
        let (raw_input, mask_classes) = (*raw_input, *mask_classes);
        Ok(Self { store, stem, down, bottleneck, up, refine, head, raw_input, mask_classes, size })
    }

    /// Parameters and singular vectors of all layers.
    pub fn store(&self) -> &ParamStore {
        &self.store
    }

    /// Edge of the images it was made for, pixels.
    pub fn size(&self) -> usize {
        self.size
    }

    fn blocks(&self) -> impl Iterator<Item = &Block> {
        let groups = [&self.down, &self.bottleneck, &self.up, &self.refine];
        std::iter::once(&self.stem).chain(groups.into_iter().flatten())
    }

    /// One round of power iteration in every layer.
    ///
    /// # Errors
    /// A device that fails.
    pub fn power_iteration(&self) -> Result<()> {
        self.blocks().map(|block| &block.conv).chain([&self.head]).try_for_each(SpectralConv2d::power_iteration)
    }

    /// `[n, 3, height, width]` in `[-1, 1]` to an image of the same shape and range, and the mask if there is a head
    /// for it. Gradients flow back through both.
    ///
    /// # Errors
    /// Another shape.
    pub fn generate(&self, x: &Activations) -> Result<Generated> {
        let raw = x;
        let mut x = self.stem.forward(&[raw.into()])?;
        let mut skips = Vec::with_capacity(self.down.len());
        for block in &self.down {
            let next = block.forward(&[(&x).into()])?;
            skips.push(std::mem::replace(&mut x, next));
        }
        for block in &self.bottleneck {
            x = block.forward(&[(&x).into()])?;
        }
        for (block, skip) in self.up.iter().zip(skips.iter().rev()) {
            let enlarged = block.forward(&[ConvInput { value: &x, resample: Resample::Nearest2 }])?;
            x = add(&drop_first(&enlarged, skip)?, skip)?;
        }
        for block in &self.refine {
            x = block.forward(&[(&x).into()])?;
        }
        let inputs: [ConvInput<'_>; 2] = [(&x).into(), raw.into()];
        let head = self.head.forward_fused(&inputs[..if self.raw_input { 2 } else { 1 }], None)?;
        if self.mask_classes == 0 {
            return Ok(Generated { image: head, mask: None });
        }
        let maps = head.to_tensor()?;
        let part = |first: usize, count: usize| Activations::from_tensor(&maps.narrow(1, first, count)?.contiguous()?);
        let image = activate(&part(0, 3)?, Activation::Tanh)?;
        Ok(Generated { image, mask: Some(softmax(&part(3, self.mask_classes)?, 1)?.to_tensor()?) })
    }

    /// The image of [`Self::generate`].
    ///
    /// # Errors
    /// Another shape.
    pub fn forward(&self, x: &Activations) -> Result<Activations> {
        Ok(self.generate(x)?.image)
    }

    /// Translates a batch `[n, 3, height, width]` in `[-1, 1]` without gradients, to bytes `[height, width, 3]` each.
    ///
    /// # Errors
    /// Another shape.
    pub fn translate(&self, images: &Tensor) -> Result<Vec<Vec<u8>>> {
        let _frozen = self.store.freeze();
        let images = images.detach().to_device(self.store.device())?;
        let image = self.forward(&Activations::from_tensor(&images)?)?.to_tensor()?;
        to_bytes(&image)
    }
}

/// Drops the first row and the first column of `x` where it is one larger than `like`.
fn drop_first(x: &Activations, like: &Activations) -> Result<Activations> {
    let ([_, _, h, w], [_, _, to_h, to_w]) = (x.dims4()?, like.dims4()?);
    if [h, w] == [to_h, to_w] {
        return Ok(x.clone());
    }
    let (rows, columns) = (h.saturating_sub(to_h), w.saturating_sub(to_w));
    let dropped = x.to_tensor()?.narrow(2, rows, to_h)?.narrow(3, columns, to_w)?;
    Activations::from_tensor(&dropped.contiguous()?)
}

impl Network for Generator {
    fn store(&self) -> &ParamStore {
        &self.store
    }

    fn inputs(&self) -> Vec<Spec> {
        vec![Spec::image("source", 3, [self.size; 2], Range::Between(-1.0, 1.0))]
    }

    fn outputs(&self) -> Vec<Spec> {
        let mut outputs = vec![Spec::image("image", 3, [self.size; 2], Range::Between(-1.0, 1.0))];
        if self.mask_classes > 0 {
            outputs.push(Spec::image("mask", self.mask_classes, [self.size; 2], Range::Between(0.0, 1.0)));
        }
        outputs
    }

    fn forward(&self, inputs: &[Activations]) -> Result<Vec<Activations>> {
        let Generated { image, mask } = self.generate(&inputs[0])?;
        let mask = mask.map(|mask| Activations::from_tensor(&mask)).transpose()?;
        Ok(std::iter::once(image).chain(mask).collect())
    }
}

#[cfg(test)]
#[path = "generator_tests.rs"]
mod tests;
