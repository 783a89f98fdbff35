//! The small Q-function: the image is encoded once, and a candidate action costs three small matrix products.
//!
//! First it finds the hand: convolutions make a coarse map, some heads of attention point to places of it, and two layers say
//! where in the image the hand is and how it is turned; a window of the image around that place says so more exactly. Then
//! it looks at two windows of the image as they would lie on a table: what the hand holds, turned with the hand, and the
//! whole bin. From the second one convolutions draw a map: heights, and what else is of use. What the hand holds and stands
//! over, where it is, and the gripper's state make `e`.
//!
//! An action's embedding `a` is made of its numbers (displacements with their sines and cosines as well) and of what the map
//! shows where the action leads (`reach.rs`). It meets `e` by a shift and a scale, `relu(shift(e) + scale(e) * a)`, so that
//! the image decides what the numbers of an action mean; two layers follow.
//!
//! Where the hand is, what it feels, where the divider stands and how high the objects are, the encoder is told while it
//! learns (`rl/qtopt/privileged.rs`), and Q reads its words only: no gradient of Q goes back through them, else Q knows by heart
//! how each episode ended that it has seen. `map_features` and `grip_features` are what Q may teach it besides. All
//! convolutions have batch normalization: without it, telling a held object from none takes several times as many steps.

use super::action_roi::{ActionRoi, Hand, num_samples};
use super::critic::{Critic, HE, PLAIN};
use super::height_map_decoder::{Convs, HeightMapDecoder, PER_CELL, gripper_heatmap};
use super::planar_crop::{CropPose, Pixels, Projection, Window, planar_crop};
use super::scorer::{Plain, Scorer};
use super::sizes::{StateEstimatorQConfig, after};
use super::{AT_ONCE, Encoded, EncoderMode, QFunction, STATE_LEN, Score, height_m};
use crate::contract::{Action, Seed};
use crate::nn::layers::{Conv2d, Conv2dConfig, LayerNorm, Linear};
use crate::nn::ops::{self, Activation, Activations};
use crate::nn::{Init, NnError, ParamStore};
use crate::rl::action::{ActionFeatures, ActionSpace};
use crate::rl::qtopt::privileged::{AUXILIARY_MAPS, CELL_M, CELLS, GRIP, MAP, POSE};
use candle_core::{Device, Result, Tensor, bail};
use glam::Vec2;
use rayon::prelude::*;
use std::f32::consts::PI;

/// Deviations of where it looks while it learns, in image coordinates and radians: a quarter of a pixel of 64.
const JITTER: (f32, f32) = (0.008, 0.05);

/// The mean of two finds the best action; the second target network's own one says again what that is worth. A critic alone
/// finds the actions that it errs about (van Hasselt et al., 2016; Fujimoto et al., 2018).
const CRITICS: [&str; 2] = ["", "second_"];

/// Numbers of an expanded action.
pub(super) const EXPANDED: usize = Action::ENCODED_LEN + 16;

/// The features, then sine and cosine of each displacement and of the rotation at two wavelengths.
pub(super) fn expand(action: &ActionFeatures) -> [f32; EXPANDED] {
    let mut expanded = [0.0; EXPANDED];
    expanded[..Action::ENCODED_LEN].copy_from_slice(action);
    // The rotation stays below a quarter turn, where its sine says it all.
    let axes = [action[0], action[1], action[2], action[3]];
    let waves = axes.iter().flat_map(|&u| [u * PI, u * 2.0 * PI]).flat_map(|angle| [angle.sin(), angle.cos()]);
    expanded[Action::ENCODED_LEN..].iter_mut().zip(waves).for_each(|(to, wave)| *to = wave);
    expanded
}

/// See the file's head.
pub struct StateEstimatorQ {
    store: ParamStore,
    projection: Projection,
    /// Around the hand, what it holds, and the bin.
    windows: [Window; 3],
    roi: ActionRoi,
    coarse_pose_convs: Convs,
    coarse_pose_attention: Conv2d,
    coarse_pose_hidden: Linear,
    coarse_pose_state: Linear,
    coarse_pose: Linear,
    fine_pose_convs: Convs,
    fine_pose_hidden: Linear,
    fine_pose: Linear,
    grip_convs: Convs,
    grip_hidden: Linear,
    grip: Linear,
    free_grip: Option<Linear>,
    grip_embedding: Linear,
    height_map: HeightMapDecoder,
    map_embedding: Linear,
    pose_embedding: Linear,
    state: Linear,
    norm: LayerNorm,
    critics: Vec<Critic>,
}

