//! What a person may do to a cell besides acting through the robot: let time pass, and pull at objects.
//!
//! In: an object, a point on it, where to pull it. Out: a bounded force on that point; nothing is teleported.

use super::{GraspWorld, GraspWorldMut};
use crate::sim::object_body::PieceBody;
use glam::Vec3;
use std::f32::consts::TAU;
use std::sync::Arc;

/// The hand is a critically damped spring of this frequency, Hz.
const STIFFNESS_HZ: f32 = 5.0;
/// The hand gives way beyond this acceleration of what it holds, m/s^2.
const STRENGTH: f32 = 80.0;
/// Rate (1/s) at which the hand calms the turning of what it holds.
const STEADINESS: f32 = 12.0;

impl GraspWorldMut<'_> {
    /// Lets time pass between motions. Does nothing while a motion is carried out: that is [`Self::advance`]'s.
    pub fn idle(&mut self, ticks: u32) {
        if self.motion.is_none() {
            (0..ticks).for_each(|_| self.physics_tick());
            self.publish();
        }
    }

    /// Pulls a point of an object (in the object's frame) towards a place in the world during the coming tick. Call it
    /// before every tick, and [`Self::release_object`] at the end. Of a spring-jointed object the nearest piece is pulled.
    /// No effect on objects that do not exist.
    pub fn pull_object(&mut self, index: usize, body_point: Vec3, place: Vec3) {
        let Some(model) = self.state.models.get(index).map(Arc::clone) else { return };
        self.release_object(index);
        let point = self.physics.view().object_pose(index).transform_point(body_point);
        let piece = self.nearest_piece(index, point);
        let handle = self.physics.cell.objects[index].pieces[piece].handle;
        let Some(body) = self.physics.world.bodies.get_mut(handle) else { return };
        // A light piece that carries the others is pulled more softly, so that the force on it alone stays stable.
        let (inertia, softness) = match &model.assembly {
            None => (model.inertia, 1.0),
            Some(assembly) => (assembly.pieces[piece].inertia, (assembly.pieces[piece].mass_kg / model.mass_kg).sqrt()),
        };
        let rate = TAU * STIFFNESS_HZ * softness;
        let wanted = (place - point) * (rate * rate) - body.velocity_at_point(point) * (2.0 * rate);
        let acceleration = wanted.clamp_length_max(STRENGTH) + Vec3::Z * 9.81;
        let spin = body.angvel();
        body.add_force_at_point(acceleration * model.mass_kg, point, true);
        body.add_torque(-spin * (STEADINESS * inertia.principal_kg_m2.max_element()), true);
    }

    /// The piece of an object whose middle is nearest to a point in the world.
    fn nearest_piece(&self, index: usize, point: Vec3) -> usize {
        let bodies = &self.physics.world.bodies;
        let distance = |piece: &PieceBody| bodies[piece.handle].center_of_mass().distance_squared(point);
        let pieces = self.physics.cell.objects[index].pieces.iter().map(distance).enumerate();
        pieces.min_by(|a, b| a.1.total_cmp(&b.1)).map_or(0, |(number, _)| number)
    }

    /// Lets go of an object.
    pub fn release_object(&mut self, index: usize) {
        let Some(object) = self.physics.cell.objects.get(index) else { return };
        for piece in &object.pieces {
            if let Some(body) = self.physics.world.bodies.get_mut(piece.handle) {
                body.reset_forces(true);
                body.reset_torques(true);
            }
        }
    }
}

impl GraspWorld<'_> {
    /// Whether all objects rest.
    pub fn is_calm(&self) -> bool {
        self.physics.all_asleep()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::{Pose, Seed};
    use crate::objects::{ObjectSet, Split};
    use crate::scene::CellDescription;
    use crate::sim::{GraspWorldBundle, SimConfig};

    #[test]
    fn a_hand_lifts_moves_and_drops() {
        let cell = Arc::new(CellDescription::iiwa_bin());
        let mut world = GraspWorldBundle::new(cell, &SimConfig::default());
        let objects = ObjectSet::builtin().split(Split::Train);
        world.edit().reset(&objects[..2], Seed(1));
        let start: Pose = world.object_poses()[0];
        let place = start.translation + Vec3::new(0.0, 0.0, 0.2);
        for _ in 0..480 {
            world.edit().pull_object(0, Vec3::ZERO, place);
            world.edit().idle(1);
        }
        let lifted = world.object_poses()[0].translation;
        assert!(lifted.distance(place) < 0.02, "{lifted} is not at {place}");
        world.edit().release_object(0);
        world.edit().idle(480);
        assert!(world.object_poses()[0].translation.z < start.translation.z + 0.08, "it did not fall");
        world.edit().pull_object(99, Vec3::ZERO, place);
        world.edit().release_object(99);
    }
}
