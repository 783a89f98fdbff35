//! `report.md`: what a run was and what came out, with its curves and newest pictures.

use super::directory::{CONFIG_NAME, IMAGES_NAME, RunDir, RunError};
use super::metrics::{MetricsLine, read_metrics};
use crate::draw::{Chart, Series};
use crate::files::atomic::{FileError, create_folder, write_atomic};
use crate::files::names::plain_name;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const CURVES_NAME: &str = "curves";
/// Curves with more points than this are smoothed.
const SMOOTH_FROM: usize = 200;

/// What the report says beside what the run's files tell by themselves.
#[derive(Clone, Debug, Default)]
pub struct ReportText {
    /// The heading, without Markdown's `#`.
    pub title: String,
    /// One or two sentences under the title.
    pub summary: String,
    /// A table of facts, in this order.
    pub facts: Vec<(String, String)>,
}

/// Writes `report.md` and the curves it shows. Metrics called `group/name` share a chart; each picture's newest version
/// is shown. The same run gives the same report.
pub fn write_report(root: &Path, text: &ReportText) -> Result<PathBuf, RunError> {
    let lines = match read_metrics(root) {
        Err(error) if error.is_not_found() => Vec::new(),
        lines => lines?,
    };
    let mut markdown = format!("# {}\n\n", text.title);
    if !text.summary.is_empty() {
        markdown += &format!("{}\n\n", text.summary);
    }
    if !text.facts.is_empty() {
        markdown += "| | |\n|---|---|\n";
        for (name, value) in &text.facts {
            markdown += &format!("| {} | {} |\n", cell(name), cell(value));
        }
        markdown += "\n";
    }
    let series = collect(&lines);
    if !series.is_empty() {
        let folder = root.join(IMAGES_NAME).join(CURVES_NAME);
        create_folder(&folder)?;
        markdown += "## Curves\n\n";
        for (group, curves) in &groups(&series) {
            let file = plain_name(group);
            let longest = curves.iter().map(|s| s.points.len()).max().unwrap_or(0);
            let smoothing = if longest >= SMOOTH_FROM { 0.95 } else { 0.0 };
            let chart = Chart::new(group.as_str(), curves.clone()).labels("step", "").smoothing(smoothing);
            chart.save(&folder.join(format!("{file}.png")))?;
            chart.save(&folder.join(format!("{file}.svg")))?;
            markdown += &format!("![{group}]({IMAGES_NAME}/{CURVES_NAME}/{file}.png)\n\n");
        }
        markdown += "## Figures\n\n| figure | last | lowest | highest | points |\n|---|---:|---:|---:|---:|\n";
        for (name, points) in &series {
            let values = || points.iter().map(|p| p.1).filter(|v| v.is_finite());
            let low = values().fold(f64::INFINITY, f64::min);
            let high = values().fold(f64::NEG_INFINITY, f64::max);
            let last = points.last().map_or(f64::NAN, |p| p.1);
            let [last, low, high] = [last, low, high].map(figure);
            markdown += &format!("| {} | {last} | {low} | {high} | {} |\n", cell(name), points.len());
        }
        markdown += "\n";
    }
    let pictures = newest_pictures(root)?;
    if !pictures.is_empty() {
        markdown += "## Pictures\n\n";
        for (name, file) in pictures {
            markdown += &format!("### {name}\n\n![{name}]({IMAGES_NAME}/{name}/{file})\n\n");
        }
    }
    if let Ok(config) = RunDir::read_config(root) {
        markdown += &format!("## Settings (`{CONFIG_NAME}`)\n\n```toml\n{}\n```\n", config.trim_end());
    }
    let path = root.join("report.md");
    write_atomic(&path, markdown.as_bytes())?;
    Ok(path)
}

