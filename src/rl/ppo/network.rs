//! The actor-critic: an encoder, the policy's mean and the value; the standard deviation is a parameter of its own.

use super::gaussian::DiagonalGaussian;
use crate::contract::Seed;
use crate::nn::layers::{Conv2d, Conv2dConfig, Linear};
use crate::nn::ops::{Activation, Activations, concat, flatten};
use crate::nn::{Init, NnError, Param, ParamStore};
use candle_core::{Device, Result, Tensor};
use serde::{Deserialize, Serialize};

/// How observations become features.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum EncoderConfig {
    /// Mnih et al., 2015: convolutions of 32 8x8 by 4, 64 4x4 by 2 and 64 3x3 filters without padding, then 512 units, which
    /// see the state vector as well. Policy and value share it. Square images of `size` pixels, at least 36. The strides
    /// fit 84 pixels; of 64 they leave out the last four rows and columns.
    Nature {
        /// Planes of an image: 4 for RGB and depth.
        channels: usize,
        /// Edge of the square images, pixels; at least 36.
        size: usize,
    },
    /// Tanh layers on the state vector alone, one stack for the policy and one for the value.
    Mlp {
        /// Units of each layer from the input on; with none the state vector itself is the features.
        hidden: Vec<usize>,
    },
}

/// Sizes of an actor-critic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkConfig {
    /// Layers between observations and heads; it also decides whether there are images.
    pub encoder: EncoderConfig,
    /// Numbers beside the image.
    pub state_len: usize,
    /// Action dimensions.
    pub actions: usize,
    /// Natural logarithm of the first standard deviation.
    pub initial_log_std: f32,
}

impl NetworkConfig {
    /// RGB-D at 64x64; the step's number (one of three) and the gripper's height; x, y, yaw and z.
    pub fn pose_grasp() -> Self {
        let encoder = EncoderConfig::Nature { channels: 4, size: 64 };
        Self { encoder, state_len: 4, actions: 4, initial_log_std: 0.0 }
    }

    /// Floats of one image, 0 without.
    pub fn image_len(&self) -> usize {
        match self.encoder {
            EncoderConfig::Nature { channels, size } => channels * size * size,
            EncoderConfig::Mlp { .. } => 0,
        }
    }

    /// # Errors
    /// The first size that makes no sense, with its cure.
    pub fn validate(&self) -> std::result::Result<(), String> {
        if self.actions == 0 {
            return Err("network.actions is 0; give at least 1".into());
        }
        match &self.encoder {
            EncoderConfig::Nature { size, .. } if *size < 36 => {
                Err(format!("network.encoder.size is {size}; the Nature encoder needs at least 36 pixels"))
            }
            EncoderConfig::Nature { channels: 0, .. } => Err("network.encoder.channels is 0; give at least 1".into()),
            EncoderConfig::Mlp { .. } if self.state_len == 0 => {
                Err("network.state_len is 0, so the MLP sees nothing; give at least 1".into())
            }
            EncoderConfig::Mlp { hidden } if hidden.contains(&0) => {
                Err("network.encoder.hidden has a layer of 0 units; give at least 1 each".into())
            }
            _ => Ok(()),
        }
    }
}

/// Observations of several environments.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observations {
    /// Observations in the batch: the rows of `images` and of `states`.
    pub count: usize,
    /// `[count, channels, height, width]`, centred about 0; empty without images.
    pub images: Vec<f32>,
    /// `[count, state_len]`
    pub states: Vec<f32>,
}

impl Observations {
    /// Without images.
    pub fn of_states(states: Vec<f32>, state_len: usize) -> Self {
        Self { count: states.len() / state_len.max(1), images: Vec::new(), states }
    }

    /// Fails unless the lengths are those of `config`.
    pub(super) fn check(&self, config: &NetworkConfig) -> Result<()> {
        let expected = [self.count * config.image_len(), self.count * config.state_len];
        if [self.images.len(), self.states.len()] != expected {
            candle_core::bail!(
                "{} observations have {} image and {} state numbers, expected {} and {}",
                self.count,
                self.images.len(),
                self.states.len(),
                expected[0],
                expected[1]
            )
        }
        Ok(())
    }
}

/// What the network makes of observations.
pub struct Outputs {
    /// Distribution of the actions, with means `[n, actions]`.
    pub policy: DiagonalGaussian,
    /// `[n]`
    pub values: Tensor,
}

#[derive(Debug)]
enum Encoder {
    Nature { convolutions: Vec<Conv2d>, join: Linear, channels: usize, size: usize },
    Mlp { policy: Vec<Linear>, value: Vec<Linear> },
}

/// A fully connected layer at a dotted name, its bias 0.
fn linear(
    store: &ParamStore,
    name: &str,
    sizes: [usize; 2],
    activation: Activation,
    init: Init,
) -> std::result::Result<Linear, NnError> {
    Linear::with_init(store.root().sub(name), sizes, activation, [init, Init::Zeros])
}

