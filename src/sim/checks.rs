//! Whether a world is still sound: nothing outside the bins, nothing inside a wall, no NaN.

use super::GraspWorld;
use crate::scene::BinDescription;
use glam::Vec3;

/// Bins closer than this share the wall between them, metres.
const NEIGHBOUR_GAP: f32 = 0.1;

/// What was found in one world.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct WorldCheck {
    /// No pose is NaN or infinite; where it is false nothing else was looked at.
    pub finite: bool,
    /// Objects below a bin's floor or with their centre outside every bin: between neighbours a bin reaches to the middle
    /// of the gap, so that what lies on the walls there is not outside.
    pub out_of_bounds: usize,
    /// How deep the deepest corner of any object is in a bin's floor, wall or divider.
    pub deepest_m: f32,
}

impl GraspWorld<'_> {
    /// Looks at every corner of every object.
    pub fn check(&self) -> WorldCheck {
        let mut check =
            WorldCheck { finite: self.body_poses().iter().all(|pose| pose.is_finite()), ..WorldCheck::default() };
        if !check.finite {
            return check;
        }
        for (index, pose) in self.object_poses().iter().enumerate().filter(|(index, _)| self.is_present(*index)) {
            let home = self.cell().bins.iter().zip(self.divider_offsets()).find(|(bin, _)| {
                is_over(&self.cell().bins, bin, pose.translation) && pose.translation.z > bin.position.z
            });
            let Some((bin, &offset)) = home else {
                check.out_of_bounds += 1;
                continue;
            };
            let pieces = self.physics.objects[index].pieces.iter().zip(self.piece_poses(index));
            let corners =
                pieces.flat_map(|(piece, pose)| piece.corners.iter().map(move |&corner| pose.transform_point(corner)));
            for point in corners {
                // A corner over a neighbour is judged by that one's floor and walls.
                let (bin, offset) = self
                    .cell()
                    .bins
                    .iter()
                    .zip(self.divider_offsets())
                    .find(|(other, _)| is_over(&self.cell().bins, other, point))
                    .map_or((bin, offset), |(other, &offset)| (other, offset));
                check.deepest_m = check.deepest_m.max(depth_in_bin(bin, offset, point));
            }
        }
        check
    }

    /// The bin over which a point is: between neighbours, to the middle of the gap.
    pub fn bin_below(&self, point: Vec3) -> Option<usize> {
        self.cell().bins.iter().position(|bin| is_over(&self.cell().bins, bin, point))
    }
}

/// Whether a point is horizontally inside a bin, whose inside reaches to the middle of the gap to a neighbour.
fn is_over(bins: &[BinDescription], bin: &BinDescription, point: Vec3) -> bool {
    if bins.len() == 1 {
        return bin.contains_xy(point, 0.0);
    }
    let outside = |bin: &BinDescription| (bin.to_bin(point).truncate().abs() - bin.half_size()).max_element();
    let own = outside(bin);
    let nearest = bins.iter().map(outside).fold(f32::INFINITY, f32::min);
    let gap = bins.iter().filter(|other| !std::ptr::eq(*other, bin)).map(|other| bin.gap_to(other).max_element());
    own <= nearest && own <= 0.5 * gap.fold(f32::INFINITY, f32::min).clamp(0.0, NEIGHBOUR_GAP)
}

/// How deep a point is in the solid of a bin's floor, walls or divider; 0 where it is free.
fn depth_in_bin(bin: &BinDescription, divider_offset: f32, point: Vec3) -> f32 {
    let local = bin.to_bin(point);
    let half = bin.half_size();
    let in_floor = -local.z;
    // In a wall: as far as the nearer of its inner face and its top.
    let beyond = (local.x.abs() - half.x).max(local.y.abs() - half.y);
    let in_wall = beyond.min(bin.wall_height - local.z);
    let in_divider = bin.divider.map_or(0.0, |divider| {
        let sideways = 0.5 * divider.thickness - (local.y - divider_offset).abs();
        sideways.min(divider.height - local.z)
    });
    in_floor.max(in_wall).max(in_divider).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scene::CellDescription;

    #[test]
    fn depths_by_hand() {
        let bin = &CellDescription::iiwa_bin().bins[0];
        let depth = |x: f32, y: f32, z: f32| depth_in_bin(bin, 0.02, bin.position + Vec3::new(x, y, z));
        let close = |a: f32, b: f32| (a - b).abs() < 1e-6;
        assert!(close(depth(0.0, -0.1, 0.01), 0.0));
        assert!(close(depth(0.0, -0.1, -0.004), 0.004));
        // 5 mm beyond the wall at half its height, 1 mm below its top, and above it.
        assert!(close(depth(0.155, 0.0, 0.03), 0.005));
        assert!(close(depth(0.155, 0.0, 0.074), 0.001));
        assert!(close(depth(0.155, 0.0, 0.08), 0.0));
        // The divider is 8 mm thick and 45 mm high, here at y = 2 cm.
        assert!(close(depth(0.0, 0.021, 0.02), 0.003));
        assert!(close(depth(0.0, 0.02, 0.05), 0.0));
    }
}
