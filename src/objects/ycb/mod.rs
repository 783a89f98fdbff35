//! Ten rigid objects in the sizes and masses of the YCB set (Calli et al., "Benchmarking in Manipulation Research",
//! 2015, table of objects) that fit an 80 mm jaw: the training objects of the servo experiments.
//!
//! In: nothing. Out: [`ObjectModel`]s under their YCB names. Shapes are modelled, not scanned: boxes, turned and
//! lofted solids within the published outer dimensions.

use super::error::Result;
use super::model::{ConvexPart, Mass, ObjectModel, Physics};
use super::surfaces::{CrossSection, joined, lathe, loft, loft_hulls, turned_hull};
use crate::contract::Pose;
use glam::Vec3;
use std::f32::consts::PI;
use std::sync::Arc;

const SEGMENTS: usize = 32;

/// The ten objects, in the order of their YCB numbers.
///
/// # Errors
/// None in practice: the shapes are constants, and a test builds them.
pub fn ycb() -> Result<Vec<Arc<ObjectModel>>> {
    let objects = [
        boxed("004_sugar_box", [0.038, 0.089, 0.175], 0.514, [235, 200, 50]),
        turned("005_tomato_soup_can", soup_can(), 0.349, 0.5, [190, 40, 35]),
        mustard_bottle(),
        boxed("009_gelatin_box", [0.028, 0.085, 0.073], 0.097, [190, 45, 60]),
        rounded_box("010_potted_meat_can", [0.050, 0.097, 0.082], 0.370, [45, 70, 150]),
        banana(),
        strawberry(),
        pear(),
        turned("056_tennis_ball", ball(), 0.058, 0.8, [200, 220, 60]),
        boxed("061_foam_brick", [0.050, 0.075, 0.050], 0.028, [150, 35, 40]),
    ];
    objects.into_iter().map(|object| object.map(Arc::new)).collect()
}

fn physics(mass_kg: f32, friction: f32, color: [u8; 3]) -> Physics {
    Physics { mass: Mass::Total(mass_kg), friction, restitution: 0.0, color: Some(color) }
}

fn boxed(name: &str, size: [f32; 3], mass_kg: f32, color: [u8; 3]) -> Result<ObjectModel> {
    let part = ConvexPart::Box { half_extents: 0.5 * Vec3::from(size), body_from_part: Pose::IDENTITY };
    ObjectModel::new(name, vec![part], None, physics(mass_kg, 0.6, color))
}

/// A box with rounded vertical edges, as a meat can is.
fn rounded_box(name: &str, size: [f32; 3], mass_kg: f32, color: [u8; 3]) -> Result<ObjectModel> {
    let [x, y, z] = size;
    let section = |height: f32, scale: f32| CrossSection {
        centre: Vec3::Z * height,
        right: Vec3::X * (0.5 * x * scale),
        up: Vec3::Y * (0.5 * y * scale),
        roundness: 0.3,
    };
    let sections = [section(0.0, 0.95), section(0.003, 1.0), section(z - 0.003, 1.0), section(z, 0.95)];
    // Four corners on the flat ends, as in `turned_hull`.
    let points = sections.iter().zip([4, 20, 20, 4]).flat_map(|(section, count)| section.points(count)).collect();
    ObjectModel::new(name, vec![ConvexPart::Hull { points }], Some(loft(&sections, 40)), physics(mass_kg, 0.5, color))
}

type Profile = Vec<(f32, f32)>;

/// A convex solid of revolution.
fn turned(
    name: &str,
    (profile, corners): (Profile, usize),
    mass_kg: f32,
    friction: f32,
    color: [u8; 3],
) -> Result<ObjectModel> {
    let part = turned_hull(&profile, corners);
    ObjectModel::new(name, vec![part], Some(lathe(&profile, SEGMENTS)), physics(mass_kg, friction, color))
}

