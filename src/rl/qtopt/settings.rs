//! The settings of a run of QT-Opt beside the learner's own: where its episodes come from.

use super::config::QtOptConfig;
use super::network::QNetwork;
use crate::contract::{ActionSpace, Domain};
use crate::train::{EnvData, LearnerConfig, warmup_cosine};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The section `data` of `config.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QtOptData {
    /// Domain, cell, objects, camera and number of the simulated environments.
    #[serde(flatten)]
    pub env: EnvData,
    /// The policy that explores without learning.
    pub script: String,
    /// A run whose generator the agent looks through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generator: Option<PathBuf>,
    /// Recorded episodes that stand in for the script's first ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offline: Option<PathBuf>,
    /// A run whose weights are the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init: Option<PathBuf>,
    /// Episodes of that run's replays, the newest, that this run's replays begin with in place of the script's first ones.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub init_episodes: u64,
    /// A recording of the domain to transfer to, with a replay and a Bellman updater of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub real: Option<PathBuf>,
    /// The domain to transfer to, where the policy also plays while it learns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_policy_domain: Option<Domain>,
    /// Episodes that it may play there in all.
    #[serde(default)]
    pub on_policy_episodes: u64,
    /// The simulator plays nothing: batches are of the recording, and of what the policy plays in the domain to transfer to.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub real_only: bool,
    /// What one action may do.
    pub space: ActionSpace,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl LearnerConfig for QtOptConfig {
    const NAME: &'static str = "qtopt";
    type Data = QtOptData;

    fn validate(&self, data: &QtOptData) -> Result<(), String> {
        data.env.validate()?;
        if data.on_policy_domain.is_some() != (data.on_policy_episodes > 0) {
            return Err(
                "data.on_policy_domain and data.on_policy_episodes belong together: name both, or neither".into()
            );
        }
        if data.init_episodes > 0 && (data.init.is_none() || data.offline.is_some() || data.real_only) {
            return Err(
                "data.init_episodes are simulated episodes of the agent in data.init: name that run, and leave \
                        data.offline and data.real_only out"
                    .into(),
            );
        }
        if data.real_only {
            if data.real.is_none() && data.on_policy_domain.is_none() {
                return Err(
                    "data.real_only leaves nothing to learn from: name a recording (--real) or a domain to play \
                            in (--on-policy-domain)"
                        .into(),
                );
            }
            let sees = self.network.map_features.min(self.network.grip_features) > 0;
            if self.q_network() == QNetwork::StateEstimating && !sees {
                return Err(
                    "real data alone have no labels to teach the state-estimating network to see: take --network \
                            end-to-end, \
                            or begin with a run that had labels (--init) and has qtopt.network.map_features=4, \
                            qtopt.network.grip_features=32 and qtopt.auxiliary_interval=1"
                        .into(),
                );
            }
        }
        Self::validate(self)
    }

    fn lr_scale(&self, step: u64, done: f64) -> f64 {
        warmup_cosine(self.num_warmup_steps, self.final_lr_scale, step, done)
    }
}
