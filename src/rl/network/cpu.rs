//! The small Q-function: the image is encoded once, and a candidate action costs three small matrix products.
//!
//! Convolutions, each with batch normalization (without it, telling a held object from none takes several times as many
//! steps), make a coarse map. It goes two ways: a fully connected layer (where everything is), and the highest response
//! of each filter anywhere. A third way looks at a finer map where some heads of attention point to, at the hand above
//! all: what lies between the fingers looks the same wherever the hand is. All and the gripper's state make `e`. An action's
//! embedding `a` meets it by a shift and a scale, `relu(shift(e) + scale(e) * a)`, so that the image decides what the
//! numbers of an action mean; two layers follow. Displacements enter with their sines and cosines as well: where an object
//! lies is no linear matter.

use super::{Encoded, QFunction, STATE_LEN, Score};
use crate::contract::{Action, Seed};
use crate::nn::layers::{BatchNorm, Conv2d, Conv2dConfig, LayerNorm, Linear};
use crate::nn::ops::{self, Activation, Matrix, Value, multiply};
use crate::nn::{Init, NnError, ParamStore};
use crate::rl::action::ActionFeatures;
use crate::rl::privileged::TOLD;
use candle_core::{Device, Result, Tensor, bail};
use serde::{Deserialize, Serialize};
use std::f32::consts::PI;

/// Sizes of [`CpuQ`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CpuQConfig {
    /// Filters and strides of the convolutions (the first 5x5, the others 3x3).
    pub filters: Vec<usize>,
    pub strides: Vec<usize>,
    /// After so many convolutions the heads of attention look at the map, through this many filters of their own.
    pub look_after: usize,
    pub look_filters: usize,
    pub heads: usize,
    /// Features of image and state.
    pub features: usize,
    /// Width of an action's embedding and of the layer where it meets the image.
    pub embedding: usize,
    pub merged: usize,
    /// Width of the layer behind it.
    pub hidden: usize,
}

impl Default for CpuQConfig {
    fn default() -> Self {
        Self {
            filters: vec![32, 48, 48, 64, 64, 64],
            strides: vec![2, 2, 1, 1, 2, 1],
            look_after: 4,
            look_filters: 64,
            heads: 4,
            features: 256,
            embedding: 64,
            merged: 256,
            hidden: 128,
        }
    }
}

impl CpuQConfig {
    pub(in crate::rl) fn validate(&self, size: usize) -> std::result::Result<(), String> {
        let looks = [self.look_filters, self.heads];
        if !(1..=self.filters.len()).contains(&self.look_after) || looks.iter().any(|n| !(1..=1024).contains(n)) {
            return Err(
                "network: look_after must count some of the convolutions, and look_filters and heads be 1 to 1024"
                    .into(),
            );
        }
        let sides = [self.features, self.embedding, self.merged, self.hidden];
        let convs = self.filters.len() == self.strides.len()
            && (1..=12).contains(&self.filters.len())
            && self.filters.iter().all(|f| (1..=2048).contains(f))
            && self.strides.iter().all(|s| (1..=4).contains(s));
        if !convs || sides.iter().any(|side| !(1..=8192).contains(side)) {
            return Err("network: give as many filters (1 to 2048) as strides (1 to 4), and widths of 1 to 8192".into());
        }
        if self.encoded_side(size) < 2 {
            return Err(format!("network: nothing is left of {size} pixels after these strides"));
        }
        Ok(())
    }

    fn encoded_side(&self, size: usize) -> usize {
        self.strides.iter().fold(size, |side, stride| side.div_ceil(*stride))
    }
}

/// He et al., 2015, for layers with ReLU; and the same variance without it.
const HE: Init = Init::KaimingUniform { gain: std::f32::consts::SQRT_2 };
const PLAIN: Init = Init::KaimingUniform { gain: 1.0 };

/// Numbers of an expanded action.
const EXPANDED: usize = Action::ENCODED_LEN + 16;

