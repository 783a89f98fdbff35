//! Rigid transforms.

use glam::{Mat4, Quat, Vec3};
use serde::{Deserialize, Serialize};

/// A rigid transform: rotate, then translate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pose {
    pub translation: Vec3,
    pub rotation: Quat,
}

impl Pose {
    pub const IDENTITY: Self = Self { translation: Vec3::ZERO, rotation: Quat::IDENTITY };

    pub const fn new(translation: Vec3, rotation: Quat) -> Self {
        Self { translation, rotation }
    }

    pub const fn from_translation(translation: Vec3) -> Self {
        Self { translation, rotation: Quat::IDENTITY }
    }

    pub fn inverse(self) -> Self {
        let rotation = self.rotation.conjugate();
        Self { translation: rotation * -self.translation, rotation }
    }

    pub fn transform_point(self, point: Vec3) -> Vec3 {
        self.rotation * point + self.translation
    }

    pub fn transform_vector(self, vector: Vec3) -> Vec3 {
        self.rotation * vector
    }

    pub fn to_mat4(self) -> Mat4 {
        Mat4::from_rotation_translation(self.rotation, self.translation)
    }

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
