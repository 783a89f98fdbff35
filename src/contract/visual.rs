//! What can be seen: the parts that simulation hands to the renderer.

use super::Pose;
use glam::Vec3;
use serde::{Deserialize, Serialize};

/// Segmentation classes (RCAN, section 4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[repr(u8)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    Background = 0,
    Object = 1,
    Tray = 2,
    Divider = 3,
    Arm = 4,
}

impl Class {
    pub const COUNT: usize = 5;
    pub const ALL: [Self; 5] = [Self::Background, Self::Object, Self::Tray, Self::Divider, Self::Arm];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Background => "background",
            Self::Object => "object",
            Self::Tray => "tray",
            Self::Divider => "divider",
            Self::Arm => "arm",
        }
    }
}

/// Which material slot a part takes its look from. Every domain fills every slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Surface {
    Floor,
    Backdrop,
    Tray,
    Divider,
    /// Arm link 0 (base) to 7 (flange).
    ArmLink(u8),
    Gripper,
    Finger,
    /// Cables, labels and the like, drawn only in `reality`.
    Cable,
    /// Object number within the episode.
    Object(u8),
}

/// Triangles, for objects that are not made of primitives. Positions in metres in the body's frame.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MeshData {
    pub positions: Vec<Vec3>,
    /// Per vertex, unit length; same count as `positions`.
    pub normals: Vec<Vec3>,
    /// Three indices a triangle, counter-clockwise seen from outside.
    pub indices: Vec<u32>,
}

/// The shape of a part before its scale.
#[derive(Clone, Debug)]
pub enum Shape {
    /// `[-0.5, 0.5]^3`; the scale is the full extents.
    Box,
    /// Radius 0.5, height 1 along z, centred; the scale is (diameter, diameter, height).
    Cylinder,
    /// Radius 0.5, centred; the scale is the diameters.
    Sphere,
    /// Shared triangles; parts with the same `Arc` share one draw.
    Mesh(std::sync::Arc<MeshData>),
}

/// One drawable piece, rigidly fixed to a body.
#[derive(Clone, Debug)]
pub struct VisualPart {
    pub shape: Shape,
    pub scale: Vec3,
    /// Index of the body in the list of poses that comes with the parts.
    pub body: usize,
    pub body_from_part: Pose,
    pub surface: Surface,
    pub class: Class,
    /// 0 is background; equal for all parts of one instance (an object, the tray, the divider, an arm link).
    pub instance: u8,
}