/// 66 mm wide, 101 mm high.
fn soup_can() -> (Profile, usize) {
    let (r, h) = (0.033, 0.101);
    (vec![(0.0, 0.0), (0.97 * r, 0.0), (r, 0.002), (r, h - 0.002), (0.97 * r, h), (0.0, h)], 20)
}

/// 64.7 mm across.
fn ball() -> (Profile, usize) {
    let r = 0.03235;
    let rings = 8;
    let profile = (0..=rings).map(|k| {
        let angle = PI * (k as f32 / rings as f32 - 0.5);
        (if k % rings == 0 { 0.0 } else { r * angle.cos() }, r * (1.0 + angle.sin()))
    });
    (profile.collect(), 12)
}

/// 66 mm wide, 100 mm high: a round body with a neck, in two convex pieces.
fn pear() -> Result<ObjectModel> {
    let outline = [
        (0.0, 0.0),
        (0.015, 0.001),
        (0.026, 0.009),
        (0.0325, 0.024),
        (0.0331, 0.034),
        (0.030, 0.047),
        (0.0235, 0.060),
        (0.0185, 0.072),
        (0.0165, 0.083),
        (0.014, 0.092),
        (0.008, 0.098),
        (0.0, 0.100),
    ];
    let parts = vec![turned_hull(&outline[..7], 12), turned_hull(&outline[6..9], 12), turned_hull(&outline[8..], 12)];
    ObjectModel::new("016_pear", parts, Some(lathe(&outline, SEGMENTS)), physics(0.049, 0.6, [165, 190, 80]))
}

/// 43.8 mm wide, 55 mm high.
fn strawberry() -> Result<ObjectModel> {
    let outline = [
        (0.0, 0.0),
        (0.005, 0.001),
        (0.012, 0.010),
        (0.0185, 0.027),
        (0.0219, 0.040),
        (0.0205, 0.048),
        (0.014, 0.0535),
        (0.0, 0.055),
    ];
    turned("012_strawberry", (outline.to_vec(), 12), 0.018, 0.6, [205, 35, 45])
}

/// 36 mm thick, 190 mm from end to end, bent by 52 mm (the scan's bounds are 192 x 80 x 40 mm).
fn banana() -> Result<ObjectModel> {
    let bend_radius = 0.1056;
    let angle_of = |share: f32| (share - 0.5) * 0.219 / bend_radius;
    let half = [(0.0, 0.006), (0.06, 0.008), (0.16, 0.0135), (0.33, 0.0175), (0.5, 0.018), (0.67, 0.0175)]
        .into_iter()
        .chain([(0.84, 0.0135), (0.93, 0.0075), (1.0, 0.005)]);
    let sections: Vec<CrossSection> = half
        .map(|(share, radius)| {
            let angle = angle_of(share);
            let out = Vec3::new(angle.sin(), -angle.cos(), 0.0);
            // Along the bend right x up points forward: z x out' is the tangent.
            CrossSection { centre: out * bend_radius, right: out * radius, up: Vec3::Z * -radius, roundness: 0.85 }
        })
        .collect();
    let parts = loft_hulls(&sections, 10);
    let mesh = loft(&sections, 20);
    ObjectModel::new("011_banana", parts, Some(mesh), physics(0.066, 0.6, [235, 205, 60]))
}

