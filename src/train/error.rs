//! What can go wrong in a training run.

use super::checkpoint::CheckpointError;
use super::directory::RunError;
use super::state::StateError;
use crate::files::atomic::FileError;
use crate::nn::NnError;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What can go wrong in a training run. What was saved before stays.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    #[error(transparent)]
    Run(#[from] RunError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Nn(#[from] NnError),
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A setting that is impossible; the message names it and what is possible.
    #[error("{0}")]
    Config(String),
    #[error(
        "the run's state at step {step} does not fit: {message}; remove that checkpoint to continue from an earlier one"
    )]
    BadState { step: u64, message: String },
    #[error("'{path}' cannot be used: {message}")]
    WrongRun { path: String, message: String },
    /// The simulator, the graphics device, a learner: the message names the place and the cure.
    #[error(transparent)]
    Other(BoxError),
}

impl TrainError {
    /// Wraps an error of a learner or a source.
    pub fn other(error: impl Into<BoxError>) -> Self {
        Self::Other(error.into())
    }

    /// A saved state that does not fit; the training loop adds the step.
    pub fn state(message: impl ToString) -> Self {
        Self::BadState { step: 0, message: message.to_string() }
    }

    /// Adds the number of the step whose checkpoint does not fit.
    pub(super) fn at_step(self, number: u64) -> Self {
        match self {
            Self::BadState { message, .. } => Self::BadState { step: number, message },
            error => error,
        }
    }
}
