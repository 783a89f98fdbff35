//! The three networks that training speed is measured with: stand-ins for the learners' own, layer for layer the same as
//! their PyTorch counterparts (names of parameters too).

use candle_core::{Device, Result};

use super::spec::{Network, Range, Spec};
use crate::contract::Seed;
use crate::nn::error::NnError;
use crate::nn::layers::{Conv2d, Conv2dConfig, InstanceNorm, Linear};
use crate::nn::ops::{Activation, Activations, ConvInput, Resample, flatten};
use crate::nn::params::ParamStore;

type Built<T> = std::result::Result<T, NnError>;

const SIZE: [usize; 2] = [64, 64];

fn convs(store: &ParamStore, prefix: &str, configs: &[Conv2dConfig]) -> Built<Vec<Conv2d>> {
    configs.iter().enumerate().map(|(i, config)| Conv2d::new(store.root().sub(prefix).sub(i), *config)).collect()
}

/// Seven convolutions: 3-32 7x7, 32-64 /2, 64-128 /2, 128-128, nearest x2, 128-64, nearest x2, 64-32, 32-3 7x7, ReLU.
pub struct UNet7 {
    store: ParamStore,
    convs: Vec<Conv2d>,
}

impl UNet7 {
    /// Maps images `[n, 3, 64, 64]` to images of the same shape; `seed` decides the initial weights.
    ///
    /// # Errors
    /// A device that fails.
    pub fn new(seed: Seed, device: &Device) -> Built<Self> {
        let store = ParamStore::new(seed, device);
        let conv = |i, o, k| Conv2dConfig::new(i, o, k).activation(Activation::Relu);
        let configs = [
            conv(3, 32, 7),
            conv(32, 64, 3).stride(2),
            conv(64, 128, 3).stride(2),
            conv(128, 128, 3),
            conv(128, 64, 3),
            conv(64, 32, 3),
            Conv2dConfig::new(32, 3, 7),
        ];
        let convs = convs(&store, "c", &configs)?;
        Ok(Self { store, convs })
    }
}

impl Network for UNet7 {
    fn store(&self) -> &ParamStore {
        &self.store
    }

    fn inputs(&self) -> Vec<Spec> {
        vec![Spec::image("image", 3, SIZE, Range::Real)]
    }

    fn outputs(&self) -> Vec<Spec> {
        vec![Spec::image("image", 3, SIZE, Range::Real)]
    }

    fn forward(&self, inputs: &[Activations]) -> Result<Vec<Activations>> {
        let mut x = inputs[0].clone();
        for (i, conv) in self.convs.iter().enumerate() {
            let resample = if matches!(i, 4 | 5) { Resample::Nearest2 } else { Resample::None };
            x = conv.forward_fused(&[ConvInput { value: &x, resample }], None)?;
        }
        Ok(vec![x])
    }
}

/// Four levels of 32, 64, 128, 256 channels, instance norm, bilinear up-sampling, skips by concatenation then 1x1.
pub struct SkipUNet {
    store: ParamStore,
    inc: Conv2d,
    down: Vec<Conv2d>,
    up: Vec<Conv2d>,
    mix: Vec<Conv2d>,
    out: Conv2d,
}

impl SkipUNet {
    /// Maps images `[n, 3, 64, 64]` to maps `[n, 9, 64, 64]`; `seed` decides the initial weights.
    ///
    /// # Errors
    /// A device that fails.
    pub fn new(seed: Seed, device: &Device) -> Built<Self> {
        let store = ParamStore::new(seed, device);
        let w = [32, 64, 128, 256];
        let conv = |i, o, k| Conv2dConfig::new(i, o, k).activation(Activation::Relu);
        let inc = Conv2d::new(store.root().sub("inc"), conv(3, w[0], 7))?;
        let down = convs(&store, "down", &[0, 1, 2].map(|i| conv(w[i], w[i + 1], 3).stride(2)))?;
        let up = convs(&store, "up", &[2, 1, 0].map(|i| conv(w[i + 1], w[i], 3)))?;
        let mix = convs(&store, "mix", &[2, 1, 0].map(|i| conv(2 * w[i], w[i], 1)))?;
        let out = Conv2d::new(store.root().sub("out"), Conv2dConfig::new(w[0], 9, 7))?;
        Ok(Self { store, inc, down, up, mix, out })
    }
}

