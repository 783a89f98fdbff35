//! `GraspEnv`: the simulator as a [`VecEnv`], for people who do not want to know Bevy.

use super::app::{self, CaptureState, Command, Environments, EpisodeDriver};
use super::config::{EnvConfig, EnvError};
use super::privileged::privileged_state;
use crate::contract::{
    Action, ActionSpace, FrameBatch, ImageAdapter, Observation, Privileged, Reset, Rng, Script, Start, StepBatch,
    VecEnv, VecEnvError,
};
use crate::objects::draw_objects;
use crate::policies::WorldPolicy;
use crate::render::{AdapterDescription, Gpu};
use crate::sim::{GraspWorld, GraspWorldParts};
use crate::tasks::TaskEpisode;
use bevy::prelude::{App, Entity};
use rayon::prelude::*;

/// The policy of one environment that reads its state.
struct ScriptState {
    policy: Box<dyn WorldPolicy>,
    rng: Rng,
}

/// Many cells stepped side by side, each with its own physics and its own episodes.
///
/// ```no_run
/// use bingrasp::contract::{Action, Domain, Seed, VecEnv};
/// use bingrasp::env::{EnvConfig, GraspEnv};
/// use bingrasp::objects::{ObjectSet, Split};
/// use bingrasp::scene::CellDescription;
///
/// let objects = ObjectSet::builtin().split(Split::Train);
/// let cell = CellDescription::iiwa_bin().into();
/// let config = EnvConfig::new(&cell, objects, Domain::RandomizedHeavy, (16, 64), Seed(0));
/// let mut env = GraspEnv::new(config)?;
/// let first = env.reset_all()?;
/// assert_eq!(first.observation.images.len(), 16 * 64 * 64 * 3);
/// let down = Action { translation_m: [0.0, 0.0, -0.05], ..Action::default() };
/// let outcome = env.step(&[Some(down); 16], true)?;
/// println!("rewards: {:?}", outcome.steps.iter().map(|step| step.reward).collect::<Vec<_>>());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct GraspEnv {
    app: App,
    config: EnvConfig,
    gpu: Option<Gpu>,
    adapter: Option<Box<dyn ImageAdapter>>,
    entities: Vec<Entity>,
    scripts: Vec<ScriptState>,
}

impl GraspEnv {
    /// Builds the environments; [`VecEnv::reset`] starts episodes. Opens a graphics adapter when there is something to draw.
    ///
    /// # Errors
    /// An impossible configuration; no graphics adapter.
    pub fn new(config: EnvConfig) -> Result<Self, EnvError> {
        let gpu = if config.draws() { Some(Gpu::open()?) } else { None };
        Self::with_gpu(config, gpu)
    }

