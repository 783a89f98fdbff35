//! `bingrasp reproduce`: a paper's table, row by row.

use super::train::qtopt::{self, QtOptRun};
use super::train::run::{RunArgs, execute, resolve};
use super::{UsageError, agent, common, eval, numbers, output};
use crate::contract::{Domain, Seed};
use crate::env::EnvConfig;
use crate::eval::protocol::{EvaluationConfig, GraspEvaluation};
use crate::eval::table1::{Row, RowResult, figure, markdown};
use crate::files::atomic::{create_folder, read_capped, write_atomic};
use crate::files::console::{remark, warn_all};
use crate::files::interrupt;
use crate::gan::rcan::load_generator;
use crate::rl::qtopt::load_policy;
use crate::train::{Ended, Limits, RunConfig, RunDir};
use anyhow::Context;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// RCAN, table 1: agents trained on canonical, randomized and translated pictures, each measured in its own
    /// simulation and in `reality`, a simulated stand-in for the paper's robots
    #[command(
        after_help = "Example: bingrasp reproduce rcan-table1 --out runs/table1 --generator runs/rcan --minutes 90\n\
                            The same command goes on where it was interrupted; rows that are finished are kept."
    )]
    RcanTable1(Table1Args),
}

#[derive(clap::Args)]
struct Table1Args {
    /// Folder of the runs, results, table and figure
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Rows to bring to an end: canonical, mild, medium, heavy, rcan [default: all]
    #[arg(long, value_delimiter = ',', value_name = "ROW,...")]
    rows: Vec<Row>,
    /// An RCAN run (`bingrasp train rcan`), for the row of that name
    #[arg(long, value_name = "RUN")]
    generator: Option<PathBuf>,
    /// Minutes of training for each row [default: 90 without --steps]
    #[arg(long)]
    minutes: Option<f64>,
    /// Gradient steps for each row
    #[arg(long)]
    steps: Option<u64>,
    /// Grasp attempts of each measurement
    #[arg(long, default_value_t = 700, value_parser = numbers::count(numbers::ATTEMPTS))]
    attempts: usize,
    #[command(flatten)]
    seed: common::SeedArg,
    /// One JSON object on standard output
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    out: PathBuf,
    complete: bool,
    results: Vec<RowResult>,
    table: PathBuf,
    figure: PathBuf,
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match &args.what {
        What::RcanTable1(args) => table1(args),
    }
}

fn table1(args: &Table1Args) -> anyhow::Result<ExitCode> {
    let mut rows = if args.rows.is_empty() { Row::ALL.to_vec() } else { args.rows.clone() };
    rows.sort();
    rows.dedup();
    limits(args).validate().map_err(UsageError)?;
    let generator = args.generator.as_deref().map(std::path::absolute).transpose().context("--generator")?;
    let inputs = common::Inputs::default().run("--generator", generator.as_deref());
    inputs.check_distinct("--out", &args.out)?;
    // Each row has a run there, of which one is called rcan.
    for row in Row::ALL {
        inputs.check_folder(&args.out.join(row.name()))?;
    }
    let unfinished = |row: Row| !result_path(&args.out, row).is_file();
    if rows.contains(&Row::Rcan) && unfinished(Row::Rcan) {
        let message = "the row rcan needs a generator: train one (`bingrasp train rcan --out runs/rcan --minutes 40`) and \
                       pass --generator runs/rcan, or leave the row out with --rows";
        let Some(generator) = &generator else { return Err(UsageError(message.into()).into()) };
        // Before other rows train for hours. A run that was begun has a copy.
        if !agent::own_generator(&args.out.join(Row::Rcan.name())).is_dir() {
            load_generator(generator).with_context(|| format!("loading the generator in {}", generator.display()))?;
        }
    }
    for row in rows.iter().copied().filter(|row| !unfinished(*row)) {
        check_finished(args, row, generator.as_deref().filter(|_| row == Row::Rcan))?;
    }
    create_folder(&args.out)?;
    let mut complete = true;
    for row in rows {
        if unfinished(row) {
            if interrupt::requested() {
                complete = false;
                break;
            }
            remark(format_args!("{}: training in {}", row.title(), row.domain()));
            if !bring_to_end(args, row, generator.as_deref().filter(|_| row == Row::Rcan))? {
                complete = false;
                break;
            }
        }
        write_table(&args.out)?;
    }
    let results = results_in(&args.out)?;
    let (table, figure) = write_table(&args.out)?;
    if args.json {
        output::json(&Report { out: args.out.clone(), complete, results, table, figure })?;
    } else {
        output::line(&markdown(&results))?;
        output::line(&format!("{} and {}", table.display(), figure.display()))?;
    }
    if complete {
        return Ok(ExitCode::SUCCESS);
    }
    remark("interrupted: resume with the same command");
    Ok(ExitCode::from(interrupt::EXIT_CODE as u8))
}

fn limits(args: &Table1Args) -> Limits {
    let minutes = if args.steps.is_none() { Some(args.minutes.unwrap_or(90.0)) } else { args.minutes };
    Limits { steps: args.steps, minutes }
}

fn result_path(out: &Path, row: Row) -> PathBuf {
    out.join(format!("{}.json", row.name()))
}

