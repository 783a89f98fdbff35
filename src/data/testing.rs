//! A small ray caster for tests: boxes in a bin with a divider and an arm, looking enough like a rendered frame (edges,
//! textures, noise, aligned ids and depth) that encoders, checks and contact sheets meet what they will meet in use.

use super::paired::{ObjectState, PairRecord, Phase};
use crate::contract::{Action, Camera, Class, Domain, FrameBatch, GripperState, Intrinsics, Pose, Seed};
use glam::{Quat, Vec2, Vec3};

/// A box in the world: what the ray caster draws.
#[derive(Clone)]
pub struct TestBox {
    pub world_from_box: Pose,
    pub half: Vec3,
    pub class: Class,
    pub instance: u8,
    pub colour: Vec3,
}

fn aligned(center: Vec3, half: Vec3, class: Class, instance: u8, colour: Vec3) -> TestBox {
    TestBox { world_from_box: Pose::from_translation(center), half, class, instance, colour }
}

/// Bin, divider, arm and five objects of scene `seed`; the objects have instances 10 to 14.
pub fn scene(seed: Seed) -> Vec<TestBox> {
    let mut rng = seed.derive("test scene", 0).rng();
    let bin = Vec3::new(0.55, 0.57, 0.6);
    let wall = |x, y, hx, hy| aligned(Vec3::new(x, y, 0.05), Vec3::new(hx, hy, 0.05), Class::Tray, 1, bin);
    let mut boxes = vec![
        aligned(Vec3::new(0.6, 0.0, 0.005), Vec3::new(0.2, 0.26, 0.005), Class::Tray, 1, bin),
        wall(0.4, 0.0, 0.006, 0.26),
        wall(0.8, 0.0, 0.006, 0.26),
        wall(0.6, -0.26, 0.2, 0.006),
        wall(0.6, 0.26, 0.2, 0.006),
        aligned(
            Vec3::new(0.6, rng.range(-0.08, 0.08), 0.04),
            Vec3::new(0.2, 0.004, 0.04),
            Class::Divider,
            2,
            Vec3::new(0.35, 0.42, 0.5),
        ),
    ];
    let hand = Vec3::new(rng.range(0.5, 0.7), rng.range(-0.15, 0.15), rng.range(0.16, 0.3));
    let orange = Vec3::new(0.95, 0.55, 0.2);
    boxes.push(aligned(hand + Vec3::Z * 0.12, Vec3::new(0.03, 0.03, 0.1), Class::Arm, 3, orange));
    for side in [-1.0, 1.0] {
        let finger = hand + Vec3::Y * 0.035 * side - Vec3::Z * 0.01;
        boxes.push(aligned(finger, Vec3::new(0.01, 0.006, 0.04), Class::Arm, 4, Vec3::new(0.3, 0.3, 0.33)));
    }
    for i in 0..5 {
        let half = Vec3::new(rng.range(0.012, 0.05), rng.range(0.012, 0.05), rng.range(0.01, 0.03));
        let at = Vec3::new(rng.range(0.46, 0.74), rng.range(-0.2, 0.2), 0.01 + half.z);
        let turn = Quat::from_rotation_z(rng.range(0.0, 3.0)) * Quat::from_rotation_x(rng.range(-0.2, 0.2));
        let colour = Vec3::new(rng.range(0.1, 1.0), rng.range(0.1, 1.0), rng.range(0.1, 1.0));
        boxes.push(TestBox {
            world_from_box: Pose::new(at, turn),
            half,
            class: Class::Object,
            instance: 10 + i,
            colour,
        });
    }
    boxes
}

pub fn camera(width: usize, height: usize) -> Camera {
    let intrinsics = Intrinsics::from_vertical_fov(width as u32, height as u32, 0.72);
    Camera::look_at(Vec3::new(1.35, 0.35, 0.85), Vec3::new(0.58, 0.0, 0.08), intrinsics)
}

/// Entry distance and normal (box frame) of a ray into a box.
fn hit(b: &TestBox, origin: Vec3, direction: Vec3) -> Option<(f32, Vec3, Vec3)> {
    let box_from_world = b.world_from_box.inverse();
    let (o, d) = (box_from_world.transform_point(origin), box_from_world.transform_vector(direction));
    let inverse = d.recip();
    let (a, c) = ((-b.half - o) * inverse, (b.half - o) * inverse);
    let (near, far) = (a.min(c), a.max(c));
    let t = near.max_element();
    if t > far.min_element() || t <= 0.0 {
        return None;
    }
    let normal = Vec3::select(near.cmpeq(Vec3::splat(t)), -d.signum(), Vec3::ZERO);
    Some((t, normal, o + d * t))
}

fn lattice(seed: u32, x: i32, y: i32) -> f32 {
    let mut h = seed ^ (x as u32).wrapping_mul(0x9E37_79B1) ^ (y as u32).wrapping_mul(0x85EB_CA77);
    h = (h ^ (h >> 15)).wrapping_mul(0x2C1B_3C6D);
    h = (h ^ (h >> 12)).wrapping_mul(0x297A_2D39);
    ((h ^ (h >> 15)) & 0xFFFF) as f32 / 65535.0
}

