//! The objects of a Rapier world: one rigid body, or several that springs join. In: object models and poses. Out: bodies,
//! and where an object is as a whole.

use super::physics::{Physics, PhysicsMut, from_rapier, object_groups, solid, to_rapier};
use super::springs;
use crate::contract::Pose;
use crate::objects::{Assembly, ConvexPart, Inertia, ObjectModel};
use bevy_rapier3d::rapier::prelude::{
    Collider, ImpulseJointHandle, MassProperties, RigidBodyBuilder, RigidBodyHandle, SharedShape,
};
use glam::Vec3;
use std::sync::Arc;

/// One rigid body of an object.
pub(super) struct PieceBody {
    pub handle: RigidBodyHandle,
    /// Corners of the collision shape in the body's frame.
    pub corners: Vec<Vec3>,
}

/// A graspable object and what is needed to judge where it is.
pub(super) struct ObjectBody {
    /// At least one. The bodies of a spring-jointed object all have the object's frame at rest.
    pub pieces: Vec<PieceBody>,
    /// Of a spring-jointed object: its description, and the joints that hold it together.
    pub springs: Option<(Arc<Assembly>, Vec<ImpulseJointHandle>)>,
    pub radius: f32,
}

impl PhysicsMut<'_> {
    /// Puts an object at a pose, at rest.
    pub fn insert_object(&mut self, model: &ObjectModel, pose: Pose) {
        let corners = model.corners();
        let radius = corners.iter().map(|corner| corner.length()).fold(0.0, f32::max);
        let body = RigidBodyBuilder::dynamic().pose(to_rapier(pose));
        let object = match &model.assembly {
            None => {
                let mass = (Vec3::ZERO, model.mass_kg, model.inertia);
                let handle = self.insert_piece(body, mass, &model.parts, model);
                ObjectBody { pieces: vec![PieceBody { handle, corners }], springs: None, radius }
            }
            Some(assembly) => {
                let body = body.additional_solver_iterations(springs::EXTRA_ITERATIONS);
                let piece = |piece: &crate::objects::Piece| {
                    let mass = (piece.center, piece.mass_kg, piece.inertia);
                    let handle = self.insert_piece(body.clone(), mass, &piece.parts, model);
                    PieceBody { handle, corners: piece.corners() }
                };
                let pieces: Vec<PieceBody> = assembly.pieces.iter().map(piece).collect();
                let joints = springs::insert(&mut self.world, assembly, &pieces);
                ObjectBody { pieces, springs: Some((Arc::clone(assembly), joints)), radius }
            }
        };
        self.cell.objects.push(object);
    }

    fn insert_piece(
        &mut self,
        body: RigidBodyBuilder,
        (center, mass_kg, inertia): (Vec3, f32, Inertia),
        parts: &[ConvexPart],
        model: &ObjectModel,
    ) -> RigidBodyHandle {
        let properties = MassProperties::with_principal_inertia_frame(
            center,
            mass_kg,
            inertia.principal_kg_m2,
            inertia.body_from_principal,
        );
        let body = body
            .additional_mass_properties(properties)
            // A trace of drag stops round things from rolling for ever.
            .angular_damping(0.5)
            .build();
        let handle = self.world.insert_body(body);
        if let Some(body) = self.world.bodies.get_mut(handle) {
            body.activation_mut().time_until_sleep = 0.05;
        }
        for part in parts {
            if let Some(collider) = part_collider(part, model) {
                self.world.insert_collider(collider, Some(handle));
            }
        }
        handle
    }

    /// Puts an object elsewhere, at rest and in its rest shape.
    pub fn move_object(&mut self, index: usize, pose: Pose) {
        let object = &self.cell.objects[index];
        for piece in &object.pieces {
            if let Some(body) = self.world.bodies.get_mut(piece.handle) {
                body.set_position(to_rapier(pose), true);
                body.set_linvel(Vec3::ZERO, true);
                body.set_angvel(Vec3::ZERO, true);
            }
        }
        if let Some((_, joints)) = &object.springs {
            springs::relax(&mut self.world, joints);
        }
    }

    /// Takes an object out of the simulation, or puts it back in; where it stands is up to [`Self::move_object`].
    pub fn set_object_present(&mut self, index: usize, present: bool) {
        for piece in &self.cell.objects[index].pieces {
            if let Some(body) = self.world.bodies.get_mut(piece.handle) {
                body.set_enabled(present);
            }
        }
    }
}

