//! Rigid transforms.

use glam::{Mat4, Quat, Vec3};
use serde::{Deserialize, Serialize};

/// A rigid transform: rotate, then translate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pose {
    /// Place of `b`'s origin in `a`, for a pose `a_from_b`; metres.
    pub translation: Vec3,
    /// Directions of `b`'s axes in `a`; a unit quaternion.
    pub rotation: Quat,
}

impl Pose {
    /// Leaves every point where it is.
    pub const IDENTITY: Self = Self { translation: Vec3::ZERO, rotation: Quat::IDENTITY };

    /// From a translation in metres and a rotation, which must be a unit quaternion.
    pub const fn new(translation: Vec3, rotation: Quat) -> Self {
        Self { translation, rotation }
    }

    /// Moves by this many metres and does not turn.
    pub const fn from_translation(translation: Vec3) -> Self {
        Self { translation, rotation: Quat::IDENTITY }
    }

    /// `b_from_a` of a pose `a_from_b`; the rotation must be of unit length.
    pub fn inverse(self) -> Self {
        let rotation = self.rotation.conjugate();
        Self { translation: rotation * -self.translation, rotation }
    }

    /// Rotates a point, then translates it; metres.
    pub fn transform_point(self, point: Vec3) -> Vec3 {
        self.rotation * point + self.translation
    }

    /// Rotates a direction or a displacement; the translation does not count.
    pub fn transform_vector(self, vector: Vec3) -> Vec3 {
        self.rotation * vector
    }

    /// The same transform as a homogeneous matrix, for column vectors.
    pub fn to_mat4(self) -> Mat4 {
        Mat4::from_rotation_translation(self.rotation, self.translation)
    }

    /// No component is infinite or NaN.
    pub fn is_finite(self) -> bool {
        self.translation.is_finite() && self.rotation.is_finite()
    }
}

impl Default for Pose {
    fn default() -> Self {
        Self::IDENTITY
    }
}

impl std::ops::Mul for Pose {
    type Output = Self;

    /// `a_from_b * b_from_c = a_from_c`.
    fn mul(self, other: Self) -> Self {
        Self {
            translation: self.transform_point(other.translation),
            rotation: (self.rotation * other.rotation).normalize(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inverse_undoes() {
        let pose = Pose::new(Vec3::new(0.3, -2.0, 1.0), Quat::from_rotation_z(0.7) * Quat::from_rotation_x(-1.1));
        let point = Vec3::new(4.0, 5.0, -6.0);
        let back = pose.inverse().transform_point(pose.transform_point(point));
        assert!(back.distance(point) < 1e-5);
        let identity = pose * pose.inverse();
        assert!(identity.translation.length() < 1e-5);
    }
}