/// The features, then sine and cosine of each displacement and of the rotation at two wavelengths.
fn expand(action: &ActionFeatures) -> [f32; EXPANDED] {
    let mut expanded = [0.0; EXPANDED];
    expanded[..Action::ENCODED_LEN].copy_from_slice(action);
    // The rotation stays below a quarter turn, where its sine says it all.
    let axes = [action[0], action[1], action[2], action[3]];
    let waves = axes.iter().flat_map(|&u| [u * PI, u * 2.0 * PI]).flat_map(|angle| [angle.sin(), angle.cos()]);
    expanded[Action::ENCODED_LEN..].iter_mut().zip(waves).for_each(|(to, wave)| *to = wave);
    expanded
}

/// See the file's head.
pub struct CpuQ {
    store: ParamStore,
    convs: Vec<(Conv2d, BatchNorm)>,
    look: (Conv2d, BatchNorm),
    attend: Conv2d,
    look_after: usize,
    looked: Linear,
    anywhere: Linear,
    image: Linear,
    state: Linear,
    norm: LayerNorm,
    shift: Linear,
    scale: Linear,
    embed: Linear,
    action: Linear,
    hidden: Linear,
    value: Linear,
    /// What the features tell of the state around the hand: only ever trained, never part of Q.
    told: Linear,
}

impl CpuQ {
    /// # Errors
    /// A name that is taken (never, for one network a store).
    pub fn new(
        size: usize,
        channels: usize,
        config: &CpuQConfig,
        seed: Seed,
        device: &Device,
    ) -> std::result::Result<Self, NnError> {
        let mut store = ParamStore::new(seed, device);
        let mut convs = Vec::new();
        let mut inputs = channels;
        for (index, (&filters, &stride)) in config.filters.iter().zip(&config.strides).enumerate() {
            let kernel = if index == 0 { 5 } else { 3 };
            let conv = Conv2dConfig::new(inputs, filters, kernel).stride(stride).without_bias().init(HE);
            convs.push((
                Conv2d::new(store.root().sub(format!("conv{index}")), conv)?,
                BatchNorm::new(store.root().sub(format!("conv{index}_norm")), filters)?,
            ));
            inputs = filters;
        }
        let side = config.encoded_side(size);
        let look_inputs = config.filters[config.look_after.clamp(1, config.filters.len()) - 1];
        let look_conv = Conv2dConfig::new(look_inputs, config.look_filters, 3).without_bias().init(HE);
        let look = (
            Conv2d::new(store.root().sub("look"), look_conv)?,
            BatchNorm::new(store.root().sub("look_norm"), config.look_filters)?,
        );
        let attend = Conv2dConfig::new(config.look_filters, config.heads, 1).init(PLAIN);
        let attend = Conv2d::new(store.root().sub("attend"), attend)?;
        let mut linear = |name: &str, sizes: [usize; 2], activation, weight, bias| {
            Linear::with_init(store.root().sub(name), sizes, activation, [weight, bias])
        };
        let (none, zero) = (Activation::None, Init::Zeros);
        let looked = linear("looked", [config.heads * (config.look_filters + 2), config.features], none, PLAIN, zero)?;
        let anywhere = linear("anywhere", [inputs, config.features], none, PLAIN, zero)?;
        let image = linear("image", [inputs * side * side, config.features], none, PLAIN, zero)?;
        let state = linear("state", [STATE_LEN, config.features], none, PLAIN, zero)?;
        let shift = linear("shift", [config.features, config.merged], none, PLAIN, zero)?;
        // The action counts from the beginning, and the image may turn its signs.
        let scale = linear("scale", [config.features, config.merged], none, PLAIN, Init::Ones)?;
        let embed = linear("embed", [EXPANDED, config.embedding], Activation::Relu, HE, zero)?;
        let action = linear("action", [config.embedding, config.merged], none, HE, zero)?;
        let hidden = linear("hidden", [config.merged, config.hidden], Activation::Relu, HE, zero)?;
        // Grasps are rare: Q begins near the script's success, not at one half.
        let value = linear("value", [config.hidden, 1], none, Init::PYTORCH, Init::Constant(-1.0))?;
        let told = linear("told", [config.features, TOLD], none, PLAIN, zero)?;
        let norm = LayerNorm::new(store.root().sub("norm"), config.features)?;
        let look_after = config.look_after;
        Ok(Self {
            store,
            convs,
            look,
            attend,
            look_after,
            looked,
            anywhere,
            image,
            state,
            norm,
            shift,
            scale,
            embed,
            action,
            hidden,
            value,
            told,
        })
    }
}

