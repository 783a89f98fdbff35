//! What can go wrong in unpaired translation.

use super::config::ConfigError;
use crate::gan::image_pool::PoolError;
use crate::nn::NnError;

/// Errors of the generators, discriminators, their learner and their data.
#[derive(Debug, thiserror::Error)]
pub enum CycleGanError {
    /// A setting is impossible; the message says what is possible.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Parameters, an optimizer or their saved state fail, or gradients are not finite three times in a row.
    #[error(transparent)]
    Nn(#[from] NnError),
    /// A tensor operation fails: images of another shape, or a device.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
    /// The images of a saved pool do not fit the pool's settings.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// A batch or a collaborator that does not fit the settings.
    #[error("{0}")]
    Input(String),
    /// A group, tensor or number of a saved state is missing, too many or unreadable.
    #[error("the saved state of the learner does not fit: {0}; load a checkpoint of a run with the same settings")]
    State(String),
}
