//! The generator (RCAN, appendix A and figure 7): a U-Net with heads for image, mask and depth.
//!
//! Convolutions without a bias, instance normalization with scale and shift, ReLU. Going down: 3x3 with stride two for
//! the first levels, then 2x2 average pooling followed by 3x3. Going up: bilinear enlargement, 3x3, concatenation with
//! the level's features, 1x1. The heads are one convolution whose output channels are split, which is the same as one
//! convolution each.

use super::batch::DepthRange;
use super::config::{GeneratorConfig, RcanConfig};
use crate::contract::{Class, Seed};
use crate::nn::layers::{Conv2d, Conv2dConfig, InstanceNorm};
use crate::nn::networks::{Network, Range, Spec};
use crate::nn::ops::{Activation, Activations, ConvInput, Resample, activate, avg_pool, softmax, upsample_bilinear};
use crate::nn::{HOST, Init, NnError, ParamStore};
use candle_core::{Device, Result, Tensor};

/// He et al.'s gain for ReLU.
const RELU_GAIN: f32 = std::f32::consts::SQRT_2;

/// A convolution, instance normalization and ReLU.
#[derive(Debug)]
struct Block {
    conv: Conv2d,
    norm: InstanceNorm,
}

impl Block {
    fn new(store: &ParamStore, name: &str, config: Conv2dConfig) -> std::result::Result<Self, NnError> {
        let config = config.without_bias().activation(Activation::Relu).init(Init::KaimingUniform { gain: RELU_GAIN });
        let conv = Conv2d::new(store.root().sub(name).sub("conv"), config)?;
        let norm = InstanceNorm::affine(store.root().sub(name).sub("norm"), config.outputs)?;
        Ok(Self { conv, norm })
    }

    fn forward(&self, inputs: &[ConvInput<'_>]) -> Result<Activations> {
        self.conv.forward_fused(inputs, Some(&self.norm))
    }
}

/// What the generator makes of a batch; gradients flow back through all three.
pub struct Generated {
    /// `[n, 3, height, width]` in `[-1, 1]`: the canonical image.
    pub image: Tensor,
    /// `[n, classes, height, width]`: probabilities that add up to 1 in each pixel.
    pub mask: Tensor,
    /// `[n, 1, height, width]` in `[-1, 1]`, decoded by [`DepthRange::decode`].
    pub depth: Tensor,
}

/// One translated image as plain arrays.
#[derive(Clone, Debug, PartialEq)]
pub struct Translation {
    /// Pixels in a row.
    pub width: usize,
    /// Rows of pixels.
    pub height: usize,
    /// `[height, width, 3]`
    pub image: Vec<u8>,
    /// `[height, width]`, the most probable [`Class`] of each pixel.
    pub classes: Vec<u8>,
    /// `[height, width]`
    pub depth_m: Vec<f32>,
}

/// The network with its parameters.
#[derive(Debug)]
pub struct Generator {
    store: ParamStore,
    stem: Block,
    down: Vec<Block>,
    strided: usize,
    bottleneck: Vec<Block>,
    up: Vec<Block>,
    mix: Vec<Block>,
    refine: Vec<Block>,
    heads: Conv2d,
    raw_input: bool,
    size: usize,
    depth: DepthRange,
}

impl Generator {
    /// # Errors
    /// A device that fails.
    pub fn new(config: &RcanConfig, seed: Seed, device: &Device) -> std::result::Result<Self, NnError> {
        let GeneratorConfig { filters, num_strided, num_bottleneck, stem_kernel, head_kernel, num_refine, raw_input } =
            &config.generator;
        let store = ParamStore::new(seed, device);
        let stem = Block::new(&store, "stem", Conv2dConfig::new(3, filters[0], *stem_kernel))?;
        let levels = filters.len();
        let mut down = Vec::new();
        for level in 1..levels {
            let stride = if level <= *num_strided { 2 } else { 1 };
            let conv = Conv2dConfig::new(filters[level - 1], filters[level], 3).stride(stride);
            down.push(Block::new(&store, &format!("down{level}"), conv)?);
        }
        let deepest = filters[levels - 1];
        let raw = if *raw_input { 3 } else { 0 };
        let around = |name: &str, count: usize, width: usize, extra: usize| {
            (0..count)
                .map(|i| {
                    let inputs = width + if i == 0 { extra } else { 0 };
                    Block::new(&store, &format!("{name}{i}"), Conv2dConfig::new(inputs, width, 3))
                })
                .collect::<std::result::Result<Vec<_>, _>>()
        };
        let bottleneck = around("bottleneck", *num_bottleneck, deepest, 0)?;
        let refine = around("refine", *num_refine, filters[0], raw)?;
        let (mut up, mut mix) = (Vec::new(), Vec::new());
        for level in (0..levels - 1).rev() {
            let (own, below) = (filters[level], filters[level + 1]);
            up.push(Block::new(&store, &format!("up{level}"), Conv2dConfig::new(below, own, 3))?);
            mix.push(Block::new(&store, &format!("mix{level}"), Conv2dConfig::new(2 * own, own, 1))?);
        }
        let outputs = 3 + 1 + Class::COUNT;
        let heads = Conv2d::new(store.root().sub("heads"), Conv2dConfig::new(filters[0] + raw, outputs, *head_kernel))?;
        let (strided, size, depth, raw_input) = (*num_strided, config.size, config.depth, *raw_input);
        Ok(Self { store, stem, down, strided, bottleneck, up, mix, refine, heads, raw_input, size, depth })
    }

