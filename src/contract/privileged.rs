//! What only a simulator knows. Environments hand it out only when they were built with it, and learners that may not see
//! it never receive the type (the leak rule).

use super::FrameBatch;
use glam::{Vec2, Vec3};

/// Who may see what only a simulator knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PrivilegedAccess {
    /// Nobody: images and gripper state alone.
    #[default]
    Denied,
    /// Learners in simulation. Environments of a domain that stands for the real world refuse it.
    Simulation,
    /// Measurements against the truth, and runs that break the leak rule on purpose (a ceiling).
    GroundTruth,
}

/// What only a simulator knows of every environment.
#[derive(Clone, Debug, Default)]
pub struct Privileged {
    /// One for each environment; empty unless it was asked for.
    pub states: Vec<PrivilegedState>,
    /// One batch for each camera and domain, cameras outermost, in the order of the configuration: the domain's picture, the
    /// canonical one, masks and depth. Empty unless it was asked for and captured.
    pub frames: Vec<FrameBatch>,
}

/// Cells along an edge of the map of heights.
pub const MAP: usize = 32;
/// Edge of a cell of a usual bin's map, metres; a larger workspace has larger cells.
pub const CELL_M: f32 = 0.0125;
/// Cells of the whole map: [`MAP`] rows of [`MAP`].
pub const CELLS: usize = MAP * MAP;
/// A cell, and a sine of one, in the bytes that keep a pose.
const PLACE_BYTE: f32 = 6.25;
const TURN_BYTE: f32 = 120.0;
/// The same for a metre and a newton of a grip.
const APERTURE_BYTE: f32 = 2000.0;
const PINCH_BYTE: f32 = 5.0;
/// Where the bytes of the pose, of the divider and of the grip begin.
const POSE_AT: usize = 1 + CELLS;
const DIVIDER_AT: usize = POSE_AT + 4;
const GRIP_AT: usize = DIVIDER_AT + 1;
/// Bytes that keep them; a multiple of four.
const BYTES: usize = (GRIP_AT + 2).next_multiple_of(4);

/// Where the map of heights lies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MapFrame {
    /// Its middle, in the world, at the height of the bins' floors; it stands still, wherever the bins are put.
    pub centre: Vec3,
    /// Edge of a cell, metres.
    pub cell_m: f32,
}

/// Heights of the objects around the workspace's centre, the divider, the hand's pose and what it feels, in bytes. Places are
/// kept in cells of the map, and readers pass the size of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(transparent)]
pub struct PrivilegedState([u8; BYTES]);

impl Default for PrivilegedState {
    fn default() -> Self {
        Self::UNKNOWN
    }
}

impl PrivilegedState {
    /// The state that nothing is known of: all bytes 0, [`Self::is_known`] false.
    pub const UNKNOWN: Self = Self([0; BYTES]);

    /// Where heights are measured: from the map's centre along the axes of the world, metres; x runs first.
    pub fn places(cell_m: f32) -> [Vec2; CELLS] {
        let centre = |index: usize| (index as f32 - 0.5 * (MAP as f32 - 1.0)) * cell_m;
        std::array::from_fn(|i| Vec2::new(centre(i % MAP), centre(i / MAP)))
    }

    /// With the cells of a usual bin; see [`Self::with_cells`].
    pub fn new(heights_m: &[f32], divider_m: Option<f32>, place: Vec2, yaw_rad: f32) -> Self {
        Self::with_cells(CELL_M, heights_m, divider_m, place, yaw_rad)
    }

