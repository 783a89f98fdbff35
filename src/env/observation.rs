//! What a step returns.

use crate::contract::{Domain, FrameBatch, GripperState, Step};

/// The state of every environment after a step, as a policy may see it.
#[derive(Clone, Debug, Default)]
pub struct Observation {
    /// One batch for each camera and source domain, cameras outermost, in the order of the configuration.
    pub frames: Vec<FrameBatch>,
    pub gripper: Vec<GripperState>,
    /// Steps since each environment's episode began.
    pub step_indices: Vec<u64>,
}

impl Observation {
    /// The first camera's batch for `source`.
    pub fn of(&self, source: Domain) -> Option<&FrameBatch> {
        self.frames.iter().find(|batch| batch.source == source)
    }
}

/// Outcome of [`super::GraspEnv::step`].
#[derive(Clone, Debug, Default)]
pub struct StepBatch {
    pub observation: Observation,
    /// Reward, termination and grasped objects of every environment.
    pub steps: Vec<Step>,
}
