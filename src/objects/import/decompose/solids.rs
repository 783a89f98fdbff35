//! The solids of a mesh. In: groups of triangles over shared points. Out: closed solids, and what is left as one surface
//! for each part that hangs together.
//!
//! Files cut one closed surface into groups by material, side or smoothing. So a group is a solid of its own only where
//! it is closed by itself or covers its whole hull; all other groups together are one surface.

use super::convexity::is_convex;
use super::surface::{Surface, components, is_closed};
use crate::objects::geometry::Polyhedron;
use crate::objects::import::mesh::RawMesh;
use glam::Vec3;
use std::collections::HashMap;

/// Components of a surface beyond which it is taken as a whole.
const MAX_COMPONENTS: usize = 256;
/// Points closer than this share of the diagonal are one, where nothing else closes the surface: writers round.
const WELD: f32 = 1e-5;

/// One solid or open surface, and what messages call it.
#[derive(Clone, Debug)]
pub(super) struct Solid {
    pub surface: Surface,
    pub label: String,
}

#[derive(Debug, Default)]
pub(super) struct Solids {
    pub solids: Vec<Solid>,
    pub notes: Vec<String>,
}

pub(super) fn solids(mesh: &RawMesh) -> Solids {
    let (points, remap) = mesh.welded();
    let mut found = Solids::default();
    let (mut rest, mut labels): (Vec<[u32; 3]>, Vec<String>) = Default::default();
    for (number, group) in mesh.groups.iter().enumerate() {
        let triangles: Vec<[u32; 3]> =
            group.triangles.iter().map(|t| t.map(|index| remap[index as usize])).filter(has_corners).collect();
        let label = match (mesh.groups.len(), group.name.is_empty()) {
            (1, true) => "the mesh".to_owned(),
            (_, true) => format!("group {number}"),
            (_, false) => format!("group {number} ('{}')", group.name),
        };
        if is_closed(&triangles) {
            found.add_closed(&points, triangles, &label);
        } else if mesh.groups.len() > 1 && covers_hull(&points, &triangles) {
            found.solids.push(Solid { surface: Surface::new(&points, &triangles), label });
        } else {
            rest.extend(triangles);
            labels.push(label);
        }
    }
    if !rest.is_empty() {
        let label = if let [label] = &labels[..] { label } else { "the surface of the open groups" };
        found.add_rest(&points, rest, label);
    }
    found
}

fn has_corners([a, b, c]: &[u32; 3]) -> bool {
    a != b && b != c && c != a
}

fn covers_hull(points: &[Vec3], triangles: &[[u32; 3]]) -> bool {
    let surface = Surface::new(points, triangles);
    Polyhedron::hull(&surface.cloud()).is_some_and(|hull| is_convex(&hull, &surface))
}

impl Solids {
    /// The components of a closed surface; those that are inside out and inside another are its cavities.
    fn add_closed(&mut self, points: &[Vec3], triangles: Vec<[u32; 3]>, label: &str) {
        let mut split = components(points.len(), &triangles);
        if split.len() > MAX_COMPONENTS {
            split = vec![triangles];
        }
        let mut surfaces: Vec<Surface> = split.iter().map(|piece| Surface::new(points, piece)).collect();
        let volumes: Vec<f64> = surfaces.iter().map(Surface::volume).collect();
        let bounds: Vec<_> = surfaces.iter().map(Surface::bounds).collect();
        let within = |inner: usize, outer: usize| {
            bounds[outer].0.cmplt(bounds[inner].0).all() && bounds[inner].1.cmplt(bounds[outer].1).all()
        };
        for (i, surface) in surfaces.iter_mut().enumerate() {
            if volumes[i] < 0.0 {
                if (0..volumes.len()).any(|j| volumes[j] > 0.0 && within(i, j)) {
                    self.notes.push(format!("{label} has a closed cavity; it is filled"));
                    continue;
                }
                surface.flip();
            }
            self.solids.push(Solid { surface: std::mem::take(surface), label: label.to_owned() });
        }
    }

    /// Triangles of groups that are not closed by themselves.
    fn add_rest(&mut self, points: &[Vec3], triangles: Vec<[u32; 3]>, label: &str) {
        if is_closed(&triangles) {
            return self.add_closed(points, triangles, label);
        }
        let (points, triangles) = welded_nearby(points, &triangles);
        let (mut closed, mut open, mut flat) = (Vec::new(), Vec::new(), Vec::new());
        let split = components(points.len(), &triangles);
        let many = split.len() > MAX_COMPONENTS;
        for piece in split {
            if is_closed(&piece) {
                closed.extend(piece);
            } else if !many && Polyhedron::hull(&Surface::new(&points, &piece).cloud()).is_some() {
                open.push(piece);
            } else {
                flat.push(piece);
            }
        }
        let alone = closed.is_empty() && open.is_empty() && self.solids.is_empty();
        if !closed.is_empty() {
            self.add_closed(&points, closed, label);
        }
        let mut push = |piece: &[[u32; 3]]| {
            self.solids.push(Solid { surface: Surface::new(&points, piece), label: label.to_owned() });
        };
        open.iter().for_each(|piece| push(piece));
        if alone || many {
            // Sides that do not share their corners: together they may enclose something.
            let together: Vec<[u32; 3]> = flat.into_iter().flatten().collect();
            if !together.is_empty() {
                push(&together);
            }
        } else {
            flat.iter().for_each(|piece| push(piece));
        }
    }
}

/// The triangles over points of which those that nearly coincide are one.
fn welded_nearby(points: &[Vec3], triangles: &[[u32; 3]]) -> (Vec<Vec3>, Vec<[u32; 3]>) {
    let used = triangles.iter().flatten().map(|&index| points[index as usize]);
    let (low, high) = used.fold((Vec3::INFINITY, Vec3::NEG_INFINITY), |(low, high), p| (low.min(p), high.max(p)));
    let tolerance = WELD * low.distance(high);
    if tolerance <= 0.0 {
        return (points.to_vec(), triangles.to_vec());
    }
    let cell = |point: Vec3| ((point - low) / (4.0 * tolerance)).to_array().map(|value| value.floor() as i64);
    let mut cells: HashMap<[i64; 3], Vec<u32>> = HashMap::new();
    let mut kept: Vec<Vec3> = Vec::new();
    let mut number: HashMap<u32, u32> = HashMap::new();
    let mut find = |index: u32| {
        *number.entry(index).or_insert_with(|| {
            let point = points[index as usize];
            let [x, y, z] = cell(point);
            let around =
                (-1..=1).flat_map(|i| (-1..=1).flat_map(move |j| (-1..=1).map(move |k| [x + i, y + j, z + k])));
            let known = around
                .filter_map(|key| cells.get(&key))
                .flatten()
                .find(|&&other| kept[other as usize].distance(point) <= tolerance);
            if let Some(&known) = known {
                return known;
            }
            kept.push(point);
            let new = kept.len() as u32 - 1;
            cells.entry([x, y, z]).or_default().push(new);
            new
        })
    };
    let triangles = triangles.iter().map(|t| t.map(&mut find)).filter(has_corners).collect();
    (kept, triangles)
}
