//! The headless Bevy app: one entity an environment, stepped in parallel, then captured.

use super::config::{EnvConfig, EnvError, PolicyView};
use crate::appearance::{CameraEffects, Look};
use crate::contract::{Action, Camera, Crop, Domain, FrameBatch, FrameChannels, Seed};
use crate::objects::ObjectModel;
use crate::render::{Gpu, RenderConfig, SceneBounds, SceneView, TiledRenderer};
use crate::scene::CameraDescription;
use crate::sim::{
    Driver, GraspCell, GraspWorld, GraspWorldBundle, GraspWorldMut, GraspWorldParts, Motions, Pace, SimPlugin,
    SimSystems,
};
use crate::tasks::TaskEpisode;
use bevy::app::PluginGroupBuilder;
use bevy::prelude::*;
use glam::Vec3;
use std::sync::Arc;

/// What an environment is to do in the next update.
#[derive(Default)]
pub enum Command {
    /// Leave the environment as it is.
    #[default]
    Idle,
    /// Begin an episode with other objects, as [`TaskEpisode::reset`] does.
    Reset {
        /// The objects of the episode, in the order of their numbers.
        objects: Vec<Arc<ObjectModel>>,
        /// In a cell whose bins have fixed placements, the number of one; `None`: the seed decides.
        placement: Option<usize>,
        /// Decides everything else of the episode, and its looks.
        seed: Seed,
    },
    /// Begin another episode with the objects as they lie; those that were grasped are dropped again.
    KeepObjects {
        /// Decides where dropped objects go, and the episode's looks.
        seed: Seed,
    },
    /// Carry out one action to its end.
    Act(Action),
}

/// What the pictures of one environment depend on beside its physics.
#[derive(Clone, Debug)]
pub struct EpisodeLooks {
    /// Episodes begun.
    pub number: u64,
    /// Seed of the current episode's looks.
    pub seed: Seed,
    gripper_before: Vec3,
    gripper_now: Vec3,
}

/// Drives an environment through a task's episodes: each update carries out one command to its end.
#[derive(Component)]
pub struct EpisodeDriver {
    /// The episode of this entity's world.
    pub episode: TaskEpisode,
    /// Seeds and motion that its pictures depend on.
    pub looks: EpisodeLooks,
    command: Command,
}

/// Entities in the order of their environment numbers.
#[derive(Resource, Default)]
pub struct Environments(pub Vec<Entity>);

/// Renders after the physics of an update, when there is something to render.
#[derive(Resource)]
pub struct CaptureState {
    pub renderer: TiledRenderer,
    pub sources: Vec<Domain>,
    pub cameras: Vec<CameraDescription>,
    pub crop: Crop,
    pub size: u32,
    channels: FrameChannels,
    policy_view: Option<(Domain, CameraDescription, Crop)>,
    /// See [`EnvConfig::camera_effects`].
    camera_effects: bool,
    /// The next update captures.
    pub wanted: bool,
    /// And draws more than [`Self::policy_view`] for it.
    pub frames: bool,
    /// The policy's view first, where there is one.
    pub captured: Result<Vec<FrameBatch>, EnvError>,
}

/// Everything that simulates: add it to an app to give motions to cells ([`Motions`]) or to play a task's episodes in them
/// ([`EpisodeDriver`]). Their entities have a [`GraspWorldBundle`] and one of the two.
pub struct BingraspPlugins;

impl PluginGroup for BingraspPlugins {
    fn build(self) -> PluginGroupBuilder {
        PluginGroupBuilder::start::<Self>()
            .add(SimPlugin::<Motions>::default())
            .add(SimPlugin::<EpisodeDriver>::default())
    }
}

/// Builds the app: environments without pictures when `gpu` is none.
pub fn build(config: &EnvConfig, gpu: Option<&Gpu>) -> Result<App, EnvError> {
    let mut app = App::new();
    app.add_plugins((TaskPoolPlugin::default(), SimPlugin::<EpisodeDriver>::default()));
    let entities = (0..config.num_envs)
        .map(|_| {
            let world = GraspWorldBundle::new(config.cell.clone(), &config.sim);
            let driver = EpisodeDriver::new(TaskEpisode::new((config.task)(), &config.cell));
            app.world_mut().spawn((world, driver)).id()
        })
        .collect();
    app.insert_resource(Environments(entities));
    if let Some(gpu) = gpu {
        let render = RenderConfig {
            smooth_edges: config.smooth_edges,
            depth_camera: config.seed.derive("depth camera", 0),
            ..RenderConfig::new(config.size, config.size)
        };
        let camera = |name: &String| config.cell.cameras.iter().find(|camera| camera.name == *name).cloned();
        let view = |PolicyView { domain, camera: name, crop }: &PolicyView| Some((*domain, camera(name)?, *crop));
        let cameras = config.cameras.iter().filter_map(camera).collect();
        app.insert_resource(CaptureState {
            renderer: TiledRenderer::new(gpu, render, &config.textures)?,
            sources: config.sources.clone(),
            cameras,
            crop: config.crop,
            size: config.size,
            channels: config.channels.of_frames(),
            camera_effects: config.camera_effects,
            policy_view: config.policy_view.as_ref().and_then(view),
            wanted: false,
            frames: true,
            captured: Ok(Vec::new()),
        });
        app.add_systems(Update, capture.in_set(SimSystems::Publish));
    }
    app.finish();
    app.cleanup();
    Ok(app)
}

impl EpisodeDriver {
    /// Waits for its first [`Command::Reset`].
    pub fn new(episode: TaskEpisode) -> Self {
        let looks = EpisodeLooks { number: 0, seed: Seed(0), gripper_before: Vec3::ZERO, gripper_now: Vec3::ZERO };
        Self { episode, looks, command: Command::Idle }
    }

