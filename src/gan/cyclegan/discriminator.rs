//! The discriminators D_Y (is this image from reality?) and D_X (from simulation?): patch decisions on three scales.
//!
//! Each scale has a network of its own: convolutions with leaky ReLU, normalized as the settings say, and a last convolution
//! that gives one decision for each patch. What one decision sees is small on purpose: 11, 22 and 44
//! of 64 pixels in the small preset, 70 of 472, 236 and 118 in the published one. A discriminator that sees the whole
//! image can tell the domains by where objects lie, and makes generators move and remove them.

use super::config::{DiscriminatorConfig, DiscriminatorNorm};
use super::error::CycleGanError;
use crate::contract::Seed;
use crate::nn::layers::{Conv2d, Conv2dConfig, InstanceNorm, SpectralConv2d};
use crate::nn::ops::{Activation, ConvInput, avg_pool};
use crate::nn::{Activations, Init, NnError, ParamStore, Scope};
use candle_core::{Device, Result, Tensor, bail};

/// Slope of the leaky ReLU.
const SLOPE: f32 = 0.2;

/// A convolution as [`DiscriminatorNorm`] has it.
#[derive(Debug)]
enum Layer {
    Spectral(SpectralConv2d),
    Plain(Conv2d, Option<InstanceNorm>),
}

impl Layer {
    /// The convolution of this number in its scale.
    fn new(
        scope: Scope<'_>,
        conv: Conv2dConfig,
        config: &DiscriminatorConfig,
        layer: usize,
    ) -> std::result::Result<Self, NnError> {
        if config.norm == DiscriminatorNorm::Spectral {
            return Ok(Self::Spectral(SpectralConv2d::new(scope, conv)?));
        }
        let norm = config.has_instance_norm(layer).then(InstanceNorm::plain);
        // The normalization would take a bias away again.
        let conv = if norm.is_some() { conv.without_bias() } else { conv };
        Ok(Self::Plain(Conv2d::new(scope, conv)?, norm))
    }

    fn forward(&self, inputs: &[ConvInput<'_>]) -> Result<Activations> {
        match self {
            Self::Spectral(conv) => conv.forward_fused(inputs, None),
            Self::Plain(conv, norm) => conv.forward_fused(inputs, norm.as_ref()),
        }
    }

    fn power_iteration(&self) -> Result<()> {
        match self {
            Self::Spectral(conv) => conv.power_iteration(),
            Self::Plain(..) => Ok(()),
        }
    }
}

/// The network with its parameters.
#[derive(Debug)]
pub struct Discriminator {
    store: ParamStore,
    /// Layers of each scale, full size first.
    scales: Vec<Vec<Layer>>,
    state_planes: usize,
}

/// The number of learned floats of a discriminator, by counting.
pub fn parameter_count(config: &DiscriminatorConfig) -> usize {
    let taps = config.kernel * config.kernel;
    let mut inputs = 3 + config.state_planes;
    let mut one = 0;
    for (layer, &filters) in config.filters.iter().chain([&1]).enumerate() {
        one += inputs * filters * taps + if config.has_instance_norm(layer) { 0 } else { filters };
        inputs = filters;
    }
    config.scales * one
}

/// Edge of the square of full-size pixels that one decision of each scale depends on.
pub fn receptive_fields(config: &DiscriminatorConfig) -> Vec<usize> {
    let mut field = 1;
    for &stride in config.strides.iter().chain([&1]).rev() {
        field = (field - 1) * stride + config.kernel;
    }
    (0..config.scales).map(|scale| field << scale).collect()
}

impl Discriminator {
    /// # Errors
    /// A device that fails.
    pub fn new(config: &DiscriminatorConfig, seed: Seed, device: &Device) -> std::result::Result<Self, CycleGanError> {
        let store = ParamStore::new(seed, device);
        let mut scales = Vec::new();
        for scale in 0..config.scales {
            let mut inputs = 3 + config.state_planes;
            let mut layers = Vec::new();
            for (index, (&filters, &stride)) in config.filters.iter().zip(&config.strides).enumerate() {
                let conv = Conv2dConfig::new(inputs, filters, config.kernel)
                    .stride(stride)
                    .padding((config.kernel - 1) / 2)
                    .activation(Activation::LeakyRelu(SLOPE))
                    .init(Init::KaimingUniform { gain: std::f32::consts::SQRT_2 });
                let scope = store.root().sub(format!("scale{scale}")).sub(index);
                layers.push(Layer::new(scope, conv, config, index)?);
                inputs = filters;
            }
            let decision = Conv2dConfig::new(inputs, 1, config.kernel).padding((config.kernel - 1) / 2);
            let scope = store.root().sub(format!("scale{scale}")).sub("decision");
            layers.push(Layer::new(scope, decision, config, config.filters.len())?);
            scales.push(layers);
        }
        Ok(Self { store, scales, state_planes: config.state_planes })
    }

