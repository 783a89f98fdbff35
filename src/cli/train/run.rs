//! What every `bingrasp train` command does: settings from flags, the run itself with a progress bar, the report.

use crate::cli::common::Inputs;
use crate::cli::numbers;
use crate::cli::{UsageError, output};
use crate::files::console::{remark, warn_all};
use crate::files::interrupt;
use crate::nn::{DeviceSpec, NnError, with_large_stack};
use crate::train::{
    BatchSource, Ended, Learner, LearnerConfig, Limits, Module, Outcome, Progress, ReportText, RunConfig, RunDir,
    TrainCallback, TrainError, Trainer, write_report,
};
use candle_core::Device;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Map, Value, json};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// After gradients that are not finite.
const START_ANEW: &str = "the run cannot go on as it is: start another one with other settings";

/// Flags that every learner takes.
#[derive(clap::Args, Clone, Default)]
pub struct RunArgs {
    /// Folder of the run; it must be missing or empty, or continue with --resume
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Stop after this many steps; the run is the same every time
    #[arg(long)]
    pub steps: Option<u64>,
    /// Stop after this many minutes of training; the learning rate falls with the clock
    #[arg(long, allow_negative_numbers = true, value_parser = numbers::real(numbers::MINUTES))]
    pub minutes: Option<f64>,
    /// Change any other setting of config.toml (--set log_interval=50); may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Seed: the same seed and steps give the same bytes [default: 0]
    #[arg(long)]
    pub seed: Option<u64>,
    /// Resume the run in --out with its saved settings. --steps and --minutes give it another end
    #[arg(long)]
    pub resume: bool,
    /// Compute on this device: cpu, cuda:N or metal
    #[arg(long, default_value_t = DeviceSpec::Cpu)]
    pub device: DeviceSpec,
    /// Print one JSON object on standard output
    #[arg(long)]
    pub json: bool,
}

type TrainerOf<T> = Trainer<<T as TrainCommand>::Config, <T as TrainCommand>::Learner, <T as TrainCommand>::Source>;

/// One learner on the command line: flags become settings, settings become a learner and its source.
pub trait TrainCommand {
    type Config: LearnerConfig;
    type Learner: Learner;
    type Source: BatchSource<Self::Learner>;

    /// Steps of a run without a limit.
    const DEFAULT_STEPS: u64;

    /// The word behind `bingrasp train`.
    fn name(&self) -> String {
        Self::Config::NAME.to_owned()
    }

    fn run_args(&self) -> &RunArgs;

    /// Settings before any flag.
    fn defaults(&self) -> RunConfig<Self::Config>;

    /// Puts flags of its own into the settings.
    ///
    /// # Errors
    /// A flag that is impossible.
    fn apply(&self, config: &mut RunConfig<Self::Config>) -> anyhow::Result<()>;

    /// Settings of a new run that follow from others.
    ///
    /// # Errors
    /// Settings that do not fit together.
    fn derive(&self, _config: &mut RunConfig<Self::Config>) -> anyhow::Result<()> {
        Ok(())
    }

