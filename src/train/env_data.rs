//! Which simulated environments a learner trains in: the settings that every learner on live simulation shares.

use crate::contract::{Crop, Domain};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Environments to train in, as in the section `data` of `config.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EnvData {
    /// The source domain that is rendered.
    pub domain: Domain,
    /// Name or TOML file of the cell.
    #[serde(default = "usual_cell")]
    pub cell: String,
    /// `train`, `test`, `all`, or a folder of objects.
    pub objects: String,
    /// A folder of texture images for the randomized domains.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub textures: Option<PathBuf>,
    /// The cell's camera to look through.
    pub camera: String,
    pub crop: Crop,
    pub num_envs: usize,
}

fn usual_cell() -> String {
    "iiwa-bin".to_owned()
}

impl EnvData {
    /// # Errors
    /// The first impossible setting, and what is possible.
    pub fn validate(&self) -> Result<(), String> {
        if self.num_envs == 0 || self.num_envs > 4096 {
            return Err(format!("data.num_envs must be from 1 to 4096, not {}", self.num_envs));
        }
        if self.camera.is_empty() {
            return Err("data.camera must name one of the cell's cameras".to_owned());
        }
        Ok(())
    }
}
