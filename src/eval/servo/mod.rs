//! Reach, then servo (Pedersen et al., 2020): trials of the whole method, of its parts, and of controls, judged twice.
//!
//! In: an environment of the task `pose_grasp`, a [`Method`], the networks as functions. Out: [`TrialResult`]s, paired over
//! methods by object and attempt, and their [`ServoReport`]. A trial counts as *near* where the gripper, before it closes, is
//! near a good grasp pose of the object, and as *lifted* where the object hangs between the fingers at the end.

pub mod agent;
pub mod figures;
pub mod hand_eye;
pub mod method;
pub mod protocol;
pub mod report;

#[cfg(test)]
mod agent_tests;

pub use agent::{
    Approach, ApproachConfig, ReachPolicy, SegmentFn, SegmentInput, ServoRecord, ServoView, Stage, TraceTick,
    TranslateFn,
};
pub use hand_eye::HandEye;
pub use method::Method;
pub use protocol::{ServoEvalError, ServoTrials, TrialErrors, TrialResult, run_trials};
pub use report::{Judged, ObjectReport, ServoReport};
