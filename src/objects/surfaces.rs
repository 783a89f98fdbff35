//! Surfaces and convex pieces of turned and lofted things: cups, bottles, handles, fruit.
//!
//! In: profiles (radius, height) or cross-sections along a path, metres. Out: smooth meshes for drawing and convex
//! pieces for collision. Points are rounded to a micrometre, so that two C libraries make the same object.

use super::model::ConvexPart;
use crate::contract::MeshData;
use glam::{Vec2, Vec3};
use std::f64::consts::TAU;

/// Adjacent bands of a turned surface that meet at less than this angle are shaded as one: cosine of 40 degrees.
const SMOOTH: f32 = 0.766;

/// A direction in the plane, `index` of `count` around the circle.
fn direction(index: usize, count: usize) -> Vec2 {
    let (sine, cosine) = (TAU * index as f64 / count as f64).sin_cos();
    Vec2::new(cosine as f32, sine as f32)
}

fn rounded(point: Vec3) -> Vec3 {
    (point * 1e6).round() * 1e-6
}

/// `count` points on a circle of radius `radius` at height `height` around the z axis.
fn circle(radius: f32, height: f32, count: usize) -> impl Iterator<Item = Vec3> {
    (0..count).map(move |index| rounded((radius * direction(index, count)).extend(height)))
}

/// The mesh that a profile of (radius, height) sweeps around the z axis. The solid lies to the left of the profile's
/// way: up along an outer face, down along an inner one, outwards along an underside.
pub(super) fn lathe(profile: &[(f32, f32)], segments: usize) -> MeshData {
    let normals: Vec<Vec2> = profile
        .windows(2)
        .map(|ends| Vec2::new(ends[1].1 - ends[0].1, ends[0].0 - ends[1].0).normalize_or_zero())
        .collect();
    let blended = |band: usize, other: Option<usize>| {
        let own = normals[band];
        match other.and_then(|other| normals.get(other)) {
            Some(&near) if own.dot(near) > SMOOTH => (own + near).normalize_or_zero(),
            _ => own,
        }
    };
    let mut mesh = MeshData::default();
    for band in 0..normals.len() {
        let first = mesh.positions.len() as u32;
        for (end, other) in [(band, band.checked_sub(1)), (band + 1, Some(band + 1))] {
            let normal = blended(band, other);
            for index in 0..segments {
                let outwards = direction(index, segments);
                mesh.positions.push(rounded((profile[end].0 * outwards).extend(profile[end].1)));
                mesh.normals.push((normal.x * outwards).extend(normal.y));
            }
        }
        let count = segments as u32;
        for k in 0..count {
            let (a, b) = (first + k, first + (k + 1) % count);
            let (d, c) = (a + count, b + count);
            if profile[band].0 > 0.0 {
                mesh.indices.extend([a, b, if profile[band + 1].0 > 0.0 { c } else { d }]);
            }
            if profile[band + 1].0 > 0.0 {
                mesh.indices.extend([a, c, d]);
            }
        }
    }
    mesh
}

/// How far the flat ends of a turned solid are rounded.
const END_ROUNDING: f32 = 0.001;

/// The convex solid through circles of (radius, height), with `count` corners on each; a radius of 0 is one corner.
///
/// Flat ends have four corners, a millimetre beyond a circle of `count`: the engine makes contacts at no more than four
/// corners of a face, the first it finds, and on those of a dodecagon that lie side by side nothing can stand.
pub(super) fn turned_hull(rings: &[(f32, f32)], count: usize) -> ConvexPart {
    let middle = 0.5 * (rings.first().map_or(0.0, |ring| ring.1) + rings.last().map_or(0.0, |ring| ring.1));
    let mut points = Vec::new();
    for (index, &(radius, height)) in rings.iter().enumerate() {
        let is_end = index == 0 || index + 1 == rings.len();
        if radius <= 0.0 {
            points.extend(circle(0.0, height, 1));
        } else if is_end {
            let inwards = (middle - height).clamp(-END_ROUNDING, END_ROUNDING);
            points.extend(circle(radius, height, 4));
            points.extend(circle(radius, height + inwards, count));
        } else {
            points.extend(circle(radius, height, count));
        }
    }
    ConvexPart::Hull { points }
}

/// `count` upright pieces that make a wall between two circles, `wall` thick: a hollow vessel's side. `bottom` and
/// `top` are the outer (radius, height).
pub(super) fn staves(bottom: (f32, f32), top: (f32, f32), wall: f32, count: usize) -> Vec<ConvexPart> {
    (0..count)
        .map(|index| {
            let sides = [direction(index, count), direction(index + 1, count)];
            let points = [bottom, top].into_iter().flat_map(|(radius, height)| {
                sides
                    .into_iter()
                    .flat_map(move |side| [radius, radius - wall].map(|radius| rounded((radius * side).extend(height))))
            });
            ConvexPart::Hull { points: points.collect() }
        })
        .collect()
}

/// An elliptic or, with a small `roundness`, nearly rectangular cross-section: its centre and two half axes.
#[derive(Clone, Copy, Debug)]
pub(super) struct CrossSection {
    pub centre: Vec3,
    pub right: Vec3,
    pub up: Vec3,
    /// 1 for an ellipse, towards 0 for a rectangle.
    pub roundness: f32,
}

impl CrossSection {
    /// `count` points around it, counter-clockwise from right to up.
    pub fn points(&self, count: usize) -> impl Iterator<Item = Vec3> + '_ {
        (0..count).map(move |index| {
            // Half a step aside, so that a rectangle's corners are among the points.
            let way = direction(2 * index + 1, 2 * count);
            let bend = |x: f32| x.abs().powf(self.roundness) * x.signum();
            rounded(self.centre + self.right * bend(way.x) + self.up * bend(way.y))
        })
    }
}

