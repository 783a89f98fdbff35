//! The learner: the actor-critic and its optimizer; one call is one update, a few passes over a rollout.

use super::config::PpoConfig;
use super::gaussian::bounded;
use super::loss::{approx_kl, clip_fraction, clipped_policy_loss, explained_variance, mean, normalized, value_loss};
use super::network::{ActorCritic, NetworkConfig, Observations};
use super::rollout::Rollout;
use crate::contract::{Rng, Seed};
use crate::nn::{Adam, Gradients, NnError, StepReport, backward};
use crate::train::{Checkpoint, Learner, Metrics, Module, TrainError};

use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum PpoError {
    /// A setting of PPO or a size of the network is impossible; the message names it and its cure.
    #[error("{0}")]
    Config(String),
    /// The network or its optimizer cannot be built, or gradients were not finite three times in a row.
    #[error(transparent)]
    Nn(#[from] NnError),
    /// A tensor operation failed: observations of other sizes, or a device.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
    /// What was given is not one for each environment and step, or a rollout is incomplete.
    #[error("{found} {what}, expected {expected}; give one for each environment and step")]
    Count {
        /// Noun in the plural, as the message has it (`rewards`, `last values`).
        what: &'static str,
        /// How many the settings ask for.
        expected: usize,
        /// How many there were.
        found: usize,
    },
    /// A step was pushed into a full buffer.
    #[error("the rollout has its {num_steps} steps; finish it and update before the next")]
    Full {
        /// Steps of each environment that the buffer holds.
        num_steps: usize,
    },
    /// A reward was NaN or infinite.
    #[error("environment {env} gave the reward {reward}; rewards must be finite")]
    Reward {
        /// Place of the environment among the rollout's, from 0.
        env: usize,
        /// The reward as it came.
        reward: f32,
    },
}

impl From<PpoError> for TrainError {
    fn from(error: PpoError) -> Self {
        match error {
            PpoError::Config(message) => Self::Config(message),
            PpoError::Nn(error) => Self::Nn(error),
            PpoError::Candle(error) => Self::Candle(error),
            other => Self::other(other),
        }
    }
}

/// The policy's choices for one step of all environments.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decisions {
    /// `[n, actions]` as drawn, which the update needs.
    pub actions: Vec<f32>,
    /// `[n, actions]` in [-1, 1], which environments take.
    pub env_actions: Vec<f32>,
    /// `[n]` log-densities of the unclipped `actions`.
    pub log_probs: Vec<f32>,
    /// `[n]` values of the observations that were decided on, by the critic.
    pub values: Vec<f32>,
}

/// Figures of one update: means over its minibatches.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PpoMetrics {
    /// Loss of the clipped objective; in imitation the mean squared error of the means, in shares of the action bound.
    pub policy_loss: f64,
    /// Half the mean squared error of values and returns, before `value_coef`.
    pub value_loss: f64,
    /// Entropy of the policy's distribution, in nats, summed over the action's dimensions.
    pub entropy: f64,
    /// Estimate of the KL divergence from the rollout's policy, in nats; never negative.
    pub approx_kl: f64,
    /// Share of probability ratios outside the clip range, from 0 to 1.
    pub clipfrac: f64,
    /// Of the rollout's values; NaN where all returns are equal.
    pub explained_variance: f64,
    /// Global norm of all gradients, before clipping.
    pub gradient_norm: f64,
    /// Passes made.
    pub epochs: usize,
    /// Adam's learning rate of this update, with the schedule's factor.
    pub learning_rate: f64,
    /// Mean standard deviation of the policy.
    pub std: f64,
    /// Of the episodes that ended in the rollout; NaN where none did.
    pub episodic_return: f64,
    /// Mean number of steps of those episodes; NaN where none ended.
    pub episodic_length: f64,
}

impl PpoMetrics {
    /// By the names of CleanRL and Stable-Baselines3.
    pub fn named(&self) -> [(&'static str, f64); 12] {
        [
            ("losses/policy_loss", self.policy_loss),
            ("losses/value_loss", self.value_loss),
            ("losses/entropy", self.entropy),
            ("losses/approx_kl", self.approx_kl),
            ("losses/clipfrac", self.clipfrac),
            ("losses/explained_variance", self.explained_variance),
            ("losses/gradient_norm", self.gradient_norm),
            ("charts/update_epochs", self.epochs as f64),
            ("charts/learning_rate", self.learning_rate),
            ("charts/action_std", self.std),
            ("charts/episodic_return", self.episodic_return),
            ("charts/episodic_length", self.episodic_length),
        ]
    }
}

/// Everything that learns, with the generator that draws actions and minibatches.
pub struct PpoLearner {
    config: PpoConfig,
    /// Actor and critic; each update changes their parameters.
    pub network: ActorCritic,
    adam: Adam,
    rng: Rng,
    updates: u64,
}

/// What a checkpoint holds beside tensors.
#[derive(Serialize, Deserialize)]
struct SavedState {
    rng: Rng,
}

/// The network's name in checkpoints.
pub const NETWORK: &str = "actor_critic";
const ADAM: &str = "actor_critic_adam";

impl PpoLearner {
    /// # Errors
    /// An impossible setting.
    pub fn new(config: &PpoConfig, network: NetworkConfig, seed: Seed, device: &Device) -> Result<Self, PpoError> {
        config.validate().map_err(PpoError::Config)?;
        network.validate().map_err(PpoError::Config)?;
        let network = ActorCritic::new(&network, seed.derive("actor_critic", 0), device)?;
        let adam = Adam::new(&[network.store()], config.adam)?;
        Ok(Self { config: config.clone(), network, adam, rng: seed.derive("ppo", 0).rng(), updates: 0 })
    }

