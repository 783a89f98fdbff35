//! Where things are put: the bins as a group, the objects in them or outside, the gripper at its start.
//!
//! In: the described cell, a drawn place, randomness. Out: the episode's cell and drop poses.

use super::{GraspCell, GraspWorld, GraspWorldMut};
use crate::contract::{Pose, Rng};
use crate::objects::{ObjectModel, rest::draw_rest};
use crate::scene::{BinDescription, BinGroupPose, CellDescription, Placement};
use crate::sim::motion::ToolPose;
use glam::{Quat, Vec2, Vec3};
use std::f32::consts::PI;
use std::sync::Arc;

/// Where what has been grasped is put: under the floor, where nothing sees or meets it.
const OUTSIDE: Vec3 = Vec3::new(0.0, 0.0, -2.0);
/// A bin counts as within reach when the arm reaches this far beyond its middle, metres.
const BEYOND_MIDDLE: f32 = 0.08;
/// With less room than this for the sphere around an object, its extents as it is turned are used instead, metres.
const TIGHT: f32 = 0.05;
/// Objects are put down from this far above where they rest, metres.
const ABOVE: f32 = 0.0005;
/// Places that are tried for an object before it is dropped instead.
const TRIES: usize = 20;

impl GraspWorldMut<'_> {
    /// Puts the bins as a group at a place and chooses those to be filled.
    pub(super) fn place_bins(&mut self, pose: BinGroupPose) {
        let Some(group) = &self.nominal.bin_group else {
            self.state.filled = self.fillable(&self.nominal.objects.bins);
            return;
        };
        let placement = pose.placement.and_then(|number| group.placements.get(number));
        let named = placement.map(|placement| &placement.bins).filter(|bins| !bins.is_empty());
        let named = named.unwrap_or(&self.nominal.objects.bins).clone();
        self.state.group_pose = pose;
        self.state.cell = Arc::new(self.nominal.with_bin_group_at(pose));
        self.state.filled = self.fillable(&named);
    }

    /// Which objects are dropped before the next attempt, after those that leave have been put outside.
    pub(super) fn returning(&mut self, grasped: &[usize]) -> Vec<usize> {
        let count = self.models.len();
        let grasped = grasped.iter().copied().filter(|&index| index < count);
        if !self.cell.objects.remove_on_success {
            return grasped.collect();
        }
        for index in grasped {
            self.physics.move_object(index, Pose::from_translation(OUTSIDE));
            self.physics.set_object_present(index, false);
        }
        if self.view().objects_present() == 0 { (0..count).collect() } else { Vec::new() }
    }
}

impl GraspCell {
    /// Of the bins named (of all where none is) those within the arm's reach, or all if none is.
    fn fillable(&self, named: &[usize]) -> Vec<usize> {
        let count = self.cell.bins.len();
        let named: Vec<usize> = if named.is_empty() { (0..count).collect() } else { named.to_vec() };
        let named: Vec<usize> = named.into_iter().filter(|&bin| bin < count).collect();
        let Some([near, far]) = self.cell.motion.reach_m else { return named };
        let base = self.cell.arm_base.position;
        let within = |bin: &usize| {
            let distance = (self.cell.bins[*bin].position - base).truncate().length();
            distance - BEYOND_MIDDLE >= near && distance + BEYOND_MIDDLE <= far
        };
        let reached: Vec<usize> = named.iter().copied().filter(within).collect();
        if reached.is_empty() { named } else { reached }
    }

    /// The gripper's start: over the middle of the bins as described, which is before the robot wherever the group
    /// stands.
    pub(super) fn home(&self, offset: Vec3) -> ToolPose {
        let centre = self.nominal.middle_of_bins();
        ToolPose { position: centre + offset + Vec3::Z * self.cell.motion.home_height, yaw: 0.0 }
    }

    /// The cell as described, before its bins were placed.
    pub fn nominal_cell(&self) -> &Arc<CellDescription> {
        &self.nominal
    }

    /// Where the bins as a group stand in this episode; all zero in a cell whose bins stay where they are.
    pub fn bin_group_pose(&self) -> BinGroupPose {
        self.group_pose
    }

