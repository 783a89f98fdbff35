//! What PPO sees and does in environments: observations to numbers, numbers to actions, by task.
//!
//! In: [`Observation`]s of RGB images and measured depth. Out: [`Observations`]; [`Action`]s of a policy's numbers in [-1, 1].

use super::network::{EncoderConfig, NetworkConfig, Observations};
use crate::contract::{Action, ActionSpace, GripperCommand, GripperState, Observation, TaskKind, fill_holes};
use serde::{Deserialize, Serialize};

/// Red, green, blue, depth.
const CHANNELS: usize = 4;
/// Depths are centred here, metres, and multiplied by this: the camera sees 0.1 to 0.7 m.
const DEPTH_CENTRE_M: f32 = 0.5;
const DEPTH_SCALE: f32 = 4.0;
/// Relative poses of an episode of `pose-grasp` that the network tells apart.
const DECISIONS: usize = 3;
/// Steps of an episode of `bin-grasp`, for the share that is over.
const BIN_STEPS: f32 = 20.0;
/// Beyond this a number of `bin-grasp` ends the episode: exploration reaches it in a step of fifteen.
const TERMINATE: f32 = 0.5;

/// What a wrist's depth camera measures, metres: the range of [`DepthInput::Background`].
const RANGE_M: (f32, f32) = (0.2, 1.0);

/// How the network sees depth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DepthInput {
    /// As it is; a hole is 0 m.
    #[default]
    AsMeasured,
    /// From 0.2 to 1 m; holes and what is nearer become what is behind them ([`fill_holes`]), as the semantic CycleGAN's
    /// images have it, which such a policy looks through.
    Background,
}

/// Numbers of one task.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TaskCodec {
    /// Decides the state vector and what each number of an action means.
    pub task: TaskKind,
    /// Largest displacement (m) and rotation (rad) of one action, which its first four numbers are shares of.
    pub space: ActionSpace,
    /// Edge of the images.
    pub size: usize,
    /// How the network sees depth.
    pub depth: DepthInput,
}

/// The environments do not deliver what the network sees.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the environments deliver {image} image bytes and {depth} depths, {envs} environments of {size}x{size} need {image_needed} and {depth_needed}; build them with images and measured depth of that size"
)]
pub struct MissingImages {
    image: usize,
    depth: usize,
    envs: usize,
    size: usize,
    image_needed: usize,
    depth_needed: usize,
}

impl TaskCodec {
    /// RGB-D images, the state and the actions of the task.
    pub fn network(&self) -> NetworkConfig {
        let (state_len, actions) = match self.task {
            TaskKind::PoseGrasp => (DECISIONS + 1, 4),
            TaskKind::BinGrasp => (4, 6),
        };
        let encoder = EncoderConfig::Nature { channels: CHANNELS, size: self.size };
        NetworkConfig { encoder, state_len, actions, initial_log_std: 0.0 }
    }

    /// The environments named by `indices`, in their order.
    ///
    /// # Errors
    /// Images of another size, or no depth.
    pub fn observe(&self, seen: &Observation, indices: &[usize]) -> Result<Observations, MissingImages> {
        let (envs, pixels) = (seen.gripper.len(), self.size * self.size);
        let (image, depth) = (seen.images.len(), seen.sensed_depth_m.len());
        let (image_needed, depth_needed) = (envs * pixels * 3, envs * pixels);
        if (image, depth) != (image_needed, depth_needed) {
            return Err(MissingImages { image, depth, envs, size: self.size, image_needed, depth_needed });
        }
        let mut images = Vec::with_capacity(indices.len() * pixels * CHANNELS);
        let mut states = Vec::new();
        for &index in indices {
            let rgb = seen.image(index);
            for channel in 0..3 {
                images.extend(rgb.iter().skip(channel).step_by(3).map(|&byte| f32::from(byte) / 255.0 - 0.5));
            }
            let scaled = |metres: f32| (metres - DEPTH_CENTRE_M) * DEPTH_SCALE;
            let sensed = seen.sensed_depth(index);
            match self.depth {
                DepthInput::AsMeasured => images.extend(sensed.iter().copied().map(scaled)),
                DepthInput::Background => {
                    let (near, far) = RANGE_M;
                    let in_range = |metres: f32| if metres > 0.0 { metres.clamp(near, far) } else { far };
                    images.extend(fill_holes(sensed, self.size, near).into_iter().map(in_range).map(scaled));
                }
            }
            let step = seen.step_indices.get(index).copied().unwrap_or(0);
            states.extend(self.state(&seen.gripper[index], step));
        }
        Ok(Observations { count: indices.len(), images, states })
    }

    fn state(&self, gripper: &GripperState, step: u64) -> [f32; 4] {
        let flag = |on: bool| if on { 1.0 } else { 0.0 };
        match self.task {
            TaskKind::PoseGrasp => {
                let place = usize::try_from(step).unwrap_or(DECISIONS).min(DECISIONS - 1);
                let mut state = [0.0; DECISIONS + 1];
                (state[place], state[DECISIONS]) = (1.0, gripper.height_m);
                state
            }
            TaskKind::BinGrasp => {
                let share = (step as f32 / BIN_STEPS).min(1.0);
                [flag(gripper.closed), 5.0 * gripper.height_m, 10.0 * gripper.aperture_m, share]
            }
        }
    }