/// The points of each figure by its name.
fn collect(lines: &[MetricsLine]) -> BTreeMap<String, Vec<(f64, f64)>> {
    let mut series: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
    for line in lines {
        for (name, &value) in &line.values {
            series.entry(name.clone()).or_default().push((line.step as f64, value));
        }
    }
    series
}

fn groups(series: &BTreeMap<String, Vec<(f64, f64)>>) -> BTreeMap<String, Vec<Series>> {
    let mut groups: BTreeMap<String, Vec<Series>> = BTreeMap::new();
    for (name, points) in series {
        let (group, curve) = name.split_once('/').unwrap_or((name, name));
        groups.entry(group.into()).or_default().push(Series::new(curve, points.clone()));
    }
    groups
}

/// Four significant digits.
fn figure(value: f64) -> String {
    if !value.is_finite() {
        return "–".into();
    }
    // Minus zero is zero.
    let value = value + 0.0;
    let digits = if value == 0.0 { 0.0 } else { 3.0 - value.abs().log10().floor() };
    if (0.0..=8.0).contains(&digits) {
        format!("{value:.*}", digits as usize)
    } else if digits < 0.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.3e}")
    }
}

/// Text that stays within its cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

/// The last file of each folder of pictures.
fn newest_pictures(root: &Path) -> Result<Vec<(String, String)>, FileError> {
    let list = |folder: &Path| -> Result<Vec<String>, FileError> {
        let entries = match std::fs::read_dir(folder) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(|e| FileError::io("list", folder, e))?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|e| FileError::io("list", folder, e))?;
            names.extend(entry.file_name().to_str().map(str::to_owned));
        }
        names.sort();
        Ok(names)
    };
    let images = root.join(IMAGES_NAME);
    let mut found = Vec::new();
    for name in list(&images)?.into_iter().filter(|name| name != CURVES_NAME && images.join(name).is_dir()) {
        let newest =
            list(&images.join(&name))?.into_iter().rfind(|file| file.ends_with(".png") && !file.starts_with('.'));
        found.extend(newest.map(|file| (name, file)));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::Canvas;

    #[test]
    fn a_report_shows_curves_figures_and_the_newest_pictures() {
        let folder = tempfile::tempdir().unwrap();
        let mut run = RunDir::create(folder.path(), "seed = 5\n").unwrap();
        for step in 0..30 {
            let x = step as f64;
            run.scalars(step, &[("loss/g", 1.0 / (x + 1.0)), ("loss/d", 0.5), ("success", x / 29.0)]).unwrap();
        }
        run.image(10, "translation", &Canvas::new(2, 2, [1; 3])).unwrap();
        run.image(20, "translation", &Canvas::new(2, 2, [2; 3])).unwrap();
        let text = ReportText {
            title: "RCAN".into(),
            summary: "A short run.".into(),
            facts: vec![("steps".into(), "30 | half of it".into())],
        };
        let path = write_report(folder.path(), &text).unwrap();
        let markdown = std::fs::read_to_string(&path).unwrap();
        for expected in [
            "# RCAN\n",
            "| steps | 30 \\| half of it |",
            "![loss](images/curves/loss.png)",
            "![success](images/curves/success.png)",
            "| loss/g | 0.03333 | 0.03333 | 1.000 | 30 |",
            "![translation](images/translation/000000020.png)",
            "seed = 5",
        ] {
            assert!(markdown.contains(expected), "{expected} is missing in\n{markdown}");
        }
        assert!(!markdown.contains("000000010.png"));
        for file in ["loss.png", "loss.svg", "success.png"] {
            assert!(folder.path().join("images/curves").join(file).is_file());
        }
    }

    #[test]
    fn figures_have_four_digits() {
        for (value, text) in [
            (0.0, "0"),
            (1.0, "1.000"),
            (-0.05, "-0.05000"),
            (123_456.0, "123456"),
            (1.5e-9, "1.500e-9"),
            (f64::NAN, "–"),
        ] {
            assert_eq!(figure(value), text);
        }
    }
}