    /// As [`Self::new`], on a graphics adapter that is already open.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_gpu(config: EnvConfig, gpu: Option<Gpu>) -> Result<Self, EnvError> {
        config.validate()?;
        let app = app::build(&config, gpu.as_ref())?;
        let entities = app.world().resource::<Environments>().0.clone();
        let kinds = config.scripts.iter().cycle().take(entities.len());
        let task = (config.task)();
        let scripts = kinds
            .map(|kind| ScriptState { policy: task.script(*kind), rng: config.seed.derive("script", 0).rng() })
            .collect();
        Ok(Self { app, config, gpu, adapter: None, entities, scripts })
    }

    /// From now on policies see images through `adapter`.
    pub fn with_adapter(self, adapter: Option<Box<dyn ImageAdapter>>) -> Self {
        Self { adapter, ..self }
    }

    /// The configuration that the environments were built from.
    pub fn config(&self) -> &EnvConfig {
        &self.config
    }

    /// Environments that are stepped together.
    pub fn len(&self) -> usize {
        self.entities.len()
    }

    /// Never true: a configuration has at least one environment.
    pub fn is_empty(&self) -> bool {
        self.entities.is_empty()
    }

    /// The graphics adapter; none where nothing is drawn.
    pub fn graphics_adapter(&self) -> Option<&AdapterDescription> {
        self.gpu.as_ref().map(|gpu| &gpu.description)
    }

    /// The physics of environment `index`, for oracles and overlays. Panics when there is no such environment.
    pub fn world(&self, index: usize) -> GraspWorld<'_> {
        world_of(&self.app, self.entities[index])
    }

    /// The episode of environment `index`. Panics when there is no such environment.
    pub fn episode(&self, index: usize) -> &TaskEpisode {
        &self.driver(index).episode
    }

    fn driver(&self, index: usize) -> &EpisodeDriver {
        self.app.world().get(self.entities[index]).expect("every environment has a driver")
    }

    /// Whether captures from now on also draw what [`EnvConfig::channels`] asks for, beside the policy's view; true to begin
    /// with. Environments without a view for policies draw it always.
    pub fn draw_frames(&mut self, wanted: bool) {
        let wanted = wanted || self.config.policy_view.is_none();
        if let Some(mut work) = self.app.world_mut().get_resource_mut::<CaptureState>() {
            work.frames = wanted;
        }
    }

    /// Starts the next episode everywhere, decided by the seed of the configuration and the number of episodes before it,
    /// and observes it.
    ///
    /// # Errors
    /// The graphics device fails.
    pub fn reset_all(&mut self) -> Result<StepBatch, VecEnvError> {
        let resets: Vec<Reset> = (0..self.len())
            .map(|index| {
                let number = self.driver(index).looks.number;
                let seed = self.config.seed.derive("environment", index as u64).derive("episode", number);
                Reset {
                    index,
                    seed,
                    start: Start::Fresh,
                    placement: None,
                    script: Some(seed.derive("script", 0).rng()),
                }
            })
            .collect();
        self.reset(&resets)?;
        self.observe()
    }

    /// The current state without a step.
    ///
    /// # Errors
    /// The graphics device fails.
    pub fn observe(&mut self) -> Result<StepBatch, VecEnvError> {
        self.step(&vec![None; self.len()], true)
    }

    fn command(&mut self, index: usize, command: Command) {
        if let Some(mut driver) = self.app.world_mut().get_mut::<EpisodeDriver>(self.entities[index]) {
            driver.command(command);
        }
    }

    /// Carries out all commands; the pictures of the state afterwards.
    fn update(&mut self, capture: bool) -> Result<Vec<FrameBatch>, EnvError> {
        if let Some(mut work) = self.app.world_mut().get_resource_mut::<CaptureState>() {
            work.wanted = capture;
        }
        self.app.update();
        match self.app.world_mut().get_resource_mut::<CaptureState>() {
            Some(mut work) if capture => std::mem::replace(&mut work.captured, Ok(Vec::new())),
            _ => Ok(Vec::new()),
        }
    }

    /// What policies see of the first batch: images and measured depth. A view that is for them alone is taken out.
    fn images(&self, frames: &mut Vec<FrameBatch>) -> Result<(Vec<u8>, Vec<f32>), VecEnvError> {
        let channels = self.config.channels;
        if self.config.policy_view.is_some() && !frames.is_empty() {
            let FrameBatch { source_rgb, height, width, .. } = frames.remove(0);
            let images = match &self.adapter {
                Some(adapter) => adapter.encode(source_rgb, [height, width])?,
                None => source_rgb,
            };
            return Ok((images, Vec::new()));
        }
        let Some(first) = frames.first_mut() else { return Ok((Vec::new(), Vec::new())) };
        let rgb = match (channels.image, channels.frames) {
            (false, _) => Vec::new(),
            (true, true) => first.source_rgb.clone(),
            (true, false) => std::mem::take(&mut first.source_rgb),
        };
        let images = match &self.adapter {
            Some(adapter) if channels.image => adapter.encode(rgb, [first.height, first.width])?,
            _ => rgb,
        };
        let depth =
            if channels.frames { first.sensed_depth_m.clone() } else { std::mem::take(&mut first.sensed_depth_m) };
        Ok((images, depth))
    }
}

fn world_of(app: &App, entity: Entity) -> GraspWorld<'_> {
    let parts = app.world().entity(entity).get_components::<GraspWorldParts>();
    GraspWorld::new(parts.expect("every environment has a world"))
}

