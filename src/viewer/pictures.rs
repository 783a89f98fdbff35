//! Pixels of the session: the main view and the strip of robot-camera panels, drawn by the tiled renderer.
//!
//! In: a world, a look, a camera. Out: [`Picture`]s (RGBA, with a version that counts their changes). Nothing is drawn
//! twice from the same state.

use crate::appearance::{CameraEffects, ImageSet, Look};
use crate::contract::{Camera, FrameBatch, FrameChannels, Pose};
use crate::draw::depth_range;
use crate::draw::palette::{colour_classes, colour_depth, colour_instances};
use crate::env::scene_bounds_of;
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
    /// What a generator makes of the source; only of the robot's camera.
    Generated,
}

impl Channel {
    /// What the renderer draws.
    pub const ALL: [Self; 5] = [Self::Source, Self::Canonical, Self::Segmentation, Self::Instances, Self::Depth];
    /// The strip under the main view; the last is there when a generator is.
    pub const PANELS: [Self; 5] = [Self::Source, Self::Canonical, Self::Segmentation, Self::Depth, Self::Generated];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Canonical => "canonical",
            Self::Segmentation => "segmentation",
            Self::Instances => "instances",
            Self::Depth => "depth",
            Self::Generated => "generated",
        }
    }

    pub const fn label(self) -> &'static str {
        match self {
            Self::Source => "Source",
            Self::Canonical => "Canonical",
            Self::Segmentation => "Segmentation",
            Self::Instances => "Instances",
            Self::Depth => "Depth",
            Self::Generated => "Generated",
        }
    }

    pub const fn tooltip(self) -> &'static str {
        match self {
            Self::Source => "The randomized picture: what the network is given",
            Self::Canonical => "The same moment in uniform colours and fixed light: what RCAN learns to draw",
            Self::Segmentation => "Class of every pixel: object, tray, divider, arm, background",
            Self::Instances => "Every object, link and part in its own colour",
            Self::Depth => "Distance along the optical axis: red is near, blue is far",
            Self::Generated => "What the trained generator makes of the source picture",
        }
    }

    /// `[height, width, 3]` of the first frame of a batch.
    pub fn colours(self, frames: &FrameBatch) -> Vec<u8> {
        match self {
            Self::Source | Self::Generated => frames.source_rgb.clone(),
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
        let mut all = Self::ALL.into_iter().chain([Self::Generated]);
        let found = all.find(|channel| channel.name() == text);
        found.ok_or_else(|| {
            format!("'{text}' is no channel; choose source, canonical, segmentation, instances, depth or generated")
        })
    }
}

/// Nearest and farthest depth of a sample of the pixels, in steps that hold still while things move.
pub(super) fn steady_range(depth_m: &[f32]) -> (f32, f32) {
    const STEP_M: f32 = 0.1;
    let every = (depth_m.len() / 4096).max(1);
    let (near, far) = depth_range(depth_m.iter().step_by(every).copied());
    ((near / STEP_M).floor() * STEP_M, (far / STEP_M).ceil() * STEP_M)
}

/// Panels of the strip.
pub const PANELS: usize = Channel::PANELS.len();

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
    pub(super) fn set(&mut self, width: usize, height: usize, rgb: &[u8]) {
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
pub struct RenderRequest<'a> {
    pub world: GraspWorld<'a>,
    /// Steps since the episode began.
    pub step_index: u64,
    pub look: &'a Look,
    pub look_seed: u64,
    /// Where the gripper was before the step (motion blur).
    pub gripper_before: Vec3,
}

impl RenderRequest<'_> {
    fn view(&self, camera: Camera) -> SceneView<'_> {
        let world = &self.world;
        SceneView {
            parts: world.parts(),
            world_from_body: world.body_poses(),
            camera,
            look: self.look,
            scene_bounds: scene_bounds_of(world),
            step_index: self.step_index,
            look_seed: self.look_seed,
            arm_motion_m: world.gripper_pose().translation - self.gripper_before,
        }
    }
}

/// One renderer for each kind of picture; it is rebuilt when its pixels change in number.
pub struct PanelRenderer {
    gpu: Gpu,
    images: Arc<ImageSet>,
    main: Option<TiledRenderer>,
    /// The main view's at the size before: sizes come and go with motion.
    main_before: Option<TiledRenderer>,
    robot: Option<TiledRenderer>,
    enlarged: Option<TiledRenderer>,
    /// At the size of a generator's and of a policy's pictures.
    network: Option<TiledRenderer>,
    pilot: Option<TiledRenderer>,
}

/// Cameras of the pictures that are wanted, and what is to be done with the generator's.
#[derive(Default)]
pub struct Wanted<'a> {
    pub main: Option<Camera>,
    /// The main picture is the robot camera's, with its faults.
    pub enlarged: bool,
    pub panels: Option<Camera>,
    pub network: Option<(Camera, &'a mut (dyn FnMut(FrameBatch) + Send))>,
}

