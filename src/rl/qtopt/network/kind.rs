//! The networks of the small size by name.

use serde::{Deserialize, Serialize};

/// How a Q-function gets from the image to a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum QNetwork {
    /// The encoder estimates the state (pose of the hand, height map, grip) with the simulator's labels and the camera's
    /// calibration, and Q reads the estimate.
    #[default]
    StateEstimating,
    /// Q's own gradient trains everything from the pixels on, as published.
    EndToEnd,
}

impl QNetwork {
    /// Both networks, the default first.
    pub const ALL: [Self; 2] = [Self::StateEstimating, Self::EndToEnd];

    /// The word in settings and on the command line; `FromStr` reads it back.
    pub const fn name(self) -> &'static str {
        match self {
            Self::StateEstimating => "state-estimating",
            Self::EndToEnd => "end-to-end",
        }
    }
}

impl std::fmt::Display for QNetwork {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.pad(self.name())
    }
}

impl std::str::FromStr for QNetwork {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|network| network.name() == text);
        found.ok_or_else(|| format!("unknown network '{text}'; the networks are state-estimating, end-to-end"))
    }
}
