//! The published Q-function (QT-Opt, figure 5 and appendix; RCAN, appendix B): seven convolutions on the image, the
//! action and state added to every pixel's features, nine convolutions and two fully connected layers on the sum.
//! Batch normalization and ReLU follow every layer but the last; pooling pads as TensorFlow's `SAME`.

use super::{Encoded, EncoderMode, PUBLISHED_STATE_LEN, QFunction, Score, floats};
use crate::contract::action_space::ActionFeatures;
use crate::contract::{Action, Seed};
use crate::nn::layers::{BatchNorm, Conv2d, Conv2dConfig, Linear};
use crate::nn::ops::{self, Activation, Activations, max_pool};
use crate::nn::{HOST, Init, NnError, Param, ParamStore};
use candle_core::{Device, Result, Tensor, bail};

/// The smallest image: behind the third pool the three last convolutions must have seven pixels.
pub const LEAST_SIZE: usize = 218;
const WIDTH: usize = 64;
/// The published blocks: displacement, rotation, close, open, terminate; gripper closed, gripper height.
const BLOCKS: [(&str, usize); 7] = [
    ("translation", 3),
    ("rotation", 2),
    ("close", 1),
    ("open", 1),
    ("terminate", 1),
    ("gripper_closed", 1),
    ("gripper_height", 1),
];
const BLOCK_WIDTH: usize = 256;

/// Scale and shift of a normalization. Two of the published ones have no scale.
enum Norm {
    Full(BatchNorm),
    /// The scale stays 1: this normalization is followed by layers that can scale as well.
    Unscaled(UnscaledNorm),
}

impl Norm {
    fn forward(&self, x: &Activations, train: bool) -> Result<Activations> {
        match self {
            Self::Full(norm) => norm.forward(x, Activation::Relu, train),
            Self::Unscaled(norm) => norm.forward(x, train),
        }
    }
}

struct UnscaledNorm {
    beta: Param,
    mean: crate::nn::StateBuffer,
    variance: crate::nn::StateBuffer,
}

const EPSILON: f64 = 1e-3;
const MOMENTUM: f64 = 0.01;

impl UnscaledNorm {
    fn new(scope: crate::nn::Scope<'_>, channels: usize) -> std::result::Result<Self, NnError> {
        Ok(Self {
            beta: scope.param("bias", &[channels], Init::Zeros)?,
            mean: scope.buffer("running_mean", &[channels], Init::Zeros)?,
            variance: scope.buffer("running_var", &[channels], Init::Ones)?,
        })
    }

    fn forward(&self, x: &Activations, train: bool) -> Result<Activations> {
        use crate::nn::ops::{BatchStatistics, NormOptions, batch_norm};
        let beta = self.beta.tensor();
        let ones = Tensor::ones(beta.dims(), beta.dtype(), beta.device())?;
        let options =
            NormOptions { gamma: Some(&ones), beta: Some(&beta), epsilon: EPSILON, activation: Activation::Relu };
        let widen = |buffer: &crate::nn::StateBuffer| buffer.get().into_iter().map(f64::from).collect::<Vec<_>>();
        if !train {
            let (mean, variance) = (widen(&self.mean), widen(&self.variance));
            let statistics = BatchStatistics::Fixed { mean: &mean, variance: &variance };
            return Ok(batch_norm(x, statistics, options)?.0);
        }
        let (y, moments) = batch_norm(x, BatchStatistics::Batch, options)?;
        for (buffer, values) in [(&self.mean, &moments.mean), (&self.variance, &moments.variance)] {
            for (running, value) in buffer.lock().iter_mut().zip(values) {
                *running = ((1.0 - MOMENTUM) * f64::from(*running) + MOMENTUM * value) as f32;
            }
        }
        Ok(y)
    }
}

struct Block {
    conv: Conv2d,
    norm: Norm,
}

/// A fully connected layer without bias, normalized.
pub(super) struct Dense {
    weight: Param,
    norm: BatchNorm,
}

/// See the file's head. 1,242,817 parameters with 3 channels at 472 pixels.
pub struct PaperQ {
    store: ParamStore,
    stem: Block,
    image: Vec<Block>,
    blocks: Vec<Linear>,
    blocks_norm: Norm,
    merge: Dense,
    joint: Vec<Block>,
    last: Vec<Block>,
    dense: Vec<Dense>,
    value: Linear,
}

/// Edge after a pool of `kernel` with TensorFlow's `SAME` padding.
fn pooled(side: usize, kernel: usize) -> usize {
    side.div_ceil(kernel)
}

