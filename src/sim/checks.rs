//! Whether a world is still sound: nothing outside the bins, nothing inside a wall, no NaN.

use super::GraspWorld;
use crate::scene::BinDescription;
use glam::Vec3;

/// What was found in one world.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct WorldCheck {
    pub finite: bool,
    /// Objects below a bin's floor or with their centre outside every bin's walls.
    pub out_of_bounds: usize,
    /// How deep the deepest corner of any object is in a bin's floor, wall or divider.
    pub deepest_m: f32,
}

impl GraspWorld {
    /// Looks at every corner of every object.
    pub fn check(&self) -> WorldCheck {
        let mut check =
            WorldCheck { finite: self.body_poses().iter().all(|pose| pose.is_finite()), ..WorldCheck::default() };
        if !check.finite {
            return check;
        }
        for (index, pose) in self.object_poses().iter().enumerate() {
            let home = self
                .cell()
                .bins
                .iter()
                .zip(self.divider_offsets())
                .find(|(bin, _)| bin.contains_xy(pose.translation, 0.0) && pose.translation.z > bin.position.z);
            let Some((bin, &offset)) = home else {
                check.out_of_bounds += 1;
                continue;
            };
            for &corner in &self.physics.objects[index].corners {
                let depth = depth_in_bin(bin, offset, pose.transform_point(corner));
                check.deepest_m = check.deepest_m.max(depth);
            }
        }
        check
    }
}

/// How deep a point is in the solid of a bin's floor, walls or divider; 0 where it is free.
fn depth_in_bin(bin: &BinDescription, divider_offset: f32, point: Vec3) -> f32 {
    let local = point - bin.position;
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
