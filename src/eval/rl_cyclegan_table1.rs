//! Table 1 of the RL-CycleGAN paper: how much of the gap to reality each way of translating simulation closes.
//!
//! In: successes of each row in `reality`. Out: a Markdown table and a figure that set them beside the paper's. `reality` is
//! a simulated stand-in for the paper's robots, and both say so.

use super::bars::{Bar, BarFigure, BarGroup};
use super::grasp::GraspEvaluation;
use crate::draw::Canvas;
use crate::gan::cyclegan::Method;
use serde::{Deserialize, Serialize};

/// A row of the table: what stands between the simulator and the agent that acts in `reality`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Row {
    /// Trained on canonical pictures.
    SimOnly,
    /// Trained on mildly randomized pictures, the paper's best.
    Randomized,
    Gan,
    CycleGan,
    GraspGan,
    RlCycleGan,
    /// Q_sim on F(y) of the RL-CycleGAN; not in the paper.
    RealToSim,
    /// Q_real of the joint phase, without a final one; not in the paper.
    JointQReal,
    /// Trained in `reality` with its labels: what could be had at most.
    Ceiling,
}

impl Row {
    pub const ALL: [Self; 9] = [
        Self::SimOnly,
        Self::Randomized,
        Self::Gan,
        Self::CycleGan,
        Self::GraspGan,
        Self::RlCycleGan,
        Self::RealToSim,
        Self::JointQReal,
        Self::Ceiling,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::SimOnly => "sim-only",
            Self::Randomized => "randomized",
            Self::Gan => "gan",
            Self::CycleGan => "cyclegan",
            Self::GraspGan => "graspgan",
            Self::RlCycleGan => "rl-cyclegan",
            Self::RealToSim => "real-to-sim",
            Self::JointQReal => "joint-q-real",
            Self::Ceiling => "ceiling",
        }
    }

    pub const fn title(self) -> &'static str {
        match self {
            Self::SimOnly => "Sim-only",
            Self::Randomized => "Randomized Sim",
            Self::Gan => "GAN",
            Self::CycleGan => "CycleGAN",
            Self::GraspGan => "GraspGAN",
            Self::RlCycleGan => "RL-CycleGAN",
            Self::RealToSim => "Q_sim on F(y)",
            Self::JointQReal => "joint Q_real",
            Self::Ceiling => "ceiling: trained in reality",
        }
    }

    /// The method whose generator the row needs.
    pub const fn method(self) -> Option<Method> {
        match self {
            Self::Gan => Some(Method::Gan),
            Self::CycleGan => Some(Method::CycleGan),
            Self::GraspGan => Some(Method::GraspGan),
            Self::RlCycleGan | Self::RealToSim | Self::JointQReal => Some(Method::RlCycleGan),
            Self::SimOnly | Self::Randomized | Self::Ceiling => None,
        }
    }

    /// Whether an agent of its own is trained.
    pub const fn has_agent(self) -> bool {
        !matches!(self, Self::RealToSim | Self::JointQReal)
    }

    /// The paper's success on robots, percent, of 408 attempts.
    pub const fn published(self) -> Option<u32> {
        match self {
            Self::SimOnly => Some(21),
            Self::Randomized => Some(37),
            Self::Gan => Some(29),
            Self::CycleGan => Some(61),
            Self::GraspGan => Some(63),
            Self::RlCycleGan => Some(70),
            Self::RealToSim | Self::JointQReal | Self::Ceiling => None,
        }
    }
}

impl std::str::FromStr for Row {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|row| row.name() == text);
        let names = Self::ALL.map(Self::name).join(", ");
        found.ok_or_else(|| format!("unknown row '{text}'; the rows are {names}"))
    }
}

/// What one row came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RowResult {
    pub row: Row,
    /// Steps of the joint phase, and of the agent.
    pub gan_steps: u64,
    pub agent_steps: u64,
    pub reality: GraspEvaluation,
}

const STAND_IN: &str = "`reality` is a simulated stand-in for the paper's robots: its own materials, lights, camera and \
                        objects. Nothing here was measured on a robot. The row `ceiling` learns from labels of `reality`, \
                        which no other row sees.";

