//! What lies where an action leads: a map of the bin, read at a grid of places that is moved and turned as the action moves
//! and turns the hand, and at a coarser one around it.
//!
//! Whether a grasp holds depends on what lies between and under the fingers there, and not on how far away that is. Read
//! like this, one place's lesson is a lesson for all.
//!
//! In: maps `[channels, MAP, MAP]` of the bin along the axes of displacements, where the hand is, an action. Out: numbers,
//! all channels on the grid in the frame that the hand will have (x along the closing direction), then the first channel
//! on the coarse grid along the axes.

use crate::contract::action_space::ActionFeatures;
use crate::nn::ops::{self, Activations, Bilinear, SampleGrid, Tap};
use crate::rl::qtopt::privileged::MAP;
use candle_core::Result;
use glam::Vec2;

/// Places of the grid: along the closing direction, and across it.
const GRID: [usize; 2] = [12, 6];
/// Their distance, metres: the grid covers the open fingers.
const GRID_M: f32 = 0.011;
const PLACES: usize = GRID[0] * GRID[1];
/// Places along an edge of the coarse grid, and their distance, metres.
const AROUND: usize = 6;
const AROUND_M: f32 = 0.04;
/// Numbers of the coarse grid, which come last.
pub const COARSE_SAMPLES: usize = AROUND * AROUND;
/// Cells of a map.
const CELLS: usize = MAP * MAP;

/// Numbers that are read off a map of so many channels.
pub const fn num_samples(channels: usize) -> usize {
    channels * PLACES + COARSE_SAMPLES
}

/// Where a hand is, from the bin's centre along the axes of the world, metres.
#[derive(Clone, Copy, Debug)]
pub struct Hand {
    pub place: Vec2,
    pub yaw_rad: f32,
}

/// Largest displacements of an action, and the edge of a cell of the map, metres.
#[derive(Clone, Copy, Debug)]
pub struct ActionRoi {
    pub step_m: [f32; 3],
    pub cell_m: f32,
}

/// The cells are weighted: the sum of four products.
const RULE: Bilinear = Bilinear::Weighted;

/// A place in cells of the map, the centre of the first one at 0.
fn cell(place: Vec2, cell_m: f32) -> [f32; 2] {
    [place.x, place.y].map(|metres| metres / cell_m + 0.5 * (MAP as f32 - 1.0))
}

fn centred(index: usize, count: usize, distance: f32) -> f32 {
    (index as f32 - 0.5 * (count as f32 - 1.0)) * distance
}

impl ActionRoi {
    /// Where both grids lie on the map once the action is done, in cells.
    fn places(
        self,
        hand: &Hand,
        action: &ActionFeatures,
    ) -> (impl Iterator<Item = [f32; 2]> + use<>, impl Iterator<Item = [f32; 2]> + use<>) {
        let there = hand.place + Vec2::new(action[0] * self.step_m[0], action[1] * self.step_m[1]);
        let turn = Vec2::from_angle(hand.yaw_rad + action[3].atan2(action[4]));
        let fine = |i: usize| Vec2::new(centred(i % GRID[0], GRID[0], GRID_M), centred(i / GRID[0], GRID[1], GRID_M));
        let coarse = |i: usize| Vec2::new(centred(i % AROUND, AROUND, AROUND_M), centred(i / AROUND, AROUND, AROUND_M));
        (
            (0..PLACES).map(move |i| cell(there + turn.rotate(fine(i)), self.cell_m)),
            (0..AROUND * AROUND).map(move |i| cell(there + coarse(i), self.cell_m)),
        )
    }

    /// Appends what one action finds on one map.
    pub fn sample(self, map: &[f32], hand: &Hand, action: &ActionFeatures, found: &mut Vec<f32>) {
        let mut taps = [Tap::default(); PLACES];
        let (fine, coarse) = self.places(hand, action);
        taps.iter_mut().zip(fine).for_each(|(tap, place)| *tap = Tap::at(place, [MAP; 2], RULE));
        for channel in map.chunks_exact(CELLS) {
            found.extend(taps.iter().map(|tap| tap.sample(channel, RULE)));
        }
        found.extend(coarse.map(|place| Tap::at(place, [MAP; 2], RULE).sample(&map[..CELLS], RULE)));
    }

    /// What each action finds on the map of its image, `[n, num_samples(channels)]`, differentiable in the maps
    /// `[n, channels, MAP, MAP]`.
    ///
    /// # Errors
    /// Not one hand and action for each map.
    pub fn sample_map_at_action(
        self,
        maps: &Activations,
        hands: &[Hand],
        actions: &[ActionFeatures],
    ) -> Result<Activations> {
        let [n, channels, ..] = maps.dims4()?;
        if hands.len() != n || actions.len() != n {
            candle_core::bail!("{n} maps, {} hands and {} actions", hands.len(), actions.len())
        }
        let places = |image: usize| self.places(&hands[image], &actions[image]);
        let fine = SampleGrid::per_image(n, PLACES, [MAP; 2], RULE, |image| places(image).0);
        let coarse = SampleGrid::per_image(n, AROUND * AROUND, [MAP; 2], RULE, |image| places(image).1);
        let fine = ops::flatten(&ops::grid_sample(maps, 0..channels, &fine)?)?;
        ops::concat(&[&fine, &ops::flatten(&ops::grid_sample(maps, 0..1, &coarse)?)?])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Seed;
    use crate::contract::action_space::tests::SPACE;
    use crate::rl::qtopt::privileged::CELL_M;
    use candle_core::{Device, Var};

    const ROI: ActionRoi = ActionRoi { step_m: [0.08, 0.04, 0.1], cell_m: CELL_M };

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
        let gathered = ROI.sample_map_at_action(&Activations::from_tensor(&maps)?, &hands, &actions)?.to_tensor()?;
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