/// The frames that were wanted.
pub struct Drawn {
    pub main: Option<FrameBatch>,
    pub panels: Option<FrameBatch>,
}

impl PanelRenderer {
    pub fn new(gpu: Gpu, images: Arc<ImageSet>) -> Self {
        Self { gpu, images, main: None, main_before: None, robot: None, enlarged: None, network: None, pilot: None }
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

    /// Draws everything that is wanted, on all cores: each picture has parts that only one core works at.
    ///
    /// # Errors
    /// The graphics device fails.
    pub fn draw(&mut self, request: &RenderRequest<'_>, wanted: Wanted<'_>) -> Result<Drawn, RenderError> {
        let Self { gpu, images, main, main_before, robot, enlarged, network, .. } = self;
        let (gpu, images): (&Gpu, &ImageSet) = (gpu, images);
        let size = |camera: &Camera| (camera.intrinsics.width, camera.intrinsics.height);
        let domain = request.look.domain;
        let draw_main = || -> Result<_, RenderError> {
            let Some(camera) = wanted.main else { return Ok(None) };
            if wanted.enlarged {
                let renderer = Self::renderer(enlarged, gpu, images, size(&camera))?;
                return renderer.capture(domain, &[request.view(camera)], FrameChannels::PAIRED).map(Some);
            }
            // As the domain paints it, without the robot camera's faults.
            let mut look = request.look.clone();
            look.effects = CameraEffects::NONE;
            look.jitter.camera = Pose::IDENTITY;
            let other = |renderer: &TiledRenderer| (renderer.config().width, renderer.config().height) != size(&camera);
            if main.as_ref().is_some_and(other) {
                std::mem::swap(main, main_before);
            }
            let renderer = Self::renderer(main, gpu, images, size(&camera))?;
            renderer
                .capture(domain, &[RenderRequest { look: &look, ..*request }.view(camera)], FrameChannels::PAIRED)
                .map(Some)
        };
        let draw_small = || -> Result<_, RenderError> {
            // First, because a generator then works while the rest is drawn.
            if let Some((camera, hand_over)) = wanted.network {
                let renderer = Self::renderer(network, gpu, images, size(&camera))?;
                // Objects are picked in it, and depth sets the range of the generated depth's colours.
                let channels = FrameChannels { canonical: false, ..FrameChannels::PAIRED };
                hand_over(renderer.capture(domain, &[request.view(camera)], channels)?);
            }
            let Some(camera) = wanted.panels else { return Ok(None) };
            let renderer = Self::renderer(robot, gpu, images, size(&camera))?;
            renderer.capture(domain, &[request.view(camera)], FrameChannels::PAIRED).map(Some)
        };
        // The small ones come first on the device, and their camera effects are done while it draws the main picture.
        let (panels, main) = rayon::join(draw_small, draw_main);
        Ok(Drawn { main: main?, panels: panels? })
    }

    /// The picture that a learned policy decides on, with measured depth and classes where it wants them.
    ///
    /// # Errors
    /// The graphics device fails.
    pub fn pilot(
        &mut self,
        request: &RenderRequest<'_>,
        camera: Camera,
        (depth, classes): (bool, bool),
    ) -> Result<FrameBatch, RenderError> {
        let size = (camera.intrinsics.width, camera.intrinsics.height);
        let renderer = Self::renderer(&mut self.pilot, &self.gpu, &self.images, size)?;
        let channels = FrameChannels { sensed_depth: depth, identity: classes, ..FrameChannels::SOURCE };
        renderer.capture(request.look.domain, &[request.view(camera)], channels)
    }

    /// The pair at any size, without touching the live panels.
    ///
    /// # Errors
    /// The graphics device fails.
    pub fn once(&self, request: &RenderRequest<'_>, camera: Camera) -> Result<FrameBatch, RenderError> {
        let config = RenderConfig::new(camera.intrinsics.width, camera.intrinsics.height);
        TiledRenderer::new(&self.gpu, config, &self.images)?.capture(
            request.look.domain,
            &[request.view(camera)],
            FrameChannels::PAIRED,
        )
    }
}

/// The latest frames and what is shown of them.
#[derive(Default)]
pub struct Panels {
    pub main: Picture,
    /// In the order of [`Channel::PANELS`].
    pub panels: [Picture; PANELS],
    pub main_frames: Option<FrameBatch>,
    pub robot_frames: Option<FrameBatch>,
}

impl Panels {
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
        for (picture, channel) in self.panels.iter_mut().zip(Channel::PANELS).take(PANELS - 1) {
            picture.set(frames.width, frames.height, &channel.colours(&frames));
        }
        self.robot_frames = Some(frames);
    }
}
