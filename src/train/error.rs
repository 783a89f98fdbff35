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
    /// The run's folder could not be opened, read or written.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A network's state does not fit, or gradients were not finite several times in a row.
    #[error(transparent)]
    Nn(#[from] NnError),
    /// The tensor library failed: shapes that do not fit, or a device without memory.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
    /// A learner's tensors could not be turned into a checkpoint's bytes, or back.
    #[error(transparent)]
    State(#[from] StateError),
    /// A checkpoint could not be written or read, or lacks a group.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A setting that is impossible; the message names it and what is possible.
    #[error("{0}")]
    Config(String),
    /// A state does not fit: learner or source cannot take it over from a checkpoint, or JSON cannot hold it.
    #[error(
        "the run's state at step {step} does not fit: {message}; remove that checkpoint to continue from an earlier one"
    )]
    BadState {
        /// Number of the checkpoint's step; 0 before the training loop has added it.
        step: u64,
        /// The mismatch in words.
        message: String,
    },
    /// A run cannot be used: it is of another learner or format, its settings are wrong, or it has no checkpoint.
    #[error("'{path}' cannot be used: {message}")]
    WrongRun {
        /// The run's folder or the file that was read.
        path: String,
        /// The reason and the cure.
        message: String,
    },
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