    /// Parameters of the U-Net and its heads.
    pub fn store(&self) -> &ParamStore {
        &self.store
    }

    /// Edge of the images it was made for.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Depths that the depth map's -1 and 1 stand for.
    pub fn depth_range(&self) -> DepthRange {
        self.depth
    }

    /// `[n, 3, height, width]` in `[-1, 1]` to the three outputs.
    ///
    /// # Errors
    /// Another shape.
    pub fn forward(&self, x: &Activations) -> Result<Generated> {
        let [image, depth, mask] = self.maps(x)?;
        Ok(Generated { image: image.to_tensor()?, mask: mask.to_tensor()?, depth: depth.to_tensor()? })
    }

    /// Image, depth and mask.
    fn maps(&self, x: &Activations) -> Result<[Activations; 3]> {
        let raw = x;
        let mut x = self.stem.forward(&[raw.into()])?;
        let mut skips = Vec::with_capacity(self.down.len());
        for (index, block) in self.down.iter().enumerate() {
            let next = if index < self.strided {
                block.forward(&[(&x).into()])?
            } else {
                block.forward(&[(&avg_pool(&x, [2, 2], [2, 2])?).into()])?
            };
            skips.push(std::mem::replace(&mut x, next));
        }
        for block in &self.bottleneck {
            x = block.forward(&[(&x).into()])?;
        }
        for ((up, mix), skip) in self.up.iter().zip(&self.mix).zip(skips.iter().rev()) {
            let ([_, _, h, w], [_, _, sh, sw]) = (x.dims4()?, skip.dims4()?);
            let y = if [sh, sw] == [2 * h, 2 * w] {
                up.forward(&[ConvInput { value: &x, resample: Resample::Bilinear2 }])?
            } else {
                up.forward(&[(&upsample_bilinear(&x, [sh, sw])?).into()])?
            };
            x = mix.forward(&[(&y).into(), skip.into()])?;
        }
        let inputs = if self.raw_input { 2 } else { 1 };
        for (index, block) in self.refine.iter().enumerate() {
            let count = if index == 0 { inputs } else { 1 };
            x = block.forward(&[(&x).into(), raw.into()][..count])?;
        }
        let maps = self.heads.forward_fused(&[(&x).into(), raw.into()][..inputs], None)?.to_tensor()?;
        let part = |first: usize, count: usize| Activations::from_tensor(&maps.narrow(1, first, count)?.contiguous()?);
        Ok([
            activate(&part(0, 3)?, Activation::Tanh)?,
            activate(&part(3, 1)?, Activation::Tanh)?,
            softmax(&part(4, Class::COUNT)?, 1)?,
        ])
    }

    /// Translates a batch `[n, 3, height, width]` in `[-1, 1]`, wherever it is, without keeping gradients.
    ///
    /// # Errors
    /// Another shape.
    pub fn translate(&self, images: &Tensor) -> Result<Vec<Translation>> {
        let _frozen = self.store.freeze();
        let images = images.detach().to_device(self.store.device())?;
        let out = self.forward(&Activations::from_tensor(&images)?)?;
        let (n, _, height, width) = out.image.dims4()?;
        let flat = |tensor: &Tensor| tensor.to_device(&HOST)?.flatten_all()?.to_vec1::<f32>();
        let (image, mask, depth) = (flat(&out.image)?, flat(&out.mask)?, flat(&out.depth)?);
        let pixels = height * width;
        let translation = |i: usize| {
            let planes = &image[i * 3 * pixels..(i + 1) * 3 * pixels];
            let classes = &mask[i * Class::COUNT * pixels..(i + 1) * Class::COUNT * pixels];
            let byte = |value: f32| ((value + 1.0) * 127.5).round().clamp(0.0, 255.0) as u8;
            let likeliest = |pixel: usize| {
                let probability = |class: usize| classes[class * pixels + pixel];
                (1..Class::COUNT).fold(0, |best, c| if probability(c) > probability(best) { c } else { best }) as u8
            };
            Translation {
                width,
                height,
                image: (0..3 * pixels).map(|k| byte(planes[(k % 3) * pixels + k / 3])).collect(),
                classes: (0..pixels).map(likeliest).collect(),
                depth_m: depth[i * pixels..(i + 1) * pixels].iter().map(|&d| self.depth.decode(d)).collect(),
            }
        };
        Ok((0..n).map(translation).collect())
    }
}

impl Network for Generator {
    fn store(&self) -> &ParamStore {
        &self.store
    }