impl PaperQ {
    /// # Errors
    /// An image that is too small.
    pub fn new(size: usize, channels: usize, seed: Seed, device: &Device) -> std::result::Result<Self, NnError> {
        Self::in_store(ParamStore::new(seed, device), size, channels)
    }

    /// With its parameters in an empty store, which decides their float type.
    fn in_store(store: ParamStore, size: usize, channels: usize) -> std::result::Result<Self, NnError> {
        if size < LEAST_SIZE {
            let reason = format!("the published network needs images of at least {LEAST_SIZE} pixels, not {size}");
            return Err(NnError::InvalidValue { name: "size".into(), reason });
        }
        let init = Init::TruncatedNormal { std: 0.01 };
        let stem_conv = Conv2dConfig::new(channels, WIDTH, 6).stride(2).padding(2).init(init);
        let stem = Block {
            conv: Conv2d::new(store.root().sub("conv1"), stem_conv)?,
            norm: Norm::Unscaled(UnscaledNorm::new(store.root().sub("conv1_norm"), WIDTH)?),
        };
        let mut number = 1;
        let mut stack = |store: &ParamStore, count: usize, kernel: usize, padding: usize| {
            let mut blocks = Vec::new();
            for _ in 0..count {
                number += 1;
                let conv = Conv2dConfig::new(WIDTH, WIDTH, kernel).padding(padding).without_bias().init(init);
                blocks.push(Block {
                    conv: Conv2d::new(store.root().sub(format!("conv{number}")), conv)?,
                    norm: Norm::Full(BatchNorm::new(store.root().sub(format!("conv{number}_norm")), WIDTH)?),
                });
            }
            Ok::<_, NnError>(blocks)
        };
        let image = stack(&store, 6, 5, 2)?;
        let joint = stack(&store, 6, 3, 1)?;
        let last = stack(&store, 3, 3, 0)?;
        let blocks = BLOCKS
            .iter()
            .map(|(name, inputs)| {
                let sizes = [*inputs, BLOCK_WIDTH];
                Linear::with_init(store.root().sub(name), sizes, Activation::None, [init, Init::Zeros])
            })
            .collect::<std::result::Result<Vec<_>, _>>()?;
        let blocks_norm = Norm::Unscaled(UnscaledNorm::new(store.root().sub("blocks_norm"), BLOCK_WIDTH)?);
        let dense = |name: &str, inputs: usize| Dense::new(&store, name, [inputs, WIDTH], init);
        let side = pooled(pooled(pooled((size + 4 - 6) / 2 + 1, 3), 3), 2) - 6;
        let merge = dense("merge", BLOCK_WIDTH)?;
        let dense = vec![dense("dense0", WIDTH * side * side)?, dense("dense1", WIDTH)?];
        let inits = [init, Init::Zeros];
        let value = Linear::with_init(store.root().sub("value"), [WIDTH, 1], Activation::None, inits)?;
        Ok(Self { store, stem, image, blocks, blocks_norm, merge, joint, last, dense, value })
    }
}

impl Block {
    fn forward(&self, x: &Activations, train: bool) -> Result<Activations> {
        self.norm.forward(&self.conv.forward(x)?, train)
    }
}

impl Dense {
    /// `sizes` are inputs and outputs.
    pub fn new(
        store: &ParamStore,
        name: &str,
        [inputs, outputs]: [usize; 2],
        init: Init,
    ) -> std::result::Result<Self, NnError> {
        Ok(Self {
            weight: store.root().sub(name).param("weight", &[outputs, inputs], init)?,
            norm: BatchNorm::new(store.root().sub(format!("{name}_norm")), outputs)?,
        })
    }

    /// `[n, inputs]` to `[n, outputs]`, normalized and rectified.
    pub fn forward(&self, x: &Activations, train: bool) -> Result<Activations> {
        let y = ops::linear(x, &self.weight.tensor(), None, Activation::None)?;
        as_image(&self.norm.forward(&as_image(&y)?, Activation::Relu, train)?).and_then(|y| ops::flatten(&y))
    }
}

