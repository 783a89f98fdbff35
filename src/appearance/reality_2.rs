//! `reality-2`: the second simulated stand-in for the real world, written down before any method was measured on it and never
//! tuned on. Another laboratory: a moulded blue crate on a pale speckled worktop before a dark curtain, a white arm with black
//! joint covers and bare aluminium jaws, wooden and rubber objects, tube light from above, a noisy board camera with a
//! pincushion lens and an active stereo depth camera. It shares no material, no light and no sensor with `reality`.

use super::depth_sensor::DepthSensor;
use super::effects::CameraEffects;
use super::look::{Jitter, Light, Look, LookSeeds, Surfaces, camera_jitter};
use super::material::{Material, srgb_to_linear};
use super::reality::tinted;
use crate::contract::{Domain, Rng};
use glam::Vec3;

pub(super) fn sample(seeds: &LookSeeds) -> Look {
    let rng = &mut seeds.textures.rng();
    let surfaces = Surfaces {
        floor: worktop(rng),
        backdrop: curtain(rng),
        tray: crate_plastic(rng),
        divider: cardboard(rng),
        arm: std::array::from_fn(|link| arm_link(link, rng)),
        gripper: Material::plain([172, 174, 178], 0.3, 0.8).with_grain(220.0, 0.12),
        finger: Material::plain([206, 198, 176], 0.85, 0.0).with_grain(500.0, 0.2),
        cable: Material::plain([196, 190, 60], 0.55, 0.0),
        objects: {
            let rng = &mut seeds.objects.rng();
            std::array::from_fn(|_| if rng.chance(0.4) { wood(rng) } else { rubber(rng) })
        },
    };
    let rng = &mut seeds.light.rng();
    // Two tubes near the ceiling flicker together and age apart: the whole room is lit, a little green.
    let age = rng.range(0.0, 1.0);
    let tubes = Vec3::new(0.93 - 0.05 * age, 1.0, 1.02 - 0.08 * age);
    let bright = rng.range(0.75, 1.15);
    let light = Light {
        position: Vec3::new(rng.range(-0.5, 0.1), rng.range(0.25, 0.75), rng.range(1.3, 1.7)),
        colour: tubes * 0.62 * bright,
        sky: tubes * 0.5 * bright,
        ground: Vec3::new(0.24, 0.25, 0.26) * bright,
        softness_m: rng.range(0.035, 0.055),
        exposure: rng.range(0.9, 1.15),
    };
    let mut camera = seeds.camera.rng();
    let jitter = Jitter {
        arm_offset: Vec3::new(-0.002, 0.001, 0.0015),
        camera: camera_jitter(&mut camera, 0.006, 0.01),
        ..Jitter::NONE
    };
    Look {
        domain: Domain::Reality2,
        surfaces,
        light,
        jitter,
        effects: CameraEffects::board_camera(&mut camera),
        bin_paint: None,
        depth_sensor: Some(DepthSensor::D435),
        cables: true,
    }
}

/// Melamine with a fine dark speckle.
fn worktop(rng: &mut Rng) -> Material {
    let board = Material {
        colour_b: srgb_to_linear([150, 156, 164]),
        cloud: 0.9,
        cloud_frequency: 160.0,
        grain: 0.3,
        ..Material::plain([214, 216, 214], 0.5, 0.0)
    };
    tinted(board, rng, 0.08)
}

/// Heavy cloth in vertical folds.
fn curtain(rng: &mut Rng) -> Material {
    let cloth = Material {
        colour_a: srgb_to_linear([58, 70, 66]),
        colour_b: srgb_to_linear([28, 36, 36]),
        wave_u: 9.0,
        axis_u: Vec3::new(0.1, 1.0, 0.0).normalize(),
        warp: 0.7,
        cloud: 0.2,
        cloud_frequency: 40.0,
        grain: 0.4,
        ..Material::plain([0; 3], 1.0, 0.0)
    };
    tinted(cloth, rng, 0.15)
}

/// Moulded polypropylene, scuffed by use.
fn crate_plastic(rng: &mut Rng) -> Material {
    let plastic = Material {
        colour_b: srgb_to_linear([62, 104, 158]),
        cloud: 0.7,
        cloud_frequency: 34.0,
        grain: 0.12,
        ..Material::plain([34, 74, 140], 0.45, 0.0)
    };
    tinted(plastic, rng, 0.1)
}

/// Corrugated: the flutes show through.
fn cardboard(rng: &mut Rng) -> Material {
    let board = Material {
        colour_a: srgb_to_linear([186, 150, 108]),
        colour_b: srgb_to_linear([164, 128, 88]),
        wave_u: 130.0,
        axis_u: Vec3::X,
        sharpness: 0.6,
        cloud: 0.35,
        cloud_frequency: 20.0,
        grain: 0.25,
        ..Material::plain([0; 3], 0.95, 0.0)
    };
    tinted(board, rng, 0.1)
}

/// White lacquer; the joints have black covers.
fn arm_link(link: usize, rng: &mut Rng) -> Material {
    let coat = if link % 2 == 1 {
        Material::plain([34, 35, 38], 0.55, 0.0)
    } else {
        Material::plain([226, 227, 224], 0.3, 0.0)
    };
    tinted(coat.with_grain(60.0, 0.05), rng, 0.03)
}

/// A block of beech, pine or walnut, cut along the grain.
fn wood(rng: &mut Rng) -> Material {
    const KINDS: [([u8; 3], [u8; 3]); 3] =
        [([214, 176, 130], [188, 146, 100]), ([226, 198, 148], [196, 158, 104]), ([112, 76, 52], [78, 52, 36])];
    let (light, dark) = *rng.pick(&KINDS);
    let block = Material {
        colour_a: srgb_to_linear(light),
        colour_b: srgb_to_linear(dark),
        wave_u: rng.range(60.0, 130.0),
        axis_u: Vec3::new(1.0, 0.1, 0.2).normalize(),
        warp: 1.2,
        sharpness: 0.9,
        cloud: 0.2,
        cloud_frequency: 30.0,
        grain: 0.3,
        ..Material::plain([0; 3], rng.range(0.6, 0.85), 0.0)
    };
    tinted(block, rng, 0.12)
}

/// Dyed rubber, matt and a little dusty.
fn rubber(rng: &mut Rng) -> Material {
    const DYES: [[u8; 3]; 9] = [
        [158, 44, 58],
        [214, 146, 52],
        [88, 128, 62],
        [52, 88, 112],
        [128, 92, 132],
        [206, 200, 184],
        [58, 58, 60],
        [188, 112, 96],
        [70, 150, 140],
    ];
    let dye = srgb_to_linear(*rng.pick(&DYES));
    let dusty = Material {
        colour_a: dye,
        colour_b: dye * 0.75 + Vec3::splat(0.05),
        cloud: 0.8,
        cloud_frequency: rng.range(18.0, 40.0),
        grain: 0.2,
        ..Material::plain([0; 3], rng.range(0.75, 0.95), 0.0)
    };
    tinted(dusty, rng, 0.15)
}
