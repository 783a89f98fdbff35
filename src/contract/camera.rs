//! Pinhole cameras.

use super::Pose;
use glam::{Vec2, Vec3};
use serde::{Deserialize, Serialize};

/// Pinhole intrinsics in pixels. Pixel (column, row) covers `[column, column + 1) x [row, row + 1)`; its centre
/// is at `+ 0.5`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Intrinsics {
    /// Columns of the image.
    pub width: u32,
    /// Rows of the image.
    pub height: u32,
    /// Horizontal focal length, pixels.
    pub fx: f32,
    /// Vertical focal length, pixels.
    pub fy: f32,
    /// Column of the principal point, pixels; `width / 2` in a centred camera.
    pub cx: f32,
    /// Row of the principal point, pixels; `height / 2` in a centred camera.
    pub cy: f32,
}

impl Intrinsics {
    /// A centred camera from its vertical field of view.
    pub fn from_vertical_fov(width: u32, height: u32, fov_y_rad: f32) -> Self {
        let f = 0.5 * height as f32 / (0.5 * fov_y_rad).tan();
        Self { width, height, fx: f, fy: f, cx: 0.5 * width as f32, cy: 0.5 * height as f32 }
    }

    /// The same camera at another resolution (the field of view stays).
    pub fn resized(self, width: u32, height: u32) -> Self {
        let (sx, sy) = (width as f32 / self.width as f32, height as f32 / self.height as f32);
        Self { width, height, fx: self.fx * sx, fy: self.fy * sy, cx: self.cx * sx, cy: self.cy * sy }
    }

    /// The window of `width` x `height` pixels whose upper left corner is `(left, top)`.
    pub fn cropped(self, left: u32, top: u32, width: u32, height: u32) -> Self {
        Self { width, height, cx: self.cx - left as f32, cy: self.cy - top as f32, ..self }
    }
}

/// Which window of the camera's picture is delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Crop {
    /// Always the middle: evaluation.
    #[default]
    Centre,
    /// Drawn anew for every frame: training.
    Random,
}

/// Where a camera stands and how it projects.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Camera {
    /// Image size, focal lengths and principal point, pixels.
    pub intrinsics: Intrinsics,
    /// OpenCV camera frame (x right, y down, z forward) to world.
    pub world_from_camera: Pose,
}

impl Camera {
    /// World point to pixel coordinates and depth (metres along the optical axis).
    pub fn project(&self, world: Vec3) -> (Vec2, f32) {
        let p = self.world_from_camera.inverse().transform_point(world);
        let i = &self.intrinsics;
        (Vec2::new(i.fx * p.x / p.z + i.cx, i.fy * p.y / p.z + i.cy), p.z)
    }

    /// World-space ray through pixel coordinates (column, row; `+ 0.5` is a pixel's centre). The direction has unit
    /// z in the camera frame, so that a hit at parameter t has depth t.
    pub fn ray(&self, pixel: Vec2) -> (Vec3, Vec3) {
        let i = &self.intrinsics;
        let direction = Vec3::new((pixel.x - i.cx) / i.fx, (pixel.y - i.cy) / i.fy, 1.0);
        (self.world_from_camera.translation, self.world_from_camera.transform_vector(direction))
    }

    /// Looks from `eye` to `target` with world z up.
    pub fn look_at(eye: Vec3, target: Vec3, intrinsics: Intrinsics) -> Self {
        let forward = (target - eye).normalize();
        let up = if forward.z.abs() > 0.999 { Vec3::X } else { Vec3::Z };
        let right = forward.cross(up).normalize();
        let down = forward.cross(right);
        let rotation = glam::Quat::from_mat3(&glam::Mat3::from_cols(right, down, forward));
        Self { intrinsics, world_from_camera: Pose::new(eye, rotation) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn project_and_ray_agree() {
        let camera = Camera::look_at(
            Vec3::new(1.0, 0.5, 1.2),
            Vec3::new(0.6, 0.0, 0.1),
            Intrinsics::from_vertical_fov(640, 512, 0.8),
        );
        let point = Vec3::new(0.55, 0.1, 0.05);
        let (pixel, depth) = camera.project(point);
        let (origin, direction) = camera.ray(pixel);
        assert!((origin + direction * depth).distance(point) < 1e-5);
        // A point above the target appears higher in the picture (smaller row).
        let (above, _) = camera.project(Vec3::new(0.6, 0.0, 0.3));
        assert!(above.y < 256.0);
    }
}
