//! The settings of a run of RCAN beside the learner's own: where its frames come from.

use super::config::RcanConfig;
use crate::train::{EnvData, LearnerConfig, warmup_cosine};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The section `data` of `config.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RcanData {
    #[serde(flatten)]
    pub env: EnvData,
    /// A dataset of pairs in place of the live simulator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset: Option<PathBuf>,
    /// Frames in each block of the source.
    pub frames_per_block: usize,
}

impl LearnerConfig for RcanConfig {
    const NAME: &'static str = "rcan";
    type Data = RcanData;

    fn validate(&self, data: &RcanData) -> Result<(), String> {
        data.env.validate()?;
        if data.frames_per_block == 0 {
            return Err("data.frames_per_block must be at least 1".to_owned());
        }
        Self::validate(self).map_err(|error| error.to_string())
    }

    fn lr_scale(&self, step: u64, done: f64) -> f64 {
        warmup_cosine(self.num_warmup_steps, self.final_lr_scale, step, done)
    }
}
