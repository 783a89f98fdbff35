//! Polygons as triangles. In: the corners of a face. Out: triangles over their numbers, without any outside the face.

use glam::{DVec2, DVec3, Vec3};

/// Corners beyond which a face that is not convex is cut as a fan all the same: clipping takes quadratic time.
const MAX_CLIPPED: usize = 4096;

/// Triangles of the polygon `corners` in its orientation: a fan where it is convex, else ears (Meisters, 1975), in the
/// plane of its area. Holes that a bridge joins to the outline are kept.
pub(super) fn triangulated(corners: &[Vec3]) -> Vec<[usize; 3]> {
    let count = corners.len();
    let fan = || (1..count.saturating_sub(1)).map(|i| [0, i, i + 1]).collect();
    if count <= 3 {
        return fan();
    }
    let Some(flat) = flattened(corners) else { return fan() };
    if (count > MAX_CLIPPED) || is_convex(&flat) {
        return fan();
    }
    let mut left: Vec<usize> = (0..count).collect();
    let mut triangles = Vec::with_capacity(count - 2);
    while left.len() > 3 {
        // The ear with the largest smallest angle would be prettier; the first is enough.
        let ear = (0..left.len()).find(|&i| is_ear(&flat, &left, i));
        // Outlines that cross themselves may have no ear: the least bad corner goes, so that the loop ends.
        let ear = ear.unwrap_or_else(|| {
            let turn = |i: usize| cross(&flat, neighbours(&left, i));
            (0..left.len()).max_by(|&a, &b| turn(a).total_cmp(&turn(b))).unwrap_or(0)
        });
        let [before, at, after] = neighbours(&left, ear);
        triangles.push([before, at, after]);
        left.remove(ear);
    }
    triangles.push([left[0], left[1], left[2]]);
    triangles
}

/// The polygon in its own plane, counter-clockwise; `None` where it has no area.
fn flattened(corners: &[Vec3]) -> Option<Vec<DVec2>> {
    let origin = corners[0].as_dvec3();
    let points: Vec<DVec3> = corners.iter().map(|corner| corner.as_dvec3() - origin).collect();
    let pairs = points.iter().zip(points.iter().cycle().skip(1));
    // Newell: the vector area.
    let normal = pairs.map(|(a, b)| a.cross(*b)).sum::<DVec3>();
    let size = points.iter().map(|point| point.length()).fold(0.0, f64::max);
    if normal.length() <= 1e-12 * size * size {
        return None;
    }
    let (x, y) = normal.normalize().any_orthonormal_pair();
    Some(points.iter().map(|point| DVec2::new(x.dot(*point), y.dot(*point))).collect())
}

fn neighbours(left: &[usize], i: usize) -> [usize; 3] {
    [left[(i + left.len() - 1) % left.len()], left[i], left[(i + 1) % left.len()]]
}

fn cross(flat: &[DVec2], [a, b, c]: [usize; 3]) -> f64 {
    (flat[b] - flat[a]).perp_dot(flat[c] - flat[b])
}

/// Whether every corner turns left, once around.
fn is_convex(flat: &[DVec2]) -> bool {
    let size = flat.iter().map(|point| point.length_squared()).fold(0.0, f64::max);
    let all: Vec<usize> = (0..flat.len()).collect();
    // A star turns left everywhere too, but its turns add up to more than one round.
    let mut turned = 0.0;
    for i in 0..flat.len() {
        let [a, b, c] = neighbours(&all, i);
        let turn = cross(flat, [a, b, c]);
        if turn < -1e-9 * size {
            return false;
        }
        turned += turn.atan2((flat[b] - flat[a]).dot(flat[c] - flat[b]));
    }
    turned < 1.5 * std::f64::consts::TAU
}

