//! The small Q-function: the image is encoded once, and a candidate action costs three small matrix products.
//!
//! It looks twice. First it finds the hand: convolutions make a coarse map, some heads of attention point to places of it,
//! and two layers say where in the image the hand is and how it is turned. Then it looks there, at three windows of the image
//! as they would lie on a table: what is below the hand and what is in it, turned with the hand, and the bin around it along
//! the axes of displacements. What lies between the fingers, and how far something is away, look the same there wherever the
//! hand is, and need not be learned for every place. The windows, the first look and the gripper's state make `e`. An
//! action's embedding `a` meets it by a shift and a scale, `relu(shift(e) + scale(e) * a)`, so that the image decides what
//! the numbers of an action mean; two layers follow. Displacements enter with their sines and cosines as well: where an object lies is no linear matter.
//!
//! Where the hand is, it is told while it learns (`rl/privileged.rs`). All convolutions have batch normalization: without it,
//! telling a held object from none takes several times as many steps.

use super::gaze::{Gaze, Projection, Window, look};
use super::{Encoded, QFunction, STATE_LEN, Score, height_m};
use crate::contract::{Action, Seed};
use crate::nn::layers::{BatchNorm, Conv2d, Conv2dConfig, LayerNorm, Linear};
use crate::nn::ops::{self, Activation, Matrix, Value, multiply};
use crate::nn::{Init, NnError, ParamStore};
use crate::rl::action::ActionFeatures;
use crate::rl::privileged::{CELLS, POSE};
use candle_core::{Device, Result, Tensor, bail};
use serde::{Deserialize, Serialize};
use std::f32::consts::PI;

/// Sizes of [`CpuQ`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CpuQConfig {
    /// What the camera makes of places, from the centre of the bin's floor.
    pub projection: Projection,
    /// Filters and strides of the convolutions that find the hand (the first 5x5, the others 3x3).
    pub find_filters: Vec<usize>,
    pub find_strides: Vec<usize>,
    pub heads: usize,
    /// Width of the layer that knows where the hand is.
    pub found: usize,
    /// Filters and strides of the 3x3 convolutions on each window.
    pub look_filters: Vec<usize>,
    pub look_strides: Vec<usize>,
    /// Pixels along a window's edge, and their size on the plane, metres: near and wide.
    pub window: usize,
    pub near_m: f32,
    pub wide_m: f32,
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
            projection: Projection::from_above(0.6),
            find_filters: vec![16, 32, 40, 40],
            find_strides: vec![2, 2, 1, 1],
            heads: 8,
            found: 128,
            look_filters: vec![24, 40, 48, 48],
            look_strides: vec![1, 2, 1, 1],
            window: 16,
            near_m: 0.01,
            wide_m: 0.025,
            features: 256,
            embedding: 64,
            merged: 256,
            hidden: 128,
        }
    }
}

impl CpuQConfig {
    pub(in crate::rl) fn validate(&self, size: usize) -> std::result::Result<(), String> {
        let sides = [self.heads, self.found, self.features, self.embedding, self.merged, self.hidden];
        let convs = |filters: &[usize], strides: &[usize]| {
            filters.len() == strides.len()
                && (1..=12).contains(&filters.len())
                && filters.iter().all(|f| (1..=2048).contains(f))
                && strides.iter().all(|s| (1..=4).contains(s))
        };
        if !convs(&self.find_filters, &self.find_strides)
            || !convs(&self.look_filters, &self.look_strides)
            || sides.iter().any(|side| !(1..=8192).contains(side))
        {
            return Err("network: give as many filters (1 to 2048) as strides (1 to 4), and widths of 1 to 8192".into());
        }
        if after(size, &self.find_strides) < 2 || after(self.window, &self.look_strides) < 2 || self.window > 256 {
            let window = self.window;
            return Err(format!(
                "network: nothing is left of {size} pixels, or of a window of {window}, after strides"
            ));
        }
        let metres = [self.near_m, self.wide_m].iter().all(|m| (1e-4..=1.0).contains(m));
        if !metres || !self.projection.is_valid() {
            return Err(
                "network: near_m and wide_m must be from 0.0001 to 1, and the projection must see the floor".into()
            );
        }
        Ok(())
    }
}

/// What strides leave of `side` pixels.
fn after(side: usize, strides: &[usize]) -> usize {
    strides.iter().fold(side, |side, stride| side.div_ceil(*stride))
}

/// Deviations of where it looks while it learns, in image coordinates and radians: half a pixel of 64.
const JITTER: (f32, f32) = (0.012, 0.05);

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

/// Convolutions with batch normalization and ReLU, one after the other.
struct Convs(Vec<(Conv2d, BatchNorm)>);

