//! Solids cut by planes. In: a closed surface and planes. Out: pieces with their exact volumes and the points that span
//! their hulls.
//!
//! A cut's cap is a fan of signed triangles over the edges that lie in the plane: overlapping parts cancel in every
//! integral, so no outline is traced, and holes and several outlines in one plane need no special case. The fans serve
//! for volumes only. The hull of a piece is spanned by its share of the real surface, and by the corners where three
//! cuts meet inside the solid.

use super::surface::Surface;
use crate::objects::geometry::{Plane, Polyhedron};
use glam::{DMat3, DVec3, Vec3};

type Triangle = [DVec3; 3];

/// A solid that is cut, with the distance below which a point lies in a plane.
pub(super) struct Solid<'a> {
    pub surface: &'a Surface,
    pub volume: f64,
    pub epsilon: f64,
}

/// The part of a solid that lies below some planes.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    /// The solid's own surface, clipped.
    pub real: Vec<Triangle>,
    caps: Vec<Triangle>,
    /// The cuts; the piece lies below each.
    pub planes: Vec<Plane>,
    /// Where three cuts meet inside the solid.
    corners: Vec<DVec3>,
    pub volume: f64,
    pub hull_volume: f64,
}

impl<'a> Solid<'a> {
    /// `surface` must be closed.
    pub fn new(surface: &'a Surface) -> Self {
        // Positions come in 32 bits: points of one face differ by 1e-7 of the size.
        Self { surface, volume: surface.volume(), epsilon: 2e-6 * surface.diagonal() }
    }

    pub fn whole(&self) -> Piece {
        let real = self.surface.triangles.iter().map(|&triangle| self.surface.corners(triangle)).collect();
        self.measured(Piece {
            real,
            caps: Vec::new(),
            planes: Vec::new(),
            corners: Vec::new(),
            volume: 0.0,
            hull_volume: 0.0,
        })
    }

    /// The pieces below and above `plane`; `None` for a side that has no volume.
    pub fn split(&self, piece: &Piece, plane: Plane) -> [Option<Piece>; 2] {
        let flipped = Plane { normal: -plane.normal, offset: -plane.offset };
        [plane, flipped].map(|plane| {
            let side = self.below(piece, plane);
            (side.volume > 1e-5 * self.volume && side.hull_volume > 0.0).then_some(side)
        })
    }

    fn below(&self, piece: &Piece, plane: Plane) -> Piece {
        let mut edges = Vec::new();
        let mut clip_all = |triangles: &[Triangle]| {
            let mut kept = Vec::with_capacity(triangles.len());
            triangles.iter().for_each(|triangle| clip(triangle, plane, self.epsilon, &mut kept, &mut edges));
            kept
        };
        let (real, mut caps) = (clip_all(&piece.real), clip_all(&piece.caps));
        if let Some(&(origin, _)) = edges.first() {
            caps.extend(
                edges.iter().filter(|(from, to)| *from != origin && *to != origin).map(|&(a, b)| [origin, b, a]),
            );
        }
        let lies_below = |point: DVec3, plane: &Plane| plane.normal.dot(point) - plane.offset <= self.epsilon;
        let mut corners: Vec<DVec3> = piece.corners.iter().copied().filter(|&c| lies_below(c, &plane)).collect();
        for (i, first) in piece.planes.iter().enumerate() {
            for second in &piece.planes[i + 1..] {
                let Some(corner) = meeting_point(&plane, first, second) else { continue };
                if piece.planes.iter().all(|plane| lies_below(corner, plane)) && self.contains(corner) {
                    corners.push(corner);
                }
            }
        }
        let mut planes = piece.planes.clone();
        planes.push(plane);
        self.measured(Piece { real, caps, planes, corners, volume: 0.0, hull_volume: 0.0 })
    }

    fn measured(&self, mut piece: Piece) -> Piece {
        let reference = piece.real.first().map_or(DVec3::ZERO, |triangle| triangle[0]);
        let six = |triangle: &Triangle| {
            let [a, b, c] = triangle.map(|corner| corner - reference);
            a.dot(b.cross(c))
        };
        piece.volume = piece.real.iter().chain(&piece.caps).map(six).sum::<f64>() / 6.0;
        piece.hull_volume = hull_volume(&piece.cloud());
        piece
    }

