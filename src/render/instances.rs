//! Turns scene views into the renderer's instance, environment and material records, leaving out what a tile cannot see.

use super::scene_view::SceneView;
use crate::appearance::look::CanonicalColour;
use crate::appearance::{Jitter, Light, Material};
use crate::contract::{Camera, Class, Pose, Shape, Surface, VisualPart};
use bytemuck::{Pod, Zeroable};
use glam::{Mat3, Mat4, Vec3, Vec4};

/// One instance as the vertex stage reads it; positions are relative to the bin's centre.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub struct InstanceRecord {
    pub rows: [[f32; 4]; 3],
    pub camera_clip_from_part: [[f32; 4]; 4],
    pub light_clip_from_part: [[f32; 4]; 4],
    pub tile: [f32; 4],
    /// Instance id, shape, part number and environment; material; canonical colour; bits of the texture offset.
    pub ids: [u32; 4],
}

/// Thirty-two bytes that the shader unpacks: see `Packed` in `tiled.wgsl`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub struct PackedRecord(pub [u32; 8]);

/// What is the same for every environment.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub struct GlobalsRecord {
    pub canonical_clip_from_bin: [[f32; 4]; 4],
    pub canonical_light: [f32; 4],
    pub canonical_colour: [f32; 4],
    pub canonical_sky: [f32; 4],
    pub canonical_ground: [f32; 4],
    pub shadow_atlas: [f32; 4],
    pub canonical_radius: [f32; 4],
}

/// IEEE half precision, rounded to nearest even; overflow becomes the largest finite value.
fn half(value: f32) -> u32 {
    let value = value.clamp(-65504.0, 65504.0);
    let bits = value.to_bits();
    let sign = (bits >> 16) & 0x8000;
    let magnitude = value.abs();
    if magnitude < 6.103_515_6e-5 {
        // Subnormal: units of 2^-24.
        return sign | (magnitude * 16_777_216.0).round_ties_even() as u32;
    }
    let exponent = ((bits >> 23) & 0xff) + 15 - 127;
    let mantissa = bits & 0x7f_ffff;
    let rounded =
        ((exponent << 10) | (mantissa >> 13)) + u32::from((mantissa & 0x1fff) + ((mantissa >> 13) & 1) > 0x1000);
    sign | rounded
}

fn halves(low: f32, high: f32) -> u32 {
    half(low) | half(high) << 16
}

/// Four numbers in [0, 1] as bytes.
fn bytes(values: [f32; 4]) -> u32 {
    values.iter().rev().fold(0, |packed, v| packed << 8 | (v.clamp(0.0, 1.0) * 255.0).round() as u32)
}

fn root_colour(colour: Vec3, w: f32) -> u32 {
    bytes([colour.x.max(0.0).sqrt(), colour.y.max(0.0).sqrt(), colour.z.max(0.0).sqrt(), w])
}

fn pack_material(m: &Material) -> PackedRecord {
    let (u, v) = (m.axis_u * m.wave_u, m.axis_v * m.wave_v);
    // A wave of frequency 0 is flat: half of each colour. A plain colour has both equal.
    let (check, first) = match m.image {
        Some(layer) => (-1.0 - layer as f32, m.image_scale),
        None => (m.check, u.x),
    };
    PackedRecord([
        root_colour(m.colour_a, m.roughness),
        root_colour(m.colour_b, m.metallic),
        halves(check, m.cloud),
        halves(m.cloud_frequency, m.grain),
        halves(first, u.y),
        halves(u.z, m.warp),
        halves(v.x, v.y),
        halves(v.z, m.sharpness),
    ])
}

