//! What only a simulator knows of a state, as a lesson for the encoder of images (an auxiliary task; asymmetric learning,
//! Pinto et al., 2018): where in the image the hand is, how high objects are, where the divider stands, and what the
//! fingers feel. Q never sees it: a policy decides from the image and the gripper's state alone, and data without it
//! (recordings, real robots) are learned from all the same.
//!
//! Why: one bit an episode teaches an encoder slowly where the hand is and what lies between its fingers.

use super::network::planar_crop::Plane;
use glam::Vec2;

/// Cells along an edge of the map of the bin.
pub const MAP: usize = 32;
/// Edge of a cell, metres.
pub const CELL_M: f32 = 0.0125;
/// Heights are told in this unit, metres.
pub const HEIGHT_M: f32 = 0.05;
/// A metre, and a sine of one, in the bytes that keep a pose.
const PLACE_BYTE: f32 = 500.0;
const TURN_BYTE: f32 = 120.0;
/// The same for a metre and a newton of a grip.
const APERTURE_BYTE: f32 = 2000.0;
const PINCH_BYTE: f32 = 5.0;
pub const CELLS: usize = MAP * MAP;
/// Maps that are told: heights of the objects, and where the divider stands.
pub const AUXILIARY_MAPS: usize = 2;
/// Half the thickness of a divider as it is told, metres: that of the usual cell.
const DIVIDER_M: f32 = 0.004;
/// Numbers of a pose: place in the image, sine and cosine of twice the angle.
pub const POSE: usize = 4;
/// Numbers of a grip: the distance between the pads, and how hard both press.
pub const GRIP: usize = 2;
/// They are told in these units: metres, newtons.
const APERTURE_M: f32 = 0.05;
const PINCH_N: f32 = 20.0;
/// Numbers that the encoder is to tell: the maps, the pose at its first and at its second look, and the grip.
pub const AUXILIARY_LEN: usize = AUXILIARY_MAPS * CELLS + 2 * POSE + GRIP;
/// Where the bytes of the pose, of the divider and of the grip begin.
const POSE_AT: usize = 1 + CELLS;
const DIVIDER_AT: usize = POSE_AT + POSE;
const GRIP_AT: usize = DIVIDER_AT + 1;
/// Bytes that keep them; a multiple of four.
const BYTES: usize = (GRIP_AT + GRIP).next_multiple_of(4);

/// Heights of the objects in the bin, its divider, where the hand is, and what it feels, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(transparent)]
pub struct Privileged([u8; BYTES]);

impl Default for Privileged {
    fn default() -> Self {
        Self::UNKNOWN
    }
}

impl Privileged {
    /// Nobody knows.
    pub const UNKNOWN: Self = Self([0; BYTES]);

    /// Where heights are measured: from the bin's centre along the axes of the world, metres; x runs first.
    pub fn places() -> [Vec2; CELLS] {
        let centre = |index: usize| (index as f32 - 0.5 * (MAP as f32 - 1.0)) * CELL_M;
        std::array::from_fn(|i| Vec2::new(centre(i % MAP), centre(i / MAP)))
    }

    /// From the objects' heights at [`Self::places`], the divider's place along y (none in a bin without one), the gripper's
    /// place from the bin's centre (metres) and its yaw (half a turn is the same to a parallel jaw).
    pub fn new(heights_m: &[f32], divider_m: Option<f32>, place: Vec2, yaw_rad: f32) -> Self {
        let mut bytes = [0; BYTES];
        bytes[0] = 1;
        for (byte, height) in bytes[1..=CELLS].iter_mut().zip(heights_m) {
            *byte = (height * 1000.0).clamp(0.0, 255.0) as u8;
        }
        let (sin, cos) = (2.0 * yaw_rad).sin_cos();
        let pose = [place.x * PLACE_BYTE, place.y * PLACE_BYTE, sin * TURN_BYTE, cos * TURN_BYTE];
        for (byte, value) in bytes[POSE_AT..].iter_mut().zip(pose) {
            *byte = (value + 127.5).clamp(0.0, 255.0) as u8;
        }
        // 0 says that there is none.
        bytes[DIVIDER_AT] = divider_m.map_or(0, |y| (y * PLACE_BYTE + 128.5).clamp(1.0, 255.0) as u8);
        Self(bytes)
    }

    /// The same with the distance between the pads (metres) and the lesser of the forces on them (newtons).
    pub fn with_grip(mut self, aperture_m: f32, pinch_n: f32) -> Self {
        self.0[GRIP_AT] = (aperture_m * APERTURE_BYTE + 0.5).clamp(0.0, 255.0) as u8;
        self.0[GRIP_AT + 1] = (pinch_n * PINCH_BYTE + 0.5).clamp(0.0, 255.0) as u8;
        self
    }

