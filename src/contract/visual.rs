//! What can be seen: the parts that simulation hands to the renderer.

use super::Pose;
use glam::Vec3;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Segmentation classes (RCAN, section 4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[repr(u8)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// Floor, backdrop, and pixels without any part.
    Background = 0,
    /// The objects of the episode, all of one class.
    Object = 1,
    /// Floors and walls of the bins.
    Tray = 2,
    /// The wall across the middle of a bin.
    Divider = 3,
    /// The arm's links with the gripper, its fingers and cables.
    Arm = 4,
}

impl Class {
    /// Classes that there are; their values run from 0 to `COUNT - 1`.
    pub const COUNT: usize = 5;
    /// Every class in the order of its value.
    pub const ALL: [Self; 5] = [Self::Background, Self::Object, Self::Tray, Self::Divider, Self::Arm];

    /// The name in files and tables, as serde writes it.
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
    /// The ground around the robot.
    Floor,
    /// The three walls around the cell, where it has any.
    Backdrop,
    /// Floors and walls of the bins.
    Tray,
    /// The wall across the middle of a bin.
    Divider,
    /// Arm link 0 (base) to 7 (flange).
    ArmLink(u8),
    /// The palm, and the fingers behind their pads.
    Gripper,
    /// The fingers' pads.
    Finger,
    /// Cables, labels and the like, drawn only in `reality`.
    Cable,
    /// Object number within the episode.
    Object(u8),
}

/// Triangles, for objects that are not made of primitives. Positions in metres in the body's frame.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct MeshData {
    /// `[num_vertices]`, places of the vertices.
    pub positions: Vec<Vec3>,
    /// Per vertex, unit length; same count as `positions`.
    pub normals: Vec<Vec3>,
    /// Three indices a triangle, counter-clockwise seen from outside.
    pub indices: Vec<u32>,
    /// Per vertex, sRGB, where the mesh has colours of its own: domains that keep an object's paint draw them. Same count as
    /// `positions`, or empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub colors: Vec<[u8; 3]>,
    /// The same surface with more vertices, for large pictures, where colours have more detail than these show.
    #[serde(skip)]
    pub detailed: Option<std::sync::Arc<MeshData>>,
}

impl MeshData {
    /// Moves every vertex.
    pub fn translate(&mut self, by: Vec3) {
        self.positions.iter_mut().for_each(|point| *point += by);
        if let Some(detailed) = &mut self.detailed {
            std::sync::Arc::make_mut(detailed).translate(by);
        }
    }

    /// Puts another mesh beside this one, without the details of either. Where one of them has colours, the other becomes
    /// white.
    pub fn append(&mut self, other: Self) {
        let (before, base) = (self.positions.len(), self.positions.len() as u32);
        self.detailed = None;
        self.positions.extend(other.positions);
        self.normals.extend(other.normals);
        self.indices.extend(other.indices.iter().map(|index| base + index));
        if !(self.colors.is_empty() && other.colors.is_empty()) {
            self.colors.resize(before, [255; 3]);
            self.colors.extend(other.colors);
            self.colors.resize(self.positions.len(), [255; 3]);
        }
    }
}

/// All fields but the details, which follow from the same file; colours only where there are any: checksums of objects are
/// made of this text.
impl fmt::Debug for MeshData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { positions, normals, indices, colors, detailed: _ } = self;
        let mut text = f.debug_struct("MeshData");
        text.field("positions", positions).field("normals", normals).field("indices", indices);
        if !colors.is_empty() {
            text.field("colors", colors);
        }
        text.finish()
    }
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
    /// The primitive or the mesh that is drawn.
    pub shape: Shape,
    /// Factors along the shape's own axes: full extents in metres for primitives, 1 for a mesh in its own size.
    pub scale: Vec3,
    /// Index of the body in the list of poses that comes with the parts.
    pub body: usize,
    /// Where the part is in its body's frame; the scale acts before it.
    pub body_from_part: Pose,
    /// Material slot that gives its look in every domain.
    pub surface: Surface,
    /// Class of its pixels in the segmentation.
    pub class: Class,
    /// 0 is background; equal for all parts of one instance (an object, the tray, the divider, an arm link).
    pub instance: u8,
}