    /// The settings that were validated when the learner was made.
    pub fn config(&self) -> &PpoConfig {
        &self.config
    }

    /// The network's sizes, which a [`RolloutBuffer`](super::RolloutBuffer) needs as well.
    pub fn network_config(&self) -> &NetworkConfig {
        self.network.config()
    }

    /// Draws an action for each observation with the learner's own generator.
    ///
    /// # Errors
    /// Observations of other sizes.
    pub fn act(&mut self, observations: &Observations) -> Result<Decisions, PpoError> {
        let mut rng = self.rng.clone();
        let decisions = self.decide(observations, &mut rng);
        self.rng = rng;
        decisions
    }

    /// Draws an action for each observation.
    ///
    /// # Errors
    /// Observations of other sizes.
    pub fn decide(&self, observations: &Observations, rng: &mut Rng) -> Result<Decisions, PpoError> {
        let _frozen = self.network.store().freeze();
        let out = self.network.forward(observations)?;
        let actions = out.policy.sample(rng)?;
        let drawn = Tensor::from_slice(&actions, out.policy.mean.dims(), out.policy.mean.device())?;
        let log_probs = out.policy.log_prob(&drawn)?.to_vec1()?;
        let env_actions = self.bounded(&actions);
        Ok(Decisions { actions, env_actions, log_probs, values: out.values.to_vec1()? })
    }

    /// The policy's means as environments take them, `[n, actions]` in [-1, 1]: how it is judged.
    ///
    /// # Errors
    /// Observations of other sizes.
    pub fn act_greedily(&self, observations: &Observations) -> Result<Vec<f32>, PpoError> {
        let _frozen = self.network.store().freeze();
        let out = self.network.forward(observations)?;
        Ok(self.bounded(&out.policy.mean.flatten_all()?.to_vec1::<f32>()?))
    }

    /// The critic's values.
    ///
    /// # Errors
    /// Observations of other sizes.
    pub fn values(&self, observations: &Observations) -> Result<Vec<f32>, PpoError> {
        let _frozen = self.network.store().freeze();
        Ok(self.network.forward(observations)?.values.to_vec1()?)
    }

    fn bounded(&self, actions: &[f32]) -> Vec<f32> {
        actions.iter().map(|&action| bounded(action, self.config.action_bound)).collect()
    }

    /// Learns from a rollout. `lr_scale` is the schedule's factor: it scales the learning rate and, where the settings say so,
    /// the entropy bonus.
    ///
    /// # Errors
    /// An empty rollout, or gradients that are not finite three times in a row.
    pub fn learn(&mut self, rollout: &Rollout, lr_scale: f64) -> Result<PpoMetrics, PpoError> {
        if rollout.is_empty() {
            return Err(PpoError::Count { what: "transitions", expected: self.config.minibatch_size, found: 0 });
        }
        let learning_rate = self.config.learning_rate * lr_scale;
        let mut order: Vec<usize> = (0..rollout.len()).collect();
        let mut total = PpoMetrics::default();
        let mut minibatches = 0_usize;
        let mut epochs = 0;
        while epochs < self.config.num_epochs {
            self.rng.shuffle(&mut order);
            let mut kls = Vec::new();
            for indices in order.chunks(self.config.minibatch_size) {
                let figures = self.minibatch(rollout, indices, lr_scale)?;
                total.policy_loss += figures.policy_loss;
                total.value_loss += figures.value_loss;
                total.entropy += figures.entropy;
                total.approx_kl += figures.approx_kl;
                total.clipfrac += figures.clipfrac;
                total.gradient_norm += figures.gradient_norm;
                kls.push(figures.approx_kl);
                minibatches += 1;
            }
            epochs += 1;
            if self.config.target_kl.is_some_and(|limit| mean(kls.iter().copied()) > limit) {
                break;
            }
        }
        self.updates += 1;
        let each = |sum: f64| sum / minibatches as f64;
        let std = self.network.std()?;
        Ok(PpoMetrics {
            policy_loss: each(total.policy_loss),
            value_loss: each(total.value_loss),
            entropy: each(total.entropy),
            approx_kl: each(total.approx_kl),
            clipfrac: each(total.clipfrac),
            gradient_norm: each(total.gradient_norm),
            explained_variance: explained_variance(&rollout.values, &rollout.returns),
            epochs,
            learning_rate,
            std: mean(std.iter().map(|&std| f64::from(std))),
            episodic_return: rollout.episodic_return.unwrap_or(f64::NAN),
            episodic_length: rollout.episodic_length.unwrap_or(f64::NAN),
        })
    }