/// Rows of an action each and the published part of the state that it is done in, `[actions, ENCODED_LEN +
/// PUBLISHED_STATE_LEN]`, on the host: as many actions for each of `count` images, those of one image one after the other.
///
/// # Errors
/// A number of actions that is no multiple of the images.
pub(super) fn state_and_actions(states: &Activations, count: usize, actions: &[ActionFeatures]) -> Result<Tensor> {
    if count == 0 || actions.len() % count != 0 {
        bail!("{} actions for {count} images; give as many for each", actions.len())
    }
    let each = actions.len() / count;
    let (states, width) = (floats(states)?, states.shape()[1]);
    let rows = actions.iter().enumerate().map(|(row, action)| {
        let state = &states[row / each * width..][..PUBLISHED_STATE_LEN];
        action.iter().chain(state).copied()
    });
    let joined: Vec<f32> = rows.flatten().collect();
    Tensor::from_vec(joined, (actions.len(), Action::ENCODED_LEN + PUBLISHED_STATE_LEN), &HOST)
}

/// `[n, c]` as `[n, c, 1, 1]`.
fn as_image(x: &Activations) -> Result<Activations> {
    match *x.shape() {
        [n, c] => ops::reshape(x, &[n, c, 1, 1]),
        _ => Ok(x.clone()),
    }
}

/// Max pooling with `SAME` padding. What is pooled is never negative, so that zeros pad.
fn pool_same(x: &Activations, kernel: usize) -> Result<Activations> {
    let [_, _, h, w] = x.dims4()?;
    let missing = |side: usize| pooled(side, kernel) * kernel - side;
    let (down, across) = (missing(h), missing(w));
    if down + across == 0 {
        return max_pool(x, [kernel; 2], [kernel; 2]);
    }
    let padded = x.to_tensor()?.pad_with_zeros(2, down / 2, down - down / 2)?;
    let padded = padded.pad_with_zeros(3, across / 2, across - across / 2)?;
    max_pool(&Activations::from_tensor(&padded)?, [kernel; 2], [kernel; 2])
}

impl QFunction for PaperQ {
    fn store(&self) -> &ParamStore {
        &self.store
    }

    fn encode(&self, images: &Activations, states: &Activations, mode: EncoderMode) -> Result<Encoded> {
        // Nothing but Q teaches it, and nothing is detached in any mode.
        let train = !mode.evaluates();
        let mut x = pool_same(&self.stem.forward(images, train)?, 3)?;
        for block in &self.image {
            x = block.forward(&x, train)?;
        }
        Ok(Encoded { parts: vec![pool_same(&x, 3)?, states.clone()], hands: Vec::new(), count: images.shape()[0] })
    }

    fn logits(&self, encoded: &Encoded, actions: &[ActionFeatures], train: bool) -> Result<Vec<Tensor>> {
        let [image, states] = &encoded.parts[..] else { bail!("encoded by another network") };
        let joined = state_and_actions(states, encoded.count, actions)?;
        let joined = joined.to_device(self.store.device())?.to_dtype(self.store.dtype())?;
        let (mut sum, mut at) = (None, 0);
        for (block, (_, inputs)) in self.blocks.iter().zip(BLOCKS) {
            let y = block.forward(&Activations::from_tensor(&joined.narrow(1, at, inputs)?.contiguous()?)?)?;
            at += inputs;
            sum = Some(match sum {
                None => y,
                Some(sum) => ops::add(&sum, &y)?,
            });
        }
        let Some(sum) = sum else { bail!("no blocks") };
        let context = ops::flatten(&self.blocks_norm.forward(&as_image(&sum)?, train)?)?;
        let context = self.merge.forward(&context, train)?;
        let mut x = ops::broadcast_add(image, &context)?;
        for block in &self.joint {
            x = block.forward(&x, train)?;
        }
        x = pool_same(&x, 2)?;
        for block in &self.last {
            x = block.forward(&x, train)?;
        }
        let mut y = ops::flatten(&x)?;
        for dense in &self.dense {
            y = dense.forward(&y, train)?;
        }
        Ok(vec![self.value.forward(&y)?.to_tensor()?.flatten_all()?])
    }

    fn auxiliary_predictions(&self, _encoded: &Encoded) -> Result<Option<Tensor>> {
        Ok(None)
    }

    fn scorer(&self, _: &Encoded) -> Result<Option<Box<dyn Score>>> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{image_activations, state_activations, state_of};
    use super::*;
    use crate::contract::action_space::tests::SPACE;
    use crate::nn::GradientSource;
    use candle_core::{DType, Var};

    #[test]
    fn it_has_the_published_number_of_parameters() -> anyhow::Result<()> {
        let q = PaperQ::new(472, 3, Seed(1), &Device::Cpu)?;
        assert_eq!(q.store().parameter_count(), 1_242_817);
        let six = PaperQ::new(472, 6, Seed(1), &Device::Cpu)?;
        assert_eq!(six.store().parameter_count(), 1_242_817 + 3 * 36 * 64);
        Ok(())
    }

