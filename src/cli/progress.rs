//! What is shown of a training: its bar and figures while it runs, its closing line, and its object for `--json`.

use super::output;
use crate::files::console::remark;
use crate::files::interrupt;
use crate::train::{BatchSource, Ended, Learner, LearnerConfig, Module, Outcome, Progress, TrainCallback, Trainer};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Map, Value, json};
use std::io::IsTerminal;
use std::path::Path;

/// In thousandths of the run.
fn training_bar() -> ProgressBar {
    let bar = output::progress(1000, "done");
    if let Ok(style) = ProgressStyle::with_template("{wide_bar:.cyan/dim} {percent}%  {msg}  {eta} left") {
        bar.set_style(style);
    }
    bar
}

/// The progress of a run on a terminal; a log without one gets a line with every line of metrics.
pub struct TrainingProgress {
    pub bar: ProgressBar,
    evaluation: String,
}

impl TrainingProgress {
    pub fn start() -> Self {
        Self { bar: training_bar(), evaluation: String::new() }
    }
}

impl TrainCallback for TrainingProgress {
    fn should_continue(&mut self) -> bool {
        !interrupt::requested()
    }

    fn progress(&mut self, progress: &Progress<'_>) {
        self.bar.set_position((progress.done * 1000.0) as u64);
        if progress.step % 10 != 0 && !progress.logged {
            return;
        }
        let (name, loss) = progress.metrics.first().copied().unwrap_or(("loss", f64::NAN));
        let mut line = format!("step {}, {:.1} steps/s, {name} {loss:.4}", progress.step, progress.steps_per_s);
        for part in [(progress.source)(), self.evaluation.clone()].iter().filter(|part| !part.is_empty()) {
            line = format!("{line}, {part}");
        }
        if progress.logged && !std::io::stderr().is_terminal() {
            remark(format_args!("{:5.1}%  {line}", 100.0 * progress.done));
        }
        self.bar.set_message(line);
    }

    fn evaluated(&mut self, metrics: &[(String, f64)]) {
        let shown = metrics.iter().take(2).map(|(name, value)| {
            let name = name.rsplit('/').next().unwrap_or(name).replace('_', " ");
            format!("{name} {value:.3}")
        });
        self.evaluation = shown.collect::<Vec<_>>().join(", ");
    }
}

/// The figures of a run in a line.
pub fn closing_line(outcome: &Outcome, figures: &[(&'static str, Value)], report: &Path) -> String {
    let speed = outcome.steps_here as f64 / outcome.seconds.max(1e-9);
    let mut parts = vec![format!("{} steps ({speed:.1}/s)", outcome.steps)];
    let numbers = figures.iter().filter(|(_, value)| value.is_number());
    parts.extend(numbers.map(|(name, value)| format!("{} {}", name.replace('_', " "), short(value))));
    parts.extend(outcome.evaluation.iter().map(|(name, value)| format!("{} {value:.3}", name.replace('_', " "))));
    format!("{}; report: {}", parts.join(", "), report.display())
}

fn short(value: &Value) -> String {
    match value.as_f64() {
        Some(number) if value.is_f64() => format!("{number:.3}"),
        _ => value.to_string(),
    }
}

/// What a run came to, as an object for `--json`: `figures` are the learner's own.
pub fn summary<C: LearnerConfig, L: Learner, S: BatchSource<L>>(
    trainer: &mut Trainer<C, L, S>,
    outcome: &Outcome,
    figures: Vec<(&'static str, Value)>,
    report: &Path,
) -> Value {
    let seconds = outcome.seconds.max(1e-9);
    let threads = rayon::current_num_threads();
    let mut parameters = Map::new();
    for (name, module) in trainer.learner.modules() {
        if let Module::Network(store) = module {
            parameters.insert(name.to_owned(), store.parameter_count().into());
        }
    }
    let map = |values: Vec<(String, Value)>| Value::Object(values.into_iter().collect());
    let mut object = json!({
        "out": trainer.root(),
        "complete": outcome.ended == Ended::Complete,
        "steps": outcome.steps,
        "steps_per_s": outcome.steps_here as f64 / seconds,
        "seconds": outcome.seconds,
        "source_shares": map(outcome.source_seconds.iter().map(|(name, s)| ((*name).to_owned(), json!(s / seconds))).collect()),
        "idle_share": 1.0 - outcome.processor_s / (seconds * threads as f64),
        "validation": map(outcome.evaluation.iter().map(|(name, v)| (name.clone(), json!(v))).collect()),
        "parameters": parameters,
        "warm_memory_gib": outcome.warm_gib,
        "last_memory_gib": outcome.last_gib,
        "peak_memory_gib": output::peak_memory_gib(),
        "report": report,
        "threads": threads,
        "seed": trainer.config().seed,
    });
    if let Some(object) = object.as_object_mut() {
        object.extend(figures.into_iter().map(|(name, value)| (name.to_owned(), value)));
    }
    object
}
