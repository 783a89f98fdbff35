//! What can go wrong in learning to grasp.

use crate::contract::VecEnvError;
use crate::files::atomic::FileError;
use crate::nn::NnError;
use crate::train::state::StateError;
use crate::train::{CheckpointError, TrainError};

#[derive(Debug, thiserror::Error)]
pub enum RlError {
    #[error("{0}")]
    Config(String),
    #[error(transparent)]
    VecEnv(#[from] VecEnvError),
    #[error(transparent)]
    Nn(#[from] NnError),
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Train(#[from] Box<TrainError>),
    #[error(transparent)]
    Other(Box<dyn std::error::Error + Send + Sync>),
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