    #[test]
    fn the_smallest_image_gives_a_logit_an_action() -> anyhow::Result<()> {
        assert!(PaperQ::new(LEAST_SIZE - 1, 3, Seed(1), &Device::Cpu).is_err());
        let q = PaperQ::new(LEAST_SIZE, 3, Seed(1), &Device::Cpu)?;
        let mut rng = Seed(2).rng();
        let bytes: Vec<u8> = (0..LEAST_SIZE * LEAST_SIZE * 3).map(|_| rng.below(256) as u8).collect();
        let encoded = q.encode(
            &image_activations(&[&bytes], LEAST_SIZE, 3, &Device::Cpu)?,
            &state_activations(&[state_of(0.0, 1.0)], &Device::Cpu)?,
            EncoderMode::Evaluate,
        )?;
        let actions: Vec<ActionFeatures> = (0..3).map(|_| SPACE.features(&SPACE.random(&mut rng))).collect();
        let together = q.logits(&encoded, &actions, false)?[0].to_vec1::<f32>()?;
        assert_eq!(together.len(), 3);
        let alone = q.logits(&encoded, &actions[1..2], false)?[0].to_vec1::<f32>()?;
        assert!((together[1] - alone[0]).abs() < 1e-6);
        Ok(())
    }

    #[test]
    fn the_gradient_of_q_at_the_image_equals_central_differences() -> anyhow::Result<()> {
        let store = ParamStore::with_dtype(Seed(1), &Device::Cpu, DType::F64);
        let q = PaperQ::in_store(store, LEAST_SIZE, 3)?;
        // Statistics that keep the size of the signal, each channel another one.
        let mut rng = Seed(2).rng();
        let mut state = q.store().state_tensors()?;
        for (name, tensor) in &mut state {
            let mut random = |low: f32, high: f32| {
                let values: Vec<f32> = (0..tensor.elem_count()).map(|_| rng.range(low, high)).collect();
                Tensor::from_vec(values, tensor.dims(), &Device::Cpu)
            };
            if name.ends_with("running_mean") {
                *tensor = random(-0.1, 0.1)?;
            } else if name.ends_with("running_var") {
                *tensor = random(0.03, 0.08)?;
            }
        }
        q.store().load_state(&state)?;
        let states =
            Activations::from_tensor(&Tensor::new(&[state_of(0.0, 1.0)], &Device::Cpu)?.to_dtype(DType::F64)?)?;
        let actions = [SPACE.features(&SPACE.random(&mut rng)), SPACE.features(&SPACE.random(&mut rng))];
        let mean = |image: &Tensor, mode: EncoderMode| -> Result<Tensor> {
            let encoded = q.encode(&Activations::from_tensor(image)?, &states, mode)?;
            q.logits(&encoded, &actions, false)?[0].mean_all()
        };
        let mut random = |_| {
            let values: Vec<f64> = (0..3 * LEAST_SIZE * LEAST_SIZE).map(|_| f64::from(rng.normal())).collect();
            Tensor::from_vec(values, (1, 3, LEAST_SIZE, LEAST_SIZE), &Device::Cpu)
        };
        let images = (0..3).map(&mut random).collect::<Result<Vec<_>>>()?;
        let image = Var::from_tensor(&(&images[0] * 0.5)?)?;
        let _frozen = q.store().freeze();
        let value = mean(image.as_tensor(), EncoderMode::ImageGradient)?;
        let evaluated = mean(image.as_tensor(), EncoderMode::Evaluate)?.to_scalar::<f64>()?;
        assert_eq!(value.to_scalar::<f64>()?.to_bits(), evaluated.to_bits());
        let gradients = crate::nn::backward(&value)?;
        let Some(gradient) = gradients.tensor(&image)? else { anyhow::bail!("no gradient") };
        for param in q.store().params() {
            assert!(gradients.tensor(param.var())?.is_none(), "{}", param.name());
        }
        for direction in &images[1..] {
            let expected = (&gradient * direction)?.sum_all()?.to_scalar::<f64>()?;
            let step = 1e-7;
            let at = |step: f64| -> Result<f64> {
                mean(&(image.as_detached_tensor() + (direction * step)?)?, EncoderMode::Evaluate)?.to_scalar()
            };
            let difference = (at(step)? - at(-step)?) / (2.0 * step);
            assert!((expected - difference).abs() <= 1e-5 * difference.abs(), "{expected} {difference}");
        }
        Ok(())
    }
}
