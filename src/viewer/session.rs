//! The viewer without a window: a cell, who acts in it, where it is looked at from, and every command that a person has.
//!
//! In: commands (methods) and the passing of time. Out: pictures, scores, notices. The window, the screenshot without a
//! display and the tests drive the same [`Session`].

use super::camera::{FreeCamera, Orbit, Preset};
use super::pictures::{Artist, Channel, Gallery, PANELS, Picture, Shot, Wanted, steady_range};
use super::pilot::{Pilot, Seen};
use super::scores::Scores;
use super::setup::{Actor, AxisKind, Setup};
use super::stage::{LINGER_TICKS, Stage};
use super::translator::{Done, Output, Translator};
use crate::appearance::ImageSet;
use crate::contract::{Camera, FrameBatch, Intrinsics, Pose, Seed};
use crate::objects::ObjectModel;
use crate::render::{Gpu, RenderError};
use crate::scene::{CameraDescription, CellDescription};
use glam::{Vec2, Vec3};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// Edge of the strip's pictures, pixels.
pub const PANEL_SIZE: u32 = 160;
/// Seeds that "back" remembers.
const HISTORY: usize = 256;
/// More physics than this in one update would let a slow picture slow the next one further.
const MOST_TICKS: f32 = 120.0;
/// A generator is waited for no longer than this, where it is waited for.
const LOCKSTEP: Duration = Duration::from_secs(120);
/// Seconds that a notice stays.
const NOTICE_S: f64 = 4.0;
pub const SPEEDS: [f32; 6] = [0.1, 0.25, 0.5, 1.0, 2.0, 4.0];

/// What the main view looks through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Eye {
    #[default]
    Free,
    Wrist,
    /// The policy's camera, enlarged.
    Robot,
}

/// What is drawn, and how.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Show {
    pub eye: Eye,
    pub channel: Channel,
    /// Of the generator.
    pub output: Output,
    pub colliders: bool,
    pub contacts: bool,
    pub forces: bool,
    pub panels: bool,
    pub controls: bool,
}

impl Default for Show {
    fn default() -> Self {
        Self {
            eye: Eye::Free,
            channel: Channel::Source,
            output: Output::Image,
            colliders: false,
            contacts: false,
            forces: false,
            panels: true,
            controls: true,
        }
    }
}

/// A set of objects by name.
#[derive(Clone)]
pub struct Pool {
    pub name: String,
    pub models: Arc<Vec<Arc<ObjectModel>>>,
}

/// What a session is built from.
pub struct Materials {
    pub cell: Arc<CellDescription>,
    pub pool: Pool,
    pub images: Arc<ImageSet>,
    /// Loads another set by name.
    pub load: fn(&str) -> anyhow::Result<Vec<Arc<ObjectModel>>>,
}

/// Words for the person, shown for a while.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    pub text: String,
    pub until: f64,
}

#[derive(PartialEq)]
struct MainKey {
    scene: u64,
    camera: Camera,
    channel: Channel,
    robot: bool,
}

pub struct Session {
    pub(super) setup: Setup,
    /// The setup at the last reset: with the stage's log it gives the state again.
    pub(super) origin: Setup,
    pub(super) stage: Stage,
    pub(super) artist: Artist,
    materials: Materials,
    pub gallery: Gallery,
    pub free: FreeCamera,
    pub show: Show,
    pub playing: bool,
    pub speed: f32,
    pub scores: Scores,
    pub notice: Option<Notice>,
    /// Pixels of the main picture.
    view_size: (u32, u32),
    clock: f64,
    owed_ticks: f32,
    stepping: bool,
    history: Vec<u64>,
    /// Counts changes of what can be seen.
    scene: u64,
    drawn_main: Option<MainKey>,
    drawn_robot: Option<u64>,
    drawn_network: Option<u64>,
    /// Times that the panels were drawn.
    pub panels_drawn: u64,
    translator: Option<Translator>,
    /// Wait for the generator, so that its panel shows the same moment as the others.
    pub lockstep: bool,
    network_frames: Option<FrameBatch>,
    generated: Option<Done>,
    /// Which output of `generated` is on screen, and whether in the main view.
    shown_generated: Option<(Output, bool)>,
    pilot: Option<Box<dyn Pilot>>,
}

