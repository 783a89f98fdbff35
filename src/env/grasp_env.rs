//! `GraspEnv`: the vectorized grasping environment for people who do not want to know Bevy.

use super::app::{self, Camerawork, Command, Environments, Episode};
use super::config::{EnvConfig, EnvError};
use super::observation::{Observation, StepBatch};
use crate::contract::{Action, Seed};
use crate::objects::{ObjectModel, at_least};
use crate::render::{AdapterDescription, Gpu};
use crate::sim::GraspWorld;
use bevy::prelude::{App, Entity};
use std::sync::Arc;

/// Many bin cells stepped side by side, each with its own physics and its own episodes.
///
/// ```no_run
/// use bingrasp::contract::{Action, Domain, Seed};
/// use bingrasp::env::{EnvConfig, GraspEnv};
/// use bingrasp::objects::{ObjectSet, Split};
///
/// let objects = ObjectSet::builtin().split(Split::Train);
/// let mut env = GraspEnv::new(EnvConfig::new(objects, Domain::RandomizedHeavy, 16, 64, Seed(0)))?;
/// let first = env.reset()?;
/// assert_eq!(first.frames[0].source_rgb.len(), 16 * 64 * 64 * 3);
/// let down = Action { translation_m: [0.0, 0.0, -0.05], ..Action::default() };
/// let outcome = env.step(&[down; 16])?;
/// println!("rewards: {:?}", outcome.steps.iter().map(|step| step.reward).collect::<Vec<_>>());
/// # Ok::<(), bingrasp::env::EnvError>(())
/// ```
pub struct GraspEnv {
    app: App,
    config: EnvConfig,
    gpu: Option<Gpu>,
    entities: Vec<Entity>,
}

impl GraspEnv {
    /// Builds the environments; [`Self::reset`] starts the first episodes. Opens a graphics adapter when the
    /// configuration names source domains.
    ///
    /// # Errors
    /// An impossible configuration; no graphics adapter.
    pub fn new(config: EnvConfig) -> Result<Self, EnvError> {
        let gpu = if config.sources.is_empty() { None } else { Some(Gpu::open()?) };
        Self::with_gpu(config, gpu)
    }