/// The network with its parameters.
#[derive(Debug)]
pub struct ActorCritic {
    config: NetworkConfig,
    store: ParamStore,
    encoder: Encoder,
    mean: Linear,
    value: Linear,
    log_std: Param,
}

impl ActorCritic {
    /// # Errors
    /// A device that fails.
    pub fn new(config: &NetworkConfig, seed: Seed, device: &Device) -> std::result::Result<Self, NnError> {
        let store = ParamStore::new(seed, device);
        let relu = Init::KaimingUniform { gain: std::f32::consts::SQRT_2 };
        let (encoder, features) = match &config.encoder {
            EncoderConfig::Nature { channels, size } => {
                let layer = |name: &str, [inputs, outputs, kernel, stride]: [usize; 4]| {
                    let conv = Conv2dConfig::new(inputs, outputs, kernel).stride(stride).padding(0);
                    Conv2d::new(store.root().sub("encoder").sub(name), conv.activation(Activation::Relu).init(relu))
                };
                let convolutions = vec![
                    layer("conv1", [*channels, 32, 8, 4])?,
                    layer("conv2", [32, 64, 4, 2])?,
                    layer("conv3", [64, 64, 3, 1])?,
                ];
                let edge = ((size - 8) / 4 + 1 - 4) / 2 + 1 - 2;
                let sizes = [64 * edge * edge + config.state_len, 512];
                let join = linear(&store, "encoder.join", sizes, Activation::Relu, relu)?;
                (Encoder::Nature { convolutions, join, channels: *channels, size: *size }, 512)
            }
            EncoderConfig::Mlp { hidden } => {
                let stack = |name: &str| {
                    let mut inputs = config.state_len;
                    let mut layers = Vec::new();
                    for (index, &outputs) in hidden.iter().enumerate() {
                        let name = format!("{name}.{index}");
                        let init = Init::XavierUniform { gain: 5.0 / 3.0 };
                        layers.push(linear(&store, &name, [inputs, outputs], Activation::Tanh, init)?);
                        inputs = outputs;
                    }
                    Ok::<_, NnError>((layers, inputs))
                };
                let (policy, features) = stack("policy_encoder")?;
                let (value, _) = stack("value_encoder")?;
                (Encoder::Mlp { policy, value }, features)
            }
        };
        // A small first mean: the first policy is the same everywhere, whatever the encoder.
        let (small, whole) = (Init::XavierUniform { gain: 0.01 }, Init::XavierUniform { gain: 1.0 });
        let mean = linear(&store, "mean", [features, config.actions], Activation::None, small)?;
        let value = linear(&store, "value", [features, 1], Activation::None, whole)?;
        let log_std = store.root().param("log_std", &[config.actions], Init::Constant(config.initial_log_std))?;
        Ok(Self { config: config.clone(), store, encoder, mean, value, log_std })
    }

    /// All parameters: encoder, heads and `log_std`.
    pub fn store(&self) -> &ParamStore {
        &self.store
    }

    /// The sizes that the network was built with.
    pub fn config(&self) -> &NetworkConfig {
        &self.config
    }

    /// The policy's standard deviations, `[actions]`.
    ///
    /// # Errors
    /// A device that fails.
    pub fn std(&self) -> Result<Vec<f32>> {
        self.log_std.var().as_detached_tensor().exp()?.to_vec1()
    }

    /// # Errors
    /// Observations of other sizes.
    pub fn forward(&self, observations: &Observations) -> Result<Outputs> {
        observations.check(&self.config)?;
        let (n, device) = (observations.count, self.store.device());
        let states = Tensor::from_slice(&observations.states, (n, self.config.state_len), device)?;
        let (policy, value) = match &self.encoder {
            Encoder::Nature { convolutions, join, channels, size } => {
                let images = Tensor::from_slice(&observations.images, (n, *channels, *size, *size), device)?;
                let mut x = Activations::from_tensor(&images)?;
                for layer in convolutions {
                    x = layer.forward(&x)?;
                }
                let mut x = flatten(&x)?;
                if self.config.state_len > 0 {
                    x = concat(&[&x, &Activations::from_tensor(&states)?])?;
                }
                let features = join.forward(&x)?;
                (features.clone(), features)
            }
            Encoder::Mlp { policy, value } => {
                let states = Activations::from_tensor(&states)?;
                let run = |layers: &[Linear]| layers.iter().try_fold(states.clone(), |x, layer| layer.forward(&x));
                (run(policy)?, run(value)?)
            }
        };
        let mean = self.mean.forward(&policy)?.to_tensor()?;
        let values = self.value.forward(&value)?.to_tensor()?.squeeze(1)?;
        Ok(Outputs { policy: DiagonalGaussian { mean, log_std: self.log_std.tensor() }, values })
    }
}