impl Physics<'_> {
    /// Poses of the bodies of an object.
    pub fn piece_poses(&self, index: usize) -> impl Iterator<Item = Pose> + Clone + '_ {
        let bodies = self.world.bodies;
        self.objects[index].pieces.iter().map(move |piece| from_rapier(bodies[piece.handle].position()))
    }

    /// The pose of an object as a whole: of a spring-jointed one, its common centre of mass and mean rotation.
    pub fn object_pose(&self, index: usize) -> Pose {
        let object = &self.objects[index];
        match &object.springs {
            None => from_rapier(self.world.bodies[object.pieces[0].handle].position()),
            Some((assembly, _)) => assembly.object_pose(self.piece_poses(index)),
        }
    }

    /// Corners of an object's collision shape in the world.
    pub fn world_corners(&self, index: usize) -> impl Iterator<Item = Vec3> + '_ {
        let pieces = self.objects[index].pieces.iter().zip(self.piece_poses(index));
        pieces.flat_map(|(piece, pose)| piece.corners.iter().map(move |&corner| pose.transform_point(corner)))
    }

    /// Whether an object takes part in the simulation.
    pub fn is_present(&self, index: usize) -> bool {
        self.objects.get(index).is_some_and(|object| self.world.bodies[object.pieces[0].handle].is_enabled())
    }

    /// Lowest point of an object's collision shape, world z.
    pub fn lowest_point(&self, index: usize) -> f32 {
        self.world_corners(index).map(|corner| corner.z).fold(f32::INFINITY, f32::min)
    }

    /// Highest point of an object's collision shape, world z.
    pub fn highest_point(&self, index: usize) -> f32 {
        self.world_corners(index).map(|corner| corner.z).fold(f32::NEG_INFINITY, f32::max)
    }

    /// Bounds of an object's collision shape.
    pub fn object_bounds(&self, index: usize) -> (Vec3, Vec3) {
        self.world_corners(index).fold((Vec3::INFINITY, Vec3::NEG_INFINITY), |(low, high), p| (low.min(p), high.max(p)))
    }

    pub fn all_asleep(&self) -> bool {
        self.objects.iter().flat_map(|object| &object.pieces).all(|piece| {
            let body = &self.world.bodies[piece.handle];
            body.is_sleeping() || !body.is_enabled()
        })
    }
}

fn part_collider(part: &ConvexPart, model: &ObjectModel) -> Option<Collider> {
    let builder = match part {
        ConvexPart::Box { half_extents, body_from_part } => {
            solid(SharedShape::cuboid(half_extents.x, half_extents.y, half_extents.z), model.friction)
                .position(to_rapier(*body_from_part))
        }
        ConvexPart::Hull { points } => solid(SharedShape::convex_hull(points)?, model.friction),
    };
    Some(builder.restitution(model.restitution).collision_groups(object_groups()).build())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Seed;
    use crate::objects::{ObjectSet, Split};

    #[test]
    fn every_part_of_every_object_collides() {
        let sets = [
            ObjectSet::builtin().split(Split::Test),
            ObjectSet::ycb().expect("ten solids").objects().to_vec(),
            ObjectSet::spring_jointed().expect("six solids").objects().to_vec(),
            ObjectSet::household(Seed(0)).expect("solids").objects().to_vec(),
            ObjectSet::household(Seed(1)).expect("solids").objects().to_vec(),
        ];
        for object in sets.iter().flatten() {
            for (number, part) in object.parts.iter().enumerate() {
                assert!(part_collider(part, object).is_some(), "{}: part {number} has no shape", object.name);
            }
        }
    }
}