    /// As [`Self::new`], on an adapter that is already open.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_gpu(config: EnvConfig, gpu: Option<Gpu>) -> Result<Self, EnvError> {
        config.validate()?;
        let app = app::build(&config, gpu.as_ref())?;
        let entities = app.world().resource::<Environments>().0.clone();
        Ok(Self { app, config, gpu, entities })
    }

    pub fn config(&self) -> &EnvConfig {
        &self.config
    }

    pub fn len(&self) -> usize {
        self.entities.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entities.is_empty()
    }

    pub fn adapter(&self) -> Option<&AdapterDescription> {
        self.gpu.as_ref().map(|gpu| &gpu.description)
    }

    /// The physics of environment `index`, for oracles and overlays. Panics when there is no such environment.
    pub fn world(&self, index: usize) -> &GraspWorld {
        self.app.world().get::<GraspWorld>(self.entities[index]).expect("every environment has a world")
    }

    /// Episode number, seed and last outcome of environment `index`. Panics when there is no such environment.
    pub fn episode(&self, index: usize) -> &Episode {
        self.app.world().get::<Episode>(self.entities[index]).expect("every environment has an episode")
    }

    /// Starts a new episode everywhere and observes it.
    ///
    /// # Errors
    /// The graphics device fails.
    pub fn reset(&mut self) -> Result<Observation, EnvError> {
        let all: Vec<usize> = (0..self.len()).collect();
        self.begin_episodes(&all);
        self.update(true)
    }

    /// Starts new episodes in the given environments alone; the others stay untouched. Nothing is rendered: the next
    /// [`Self::step`] or [`Self::observe`] shows them.
    ///
    /// # Errors
    /// The graphics device fails.
    pub fn reset_some(&mut self, indices: &[usize]) -> Result<(), EnvError> {
        self.begin_episodes(indices);
        self.update(false).map(|_| ())
    }

    /// Starts an episode in environment `index` with given objects and seed.
    ///
    /// # Errors
    /// The graphics device fails.
    pub fn reset_with(&mut self, index: usize, objects: Vec<Arc<ObjectModel>>, seed: Seed) -> Result<(), EnvError> {
        self.command(index, Command::Reset { objects, seed });
        self.update(false).map(|_| ())
    }

    /// Another attempt on the objects as they lie; those in `returned` are dropped at random places first.
    ///
    /// # Errors
    /// The graphics device fails.
    pub fn next_attempt(&mut self, attempts: Vec<(usize, Vec<usize>, Seed)>) -> Result<(), EnvError> {
        self.begin_or_go_on(&[], attempts)
    }

    /// [`Self::reset_seeded`] in some environments and [`Self::next_attempt`] in others, all at once.
    ///
    /// # Errors
    /// The graphics device fails.
    pub fn begin_or_go_on(
        &mut self,
        resets: &[(usize, Seed)],
        attempts: Vec<(usize, Vec<usize>, Seed)>,
    ) -> Result<(), EnvError> {
        self.begin_seeded(resets);
        for (index, returned, seed) in attempts {
            self.command(index, Command::NextAttempt { returned, seed });
        }
        self.update(false).map(|_| ())
    }

    /// One action for each environment, then a capture. An environment whose episode is over repeats its outcome until
    /// it is reset.
    ///
    /// # Errors
    /// A wrong number of actions; the graphics device fails.
    pub fn step(&mut self, actions: &[Action]) -> Result<StepBatch, EnvError> {
        self.step_as_wanted(actions, true)
    }

    /// As [`Self::step`] without pictures.
    ///
    /// # Errors
    /// A wrong number of actions.
    pub fn step_blind(&mut self, actions: &[Action]) -> Result<StepBatch, EnvError> {
        self.step_as_wanted(actions, false)
    }

    /// The current state without a step.
    ///
    /// # Errors
    /// The graphics device fails.
    pub fn observe(&mut self) -> Result<Observation, EnvError> {
        self.update(true)
    }

    fn step_as_wanted(&mut self, actions: &[Action], capture: bool) -> Result<StepBatch, EnvError> {
        let actions: Vec<_> = actions.iter().copied().map(Some).collect();
        self.step_some(&actions, capture)
    }

    /// As [`Self::step`], but environments with no action stand still; with or without pictures.
    ///
    /// # Errors
    /// A wrong number of actions; the graphics device fails.
    pub fn step_some(&mut self, actions: &[Option<Action>], capture: bool) -> Result<StepBatch, EnvError> {
        if actions.len() != self.len() {
            return Err(EnvError::Actions { got: actions.len(), expected: self.len() });
        }
        for (index, action) in actions.iter().enumerate() {
            if let Some(action) = action {
                self.command(index, Command::Act(*action));
            }
        }
        let observation = self.update(capture)?;
        let steps = (0..self.len()).map(|index| self.episode(index).last_step.clone()).collect();
        Ok(StepBatch { observation, steps })
    }

    /// Starts episodes in the given environments, each from its own seed, with objects drawn by that seed.
    ///
    /// # Errors
    /// The graphics device fails.
    pub fn reset_seeded(&mut self, resets: &[(usize, Seed)]) -> Result<(), EnvError> {
        self.begin_or_go_on(resets, Vec::new())
    }

    fn begin_episodes(&mut self, indices: &[usize]) {
        let seed = |index: usize| {
            let number = self.episode(index).number;
            self.config.seed.derive("environment", index as u64).derive("episode", number)
        };
        let resets: Vec<(usize, Seed)> = indices.iter().map(|&index| (index, seed(index))).collect();
        self.begin_seeded(&resets);
    }

    fn begin_seeded(&mut self, resets: &[(usize, Seed)]) {
        for &(index, seed) in resets {
            let mut rng = seed.derive("objects", 0).rng();
            let count = self.config.cell.objects.per_episode;
            let mut pool = at_least(&self.config.objects, count);
            let objects = (0..count).map(|_| pool.swap_remove(rng.below(pool.len()))).collect();
            self.command(index, Command::Reset { objects, seed });
        }
    }

    fn command(&mut self, index: usize, command: Command) {
        if let Some(mut slot) = self.app.world_mut().get_mut::<Command>(self.entities[index]) {
            *slot = command;
        }
    }

    fn update(&mut self, capture: bool) -> Result<Observation, EnvError> {
        if let Some(mut work) = self.app.world_mut().get_resource_mut::<Camerawork>() {
            work.wanted = capture;
        }
        self.app.update();
        let frames = match self.app.world_mut().get_resource_mut::<Camerawork>() {
            Some(mut work) if capture => std::mem::replace(&mut work.captured, Ok(Vec::new()))?,
            _ => Vec::new(),
        };
        let gripper = (0..self.len()).map(|index| self.world(index).gripper_state()).collect();
        let ticks = (0..self.len()).map(|index| self.world(index).tick()).collect();
        Ok(Observation { frames, gripper, ticks })
    }
}
