//! Settings of PPO. The defaults are those of Unity's ML-Agents of 2019 and 2020, which the paper's simulator is made with,
//! where they fit three-step episodes.

use crate::nn::AdamConfig;
use serde::{Deserialize, Serialize};

/// How rollouts are collected and learned from; [`Self::validate`] has the ranges.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PpoConfig {
    /// Environments stepped side by side.
    pub num_envs: usize,
    /// Steps of each environment in a rollout.
    pub num_steps: usize,
    /// Passes over a rollout.
    pub num_epochs: usize,
    /// Transitions of one gradient step; the last one of a pass may be smaller.
    pub minibatch_size: usize,
    /// Adam's learning rate, multiplied by the schedule's factor.
    pub learning_rate: f64,
    /// Adam's moments, weight decay and clipping; by default gradients are clipped to a global norm of 0.5.
    pub adam: AdamConfig,
    /// Epsilon of the clipped objective.
    pub clip_range: f64,
    /// Weight of the value loss beside the clipped objective's, 0 or more.
    pub value_coef: f64,
    /// Weight of the entropy bonus, and
    pub entropy_coef: f64,
    /// whether it falls with the learning rate's schedule.
    pub anneal_entropy: bool,
    /// Discount.
    pub gamma: f64,
    /// Lambda of the generalized advantage estimator.
    pub gae_lambda: f64,
    /// Advantages of each minibatch are brought to mean 0 and standard deviation 1.
    pub normalize_advantages: bool,
    /// An update ends after the pass whose mean approximate KL divergence exceeds this.
    pub target_kl: Option<f64>,
    /// Gaussian actions are clipped to +- this and divided by it, so environments get [-1, 1]; the log-probability stays that
    /// of the unclipped action (ML-Agents has 3).
    pub action_bound: f32,
    /// In place of PPO, the means are regressed to what a script that reads the state would do in the states that the policy
    /// visits: a ceiling, not an agent.
    pub imitation: bool,
}

impl Default for PpoConfig {
    fn default() -> Self {
        Self {
            num_envs: 64,
            num_steps: 30,
            num_epochs: 4,
            minibatch_size: 256,
            learning_rate: 3e-4,
            adam: AdamConfig { epsilon: 1e-5, clip_norm: Some(0.5), ..AdamConfig::default() },
            clip_range: 0.2,
            value_coef: 0.5,
            entropy_coef: 5e-3,
            anneal_entropy: true,
            gamma: 0.99,
            gae_lambda: 0.95,
            normalize_advantages: true,
            target_kl: Some(0.02),
            action_bound: 3.0,
            imitation: false,
        }
    }
}

impl PpoConfig {
    /// # Errors
    /// The first setting that makes no sense, with its cure.
    pub fn validate(&self) -> Result<(), String> {
        let counts = [
            ("num_envs", self.num_envs),
            ("num_steps", self.num_steps),
            ("num_epochs", self.num_epochs),
            ("minibatch_size", self.minibatch_size),
        ];
        for (name, count) in counts {
            if count == 0 {
                return Err(format!("ppo.{name} is 0; give at least 1"));
            }
        }
        for (name, share) in [("gamma", self.gamma), ("gae_lambda", self.gae_lambda)] {
            if !(0.0..=1.0).contains(&share) {
                return Err(format!("ppo.{name} is {share}; give a number from 0 to 1"));
            }
        }
        for (name, positive) in [
            ("learning_rate", self.learning_rate),
            ("clip_range", self.clip_range),
            ("action_bound", f64::from(self.action_bound)),
            ("target_kl", self.target_kl.unwrap_or(1.0)),
        ] {
            if !(positive.is_finite() && positive > 0.0) {
                return Err(format!("ppo.{name} is {positive}; give a number above 0"));
            }
        }
        self.adam.validate().map_err(|problem| format!("ppo.adam.{problem}"))?;
        for (name, weight) in [("value_coef", self.value_coef), ("entropy_coef", self.entropy_coef)] {
            if !(weight.is_finite() && weight >= 0.0) {
                return Err(format!("ppo.{name} is {weight}; give 0 or more"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_settings_name_their_cure() {
        assert_eq!(PpoConfig::default().validate(), Ok(()));
        let wrong = PpoConfig { gamma: 1.5, ..PpoConfig::default() };
        assert_eq!(wrong.validate(), Err("ppo.gamma is 1.5; give a number from 0 to 1".into()));
        assert!(PpoConfig { num_envs: 0, ..PpoConfig::default() }.validate().is_err());
        assert!(PpoConfig { target_kl: Some(0.0), ..PpoConfig::default() }.validate().is_err());
        assert!(PpoConfig { target_kl: None, ..PpoConfig::default() }.validate().is_ok());
    }
}
