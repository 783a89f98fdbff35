//! What can be asked of a world: by policies, planners, checks and overlays. In: a world at rest between ticks. Out:
//! the gripper's state, contacts, free space.

use super::GraspWorld;
use crate::contract::{GripperState, Pose};
use crate::sim::gripper::Gripper;
use glam::{Quat, Vec3};

impl GraspWorld {
    /// The gripper's frame: origin midway between the tips, z up, x the closing direction.
    pub fn gripper_pose(&self) -> Pose {
        self.gripper.as_ref().map_or(Pose::IDENTITY, |gripper| gripper.palm_pose(&self.physics))
    }

    /// Rotation about the vertical, followed over full turns.
    pub fn gripper_yaw(&self) -> f32 {
        self.tool_pose().yaw
    }

    pub fn gripper_state(&self) -> GripperState {
        let floor = self.cell.bins.first().map_or(0.0, |bin| bin.position.z);
        GripperState {
            closed: self.gripper.as_ref().is_some_and(Gripper::closed),
            height_m: self.gripper_pose().translation.z - floor,
            aperture_m: self.gripper.as_ref().map_or(0.0, |gripper| gripper.aperture(&self.physics)),
        }
    }

    /// Force that each finger and the palm feel from what they touch, newtons: fingers 0 and 1, palm.
    pub fn contact_forces(&self) -> [f32; 3] {
        let Some(gripper) = &self.gripper else { return [0.0; 3] };
        gripper.colliders().map(|collider| {
            let pairs = self.physics.world.narrow_phase.contact_pairs_with(collider);
            pairs.map(|pair| pair.total_impulse_magnitude()).sum::<f32>() / self.config.dt()
        })
    }

    /// Points in the world where bodies touch, for overlays.
    pub fn contact_points(&self) -> Vec<Vec3> {
        let mut points = Vec::new();
        for pair in self.physics.world.contact_pairs() {
            for manifold in pair.solver_manifolds() {
                let Some(collider) = self.physics.world.colliders.get(pair.collider1) else { continue };
                let pose = *collider.position();
                let pose = manifold.subshape_pos1().map_or(pose, |local| pose * *local);
                points.extend(manifold.points.iter().filter(|p| p.dist < 0.0005).map(|p| pose * p.local_p1));
            }
        }
        points
    }

    /// The flange's frame.
    pub fn wrist_pose(&self) -> Pose {
        self.gripper_pose() * self.cell.gripper.gripper_from_flange()
    }

    /// Highest point of an object's collision shape, world z.
    pub fn highest_point(&self, index: usize) -> f32 {
        let pose = self.physics.object_pose(index);
        let corners = &self.physics.objects[index].corners;
        corners.iter().map(|&corner| pose.transform_point(corner).z).fold(f32::NEG_INFINITY, f32::max)
    }

    /// Height of the objects' surface above the floor of the first bin at places given from its centre along the axes of
    /// the world, metres; 0 where there is no object.
    pub fn object_heights(&self, places: &[glam::Vec2]) -> Vec<f32> {
        let origin = self.cell.bins.first().map_or(Vec3::ZERO, |bin| bin.position);
        let bounds: Vec<(Vec3, Vec3)> =
            (0..self.objects().len()).map(|index| self.physics.object_bounds(index)).collect();
        let height = |place: &glam::Vec2| {
            let above = origin + place.extend(0.5);
            let within = |(low, high): &(Vec3, Vec3)| {
                above.truncate().cmpge(low.truncate()).all() && above.truncate().cmple(high.truncate()).all()
            };
            if !bounds.iter().any(within) {
                return 0.0;
            }
            self.physics.height_of_objects(above).map_or(0.0, |z| (z - origin.z).max(0.0))
        };
        places.iter().map(height).collect()
    }

    /// Whether a box (half extents, centre, rotation) touches neither the cell nor any object but `ignored`.
    pub fn is_free(&self, half: Vec3, centre: Vec3, rotation: Quat, ignored: Option<usize>) -> bool {
        self.physics.is_free(half, Pose::new(centre, rotation), ignored)
    }

    /// Whether a box touches no wall, floor or divider.
    pub fn is_clear_of_cell(&self, half: Vec3, centre: Vec3, rotation: Quat) -> bool {
        self.physics.is_clear_of_cell(half, Pose::new(centre, rotation))
    }
}
