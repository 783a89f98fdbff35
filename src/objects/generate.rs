//! Procedural objects: random rectangular prisms merged at random places and orientations (RL-CycleGAN, appendix B;
//! RCAN, section 4.1). In: a seed and a [`GenerateConfig`]. Out: a [`Recipe`] in whole numbers, and from it an
//! [`ObjectModel`] that parallel jaws can take from above however it lies.
//!
//! A recipe is rounded to 10 micrometres before anything is decided about it, and the decisions use arithmetic and
//! square roots, so that every machine makes the same objects.

use super::error::{ObjectError, Result};
use super::geometry::Polyhedron;
use super::grasp::{Jaws, stable_poses, top_down_grasp};
use super::mass::Moments;
use super::model::{ConvexPart, Mass, ObjectModel, Physics};
use crate::contract::{Pose, Rng, Seed};
use glam::{DQuat, DVec3, Vec3};
use serde::{Deserialize, Serialize};

/// Lengths in a recipe are whole multiples of this.
pub const LENGTH_UNIT_M: f64 = 1e-5;
/// Quaternion components in a recipe are whole multiples of this.
pub const ROTATION_UNIT: f64 = 1e-4;
/// Candidates tried for one object before the configuration is called impossible.
const MAX_TRIES: u64 = 20_000;

/// What the generator may make. Lengths in metres.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GenerateConfig {
    /// Prisms in an object, fewest and most.
    pub prisms: [u32; 2],
    /// Range of a prism's two short edges.
    pub thickness_m: [f64; 2],
    /// Range of its long edge.
    pub length_m: [f64; 2],
    /// Probability that an object is flat: its prisms turn about the vertical only and stay near one plane. In the
    /// others every prism after the first takes any orientation.
    pub flat: f64,
    /// Largest edge of the object's bounding box.
    pub max_extent_m: f64,
    /// Least share of a prism's volume that lies outside those before it.
    pub min_new_volume: f64,
    /// The jaws take every object at no more than this opening, in every pose that it comes to rest in.
    pub grasp_width_m: f64,
    /// Resting poses less probable than this are not asked for a grasp.
    pub min_pose_probability: f64,
    /// Largest distance between the jaws.
    pub jaw_opening_m: f64,
    pub mass_kg: f64,
    pub friction: f64,
    pub restitution: f64,
}

impl Default for GenerateConfig {
    /// Mass and friction are those of PyBullet's random objects, the sizes come near theirs (see
    /// `procedural_objects/STATISTICS.md`).
    fn default() -> Self {
        Self {
            prisms: [2, 5],
            thickness_m: [0.019, 0.033],
            length_m: [0.057, 0.106],
            flat: 0.5,
            max_extent_m: 0.15,
            min_new_volume: 0.35,
            grasp_width_m: 0.06,
            min_pose_probability: 0.02,
            jaw_opening_m: 0.085,
            mass_kg: 0.1,
            friction: 1.0,
            restitution: 0.0,
        }
    }
}

impl GenerateConfig {
    fn check(&self) -> Result<()> {
        let fail = |what: &str| Err(ObjectError::Generator { what: what.to_owned() });
        let ordered =
            |range: [f64; 2], low: f64, high: f64| range[0] >= low && range[0] <= range[1] && range[1] <= high;
        if self.prisms[0] < 1 || self.prisms[0] > self.prisms[1] || self.prisms[1] > 32 {
            return fail("prisms must be two ascending counts between 1 and 32");
        }
        if !ordered(self.thickness_m, 0.001, 1.0) || !ordered(self.length_m, 0.001, 1.0) {
            return fail("thickness_m and length_m must be two ascending lengths between 0.001 and 1 m");
        }
        if ![self.flat, self.min_new_volume, self.min_pose_probability].iter().all(|p| (0.0..=1.0).contains(p)) {
            return fail("flat, min_new_volume and min_pose_probability must lie between 0 and 1");
        }
        if !(self.grasp_width_m > 0.0 && self.grasp_width_m <= self.jaw_opening_m && self.jaw_opening_m <= 1.0) {
            return fail("grasp_width_m must be above 0 and at most jaw_opening_m, which is at most 1 m");
        }
        Ok(())
    }

    fn jaws(&self) -> Jaws {
        Jaws { max_opening_m: self.grasp_width_m as f32, ..Jaws::default() }
    }
}

/// An object in whole numbers: what the catalogue stores.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    pub name: String,
    /// Half extents (3) and centre (3) in [`LENGTH_UNIT_M`], rotation (x, y, z, w) in [`ROTATION_UNIT`].
    pub prisms: Vec<[i32; 10]>,
    /// sRGB.
    pub color: [u8; 3],
}

impl Recipe {
    /// The object, with its centre of mass at the origin.
    pub fn to_model(&self, config: &GenerateConfig) -> Result<ObjectModel> {
        let parts = self.prisms.iter().map(part_of).collect();
        let physics = Physics {
            mass: Mass::Total(config.mass_kg as f32),
            friction: config.friction as f32,
            restitution: config.restitution as f32,
            color: Some(self.color),
        };
        ObjectModel::new(&self.name, parts, None, physics)
    }

