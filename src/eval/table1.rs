//! Table 1 of the RCAN paper, first column: what an agent that never saw reality achieves there.
//!
//! In: successes of each row. Out: a Markdown table and a figure that set them beside the paper's. `reality` is a
//! simulated stand-in for the paper's robots, and both say so.

use super::grasp::GraspEvaluation;
use crate::contract::Domain;
use crate::draw::Canvas;
use crate::eval::bars::{Bar, BarFigure, BarGroup};
use serde::{Deserialize, Serialize};

/// A row of the table: what the agent was trained on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Row {
    Canonical,
    Mild,
    Medium,
    Heavy,
    Rcan,
}

impl Row {
    pub const ALL: [Self; 5] = [Self::Canonical, Self::Mild, Self::Medium, Self::Heavy, Self::Rcan];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Canonical => "canonical",
            Self::Mild => "mild",
            Self::Medium => "medium",
            Self::Heavy => "heavy",
            Self::Rcan => "rcan",
        }
    }

    /// As the paper names it.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Canonical => "Canonical Sim",
            Self::Mild => "Mild Randomization",
            Self::Medium => "Medium Randomization",
            Self::Heavy => "Heavy Randomization",
            Self::Rcan => "RCAN",
        }
    }

    /// What the agent sees in training; RCAN's sees it translated as well.
    pub const fn domain(self) -> Domain {
        match self {
            Self::Canonical => Domain::Canonical,
            Self::Mild => Domain::RandomizedMild,
            Self::Medium => Domain::RandomizedMedium,
            Self::Heavy | Self::Rcan => Domain::RandomizedHeavy,
        }
    }

    /// The paper's success in simulation and on robots, percent (102 attempts on each of several robots).
    pub const fn published(self) -> (u32, u32) {
        match self {
            Self::Canonical => (99, 21),
            Self::Mild => (98, 37),
            Self::Medium => (98, 35),
            Self::Heavy => (98, 33),
            Self::Rcan => (99, 70),
        }
    }
}

impl std::str::FromStr for Row {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|row| row.name() == text);
        found.ok_or_else(|| format!("unknown row '{text}'; the rows are canonical, mild, medium, heavy, rcan"))
    }
}

/// What one row came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RowResult {
    pub row: Row,
    pub training_steps: u64,
    pub training_episodes: u64,
    /// In the domain that it was trained in, and in `reality`; unseen objects both times.
    pub simulation: GraspEvaluation,
    pub reality: GraspEvaluation,
}

const STAND_IN: &str = "`reality` is a simulated stand-in for the paper's robots: its own materials, lights, camera and \
                        objects, which no agent was trained on. Nothing here was measured on a robot.";

fn percent(e: &GraspEvaluation) -> String {
    format!("{:.1}% ({:.1} to {:.1})", 100.0 * e.success, 100.0 * e.wilson_low, 100.0 * e.wilson_high)
}

/// The table in Markdown, rows in the paper's order; those that are missing say so.
pub fn markdown(results: &[RowResult]) -> String {
    let mut text = String::from("# RCAN, table 1: agents without real data\n\n");
    text += &format!("{STAND_IN}\n\n");
    text += "| trained on | in its simulation | in `reality` | attempts | paper: in simulation | paper: on robots |\n";
    text += "|---|---|---|---|---|---|\n";
    for row in Row::ALL {
        let (simulation, robots) = row.published();
        let found = results.iter().find(|result| result.row == row);
        let (own, reality, attempts) = found.map_or_else(
            || ("not run yet".to_owned(), "not run yet".to_owned(), String::new()),
            |result| (percent(&result.simulation), percent(&result.reality), result.reality.attempts.to_string()),
        );
        text += &format!("| {} | {own} | {reality} | {attempts} | {simulation}% | {robots}% |\n", row.title());
    }
    text += "\nSuccess on unseen test objects with Wilson's 95% interval; the same sets of objects for every row.\n";
    text += "\nFailures in `reality`:\n\n| trained on | empty grasp | slipped | jaws open | timed out | steps to success |\n";
    text += "|---|---|---|---|---|---|\n";
    for result in Row::ALL.iter().filter_map(|row| results.iter().find(|result| result.row == *row)) {
        let f = &result.reality.failures;
        text += &format!(
            "| {} | {} | {} | {} | {} | {} |\n",
            result.row.title(),
            f.empty_grasp,
            f.slipped,
            f.jaws_open,
            f.timed_out,
            // Older results have a zero for no success.
            result
                .reality
                .steps_to_success
                .filter(|_| result.reality.successes > 0)
                .map_or("-".into(), |s| format!("{s:.1}"))
        );
    }
    text
}

