//! Looking: cameras, the pictures that have to be drawn anew, the generator's, and what lies under the mouse.

use super::{Eye, PANEL_SIZE, Session};
use crate::contract::{Camera, FrameBatch, Intrinsics, Pose};
use crate::render::RenderError;
use crate::scene::CameraDescription;
use crate::viewer::camera::{FreeCamera, Orbit, Preset};
use crate::viewer::pictures::{Channel, PANELS, Picture, RenderRequest, Wanted, steady_range};
use glam::{Vec2, Vec3};
use std::time::Duration;

/// A generator is waited for no longer than this, where it is waited for.
const LOCKSTEP: Duration = Duration::from_secs(120);

#[derive(PartialEq)]
pub(super) struct MainKey {
    scene: u64,
    camera: Camera,
    channel: Channel,
    robot: bool,
}

impl Session {
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
        let step_index = self.stage.episode().step_index();
        let world = self.stage.world();
        let paint = world.objects().iter().map(|object| object.paint);
        let look = self.setup.look(step_index, self.panel_renderer.image_count()).with_paint(paint);
        let look = look.with_bin_paint(self.stage.cell().surfaces.bin_paint);
        let panel_camera = self.robot_camera(PANEL_SIZE);
        let network_camera = self.translator.as_ref().map(|translator| self.robot_camera(translator.size));
        let Self { panel_renderer, stage, translator, network_frames, setup, .. } = self;
        let request = RenderRequest {
            world: stage.world(),
            step_index,
            look: &look,
            look_seed: setup.look_seed(step_index).0,
            gripper_before: stage.gripper_before(),
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
        let drawn = panel_renderer.draw(&request, wanted)?;
        if let Some(frames) = drawn.panels {
            self.panels.set_robot(frames);
            self.drawn_robot = Some(self.scene);
            self.panels_drawn += 1;
        }
        if let Some(frames) = drawn.main {
            self.panels.set_main(frames, self.show.channel);
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
                self.panels.panels[PANELS - 1] = Picture::default();
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
        self.panels.panels[PANELS - 1].set(edge, edge, &rgb);
        if main {
            self.panels.main.set(edge, edge, &rgb);
            self.panels.main_frames = self.network_frames.clone();
            self.drawn_main = None;
        }
        self.shown_generated = wanted;
        true
    }

    /// The object under a pixel of the main picture, and the place that is seen there.
    pub fn pick(&self, pixel: Vec2) -> (Option<usize>, Option<Vec3>) {
        let Some(frames) = &self.panels.main_frames else { return (None, None) };
        let inside = pixel.min_element() >= 0.0
            && pixel.x < frames.width as f32
            && pixel.y < frames.height as f32
            && frames.cameras.len() == 1;
        if !inside {
            return (None, None);
        }
        let index = pixel.y as usize * frames.width + pixel.x as usize;
        let (Some(&depth), Some(&instance)) = (frames.depth_m.get(index), frames.instances.get(index)) else {
            return (None, None);
        };
        let (origin, direction) = frames.cameras[0].ray(pixel);
        let place = (depth > 0.0).then(|| origin + direction * depth);
        let object = usize::from(instance).checked_sub(usize::from(crate::scene::instance::OBJECT));
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