/// The share of the gap between the row `sim-only` and the ceiling that a success closes.
pub fn gap_closed(success: f64, sim_only: f64, ceiling: f64) -> Option<f64> {
    (ceiling > sim_only).then(|| (success - sim_only) / (ceiling - sim_only))
}

/// The table in Markdown, rows in the paper's order; those that are missing say so.
pub fn markdown(results: &[RowResult]) -> String {
    let find = |row: Row| results.iter().find(|result| result.row == row);
    let ends = find(Row::SimOnly).zip(find(Row::Ceiling)).map(|(a, b)| (a.reality.success, b.reality.success));
    let mut text = format!("# RL-CycleGAN, table 1: off-policy real data without labels\n\n{STAND_IN}\n\n");
    text += "| trained on | in `reality` | attempts | gap closed | steps: translation, agent | paper: on robots | paper: gap closed |\n";
    text += "|---|---|---|---|---|---|---|\n";
    for row in Row::ALL {
        let published = row.published().map_or("-".to_owned(), |percent| format!("{percent}%"));
        // The paper's ceiling is the 95% of an agent with 580,000 real episodes.
        let paper_gap =
            row.published().map_or("-".to_owned(), |percent| format!("{:.2}", f64::from(percent - 21) / 74.0));
        let cells = find(row).map_or_else(
            || ["not run yet".to_owned(), String::new(), String::new(), String::new()],
            |result| {
                let e = &result.reality;
                let gap = ends.and_then(|(low, high)| gap_closed(e.success, low, high));
                [
                    format!("{:.1}% ({:.1} to {:.1})", 100.0 * e.success, 100.0 * e.wilson_low, 100.0 * e.wilson_high),
                    e.attempts.to_string(),
                    gap.map_or("-".to_owned(), |gap| format!("{gap:.2}")),
                    format!("{}, {}", result.gan_steps, result.agent_steps),
                ]
            },
        );
        text += &format!("| {} | {} | {published} | {paper_gap} |\n", row.title(), cells.join(" | "));
    }
    text + "\nSuccess on unseen test objects with Wilson's 95% interval; the same sets of objects for every row.\n"
}

const REALITY: [u8; 3] = [36, 98, 168];
const PAPER: [u8; 3] = [214, 118, 36];

/// Bars of each row: in `reality`, and the paper's robots.
pub fn figure(results: &[RowResult]) -> Canvas {
    let group = |row: Row| {
        let found = results.iter().find(|result| result.row == row);
        let paper = row.published().map(|percent| Bar::plain(f64::from(percent) / 100.0));
        let bars = vec![found.map(|result| Bar::of(&result.reality)), paper];
        BarGroup { title: row.title().to_owned(), bars }
    };
    BarFigure {
        title: "RL-CycleGAN, table 1",
        note: "reality is a simulated stand-in for the paper's robots; 95% intervals",
        legend: &[("in reality", REALITY), ("paper, on robots", PAPER)],
        groups: Row::ALL.into_iter().map(group).collect(),
    }
    .draw()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::grasp::summarize;

    fn result(row: Row, success: f64) -> RowResult {
        let mut reality = summarize(&[]);
        (reality.attempts, reality.success) = (700, success);
        RowResult { row, gan_steps: 8000, agent_steps: 9000, reality }
    }

    #[test]
    fn the_gap_is_between_sim_only_and_the_ceiling() {
        let results = [result(Row::SimOnly, 0.2), result(Row::RlCycleGan, 0.5), result(Row::Ceiling, 0.8)];
        let text = markdown(&results);
        assert!(text.contains("simulated stand-in") && text.matches("not run yet").count() == 6);
        let line = text.lines().find(|line| line.starts_with("| RL-CycleGAN")).unwrap_or_default();
        assert!(line.contains("| 0.50 | 8000, 9000 | 70% | 0.66 |"), "{line}");
        assert_eq!(gap_closed(0.5, 0.8, 0.8), None);
        let alone = markdown(&results[1..2]);
        assert!(alone.lines().any(|line| line.starts_with("| RL-CycleGAN") && line.contains("| 700 | - |")), "{alone}");
        assert!(figure(&results).height > 500);
        for row in Row::ALL {
            assert_eq!(row.name().parse(), Ok(row));
        }
    }
}