/// 58 x 95 mm, 190 mm high: an oval bottle with a cone and a nozzle.
fn mustard_bottle() -> Result<ObjectModel> {
    let section = |height: f32, width: f32, depth: f32| CrossSection {
        centre: Vec3::Z * height,
        right: Vec3::X * (0.5 * depth),
        up: Vec3::Y * (0.5 * width),
        roundness: 0.8,
    };
    let body = [
        section(0.0, 0.088, 0.052),
        section(0.006, 0.095, 0.058),
        section(0.070, 0.093, 0.056),
        section(0.110, 0.086, 0.055),
        section(0.135, 0.062, 0.046),
        section(0.147, 0.036, 0.036),
    ];
    let nozzle = [section(0.147, 0.036, 0.036), section(0.160, 0.034, 0.034), section(0.166, 0.016, 0.016)];
    let tip = [section(0.165, 0.014, 0.014), section(0.190, 0.008, 0.008)];
    // Four corners on the bottom and the nozzle's end, as in `turned_hull`.
    let hull = |sections: &[CrossSection], counts: &[usize]| ConvexPart::Hull {
        points: sections.iter().zip(counts).flat_map(|(section, &count)| section.points(count)).collect(),
    };
    let parts = vec![
        hull(&body[..5], &[4, 16, 16, 16, 16]),
        hull(&body[4..], &[16; 2]),
        hull(&nozzle, &[12; 3]),
        hull(&tip, &[8, 4]),
    ];
    let mesh = joined([loft(&body, SEGMENTS), loft(&nozzle, SEGMENTS), loft(&tip, 16)]);
    ObjectModel::new("006_mustard_bottle", parts, Some(mesh), physics(0.603, 0.5, [240, 200, 40]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_sizes_and_masses() {
        // Calli et al., 2015: mass in grams, edges in millimetres, ascending (the banana's middle edge: its bend of 52 mm, half its
        // thickness, and 5 mm at the ends).
        let published = [
            ("004_sugar_box", 514.0, [38.0, 89.0, 175.0]),
            ("005_tomato_soup_can", 349.0, [66.0, 66.0, 101.0]),
            ("006_mustard_bottle", 603.0, [58.0, 95.0, 190.0]),
            ("009_gelatin_box", 97.0, [28.0, 73.0, 85.0]),
            ("010_potted_meat_can", 370.0, [50.0, 82.0, 97.0]),
            ("011_banana", 66.0, [36.0, 75.0, 190.0]),
            ("012_strawberry", 18.0, [43.8, 43.8, 55.0]),
            ("016_pear", 49.0, [66.2, 66.2, 100.0]),
            ("056_tennis_ball", 58.0, [64.7, 64.7, 64.7]),
            ("061_foam_brick", 28.0, [50.0, 50.0, 75.0]),
        ];
        let objects = ycb().expect("ten solids");
        assert_eq!(objects.len(), published.len());
        for (object, (name, grams, millimetres)) in objects.iter().zip(published) {
            assert_eq!(object.name, name);
            assert!((object.mass_kg * 1000.0 - grams).abs() < 0.01, "{name}");
            let edges = object.aabb().sorted_extents().map(|edge| edge * 1000.0);
            for (edge, wanted) in edges.iter().zip(millimetres) {
                assert!((edge - wanted).abs() < 0.05 * wanted, "{name}: {edges:?} mm for {millimetres:?}");
            }
            // Jaws of 80 mm with 6 mm to spare take every one of them across its narrowest way.
            assert!(object.grasp_width() <= 0.074, "{name}: {} m", object.grasp_width());
        }
    }

    #[test]
    fn what_is_drawn_is_what_collides() {
        for object in ycb().expect("ten solids") {
            let Some(mesh) = &object.mesh else { continue };
            let solids = object.solids();
            for point in &mesh.positions {
                let depth = solids.iter().map(|solid| solid.depth(point.as_dvec3())).fold(f64::NEG_INFINITY, f64::max);
                assert!(depth > -0.005, "{}: {depth}", object.name);
            }
            // Closed and turned outwards: its volume is positive and that of the collision shape to within 12%.
            let corner = |i: u32| mesh.positions[i as usize].as_dvec3();
            let volume: f64 =
                mesh.indices.chunks(3).map(|t| corner(t[0]).dot(corner(t[1]).cross(corner(t[2]))) / 6.0).sum();
            let ratio = volume / f64::from(object.volume_m3);
            assert!((0.9..1.12).contains(&ratio), "{}: {ratio}", object.name);
        }
    }
}
