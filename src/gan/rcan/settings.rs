//! The settings of a run of RCAN beside the learner's own: where its frames come from.

use super::config::RcanConfig;
use crate::train::{EnvData, LearnerConfig, warmup_cosine};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The section `data` of `config.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RcanData {
    /// The environments that pairs are rendered in, where no dataset is given.
    #[serde(flatten)]
    pub env: EnvData,
    /// A dataset of pairs in place of the live simulator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset: Option<PathBuf>,
    /// A run of `train qtopt` whose agent plays in place of the scripts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<PathBuf>,
    /// The part of the environments that it plays in, above 0 and at most 1; the scripts play in the others.
    #[serde(default = "everywhere", skip_serializing_if = "is_everywhere")]
    pub policy_share: f64,
    /// The live simulator's randomized pictures are as random cameras take them: lens, soft shade, noise, blur, compression.
    /// The paper and its preset have none, nor do runs before this setting.
    #[serde(default)]
    pub camera_effects: bool,
    /// Frames in each block of the source.
    pub frames_per_block: usize,
}

fn everywhere() -> f64 {
    1.0
}

fn is_everywhere(share: &f64) -> bool {
    *share >= 1.0
}

impl LearnerConfig for RcanConfig {
    const NAME: &'static str = "rcan";
    type Data = RcanData;

    fn validate(&self, data: &RcanData) -> Result<(), String> {
        data.env.validate()?;
        if !(1..=1_000_000).contains(&data.frames_per_block) {
            return Err(format!("data.frames_per_block must be from 1 to 1000000, not {}", data.frames_per_block));
        }
        if !(data.policy_share > 0.0 && data.policy_share <= 1.0) {
            return Err(format!("data.policy_share must be above 0 and at most 1, not {}", data.policy_share));
        }
        if data.policy.is_some() && data.dataset.is_some() {
            return Err(
                "data.policy plays in the live simulator, and data.dataset takes its place: name one of them; \
                        `dataset generate --policy` writes what an agent does"
                    .to_owned(),
            );
        }
        Self::validate(self).map_err(|error| error.to_string())
    }

    fn lr_scale(&self, step: u64, done: f64) -> f64 {
        warmup_cosine(self.num_warmup_steps, self.final_lr_scale, step, done)
    }
}
