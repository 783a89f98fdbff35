//! What can be asked of a world: by policies, planners, checks and overlays. In: a world at rest between ticks. Out:
//! the gripper's state, contacts, free space.

use super::GraspWorld;
use crate::contract::{GripperState, Pose};
use crate::sim::gripper::Gripper;
use crate::sim::motion::ToolPose;
use glam::{Quat, Vec3};

impl GraspWorld<'_> {
    /// Where the gripper is: the point between the finger tips, and its yaw, followed over full turns.
    pub fn tool_pose(&self) -> ToolPose {
        self.gripper
            .as_ref()
            .map_or(ToolPose { position: Vec3::ZERO, yaw: 0.0 }, |gripper| gripper.tool_pose(&self.physics))
    }

    /// The gripper's frame: origin midway between the tips, z up, x the closing direction.
    pub fn gripper_pose(&self) -> Pose {
        self.gripper.as_ref().map_or(Pose::IDENTITY, |gripper| gripper.palm_pose(&self.physics))
    }

    /// Rotation about the vertical, followed over full turns.
    pub fn gripper_yaw(&self) -> f32 {
        self.tool_pose().yaw
    }

    /// What the gripper's own sensors say: its command, height above the workspace's centre, and aperture.
    /// Displacements of actions are left at 0.
    pub fn gripper_state(&self) -> GripperState {
        GripperState {
            closed: self.gripper.as_ref().is_some_and(Gripper::closed),
            height_m: self.gripper_pose().translation.z - self.workspace_centre().z,
            aperture_m: self.gripper.as_ref().map_or(0.0, |gripper| gripper.aperture(&self.physics)),
            ..GripperState::default()
        }
    }

    /// Force that each finger and the palm feel from what they touch, newtons: fingers 0 and 1, palm.
    pub fn contact_forces(&self) -> [f32; 3] {
        let Some(gripper) = &self.gripper else { return [0.0; 3] };
        gripper.colliders().map(|collider| {
            let pairs = self.physics.world.simulation.narrow_phase.contact_pairs_with(collider);
            pairs.map(|pair| pair.total_impulse_magnitude()).sum::<f32>() / self.config.dt()
        })
    }

    /// Points in the world where bodies touch, for overlays.
    pub fn contact_points(&self) -> Vec<Vec3> {
        let mut points = Vec::new();
        for pair in self.physics.world.simulation.narrow_phase.contact_pairs() {
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
        self.physics.highest_point(index)
    }

    /// The middle of the floors of all bins where they stand in this episode: heights and places are measured from there.
    pub fn workspace_centre(&self) -> Vec3 {
        self.cell.middle_of_bins()
    }

    /// The place along the world's y of the divider that is nearest to a point, from there, metres; none without one.
    pub fn divider_from(&self, point: Vec3) -> Option<f32> {
        let dividers = self.cell.bins.iter().zip(&self.divider_offsets).filter(|(bin, _)| bin.divider.is_some());
        let places = dividers.map(|(bin, offset)| bin.position.y + offset - point.y);
        places.min_by(|a, b| a.abs().total_cmp(&b.abs()))
    }

    /// The pose of an object in physics, where a motion may be under way. Of a spring-jointed one: its centre of mass, and the
    /// mean rotation of its pieces.
    pub fn object_pose(&self, index: usize) -> Pose {
        self.physics.object_pose(index)
    }

    /// Lowest point of an object's collision shape, world z.
    pub fn lowest_point(&self, index: usize) -> f32 {
        self.physics.lowest_point(index)
    }

    /// Height of the objects' surface above `origin` at places given from there along the axes of the world, metres; 0 where
    /// there is no object.
    pub fn object_heights(&self, origin: Vec3, places: &[glam::Vec2]) -> Vec<f32> {
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
