//! Where the bins as a group stand in an episode, as seen from the robot: a mobile base that drives up to its bins is the
//! same as bins that are put before a base which stays the world's origin.
//!
//! In: a [`BinGroupDescription`] and randomness, or the number of a fixed placement. Out: a [`BinGroupPose`], and the
//! cell with its bins there.

use super::cell::CellDescription;
use super::validate::CellError;
use crate::contract::Rng;
use glam::{Quat, Vec2, Vec3};
use serde::{Deserialize, Serialize};

/// Ranges of the group's displacement from where `bins` puts it, and of its rotation about its middle. Drawn uniformly
/// every episode.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BinGroupDescription {
    /// Least and largest displacement along the world's x, metres.
    pub x_range: [f32; 2],
    /// Least and largest displacement along the world's y, metres.
    pub y_range: [f32; 2],
    /// Least and largest rotation about the vertical, radians.
    pub yaw_range_rad: [f32; 2],
    /// Fixed places, one of which is taken in place of a draw from the ranges.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub placements: Vec<BinPlacement>,
}

/// One fixed place of the group, and which of its bins hold objects.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BinPlacement {
    /// What it is called, for readers of the description; placements are chosen by number.
    pub name: String,
    /// Displacement, metres, and rotation.
    pub x: f32,
    /// Displacement along the world's y, metres.
    pub y: f32,
    /// Rotation about the vertical through the middle of the bins, radians.
    pub yaw_rad: f32,
    /// Bins that objects are dropped into; empty for those that `objects.bins` names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bins: Vec<usize>,
}

/// Where the group stands in an episode: its displacement and rotation, for records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BinGroupPose {
    /// Displacement along the world's x, metres.
    pub x_m: f32,
    /// Displacement along the world's y, metres.
    pub y_m: f32,
    /// Rotation about the vertical through the middle of the bins, radians.
    pub yaw_rad: f32,
    /// Number of the fixed placement that it is, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placement: Option<usize>,
}

impl BinGroupDescription {
    /// A place at random: one of the placements where there are any, else within the ranges.
    pub fn sample(&self, rng: &mut Rng) -> BinGroupPose {
        if !self.placements.is_empty() {
            return self.placed(rng.below(self.placements.len()));
        }
        let mut within = |[low, high]: [f32; 2]| rng.range(low, high);
        let (x_m, y_m) = (within(self.x_range), within(self.y_range));
        BinGroupPose { x_m, y_m, yaw_rad: within(self.yaw_range_rad), placement: None }
    }

    /// The fixed placement of a number, counted on from the first after the last; where there is none, the middle of the
    /// ranges.
    pub fn placed(&self, number: usize) -> BinGroupPose {
        let middle = |[low, high]: [f32; 2]| 0.5 * (low + high);
        match self.placements.get(number % self.placements.len().max(1)) {
            Some(place) => BinGroupPose {
                x_m: place.x,
                y_m: place.y,
                yaw_rad: place.yaw_rad,
                placement: Some(number % self.placements.len()),
            },
            None => BinGroupPose {
                x_m: middle(self.x_range),
                y_m: middle(self.y_range),
                yaw_rad: middle(self.yaw_range_rad),
                placement: None,
            },
        }
    }

    pub(super) fn validate(&self, bins: usize) -> Result<(), CellError> {
        for (key, [low, high]) in
            [("x_range", self.x_range), ("y_range", self.y_range), ("yaw_range_rad", self.yaw_range_rad)]
        {
            if !(low <= high && low.is_finite() && high.is_finite()) {
                let problem = format!("[{low}, {high}] is not an interval");
                return Err(CellError::new(format!("bin_group.{key}"), problem, "give two numbers, the smaller first"));
            }
        }
        for (i, place) in self.placements.iter().enumerate() {
            let key = format!("bin_group.placements[{i}]");
            if ![place.x, place.y, place.yaw_rad].iter().all(|value| value.is_finite()) {
                let problem = format!("({}, {}, {}) is no place", place.x, place.y, place.yaw_rad);
                return Err(CellError::new(key, problem, "give x and y in metres and yaw_rad in radians"));
            }
            if let Some(bin) = place.bins.iter().find(|&&bin| bin >= bins) {
                let problem = format!("there is no bin {bin}: there are {bins}, numbered from 0");
                return Err(CellError::new(format!("{key}.bins"), problem, "name bins that exist"));
            }
        }
        Ok(())
    }
}

impl CellDescription {
    /// This cell with its bins displaced and turned as a group about their middle.
    pub fn with_bin_group_at(&self, pose: BinGroupPose) -> Self {
        let mut cell = self.clone();
        let middle = self.middle_of_bins();
        let turn = Quat::from_rotation_z(pose.yaw_rad);
        for bin in &mut cell.bins {
            bin.position = middle + turn * (bin.position - middle) + Vec3::new(pose.x_m, pose.y_m, 0.0);
            bin.yaw_rad += pose.yaw_rad;
        }
        cell
    }

    /// Mean of the bins' places.
    pub fn middle_of_bins(&self) -> Vec3 {
        self.bins.iter().map(|bin| bin.position).sum::<Vec3>() / self.bins.len().max(1) as f32
    }

