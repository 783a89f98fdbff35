//! `GraspEnv`: the vectorized grasping environment for people who do not want to know Bevy.

use super::app::{self, CaptureState, Command, Environments, Episode};
use super::config::{EnvConfig, EnvError};
use super::observation::{Observation, StepBatch};
use crate::contract::{Action, Seed};
use crate::objects::{ObjectModel, at_least};
use crate::render::{AdapterDescription, Gpu};
use crate::sim::GraspWorld;
use bevy::prelude::{App, Entity};
use std::sync::Arc;

/// How an episode starts in environment `index`. Panics when there is no such environment.
#[derive(Clone, Debug)]
pub enum Reset {
    /// The environment's next episode, decided by the seed of the configuration and the number of episodes before it.
    Next { index: usize },
    /// Objects drawn by this seed, which decides everything else of the episode as well.
    Seeded { index: usize, seed: Seed },
    /// Given objects.
    Objects { index: usize, objects: Vec<Arc<ObjectModel>>, seed: Seed },
    /// The objects as they lie; those in `returned` are dropped at random places first.
    KeepObjects { index: usize, returned: Vec<usize>, seed: Seed },
}

/// Many bin cells stepped side by side, each with its own physics and its own episodes.
///
/// ```no_run
/// use bingrasp::contract::{Action, Domain, Seed};
/// use bingrasp::env::{EnvConfig, GraspEnv};
/// use bingrasp::objects::{ObjectSet, Split};
///
/// let objects = ObjectSet::builtin().split(Split::Train);
/// let mut env = GraspEnv::new(EnvConfig::new(objects, Domain::RandomizedHeavy, 16, 64, Seed(0)))?;
/// let first = env.reset_all()?;
/// assert_eq!(first.frames[0].source_rgb.len(), 16 * 64 * 64 * 3);
/// let down = Action { translation_m: [0.0, 0.0, -0.05], ..Action::default() };
/// let outcome = env.step(&[Some(down); 16], true)?;
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
    /// Builds the environments; [`Self::reset_all`] starts the first episodes. Opens a graphics adapter when the
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
    pub fn reset_all(&mut self) -> Result<Observation, EnvError> {
        for index in 0..self.len() {
            self.begin(Reset::Next { index });
        }
        self.update(true)
    }

    /// Starts episodes in some environments; the others stay untouched. Nothing is rendered: the next [`Self::step`] or
    /// [`Self::observe`] shows them.
    ///
    /// # Errors
    /// The graphics device fails.
    pub fn reset(&mut self, resets: impl IntoIterator<Item = Reset>) -> Result<(), EnvError> {
        resets.into_iter().for_each(|reset| self.begin(reset));
        self.update(false).map(|_| ())
    }

    /// The current state without a step.
    ///
    /// # Errors
    /// The graphics device fails.
    pub fn observe(&mut self) -> Result<Observation, EnvError> {
        self.update(true)
    }

    /// One action for each environment; those without one stand still. With `capture`, everything is observed afterwards,
    /// else the observation has no pictures. An environment whose episode is over repeats its outcome until it is reset.
    ///
    /// # Errors
    /// A wrong number of actions; the graphics device fails.
    pub fn step(&mut self, actions: &[Option<Action>], capture: bool) -> Result<StepBatch, EnvError> {
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

    fn begin(&mut self, reset: Reset) {
        let (index, command) = match reset {
            Reset::Next { index } => {
                let number = self.episode(index).number;
                let seed = self.config.seed.derive("environment", index as u64).derive("episode", number);
                (index, Command::Reset { objects: self.sample_objects(seed), seed })
            }
            Reset::Seeded { index, seed } => (index, Command::Reset { objects: self.sample_objects(seed), seed }),
            Reset::Objects { index, objects, seed } => (index, Command::Reset { objects, seed }),
            Reset::KeepObjects { index, returned, seed } => (index, Command::NextAttempt { returned, seed }),
        };
        self.command(index, command);
    }

    /// The objects of the episode that `seed` decides.
    fn sample_objects(&self, seed: Seed) -> Vec<Arc<ObjectModel>> {
        let mut rng = seed.derive("objects", 0).rng();
        let count = self.config.cell.objects.per_episode;
        let mut pool = at_least(&self.config.objects, count);
        (0..count).map(|_| pool.swap_remove(rng.below(pool.len()))).collect()
    }

    fn command(&mut self, index: usize, command: Command) {
        if let Some(mut slot) = self.app.world_mut().get_mut::<Command>(self.entities[index]) {
            *slot = command;
        }
    }

    fn update(&mut self, capture: bool) -> Result<Observation, EnvError> {
        if let Some(mut work) = self.app.world_mut().get_resource_mut::<CaptureState>() {
            work.wanted = capture;
        }
        self.app.update();
        let frames = match self.app.world_mut().get_resource_mut::<CaptureState>() {
            Some(mut work) if capture => std::mem::replace(&mut work.captured, Ok(Vec::new()))?,
            _ => Vec::new(),
        };
        let gripper = (0..self.len()).map(|index| self.world(index).gripper_state()).collect();
        let step_indices = (0..self.len()).map(|index| self.world(index).step_index()).collect();
        Ok(Observation { frames, gripper, step_indices })
    }
}
