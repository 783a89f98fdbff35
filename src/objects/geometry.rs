//! Convex polyhedra in double precision: hulls, planes, volumes, widths. In: points or boxes. Out: what the mass
//! properties, the grasp analysis and the importers compute with.

use super::model::ConvexPart;
use crate::contract::MeshData;
use bevy_rapier3d::parry::transformation::try_convex_hull;
use glam::{DQuat, DVec3, Vec3};

/// Points in space: dots against more directions than this buy nothing for a graspable object.
const SUPPORT_DIRECTIONS: usize = 1024;
/// Larger point clouds are reduced to their extreme points before the hull is built.
const LARGEST_CLOUD: usize = 8192;

/// A closed convex polyhedron.
#[derive(Clone, Debug)]
pub struct Polyhedron {
    pub points: Vec<DVec3>,
    /// Counter-clockwise seen from outside.
    pub triangles: Vec<[usize; 3]>,
    /// Outward unit normals and offsets: the inside is `normal . x <= offset`. Coplanar triangles share one plane.
    pub planes: Vec<Plane>,
}

#[derive(Clone, Copy, Debug)]
pub struct Plane {
    pub normal: DVec3,
    pub offset: f64,
}

/// Corner `i` of a box has the sign of bit k of `i` along axis k.
pub const BOX_TRIANGLES: [[usize; 3]; 12] = [
    [0, 4, 6],
    [0, 6, 2],
    [1, 3, 7],
    [1, 7, 5],
    [0, 1, 5],
    [0, 5, 4],
    [2, 6, 7],
    [2, 7, 3],
    [0, 2, 3],
    [0, 3, 1],
    [4, 5, 7],
    [4, 7, 6],
];

/// The corners of a box centred at the origin, in the order of [`BOX_TRIANGLES`].
pub fn box_corners(half_extents: DVec3) -> [DVec3; 8] {
    std::array::from_fn(|i| {
        let sign = |bit: usize| if i & bit == 0 { -1.0 } else { 1.0 };
        half_extents * DVec3::new(sign(1), sign(2), sign(4))
    })
}

impl Polyhedron {
    pub fn from_box(half_extents: DVec3, center: DVec3, rotation: DQuat) -> Self {
        let points: Vec<DVec3> = box_corners(half_extents).iter().map(|&corner| center + rotation * corner).collect();
        let planes = [DVec3::X, DVec3::Y, DVec3::Z]
            .into_iter()
            .enumerate()
            .flat_map(|(axis, unit)| {
                let normal = rotation * unit;
                let (middle, half) = (normal.dot(center), half_extents[axis]);
                [Plane { normal, offset: middle + half }, Plane { normal: -normal, offset: half - middle }]
            })
            .collect();
        Self { points, triangles: BOX_TRIANGLES.to_vec(), planes }
    }

    /// The convex hull, or `None` where the points are flat, a line, a point or not finite.
    pub fn hull(points: &[Vec3]) -> Option<Self> {
        let points = extreme_points(points);
        if points.len() < 4 || !points.iter().all(|point| point.is_finite()) {
            return None;
        }
        let (points, triangles) = try_convex_hull(&points).ok()?;
        let points: Vec<DVec3> = points.iter().map(|point| point.as_dvec3()).collect();
        let mut triangles: Vec<[usize; 3]> = triangles.iter().map(|t| t.map(|index| index as usize)).collect();
        let center = points.iter().sum::<DVec3>() / points.len() as f64;
        let size = points.iter().map(|point| point.distance(center)).fold(0.0, f64::max);
        let volume = signed_volume(&points, &triangles, center);
        // A solid of size s whose volume is below 1e-6 s^3 is a sheet to the physics engine.
        if volume.abs() < 1e-6 * size.powi(3) {
            return None;
        }
        if volume < 0.0 {
            triangles.iter_mut().for_each(|triangle| triangle.swap(1, 2));
        }
        let planes = planes_of(&points, &triangles, center, size);
        (planes.len() >= 4).then_some(Self { points, triangles, planes })
    }

    pub fn of_part(part: &ConvexPart) -> Option<Self> {
        match part {
            ConvexPart::Box { half_extents, body_from_part } => {
                let solid = half_extents.min_element() > 0.0 && half_extents.is_finite() && body_from_part.is_finite();
                let rotation = body_from_part.rotation.as_dquat().normalize();
                solid.then(|| Self::from_box(half_extents.as_dvec3(), body_from_part.translation.as_dvec3(), rotation))
            }
            ConvexPart::Hull { points } => Self::hull(points),
        }
    }

