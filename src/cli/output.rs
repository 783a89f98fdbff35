//! Words and figures for people and for programs.

use crate::files::console;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use serde_json::ser::{Formatter, PrettyFormatter};
use std::io::{IsTerminal, Write};

/// One JSON object on standard output.
pub fn json(value: &impl Serialize) -> anyhow::Result<()> {
    line(&to_json(value)?)
}

/// A number for people with so many decimals: `-` where there is none (an average over nothing), and no minus before zero.
pub fn decimal(value: impl Into<Option<f64>>, decimals: usize) -> String {
    let Some(value) = value.into().filter(|value| value.is_finite()) else { return "-".to_owned() };
    let text = format!("{value:.decimals$}");
    match text.strip_prefix('-') {
        Some(digits) if digits.chars().all(|c| "0.".contains(c)) => digits.to_owned(),
        _ => text,
    }
}

/// The usual JSON for people to read, but for minus zero, which is zero. What is not finite is null.
struct Figures(PrettyFormatter<'static>);

impl Formatter for Figures {
    fn write_f64<W: ?Sized + Write>(&mut self, writer: &mut W, value: f64) -> std::io::Result<()> {
        self.0.write_f64(writer, value + 0.0)
    }

    fn write_f32<W: ?Sized + Write>(&mut self, writer: &mut W, value: f32) -> std::io::Result<()> {
        self.0.write_f32(writer, value + 0.0)
    }

    fn begin_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> std::io::Result<()> {
        self.0.begin_array(writer)
    }

    fn end_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> std::io::Result<()> {
        self.0.end_array(writer)
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> std::io::Result<()> {
        self.0.begin_array_value(writer, first)
    }

    fn end_array_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> std::io::Result<()> {
        self.0.end_array_value(writer)
    }

    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> std::io::Result<()> {
        self.0.begin_object(writer)
    }

    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> std::io::Result<()> {
        self.0.end_object(writer)
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> std::io::Result<()> {
        self.0.begin_object_key(writer, first)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> std::io::Result<()> {
        self.0.begin_object_value(writer)
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> std::io::Result<()> {
        self.0.end_object_value(writer)
    }
}

fn to_json(value: &impl Serialize) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    value.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, Figures(PrettyFormatter::new())))?;
    Ok(String::from_utf8(bytes)?)
}

/// One line on standard output; a closed pipe is an error that `main` forgives.
pub fn line(text: &str) -> anyhow::Result<()> {
    Ok(console::print_line(text)?)
}

/// A bar with rate and time left on a terminal; silent elsewhere.
pub fn progress(total: u64, unit: &'static str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let template = format!("{{wide_bar:.cyan/dim}} {{human_pos}}/{{human_len}} {unit}  {{per_sec}}  {{eta}} left");
    let style = ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(total).with_style(style)
}

/// Largest resident memory of this process so far, GiB; 0 where the system does not tell.
pub fn peak_memory_gib() -> f64 {
    crate::files::memory::peak_gib()
}

/// The middle of the values; 0 for none.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => 0.0,
        n if n % 2 == 1 => sorted[n / 2],
        n => 0.5 * (sorted[n / 2 - 1] + sorted[n / 2]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_figure_is_minus_zero_or_not_a_number() -> anyhow::Result<()> {
        let values = serde_json::json!({"a": -0.0, "b": [1.5, -2.0], "c": {}, "d": "-0.0"});
        assert_eq!(to_json(&values)?, serde_json::to_string_pretty(&values)?.replace("\"a\": -0.0", "\"a\": 0.0"));
        #[derive(Serialize)]
        struct Means {
            empty: f64,
            tiny: f32,
        }
        let text = to_json(&Means { empty: f64::NAN, tiny: -0.0 })?;
        assert_eq!(text, "{\n  \"empty\": null,\n  \"tiny\": 0.0\n}");
        let none: Vec<f64> = Vec::new();
        assert_eq!(decimal(none.iter().sum::<f64>() / none.len() as f64, 1), "-");
        assert_eq!((decimal(-0.04, 1), decimal(-0.06, 1), decimal(None, 3)), ("0.0".into(), "-0.1".into(), "-".into()));
        assert_eq!(
            (decimal(-0.0, 0), decimal(12.345, 2), decimal(-100.0, 0)),
            ("0".into(), "12.35".into(), "-100".into())
        );
        Ok(())
    }
}
