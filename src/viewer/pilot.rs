//! A learned policy at the gripper: it decides from what the robot's camera sees, as it was trained to.
//!
//! In: the pair that the camera takes between two steps, the state of the gripper. Out: an action. The command line brings
//! one from a run; this room does not know networks.

use crate::contract::{Action, FrameBatch, GripperState, Rng};

/// What a policy may know.
pub struct PolicyInput<'a> {
    /// One frame at the policy's size; policies without a generator look at its source picture alone.
    pub frames: &'a FrameBatch,
    pub gripper: GripperState,
    /// Steps since the episode began.
    pub step_index: u64,
}

/// Decides between two steps of the environment.
pub trait Pilot: Send {
    /// Words that name it: the run and its step.
    fn name(&self) -> String;

    /// Edge of the pictures that it wants, pixels.
    fn size(&self) -> u32;

    /// An episode begins.
    fn begin(&mut self) {}

    /// # Errors
    /// A sentence why it cannot decide.
    fn act(&mut self, seen: &PolicyInput<'_>, rng: &mut Rng) -> Result<Action, String>;
}
