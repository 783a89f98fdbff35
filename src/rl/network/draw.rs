//! Drawing the map of the bin: how high the objects are, where the divider stands, and what else is of use.
//!
//! In: the bin as it would lie on a table, [`PER_CELL`] pixels along the edge of a cell, and the hand, which hides what lies
//! behind it. Out: maps `[n, channels, MAP, MAP]`.

use super::STATE_LEN;
use super::critic::{HE, PLAIN};
use super::reach::Hand;
use super::sizes::CpuQConfig;
use crate::nn::layers::{BatchNorm, Conv2d, Conv2dConfig};
use crate::nn::ops::{Activation, ConvInput, Resample, Value};
use crate::nn::{NnError, ParamStore};
use crate::rl::privileged::{CELL_M, CELLS, MAP, TOLD_MAPS};
use candle_core::{Device, Result, Tensor, bail};

/// Convolutions with batch normalization and ReLU, one after the other.
pub(super) struct Convs(Vec<(Conv2d, BatchNorm)>);

impl Convs {
    pub fn new(
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

    pub fn forward(&self, x: &Value, train: bool) -> Result<Value> {
        self.forward_fused(&[x.into()], train)
    }

    /// Of several inputs, one after the other in the channels.
    pub fn forward_fused(&self, inputs: &[ConvInput<'_>], train: bool) -> Result<Value> {
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

/// Draws a map `[n, TOLD_MAPS + features, MAP, MAP]` of the bin: at full size what is near, at half size what is around.
pub(super) struct Draw {
    near: Convs,
    around: Convs,
    joined: Convs,
    map: Conv2d,
}

impl Draw {
    pub fn new(store: &mut ParamStore, channels: usize, config: &CpuQConfig) -> std::result::Result<Self, NnError> {
        let (first, others) = config.map_filters.split_at(1);
        let strides: Vec<usize> = (0..others.len()).map(|index| if index == 0 { 2 } else { 1 }).collect();
        let near = Convs::new(store, "map_near", channels * PER_CELL * PER_CELL + MARKS, 3, (first, &[1]))?;
        let around = Convs::new(store, "map_around", first[0], 3, (others, &strides))?;
        let both = first[0] + others.last().copied().unwrap_or(0);
        let joined = Convs::new(store, "map_joined", both, 1, (&[config.map_joined], &[1]))?;
        let map = Conv2dConfig::new(config.map_joined, TOLD_MAPS + config.map_features, 3).init(PLAIN);
        let map = Conv2d::new(store.root().sub("map"), map)?;
        Ok(Self { near, around, joined, map })
    }

    /// From a window of `PER_CELL` pixels a cell, and what [`marks`] says of the hand.
    pub fn forward(&self, window: &Value, marks: Tensor, train: bool) -> Result<Value> {
        let window = &Value::from_tensor(&Tensor::cat(&[window.to_tensor()?, marks], 1)?)?;
        let near = self.near.forward(window, train)?;
        let around = self.around.forward(&near, train)?;
        let enlarged = ConvInput { value: &around, resample: Resample::Bilinear2 };
        let joined = self.joined.forward_fused(&[(&near).into(), enlarged], train)?;
        self.map.forward(&joined)
    }
}

/// Channels that say where the hand is, which hides what lies behind it.
const MARKS: usize = 4;
/// How far a mark reaches, metres: about the size of a hand.
const MARK_M: f32 = 0.02;

/// `[n, MARKS, MAP, MAP]`: a bump at the hand's place, the same times the hand's height, and the gripper's state everywhere.
pub(super) fn marks(hands: &[Hand], states: &[f32]) -> Result<Tensor> {
    let mut marks = vec![0.0_f32; hands.len() * MARKS * CELLS];
    let each = marks.chunks_exact_mut(MARKS * CELLS).zip(hands).zip(states.chunks_exact(STATE_LEN));
    for ((marks, hand), state) in each {
        let bump = |at: f32| -> [f32; MAP] {
            std::array::from_fn(|index| {
                let away = (index as f32 - 0.5 * (MAP as f32 - 1.0)) * CELL_M - at;
                (-0.5 * (away / MARK_M).powi(2)).exp()
            })
        };
        let (x, y) = (bump(hand.place.x), bump(hand.place.y));
        for cell in 0..CELLS {
            let bump = x[cell % MAP] * y[cell / MAP];
            let [closed, height] = [state[0], state[1]];
            for (channel, value) in [bump, bump * height, closed, 0.5 * height].into_iter().enumerate() {
                marks[channel * CELLS + cell] = value;
            }
        }
    }
    Tensor::from_vec(marks, (hands.len(), MARKS, MAP, MAP), &Device::Cpu)
}

#[cfg(test)]
mod tests {
    use super::*;
    use glam::Vec2;

    #[test]
    fn marks_are_where_the_hand_is() -> anyhow::Result<()> {
        // The centre of the cell in row 20 and column 9, and one mark's reach to the right of another cell's centre.
        let centre = |index: usize| (index as f32 - 15.5) * CELL_M;
        let hand = |x: f32, y: f32| Hand { place: Vec2::new(x, y), yaw_rad: 0.3 };
        let hands = [hand(centre(9), centre(20)), hand(centre(4) + MARK_M, centre(31))];
        let marks = marks(&hands, &[1.0, 0.5, 0.0, 1.8])?.reshape((2, MARKS, CELLS))?.to_vec3::<f32>()?;
        let near = |a: f32, b: f32| assert!((a - b).abs() < 1e-5, "{a} {b}");
        near(marks[0][0][20 * MAP + 9], 1.0);
        // A cell aside and one down: 12.5 mm each.
        near(marks[0][0][21 * MAP + 10], (-(12.5_f32 / 20.0).powi(2)).exp());
        near(marks[0][1][20 * MAP + 9], 0.5);
        near(marks[1][0][31 * MAP + 4], (-0.5_f32).exp());
        near(marks[1][1][31 * MAP + 4], 1.8 * (-0.5_f32).exp());
        for cell in [0, 77, CELLS - 1] {
            near(marks[0][2][cell], 1.0);
            near(marks[1][2][cell], 0.0);
            near(marks[1][3][cell], 0.9);
        }
        Ok(())
    }
}
