//! The control law: from the pose error to the camera's velocity.
//!
//! `(tx, ty, theta)` is ViSP's feature cdMc: the current camera's pose in the desired camera's frame, so a point's
//! coordinates are `p_desired = R(theta) p_current + t`, and the law of an eye-in-hand, pose-based servo is
//! `v = -lambda R(theta)^T t`, `wz = -lambda theta` (Chaumette and Hutchinson, 2006, equation 14).
//!
//! Equation 7 of Pedersen et al. prints `t = Z (x - x*)`. With that sign equation 8 drives the camera away from the object.
//! The sign that converges is `t = -Z (x - x*)`; a closed-loop test shows both.

use super::gain::AdaptiveGain;
use serde::{Deserialize, Serialize};

/// How the translation part of the error is formed from the image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Law {
    /// As the paper composes equations 7 and 8: `t = p* - p`, in the current camera's frame already, which equation 8 then
    /// rotates by `R^T` once more. Beside the optical axis the object swings at large angles.
    Paper,
    /// The pose-based error: `t = p* - R(theta) p`. The camera's path is straight.
    #[default]
    Exact,
}

/// ViSP's cdMc of a camera that keeps its distance: metres, metres, radians about the optical axis.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PoseError {
    /// The current camera's place along the desired camera's x axis, metres.
    pub tx: f64,
    /// The same along its y axis.
    pub ty: f64,
    /// The current camera's turn from the desired one, radians.
    pub theta: f64,
}

/// Velocity of the camera in its own frame: m/s, m/s, rad/s about the optical axis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CameraVelocity {
    /// Along the camera's x axis, to the right in the image, m/s.
    pub vx: f64,
    /// Along the camera's y axis, down in the image, m/s.
    pub vy: f64,
    /// Turn from the x axis towards the y axis, rad/s.
    pub wz: f64,
}

impl PoseError {
    /// The error between an object seen at `point` and wanted at `target` (metres in the camera's plane, both at the
    /// object's distance), where the object must turn by `theta` in the image to lie as wanted (`-(alpha - alpha*)`).
    pub fn new(law: Law, point: [f64; 2], target: [f64; 2], theta: f64) -> Self {
        let (sin, cos) = match law {
            Law::Paper => (0.0, 1.0),
            Law::Exact => theta.sin_cos(),
        };
        let [x, y] = point;
        Self { tx: target[0] - (cos * x - sin * y), ty: target[1] - (sin * x + cos * y), theta }
    }

    /// `R(theta)^T t`: the translation in the current camera's frame, metres.
    pub fn rotated(&self) -> [f64; 2] {
        let (sin, cos) = self.theta.sin_cos();
        [cos * self.tx + sin * self.ty, -sin * self.tx + cos * self.ty]
    }

    /// The largest component of what the law multiplies: metres of the rotated translation, radians of the rotation.
    pub fn infinity_norm(&self) -> f64 {
        let [x, y] = self.rotated();
        x.abs().max(y.abs()).max(self.theta.abs())
    }

    /// Equation 8 with the gain at this error.
    pub fn velocity(&self, gain: &AdaptiveGain) -> CameraVelocity {
        let lambda = gain.value(self.infinity_norm());
        let [x, y] = self.rotated();
        CameraVelocity { vx: -lambda * x, vy: -lambda * y, wz: -lambda * self.theta }
    }
}

impl CameraVelocity {
    /// The displacement after `seconds` of this velocity, held in the moving frame (the exponential of the twist): the new
    /// frame's origin in the old frame, metres, and its turn, radians.
    pub fn displacement(&self, seconds: f64) -> ([f64; 2], f64) {
        let turn = self.wz * seconds;
        // sin(a)/a and (1 - cos(a))/a, with their series near 0.
        let (s, c) = if turn.abs() < 1e-6 {
            (1.0 - turn * turn / 6.0, turn / 2.0)
        } else {
            (turn.sin() / turn, (1.0 - turn.cos()) / turn)
        };
        let (x, y) = (self.vx * seconds, self.vy * seconds);
        ([s * x - c * y, c * x + s * y], turn)
    }