    /// What the hand may have to reach into: the rectangle along the axes of the world, as its least and largest corner, that
    /// the floors of the bins that get objects cover, wherever their group is put, as far as the arm reaches. Metres.
    pub fn working_region(&self) -> [Vec2; 2] {
        let (mut least, mut largest) = (Vec2::INFINITY, Vec2::NEG_INFINITY);
        for (number, cell) in self.extreme_places().iter().enumerate() {
            let placed = self.bin_group.as_ref().and_then(|group| group.placements.get(number));
            let placed = placed.map(|place| &place.bins).filter(|bins| !bins.is_empty());
            let wanted = placed.unwrap_or(&self.objects.bins);
            for (index, bin) in cell.bins.iter().enumerate() {
                if !wanted.is_empty() && !wanted.contains(&index) {
                    continue;
                }
                let turn = Vec2::from_angle(bin.yaw_rad);
                for corner in [Vec2::ONE, Vec2::NEG_ONE, Vec2::new(1.0, -1.0), Vec2::new(-1.0, 1.0)] {
                    let at = bin.position.truncate() + turn.rotate(0.5 * bin.inner_size * corner);
                    (least, largest) = (least.min(at), largest.max(at));
                }
            }
        }
        if let Some([_, farthest]) = self.motion.reach_m {
            let base = self.arm_base.position.truncate();
            (least, largest) = (least.max(base - farthest), largest.min(base + farthest));
        }
        [least, largest]
    }

    /// The cell with its bins at every corner of their ranges, and at every placement.
    pub(super) fn extreme_places(&self) -> Vec<Self> {
        let Some(group) = &self.bin_group else { return vec![self.clone()] };
        let mut poses: Vec<BinGroupPose> = (0..group.placements.len()).map(|number| group.placed(number)).collect();
        if poses.is_empty() {
            for x_m in group.x_range {
                for y_m in group.y_range {
                    poses.extend(group.yaw_range_rad.map(|yaw_rad| BinGroupPose {
                        x_m,
                        y_m,
                        yaw_rad,
                        placement: None,
                    }));
                }
            }
        }
        poses.into_iter().map(|pose| self.with_bin_group_at(pose)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Seed;

    #[test]
    fn a_group_turns_about_its_middle() {
        let cell = CellDescription::load("mobile-three-bins").expect("built in");
        let quarter = std::f32::consts::FRAC_PI_2;
        let moved = cell.with_bin_group_at(BinGroupPose { x_m: 0.1, y_m: -0.2, yaw_rad: quarter, placement: None });
        // The left bin, one pitch along +y of the middle, comes to lie one pitch along -x of it.
        assert!(moved.bins[0].position.distance(Vec3::new(0.54 + 0.1 - 0.275, -0.2, 0.012)) < 1e-6);
        assert!(moved.bins[1].position.distance(Vec3::new(0.64, -0.2, 0.012)) < 1e-6);
        assert_eq!(moved.bins[2].yaw_rad, quarter);
        assert!(moved.bins[0].contains_xy(moved.bins[0].position + Vec3::new(0.12, -0.12, 0.0), 0.0));
        moved.validate().expect("bins that are turned together stay apart");
        let back = cell.with_bin_group_at(BinGroupPose::default());
        assert_eq!(back.bins[1], cell.bins[1]);
    }

    #[test]
    fn draws_fill_the_ranges_and_placements_come_in_turn() {
        let cell = CellDescription::load("mobile-three-bins").expect("built in");
        let group = cell.bin_group.expect("a group");
        let mut rng = Seed(1).rng();
        let draws: Vec<BinGroupPose> = (0..2000).map(|_| group.sample(&mut rng)).collect();
        let lowest = draws.iter().map(|pose| pose.y_m).fold(f32::INFINITY, f32::min);
        let highest = draws.iter().map(|pose| pose.y_m).fold(f32::NEG_INFINITY, f32::max);
        assert!((-0.3..-0.295).contains(&lowest) && (0.295..=0.3).contains(&highest), "{lowest} {highest}");
        let evaluation = CellDescription::load("mobile-three-bins:multi-bin-eval").expect("a preset");
        let group = evaluation.bin_group.expect("a group");
        assert_eq!(group.placed(0), group.placed(6));
        assert_eq!((group.placed(5).y_m, group.placed(5).placement), (0.275, Some(5)));
    }

    #[test]
    fn the_working_region_is_what_objects_may_lie_in() {
        let region = |name: &str| CellDescription::load(name).expect("built in").working_region();
        let near = |found: [Vec2; 2], wanted: [[f32; 2]; 2]| {
            let apart = found.iter().zip(wanted).map(|(found, wanted)| found.distance(Vec2::from_array(wanted)));
            assert!(apart.into_iter().all(|apart| apart < 1e-5), "{found:?} {wanted:?}");
        };
        near(region("iiwa-bin"), [[0.40, -0.18], [0.70, 0.18]]);
        // Objects lie in the centre bin alone, and it stands still.
        near(region("mobile-three-bins:single-bin"), [[0.41, -0.13], [0.67, 0.13]]);
        // The left bin at its place on the left: 27.5 cm aside and 27.5 cm further.
        let [least, largest] = region("mobile-three-bins:multi-bin-eval");
        assert!((largest.y - 0.405).abs() < 0.02 && (least.y + largest.y).abs() < 1e-5, "{least} {largest}");
        // Drawn places reach as far as the arm: 0.86 m.
        let [least, largest] = region("mobile-three-bins");
        assert!(largest.y > 0.7 && largest.y <= 0.86 && least.y < -0.7 && largest.x <= 0.86, "{least} {largest}");
    }
}
