//! Q-functions of images, gripper state and actions.
//!
//! In: images in `[-1, 1]`, the gripper's state, [`ActionFeatures`]. Out: logits of Q in `[0, 1]`. The image is encoded
//! once for all actions that are asked about.

mod action_roi;
mod critic;
mod end_to_end;
mod end_to_end_sizes;
mod height_map_decoder;
mod kind;
mod paper;
pub mod planar_crop;
mod scorer;
mod sizes;
mod spatial_softmax;
mod state_estimate;
mod state_estimator;

pub use action_roi::COARSE_SAMPLES;
pub use end_to_end::{AUXILIARY_HEAD, EndToEndQ};
pub use end_to_end_sizes::EndToEndQConfig;
pub use kind::QNetwork;
pub use paper::{LEAST_SIZE, PaperQ};
pub use planar_crop::Projection;
pub use sizes::StateEstimatorQConfig;
pub use state_estimator::StateEstimatorQ;

use super::config::{Preset, QtOptConfig};
use crate::contract::action_space::{ActionFeatures, ActionSpace};
use crate::contract::{EMPTY_APERTURE_M, GripperState, Seed};
use crate::nn::ops::Activations;
use crate::nn::{NnError, ParamStore};
use crate::rl::cem::CemConfig;
use action_roi::Hand;
use candle_core::{DType, Device, Result, Tensor};
use glam::Vec2;
use rayon::prelude::*;

/// Numbers of the gripper's state that are kept of every step.
pub const STATE_LEN: usize = PUBLISHED_STATE_LEN + MEASURED_STATE_LEN;
/// Those that QT-Opt published: closed or not, and the height. They come first.
pub const PUBLISHED_STATE_LEN: usize = 2;
/// What any robot measures of its gripper besides: the distance between the pads, twice, and how far the last action fell
/// short of what it asked for.
pub const MEASURED_STATE_LEN: usize = 6;
/// The unit of the distance between the pads and of shortfalls, metres.
const MEASURED_M: f32 = 0.05;
/// The pads' distance counts in full from here on, metres, in the number that tells a full gripper from an empty one.
const FULL_APERTURE_M: f32 = 2.0 * EMPTY_APERTURE_M;

/// `[closed, height in decimetres]` (QT-Opt's state besides the image); then the measured distance between the pads in units
/// of 5 cm and as a share of 4 mm (at most 1), and how far the last action fell short: `[x, y, z]` in units of 5 cm, and
/// radians. A hand that something blocks looks the same before and after; this is how the robot knows.
pub fn state_features(gripper: &GripperState) -> [f32; STATE_LEN] {
    let GripperState { closed, height_m, aperture_m, commanded, achieved } = gripper;
    let short = |axis: usize| (commanded.translation_m[axis] - achieved.translation_m[axis]) / MEASURED_M;
    [
        f32::from(u8::from(*closed)),
        height_m * 10.0,
        aperture_m / MEASURED_M,
        (aperture_m / FULL_APERTURE_M).min(1.0),
        short(0),
        short(1),
        short(2),
        commanded.rotation_rad - achieved.rotation_rad,
    ]
}

/// A state with some measurements, for tests.
#[cfg(test)]
pub fn state_of(closed: f32, height_dm: f32) -> [f32; STATE_LEN] {
    [closed, height_dm, 1.2 - closed, 1.0, 0.1 * height_dm, -0.3, 0.2, 0.05]
}

/// The published part of a state.
pub fn published(state: &[f32; STATE_LEN]) -> [f32; PUBLISHED_STATE_LEN] {
    [state[0], state[1]]
}

/// The hand's height in a state, metres.
pub fn height_m(state: &[f32]) -> f32 {
    state[1] / 10.0
}

/// Whether a state is one with closed fingers.
pub fn is_closed(state: &[f32; STATE_LEN]) -> bool {
    state[0] > 0.5
}

/// Whether a hand in a state may end the episode.
pub fn may_end(cem: &CemConfig, state: &[f32; STATE_LEN]) -> bool {
    cem.may_end(is_closed(state), height_m(state))
}

/// What a network has made of images and states, to be joined with actions.
pub struct Encoded {
    parts: Vec<Activations>,
    /// Where the hands are, for networks that say so.
    hands: Vec<Hand>,
    count: usize,
}

