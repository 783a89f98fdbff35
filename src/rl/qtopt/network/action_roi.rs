//! What lies where an action leads: a map of the bin, read at a grid of places that is moved and turned as the action moves
//! and turns the hand, and at a coarser one around it.
//!
//! Whether a grasp holds depends on what lies between and under the fingers there, and not on how far away that is. Read
//! like this, one place's lesson is a lesson for all.
//!
//! In: maps `[channels, MAP, MAP]` of the bin along the axes of displacements, where the hand is, an action. Out: numbers,
//! all channels on the grid in the frame that the hand will have (x along the closing direction), then the first channel
//! on the coarse grid along the axes.

use crate::rl::action::ActionFeatures;
use crate::rl::qtopt::privileged::{CELL_M, MAP};
use candle_core::{Result, Tensor};
use glam::Vec2;

/// Places of the grid: along the closing direction, and across it.
const GRID: [usize; 2] = [12, 6];
/// Their distance, metres: the grid covers the open fingers.
const GRID_M: f32 = 0.011;
const PLACES: usize = GRID[0] * GRID[1];
/// Places along an edge of the coarse grid, and their distance, metres.
const AROUND: usize = 6;
const AROUND_M: f32 = 0.04;
/// Cells of a map.
const CELLS: usize = MAP * MAP;

/// Numbers that are read off a map of so many channels.
pub const fn num_samples(channels: usize) -> usize {
    channels * PLACES + AROUND * AROUND
}

/// Where a hand is, from the bin's centre along the axes of the world, metres.
#[derive(Clone, Copy, Debug)]
pub struct Hand {
    pub place: Vec2,
    pub yaw_rad: f32,
}

/// Largest displacements of an action, metres.
#[derive(Clone, Copy, Debug)]
pub struct ActionRoi {
    pub step_m: [f32; 3],
}

/// Four neighbouring cells and what each counts for.
type Tap = ([usize; 4], [f32; 4]);

/// The cells around a place; beyond the map, its edge.
fn tap(place: Vec2) -> Tap {
    let cell = |metres: f32| {
        let at = (metres / CELL_M + 0.5 * (MAP as f32 - 1.0)).clamp(0.0, MAP as f32 - 1.0);
        let low = (at as usize).min(MAP - 2);
        (low, at - low as f32)
    };
    let ((left, a), (top, b)) = (cell(place.x), cell(place.y));
    let first = top * MAP + left;
    let cells = [first, first + 1, first + MAP, first + MAP + 1];
    (cells, [(1.0 - a) * (1.0 - b), a * (1.0 - b), (1.0 - a) * b, a * b])
}

fn centred(index: usize, count: usize, distance: f32) -> f32 {
    (index as f32 - 0.5 * (count as f32 - 1.0)) * distance
}

impl ActionRoi {
    /// Where both grids lie on the map once the action is done.
    fn taps(self, hand: &Hand, action: &ActionFeatures) -> ([Tap; PLACES], [Tap; AROUND * AROUND]) {
        let there = hand.place + Vec2::new(action[0] * self.step_m[0], action[1] * self.step_m[1]);
        let turn = Vec2::from_angle(hand.yaw_rad + action[3].atan2(action[4]));
        let fine = |i: usize| Vec2::new(centred(i % GRID[0], GRID[0], GRID_M), centred(i / GRID[0], GRID[1], GRID_M));
        let coarse = |i: usize| Vec2::new(centred(i % AROUND, AROUND, AROUND_M), centred(i / AROUND, AROUND, AROUND_M));
        (std::array::from_fn(|i| tap(there + turn.rotate(fine(i)))), std::array::from_fn(|i| tap(there + coarse(i))))
    }

    /// Appends what one action finds on one map.
    pub fn sample(self, map: &[f32], hand: &Hand, action: &ActionFeatures, found: &mut Vec<f32>) {
        let (fine, coarse) = self.taps(hand, action);
        let at = |channel: &[f32], (cells, weights): &Tap| {
            weights[0] * channel[cells[0]]
                + weights[1] * channel[cells[1]]
                + weights[2] * channel[cells[2]]
                + weights[3] * channel[cells[3]]
        };
        for channel in map.chunks_exact(CELLS) {
            found.extend(fine.iter().map(|tap| at(channel, tap)));
        }
        found.extend(coarse.iter().map(|tap| at(&map[..CELLS], tap)));
    }

