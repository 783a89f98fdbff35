//! Bottles and cans: closed shells. Published sizes: a 0.5 l PET bottle 65 x 205 mm and 20 to 25 g, a standard drink
//! can 66 x 122.7 mm and 10 to 13 g, a sleek one 57 mm wide.

use super::{Member, about, color};
use crate::contract::Rng;
use crate::objects::surfaces::{lathe, turned_hull};

const CORNERS: usize = 12;
const SEGMENTS: usize = 32;

const BOTTLE_COLORS: [[u8; 3]; 6] =
    [[150, 200, 225], [60, 150, 90], [205, 60, 50], [235, 240, 240], [220, 150, 40], [70, 90, 170]];
const CAN_COLORS: [[u8; 3]; 6] =
    [[200, 30, 40], [30, 80, 170], [190, 195, 200], [40, 130, 70], [230, 170, 30], [60, 60, 65]];

/// A plastic bottle: 0.33 l for every fourth, else 0.5 l; every other has a waist.
pub(super) fn bottle(rng: &mut Rng, index: usize) -> Member {
    let small = index % 4 == 3;
    let height = about(rng, if small { 0.17 } else { 0.207 }, 0.04);
    let radius = 0.5 * about(rng, if small { 0.060 } else { 0.066 }, 0.05);
    let shoulder = rng.range(0.60, 0.68) * height;
    let neck = 0.5 * rng.range(0.026, 0.029);
    let cap = neck + 0.0018;
    let waist = if index % 2 == 0 { rng.range(0.86, 0.92) } else { 1.0 };
    let (neck_bottom, cap_bottom) = (height - 0.030, height - 0.017);
    // A quarter ellipse from the body to the neck, in four chords.
    let curve = |share: f32| {
        let angle = share * std::f32::consts::FRAC_PI_2;
        (neck + (radius - neck) * angle.cos(), shoulder + (neck_bottom - shoulder) * angle.sin())
    };
    let waist_z = rng.range(0.36, 0.44) * height;
    let body = [(0.9 * radius, 0.0), (radius, 0.007), (radius, waist_z - 0.024)];
    let upper_body = [(radius, waist_z + 0.024), (radius, shoulder)];
    let mut parts = vec![];
    let mut rings = body.to_vec();
    if waist < 1.0 {
        parts.push(turned_hull(&[body[0], body[1], body[2], (waist * radius, waist_z)], CORNERS));
        parts.push(turned_hull(&[(waist * radius, waist_z), upper_body[0], upper_body[1]], CORNERS));
        rings.push((waist * radius, waist_z));
    } else {
        parts.push(turned_hull(&[body[0], body[1], upper_body[1]], CORNERS));
    }
    rings.extend(upper_body);
    parts.push(turned_hull(&[curve(0.0), curve(0.33), curve(0.67), curve(1.0)], CORNERS));
    parts.push(turned_hull(&[(neck, neck_bottom), (neck, cap_bottom)], CORNERS));
    parts.push(turned_hull(&[(cap, cap_bottom), (cap, height)], CORNERS));
    let mut profile = vec![(0.0, 0.0)];
    profile.extend(rings);
    profile.extend((1..=4).map(|k| curve(k as f32 / 4.0)));
    profile.extend([
        (neck, cap_bottom),
        (cap, cap_bottom),
        (cap, height - 0.001),
        (cap - 0.001, height),
        (0.0, height),
    ]);
    Member {
        parts,
        mesh: lathe(&profile, SEGMENTS),
        mass_kg: if small { rng.range(0.016, 0.02) } else { rng.range(0.02, 0.026) },
        friction: rng.range(0.55, 0.7),
        color: color(rng, &BOTTLE_COLORS),
    }
}

/// A drink can: standard, sleek, slim or small in turn.
pub(super) fn can(rng: &mut Rng, index: usize) -> Member {
    let (diameter, height) =
        [(0.066, 0.1227), (0.0573, 0.156), (0.066, 0.1227), (0.053, 0.134), (0.0573, 0.092)][index % 5];
    let (radius, height) = (0.5 * about(rng, diameter, 0.01), about(rng, height, 0.01));
    let (foot, lid) = (0.76 * radius, 0.82 * radius);
    let rings = [(foot, 0.0), (radius, 0.011), (radius, height - 0.015), (lid, height - 0.003), (lid, height)];
    let parts = vec![turned_hull(&rings, 16)];
    let mut profile = vec![(0.0, 0.004), (0.9 * foot, 0.004), (0.94 * foot, 0.0)];
    profile.extend([(foot, 0.0), (0.93 * radius, 0.004), (radius, 0.011), (radius, height - 0.015)]);
    // The lid lies 3 mm below the seam.
    profile.extend([(lid, height - 0.003), (lid, height), (lid - 0.002, height), (lid - 0.003, height - 0.003)]);
    profile.push((0.0, height - 0.003));
    Member {
        parts,
        mesh: lathe(&profile, SEGMENTS),
        mass_kg: rng.range(0.010, 0.015),
        friction: rng.range(0.5, 0.6),
        color: color(rng, &CAN_COLORS),
    }
}
