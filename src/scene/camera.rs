//! Cameras of a cell: mounted in the world or on the gripper, at any resolution, cropped at random or in the centre.
//!
//! In: a [`CameraDescription`], the pixels wanted, a crop, the gripper's pose. Out: a [`Camera`] with exact
//! intrinsics and extrinsics.

use super::cell::CellDescription;
use crate::contract::{Camera, Intrinsics, Pose, Rng};
use glam::{Mat3, Quat, Vec3};
use serde::{Deserialize, Serialize};

/// A camera of a cell: its resolution, its view, and where it is mounted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CameraDescription {
    /// What settings and the command line choose it by.
    pub name: String,
    /// Pixels of the uncropped picture.
    pub width: u32,
    /// Pixels of the uncropped picture, from top to bottom; at most 8192.
    pub height: u32,
    /// Side of the square crop that a policy sees.
    pub crop: u32,
    /// Share of the offsets around the centre that random crops use; 1 is any window, which may cut the bin off.
    pub crop_jitter: f32,
    /// Of the uncropped picture.
    pub vertical_fov_deg: f32,
    /// What it is fixed to, and where it looks from there.
    pub mount: CameraMount,
}

/// Where a camera is fixed; eye, target and up are in the mount's frame.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum CameraMount {
    /// In the world's frame, z up; the camera stands still.
    World {
        /// Optical centre, metres.
        eye: Vec3,
        /// Point in the middle of the uncropped picture, metres; at least 1 mm from the eye.
        target: Vec3,
    },
    /// In the gripper's frame (origin between the tips, z up, x the closing direction).
    Gripper {
        /// Optical centre, metres.
        eye: Vec3,
        /// Point in the middle of the uncropped picture, metres; at least 1 mm from the eye.
        target: Vec3,
    },
}

/// A square window in a picture of `full` = (width, height) pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CropWindow {
    /// Width and height of the uncropped picture, pixels.
    pub full: (u32, u32),
    /// Columns of the picture left of the window.
    pub left: u32,
    /// Rows of the picture above the window.
    pub top: u32,
    /// Edge of the window, pixels.
    pub size: u32,
}

impl CameraDescription {
    /// Robot 1's camera: behind and beside the arm, looking down into the bin. 640x512, cropped to 472x472.
    pub fn over_the_shoulder() -> Self {
        Self {
            name: "over-the-shoulder".into(),
            width: 640,
            height: 512,
            crop: 472,
            crop_jitter: 0.45,
            vertical_fov_deg: 39.0,
            mount: CameraMount::World { eye: Vec3::new(0.2, -0.5, 0.75), target: Vec3::new(0.56, 0.0, 0.05) },
        }
    }

    /// An eye-in-hand camera beside the palm, looking past the fingers.
    pub fn wrist() -> Self {
        Self {
            name: "wrist".into(),
            width: 640,
            height: 512,
            crop: 472,
            crop_jitter: 0.0,
            vertical_fov_deg: 70.0,
            mount: CameraMount::Gripper { eye: Vec3::new(0.0, -0.10, 0.14), target: Vec3::new(0.0, 0.01, 0.0) },
        }
    }

    pub(super) fn validate(&self) -> Result<(), String> {
        if self.crop == 0 || self.crop > self.width.min(self.height) || self.width.max(self.height) > 8192 {
            return Err(format!("a {} pixel crop of {} x {} is impossible", self.crop, self.width, self.height));
        }
        if !(0.0..=1.0).contains(&self.crop_jitter) {
            return Err(format!("a crop_jitter of {} is not between 0 and 1", self.crop_jitter));
        }
        if !(self.vertical_fov_deg > 0.0 && self.vertical_fov_deg < 179.0) {
            return Err(format!("a field of view of {} degrees is impossible", self.vertical_fov_deg));
        }
        let (CameraMount::World { eye, target } | CameraMount::Gripper { eye, target }) = self.mount;
        if !(eye.is_finite() && target.is_finite() && eye.distance(target) > 1e-3) {
            return Err(format!("eye {eye} and target {target} give no direction"));
        }
        Ok(())
    }

    /// Size of the uncropped picture from which a square of `size` pixels is cut: the published 640x512 for its own
    /// crop; otherwise the same proportions with the height rounded up to a multiple of 8 (90x72 for 64).
    pub fn full_size(&self, size: u32) -> (u32, u32) {
        if size == self.crop {
            return (self.width, self.height);
        }
        let height = (size * self.height).div_ceil(self.crop).next_multiple_of(8);
        (((height * self.width) as f32 / self.height as f32).round() as u32, height)
    }