    /// Whether the surface winds around `point`, by the solid angles of its triangles (van Oosterom and Strackee, 1983).
    /// A point on the surface is not inside: there the angle of the face that holds it is a half turn of either sign.
    fn contains(&self, point: DVec3) -> bool {
        let mut sum = 0.0;
        for &triangle in &self.surface.triangles {
            let [a, b, c] = self.surface.corners(triangle).map(|corner| corner - point);
            if self.is_origin_on(a, b, c) {
                return false;
            }
            let (x, y, z) = (a.length(), b.length(), c.length());
            let below = x * y * z + a.dot(b) * z + b.dot(c) * x + c.dot(a) * y;
            sum += 2.0 * a.dot(b.cross(c)).atan2(below);
        }
        sum > std::f64::consts::TAU
    }

    /// Whether the origin lies on a triangle.
    fn is_origin_on(&self, a: DVec3, b: DVec3, c: DVec3) -> bool {
        let margin = 16.0 * self.epsilon;
        let normal = (b - a).cross(c - a).normalize_or_zero();
        let beside = |from: DVec3, to: DVec3| normal.cross(to - from).normalize_or_zero().dot(-from) < -margin;
        normal.dot(a).abs() <= margin && !beside(a, b) && !beside(b, c) && !beside(c, a)
    }
}

impl Piece {
    /// Points whose hull is the piece's hull.
    pub fn cloud(&self) -> Vec<Vec3> {
        let mut cloud: Vec<Vec3> =
            self.real.iter().flatten().chain(&self.corners).map(|point| point.as_vec3() + Vec3::ZERO).collect();
        cloud.sort_unstable_by_key(|point| point.to_array().map(|value| value.to_bits()));
        cloud.dedup();
        cloud
    }

    /// Volume that the hull adds.
    pub fn excess(&self) -> f64 {
        (self.hull_volume - self.volume).max(0.0)
    }

    /// The clipped part of the real surface, for the test of convexity; it is not welded.
    pub fn surface(&self) -> Surface {
        let points = self.real.iter().flatten().copied().collect();
        let triangles = (0..self.real.len() as u32).map(|i| [3 * i, 3 * i + 1, 3 * i + 2]).collect();
        Surface { points, triangles, closed: false }
    }
}

/// Volume of the convex hull; 0 where the points are flat.
pub(super) fn hull_volume(cloud: &[Vec3]) -> f64 {
    Polyhedron::hull(cloud).map_or(0.0, |hull| hull.volume())
}

/// Appends what of `triangle` lies below `plane` to `kept`, and its directed edges in the plane to `edges`.
fn clip(triangle: &Triangle, plane: Plane, epsilon: f64, kept: &mut Vec<Triangle>, edges: &mut Vec<(DVec3, DVec3)>) {
    let heights = triangle.map(|corner| {
        let height = plane.normal.dot(corner) - plane.offset;
        if height.abs() <= epsilon { 0.0 } else { height }
    });
    if heights.iter().all(|&height| height > 0.0) {
        return;
    }
    if heights.iter().all(|&height| height < 0.0) {
        kept.push(*triangle);
        return;
    }
    if heights == [0.0; 3] {
        // A face in the plane belongs to the solid below it.
        let [a, b, c] = *triangle;
        if (b - a).cross(c - a).dot(plane.normal) > 0.0 {
            kept.push(*triangle);
            edges.extend([(a, b), (b, c), (c, a)]);
        }
        return;
    }
    let (mut polygon, mut count) = ([(DVec3::ZERO, 0.0); 4], 0);
    for i in 0..3 {
        let (from, to) = ((triangle[i], heights[i]), (triangle[(i + 1) % 3], heights[(i + 1) % 3]));
        if from.1 <= 0.0 {
            polygon[count] = from;
            count += 1;
        }
        if from.1 * to.1 < 0.0 {
            // Always from below, so that both triangles of an edge get the same point.
            let (low, high) = if from.1 < 0.0 { (from, to) } else { (to, from) };
            polygon[count] = (low.0 + (high.0 - low.0) * (low.1 / (low.1 - high.1)), 0.0);
            count += 1;
        }
    }
    if count < 3 {
        return;
    }
    let polygon = &polygon[..count];
    (1..count - 1).for_each(|i| kept.push([polygon[0].0, polygon[i].0, polygon[i + 1].0]));
    for (i, from) in polygon.iter().enumerate() {
        let to = &polygon[(i + 1) % count];
        if from.1 == 0.0 && to.1 == 0.0 {
            edges.push((from.0, to.0));
        }
    }
}