impl Network for SkipUNet {
    fn store(&self) -> &ParamStore {
        &self.store
    }

    fn inputs(&self) -> Vec<Spec> {
        vec![Spec::image("image", 3, SIZE, Range::Real)]
    }

    fn outputs(&self) -> Vec<Spec> {
        vec![Spec::image("maps", 9, SIZE, Range::Real)]
    }

    fn forward(&self, inputs: &[Activations]) -> Result<Vec<Activations>> {
        let norm = InstanceNorm::plain();
        let mut x = self.inc.forward_fused(&[(&inputs[0]).into()], Some(&norm))?;
        let mut skips = Vec::new();
        for down in &self.down {
            skips.push(x.clone());
            x = down.forward_fused(&[(&x).into()], Some(&norm))?;
        }
        for ((up, mix), skip) in self.up.iter().zip(&self.mix).zip(skips.iter().rev()) {
            let enlarged = ConvInput { value: &x, resample: Resample::Bilinear2 };
            let y = up.forward_fused(&[enlarged], Some(&norm))?;
            x = mix.forward_fused(&[(&y).into(), skip.into()], Some(&norm))?;
        }
        Ok(vec![self.out.forward(&x)?])
    }
}

/// Four strided convolutions (3-32-32-64-64) and a linear layer to 128 features.
pub struct QEncoder {
    store: ParamStore,
    convs: Vec<Conv2d>,
    f: Linear,
}

impl QEncoder {
    /// Maps images `[n, 3, 64, 64]` to features `[n, 128]`; `seed` decides the initial weights.
    ///
    /// # Errors
    /// A device that fails.
    pub fn new(seed: Seed, device: &Device) -> Built<Self> {
        let store = ParamStore::new(seed, device);
        let conv = |i, o| Conv2dConfig::new(i, o, 3).stride(2).activation(Activation::Relu);
        let convs = convs(&store, "c", &[conv(3, 32), conv(32, 32), conv(32, 64), conv(64, 64)])?;
        let f = Linear::new(store.root().sub("f"), 64 * 16, 128, Activation::None)?;
        Ok(Self { store, convs, f })
    }
}

impl Network for QEncoder {
    fn store(&self) -> &ParamStore {
        &self.store
    }

    fn inputs(&self) -> Vec<Spec> {
        vec![Spec::image("image", 3, SIZE, Range::Real)]
    }

    fn outputs(&self) -> Vec<Spec> {
        vec![Spec::vector("features", 128, Range::Real)]
    }

    fn forward(&self, inputs: &[Activations]) -> Result<Vec<Activations>> {
        let mut x = inputs[0].clone();
        for conv in &self.convs {
            x = conv.forward(&x)?;
        }
        Ok(vec![self.f.forward(&flatten(&x)?)?])
    }
}

/// The benchmark networks by their command-line names.
pub const BENCH_NETWORKS: [&str; 3] = ["unet7", "skip-unet", "q-encoder"];

/// Builds a benchmark network; `None` for an unknown name. Also gives the batch size it is measured with.
pub fn bench_network(name: &str, seed: Seed, device: &Device) -> Built<Option<(Box<dyn Network + Send>, usize)>> {
    Ok(match name {
        "unet7" => Some((Box::new(UNet7::new(seed, device)?), 16)),
        "skip-unet" => Some((Box::new(SkipUNet::new(seed, device)?), 16)),
        "q-encoder" => Some((Box::new(QEncoder::new(seed, device)?), 64)),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::networks::spec::check_network;

    #[test]
    fn declared_inputs_give_declared_outputs_and_torch_counts_the_same_parameters() -> anyhow::Result<()> {
        for (name, parameters) in BENCH_NETWORKS.iter().zip([341_635, 836_905, 196_768]) {
            let Some((network, _)) = bench_network(name, Seed(1), &Device::Cpu)? else { anyhow::bail!("no {name}") };
            assert_eq!(network.store().parameter_count(), parameters, "{name}");
            for batch in [1, 3] {
                check_network(network.as_ref(), batch, &mut Seed(2).rng())?;
            }
        }
        assert!(bench_network("unet8", Seed(1), &Device::Cpu)?.is_none());
        Ok(())
    }
}
