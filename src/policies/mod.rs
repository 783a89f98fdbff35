//! Policies that need no learning: [`Random`], [`Scripted`] (the papers' exploration), [`NoisyPlanner`] (the same near objects),
//! [`Oracle`] (reads the state).
//!
//! In: a world as a policy may see it. Out: an [`Action`].

mod noisy_planner;
mod oracle;
mod planner;
mod random;
mod scripted;
mod section;

pub use noisy_planner::NoisyPlanner;
pub use oracle::Oracle;
pub use planner::{GraspPlan, Planner};
pub use random::Random;
pub use scripted::Scripted;

pub use crate::sim::Policy;
use serde::{Deserialize, Serialize};

/// The built-in policies by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PolicyKind {
    Random,
    #[default]
    Scripted,
    NoisyPlanner,
    Oracle,
}

impl PolicyKind {
    pub const ALL: [Self; 4] = [Self::Random, Self::Scripted, Self::NoisyPlanner, Self::Oracle];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::Scripted => "scripted",
            Self::NoisyPlanner => "noisy-planner",
            Self::Oracle => "oracle",
        }
    }

    pub fn create(self) -> Box<dyn Policy> {
        match self {
            Self::Random => Box::new(Random),
            Self::Scripted => Box::<Scripted>::default(),
            Self::NoisyPlanner => Box::<NoisyPlanner>::default(),
            Self::Oracle => Box::<Oracle>::default(),
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("unknown policy '{0}'; the built-in policies are random, scripted, noisy-planner, oracle")]
pub struct UnknownPolicy(String);

impl std::str::FromStr for PolicyKind {
    type Err = UnknownPolicy;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|kind| kind.name() == text).ok_or_else(|| UnknownPolicy(text.to_owned()))
    }
}

#[cfg(test)]
mod digests;
#[cfg(test)]
mod mobile_cell;
#[cfg(test)]
mod tests;