impl Convs {
    fn new(
        store: &mut ParamStore,
        name: &str,
        mut inputs: usize,
        first: usize,
        (filters, strides): (&[usize], &[usize]),
    ) -> std::result::Result<Self, NnError> {
        let mut convs = Vec::new();
        for (index, (&filters, &stride)) in filters.iter().zip(strides).enumerate() {
            let kernel = if index == 0 { first } else { 3 };
            let conv = Conv2dConfig::new(inputs, filters, kernel).stride(stride).without_bias().init(HE);
            convs.push((
                Conv2d::new(store.root().sub(format!("{name}{index}")), conv)?,
                BatchNorm::new(store.root().sub(format!("{name}{index}_norm")), filters)?,
            ));
            inputs = filters;
        }
        Ok(Self(convs))
    }

    fn forward(&self, x: &Value, train: bool) -> Result<Value> {
        let mut x = x.clone();
        for (conv, norm) in &self.0 {
            x = norm.forward(&conv.forward(&x)?, Activation::Relu, train)?;
        }
        Ok(x)
    }
}

/// See the file's head.
pub struct CpuQ {
    store: ParamStore,
    projection: Projection,
    windows: [Window; 3],
    find: Convs,
    attend: Conv2d,
    found: Linear,
    found_state: Linear,
    pose: Linear,
    looks: [(Convs, Linear); 3],
    place: Linear,
    place_pose: Linear,
    state: Linear,
    norm: LayerNorm,
    shift: Linear,
    scale: Linear,
    embed: Linear,
    action: Linear,
    hidden: Linear,
    value: Linear,
    /// What the features tell of the heights around the hand: only ever trained, never part of Q.
    told: Linear,
}