const SIMULATION: [u8; 3] = [172, 190, 214];
const REALITY: [u8; 3] = [36, 98, 168];
const PAPER_ROBOT: [u8; 3] = [214, 118, 36];

/// Bars of each row: in simulation, in `reality`, and the paper's robots.
pub fn figure(results: &[RowResult]) -> Canvas {
    let group = |row: Row| {
        let found = results.iter().find(|result| result.row == row);
        let paper = Some(Bar::plain(f64::from(row.published().1) / 100.0));
        let bars = found.map(|result| [&result.simulation, &result.reality].map(|e| Some(Bar::of(e))));
        let [simulation, reality] = bars.unwrap_or([None, None]);
        BarGroup { title: row.title().to_owned(), bars: vec![simulation, reality, paper] }
    };
    BarFigure {
        title: "RCAN, table 1: agents without real data",
        note: "reality is a simulated stand-in for the paper's robots; 95% intervals",
        legend: &[("in its simulation", SIMULATION), ("in reality", REALITY), ("paper, on robots", PAPER_ROBOT)],
        groups: Row::ALL.into_iter().map(group).collect(),
    }
    .draw()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::grasp::summarize;

    #[test]
    fn the_table_has_every_row_and_says_what_reality_is() {
        let mut reality = summarize(&[]);
        (reality.attempts, reality.success) = (700, 0.35);
        (reality.wilson_low, reality.wilson_high) = (0.315, 0.386);
        let result = RowResult {
            row: Row::Heavy,
            training_steps: 10,
            training_episodes: 20,
            simulation: GraspEvaluation { success: 0.9, ..reality.clone() },
            reality,
        };
        let text = markdown(std::slice::from_ref(&result));
        assert!(text.contains("simulated stand-in"));
        assert!(
            text.contains("| Heavy Randomization | 90.0% (31.5 to 38.6) | 35.0% (31.5 to 38.6) | 700 | 98% | 33% |")
        );
        assert_eq!(text.matches("not run yet").count(), 8);
        let canvas = figure(&[result]);
        // The bar of reality ends at 35%: coloured before, not behind.
        let y = 130 + 3 * (3 * 23 + 34) + 17 + 23 + 4;
        let pixel = |percent: f32| {
            let x = (250.0 + 6.4 * percent) as usize;
            let at = (y * canvas.width + x) * 3;
            [canvas.rgb[at], canvas.rgb[at + 1], canvas.rgb[at + 2]]
        };
        assert_eq!(pixel(33.0), REALITY);
        assert_ne!(pixel(50.0), REALITY);
        // A row that was not run has words where the bars would be.
        let words = |row: usize| {
            let top = 130 + row * (3 * 23 + 34) + 17;
            let inked = |y: usize, x: usize| canvas.rgb[(y * canvas.width + x) * 3] < 200;
            (top..top + 40).flat_map(|y| (254..340).map(move |x| (y, x))).filter(|&(y, x)| inked(y, x)).count()
        };
        assert!((50..1500).contains(&words(1)), "{} pixels of words", words(1));
        assert!(words(3) > 2000, "bars");
    }
}