impl QFunction for CpuQ {
    fn store(&self) -> &ParamStore {
        &self.store
    }

    fn encode(&self, images: &Value, states: &Value, train: bool) -> Result<Encoded> {
        let mut x = images.clone();
        let mut looked = None;
        for (index, (conv, norm)) in self.convs.iter().enumerate() {
            x = norm.forward(&conv.forward(&x)?, Activation::Relu, train)?;
            if index + 1 == self.look_after {
                let (conv, norm) = &self.look;
                let map = norm.forward(&conv.forward(&x)?, Activation::Relu, train)?;
                looked = Some(self.looked.forward(&look_at(&map, &self.attend.forward(&map)?)?)?);
            }
        }
        let Some(looked) = looked else { bail!("there is no map to look at") };
        let [_, _, h, w] = x.dims4()?;
        let highest = ops::max_pool(&x, [h, w], [1, 1])?;
        let seen =
            ops::add(&self.image.forward(&ops::flatten(&x)?)?, &self.anywhere.forward(&ops::flatten(&highest)?)?)?;
        let joined = ops::add(&ops::add(&seen, &looked)?, &self.state.forward(states)?)?;
        let features = self.norm.forward(&joined, Activation::Relu)?;
        let parts = vec![self.shift.forward(&features)?, self.scale.forward(&features)?, features];
        Ok(Encoded { parts, count: images.shape()[0] })
    }

    fn logits(&self, encoded: &Encoded, actions: &[ActionFeatures], _train: bool) -> Result<Tensor> {
        let [shift, scale, _] = &encoded.parts[..] else { bail!("encoded by another network") };
        if actions.len() != encoded.count {
            // Many actions an image are scored without gradients, by the scorer.
            bail!("{} actions for {} images; give one for each", actions.len(), encoded.count)
        }
        let expanded: Vec<f32> = actions.iter().flat_map(expand).collect();
        let expanded = Tensor::from_vec(expanded, (actions.len(), EXPANDED), self.store.device())?;
        let action = self.action.forward(&self.embed.forward(&Value::from_tensor(&expanded)?)?)?;
        let met = ops::activate(&ops::add(shift, &ops::mul(scale, &action)?)?, Activation::Relu)?;
        self.value.forward(&self.hidden.forward(&met)?)?.to_tensor()?.flatten_all()
    }

    fn tell(&self, encoded: &Encoded) -> Result<Option<Tensor>> {
        let [_, _, features] = &encoded.parts[..] else { bail!("encoded by another network") };
        Ok(Some(self.told.forward(features)?.to_tensor()?))
    }

    fn scorer(&self, encoded: &Encoded) -> Result<Option<Box<dyn Score>>> {
        let [shift, scale, _] = &encoded.parts[..] else { bail!("encoded by another network") };
        let floats = |value: &Value| -> Result<Vec<f32>> { value.detach()?.to_tensor()?.flatten_all()?.to_vec1() };
        Ok(Some(Box::new(Scorer {
            shift: floats(shift)?,
            scale: floats(scale)?,
            embed: Dense::new(&self.embed)?,
            action: Dense::new(&self.action)?,
            hidden: Dense::new(&self.hidden)?,
            value: Dense::new(&self.value)?,
        })))
    }
}