    /// From the objects' heights at [`Self::places`] (metres, kept to a millimetre), the divider's place along y (none
    /// without one), the gripper's place from the map's centre (metres) and its yaw (half a turn is the same to a
    /// parallel jaw).
    pub fn with_cells(cell_m: f32, heights_m: &[f32], divider_m: Option<f32>, place: Vec2, yaw_rad: f32) -> Self {
        let place_byte = PLACE_BYTE / cell_m;
        let mut bytes = [0; BYTES];
        bytes[0] = 1;
        for (byte, height) in bytes[1..=CELLS].iter_mut().zip(heights_m) {
            *byte = (height * 1000.0).clamp(0.0, 255.0) as u8;
        }
        let (sin, cos) = (2.0 * yaw_rad).sin_cos();
        let pose = [place.x * place_byte, place.y * place_byte, sin * TURN_BYTE, cos * TURN_BYTE];
        for (byte, value) in bytes[POSE_AT..].iter_mut().zip(pose) {
            *byte = (value + 127.5).clamp(0.0, 255.0) as u8;
        }
        // 0 says that there is none.
        bytes[DIVIDER_AT] = divider_m.map_or(0, |y| (y * place_byte + 128.5).clamp(1.0, 255.0) as u8);
        Self(bytes)
    }

    /// The same with the distance between the pads (metres) and the lesser of the forces on them (newtons).
    pub fn with_grip(mut self, aperture_m: f32, pinch_n: f32) -> Self {
        self.0[GRIP_AT] = (aperture_m * APERTURE_BYTE + 0.5).clamp(0.0, 255.0) as u8;
        self.0[GRIP_AT + 1] = (pinch_n * PINCH_BYTE + 0.5).clamp(0.0, 255.0) as u8;
        self
    }

    /// Whether the state was measured; false for [`Self::UNKNOWN`], whose numbers mean nothing.
    pub fn is_known(&self) -> bool {
        self.0[0] == 1
    }

    /// Heights at [`Self::places`], metres.
    pub fn heights_m(&self) -> impl Iterator<Item = f32> + '_ {
        self.0[1..=CELLS].iter().map(|&byte| f32::from(byte) * 0.001)
    }

    /// The divider's place along y from the map's centre, metres; none without one.
    pub fn divider_m(&self, cell_m: f32) -> Option<f32> {
        let byte = self.0[DIVIDER_AT];
        (byte > 0).then(|| (f32::from(byte) - 128.0) / (PLACE_BYTE / cell_m))
    }

    /// The gripper's place from the map's centre, metres, and sine and cosine of twice its yaw.
    pub fn hand(&self, cell_m: f32) -> (Vec2, [f32; 2]) {
        let centred = |index: usize| f32::from(self.0[POSE_AT + index]) - 127.0;
        (Vec2::new(centred(0), centred(1)) / (PLACE_BYTE / cell_m), [centred(2) / TURN_BYTE, centred(3) / TURN_BYTE])
    }

    /// Distance between the pads, metres, and the lesser of the forces on them, newtons.
    pub fn grip(&self) -> (f32, f32) {
        let felt = |index: usize| f32::from(self.0[GRIP_AT + index]);
        (felt(0) / APERTURE_BYTE, felt(1) / PINCH_BYTE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_map_is_centred_and_bytes_keep_a_millimetre() {
        let places = PrivilegedState::places(CELL_M);
        assert!((places[0] - Vec2::splat(-0.19375)).length() < 1e-6);
        assert!((places[1] - places[0] - Vec2::new(0.0125, 0.0)).length() < 1e-6);
        assert!(!PrivilegedState::UNKNOWN.is_known());
        let heights: Vec<f32> = (0..CELLS).map(|i| (i % 250) as f32 * 0.001).collect();
        let kept = PrivilegedState::new(&heights, Some(0.05), Vec2::new(0.05, -0.1), 0.25).with_grip(0.02, 5.0);
        assert!(kept.is_known() && kept.heights_m().zip(&heights).all(|(a, b)| (a - b).abs() < 0.0011));
        assert!(kept.divider_m(CELL_M).is_some_and(|y| (y - 0.05).abs() < 0.002));
        let (place, [sin, cos]) = kept.hand(CELL_M);
        assert!(place.distance(Vec2::new(0.05, -0.1)) < 0.003, "{place}");
        assert!((sin - 0.5_f32.sin()).abs() < 0.01 && (cos - 0.5_f32.cos()).abs() < 0.01);
        assert_eq!(kept.grip(), (0.02, 5.0));
        assert_eq!(PrivilegedState::new(&heights, None, Vec2::ZERO, 0.0).divider_m(CELL_M), None);
    }
}