impl StateEstimatorQ {
    /// # Errors
    /// A name that is taken (never, for one network a store).
    pub fn new(
        channels: usize,
        config: &StateEstimatorQConfig,
        space: &ActionSpace,
        seed: Seed,
        device: &Device,
    ) -> std::result::Result<Self, NnError> {
        let mut store = ParamStore::new(seed, device);
        let coarse_pose_convs = Convs::new(
            &mut store,
            "coarse_pose.conv",
            channels,
            5,
            (&config.coarse_pose_filters, &config.coarse_pose_strides),
        )?;
        let filters = config.coarse_pose_filters.last().copied().unwrap_or(channels);
        let coarse_pose_attention = Conv2dConfig::new(filters, config.num_heads, 1).init(PLAIN);
        let coarse_pose_attention = Conv2d::new(store.root().sub("coarse_pose.attention"), coarse_pose_attention)?;
        let grip_convs =
            Convs::new(&mut store, "grip_encoder.conv", channels, 3, (&config.grip_filters, &config.grip_strides))?;
        let height_map = HeightMapDecoder::new(&mut store, channels, config)?;
        let last = |filters: &[usize]| filters.last().copied().unwrap_or(channels);
        let estimate = last(&config.grip_filters) * after(config.window, &config.grip_strides).pow(2);
        let fine_pose_convs = Convs::new(
            &mut store,
            "fine_pose.conv",
            channels,
            3,
            (&config.fine_pose_filters, &config.fine_pose_strides),
        )?;
        let near = last(&config.fine_pose_filters) * after(config.window, &config.fine_pose_strides).pow(2);
        let map_samples = num_samples(AUXILIARY_MAPS + config.map_features);
        let mut linear = |name: &str, sizes: [usize; 2], activation, weight, bias| {
            Linear::with_init(store.root().sub(name), sizes, activation, [weight, bias])
        };
        let (none, zero) = (Activation::None, Init::Zeros);
        let coarse_pose_hidden = linear(
            "coarse_pose.hidden",
            [config.num_heads * (filters + 2), config.coarse_pose_width],
            none,
            PLAIN,
            zero,
        )?;
        let coarse_pose_state = linear("coarse_pose.state", [STATE_LEN, config.coarse_pose_width], none, PLAIN, zero)?;
        let coarse_pose = linear("coarse_pose.output", [config.coarse_pose_width, POSE], none, PLAIN, zero)?;
        let grip_hidden = linear("grip_encoder.hidden", [estimate, config.grip_width], Activation::Relu, HE, zero)?;
        let grip = linear("grip_encoder.output", [config.grip_width, GRIP], none, PLAIN, zero)?;
        let free_grip = (config.grip_features > 0)
            .then(|| linear("grip_features", [config.grip_width, config.grip_features], none, PLAIN, zero))
            .transpose()?;
        let grip_embedding =
            linear("grip_embedding", [GRIP + config.grip_features, config.features], none, PLAIN, zero)?;
        let map_embedding = linear("map_embedding", [map_samples, config.features], none, PLAIN, zero)?;
        let fine_pose_hidden =
            linear("fine_pose.hidden", [near, config.coarse_pose_width / 2], Activation::Relu, HE, zero)?;
        // Nothing to add to what was found, at first.
        let fine_pose = linear("fine_pose.output", [config.coarse_pose_width / 2, POSE], none, Init::Zeros, zero)?;
        let pose_embedding = linear("pose_embedding", [POSE, config.features], none, PLAIN, zero)?;
        let state = linear("state", [STATE_LEN, config.features], none, PLAIN, zero)?;
        let norm = LayerNorm::new(store.root().sub("norm"), config.features)?;
        let critics = CRITICS.into_iter().map(|name| Critic::new(&mut store, name, config, map_samples));
        let critics = critics.collect::<std::result::Result<_, _>>()?;
        let (side, cell_m) = (config.window, config.window_m);
        let around_hand = Window { side, cell_m, per_cell: 1, turned: true, at_hand: true };
        Ok(Self {
            store,
            projection: config.projection,
            windows: [
                Window { turned: false, ..around_hand },
                around_hand,
                Window { side: MAP, cell_m: CELL_M, per_cell: PER_CELL, turned: false, at_hand: false },
            ],
            roi: ActionRoi { step_m: space.step_m },
            coarse_pose_convs,
            coarse_pose_attention,
            coarse_pose_hidden,
            coarse_pose_state,
            coarse_pose,
            fine_pose_convs,
            fine_pose_hidden,
            fine_pose,
            grip_convs,
            grip_hidden,
            grip,
            free_grip,
            grip_embedding,
            height_map,
            map_embedding,
            pose_embedding,
            state,
            norm,
            critics,
        })
    }
}

