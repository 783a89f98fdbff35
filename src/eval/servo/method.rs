//! What is compared: visual servoing alone, the pose agent alone, and both, with and without the translation of images.

use serde::{Deserialize, Serialize};

/// A method of the paper, or a control.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Method {
    /// Visual servoing from where the hand starts.
    #[serde(rename = "vs")]
    Vs,
    /// The pose agent on the domain's images.
    #[serde(rename = "drl")]
    Drl,
    /// The pose agent on translated images.
    #[serde(rename = "drl+gan")]
    DrlGan,
    /// The pose agent on the domain's images, then visual servoing.
    #[serde(rename = "drl+vs")]
    DrlVs,
    /// The whole method.
    #[serde(rename = "drl+gan+vs")]
    DrlGanVs,
    /// Goes to a good pose that it knows: a control.
    #[serde(rename = "oracle")]
    Oracle,
}

impl Method {
    pub const ALL: [Self; 6] = [Self::Vs, Self::Drl, Self::DrlGan, Self::DrlVs, Self::DrlGanVs, Self::Oracle];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Vs => "vs",
            Self::Drl => "drl",
            Self::DrlGan => "drl+gan",
            Self::DrlVs => "drl+vs",
            Self::DrlGanVs => "drl+gan+vs",
            Self::Oracle => "oracle",
        }
    }

    /// The pose agent takes the first steps.
    pub const fn has_agent(self) -> bool {
        matches!(self, Self::Drl | Self::DrlGan | Self::DrlVs | Self::DrlGanVs)
    }

    /// The agent sees translated images.
    pub const fn has_translation(self) -> bool {
        matches!(self, Self::DrlGan | Self::DrlGanVs)
    }

    pub const fn has_servo(self) -> bool {
        matches!(self, Self::Vs | Self::DrlVs | Self::DrlGanVs)
    }
}

impl std::fmt::Display for Method {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.pad(self.name())
    }
}

impl std::str::FromStr for Method {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|method| method.name() == text).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("unknown method '{text}'; the methods are {names}")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_a_method_has() {
        for method in Method::ALL {
            assert_eq!(method.name().parse(), Ok(method));
            let parts: Vec<&str> = method.name().split('+').collect();
            assert_eq!(method.has_agent(), parts.contains(&"drl"));
            assert_eq!(method.has_translation(), parts.contains(&"gan"));
            assert_eq!(method.has_servo(), parts.contains(&"vs"));
        }
        assert!("gan".parse::<Method>().is_err_and(|message| message.contains("drl+gan+vs")));
    }
}