    /// Parameters and singular vectors of all scales.
    pub fn store(&self) -> &ParamStore {
        &self.store
    }

    /// One round of power iteration in every layer: once a training step.
    ///
    /// # Errors
    /// A device that fails.
    pub fn power_iteration(&self) -> Result<()> {
        self.scales.iter().flatten().try_for_each(Layer::power_iteration)
    }

    /// Decisions `[n, 1, h', w']` of each scale, full size first; large is real. Images `[n, 3, height, width]` in
    /// `[-1, 1]`; `state` `[n, planes]` if the settings ask for it, one number a plane.
    ///
    /// # Errors
    /// Another shape; a state that is missing or not wanted.
    pub fn forward(&self, image: &Activations, state: Option<&Tensor>) -> Result<Vec<Tensor>> {
        let found = state.map_or(0, |state| state.dims().last().copied().unwrap_or(0));
        if found != self.state_planes {
            bail!("the discriminator takes {} numbers of state beside an image, not {found}", self.state_planes)
        }
        let mut decisions = Vec::with_capacity(self.scales.len());
        let mut image = image.clone();
        for (scale, layers) in self.scales.iter().enumerate() {
            if scale > 0 {
                image = avg_pool(&image, [2, 2], [2, 2])?;
            }
            let planes = state.map(|state| state_planes(state, &image)).transpose()?;
            let mut x = image.clone();
            for (index, layer) in layers.iter().enumerate() {
                x = match &planes {
                    Some(planes) if index == 0 => layer.forward(&[(&x).into(), planes.into()])?,
                    _ => layer.forward(&[(&x).into()])?,
                };
            }
            decisions.push(x.to_tensor()?);
        }
        Ok(decisions)
    }
}

/// `[n, k]` as constant planes `[n, k, height, width]` of the image's size, without gradients.
fn state_planes(state: &Tensor, image: &Activations) -> Result<Activations> {
    let [n, _, h, w] = image.dims4()?;
    let (rows, k) = state.dims2()?;
    if rows != n {
        bail!("{rows} states for {n} images")
    }
    let planes = state.detach().reshape((n, k, 1, 1))?.broadcast_as((n, k, h, w))?.contiguous()?;
    Activations::from_tensor(&planes)
}

#[cfg(test)]
mod tests {
    use super::super::config::{CycleGanConfig, Method, Preset};
    use super::*;
    use crate::gan::losses::GanLoss;
    use crate::nn::ops::GradientSource;
    use crate::nn::{HOST, backward};
    use candle_core::{DType, Var};

    fn config(preset: Preset) -> DiscriminatorConfig {
        CycleGanConfig::preset(Method::CycleGan, preset).discriminator
    }

    #[test]
    fn three_scales_of_patches_with_parameters_counted_by_hand() -> anyhow::Result<()> {
        let config = DiscriminatorConfig { state_planes: 0, ..config(Preset::Small) };
        let discriminator = Discriminator::new(&config, Seed(1), &Device::Cpu)?;
        let image = Activations::from_tensor(&Tensor::ones((2, 3, 64, 64), DType::F32, &Device::Cpu)?)?;
        let shapes: Vec<_> = discriminator.forward(&image, None)?.iter().map(|l| l.dims().to_vec()).collect();
        assert_eq!(shapes, [[2, 1, 32, 32], [2, 1, 16, 16], [2, 1, 8, 8]]);
        // 3x3 convolutions 3-48-96-1, the middle one without a bias: 1344 + 41472 + 865 a scale.
        assert_eq!(discriminator.store().parameter_count(), 3 * 43_681);
        assert_eq!(parameter_count(&config), 3 * 43_681);
        let spectral = DiscriminatorConfig { norm: DiscriminatorNorm::Spectral, ..config };
        let discriminator = Discriminator::new(&spectral, Seed(1), &Device::Cpu)?;
        assert_eq!((discriminator.store().parameter_count(), parameter_count(&spectral)), (3 * 43_777, 3 * 43_777));
        assert!(discriminator.forward(&image, Some(&Tensor::ones((2, 1), DType::F32, &Device::Cpu)?)).is_err());
        Ok(())
    }

    #[test]
    fn the_published_one_has_five_convolutions_and_a_field_of_70() {
        // 4x4: 3-64-128-256-512-1, with biases in the first and the last.
        let one = 16 * (3 * 64 + 64 * 128 + 128 * 256 + 256 * 512 + 512) + 64 + 1;
        let config = DiscriminatorConfig { state_planes: 0, ..config(Preset::Paper) };
        assert_eq!(parameter_count(&config), 3 * one);
        assert_eq!(receptive_fields(&config), [70, 140, 280]);
    }