    pub fn volume(&self) -> f64 {
        signed_volume(&self.points, &self.triangles, self.points[0])
    }

    pub fn bounds(&self) -> (DVec3, DVec3) {
        bounds(&self.points)
    }

    /// How deep `point` lies under the surface; negative outside.
    pub fn depth(&self, point: DVec3) -> f64 {
        self.planes.iter().map(|plane| plane.offset - plane.normal.dot(point)).fold(f64::INFINITY, f64::min)
    }

    /// The stretch of the vertical line through `(x, y)` that lies inside.
    pub fn column(&self, x: f64, y: f64) -> Option<(f64, f64)> {
        let (mut low, mut high) = (f64::NEG_INFINITY, f64::INFINITY);
        for Plane { normal, offset } in &self.planes {
            let rest = offset - normal.x * x - normal.y * y;
            if normal.z.abs() < 1e-12 {
                if rest < 0.0 {
                    return None;
                }
            } else if normal.z > 0.0 {
                high = high.min(rest / normal.z);
            } else {
                low = low.max(rest / normal.z);
            }
        }
        (low < high).then_some((low, high))
    }

    pub fn rotated(&self, rotation: DQuat) -> Self {
        Self {
            points: self.points.iter().map(|&point| rotation * point).collect(),
            triangles: self.triangles.clone(),
            planes: self.planes.iter().map(|p| Plane { normal: rotation * p.normal, offset: p.offset }).collect(),
        }
    }

    /// Every edge once, as a pair of point indices, in the order of the triangles.
    pub fn edges(&self) -> Vec<(usize, usize)> {
        let mut edges = Vec::with_capacity(self.triangles.len() * 3 / 2);
        for &[a, b, c] in &self.triangles {
            edges.extend([(a, b), (b, c), (c, a)].into_iter().filter(|(from, to)| from < to));
        }
        edges
    }

    /// The smallest distance between two parallel planes that enclose the solid (its width): attained with a face on
    /// one of them or an edge on each (Houle and Toussaint, 1988).
    pub fn min_width(&self) -> f64 {
        let width_along = |normal: DVec3| {
            let (low, high) = self
                .points
                .iter()
                .map(|point| point.dot(normal))
                .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), d| (low.min(d), high.max(d)));
            high - low
        };
        let mut width = self.planes.iter().map(|plane| width_along(plane.normal)).fold(f64::INFINITY, f64::min);
        let directions: Vec<DVec3> =
            self.edges().iter().map(|&(a, b)| (self.points[b] - self.points[a]).normalize_or_zero()).collect();
        for (i, first) in directions.iter().enumerate() {
            for second in &directions[i + 1..] {
                let normal = first.cross(*second);
                let length = normal.length();
                if length > 1e-4 {
                    width = width.min(width_along(normal / length));
                }
            }
        }
        width
    }

    /// Its surface as drawable triangles with flat normals.
    pub fn mesh(&self) -> MeshData {
        let mut mesh = MeshData::default();
        for &[a, b, c] in &self.triangles {
            let corners = [self.points[a], self.points[b], self.points[c]];
            let normal = (corners[1] - corners[0]).cross(corners[2] - corners[0]).normalize_or_zero().as_vec3();
            for corner in corners {
                mesh.indices.push(mesh.positions.len() as u32);
                mesh.positions.push(corner.as_vec3());
                mesh.normals.push(normal);
            }
        }
        mesh
    }

    /// Half extents, centre and rotation where the solid is a rectangular prism to within `tolerance` (relative to
    /// its size), so that a file's eight corners become a box again.
    pub fn as_box(&self, tolerance: f64) -> Option<(DVec3, DVec3, DQuat)> {
        if self.points.len() != 8 || self.planes.len() != 6 {
            return None;
        }
        let origin = self.points[0];
        let size = self.points.iter().map(|point| point.distance(origin)).fold(0.0, f64::max);
        // The three edges at a corner: of all triples of differences, the one that spans the other corners.
        let mut spokes: Vec<DVec3> = self.points[1..].iter().map(|&point| point - origin).collect();
        spokes.sort_by(|a, b| a.length_squared().total_cmp(&b.length_squared()));
        let (x, rest) = spokes.split_first()?;
        let y = rest.iter().find(|spoke| spoke.dot(*x).abs() <= tolerance * size * x.length())?;
        let z = rest.iter().find(|spoke| {
            spoke.dot(*x).abs() <= tolerance * size * x.length() && spoke.dot(*y).abs() <= tolerance * size * y.length()
        })?;
        let center = origin + (*x + *y + *z) * 0.5;
        let half = DVec3::new(x.length(), y.length(), z.length()) * 0.5;
        let x_axis = x.normalize();
        let y_axis = (*y - x_axis * y.dot(x_axis)).normalize();
        let rotation = DQuat::from_mat3(&glam::DMat3::from_cols(x_axis, y_axis, x_axis.cross(y_axis))).normalize();
        let fits = box_corners(half).iter().all(|&corner| {
            let corner = center + rotation * corner;
            self.points.iter().any(|point| point.distance(corner) <= tolerance * size)
        });
        fits.then_some((half, center, rotation))
    }
}

