//! Pixels of the session: the main view and the strip of robot-camera panels, drawn by the tiled renderer.
//!
//! In: a world, a look, a camera. Out: [`Picture`]s (RGBA, with a version that counts their changes). Nothing is drawn
//! twice from the same state.

use crate::appearance::{CameraEffects, ImageSet, Look};
use crate::contract::{Camera, FrameBatch, Pose};
use crate::draw::depth_range;
use crate::draw::palette::{colour_classes, colour_depth, colour_instances};
use crate::env::anchors_of;
use crate::render::{Gpu, RenderConfig, RenderError, SceneView, TiledRenderer};
use crate::sim::GraspWorld;
use glam::Vec3;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What of a frame is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Channel {
    #[default]
    Source,
    Canonical,
    Segmentation,
    Instances,
    Depth,
}

impl Channel {
    pub const ALL: [Self; 5] = [Self::Source, Self::Canonical, Self::Segmentation, Self::Instances, Self::Depth];
    /// The strip under the main view.
    pub const PANELS: [Self; 4] = [Self::Source, Self::Canonical, Self::Segmentation, Self::Depth];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Canonical => "canonical",
            Self::Segmentation => "segmentation",
            Self::Instances => "instances",
            Self::Depth => "depth",
        }
    }

    pub const fn label(self) -> &'static str {
        match self {
            Self::Source => "Source",
            Self::Canonical => "Canonical",
            Self::Segmentation => "Segmentation",
            Self::Instances => "Instances",
            Self::Depth => "Depth",
        }
    }

    pub const fn tooltip(self) -> &'static str {
        match self {
            Self::Source => "The randomized picture: what the network is given",
            Self::Canonical => "The same moment in uniform colours and fixed light: what RCAN learns to draw",
            Self::Segmentation => "Class of every pixel: object, tray, divider, arm, background",
            Self::Instances => "Every object, link and part in its own colour",
            Self::Depth => "Distance along the optical axis: red is near, blue is far",
        }
    }

    /// `[height, width, 3]` of the first frame of a batch.
    pub fn colours(self, frames: &FrameBatch) -> Vec<u8> {
        match self {
            Self::Source => frames.source_rgb.clone(),
            Self::Canonical => frames.canonical_rgb.clone(),
            Self::Segmentation => colour_classes(&frames.segmentation),
            Self::Instances => colour_instances(&frames.instances),
            Self::Depth => {
                let (near, far) = steady_range(&frames.depth_m);
                colour_depth(&frames.depth_m, near, far)
            }
        }
    }
}

impl std::str::FromStr for Channel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|channel| channel.name() == text);
        found.ok_or_else(|| {
            format!("'{text}' is no channel; choose source, canonical, segmentation, instances or depth")
        })
    }
}

/// Nearest and farthest depth of a sample of the pixels, in steps that hold still while things move.
fn steady_range(depth_m: &[f32]) -> (f32, f32) {
    const STEP_M: f32 = 0.1;
    let every = (depth_m.len() / 4096).max(1);
    let (near, far) = depth_range(depth_m.iter().step_by(every).copied());
    ((near / STEP_M).floor() * STEP_M, (far / STEP_M).ceil() * STEP_M)
}

const VOID: [u8; 4] = [225, 228, 234, 255];

/// RGBA pixels, opaque.
#[derive(Clone, Debug, Default)]
pub struct Picture {
    pub width: usize,
    pub height: usize,
    pub rgba: Vec<u8>,
    /// Changes with the pixels.
    pub version: u64,
}

impl Picture {
    fn set(&mut self, width: usize, height: usize, rgb: &[u8]) {
        (self.width, self.height) = (width, height);
        self.rgba.resize(width * height * 4, 255);
        for (to, from) in self.rgba.chunks_exact_mut(4).zip(rgb.chunks_exact(3)) {
            to.copy_from_slice(&[from[0], from[1], from[2], 255]);
        }
        self.version += 1;
    }

    /// Where nothing was hit (the room has no wall behind the robot) the picture is as light as the window.
    fn fill_void(&mut self, depth_m: &[f32]) {
        for (pixel, _) in self.rgba.chunks_exact_mut(4).zip(depth_m).filter(|(_, depth)| **depth <= 0.0) {
            pixel.copy_from_slice(&VOID);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.rgba.is_empty()
    }

    /// `[height, width, 3]`
    pub fn rgb(&self) -> Vec<u8> {
        self.rgba.chunks_exact(4).flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect()
    }
}

/// What is to be drawn.
#[derive(Clone, Copy)]
pub struct Shot<'a> {
    pub world: &'a GraspWorld,
    pub look: &'a Look,
    pub look_seed: u64,
    /// Where the gripper was before the step (motion blur).
    pub gripper_before: Vec3,
}

impl Shot<'_> {
    fn view(&self, camera: Camera) -> SceneView<'_> {
        let world = self.world;
        SceneView {
            parts: world.parts(),
            world_from_body: world.body_poses(),
            camera,
            look: self.look,
            anchors: anchors_of(world),
            tick: world.tick(),
            look_seed: self.look_seed,
            arm_motion_m: world.gripper_pose().translation - self.gripper_before,
        }
    }
}