/// Trains and measures one row; false when it was interrupted.
fn bring_to_end(args: &Table1Args, row: Row, generator: Option<&Path>) -> anyhow::Result<bool> {
    let run = args.out.join(row.name());
    let (command, config) = training(args, row, generator)?;
    let resume = run.join("config.toml").is_file();
    if resume && RunDir::read_config(&run)? != config.to_toml()? {
        return Err(UsageError(format!(
            "the run in {} was started with other settings; use the same ones, or another folder",
            run.display()
        ))
        .into());
    }
    let command = qtopt::Args { run: RunArgs { resume, ..command.run }, ..command };
    let (outcome, episodes) = execute(&command, &run, &config, resume, |trainer, _| Ok(trainer.source.episodes()))?;
    // The run itself is whole then, and only measured again.
    if outcome.ended != Ended::Complete || interrupt::requested() {
        return Ok(false);
    }
    let simulation = measure(args, &run, row.domain())?;
    if interrupt::requested() {
        return Ok(false);
    }
    let reality = measure(args, &run, Domain::Reality)?;
    let result = RowResult { row, training_steps: outcome.steps, training_episodes: episodes, simulation, reality };
    let text = serde_json::to_string_pretty(&result)?;
    write_atomic(&result_path(&args.out, row), text.as_bytes())?;
    Ok(true)
}

/// Refuses to pass a finished row for what these arguments would make of it.
fn check_finished(args: &Table1Args, row: Row, generator: Option<&Path>) -> anyhow::Result<()> {
    let differs = |option: &str, there: Option<String>| {
        let there = there.map_or(format!("without {option}"), |there| format!("with {option} {there}"));
        UsageError(format!(
            "the row {} in {} was made {there}; do the same, leave the row out with --rows, or choose another --out",
            row.name(),
            args.out.display()
        ))
    };
    let result = read_result(&result_path(&args.out, row))?;
    if result.reality.attempts != args.attempts {
        return Err(differs("--attempts", Some(result.reality.attempts.to_string())).into());
    }
    let run = args.out.join(row.name());
    if !run.join("config.toml").is_file() {
        return Ok(());
    }
    let there: QtOptRun = RunConfig::parse(&RunDir::read_config(&run)?, &run)?;
    let (_, here) = training(args, row, generator)?;
    let of = |config: &QtOptRun| {
        let path = config.data.generator.as_ref().map(|path| path.display().to_string());
        [
            ("--seed", Some(config.seed.to_string())),
            ("--steps", config.limits.steps.map(|steps| steps.to_string())),
            ("--minutes", config.limits.minutes.map(|minutes| minutes.to_string())),
            ("--generator", path),
        ]
    };
    // The other settings may be those of another version.
    for ((option, there), (_, here)) in of(&there).into_iter().zip(of(&here)) {
        // A finished row needs no generator again.
        if there != here && !(option == "--generator" && generator.is_none()) {
            return Err(differs(option, there).into());
        }
    }
    Ok(())
}

/// The training of a row, and its settings.
fn training(args: &Table1Args, row: Row, generator: Option<&Path>) -> anyhow::Result<(qtopt::Args, QtOptRun)> {
    let Limits { steps, minutes } = limits(args);
    let out = args.out.join(row.name());
    let run = RunArgs { out, steps, minutes, seed: Some(args.seed.get().0), ..RunArgs::default() };
    let generator = generator.map(Path::to_owned);
    let command = qtopt::Args { run, domain: Some(row.domain()), generator, ..qtopt::Args::default() };
    let config = resolve(&command)?;
    Ok((command, config))
}

/// Success on unseen objects; the same sets for every row.
fn measure(args: &Table1Args, run: &Path, domain: Domain) -> anyhow::Result<GraspEvaluation> {
    let loaded = load_policy(run)?;
    warn_all(&loaded.warnings);
    let config = EvaluationConfig { attempts: args.attempts, ..EvaluationConfig::default() };
    let seed: Seed = args.seed.get().derive("table1", 0);
    let env = EnvConfig::new(
        common::load_objects("test", common::ImportArgs::default())?,
        domain,
        1,
        loaded.policy.size as u32,
        seed,
    );
    Ok(eval::play_learned(&loaded, &config, env, 0)?.evaluation)
}

fn read_result(path: &Path) -> anyhow::Result<RowResult> {
    let bytes = read_capped(path, 1 << 20)?;
    serde_json::from_slice(&bytes)
        .with_context(|| format!("reading {}; remove it to measure that row again", path.display()))
}

fn results_in(out: &Path) -> anyhow::Result<Vec<RowResult>> {
    let mut results = Vec::new();
    for row in Row::ALL {
        let path = result_path(out, row);
        if path.is_file() {
            results.push(read_result(&path)?);
        }
    }
    Ok(results)
}

fn write_table(out: &Path) -> anyhow::Result<(PathBuf, PathBuf)> {
    let results = results_in(out)?;
    let (table, picture) = (out.join("table1.md"), out.join("table1.png"));
    write_atomic(&table, markdown(&results).as_bytes())?;
    figure(&results).save(&picture)?;
    Ok((table, picture))
}
