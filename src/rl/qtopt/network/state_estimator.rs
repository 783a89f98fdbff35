//! The small Q-function: the image is encoded once, and a candidate action costs three small matrix products.
//!
//! First it finds the hand: convolutions make a coarse map, some heads of attention point to places of it, and two layers say
//! where in the image the hand is and how it is turned; a window of the image around that place says so more exactly. Then
//! it looks at two windows of the image as they would lie on a table: what the hand holds, turned with the hand, and the
//! whole bin. From the second one convolutions draw a map: heights, and what else is of use. What the hand holds and stands
//! over, where it is, and the gripper's state make `e`.
//!
//! An action's embedding `a` is made of its numbers (displacements with their sines and cosines as well) and of what the map
//! shows where the action leads (`action_roi.rs`). It meets `e` by a shift and a scale, `relu(shift(e) + scale(e) * a)`, so that
//! the image decides what the numbers of an action mean; two layers follow.
//!
//! An auxiliary loss (`rl/qtopt/privileged.rs`) trains the encoder to estimate where the hand is, what it feels, where the
//! divider stands and how high the objects are. Q reads these estimates only: no gradient of Q goes back through them, else Q
//! overfits to how each episode ended that it has seen. `map_features` and `grip_features` are what Q may train besides. All
//! convolutions have batch normalization: without it, telling a held object from none takes several times as many steps.

use super::action_roi::{ActionRoi, Hand, num_samples};
use super::critic::{Critic, HE, PLAIN};
use super::height_map_decoder::{Convs, HeightMapDecoder, PER_CELL, gripper_heatmap};
use super::planar_crop::{CropPose, Projection, Window, planar_crop};
use super::scorer::{Plain, Scorer};
use super::sizes::{StateEstimatorQConfig, after};
use super::spatial_softmax::spatial_softmax;
use super::state_estimate::{CropPoses, StateEstimate};
use super::{
    AT_ONCE, Encoded, EncoderMode, MEASURED_STATE_LEN, PUBLISHED_STATE_LEN, QFunction, Score, floats, height_m,
};
use crate::contract::action_space::{ActionFeatures, ActionSpace};
use crate::contract::{Action, Seed};
use crate::nn::layers::{Conv2d, Conv2dConfig, LayerNorm, Linear};
use crate::nn::ops::{self, Activation, Activations};
use crate::nn::{Init, NnError, ParamStore};
use crate::rl::qtopt::privileged::{AUXILIARY_MAPS, CELLS, GRIP, MAP, POSE};
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
    /// What the gripper measures, where it is read at all.
    measured: Option<[Linear; 2]>,
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
        Self::in_store(ParamStore::new(seed, device), channels, config, space)
    }

    /// With its parameters in an empty store, which decides their float type.
    fn in_store(
        store: ParamStore,
        channels: usize,
        config: &StateEstimatorQConfig,
        space: &ActionSpace,
    ) -> std::result::Result<Self, NnError> {
        let coarse_pose_convs = Convs::new(
            &store,
            "coarse_pose.conv",
            channels,
            5,
            (&config.coarse_pose_filters, &config.coarse_pose_strides),
        )?;
        let filters = config.coarse_pose_filters.last().copied().unwrap_or(channels);
        let coarse_pose_attention = Conv2dConfig::new(filters, config.num_heads, 1).init(PLAIN);
        let coarse_pose_attention = Conv2d::new(store.root().sub("coarse_pose.attention"), coarse_pose_attention)?;
        let grip_convs =
            Convs::new(&store, "grip_encoder.conv", channels, 3, (&config.grip_filters, &config.grip_strides))?;
        let height_map = HeightMapDecoder::new(&store, channels, config)?;
        let last = |filters: &[usize]| filters.last().copied().unwrap_or(channels);
        let estimate = last(&config.grip_filters) * after(config.window, &config.grip_strides).pow(2);
        let fine_pose_convs =
            Convs::new(&store, "fine_pose.conv", channels, 3, (&config.fine_pose_filters, &config.fine_pose_strides))?;
        let near = last(&config.fine_pose_filters) * after(config.window, &config.fine_pose_strides).pow(2);
        let map_samples = num_samples(AUXILIARY_MAPS + config.map_features);
        let linear = |name: &str, sizes: [usize; 2], activation, weight, bias| {
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
        let coarse_pose_state =
            linear("coarse_pose.state", [PUBLISHED_STATE_LEN, config.coarse_pose_width], none, PLAIN, zero)?;
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
        let state = linear("state", [PUBLISHED_STATE_LEN, config.features], none, PLAIN, zero)?;
        let measured = (config.measured_width > 0)
            .then(|| {
                let sizes = [MEASURED_STATE_LEN, config.measured_width];
                let hidden = linear("measured.hidden", sizes, Activation::Relu, HE, zero)?;
                let sizes = [config.measured_width, config.features];
                linear("measured.output", sizes, none, PLAIN, zero).map(|output| [hidden, output])
            })
            .transpose()?;
        let norm = LayerNorm::new(store.root().sub("norm"), config.features)?;
        let critics = CRITICS.into_iter().map(|name| Critic::new(&store, name, config, map_samples));
        let critics = critics.collect::<std::result::Result<_, _>>()?;
        let (side, cell_m) = (config.window, config.window_m);
        let around_hand = Window { side, cell_m, per_cell: 1, turned: true, at_hand: true };
        Ok(Self {
            store,
            projection: config.projection,
            windows: [
                Window { turned: false, ..around_hand },
                around_hand,
                Window { side: MAP, cell_m: config.map_cell_m, per_cell: PER_CELL, turned: false, at_hand: false },
            ],
            roi: ActionRoi { step_m: space.step_m, cell_m: config.map_cell_m },
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
            measured,
            norm,
            critics,
        })
    }
}