    #[test]
    fn one_decision_depends_on_11_22_and_44_pixels() -> anyhow::Result<()> {
        // Instance normalization sees all of a plane; convolutions alone have a field.
        let config = DiscriminatorConfig { norm: DiscriminatorNorm::None, ..config(Preset::Small) };
        assert_eq!(receptive_fields(&config), [11, 22, 44]);
        let discriminator = Discriminator::new(&config, Seed(2), &Device::Cpu)?;
        let mut rng = Seed(3).rng();
        let values: Vec<f32> = (0..3 * 64 * 64).map(|_| rng.range(-1.0, 1.0)).collect();
        let image = Var::from_vec(values, (1, 3, 64, 64), &Device::Cpu)?;
        for (scale, field) in [11, 22, 44].into_iter().enumerate() {
            let decisions = discriminator.forward(&Activations::from_tensor(image.as_tensor())?, None)?;
            let middle = decisions[scale].dim(2)? / 2;
            let one = decisions[scale].narrow(2, middle, 1)?.narrow(3, middle, 1)?.sum_all()?;
            let Some(gradient) = backward(&one)?.tensor(&image)? else { anyhow::bail!("no gradient") };
            for along in [3, 2] {
                // Rows, then columns, that the decision depends on.
                let sums = gradient.abs()?.sum((0, 1))?.sum(along - 2)?.to_vec1::<f32>()?;
                let support: Vec<usize> = (0..64).filter(|&i| sums[i] > 0.0).collect();
                assert_eq!(support.len(), field, "scale {scale}: {support:?}");
                assert_eq!(support[field - 1] - support[0] + 1, field);
            }
        }
        Ok(())
    }

    #[test]
    fn the_gripper_state_counts() -> anyhow::Result<()> {
        let config = DiscriminatorConfig { state_planes: 2, ..config(Preset::Small) };
        let discriminator = Discriminator::new(&config, Seed(4), &Device::Cpu)?;
        assert_eq!(discriminator.store().parameter_count(), parameter_count(&config));
        let image = Activations::from_tensor(&Tensor::zeros((1, 3, 16, 16), DType::F32, &Device::Cpu)?)?;
        let decide = |state: [f32; 2]| -> anyhow::Result<f32> {
            let decisions = discriminator.forward(&image, Some(&Tensor::new(&[state], &Device::Cpu)?))?;
            Ok(decisions[0].sum_all()?.to_scalar::<f32>()?)
        };
        assert_ne!(decide([0.0, 0.5])?, decide([1.0, 0.5])?);
        assert_ne!(decide([1.0, 0.0])?, decide([1.0, 0.5])?);
        assert!(discriminator.forward(&image, None).is_err());
        Ok(())
    }
    /// The fixture was computed by PyTorch in float64: see `patch_discriminator.py` beside it.
    #[test]
    fn with_instance_normalization_decisions_and_gradients_equal_pytorchs() -> anyhow::Result<()> {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/torch/patch_discriminator.safetensors");
        let tensors = candle_core::safetensors::load(path, &HOST)?;
        let config = DiscriminatorConfig {
            kernel: 3,
            filters: vec![4, 6, 5],
            strides: vec![2, 1, 2],
            scales: 2,
            state_planes: 1,
            norm: DiscriminatorNorm::Instance,
        };
        let discriminator = Discriminator::new(&config, Seed(5), &HOST)?;
        let weights = tensors.iter().filter_map(|(name, tensor)| Some((name.strip_prefix("weights/")?, tensor)));
        let weights: Vec<_> = weights.map(|(name, tensor)| (name.to_owned(), tensor.clone())).collect();
        discriminator.store().load_state(&weights)?;
        let close = |what: &str, found: &Tensor, expected: &Tensor| -> anyhow::Result<()> {
            let scale = expected.abs()?.max_all()?.to_scalar::<f32>()?;
            let difference = (found - expected)?.abs()?.max_all()?.to_scalar::<f32>()? / scale;
            anyhow::ensure!(difference <= 1e-5, "{what} differs by {difference}");
            Ok(())
        };
        let image = Var::from_tensor(&tensors["image"])?;
        let decisions =
            discriminator.forward(&Activations::from_tensor(image.as_tensor())?, Some(&tensors["state"]))?;
        for (scale, decisions) in decisions.iter().enumerate() {
            close(&format!("scale {scale}"), decisions, &tensors[&format!("decisions/{scale}")])?;
        }
        let loss = GanLoss::Log.generator(&decisions)?;
        close("the loss", &loss.reshape(1)?, &tensors["loss"])?;
        let gradients = backward(&loss)?;
        let Some(gradient) = gradients.tensor(&image)? else { anyhow::bail!("no gradient of the image") };
        close("the gradient of the image", &gradient, &tensors["gradient/image"])?;
        for param in discriminator.store().params() {
            let name = param.name();
            let Some(gradient) = gradients.tensor(param.var())? else { anyhow::bail!("no gradient of {name}") };
            close(&format!("the gradient of {name}"), &gradient, &tensors[&format!("gradient/{name}")])?;
        }
        Ok(())
    }
}