    /// The window in the middle: inference.
    pub fn centre_crop(&self, size: u32) -> CropWindow {
        let full = self.full_size(size);
        CropWindow { full, left: (full.0 - size) / 2, top: (full.1 - size) / 2, size }
    }

    /// A window drawn around the centre (`crop_jitter`): training.
    pub fn random_crop(&self, size: u32, rng: &mut Rng) -> CropWindow {
        let full = self.full_size(size);
        let mut offset = |room: u32| {
            let used = (room as f32 * self.crop_jitter.clamp(0.0, 1.0)) as u32;
            (room - used) / 2 + (rng.f32() * (used + 1) as f32) as u32
        };
        CropWindow { full, left: offset(full.0 - size), top: offset(full.1 - size), size }
    }

    /// The camera behind a window, with the gripper at `world_from_gripper` (of no account for world mounts).
    pub fn camera(&self, window: CropWindow, world_from_gripper: Pose) -> Camera {
        let fov = self.vertical_fov_deg.to_radians();
        let intrinsics = Intrinsics::from_vertical_fov(window.full.0, window.full.1, fov).cropped(
            window.left,
            window.top,
            window.size,
            window.size,
        );
        match self.mount {
            CameraMount::World { eye, target } => Camera::look_at(eye, target, intrinsics),
            CameraMount::Gripper { eye, target } => {
                // "Up" in the picture is the gripper's own y (its z is nearly the line of sight).
                let forward = (target - eye).normalize();
                let right = forward.cross(Vec3::Y).normalize();
                let down = forward.cross(right);
                let rotation = Quat::from_mat3(&Mat3::from_cols(right, down, forward));
                Camera { intrinsics, world_from_camera: world_from_gripper * Pose::new(eye, rotation) }
            }
        }
    }
}

impl CellDescription {
    /// A camera that stands still, in the centre crop at `size` pixels; none of that name, or one that moves: none.
    pub fn fixed_camera(&self, name: &str, size: u32) -> Option<Camera> {
        let camera = self.cameras.iter().find(|known| known.name == name)?;
        let fixed = matches!(camera.mount, CameraMount::World { .. });
        fixed.then(|| camera.camera(camera.centre_crop(size), Pose::IDENTITY))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Seed;
    use crate::scene::CellDescription;

    #[test]
    fn sizes_keep_the_proportions() {
        let camera = CameraDescription::over_the_shoulder();
        assert_eq!(camera.full_size(472), (640, 512));
        assert_eq!(camera.full_size(64), (90, 72));
        assert_eq!(camera.full_size(128), (180, 144));
        let window = camera.centre_crop(472);
        assert_eq!((window.left, window.top), (84, 20));
    }

    #[test]
    fn every_crop_sees_the_whole_bin() {
        let cell = CellDescription::iiwa_bin();
        let description = &cell.cameras[0];
        let bin = &cell.bins[0];
        let half = bin.half_size();
        let mut rng = Seed(3).rng();
        for size in [64, 128, 472] {
            let mut windows: Vec<_> = (0..200).map(|_| description.random_crop(size, &mut rng)).collect();
            windows.push(description.centre_crop(size));
            let mut widest = 0.0_f32;
            for window in windows {
                let camera = description.camera(window, Pose::IDENTITY);
                let mut low = f32::INFINITY;
                let mut high = f32::NEG_INFINITY;
                for (x, y) in [(-1.0, -1.0), (-1.0, 1.0), (1.0, -1.0), (1.0, 1.0)] {
                    for z in [0.0, bin.wall_height] {
                        let corner = bin.position + Vec3::new(x * half.x, y * half.y, z);
                        let (pixel, depth) = camera.project(corner);
                        let inside = pixel.min_element() >= 0.0 && pixel.max_element() <= size as f32;
                        assert!(depth > 0.0 && inside, "{size}: {corner} at {pixel} in {window:?}");
                        low = low.min(pixel.x);
                        high = high.max(pixel.x);
                    }
                }
                widest = widest.max((high - low) / size as f32);
            }
            // ... and the bin fills most of the picture.
            assert!(widest > 0.7, "{size}: {widest}");
        }
    }

    #[test]
    fn the_wrist_camera_sees_the_tips() {
        let description = CameraDescription::wrist();
        let gripper = Pose::new(Vec3::new(0.5, 0.1, 0.2), Quat::from_rotation_z(0.7));
        let camera = description.camera(description.centre_crop(64), gripper);
        let (pixel, depth) = camera.project(gripper.translation);
        assert!(depth > 0.1 && (pixel - glam::Vec2::splat(32.0)).abs().max_element() < 20.0, "{pixel} {depth}");
    }
}