    /// What the next update is to do.
    pub fn command(&mut self, command: Command) {
        self.command = command;
    }
}

impl Driver for EpisodeDriver {
    /// Without a pace an action is carried out to its end. With one the episode carries on by its ticks, with objects that
    /// may move between actions.
    fn drive(&mut self, world: &mut GraspWorldMut<'_>, pace: Option<Pace>) {
        let Self { episode, looks, command } = self;
        match (std::mem::take(command), pace) {
            (Command::Idle, None) => return,
            (Command::Reset { objects, placement, seed }, _) => {
                episode.reset(world, &objects, placement, seed);
                looks.begin(&world.view(), seed);
            }
            (Command::KeepObjects { seed }, _) => {
                episode.keep_objects(world, seed);
                looks.begin(&world.view(), seed);
            }
            (Command::Act(action), None) => {
                episode.step(world, &action);
                looks.gripper_before = looks.gripper_now;
            }
            (command, Some(Pace { ticks })) => {
                if let Command::Act(action) = command {
                    episode.begin_step(world, &action);
                    looks.gripper_before = looks.gripper_now;
                }
                if episode.is_busy() {
                    episode.advance(world, ticks);
                } else {
                    world.idle(ticks);
                }
            }
        }
        looks.gripper_now = world.view().gripper_pose().translation;
    }
}

impl EpisodeLooks {
    /// Where the gripper was when the last action began.
    pub fn gripper_before(&self) -> Vec3 {
        self.gripper_before
    }

    fn begin(&mut self, world: &GraspWorld, seed: Seed) {
        self.number += 1;
        self.seed = seed;
        self.gripper_before = world.gripper_pose().translation;
    }
}

/// The seed of the look of `episode` at `step_index`: heavy randomization draws a new one every step, the others every episode.
pub fn look_seed(source: Domain, episode: Seed, step_index: u64) -> Seed {
    let every_step = source == Domain::RandomizedHeavy;
    episode.derive("look", if every_step { step_index } else { 0 })
}

/// What the renderer needs to know of a cell besides its parts.
pub fn scene_bounds_of(world: &GraspCell) -> SceneBounds {
    let bins = &world.cell().bins;
    let bin_centre = bins.iter().map(|bin| bin.position).sum::<Vec3>() / bins.len().max(1) as f32;
    let reach = bins
        .iter()
        .map(|bin| (bin.position - bin_centre).length() + bin.half_size().length() + bin.wall_thickness)
        .fold(0.1, f32::max);
    SceneBounds { bin_centre, shadow_radius_m: reach * 1.2 + 0.06 }
}

type Scene<'a> = (GraspWorld<'a>, &'a EpisodeDriver);

fn capture(
    mut work: ResMut<CaptureState>,
    order: Res<Environments>,
    environments: Query<(GraspWorldParts, &EpisodeDriver)>,
) {
    if !std::mem::take(&mut work.wanted) {
        return;
    }
    let scene = |&entity| environments.get(entity).ok().map(|(parts, driver)| (GraspWorld::new(parts), driver));
    let scenes: Vec<Scene<'_>> = order.0.iter().filter_map(scene).collect();
    let CaptureState {
        renderer,
        sources,
        cameras,
        crop,
        size,
        channels,
        policy_view,
        camera_effects,
        frames,
        captured,
        ..
    } = &mut *work;
    let seen = policy_view.iter().map(|(domain, camera, crop)| {
        let image = FrameChannels { source: true, ..FrameChannels::NONE };
        ((*domain, image), camera, *crop)
    });
    let paired = cameras.iter().flat_map(|camera| sources.iter().map(move |&source| (source, camera)));
    let paired = paired.filter(|_| *frames).map(|(source, camera)| ((source, *channels), camera, *crop));
    *captured = seen
        .chain(paired)
        .map(|(drawn, camera, crop)| capture_one(renderer, drawn, *camera_effects, &scenes, camera, (crop, *size)))
        .collect();
}

fn capture_one(
    renderer: &mut TiledRenderer,
    (source, channels): (Domain, FrameChannels),
    camera_effects: bool,
    scenes: &[Scene<'_>],
    description: &CameraDescription,
    (crop, size): (Crop, u32),
) -> Result<FrameBatch, EnvError> {
    let images = renderer.image_count();
    let prepared: Vec<(Camera, Look, Seed)> = scenes
        .iter()
        .map(|(world, EpisodeDriver { episode, looks, .. })| {
            let step_index = episode.step_index();
            let window = match crop {
                Crop::Centre => description.centre_crop(size),
                Crop::Random => description.random_crop(size, &mut looks.seed.derive("crop", step_index).rng()),
            };
            let seed = look_seed(source, looks.seed, step_index);
            let camera = description.camera(window, world.gripper_pose());
            let paint = world.objects().iter().map(|object| object.paint);
            let mut look = Look::sample(source, seed, images).with_paint(paint);
            if camera_effects && source.is_randomized() {
                look.effects = CameraEffects::any_camera(&mut seed.derive("camera effects", 0).rng());
            }
            (camera, look.with_bin_paint(world.cell().surfaces.bin_paint), seed)
        })
        .collect();
    let views: Vec<SceneView<'_>> = scenes
        .iter()
        .zip(&prepared)
        .map(|((world, EpisodeDriver { episode, looks, .. }), (camera, look, seed))| SceneView {
            parts: world.parts(),
            world_from_body: world.body_poses(),
            camera: *camera,
            look,
            scene_bounds: scene_bounds_of(world),
            step_index: episode.step_index(),
            look_seed: seed.0,
            arm_motion_m: looks.gripper_now - looks.gripper_before,
        })
        .collect();
    Ok(renderer.capture(source, &views, channels)?)
}
