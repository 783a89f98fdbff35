//! What the renderer is asked to draw: one view per tile.

use crate::appearance::Look;
use crate::contract::{Camera, Pose, VisualPart};
use glam::Vec3;

/// One camera's view of one environment. Borrowed: the renderer copies what it needs during the call.
#[derive(Clone, Copy)]
pub struct SceneView<'a> {
    pub parts: &'a [VisualPart],
    /// Indexed by [`VisualPart::body`].
    pub world_from_body: &'a [Pose],
    /// Its intrinsics' width and height must be those of the tile.
    pub camera: Camera,
    pub look: &'a Look,
    pub scene_bounds: SceneBounds,
    pub step_index: u64,
    pub look_seed: u64,
    /// How far the gripper moved over the last step, metres in the world (motion blur).
    pub arm_motion_m: Vec3,
}

/// Fixed points of a cell that looks refer to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SceneBounds {
    /// Centre of the bin floor: lights are placed from here, the tray's jitter scales about it.
    pub bin_centre: Vec3,
    /// Radius around the bin's centre inside which shadows fall, metres.
    pub shadow_radius_m: f32,
}
