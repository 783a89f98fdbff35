//! Welded triangles and what their edges say. In: points and triangles. Out: closed or open, volume, components,
//! boundary loops, and closed surfaces out of cracked ones and of sheets.

use glam::{DVec3, Vec3};
use std::collections::HashMap;

/// Points with the triangles that use them; every point is used.
#[derive(Clone, Debug, Default)]
pub(super) struct Surface {
    pub points: Vec<DVec3>,
    pub triangles: Vec<[u32; 3]>,
    /// Every edge is used as often in one direction as in the other.
    pub closed: bool,
}

impl Surface {
    /// The surface of `triangles`, renumbered so that no point is left over.
    pub fn new(points: &[Vec3], triangles: &[[u32; 3]]) -> Self {
        let mut number = HashMap::new();
        let mut own = Vec::new();
        let triangles: Vec<[u32; 3]> = triangles
            .iter()
            .map(|triangle| {
                triangle.map(|index| {
                    *number.entry(index).or_insert_with(|| {
                        own.push(points[index as usize].as_dvec3());
                        own.len() as u32 - 1
                    })
                })
            })
            .collect();
        let closed = is_closed(&triangles);
        Self { points: own, triangles, closed }
    }

    pub fn cloud(&self) -> Vec<Vec3> {
        self.points.iter().map(|point| point.as_vec3()).collect()
    }

    pub fn corners(&self, triangle: [u32; 3]) -> [DVec3; 3] {
        triangle.map(|index| self.points[index as usize])
    }

    pub fn bounds(&self) -> (DVec3, DVec3) {
        crate::objects::geometry::bounds(&self.points)
    }

    pub fn diagonal(&self) -> f64 {
        let (low, high) = self.bounds();
        low.distance(high)
    }

    /// Enclosed volume by the divergence theorem; negative where the surface is inside out.
    pub fn volume(&self) -> f64 {
        let reference = self.points.first().copied().unwrap_or_default();
        let six = |t: &[u32; 3]| {
            let [a, b, c] = self.corners(*t).map(|corner| corner - reference);
            a.dot(b.cross(c))
        };
        self.triangles.iter().map(six).sum::<f64>() / 6.0
    }

    pub fn area(&self) -> f64 {
        let twice = |t: &[u32; 3]| {
            let [a, b, c] = self.corners(*t);
            (b - a).cross(c - a).length()
        };
        self.triangles.iter().map(twice).sum::<f64>() / 2.0
    }

    pub fn flip(&mut self) {
        self.triangles.iter_mut().for_each(|triangle| triangle.swap(1, 2));
    }

    /// Directed edges without a partner in the other direction, in the order of the triangles.
    fn open_edges(&self) -> Vec<(u32, u32)> {
        let balance = balance(&self.triangles);
        let directed = self.triangles.iter().flat_map(|&[a, b, c]| [(a, b), (b, c), (c, a)]);
        directed
            .filter(|&(from, to)| {
                let sum = balance.get(&(from.min(to), from.max(to))).copied().unwrap_or(0);
                if from < to { sum > 0 } else { sum < 0 }
            })
            .collect()
    }

    /// The boundary, one list of directed edges for each part that hangs together.
    pub fn boundary_loops(&self) -> Vec<Vec<(u32, u32)>> {
        let edges = self.open_edges();
        let mut sets = DisjointSets::new(self.points.len());
        edges.iter().for_each(|&(from, to)| sets.join(from, to));
        let mut number = HashMap::new();
        let mut loops: Vec<Vec<(u32, u32)>> = Vec::new();
        for (from, to) in edges {
            let next = loops.len();
            let index = *number.entry(sets.root(from)).or_insert(next);
            if index == next {
                loops.push(Vec::new());
            }
            loops[index].push((from, to));
        }
        loops
    }

    /// Twice the area that a boundary loop encloses, along its normal (the sum of cross products needs no order).
    pub fn twice_loop_area(&self, edges: &[(u32, u32)]) -> DVec3 {
        let origin = self.points[edges[0].0 as usize];
        let cross =
            |&(from, to): &(u32, u32)| (self.points[from as usize] - origin).cross(self.points[to as usize] - origin);
        edges.iter().map(cross).sum()
    }

