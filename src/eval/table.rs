//! A paper's table of grasp success, as it was measured here: rows of what was trained, columns of where it was measured.
//!
//! In: a layout and the successes of each cell, one a seed. Out: Markdown, CSV and a figure that set them beside the paper's
//! numbers. `reality` is a simulated stand-in for the papers' robots, and every page says so.

use super::bars::{Bar, BarFigure, BarGroup};
use super::grasp::GraspEvaluation;
use crate::contract::Seed;
use crate::draw::Canvas;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// One measurement of a cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// The seed of the training and of the sets of objects.
    pub seed: u64,
    #[serde(flatten)]
    pub evaluation: GraspEvaluation,
    /// 1 for each attempt that succeeded, in the order of sets.
    #[serde(default)]
    pub attempt_success: Vec<u8>,
}

/// What a row came to: measurements by column, one a seed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RowResult {
    pub row: String,
    pub cells: BTreeMap<String, Vec<Measured>>,
    /// What was done for it, in words: steps, episodes.
    #[serde(default)]
    pub trained: String,
    /// It was shrunk to minutes, to see that it runs.
    #[serde(default)]
    pub quick: bool,
}

/// A column: its key in results and its heading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    pub key: &'static str,
    pub title: String,
}

/// A row: its key, its name in the paper, and the paper's numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub key: String,
    pub title: String,
    pub published: Vec<String>,
    /// The paper's success in the column [`Layout::main`], percent.
    pub published_percent: Option<u32>,
}

/// The table without its numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    pub title: String,
    pub intro: String,
    /// Heading of the first column.
    pub rows_are: String,
    pub columns: Vec<Column>,
    /// Headings of the paper's columns.
    pub published: Vec<String>,
    pub rows: Vec<Row>,
    /// The column that the paper's number and the gap are of.
    pub main: &'static str,
    /// Rows between which a row closes a share of the gap.
    pub gap: Option<[&'static str; 2]>,
}

/// What every page says.
pub const STAND_IN: &str = "`reality` is a simulated stand-in for the paper's robots: its own materials, lights, camera and \
                            objects. Nothing here was measured on a robot.";

const RESAMPLES: u64 = 2000;
/// Of fewer sets than this nothing is drawn anew.
const FEWEST_SETS: usize = 10;

/// Success of a cell over its seeds, and a 95% interval by a bootstrap of seeds, then of sets of objects within them: attempts
/// on one set depend on each other. For one seed the interval is never narrower than Wilson's, and with fewer than ten sets it
/// is Wilson's. None for a cell without attempts.
pub fn success(cell: &[Measured]) -> Option<(f64, [f64; 2])> {
    let attempts: usize = cell.iter().map(|one| one.evaluation.attempts).sum();
    let successes: usize = cell.iter().map(|one| one.evaluation.successes).sum();
    if attempts == 0 {
        return None;
    }
    let rate = successes as f64 / attempts as f64;
    let sets: Vec<Vec<f64>> = cell.iter().map(sets_of).collect();
    if let ([one], [few]) = (cell, &sets[..])
        && few.len() < FEWEST_SETS
    {
        return Some((rate, [one.evaluation.wilson_low, one.evaluation.wilson_high]));
    }
    let mut rates: Vec<f64> = (0..RESAMPLES).map(|index| resample(&sets, index)).collect();
    rates.sort_by(f64::total_cmp);
    let at = |share: f64| rates[((rates.len() - 1) as f64 * share).round() as usize];
    let (mut low, mut high) = (at(0.025), at(0.975));
    if let [one] = cell {
        (low, high) = (low.min(one.evaluation.wilson_low), high.max(one.evaluation.wilson_high));
    }
    Some((rate, [low, high]))
}

/// Success of each set of a measurement; one of them all where single attempts are not known.
fn sets_of(measured: &Measured) -> Vec<f64> {
    let mean = |set: &[u8]| set.iter().map(|&success| f64::from(success)).sum::<f64>() / set.len() as f64;
    if measured.attempt_success.is_empty() {
        return vec![measured.evaluation.success];
    }
    measured.attempt_success.chunks(measured.evaluation.attempts_per_set.max(1)).map(mean).collect()
}

fn resample(seeds: &[Vec<f64>], index: u64) -> f64 {
    let mut rng = Seed(0).derive("bootstrap", index).rng();
    let mut sum = 0.0;
    for _ in seeds {
        let sets = &seeds[rng.below(seeds.len())];
        sum += sets.iter().map(|_| sets[rng.below(sets.len())]).sum::<f64>() / sets.len() as f64;
    }
    sum / seeds.len() as f64
}

