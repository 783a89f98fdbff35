//! The 51 household objects of Robot 2 (RL-CycleGAN, appendix B, Figure 8): 8 plastic bottles, 18 coffee cups, 3
//! plastic utensils, 6 drink cans, 15 mugs, 1 wine glass.
//!
//! In: a seed and a [`HouseholdConfig`]. Out: [`ObjectModel`]s with the sizes and masses of their class. Every member
//! is drawn from its class's range, so that another seed gives 51 other objects of the same kinds: those are the
//! held-out ones. Cups, mugs and the glass are hollow in collision too: a bottom and upright staves around it.

mod closed;
mod utensil;
mod vessel;

use super::error::Result;
use super::model::{Mass, ObjectModel, Physics};
use crate::contract::{Rng, Seed};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A kind of household object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HouseholdClass {
    Bottle,
    CoffeeCup,
    Utensil,
    Can,
    Mug,
    WineGlass,
}

impl HouseholdClass {
    pub const ALL: [Self; 6] = [Self::Bottle, Self::CoffeeCup, Self::Utensil, Self::Can, Self::Mug, Self::WineGlass];

    /// Members in a set (the paper's appendix B).
    pub const fn count(self) -> usize {
        match self {
            Self::Bottle => 8,
            Self::CoffeeCup => 18,
            Self::Utensil => 3,
            Self::Can => 6,
            Self::Mug => 15,
            Self::WineGlass => 1,
        }
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Bottle => "bottle",
            Self::CoffeeCup => "coffee-cup",
            Self::Utensil => "utensil",
            Self::Can => "can",
            Self::Mug => "mug",
            Self::WineGlass => "wine-glass",
        }
    }
}

/// How the objects collide.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HouseholdConfig {
    /// Whether vessels are hollow in collision. A solid one is a single hull: quicker to simulate, and nothing can
    /// take it by its rim. Drawn they are the same.
    pub hollow: bool,
    /// Pieces around a hollow vessel's side.
    pub staves: usize,
}

impl Default for HouseholdConfig {
    fn default() -> Self {
        Self { hollow: true, staves: 12 }
    }
}

/// What a class draws for one member: parts, mesh, mass, friction, colour.
struct Member {
    parts: Vec<super::model::ConvexPart>,
    mesh: crate::contract::MeshData,
    mass_kg: f32,
    friction: f32,
    color: [u8; 3],
}

impl Member {
    fn build(self, name: &str) -> Result<ObjectModel> {
        let physics = Physics {
            mass: Mass::Total(self.mass_kg),
            friction: self.friction,
            restitution: 0.0,
            color: Some(self.color),
        };
        ObjectModel::new(name, self.parts, Some(self.mesh), physics)
    }
}

/// The 51 objects of a seed, class by class in the order of [`HouseholdClass::ALL`].
///
/// # Errors
/// When `config` makes a member that is no solid (fewer than 6 staves are refused as such).
pub fn household(seed: Seed, config: &HouseholdConfig) -> Result<Vec<Arc<ObjectModel>>> {
    if !(6..=20).contains(&config.staves) {
        return Err(super::ObjectError::Generator {
            what: format!("staves must lie between 6 and 20, not {}", config.staves),
        });
    }
    let mut objects = Vec::with_capacity(51);
    for class in HouseholdClass::ALL {
        for index in 0..class.count() {
            let mut rng = seed.derive(class.name(), index as u64).rng();
            let member = match class {
                HouseholdClass::Bottle => closed::bottle(&mut rng, index),
                HouseholdClass::Can => closed::can(&mut rng, index),
                HouseholdClass::CoffeeCup => vessel::coffee_cup(&mut rng, index, config),
                HouseholdClass::Mug => vessel::mug(&mut rng, index, config),
                HouseholdClass::WineGlass => vessel::wine_glass(&mut rng, config),
                HouseholdClass::Utensil => utensil::utensil(&mut rng, index),
            };
            objects.push(Arc::new(member.build(&format!("{}-{:02}", class.name(), index + 1))?));
        }
    }
    Ok(objects)
}

/// One of a class's colours, a little off.
fn color(rng: &mut Rng, palette: &[[u8; 3]]) -> [u8; 3] {
    let chosen = *rng.pick(palette);
    chosen.map(|channel| (f32::from(channel) + rng.range(-12.0, 12.0)).clamp(0.0, 255.0) as u8)
}

