//! The viewer without a window: a cell, who acts in it, where it is looked at from, and every command that a person has.
//!
//! In: commands (methods) and the passing of time. Out: pictures, scores, notices. The window, the screenshot without a
//! display and the tests drive the same [`Session`].

mod looking;
mod scene;

pub use looking::Grip;

use super::camera::FreeCamera;
use super::pictures::{Channel, PANELS, PanelRenderer, Panels, RenderRequest};
use super::pilot::{Pilot, ServoReading};
use super::scores::Scores;
use super::setup::{PolicyChoice, Setup};
use super::stage::{LINGER_TICKS, Stage, StageParts};
use super::translator::{Done, Output, Translator};
use crate::appearance::ImageSet;
use crate::contract::FrameBatch;
use crate::objects::ObjectModel;
use crate::render::Gpu;
use crate::scene::CellDescription;
use looking::MainKey;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Edge of the strip's pictures, pixels.
pub const PANEL_SIZE: u32 = 160;
/// More physics than this in one update would let a slow picture slow the next one further.
const MOST_TICKS: f32 = 120.0;
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
    /// What visual servoing sees, where it acts.
    pub servo: bool,
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
            servo: true,
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
    pub load: LoadObjects,
}

impl Materials {
    fn stage_parts(&self, pilot: Option<&Pilot>) -> StageParts {
        let learned_task = pilot.and_then(|pilot| pilot.task.clone());
        StageParts { cell: self.cell.clone(), pool: self.pool.models.clone(), learned_task }
    }
}

/// Objects by the name of their set or by their folder.
pub type LoadObjects = Box<dyn Fn(&str) -> anyhow::Result<Vec<Arc<ObjectModel>>> + Send + Sync>;

/// Words for the person, shown for a while.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    pub text: String,
    pub until: f64,
}

pub struct Session {
    pub(super) setup: Setup,
    /// The setup at the last reset: with the stage's log it gives the state again.
    pub(super) origin: Setup,
    pub(super) stage: Stage,
    pub(super) panel_renderer: PanelRenderer,
    materials: Materials,
    pub panels: Panels,
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
    pilot: Option<Pilot>,
}

impl Session {
    pub fn new(setup: Setup, materials: Materials, gpu: Gpu) -> Self {
        let stage = Stage::new(&setup, materials.stage_parts(None));
        Self {
            panel_renderer: PanelRenderer::new(gpu, materials.images.clone()),
            origin: setup.clone(),
            setup,
            stage,
            materials,
            panels: Panels::default(),
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

    /// The objects that episodes are drawn from.
    pub fn objects(&self) -> &[Arc<ObjectModel>] {
        &self.materials.pool.models
    }

    pub fn stage(&self) -> &Stage {
        &self.stage
    }

    pub fn stage_mut(&mut self) -> &mut Stage {
        &mut self.stage
    }

    pub fn gpu(&self) -> &Gpu {
        self.panel_renderer.gpu()
    }

    /// From now on a panel shows what a generator makes of the source picture.
    pub fn set_translator(&mut self, translator: Translator) {
        self.translator = Some(translator);
        (self.drawn_network, self.generated, self.shown_generated) = (None, None, None);
    }

    pub fn translator(&self) -> Option<&Translator> {
        self.translator.as_ref()
    }

    /// A learned policy that may be chosen. Where its task is one of its own the episode begins again.
    pub fn set_pilot(&mut self, pilot: Pilot) {
        let begins = pilot.task.is_some() && self.setup.policy == PolicyChoice::Learned;
        self.pilot = Some(pilot);
        if begins {
            self.reset();
        }
    }

    /// What visual servoing makes of the last picture of this episode, where it acts.
    pub fn servo(&self) -> Option<ServoReading> {
        let acts = self.setup.policy == PolicyChoice::Learned && self.stage.last_action.is_some();
        self.pilot.as_ref().filter(|_| acts).and_then(|pilot| pilot.policy.servo())
    }

    pub fn pilot(&self) -> Option<&Pilot> {
        self.pilot.as_ref()
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
            if self.stage.episode().is_done() && self.stage.since_done >= LINGER_TICKS {
                self.next_episode();
            }
        }
    }

    /// Asks the learned policy for the next action. False when there is none.
    fn consult(&mut self) -> bool {
        let step_index = self.stage.episode().step_index();
        let world = self.stage.world();
        let paint = world.objects().iter().map(|object| object.paint);
        let look = self.setup.look(step_index, self.panel_renderer.image_count()).with_paint(paint);
        let look = look.with_bin_paint(self.stage.cell().surfaces.bin_paint);
        let camera = self.pilot.as_ref().map(|pilot| self.robot_camera(pilot.size));
        let Self { panel_renderer, stage, pilot, setup, .. } = self;
        let ask = || {
            let (Some(pilot), Some(camera)) = (pilot, camera) else {
                return Err("there is no trained policy here: open the viewer with --policy RUN".to_owned());
            };
            let request = RenderRequest {
                world: stage.world(),
                step_index,
                look: &look,
                look_seed: setup.look_seed(step_index).0,
                gripper_before: stage.gripper_before(),
            };
            let wanted = (pilot.depth, pilot.classes);
            let frames = panel_renderer.pilot(&request, camera, wanted).map_err(|error| error.to_string())?;
            if pilot.classes {
                pilot.policy.set_classes(frames.segmentation);
            }
            stage.pilot(pilot.policy.as_mut(), (frames.source_rgb, frames.sensed_depth_m))?;
            stage.rest(pilot.rest_ticks);
            Ok(())
        };
        let outcome = ask();
        if let Err(error) = &outcome {
            self.say(error);
            (self.playing, self.stepping) = (false, false);
        }
        outcome.is_ok()
    }

    fn next_episode(&mut self) {
        if self.setup.policy != PolicyChoice::Keyboard {
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
        if self.stage.episode().is_done() {
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
}