/// Whether corner `i` can be cut off: it turns left, and no other corner lies in its triangle.
fn is_ear(flat: &[DVec2], left: &[usize], i: usize) -> bool {
    let ear = neighbours(left, i);
    if cross(flat, ear) <= 0.0 {
        return false;
    }
    let [a, b, c] = ear.map(|corner| flat[corner]);
    left.iter().filter(|corner| !ear.contains(corner)).all(|&corner| {
        let point = flat[corner];
        // The two ends of a bridge coincide and block nothing.
        if point == a || point == b || point == c {
            return true;
        }
        let sides = [(a, b), (b, c), (c, a)].map(|(from, to)| (to - from).perp_dot(point - from));
        sides.iter().any(|side| *side < 0.0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn area(corners: &[Vec3], triangles: &[[usize; 3]]) -> (f32, f32) {
        let vector = |t: &[usize; 3]| {
            let [a, b, c] = t.map(|i| corners[i]);
            (b - a).cross(c - a) / 2.0
        };
        (triangles.iter().map(vector).sum::<Vec3>().length(), triangles.iter().map(|t| vector(t).length()).sum())
    }

    /// Whatever is outside the face shows up as absolute area above the signed one.
    fn assert_exact(corners: &[Vec3], wanted: f32) {
        for start in 0..corners.len() {
            let turned: Vec<Vec3> = corners.iter().cycle().skip(start).take(corners.len()).copied().collect();
            let triangles = triangulated(&turned);
            assert_eq!(triangles.len(), corners.len() - 2);
            let (signed, absolute) = area(&turned, &triangles);
            assert!((signed - wanted).abs() < 1e-5 * wanted && (absolute - wanted).abs() < 1e-5 * wanted, "{start}");
            let backwards: Vec<Vec3> = turned.into_iter().rev().collect();
            let (_, absolute) = area(&backwards, &triangulated(&backwards));
            assert!((absolute - wanted).abs() < 1e-5 * wanted, "{start} backwards");
        }
    }

    fn tilted(outline: &[(f32, f32)]) -> Vec<Vec3> {
        let turn = glam::Quat::from_euler(glam::EulerRot::XYZ, 0.5, -0.8, 1.1);
        outline.iter().map(|&(x, y)| turn * Vec3::new(x, y, 0.3)).collect()
    }

    #[test]
    fn faces_of_known_area() {
        assert_exact(&tilted(&[(0.0, 0.0), (2.0, 0.0), (2.0, 1.0), (0.0, 1.0)]), 2.0);
        // A quad with a reflex corner: 4 x 4 / 2 - 4 x 1 / 2.
        assert_exact(&tilted(&[(0.0, 0.0), (4.0, 0.0), (1.0, 1.0), (0.0, 4.0)]), 4.0);
        // A U: 8 x 8 less a slot of 2 x 6.
        let u = [(3.0, 2.0), (3.0, 8.0), (0.0, 8.0), (0.0, 0.0), (8.0, 0.0), (8.0, 8.0), (5.0, 8.0), (5.0, 2.0)];
        assert_exact(&tilted(&u), 52.0);
        // A square of 6 with a square hole of 2 on a bridge.
        let hole = [
            (0.0, 0.0),
            (6.0, 0.0),
            (6.0, 6.0),
            (0.0, 6.0),
            (0.0, 0.0),
            (2.0, 2.0),
            (2.0, 4.0),
            (4.0, 4.0),
            (4.0, 2.0),
            (2.0, 2.0),
        ];
        assert_exact(&tilted(&hole), 32.0);
    }

    #[test]
    fn convex_faces_stay_fans_and_nonsense_ends() {
        let hexagon: Vec<Vec3> = (0..6).map(|i| Vec3::new((i as f32).cos(), (i as f32).sin(), 0.0)).collect();
        assert_eq!(triangulated(&hexagon), [[0, 1, 2], [0, 2, 3], [0, 3, 4], [0, 4, 5]]);
        assert_eq!(triangulated(&[Vec3::ZERO; 9]).len(), 7);
        let eight = tilted(&[(0.0, 0.0), (2.0, 2.0), (2.0, 0.0), (0.0, 2.5), (1.0, 3.0)]);
        assert_eq!(triangulated(&eight).len(), 3);
        assert!(triangulated(&[Vec3::X, Vec3::Y]).is_empty());
    }
}
