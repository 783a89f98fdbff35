//! What can go wrong in learning to grasp.

use super::vec_env::VecEnvError;
use crate::files::atomic::FileError;
use crate::gan::state::StateError;
use crate::nn::NnError;
use crate::train::{CheckpointError, RunError};

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
    Run(#[from] RunError),
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error("the checkpoint '{path}' holds no '{group}'; it is not one of a QT-Opt run")]
    NoGroup { path: String, group: String },
    #[error("'{path}' cannot be used: {message}")]
    NotQtOpt { path: String, message: String },
    #[error(
        "the run's state at step {step} does not fit: {message}; remove that checkpoint to go on from an earlier one"
    )]
    BadState { step: u64, message: String },
    #[error("{0}")]
    TrainCallback(String),
}
