//! What the small network's encoder makes of images, before the critics.

use super::action_roi::Hand;
use super::planar_crop::CropPose;
use crate::nn::ops::Activations;
use candle_core::{Result, Tensor};

/// Where an image was cropped, for each image.
#[derive(Clone, Debug, Default)]
pub(super) struct CropPoses {
    pub coarse: Vec<CropPose>,
    pub fine: Vec<CropPose>,
}

/// The state as estimated from images: what auxiliary losses teach, and what Q reads of it.
pub(super) struct StateEstimate {
    pub crops: CropPoses,
    pub hands: Vec<Hand>,
    /// Maps `[n, channels, MAP, MAP]` as Q reads them, and those among them that have targets.
    pub maps: Activations,
    pub map_predictions: Activations,
    /// The hand's pose, coarse and fine `[n, 2 * POSE]`, and as Q reads it `[n, POSE]`.
    pub pose_predictions: Activations,
    pub pose: Activations,
    /// What the hand holds as Q reads it `[n, GRIP + grip_features]`, and its prediction `[n, GRIP]`.
    pub grip: Activations,
    pub grip_prediction: Activations,
}

impl StateEstimate {
    /// Several batches as one.
    pub fn joined(parts: &[Self]) -> Result<Self> {
        let join = |of: fn(&Self) -> &Activations| {
            let tensors = parts.iter().map(|part| of(part).to_tensor()).collect::<Result<Vec<_>>>()?;
            Activations::from_tensor(&Tensor::cat(&tensors, 0)?)
        };
        Ok(Self {
            crops: CropPoses {
                coarse: parts.iter().flat_map(|part| part.crops.coarse.iter().copied()).collect(),
                fine: parts.iter().flat_map(|part| part.crops.fine.iter().copied()).collect(),
            },
            hands: parts.iter().flat_map(|part| part.hands.iter().copied()).collect(),
            maps: join(|part| &part.maps)?,
            map_predictions: join(|part| &part.map_predictions)?,
            pose_predictions: join(|part| &part.pose_predictions)?,
            pose: join(|part| &part.pose)?,
            grip: join(|part| &part.grip)?,
            grip_prediction: join(|part| &part.grip_prediction)?,
        })
    }
}