    /// What a run reads, so that it is not written over.
    fn inputs<'a>(&self, config: &'a RunConfig<Self::Config>) -> Inputs<'a>;

    /// Puts checksums of what the settings name into them.
    ///
    /// # Errors
    /// Something that cannot be read.
    fn remember(&self, _config: &mut RunConfig<Self::Config>) -> anyhow::Result<()> {
        Ok(())
    }

    /// Checks that what `wanted` names is what the run was begun with, and gives it the paths of `saved`.
    ///
    /// # Errors
    /// Other contents.
    fn same_inputs(
        &self,
        _saved: &RunConfig<Self::Config>,
        _wanted: &mut RunConfig<Self::Config>,
    ) -> anyhow::Result<()> {
        Ok(())
    }

    /// Checks that what a run begins with, and reads no more once it has begun, is what it was when the run was made: asked
    /// where a run is resumed that has no checkpoint yet.
    ///
    /// # Errors
    /// Other contents.
    fn same_beginning(&self, _saved: &RunConfig<Self::Config>) -> anyhow::Result<()> {
        Ok(())
    }

    /// Checks where batches come from, and makes the learner and its source.
    ///
    /// # Errors
    /// A dataset, generator or object that is missing or does not fit.
    fn build(
        &self,
        out: &Path,
        config: &RunConfig<Self::Config>,
        device: &Device,
    ) -> anyhow::Result<(Self::Learner, Self::Source)>;

    /// Prepares a new run's folder and source once the run is open, and again when it is resumed without a checkpoint.
    ///
    /// # Errors
    /// A recording that is damaged, a full disk.
    fn begin(&self, _trainer: &mut TrainerOf<Self>) -> anyhow::Result<()>
    where
        Self: Sized,
    {
        Ok(())
    }

    /// Title, summary and facts of the report.
    fn report(&self, trainer: &TrainerOf<Self>, outcome: &Outcome) -> ReportText
    where
        Self: Sized;

    /// Figures of its own for --json and the closing line.
    fn figures(&self, trainer: &TrainerOf<Self>, outcome: &Outcome) -> Vec<(&'static str, Value)>
    where
        Self: Sized;
}

/// What a run came to, for another command to print.
pub struct Finished {
    pub outcome: Outcome,
    /// For `--json`.
    pub summary: Value,
    /// The closing line.
    pub line: String,
    /// How to go on after an interruption.
    resume: String,
}

/// Runs a `train` command from its flags to its report.
///
/// # Errors
/// Usage errors, failures of simulator, device and disk.
pub fn run<T: TrainCommand + Sync>(command: &T) -> anyhow::Result<Finished> {
    let args = command.run_args();
    let config = resolve(command)?;
    let (outcome, (summary, line)) = execute(command, &args.out, &config, args.resume, |trainer, outcome| {
        let mut text = command.report(trainer, outcome);
        let complete = if outcome.ended == Ended::Complete { "yes" } else { "no" };
        text.facts.insert(0, ("steps".to_owned(), outcome.steps.to_string()));
        text.facts.push(("complete".to_owned(), complete.to_owned()));
        let report = write_report(&args.out, &text)?;
        let figures = command.figures(trainer, outcome);
        let line = closing_line(outcome, &figures, &report);
        Ok((summary(trainer, outcome, figures, &report), line))
    })?;
    Ok(Finished { outcome, summary, line, resume: resume_hint(command, &args.out) })
}

impl Finished {
    /// Says how the run ended, in words or with `json` as an object.
    ///
    /// # Errors
    /// Standard output is closed.
    pub fn print(&self, json: bool) -> anyhow::Result<ExitCode> {
        if json {
            output::json(&self.summary)?;
        } else {
            output::line(&self.line)?;
        }
        if self.outcome.ended == Ended::Complete {
            return Ok(ExitCode::SUCCESS);
        }
        remark(format_args!("interrupted after step {}; {}", self.outcome.steps, self.resume));
        Ok(ExitCode::from(interrupt::EXIT_CODE as u8))
    }
}