    /// The numbers to tell: heights, about 0 to 2, the share of each cell that the divider covers, twice the pose, and the
    /// grip (the distance in units of 5 cm, the force as a share of a firm one, at most 1); `plane` is the one on which the pose is told. None when unknown.
    pub fn auxiliary_targets(&self, plane: &Plane) -> Option<[f32; AUXILIARY_LEN]> {
        let known = self.0[0] == 1;
        known.then(|| {
            let mut targets = [0.0; AUXILIARY_LEN];
            let (maps, others) = targets.split_at_mut(AUXILIARY_MAPS * CELLS);
            let (poses, grip) = others.split_at_mut(2 * POSE);
            let (heights, divider) = maps.split_at_mut(CELLS);
            heights.iter_mut().zip(&self.0[1..]).for_each(|(to, &byte)| *to = f32::from(byte) * 0.001 / HEIGHT_M);
            if let at @ 1.. = self.0[DIVIDER_AT] {
                let at = (f32::from(at) - 128.0) / PLACE_BYTE;
                for (row, cells) in divider.chunks_exact_mut(MAP).enumerate() {
                    let away = (at - (row as f32 - 0.5 * (MAP as f32 - 1.0)) * CELL_M).abs();
                    cells.fill(((DIVIDER_M + 0.5 * CELL_M - away) / CELL_M).clamp(0.0, 1.0));
                }
            }
            let centred = |index: usize| f32::from(self.0[POSE_AT + index]) - 127.0;
            let place = plane.image(Vec2::new(centred(0), centred(1)) / PLACE_BYTE);
            for pose in poses.chunks_exact_mut(POSE) {
                pose.copy_from_slice(&[place.x, place.y, centred(2) / TURN_BYTE, centred(3) / TURN_BYTE]);
            }
            let felt = |index: usize| f32::from(self.0[GRIP_AT + index]);
            grip[0] = felt(0) / APERTURE_BYTE / APERTURE_M;
            grip[1] = (felt(1) / PINCH_BYTE / PINCH_N).min(1.0);
            targets
        })
    }

    /// The weight of each number's squared error: a map's mean counts one, and a place in the image must be exact.
    pub fn weights() -> [f32; AUXILIARY_LEN] {
        let mut weights = [1.0 / CELLS as f32; AUXILIARY_LEN];
        let (poses, grip) = weights[AUXILIARY_MAPS * CELLS..].split_at_mut(2 * POSE);
        for pose in poses.chunks_exact_mut(POSE) {
            pose.copy_from_slice(&[2.5, 2.5, 0.25, 0.25]);
        }
        grip.fill(0.5);
        weights
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_what_was_measured() {
        let plane = crate::rl::qtopt::network::Projection::from_above(0.4).plane(0.1);
        assert_eq!(Privileged::UNKNOWN.auxiliary_targets(&plane), None);
        let heights: Vec<f32> = (0..CELLS).map(|i| (i % 250) as f32 * 0.001).collect();
        let kept = Privileged::new(&heights, Some(0.05), Vec2::new(0.05, -0.1), 0.25);
        let kept = kept.with_grip(0.02, 5.0);
        let targets = kept.auxiliary_targets(&plane).unwrap_or([f32::NAN; AUXILIARY_LEN]);
        assert!((targets[50] - 1.0).abs() < 1e-6 && (targets[345] - 1.9).abs() < 1e-6);
        // The image is 0.4 m across, and its y points down.
        let pose = [0.25, 0.5, 0.5_f32.sin(), 0.5_f32.cos()];
        assert!(
            targets[2 * CELLS..][..2 * POSE].iter().zip(pose.iter().cycle()).all(|(a, b)| (a - b).abs() < 0.011),
            "{:?}",
            &targets[2 * CELLS..]
        );
        let grip = &targets[2 * CELLS + 2 * POSE..];
        assert!((grip[0] - 0.4).abs() < 1e-6 && (grip[1] - 0.25).abs() < 1e-6, "{grip:?}");
        // 5 cm are four cells from the middle, which lies between two: 4 mm to each side fill most of a cell, in two halves.
        let rows: Vec<f32> = targets[CELLS..2 * CELLS].chunks_exact(MAP).map(|row| row[7]).collect();
        let expected = |row: usize| if row == 19 || row == 20 { 0.32 } else { 0.0 };
        assert!(rows.iter().enumerate().all(|(row, share)| (share - expected(row)).abs() < 0.01), "{rows:?}");
        let without = Privileged::new(&heights, None, Vec2::ZERO, 0.0)
            .auxiliary_targets(&plane)
            .unwrap_or([f32::NAN; AUXILIARY_LEN]);
        assert!(without[CELLS..2 * CELLS].iter().all(|&share| share == 0.0));
        let places = Privileged::places();
        assert!((places[0] - Vec2::splat(-0.19375)).length() < 1e-6);
        assert!((places[1] - places[0] - Vec2::new(0.0125, 0.0)).length() < 1e-6);
    }
}