/// A size within `share` of the nominal one.
fn about(rng: &mut Rng, nominal: f32, share: f32) -> f32 {
    nominal * rng.range(1.0 - share, 1.0 + share)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::geometry::Polyhedron;
    use glam::Vec3;

    fn set(seed: u64, hollow: bool) -> Vec<Arc<ObjectModel>> {
        household(Seed(seed), &HouseholdConfig { hollow, ..HouseholdConfig::default() }).expect("solid objects")
    }

    #[test]
    fn the_papers_counts_and_published_ranges() {
        let objects = set(0, true);
        assert_eq!(objects.len(), 51);
        let of = |name: &str| objects.iter().filter(|o| o.name.starts_with(name)).collect::<Vec<_>>();
        for (class, count) in [("bottle", 8), ("coffee-cup", 18), ("utensil", 3), ("can", 6), ("mug", 15), ("wine", 1)]
        {
            assert_eq!(of(class).len(), count, "{class}");
        }
        // (class, shortest and longest edge of the bounding box in metres, mass in kg)
        let ranges = [
            ("bottle", [0.055, 0.075], [0.16, 0.23], [0.015, 0.03]),
            ("coffee-cup", [0.055, 0.095], [0.058, 0.14], [0.004, 0.02]),
            ("utensil", [0.008, 0.02], [0.15, 0.195], [0.003, 0.008]),
            ("can", [0.05, 0.068], [0.085, 0.165], [0.009, 0.02]),
            ("mug", [0.065, 0.095], [0.09, 0.13], [0.11, 0.36]),
            ("wine", [0.075, 0.095], [0.125, 0.15], [0.12, 0.15]),
        ];
        for (class, short, long, mass) in ranges {
            for object in of(class) {
                let [a, _, c] = object.aabb().sorted_extents();
                let within = |value: f32, range: [f32; 2]| value >= range[0] && value <= range[1];
                assert!(within(a, short) && within(c, long), "{}: {a} to {c} m", object.name);
                assert!(within(object.mass_kg, mass), "{}: {} kg", object.name, object.mass_kg);
                assert!(object.parts.len() <= 23, "{}: {} parts", object.name, object.parts.len());
            }
        }
    }

    /// How many solids hold a point.
    fn inside(object: &ObjectModel, point: Vec3) -> bool {
        object.solids().iter().any(|solid: &Polyhedron| solid.depth(point.as_dvec3()) > 0.0)
    }

    #[test]
    fn vessels_are_hollow_unless_asked_not_to_be() {
        for class in ["coffee-cup", "mug", "wine"] {
            for (hollow, solid) in
                set(3, true).iter().zip(set(3, false).iter()).filter(|(o, _)| o.name.starts_with(class))
            {
                // On the axis of the vessel, 2 cm below the rim. Its body has x = y = 0 on the axis before it is
                // moved to the centre of mass; the staves' middle gives that axis back.
                let bounds = |o: &ObjectModel| o.aabb();
                let wall: Vec<Vec3> = hollow.parts.iter().flat_map(|p| p.corners()).collect();
                let rim = bounds(hollow).max.z;
                let top: Vec<Vec3> = wall.iter().copied().filter(|c| c.z > rim - 1e-3).collect();
                let axis = top.iter().sum::<Vec3>() / top.len() as f32;
                assert!(!inside(hollow, axis - Vec3::Z * 0.02), "{}", hollow.name);
                let axis = axis.with_z(bounds(solid).max.z - 0.02);
                assert!(inside(solid, axis - (hollow.aabb().min - solid.aabb().min).with_z(0.0)), "{}", solid.name);
                // Both are drawn alike and weigh the same.
                assert_eq!(hollow.mass_kg, solid.mass_kg);
                let count = |o: &ObjectModel| o.mesh.as_ref().map(|m| m.positions.len());
                assert_eq!(count(hollow), count(solid));
            }
        }
    }

    #[test]
    fn the_drawn_surface_lies_on_the_collision_shape() {
        for object in set(0, true).iter().chain(&set(1, true)) {
            let (drawn, solids) = (object.mesh.as_ref().expect("a mesh"), object.solids());
            let mut worst = 0.0_f64;
            for point in &drawn.positions {
                let depth = solids.iter().map(|solid| solid.depth(point.as_dvec3())).fold(f64::NEG_INFINITY, f64::max);
                worst = worst.max(-depth);
            }
            assert!(worst < 0.006, "{}: drawn {worst} m outside what collides", object.name);
            let extents = |low: Vec3, high: Vec3| high - low;
            let low = drawn.positions.iter().copied().fold(Vec3::INFINITY, Vec3::min);
            let high = drawn.positions.iter().copied().fold(Vec3::NEG_INFINITY, Vec3::max);
            let difference = (extents(low, high) - object.aabb().extents()).abs().max_element();
            assert!(difference < 0.006, "{}: drawn {difference} m larger or smaller", object.name);
        }
    }

    #[test]
    fn a_seed_repeats_and_another_differs() {
        assert_eq!(set(5, true)[20], set(5, true)[20]);
        assert!(set(5, true).iter().zip(&set(6, true)).all(|(a, b)| a.name == b.name && a.volume_m3 != b.volume_m3));
    }

    #[test]
    fn too_few_staves_are_refused() {
        let config = HouseholdConfig { staves: 3, ..HouseholdConfig::default() };
        assert!(household(Seed(0), &config).unwrap_err().to_string().contains("staves"));
    }
}