fn planes_of(points: &[DVec3], triangles: &[[usize; 3]], center: DVec3, size: f64) -> Vec<Plane> {
    let mut planes: Vec<Plane> = Vec::new();
    for &[a, b, c] in triangles {
        let cross = (points[b] - points[a]).cross(points[c] - points[a]);
        // Slivers carry no direction worth having; their neighbours bound the solid.
        if cross.length() < 1e-7 * size * size {
            continue;
        }
        let normal = cross.normalize();
        // The farthest point, so that rounding never cuts a corner off.
        let offset = points.iter().map(|point| normal.dot(*point)).fold(f64::NEG_INFINITY, f64::max);
        let same = |plane: &Plane| plane.normal.dot(normal) > 1.0 - 1e-8 && (plane.offset - offset).abs() < 1e-5 * size;
        if !planes.iter().any(same) && offset > normal.dot(center) {
            planes.push(Plane { normal, offset });
        }
    }
    planes
}

pub fn bounds(points: &[DVec3]) -> (DVec3, DVec3) {
    points.iter().fold((DVec3::INFINITY, DVec3::NEG_INFINITY), |(low, high), &point| (low.min(point), high.max(point)))
}

/// Volume enclosed by triangles, positive when they are counter-clockwise from outside.
pub fn signed_volume(points: &[DVec3], triangles: &[[usize; 3]], reference: DVec3) -> f64 {
    triangles
        .iter()
        .map(|&[a, b, c]| (points[a] - reference).dot((points[b] - reference).cross(points[c] - reference)) / 6.0)
        .sum()
}

/// Evenly spread unit vectors (Fibonacci sphere).
pub fn fibonacci_directions(count: usize) -> impl Iterator<Item = DVec3> {
    let golden = std::f64::consts::PI * (3.0 - 5.0_f64.sqrt());
    (0..count).map(move |i| {
        let z = 1.0 - (2.0 * i as f64 + 1.0) / count as f64;
        let radius = (1.0 - z * z).sqrt();
        let (sin, cos) = (golden * i as f64).sin_cos();
        DVec3::new(radius * cos, radius * sin, z)
    })
}

/// The points that are farthest along `count` evenly spread directions and the six axes, in their old order.
pub fn support_points(points: &[Vec3], count: usize) -> Vec<Vec3> {
    let axes = [Vec3::X, Vec3::Y, Vec3::Z].into_iter().flat_map(|axis| [axis, -axis]);
    let mut chosen: Vec<usize> = axes
        .chain(fibonacci_directions(count).map(|direction| direction.as_vec3()))
        .filter_map(|direction| {
            (0..points.len()).max_by(|&a, &b| points[a].dot(direction).total_cmp(&points[b].dot(direction)))
        })
        .collect();
    chosen.sort_unstable();
    chosen.dedup();
    chosen.into_iter().map(|index| points[index]).collect()
}

