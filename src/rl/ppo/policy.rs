//! A trained policy: the means of its distribution as actions of the task.

use super::codec::TaskCodec;
use super::config::PpoConfig;
use super::gaussian::bounded;
use super::learner::{NETWORK, PpoError};
use super::network::{ActorCritic, Observations};
use crate::contract::{ActRequest, Decision, Observation, Policy, Script, Seed, VecEnvError};
use crate::train::state::from_file;
use crate::train::{LoadedRun, RunConfig, TrainError, load_run};
use candle_core::Device;
use std::path::{Path, PathBuf};

/// Decides by the means.
pub struct PpoPolicy {
    /// The trained network; no gradient is kept while it decides.
    pub network: ActorCritic,
    /// Makes the network's input of an observation, and an action of the task of its output.
    pub codec: TaskCodec,
    /// Means are clipped to +- this and divided by it, as while the policy was trained.
    pub action_bound: f32,
}

impl PpoPolicy {
    /// Actions in [-1, 1], and the values of the states.
    ///
    /// # Errors
    /// Observations of other sizes.
    pub fn decide(&self, observations: &Observations) -> Result<(Vec<f32>, Vec<f32>), PpoError> {
        let _frozen = self.network.store().freeze();
        let out = self.network.forward(observations)?;
        let means = out.policy.mean.flatten_all()?.to_vec1::<f32>()?;
        Ok((means.into_iter().map(|mean| bounded(mean, self.action_bound)).collect(), out.values.to_vec1()?))
    }
}

impl Policy for PpoPolicy {
    fn act(
        &mut self,
        observation: &Observation,
        requests: &[ActRequest],
        _script: &mut dyn Script,
    ) -> Result<Vec<Decision>, VecEnvError> {
        let indices: Vec<usize> = requests.iter().map(|request| request.index).collect();
        let seen = self.codec.observe(observation, &indices).map_err(VecEnvError::new)?;
        let (actions, values) = self.decide(&seen).map_err(VecEnvError::new)?;
        let width = self.network.config().actions;
        let decision = |(numbers, value): (&[f32], f32)| Decision {
            action: self.codec.action(numbers),
            exploratory: false,
            value: Some(value),
        };
        Ok(actions.chunks_exact(width).zip(values).map(decision).collect())
    }
}

/// A policy and where it comes from.
pub struct LoadedPpo {
    /// Acts with the weights of the checkpoint at `step`.
    pub policy: PpoPolicy,
    /// Its run's folder.
    pub run: PathBuf,
    /// The run's settings as it saved them, with the section `data`.
    pub config: RunConfig<PpoConfig>,
    /// The update after which it was saved.
    pub step: u64,
    /// Sentences about newer checkpoints that are damaged.
    pub warnings: Vec<String>,
}

/// Loads the policy of a run's newest whole checkpoint, or of one checkpoint when `path` is its folder
/// (`RUN/checkpoints/step-000000100`).
///
/// # Errors
/// No run, a run of another learner, no checkpoint, damage.
pub fn load_policy(path: &Path, device: &Device) -> Result<LoadedPpo, TrainError> {
    let LoadedRun { config, checkpoint, run, warnings } = load_run::<PpoConfig>(path)?;
    let codec = config.data.codec();
    let network = ActorCritic::new(&codec.network(), Seed(0), device)?;
    network.store().load_state(&from_file(checkpoint.group(NETWORK)?)?)?;
    let policy = PpoPolicy { network, codec, action_bound: config.learner.action_bound };
    Ok(LoadedPpo { policy, run, config, step: checkpoint.step, warnings })
}
