//! Where the gripper may be: over a bin, between floor and ceiling, within the arm's reach. In: a place. Out: the nearest
//! that is allowed.

use super::GraspWorld;
use crate::scene::{BinDescription, CellDescription};
use glam::{Vec2, Vec3};

/// Times that a place is put back over the bin and within reach in turn: both are convex but for the hole around the
/// base, so that this ends near the place asked for.
const ROUNDS: usize = 16;
/// A place further than this from being allowed is not.
const NEAR_ENOUGH: f32 = 1e-4;

impl GraspWorld<'_> {
    /// The nearest place where the gripper may be: over a bin, between floor and ceiling, within the arm's reach.
    pub fn clamp_to_workspace(&self, place: Vec3) -> Vec3 {
        let cell = &self.cell;
        let inside = |bin: &BinDescription| {
            let over = over_bin(cell, bin, place);
            match cell.motion.reach_m {
                None => Some(over),
                Some(reach) => over_bin_within_reach(cell, bin, over, reach),
            }
        };
        cell.bins
            .iter()
            .filter_map(inside)
            .min_by(|a, b| a.distance_squared(place).total_cmp(&b.distance_squared(place)))
            .unwrap_or_else(|| self.gripper_pose().translation)
    }
}

/// The nearest place over a bin, between floor and ceiling.
fn over_bin(cell: &CellDescription, bin: &BinDescription, place: Vec3) -> Vec3 {
    let limits = &cell.motion;
    let half = (bin.half_size() - limits.wall_margin).extend(0.0);
    let heights = [limits.floor_clearance, limits.ceiling.max(limits.floor_clearance)];
    if bin.yaw_rad == 0.0 {
        let (low, high) = (bin.position - half, bin.position + half);
        return place.clamp(low + Vec3::Z * heights[0], high + Vec3::Z * heights[1]);
    }
    let local = bin.to_bin(place).clamp(-half + Vec3::Z * heights[0], half + Vec3::Z * heights[1]);
    bin.world_from_bin().transform_point(local)
}

/// A place over a bin and between two distances from the arm's base, near the one given; `None` where there is none.
fn over_bin_within_reach(cell: &CellDescription, bin: &BinDescription, place: Vec3, reach: [f32; 2]) -> Option<Vec3> {
    let base = cell.arm_base.position.truncate();
    let within_reach = |place: Vec3| {
        let way = place.truncate() - base;
        let distance = way.length();
        let direction = if distance > 1e-6 { way / distance } else { Vec2::X };
        (base + direction * distance.clamp(reach[0], reach[1])).extend(place.z)
    };
    let mut place = place;
    for _ in 0..ROUNDS {
        let reached = within_reach(place);
        let moved = reached.distance(place);
        place = over_bin(cell, bin, reached);
        if moved < NEAR_ENOUGH {
            break;
        }
    }
    (within_reach(place).distance(place) < 10.0 * NEAR_ENOUGH).then_some(place)
}
