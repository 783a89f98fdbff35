//! The settings of a run of PPO beside the learner's own: where its episodes come from.

use super::codec::{DepthInput, TaskCodec};
use super::config::PpoConfig;
use crate::contract::{ActionSpace, TaskKind};
use crate::train::{EnvData, LearnerConfig};
use serde::{Deserialize, Serialize};

/// The section `data` of `config.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PpoData {
    /// Domain, cell, objects, camera and number of the environments.
    #[serde(flatten)]
    pub env: EnvData,
    /// The task whose episodes are played; it decides the network's state vector and action numbers.
    pub task: TaskKind,
    /// Edge of the square images, pixels.
    pub size: usize,
    /// How the network sees depth; `as-measured` in runs that do not say it.
    #[serde(default)]
    pub depth: DepthInput,
    /// In `pose-grasp`: the reward of equation 1 after every step, and not after the last alone.
    pub every_step_reward: bool,
    /// Greedy episodes of an evaluation.
    pub eval_episodes: usize,
    /// What one action may do.
    pub space: ActionSpace,
}

impl PpoData {
    /// How this task's observations become numbers, and numbers its actions.
    pub fn codec(&self) -> TaskCodec {
        TaskCodec { task: self.task, space: self.space, size: self.size, depth: self.depth }
    }
}

impl LearnerConfig for PpoConfig {
    const NAME: &'static str = "ppo";
    type Data = PpoData;

    fn validate(&self, data: &PpoData) -> Result<(), String> {
        data.env.validate()?;
        if !(36..=512).contains(&data.size) {
            return Err(format!("data.size must be from 36 to 512 pixels, not {}", data.size));
        }
        if data.env.num_envs != self.num_envs {
            let (found, expected) = (data.env.num_envs, self.num_envs);
            return Err(format!("data.num_envs is {found} and ppo.num_envs {expected}; set ppo.num_envs alone"));
        }
        if data.eval_episodes > 1_000_000 {
            return Err(format!("data.eval_episodes must be from 0 to 1000000, not {}", data.eval_episodes));
        }
        Self::validate(self)
    }

    /// Linear, to 0 at the end.
    fn lr_scale(&self, _step: u64, done: f64) -> f64 {
        (1.0 - done).max(0.0)
    }
}
