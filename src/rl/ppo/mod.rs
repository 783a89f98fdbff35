//! Proximal policy optimization (Schulman et al., 2017), with the clipped objective, on images or vectors.
//!
//! In: a [`Rollout`] of `num_envs` environments and `num_steps` steps each, collected with [`PpoLearner::act`]. Out: a moved
//! policy and the field's figures. The environments, the loop and the files belong to others:
//!
//! ```no_run
//! # use bingrasp::rl::ppo::*;
//! # use bingrasp::contract::Seed;
//! # fn train(observe: impl Fn() -> Observations, step: impl Fn(&[f32]) -> Transitions) -> anyhow::Result<()> {
//! let config = PpoConfig::default();
//! let mut learner = PpoLearner::new(&config, NetworkConfig::pose_grasp(), Seed(1), &bingrasp::nn::HOST)?;
//! let mut rollout = RolloutBuffer::new(&config, learner.network_config());
//! loop {
//!     while !rollout.is_full() {
//!         let observations = observe();
//!         let decisions = learner.act(&observations)?;
//!         let transitions = step(&decisions.env_actions);
//!         rollout.push(&observations, &decisions, &transitions)?;
//!     }
//!     let last_values = learner.values(&observe())?;
//!     let metrics = learner.learn(&rollout.finish(&last_values)?, 1.0)?;
//!     println!("{:?}", metrics.named());
//! }
//! # }
//! ```

pub mod advantage;
pub mod bench;
pub mod codec;
pub mod config;
pub mod gaussian;
mod imitation;
pub mod learner;
pub mod loss;
pub mod network;
pub mod policy;
pub mod rollout;
pub mod settings;
pub mod source;

#[cfg(test)]
mod source_tests;
#[cfg(test)]
mod tests;

pub use advantage::{Advantages, generalized_advantages};
pub use codec::{DepthInput, TaskCodec};
pub use config::PpoConfig;
pub use gaussian::DiagonalGaussian;
pub use learner::{Decisions, PpoError, PpoLearner, PpoMetrics};
pub use network::{ActorCritic, EncoderConfig, NetworkConfig, Observations};
pub use policy::{LoadedPpo, PpoPolicy, load_policy};
pub use rollout::{EpisodeEnd, Rollout, RolloutBuffer, Transitions};
pub use settings::PpoData;
pub use source::{EnvOpener, RolloutSource};
