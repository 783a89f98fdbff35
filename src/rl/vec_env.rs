//! What the learner asks of environments. The simulator implements it (in `cli`), and so does a toy for tests.

use super::action::ActionSpace;
use super::qtopt::privileged::Privileged;
use crate::contract::{Action, GripperState, Seed, Step};

/// The simulator or the graphics device failed; the message names the place and the cure.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct VecEnvError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

impl VecEnvError {
    pub fn new(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(error.into())
    }
}

/// The state of every environment as a policy sees it.
#[derive(Clone, Debug, Default)]
pub struct Observation {
    /// `[num_envs, size, size, channels]` bytes.
    pub images: Vec<u8>,
    pub gripper: Vec<GripperState>,
    /// What the simulator knows besides; empty where there is none.
    pub privileged: Vec<Privileged>,
}

impl Observation {
    /// The image of one environment, `[size, size, channels]`.
    pub fn image(&self, index: usize) -> &[u8] {
        let len = self.images.len() / self.gripper.len().max(1);
        &self.images[index * len..(index + 1) * len]
    }
}

/// What one environment is to do.
#[derive(Clone, Copy, Debug, Default)]
pub enum EnvCommand {
    /// Nothing: its episode is over and no other begins.
    #[default]
    Idle,
    /// A new episode, decided by the seed alone.
    Reset(Seed),
    /// Another episode on the objects as they lie; what was grasped is dropped at random places first.
    NextAttempt(Seed),
    Act(Action),
}

/// Environments that are stepped side by side.
pub trait VecEnv {
    fn num_envs(&self) -> usize;

    /// Edge of the square images, and their channels.
    fn image_shape(&self) -> (usize, usize);

    fn action_space(&self) -> ActionSpace;

    /// Carries out the commands and observes everything. Only the outcomes of environments that acted mean anything.
    ///
    /// # Errors
    /// The simulator or the graphics device fails.
    fn step(&mut self, commands: &[EnvCommand]) -> Result<(Observation, Vec<Step>), VecEnvError>;

    /// What the exploration that needs no learning would do in environment `index`; it begins anew with each episode.
    fn scripted(&mut self, index: usize) -> Action;
}
