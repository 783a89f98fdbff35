//! The visual domains by name. What each looks like is decided in `appearance`.

use serde::{Deserialize, Serialize};

/// How the same scene looks in its pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Domain {
    /// Uniform colours, one fixed light; objects keep the source domain's textures.
    Canonical,
    /// Colours and textures of tray, objects and arm vary, and the light; the background is one of six.
    RandomizedMild,
    /// As mild, with any background.
    RandomizedMedium,
    /// At every step new textures on everything, another light, and jitter of arm, tray and camera.
    RandomizedHeavy,
    /// The simulated stand-in for the real world.
    Reality,
    /// The same laboratory with other seeds and training objects: what methods are tuned on.
    RealityDev,
    /// A second stand-in that nothing is tuned on: another laboratory, other sensors.
    #[serde(rename = "reality-2")]
    Reality2,
}

impl Domain {
    /// Every domain, the stand-ins for the real world last.
    pub const ALL: [Self; 7] = [
        Self::Canonical,
        Self::RandomizedMild,
        Self::RandomizedMedium,
        Self::RandomizedHeavy,
        Self::Reality,
        Self::RealityDev,
        Self::Reality2,
    ];

    /// A stand-in for the real world: learners may not see there what only a simulator knows (the leak rule).
    pub const fn stands_for_reality(self) -> bool {
        matches!(self, Self::Reality | Self::RealityDev | Self::Reality2)
    }

    /// A domain of domain randomization.
    pub const fn is_randomized(self) -> bool {
        matches!(self, Self::RandomizedMild | Self::RandomizedMedium | Self::RandomizedHeavy)
    }

    /// The domains that look different from each other: `reality-dev` looks as `reality` does.
    pub const LOOKS: [Self; 6] = [
        Self::Canonical,
        Self::RandomizedMild,
        Self::RandomizedMedium,
        Self::RandomizedHeavy,
        Self::Reality,
        Self::Reality2,
    ];

    /// The name on the command line and in files; [`std::str::FromStr`] reads it back.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Canonical => "canonical",
            Self::RandomizedMild => "randomized-mild",
            Self::RandomizedMedium => "randomized-medium",
            Self::RandomizedHeavy => "randomized-heavy",
            Self::Reality => "reality",
            Self::RealityDev => "reality-dev",
            Self::Reality2 => "reality-2",
        }
    }
}

impl std::fmt::Display for Domain {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.pad(self.name())
    }
}

/// The text that names no domain; arises when a domain is parsed.
#[derive(Debug, thiserror::Error)]
#[error(
    "unknown domain '{0}'; the domains are canonical, randomized-mild, randomized-medium, randomized-heavy, reality, \
     reality-dev, reality-2"
)]
pub struct UnknownDomain(String);

impl std::str::FromStr for Domain {
    type Err = UnknownDomain;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|domain| domain.name() == text).ok_or_else(|| UnknownDomain(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_has_one_name_everywhere() {
        for domain in Domain::ALL {
            assert_eq!(domain.name().parse::<Domain>().expect("a known name"), domain);
            assert_eq!(serde_json::to_string(&domain).expect("a name"), format!("\"{domain}\""));
            let message = "no-domain".parse::<Domain>().expect_err("unknown").to_string();
            assert!(message.contains(domain.name()), "{message}");
        }
    }
}