impl Session {
    pub fn new(setup: Setup, materials: Materials, gpu: Gpu) -> Self {
        let stage = Stage::new(&setup, materials.cell.clone(), materials.pool.models.clone());
        Self {
            artist: Artist::new(gpu, materials.images.clone()),
            origin: setup.clone(),
            setup,
            stage,
            materials,
            gallery: Gallery::default(),
            free: FreeCamera::default(),
            show: Show::default(),
            playing: false,
            speed: 1.0,
            scores: Scores::default(),
            notice: None,
            view_size: (640, 400),
            clock: 0.0,
            owed_ticks: 0.0,
            stepping: false,
            history: Vec::new(),
            scene: 0,
            drawn_main: None,
            drawn_robot: None,
            drawn_network: None,
            panels_drawn: 0,
            translator: None,
            lockstep: false,
            network_frames: None,
            generated: None,
            shown_generated: None,
            pilot: None,
        }
    }

    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    pub fn stage(&self) -> &Stage {
        &self.stage
    }

    pub fn stage_mut(&mut self) -> &mut Stage {
        &mut self.stage
    }

    pub fn gpu(&self) -> &Gpu {
        self.artist.gpu()
    }

    /// From now on a panel shows what a generator makes of the source picture.
    pub fn set_translator(&mut self, translator: Translator) {
        self.translator = Some(translator);
        (self.drawn_network, self.generated, self.shown_generated) = (None, None, None);
    }

    pub fn translator(&self) -> Option<&Translator> {
        self.translator.as_ref()
    }

    /// A learned policy that may be chosen as the actor.
    pub fn set_pilot(&mut self, pilot: Box<dyn Pilot>) {
        self.pilot = Some(pilot);
    }

    pub fn pilot(&self) -> Option<&dyn Pilot> {
        self.pilot.as_deref()
    }