/// What each head finds where its attention (a softmax over the map) points to, and where that is:
/// `[n, heads * (filters + 2)]`.
fn look_at(map: &Value, attention: &Value) -> Result<Value> {
    let [n, filters, h, w] = map.dims4()?;
    let heads = attention.dims4()?[1];
    let attention = attention.to_tensor()?.reshape((n, heads, h * w))?;
    let highest = attention.detach().max_keepdim(2)?;
    let weights = attention.broadcast_sub(&highest)?.exp()?;
    let weights = weights.broadcast_div(&weights.sum_keepdim(2)?)?;
    let at = |index: usize, count: usize| 2.0 * (index as f32 + 0.5) / count as f32 - 1.0;
    let places: Vec<f32> = (0..h * w).flat_map(|pixel| [at(pixel % w, w), at(pixel / w, h)]).collect();
    let places = Tensor::from_vec(places, (h * w, 2), attention.device())?;
    let found = weights.matmul(&map.to_tensor()?.reshape((n, filters, h * w))?.transpose(1, 2)?.contiguous()?)?;
    let where_to = weights.reshape((n * heads, h * w))?.matmul(&places)?.reshape((n, heads, 2))?;
    Value::from_tensor(&Tensor::cat(&[&found, &where_to], 2)?.reshape((n, heads * (filters + 2)))?)
}

/// A fully connected layer as plain floats.
struct Dense {
    weight: Vec<f32>,
    bias: Vec<f32>,
    inputs: usize,
}

impl Dense {
    fn new(layer: &Linear) -> Result<Self> {
        let (weight, bias) = layer.tensors();
        let inputs = weight.dims2()?.1;
        Ok(Self { weight: weight.flatten_all()?.to_vec1()?, bias: bias.to_vec1()?, inputs })
    }

    /// `rows` rows of `x` times the weight, without the bias.
    fn apply(&self, rows: usize, x: &[f32], y: &mut Vec<f32>) {
        let outputs = self.bias.len();
        y.resize(rows * outputs, 0.0);
        let weight = Matrix::rows(&self.weight, self.inputs).transposed();
        multiply([rows, outputs, self.inputs], Matrix::rows(x, self.inputs), weight, y, false);
    }
}

struct Scorer {
    shift: Vec<f32>,
    scale: Vec<f32>,
    embed: Dense,
    action: Dense,
    hidden: Dense,
    value: Dense,
}

/// Adds the bias to each row and cuts off what is negative.
fn bias_relu(y: &mut [f32], bias: &[f32]) {
    for row in y.chunks_exact_mut(bias.len()) {
        row.iter_mut().zip(bias).for_each(|(y, b)| *y = (*y + b).max(0.0));
    }
}