/// The figures of a run in a line.
fn closing_line(outcome: &Outcome, figures: &[(&'static str, Value)], report: &Path) -> String {
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

fn summary<C: LearnerConfig, L: Learner, S: BatchSource<L>>(
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

fn resume_hint(command: &impl TrainCommand, out: &Path) -> String {
    format!("resume with: bingrasp train {} --out {} --resume", command.name(), out.display())
}

/// Trains in `out` to the end of the settings' limits or to Ctrl-C, with a bar, and returns what `finish` makes of it.
///
/// # Errors
/// As [`run`].
pub fn execute<T: TrainCommand + Sync, R: Send>(
    command: &T,
    out: &Path,
    config: &RunConfig<T::Config>,
    resume: bool,
    finish: impl FnOnce(&mut TrainerOf<T>, &Outcome) -> anyhow::Result<R> + Send,
) -> anyhow::Result<(Outcome, R)> {
    command.inputs(config).check_folder(out)?;
    let mut bar = ProgressView { bar: progress_bar(), evaluation: String::new() };
    interrupt::install(|| remark("saving a checkpoint; Ctrl-C again stops at once"))?;
    // An environment cannot move between threads: it is made where it is used.
    with_large_stack(|| -> anyhow::Result<_> {
        let device = command.run_args().device.open()?;
        let (learner, source) = command.build(out, config, &device)?;
        let mut trainer = if resume {
            let (trainer, warnings) = Trainer::resume(out, learner, source)?;
            warn_all(&warnings);
            trainer
        } else {
            let mut config = config.clone();
            command.remember(&mut config)?;
            Trainer::create(out, config, learner, source)?
        };
        // Also of a run that was stopped before its first checkpoint: what it begins with is in none.
        if trainer.learner.step() == 0 {
            if resume {
                let saved = trainer.config().clone();
                command.same_beginning(&saved)?;
            }
            command.begin(&mut trainer)?;
        }
        trainer.set_limits(config.limits)?;
        let outcome = trainer.run(&mut bar).map_err(|error| {
            // From its last checkpoint the run would end the same way.
            let diverged = matches!(error, TrainError::Nn(NnError::Diverged { .. }));
            let advice = if diverged { START_ANEW.to_owned() } else { resume_hint(command, out) };
            anyhow::Error::from(error).context(advice)
        })?;
        bar.bar.finish_and_clear();
        let finished = finish(&mut trainer, &outcome)?;
        Ok((outcome, finished))
    })?
}

/// The run's settings: the defaults or those of the run that is resumed, changed by flags.
///
/// # Errors
/// A flag or a setting that is impossible.
pub fn resolve<T: TrainCommand>(command: &T) -> anyhow::Result<RunConfig<T::Config>> {
    let args = command.run_args();
    let typed = |config: &mut RunConfig<T::Config>| -> anyhow::Result<()> {
        command.apply(config)?;
        config.seed = args.seed.unwrap_or(config.seed);
        for assignment in &args.set {
            *config = config.with(assignment).map_err(UsageError)?;
        }
        Ok(())
    };
    let limits = Limits { steps: args.steps, minutes: args.minutes };
    let given = limits.steps.is_some() || limits.minutes.is_some();
    if !args.resume {
        let mut config = command.defaults();
        config.limits = if given { limits } else { Limits { steps: Some(T::DEFAULT_STEPS), minutes: None } };
        config.limits.validate().map_err(UsageError)?;
        typed(&mut config)?;
        command.derive(&mut config)?;
        config.validate().map_err(UsageError)?;
        return Ok(config);
    }
    let saved = RunConfig::parse(&RunDir::read_config(&args.out)?, &args.out)?;
    let mut wanted = saved.clone();
    typed(&mut wanted)?;
    let moved = wanted.clone();
    command.same_inputs(&saved, &mut wanted)?;
    if wanted != saved {
        let message = format!(
            "the run in {} was started with other settings; leave them out with --resume, or start another run",
            args.out.display()
        );
        return Err(UsageError(message).into());
    }
    let config = RunConfig { limits: if given { limits } else { saved.limits }, data: moved.data, ..saved };
    config.limits.validate().map_err(UsageError)?;
    Ok(config)
}

/// In thousandths of the run.
fn progress_bar() -> ProgressBar {
    let bar = output::progress(1000, "done");
    if let Ok(style) = ProgressStyle::with_template("{wide_bar:.cyan/dim} {percent}%  {msg}  {eta} left") {
        bar.set_style(style);
    }
    bar
}

/// The progress of a run on a terminal; a log without one gets a line with every line of metrics.
struct ProgressView {
    bar: ProgressBar,
    evaluation: String,
}

impl TrainCallback for ProgressView {
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
