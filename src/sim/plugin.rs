//! Environments as entities. In: entities with a [`GraspWorld`] and a [`PendingAction`]. Out: the worlds stepped, a
//! [`LastStep`] on each. Worlds share nothing, so they are stepped in parallel and the outcome does not depend on the
//! number of threads.

use super::GraspWorld;
use super::policy::Policy;
use crate::contract::{Action, Rng, Step};
use bevy::prelude::{App, Component, IntoScheduleConfigs, Plugin, Query, SystemSet, Update};
use rayon::prelude::*;

/// What happens in an update, in this order. Attach what decides before `Act`, what looks after `Publish`.
#[derive(SystemSet, Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SimSystems {
    /// Policies write actions. Left empty for users, but for entities with a [`Driver`].
    Act,
    /// Worlds carry the actions out.
    Step,
    /// Outcomes are there: reset finished episodes, record, draw.
    Publish,
}

/// The action that the next update carries out; taken when it begins.
#[derive(Component, Clone, Copy, Debug, Default)]
pub struct PendingAction(pub Option<Action>);

/// The outcome of the last finished step.
#[derive(Component, Clone, Debug, Default)]
pub struct LastStep(pub Step);

/// Ticks of physics an update; without it an update carries a step out to its end. For windows, which draw between.
#[derive(Component, Clone, Copy, Debug)]
pub struct Pace {
    pub ticks: u32,
    /// A step is being carried out.
    pub busy: bool,
}

impl Pace {
    pub fn new(ticks: u32) -> Self {
        Self { ticks, busy: false }
    }
}

/// A policy that acts for an environment, with its own stream of randomness.
#[derive(Component)]
pub struct Driver {
    policy: Box<dyn Policy>,
    rng: Rng,
}

impl Driver {
    pub fn new(policy: Box<dyn Policy>, rng: Rng) -> Self {
        Self { policy, rng }
    }

    /// To be called when an episode begins.
    pub fn begin(&mut self) {
        self.policy.begin();
    }
}

pub struct SimPlugin;

impl Plugin for SimPlugin {
    fn build(&self, app: &mut App) {
        app.configure_sets(Update, (SimSystems::Act, SimSystems::Step, SimSystems::Publish).chain())
            .add_systems(Update, (drive.in_set(SimSystems::Act), step.in_set(SimSystems::Step)));
    }
}

/// Asks each driver that has nothing pending.
pub fn drive(mut environments: Query<(&GraspWorld, &mut Driver, &mut PendingAction, Option<&Pace>)>) {
    let mut environments: Vec<_> = environments.iter_mut().collect();
    environments.par_iter_mut().for_each(|(world, driver, pending, pace)| {
        if world.is_done() || pending.0.is_some() || pace.is_some_and(|pace| pace.busy) {
            return;
        }
        let Driver { policy, rng } = &mut **driver;
        pending.0 = Some(policy.act(world, rng));
    });
}

/// Carries out what is pending.
pub fn step(mut environments: Query<(&mut GraspWorld, &mut PendingAction, &mut LastStep, Option<&mut Pace>)>) {
    let mut environments: Vec<_> = environments.iter_mut().collect();
    environments.par_iter_mut().for_each(|(world, pending, last, pace)| match pace {
        None => {
            if let Some(action) = pending.0.take() {
                last.0 = world.step(&action);
            }
        }
        Some(pace) => {
            if !pace.busy
                && let Some(action) = pending.0.take()
            {
                world.begin_step(&action);
                pace.busy = true;
            }
            if pace.busy
                && let Some(outcome) = world.advance(pace.ticks)
            {
                last.0 = outcome;
                pace.busy = false;
            }
        }
    });
}

/// Steps a slice of worlds on rayon's threads; `actions[i]` goes to `worlds[i]`. Worlds beyond the shorter slice stay
/// as they are.
pub fn step_worlds(worlds: &mut [GraspWorld], actions: &[Action]) -> Vec<Step> {
    worlds.par_iter_mut().zip(actions).map(|(world, action)| world.step(action)).collect()
}
