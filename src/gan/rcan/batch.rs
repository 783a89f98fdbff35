//! Frames as training tensors.

use super::config::ConfigError;
use crate::contract::{Class, FrameChannels};
use crate::gan::frames::Frame;
use crate::gan::images::images_tensor;
use crate::nn::ops::Activations;
use candle_core::{Device, Result, Tensor};
use serde::{Deserialize, Serialize};

/// The depths that are told apart; nearer and farther ones are cut off.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DepthRange {
    /// Depth that becomes -1, metres, 0 or more.
    pub near_m: f32,
    /// Depth that becomes 1, metres, beyond `near_m`.
    pub far_m: f32,
}

/// No cell is as large.
const MAX_FAR_M: f32 = 1000.0;

impl DepthRange {
    pub(super) fn validate(self) -> std::result::Result<(), ConfigError> {
        if self.near_m >= 0.0 && self.far_m > self.near_m && self.far_m <= MAX_FAR_M {
            return Ok(());
        }
        Err(ConfigError(format!(
            "depth.near_m ({:e}) must not be negative, and depth.far_m ({:e}) must be beyond it and at most {MAX_FAR_M}",
            self.near_m, self.far_m
        )))
    }

    /// Metres to `[-1, 1]`. 0 ("nothing hit") is far away.
    pub fn encode(self, depth_m: f32) -> f32 {
        if depth_m <= 0.0 {
            return 1.0;
        }
        (2.0 * (depth_m - self.near_m) / (self.far_m - self.near_m) - 1.0).clamp(-1.0, 1.0)
    }

    /// `[-1, 1]` to metres.
    pub fn decode(self, value: f32) -> f32 {
        self.near_m + 0.5 * (value + 1.0) * (self.far_m - self.near_m)
    }
}

/// What one training step sees.
pub struct TrainBatch {
    /// `[n, 3, height, width]` in `[-1, 1]`.
    pub source: Activations,
    /// `[n, 3, height, width]` in `[-1, 1]`.
    pub canonical: Tensor,
    /// `[n, classes, height, width]`, 1 for the pixel's class and 0 for the others.
    pub mask: Tensor,
    /// `[n, 1, height, width]`, encoded by [`DepthRange::encode`].
    pub depth: Tensor,
}

impl TrainBatch {
    /// # Errors
    /// Frames of different sizes; frames without pairs, ids or depth.
    pub fn new(frames: &[Frame<'_>], range: DepthRange, device: &Device) -> Result<Self> {
        let Some(first) = frames.first() else { candle_core::bail!("a batch needs at least one frame") };
        let (n, h, w) = (frames.len(), first.batch.height, first.batch.width);
        for frame in frames {
            frame.batch.require(FrameChannels::PAIRED).map_err(candle_core::Error::wrap)?;
        }
        let sizes = [h, w];
        let source = images_tensor(frames.iter().map(|f| f.batch.source_image(f.index)), sizes)?;
        let canonical = images_tensor(frames.iter().map(|f| f.batch.canonical_image(f.index)), sizes)?;
        let mut mask = vec![0.0_f32; n * Class::COUNT * h * w];
        let mut depth = Vec::with_capacity(n * h * w);
        for (frame, planes) in frames.iter().zip(mask.chunks_exact_mut(Class::COUNT * h * w)) {
            for (i, &class) in frame.batch.segmentation_image(frame.index).iter().enumerate() {
                planes[usize::from(class).min(Class::COUNT - 1) * h * w + i] = 1.0;
            }
            depth.extend(frame.batch.depth_image(frame.index).iter().map(|&d| range.encode(d)));
        }
        Ok(Self {
            source: Activations::from_tensor(&source.to_device(device)?)?,
            canonical: canonical.to_device(device)?,
            mask: Tensor::from_vec(mask, (n, Class::COUNT, h, w), device)?,
            depth: Tensor::from_vec(depth, (n, 1, h, w), device)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Seed;
    use crate::gan::frames::testing::squares;
    use crate::nn::HOST;

    #[test]
    fn a_batch_holds_what_the_frames_hold() -> anyhow::Result<()> {
        let frames = squares(Seed(5), 3, 16);
        let range = DepthRange { near_m: 0.5, far_m: 1.5 };
        let picked = [Frame { batch: &frames, index: 2 }, Frame { batch: &frames, index: 0 }];
        let batch = TrainBatch::new(&picked, range, &HOST)?;
        assert_eq!(batch.source.shape(), [2, 3, 16, 16]);
        let (x, y) = (9, 4);
        let pixel = y * 16 + x;
        let source = batch.source.to_tensor()?.get(0)?.get(1)?.get(y)?.get(x)?.to_scalar::<f32>()?;
        assert!((source - (f32::from(frames.source_image(2)[3 * pixel + 1]) / 127.5 - 1.0)).abs() < 1e-6);
        let classes = batch.mask.get(0)?.argmax(0)?.get(y)?.get(x)?.to_scalar::<u32>()?;
        assert_eq!(classes, u32::from(frames.segmentation_image(2)[pixel]));
        assert_eq!(batch.mask.sum_all()?.to_scalar::<f32>()?, 512.0);
        let depth = batch.depth.get(1)?.get(0)?.get(y)?.get(x)?.to_scalar::<f32>()?;
        assert!((range.decode(depth) - frames.depth_image(0)[pixel]).abs() < 1e-6);
        Ok(())
    }

    #[test]
    fn frames_without_a_truth_are_refused() {
        let mut frames = squares(Seed(5), 1, 16);
        frames.keep(FrameChannels { depth: false, ..FrameChannels::PAIRED });
        let range = DepthRange { near_m: 0.5, far_m: 1.5 };
        let error = TrainBatch::new(&[Frame { batch: &frames, index: 0 }], range, &HOST).err().map(|e| e.to_string());
        assert!(error.as_ref().is_some_and(|text| text.contains("lack depth")), "{error:?}");
    }

    #[test]
    fn depth_goes_round_and_nothing_is_far() {
        let range = DepthRange { near_m: 0.4, far_m: 1.6 };
        assert_eq!(range.encode(1.0), 0.0);
        assert!((range.decode(range.encode(0.73)) - 0.73).abs() < 1e-6);
        assert_eq!((range.encode(0.0), range.encode(9.0), range.encode(0.1)), (1.0, 1.0, -1.0));
    }
}
