//! What can go wrong in learning to grasp.

use crate::contract::VecEnvError;
use crate::files::atomic::FileError;
use crate::nn::NnError;
use crate::train::state::StateError;
use crate::train::{CheckpointError, TrainError};

/// Why a learner of this room, its source of batches or the loading of its run failed.
#[derive(Debug, thiserror::Error)]
pub enum RlError {
    /// A setting is impossible, or does not fit the environments or the data that it names; the message says why.
    #[error("{0}")]
    Config(String),
    /// The environments failed while episodes were played, or a recording while it was read.
    #[error(transparent)]
    VecEnv(#[from] VecEnvError),
    /// A network cannot be built, loaded or trained: sizes, tensors of another network, or gradients that stay infinite
    /// or NaN.
    #[error(transparent)]
    Nn(#[from] NnError),
    /// A tensor operation failed: shapes that do not fit, or a device.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
    /// A file of a checkpoint holds tensors that no network can take over.
    #[error(transparent)]
    State(#[from] StateError),
    /// A checkpoint is damaged, or lacks the network that is to be loaded.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A replay file, or its folder, cannot be read, written or listed.
    #[error(transparent)]
    File(#[from] FileError),
    /// A run cannot be loaded: no run, one of another learner, or no whole checkpoint.
    #[error(transparent)]
    Train(#[from] Box<TrainError>),
    /// The image translation or the training threads failed, beside what the other variants name.
    #[error(transparent)]
    Other(Box<dyn std::error::Error + Send + Sync>),
    /// A request to stop came before training had begun.
    #[error("interrupted before the first step")]
    Interrupted,
    /// A state of the run that does not fit its other parts.
    #[error("{0}")]
    Inconsistent(String),
}

impl RlError {
    /// An error of another room.
    pub fn other(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Other(error.into())
    }
}

impl From<RlError> for TrainError {
    fn from(error: RlError) -> Self {
        Self::other(error)
    }
}
