//! Drawing the map of the bin: how high the objects are, where the divider stands, and what else is of use.
//!
//! In: the bin as it would lie on a table, [`PER_CELL`] pixels along the edge of a cell, and the hand, which hides what lies
//! behind it. Out: maps `[n, channels, MAP, MAP]`.

use super::PUBLISHED_STATE_LEN;
use super::action_roi::Hand;
use super::critic::{HE, PLAIN};
use super::sizes::StateEstimatorQConfig;
use crate::nn::layers::{BatchNorm, Conv2d, Conv2dConfig};
use crate::nn::ops::{Activation, Activations, ConvInput, Resample};
use crate::nn::{HOST, NnError, ParamStore};
use crate::rl::qtopt::privileged::{AUXILIARY_MAPS, CELLS, MAP};
use candle_core::{Result, Tensor, bail};

/// Convolutions with batch normalization and ReLU, one after the other.
pub(super) struct Convs(Vec<(Conv2d, BatchNorm)>);

impl Convs {
    pub fn new(
        store: &ParamStore,
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

    pub fn forward(&self, x: &Activations, train: bool) -> Result<Activations> {
        self.forward_fused(&[x.into()], train)
    }

    /// Of several inputs, one after the other in the channels.
    pub fn forward_fused(&self, inputs: &[ConvInput<'_>], train: bool) -> Result<Activations> {
        let Some(((first, norm), others)) = self.0.split_first() else { bail!("no convolutions") };
        let mut x = first.forward_normalized(inputs, norm, Activation::Relu, train)?;
        for (conv, norm) in others {
            x = conv.forward_normalized(&[(&x).into()], norm, Activation::Relu, train)?;
        }
        Ok(x)
    }
}

/// Pixels of the window along the edge of a cell: a cell is 1.2 pixels of a 64-pixel image, so that none is skipped.
pub(super) const PER_CELL: usize = 2;

/// Draws a map `[n, AUXILIARY_MAPS + features, MAP, MAP]` of the bin: at full size what is near, at half size what is around.
pub(super) struct HeightMapDecoder {
    near: Convs,
    around: Convs,
    joined: Convs,
    map: Conv2d,
}

impl HeightMapDecoder {
    pub fn new(
        store: &ParamStore,
        channels: usize,
        config: &StateEstimatorQConfig,
    ) -> std::result::Result<Self, NnError> {
        let (first, others) = config.map_filters.split_at(1);
        let strides: Vec<usize> = (0..others.len()).map(|index| if index == 0 { 2 } else { 1 }).collect();
        let near = Convs::new(
            store,
            "height_map_decoder.near",
            channels * PER_CELL * PER_CELL + HEATMAP_CHANNELS,
            3,
            (first, &[1]),
        )?;
        let around = Convs::new(store, "height_map_decoder.around", first[0], 3, (others, &strides))?;
        let both = first[0] + others.last().copied().unwrap_or(0);
        let joined = Convs::new(store, "height_map_decoder.joined", both, 1, (&[config.map_joined], &[1]))?;
        let map = Conv2dConfig::new(config.map_joined, AUXILIARY_MAPS + config.map_features, 3).init(PLAIN);
        let map = Conv2d::new(store.root().sub("height_map_decoder.output"), map)?;
        Ok(Self { near, around, joined, map })
    }

    /// From a window of `PER_CELL` pixels a cell, and the [`gripper_heatmap`].
    pub fn forward(&self, window: &Activations, gripper_heatmap: &Activations, train: bool) -> Result<Activations> {
        let near = self.near.forward_fused(&[window.into(), gripper_heatmap.into()], train)?;
        let around = self.around.forward(&near, train)?;
        let enlarged = ConvInput { value: &around, resample: Resample::Bilinear2 };
        let joined = self.joined.forward_fused(&[(&near).into(), enlarged], train)?;
        self.map.forward(&joined)
    }
}

/// Channels that say where the hand is, which hides what lies behind it.
const HEATMAP_CHANNELS: usize = 4;
/// How far a mark reaches, in cells: about the size of a hand over a usual bin.
const HEATMAP_STD_CELLS: f32 = 1.6;

/// `[n, HEATMAP_CHANNELS, MAP, MAP]`: a bump at the hand's place, the same times the hand's height, and the gripper's state everywhere.
pub(super) fn gripper_heatmap(hands: &[Hand], states: &[f32], cell_m: f32) -> Result<Tensor> {
    let mut gripper_heatmap = vec![0.0_f32; hands.len() * HEATMAP_CHANNELS * CELLS];
    let each = gripper_heatmap
        .chunks_exact_mut(HEATMAP_CHANNELS * CELLS)
        .zip(hands)
        .zip(states.chunks_exact(PUBLISHED_STATE_LEN));
    for ((gripper_heatmap, hand), state) in each {
        let bump = |at: f32| -> [f32; MAP] {
            std::array::from_fn(|index| {
                let away = (index as f32 - 0.5 * (MAP as f32 - 1.0)) - at / cell_m;
                (-0.5 * (away / HEATMAP_STD_CELLS).powi(2)).exp()
            })
        };
        let (x, y) = (bump(hand.place.x), bump(hand.place.y));
        for cell in 0..CELLS {
            let bump = x[cell % MAP] * y[cell / MAP];
            let [closed, height] = [state[0], state[1]];
            for (channel, value) in [bump, bump * height, closed, 0.5 * height].into_iter().enumerate() {
                gripper_heatmap[channel * CELLS + cell] = value;
            }
        }
    }
    Tensor::from_vec(gripper_heatmap, (hands.len(), HEATMAP_CHANNELS, MAP, MAP), &HOST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rl::qtopt::privileged::CELL_M;
    use glam::Vec2;

    #[test]
    fn marks_are_where_the_hand_is() -> anyhow::Result<()> {
        // The centre of the cell in row 20 and column 9, and one mark's reach to the right of another cell's centre.
        let centre = |index: usize| (index as f32 - 15.5) * CELL_M;
        let hand = |x: f32, y: f32| Hand { place: Vec2::new(x, y), yaw_rad: 0.3 };
        let hands = [hand(centre(9), centre(20)), hand(centre(4) + HEATMAP_STD_CELLS * CELL_M, centre(31))];
        let gripper_heatmap = gripper_heatmap(&hands, &[1.0, 0.5, 0.0, 1.8], CELL_M)?
            .reshape((2, HEATMAP_CHANNELS, CELLS))?
            .to_vec3::<f32>()?;
        let near = |a: f32, b: f32| assert!((a - b).abs() < 1e-5, "{a} {b}");
        near(gripper_heatmap[0][0][20 * MAP + 9], 1.0);
        // A cell aside and one down: 12.5 mm each.
        near(gripper_heatmap[0][0][21 * MAP + 10], (-(12.5_f32 / 20.0).powi(2)).exp());
        near(gripper_heatmap[0][1][20 * MAP + 9], 0.5);
        near(gripper_heatmap[1][0][31 * MAP + 4], (-0.5_f32).exp());
        near(gripper_heatmap[1][1][31 * MAP + 4], 1.8 * (-0.5_f32).exp());
        for cell in [0, 77, CELLS - 1] {
            near(gripper_heatmap[0][2][cell], 1.0);
            near(gripper_heatmap[1][2][cell], 0.0);
            near(gripper_heatmap[1][3][cell], 0.9);
        }
        Ok(())
    }
}