    /// The velocity of a tool that is fixed beside the camera, its axes parallel to the camera's, at `offset` metres in the
    /// camera's plane: a turn about the optical axis moves it sideways.
    pub fn at(&self, offset: [f64; 2]) -> Self {
        Self { vx: self.vx - self.wz * offset[1], vy: self.vy + self.wz * offset[0], wz: self.wz }
    }

    /// The same direction, no faster than these limits (m/s, rad/s).
    pub fn limited(&self, linear: f64, angular: f64) -> Self {
        let over = (self.vx.hypot(self.vy) / linear).max(self.wz.abs() / angular).max(1.0);
        Self { vx: self.vx / over, vy: self.vy / over, wz: self.wz / over }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f64::consts::FRAC_PI_2;

    fn assert_near(got: CameraVelocity, expected: (f64, f64, f64), tolerance: f64) {
        let errors = [got.vx - expected.0, got.vy - expected.1, got.wz - expected.2];
        assert!(errors.iter().all(|error| error.abs() < tolerance), "{got:?}, not {expected:?}");
    }

    #[test]
    fn worked_velocities() {
        let constant = |gain| AdaptiveGain { at_zero: gain, at_infinity: gain, slope_at_zero: 0.0 };
        let near = 0.389_252_1;
        for ((tx, ty, theta), lambda, expected) in [
            ((0.05, -0.02, 0.5), 0.3, (-0.0102872, 0.0124569, -0.15)),
            ((0.02, 0.01, 0.0), near, (-0.007785, -0.0038925, 0.0)),
            ((-0.004, 0.003, 0.02), near, (0.0015333, -0.0011987, -0.007785)),
            ((0.0, 0.0, -1.2), 0.3, (0.0, 0.0, 0.36)),
            ((0.1, 0.0, FRAC_PI_2), 0.3, (0.0, 0.03, -0.4712389)),
        ] {
            assert_near(PoseError { tx, ty, theta }.velocity(&constant(lambda)), expected, 1e-7);
        }
    }

    #[test]
    fn the_laws_differ_by_a_rotation_of_the_target() {
        // Without a turn both are p* - p.
        let (point, target) = ([0.03, -0.01], [0.0, 0.045]);
        assert_eq!(PoseError::new(Law::Paper, point, target, 0.0), PoseError::new(Law::Exact, point, target, 0.0));
        // The paper's law is at rest where the object is at its target, and only turns.
        let paper = PoseError::new(Law::Paper, target, target, 1.0);
        assert_eq!((paper.tx, paper.ty), (0.0, 0.0));
        // The exact law also moves: a quarter turn in the object's place takes the camera by p - R^T p*.
        let exact = PoseError::new(Law::Exact, target, target, FRAC_PI_2);
        let [x, y] = exact.rotated();
        assert!((x - 0.045).abs() < 1e-12 && (y + 0.045).abs() < 1e-12, "{x} {y}");
    }

    #[test]
    fn displacements_and_tools() {
        // A quarter circle of radius 0.2 m to the right: ends ahead and beside.
        let velocity = CameraVelocity { vx: 0.2 * FRAC_PI_2, vy: 0.0, wz: FRAC_PI_2 };
        let ([x, y], turn) = velocity.displacement(1.0);
        assert!((x - 0.2).abs() < 1e-12 && (y - 0.2).abs() < 1e-12 && turn == FRAC_PI_2, "{x} {y}");
        let ([x, y], _) = CameraVelocity { wz: 1e-9, ..velocity }.displacement(0.5);
        assert!((x - 0.1 * FRAC_PI_2).abs() < 1e-9 && y.abs() < 1e-9);
        // A camera that turns by 1 rad/s moves a tool 45 mm below it at 45 mm/s to the left.
        let tool = CameraVelocity { wz: 1.0, ..CameraVelocity::default() }.at([0.0, 0.045]);
        assert_near(tool, (-0.045, 0.0, 1.0), 1e-12);
        assert_near(CameraVelocity { vx: 0.3, vy: 0.4, wz: 1.0 }.limited(0.25, 10.0), (0.15, 0.2, 0.5), 1e-12);
        assert_near(CameraVelocity { vx: 0.3, vy: 0.4, wz: 1.0 }.limited(1.0, 0.5), (0.15, 0.2, 0.5), 1e-12);
    }
}