    fn solids(&self) -> Vec<Polyhedron> {
        self.prisms.iter().map(solid_of).collect()
    }

    /// Moves the centre of mass to the origin, to within the unit.
    fn center(&mut self) {
        let center = Moments::of_union(&self.solids()).center();
        for prism in &mut self.prisms {
            for axis in 0..3 {
                prism[3 + axis] -= to_units(center[axis], LENGTH_UNIT_M);
            }
        }
    }
}

fn to_units(value: f64, unit: f64) -> i32 {
    (value / unit).round() as i32
}

fn lengths(prism: &[i32; 10], from: usize) -> DVec3 {
    DVec3::new(f64::from(prism[from]), f64::from(prism[from + 1]), f64::from(prism[from + 2])) * LENGTH_UNIT_M
}

fn rotation(prism: &[i32; 10]) -> DQuat {
    DQuat::from_array([6, 7, 8, 9].map(|i| f64::from(prism[i]) * ROTATION_UNIT)).normalize()
}

fn solid_of(prism: &[i32; 10]) -> Polyhedron {
    Polyhedron::from_box(lengths(prism, 0), lengths(prism, 3), rotation(prism))
}

fn part_of(prism: &[i32; 10]) -> ConvexPart {
    ConvexPart::Box {
        half_extents: lengths(prism, 0).as_vec3(),
        body_from_part: Pose::new(lengths(prism, 3).as_vec3(), rotation(prism).as_quat().normalize()),
    }
}

/// A random object named `name`. The same seed and configuration give the same object.
///
/// # Errors
/// When the configuration contradicts itself, or no object that satisfies it is found.
pub fn recipe(seed: Seed, name: &str, config: &GenerateConfig) -> Result<Recipe> {
    config.check()?;
    // Chosen once, so that objects of many prisms, which fail more often, are as frequent as those of few.
    let mut rng = seed.derive("procedural-object-kind", 0).rng();
    let [fewest, most] = config.prisms;
    let count = fewest as usize + rng.below((most - fewest) as usize + 1);
    let flat = rng.f64() < config.flat;
    for attempt in 0..MAX_TRIES {
        let mut rng = seed.derive("procedural-object", attempt).rng();
        let Some(mut candidate) = draw(&mut rng, name, count, flat, config) else { continue };
        candidate.center();
        if is_graspable(&candidate, config) {
            return Ok(candidate);
        }
    }
    Err(ObjectError::Generator {
        what: format!(
            "none of {MAX_TRIES} random objects satisfies the configuration; widen grasp_width_m or max_extent_m, or \
             make the prisms thinner"
        ),
    })
}

/// A random object (see [`recipe`]).
pub fn generate(seed: Seed, config: &GenerateConfig) -> Result<ObjectModel> {
    recipe(seed, &format!("prisms-{seed}"), config)?.to_model(config)
}

/// Merges prisms, or gives up where one adds too little or the whole grows too large.
fn draw(rng: &mut Rng, name: &str, count: usize, flat: bool, config: &GenerateConfig) -> Option<Recipe> {
    let mut recipe = Recipe { name: name.to_owned(), prisms: Vec::new(), color: [0; 3] };
    let mut volume = 0.0;
    for _ in 0..count {
        recipe.prisms.push(draw_prism(rng, &recipe.prisms, flat, config));
        let solids = recipe.solids();
        let added = solids[solids.len() - 1].volume();
        let together = Moments::of_union(&solids).volume;
        if together - volume < config.min_new_volume * added {
            return None;
        }
        volume = together;
    }
    let corners: Vec<DVec3> = recipe.solids().iter().flat_map(|solid| solid.points.clone()).collect();
    let (low, high) = super::geometry::bounds(&corners);
    recipe.color = std::array::from_fn(|_| 25 + rng.below(221) as u8);
    ((high - low).max_element() <= config.max_extent_m).then_some(recipe)
}

fn draw_prism(rng: &mut Rng, before: &[[i32; 10]], flat: bool, config: &GenerateConfig) -> [i32; 10] {
    let between = |rng: &mut Rng, [low, high]: [f64; 2]| low + (high - low) * rng.f64();
    let [a, b] = std::array::from_fn(|_| between(rng, config.thickness_m));
    // The first prism lies on its broader side, its length along x.
    let half = DVec3::new(between(rng, config.length_m), a.max(b), a.min(b)) / 2.0;
    let turn = if before.is_empty() {
        DQuat::IDENTITY
    } else if flat {
        let (sin, cos) = (0.5 * std::f64::consts::PI * rng.f64()).sin_cos();
        DQuat::from_xyzw(0.0, 0.0, sin, cos)
    } else {
        uniform_rotation(rng)
    };
    let mut prism = [0; 10];
    for axis in 0..3 {
        prism[axis] = to_units(half[axis], LENGTH_UNIT_M).max(1);
    }
    for (to, from) in prism[6..].iter_mut().zip(turn.to_array()) {
        *to = to_units(from, ROTATION_UNIT);
    }
    if !before.is_empty() {
        // A point well inside an earlier prism meets a point well inside the new one, so that the two are one piece.
        let other = &before[rng.below(before.len())];
        let inner = |rng: &mut Rng, half: DVec3| {
            let margin = DVec3::splat(0.004).min(half * 0.5);
            let unit: [f64; 3] = std::array::from_fn(|_| 2.0 * rng.f64() - 1.0);
            let spread = DVec3::new(1.0, 1.0, if flat { 0.2 } else { 1.0 });
            (half - margin) * DVec3::from_array(unit) * spread
        };
        let meeting = lengths(other, 3) + rotation(other) * inner(rng, lengths(other, 0));
        let center = meeting - rotation(&prism) * inner(rng, lengths(&prism, 0));
        for axis in 0..3 {
            prism[3 + axis] = to_units(center[axis], LENGTH_UNIT_M);
        }
    }
    prism
}

