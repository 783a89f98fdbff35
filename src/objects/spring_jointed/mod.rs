//! Six spring-jointed objects and their rigid twins: the unseen, semi-compliant objects of the servo experiments (Pedersen
//! et al., ICRA 2020, have six food-like ones) and the control that shows whether compliance matters.
//!
//! In: nothing. Out: [`ObjectModel`]s. Sizes and masses are those of ordinary things. A hand of 30 N presses the round ones and
//! the sponge to their stops, by a fifth to two fifths of their thickness; the long ones droop when held by an end. They are
//! rigid pieces that springs join, and no measurement of any material stands behind the constants.
//!
//! | object | pieces | springs |
//! |---|---|---|
//! | fish fillet | chain of four | about its width: 0.3 N m/rad |
//! | sausage | chain of five | about its width and its height: 0.4 N m/rad |
//! | burger bun | two halves | across: 900 N/m |
//! | sponge | two halves | across: 900 N/m |
//! | plush ball | two halves | across: 700 N/m |
//! | glove | palm, four fingers, thumb | about the knuckles: 0.03 N m/rad |

mod shapes;

use super::assembly::{AxisSpring, PieceDescription, SpringJoint};
use super::error::Result;
use super::model::{ConvexPart, Mass, ObjectModel, Physics};
use super::surfaces::{CrossSection, loft};
use crate::contract::Pose;
use glam::{Quat, Vec3};
use shapes::{Limb, sector};
use std::f32::consts::{FRAC_PI_2, PI};
use std::sync::Arc;

/// Damping of all springs, of the critical one.
const DAMPING_RATIO: f32 = 0.7;

/// The six objects.
///
/// # Errors
/// None in practice: the shapes are constants, and a test builds them.
pub fn spring_jointed() -> Result<Vec<Arc<ObjectModel>>> {
    let objects = [fish_fillet(), sausage(), burger_bun(), sponge(), plush_ball(), glove()];
    objects.into_iter().map(|object| object.map(Arc::new)).collect()
}

/// The same six without springs.
///
/// # Errors
/// As [`spring_jointed`].
pub fn rigid_twins() -> Result<Vec<Arc<ObjectModel>>> {
    Ok(spring_jointed()?.iter().map(|object| Arc::new(object.rigid_twin())).collect())
}

fn physics(friction: f32, color: [u8; 3]) -> Physics {
    Physics { mass: Mass::Total(0.0), friction, restitution: 0.0, color: Some(color) }
}

/// A hinge at a place about its y (and z) axis.
fn hinge(pieces: [usize; 2], at: Pose, spring: AxisSpring, also_z: bool) -> SpringJoint {
    SpringJoint {
        pieces,
        object_from_joint: at,
        linear: [None; 3],
        angular: [None, Some(spring), also_z.then_some(spring)],
    }
}

/// A spring along the x axis of a frame.
fn slide(pieces: [usize; 2], at: Pose, spring: AxisSpring) -> SpringJoint {
    SpringJoint { pieces, object_from_joint: at, linear: [Some(spring), None, None], angular: [None; 3] }
}

/// 166 mm long with its round ends, 62 mm wide, 24 mm thick at its thickest, flat below, thinner towards the tail.
fn fish_fillet() -> Result<ObjectModel> {
    let (length, mass) = (0.150, 0.130);
    let outline = move |x: f32| {
        let share = (x / length + 0.5).clamp(0.0, 1.0);
        // Wide and high after a third of the way, rounded at the head.
        let width = 0.031 * (1.0 - (share - 0.35).powi(2) * 1.3).max(0.2);
        let height = 0.012 * (1.0 - (share - 0.30).powi(2) * 1.1).max(0.2);
        [width, height, height]
    };
    let limb = Limb { outline, roundness: 0.45, is_round: false };
    let joint = |number: usize, x: f32| {
        let spring = AxisSpring::damped(0.3, DAMPING_RATIO, 1.2e-4, [-0.7, 0.7]);
        hinge([number, number + 1], Pose::from_translation(Vec3::new(x, 0.0, outline(x)[2])), spring, false)
    };
    chain("fish_fillet", &limb, [length, mass], 4, joint, physics(0.5, [238, 150, 118]))
}

