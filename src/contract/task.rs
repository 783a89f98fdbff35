//! Tasks by name: what an episode in a cell is.

use serde::{Deserialize, Serialize};

/// The tasks that there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TaskKind {
    /// QT-Opt's: up to 20 displacements, jaws and end decided by the policy.
    #[default]
    BinGrasp,
    /// Pedersen et al., 2020: three relative poses, then a grasp.
    PoseGrasp,
}

impl TaskKind {
    /// Every task, the default first.
    pub const ALL: [Self; 2] = [Self::BinGrasp, Self::PoseGrasp];

    /// The name on the command line and in files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::BinGrasp => "bin-grasp",
            Self::PoseGrasp => "pose-grasp",
        }
    }

    /// For `#[serde(skip_serializing_if)]`.
    pub fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

impl std::fmt::Display for TaskKind {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.pad(self.name())
    }
}

impl std::str::FromStr for TaskKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.name() == text)
            .ok_or_else(|| format!("there is no task '{text}'; there are bin-grasp and pose-grasp"))
    }
}
