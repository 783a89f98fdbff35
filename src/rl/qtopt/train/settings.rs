//! The whole of a run's settings: its `config.toml`.

use crate::rl::action::ActionSpace;
use crate::rl::error::RlError;
use crate::rl::qtopt::config::QtOptConfig;
use crate::train::Limits;
use crate::train::directory::check_run_format;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The learner's name in `config.toml`.
pub const LEARNER: &str = "qtopt";

/// The whole of a run's settings: its `config.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// [`RUN_FORMAT`](crate::train::directory::RUN_FORMAT).
    pub format_version: u32,
    /// `qtopt`
    pub learner: String,
    #[serde(with = "crate::contract::seed::seed_number")]
    pub seed: u64,
    /// Rounds between checkpoints, and between pictures with diagnostics.
    pub checkpoint_interval: u64,
    pub image_interval: u64,
    pub limits: Limits,
    /// What one step may do.
    pub space: ActionSpace,
    /// Where episodes are played; for whoever opens the environments.
    pub data: toml::Table,
    pub qtopt: QtOptConfig,
}

impl Settings {
    /// Reads the settings of the run in `root`.
    ///
    /// # Errors
    /// Text that is no such settings, or those of another learner.
    pub fn parse(text: &str, root: &Path) -> Result<Self, RlError> {
        let fail =
            |message: String| RlError::NotQtOpt { path: root.join("config.toml").display().to_string(), message };
        let table: toml::Table = toml::from_str(text).map_err(|e| fail(e.to_string()))?;
        match table.get("learner").and_then(toml::Value::as_str) {
            Some(LEARNER) => {}
            other => return Err(fail(format!("it is a run of '{}', not of qtopt", other.unwrap_or("nothing known")))),
        }
        check_run_format(&table).map_err(&fail)?;
        let settings: Self = toml::from_str(text).map_err(|e| {
            let of_another = ["missing field", "unknown field"].iter().any(|sign| e.message().contains(sign));
            let cure =
                "\nanother version of bingrasp wrote it, unless somebody changed it: use that version, or train anew";
            fail(format!("{e}{}", if of_another { cure } else { "" }))
        })?;
        settings.qtopt.validate().map_err(|e| fail(format!("qtopt: {e}")))?;
        settings.limits.validate().map_err(|e| fail(format!("limits: {e}")))?;
        Ok(settings)
    }
}