/// 160 mm long, 32 mm thick.
fn sausage() -> Result<ObjectModel> {
    let (length, mass, radius) = (0.128, 0.105, 0.016);
    let outline = move |_: f32| [radius, radius, radius];
    let limb = Limb { outline, roundness: 1.0, is_round: true };
    let joint = |number: usize, x: f32| {
        let spring = AxisSpring::damped(0.4, DAMPING_RATIO, 1.1e-4, [-0.5, 0.5]);
        hinge([number, number + 1], Pose::from_translation(Vec3::new(x, 0.0, radius)), spring, true)
    };
    chain("sausage", &limb, [length, mass], 5, joint, physics(0.5, [168, 78, 48]))
}

/// `count` equal lengths of a limb from -length/2 to length/2.
fn chain<F: Fn(f32) -> [f32; 3]>(
    name: &str,
    limb: &Limb<F>,
    [length, mass]: [f32; 2],
    count: usize,
    joint: impl Fn(usize, f32) -> SpringJoint,
    physics: Physics,
) -> Result<ObjectModel> {
    let cut = |k: usize| length * (k as f32 / count as f32 - 0.5);
    let pieces =
        (0..count).map(|k| limb.piece([cut(k), cut(k + 1)], [k == 0, k + 1 == count], mass / count as f32)).collect();
    let joints = (1..count).map(|k| joint(k - 1, cut(k))).collect();
    ObjectModel::spring_jointed(name, pieces, joints, physics)
}

/// 70 mm wide, 46 mm high.
fn burger_bun() -> Result<ObjectModel> {
    let outline = [
        (0.0, 0.0),
        (0.029, 0.0),
        (0.0325, 0.003),
        (0.0345, 0.009),
        (0.035, 0.016),
        (0.0335, 0.025),
        (0.0290, 0.034),
        (0.0230, 0.0415),
        (0.0160, 0.046),
        // Flat enough to lie on.
        (0.0, 0.046),
    ];
    halves("burger_bun", &outline, [0.055, 0.022], [900.0, 0.018], physics(0.6, [206, 146, 78]))
}

/// A turned body cut in two through its axis: mass and height of the spring, its stiffness and travel.
fn halves(
    name: &str,
    outline: &[(f32, f32)],
    [mass, height]: [f32; 2],
    [stiffness, travel]: [f32; 2],
    physics: Physics,
) -> Result<ObjectModel> {
    let pieces = vec![sector(outline, 0, 2, 0.5 * mass), sector(outline, 1, 2, 0.5 * mass)];
    // The first half lies on the side of y, the second on the other.
    let apart = Quat::from_rotation_z(-FRAC_PI_2);
    let spring = AxisSpring::damped(stiffness, DAMPING_RATIO, 0.25 * mass, [-travel, 0.001]);
    let joint = slide([0, 1], Pose::new(Vec3::Z * height, apart), spring);
    ObjectModel::spring_jointed(name, pieces, vec![joint], physics)
}

/// 110 x 64 x 34 mm, in two halves along its length.
fn sponge() -> Result<ObjectModel> {
    let (half, mass) = (Vec3::new(0.055, 0.032, 0.017), 0.014);
    let piece = |side: f32| {
        let part = ConvexPart::Box {
            half_extents: half * Vec3::new(1.0, 0.5, 1.0),
            body_from_part: Pose::from_translation(Vec3::Y * (0.5 * half.y * side)),
        };
        // Rounded by 2 mm at the outer side, a little beyond the middle at the inner one.
        let section = |y: f32, inset: f32| CrossSection {
            centre: Vec3::Y * (y * side),
            right: Vec3::Z * (half.z - inset),
            up: Vec3::X * ((half.x - inset) * side),
            roundness: 0.16,
        };
        let rim = [(0.0, 0.0022), (0.0003, 0.0012), (0.0010, 0.0004), (0.0022, 0.0)];
        let mut sections = vec![section(-0.0015, 0.0001), section(0.5 * half.y, 0.0)];
        sections.extend(rim.iter().rev().map(|&(depth, inset)| section(half.y - depth, inset)));
        let mesh = loft(&sections, 48);
        PieceDescription { parts: vec![part], mesh: Some(mesh), mass_kg: 0.5 * mass }
    };
    let across = Pose::new(Vec3::ZERO, Quat::from_rotation_z(FRAC_PI_2));
    let spring = AxisSpring::damped(900.0, DAMPING_RATIO, 0.25 * mass, [-0.025, 0.001]);
    let joint = slide([0, 1], across, spring);
    ObjectModel::spring_jointed("sponge", vec![piece(-1.0), piece(1.0)], vec![joint], physics(0.7, [236, 208, 84]))
}