/// The distinct points, reduced to the extreme ones where there are very many.
fn extreme_points(points: &[Vec3]) -> Vec<Vec3> {
    let reduced =
        if points.len() > LARGEST_CLOUD { support_points(points, SUPPORT_DIRECTIONS) } else { points.to_vec() };
    let mut seen = std::collections::HashSet::new();
    reduced.into_iter().filter(|point| seen.insert((*point + Vec3::ZERO).to_array().map(f32::to_bits))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tilted() -> DQuat {
        DQuat::from_euler(glam::EulerRot::XYZ, 0.4, -1.1, 2.0)
    }

    #[test]
    fn box_volume_planes_and_columns() {
        let solid = Polyhedron::from_box(DVec3::new(1.0, 2.0, 3.0), DVec3::new(5.0, 0.0, 0.0), DQuat::IDENTITY);
        assert!((solid.volume() - 48.0).abs() < 1e-9);
        assert_eq!(solid.column(5.5, -1.5), Some((-3.0, 3.0)));
        assert_eq!(solid.column(3.9, 0.0), None);
        assert!((solid.depth(DVec3::new(5.5, 0.0, 0.0)) - 0.5).abs() < 1e-12);
        assert!(solid.depth(DVec3::new(6.5, 0.0, 0.0)) < 0.0);
    }

    #[test]
    fn hull_of_a_tilted_box_is_that_box() {
        let half = DVec3::new(0.01, 0.025, 0.04);
        let solid = Polyhedron::from_box(half, DVec3::new(0.1, -0.2, 0.05), tilted());
        let mut cloud: Vec<Vec3> = solid.points.iter().map(|point| point.as_vec3()).collect();
        cloud.push(DVec3::new(0.1, -0.2, 0.05).as_vec3()); // an inner point, and a corner twice
        cloud.push(cloud[3]);
        let hull = Polyhedron::hull(&cloud).expect("solid");
        assert_eq!((hull.points.len(), hull.planes.len(), hull.triangles.len()), (8, 6, 12));
        assert!((hull.volume() / (8.0 * half.x * half.y * half.z) - 1.0).abs() < 1e-5);
        let (found, center, _) = hull.as_box(1e-4).expect("a box");
        let mut sorted = found.to_array();
        sorted.sort_by(f64::total_cmp);
        assert!(DVec3::from_array(sorted).distance(half) < 1e-6, "{sorted:?}");
        assert!(center.distance(DVec3::new(0.1, -0.2, 0.05)) < 1e-6);
    }

    #[test]
    fn a_sheared_box_is_no_box() {
        let corners = box_corners(DVec3::splat(0.05)).map(|c| (c + DVec3::X * c.z * 0.1).as_vec3());
        assert!(Polyhedron::hull(&corners).expect("solid").as_box(1e-3).is_none());
    }

    #[test]
    fn flat_or_broken_clouds_have_no_hull() {
        let square = [Vec3::ZERO, Vec3::X, Vec3::Y, Vec3::new(1.0, 1.0, 0.0), Vec3::new(0.5, 0.5, 0.0)];
        assert!(Polyhedron::hull(&square).is_none());
        assert!(Polyhedron::hull(&[Vec3::ZERO; 12]).is_none());
        assert!(Polyhedron::hull(&[Vec3::ZERO, Vec3::X, Vec3::Y, Vec3::NAN]).is_none());
    }

    #[test]
    fn widths_known_by_hand() {
        let cuboid = Polyhedron::from_box(DVec3::new(0.3, 0.1, 0.2), DVec3::ONE, tilted());
        assert!((cuboid.min_width() - 0.2).abs() < 1e-9);
        // Regular tetrahedron of edge sqrt(2): between opposite edges 1, between a face and a corner 2/sqrt(3).
        let corners = [Vec3::ZERO, Vec3::new(1.0, 1.0, 0.0), Vec3::new(1.0, 0.0, 1.0), Vec3::new(0.0, 1.0, 1.0)];
        let tetrahedron = Polyhedron::hull(&corners).expect("solid");
        assert!((tetrahedron.min_width() - 1.0).abs() < 1e-6);
        assert!((tetrahedron.volume() - 1.0 / 3.0).abs() < 1e-6);
    }

    #[test]
    fn a_large_cloud_is_reduced_but_keeps_its_volume() {
        let sphere: Vec<Vec3> = fibonacci_directions(50_000).map(|d| (d * 0.05).as_vec3()).collect();
        let hull = Polyhedron::hull(&sphere).expect("solid");
        assert!(hull.points.len() <= SUPPORT_DIRECTIONS + 6);
        let ball = 4.0 / 3.0 * std::f64::consts::PI * 0.05_f64.powi(3);
        assert!((hull.volume() / ball - 1.0).abs() < 0.02);
    }
}
