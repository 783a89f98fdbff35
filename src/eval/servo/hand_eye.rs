//! Where the camera sits on the hand: the servo's target in the image, and the camera's velocity as a displacement of the
//! gripper.
//!
//! The gripper's frame has its origin between the tips, z up, x along the closing direction; the camera's is OpenCV's. The
//! camera looks down, about parallel to the gripper's z.

use crate::contract::{Camera, Pose};
use crate::servo::{CameraVelocity, PixelCamera, Target};
use glam::{Quat, Vec3};
use std::f64::consts::FRAC_PI_2;

/// What the servo takes for the place of the camera.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HandEye {
    pub camera: PixelCamera,
    pub gripper_from_camera: Pose,
}

impl HandEye {
    /// From a camera whose "world" is the gripper's frame.
    pub fn new(camera: &Camera) -> Self {
        Self { camera: camera.intrinsics.into(), gripper_from_camera: camera.world_from_camera }
    }

    /// The same with an error of calibration: in the camera's plane, metres, and about its axis, radians.
    pub fn with_error(self, [x, y]: [f32; 2], turn: f32) -> Self {
        let error = Pose::new(Vec3::new(x, y, 0.0), Quat::from_rotation_z(turn));
        Self { gripper_from_camera: self.gripper_from_camera * error, ..self }
    }

    /// Where the gripper's axis is at a distance from the camera, in the camera's plane, metres.
    pub fn axis_at(&self, distance_m: f64) -> [f64; 2] {
        let camera_from_gripper = self.gripper_from_camera.inverse();
        let origin = camera_from_gripper.translation;
        let down = camera_from_gripper.rotation * -Vec3::Z;
        let along = (distance_m as f32 - origin.z) / down.z;
        let point = origin + down * along;
        [f64::from(point.x), f64::from(point.y)]
    }

    /// The tips are this far from the camera along its axis, metres.
    pub fn tip_distance_m(&self) -> f64 {
        f64::from(self.gripper_from_camera.inverse().translation.z)
    }

    /// The object's centroid on the gripper's axis and its longer axis across the closing direction, for an object at
    /// `distance_m`.
    pub fn target(&self, distance_m: f64) -> Target {
        let closing = self.gripper_from_camera.inverse().rotation * Vec3::X;
        let alpha = f64::from(closing.y).atan2(f64::from(closing.x)) + FRAC_PI_2;
        Target::from_offset(self.axis_at(distance_m), distance_m, alpha)
    }

    /// How the gripper moves while the camera has a velocity: along the axes of the gripper before the motion, metres, and
    /// its turn about the vertical, radians. `distance_m` is where the gripper's axis is taken: any of parallel axes.
    pub fn displacement(&self, velocity: CameraVelocity, seconds: f64, distance_m: f64) -> ([f32; 3], f32) {
        let ([x, y], turn) = velocity.at(self.axis_at(distance_m)).displacement(seconds);
        let rotation = self.gripper_from_camera.rotation;
        let way = rotation * Vec3::new(x as f32, y as f32, 0.0);
        // The camera turns about its own axis, which points down where the gripper's points up.
        let up = (rotation * Vec3::Z).z.signum();
        ([way.x, way.y, 0.0], turn as f32 * up)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Intrinsics;
    use glam::Mat3;

    /// 45 mm beside the approach axis and 135 mm above the tips, looking down with the gripper's y up in the picture.
    fn wrist() -> HandEye {
        let rotation = Quat::from_mat3(&Mat3::from_cols(Vec3::X, -Vec3::Y, -Vec3::Z));
        let pose = Pose::new(Vec3::new(0.0, -0.045, 0.135), rotation);
        let intrinsics = Intrinsics::from_vertical_fov(64, 64, 42.3_f32.to_radians());
        HandEye::new(&Camera { intrinsics, world_from_camera: pose })
    }

    #[test]
    fn the_target_is_where_the_gripper_goes_down() {
        let hand_eye = wrist();
        // The gripper is 45 mm towards its own +y from the camera, which is up in the picture: smaller rows.
        let [x, y] = hand_eye.axis_at(0.38);
        assert!(x.abs() < 1e-6 && (y + 0.045).abs() < 1e-6, "{x} {y}");
        assert!((hand_eye.tip_distance_m() - 0.135).abs() < 1e-6);
        let target = hand_eye.target(0.38);
        assert!((target.point[1] + 0.045 / 0.38).abs() < 1e-6);
        // Jaws that close along x take an object that lies along y.
        assert!((target.alpha.abs() - FRAC_PI_2).abs() < 1e-6);
        let off = hand_eye.with_error([0.002, 0.0], 0.1);
        assert!((off.axis_at(0.38)[0] - hand_eye.axis_at(0.38)[0]).abs() > 0.001);
        assert!((off.target(0.38).alpha - target.alpha).abs() > 0.09);
    }

    #[test]
    fn the_gripper_moves_with_the_camera() {
        let hand_eye = wrist();
        for velocity in [
            CameraVelocity { vx: 0.1, vy: -0.05, wz: 0.0 },
            CameraVelocity { vx: 0.0, vy: 0.0, wz: 0.8 },
            CameraVelocity { vx: -0.07, vy: 0.02, wz: -1.3 },
        ] {
            let world_from_gripper = Pose::new(Vec3::new(0.4, 0.1, 0.3), Quat::from_rotation_z(0.6));
            let seconds = 0.2;
            let ([dx, dy], turn) = velocity.displacement(seconds);
            let step = Pose::new(Vec3::new(dx as f32, dy as f32, 0.0), Quat::from_rotation_z(turn as f32));
            let camera = world_from_gripper * hand_eye.gripper_from_camera * step;
            let expected = camera * hand_eye.gripper_from_camera.inverse();
            let (way, yaw) = hand_eye.displacement(velocity, seconds, 0.3);
            let moved = world_from_gripper * Pose::new(Vec3::from(way), Quat::from_rotation_z(yaw));
            assert!(moved.translation.distance(expected.translation) < 1e-5, "{velocity:?}");
            assert!(moved.rotation.angle_between(expected.rotation) < 1e-3, "{velocity:?}");
        }
    }
}
