//! A trained agent that plays while pictures of another domain are kept: for `train rcan --policy RUN`, `dataset generate
//! --policy RUN` and `train qtopt --init RUN --init-episodes N`.
//!
//! In: a run of `train qtopt`. Out: environments with the view that the agent was trained with, beside the pairs' own domain
//! and crops, and the agent with the noise that it explores with: closing, lifting, jaws that hold nothing.

use super::UsageError;
use super::agent::{self, BoxedAdapter};
use crate::contract::{Domain, ImageAdapter, Policy};
use crate::env::pairs::MixedPolicy;
use crate::env::{EnvConfig, GraspEnv, PolicyView};
use crate::rl::qtopt::QtOptConfig;
use crate::rl::qtopt::collect::{BehaviorPolicy, ExplorationPolicy};
use crate::rl::qtopt::config::ExplorationConfig;
use crate::rl::qtopt::load::Loaded;
use crate::train::{LearnerConfig, learner_name};
use std::path::Path;

/// An agent, and what it looks through.
pub struct PairAgent {
    loaded: Loaded,
    adapter: Option<BoxedAdapter>,
}

/// The run of `train qtopt` in `run`, or of one of its checkpoints; `flag` is the one that named it.
fn load(run: &Path, flag: &str) -> anyhow::Result<Loaded> {
    if run.is_dir() {
        let learner = learner_name(run)?;
        if learner != QtOptConfig::NAME {
            let message = format!("{flag} {}: that is a run of {learner}; pass one of `train qtopt`", run.display());
            return Err(UsageError(message).into());
        }
    }
    agent::load(&run.display().to_string())
}

/// What the agent of a run is, not where it lies.
///
/// # Errors
/// As [`PairAgent::load`].
pub fn name(run: &Path) -> anyhow::Result<String> {
    agent::name(&load(run, "--policy")?)
}

impl PairAgent {
    /// Loads the agent that `flag` names and gives `env` its view.
    ///
    /// # Errors
    /// No run, a run of another learner, no checkpoint, damage; [`UsageError`] where it cannot act in the environments.
    pub fn load(run: &Path, env: EnvConfig, flag: &str) -> anyhow::Result<(Self, EnvConfig)> {
        let loaded = load(run, flag)?;
        let trained = &loaded.config.data.env;
        let refuse = |message: String| Err(UsageError(format!("{flag} {}: {message}", run.display())).into());
        if loaded.policy.size != env.size as usize {
            let (sees, size) = (loaded.policy.size, env.size);
            return refuse(format!(
                "the agent sees {sees}x{sees} pixels, and the pictures here are {size}x{size}; give both one size"
            ));
        }
        if loaded.policy.space != (env.task)().action_space(&env.cell) {
            let (cell, own) = (&env.cell.name, &trained.cell);
            return refuse(format!(
                "its actions are those of the cell {own}, and the cell here is {cell}; pass --cell {own}"
            ));
        }
        let view = PolicyView { domain: trained.domain, camera: trained.camera.clone(), crop: trained.crop };
        let adapter = agent::adapter(&loaded.run, &loaded.config, trained.domain)?;
        let env = EnvConfig { policy_view: Some(view), ..env };
        env.validate().map_err(|error| UsageError(error.to_string()))?;
        Ok((Self { loaded, adapter }, env))
    }

    /// See [`name`].
    ///
    /// # Errors
    /// A checkpoint that is gone.
    pub fn name(&self) -> anyhow::Result<String> {
        agent::name(&self.loaded)
    }

    /// The domain that stands for the real world and that the agent learned from, if there is one.
    pub fn reality(&self) -> Option<String> {
        let data = &self.loaded.config.data;
        let domains = [Some(data.env.domain), data.on_policy_domain].into_iter().flatten();
        let domain = domains.into_iter().find(|domain| domain.stands_for_reality());
        let recording = data.real.as_ref().map(|folder| format!("the recording in {}", folder.display()));
        domain.as_ref().map(Domain::to_string).or(recording)
    }

    /// The environments as the agent sees them, and the agent.
    pub fn enter(self, env: GraspEnv) -> (Loaded, GraspEnv) {
        (self.loaded, env.with_adapter(self.adapter.map(|adapter| adapter as Box<dyn ImageAdapter>)))
    }
}

/// Hands `play` the agent with the noise that it explores with, in the first `num_agents` environments; the others' scripts
/// play in theirs. Nothing is remembered between two calls.
pub fn act<R>(loaded: &Loaded, num_agents: usize, play: impl FnOnce(&mut dyn Policy) -> R) -> R {
    let (policy, exploration) = (&loaded.policy, ExplorationConfig::default());
    let mut agent =
        ExplorationPolicy::new(Some(policy.cem_policy()), &exploration, policy.space, |_| BehaviorPolicy::Noisy);
    play(&mut MixedPolicy { agent: &mut agent, num_agents })
}
