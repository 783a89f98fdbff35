//! Smooth ways from one place to another. In: distance and limits. Out: the way covered after a time.

use crate::contract::Pose;
use glam::{Quat, Vec3};

/// A straight way with a trapezoidal speed, at rest at both ends.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Profile {
    pub distance: f32,
    pub speed: f32,
    pub acceleration: f32,
    pub duration: f32,
}

impl Profile {
    pub fn new(distance: f32, speed: f32, acceleration: f32) -> Self {
        // The speed that is reached when there is no room for the highest.
        let speed = speed.min((distance * acceleration).sqrt());
        let duration = if distance > 0.0 { distance / speed + speed / acceleration } else { 0.0 };
        Self { distance, speed, acceleration, duration }
    }

    /// Way covered after `time`.
    pub fn at(&self, time: f32) -> f32 {
        let ramp = |t: f32| 0.5 * self.acceleration * t * t;
        let ramp_time = if self.acceleration > 0.0 { self.speed / self.acceleration } else { 0.0 };
        if time <= 0.0 {
            0.0
        } else if time >= self.duration {
            self.distance
        } else if time < ramp_time {
            ramp(time)
        } else if time > self.duration - ramp_time {
            self.distance - ramp(self.duration - time)
        } else {
            ramp(ramp_time) + self.speed * (time - ramp_time)
        }
    }
}

/// How fast a motion gains speed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speed {
    /// At the cell's acceleration.
    Full,
    /// At half of it: what is held is not shaken off.
    Gentle,
}

/// Where the gripper is and where it is asked to be: position of the point between the tips, and yaw.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ToolPose {
    /// The point midway between the finger tips' lower ends, in the world, metres.
    pub position: Vec3,
    /// Rotation about the vertical, radians, followed over full turns; at 0 the fingers close along the world's x.
    pub yaw: f32,
}

impl ToolPose {
    /// The gripper's frame in the world: x the closing direction, z up.
    pub fn pose(self) -> Pose {
        Pose::new(self.position, Quat::from_rotation_z(self.yaw))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_profile_is_a_trapezoid() {
        // 1 m at up to 1 m/s with 2 m/s^2: half a second of ramp at both ends (0.25 m each), half a second between.
        let profile = Profile::new(1.0, 1.0, 2.0);
        assert!((profile.duration - 1.5).abs() < 1e-6);
        assert!((profile.at(0.5) - 0.25).abs() < 1e-6 && (profile.at(1.0) - 0.75).abs() < 1e-6);
        // 0.08 m at 10 m/s^2 never reaches 2 m/s: a triangle of 2 sqrt(0.08 / 10) s.
        let short = Profile::new(0.08, 2.0, 10.0);
        assert!((short.duration - 0.178_885).abs() < 1e-5);
        assert!((short.at(0.5 * short.duration) - 0.04).abs() < 1e-6);
    }
}
