//! Planes worth cutting along. In: a piece and the solid's reflex edges. Out: a few planes through reflex edges, across
//! gaps, and across the middle of the piece.

use super::cut::{Piece, Solid};
use crate::objects::geometry::Plane;
use crate::objects::mass::Inertia;
use glam::{DMat3, DVec3};
use std::collections::HashMap;

/// Reflex edges looked at, the heaviest first.
const EDGES: usize = 600;
/// Edges that propose planes of their own, evenly among the heavy and the light.
const PROPOSERS: usize = 48;
/// Planes through reflex edges that are tried: along faces, and as many between faces.
const THROUGH_EDGES: usize = 6;

/// An edge where the surface folds inwards: the faces' normals, and the length times the angle of the fold.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReflexEdge {
    ends: [DVec3; 2],
    normals: [DVec3; 2],
    weight: f64,
}

/// A plane and the share of the piece's folds that lies in it (a cut there makes them flat or convex).
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    pub plane: Plane,
    pub resolved: f64,
    /// Along a face of the solid: what is cut off keeps square corners.
    pub along_face: bool,
}

/// The heaviest reflex edges of a solid.
pub(super) fn reflex_edges(solid: &Solid) -> Vec<ReflexEdge> {
    let surface = solid.surface;
    let mut owners: HashMap<(u32, u32), usize> = HashMap::with_capacity(surface.triangles.len() * 3);
    for (number, &[a, b, c]) in surface.triangles.iter().enumerate() {
        owners.extend([((a, b), number), ((b, c), number), ((c, a), number)]);
    }
    let normal = |number: usize| {
        let [a, b, c] = surface.corners(surface.triangles[number]);
        (b - a).cross(c - a).normalize_or_zero()
    };
    let mut edges = Vec::new();
    for (number, &[a, b, c]) in surface.triangles.iter().enumerate() {
        for (from, to) in [(a, b), (b, c), (c, a)] {
            let Some(&other) = owners.get(&(to, from)).filter(|_| from < to) else { continue };
            let ends = [surface.points[from as usize], surface.points[to as usize]];
            let normals = [normal(number), normal(other)];
            let along = (ends[1] - ends[0]).normalize_or_zero();
            // Seen along an edge of the first face, the normals turn the other way at a fold inwards.
            let turn = normals[0].cross(normals[1]).dot(along);
            if turn < -0.01 {
                let angle = (-turn).atan2(normals[0].dot(normals[1]));
                edges.push(ReflexEdge { ends, normals, weight: ends[0].distance(ends[1]) * angle });
            }
        }
    }
    edges.sort_by(|a, b| b.weight.total_cmp(&a.weight));
    edges.truncate(EDGES);
    edges
}

/// Planes to try on `piece`.
pub(super) fn candidates(solid: &Solid, piece: &Piece, edges: &[ReflexEdge]) -> Vec<Candidate> {
    let inside: Vec<ReflexEdge> = edges.iter().filter_map(|edge| clipped(edge, piece, solid.epsilon)).collect();
    let total: f64 = inside.iter().map(|edge| edge.weight).sum();
    let share = |plane: &Plane| {
        let lies_in = |end: &DVec3| (plane.normal.dot(*end) - plane.offset).abs() <= 8.0 * solid.epsilon;
        let resolved = inside.iter().filter(|edge| edge.ends.iter().all(lies_in)).map(|edge| edge.weight).sum::<f64>();
        if total > 0.0 { resolved / total } else { 0.0 }
    };
    let (mut planes, mut across): (Vec<Plane>, Vec<Plane>) = Default::default();
    for edge in inside.iter().step_by(inside.len().div_ceil(PROPOSERS).max(1)) {
        let [a, b] = edge.normals;
        let through = |normal: DVec3| Plane { normal, offset: normal.dot(edge.ends[0]) };
        add(&mut planes, through(a), solid.epsilon);
        add(&mut planes, through(b), solid.epsilon);
        add(&mut across, through((a - b).normalize_or(a)), solid.epsilon);
    }
    let through = |plane: Plane, along_face| Candidate { plane, resolved: share(&plane), along_face };
    let best = |planes: Vec<Plane>, along_face| {
        let mut best: Vec<Candidate> = planes.into_iter().map(|plane| through(plane, along_face)).collect();
        best.sort_by(|a, b| b.resolved.total_cmp(&a.resolved));
        best.truncate(THROUGH_EDGES);
        best
    };
    let mut found = best(planes, true);
    found.extend(best(across, false));

    let axes = principal_axes(piece);
    let mut others: Vec<Plane> = Vec::new();
    let cut_normals = piece.planes.iter().rev().take(4).map(|plane| plane.normal);
    for axis in axes.into_iter().chain(cut_normals) {
        if let Some(offset) = widest_gap(piece, axis, solid.epsilon) {
            add(&mut others, Plane { normal: axis, offset }, solid.epsilon);
        }
    }
    for axis in axes {
        let (low, high) = span(piece, axis);
        add(&mut others, Plane { normal: axis, offset: (low + high) / 2.0 }, solid.epsilon);
    }
    found.extend(others.into_iter().map(|plane| through(plane, false)));
    // A plane along an older cut would only shave it.
    found.retain(|candidate| {
        piece.planes.iter().all(|old| {
            let aligned = candidate.plane.normal.dot(old.normal);
            aligned.abs() < 1.0 - 1e-9
                || (candidate.plane.offset - aligned.signum() * old.offset).abs() > 16.0 * solid.epsilon
        })
    });
    found
}

