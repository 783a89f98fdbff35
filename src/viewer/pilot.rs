//! A learned policy at the gripper: it decides from what the robot's camera sees, as it was trained to.
//!
//! The command line brings one from a run; this room does not know networks.

use crate::contract::Policy;

/// A policy that decides from plain pictures, or from pictures and measured depth.
pub struct Pilot {
    /// Words that name it: the run and its step.
    pub name: String,
    /// Edge of the pictures that it wants, pixels.
    pub size: u32,
    /// It wants measured depth beside the picture.
    pub depth: bool,
    pub policy: Box<dyn Policy + Send>,
}
