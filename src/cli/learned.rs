//! Trained policies of any learner: runs of `train qtopt` and `train ppo`.

use super::{UsageError, agent, common};
use crate::contract::{Domain, ImageAdapter, Policy, TaskKind};
use crate::env::{Channels, EnvConfig};
use crate::files::atomic::sha256_file;
use crate::files::console::warn_all;
use crate::nn::HOST;
use crate::rl::ppo::{self, LoadedPpo, PpoConfig};
use crate::rl::qtopt::collect::{BehaviorPolicy, ExplorationPolicy};
use crate::rl::qtopt::config::ExplorationConfig;
use crate::rl::qtopt::load::Loaded;
use crate::tasks::usual;
use crate::train::checkpoint::{CHECKPOINTS_NAME, CHECKSUMS_NAME};
use crate::train::{Checkpoints, EnvData, LearnerConfig, learner_name};
use std::path::Path;

/// A policy and the run that it comes from.
pub enum Learned {
    QtOpt(Box<Loaded>),
    Ppo(Box<LoadedPpo>),
}

impl Learned {
    /// The policy of a run or of one of its checkpoints. What is damaged is said on standard error.
    ///
    /// # Errors
    /// No run, a run of a learner that has no policy, no checkpoint, damage.
    pub fn load(policy: &str) -> anyhow::Result<Self> {
        let path = Path::new(policy);
        // The loader refuses a folder that is no run.
        if path.is_dir() && learner_name(path).is_ok_and(|name| name == PpoConfig::NAME) {
            let loaded = ppo::load_policy(path, &HOST)?;
            warn_all(&loaded.warnings);
            return Ok(Self::Ppo(Box::new(loaded)));
        }
        Ok(Self::QtOpt(Box::new(agent::load(policy)?)))
    }

    /// The environments that it was trained in.
    pub fn env(&self) -> &EnvData {
        match self {
            Self::QtOpt(loaded) => &loaded.config.data.env,
            Self::Ppo(loaded) => &loaded.config.data.env,
        }
    }

    /// What it was trained for.
    pub fn task(&self) -> TaskKind {
        match self {
            Self::QtOpt(_) => TaskKind::BinGrasp,
            Self::Ppo(loaded) => loaded.config.data.task,
        }
    }

    /// Edge of the images that it sees, and their channels.
    pub fn image(&self) -> (usize, usize) {
        match self {
            Self::QtOpt(loaded) => (loaded.policy.size, loaded.policy.channels),
            Self::Ppo(loaded) => (loaded.policy.codec.size, 3),
        }
    }

    /// Steps that it was trained for.
    pub fn trained_steps(&self) -> u64 {
        1 + match self {
            Self::QtOpt(loaded) => loaded.step,
            Self::Ppo(loaded) => loaded.step,
        }
    }

    /// What it is, not where it lies: the learner and the beginning of its checkpoint's checksum.
    ///
    /// # Errors
    /// A checkpoint that is gone.
    pub fn name(&self) -> anyhow::Result<String> {
        match self {
            Self::QtOpt(loaded) => agent::name(loaded),
            Self::Ppo(loaded) => {
                let checkpoint = Checkpoints::new(loaded.run.join(CHECKPOINTS_NAME)).path(loaded.step);
                let sum = sha256_file(&checkpoint.join(CHECKSUMS_NAME))?;
                Ok(format!("ppo-{}", sum.get(..16).unwrap_or_default()))
            }
        }
    }

    /// Environments in which it can act: of its task, at its size, through its camera, with the depth that it wants.
    ///
    /// # Errors
    /// [`UsageError`] where an action may do another thing in the cell than where it was trained.
    pub fn env_config(&self, env: EnvConfig) -> anyhow::Result<EnvConfig> {
        let size = self.image().0 as u32;
        let mut env = EnvConfig { size, num_envs: common::num_envs_for(size), task: usual(self.task()), ..env };
        let camera = self.env().camera.as_str();
        if !camera.is_empty() {
            env.cameras = vec![camera.to_owned()];
        }
        if let Self::Ppo(loaded) = self {
            env.channels = Channels { image: true, ..env.channels }.with_depth();
            let (trained, here) = (loaded.config.data.space, (env.task)().action_space(&env.cell));
            if trained != here {
                let message = format!(
                    "the policy's actions reach {trained:?} and those of the cell {} {here:?}; pass --cell {}",
                    env.cell.name, loaded.config.data.env.cell
                );
                return Err(UsageError(message).into());
            }
        }
        env.validate().map_err(|error| UsageError(error.to_string()))?;
        Ok(env)
    }

    /// What it looks through in a domain: its own generator, or F of the run `generator`.
    ///
    /// # Errors
    /// A generator that is missing, damaged, for another size, or of pictures without depth for a policy that sees both.
    pub fn adapter(
        &self,
        domain: Domain,
        generator: Option<&Path>,
    ) -> anyhow::Result<Option<Box<dyn ImageAdapter + Send>>> {
        match (self, generator) {
            (Self::QtOpt(loaded), Some(run)) => Ok(Some(agent::real2sim_adapter(run, &loaded.config)?)),
            (Self::QtOpt(loaded), None) => agent::adapter(&loaded.run, &loaded.config, domain),
            (Self::Ppo(_), None) => Ok(None),
            (Self::Ppo(_), Some(run)) => {
                let run = run.display();
                let message = format!(
                    "--generator {run}: a policy of `train ppo` sees depth, which it does not translate; leave it out"
                );
                Err(UsageError(message).into())
            }
        }
    }

    /// Hands the policy to `play`, as it is or with the noise that it explores with.
    pub fn act<R>(&mut self, greedy: bool, play: impl FnOnce(&mut dyn Policy) -> R) -> R {
        match self {
            Self::QtOpt(loaded) => {
                let policy = &loaded.policy;
                let (exploration, behavior) = if greedy {
                    (ExplorationConfig::none(), BehaviorPolicy::Greedy)
                } else {
                    (ExplorationConfig::default(), BehaviorPolicy::Noisy)
                };
                let cem = Some(policy.cem_policy());
                play(&mut ExplorationPolicy::new(cem, &exploration, policy.space, |_| behavior))
            }
            Self::Ppo(loaded) => play(&mut loaded.policy),
        }
    }
}
