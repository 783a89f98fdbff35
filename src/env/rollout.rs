//! Policies driving environments in reproducible blocks: the source of datasets, benchmarks and exploration.
//!
//! A block starts fresh episodes everywhere from its own seed and plays a fixed number of captures, so that any block
//! can be produced again alone, in any process.

use super::config::EnvError;
use super::grasp_env::{GraspEnv, Reset};
use super::observation::Observation;
use crate::contract::{Action, Rng, Seed, Step};
use crate::policies::{Policy, PolicyKind};

/// What happened in one environment between two observations.
#[derive(Clone, Debug)]
pub struct Transition {
    pub episode_seed: Seed,
    /// Episodes of this environment since the block began.
    pub episode: u64,
    /// None when the observation shows the start of an episode.
    pub action: Option<Action>,
    /// Outcome of the action.
    pub step: Step,
}

/// Drives every environment of a [`GraspEnv`] with its own copy of a policy.
pub struct Rollout {
    policies: Vec<Box<dyn Policy>>,
    generators: Vec<Rng>,
    seeds: Vec<Seed>,
    episodes: Vec<u64>,
    over: Vec<bool>,
    block: Seed,
}

impl Rollout {
    /// Starts new episodes in every environment of `env`. `block` decides everything that follows.
    ///
    /// # Errors
    /// The graphics device fails.
    pub fn begin(env: &mut GraspEnv, policy: PolicyKind, block: Seed) -> Result<Self, EnvError> {
        let count = env.len();
        let mut rollout = Self {
            policies: (0..count).map(|_| policy.create()).collect(),
            generators: (0..count).map(|i| block.derive("policy", i as u64).rng()).collect(),
            seeds: vec![Seed(0); count],
            episodes: vec![0; count],
            over: vec![true; count],
            block,
        };
        rollout.restart(env)?;
        rollout.over.fill(false);
        Ok(rollout)
    }

    /// Begins the next episode wherever the last one is over.
    fn restart(&mut self, env: &mut GraspEnv) -> Result<(), EnvError> {
        let mut resets = Vec::new();
        for index in 0..self.over.len() {
            if self.over[index] {
                let seed = self.block.derive("environment", index as u64).derive("episode", self.episodes[index]);
                self.seeds[index] = seed;
                resets.push(Reset::Seeded { index, seed });
                self.policies[index].begin();
            }
        }
        env.reset(resets)
    }

    /// The state after [`Self::begin`].
    ///
    /// # Errors
    /// The graphics device fails.
    pub fn observe(&self, env: &mut GraspEnv) -> Result<(Observation, Vec<Transition>), EnvError> {
        let observation = env.observe()?;
        let transitions = (0..env.len())
            .map(|index| Transition {
                episode_seed: self.seeds[index],
                episode: self.episodes[index],
                action: None,
                step: Step::default(),
            })
            .collect();
        Ok((observation, transitions))
    }

    /// One step everywhere. Where an episode is over, the next one begins instead, and the observation shows its start;
    /// the judged step itself is observed before that.
    ///
    /// # Errors
    /// The graphics device fails.
    pub fn step(&mut self, env: &mut GraspEnv, capture: bool) -> Result<(Observation, Vec<Transition>), EnvError> {
        let starting = self.over.clone();
        if starting.contains(&true) {
            for index in (0..starting.len()).filter(|&index| starting[index]) {
                self.episodes[index] += 1;
            }
            self.restart(env)?;
        }
        let actions: Vec<Option<Action>> = (0..env.len())
            .map(|index| {
                (!starting[index]).then(|| self.policies[index].act(env.world(index), &mut self.generators[index]))
            })
            .collect();
        let outcome = env.step(&actions, capture)?;
        let transitions = outcome
            .steps
            .into_iter()
            .enumerate()
            .map(|(index, step)| {
                self.over[index] = actions[index].is_some() && step.done();
                Transition {
                    episode_seed: self.seeds[index],
                    episode: self.episodes[index],
                    action: actions[index],
                    step: if actions[index].is_some() { step } else { Step::default() },
                }
            })
            .collect();
        Ok((outcome.observation, transitions))
    }
}