impl CpuQ {
    /// # Errors
    /// A name that is taken (never, for one network a store).
    pub fn new(
        channels: usize,
        config: &CpuQConfig,
        seed: Seed,
        device: &Device,
    ) -> std::result::Result<Self, NnError> {
        let mut store = ParamStore::new(seed, device);
        let find = Convs::new(&mut store, "find", channels, 5, (&config.find_filters, &config.find_strides))?;
        let filters = config.find_filters.last().copied().unwrap_or(channels);
        let attend = Conv2dConfig::new(filters, config.heads, 1).init(PLAIN);
        let attend = Conv2d::new(store.root().sub("attend"), attend)?;
        let looks = (&config.look_filters[..], &config.look_strides[..]);
        let near = Convs::new(&mut store, "near", channels, 3, looks)?;
        let held = Convs::new(&mut store, "held", channels, 3, looks)?;
        let wide = Convs::new(&mut store, "wide", channels, 3, looks)?;
        let side = after(config.window, &config.look_strides);
        let seen = config.look_filters.last().copied().unwrap_or(channels) * side * side;
        let mut linear = |name: &str, sizes: [usize; 2], activation, weight, bias| {
            Linear::with_init(store.root().sub(name), sizes, activation, [weight, bias])
        };
        let (none, zero) = (Activation::None, Init::Zeros);
        let found = linear("found", [config.heads * (filters + 2), config.found], none, PLAIN, zero)?;
        let found_state = linear("found_state", [STATE_LEN, config.found], none, PLAIN, zero)?;
        let pose = linear("pose", [config.found, POSE], none, PLAIN, zero)?;
        let near = (near, linear("near", [seen, config.features], none, PLAIN, zero)?);
        let held = (held, linear("held", [seen, config.features], none, PLAIN, zero)?);
        let wide = (wide, linear("wide", [seen, config.features], none, PLAIN, zero)?);
        let place = linear("place", [config.found, config.features], none, PLAIN, zero)?;
        let place_pose = linear("place_pose", [POSE, config.features], none, PLAIN, zero)?;
        let state = linear("state", [STATE_LEN, config.features], none, PLAIN, zero)?;
        let shift = linear("shift", [config.features, config.merged], none, PLAIN, zero)?;
        // The action counts from the beginning, and the image may turn its signs.
        let scale = linear("scale", [config.features, config.merged], none, PLAIN, Init::Ones)?;
        let embed = linear("embed", [EXPANDED, config.embedding], Activation::Relu, HE, zero)?;
        let action = linear("action", [config.embedding, config.merged], none, HE, zero)?;
        let hidden = linear("hidden", [config.merged, config.hidden], Activation::Relu, HE, zero)?;
        // Grasps are rare: Q begins near the script's success, not at one half.
        let value = linear("value", [config.hidden, 1], none, Init::PYTORCH, Init::Constant(-1.0))?;
        let told = linear("told", [config.features, CELLS], none, PLAIN, zero)?;
        let norm = LayerNorm::new(store.root().sub("norm"), config.features)?;
        let window = |pixel_m, turned, at_hand| Window { side: config.window, pixel_m, turned, at_hand };
        let (near_m, wide_m) = (config.near_m, config.wide_m);
        Ok(Self {
            store,
            projection: config.projection,
            windows: [window(near_m, true, false), window(near_m, true, true), window(wide_m, false, false)],
            find,
            attend,
            found,
            found_state,
            pose,
            looks: [near, held, wide],
            place,
            place_pose,
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
        let map = self.find.forward(images, train)?;
        let pointed = look_at(&map, &self.attend.forward(&map)?)?;
        let found = ops::add(&self.found.forward(&pointed)?, &self.found_state.forward(states)?)?;
        let found = ops::activate(&found, Activation::Relu)?;
        let pose = self.pose.forward(&found)?;
        let known = pose.detach()?;
        let gazes = gazes(&known, states, train)?;
        let mut joined = ops::add(&self.state.forward(states)?, &self.place.forward(&found)?)?;
        joined = ops::add(&joined, &self.place_pose.forward(&known)?)?;
        for ((convs, layer), window) in self.looks.iter().zip(self.windows) {
            let seen = convs.forward(&look(images, &self.projection, &gazes, window)?, train)?;
            joined = ops::add(&joined, &layer.forward(&ops::flatten(&seen)?)?)?;
        }
        let features = self.norm.forward(&joined, Activation::Relu)?;
        let parts = vec![self.shift.forward(&features)?, self.scale.forward(&features)?, features, pose];
        Ok(Encoded { parts, count: images.shape()[0] })
    }

    fn logits(&self, encoded: &Encoded, actions: &[ActionFeatures], _train: bool) -> Result<Tensor> {
        let [shift, scale, ..] = &encoded.parts[..] else { bail!("encoded by another network") };
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
        let [_, _, features, pose] = &encoded.parts[..] else { bail!("encoded by another network") };
        Ok(Some(Tensor::cat(&[self.told.forward(features)?.to_tensor()?, pose.to_tensor()?], 1)?))
    }

    fn scorer(&self, encoded: &Encoded) -> Result<Option<Box<dyn Score>>> {
        let [shift, scale, ..] = &encoded.parts[..] else { bail!("encoded by another network") };
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

/// Where the hand is said to be, `[n, POSE]`. While it learns it looks a little aside; the words themselves decide how far,
/// so that the same training gives the same bytes.
fn gazes(pose: &Value, states: &Value, train: bool) -> Result<Vec<Gaze>> {
    let numbers: Vec<[f32; POSE]> = {
        let flat = pose.to_tensor()?.flatten_all()?.to_vec1::<f32>()?;
        flat.chunks_exact(POSE).map(|pose| std::array::from_fn(|i| pose[i])).collect()
    };
    let states = states.to_tensor()?.flatten_all()?.to_vec1::<f32>()?;
    let gaze = |(pose, state): ([f32; POSE], &[f32])| {
        let bits = u64::from(pose[0].to_bits()) << 32 | u64::from(pose[1].to_bits());
        let gaze = Gaze::new(pose, height_m(state));
        if train { gaze.moved(&mut Seed(bits).derive("gaze", 0).rng(), JITTER.0, JITTER.1) } else { gaze }
    };
    Ok(numbers.into_iter().zip(states.chunks_exact(STATE_LEN)).map(gaze).collect())
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
        let q = CpuQ::new(3, &CpuQConfig::default(), Seed(3), &Device::Cpu)?;
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
        let q = CpuQ::new(6, &CpuQConfig::default(), Seed(3), &Device::Cpu)?;
        let find = 6 * 25 * 16 + 16 * 9 * 32 + 32 * 9 * 40 + 40 * 9 * 40 + 2 * (16 + 32 + 40 + 40);
        let pose = (40 * 8 + 8) + (8 * 42 * 128 + 128) + (2 * 128 + 128) + (128 * 4 + 4);
        let window = 9 * (6 * 24 + 24 * 40 + 40 * 48 + 48 * 48) + 2 * (24 + 40 + 48 + 48) + (48 * 64 * 256 + 256);
        let features = (128 * 256 + 256) + (4 * 256 + 256) + (2 * 256 + 256) + 2 * 256;
        let head =
            2 * (256 * 256 + 256) + (24 * 64 + 64) + (64 * 256 + 256) + (256 * 128 + 128) + (128 + 1) + (256 * 96 + 96);
        assert_eq!(q.store().parameter_count(), find + pose + 3 * window + features + head);
        Ok(())
    }
}