impl Script for GraspEnv {
    fn scripted(&mut self, indices: &[usize]) -> Vec<Action> {
        let mut wanted: Vec<Option<usize>> = vec![None; self.scripts.len()];
        for (place, &index) in indices.iter().enumerate() {
            wanted[index] = Some(place);
        }
        let worlds: Vec<GraspWorld<'_>> = self.entities.iter().map(|&entity| world_of(&self.app, entity)).collect();
        let act = |((script, world), place): ((&mut ScriptState, &GraspWorld<'_>), &Option<usize>)| {
            place.map(|place| (place, script.policy.act(world, &mut script.rng)))
        };
        let scripts = self.scripts.par_iter_mut().with_max_len(1).zip(worlds.par_iter()).zip(wanted.par_iter());
        let mut actions = vec![Action::default(); indices.len()];
        for (place, action) in scripts.filter_map(act).collect::<Vec<_>>() {
            actions[place] = action;
        }
        actions
    }
}

impl VecEnv for GraspEnv {
    fn num_envs(&self) -> usize {
        self.len()
    }

    fn image_shape(&self) -> (usize, usize) {
        (self.config.size as usize, self.adapter.as_ref().map_or(3, |adapter| adapter.channels()))
    }

    fn action_space(&self) -> ActionSpace {
        (self.config.task)().action_space(&self.config.cell)
    }

    fn bin_group(&self, index: usize) -> [f32; 3] {
        let pose = self.world(index).bin_group_pose();
        [pose.x_m, pose.y_m, pose.yaw_rad]
    }

    fn reset(&mut self, resets: &[Reset]) -> Result<(), VecEnvError> {
        let count = self.len();
        for Reset { index, seed, start, placement, script } in resets {
            let Some(state) = self.scripts.get_mut(*index) else {
                return Err(VecEnvError::new(EnvError::NoEnvironment { index: *index, count }));
            };
            state.policy.begin();
            if let Some(rng) = script {
                state.rng = rng.clone();
            }
            let command = match start {
                Start::Fresh => {
                    let objects = draw_objects(&self.config.objects, self.config.cell.objects.per_episode, *seed);
                    Command::Reset { objects, placement: *placement, seed: *seed }
                }
                Start::KeepObjects => Command::KeepObjects { seed: *seed },
            };
            self.command(*index, command);
        }
        self.update(false).map(drop).map_err(VecEnvError::new)
    }

    fn step(&mut self, actions: &[Option<Action>], capture: bool) -> Result<StepBatch, VecEnvError> {
        if actions.len() != self.len() {
            return Err(VecEnvError::new(EnvError::Actions { got: actions.len(), expected: self.len() }));
        }
        for (index, action) in actions.iter().enumerate() {
            if let Some(action) = action {
                self.command(index, Command::Act(*action));
            }
        }
        let mut frames = self.update(capture).map_err(VecEnvError::new)?;
        let (images, sensed_depth_m) = self.images(&mut frames)?;
        let keeps_others = self.config.policy_view.is_some() && self.config.channels.image;
        let kept_images = match frames.first_mut() {
            Some(first) if keeps_others => std::mem::take(&mut first.source_rgb),
            _ => Vec::new(),
        };
        let indices = 0..self.len();
        let observation = Observation {
            images,
            sensed_depth_m,
            gripper: indices.clone().map(|index| self.episode(index).gripper_state(&self.world(index))).collect(),
            step_indices: indices.clone().map(|index| self.episode(index).step_index()).collect(),
        };
        let steps = indices.clone().map(|index| self.episode(index).last_step().clone()).collect();
        let channels = self.config.channels;
        let privileged = (channels.has_frames() || channels.state).then(|| {
            let worlds: Vec<GraspWorld<'_>> =
                indices.filter(|_| channels.state).map(|index| self.world(index)).collect();
            let frames = if channels.has_frames() { frames } else { Vec::new() };
            let map = self.config.map;
            Privileged { states: worlds.par_iter().map(|world| privileged_state(world, map)).collect(), frames }
        });
        Ok(StepBatch { observation, kept_images, steps, privileged })
    }
}
