//! What only a simulator knows of a state, as an auxiliary target of the image encoder (an auxiliary task; asymmetric learning,
//! Pinto et al., 2018): where in the image the hand is, how high objects are, where the divider stands, and what the
//! fingers feel. Q never sees it: a policy decides from the image and the gripper's state alone, and data without it
//! (recordings, real robots) are learned from all the same.
//!
//! Why: one bit an episode teaches an encoder slowly where the hand is and what lies between its fingers.

use super::network::planar_crop::Plane;
use crate::contract::PrivilegedState;
pub use crate::contract::privileged::{CELL_M, CELLS, MAP};

/// The unit of height targets, metres.
pub const HEIGHT_M: f32 = 0.05;
/// Target maps: heights of the objects, and where the divider stands.
pub const AUXILIARY_MAPS: usize = 2;
/// Half the thickness of a divider in the targets, metres: that of the usual cell.
const DIVIDER_M: f32 = 0.004;
/// Numbers of a pose: place in the image, sine and cosine of twice the angle.
pub const POSE: usize = 4;
/// Numbers of a grip: the distance between the pads, and how hard both press.
pub const GRIP: usize = 2;
/// The units of the targets: metres, newtons.
const APERTURE_M: f32 = 0.05;
const PINCH_N: f32 = 20.0;
/// Numbers that the encoder is to tell: the maps, the pose at its first and at its second look, and the grip.
pub const AUXILIARY_LEN: usize = AUXILIARY_MAPS * CELLS + 2 * POSE + GRIP;

/// The numbers to tell: heights, about 0 to 2, the share of each cell that the divider covers, twice the pose, and the grip
/// (the distance in units of 5 cm, the force as a share of a firm one, at most 1); `plane` is the one on which the pose is
/// given, `cell_m` the edge of a cell of the map, metres. None when unknown.
pub fn auxiliary_targets(state: &PrivilegedState, plane: &Plane, cell_m: f32) -> Option<[f32; AUXILIARY_LEN]> {
    state.is_known().then(|| {
        let mut targets = [0.0; AUXILIARY_LEN];
        let (maps, others) = targets.split_at_mut(AUXILIARY_MAPS * CELLS);
        let (poses, grip) = others.split_at_mut(2 * POSE);
        let (heights, divider) = maps.split_at_mut(CELLS);
        heights.iter_mut().zip(state.heights_m()).for_each(|(to, height_m)| *to = height_m / HEIGHT_M);
        if let Some(at) = state.divider_m(cell_m) {
            for (row, cells) in divider.chunks_exact_mut(MAP).enumerate() {
                let away = (at - (row as f32 - 0.5 * (MAP as f32 - 1.0)) * cell_m).abs();
                cells.fill(((DIVIDER_M + 0.5 * cell_m - away) / cell_m).clamp(0.0, 1.0));
            }
        }
        let (place, [sin, cos]) = state.hand(cell_m);
        let place = plane.image(place);
        for pose in poses.chunks_exact_mut(POSE) {
            pose.copy_from_slice(&[place.x, place.y, sin, cos]);
        }
        let (aperture_m, pinch_n) = state.grip();
        grip[0] = aperture_m / APERTURE_M;
        grip[1] = (pinch_n / PINCH_N).min(1.0);
        targets
    })
}

/// The same targets for an image that is moved by `offset` (image coordinates, which are 2 across): the poses move with it, and
/// what lies in the bin does not.
pub fn shifted_targets(mut targets: [f32; AUXILIARY_LEN], offset: [f32; 2]) -> [f32; AUXILIARY_LEN] {
    for pose in targets[AUXILIARY_MAPS * CELLS..].chunks_exact_mut(POSE).take(2) {
        pose[0] += offset[0];
        pose[1] += offset[1];
    }
    targets
}

/// The weight of each number's squared error: a map's mean counts one, and a place in the image must be exact.
pub fn auxiliary_weights() -> [f32; AUXILIARY_LEN] {
    let mut weights = [1.0 / CELLS as f32; AUXILIARY_LEN];
    let (poses, grip) = weights[AUXILIARY_MAPS * CELLS..].split_at_mut(2 * POSE);
    for pose in poses.chunks_exact_mut(POSE) {
        pose.copy_from_slice(&[2.5, 2.5, 0.25, 0.25]);
    }
    grip.fill(0.5);
    weights
}

#[cfg(test)]
mod tests {
    use super::*;
    use glam::Vec2;

    #[test]
    fn what_is_kept_is_what_was_measured() {
        let plane = crate::rl::qtopt::network::Projection::from_above(0.4).plane(0.1);
        assert_eq!(auxiliary_targets(&PrivilegedState::UNKNOWN, &plane, CELL_M), None);
        let heights: Vec<f32> = (0..CELLS).map(|i| (i % 250) as f32 * 0.001).collect();
        let kept = PrivilegedState::new(&heights, Some(0.05), Vec2::new(0.05, -0.1), 0.25);
        let kept = kept.with_grip(0.02, 5.0);
        let targets = auxiliary_targets(&kept, &plane, CELL_M).unwrap_or([f32::NAN; AUXILIARY_LEN]);
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
        let shifted = shifted_targets(targets, [0.125, -0.25]);
        let moved: Vec<f32> = shifted.iter().zip(&targets).map(|(a, b)| a - b).collect();
        assert!(moved[..2 * CELLS].iter().chain(&moved[2 * CELLS + 2 * POSE..]).all(|&by| by == 0.0));
        let expected = [0.125, -0.25, 0.0, 0.0];
        assert!(moved[2 * CELLS..][..8].iter().zip(expected.iter().cycle()).all(|(a, b)| (a - b).abs() < 1e-6));
        // 5 cm are four cells from the middle, which lies between two: 4 mm to each side fill most of a cell, in two halves.
        let rows: Vec<f32> = targets[CELLS..2 * CELLS].chunks_exact(MAP).map(|row| row[7]).collect();
        let expected = |row: usize| if row == 19 || row == 20 { 0.32 } else { 0.0 };
        assert!(rows.iter().enumerate().all(|(row, share)| (share - expected(row)).abs() < 0.01), "{rows:?}");
        let without = PrivilegedState::new(&heights, None, Vec2::ZERO, 0.0);
        let without = auxiliary_targets(&without, &plane, CELL_M).unwrap_or([f32::NAN; AUXILIARY_LEN]);
        assert!(without[CELLS..2 * CELLS].iter().all(|&share| share == 0.0));
    }
}
