//! What every `bingrasp train` command does: settings from flags, the run itself with a progress bar, what it came to.

use crate::cli::progress::{TrainingProgress, closing_line, summary};
use crate::cli::{UsageError, numbers, output};
use crate::files::console::remark;
use crate::files::interrupt;
use crate::nn::DeviceSpec;
use crate::runs::{LearnerSetup, Start, settings, train};
use crate::train::{Ended, Limits, Outcome, RunConfig};
use serde_json::Value;
use std::path::PathBuf;
use std::process::ExitCode;

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

/// The settings of a command's run.
type ConfigOf<T> = RunConfig<<<T as TrainCommand>::Setup as LearnerSetup>::Config>;

/// One learner on the command line: flags become settings. `runs` does the rest.
pub trait TrainCommand {
    type Setup: LearnerSetup;

    fn run_args(&self) -> &RunArgs;

    /// The learner that the flags name.
    fn setup(&self) -> Self::Setup;

    /// Whether `--offline` and `--real` are typed: see [`Start`].
    fn names_recordings(&self) -> [bool; 2] {
        [false; 2]
    }

    /// Puts flags of its own into the settings.
    ///
    /// # Errors
    /// A flag that is impossible.
    fn apply(&self, config: &mut ConfigOf<Self>) -> anyhow::Result<()>;
}

/// What a run came to, for another command to print.
pub struct Finished {
    pub outcome: Outcome,
    /// For `--json`.
    pub summary: Value,
    json: bool,
    /// The closing line.
    line: String,
    /// How to resume after an interruption.
    resume: String,
}

/// Runs a `train` command from its flags to its report.
///
/// # Errors
/// Usage errors, failures of simulator, device and disk.
pub fn run<T: TrainCommand>(command: &T) -> anyhow::Result<Finished> {
    let (args, setup, start) = (command.run_args(), command.setup(), start_of(command));
    let config = resolve(command)?;
    let mut view = TrainingProgress::start();
    let bar = view.bar.clone();
    interrupt::install(|| remark("saving a checkpoint; Ctrl-C again stops at once"))?;
    let (outcome, (summary, line)) =
        train(&setup, &start, &config, &args.device, &mut view, |trainer, outcome, report| {
            bar.finish_and_clear();
            let figures = setup.figures(trainer, outcome);
            let line = closing_line(outcome, &figures, &report);
            Ok((summary(trainer, outcome, figures, &report), line))
        })?;
    Ok(Finished { outcome, summary, json: args.json, line, resume: setup.resume_hint(&args.out) })
}

fn start_of(command: &impl TrainCommand) -> Start {
    let (args, [names_offline, names_real]) = (command.run_args(), command.names_recordings());
    Start { out: args.out.clone(), resume: args.resume, names_offline, names_real }
}

impl Finished {
    /// Says how the run ended, in words or with `--json` as an object.
    ///
    /// # Errors
    /// Standard output is closed.
    pub fn print(&self) -> anyhow::Result<ExitCode> {
        if self.json {
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

/// The run's settings: the defaults or those of the run that is resumed, changed by flags.
///
/// # Errors
/// A flag or a setting that is impossible.
pub fn resolve<T: TrainCommand>(command: &T) -> anyhow::Result<ConfigOf<T>> {
    let args = command.run_args();
    let limits = Limits { steps: args.steps, minutes: args.minutes };
    settings(&command.setup(), &start_of(command), limits, |config| {
        command.apply(config)?;
        config.seed = args.seed.unwrap_or(config.seed);
        for assignment in &args.set {
            *config = config.with(assignment).map_err(UsageError)?;
        }
        Ok(())
    })
}