/// One renderer for each kind of picture; it is rebuilt when its pixels change in number.
pub struct Artist {
    gpu: Gpu,
    images: Arc<ImageSet>,
    main: Option<TiledRenderer>,
    /// The main view's at the size before: sizes come and go with motion.
    main_before: Option<TiledRenderer>,
    robot: Option<TiledRenderer>,
    enlarged: Option<TiledRenderer>,
}

impl Artist {
    pub fn new(gpu: Gpu, images: Arc<ImageSet>) -> Self {
        Self { gpu, images, main: None, main_before: None, robot: None, enlarged: None }
    }

    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    pub fn image_count(&self) -> usize {
        self.images.len()
    }

    fn renderer<'a>(
        slot: &'a mut Option<TiledRenderer>,
        gpu: &Gpu,
        images: &ImageSet,
        (width, height): (u32, u32),
    ) -> Result<&'a mut TiledRenderer, RenderError> {
        let fits = |renderer: &TiledRenderer| (renderer.config().width, renderer.config().height) == (width, height);
        if !slot.as_ref().is_some_and(fits) {
            *slot = Some(TiledRenderer::new(gpu, RenderConfig::new(width, height), images)?);
        }
        // Set just above.
        slot.as_mut().ok_or_else(|| RenderError::Lost("no renderer".to_owned()))
    }

    /// The scene through the free camera: as the domain paints it, without the robot camera's faults.
    ///
    /// # Errors
    /// The graphics device fails.
    pub fn main(&mut self, shot: &Shot<'_>, camera: Camera) -> Result<FrameBatch, RenderError> {
        let size = (camera.intrinsics.width, camera.intrinsics.height);
        let mut look = shot.look.clone();
        look.effects = CameraEffects::NONE;
        look.jitter.camera = Pose::IDENTITY;
        if self.main.as_ref().is_some_and(|renderer| (renderer.config().width, renderer.config().height) != size) {
            std::mem::swap(&mut self.main, &mut self.main_before);
        }
        let renderer = Self::renderer(&mut self.main, &self.gpu, &self.images, size)?;
        renderer.capture(look.domain, &[Shot { look: &look, ..*shot }.view(camera)])
    }

    /// The pair that a learner gets.
    ///
    /// # Errors
    /// The graphics device fails.
    pub fn robot(&mut self, shot: &Shot<'_>, camera: Camera) -> Result<FrameBatch, RenderError> {
        let size = (camera.intrinsics.width, camera.intrinsics.height);
        let renderer = Self::renderer(&mut self.robot, &self.gpu, &self.images, size)?;
        renderer.capture(shot.look.domain, &[shot.view(camera)])
    }

    /// As [`Self::robot`], for the main view.
    ///
    /// # Errors
    /// The graphics device fails.
    pub fn enlarged(&mut self, shot: &Shot<'_>, camera: Camera) -> Result<FrameBatch, RenderError> {
        let size = (camera.intrinsics.width, camera.intrinsics.height);
        let renderer = Self::renderer(&mut self.enlarged, &self.gpu, &self.images, size)?;
        renderer.capture(shot.look.domain, &[shot.view(camera)])
    }

    /// As [`Self::robot`] at any size, without touching the live panels.
    ///
    /// # Errors
    /// The graphics device fails.
    pub fn once(&self, shot: &Shot<'_>, camera: Camera) -> Result<FrameBatch, RenderError> {
        let config = RenderConfig::new(camera.intrinsics.width, camera.intrinsics.height);
        TiledRenderer::new(&self.gpu, config, &self.images)?.capture(shot.look.domain, &[shot.view(camera)])
    }
}

/// The latest frames and what is shown of them.
#[derive(Default)]
pub struct Gallery {
    pub main: Picture,
    /// In the order of [`Channel::PANELS`].
    pub panels: [Picture; 4],
    pub main_frames: Option<FrameBatch>,
    pub robot_frames: Option<FrameBatch>,
}

impl Gallery {
    pub fn set_main(&mut self, frames: FrameBatch, channel: Channel) {
        match channel {
            Channel::Source => self.main.set(frames.width, frames.height, &frames.source_rgb),
            Channel::Canonical => self.main.set(frames.width, frames.height, &frames.canonical_rgb),
            _ => self.main.set(frames.width, frames.height, &channel.colours(&frames)),
        }
        if matches!(channel, Channel::Source | Channel::Canonical) {
            self.main.fill_void(&frames.depth_m);
        }
        self.main_frames = Some(frames);
    }

    pub fn set_robot(&mut self, frames: FrameBatch) {
        for (picture, channel) in self.panels.iter_mut().zip(Channel::PANELS) {
            picture.set(frames.width, frames.height, &channel.colours(&frames));
        }
        self.robot_frames = Some(frames);
    }
}