/// The share of the gap between two successes that a third closes; none where there is no gap.
pub fn gap_closed(success: f64, low: f64, high: f64) -> Option<f64> {
    (high > low).then(|| (success - low) / (high - low))
}

fn in_words(cell: &[Measured]) -> Option<String> {
    let (rate, [low, high]) = success(cell)?;
    let mut text = format!("{:.1}% ({:.1} to {:.1})", 100.0 * rate, 100.0 * low, 100.0 * high);
    if cell.len() > 1 {
        let each: Vec<String> = cell.iter().map(|one| format!("{:.1}", 100.0 * one.evaluation.success)).collect();
        let _ = write!(text, "; seeds {}", each.join(", "));
    }
    Some(text)
}

impl Layout {
    fn cell<'a>(&self, results: &'a [RowResult], row: &str, column: &str) -> Option<&'a [Measured]> {
        let found = results.iter().find(|result| result.row == row)?;
        found.cells.get(column).map(Vec::as_slice).filter(|cell| !cell.is_empty())
    }

    fn gap_of(&self, results: &[RowResult], row: &str) -> Option<f64> {
        let rate = |row: &str| success(self.cell(results, row, self.main)?).map(|(rate, _)| rate);
        let [low, high] = self.gap?;
        gap_closed(rate(row)?, rate(low)?, rate(high)?)
    }

    /// The table in Markdown, rows in the paper's order; cells that are missing say so.
    pub fn markdown(&self, results: &[RowResult]) -> String {
        let mut text = format!("# {}\n\n{STAND_IN} {}\n\n", self.title, self.intro);
        let mut heads = vec![self.rows_are.clone()];
        heads.extend(self.columns.iter().map(|column| column.title.clone()));
        heads.push("attempts".to_owned());
        heads.extend(self.gap.map(|_| "gap closed".to_owned()));
        heads.push("trained".to_owned());
        heads.extend(self.published.iter().map(|title| format!("paper: {title}")));
        let _ = writeln!(text, "| {} |\n|{}", heads.join(" | "), "---|".repeat(heads.len()));
        for row in &self.rows {
            let mut cells = vec![row.title.clone()];
            let found = |column: &Column| self.cell(results, &row.key, column.key);
            cells.extend(
                self.columns
                    .iter()
                    .map(|column| found(column).and_then(in_words).unwrap_or_else(|| "not run yet".to_owned())),
            );
            let attempts =
                self.columns.iter().find_map(found).map(|cell| cell.iter().map(|m| m.evaluation.attempts).sum());
            cells.push(attempts.map_or(String::new(), |attempts: usize| attempts.to_string()));
            if self.gap.is_some() {
                cells.push(self.gap_of(results, &row.key).map_or("-".to_owned(), |gap| format!("{gap:.2}")));
            }
            let result = results.iter().find(|result| result.row == row.key);
            cells.push(result.map_or(String::new(), |result| result.trained.clone()));
            cells.extend(row.published.clone());
            let _ = writeln!(text, "| {} |", cells.join(" | "));
        }
        text += "\nSuccess on unseen test objects with a 95% interval (bootstrap of seeds, then of sets of objects; for one \
                 seed not narrower than Wilson's); the same sets for every row.\n";
        text + &self.failures(results)
    }

    /// How the attempts of each cell failed, and how often the policy tried again (RCAN, section 5.3).
    fn failures(&self, results: &[RowResult]) -> String {
        let mut text = format!(
            "\nFailures, and regrasps in 100 attempts:\n\n| {} | measured | empty grasp | slipped | jaws open | timed out | \
             invalid | steps to success | regrasps |\n|---|---|---|---|---|---|---|---|---|\n",
            self.rows_are
        );
        let cells = self.rows.iter().flat_map(|row| self.columns.iter().map(move |column| (row, column)));
        for (row, column) in cells {
            let Some(cell) = self.cell(results, &row.key, column.key) else { continue };
            let sum = |of: fn(&GraspEvaluation) -> usize| -> usize { cell.iter().map(|m| of(&m.evaluation)).sum() };
            let mean = |of: fn(&GraspEvaluation) -> Option<f64>| {
                let values: Vec<f64> = cell.iter().filter_map(|measured| of(&measured.evaluation)).collect();
                let sum: f64 = values.iter().sum();
                if values.is_empty() { "-".to_owned() } else { format!("{:.1}", sum / values.len() as f64) }
            };
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {} | {} | {} | {} | {} |",
                row.title,
                column.title,
                sum(|e| e.failures.empty_grasp),
                sum(|e| e.failures.slipped),
                sum(|e| e.failures.jaws_open),
                sum(|e| e.failures.timed_out),
                sum(|e| e.failures.invalid),
                // Results of older versions have a zero for no success.
                mean(|e| e.steps_to_success.filter(|_| e.successes > 0)),
                mean(|e| e.regrasps_per_100)
            );
        }
        text
    }

    /// One line a measurement: row, column, seed, attempts, successes, success, Wilson's interval.
    pub fn csv(&self, results: &[RowResult]) -> String {
        let mut text = String::from("row,column,seed,attempts,successes,success,wilson_low,wilson_high\n");
        for (row, column) in self.rows.iter().flat_map(|row| self.columns.iter().map(move |column| (row, column))) {
            for one in self.cell(results, &row.key, column.key).unwrap_or_default() {
                let e = &one.evaluation;
                let _ = writeln!(
                    text,
                    "{},{},{},{},{},{:.4},{:.4},{:.4}",
                    row.key, column.key, one.seed, e.attempts, e.successes, e.success, e.wilson_low, e.wilson_high
                );
            }
        }
        text
    }

    /// Bars of each row: every column, and the paper's success.
    pub fn figure(&self, results: &[RowResult], mark: &str) -> Canvas {
        let bar = |row: &Row, column: &Column| {
            let (value, [low, high]) = success(self.cell(results, &row.key, column.key)?)?;
            Some(Bar { value, interval: Some((low, high)) })
        };
        let group = |row: &Row| {
            let mut bars: Vec<Option<Bar>> = self.columns.iter().map(|column| bar(row, column)).collect();
            bars.push(row.published_percent.map(|percent| Bar::plain(f64::from(percent) / 100.0)));
            BarGroup { title: row.title.clone(), bars }
        };
        // Headings are Markdown.
        let titles: Vec<String> = self.columns.iter().map(|column| column.title.replace('`', "")).collect();
        let colours = COLOURS.iter().cycle().copied();
        let mut legend: Vec<(&str, [u8; 3])> = titles.iter().map(String::as_str).zip(colours).collect();
        legend.push(("paper, on robots", PAPER));
        BarFigure {
            title: &format!("{mark}{}", self.title),
            note: "reality is a simulated stand-in for the paper's robots; 95% intervals",
            legend: &legend,
            groups: self.rows.iter().map(group).collect(),
        }
        .draw()
    }
}

