//! What policies see of environments.

use super::{Displacement, GripperState};

/// The state of every environment as a policy may see it. What only a simulator knows is in [`super::Privileged`].
#[derive(Clone, Debug, Default)]
pub struct Observation {
    /// `[num_envs, size, size, channels]` bytes; empty where no image was asked for.
    pub images: Vec<u8>,
    /// `[num_envs, size, size]` metres as the domain's depth camera measures them, 0 where it measures nothing; empty where
    /// no depth was asked for. The true depth is privileged.
    pub sensed_depth_m: Vec<f32>,
    /// `[num_envs]`, the state of each gripper.
    pub gripper: Vec<GripperState>,
    /// Steps since each environment's episode began.
    pub step_indices: Vec<u64>,
}

impl Observation {
    /// The image of one environment, `[size, size, channels]`; empty where there are none.
    pub fn image(&self, index: usize) -> &[u8] {
        let len = self.images.len() / self.gripper.len().max(1);
        &self.images[index * len..(index + 1) * len]
    }

    /// The measured depth of one environment, `[size, size]`; empty where there is none.
    pub fn sensed_depth(&self, index: usize) -> &[f32] {
        let len = self.sensed_depth_m.len() / self.gripper.len().max(1);
        &self.sensed_depth_m[index * len..(index + 1) * len]
    }
}

impl Displacement {
    /// From one pose of the gripper to another: positions in metres, yaws in radians.
    pub fn between((from, from_yaw): (glam::Vec3, f32), (to, to_yaw): (glam::Vec3, f32)) -> Self {
        Self { translation_m: (to - from).to_array(), rotation_rad: to_yaw - from_yaw }
    }
}
