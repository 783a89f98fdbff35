//! Sizes of the small Q-function, and which of them are possible.

use super::planar_crop::Projection;
use crate::contract::privileged::CELL_M;
use serde::{Deserialize, Serialize};

/// Sizes of [`StateEstimatorQ`](super::StateEstimatorQ).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StateEstimatorQConfig {
    /// What the camera makes of places, from the centre of the map on the bins' floor.
    pub projection: Projection,
    /// Edge of a cell of the map of heights, metres; from 0.001 to 0.5. The map has 32 along an edge.
    #[serde(default = "usual_cell_m")]
    pub map_cell_m: f32,
    /// Filters and strides of the convolutions that find the hand (the first 5x5, the others 3x3).
    pub coarse_pose_filters: Vec<usize>,
    /// Strides of those convolutions, one for each, from 1 to 4.
    pub coarse_pose_strides: Vec<usize>,
    /// Attention heads, each of which reads the features at one place of that map; at least 2.
    pub num_heads: usize,
    /// Width of the layer that knows where the hand is.
    pub coarse_pose_width: usize,
    /// Filters and strides of the 3x3 convolutions that find it more exactly.
    pub fine_pose_filters: Vec<usize>,
    /// Strides of those convolutions, one for each, from 1 to 4.
    pub fine_pose_strides: Vec<usize>,
    /// Filters and strides of the 3x3 convolutions on what the hand holds, and the width of the layer that tells its grip.
    pub grip_filters: Vec<usize>,
    /// Strides of those convolutions, one for each, from 1 to 4.
    pub grip_strides: Vec<usize>,
    /// Units of the layer between those convolutions and the estimate of the grip.
    pub grip_width: usize,
    /// What else it notices of what the hand holds. Q teaches that itself; an encoder that is told enough does better without,
    /// as Q soon overfits to how each episode ended that it has seen.
    pub grip_features: usize,
    /// Pixels along the edge of windows around the hand, and their size at its height, metres.
    pub window: usize,
    /// Edge of such a pixel on the plane of the hand, metres; from 0.0001 to 1.
    pub window_m: f32,
    /// Filters of the 3x3 convolutions that draw the map: the first at its full size, the others at half of it.
    pub map_filters: Vec<usize>,
    /// Width of the layer where both sizes meet, and what the map shows besides what is told: the same.
    pub map_joined: usize,
    /// Channels of the map that have no auxiliary target and are trained by Q; 0 to 256.
    pub map_features: usize,
    /// Features of image and state.
    pub features: usize,
    /// Units of the layer that reads what the gripper measures beyond the published state: the distance between its pads, and
    /// how far the last action fell short. 0 leaves the published state alone.
    #[serde(default)]
    pub measured_width: usize,
    /// Width of an action's embedding and of the layer where it meets the image.
    pub embedding: usize,
    /// Units of the layer where an action's embedding is scaled and shifted by the image (FiLM).
    pub merged: usize,
    /// Width of the layer behind it.
    pub hidden: usize,
}

impl Default for StateEstimatorQConfig {
    fn default() -> Self {
        Self {
            projection: Projection::from_above(0.6),
            map_cell_m: CELL_M,
            coarse_pose_filters: vec![12, 16, 24, 24],
            coarse_pose_strides: vec![2, 2, 2, 1],
            fine_pose_filters: vec![16, 24, 32],
            fine_pose_strides: vec![1, 2, 2],
            num_heads: 8,
            coarse_pose_width: 128,
            grip_filters: vec![24, 40, 48, 16],
            grip_strides: vec![1, 2, 1, 1],
            grip_width: 64,
            grip_features: 0,
            window: 16,
            window_m: 0.01,
            map_filters: vec![24, 32, 40, 40, 40],
            map_joined: 24,
            map_features: 0,
            features: 256,
            measured_width: 32,
            embedding: 64,
            merged: 256,
            hidden: 128,
        }
    }
}

impl StateEstimatorQConfig {
    pub(in crate::rl) fn validate(&self, size: usize) -> std::result::Result<(), String> {
        let sides = [
            self.num_heads,
            self.coarse_pose_width,
            self.grip_width,
            self.features,
            self.embedding,
            self.merged,
            self.hidden,
        ];
        let convs = |filters: &[usize], strides: &[usize]| {
            filters.len() == strides.len()
                && (1..=12).contains(&filters.len())
                && filters.iter().all(|f| (1..=2048).contains(f))
                && strides.iter().all(|s| (1..=4).contains(s))
        };
        let map = (2..=12).contains(&self.map_filters.len())
            && self.map_filters.iter().chain([&self.map_joined]).all(|f| (1..=2048).contains(f))
            && self.map_features.max(self.grip_features).max(self.measured_width) <= 256;
        if !map {
            return Err("network: map_filters takes 2 to 12 numbers from 1 to 2048, map_joined one such number, and \
                map_features, grip_features and measured_width at most 256"
                .into());
        }
        if !convs(&self.coarse_pose_filters, &self.coarse_pose_strides)
            || !convs(&self.fine_pose_filters, &self.fine_pose_strides)
            || !convs(&self.grip_filters, &self.grip_strides)
            || sides.iter().any(|side| !(2..=8192).contains(side))
        {
            return Err("network: give as many filters (1 to 2048) as strides (1 to 4), and widths of 2 to 8192".into());
        }
        let left = [&self.grip_strides, &self.fine_pose_strides].map(|strides| after(self.window, strides));
        if after(size, &self.coarse_pose_strides) < 2 || left.iter().any(|&side| side < 2) || self.window > 256 {
            let window = self.window;
            return Err(format!(
                "network: nothing is left of {size} pixels, or of a window of {window}, after strides"
            ));
        }
        if !(0.001..=0.5).contains(&self.map_cell_m) {
            return Err("network: map_cell_m must be from 0.001 to 0.5 metres".into());
        }
        if !(1e-4..=1.0).contains(&self.window_m) || !self.projection.is_valid() {
            return Err("network: window_m must be from 0.0001 to 1, and the projection must see the floor".into());
        }
        Ok(())
    }
}

fn usual_cell_m() -> f32 {
    CELL_M
}

/// What strides leave of `side` pixels.
pub(super) fn after(side: usize, strides: &[usize]) -> usize {
    strides.iter().fold(side, |side, stride| side.div_ceil(*stride))
}
