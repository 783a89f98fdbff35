//! The components of one environment, held or borrowed together. In: components of an entity in a query, or a bundle of
//! one's own. Out: [`GraspWorld`] to read and [`GraspWorldMut`] to change.

use super::GraspCell;
use crate::scene::CellDescription;
use crate::sim::SimConfig;
use crate::sim::context::{Context, ContextMut, configuration};
use crate::sim::physics::{CellBodies, Physics, PhysicsMut};
use bevy::prelude::{Bundle, Mut};
use bevy_rapier3d::prelude::{
    RapierConfiguration, RapierContextColliders, RapierContextJoints, RapierContextSimulation, RapierRigidBodySet,
};
use std::ops::Deref;
use std::sync::Arc;

/// The components of an environment: spawn it on an entity, or keep it. The Rapier world lies in the context components of
/// `bevy_rapier3d`.
#[derive(Bundle)]
pub struct GraspWorldBundle {
    cell: GraspCell,
    handles: CellBodies,
    simulation: RapierContextSimulation,
    bodies: RapierRigidBodySet,
    colliders: RapierContextColliders,
    joints: RapierContextJoints,
    configuration: RapierConfiguration,
}

/// The components of an environment in a query, to be read: [`GraspWorld::new`] takes them.
pub type GraspWorldParts = (
    &'static GraspCell,
    &'static CellBodies,
    &'static RapierContextSimulation,
    &'static RapierRigidBodySet,
    &'static RapierContextColliders,
);

/// The components of an environment in a query, to be changed: [`GraspWorldMut::new`] takes them.
pub type GraspWorldPartsMut = (
    &'static mut GraspCell,
    &'static mut CellBodies,
    &'static mut RapierContextSimulation,
    &'static mut RapierRigidBodySet,
    &'static mut RapierContextColliders,
    &'static mut RapierContextJoints,
);

/// What a query for [`GraspWorldPartsMut`] gives for one environment.
pub type GraspWorldItemMut<'w> = (
    Mut<'w, GraspCell>,
    Mut<'w, CellBodies>,
    Mut<'w, RapierContextSimulation>,
    Mut<'w, RapierRigidBodySet>,
    Mut<'w, RapierContextColliders>,
    Mut<'w, RapierContextJoints>,
);

/// One simulated cell, to be read.
#[derive(Clone, Copy)]
pub struct GraspWorld<'w> {
    pub(in crate::sim) state: &'w GraspCell,
    pub(in crate::sim) physics: Physics<'w>,
}

/// One simulated cell, to be changed.
pub struct GraspWorldMut<'w> {
    pub(in crate::sim) state: &'w mut GraspCell,
    pub(in crate::sim) physics: PhysicsMut<'w>,
}

impl GraspWorldBundle {
    /// An empty cell; [`GraspWorldMut::reset`] fills it. The description is taken as valid ([`CellDescription::validate`]).
    pub fn new(cell: Arc<CellDescription>, config: &SimConfig) -> Self {
        let mut world = Self {
            cell: GraspCell::new(cell, config),
            handles: CellBodies::default(),
            simulation: RapierContextSimulation::default(),
            bodies: RapierRigidBodySet::default(),
            colliders: RapierContextColliders::default(),
            joints: RapierContextJoints::default(),
            configuration: configuration(),
        };
        world.edit().build();
        world
    }

    /// The world, to be read.
    pub fn view(&self) -> GraspWorld<'_> {
        GraspWorld::new((&self.cell, &self.handles, &self.simulation, &self.bodies, &self.colliders))
    }

    /// The world, to be reset and moved.
    pub fn edit(&mut self) -> GraspWorldMut<'_> {
        let Self { cell, handles, simulation, bodies, colliders, joints, .. } = self;
        GraspWorldMut {
            state: cell,
            physics: PhysicsMut { world: ContextMut::new(simulation, bodies, colliders, joints), cell: handles },
        }
    }
}

impl<'w> GraspWorld<'w> {
    /// From the components of an environment.
    pub fn new(
        (cell, handles, simulation, bodies, colliders): (
            &'w GraspCell,
            &'w CellBodies,
            &'w RapierContextSimulation,
            &'w RapierRigidBodySet,
            &'w RapierContextColliders,
        ),
    ) -> Self {
        let world = Context::new(simulation, bodies, colliders);
        Self { state: cell, physics: Physics { world, objects: &handles.objects } }
    }
}

impl Deref for GraspWorldBundle {
    type Target = GraspCell;

    fn deref(&self) -> &GraspCell {
        &self.cell
    }
}

impl Deref for GraspWorld<'_> {
    type Target = GraspCell;

    fn deref(&self) -> &GraspCell {
        self.state
    }
}

impl Deref for GraspWorldMut<'_> {
    type Target = GraspCell;

    fn deref(&self) -> &GraspCell {
        self.state
    }
}

impl<'w> GraspWorldMut<'w> {
    /// From the components of an environment.
    pub fn new((cell, handles, simulation, bodies, colliders, joints): GraspWorldItemMut<'w>) -> Self {
        let (simulation, bodies) = (simulation.into_inner(), bodies.into_inner());
        let world = ContextMut::new(simulation, bodies, colliders.into_inner(), joints.into_inner());
        Self { state: cell.into_inner(), physics: PhysicsMut { world, cell: handles.into_inner() } }
    }

    /// The same world, to be read while no change is under way.
    pub fn view(&self) -> GraspWorld<'_> {
        GraspWorld { state: self.state, physics: self.physics.view() }
    }
}
