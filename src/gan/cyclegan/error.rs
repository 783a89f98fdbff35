//! What can go wrong in unpaired translation.

use super::config::ConfigError;
use crate::gan::frames::FrameError;
use crate::gan::image_pool::PoolError;
use crate::nn::NnError;

/// Errors of the generators, discriminators, their learner and their data.
#[derive(Debug, thiserror::Error)]
pub enum CycleGanError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Nn(#[from] NnError),
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
    #[error(transparent)]
    Pool(#[from] PoolError),
    #[error(transparent)]
    Frames(#[from] FrameError),
    /// A batch or a collaborator that does not fit the settings.
    #[error("{0}")]
    Input(String),
    #[error("the saved state of the learner does not fit: {0}; load a checkpoint of a run with the same settings")]
    State(String),
}