/// What [`StateEstimatorQ`] makes of images, in order; then how each critic's image meets actions.
const MAPS: usize = 0;
const POSES: usize = 1;
const HANDS: usize = 2;
const PREDICTIONS: usize = 3;
const GRIPS: usize = 4;
const FILM: usize = 5;
const PARTS: usize = FILM + 2 * CRITICS.len();

/// How the names of layers begin that learn from lessons.
const AUXILIARY_LAYERS: [&str; 4] = ["coarse_pose.", "fine_pose.", "grip_encoder.", "height_map_decoder."];

fn parts(encoded: &Encoded) -> Result<&[Activations; PARTS]> {
    match encoded.parts.first_chunk() {
        Some(parts) if encoded.parts.len() == PARTS => Ok(parts),
        _ => bail!("encoded by another network"),
    }
}

/// An action that leads nowhere.
const STAY: ActionFeatures = [0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0];

fn hands(parts: &[Activations; PARTS]) -> Result<Vec<Hand>> {
    let hand = |numbers: &[f32]| Hand { place: Vec2::new(numbers[0], numbers[1]), yaw_rad: numbers[2] };
    Ok(floats(&parts[HANDS])?.chunks_exact(3).map(hand).collect())
}

fn floats(value: &Activations) -> Result<Vec<f32>> {
    value.detach()?.to_tensor()?.flatten_all()?.to_vec1()
}

/// What images show: the part of an encoding that only lessons teach.
struct StateEstimate {
    /// Maps `[n, channels, MAP, MAP]` as Q reads them, and as they are told.
    read: Tensor,
    predictions: Activations,
    /// Where the hand is by both looks `[n, 2 * POSE]`, and as Q reads it `[n, POSE]`.
    poses: Activations,
    known: Activations,
    hands: Vec<Hand>,
    /// What the hand feels as Q reads it, and as it is told.
    held: Activations,
    grip: Activations,
}

impl StateEstimate {
    /// Several batches as one.
    fn joined(parts: &[Self]) -> Result<Self> {
        let cat = |of: &dyn Fn(&Self) -> Result<Tensor>| -> Result<Tensor> {
            Tensor::cat(&parts.iter().map(of).collect::<Result<Vec<_>>>()?, 0)
        };
        let value =
            |of: fn(&Self) -> &Activations| Activations::from_tensor(&cat(&|estimate| of(estimate).to_tensor())?);
        Ok(Self {
            read: cat(&|estimate| Ok(estimate.read.clone()))?,
            predictions: value(|estimate| &estimate.predictions)?,
            poses: value(|estimate| &estimate.poses)?,
            known: value(|estimate| &estimate.known)?,
            hands: parts.iter().flat_map(|estimate| estimate.hands.iter().copied()).collect(),
            held: value(|estimate| &estimate.held)?,
            grip: value(|estimate| &estimate.grip)?,
        })
    }
}

impl StateEstimatorQ {
    /// In groups, without gradients.
    fn estimate_in_groups(
        &self,
        images: &Activations,
        states: &Activations,
        mode: EncoderMode,
    ) -> Result<StateEstimate> {
        let _frozen = self.store.freeze();
        let count = images.shape()[0];
        if count <= AT_ONCE {
            return self.estimate(images, states, mode);
        }
        let (images, states) = (images.to_tensor()?, states.to_tensor()?);
        let some = |group: usize| {
            let (first, len) = (group * AT_ONCE, AT_ONCE.min(count - group * AT_ONCE));
            let part = |tensor: &Tensor| Activations::from_tensor(&tensor.narrow(0, first, len)?);
            self.estimate(&part(&images)?, &part(&states)?, mode)
        };
        let parts = (0..count.div_ceil(AT_ONCE)).into_par_iter().map(some);
        StateEstimate::joined(&parts.collect::<Result<Vec<_>>>()?)
    }

