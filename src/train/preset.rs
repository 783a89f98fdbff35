//! The two sizes that every image learner has by name.

use serde::{Deserialize, Serialize};

/// Sizes by name; a learner's `preset` says what each means for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// 64x64 pixels, trains on two processor cores.
    #[default]
    Small,
    /// 472x472 pixels, as published.
    Paper,
}

impl Preset {
    /// Every preset, the default first.
    pub const ALL: [Self; 2] = [Self::Small, Self::Paper];

    /// The name on the command line and in `config.toml`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Paper => "paper",
        }
    }
}

impl std::fmt::Display for Preset {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.pad(self.name())
    }
}

impl std::str::FromStr for Preset {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|preset| preset.name() == text);
        found.ok_or_else(|| format!("unknown size preset '{text}'; the presets are small, paper"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_have_names_and_nothing_else_is_one() {
        for preset in Preset::ALL {
            assert_eq!(preset.name().parse::<Preset>(), Ok(preset));
        }
        assert!("huge".parse::<Preset>().is_err_and(|message| message.contains("small, paper")));
    }
}
