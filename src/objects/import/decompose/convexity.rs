//! Whether a surface is convex. In: triangles and their hull. Out: yes or no, by three measures that each see another
//! kind of hollow: the depth under the hull, the distance to the hull along the outward normal, and the volume.

use super::surface::Surface;
use crate::objects::geometry::Polyhedron;

/// A surface that dips less than this share of the diagonal under its hull counts as convex.
const DEPTH_TOLERANCE: f64 = 0.01;
/// A point whose outward normal meets the hull only after this share of the diagonal looks into a hollow.
const SIGHT_TOLERANCE: f64 = 0.03;
/// Share of the area that may look into hollows: the wall of a 6 mm hole through a 10 cm plate is above it.
const HOLLOW_AREA: f64 = 0.003;
/// Share of the hull that a closed surface must fill.
const FILLED: f64 = 0.94;
/// Area of an open surface over that of its hull. A tall glass without lid leaves 8% open; two walls cover twice.
const COVERED: std::ops::RangeInclusive<f64> = 0.97..=1.25;
/// Triangles looked at; an even sample of the rest is enough.
const SAMPLE: usize = 20_000;

/// Whether `hull` may stand for the whole `surface`.
pub(super) fn is_convex(hull: &Polyhedron, surface: &Surface) -> bool {
    let (low, high) = hull.bounds();
    if surface.closed {
        return surface.volume().abs() >= FILLED * hull.volume() && hides_nothing(hull, surface, low.distance(high));
    }
    // The triangles of an open surface may face either way, so that only the hull's cover counts.
    let hull_area: f64 = hull
        .triangles
        .iter()
        .map(|&[a, b, c]| (hull.points[b] - hull.points[a]).cross(hull.points[c] - hull.points[a]).length() / 2.0)
        .sum();
    COVERED.contains(&(surface.area() / hull_area)) && lies_on(hull, surface, low.distance(high))
}

/// Whether the surface lies on `hull` and, facing outwards, looks into no hollow; `diagonal` sets the tolerances.
pub(super) fn hides_nothing(hull: &Polyhedron, surface: &Surface, diagonal: f64) -> bool {
    if !lies_on(hull, surface, diagonal) {
        return false;
    }
    let (mut area, mut hollow) = (0.0, 0.0);
    for triangle in sample(surface) {
        let [a, b, c] = surface.corners(*triangle);
        let cross = (b - a).cross(c - a);
        let (middle, normal) = ((a + b + c) / 3.0, cross.normalize_or_zero());
        let sight = hull
            .planes
            .iter()
            .filter(|plane| plane.normal.dot(normal) > 1e-9)
            .map(|plane| (plane.offset - plane.normal.dot(middle)) / plane.normal.dot(normal))
            .fold(f64::INFINITY, f64::min);
        area += cross.length();
        hollow += if sight > SIGHT_TOLERANCE * diagonal { cross.length() } else { 0.0 };
    }
    hollow <= HOLLOW_AREA * area
}

/// Whether every triangle's corners, its middle and the middles of its edges lie on the hull.
fn lies_on(hull: &Polyhedron, surface: &Surface, diagonal: f64) -> bool {
    sample(surface).all(|triangle| {
        let [a, b, c] = surface.corners(*triangle);
        let points = [a, (a + b) / 2.0, (b + c) / 2.0, (c + a) / 2.0, (a + b + c) / 3.0];
        points.into_iter().all(|point| hull.depth(point) <= DEPTH_TOLERANCE * diagonal)
    })
}

fn sample(surface: &Surface) -> impl Iterator<Item = &[u32; 3]> {
    surface.triangles.iter().step_by(surface.triangles.len().div_ceil(SAMPLE).max(1))
}