/// The closed mesh through cross-sections, which follow each other along right x up.
pub(super) fn loft(sections: &[CrossSection], count: usize) -> MeshData {
    let positions: Vec<Vec3> = sections.iter().flat_map(|section| section.points(count)).collect();
    let mut indices = Vec::new();
    let n = count as u32;
    for band in 0..sections.len().saturating_sub(1) as u32 {
        for k in 0..n {
            let (a, b) = (band * n + k, band * n + (k + 1) % n);
            indices.extend([a, b, b + n, a, b + n, a + n]);
        }
    }
    let mut normals = vec![Vec3::ZERO; positions.len()];
    for triangle in indices.chunks_exact(3) {
        let [a, b, c] = [0, 1, 2].map(|i| triangle[i] as usize);
        let area = (positions[b] - positions[a]).cross(positions[c] - positions[a]);
        [a, b, c].into_iter().for_each(|i| normals[i] += area);
    }
    let normals = normals.into_iter().map(|normal| normal.try_normalize().unwrap_or(Vec3::Z)).collect();
    let mut mesh = MeshData { positions, normals, indices, ..MeshData::default() };
    for (section, sign) in [(sections.first(), -1.0), (sections.last(), 1.0)] {
        let Some(section) = section else { continue };
        let normal = sign * section.right.cross(section.up).normalize_or_zero();
        let first = mesh.positions.len() as u32;
        mesh.positions.extend(section.points(count));
        mesh.normals.extend((0..count).map(|_| normal));
        for k in 1..n.saturating_sub(1) {
            let (b, c) = if sign > 0.0 { (k, k + 1) } else { (k + 1, k) };
            mesh.indices.extend([first, first + b, first + c]);
        }
    }
    mesh
}

/// Convex pieces between consecutive cross-sections, `corners` points on each.
pub(super) fn loft_hulls(sections: &[CrossSection], corners: usize) -> Vec<ConvexPart> {
    sections
        .windows(2)
        .map(|ends| ConvexPart::Hull { points: ends.iter().flat_map(|section| section.points(corners)).collect() })
        .collect()
}

/// Several meshes as one.
pub(super) fn joined(meshes: impl IntoIterator<Item = MeshData>) -> MeshData {
    let mut whole = MeshData::default();
    meshes.into_iter().for_each(|mesh| whole.append(mesh));
    whole
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::geometry::Polyhedron;

    /// Volume inside a closed mesh by the divergence theorem; wrong orientation or holes change it.
    fn volume(mesh: &MeshData) -> f64 {
        let corner = |i: u32| mesh.positions[i as usize].as_dvec3();
        mesh.indices.chunks(3).map(|t| corner(t[0]).dot(corner(t[1]).cross(corner(t[2]))) / 6.0).sum()
    }

    /// Every normal points away from the solid: along its triangles' own.
    fn normals_agree(mesh: &MeshData) -> bool {
        mesh.indices.chunks(3).all(|t| {
            let [a, b, c] = [0, 1, 2].map(|i| mesh.positions[t[i] as usize]);
            let face = (b - a).cross(c - a);
            t.iter().all(|&i| {
                let normal = mesh.normals[i as usize];
                (normal.length() - 1.0).abs() < 1e-4 && normal.dot(face) > 0.0
            })
        })
    }

    #[test]
    fn a_turned_cup_holds_its_volume() {
        // A cylinder of radius 4 cm, 10 cm high, hollowed by one of 3 cm from 1 cm above the floor.
        let profile = [(0.0, 0.0), (0.04, 0.0), (0.04, 0.1), (0.03, 0.1), (0.03, 0.01), (0.0, 0.01)];
        let mesh = lathe(&profile, 64);
        let expected = std::f64::consts::PI * (0.04_f64.powi(2) * 0.1 - 0.03_f64.powi(2) * 0.09);
        assert!((volume(&mesh) / expected - 1.0).abs() < 2e-3, "{}", volume(&mesh));
        assert!(normals_agree(&mesh));
        let staves = staves((0.04, 0.0), (0.04, 0.1), 0.01, 12);
        let total: f64 = staves.iter().filter_map(Polyhedron::of_part).map(|solid| solid.volume()).sum();
        // Twelve trapezoids: half of 12 sin(30 degrees) (4^2 - 3^2) cm^2 times 10 cm.
        assert!((total / (3.0 * 7.0 * 10.0 * 1e-6) - 1.0).abs() < 1e-3, "{total}");
    }

    #[test]
    fn a_loft_of_ellipses_and_of_rectangles() {
        let section = |z: f32, roundness: f32| CrossSection {
            centre: Vec3::new(0.0, 0.0, z),
            right: Vec3::X * 0.02,
            up: Vec3::Y * 0.01,
            roundness,
        };
        let ellipse = loft(&[section(0.0, 1.0), section(0.05, 1.0), section(0.1, 1.0)], 64);
        let expected = std::f64::consts::PI * 0.02 * 0.01 * 0.1;
        assert!((volume(&ellipse) / expected - 1.0).abs() < 2e-3 && normals_agree(&ellipse));
        let bar = loft_hulls(&[section(0.0, 0.01), section(0.1, 0.01)], 4);
        let solid = Polyhedron::of_part(&bar[0]).expect("a bar");
        assert!((solid.volume() / (0.04 * 0.02 * 0.1) - 1.0).abs() < 0.02, "{}", solid.volume());
    }
}
