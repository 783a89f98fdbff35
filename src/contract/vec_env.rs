//! What learners, recorders and evaluations ask of environments. The simulator implements it, and so do toys for tests.

use super::{Action, ActionSpace, Observation, Privileged, Rng, Seed, Step};

/// The simulator, the graphics device or a policy failed; the message names the place and the cure.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct VecEnvError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

impl VecEnvError {
    /// Wraps any error; its text becomes the message.
    pub fn new(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(error.into())
    }
}

/// What an episode starts with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// Everything new, decided by the seed alone.
    #[default]
    Fresh,
    /// The objects as they lie; those that were grasped are dropped at random places first.
    KeepObjects,
}

/// An episode that begins in environment `index`.
#[derive(Clone, Debug)]
pub struct Reset {
    /// Number of the environment, from 0.
    pub index: usize,
    /// Decides all that is new in the episode: objects, where they are dropped, and looks.
    pub seed: Seed,
    /// Whether the bin is filled anew or kept as it is.
    pub start: Start,
    /// In cells whose bins have fixed placements, the number of the one to start with, counted on from the first after the
    /// last; none: the seed decides.
    pub placement: Option<usize>,
    /// The random numbers of the environment's script from now on; none: it goes on with those it has.
    pub script: Option<Rng>,
}

/// What one step of all environments brought.
#[derive(Clone, Debug, Default)]
pub struct StepBatch {
    /// State of every environment after the step.
    pub observation: Observation,
    /// `[num_envs, size, size, 3]` bytes: pictures that episodes keep in place of those that policies see; empty where they keep
    /// those.
    pub kept_images: Vec<u8>,
    /// One for each environment; only those of environments that acted mean anything.
    pub steps: Vec<Step>,
    /// None unless the environments were built with it.
    pub privileged: Option<Privileged>,
}

/// Policies that read the simulator's state, one in each environment.
pub trait Script {
    /// What the scripts of these environments would do now, in the order of `indices`. A script goes on with each call and
    /// begins anew with each episode.
    fn scripted(&mut self, indices: &[usize]) -> Vec<Action>;
}

/// Environments that are stepped side by side.
pub trait VecEnv: Script {
    /// Environments that are stepped together; actions and results have this length.
    fn num_envs(&self) -> usize;

    /// Edge of the square images that policies see, and their channels.
    fn image_shape(&self) -> (usize, usize);

    /// The largest displacement and rotation of one step; larger ones are clamped.
    fn action_space(&self) -> ActionSpace;

    /// Where the bins of environment `index` stand in this episode from their place in the cell's description, as a group:
    /// x, y in metres, yaw in radians. For recordings, and never for a learner in a domain that stands for the real world.
    fn bin_group(&self, _index: usize) -> [f32; 3] {
        [0.0; 3]
    }

    /// Starts episodes; the other environments stay as they are. The next [`Self::step`] observes them.
    ///
    /// # Errors
    /// The simulator or the graphics device fails.
    fn reset(&mut self, resets: &[Reset]) -> Result<(), VecEnvError>;

    /// One action for each environment; those without one stand still. With `capture` everything is observed afterwards,
    /// else there are no images and no frames. An environment whose episode is over repeats its outcome.
    ///
    /// # Errors
    /// A wrong number of actions; the simulator or the graphics device fails.
    fn step(&mut self, actions: &[Option<Action>], capture: bool) -> Result<StepBatch, VecEnvError>;
}

/// Makes images for policies of a camera's pictures: a translation beside the picture, for example.
pub trait ImageAdapter {
    /// Channels of its images.
    fn channels(&self) -> usize;

    /// `[n, height, width, channels]` bytes of pictures one after the other, `[n, height, width, 3]`.
    ///
    /// # Errors
    /// A network that is for another size.
    fn encode(&self, rgb: Vec<u8>, size: [usize; 2]) -> Result<Vec<u8>, VecEnvError>;
}