    /// The panels that there are.
    pub fn channels(&self) -> &'static [Channel] {
        const ALL: &[Channel] = &Channel::PANELS;
        if self.translator.is_some() { ALL } else { &ALL[..PANELS - 1] }
    }

    pub fn objects_in_set(&self) -> usize {
        self.materials.pool.models.len()
    }

    /// Seconds since the session began.
    pub fn clock(&self) -> f64 {
        self.clock
    }

    pub fn say(&mut self, text: impl Into<String>) {
        self.notice = Some(Notice { text: text.into(), until: self.clock + NOTICE_S });
    }

    // ---- time ----

    /// Lets `seconds` of the person's time pass.
    pub fn update(&mut self, seconds: f32) {
        self.clock += f64::from(seconds);
        if self.notice.as_ref().is_some_and(|notice| notice.until < self.clock) {
            self.notice = None;
        }
        self.free.advance(seconds);
        let runs = self.playing || self.stepping || self.stage.is_pulling();
        if !runs {
            self.owed_ticks = 0.0;
            return;
        }
        let rate = self.stage.world().config().rate_hz as f32;
        self.owed_ticks = (self.owed_ticks + seconds * rate * self.speed).min(MOST_TICKS);
        let ticks = self.owed_ticks as u32;
        self.owed_ticks -= ticks as f32;
        self.run(ticks);
    }

    /// Carries on by physics ticks, from episode to episode. Stops at the end of a step that was asked for alone.
    pub fn run(&mut self, ticks: u32) {
        for _ in 0..ticks {
            if self.stage.awaits_pilot() && !self.consult() {
                return;
            }
            let ticked = self.stage.tick();
            self.scene += u64::from(ticked.moved);
            if let Some(step) = ticked.step {
                self.scores.add(&step);
                // The look may be new at every step.
                self.scene += 1;
                if std::mem::take(&mut self.stepping) {
                    self.owed_ticks = 0.0;
                    return;
                }
            }
            if self.stage.world().is_done() && self.stage.since_done >= LINGER_TICKS {
                self.next_episode();
            }
        }
    }

    /// Asks the learned policy for the next action. False when there is none.
    fn consult(&mut self) -> bool {
        let tick = self.stage.world().tick();
        let look = self.setup.look(tick, self.artist.image_count());
        let camera = self.pilot.as_ref().map(|pilot| self.robot_camera(pilot.size()));
        let Self { artist, stage, pilot, setup, .. } = self;
        let ask = || {
            let (Some(pilot), Some(camera)) = (pilot, camera) else {
                return Err("there is no trained policy here: open the viewer with --policy RUN".to_owned());
            };
            let shot = Shot {
                world: stage.world(),
                look: &look,
                look_seed: setup.look_seed(tick).0,
                gripper_before: stage.gripper_before,
            };
            let frames = artist.pilot(&shot, camera).map_err(|error| error.to_string())?;
            if tick == 0 {
                pilot.begin();
            }
            stage.pilot(|world, rng| pilot.act(&Seen { frames: &frames, gripper: world.gripper_state(), tick }, rng))
        };
        let outcome = ask();
        if let Err(error) = &outcome {
            self.say(error);
            (self.playing, self.stepping) = (false, false);
        }
        outcome.is_ok()
    }

    fn next_episode(&mut self) {
        if self.setup.actor != Actor::Keyboard {
            self.visit(self.setup.seed.wrapping_add(1));
        } else {
            self.stage.next_attempt();
            self.scene += 1;
        }
    }

    /// Whether anything on screen changes by itself.
    pub fn is_alive(&self) -> bool {
        self.playing
            || self.stepping
            || self.stage.is_pulling()
            || self.free.is_gliding()
            || self.notice.is_some()
            || self.translator.as_ref().is_some_and(Translator::is_busy)
    }

    pub fn toggle_play(&mut self) {
        self.playing = !self.playing;
        self.stepping = false;
    }

    /// Carries out one environment step and pauses.
    pub fn step_once(&mut self) {
        self.playing = false;
        if self.stage.world().is_done() {
            self.next_episode();
        }
        self.stage.force_decision();
        self.stepping = true;
    }

    pub fn is_stepping(&self) -> bool {
        self.stepping
    }

    pub fn faster(&mut self) {
        self.speed = SPEEDS.into_iter().find(|&s| s > self.speed + 1e-3).unwrap_or(self.speed);
    }

    pub fn slower(&mut self) {
        self.speed = SPEEDS.into_iter().rev().find(|&s| s < self.speed - 1e-3).unwrap_or(self.speed);
    }

    // ---- what the scene is ----

    /// Starts the episode of the current seed again.
    pub fn reset(&mut self) {
        self.stage = Stage::new(&self.setup, self.materials.cell.clone(), self.materials.pool.models.clone());
        self.origin = self.setup.clone();
        self.stepping = false;
        self.scene += 1;
    }

    fn visit(&mut self, seed: u64) {
        self.history.push(self.setup.seed);
        if self.history.len() > HISTORY {
            self.history.remove(0);
        }
        self.setup.seed = seed;
        self.reset();
    }

    /// A seed that was not on screen before.
    pub fn new_seed(&mut self) {
        self.visit(Seed(self.setup.seed).derive("viewer-new", 1 + self.history.len() as u64).0 % 1_000_000);
    }

    /// The seed before this one.
    pub fn back(&mut self) {
        if let Some(seed) = self.history.pop() {
            self.setup.seed = seed;
            self.reset();
        }
    }

    pub fn can_go_back(&self) -> bool {
        !self.history.is_empty()
    }

    /// Takes over a changed setup and does what the change asks for: nothing, a new look, another actor, a new episode.
    pub fn apply(&mut self, wanted: Setup) {
        if wanted == self.setup {
            return;
        }
        let old = std::mem::replace(&mut self.setup, wanted);
        if self.setup.objects != old.objects
            && let Err(error) = self.load_objects()
        {
            self.say(format!("{error:#}"));
            self.setup.objects = old.objects.clone();
        }
        self.setup.count = self.setup.count.clamp(1, 16);
        let new = &self.setup;
        if new.actor != old.actor {
            self.scores = Scores::default();
        }
        let restart = new.objects != old.objects
            || new.count != old.count
            || new.divider_m != old.divider_m
            || new.actor != old.actor
            || new.seed != old.seed;
        if new.seed != old.seed {
            self.history.push(old.seed);
        }
        if restart {
            self.reset();
        }
        self.scene += 1;
    }

    fn load_objects(&mut self) -> anyhow::Result<()> {
        let models = (self.materials.load)(&self.setup.objects)?;
        anyhow::ensure!(!models.is_empty(), "'{}' holds no object", self.setup.objects);
        self.materials.pool = Pool { name: self.setup.objects.clone(), models: Arc::new(models) };
        Ok(())
    }

    pub fn set_actor(&mut self, actor: Actor) {
        self.apply(Setup { actor, ..self.setup.clone() });
        if actor == Actor::Keyboard {
            self.playing = true;
        }
    }

    pub fn roll(&mut self, axis: AxisKind) {
        self.setup.roll(axis);
        self.scene += 1;
    }

    pub fn drop_another(&mut self) {
        if self.stage.drop_another() {
            self.scene += 1;
            self.playing = true;
        } else {
            self.say("There is no room for another object");
        }
    }

    /// Puts the session into a state that was saved.
    ///
    /// # Errors
    /// An object set or object that is not there.
    pub(super) fn restore(
        &mut self,
        (origin, setup): (Setup, Setup),
        events: &[super::stage::Event],
    ) -> anyhow::Result<()> {
        let before = std::mem::replace(&mut self.setup, origin.clone());
        if let Err(error) = self.load_objects() {
            self.setup = before;
            return Err(error);
        }
        let mut stage = Stage::new(&origin, self.materials.cell.clone(), self.materials.pool.models.clone());
        stage.replay(events).map_err(anyhow::Error::msg)?;
        self.stage = stage;
        (self.origin, self.setup) = (origin, setup);
        (self.playing, self.stepping) = (false, false);
        self.scene += 1;
        Ok(())
    }

    // ---- looking ----

    pub fn go_to(&mut self, preset: Preset, jump: bool) {
        self.show.eye = if preset == Preset::Wrist { Eye::Wrist } else { Eye::Free };
        if preset != Preset::Wrist {
            self.free.go(preset, jump);
        }
    }

    pub fn set_orbit(&mut self, orbit: Orbit) {
        self.free = FreeCamera::at(orbit);
    }

    /// Enlarges a panel, or returns to the free camera when it is enlarged already.
    pub fn zoom_panel(&mut self, channel: Channel) {
        if self.show.eye == Eye::Robot && self.show.channel == channel {
            self.leave_panel();
        } else {
            (self.show.eye, self.show.channel) = (Eye::Robot, channel);
        }
    }

    pub fn leave_panel(&mut self) {
        (self.show.eye, self.show.channel) = (Eye::Free, Channel::Source);
    }

    /// Sets the pixels of the main picture.
    pub fn set_view_size(&mut self, width: u32, height: u32) {
        self.view_size = (width.clamp(16, 4096), height.clamp(16, 4096));
    }

    pub fn main_camera(&self) -> Camera {
        let (width, height) = self.view_size;
        match self.show.eye {
            Eye::Free => self.free.orbit.camera(width, height),
            Eye::Robot => match (&self.translator, self.show.channel) {
                (Some(translator), Channel::Generated) => self.robot_camera(translator.size),
                _ => self.robot_camera(width.min(height)),
            },
            Eye::Wrist => {
                let wrist = CameraDescription::wrist();
                let pose = wrist.camera(wrist.centre_crop(64), self.stage.world().gripper_pose()).world_from_camera;
                let fov = wrist.vertical_fov_deg.to_radians();
                Camera { intrinsics: Intrinsics::from_vertical_fov(width, height, fov), world_from_camera: pose }
            }
        }
    }

    /// The policy's camera with its centre crop.
    pub fn robot_camera(&self, size: u32) -> Camera {
        let world = self.stage.world();
        match world.cell().cameras.first() {
            Some(camera) => camera.camera(camera.centre_crop(size), world.gripper_pose()),
            None => self.free.orbit.camera(size, size),
        }
    }

    /// Draws what has changed. True when a picture is new.
    ///
    /// # Errors
    /// The graphics device fails.
    pub fn draw(&mut self) -> Result<bool, RenderError> {
        if self.show.channel == Channel::Generated && !(self.translator.is_some() && self.show.eye == Eye::Robot) {
            self.show.channel = Channel::Source;
        }
        let generated = self.show.channel == Channel::Generated;
        let camera = self.main_camera();
        let robot = self.show.eye == Eye::Robot;
        let key = MainKey { scene: self.scene, camera, channel: self.show.channel, robot };
        let new_main = !generated && self.drawn_main.as_ref() != Some(&key);
        let new_panels = self.show.panels && self.drawn_robot != Some(self.scene);
        let translates = self.translator.is_some() && (self.show.panels || generated);
        let new_network = translates && self.drawn_network != Some(self.scene);
        if new_main || new_panels || new_network {
            self.capture([new_main, new_panels, new_network], camera)?;
        }
        if new_main {
            self.drawn_main = Some(key);
        }
        Ok(self.collect(generated) || new_main || new_panels)
    }

    /// Main view, panels, and the generator's source picture.
    fn capture(&mut self, [main, panels, network]: [bool; 3], camera: Camera) -> Result<(), RenderError> {
        let tick = self.stage.world().tick();
        let look = self.setup.look(tick, self.artist.image_count());
        let panel_camera = self.robot_camera(PANEL_SIZE);
        let network_camera = self.translator.as_ref().map(|translator| self.robot_camera(translator.size));
        let Self { artist, stage, translator, network_frames, setup, .. } = self;
        let shot = Shot {
            world: stage.world(),
            look: &look,
            look_seed: setup.look_seed(tick).0,
            gripper_before: stage.gripper_before,
        };
        let mut hand_over = |frames: FrameBatch| {
            if let Some(translator) = translator {
                translator.submit(frames.source_rgb.clone(), steady_range(&frames.depth_m));
            }
            *network_frames = Some(frames);
        };
        let wanted = Wanted {
            main: main.then_some(camera),
            enlarged: self.show.eye == Eye::Robot,
            panels: panels.then_some(panel_camera),
            network: network_camera.filter(|_| network).map(|camera| (camera, &mut hand_over as _)),
        };
        let drawn = artist.draw(&shot, wanted)?;
        if let Some(frames) = drawn.panels {
            self.gallery.set_robot(frames);
            self.drawn_robot = Some(self.scene);
            self.panels_drawn += 1;
        }
        if let Some(frames) = drawn.main {
            self.gallery.set_main(frames, self.show.channel);
        }
        if network {
            self.drawn_network = Some(self.scene);
        }
        Ok(())
    }

    /// Takes over what the generator has finished. True when a picture is new.
    fn collect(&mut self, main: bool) -> bool {
        let Some(translator) = &self.translator else { return false };
        if self.lockstep {
            translator.wait(LOCKSTEP);
        }
        let size = translator.size;
        match translator.take() {
            Ok(Some(done)) => {
                self.generated = Some(done);
                self.shown_generated = None;
            }
            Ok(None) => {}
            Err(error) => {
                self.translator = None;
                self.gallery.panels[PANELS - 1] = Picture::default();
                self.say(error);
                return true;
            }
        }
        let Some(done) = &self.generated else { return false };
        let wanted = Some((self.show.output, main));
        if self.shown_generated == wanted {
            return false;
        }
        let rgb = done.translated.colours(self.show.output, done.range_m);
        let edge = size as usize;
        self.gallery.panels[PANELS - 1].set(edge, edge, &rgb);
        if main {
            self.gallery.main.set(edge, edge, &rgb);
            self.gallery.main_frames = self.network_frames.clone();
            self.drawn_main = None;
        }
        self.shown_generated = wanted;
        true
    }

    /// The object under a pixel of the main picture, and the place that is seen there.
    pub fn pick(&self, pixel: Vec2) -> (Option<usize>, Option<Vec3>) {
        let Some(frames) = &self.gallery.main_frames else { return (None, None) };
        let inside = pixel.min_element() >= 0.0
            && pixel.x < frames.width as f32
            && pixel.y < frames.height as f32
            && frames.cameras.len() == 1;
        if !inside {
            return (None, None);
        }
        let index = pixel.y as usize * frames.width + pixel.x as usize;
        let depth = frames.depth_m[index];
        let (origin, direction) = frames.cameras[0].ray(pixel);
        let place = (depth > 0.0).then(|| origin + direction * depth);
        let object = usize::from(frames.instances[index]).checked_sub(usize::from(crate::scene::instance::OBJECT));
        (object.filter(|&object| object < self.stage.world().objects().len()), place)
    }

    /// Takes hold of what is under a pixel. Returns the grip: the object and the distance of the grip from the camera.
    pub fn grab(&mut self, pixel: Vec2) -> Option<Grip> {
        let (object, place) = self.pick(pixel);
        let (object, place) = (object?, place?);
        let pose: Pose = *self.stage.world().object_poses().get(object)?;
        let grip =
            Grip { object, point: pose.inverse().transform_point(place), depth: self.main_camera().project(place).1 };
        self.stage.pull(object, grip.point, place);
        Some(grip)
    }

    /// Moves what is held to another pixel, at the same depth.
    pub fn drag(&mut self, grip: &Grip, pixel: Vec2) {
        let (origin, direction) = self.main_camera().ray(pixel);
        self.stage.pull(grip.object, grip.point, origin + direction * grip.depth);
    }
}

/// What the mouse holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Grip {
    pub object: usize,
    /// In the object's frame.
    pub point: Vec3,
    /// Along the camera's axis, metres.
    pub depth: f32,
}
