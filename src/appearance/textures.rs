//! Procedural texture families. A texture number names one texture for ever: the same number, the same material.
//!
//! The randomized domains draw from [`RANDOMIZED_TEXTURES`]; `reality` builds its own materials and never uses these.

use super::material::{Material, hsv};
use crate::contract::{Rng, Seed};
use glam::Vec3;
use serde::{Deserialize, Serialize};

/// How many distinct procedural textures the randomized domains choose from (RCAN uses "over 5,000 images").
pub const RANDOMIZED_TEXTURES: u64 = 8192;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    Plain,
    Stripes,
    Checks,
    Waves,
    Wood,
    Marble,
    Clouds,
    Speckle,
    Brushed,
    Weave,
    Camouflage,
}

impl Family {
    pub const ALL: [Self; 11] = [
        Self::Plain,
        Self::Stripes,
        Self::Checks,
        Self::Waves,
        Self::Wood,
        Self::Marble,
        Self::Clouds,
        Self::Speckle,
        Self::Brushed,
        Self::Weave,
        Self::Camouflage,
    ];

    /// The family of texture `number`.
    pub fn of(number: u64) -> Self {
        Self::ALL[(number % Self::ALL.len() as u64) as usize]
    }
}

/// The material of texture `number` (taken modulo [`RANDOMIZED_TEXTURES`]).
pub fn texture(number: u64) -> Material {
    let number = number % RANDOMIZED_TEXTURES;
    let mut rng = Seed(0x7E87).derive("texture", number).rng();
    of_family(Family::of(number), &mut rng)
}

/// A material of `family` with all its parameters drawn from `rng`.
pub fn of_family(family: Family, rng: &mut Rng) -> Material {
    let colour = |rng: &mut Rng| hsv(rng.f32(), rng.f32().sqrt() * 0.95, rng.range(0.12, 1.0));
    let (colour_a, mut colour_b) = (colour(rng), colour(rng));
    let axis_u = rng.direction();
    let axis_v = axis_u.cross(rng.direction()).try_normalize().unwrap_or(axis_u.any_orthonormal_vector());
    let base = Material {
        colour_a,
        colour_b,
        roughness: rng.range(0.25, 1.0),
        metallic: if rng.chance(0.15) { rng.range(0.4, 0.9) } else { 0.0 },
        wave_u: 0.0,
        wave_v: 0.0,
        axis_u,
        axis_v,
        warp: 0.0,
        sharpness: 1.0,
        check: 0.0,
        cloud: 0.0,
        cloud_frequency: rng.range(8.0, 40.0),
        grain: rng.range(0.0, 0.3),
        image: None,
        image_scale: rng.range(2.0, 8.0),
    };
    // A shade of the first colour, for materials whose two colours belong together.
    let shade = |rng: &mut Rng, a: Vec3| a * rng.range(0.3, 0.75);
    match family {
        Family::Plain => Material { colour_b: colour_a, grain: rng.range(0.0, 0.12), ..base },
        Family::Stripes => Material {
            wave_u: rng.range(8.0, 70.0),
            sharpness: rng.range(2.0, 12.0),
            warp: rng.range(0.0, 0.1),
            ..base
        },
        Family::Checks => {
            let frequency = rng.range(8.0, 50.0);
            let aspect = rng.range(0.6, 1.6);
            Material {
                wave_u: frequency,
                wave_v: frequency * aspect,
                check: 1.0,
                sharpness: rng.range(4.0, 12.0),
                ..base
            }
        }
        Family::Waves => Material {
            wave_u: rng.range(8.0, 40.0),
            warp: rng.range(0.3, 1.2),
            sharpness: rng.range(0.8, 4.0),
            cloud_frequency: rng.range(8.0, 30.0),
            ..base
        },
        Family::Wood => {
            let hue = rng.range(0.03, 0.11);
            let a = hsv(hue, rng.range(0.4, 0.75), rng.range(0.4, 0.9));
            colour_b = shade(rng, a);
            Material {
                colour_a: a,
                colour_b,
                wave_u: rng.range(15.0, 60.0),
                warp: rng.range(0.4, 1.4),
                cloud_frequency: rng.range(3.0, 9.0),
                grain: rng.range(0.1, 0.4),
                metallic: 0.0,
                ..base
            }
        }
        Family::Marble => Material {
            wave_u: rng.range(4.0, 20.0),
            warp: rng.range(1.0, 3.0),
            sharpness: rng.range(0.6, 1.5),
            cloud_frequency: rng.range(10.0, 30.0),
            cloud: rng.range(0.0, 0.4),
            roughness: rng.range(0.15, 0.5),
            metallic: 0.0,
            ..base
        },
        Family::Clouds => Material { cloud: 1.0, cloud_frequency: rng.range(6.0, 60.0), ..base },
        Family::Speckle => Material {
            cloud: rng.range(0.7, 1.0),
            cloud_frequency: rng.range(80.0, 250.0),
            grain: rng.range(0.2, 0.8),
            ..base
        },
        Family::Brushed => {
            colour_b = shade(rng, colour_a);
            Material {
                colour_b,
                wave_u: rng.range(80.0, 200.0),
                warp: rng.range(0.5, 2.0),
                cloud: rng.range(0.2, 0.5),
                roughness: rng.range(0.2, 0.45),
                metallic: rng.range(0.5, 0.95),
                ..base
            }
        }
        Family::Weave => {
            let frequency = rng.range(50.0, 140.0);
            Material {
                wave_u: frequency,
                wave_v: frequency,
                check: rng.range(0.4, 0.9),
                sharpness: rng.range(0.8, 2.5),
                ..base
            }
        }
        Family::Camouflage => Material {
            wave_u: rng.range(5.0, 20.0),
            wave_v: rng.range(5.0, 20.0),
            check: rng.range(0.3, 1.0),
            warp: rng.range(0.8, 2.0),
            sharpness: rng.range(5.0, 12.0),
            cloud_frequency: rng.range(10.0, 35.0),
            ..base
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn textures_are_distinct_stable_and_in_range() {
        let mut seen = BTreeSet::new();
        for number in 0..RANDOMIZED_TEXTURES {
            let m = texture(number);
            assert_eq!(m, texture(number));
            assert!((0.05..=1.0).contains(&m.roughness) && (0.0..=1.0).contains(&m.metallic));
            assert!(m.colour_a.min_element() >= 0.0 && m.colour_b.max_element() <= 1.0);
            seen.insert(serde_json::to_string(&m).expect("numbers serialize"));
        }
        assert!(seen.len() as u64 == RANDOMIZED_TEXTURES, "{} distinct", seen.len());
    }
}