/// What [`StateEstimatorQ`] makes of images, in order; then how each critic's image meets actions.
const MAPS: usize = 0;
const POSES: usize = 1;
const PREDICTIONS: usize = 2;
const GRIPS: usize = 3;
const FILM: usize = 4;
const PARTS: usize = FILM + 2 * CRITICS.len();

/// How the names of layers begin that the auxiliary loss trains.
const AUXILIARY_LAYERS: [&str; 4] = ["coarse_pose.", "fine_pose.", "grip_encoder.", "height_map_decoder."];

fn parts(encoded: &Encoded) -> Result<&[Activations; PARTS]> {
    match encoded.parts.first_chunk() {
        Some(parts) if encoded.parts.len() == PARTS => Ok(parts),
        _ => bail!("encoded by another network"),
    }
}

/// An action that leads nowhere.
const STAY: ActionFeatures = [0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0];

impl StateEstimatorQ {
    /// In groups, without gradients.
    fn estimate_in_groups(
        &self,
        (images, moved): (&Activations, &[Vec2]),
        states: &Activations,
        mode: EncoderMode,
    ) -> Result<StateEstimate> {
        let _frozen = self.store.freeze();
        let images = images.detach()?;
        let count = images.shape()[0];
        if count <= AT_ONCE {
            return self.estimate((&images, moved), states, mode, None);
        }
        let (images, states) = (images.to_tensor()?, states.to_tensor()?);
        let some = |group: usize| {
            let (first, len) = (group * AT_ONCE, AT_ONCE.min(count - group * AT_ONCE));
            let part = |tensor: &Tensor| Activations::from_tensor(&tensor.narrow(0, first, len)?);
            let moved = if moved.is_empty() { moved } else { &moved[first..first + len] };
            self.estimate((&part(&images)?, moved), &part(&states)?, mode, None)
        };
        let parts = (0..count.div_ceil(AT_ONCE)).into_par_iter().map(some);
        StateEstimate::joined(&parts.collect::<Result<Vec<_>>>()?)
    }

