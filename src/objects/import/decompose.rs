//! Convex parts of a mesh. In: groups of triangles. Out: one part for each convex piece, and V-HACD's for the rest
//! (Mamou and Ghorbel, 2009; parry's implementation).

use super::mesh::RawMesh;
use crate::objects::geometry::Polyhedron;
use crate::objects::model::ConvexPart;
use glam::Vec3;
use rapier3d::parry::transformation::vhacd::{VHACD, VHACDParameters};
use std::collections::HashMap;

/// Pieces of a closed group beyond which it is decomposed as a whole.
const MAX_COMPONENTS: usize = 32;
/// A surface that dips less than this share of the diagonal under its hull counts as convex.
const CONVEX_TOLERANCE: f64 = 0.01;
/// Triangles looked at for convexity; an even sample of the rest is enough.
const CONVEX_SAMPLE: usize = 20_000;
/// The parts, in the order of the groups. What cannot be used is told in `warnings`.
pub(super) fn convex_parts(mesh: &RawMesh, warnings: &mut Vec<String>) -> Vec<ConvexPart> {
    let (points, remap) = mesh.welded();
    let mut parts = Vec::new();
    for (number, group) in mesh.groups.iter().enumerate() {
        let triangles: Vec<[u32; 3]> = group
            .triangles
            .iter()
            .map(|triangle| triangle.map(|index| remap[index as usize]))
            .filter(|[a, b, c]| a != b && b != c && c != a)
            .collect();
        let label = if group.name.is_empty() { format!("{number}") } else { format!("{number} ('{}')", group.name) };
        let mut pieces = vec![triangles];
        if is_closed(&pieces[0]) {
            let split = components(points.len(), &pieces[0]);
            if split.len() <= MAX_COMPONENTS {
                pieces = split;
            }
        }
        for piece in pieces {
            let (cloud, local) = compact(&points, &piece);
            match Polyhedron::hull(&cloud) {
                None => {
                    warnings.push(format!("group {label} is flat or has no volume; it is drawn but not collided with"))
                }
                Some(hull) if is_convex(&hull, &cloud, &local) => parts.extend(ConvexPart::from_points(&cloud)),
                Some(_) => match decompose(&cloud, &local) {
                    Some(found) => parts.extend(found),
                    None => {
                        warnings.push(format!("group {label} could not be decomposed; its convex hull is used"));
                        parts.extend(ConvexPart::from_points(&cloud));
                    }
                },
            }
        }
    }
    parts
}

/// Whether every edge is used once in each direction, so that the surface encloses a volume.
fn is_closed(triangles: &[[u32; 3]]) -> bool {
    let mut edges: HashMap<(u32, u32), i32> = HashMap::with_capacity(triangles.len() * 2);
    for [a, b, c] in triangles {
        for (from, to) in [(a, b), (b, c), (c, a)] {
            *edges.entry((*from.min(to), *from.max(to))).or_insert(0) += if from < to { 1 } else { -1 };
        }
    }
    !triangles.is_empty() && edges.values().all(|&balance| balance == 0)
}

/// Triangles that hang together through shared points, in the order of their first triangle.
fn components(points: usize, triangles: &[[u32; 3]]) -> Vec<Vec<[u32; 3]>> {
    let mut parent: Vec<u32> = (0..points as u32).collect();
    fn root(parent: &mut [u32], mut point: u32) -> u32 {
        while parent[point as usize] != point {
            parent[point as usize] = parent[parent[point as usize] as usize];
            point = parent[point as usize];
        }
        point
    }
    for [a, b, c] in triangles {
        for (from, to) in [(a, b), (b, c)] {
            let (from, to) = (root(&mut parent, *from), root(&mut parent, *to));
            parent[from.max(to) as usize] = from.min(to);
        }
    }
    let mut number = HashMap::new();
    let mut pieces: Vec<Vec<[u32; 3]>> = Vec::new();
    for triangle in triangles {
        let next = pieces.len();
        let piece = *number.entry(root(&mut parent, triangle[0])).or_insert(next);
        if piece == next {
            pieces.push(Vec::new());
        }
        pieces[piece].push(*triangle);
    }
    pieces
}

/// Only the points that the triangles use, renumbered.
fn compact(points: &[Vec3], triangles: &[[u32; 3]]) -> (Vec<Vec3>, Vec<[u32; 3]>) {
    let mut number = HashMap::new();
    let mut cloud = Vec::new();
    let local = triangles
        .iter()
        .map(|triangle| {
            triangle.map(|index| {
                *number.entry(index).or_insert_with(|| {
                    cloud.push(points[index as usize]);
                    cloud.len() as u32 - 1
                })
            })
        })
        .collect();
    (cloud, local)
}

