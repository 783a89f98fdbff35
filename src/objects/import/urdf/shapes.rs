//! The solids that URDF names. In: sizes. Out: points whose hull has the solid's volume.

use crate::objects::geometry::{Polyhedron, fibonacci_directions};
use glam::Vec3;
use std::f64::consts::{PI, TAU};

/// Corners around a cylinder.
const CYLINDER_SIDES: usize = 32;
/// Corners of a ball.
const BALL_POINTS: usize = 90;

pub(super) fn cylinder(radius: f32, length: f32) -> Vec<Vec3> {
    // Corners a little outside the circle, so that the prism has the cylinder's volume.
    let step = TAU / CYLINDER_SIDES as f64;
    let outer = f64::from(radius) * (step / step.sin()).sqrt();
    (0..CYLINDER_SIDES)
        .flat_map(|i| {
            let (sin, cos) = (step * i as f64).sin_cos();
            [-0.5, 0.5].map(|end| Vec3::new((outer * cos) as f32, (outer * sin) as f32, length * end))
        })
        .collect()
}

pub(super) fn ellipsoid(radii: Vec3) -> Vec<Vec3> {
    let unit: Vec<Vec3> = fibonacci_directions(BALL_POINTS).map(|direction| direction.as_vec3()).collect();
    let volume = Polyhedron::hull(&unit).map_or(1.0, |hull| hull.volume());
    let grow = (4.0 / 3.0 * PI / volume).cbrt() as f32;
    unit.into_iter().map(|direction| direction * (radii * grow)).collect()
}

/// A cylinder of `length` between two half balls, along z.
pub(super) fn capsule(radius: f32, length: f32) -> Vec<Vec3> {
    let wanted = PI * f64::from(radius).powi(2) * (f64::from(length) + 4.0 / 3.0 * f64::from(radius));
    let points = |grow: f64| -> Vec<Vec3> {
        let directions = fibonacci_directions(BALL_POINTS);
        directions
            .map(|d| (d * f64::from(radius) * grow).as_vec3() + Vec3::Z * (length * 0.5).copysign(d.z as f32))
            .collect()
    };
    let mut grow = 1.0;
    for _ in 0..8 {
        // The volume grows between the square and the cube of the radius.
        let volume = Polyhedron::hull(&points(grow)).map_or(wanted, |hull| hull.volume());
        grow *= (wanted / volume).powf(0.4);
    }
    points(grow)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume(points: &[Vec3]) -> f64 {
        Polyhedron::hull(points).expect("solid").volume()
    }

    #[test]
    fn volumes_by_the_formulas() {
        // pi r^2 (l + 4/3 r) = 50.27 + 33.51 cm^3.
        assert!((volume(&capsule(0.02, 0.04)) * 1e6 / 83.776 - 1.0).abs() < 1e-3);
        // 4/3 pi a b c.
        assert!((volume(&ellipsoid(Vec3::new(0.01, 0.02, 0.03))) * 1e6 / 25.133 - 1.0).abs() < 1e-3);
        // pi r^2 l.
        assert!((volume(&cylinder(0.02, 0.05)) * 1e6 / 62.832 - 1.0).abs() < 1e-3);
    }
}