/// Value noise in `[0, 1]`.
fn noise(seed: u32, p: Vec2) -> f32 {
    let (cell, f) = (p.floor(), p - p.floor());
    let (x, y) = (cell.x as i32, cell.y as i32);
    let s = f * f * (Vec2::splat(3.0) - f * 2.0);
    let row = |dy| lattice(seed, x, y + dy) * (1.0 - s.x) + lattice(seed, x + 1, y + dy) * s.x;
    row(0) * (1.0 - s.y) + row(1) * s.y
}

fn to_srgb(colour: Vec3) -> [u8; 3] {
    colour.clamp(Vec3::ZERO, Vec3::ONE).to_array().map(|c| (c.powf(1.0 / 2.2) * 255.0 + 0.5) as u8)
}

/// `count` scenes: scene `i` has the seed `seed.derive("episode", first + i)`. Tick, look seed and all pixels follow
/// from it.
pub fn frames(seed: Seed, first: u64, count: usize, (width, height): (usize, usize)) -> FrameBatch {
    let camera = camera(width, height);
    let pixels = count * width * height;
    let mut batch = FrameBatch {
        source: Domain::RandomizedMedium,
        count,
        height,
        width,
        source_rgb: Vec::with_capacity(pixels * 3),
        canonical_rgb: Vec::with_capacity(pixels * 3),
        segmentation: Vec::with_capacity(pixels),
        instances: Vec::with_capacity(pixels),
        depth_m: Vec::with_capacity(pixels),
        sensed_depth_m: Vec::new(),
        cameras: vec![camera; count],
        step_indices: (0..count as u64).map(|i| (first + i) % 20).collect(),
        look_seeds: (0..count as u64).map(|i| seed.derive("look", first + i).0).collect(),
    };
    for i in 0..count as u64 {
        let episode = seed.derive("episode", first + i);
        let boxes = scene(episode);
        let mut rng = episode.derive("look", 0).rng();
        let looks: Vec<(Vec3, u32)> =
            (0..=boxes.len()).map(|_| (Vec3::new(rng.f32(), rng.f32(), rng.f32()), rng.next_u64() as u32)).collect();
        let light = (rng.direction() + Vec3::Z * 1.5).normalize();
        for y in 0..height {
            for x in 0..width {
                let (origin, ray) = camera.ray(Vec2::new(x as f32 + 0.5, y as f32 + 0.5));
                let best = boxes
                    .iter()
                    .enumerate()
                    .filter_map(|(k, b)| hit(b, origin, ray).map(|h| (k, h)))
                    .min_by(|a, b| a.1.0.total_cmp(&b.1.0));
                let floor = -origin.z / ray.z;
                let (index, t, normal, at) = match best {
                    Some((k, (t, n, p))) if floor <= 0.0 || t < floor => (Some(k), t, n, p),
                    _ => (None, floor, Vec3::Z, origin + ray * floor),
                };
                let (class, instance, colour, world_normal) = match index {
                    Some(k) => {
                        let b = &boxes[k];
                        (b.class, b.instance, b.colour, b.world_from_box.transform_vector(normal))
                    }
                    None => (Class::Background, 0, Vec3::new(0.2, 0.26, 0.3), Vec3::Z),
                };
                let fixed = 0.55 + 0.45 * world_normal.dot(Vec3::new(0.3, 0.2, 0.93)).max(0.0);
                batch.canonical_rgb.extend(to_srgb(colour * fixed));
                let (tint, texture) = looks[index.map_or(boxes.len(), |k| k)];
                let uv = Vec2::new(at.x + at.z * 0.7, at.y - at.z * 0.4);
                let pattern = 0.6 * noise(texture, uv * 60.0) + 0.4 * noise(texture ^ 77, uv * 400.0);
                let shade = 0.35 + 0.65 * world_normal.dot(light).max(0.0);
                batch.source_rgb.extend(to_srgb(tint * (0.3 + pattern) * shade));
                batch.segmentation.push(class as u8);
                batch.instances.push(instance);
                batch.depth_m.push(if t > 0.0 && t < 20.0 { t } else { 0.0 });
            }
        }
    }
    batch
}

/// The records that belong to [`frames`].
pub fn records(seed: Seed, first: u64, count: usize) -> Vec<PairRecord> {
    (first..first + count as u64)
        .map(|index| {
            let episode_seed = seed.derive("episode", index);
            let mut rng = episode_seed.derive("state", 0).rng();
            let boxes = scene(episode_seed);
            let object = |b: &TestBox| ObjectState {
                name: format!("prism-{:03}", rng.below(1000)),
                instance: b.instance,
                world_from_object: b.world_from_box,
            };
            let objects = boxes.iter().filter(|b| b.class == Class::Object).map(object).collect();
            PairRecord {
                episode_seed: episode_seed.0,
                episode: index,
                environment: (index % 64) as u32,
                action: (index % 3 > 0).then(|| Action { rotation_rad: rng.f32(), ..Action::default() }),
                gripper: GripperState { closed: rng.chance(0.5), height_m: rng.f32(), aperture_m: 0.07 },
                phase: Phase::ALL[rng.below(4)],
                objects,
                joints_rad: (0..7).map(|_| rng.normal()).collect(),
                bodies: boxes.iter().map(|b| b.world_from_box).collect(),
            }
        })
        .collect()
}