    /// `held` crops at given poses instead of at the estimated ones.
    fn estimate(
        &self,
        (images, moved): (&Activations, &[Vec2]),
        states: &Activations,
        mode: EncoderMode,
        held: Option<&CropPoses>,
    ) -> Result<StateEstimate> {
        let train = mode.trains();
        let map = self.coarse_pose_convs.forward(images, train)?;
        let attended = spatial_softmax(&map, &self.coarse_pose_attention.forward(&map)?)?;
        let hidden = ops::add(&self.coarse_pose_hidden.forward(&attended)?, &self.coarse_pose_state.forward(states)?)?;
        let coarse = self.coarse_pose.forward(&ops::activate(&hidden, Activation::Relu)?)?;
        let coarse = moved_back(&coarse, moved)?;
        // The coarse pose has a target of its own, and the fine one corrects it.
        let rough = mode.for_q(&coarse)?;
        let coarse_crops = held.map_or_else(|| crop_poses(&rough, states, mode), |held| Ok(held.coarse.clone()))?;
        let calibration = (&self.projection, moved);
        let near = planar_crop(images, calibration, &coarse_crops, self.windows[0])?;
        let near = self.fine_pose_hidden.forward(&ops::flatten(&self.fine_pose_convs.forward(&near, train)?)?)?;
        let fine = ops::add(&rough, &self.fine_pose.forward(&near)?)?;
        let pose = mode.for_q(&fine)?;
        let fine_crops = held.map_or_else(|| crop_poses(&pose, states, mode), |held| Ok(held.fine.clone()))?;
        let hand = |pose: &CropPose| Hand { place: pose.place(&self.projection), yaw_rad: pose.yaw_rad };
        let hands: Vec<Hand> = fine_crops.iter().map(hand).collect();

        let centre = vec![CropPose::centre(&self.projection); hands.len()];
        let window = planar_crop(images, calibration, &centre, self.windows[2])?;
        let heatmap = gripper_heatmap(&hands, &floats(states)?, self.roi.cell_m)?;
        let heatmap = heatmap.to_dtype(self.store.dtype())?.to_device(self.store.device())?;
        let maps = self.height_map.forward(&window, &Activations::from_tensor(&heatmap)?, train)?;
        let (maps, map_predictions) = self.maps_for_q(&maps, mode)?;

        let held_crop = planar_crop(images, calibration, &fine_crops, self.windows[1])?;
        let hidden = self.grip_hidden.forward(&ops::flatten(&self.grip_convs.forward(&held_crop, train)?)?)?;
        let grip_prediction = self.grip.forward(&hidden)?;
        let grip = match &self.free_grip {
            None => mode.for_q(&grip_prediction)?,
            Some(free_grip) => ops::concat(&[&mode.for_q(&grip_prediction)?, &free_grip.forward(&hidden)?])?,
        };
        let pose_predictions = ops::concat(&[&coarse, &fine])?;
        let crops = CropPoses { coarse: coarse_crops, fine: fine_crops };
        Ok(StateEstimate { crops, hands, maps, map_predictions, pose_predictions, pose, grip, grip_prediction })
    }

    /// The maps as Q reads them, and those among them that have targets. The others are Q's own: it teaches them.
    fn maps_for_q(&self, maps: &Activations, mode: EncoderMode) -> Result<(Activations, Activations)> {
        let features = maps.dims4()?[1] - AUXILIARY_MAPS;
        if features == 0 {
            return Ok((mode.for_q(maps)?, maps.clone()));
        }
        let all = maps.to_tensor()?;
        let predictions = all.narrow(1, 0, AUXILIARY_MAPS)?;
        let for_q = match mode {
            EncoderMode::ImageGradient => maps.clone(),
            _ => {
                let features = all.narrow(1, AUXILIARY_MAPS, features)?;
                Activations::from_tensor(&Tensor::cat(&[&predictions.detach(), &features], 1)?)?
            }
        };
        Ok((for_q, Activations::stock(predictions)))
    }

    /// Joins an estimate to what the critics need, and says where it cropped.
    fn encode_at(
        &self,
        (images, moved): (&Activations, &[Vec2]),
        states: &Activations,
        mode: EncoderMode,
        held: Option<&CropPoses>,
    ) -> Result<(Encoded, CropPoses)> {
        let all = states.to_tensor()?;
        let published = Activations::from_tensor(&all.narrow(1, 0, PUBLISHED_STATE_LEN)?.contiguous()?)?;
        let states = &published;
        let estimate = match mode {
            EncoderMode::Train | EncoderMode::ImageGradient => self.estimate((images, moved), states, mode, held)?,
            EncoderMode::Evaluate | EncoderMode::Frozen => self.estimate_in_groups((images, moved), states, mode)?,
        };
        let StateEstimate { crops, hands, maps, map_predictions, pose_predictions, pose, grip, grip_prediction } =
            estimate;
        let below = self.roi.sample_map_at_action(&maps, &hands, &vec![STAY; hands.len()])?;
        let mut joined = ops::add(&self.state.forward(states)?, &self.pose_embedding.forward(&pose)?)?;
        joined = ops::add(&joined, &self.grip_embedding.forward(&grip)?)?;
        joined = ops::add(&joined, &self.map_embedding.forward(&below)?)?;
        if let Some([hidden, output]) = &self.measured {
            let measured = all.narrow(1, PUBLISHED_STATE_LEN, MEASURED_STATE_LEN)?.contiguous()?;
            joined = ops::add(&joined, &output.forward(&hidden.forward(&Activations::from_tensor(&measured)?)?)?)?;
        }
        let features = self.norm.forward(&joined, Activation::Relu)?;
        let mut parts = vec![maps, pose_predictions, map_predictions, grip_prediction];
        for critic in &self.critics {
            parts.extend(critic.film(&features)?);
        }
        Ok((Encoded { parts, hands, count: images.shape()[0] }, crops))
    }
}

