//! What was seen and done between two updates.

use super::advantage::{StepValue, generalized_advantages};
use super::config::PpoConfig;
use super::learner::{Decisions, PpoError};
use super::loss::mean;
use super::network::{NetworkConfig, Observations};
use serde::{Deserialize, Serialize};

/// How a step left the episode.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum EpisodeEnd {
    /// Another step of the same episode follows.
    #[default]
    None,
    /// The episode is over: nothing comes after it.
    Terminated,
    /// A time limit cut it off where the critic gives its last observation this value ([`super::PpoLearner::values`]).
    Truncated {
        /// The critic's value of the episode's last observation, in the place of the rewards that were cut off.
        value: f32,
    },
}

/// What the environments answered to one step's actions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Transitions {
    /// `[num_envs]`, finite: the reward of this step alone.
    pub rewards: Vec<f32>,
    /// `[num_envs]`, in the order of the rewards.
    pub ends: Vec<EpisodeEnd>,
}

/// Returns of the episodes in progress; part of a run's state.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EpisodeProgress {
    /// Saved as their bits: the text of a float may come back as a neighbouring number.
    #[serde(with = "bits")]
    pub returns: Vec<f64>,
    /// Steps of each episode so far, `[num_envs]`.
    pub lengths: Vec<u64>,
}

mod bits {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(numbers: &[f64], serializer: S) -> Result<S::Ok, S::Error> {
        numbers.iter().map(|number| number.to_bits()).collect::<Vec<_>>().serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f64>, D::Error> {
        Ok(Vec::<u64>::deserialize(deserializer)?.into_iter().map(f64::from_bits).collect())
    }
}

/// A finished rollout: transitions by step, then environment, with advantages and returns.
#[derive(Clone, Debug, PartialEq)]
pub struct Rollout {
    /// What the policy saw before each action, `count` observations.
    pub observations: Observations,
    /// `[count, actions]`, unclipped.
    pub actions: Vec<f32>,
    /// `[count]` log-densities of the actions, by the policy that drew them.
    pub log_probs: Vec<f32>,
    /// `[count]` values by the critic, as it was when the actions were drawn.
    pub values: Vec<f32>,
    /// `[count]` by the generalized advantage estimator, not normalized.
    pub advantages: Vec<f32>,
    /// `[count]`, advantage plus value: the critic's targets.
    pub returns: Vec<f32>,
    /// `[count, actions]` in [-1, 1], what a script would have done; empty unless actions are imitated.
    pub targets: Vec<f32>,
    /// Mean return and length of the episodes that ended within; `None` where none did.
    pub episodic_return: Option<f64>,
    /// Mean number of steps of those episodes; `None` where none ended.
    pub episodic_length: Option<f64>,
}

impl Rollout {
    /// Transitions, which is steps times environments.
    pub fn len(&self) -> usize {
        self.observations.count
    }

    /// Whether there is no transition, which no update accepts.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Collects steps until there are `num_steps` of them.
#[derive(Clone, Debug)]
pub struct RolloutBuffer {
    network: NetworkConfig,
    num_envs: usize,
    num_steps: usize,
    gamma: f64,
    gae_lambda: f64,
    observations: Observations,
    actions: Vec<f32>,
    log_probs: Vec<f32>,
    steps: Vec<StepValue>,
    progress: EpisodeProgress,
    finished: Vec<(f64, u64)>,
}

impl RolloutBuffer {
    /// An empty buffer, for environments that are about to begin their first episodes.
    pub fn new(config: &PpoConfig, network: &NetworkConfig) -> Self {
        Self {
            network: network.clone(),
            num_envs: config.num_envs,
            num_steps: config.num_steps,
            gamma: config.gamma,
            gae_lambda: config.gae_lambda,
            observations: Observations::default(),
            actions: Vec::new(),
            log_probs: Vec::new(),
            steps: Vec::new(),
            progress: EpisodeProgress { returns: vec![0.0; config.num_envs], lengths: vec![0; config.num_envs] },
            finished: Vec::new(),
        }
    }

    /// Whether every environment has made its `num_steps` steps, so that [`Self::finish`] is due.
    pub fn is_full(&self) -> bool {
        self.steps.len() >= self.num_envs * self.num_steps
    }