fn add(planes: &mut Vec<Plane>, plane: Plane, epsilon: f64) {
    let same = |other: &Plane| {
        let aligned = plane.normal.dot(other.normal);
        aligned.abs() > 1.0 - 1e-9 && (plane.offset - aligned.signum() * other.offset).abs() <= 8.0 * epsilon
    };
    if !planes.iter().any(same) {
        planes.push(plane);
    }
}

/// The stretch of an edge strictly inside the piece; what lies in a cut is resolved.
fn clipped(edge: &ReflexEdge, piece: &Piece, epsilon: f64) -> Option<ReflexEdge> {
    let (mut from, mut to) = (0.0_f64, 1.0_f64);
    for plane in &piece.planes {
        let [a, b] = edge.ends.map(|end| plane.normal.dot(end) - plane.offset + 8.0 * epsilon);
        if a > 0.0 && b > 0.0 {
            return None;
        }
        if a > 0.0 {
            from = from.max(a / (a - b));
        } else if b > 0.0 {
            to = to.min(a / (a - b));
        }
    }
    let along = edge.ends[1] - edge.ends[0];
    (to - from > 1e-3).then(|| ReflexEdge {
        ends: [edge.ends[0] + along * from, edge.ends[0] + along * to],
        weight: edge.weight * (to - from),
        ..*edge
    })
}

/// The axes of the piece's surface, weighted by area, and where that has no direction of its own, x, y and z.
fn principal_axes(piece: &Piece) -> [DVec3; 3] {
    let (mut area, mut first, mut second) = (0.0, DVec3::ZERO, DMat3::ZERO);
    for &[a, b, c] in &piece.real {
        let own = (b - a).cross(c - a).length();
        let middle = (a + b + c) / 3.0;
        area += own;
        first += middle * own;
        second += DMat3::from_cols(middle * middle.x, middle * middle.y, middle * middle.z) * own;
    }
    if area <= 0.0 {
        return [DVec3::X, DVec3::Y, DVec3::Z];
    }
    let mean = first / area;
    let covariance = second * (1.0 / area) - DMat3::from_cols(mean * mean.x, mean * mean.y, mean * mean.z);
    let size = covariance.x_axis.x + covariance.y_axis.y + covariance.z_axis.z;
    let diagonal =
        [covariance.y_axis.x, covariance.z_axis.x, covariance.z_axis.y].iter().all(|v| v.abs() < 1e-3 * size);
    if diagonal || size <= 0.0 {
        return [DVec3::X, DVec3::Y, DVec3::Z];
    }
    let turn = Inertia::from_tensor(&(covariance * (1.0 / size))).body_from_principal.as_dquat().normalize();
    [turn * DVec3::X, turn * DVec3::Y, turn * DVec3::Z]
}

fn span(piece: &Piece, axis: DVec3) -> (f64, f64) {
    let heights = piece.real.iter().flatten().map(|point| axis.dot(*point));
    heights.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), h| (low.min(h), high.max(h)))
}

/// The middle of the widest stretch along `axis` that no triangle crosses.
fn widest_gap(piece: &Piece, axis: DVec3, epsilon: f64) -> Option<f64> {
    let mut spans: Vec<(f64, f64)> = piece
        .real
        .iter()
        .map(|triangle| {
            let heights = triangle.map(|corner| axis.dot(corner));
            (heights[0].min(heights[1]).min(heights[2]), heights[0].max(heights[1]).max(heights[2]))
        })
        .collect();
    spans.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut reached, mut widest) = (spans.first()?.1, None);
    for &(from, to) in &spans {
        if from - reached > widest.map_or(16.0 * epsilon, |(width, _)| width) {
            widest = Some((from - reached, (from + reached) / 2.0));
        }
        reached = reached.max(to);
    }
    widest.map(|(_, middle)| middle)
}