fn pack_light(light: &Light, radius_texels: f32, camera: Vec3, pixel_angle: f32) -> PackedRecord {
    let (p, c) = (light.position, light.colour);
    PackedRecord([
        halves(p.x, p.y),
        halves(p.z, radius_texels),
        halves(c.x, c.y),
        halves(c.z, pixel_angle),
        root_colour(light.sky * 0.5, light.exposure * 0.5),
        root_colour(light.ground * 0.5, 0.0),
        halves(camera.x, camera.y),
        halves(camera.z, 0.0),
    ])
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
pub struct TileRecords {
    pub instances: Vec<(DrawKind, InstanceRecord, Visibility)>,
    pub materials: Vec<PackedRecord>,
    pub light: PackedRecord,
    /// Some mesh is drawn in colours of its own.
    pub tinted: bool,
    /// Segmentation class of every instance id.
    pub class_of_instance: [u8; 256],
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

/// Looks from a light (metres from the bin's centre) at the ball in which shadows fall.
fn light_matrix(position: Vec3, radius: f32) -> Mat4 {
    let target = Vec3::Z * 0.05;
    let distance = position.distance(target).max(radius * 1.2);
    let up = if (position - target).normalize_or_zero().z.abs() > 0.99 { Vec3::Y } else { Vec3::Z };
    let view = Mat4::look_at_rh(position, target, up);
    let half_angle = (radius / distance).asin();
    Mat4::perspective_rh(2.0 * half_angle, 1.0, 0.3 * distance, distance + radius) * view
}

/// The canonical light and the shadow atlas, for cells whose shadows fall within `shadow_radius_m`.
pub fn globals(grid: Grid, taps: u32, shadow_radius_m: f32) -> GlobalsRecord {
    let light = Light::CANONICAL;
    let atlas = [grid.columns, grid.rows].map(|n| (n as u32 * grid.shadow_size) as f32);
    GlobalsRecord {
        canonical_clip_from_bin: light_matrix(light.position, shadow_radius_m).to_cols_array_2d(),
        canonical_light: light.position.extend(0.0).to_array(),
        canonical_colour: light.colour.extend(0.0).to_array(),
        canonical_sky: light.sky.extend(0.0).to_array(),
        canonical_ground: light.ground.extend(0.0).to_array(),
        shadow_atlas: [atlas[0], atlas[1], 1.0 / atlas[0], 1.0 / atlas[1]],
        canonical_radius: [filter_radius(&light, grid, taps.div_ceil(2), shadow_radius_m), 0.0, 0.0, 0.0],
    }
}

/// Radius of the shadow filter in texels: never so small that the map's steps show, never so large that its samples
/// stand apart as so many shadows.
fn filter_radius(light: &Light, grid: Grid, taps: u32, shadow_radius_m: f32) -> f32 {
    let texels = light.softness_m * grid.shadow_size as f32 / (2.0 * shadow_radius_m);
    texels.clamp(0.6, 0.5 + 0.8 * (taps as f32).sqrt())
}

/// Everything that the tile at `index` contributes.
pub fn tile_records(view: &SceneView<'_>, index: usize, grid: Grid, taps: u32) -> TileRecords {
    let look = view.look;
    let centre = view.scene_bounds.bin_centre;
    let shadow_radius = view.scene_bounds.shadow_radius_m;
    let camera = jittered(&view.camera, &look.jitter);
    let bin_from_camera =
        Pose { translation: camera.world_from_camera.translation - centre, ..camera.world_from_camera };
    let camera_clip = clip_from_camera(&camera, NEAR_M) * bin_from_camera.inverse().to_mat4();
    let light_clip = light_matrix(look.light.position, shadow_radius);
    let radius_texels = filter_radius(&look.light, grid, taps, shadow_radius);
    let pixel_angle = 1.0 / camera.intrinsics.fy;
    let light = pack_light(&look.light, radius_texels, bin_from_camera.translation, pixel_angle);
    let mut records = TileRecords {
        instances: Vec::with_capacity(view.parts.len()),
        materials: Vec::new(),
        light,
        tinted: false,
        class_of_instance: [0; 256],
    };
    let tile = tile_transform(index, grid.columns, grid.rows);
    let frustum = Frustum::new(camera_clip);
    let cones = [light_clip, light_matrix(Light::CANONICAL.position, shadow_radius)].map(Frustum::new);
    let mut slots: Vec<(Surface, u32)> = Vec::new();
    for (number, part) in view.parts.iter().enumerate() {
        if part.surface == Surface::Cable && !look.cables {
            continue;
        }
        let (pose, scale) = placed(part, view);
        let translation = pose.translation - centre;
        let radius = bounding_radius(part, scale);
        let ground = matches!(part.surface, Surface::Floor | Surface::Backdrop);
        let visibility = Visibility {
            camera: frustum.touches(translation, radius),
            shadow: !ground && cones.iter().any(|c| c.touches(translation, radius)),
        };
        if !visibility.camera && !visibility.shadow {
            continue;
        }
        let material = match slots.iter().find(|(surface, _)| *surface == part.surface) {
            Some(&(_, slot)) => slot,
            None => {
                let slot = records.materials.len() as u32;
                records.materials.push(pack_material(look.surfaces.of(part.surface)));
                slots.push((part.surface, slot));
                slot
            }
        };
        let linear = Mat3::from_quat(pose.rotation) * Mat3::from_diagonal(scale);
        let bin_from_part = Mat4::from_cols(
            linear.x_axis.extend(0.0),
            linear.y_axis.extend(0.0),
            linear.z_axis.extend(0.0),
            translation.extend(1.0),
        );
        let shape = match part.shape {
            Shape::Box => 0,
            Shape::Cylinder => 1,
            Shape::Mesh(ref data) if !data.colors.is_empty() && look.keeps_paint() => 3,
            Shape::Sphere | Shape::Mesh(_) => 2,
        };
        records.tinted |= shape == 3;
        records.class_of_instance[usize::from(part.instance)] = part.class as u8;
        let record = InstanceRecord {
            rows: std::array::from_fn(|r| bin_from_part.row(r).to_array()),
            camera_clip_from_part: (camera_clip * bin_from_part).to_cols_array_2d(),
            light_clip_from_part: (light_clip * bin_from_part).to_cols_array_2d(),
            tile,
            ids: [
                u32::from(part.instance) | shape << 8 | (number as u32 & 31) << 10 | (index as u32) << 16,
                material,
                pack_canonical(look.canonical_colour(part.surface)),
                texture_offset(part.surface, number).to_bits(),
            ],
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

impl Grid {
    /// A nearly square grid for `count` tiles.
    pub fn for_tiles(count: usize, shadow_size: u32) -> Self {
        let columns = (count.max(1) as f64).sqrt().ceil() as usize;
        Self { columns, rows: count.max(1).div_ceil(columns), shadow_size }
    }
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
        Class::Tray | Class::Divider => moved(view.scene_bounds.bin_centre, jitter.tray_scale, jitter.tray_offset),
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
    fn halves_match_known_bit_patterns() {
        for (value, bits) in [(1.0, 0x3c00), (-2.0, 0xc000), (65504.0, 0x7bff), (0.1, 0x2e66), (6.0e-8, 1), (0.0, 0)] {
            assert_eq!(half(value), bits, "{value}");
        }
        assert_eq!(half(1.0e9), 0x7bff);
        // 2049 lies between 2048 and 2050: ties go to the even mantissa.
        assert_eq!((half(2049.0), half(2051.0)), (half(2048.0), half(2052.0)));
        assert_eq!(bytes([0.0, 1.0, 0.5, 0.2]), 0x3380_ff00);
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
