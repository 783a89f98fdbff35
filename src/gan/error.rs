//! What can be wrong with the settings of an image learner.

/// An impossible setting, and what is possible.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(pub String);
