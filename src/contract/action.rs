//! What a policy decides and what a step returns (the action and state of QT-Opt, Kalashnikov et al., 2018).

use serde::{Deserialize, Serialize};

/// Command to the fingers in one action; they follow it until another one comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GripperCommand {
    /// Leave the fingers' target as it is.
    #[default]
    Keep,
    /// Drive the fingers together, onto the object between them.
    Close,
    /// Drive the fingers apart, to the gripper's full stroke.
    Open,
}

/// One decision. Translation is a displacement of the gripper along the axes of the world; in tasks of relative poses
/// (`pose-grasp`) along those of the gripper before the action.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Action {
    /// Displacement in metres, each component clamped by the cell to its largest step.
    pub translation_m: [f32; 3],
    /// Rotation about the vertical, radians; networks see it as (sin, cos).
    pub rotation_rad: f32,
    /// Command to the fingers; it is given when the displacement begins.
    pub gripper: GripperCommand,
    /// End the episode: the arm lifts as it is, and the grasp is judged. Displacement and gripper command do not count.
    pub terminate: bool,
}

impl Action {
    /// Numbers that encode one action for a network: translation (3), sin, cos, close, open, terminate.
    pub const ENCODED_LEN: usize = 8;

    /// `[x, y, z, sin, cos, close, open, terminate]`, translation in metres.
    pub fn encode(&self) -> [f32; Self::ENCODED_LEN] {
        let (sin, cos) = self.rotation_rad.sin_cos();
        let [x, y, z] = self.translation_m;
        let flag = |on: bool| if on { 1.0 } else { 0.0 };
        [
            x,
            y,
            z,
            sin,
            cos,
            flag(self.gripper == GripperCommand::Close),
            flag(self.gripper == GripperCommand::Open),
            flag(self.terminate),
        ]
    }
}

/// Closer than this, metres, there is nothing between the pads.
pub const EMPTY_APERTURE_M: f32 = 0.002;

/// A displacement of the gripper along the axes of its actions, metres, and its rotation about the vertical, radians.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Displacement {
    /// `[x, y, z]`, metres.
    pub translation_m: [f32; 3],
    /// Turn about the vertical, radians.
    pub rotation_rad: f32,
}

/// What the robot knows about its gripper without looking.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GripperState {
    /// Commanded closed (QT-Opt's binary aperture).
    pub closed: bool,
    /// Height of the finger tips above the bin floor, metres.
    pub height_m: f32,
    /// Measured distance between the pads, metres.
    pub aperture_m: f32,
    /// What the last action asked for, clamped to the largest step; zero at the start of an episode.
    #[serde(default, skip_serializing)]
    pub commanded: Displacement,
    /// How far the gripper got: less where something was in its way.
    #[serde(default, skip_serializing)]
    pub achieved: Displacement,
}

/// How an episode failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Failure {
    /// The jaws had closed on nothing.
    EmptyGrasp,
    /// Something was between the jaws when the lift began, but not at its end.
    Slipped,
    /// The jaws were open when the episode ended.
    JawsOpen,
    /// The policy had not ended the episode when its steps ran out.
    TimedOut,
    /// The simulation had to cut the episode off.
    Invalid,
}

/// The outcome of one environment's step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// The action as it was carried out (see [`super::ActionSpace::effective`]).
    pub action: Action,
    /// 1 for a successful grasp, 0 for a failed one, -0.05 for every other step.
    pub reward: f32,
    /// The policy ended the episode with this step (`Action::terminate`); the grasp is judged.
    pub terminated: bool,
    /// The episode reached its time limit with this step (Gymnasium's `truncated`); the grasp is judged.
    pub truncated: bool,
    /// The simulation failed in this step: nothing is judged, and nothing can be learned from the episode.
    pub invalid: bool,
    /// Indices (within the episode) of the objects held clear of the bin when judged.
    pub grasped: Vec<usize>,
    /// How a judged episode failed.
    pub failure: Option<Failure>,
    /// Physics time since the episode's start, in environment steps.
    pub step_index: u64,
}

impl Step {
    /// The episode ended with this step.
    pub fn done(&self) -> bool {
        self.terminated || self.truncated || self.invalid
    }

    /// At least one object was held when the grasp was judged; false for steps without a judgement.
    pub fn success(&self) -> bool {
        !self.grasped.is_empty()
    }
}