/// Distinct in lightness too.
const COLOURS: [[u8; 3]; 5] = [[172, 190, 214], [36, 98, 168], [0, 140, 105], [120, 94, 160], [90, 90, 90]];
const PAPER: [u8; 3] = [214, 118, 36];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::grasp::{Attempt, summarize};

    fn layout() -> Layout {
        let row = |key: &str, percent| Row {
            key: key.into(),
            title: key.to_uppercase(),
            published: vec![format!("{percent}%")],
            published_percent: Some(percent),
        };
        Layout {
            title: "A table".into(),
            intro: String::new(),
            rows_are: "trained on".into(),
            columns: ["simulation", "reality"].map(|key| Column { key, title: format!("in {key}") }).into(),
            published: vec!["on robots".into()],
            rows: vec![row("low", 21), row("middle", 70), row("ceiling", 95)],
            main: "reality",
            gap: Some(["low", "ceiling"]),
        }
    }

    /// `successes` of 20, the first ones.
    fn measured(seed: u64, successes: usize) -> Measured {
        let failure = |index| (index >= successes).then_some(crate::contract::Failure::TimedOut);
        let attempts: Vec<Attempt> =
            (0..20).map(|index| Attempt { failure: failure(index), steps: 8, regrasped: index == 0 }).collect();
        let attempt_success = attempts.iter().map(|attempt| u8::from(attempt.failure.is_none())).collect();
        Measured { seed, evaluation: summarize(&attempts, 10), attempt_success }
    }

    fn result(row: &str, successes: &[usize]) -> RowResult {
        let cell = successes.iter().enumerate().map(|(seed, &n)| measured(seed as u64, n)).collect();
        RowResult {
            row: row.into(),
            cells: [("reality".to_owned(), cell)].into(),
            trained: "10 steps".into(),
            quick: false,
        }
    }

    #[test]
    fn cells_say_what_was_measured_and_what_was_not() {
        let results = [result("low", &[4]), result("middle", &[10]), result("ceiling", &[16])];
        let text = layout().markdown(&results);
        assert!(text.contains("simulated stand-in") && text.matches("not run yet").count() == 3, "{text}");
        let line = text.lines().find(|line| line.starts_with("| MIDDLE | not")).unwrap_or_default();
        assert!(line.contains("50.0% (29.9 to 70.1) | 20 | 0.50 | 10 steps | 70% |"), "{line}");
        assert!(text.contains("| MIDDLE | in reality | 0 | 0 | 0 | 10 | 0 | 8.0 | 5.0 |"), "{text}");
        // Without the ceiling there is no gap.
        assert!(layout().markdown(&results[..2]).contains("| 20 | - | 10 steps | 70% |"));
        let csv = layout().csv(&results);
        assert_eq!(csv.lines().nth(2), Some("middle,reality,0,20,10,0.5000,0.2993,0.7007"));
        assert_eq!(gap_closed(0.5, 0.8, 0.8), None);
        let read: RowResult = serde_json::from_str(&serde_json::to_string(&results[1]).unwrap()).unwrap();
        assert_eq!(read, results[1]);
    }

    #[test]
    fn several_seeds_are_pooled_and_differences_between_them_widen_the_interval() {
        let alike: Vec<Measured> = (0..3).map(|seed| measured(seed, 10)).collect();
        let apart: Vec<Measured> = [2, 10, 18].into_iter().enumerate().map(|(i, n)| measured(i as u64, n)).collect();
        let ((same, [low, high]), (mean, [wide_low, wide_high])) = (success(&alike).unwrap(), success(&apart).unwrap());
        assert!((same - 0.5).abs() < 1e-9 && (mean - 0.5).abs() < 1e-9);
        assert!(low <= same && same <= high && wide_high - wide_low > 0.4);
        assert!(layout().markdown(&[result("low", &[2, 18])]).contains("; seeds 10.0, 90.0"));
        assert_eq!(success(&[]), None);
    }

    /// Sets that are grasped as a whole or not at all say less than as many single attempts.
    #[test]
    fn one_seed_counts_sets_and_not_attempts() {
        let sets_of = |attempts_per_set: usize, success: &dyn Fn(usize) -> bool| {
            let failure = |index| (!success(index)).then_some(crate::contract::Failure::TimedOut);
            let attempts: Vec<Attempt> =
                (0..200).map(|index| Attempt { failure: failure(index), steps: 8, regrasped: false }).collect();
            let attempt_success = attempts.iter().map(|attempt| u8::from(attempt.failure.is_none())).collect();
            [Measured { seed: 1, evaluation: summarize(&attempts, attempts_per_set), attempt_success }]
        };
        let cell = |success: fn(usize) -> bool| sets_of(10, &success);
        let width = |cell: &[Measured]| {
            let (rate, [low, high]) = success(cell).unwrap();
            assert!((rate - 0.5).abs() < 1e-9 && low < rate && rate < high);
            high - low
        };
        // Wilson's for 100 of 200: 43.1% to 56.9%.
        let wilson = 0.137;
        let (together, mixed) = (width(&cell(|index| index / 10 % 2 == 0)), width(&cell(|index| index % 2 == 0)));
        // 20 sets with a standard deviation of 1/2: 2 * 1.96 * 0.5 / sqrt(20) = 0.44.
        assert!((0.35..0.5).contains(&together), "{together}");
        assert!((mixed - wilson).abs() < 0.002, "{mixed}");
        // Sets of 4, each grasped as a whole or not, are more of them: 2 * 1.96 * 0.5 / sqrt(50) = 0.28.
        let fours = width(&sets_of(4, &|index| index / 4 % 2 == 0));
        assert!((0.22..0.32).contains(&fours), "{fours}");
        let none = success(&cell(|_| false)).unwrap();
        assert!(none.0 == 0.0 && none.1[0] == 0.0 && none.1[1] > 0.01);
    }

    #[test]
    fn bars_are_as_long_as_the_success() {
        let canvas = layout().figure(&[result("low", &[7])], "");
        // The second of three bars of the first group, at 35%.
        let y = 130 + 17 + 23 + 4;
        let pixel = |percent: f32| {
            let at = (y * canvas.width + (250.0 + 6.4 * percent) as usize) * 3;
            [canvas.rgb[at], canvas.rgb[at + 1], canvas.rgb[at + 2]]
        };
        assert_eq!(pixel(33.0), COLOURS[1]);
        assert_ne!(pixel(58.0), COLOURS[1]);
    }
}