impl Encoded {
    /// Number of images.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is no image, so that no action can be scored.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

/// Scores actions for encoded images without gradients, from several threads at once.
pub trait Score: Sync {
    /// Appends one logit for each action in the situation of image `index`.
    fn score(&self, index: usize, actions: &[ActionFeatures], logits: &mut Vec<f32>);
}

/// Images that are encoded together when nothing is learned: what lies between two layers stays in the cache, and what one
/// thread does alone is done for several such groups at once.
pub(super) const AT_ONCE: usize = 16;

/// What an encoding is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EncoderMode {
    /// To decide: batch normalizations by their running statistics, no gradients.
    Evaluate,
    /// Q learns from it, and layers that only lessons teach do not: what they say is as in evaluation, but seen from a little
    /// aside as in training.
    Frozen,
    /// Everything learns: batch normalizations follow the batch.
    Train,
    /// The gradient of Q goes to the image: as [`Self::Evaluate`] in every number, and nothing between the image and Q is
    /// detached. Where the image is cropped and the map is read stays constant. What calls this holds
    /// [`ParamStore::freeze`], so that no parameter takes part.
    ImageGradient,
}

impl EncoderMode {
    fn trains(self) -> bool {
        self == Self::Train
    }

    /// Whether it sees as it does to decide: running statistics, crops exactly where the hand is.
    fn evaluates(self) -> bool {
        matches!(self, Self::Evaluate | Self::ImageGradient)
    }

    /// What Q reads of a prediction: the numbers alone, so that Q does not teach what auxiliary losses teach, or the
    /// prediction with its history.
    fn for_q(self, prediction: &Activations) -> Result<Activations> {
        if self == Self::ImageGradient { Ok(prediction.clone()) } else { prediction.detach() }
    }
}

/// A Q-function.
pub trait QFunction: Send + Sync {
    /// The network's parameters, with the running statistics of batch normalizations.
    fn store(&self) -> &ParamStore;

    /// Images `[n, channels, size, size]`, states `[n, STATE_LEN]`.
    ///
    /// # Errors
    /// Another shape.
    fn encode(&self, images: &Activations, states: &Activations, mode: EncoderMode) -> Result<Encoded>;

    /// The same of images that lie aside of where the camera puts them, each by a displacement of its own (right and down, in
    /// image coordinates, which are 2 across; empty for none). A network that knows the camera's calibration takes it along,
    /// and reads the same places; others see pictures alone.
    ///
    /// # Errors
    /// Another shape.
    fn encode_moved(
        &self,
        images: &Activations,
        _moved: &[Vec2],
        states: &Activations,
        mode: EncoderMode,
    ) -> Result<Encoded> {
        self.encode(images, states, mode)
    }

    /// Logits `[actions]` of each critic, differentiable: as many actions for each image, those of one image one after the
    /// other. The policy follows their mean.
    ///
    /// # Errors
    /// A number of actions that is no multiple of the images.
    fn logits(&self, encoded: &Encoded, actions: &[ActionFeatures], train: bool) -> Result<Vec<Tensor>>;

    /// What the encoder says of [`Privileged`](crate::contract::Privileged), `[n, AUXILIARY_LEN]`; none where the network
    /// has no such output.
    ///
    /// # Errors
    /// Encoded by another network.
    fn auxiliary_predictions(&self, encoded: &Encoded) -> Result<Option<Tensor>>;

    /// Whether the parameter of this name belongs to layers that the auxiliary loss trains ([`Self::auxiliary_predictions`]).
    fn is_auxiliary_layer(&self, _parameter: &str) -> bool {
        false
    }

    /// A scorer (of the critics' mean) that needs no tensor library, where the network has one; else its actions are scored
    /// all together by [`Self::logits`].
    ///
    /// # Errors
    /// Tensors that are not on the CPU.
    fn scorer(&self, encoded: &Encoded) -> Result<Option<Box<dyn Score>>>;
}

/// Builds the network of a configuration, for actions of `space`.
///
/// # Errors
/// Sizes that the network cannot have.
pub fn build(
    config: &QtOptConfig,
    space: &ActionSpace,
    seed: Seed,
    device: &Device,
) -> std::result::Result<Box<dyn QFunction>, NnError> {
    let shape = [config.size, config.channels];
    Ok(match (config.preset, &config.end_to_end) {
        (Preset::Paper, _) => Box::new(PaperQ::new(config.size, config.channels, seed, device)?),
        (Preset::Small, None) => Box::new(StateEstimatorQ::new(config.channels, &config.network, space, seed, device)?),
        (Preset::Small, Some(sizes)) => {
            Box::new(EndToEndQ::new(shape, sizes, config.has_auxiliary_loss(), seed, device)?)
        }
    })
}

/// Bytes `[n, size, size, channels]` as planes `[n, channels, size, size]` in `[-1, 1]`.
///
/// # Errors
/// An image of another size.
pub fn image_activations(images: &[&[u8]], size: usize, channels: usize, device: &Device) -> Result<Activations> {
    moved_image_activations(images, &vec![Moved::default(); images.len()], [size, channels], device)
}

/// How an image that is learned from differs from the one that was seen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moved {
    /// Pixels to the right and down, the edge repeated: random windows of the camera's picture (RL-CycleGAN, appendix A).
    pub shift: [i32; 2],
    /// Brightness of red, green and blue of every picture in the image.
    pub gain: [f32; 3],
}