    /// The observations of some rows of a rollout.
    pub(super) fn rows(&self, rollout: &Rollout, indices: &[usize]) -> Observations {
        let network = self.network.config();
        Observations {
            count: indices.len(),
            images: rows_of(&rollout.observations.images, indices, network.image_len()),
            states: rows_of(&rollout.observations.states, indices, network.state_len),
        }
    }

    pub(super) fn shuffle(&mut self, order: &mut [usize]) {
        self.rng.shuffle(order);
    }

    pub(super) fn step_adam(&mut self, gradients: &Gradients, learning_rate: f64) -> Result<StepReport, NnError> {
        self.adam.step(gradients, learning_rate)
    }

    pub(super) fn count_update(&mut self) {
        self.updates += 1;
    }

    fn minibatch(&mut self, rollout: &Rollout, indices: &[usize], lr_scale: f64) -> Result<PpoMetrics, PpoError> {
        let observations = self.rows(rollout, indices);
        let (network, device) = (self.network.config(), self.network.store().device());
        let rows = |from: &[f32], width: usize| rows_of(from, indices, width);
        let vector = |from: &[f32]| Tensor::from_vec(rows(from, 1), indices.len(), device);
        let actions = rows(&rollout.actions, network.actions);
        let actions = Tensor::from_vec(actions, (indices.len(), network.actions), device)?;
        let mut advantages = rows(&rollout.advantages, 1);
        if self.config.normalize_advantages {
            advantages = normalized(&advantages);
        }
        let advantages = Tensor::from_vec(advantages, indices.len(), device)?;
        let old_log_prob = vector(&rollout.log_probs)?;

        let out = self.network.forward(&observations)?;
        let log_prob = out.policy.log_prob(&actions)?;
        let entropy = out.policy.entropy()?;
        let policy_loss = clipped_policy_loss(&log_prob, &old_log_prob, &advantages, self.config.clip_range)?;
        let value_loss = value_loss(&out.values, &vector(&rollout.returns)?)?;
        let anneal = if self.config.anneal_entropy { lr_scale } else { 1.0 };
        let bonus = (&entropy * (self.config.entropy_coef * anneal))?;
        let total = ((&policy_loss + (&value_loss * self.config.value_coef)?)? - bonus)?;
        let report = self.adam.step(&backward(&total)?, self.config.learning_rate * lr_scale)?;

        let scalar = |tensor: &Tensor| -> candle_core::Result<f64> { Ok(f64::from(tensor.to_scalar::<f32>()?)) };
        let (new, old) = (log_prob.to_vec1::<f32>()?, old_log_prob.to_vec1::<f32>()?);
        Ok(PpoMetrics {
            policy_loss: scalar(&policy_loss)?,
            value_loss: scalar(&value_loss)?,
            entropy: scalar(&entropy)?,
            approx_kl: approx_kl(&new, &old),
            clipfrac: clip_fraction(&new, &old, self.config.clip_range),
            gradient_norm: report.gradient_norm,
            ..PpoMetrics::default()
        })
    }
}

fn rows_of(from: &[f32], indices: &[usize], width: usize) -> Vec<f32> {
    indices.iter().flat_map(|&index| from[index * width..(index + 1) * width].iter().copied()).collect()
}

impl Learner for PpoLearner {
    type Batch = Rollout;

    fn update(&mut self, rollout: &Rollout, lr_scale: f64) -> Result<Metrics, TrainError> {
        let figures =
            if self.config.imitation { self.imitate(rollout, lr_scale)? } else { self.learn(rollout, lr_scale)? };
        Ok(figures.named().to_vec())
    }

    /// Updates made.
    fn step(&self) -> u64 {
        self.updates
    }

    fn set_step(&mut self, step: u64) {
        self.updates = step;
    }

    fn modules(&mut self) -> Vec<(&'static str, Module<'_>)> {
        vec![(NETWORK, Module::Network(self.network.store())), (ADAM, Module::Optimizer(&mut self.adam))]
    }

    /// The generator of actions and minibatches.
    fn state(&self) -> Result<serde_json::Value, TrainError> {
        serde_json::to_value(SavedState { rng: self.rng.clone() }).map_err(TrainError::other)
    }

    fn restore(&mut self, state: serde_json::Value, _checkpoint: &Checkpoint) -> Result<(), TrainError> {
        let saved: SavedState = serde_json::from_value(state).map_err(TrainError::state)?;
        self.rng = saved.rng;
        Ok(())
    }
}
