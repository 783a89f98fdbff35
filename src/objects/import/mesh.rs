//! Triangles as files give them: groups over shared points. In: a reader's output. Out: welded topology for the
//! decomposition and a drawable surface with normals.

use super::texture::Texture;
use crate::contract::MeshData;
use crate::contract::srgb::byte_of;
use crate::objects::geometry::Polyhedron;
use glam::{Vec2, Vec3};
use std::collections::HashMap;
use std::sync::Arc;

/// Triangles that meet below this angle share a normal (cosine of 40 degrees).
const CREASE_COSINE: f32 = 0.766;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct RawMesh {
    pub positions: Vec<Vec3>,
    /// The file's own pieces (`o`, `g`, glTF primitives), in its order.
    pub groups: Vec<RawGroup>,
    /// sRGB of the material that covers most.
    pub color: Option<[u8; 3]>,
    /// Of every point, linear light; empty where the file gives none.
    pub vertex_colors: Vec<Vec3>,
    pub materials: Vec<MeshMaterial>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct RawGroup {
    pub name: String,
    pub triangles: Vec<[u32; 3]>,
    /// Texture coordinates of every triangle's corners, v downwards, NaN where a corner has none. Empty where no face has any.
    pub uvs: Vec<[Vec2; 3]>,
    /// Numbers among the mesh's materials, one a triangle. Empty where no face has any.
    pub material_of: Vec<Option<u16>>,
}

/// How a file says that triangles look.
#[derive(Clone, Debug, PartialEq)]
pub struct MeshMaterial {
    /// Linear light, times the texture.
    pub color: Vec3,
    pub texture: Option<Arc<Texture>>,
}

/// A triangle with an area, as it is drawn.
#[derive(Clone, Debug)]
pub struct Facet {
    /// Where it is in [`RawMesh::groups`].
    pub group: usize,
    pub triangle: usize,
    pub positions: [Vec3; 3],
    pub normals: [Vec3; 3],
}

impl RawMesh {
    pub fn of_polyhedron(solid: &Polyhedron) -> Self {
        let triangles = solid.triangles.iter().map(|triangle| triangle.map(|index| index as u32)).collect();
        Self {
            positions: solid.points.iter().map(|point| point.as_vec3()).collect(),
            groups: vec![RawGroup { triangles, ..RawGroup::default() }],
            ..Self::default()
        }
    }

    pub fn triangle_count(&self) -> usize {
        self.groups.iter().map(|group| group.triangles.len()).sum()
    }

    /// Area of all triangles.
    pub fn area(&self) -> f64 {
        let twice = |triangle: &[u32; 3]| {
            let [a, b, c] = triangle.map(|index| self.positions[index as usize]);
            f64::from((b - a).cross(c - a).length())
        };
        self.groups.iter().flat_map(|group| &group.triangles).map(twice).sum::<f64>() / 2.0
    }

    pub fn mapped(&self, map: impl Fn(Vec3) -> Vec3) -> Self {
        Self { positions: self.positions.iter().map(|&point| map(point)).collect(), ..self.clone() }
    }

    /// Turns the triangles inside out (after a mirroring).
    pub fn flipped(mut self) -> Self {
        for group in &mut self.groups {
            group.triangles.iter_mut().for_each(|triangle| triangle.swap(1, 2));
            group.uvs.iter_mut().for_each(|corners| corners.swap(1, 2));
        }
        self
    }

    /// The mean of the points' colours, sRGB.
    pub fn mean_vertex_color(&self) -> Option<[u8; 3]> {
        let sum: Vec3 = self.vertex_colors.iter().sum();
        let mean = sum / self.vertex_colors.len() as f32;
        (!self.vertex_colors.is_empty()).then(|| mean.to_array().map(byte_of))
    }

    /// Points that some triangle uses.
    pub fn used_points(&self) -> Vec<Vec3> {
        let mut used = vec![false; self.positions.len()];
        let indices = self.groups.iter().flat_map(|group| group.triangles.iter().flatten());
        indices.for_each(|&index| used[index as usize] = true);
        self.positions.iter().zip(used).filter_map(|(point, used)| used.then_some(*point)).collect()
    }

    /// Distinct points, and for each of `positions` its number among them.
    pub fn welded(&self) -> (Vec<Vec3>, Vec<u32>) {
        let mut number = HashMap::with_capacity(self.positions.len());
        let mut points = Vec::new();
        let remap = self
            .positions
            .iter()
            .map(|&point| {
                // Adding zero makes -0 and 0 one value.
                *number.entry((point + Vec3::ZERO).to_array().map(f32::to_bits)).or_insert_with(|| {
                    points.push(point);
                    points.len() as u32 - 1
                })
            })
            .collect();
        (points, remap)
    }

    /// The surface with normals: smooth across gentle edges, sharp across steep ones.
    pub fn surface(&self) -> MeshData {
        let mut mesh = MeshData::default();
        let mut number: HashMap<(u32, [u32; 3]), u32> = HashMap::new();
        self.each_facet(|corners, facet| {
            for (i, corner) in corners.into_iter().enumerate() {
                let (position, normal) = (facet.positions[i], facet.normals[i]);
                let index = *number.entry((corner, normal.to_array().map(f32::to_bits))).or_insert_with(|| {
                    mesh.positions.push(position);
                    mesh.normals.push(normal);
                    mesh.positions.len() as u32 - 1
                });
                mesh.indices.push(index);
            }
        });
        mesh
    }

    /// The triangles of [`Self::surface`], each by itself.
    pub fn facets(&self) -> Vec<Facet> {
        let mut facets = Vec::with_capacity(self.triangle_count());
        self.each_facet(|_, facet| facets.push(facet));
        facets
    }

    /// Calls `each` with every triangle that has three distinct points, and with their numbers among the welded ones.
    fn each_facet(&self, mut each: impl FnMut([u32; 3], Facet)) {
        let (points, remap) = self.welded();
        let numbered = self.groups.iter().enumerate().flat_map(|(group, found)| {
            found.triangles.iter().enumerate().map(move |(number, triangle)| (group, number, triangle))
        });
        let (places, triangles): (Vec<(usize, usize)>, Vec<[u32; 3]>) = numbered
            .map(|(group, number, triangle)| ((group, number), triangle.map(|index| remap[index as usize])))
            .filter(|(_, [a, b, c])| a != b && b != c && c != a)
            .unzip();
        // Twice the area times the unit normal, so that large triangles weigh more.
        let scaled: Vec<Vec3> = triangles
            .iter()
            .map(|triangle| {
                let [a, b, c] = triangle.map(|index| points[index as usize]);
                (b - a).cross(c - a)
            })
            .collect();
        let around = triangles_around(points.len(), &triangles);
        for (((group, number), corners), own) in places.into_iter().zip(&triangles).zip(&scaled) {
            let flat = own.normalize_or(Vec3::Z);
            let normal = |corner: u32| {
                let near = around.of(corner).iter().map(|&t| scaled[t as usize]);
                let sum: Vec3 = near.filter(|normal| normal.normalize_or_zero().dot(flat) >= CREASE_COSINE).sum();
                sum.normalize_or(flat)
            };
            let positions = corners.map(|corner| points[corner as usize]);
            each(*corners, Facet { group, triangle: number, positions, normals: corners.map(normal) });
        }
    }
}

/// For every point the triangles that use it, in their order.
struct Around {
    start: Vec<u32>,
    triangles: Vec<u32>,
}

impl Around {
    fn of(&self, point: u32) -> &[u32] {
        &self.triangles[self.start[point as usize] as usize..self.start[point as usize + 1] as usize]
    }
}

fn triangles_around(points: usize, triangles: &[[u32; 3]]) -> Around {
    let mut start = vec![0_u32; points + 1];
    triangles.iter().flatten().for_each(|&point| start[point as usize + 1] += 1);
    (0..points).for_each(|point| start[point + 1] += start[point]);
    let mut next = start.clone();
    let mut list = vec![0_u32; triangles.len() * 3];
    for (i, triangle) in triangles.iter().enumerate() {
        for &point in triangle {
            list[next[point as usize] as usize] = i as u32;
            next[point as usize] += 1;
        }
    }
    Around { start, triangles: list }
}

#[cfg(test)]
mod tests {
    use super::*;
    use glam::{DQuat, DVec3};

    #[test]
    fn a_box_keeps_sharp_edges_and_a_ball_is_smooth() {
        let cube = Polyhedron::from_box(DVec3::splat(0.03), DVec3::ZERO, DQuat::IDENTITY);
        let surface = RawMesh::of_polyhedron(&cube).surface();
        assert_eq!((surface.positions.len(), surface.indices.len()), (24, 36));
        for (position, normal) in surface.positions.iter().zip(&surface.normals) {
            assert!((position.dot(*normal) - 0.03).abs() < 1e-6);
        }
        let cloud: Vec<Vec3> =
            crate::objects::geometry::fibonacci_directions(400).map(|d| (d * 0.03).as_vec3()).collect();
        let ball = RawMesh::of_polyhedron(&Polyhedron::hull(&cloud).expect("solid")).surface();
        assert_eq!(ball.positions.len(), 400);
        assert!(ball.positions.iter().zip(&ball.normals).all(|(p, n)| p.normalize().dot(*n) > 0.98));
    }
}
