//! The visual domains by name. What each looks like is decided in `appearance`.

use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Domain {
    /// Uniform colours, one fixed light; objects keep the source domain's textures.
    Canonical,
    RandomizedMild,
    RandomizedMedium,
    RandomizedHeavy,
    /// The simulated stand-in for the real world.
    Reality,
}

impl Domain {
    pub const ALL: [Self; 5] =
        [Self::Canonical, Self::RandomizedMild, Self::RandomizedMedium, Self::RandomizedHeavy, Self::Reality];

    /// A stand-in for the real world: learners may not see there what only a simulator knows (the leak rule).
    pub const fn stands_for_reality(self) -> bool {
        matches!(self, Self::Reality)
    }

    /// The domains that look different from each other.
    pub const LOOKS: [Self; 5] =
        [Self::Canonical, Self::RandomizedMild, Self::RandomizedMedium, Self::RandomizedHeavy, Self::Reality];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Canonical => "canonical",
            Self::RandomizedMild => "randomized-mild",
            Self::RandomizedMedium => "randomized-medium",
            Self::RandomizedHeavy => "randomized-heavy",
            Self::Reality => "reality",
        }
    }
}

impl std::fmt::Display for Domain {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.pad(self.name())
    }
}

#[derive(Debug, thiserror::Error)]
#[error(
    "unknown domain '{0}'; the domains are canonical, randomized-mild, randomized-medium, randomized-heavy, reality"
)]
pub struct UnknownDomain(String);

impl std::str::FromStr for Domain {
    type Err = UnknownDomain;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|domain| domain.name() == text).ok_or_else(|| UnknownDomain(text.to_owned()))
    }
}