    /// The numbers in [-1, 1] that are this action; the inverse of [`Self::action`] within the largest step.
    pub fn numbers(&self, action: &Action) -> Vec<f32> {
        let mut numbers = self.space.normalize(action).to_vec();
        if self.task == TaskKind::BinGrasp {
            let sign = |on: bool| if on { 1.0 } else { -1.0 };
            numbers.extend([sign(action.gripper == GripperCommand::Close), sign(action.terminate)]);
        }
        numbers
    }

    /// The action of a policy's numbers in [-1, 1].
    pub fn action(&self, numbers: &[f32]) -> Action {
        let at = |index: usize| numbers.get(index).copied().unwrap_or(0.0);
        let moved = [at(0), at(1), at(2), at(3)];
        match self.task {
            TaskKind::PoseGrasp => {
                let action = self.space.denormalize(moved, false);
                Action { gripper: GripperCommand::Keep, ..action }
            }
            TaskKind::BinGrasp => {
                let action = self.space.denormalize(moved, at(4) > 0.0);
                Action { terminate: at(5) > TERMINATE, ..action }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPACE: ActionSpace = ActionSpace { step_m: [0.15, 0.15, 0.12], step_rad: 1.5 };

    fn seen(envs: usize) -> Observation {
        let pixels = 36 * 36;
        Observation {
            images: (0..envs * pixels * 3).map(|i| (i % 3 * 100) as u8).collect(),
            sensed_depth_m: (0..envs * pixels).map(|i| if i % 2 == 0 { 0.0 } else { 0.3 }).collect(),
            gripper: vec![GripperState { height_m: 0.23, aperture_m: 0.05, ..GripperState::default() }; envs],
            step_indices: (0..envs as u64).collect(),
        }
    }

    #[test]
    fn images_are_planes_and_the_step_is_one_of_three() -> Result<(), MissingImages> {
        let codec = TaskCodec { task: TaskKind::PoseGrasp, space: SPACE, size: 36, depth: DepthInput::AsMeasured };
        let out = codec.observe(&seen(3), &[2, 0])?;
        assert_eq!((out.count, out.images.len()), (2, 2 * codec.network().image_len()));
        let plane = |channel: usize| out.images[channel * 1296];
        assert_eq!([plane(0), plane(1), plane(2)], [-0.5, 100.0 / 255.0 - 0.5, 200.0 / 255.0 - 0.5]);
        // A hole, and 0.3 m.
        assert_eq!(plane(3), -2.0);
        assert!((out.images[3 * 1296 + 1] + 0.8).abs() < 1e-6);
        assert_eq!(out.states, [0.0, 0.0, 1.0, 0.23, 1.0, 0.0, 0.0, 0.23]);
        // Every second pixel is a hole beside 0.3 m, and what is far is 1 m.
        let filled = TaskCodec { depth: DepthInput::Background, ..codec };
        let planes = filled.observe(&seen(3), &[2])?.images;
        assert!(planes[3 * 1296..].iter().all(|depth| (depth + 0.8).abs() < 1e-6));
        assert_eq!(planes[..3 * 1296], out.images[..3 * 1296]);
        let far = Observation { sensed_depth_m: vec![1.3; 3 * 1296], ..seen(3) };
        assert!(filled.observe(&far, &[0])?.images[3 * 1296..].iter().all(|&depth| depth == 2.0));
        let nothing = Observation { sensed_depth_m: vec![0.0; 3 * 1296], ..seen(3) };
        assert!(filled.observe(&nothing, &[0])?.images[3 * 1296..].iter().all(|&depth| depth == 2.0));
        let blind = Observation { sensed_depth_m: Vec::new(), ..seen(3) };
        let message = codec.observe(&blind, &[0]).expect_err("no depth").to_string();
        assert!(message.contains("0 depths") && message.contains("need 11664 and 3888"), "{message}");
        Ok(())
    }

    #[test]
    fn numbers_become_actions_of_the_task() {
        let pose = TaskCodec { task: TaskKind::PoseGrasp, space: SPACE, size: 64, depth: DepthInput::AsMeasured };
        let action = pose.action(&[1.0, -0.5, 0.25, -1.0]);
        assert_eq!(action.translation_m, [0.15, -0.075, 0.03]);
        assert_eq!((action.rotation_rad, action.gripper, action.terminate), (-1.5, GripperCommand::Keep, false));
        let back = pose.numbers(&action);
        assert!(back.iter().zip([1.0, -0.5, 0.25, -1.0]).all(|(a, b)| (a - b).abs() < 1e-6), "{back:?}");
        let bin = TaskCodec { task: TaskKind::BinGrasp, ..pose };
        let action = bin.action(&[0.0, 0.0, -1.0, 0.0, 0.1, 0.4]);
        assert_eq!((action.gripper, action.terminate), (GripperCommand::Close, false));
        assert_eq!(bin.numbers(&action)[4..], [1.0, -1.0]);
        assert!(bin.action(&[0.0, 0.0, 0.0, 0.0, -0.1, 0.6]).terminate);
        assert_eq!((bin.network().actions, bin.network().state_len), (6, 4));
    }
}