impl Score for Scorer {
    fn score(&self, index: usize, actions: &[ActionFeatures], logits: &mut Vec<f32>) {
        let rows = actions.len();
        let expanded: Vec<f32> = actions.iter().flat_map(expand).collect();
        let (mut a, mut b) = (Vec::new(), Vec::new());
        self.embed.apply(rows, &expanded, &mut a);
        bias_relu(&mut a, &self.embed.bias);
        self.action.apply(rows, &a, &mut b);
        let width = self.action.bias.len();
        let at = index * width..(index + 1) * width;
        let (shift, scale) = (&self.shift[at.clone()], &self.scale[at]);
        for row in b.chunks_exact_mut(width) {
            for (((y, bias), shift), scale) in row.iter_mut().zip(&self.action.bias).zip(shift).zip(scale) {
                *y = (shift + scale * (*y + bias)).max(0.0);
            }
        }
        self.hidden.apply(rows, &b, &mut a);
        bias_relu(&mut a, &self.hidden.bias);
        let bias = self.value.bias[0];
        logits.extend(a.chunks_exact(self.hidden.bias.len()).map(|row| {
            let mut sums = [0.0_f32; 16];
            for (i, (x, w)) in row.iter().zip(&self.value.weight).enumerate() {
                sums[i % 16] += x * w;
            }
            bias + sums.iter().sum::<f32>()
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::super::{images_value, states_value};
    use super::*;
    use crate::rl::action::tests::SPACE;

    #[test]
    fn the_scorer_is_the_network() -> anyhow::Result<()> {
        let q = CpuQ::new(24, 3, &CpuQConfig::default(), Seed(3), &Device::Cpu)?;
        let mut rng = Seed(4).rng();
        let images: Vec<Vec<u8>> = (0..3).map(|_| (0..24 * 24 * 3).map(|_| rng.below(256) as u8).collect()).collect();
        let slices: Vec<&[u8]> = images.iter().map(Vec::as_slice).collect();
        let encoded =
            q.encode(&images_value(&slices, 24, 3)?, &states_value(&[[0.0, 1.5], [1.0, 0.2], [0.0, 0.7]])?, false)?;
        let actions: Vec<ActionFeatures> = (0..3).map(|_| SPACE.features(&SPACE.random(&mut rng))).collect();
        let expected = q.logits(&encoded, &actions, false)?.to_vec1::<f32>()?;
        let Some(scorer) = q.scorer(&encoded)? else { anyhow::bail!("no scorer") };
        for (index, expected) in expected.iter().enumerate() {
            // Among other actions, so that rows are not mixed up.
            let mut logits = Vec::new();
            scorer.score(index, &actions, &mut logits);
            assert!((logits[index] - expected).abs() < 1e-5, "{} {expected}", logits[index]);
        }
        assert!((expected[0] - expected[1]).abs() > 1e-6, "the network answers to its inputs");
        Ok(())
    }

    #[test]
    fn a_head_finds_what_it_points_to() -> anyhow::Result<()> {
        // Two filters on a map of 1x4 pixels; one head looks at the third pixel only, the other everywhere alike.
        let map = Tensor::from_vec(vec![1.0_f32, 2.0, 3.0, 6.0, 0.0, 0.0, 5.0, 1.0], (1, 2, 1, 4), &Device::Cpu)?;
        let attention = vec![-90.0_f32, -90.0, 10.0, -90.0, 7.0, 7.0, 7.0, 7.0];
        let attention = Tensor::from_vec(attention, (1, 2, 1, 4), &Device::Cpu)?;
        let found = look_at(&Value::from_tensor(&map)?, &Value::from_tensor(&attention)?)?;
        let found = found.to_tensor()?.flatten_all()?.to_vec1::<f32>()?;
        // Pixel centres lie at -0.75, -0.25, 0.25, 0.75.
        let expected = [3.0, 5.0, 0.25, 0.0, 3.0, 1.5, 0.0, 0.0];
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5), "{found:?}");
        Ok(())
    }

    #[test]
    fn parameters_are_those_counted_by_hand() -> anyhow::Result<()> {
        let q = CpuQ::new(64, 6, &CpuQConfig::default(), Seed(3), &Device::Cpu)?;
        let convs = 6 * 25 * 32 + 32 * 9 * 48 + 48 * 9 * 48 + 48 * 9 * 64 + 2 * (64 * 9 * 64);
        let norms = 2 * (32 + 48 + 48 + 64 + 64 + 64 + 64);
        let look = 64 * 9 * 64 + (64 * 4 + 4) + (4 * 66 * 256 + 256);
        let encoder = (64 * 8 * 8 * 256 + 256) + (64 * 256 + 256) + (2 * 256 + 256) + 2 * 256;
        let head = 2 * (256 * 256 + 256)
            + (24 * 64 + 64)
            + (64 * 256 + 256)
            + (256 * 128 + 128)
            + (128 + 1)
            + (256 * 101 + 101);
        assert_eq!(q.store().parameter_count(), convs + norms + look + encoder + head);
        Ok(())
    }
}
