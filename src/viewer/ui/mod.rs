//! The layout over a session, in egui. It knows neither a window nor a graphics device: a host gives it textures and
//! input, and paints what comes out.

mod about;
mod keys;
mod overlay;
mod servo;
mod side;
mod strip;
mod theme;
mod top;
mod view;

use super::pictures::{PANELS, Picture};
use super::recorder::Recorder;
use super::session::{Grip, Session};
use bevy_egui::egui::{self, Rect, Response, TextureId, Ui, pos2};
use std::collections::BTreeMap;
use std::path::PathBuf;

pub use theme::install as install_theme;

/// Textures of the session's pictures, as the host knows them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Textures {
    pub main: Option<TextureId>,
    pub panels: [Option<TextureId>; PANELS],
}

impl Textures {
    /// The host's own texture 0 for the main view, and 1 and so on for the panels.
    pub fn numbered() -> Self {
        let id = |i: usize| Some(TextureId::User(i as u64));
        Self { main: id(0), panels: std::array::from_fn(|i| id(1 + i)) }
    }
}

/// What the layout asks of its host.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HostRequests {
    /// Write what the window shows to this file.
    pub screenshot: Option<PathBuf>,
    pub copy: Option<String>,
}

/// A session and the state of its layout.
pub struct Viewer {
    pub session: Session,
    pub textures: Textures,
    pub requests: HostRequests,
    pub recorder: Option<Recorder>,
    /// Folder of everything that is taken home.
    pub out: PathBuf,
    pub frames_per_s: f32,
    /// Options that were given and are part of every command that shows this again.
    pub given: Vec<String>,
    /// Seconds for which frames came too slowly.
    slow_s: f32,
    /// How far the detail was lowered for it.
    rung: usize,
    pub(super) help: bool,
    pub(super) open: Option<OpenMenu>,
    pub(super) grip: Option<Grip>,
    /// Text of the seed field while it is edited.
    pub(super) hits: BTreeMap<String, Rect>,
    /// Of the main picture on screen, points.
    pub(super) view_rect: Rect,
    /// Physical pixels for each pixel of the main picture.
    pub detail: f32,
}

/// The list of saved scenes.
#[derive(Clone, Debug, Default)]
pub(super) struct OpenMenu {
    pub files: Vec<PathBuf>,
    pub path: String,
}

impl Viewer {
    pub fn new(session: Session, out: PathBuf) -> Self {
        Self {
            session,
            textures: Textures::default(),
            requests: HostRequests::default(),
            recorder: None,
            out,
            frames_per_s: 0.0,
            given: Vec::new(),
            slow_s: 0.0,
            rung: 0,
            help: false,
            open: None,
            grip: None,
            hits: BTreeMap::new(),
            view_rect: Rect::NOTHING,
            detail: 1.0,
        }
    }

    /// Where a control lies on screen, by name: for scripts and tests.
    pub fn control(&self, name: &str) -> Option<Rect> {
        self.hits.get(name).copied()
    }

    pub fn controls(&self) -> impl Iterator<Item = (&str, Rect)> {
        self.hits.iter().map(|(name, rect)| (name.as_str(), *rect))
    }

    pub fn shows_help(&self) -> bool {
        self.help
    }

    pub fn set_help(&mut self, shown: bool) {
        self.help = shown;
    }

    /// Told how long the last frame took. Returns the pixels of the main picture for each of the screen's: fewer while
    /// things move, on a machine that was seen to be slow.
    pub fn adapt_resolution(&mut self, seconds: f32) -> f32 {
        const LADDER: [f32; 3] = [1.0, 0.75, 0.6];
        const SLOW_FRAME_S: f32 = 1.0 / 28.0;
        const PATIENCE_S: f32 = 1.2;
        let moving = self.session.playing || self.session.is_stepping() || self.grip.is_some();
        if !moving {
            return 1.0;
        }
        if self.rung + 1 < LADDER.len() {
            // A single hiccup is forgiven, and so is a time of speed.
            let change = if seconds > SLOW_FRAME_S { seconds.min(0.2) } else { -2.0 * seconds };
            self.slow_s = (self.slow_s + change).max(0.0);
            if self.slow_s >= PATIENCE_S {
                self.rung += 1;
                self.slow_s = 0.0;
            }
        }
        LADDER[self.rung]
    }

    /// The session's pictures in the order of the textures: main view, then panels.
    pub fn pictures(&self) -> [&Picture; 1 + PANELS] {
        let [a, b, c, d, e] = &self.session.panels.panels;
        [&self.session.panels.main, a, b, c, d, e]
    }

    fn mark(&mut self, name: impl Into<String>, response: &Response) {
        self.hits.insert(name.into(), response.rect);
    }

    /// Lays out one frame and carries out what the person does in it.
    pub fn show(&mut self, ctx: &egui::Context) {
        self.hits.clear();
        keys::handle(ctx, self);
        let mut ui = Ui::new(
            ctx.clone(),
            egui::Id::new("bingrasp"),
            egui::UiBuilder::new().layer_id(egui::LayerId::background()).max_rect(ctx.content_rect()),
        );
        top::show(&mut ui, self);
        if self.session.show.controls {
            side::show(&mut ui, self);
        }
        if self.session.show.panels {
            strip::show(&mut ui, self);
        }
        view::show(&mut ui, self);
        about::show(ctx, self);
        top::show_open(ctx, self);
    }

    /// From pixels of the main picture to points on screen.
    fn to_screen(&self, pixel: glam::Vec2) -> egui::Pos2 {
        let picture = &self.session.panels.main;
        let scale = self.view_rect.size() / egui::vec2(picture.width.max(1) as f32, picture.height.max(1) as f32);
        pos2(self.view_rect.min.x + pixel.x * scale.x, self.view_rect.min.y + pixel.y * scale.y)
    }

    fn to_pixel(&self, point: egui::Pos2) -> glam::Vec2 {
        let picture = &self.session.panels.main;
        let share = (point - self.view_rect.min) / self.view_rect.size().max(egui::vec2(1.0, 1.0));
        glam::Vec2::new(share.x * picture.width as f32, share.y * picture.height as f32)
    }
}
