//! What only a simulator knows of a state, as a lesson for the encoder of images (an auxiliary task; asymmetric learning,
//! Pinto et al., 2018): where in the image the hand is, and how high objects are. Q never sees it: a policy decides from the
//! image and the gripper's state alone, and data without it (recordings, real robots) are learned from all the same.
//!
//! Why: one bit an episode teaches an encoder slowly where the hand is and what lies between its fingers.

use super::network::gaze::Plane;
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
pub const CELLS: usize = MAP * MAP;
/// Numbers of a pose: place in the image, sine and cosine of twice the angle.
pub const POSE: usize = 4;
/// Numbers that the encoder is to tell: heights, and the pose at its first and at its second look.
pub const TOLD: usize = CELLS + 2 * POSE;
/// Bytes that keep them; a multiple of four.
const BYTES: usize = (1 + CELLS + POSE).next_multiple_of(4);

/// Heights of the objects in the bin, and where the hand is, in bytes.
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

    /// From the objects' heights at [`Self::places`], the gripper's place from the bin's centre (metres) and its yaw (half a
    /// turn is the same to a parallel jaw).
    pub fn new(heights_m: &[f32], place: Vec2, yaw_rad: f32) -> Self {
        let mut bytes = [0; BYTES];
        bytes[0] = 1;
        for (byte, height) in bytes[1..=CELLS].iter_mut().zip(heights_m) {
            *byte = (height * 1000.0).clamp(0.0, 255.0) as u8;
        }
        let (sin, cos) = (2.0 * yaw_rad).sin_cos();
        let pose = [place.x * PLACE_BYTE, place.y * PLACE_BYTE, sin * TURN_BYTE, cos * TURN_BYTE];
        for (byte, value) in bytes[1 + CELLS..].iter_mut().zip(pose) {
            *byte = (value + 127.5).clamp(0.0, 255.0) as u8;
        }
        Self(bytes)
    }

    /// The numbers to tell: heights, about 0 to 2, and twice the pose; `plane` is the one on which the pose is
    /// told. None when unknown.
    pub fn told(&self, plane: &Plane) -> Option<[f32; TOLD]> {
        let known = self.0[0] == 1;
        known.then(|| {
            let mut told = [0.0; TOLD];
            let (heights, poses) = told.split_at_mut(CELLS);
            heights.iter_mut().zip(&self.0[1..]).for_each(|(to, &byte)| *to = f32::from(byte) * 0.001 / HEIGHT_M);
            let centred = |index: usize| f32::from(self.0[1 + CELLS + index]) - 127.0;
            let place = plane.image(Vec2::new(centred(0), centred(1)) / PLACE_BYTE);
            for pose in poses.chunks_exact_mut(POSE) {
                pose.copy_from_slice(&[place.x, place.y, centred(2) / TURN_BYTE, centred(3) / TURN_BYTE]);
            }
            told
        })
    }

    /// The weight of each number's squared error: the map's mean counts one, and a place in the image must be exact.
    pub fn weights() -> [f32; TOLD] {
        let mut weights = [1.0 / CELLS as f32; TOLD];
        for pose in weights[CELLS..].chunks_exact_mut(POSE) {
            pose.copy_from_slice(&[2.5, 2.5, 0.25, 0.25]);
        }
        weights
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_what_was_measured() {
        let plane = crate::rl::network::Projection::from_above(0.4).plane(0.1);
        assert_eq!(Privileged::UNKNOWN.told(&plane), None);
        let heights: Vec<f32> = (0..CELLS).map(|i| (i % 250) as f32 * 0.001).collect();
        let kept = Privileged::new(&heights, Vec2::new(0.05, -0.1), 0.25);
        let told = kept.told(&plane).unwrap_or([f32::NAN; TOLD]);
        assert!((told[50] - 1.0).abs() < 1e-6 && (told[345] - 1.9).abs() < 1e-6);
        // The image is 0.4 m across, and its y points down.
        let pose = [0.25, 0.5, 0.5_f32.sin(), 0.5_f32.cos()];
        assert!(
            told[CELLS..].iter().zip(pose.iter().cycle()).all(|(a, b)| (a - b).abs() < 0.011),
            "{:?}",
            &told[CELLS..]
        );
        let places = Privileged::places();
        assert!((places[0] - Vec2::splat(-0.19375)).length() < 1e-6);
        assert!((places[1] - places[0] - Vec2::new(0.0125, 0.0)).length() < 1e-6);
    }
}
