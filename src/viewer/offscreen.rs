//! The viewer without a display: the same layout, painted by [`super::painter`]. Screenshots and tests use it.

use super::painter::Painter;
use super::pictures::PANELS;
use super::script::{Button, Input, Order, Script, State};
use super::ui::{Textures, Viewer, install_theme};
use crate::draw::save_picture;
use crate::files::atomic::write_atomic;
use crate::files::console;
use crate::render::RenderError;
use bevy_egui::egui::{self, Event, Key, Modifiers, MouseWheelUnit, PointerButton, Pos2, RawInput, Rect, vec2};
use std::path::Path;

/// Seconds between frames.
const FRAME_S: f32 = 1.0 / 30.0;

pub struct Offscreen {
    pub viewer: Viewer,
    ctx: egui::Context,
    painter: Painter,
    /// Physical pixels.
    size: (usize, usize),
    /// Pixels a point.
    scale: f32,
    time: f64,
    pointer: Pos2,
    uploaded: [u64; 1 + PANELS],
    painted: Vec<egui::ClippedPrimitive>,
}

impl Offscreen {
    /// `size` in points.
    pub fn new(mut viewer: Viewer, (width, height): (f32, f32), scale: f32) -> Self {
        let ctx = egui::Context::default();
        ctx.set_pixels_per_point(scale);
        install_theme(&ctx);
        // Pictures are to depend on nothing but the input.
        viewer.session.lockstep = true;
        viewer.textures = Textures::numbered();
        let size = ((width * scale).round() as usize, (height * scale).round() as usize);
        Self {
            viewer,
            ctx,
            painter: Painter::default(),
            size,
            scale,
            time: 0.0,
            pointer: Pos2::ZERO,
            uploaded: [0; 1 + PANELS],
            painted: Vec::new(),
        }
    }

    /// One frame: time passes, pictures are drawn, the layout is done with the given input.
    ///
    /// # Errors
    /// The graphics device fails.
    pub fn frame(&mut self, input: Option<&Input>, seconds: f32) -> Result<(), RenderError> {
        // Tooltips and the like live in real time, also when the cell stands still.
        self.time += f64::from(FRAME_S);
        self.viewer.session.update(seconds);
        self.viewer.session.draw()?;
        self.viewer.feed_recorder();
        let events = input.map(|input| self.events(input)).unwrap_or_default();
        let points = vec2(self.size.0 as f32, self.size.1 as f32) / self.scale;
        let raw = RawInput {
            screen_rect: Some(Rect::from_min_size(Pos2::ZERO, points)),
            time: Some(self.time),
            predicted_dt: FRAME_S,
            focused: true,
            events,
            ..RawInput::default()
        };
        let viewer = &mut self.viewer;
        let output = self.ctx.run_ui(raw, |ui| viewer.show(ui.ctx()));
        self.painter.update(&output.textures_delta);
        self.painted = self.ctx.tessellate(output.shapes, output.pixels_per_point);
        self.painter.free(&output.textures_delta);
        Ok(())
    }

    fn events(&mut self, input: &Input) -> Vec<Event> {
        let modifiers = Modifiers::default();
        match input {
            Input::Move(place) => {
                self.pointer = *place;
                vec![Event::PointerMoved(*place)]
            }
            Input::Button(button, pressed) => {
                let button = match button {
                    Button::Left => PointerButton::Primary,
                    Button::Right => PointerButton::Secondary,
                    Button::Middle => PointerButton::Middle,
                };
                vec![Event::PointerButton { pos: self.pointer, button, pressed: *pressed, modifiers }]
            }
            Input::Wheel(lines) => vec![Event::MouseWheel {
                unit: MouseWheelUnit::Line,
                delta: vec2(0.0, *lines),
                phase: egui::TouchPhase::Move,
                modifiers,
            }],
            Input::Key(name, pressed) => Key::from_name(name)
                .map(|key| Event::Key { key, physical_key: None, pressed: *pressed, repeat: false, modifiers })
                .into_iter()
                .collect(),
            Input::Text(text) => vec![Event::Text(text.clone())],
        }
    }

    /// What a window would show. `[height, width, 3]`
    pub fn picture(&mut self) -> Vec<u8> {
        for (i, (picture, uploaded)) in (0..).zip(self.viewer.pictures().into_iter().zip(&mut self.uploaded)) {
            if picture.version != *uploaded {
                self.painter.set_user(i, (picture.width, picture.height), &picture.rgba);
                *uploaded = picture.version;
            }
        }
        let rgba = self.painter.paint(&self.painted, self.size, self.scale);
        rgba.chunks_exact(4).flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect()
    }

    pub fn size(&self) -> (usize, usize) {
        self.size
    }

    /// Lays out until nothing moves any more, without letting the cell's time pass, and writes the picture.
    ///
    /// # Errors
    /// The graphics device or the file fails.
    pub fn screenshot(&mut self, path: &Path) -> anyhow::Result<()> {
        let playing = std::mem::replace(&mut self.viewer.session.playing, false);
        // The first frames measure; the picture then has its final size.
        for _ in 0..3 {
            self.frame(None, 0.0)?;
        }
        self.viewer.session.playing = playing;
        self.frame(None, 0.0)?;
        let picture = self.picture();
        Ok(save_picture(path, &picture, self.size.0, self.size.1)?)
    }

    /// Plays a script to its end.
    ///
    /// # Errors
    /// The graphics device or a file fails; a control is not there.
    pub fn play(&mut self, mut script: Script) -> anyhow::Result<()> {
        for _ in 0..3 {
            self.frame(None, FRAME_S)?;
        }
        while !script.is_over() {
            let order = script.next(&self.viewer, FRAME_S)?;
            let input = match &order {
                Some(Order::Send(input)) => Some(input),
                _ => None,
            };
            self.frame(input, FRAME_S)?;
            match order {
                Some(Order::Screenshot(path)) => self.screenshot(&path)?,
                Some(Order::State(path)) => write_atomic(&path, &serde_json::to_vec_pretty(&State::of(&self.viewer))?)?,
                Some(Order::Close) => break,
                Some(Order::Send(_)) | None => {}
            }
            if let Some(path) = self.viewer.requests.screenshot.take() {
                self.screenshot(&path)?;
                self.viewer.session.say(format!("Screenshot: {}", path.display()));
            }
            if let Some(text) = self.viewer.requests.copy.take() {
                // A terminal that is gone takes nothing; the text is shown in the window, too.
                let _ = console::print_line(&text);
            }
        }
        if let Some(recorder) = self.viewer.recorder.take() {
            recorder.stop()?;
        }
        Ok(())
    }
}
