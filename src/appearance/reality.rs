//! `reality`: the simulated stand-in for the real world. One laboratory: a brushed-steel bin on a wooden table, a
//! silver-grey arm with orange rings, printed-plastic objects, window light and a cheap camera. It shares no texture with
//! the randomized domains and no learner may see it labelled.

use super::depth_sensor::DepthSensor;
use super::effects::CameraEffects;
use super::look::{Jitter, Light, Look, LookSeeds, Surfaces, camera_jitter};
use super::material::{Material, srgb_to_linear};
use crate::contract::{Domain, Rng};
use glam::Vec3;

pub(super) fn sample(seeds: &LookSeeds) -> Look {
    let rng = &mut seeds.textures.rng();
    let surfaces = Surfaces {
        floor: table(rng),
        backdrop: wall(rng),
        tray: steel(rng, [176, 178, 180]),
        divider: steel(rng, [150, 152, 156]),
        arm: std::array::from_fn(|link| arm_link(link, rng)),
        gripper: Material::plain([38, 39, 42], 0.38, 0.2).with_grain(300.0, 0.1),
        finger: Material::plain([24, 24, 26], 0.75, 0.0).with_grain(400.0, 0.3),
        cable: Material::plain([20, 20, 22], 0.5, 0.0),
        objects: {
            let rng = &mut seeds.objects.rng();
            std::array::from_fn(|_| printed_plastic(rng))
        },
    };
    let rng = &mut seeds.light.rng();
    // Daylight and lamps mix: colour temperature wanders, a window at one side is always the brightest.
    let warmth = rng.range(-1.0, 1.0);
    let daylight = Vec3::new(1.0 + 0.10 * warmth, 1.0, 1.0 - 0.13 * warmth);
    let bright = rng.range(0.8, 1.25);
    let light = Light {
        position: Vec3::new(rng.range(0.1, 0.6), rng.range(-1.25, -0.75), rng.range(1.0, 1.35)),
        colour: daylight * 0.85 * bright,
        sky: Vec3::new(0.36, 0.38, 0.42) * bright,
        ground: Vec3::new(0.20, 0.165, 0.13) * bright,
        softness_m: rng.range(0.022, 0.04),
        exposure: rng.range(0.88, 1.12),
    };
    let mut camera = seeds.camera.rng();
    let jitter = Jitter {
        arm_offset: Vec3::new(0.002, -0.0015, 0.001),
        camera: camera_jitter(&mut camera, 0.005, 0.008),
        ..Jitter::NONE
    };
    Look {
        domain: Domain::Reality,
        surfaces,
        light,
        jitter,
        effects: CameraEffects::cheap_camera(&mut camera),
        depth_sensor: Some(DepthSensor::SR300),
        cables: true,
        bin_paint: None,
    }
}

pub(super) fn tinted(material: Material, rng: &mut Rng, by: f32) -> Material {
    let gain = 1.0 + rng.range(-by, by);
    Material { colour_a: material.colour_a * gain, colour_b: material.colour_b * gain, ..material }
}

/// Oiled wood: growth rings cut along the grain.
fn table(rng: &mut Rng) -> Material {
    let wood = Material {
        colour_a: srgb_to_linear([158, 112, 70]),
        colour_b: srgb_to_linear([112, 74, 42]),
        wave_u: 26.0,
        axis_u: Vec3::new(0.08, 0.97, 0.22).normalize(),
        axis_v: Vec3::X,
        warp: 1.6,
        sharpness: 0.8,
        cloud: 0.25,
        cloud_frequency: 5.5,
        grain: 0.35,
        ..Material::plain([0; 3], 0.42, 0.0)
    };
    tinted(wood, rng, 0.12)
}

fn wall(rng: &mut Rng) -> Material {
    let paint = Material {
        colour_b: srgb_to_linear([168, 170, 166]),
        cloud: 0.6,
        ..Material::plain([196, 196, 190], 0.95, 0.0).with_grain(3.0, 0.05)
    };
    tinted(paint, rng, 0.1)
}

/// Brushed sheet steel: long fine scratches, strongly reflecting.
fn steel(rng: &mut Rng, srgb: [u8; 3]) -> Material {
    let base = srgb_to_linear(srgb);
    let sheet = Material {
        colour_a: base,
        colour_b: base * 0.72,
        wave_u: 240.0,
        axis_u: Vec3::new(0.05, 1.0, 0.3).normalize(),
        axis_v: Vec3::X,
        warp: 2.5,
        sharpness: 0.7,
        cloud: 0.55,
        cloud_frequency: 26.0,
        grain: 0.22,
        ..Material::plain([0; 3], 0.33, 0.85)
    };
    tinted(sheet, rng, 0.08)
}

fn arm_link(link: usize, rng: &mut Rng) -> Material {
    // Cast aluminium with a satin coat; two links carry the maker's orange covers.
    let coat = if link == 3 || link == 6 {
        Material::plain([212, 98, 30], 0.4, 0.0)
    } else {
        Material::plain([188, 190, 192], 0.36, 0.35)
    };
    tinted(coat.with_grain(90.0, 0.08), rng, 0.04)
}

/// Filament colours, with the layer lines of a printer.
fn printed_plastic(rng: &mut Rng) -> Material {
    const FILAMENTS: [[u8; 3]; 12] = [
        [206, 52, 44],
        [232, 178, 36],
        [42, 112, 186],
        [44, 142, 78],
        [230, 228, 220],
        [46, 46, 50],
        [226, 116, 40],
        [110, 66, 138],
        [148, 150, 152],
        [92, 186, 190],
        [196, 96, 126],
        [120, 84, 58],
    ];
    let base = srgb_to_linear(*rng.pick(&FILAMENTS));
    let layers = Material {
        colour_a: base,
        colour_b: base * 0.86,
        wave_u: rng.range(350.0, 600.0),
        axis_u: Vec3::Z,
        axis_v: Vec3::X,
        sharpness: 0.6,
        cloud_frequency: 45.0,
        grain: 0.08,
        ..Material::plain([0; 3], rng.range(0.25, 0.5), 0.0)
    };
    tinted(layers, rng, 0.12)
}
