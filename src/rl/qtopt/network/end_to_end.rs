//! The small end-to-end Q-function: the published one's shape ([`PaperQ`](super::PaperQ)) at 64 pixels.
//!
//! Seven convolutions on the image, once for all its actions; action and gripper state go through two fully connected layers
//! and are added to every pixel of the last map; convolutions and two fully connected layers follow on the sum. Batch
//! normalization and ReLU follow every layer but the last.
//!
//! Three things are otherwise than published. Strides stand in for pools. The sum is made before the seventh convolution's
//! normalization, so that an action costs what comes after it alone. Two critics share the six first convolutions, as in
//! [`StateEstimatorQ`](super::StateEstimatorQ).
//!
//! Nothing is detached: the gradient of Q trains everything from the pixels on. No calibration, no map of the bin, no
//! estimated pose stands between. An auxiliary head may predict privileged state from the same encoder, and so train it too;
//! Q reads nothing of its predictions.

use super::critic::{HE, PLAIN};
use super::height_map_decoder::Convs;
use super::paper::{Dense, state_and_actions};
use super::{Encoded, EncoderMode, EndToEndQConfig, PUBLISHED_STATE_LEN, QFunction, Score};
use crate::contract::action_space::ActionFeatures;
use crate::contract::{Action, Seed};
use crate::nn::layers::{BatchNorm, Conv2d, Conv2dConfig, Linear};
use crate::nn::ops::{self, Activation, Activations};
use crate::nn::{Init, NnError, ParamStore};
use crate::rl::qtopt::privileged::{AUXILIARY_MAPS, CELLS, GRIP, POSE};
use candle_core::{Device, Result, Tensor, bail};

/// The mean of two finds the best action, and the second one of the other target network says again what that is worth.
const CRITICS: [&str; 2] = ["critic0", "critic1"];

/// How the names of the auxiliary head's tensors begin.
pub const AUXILIARY_HEAD: &str = "auxiliary_head.";

/// Channels that the auxiliary head reads: as wide as the encoder, its hidden layer would be most of the network.
const HEAD_CHANNELS: usize = 8;

/// What values an action: from the encoder's map and the action's numbers.
struct Critic {
    /// The seventh convolution on the image, without normalization.
    image: Conv2d,
    embedding: Dense,
    action: Linear,
    norm: BatchNorm,
    joint: Convs,
    dense: [Dense; 2],
    value: Linear,
}

impl Critic {
    fn new(
        store: &ParamStore,
        name: &str,
        inputs: usize,
        config: &EndToEndQConfig,
        side: usize,
    ) -> std::result::Result<Self, NnError> {
        let scope = |part: &str| store.root().sub(format!("{name}.{part}"));
        let dense = |part: &str, sizes: [usize; 2]| Dense::new(store, &format!("{name}.{part}"), sizes, HE);
        let image = Conv2dConfig::new(inputs, config.merged, 3).without_bias().init(PLAIN);
        let joint = (&config.joint_filters[..], &config.joint_strides[..]);
        let flat = config.joint_filters.last().copied().unwrap_or(config.merged) * side * side;
        let (none, zeros) = (Activation::None, Init::Zeros);
        // Grasps are rare: Q begins near the script's success, not at one half.
        let value = [Init::PYTORCH, Init::Constant(-1.0)];
        Ok(Self {
            image: Conv2d::new(scope("image"), image)?,
            embedding: dense("embedding", [Action::ENCODED_LEN + PUBLISHED_STATE_LEN, config.embedding])?,
            action: Linear::with_init(scope("action"), [config.embedding, config.merged], none, [HE, zeros])?,
            norm: BatchNorm::new(scope("merged_norm"), config.merged)?,
            joint: Convs::new(store, &format!("{name}.joint"), config.merged, 3, joint)?,
            dense: [dense("dense0", [flat, config.hidden])?, dense("dense1", [config.hidden, config.hidden])?],
            value: Linear::with_init(scope("value"), [config.hidden, 1], none, value)?,
        })
    }

    /// Logits `[rows]`: maps `[n, merged, side, side]`, as many actions with their states `[rows, 10]` for each.
    fn logits(&self, map: &Activations, actions: &Activations, train: bool) -> Result<Tensor> {
        let context = self.action.forward(&self.embedding.forward(actions, train)?)?;
        let merged = self.norm.forward(&ops::broadcast_add(map, &context)?, Activation::Relu, train)?;
        let mut y = ops::flatten(&self.joint.forward(&merged, train)?)?;
        for dense in &self.dense {
            y = dense.forward(&y, train)?;
        }
        self.value.forward(&y)?.to_tensor()?.flatten_all()
    }
}

/// Predicts privileged state from the encoder's map.
struct AuxiliaryHead {
    reduced: Convs,
    hidden: Dense,
    output: Linear,
}