    fn estimate(&self, images: &Activations, states: &Activations, mode: EncoderMode) -> Result<StateEstimate> {
        let train = mode.trains();
        let map = self.coarse_pose_convs.forward(images, train)?;
        let pointed = spatial_softmax(&map, &self.coarse_pose_attention.forward(&map)?)?;
        let found = ops::add(&self.coarse_pose_hidden.forward(&pointed)?, &self.coarse_pose_state.forward(states)?)?;
        let found = ops::activate(&found, Activation::Relu)?;
        let pose = self.coarse_pose.forward(&found)?;
        // The first look is told where the hand is, and the second what the first one missed.
        let pixels = Pixels::new(images)?;
        let rough = pose.detach()?;
        let near = planar_crop(&pixels, &self.projection, &crop_poses(&rough, states, mode)?, self.windows[0])?;
        let near = self.fine_pose_hidden.forward(&ops::flatten(&self.fine_pose_convs.forward(&near, train)?)?)?;
        let exact = ops::add(&rough, &self.fine_pose.forward(&near)?)?;
        let known = exact.detach()?;
        let crop_poses = crop_poses(&known, states, mode)?;
        let hands: Vec<Hand> = crop_poses
            .iter()
            .map(|crop_pose| Hand { place: crop_pose.place(&self.projection), yaw_rad: crop_pose.yaw_rad })
            .collect();
        let held =
            self.grip_convs.forward(&planar_crop(&pixels, &self.projection, &crop_poses, self.windows[1])?, train)?;
        let centre = vec![CropPose::centre(&self.projection); crop_poses.len()];
        let window = planar_crop(&pixels, &self.projection, &centre, self.windows[2])?;
        let drawn = self.height_map.forward(&window, gripper_heatmap(&hands, &floats(states)?)?, train)?.to_tensor()?;
        // Of the map, Q reads what is told as it is, and teaches what else it shows.
        let predictions = drawn.narrow(1, 0, AUXILIARY_MAPS)?;
        let others = drawn.dim(1)? - AUXILIARY_MAPS;
        let read = match others {
            0 => predictions.detach(),
            _ => Tensor::cat(&[&predictions.detach(), &drawn.narrow(1, AUXILIARY_MAPS, others)?], 1)?,
        };
        let felt = self.grip_hidden.forward(&ops::flatten(&held)?)?;
        let grip = self.grip.forward(&felt)?;
        let held = match &self.free_grip {
            None => grip.detach()?,
            Some(free_grip) => ops::concat(&[&grip.detach()?, &free_grip.forward(&felt)?])?,
        };
        let poses = Activations::stock(Tensor::cat(&[pose.to_tensor()?, exact.to_tensor()?], 1)?);
        Ok(StateEstimate { read, predictions: Activations::stock(predictions), poses, known, hands, held, grip })
    }
}

impl QFunction for StateEstimatorQ {
    fn store(&self) -> &ParamStore {
        &self.store
    }

    fn encode(&self, images: &Activations, states: &Activations, mode: EncoderMode) -> Result<Encoded> {
        let StateEstimate { read, predictions, poses, known, hands, held, grip } = match mode {
            EncoderMode::Train => self.estimate(images, states, mode)?,
            EncoderMode::Evaluate | EncoderMode::Frozen => self.estimate_in_groups(images, states, mode)?,
        };
        let under = self.roi.sample_map_at_action(&read, &hands, &vec![STAY; hands.len()])?;
        let mut joined = ops::add(&self.state.forward(states)?, &self.pose_embedding.forward(&known)?)?;
        joined = ops::add(&joined, &self.grip_embedding.forward(&held)?)?;
        joined = ops::add(&joined, &self.map_embedding.forward(&Activations::from_tensor(&under)?)?)?;
        let features = self.norm.forward(&joined, Activation::Relu)?;
        let numbers = hands.iter().flat_map(|hand| [hand.place.x, hand.place.y, hand.yaw_rad]).collect();
        let hands = Activations::from_tensor(&Tensor::from_vec(numbers, (hands.len(), 3), &Device::Cpu)?)?;
        let mut parts = vec![Activations::stock(read), poses, hands, predictions, grip];
        for critic in &self.critics {
            parts.extend(critic.film(&features)?);
        }
        Ok(Encoded { parts, count: images.shape()[0] })
    }

    fn logits(&self, encoded: &Encoded, actions: &[ActionFeatures], _train: bool) -> Result<Vec<Tensor>> {
        let parts = parts(encoded)?;
        if actions.len() != encoded.count {
            // Many actions an image are scored without gradients, by the scorer.
            bail!("{} actions for {} images; give one for each", actions.len(), encoded.count)
        }
        let expanded: Vec<f32> = actions.iter().flat_map(expand).collect();
        let expanded = Tensor::from_vec(expanded, (actions.len(), EXPANDED), self.store.device())?;
        let map_samples = self.roi.sample_map_at_action(&parts[MAPS].to_tensor()?, &hands(parts)?, actions)?;
        let (expanded, map_samples) = (Activations::from_tensor(&expanded)?, Activations::from_tensor(&map_samples)?);
        let film = parts[FILM..].chunks_exact(2);
        self.critics
            .iter()
            .zip(film)
            .map(|(critic, film)| critic.logits([&film[0], &film[1]], &expanded, &map_samples))
            .collect()
    }