    /// Returns of the episodes in progress, for a checkpoint between rollouts.
    pub fn progress(&self) -> &EpisodeProgress {
        &self.progress
    }

    /// Takes over a checkpoint's.
    ///
    /// # Errors
    /// Another number of environments.
    pub fn restore(&mut self, progress: EpisodeProgress) -> Result<(), PpoError> {
        if [progress.returns.len(), progress.lengths.len()] != [self.num_envs; 2] {
            let found = progress.returns.len();
            return Err(PpoError::Count { what: "episodes in progress", expected: self.num_envs, found });
        }
        self.progress = progress;
        Ok(())
    }

    /// Adds one step of all environments.
    ///
    /// # Errors
    /// Other numbers of environments, observations of other sizes, rewards that are not finite, or a full buffer.
    pub fn push(
        &mut self,
        observations: &Observations,
        decisions: &Decisions,
        transitions: &Transitions,
    ) -> Result<(), PpoError> {
        let expected = self.num_envs;
        for (what, found) in [
            ("observations", observations.count),
            ("values", decisions.values.len()),
            ("log-probabilities", decisions.log_probs.len()),
            ("actions", decisions.actions.len() / self.network.actions),
            ("rewards", transitions.rewards.len()),
            ("ends", transitions.ends.len()),
        ] {
            if found != expected {
                return Err(PpoError::Count { what, expected, found });
            }
        }
        observations.check(&self.network)?;
        if self.is_full() {
            return Err(PpoError::Full { num_steps: self.num_steps });
        }
        if let Some(env) = transitions.rewards.iter().position(|reward| !reward.is_finite()) {
            return Err(PpoError::Reward { env, reward: transitions.rewards[env] });
        }
        self.observations.count += observations.count;
        self.observations.images.extend_from_slice(&observations.images);
        self.observations.states.extend_from_slice(&observations.states);
        self.actions.extend_from_slice(&decisions.actions);
        self.log_probs.extend_from_slice(&decisions.log_probs);
        for (env, (&reward, end)) in transitions.rewards.iter().zip(&transitions.ends).enumerate() {
            let (done, final_value) = match *end {
                EpisodeEnd::None => (false, 0.0),
                EpisodeEnd::Terminated => (true, 0.0),
                EpisodeEnd::Truncated { value } => (true, value),
            };
            self.steps.push(StepValue { reward, value: decisions.values[env], done, final_value });
            self.progress.returns[env] += f64::from(reward);
            self.progress.lengths[env] += 1;
            if done {
                let whole =
                    (std::mem::take(&mut self.progress.returns[env]), std::mem::take(&mut self.progress.lengths[env]));
                self.finished.push(whole);
            }
        }
        Ok(())
    }

    /// Estimates the advantages and empties the buffer. `last_values` are the critic's of the observations that follow.
    ///
    /// # Errors
    /// Too few steps, or another number of values.
    pub fn finish(&mut self, last_values: &[f32]) -> Result<Rollout, PpoError> {
        if last_values.len() != self.num_envs {
            let (expected, found) = (self.num_envs, last_values.len());
            return Err(PpoError::Count { what: "last values", expected, found });
        }
        if !self.is_full() {
            let (expected, found) = (self.num_steps * self.num_envs, self.steps.len());
            return Err(PpoError::Count { what: "transitions", expected, found });
        }
        let steps = std::mem::take(&mut self.steps);
        let estimated = generalized_advantages(&steps, last_values, self.gamma, self.gae_lambda);
        let finished = std::mem::take(&mut self.finished);
        let of_episodes =
            |part: fn(&(f64, u64)) -> f64| (!finished.is_empty()).then(|| mean(finished.iter().map(part)));
        Ok(Rollout {
            observations: std::mem::take(&mut self.observations),
            actions: std::mem::take(&mut self.actions),
            log_probs: std::mem::take(&mut self.log_probs),
            values: steps.iter().map(|step| step.value).collect(),
            advantages: estimated.advantages,
            returns: estimated.returns,
            targets: Vec::new(),
            episodic_return: of_episodes(|episode| episode.0),
            episodic_length: of_episodes(|episode| episode.1 as f64),
        })
    }
}
