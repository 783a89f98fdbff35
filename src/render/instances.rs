//! Turns scene views into the renderer's instance, environment and material records, leaving out what a tile cannot see.

use super::scene_view::SceneView;
use crate::appearance::look::{CanonicalColour, canonical_colour};
use crate::appearance::{Jitter, Light, Material};
use crate::contract::{Camera, Class, Pose, Shape, Surface, VisualPart};
use bytemuck::{Pod, Zeroable};
use glam::{Mat3, Mat4, Vec3, Vec4};

#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub struct InstanceRecord {
    pub rows: [[f32; 4]; 3],
    pub ids: u32,
    pub material: u32,
    pub canonical: u32,
    pub offset: f32,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub struct EnvironmentRecord {
    pub clip_from_world: [[f32; 4]; 4],
    pub light_clip_from_world: [[[f32; 4]; 4]; 2],
    pub tile: [f32; 4],
    pub shadow_tile: [f32; 4],
    pub camera_position: [f32; 4],
    pub camera_forward: [f32; 4],
    pub light_position: [[f32; 4]; 2],
    pub light_colour: [[f32; 4]; 2],
    pub sky: [[f32; 4]; 2],
    pub ground: [[f32; 4]; 2],
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub struct MaterialRecord {
    pub colour_a: [f32; 4],
    pub colour_b: [f32; 4],
    pub wave: [f32; 4],
    pub mix: [f32; 4],
    pub axis_u: [f32; 4],
    pub axis_v: [f32; 4],
}

impl From<&Material> for MaterialRecord {
    fn from(m: &Material) -> Self {
        // A wave of frequency 0 is sin(0) = 0 everywhere: the mean of both colours. A plain colour has both equal.
        Self {
            colour_a: m.colour_a.extend(m.roughness).to_array(),
            colour_b: m.colour_b.extend(m.metallic).to_array(),
            wave: [m.wave_u, m.wave_v, m.warp, m.sharpness],
            mix: [m.check, m.cloud, m.cloud_frequency, m.grain],
            axis_u: m.axis_u.extend(m.image.map_or(-1.0, |layer| layer as f32)).to_array(),
            axis_v: m.axis_v.extend(m.image_scale).to_array(),
        }
    }
}

/// Which mesh an instance draws; the order is the order of drawing (near and small things first, so that the depth test
/// spares the floor's pixels).
#[derive(Clone, Debug)]
pub enum DrawKind {
    Mesh(std::sync::Arc<crate::contract::MeshData>),
    Sphere,
    Cylinder,
    Box,
    /// Boxes of the floor and the backdrop, last of all.
    Ground,
}

/// The records of one environment.
#[derive(Default)]
pub struct TileRecords {
    pub instances: Vec<(DrawKind, InstanceRecord, Visibility)>,
    pub materials: Vec<MaterialRecord>,
    pub environment: Option<EnvironmentRecord>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Visibility {
    /// The camera may see it.
    pub camera: bool,
    /// It may cast a shadow that matters.
    pub shadow: bool,
}

/// Where tile `index` lies in an atlas of `columns` by `rows` equal tiles: clip-space scale and offset.
pub fn tile_transform(index: usize, columns: usize, rows: usize) -> [f32; 4] {
    let (column, row) = (index % columns, index / columns);
    let (sx, sy) = (1.0 / columns as f32, 1.0 / rows as f32);
    [sx, sy, (2 * column + 1) as f32 * sx - 1.0, 1.0 - (2 * row + 1) as f32 * sy]
}

/// Reverse-Z projection of an OpenCV camera with an infinite far plane: clip.w is the depth.
pub fn clip_from_camera(camera: &Camera, near_m: f32) -> Mat4 {
    let i = &camera.intrinsics;
    let (w, h) = (i.width as f32, i.height as f32);
    Mat4::from_cols(
        Vec4::new(2.0 * i.fx / w, 0.0, 0.0, 0.0),
        Vec4::new(0.0, -2.0 * i.fy / h, 0.0, 0.0),
        Vec4::new(2.0 * i.cx / w - 1.0, 1.0 - 2.0 * i.cy / h, 0.0, 1.0),
        Vec4::new(0.0, 0.0, near_m, 0.0),
    )
}

const NEAR_M: f32 = 0.01;

/// The camera that a look's jitter makes of the described one.
pub fn jittered(camera: &Camera, jitter: &Jitter) -> Camera {
    Camera { world_from_camera: camera.world_from_camera * jitter.camera, ..*camera }
}

fn light_matrix(position: Vec3, target: Vec3, radius: f32) -> Mat4 {
    let distance = position.distance(target).max(radius * 1.2);
    let up = if (position - target).normalize_or_zero().z.abs() > 0.99 { Vec3::Y } else { Vec3::Z };
    let view = Mat4::look_at_rh(position, target, up);
    let half_angle = (radius / distance).asin();
    Mat4::perspective_rh(2.0 * half_angle, 1.0, (distance - radius).max(0.05), distance + radius) * view
}

/// Everything that the tile at `index` contributes.
pub fn tile_records(view: &SceneView<'_>, index: usize, grid: Grid) -> TileRecords {
    let look = view.look;
    let camera = jittered(&view.camera, &look.jitter);
    let target = view.anchors.bin_centre + Vec3::Z * 0.05;
    let lights = [look.light, Light::CANONICAL];
    let positions = lights.map(|light| view.anchors.bin_centre + light.position);
    let matrices = positions.map(|p| light_matrix(p, target, view.anchors.shadow_radius_m));
    let texels_per_m = grid.shadow_size as f32 / (2.0 * view.anchors.shadow_radius_m);
    let pixel_angle = 1.0 / camera.intrinsics.fy;
    let forward = camera.world_from_camera.transform_vector(Vec3::Z);
    let pair = |f: &dyn Fn(usize) -> [f32; 4]| [f(0), f(1)];
    let clip_from_world = clip_from_camera(&camera, NEAR_M) * camera.world_from_camera.inverse().to_mat4();
    let environment = EnvironmentRecord {
        clip_from_world: clip_from_world.to_cols_array_2d(),
        light_clip_from_world: matrices.map(|m| m.to_cols_array_2d()),
        tile: tile_transform(index, grid.columns, grid.rows),
        shadow_tile: tile_transform(index, grid.columns, grid.rows),
        camera_position: camera.world_from_camera.translation.extend(pixel_angle).to_array(),
        camera_forward: forward.extend(0.0).to_array(),
        light_position: pair(&|i| {
            let radius = (lights[i].softness_m * texels_per_m).max(0.7);
            positions[i].extend(radius).to_array()
        }),
        light_colour: pair(&|i| lights[i].colour.extend(0.0).to_array()),
        sky: pair(&|i| lights[i].sky.extend(lights[i].exposure).to_array()),
        ground: pair(&|i| lights[i].ground.extend(0.0).to_array()),
    };
    let mut records = TileRecords { environment: Some(environment), ..TileRecords::default() };
    let frustum = Frustum::new(clip_from_world);
    let cones = matrices.map(Frustum::new);
    let mut slots: Vec<(Surface, u32)> = Vec::new();
    for (number, part) in view.parts.iter().enumerate() {
        if part.surface == Surface::Cable && !look.cables {
            continue;
        }
        let (pose, scale) = placed(part, view);
        let radius = bounding_radius(part, scale);
        let ground = matches!(part.surface, Surface::Floor | Surface::Backdrop);
        let visibility = Visibility {
            camera: frustum.touches(pose.translation, radius),
            shadow: !ground && cones.iter().any(|c| c.touches(pose.translation, radius)),
        };
        if !visibility.camera && !visibility.shadow {
            continue;
        }
        let material = match slots.iter().find(|(surface, _)| *surface == part.surface) {
            Some(&(_, slot)) => slot,
            None => {
                let slot = records.materials.len() as u32;
                records.materials.push(look.surfaces.of(part.surface).into());
                slots.push((part.surface, slot));
                slot
            }
        };
        let m = Mat3::from_quat(pose.rotation) * Mat3::from_diagonal(scale);
        let t = pose.translation;
        let record = InstanceRecord {
            rows: std::array::from_fn(|r| [m.col(0)[r], m.col(1)[r], m.col(2)[r], t[r]]),
            ids: index as u32 | u32::from(part.instance) << 16 | (part.class as u32) << 24,
            material,
            canonical: pack_canonical(canonical_colour(part.surface)),
            offset: texture_offset(part.surface, number),
        };
        let kind = match &part.shape {
            Shape::Mesh(data) => DrawKind::Mesh(data.clone()),
            Shape::Sphere => DrawKind::Sphere,
            Shape::Cylinder => DrawKind::Cylinder,
            Shape::Box if ground => DrawKind::Ground,
            Shape::Box => DrawKind::Box,
        };
        records.instances.push((kind, record, visibility));
    }
    records
}

/// The atlas of one capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    pub columns: usize,
    pub rows: usize,
    /// Edge of a tile's shadow map, texels.
    pub shadow_size: u32,
}

/// Pieces of one object or of the tray share a texture space; arm links and fingers are cut from different stock.
fn texture_offset(surface: Surface, number: usize) -> f32 {
    match surface {
        Surface::Object(i) => f32::from(i) * 0.37,
        Surface::ArmLink(i) => f32::from(i) * 0.53,
        _ => (number % 13) as f32 * 0.29,
    }
}

fn placed(part: &VisualPart, view: &SceneView<'_>) -> (Pose, Vec3) {
    let body = view.world_from_body.get(part.body).copied().unwrap_or_default();
    let pose = body * part.body_from_part;
    let jitter = &view.look.jitter;
    let moved = |anchor: Vec3, scale: f32, offset: Vec3| {
        let translation = anchor + (pose.translation - anchor) * scale + offset;
        (Pose { translation, ..pose }, part.scale * scale)
    };
    match part.class {
        // Links grow thicker where they are: the joints stay where the robot has them.
        Class::Arm => {
            (Pose { translation: pose.translation + jitter.arm_offset, ..pose }, part.scale * jitter.arm_scale)
        }
        Class::Tray | Class::Divider => moved(view.anchors.bin_centre, jitter.tray_scale, jitter.tray_offset),
        Class::Object | Class::Background => (pose, part.scale),
    }
}

fn bounding_radius(part: &VisualPart, scale: Vec3) -> f32 {
    match &part.shape {
        Shape::Box => 0.5 * scale.length(),
        Shape::Sphere => 0.5 * scale.max_element(),
        Shape::Cylinder => 0.5 * Vec3::new(scale.x.max(scale.y), 0.0, scale.z).length(),
        Shape::Mesh(data) => {
            data.positions.iter().map(|p| p.length_squared()).fold(0.0, f32::max).sqrt() * scale.max_element()
        }
    }
}

fn pack_canonical(colour: CanonicalColour) -> u32 {
    let pack = |c: Vec3| {
        let channel = |v: f32| (v.clamp(0.0, 1.0) * 1023.0).round() as u32;
        channel(c.x) | channel(c.y) << 10 | channel(c.z) << 20
    };
    match colour {
        CanonicalColour::Lit(c) => pack(c),
        CanonicalColour::Flat(c) => pack(c) | 1 << 31,
        CanonicalColour::Source => 1 << 30,
    }
}

/// Side planes of a projection (the four that bound a tile).
struct Frustum {
    planes: [Vec4; 4],
}

impl Frustum {
    fn new(clip_from_world: Mat4) -> Self {
        let row = |i: usize| clip_from_world.row(i);
        let plane = |p: Vec4| p / p.truncate().length().max(1e-12);
        Self { planes: [row(3) + row(0), row(3) - row(0), row(3) + row(1), row(3) - row(1)].map(plane) }
    }

    fn touches(&self, centre: Vec3, radius: f32) -> bool {
        self.planes.iter().all(|p| p.truncate().dot(centre) + p.w > -radius)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Intrinsics;

    #[test]
    fn projection_agrees_with_the_camera() {
        let intrinsics = Intrinsics { width: 472, height: 472, fx: 500.0, fy: 480.0, cx: 200.0, cy: 260.0 };
        let camera = Camera::look_at(Vec3::new(0.2, -0.4, 0.9), Vec3::new(0.6, 0.0, 0.0), intrinsics);
        let clip_from_world = clip_from_camera(&camera, NEAR_M) * camera.world_from_camera.inverse().to_mat4();
        let point = Vec3::new(0.55, 0.07, 0.04);
        let (pixel, depth) = camera.project(point);
        let clip = clip_from_world * point.extend(1.0);
        assert!((clip.w - depth).abs() < 1e-5);
        let x = (clip.x / clip.w * 0.5 + 0.5) * 472.0;
        let y = (0.5 - clip.y / clip.w * 0.5) * 472.0;
        assert!((x - pixel.x).abs() < 1e-2 && (y - pixel.y).abs() < 1e-2, "{x} {y} {pixel}");
    }

    #[test]
    fn tiles_cover_the_atlas_without_overlap() {
        // Tile 0 is the upper left one: its left edge is -1 and its top is 1.
        let [sx, sy, ox, oy] = tile_transform(0, 4, 2);
        assert_eq!((ox - sx, oy + sy), (-1.0, 1.0));
        let [sx, sy, ox, oy] = tile_transform(7, 4, 2);
        assert_eq!((ox + sx, oy - sy), (1.0, -1.0));
    }

    #[test]
    fn canonical_colours_keep_ten_bits() {
        let c = Vec3::new(0.25, 0.5, 1.0);
        let packed = pack_canonical(CanonicalColour::Lit(c));
        assert!((packed & 1023).abs_diff(256) <= 1 && (packed >> 20) & 1023 == 1023);
        assert_eq!(packed >> 30, 0);
    }
}