/// 70 mm wide.
fn plush_ball() -> Result<ObjectModel> {
    let (radius, rings) = (0.035, 10);
    let outline: Vec<(f32, f32)> = (0..=rings)
        .map(|k| {
            let angle = PI * (k as f32 / rings as f32 - 0.5);
            (if k % rings == 0 { 0.0 } else { radius * angle.cos() }, radius * (1.0 + angle.sin()))
        })
        .collect();
    halves("plush_ball", &outline, [0.060, radius], [700.0, 0.020], physics(0.8, [92, 138, 206]))
}

/// A work glove, 150 mm from cuff to finger tip, 66 mm wide without the thumb.
fn glove() -> Result<ObjectModel> {
    let palm_mass = 0.032;
    let palm = Limb {
        outline: |x: f32| {
            // Narrower at the wrist.
            let share = ((x + 0.050) / 0.070).clamp(0.0, 1.0);
            [0.026 + 0.007 * share.sqrt(), 0.0105 - 0.002 * share, 0.010]
        },
        roundness: 0.5,
        is_round: false,
    };
    let mut pieces = vec![palm.piece([-0.050, 0.022], [true; 2], palm_mass)];
    let mut joints = Vec::new();
    let spring =
        |mass: f32, length: f32| AxisSpring::damped(0.03, DAMPING_RATIO, mass * length * length / 3.0, [-0.8, 0.8]);
    for (y, length) in [(0.0248, 0.054), (0.0083, 0.064), (-0.0083, 0.060), (-0.0248, 0.046)] {
        let at = Vec3::new(0.022, y, 0.010);
        let mass = 0.075 * length;
        pieces.push(moved(finger(0.0078, 0.0085, length, mass), Pose::from_translation(at)));
        joints.push(hinge([0, joints.len() + 1], Pose::from_translation(at), spring(mass, length), false));
    }
    // The thumb leaves the palm's edge at 50 degrees.
    let at = Pose::new(Vec3::new(-0.018, 0.024, 0.010), Quat::from_rotation_z(0.87));
    let (length, mass) = (0.050, 0.0045);
    pieces.push(moved(finger(0.0092, 0.0090, length, mass), at));
    joints.push(hinge([0, 5], at, spring(mass, length), false));
    ObjectModel::spring_jointed("glove", pieces, joints, physics(0.7, [196, 160, 104]))
}

/// A finger along x from its knuckle, whose round tip ends at `length`.
fn finger(width: f32, height: f32, length: f32, mass_kg: f32) -> PieceDescription {
    let limb = Limb { outline: |_: f32| [width, height, 0.0], roundness: 0.9, is_round: true };
    limb.piece([0.0, length - height], [false, true], mass_kg)
}