    fn auxiliary_predictions(&self, encoded: &Encoded) -> Result<Option<Tensor>> {
        let parts = parts(encoded)?;
        let predictions = parts[PREDICTIONS].to_tensor()?.reshape((encoded.count, AUXILIARY_MAPS * CELLS))?;
        Ok(Some(Tensor::cat(&[predictions, parts[POSES].to_tensor()?, parts[GRIPS].to_tensor()?], 1)?))
    }

    fn is_auxiliary_layer(&self, parameter: &str) -> bool {
        AUXILIARY_LAYERS.iter().any(|layer| parameter.starts_with(layer))
    }

    fn scorer(&self, encoded: &Encoded) -> Result<Option<Box<dyn Score>>> {
        let parts = parts(encoded)?;
        let film = parts[FILM..].chunks_exact(2);
        let critics = self
            .critics
            .iter()
            .zip(film)
            .map(|(critic, film)| Plain::new(critic, [floats(&film[0])?, floats(&film[1])?]));
        let critics = critics.collect::<Result<_>>()?;
        let (maps, hands) = (floats(&parts[MAPS])?, hands(parts)?);
        Ok(Some(Box::new(Scorer { critics, maps, hands, roi: self.roi })))
    }
}

/// Where the hand is said to be, `[n, POSE]`. While anything learns it looks a little aside; the words themselves decide how far,
/// so that the same training gives the same bytes.
fn crop_poses(pose: &Activations, states: &Activations, mode: EncoderMode) -> Result<Vec<CropPose>> {
    let numbers: Vec<[f32; POSE]> = {
        let flat = pose.to_tensor()?.flatten_all()?.to_vec1::<f32>()?;
        flat.chunks_exact(POSE).map(|pose| std::array::from_fn(|i| pose[i])).collect()
    };
    let states = states.to_tensor()?.flatten_all()?.to_vec1::<f32>()?;
    let crop_pose = |(pose, state): ([f32; POSE], &[f32])| {
        let bits = u64::from(pose[0].to_bits()) << 32 | u64::from(pose[1].to_bits());
        let crop_pose = CropPose::new(pose, height_m(state));
        if mode == EncoderMode::Evaluate {
            return crop_pose;
        }
        let mut rng = Seed(bits).derive("gaze", 0).rng();
        let crop_pose = crop_pose.moved(&mut rng, JITTER.0, JITTER.1);
        // Half a turn is the same hand: twice as much to learn from.
        CropPose { yaw_rad: crop_pose.yaw_rad + if rng.chance(0.5) { PI } else { 0.0 }, ..crop_pose }
    };
    Ok(numbers.into_iter().zip(states.chunks_exact(STATE_LEN)).map(crop_pose).collect())
}

/// What each head finds where its attention (a softmax over the map) points to, and where that is:
/// `[n, heads * (filters + 2)]`.
fn spatial_softmax(map: &Activations, attention: &Activations) -> Result<Activations> {
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
    Activations::from_tensor(&Tensor::cat(&[&found, &where_to], 2)?.reshape((n, heads * (filters + 2)))?)
}

#[cfg(test)]
mod tests {
    use super::super::{image_activations, state_activations};
    use super::*;
    use crate::rl::action::tests::SPACE;

