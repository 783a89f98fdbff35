//! Physics of environments as entities. In: entities with a [`GraspWorldBundle`](super::GraspWorldBundle) and a [`Driver`].
//! Out: their worlds stepped, once an update.
//!
//! Worlds share nothing, so they are stepped in parallel and the outcome does not depend on the number of threads.
//! `bevy_rapier3d`'s own stepper would step them one after the other, and no further than a frame.

use super::world::{GraspWorldMut, GraspWorldPartsMut};
use super::{Motion, MotionState};
use bevy::ecs::component::Mutable;
use bevy::prelude::{App, Component, IntoScheduleConfigs, Plugin, Query, SystemSet, Update};
use rayon::prelude::*;
use std::marker::PhantomData;

/// What happens in an update, in this order. Attach what begins motions before `Step`, what looks after `Publish`.
#[derive(SystemSet, Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SimSystems {
    /// Motions are begun. Left empty for users.
    Act,
    /// Worlds carry them out.
    Step,
    /// Poses are there: reset, record, draw.
    Publish,
}

/// Ticks of physics an update; without it an update does everything that a driver has to do. For windows, which draw
/// between.
#[derive(Component, Clone, Copy, Debug)]
pub struct Pace {
    /// Most ticks in one update; a motion that is not over carries on in the next one.
    pub ticks: u32,
}

/// What an environment does in an update: motions, or a task's episode with its resets.
///
/// It is called on the stepper's threads with the environment's world. Resets and steps differ in length, so each
/// environment does all that it has to do in one call.
pub trait Driver: Component<Mutability = Mutable> {
    /// Steps the world, by no more than so many ticks where there is a pace.
    fn drive(&mut self, world: &mut GraspWorldMut<'_>, pace: Option<Pace>);
}

/// Steps the worlds of all entities with the driver `D`. Several of these plugins may be added, each for its driver.
pub struct SimPlugin<D: Driver>(PhantomData<fn() -> D>);

impl<D: Driver> Default for SimPlugin<D> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<D: Driver> Plugin for SimPlugin<D> {
    fn build(&self, app: &mut App) {
        app.configure_sets(Update, (SimSystems::Act, SimSystems::Step, SimSystems::Publish).chain())
            .add_systems(Update, step::<D>.in_set(SimSystems::Step));
    }
}

/// On rayon's threads, all of the cores: of two cores, Bevy's compute pool would get one.
fn step<D: Driver>(mut environments: Query<(GraspWorldPartsMut, &mut D, Option<&Pace>)>) {
    let mut environments: Vec<_> = environments
        .iter_mut()
        .map(|(parts, driver, pace)| (GraspWorldMut::new(parts), driver.into_inner(), pace.copied()))
        .collect();
    // One environment a task: what drivers have to do differs in length.
    environments.par_iter_mut().with_max_len(1).for_each(|(world, driver, pace)| driver.drive(world, *pace));
}

/// A driver for users who move the gripper themselves: one motion after the other.
#[derive(Component, Clone, Debug)]
pub struct Motions {
    next: Option<Motion>,
    state: MotionState,
}

impl Default for Motions {
    fn default() -> Self {
        Self { next: None, state: MotionState::Arrived }
    }
}

impl Motions {
    /// The next update begins this motion, whatever is under way.
    pub fn begin(&mut self, motion: Motion) {
        self.next = Some(motion);
        self.state = MotionState::Moving;
    }

    /// How far the last motion is.
    pub fn state(&self) -> MotionState {
        self.state
    }
}

impl Driver for Motions {
    fn drive(&mut self, world: &mut GraspWorldMut<'_>, pace: Option<Pace>) {
        if let Some(motion) = self.next.take() {
            world.begin_motion(&motion);
        }
        let mut ticks = pace.map_or(u32::MAX, |pace| pace.ticks);
        self.state = world.advance(&mut ticks, pace.is_none());
        world.publish();
    }
}
