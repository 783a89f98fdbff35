//! Sizes of the small end-to-end Q-function, and which of them are possible.

use super::sizes::after;
use serde::{Deserialize, Serialize};

/// Sizes of [`EndToEndQ`](super::EndToEndQ).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndToEndQConfig {
    /// Filters and strides of the convolutions on the image (the first 5x5, the others 3x3).
    pub filters: Vec<usize>,
    /// Strides of those convolutions, one for each, from 1 to 4.
    pub strides: Vec<usize>,
    /// Width of the first layer on action and gripper state.
    pub embedding: usize,
    /// Channels of the map where image and action are added.
    pub merged: usize,
    /// Filters and strides of each critic's 3x3 convolutions on the sum.
    pub joint_filters: Vec<usize>,
    /// Strides of those convolutions, one for each, from 1 to 4.
    pub joint_strides: Vec<usize>,
    /// Width of the two fully connected layers behind them.
    pub hidden: usize,
    /// Width of the auxiliary head's hidden layer.
    pub auxiliary_width: usize,
}

impl Default for EndToEndQConfig {
    /// For 64x64 pixels on two cores: seven convolutions on the image, as published; image and action are added at 8x8.
    fn default() -> Self {
        Self {
            filters: vec![24, 32, 32, 48, 48, 48],
            strides: vec![2, 2, 1, 1, 2, 1],
            embedding: 64,
            merged: 48,
            joint_filters: vec![32, 64],
            joint_strides: vec![2, 2],
            hidden: 64,
            auxiliary_width: 128,
        }
    }
}

impl EndToEndQConfig {
    /// Edge of the map where image and action are added, and of the map behind a critic's convolutions, for images of `size`
    /// pixels.
    pub(super) fn sides(&self, size: usize) -> [usize; 2] {
        let merged = after(size, &self.strides);
        [merged, after(merged, &self.joint_strides)]
    }

    /// # Errors
    /// The first impossible size, and what is possible.
    pub(in crate::rl) fn validate(&self, size: usize) -> Result<(), String> {
        let convs = |filters: &[usize], strides: &[usize]| {
            filters.len() == strides.len()
                && (1..=12).contains(&filters.len())
                && filters.iter().all(|f| (1..=2048).contains(f))
                && strides.iter().all(|s| (1..=4).contains(s))
        };
        let widths = [self.embedding, self.merged, self.hidden, self.auxiliary_width];
        if !convs(&self.filters, &self.strides)
            || !convs(&self.joint_filters, &self.joint_strides)
            || widths.iter().any(|width| !(2..=8192).contains(width))
        {
            return Err(
                "end_to_end: give as many filters (1 to 2048) as strides (1 to 4), and widths of 2 to 8192".into()
            );
        }
        let [merged, _] = self.sides(size);
        if merged < 2 {
            return Err(format!(
                "end_to_end: {merged} pixel of {size} is left after strides where the action is added"
            ));
        }
        Ok(())
    }
}
