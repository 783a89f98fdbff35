//! Which simulated environments a learner trains in: the settings that every learner on live simulation shares.

use crate::contract::{Crop, Domain};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
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
    /// Which window of the camera's picture is seen.
    pub crop: Crop,
    /// Environments stepped side by side, 1 to 4096.
    pub num_envs: usize,
    /// How the files of a folder of objects are read, where that is not as usual.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object_files: Option<ObjectFiles>,
    /// SHA-256 of a user's objects, textures and datasets, by the setting that names them: what a run was begun with is
    /// remembered by its contents.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub digests: BTreeMap<String, String>,
}

/// What object files do not say themselves.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectFiles {
    /// Multiplies every length.
    pub scale: f32,
    /// kg/m^3, for files without a mass.
    pub density: f32,
    /// For files without a friction coefficient.
    pub friction: f32,
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
        if let Some(files) = self.object_files {
            let ObjectFiles { scale, density, friction } = files;
            for (name, value, low, high) in
                [("scale", scale, 1e-6, 1e6), ("density", density, 1.0, 30_000.0), ("friction", friction, 0.0, 10.0)]
            {
                if !(low..=high).contains(&value) {
                    return Err(format!("data.object_files.{name} must be from {low} to {high}, not {value}"));
                }
            }
        }
        Ok(())
    }
}
