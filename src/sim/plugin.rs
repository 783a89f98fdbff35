//! Physics of environments as entities. In: entities with a [`GraspWorld`] whose motion was begun. Out: the worlds stepped.
//! Worlds share nothing, so they are stepped in parallel and the outcome does not depend on the number of threads.

use super::{GraspWorld, MotionState};
use bevy::prelude::{App, Component, IntoScheduleConfigs, Plugin, Query, SystemSet, Update};
use rayon::prelude::*;

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

/// Ticks of physics an update; without it an update carries a motion out to its end. For windows, which draw between.
#[derive(Component, Clone, Copy, Debug)]
pub struct Pace {
    pub ticks: u32,
}

/// How far the motion of an environment is after the last update.
#[derive(Component, Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastMotion(pub MotionState);

impl Default for LastMotion {
    fn default() -> Self {
        Self(MotionState::Arrived)
    }
}

pub struct SimPlugin;

impl Plugin for SimPlugin {
    fn build(&self, app: &mut App) {
        app.configure_sets(Update, (SimSystems::Act, SimSystems::Step, SimSystems::Publish).chain())
            .add_systems(Update, step.in_set(SimSystems::Step));
    }
}

/// Carries on with all motions.
pub fn step(mut environments: Query<(&mut GraspWorld, &mut LastMotion, Option<&Pace>)>) {
    let mut environments: Vec<_> = environments.iter_mut().collect();
    environments.par_iter_mut().for_each(|(world, last, pace)| {
        let mut ticks = pace.map_or(u32::MAX, |pace| pace.ticks);
        last.0 = world.advance(&mut ticks, pace.is_none());
        world.publish();
    });
}