    /// Closes every boundary loop with a fan. Right for cracks and pinholes, whose fans have next to no area.
    pub fn with_holes_closed(mut self) -> Self {
        for edges in self.boundary_loops() {
            let origin = edges[0].0;
            let fan = edges.iter().map(|&(from, to)| [origin, to, from]);
            self.triangles.extend(fan.filter(|[o, a, b]| o != a && o != b && a != b));
        }
        self.closed = is_closed(&self.triangles);
        self
    }

    /// Whether every edge is used at most once in each direction, as a sheet's are.
    pub fn is_orientable_manifold(&self) -> bool {
        let mut seen = std::collections::HashSet::with_capacity(self.triangles.len() * 3);
        self.triangles.iter().flat_map(|&[a, b, c]| [(a, b), (b, c), (c, a)]).all(|edge| seen.insert(edge))
    }

    /// A sheet as a closed wall: a copy `thickness` below it along the normals, joined along the boundary.
    pub fn thickened(&self, thickness: f64) -> Self {
        let mut normals: Vec<Vec<DVec3>> = vec![Vec::new(); self.points.len()];
        for &triangle in &self.triangles {
            let [a, b, c] = self.corners(triangle);
            let normal = (b - a).cross(c - a).normalize_or_zero();
            for index in triangle {
                let known = &mut normals[index as usize];
                // Coplanar neighbours count once: a corner's direction must not depend on how its faces are cut.
                if normal != DVec3::ZERO && !known.iter().any(|other| other.dot(normal) > 0.999) {
                    known.push(normal);
                }
            }
        }
        let count = self.points.len() as u32;
        let mut points = self.points.clone();
        for (point, normals) in self.points.iter().zip(&normals) {
            let mean = normals.iter().sum::<DVec3>().normalize_or_zero();
            // The wall keeps its thickness across gentle corners; at sharp ones the offset is limited.
            let cosine = normals.iter().map(|normal| normal.dot(mean)).fold(1.0, f64::min).max(0.5);
            points.push(*point - mean * (thickness / cosine));
        }
        let mut triangles = self.triangles.clone();
        triangles.extend(self.triangles.iter().map(|&[a, b, c]| [a + count, c + count, b + count]));
        for (from, to) in self.open_edges() {
            triangles.extend([[to, from, from + count], [to, from + count, to + count]]);
        }
        let closed = is_closed(&triangles);
        Self { points, triangles, closed }
    }
}

/// For every undirected edge, how often it is used upwards less how often downwards.
fn balance(triangles: &[[u32; 3]]) -> HashMap<(u32, u32), i32> {
    let mut edges = HashMap::with_capacity(triangles.len() * 2);
    for [a, b, c] in triangles {
        for (from, to) in [(a, b), (b, c), (c, a)] {
            *edges.entry((*from.min(to), *from.max(to))).or_insert(0) += if from < to { 1 } else { -1 };
        }
    }
    edges
}

/// Whether every edge is used as often in one direction as in the other, so that the surface encloses a volume.
pub(super) fn is_closed(triangles: &[[u32; 3]]) -> bool {
    !triangles.is_empty() && balance(triangles).values().all(|&balance| balance == 0)
}

/// Triangles that hang together through shared points, in the order of their first triangle.
pub(super) fn components(points: usize, triangles: &[[u32; 3]]) -> Vec<Vec<[u32; 3]>> {
    let mut sets = DisjointSets::new(points);
    for [a, b, c] in triangles {
        sets.join(*a, *b);
        sets.join(*b, *c);
    }
    let mut number = HashMap::new();
    let mut pieces: Vec<Vec<[u32; 3]>> = Vec::new();
    for triangle in triangles {
        let next = pieces.len();
        let piece = *number.entry(sets.root(triangle[0])).or_insert(next);
        if piece == next {
            pieces.push(Vec::new());
        }
        pieces[piece].push(*triangle);
    }
    pieces
}

/// Union-find with path halving; the smallest member is the root.
struct DisjointSets(Vec<u32>);

impl DisjointSets {
    fn new(count: usize) -> Self {
        Self((0..count as u32).collect())
    }

    fn root(&mut self, mut member: u32) -> u32 {
        while self.0[member as usize] != member {
            self.0[member as usize] = self.0[self.0[member as usize] as usize];
            member = self.0[member as usize];
        }
        member
    }

    fn join(&mut self, a: u32, b: u32) {
        let (a, b) = (self.root(a), self.root(b));
        self.0[a.max(b) as usize] = a.min(b);
    }
}