impl QFunction for StateEstimatorQ {
    fn store(&self) -> &ParamStore {
        &self.store
    }

    fn encode(&self, images: &Activations, states: &Activations, mode: EncoderMode) -> Result<Encoded> {
        Ok(self.encode_at((images, &[]), states, mode, None)?.0)
    }

    fn encode_moved(
        &self,
        images: &Activations,
        moved: &[Vec2],
        states: &Activations,
        mode: EncoderMode,
    ) -> Result<Encoded> {
        Ok(self.encode_at((images, moved), states, mode, None)?.0)
    }

    fn logits(&self, encoded: &Encoded, actions: &[ActionFeatures], _train: bool) -> Result<Vec<Tensor>> {
        let parts = parts(encoded)?;
        if actions.len() != encoded.count {
            // Many actions an image are scored without gradients, by the scorer; a loss over several calls this for each.
            bail!("{} actions for {} images; give one for each", actions.len(), encoded.count)
        }
        let expanded: Vec<f32> = actions.iter().flat_map(expand).collect();
        let expanded = Tensor::from_vec(expanded, (actions.len(), EXPANDED), self.store.device())?;
        let expanded = Activations::from_tensor(&expanded.to_dtype(self.store.dtype())?)?;
        let map_samples = self.roi.sample_map_at_action(&parts[MAPS], &encoded.hands, actions)?;
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
        let (maps, hands) = (floats(&parts[MAPS])?, encoded.hands.clone());
        Ok(Some(Box::new(Scorer { critics, maps, hands, roi: self.roi })))
    }
}

/// Poses `[n, POSE]` in moved images, as they are where the camera puts images.
fn moved_back(poses: &Activations, moved: &[Vec2]) -> Result<Activations> {
    if moved.is_empty() {
        return Ok(poses.clone());
    }
    let back: Vec<f32> = moved.iter().flat_map(|by| [-by.x, -by.y, 0.0, 0.0]).collect();
    let tensor = poses.to_tensor()?;
    let back = Tensor::from_vec(back, (moved.len(), POSE), tensor.device())?.to_dtype(tensor.dtype())?;
    ops::add(poses, &Activations::from_tensor(&back)?)
}

/// Where the hand is said to be, `[n, POSE]`. While anything learns it looks a little aside; the words themselves decide how far,
/// so that the same training gives the same bytes.
fn crop_poses(pose: &Activations, states: &Activations, mode: EncoderMode) -> Result<Vec<CropPose>> {
    let numbers: Vec<[f32; POSE]> = {
        let flat = floats(pose)?;
        flat.chunks_exact(POSE).map(|pose| std::array::from_fn(|i| pose[i])).collect()
    };
    let states = floats(states)?;
    let crop_pose = |(pose, state): ([f32; POSE], &[f32])| {
        let bits = u64::from(pose[0].to_bits()) << 32 | u64::from(pose[1].to_bits());
        let crop_pose = CropPose::new(pose, height_m(state));
        if mode.evaluates() {
            return crop_pose;
        }
        let mut rng = Seed(bits).derive("gaze", 0).rng();
        let crop_pose = crop_pose.moved(&mut rng, JITTER.0, JITTER.1);
        // Half a turn is the same hand: twice as much to learn from.
        CropPose { yaw_rad: crop_pose.yaw_rad + if rng.chance(0.5) { PI } else { 0.0 }, ..crop_pose }
    };
    Ok(numbers.into_iter().zip(states.chunks_exact(PUBLISHED_STATE_LEN)).map(crop_pose).collect())
}

#[cfg(test)]
#[path = "state_estimator_tests.rs"]
mod tests;