impl Default for Moved {
    fn default() -> Self {
        Self { shift: [0, 0], gain: [1.0; 3] }
    }
}

/// As [`image_activations`], each image moved; what gets brighter than white is white.
///
/// # Errors
/// An image of another size, or not as many images as moves.
pub fn moved_image_activations(
    images: &[&[u8]],
    moves: &[Moved],
    [size, channels]: [usize; 2],
    device: &Device,
) -> Result<Activations> {
    let pixels = size * size;
    let mut planes = vec![0.0_f32; images.len() * channels * pixels];
    if images.len() != moves.len() || images.iter().any(|image| image.len() != channels * pixels) {
        candle_core::bail!("as many images of {size}x{size}x{channels} bytes as moves expected")
    }
    let last = size as i32 - 1;
    let move_one = |((planes, image), moved): ((&mut [f32], &&[u8]), &Moved)| {
        let from = |to: usize, shift: i32| (to as i32 - shift).clamp(0, last) as usize;
        for (channel, plane) in planes.chunks_exact_mut(pixels).enumerate() {
            // Behind two pictures stand maps, which have no brightness.
            let gain = if channel < 6 { moved.gain[channel % 3] } else { 1.0 } * (1.0 / 127.5);
            for (y, row) in plane.chunks_exact_mut(size).enumerate() {
                let line = &image[from(y, moved.shift[1]) * size * channels..][..size * channels];
                for (x, to) in row.iter_mut().enumerate() {
                    *to = (f32::from(line[from(x, moved.shift[0]) * channels + channel]) * gain - 1.0).min(1.0);
                }
            }
        }
    };
    planes.par_chunks_exact_mut(channels * pixels).zip(images).zip(moves).for_each(move_one);
    Activations::from_tensor(&Tensor::from_vec(planes, (images.len(), channels, size, size), device)?)
}

/// Bytes `[size, size, channels]` moved by so many pixels to the right and down, the edge repeated.
pub fn moved_bytes(image: &[u8], [size, channels]: [usize; 2], [right, down]: [i32; 2]) -> Vec<u8> {
    let last = size as i32 - 1;
    let from = |to: usize, shift: i32| (to as i32 - shift).clamp(0, last) as usize;
    let mut moved = Vec::with_capacity(image.len());
    for y in 0..size {
        let row = &image[from(y, down) * size * channels..][..size * channels];
        (0..size).for_each(|x| moved.extend_from_slice(&row[from(x, right) * channels..][..channels]));
    }
    moved
}

/// A displacement in pixels as [`QFunction::encode_moved`] takes it.
pub fn in_image_coordinates(pixels: [i32; 2], size: usize) -> Vec2 {
    Vec2::from_array(pixels.map(|pixels| 2.0 * pixels as f32 / size as f32))
}

/// States `[n, STATE_LEN]`.
///
/// # Errors
/// A device that fails.
pub fn state_activations(states: &[[f32; STATE_LEN]], device: &Device) -> Result<Activations> {
    let flat: Vec<f32> = states.iter().flatten().copied().collect();
    Activations::from_tensor(&Tensor::from_vec(flat, (states.len(), STATE_LEN), device)?)
}

/// The numbers in `f32`, wherever they are.
fn floats(x: &Activations) -> Result<Vec<f32>> {
    x.detach()?.to_tensor()?.to_dtype(DType::F32)?.flatten_all()?.to_vec1()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_become_planes_and_shifts_repeat_the_edge() -> anyhow::Result<()> {
        // 2x2 pixels of two channels.
        let image = [0_u8, 255, 51, 204, 102, 153, 255, 0];
        let moved = Moved { shift: [1, -1], gain: [0.5, 2.0, 1.0] };
        let value = moved_image_activations(&[&image, &image], &[Moved::default(), moved], [2, 2], &Device::Cpu)?;
        let planes = value.to_tensor()?.flatten_all()?.to_vec1::<f32>()?;
        let bytes: Vec<i32> = planes.iter().map(|x| ((x + 1.0) * 127.5).round() as i32).collect();
        assert_eq!(bytes[..8], [0, 51, 102, 255, 255, 204, 153, 0]);
        // Moved right by one and up by one: both rows show the lower one, both columns the left one. The first channel is half
        // as bright, the second would be twice.
        assert_eq!(bytes[8..], [51, 51, 51, 51, 255, 255, 255, 255]);
        assert!(image_activations(&[&image[..7]], 2, 2, &Device::Cpu).is_err());
        assert_eq!(moved_bytes(&image, [2, 2], [1, -1]), [102, 153, 102, 153, 102, 153, 102, 153]);
        assert_eq!(in_image_coordinates([1, -2], 64).to_array(), [0.03125, -0.0625]);
        Ok(())
    }
}