/// Whether no triangle dips under the hull: its corners, its middle and the middles of its edges lie on it.
fn is_convex(hull: &Polyhedron, cloud: &[Vec3], triangles: &[[u32; 3]]) -> bool {
    let (low, high) = hull.bounds();
    let tolerance = CONVEX_TOLERANCE * low.distance(high);
    triangles.iter().step_by(triangles.len().div_ceil(CONVEX_SAMPLE).max(1)).all(|triangle| {
        let [a, b, c] = triangle.map(|index| cloud[index as usize].as_dvec3());
        [a, (a + b) / 2.0, (b + c) / 2.0, (c + a) / 2.0, (a + b + c) / 3.0]
            .into_iter()
            .all(|point| hull.depth(point) <= tolerance)
    })
}

fn decompose(cloud: &[Vec3], triangles: &[[u32; 3]]) -> Option<Vec<ConvexPart>> {
    let parameters = VHACDParameters { resolution: 64, max_convex_hulls: 32, ..VHACDParameters::default() };
    // parry asserts inside: a user's odd mesh must not end the program.
    let run = || VHACD::decompose(&parameters, cloud, triangles, true).compute_exact_convex_hulls(cloud, triangles);
    let hulls = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).ok()?;
    let parts: Vec<ConvexPart> = hulls.iter().filter_map(|(points, _)| ConvexPart::from_points(points)).collect();
    (!parts.is_empty()).then_some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::import::RawGroup;
    use crate::objects::mass::Moments;
    use glam::{DQuat, DVec3};

    fn merged(solids: &[Polyhedron]) -> RawMesh {
        let mut mesh = RawMesh { groups: vec![RawGroup::default()], ..RawMesh::default() };
        for solid in solids {
            let base = mesh.positions.len() as u32;
            mesh.positions.extend(solid.points.iter().map(|point| point.as_vec3()));
            mesh.groups[0].triangles.extend(solid.triangles.iter().map(|t| t.map(|index| base + index as u32)));
        }
        mesh
    }

    fn volume(parts: &[ConvexPart]) -> f64 {
        Moments::of_union(&parts.iter().filter_map(Polyhedron::of_part).collect::<Vec<_>>()).volume
    }

    #[test]
    fn loose_boxes_in_one_group_come_apart_exactly() {
        let boxes = [
            Polyhedron::from_box(DVec3::new(0.05, 0.01, 0.01), DVec3::ZERO, DQuat::IDENTITY),
            Polyhedron::from_box(
                DVec3::new(0.01, 0.04, 0.01),
                DVec3::new(0.03, 0.02, 0.005),
                DQuat::from_rotation_x(0.5),
            ),
        ];
        let mut warnings = Vec::new();
        let parts = convex_parts(&merged(&boxes), &mut warnings);
        assert!(parts.len() == 2 && parts.iter().all(|part| matches!(part, ConvexPart::Box { .. })), "{parts:?}");
        assert!(warnings.is_empty());
        assert!((volume(&parts) / Moments::of_union(&boxes).volume - 1.0).abs() < 1e-3);
    }

    #[test]
    fn an_l_shaped_surface_is_decomposed() {
        // An L of three 3 cm cubes as one closed surface: a prism over a six-cornered outline.
        let outline = [(0.0, 0.0), (0.06, 0.0), (0.06, 0.03), (0.03, 0.03), (0.03, 0.06), (0.0, 0.06)];
        let mut mesh = RawMesh { groups: vec![RawGroup::default()], ..RawMesh::default() };
        for z in [0.0, 0.03] {
            mesh.positions.extend(outline.iter().map(|&(x, y)| Vec3::new(x, y, z)));
        }
        let group = &mut mesh.groups[0].triangles;
        for [a, b, c] in [[0, 1, 2], [0, 2, 3], [0, 3, 4], [0, 4, 5]] {
            group.push([a, c, b]);
            group.push([a + 6, b + 6, c + 6]);
        }
        for i in 0..6_u32 {
            let j = (i + 1) % 6;
            group.push([i, j, j + 6]);
            group.push([i, j + 6, i + 6]);
        }
        assert!(is_closed(group));
        let mut warnings = Vec::new();
        let parts = convex_parts(&mesh, &mut warnings);
        assert!(parts.len() >= 2 && warnings.is_empty(), "{} parts, {warnings:?}", parts.len());
        // Three cubes of 27 cm^3; the hull would have 94.5.
        let volume = volume(&parts) * 1e6;
        assert!((78.0..85.0).contains(&volume), "{volume} cm^3");
        let again = convex_parts(&mesh, &mut warnings);
        assert_eq!(parts, again);
    }

    #[test]
    fn flat_groups_are_told() {
        let square = RawMesh {
            positions: vec![Vec3::ZERO, Vec3::X, Vec3::ONE.with_z(0.0), Vec3::Y],
            groups: vec![RawGroup { name: "label".into(), triangles: vec![[0, 1, 2], [0, 2, 3]] }],
            color: None,
        };
        let mut warnings = Vec::new();
        assert!(convex_parts(&square, &mut warnings).is_empty());
        assert!(warnings[0].contains("label"), "{warnings:?}");
    }
}
