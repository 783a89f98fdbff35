//! The context components of `bevy_rapier3d` that hold one Rapier world, borrowed together. In: an environment's
//! components. Out: bodies, colliders and joints put in and taken out, queries, steps.
//!
//! Rapier's own `PhysicsWorld` does the same for a world in one piece; here the pieces are components of an entity, so
//! that systems of users read them.

use bevy_rapier3d::prelude::{
    RapierConfiguration, RapierContextColliders, RapierContextJoints, RapierContextSimulation, RapierRigidBodySet,
};
use bevy_rapier3d::rapier::prelude::{
    Collider, ColliderHandle, ColliderSet, GenericJoint, ImpulseJointHandle, ImpulseJointSet, MultibodyJointSet, Pose3,
    QueryFilter, QueryPipeline, Ray, RigidBody, RigidBodyHandle, RigidBodySet, Shape,
};
use glam::Vec3;

const GRAVITY: Vec3 = Vec3::new(0.0, 0.0, -9.81);

/// A world to be read.
#[derive(Clone, Copy)]
pub(super) struct Context<'w> {
    pub simulation: &'w RapierContextSimulation,
    pub bodies: &'w RigidBodySet,
    pub colliders: &'w ColliderSet,
}

/// A world to be changed and stepped.
pub(super) struct ContextMut<'w> {
    pub simulation: &'w mut RapierContextSimulation,
    pub bodies: &'w mut RigidBodySet,
    pub colliders: &'w mut ColliderSet,
    pub impulse_joints: &'w mut ImpulseJointSet,
    pub multibody_joints: &'w mut MultibodyJointSet,
}

/// What `bevy_rapier3d`'s own plugin is to do with our worlds where a user adds it for others: nothing. They are stepped
/// by [`super::SimPlugin`].
pub(super) fn configuration() -> RapierConfiguration {
    RapierConfiguration { gravity: GRAVITY, physics_pipeline_active: false, ..RapierConfiguration::new(1.0) }
}

impl<'w> Context<'w> {
    pub fn new(
        simulation: &'w RapierContextSimulation,
        bodies: &'w RapierRigidBodySet,
        colliders: &'w RapierContextColliders,
    ) -> Self {
        Self { simulation, bodies: &bodies.bodies, colliders: &colliders.colliders }
    }

    fn query<'a>(&'a self, filter: QueryFilter<'a>) -> QueryPipeline<'a> {
        let RapierContextSimulation { broad_phase, narrow_phase, .. } = self.simulation;
        broad_phase.as_query_pipeline(narrow_phase.query_dispatcher(), self.bodies, self.colliders, filter)
    }

    /// Whether a shape at a pose meets nothing that passes the filter.
    pub fn is_free(&self, pose: Pose3, shape: &dyn Shape, filter: QueryFilter<'_>) -> bool {
        self.query(filter).intersect_shape(pose, shape).next().is_none()
    }

    /// Distance along a ray to the first collider that passes the filter.
    pub fn cast_ray(&self, ray: &Ray, max_distance: f32, filter: QueryFilter<'_>) -> Option<f32> {
        self.query(filter).cast_ray(ray, max_distance, true).map(|(_, distance)| distance)
    }
}

impl<'w> ContextMut<'w> {
    pub fn new(
        simulation: &'w mut RapierContextSimulation,
        bodies: &'w mut RapierRigidBodySet,
        colliders: &'w mut RapierContextColliders,
        joints: &'w mut RapierContextJoints,
    ) -> Self {
        let RapierContextJoints { impulse_joints, multibody_joints, .. } = joints;
        Self {
            simulation,
            bodies: &mut bodies.bodies,
            colliders: &mut colliders.colliders,
            impulse_joints,
            multibody_joints,
        }
    }

    pub fn view(&self) -> Context<'_> {
        Context { simulation: self.simulation, bodies: self.bodies, colliders: self.colliders }
    }

    /// Takes everything out, memories of contacts and islands too.
    pub fn clear(&mut self) {
        *self.simulation = RapierContextSimulation::default();
        *self.bodies = RigidBodySet::new();
        *self.colliders = ColliderSet::new();
        *self.impulse_joints = ImpulseJointSet::new();
        *self.multibody_joints = MultibodyJointSet::new();
    }

    pub fn insert_body(&mut self, body: impl Into<RigidBody>) -> RigidBodyHandle {
        self.bodies.insert(body)
    }

    /// With its colliders and joints.
    pub fn remove_body(&mut self, body: RigidBodyHandle) {
        self.bodies.remove(
            body,
            &mut self.simulation.islands,
            self.colliders,
            self.impulse_joints,
            self.multibody_joints,
            true,
        );
    }

    pub fn insert_collider(
        &mut self,
        collider: impl Into<Collider>,
        parent: Option<RigidBodyHandle>,
    ) -> ColliderHandle {
        match parent {
            Some(parent) => self.colliders.insert_with_parent(collider, parent, self.bodies),
            None => self.colliders.insert(collider),
        }
    }

    pub fn remove_collider(&mut self, collider: ColliderHandle) {
        self.colliders.remove(collider, &mut self.simulation.islands, self.bodies, true);
    }

    pub fn insert_impulse_joint(
        &mut self,
        first: RigidBodyHandle,
        second: RigidBodyHandle,
        joint: impl Into<GenericJoint>,
    ) -> ImpulseJointHandle {
        self.impulse_joints.insert(first, second, joint, true)
    }

    /// One time step, `integration_parameters.dt` long.
    pub fn step(&mut self) {
        let RapierContextSimulation {
            islands,
            broad_phase,
            narrow_phase,
            ccd_solver,
            pipeline,
            integration_parameters,
            ..
        } = &mut *self.simulation;
        pipeline.step(
            GRAVITY,
            integration_parameters,
            islands,
            broad_phase,
            narrow_phase,
            self.bodies,
            self.colliders,
            self.impulse_joints,
            self.multibody_joints,
            ccd_solver,
            &(),
            &(),
        );
    }
}