    /// Numbers of the bins that objects are dropped into in this episode.
    pub fn filled_bins(&self) -> &[usize] {
        &self.filled
    }
}

impl GraspWorld<'_> {
    /// A random pose over a bin, as low as the objects before `index` and the divider allow.
    pub(super) fn drop_pose(&self, model: &ObjectModel, index: usize, rng: &mut Rng) -> Pose {
        let bin = &self.cell.bins[*rng.pick(&self.filled)];
        let radius = model.bounding_radius();
        let mut room = (bin.half_size() - radius).max(Vec2::ZERO);
        let rotation = rng.rotation();
        if room.min_element() < TIGHT {
            room = (bin.half_size() - half_extents(bin, model, rotation)).max(Vec2::ZERO);
        }
        if let Some(area) = self.cell.objects.area_m {
            room = room.min(0.5 * area);
        }
        if self.cell.objects.placement == Placement::Rest
            && let Some(pose) = self.rest_pose(model, index, room, rng)
        {
            return pose;
        }
        let above_divider = bin.divider.map_or(0.0, |divider| divider.height);
        // Of a few places take the one where the object can start lowest: less to fall, sooner at rest.
        let mut best = Vec3::splat(f32::INFINITY);
        for _ in 0..4 {
            let (x, y) = (rng.range(-room.x, room.x), rng.range(-room.y, room.y));
            let local = Vec3::new(x, y, above_divider + radius + 0.005);
            let mut place = bin.world_from_bin().transform_point(local);
            for (other, body) in self.physics.objects.iter().enumerate() {
                let centre = self.physics.object_pose(other).translation;
                if other != index {
                    let apart = radius + body.radius + 0.002;
                    let horizontal = (place - centre).truncate().length();
                    if horizontal < apart && (place.z - centre.z).abs() < apart {
                        place.z = place.z.max(centre.z + (apart * apart - horizontal * horizontal).sqrt());
                    }
                }
            }
            if place.z < best.z {
                best = place;
            }
        }
        Pose::new(best, rotation)
    }

    /// A place on a bin's floor where the object rests and is clear of the objects before `index`; none where a few tries
    /// find none.
    fn rest_pose(&self, model: &ObjectModel, index: usize, room: Vec2, rng: &mut Rng) -> Option<Pose> {
        let bin = &self.cell.bins[*rng.pick(&self.filled)];
        let rest = draw_rest(&model.graspable_rests(&self.cell.jaws()), rng)?;
        for _ in 0..TRIES {
            let (x, y) = (rng.range(-room.x, room.x), rng.range(-room.y, room.y));
            let rotation = Quat::from_rotation_z(rng.range(-PI, PI)) * rest.world_from_body;
            let place = bin.world_from_bin().transform_point(Vec3::new(x, y, rest.height_m + ABOVE));
            let radius = model.bounding_radius();
            let clear =
                self.physics.objects.iter().enumerate().filter(|(other, _)| *other != index).all(|(other, body)| {
                    self.physics.object_pose(other).translation.distance(place) > radius + body.radius
                });
            let beside_divider = bin.divider.is_none_or(|divider| {
                let offset = self.divider_offsets.first().copied().unwrap_or(0.0);
                (y - offset).abs() > radius + divider.thickness
            });
            if clear && beside_divider {
                return Some(Pose::new(place, rotation));
            }
        }
        None
    }

    /// Whether an object is in the cell; false once it has been put outside.
    pub fn is_present(&self, index: usize) -> bool {
        self.physics.is_present(index)
    }

    /// Objects in the cell.
    pub fn objects_present(&self) -> usize {
        (0..self.models.len()).filter(|&index| self.is_present(index)).count()
    }
}

/// Half of what a turned object takes up along a bin's x and y, about its centre of mass.
fn half_extents(bin: &BinDescription, model: &ObjectModel, rotation: glam::Quat) -> Vec2 {
    let turn = glam::Quat::from_rotation_z(-bin.yaw_rad) * rotation;
    model.corners().iter().map(|&corner| (turn * corner).truncate().abs()).fold(Vec2::ZERO, Vec2::max) + 0.002
}
