//! The cell on stage: an entity of a Bevy world, stepped by the same [`SimPlugin`] as headless runs, a tick an update.

use crate::contract::{Action, Seed, Step};
use crate::env::{Command, EpisodeDriver};
use crate::objects::ObjectModel;
use crate::scene::CellDescription;
use crate::sim::{GraspWorld, GraspWorldBundle, GraspWorldMut, GraspWorldParts, GraspWorldPartsMut, Pace};
use crate::sim::{SimConfig, SimPlugin};
use crate::tasks::{Task, TaskEpisode};
use bevy::app::{SubApp, TaskPoolPlugin};
use bevy::prelude::{App, Entity};
use glam::Vec3;
use std::sync::Arc;

pub struct LiveCell {
    app: SubApp,
    entity: Entity,
    /// The next tick begins a step.
    acts: bool,
}

impl LiveCell {
    /// An empty cell.
    pub fn new(cell: Arc<CellDescription>, task: Box<dyn Task>) -> Self {
        let mut app = App::new();
        app.add_plugins((TaskPoolPlugin::default(), SimPlugin::<EpisodeDriver>::default()));
        let driver = EpisodeDriver::new(TaskEpisode::new(task, &cell));
        let world = GraspWorldBundle::new(cell, &SimConfig::default());
        let entity = app.world_mut().spawn((world, driver, Pace { ticks: 1 })).id();
        app.finish();
        app.cleanup();
        // Without its runner an app may go to another thread, as a session does.
        Self { app: std::mem::take(app.main_mut()), entity, acts: false }
    }

    pub fn world(&self) -> GraspWorld<'_> {
        let parts = self.app.world().entity(self.entity).get_components::<GraspWorldParts>();
        GraspWorld::new(parts.expect("spawned with a world"))
    }

    /// Changes the world between two ticks.
    pub fn edit<R>(&mut self, change: impl FnOnce(&mut GraspWorldMut<'_>) -> R) -> R {
        let mut entity = self.app.world_mut().entity_mut(self.entity);
        let parts = entity.get_components_mut::<GraspWorldPartsMut>();
        change(&mut GraspWorldMut::new(parts.expect("spawned with a world")))
    }

    fn driver(&self) -> &EpisodeDriver {
        self.app.world().get(self.entity).expect("spawned with a driver")
    }

    pub fn episode(&self) -> &TaskEpisode {
        &self.driver().episode
    }

    /// Where the gripper was when the last action began.
    pub fn gripper_before(&self) -> Vec3 {
        self.driver().looks.gripper_before()
    }

    /// An action is being carried out.
    pub fn is_busy(&self) -> bool {
        self.acts || self.episode().is_busy()
    }

    fn command(&mut self, command: Command) {
        if let Some(mut driver) = self.app.world_mut().get_mut::<EpisodeDriver>(self.entity) {
            driver.command(command);
        }
    }

    /// Begins an episode with these objects.
    pub fn reset(&mut self, objects: Vec<Arc<ObjectModel>>, seed: Seed) {
        self.command(Command::Reset { objects, placement: None, seed });
        self.app.update();
    }

    /// Begins another episode with the objects as they lie.
    pub fn keep_objects(&mut self, seed: Seed) {
        self.command(Command::KeepObjects { seed });
        self.app.update();
    }

    /// The next tick begins this action.
    pub fn act(&mut self, action: Action) {
        self.command(Command::Act(action));
        self.acts = true;
    }

    /// A tick of physics. The outcome of the step that ended with it.
    pub fn tick(&mut self) -> Option<Step> {
        let was_busy = self.is_busy();
        self.app.update();
        self.acts = false;
        (was_busy && !self.is_busy()).then(|| self.episode().last_step().clone())
    }
}