/// Uniform over rotations (Shoemake, 1992), in double precision.
fn uniform_rotation(rng: &mut Rng) -> DQuat {
    let (u, v, w) = (rng.f64(), rng.f64() * std::f64::consts::TAU, rng.f64() * std::f64::consts::TAU);
    let (a, b) = ((1.0 - u).sqrt(), u.sqrt());
    DQuat::from_xyzw(a * v.sin(), a * v.cos(), b * w.sin(), b * w.cos())
}

/// Whether the object is small enough in one direction for the jaws, and they can take it from above in every pose in
/// which it is likely to rest.
fn is_graspable(candidate: &Recipe, config: &GenerateConfig) -> bool {
    let solids = candidate.solids();
    let jaws = config.jaws();
    let corners: Vec<Vec3> = solids.iter().flat_map(|solid| solid.points.iter().map(|point| point.as_vec3())).collect();
    if Polyhedron::hull(&corners).is_none_or(|hull| hull.min_width() > config.grasp_width_m) {
        return false;
    }
    stable_poses(&solids)
        .iter()
        .filter(|pose| f64::from(pose.probability) >= config.min_pose_probability)
        .all(|pose| top_down_grasp(&solids, pose, &jaws, Some(jaws.max_opening_m)).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_seed_same_object_and_others_differ() {
        let config = GenerateConfig::default();
        let first = recipe(Seed(5), "a", &config).expect("possible");
        assert_eq!(first, recipe(Seed(5), "a", &config).expect("possible"));
        assert_ne!(first.prisms, recipe(Seed(6), "a", &config).expect("possible").prisms);
    }

    #[test]
    fn every_object_is_one_piece_centred_and_of_the_asked_size() {
        let config = GenerateConfig { prisms: [3, 4], ..GenerateConfig::default() };
        for seed in 0..20 {
            let recipe = recipe(Seed(seed), "x", &config).expect("possible");
            assert!((3..=4).contains(&recipe.prisms.len()));
            let solids = recipe.solids();
            // Connected: walk over pairs that share a point, found on a lattice of points in each prism.
            let meets = |a: &Polyhedron, prism: &[i32; 10]| {
                (0..21 * 21 * 21).any(|i| {
                    let at = DVec3::new(f64::from(i % 21), f64::from(i / 21 % 21), f64::from(i / 441)) / 10.0 - 1.0;
                    a.depth(lengths(prism, 3) + rotation(prism) * (at * lengths(prism, 0))) > 0.0
                })
            };
            let mut reached = vec![0];
            for _ in 0..solids.len() {
                for (i, prism) in recipe.prisms.iter().enumerate() {
                    if !reached.contains(&i) && reached.iter().any(|&j| meets(&solids[j], prism)) {
                        reached.push(i);
                    }
                }
            }
            assert_eq!(reached.len(), solids.len(), "seed {seed}: {recipe:?}");
            assert!(Moments::of_union(&solids).center().length() < 1e-4);
            let object = recipe.to_model(&config).expect("solid");
            assert!(object.aabb().extents().max_element() <= 0.15 + 1e-4);
            assert!((object.mass_kg - 0.1).abs() < 1e-9 && (object.friction - 1.0).abs() < 1e-9);
        }
    }

    #[test]
    fn impossible_configurations_are_refused() {
        let check = |config: GenerateConfig| recipe(Seed(1), "x", &config).unwrap_err().to_string();
        assert!(check(GenerateConfig { prisms: [4, 2], ..Default::default() }).contains("prisms"));
        assert!(check(GenerateConfig { length_m: [f64::NAN, 1.0], ..Default::default() }).contains("length_m"));
        assert!(check(GenerateConfig { grasp_width_m: 0.2, ..Default::default() }).contains("jaw_opening_m"));
        let thick = GenerateConfig {
            prisms: [1, 1],
            thickness_m: [0.09, 0.09],
            length_m: [0.09, 0.09],
            ..GenerateConfig::default()
        };
        assert!(check(thick).contains("widen grasp_width_m"));
    }
}