    fn inputs(&self) -> Vec<Spec> {
        vec![Spec::image("source", 3, [self.size; 2], Range::Between(-1.0, 1.0))]
    }

    fn outputs(&self) -> Vec<Spec> {
        let sizes = [self.size; 2];
        vec![
            Spec::image("image", 3, sizes, Range::Between(-1.0, 1.0)),
            Spec::image("depth", 1, sizes, Range::Between(-1.0, 1.0)),
            Spec::image("mask", Class::COUNT, sizes, Range::Between(0.0, 1.0)),
        ]
    }

    fn forward(&self, inputs: &[Activations]) -> Result<Vec<Activations>> {
        Ok(self.maps(&inputs[0])?.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::super::config::Preset;
    use super::*;
    use crate::nn::networks::check_network;

    fn small(size: usize) -> RcanConfig {
        let mut config = RcanConfig::preset(Preset::Small);
        config.size = size;
        config.generator.filters = vec![8, 12, 16, 20];
        config
    }

    #[test]
    fn outputs_are_as_declared() -> anyhow::Result<()> {
        // 36 halves to 18, 9 and 4: the way up meets odd sizes.
        for size in [16, 36] {
            let generator = Generator::new(&small(size), Seed(1), &Device::Cpu)?;
            for batch in [1, 3] {
                check_network(&generator, batch, &mut Seed(2).rng())?;
            }
        }
        Ok(())
    }

    #[test]
    fn parameters_are_those_counted_by_hand() -> anyhow::Result<()> {
        // Weights of every convolution, two numbers a channel for the normalizations, and the heads' biases.
        let block = |inputs: usize, outputs: usize, kernel: usize| inputs * outputs * kernel * kernel + 2 * outputs;
        let generator = Generator::new(&small(16), Seed(1), &Device::Cpu)?;
        let down = block(3, 8, 5) + block(8, 12, 3) + block(12, 16, 3) + block(16, 20, 3) + block(20, 20, 3);
        let up = block(20, 16, 3) + block(32, 16, 1) + block(16, 12, 3) + block(24, 12, 1);
        // The image's three channels join before the last block and before the heads.
        let last = block(12, 8, 3) + block(16, 8, 1) + block(8 + 3, 8, 3) + (8 + 3) * 9 * 25 + 9;
        assert_eq!(generator.store().parameter_count(), down + up + last);
        Ok(())
    }

    #[test]
    fn a_translation_is_the_forward_pass_in_bytes() -> anyhow::Result<()> {
        let generator = Generator::new(&small(16), Seed(4), &Device::Cpu)?;
        let input = generator.inputs()[0].random(2, &mut Seed(5).rng(), &Device::Cpu)?;
        let out = generator.forward(&Activations::from_tensor(&input)?)?;
        let translated = generator.translate(&input)?;
        assert_eq!(translated.len(), 2);
        let t = &translated[1];
        let (x, y) = (7, 12);
        let at = |tensor: &Tensor, c: usize| tensor.get(1)?.get(c)?.get(y)?.get(x)?.to_scalar::<f32>();
        for c in 0..3 {
            let expected = ((at(&out.image, c)? + 1.0) * 127.5).round();
            assert_eq!(f32::from(t.image[3 * (y * 16 + x) + c]), expected);
        }
        let class = usize::from(t.classes[y * 16 + x]);
        for c in 0..Class::COUNT {
            assert!(at(&out.mask, class)? >= at(&out.mask, c)?);
        }
        assert_eq!(t.depth_m[y * 16 + x], generator.depth_range().decode(at(&out.depth, 0)?));
        Ok(())
    }

    /// The fixture holds weights that PyTorch loaded by name, and what it made of them: see `generator.py` beside it.
    #[test]
    fn pytorch_makes_the_same_of_the_same_weights() -> anyhow::Result<()> {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/torch/generator.safetensors");
        let tensors = candle_core::safetensors::load(path, &Device::Cpu)?;
        let mut config = small(16);
        config.generator.filters = vec![4, 6, 8];
        let generator = Generator::new(&config, Seed(0), &Device::Cpu)?;
        let weights: Vec<(String, Tensor)> = tensors
            .iter()
            .filter_map(|(name, tensor)| Some((name.strip_prefix("weights/")?.to_string(), tensor.clone())))
            .collect();
        generator.store().load_state(&weights)?;
        let out = generator.forward(&Activations::from_tensor(&tensors["source"])?)?;
        for (ours, name) in [(out.image, "image"), (out.depth, "depth"), (out.mask, "mask")] {
            let difference = (ours - &tensors[name])?.abs()?.max_all()?.to_scalar::<f32>()?;
            assert!(difference < 2e-5, "{name} differs by {difference}");
        }
        Ok(())
    }
}