    #[test]
    fn the_scorer_is_the_network() -> anyhow::Result<()> {
        let q = StateEstimatorQ::new(3, &StateEstimatorQConfig::default(), &SPACE, Seed(3), &Device::Cpu)?;
        let mut rng = Seed(4).rng();
        let images: Vec<Vec<u8>> = (0..3).map(|_| (0..24 * 24 * 3).map(|_| rng.below(256) as u8).collect()).collect();
        let slices: Vec<&[u8]> = images.iter().map(Vec::as_slice).collect();
        let encoded = q.encode(
            &image_activations(&slices, 24, 3)?,
            &state_activations(&[[0.0, 1.5], [1.0, 0.2], [0.0, 0.7]])?,
            EncoderMode::Evaluate,
        )?;
        let actions: Vec<ActionFeatures> = (0..3).map(|_| SPACE.features(&SPACE.random(&mut rng))).collect();
        let critics = q.logits(&encoded, &actions, false)?;
        let critics: Vec<Vec<f32>> = critics.iter().map(Tensor::to_vec1).collect::<Result<_>>()?;
        let expected: Vec<f32> = (0..3).map(|i| 0.5 * (critics[0][i] + critics[1][i])).collect();
        assert!((critics[0][0] - critics[1][0]).abs() > 1e-6, "the critics differ");
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
        let found = spatial_softmax(&Activations::from_tensor(&map)?, &Activations::from_tensor(&attention)?)?;
        let found = found.to_tensor()?.flatten_all()?.to_vec1::<f32>()?;
        // Pixel centres lie at -0.75, -0.25, 0.25, 0.75.
        let expected = [3.0, 5.0, 0.25, 0.0, 3.0, 1.5, 0.0, 0.0];
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5), "{found:?}");
        Ok(())
    }

    #[test]
    fn lessons_teach_their_layers_and_q_teaches_the_others() -> anyhow::Result<()> {
        let q = StateEstimatorQ::new(3, &StateEstimatorQConfig::default(), &SPACE, Seed(3), &Device::Cpu)?;
        let mut rng = Seed(5).rng();
        let images: Vec<Vec<u8>> = (0..2).map(|_| (0..64 * 64 * 3).map(|_| rng.below(256) as u8).collect()).collect();
        let slices: Vec<&[u8]> = images.iter().map(Vec::as_slice).collect();
        let states = state_activations(&[[0.0, 1.5], [1.0, 0.2]])?;
        let encoded = q.encode(&image_activations(&slices, 64, 3)?, &states, EncoderMode::Train)?;
        let actions: Vec<ActionFeatures> = (0..2).map(|_| SPACE.features(&SPACE.random(&mut rng))).collect();
        let Some(predictions) = q.auxiliary_predictions(&encoded)? else { anyhow::bail!("it says nothing") };
        let judged = Tensor::stack(&q.logits(&encoded, &actions, true)?, 0)?;
        for (loss, by_auxiliary_loss) in [(predictions.sqr()?.sum_all()?, true), (judged.sum_all()?, false)] {
            let gradients = crate::nn::backward(&loss)?;
            for param in q.store().params() {
                let moved = crate::nn::GradientSource::tensor(&gradients, param.var())?.is_some();
                assert_eq!(
                    moved,
                    q.is_auxiliary_layer(param.name()) == by_auxiliary_loss,
                    "{} by the auxiliary loss: {by_auxiliary_loss}",
                    param.name()
                );
            }
        }
        Ok(())
    }

    #[test]
    fn parameters_are_those_counted_by_hand() -> anyhow::Result<()> {
        let q = StateEstimatorQ::new(6, &StateEstimatorQConfig::default(), &SPACE, Seed(3), &Device::Cpu)?;
        let coarse_convs = 6 * 25 * 12 + 9 * (12 * 16 + 16 * 24 + 24 * 24) + 2 * (12 + 16 + 24 + 24);
        let coarse_pose = coarse_convs + (24 * 8 + 8) + (8 * 26 * 128 + 128) + (2 * 128 + 128) + (128 * 4 + 4);
        let fine_pose = 9 * (6 * 16 + 16 * 24 + 24 * 32) + 2 * (16 + 24 + 32) + (32 * 16 * 64 + 64) + (64 * 4 + 4);
        let grip =
            9 * (6 * 24 + 24 * 40 + 40 * 48 + 48 * 16) + 2 * (24 + 40 + 48 + 16) + (16 * 64 * 64 + 64) + (64 * 2 + 2);
        let drawn = 9 * ((4 * 6 + 4) * 24 + 24 * 32 + 32 * 40 + 2 * 40 * 40) + 2 * (24 + 32 + 3 * 40);
        let map = drawn + (24 + 40) * 24 + 2 * 24 + (24 * 9 * 2 + 2);
        let read = 2 * 72 + 36;
        let features = (4 * 256 + 256) + 2 * (2 * 256 + 256) + (read * 256 + 256) + 2 * 256;
        let embed = (24 * 64 + 64) + (read * 64 + 64);
        let critic = 2 * (256 * 256 + 256) + embed + (64 * 256 + 256) + (256 * 128 + 128) + (128 + 1);
        assert_eq!(q.store().parameter_count(), coarse_pose + fine_pose + grip + map + features + 2 * critic);
        Ok(())
    }
}