fn meeting_point(a: &Plane, b: &Plane, c: &Plane) -> Option<DVec3> {
    let rows = DMat3::from_cols(a.normal, b.normal, c.normal).transpose();
    (rows.determinant().abs() > 1e-6).then(|| rows.inverse() * DVec3::new(a.offset, b.offset, c.offset))
}

#[cfg(test)]
mod tests {
    use super::*;
    use glam::DQuat;

    /// A square tube: 6 x 6 cm outside, 4 x 4 cm inside, 5 cm high.
    pub fn square_tube() -> Surface {
        let ring = |half: f64| [(-half, -half), (half, -half), (half, half), (-half, half)];
        let mut points = Vec::new();
        for z in [0.0, 0.05] {
            points.extend(ring(0.03).iter().chain(&ring(0.02)).map(|&(x, y)| DVec3::new(x, y, z)));
        }
        let mut triangles: Vec<[u32; 3]> = Vec::new();
        for i in 0..4_u32 {
            let j = (i + 1) % 4;
            let mut quad = |[a, b, c, d]: [u32; 4]| triangles.extend([[a, b, c], [a, c, d]]);
            quad([i, j, j + 8, i + 8]); // outer wall
            quad([i + 4, i + 12, j + 12, j + 4]); // inner wall
            quad([i, i + 4, j + 4, j]); // lower rim
            quad([i + 8, j + 8, j + 12, i + 12]); // upper rim
        }
        let closed = super::super::surface::is_closed(&triangles);
        Surface { points, triangles, closed }
    }

    #[test]
    fn cuts_keep_the_volume_and_know_hollows() {
        let tube = square_tube();
        assert!(tube.closed);
        // (36 - 16) * 5 = 100 cm^3; the hull has 180.
        let solid = Solid::new(&tube);
        assert!((solid.volume - 100e-6).abs() < 1e-12);
        let whole = solid.whole();
        assert!((whole.excess() - 80e-6).abs() < 1e-11);
        // Along x = 0.5 cm and z = 2 cm: four pieces. Lower right: 2 * (2.5 * 6 - 1.5 * 4) = 18 cm^3 by hand.
        let cut = |normal, offset| Plane { normal, offset };
        let [Some(left), Some(right)] = solid.split(&whole, cut(DVec3::X, 0.005)) else { panic!("two halves") };
        assert!((left.volume + right.volume - 100e-6).abs() < 1e-12);
        let [Some(low), Some(high)] = solid.split(&right, cut(DVec3::Z, 0.02)) else { panic!("two quarters") };
        assert!((low.volume - 18e-6).abs() < 1e-12, "{}", low.volume);
        assert!((high.volume - 27e-6).abs() < 1e-12, "{}", high.volume);
        // The hulls: 2.5 x 6 x 2 cm and 2.5 x 6 x 3 cm.
        assert!((low.hull_volume - 30e-6).abs() < 1e-11 && (high.hull_volume - 45e-6).abs() < 1e-11);
        // Faces in the plane: along the inner wall, the wall is whole on one side.
        let [Some(rest), Some(wall)] = solid.split(&whole, cut(DVec3::X, 0.02)) else { panic!("wall and rest") };
        assert!((wall.volume - 30e-6).abs() < 1e-12 && (rest.volume - 70e-6).abs() < 1e-12);
        assert!(wall.excess() < 1e-11);
    }

    #[test]
    fn three_cuts_inside_a_block_make_a_corner() {
        let block = Polyhedron::from_box(DVec3::splat(0.05), DVec3::ZERO, DQuat::IDENTITY);
        let triangles = block.triangles.iter().map(|t| t.map(|index| index as u32)).collect();
        let surface = Surface { points: block.points, triangles, closed: true };
        let solid = Solid::new(&surface);
        let mut piece = solid.whole();
        for axis in [DVec3::X, DVec3::Y, DVec3::Z] {
            let [Some(below), Some(above)] = solid.split(&piece, Plane { normal: axis, offset: 0.02 }) else {
                panic!("two sides")
            };
            assert!(below.excess() < 1e-9 && above.excess() < 1e-9, "{} {}", below.excess(), above.excess());
            piece = below;
        }
        // (5 + 2)^3 cm^3, one corner of which lies inside the block.
        assert!((piece.volume - 343e-6).abs() < 1e-11);
        assert!((piece.hull_volume - 343e-6).abs() < 1e-9);
    }
}