    /// What each action finds on the map of its image, `[n, num_samples(channels)]`, differentiable in the maps
    /// `[n, channels, MAP, MAP]`.
    ///
    /// # Errors
    /// Not one hand and action for each map.
    pub fn sample_map_at_action(self, maps: &Tensor, hands: &[Hand], actions: &[ActionFeatures]) -> Result<Tensor> {
        let (n, channels, ..) = maps.dims4()?;
        if hands.len() != n || actions.len() != n {
            candle_core::bail!("{n} maps, {} hands and {} actions", hands.len(), actions.len())
        }
        let (mut fine, mut coarse): (Vec<Tap>, Vec<Tap>) = (Vec::new(), Vec::new());
        for (hand, action) in hands.iter().zip(actions) {
            let taps = self.taps(hand, action);
            fine.extend(taps.0);
            coarse.extend(taps.1);
        }
        let read = |maps: &Tensor, channels: usize, taps: &[Tap]| {
            let count = taps.len() / n * 4;
            let cells: Vec<u32> = taps.iter().flat_map(|(cells, _)| cells.map(|cell| cell as u32)).collect();
            let weights: Vec<f32> = taps.iter().flat_map(|(_, weights)| *weights).collect();
            let cells = Tensor::from_vec(cells, (n, 1, count), maps.device())?;
            let cells = cells.broadcast_as((n, channels, count))?.contiguous()?;
            let weights = Tensor::from_vec(weights, (n, 1, count), maps.device())?;
            let found = maps.reshape((n, channels, CELLS))?.gather(&cells, 2)?.broadcast_mul(&weights)?;
            found.reshape((n, channels * count / 4, 4))?.sum(2)
        };
        let first = maps.narrow(1, 0, 1)?.contiguous()?;
        Tensor::cat(&[read(maps, channels, &fine)?, read(&first, 1, &coarse)?], 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Seed;
    use crate::rl::action::tests::SPACE;
    use candle_core::{Device, Var};

    const ROI: ActionRoi = ActionRoi { step_m: [0.08, 0.04, 0.1] };

    /// Channel 0 holds x, channel 1 y, in metres.
    fn ramps() -> Vec<f32> {
        let at = |index: usize| (index as f32 - 0.5 * (MAP as f32 - 1.0)) * CELL_M;
        (0..CELLS).map(|i| at(i % MAP)).chain((0..CELLS).map(|i| at(i / MAP))).collect()
    }

    #[test]
    fn it_finds_the_places_that_the_hand_will_cover() {
        // 4 cm to the right, 2 cm back, and a quarter turn to the left from an angle of none.
        let action = [0.5, -0.5, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0];
        let mut found = Vec::new();
        let hand = |yaw_rad: f32| Hand { place: Vec2::new(-0.01, 0.03), yaw_rad };
        ROI.sample(&ramps(), &hand(0.0), &action, &mut found);
        let (x, rest) = found.split_at(PLACES);
        let (y, around) = rest.split_at(PLACES);
        let mean = |values: &[f32]| values.iter().sum::<f32>() / PLACES as f32;
        assert!((mean(x) - 0.03).abs() < 1e-5 && (mean(y) - 0.01).abs() < 1e-5, "{} {}", mean(x), mean(y));
        // The first place is the left end of the first row; turned, left is behind and the row is on the right.
        assert!((x[0] - (0.03 + 2.5 * GRID_M)).abs() < 1e-5 && (y[0] - (0.01 - 5.5 * GRID_M)).abs() < 1e-5);
        assert!((around[0] - (0.03 - 2.5 * AROUND_M)).abs() < 1e-5 && (around[1] - around[0] - AROUND_M).abs() < 1e-5);
        // Turned by the hand's own angle instead.
        let mut turned = Vec::new();
        let straight = [0.5, -0.5, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0];
        ROI.sample(&ramps(), &hand(std::f32::consts::FRAC_PI_2), &straight, &mut turned);
        assert!(found.iter().zip(&turned).all(|(a, b)| (a - b).abs() < 1e-5));
    }

    #[test]
    fn both_ways_to_read_agree_and_the_gradient_is_that_of_finite_differences() -> anyhow::Result<()> {
        let mut rng = Seed(3).rng();
        let values: Vec<f32> = (0..2 * 2 * CELLS).map(|_| rng.normal()).collect();
        let actions = [SPACE.features(&SPACE.random(&mut rng)), SPACE.features(&SPACE.random(&mut rng))];
        let hands = [(0.05, 0.7), (-0.1, -1.2)].map(|(x, yaw_rad)| Hand { place: Vec2::new(x, 0.02), yaw_rad });
        let maps = Var::from_vec(values.clone(), (2, 2, MAP, MAP), &Device::Cpu)?;
        let gathered = ROI.sample_map_at_action(&maps, &hands, &actions)?;
        let read = |values: &[f32]| {
            let mut found = Vec::new();
            for (index, map) in values.chunks_exact(2 * CELLS).enumerate() {
                ROI.sample(map, &hands[index], &actions[index], &mut found);
            }
            found
        };
        let expected = read(&values);
        assert!(gathered.flatten_all()?.to_vec1::<f32>()?.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-5));
        let loss = gathered.sqr()?.sum_all()?;
        let gradients = loss.backward()?;
        let Some(gradient) = gradients.get(&maps) else { anyhow::bail!("no gradient") };
        let gradient = gradient.flatten_all()?.to_vec1::<f32>()?;
        let loss_of = |values: &[f32]| read(values).iter().map(|x| f64::from(x * x)).sum::<f64>();
        for index in (0..values.len()).step_by(97) {
            let moved = |by: f32| {
                let mut values = values.clone();
                values[index] += by;
                loss_of(&values)
            };
            let difference = (moved(1e-2) - moved(-1e-2)) / 2e-2;
            assert!((difference - f64::from(gradient[index])).abs() < 2e-3 * (1.0 + difference.abs()), "{index}");
        }
        Ok(())
    }
}
