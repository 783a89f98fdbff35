//! A trained grasping policy for the viewer: `--policy RUN`.

use super::agent;
use crate::contract::{ActRequest, Decision, ImageAdapter, Observation, Policy, Script, VecEnvError};
use crate::files::console::warn_all;
use crate::nn::HOST;
use crate::rl::ppo::{self, PpoConfig, PpoPolicy};
use crate::rl::qtopt::collect::{BehaviorPolicy, ExplorationPolicy};
use crate::rl::qtopt::config::ExplorationConfig;
use crate::rl::qtopt::load::Loaded;
use crate::rl::qtopt::load_policy;
use crate::train::{LearnerConfig, learner_name};
use crate::viewer::pilot::{Pilot, PilotPolicy};
use std::path::Path;

/// A Q-function that decides from plain pictures.
struct Learned {
    loaded: Loaded,
    adapter: Option<Box<dyn ImageAdapter + Send>>,
}

impl Policy for Learned {
    fn act(
        &mut self,
        observation: &Observation,
        requests: &[ActRequest],
        script: &mut dyn Script,
    ) -> Result<Vec<Decision>, VecEnvError> {
        let policy = &self.loaded.policy;
        let exploration = ExplorationConfig::none();
        let mut greedy =
            ExplorationPolicy::new(Some(policy.cem_policy()), &exploration, policy.space, |_| BehaviorPolicy::Greedy);
        match &self.adapter {
            None => greedy.act(observation, requests, script),
            Some(adapter) => {
                let images = adapter.encode(observation.images.clone(), [policy.size; 2])?;
                greedy.act(&Observation { images, ..observation.clone() }, requests, script)
            }
        }
    }
}

impl PilotPolicy for Learned {}

impl PilotPolicy for PpoPolicy {}

/// The policy of a run of `train ppo`, or of `train qtopt` with its generator if it learned with one.
///
/// # Errors
/// No run, a run of another learner, no checkpoint, damage.
pub fn pilot(run: &Path) -> anyhow::Result<Pilot> {
    if learner_name(run)? == PpoConfig::NAME {
        let loaded = ppo::load_policy(run, &HOST)?;
        warn_all(&loaded.warnings);
        let (size, step) = (loaded.policy.codec.size as u32, loaded.step);
        let policy = Box::new(loaded.policy);
        let name = format!("{}, step {step}", run.display());
        return Ok(Pilot { name, size, depth: true, classes: false, servos: false, rest_ticks: 0, task: None, policy });
    }
    let loaded = load_policy(run, &HOST)?;
    warn_all(&loaded.warnings);
    let adapter = agent::adapter(&loaded.run, &loaded.config, loaded.config.data.env.domain)?;
    Ok(Pilot {
        name: format!("{}, step {}", run.display(), loaded.step),
        // At most 2,048: the configuration is checked when it is read.
        size: loaded.policy.size as u32,
        depth: false,
        classes: false,
        servos: false,
        rest_ticks: 0,
        task: None,
        policy: Box::new(Learned { loaded, adapter }),
    })
}