fn moved(piece: PieceDescription, to: Pose) -> PieceDescription {
    let parts = piece.parts.iter().map(|part| part.transformed(to)).collect();
    let mesh = piece.mesh.map(|mut mesh| {
        mesh.positions.iter_mut().for_each(|point| *point = to.transform_point(*point));
        mesh.normals.iter_mut().for_each(|normal| *normal = to.transform_vector(*normal));
        mesh
    });
    PieceDescription { parts, mesh, ..piece }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::digest;

    #[test]
    fn sizes_masses_and_twins() {
        // Grams, and edges in millimetres, ascending.
        let expected = [
            ("fish_fillet", 130.0, [24.0, 62.0, 166.0]),
            ("sausage", 105.0, [32.0, 32.0, 160.0]),
            ("burger_bun", 55.0, [46.0, 70.0, 70.0]),
            ("sponge", 14.0, [34.0, 64.0, 110.0]),
            ("plush_ball", 60.0, [70.0, 70.0, 70.0]),
            ("glove", 53.3, [21.0, 95.0, 146.0]),
        ];
        let (objects, twins) = (spring_jointed().expect("six"), rigid_twins().expect("six"));
        assert_eq!((objects.len(), twins.len()), (6, 6));
        for ((object, twin), (name, grams, millimetres)) in objects.iter().zip(&twins).zip(expected) {
            assert_eq!((object.name.as_str(), twin.name.as_str()), (name, format!("{name}_rigid").as_str()));
            assert!((object.mass_kg * 1000.0 - grams).abs() < 0.1, "{name}: {} kg", object.mass_kg);
            let edges = object.aabb().sorted_extents().map(|edge| edge * 1000.0);
            for (edge, wanted) in edges.iter().zip(millimetres) {
                assert!((edge - wanted).abs() < 0.06 * wanted, "{name}: {edges:?} mm for {millimetres:?}");
            }
            // Jaws of 80 mm with 6 mm to spare.
            assert!(object.grasp_width() <= 0.074, "{name}: {} m", object.grasp_width());
            assert!(object.num_pieces() > 1 && twin.num_pieces() == 1);
            assert_eq!((twin.mass_kg, twin.inertia, twin.aabb()), (object.mass_kg, object.inertia, object.aabb()));
            let pieces = &object.assembly.as_ref().expect("pieces").pieces;
            let sum: f32 = pieces.iter().map(|piece| piece.mass_kg).sum();
            assert!((sum - object.mass_kg).abs() < 1e-6);
        }
    }

    #[test]
    fn what_is_drawn_is_what_collides_and_pieces_overlap() {
        for object in spring_jointed().expect("six") {
            let solids = object.solids();
            let depth = |point: Vec3| {
                solids.iter().map(|solid| solid.depth(point.as_dvec3())).fold(f64::NEG_INFINITY, f64::max)
            };
            let mesh = object.mesh.as_ref().expect("a mesh");
            let deepest = mesh.positions.iter().map(|&point| depth(point)).fold(f64::INFINITY, f64::min);
            assert!(deepest > -0.004, "{}: {deepest} m outside", object.name);
            let pieces = &object.assembly.as_ref().expect("pieces").pieces;
            for (number, piece) in pieces.iter().enumerate() {
                // A core is a box, inside.
                let Some(mesh) = &piece.mesh else { continue };
                // Closed and turned outwards.
                let corner = |i: u32| mesh.positions[i as usize].as_dvec3();
                let volume: f64 =
                    mesh.indices.chunks(3).map(|t| corner(t[0]).dot(corner(t[1]).cross(corner(t[2]))) / 6.0).sum();
                let own: f64 = piece
                    .parts
                    .iter()
                    .filter_map(crate::objects::geometry::Polyhedron::of_part)
                    .map(|solid| solid.volume())
                    .sum();
                let ratio = volume / own;
                assert!((0.95..2.2).contains(&ratio), "{} {number}: {ratio} of its solid is drawn", object.name);
                assert!(mesh.normals.iter().all(|normal| (normal.length() - 1.0).abs() < 1e-3));
            }
        }
    }

    #[test]
    fn a_digest_covers_the_springs() {
        let objects = spring_jointed().expect("six");
        let first = digest(&objects);
        assert_eq!(digest(&spring_jointed().expect("six")), first);
        let mut changed = objects;
        let model = Arc::make_mut(&mut changed[3]);
        let assembly = Arc::make_mut(model.assembly.as_mut().expect("pieces"));
        let spring = assembly.joints[0].linear[0].as_mut().expect("a spring");
        spring.stiffness = f32::from_bits(spring.stiffness.to_bits() + 1);
        assert_ne!(digest(&changed), first);
        // And of rigid objects it is what it was before there were springs.
        assert!(!format!("{:?}", rigid_twins().expect("six")[0]).contains("assembly"));
    }
}