impl AuxiliaryHead {
    /// For maps of `inputs` channels and `side` pixels.
    fn new(store: &ParamStore, inputs: usize, side: usize, width: usize) -> std::result::Result<Self, NnError> {
        let name = |part: &str| format!("{AUXILIARY_HEAD}{part}");
        // The pose once: Q's other network estimates it twice.
        let sizes = [width, AUXILIARY_MAPS * CELLS + POSE + GRIP];
        Ok(Self {
            reduced: Convs::new(store, &name("conv"), inputs, 1, (&[HEAD_CHANNELS], &[1]))?,
            hidden: Dense::new(store, &name("hidden"), [HEAD_CHANNELS * side * side, width], HE)?,
            output: Linear::with_init(store.root().sub(name("output")), sizes, Activation::None, [PLAIN, Init::Zeros])?,
        })
    }

    fn forward(&self, features: &Activations, train: bool) -> Result<Activations> {
        let reduced = ops::flatten(&self.reduced.forward(features, train)?)?;
        self.output.forward(&self.hidden.forward(&reduced, train)?)
    }
}

/// See the file's head.
pub struct EndToEndQ {
    store: ParamStore,
    convs: Convs,
    critics: Vec<Critic>,
    head: Option<AuxiliaryHead>,
}

impl EndToEndQ {
    /// For square images of `size` pixels, with an auxiliary head if asked.
    ///
    /// # Errors
    /// Sizes that leave nothing of the image.
    pub fn new(
        [size, channels]: [usize; 2],
        config: &EndToEndQConfig,
        auxiliary_head: bool,
        seed: Seed,
        device: &Device,
    ) -> std::result::Result<Self, NnError> {
        Self::in_store(ParamStore::new(seed, device), [size, channels], config, auxiliary_head)
    }

    /// With its parameters in an empty store, which decides their float type.
    fn in_store(
        store: ParamStore,
        [size, channels]: [usize; 2],
        config: &EndToEndQConfig,
        auxiliary_head: bool,
    ) -> std::result::Result<Self, NnError> {
        let invalid = |reason| NnError::InvalidValue { name: "end_to_end".into(), reason };
        config.validate(size).map_err(invalid)?;
        let [merged, joint] = config.sides(size);
        let convs = Convs::new(&store, "encoder.conv", channels, 5, (&config.filters, &config.strides))?;
        let inputs = config.filters.last().copied().unwrap_or(channels);
        let critics = CRITICS.into_iter().map(|name| Critic::new(&store, name, inputs, config, joint));
        let critics = critics.collect::<std::result::Result<_, _>>()?;
        let head = auxiliary_head.then(|| AuxiliaryHead::new(&store, inputs, merged, config.auxiliary_width));
        let head = head.transpose()?;
        Ok(Self { store, convs, critics, head })
    }
}

/// What [`EndToEndQ`] makes of images, in order: the gripper's states, a map for each critic, predictions where it has a head.
const STATES: usize = 0;
const MAPS: usize = 1;
const PREDICTIONS: usize = MAPS + CRITICS.len();

impl QFunction for EndToEndQ {
    fn store(&self) -> &ParamStore {
        &self.store
    }

    fn encode(&self, images: &Activations, states: &Activations, mode: EncoderMode) -> Result<Encoded> {
        let train = !mode.evaluates();
        let images = if mode == EncoderMode::Evaluate { images.detach()? } else { images.clone() };
        let features = self.convs.forward(&images, train)?;
        let mut parts = vec![states.clone()];
        for critic in &self.critics {
            parts.push(critic.image.forward(&features)?);
        }
        // What only trains is not computed to decide.
        if let Some(head) = self.head.as_ref().filter(|_| train) {
            parts.push(head.forward(&features, train)?);
        }
        Ok(Encoded { parts, hands: Vec::new(), count: images.shape()[0] })
    }

    fn logits(&self, encoded: &Encoded, actions: &[ActionFeatures], train: bool) -> Result<Vec<Tensor>> {
        let Some(maps) = encoded.parts.get(MAPS..PREDICTIONS) else { bail!("encoded by another network") };
        let joined = state_and_actions(&encoded.parts[STATES], encoded.count, actions)?;
        let joined = joined.to_device(self.store.device())?.to_dtype(self.store.dtype())?;
        let joined = Activations::from_tensor(&joined)?;
        self.critics.iter().zip(maps).map(|(critic, map)| critic.logits(map, &joined, train)).collect()
    }

    fn auxiliary_predictions(&self, encoded: &Encoded) -> Result<Option<Tensor>> {
        let Some(predictions) = encoded.parts.get(PREDICTIONS) else { return Ok(None) };
        let (all, maps) = (predictions.to_tensor()?, AUXILIARY_MAPS * CELLS);
        let pose = all.narrow(1, maps, POSE)?;
        Ok(Some(Tensor::cat(&[&all.narrow(1, 0, maps)?, &pose, &pose, &all.narrow(1, maps + POSE, GRIP)?], 1)?))
    }

    /// The head alone: Q trains the encoder as well.
    fn is_auxiliary_layer(&self, parameter: &str) -> bool {
        parameter.starts_with(AUXILIARY_HEAD)
    }

    fn scorer(&self, _: &Encoded) -> Result<Option<Box<dyn Score>>> {
        Ok(None)
    }
}

#[cfg(test)]
#[path = "end_to_end_tests.rs"]
mod tests;
