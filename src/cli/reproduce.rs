//! `bingrasp reproduce`: a paper's table, row by row.

mod rl_cyclegan;

use super::learned::Learned;
use super::train::qtopt::{self, QtOptRun};
use super::train::run::{RunArgs, execute, resolve};
use super::{UsageError, common, eval, numbers, output, reproduce_servo};
use crate::contract::{Domain, Seed};
use crate::env::EnvConfig;
use crate::eval::grasp::{GraspEvaluation, GraspProtocol};
use crate::eval::table1::{Row, RowResult, figure, markdown};
use crate::files::atomic::{create_folder, read_capped, sha256_file, write_atomic};
use crate::files::console::{remark, warn_all};
use crate::files::interrupt;
use crate::gan::rcan::RcanConfig;
use crate::nn::HOST;
use crate::rl::qtopt::load_policy;
use crate::train::{Ended, Limits, RunGraph, load_run};
use anyhow::Context;
use serde::{Deserialize, Serialize};
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
    /// RL-CycleGAN, table 1: what agents come to in `reality` that learned on pictures of the simulator as they are,
    /// randomized, or translated by GAN, CycleGAN, GraspGAN and RL-CycleGAN
    #[command(
        name = "rl-cyclegan-table1",
        after_help = "Example: bingrasp reproduce rl-cyclegan-table1 --out runs/rl-table1 --canonical runs/canonical\n\
                      The same command goes on where it was interrupted; rows that are finished are kept."
    )]
    RlCycleganTable1(rl_cyclegan::Args),
    /// Figures 6 to 11 of reach, then servo (PPO pose agent, semantic CycleGAN, visual servoing), in `reality`, a simulated
    /// stand-in for the paper's robot
    #[command(after_help = "Examples:\n  bingrasp reproduce servo-figures --out runs/servo\n  \
                            bingrasp reproduce servo-figures --out runs/servo-quick --quick\n\
                            The same command goes on where it was interrupted; what is finished is kept.")]
    ServoFigures(reproduce_servo::Args),
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
    /// Write table and figure of the results that are there, and run nothing
    #[arg(long)]
    table_only: bool,
    /// Shrink everything to minutes, to see that it runs; the table says so and shows nothing else
    #[arg(long, conflicts_with_all = ["minutes", "steps", "attempts"])]
    quick: bool,
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
    quick: bool,
    results: Vec<RowResult>,
    table: PathBuf,
    figure: PathBuf,
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match &args.what {
        What::RcanTable1(args) => table1(args),
        What::RlCycleganTable1(args) => rl_cyclegan::run(args),
        What::ServoFigures(args) => reproduce_servo::run(args),
    }
}

/// Steps and attempts of a quick table.
const QUICK: (u64, usize) = (200, 20);
/// Nodes of the graph and their results lie in this folder of `--out`.
const RUNS: &str = "runs";
const RESULT_NAME: &str = "result.json";
const MAX_RESULT_BYTES: u64 = 1 << 20;

/// What training left for the table.
#[derive(Serialize, Deserialize)]
struct Trained {
    steps: u64,
    episodes: u64,
}

fn table1(args: &Table1Args) -> anyhow::Result<ExitCode> {
    let mut rows = if args.rows.is_empty() { Row::ALL.to_vec() } else { args.rows.clone() };
    rows.sort();
    rows.dedup();
    if args.table_only {
        rows.clear();
    }
    limits(args).validate().map_err(UsageError)?;
    let generator = args.generator.as_deref().map(std::path::absolute).transpose().context("--generator")?;
    common::Inputs::default().run("--generator", generator.as_deref()).check_folder(&args.out)?;
    if rows.contains(&Row::Rcan) && generator.is_none() {
        let message = "the row rcan needs a generator: train one (`bingrasp train rcan --out runs/rcan --minutes 40`) and \
                       pass --generator runs/rcan, or leave the row out with --rows";
        return Err(UsageError(message.into()).into());
    }
    let mut graph = RunGraph::new(&args.out.join(RUNS));
    for row in &rows {
        add_row(&mut graph, args, *row, generator.as_deref().filter(|_| *row == Row::Rcan))?;
    }
    create_folder(&args.out)?;
    let mut complete = true;
    for row in rows {
        complete = bring_to_end(&mut graph, args, row)?;
        if !complete {
            break;
        }
        write_table(args)?;
    }
    let results = results_in(&args.out)?;
    let (table, figure) = write_table(args)?;
    if args.json {
        output::json(&Report { out: args.out.clone(), complete, quick: args.quick, results, table, figure })?;
    } else {
        output::line(&std::fs::read_to_string(&table)?)?;
        output::line(&format!("{} and {}", table.display(), figure.display()))?;
    }
    if complete {
        return Ok(ExitCode::SUCCESS);
    }
    remark("interrupted: resume with the same command");
    Ok(ExitCode::from(interrupt::EXIT_CODE as u8))
}

fn limits(args: &Table1Args) -> Limits {
    if args.quick {
        return Limits { steps: Some(QUICK.0), minutes: None };
    }
    let minutes = if args.steps.is_none() { Some(args.minutes.unwrap_or(90.0)) } else { args.minutes };
    Limits { steps: args.steps, minutes }
}

fn attempts(args: &Table1Args) -> usize {
    if args.quick { QUICK.1 } else { args.attempts }
}

/// The nodes of a row: its training, and a measurement in its own simulation and in `reality`.
fn add_row<'a>(
    graph: &mut RunGraph<'a>,
    args: &'a Table1Args,
    row: Row,
    generator: Option<&Path>,
) -> anyhow::Result<()> {
    let (command, config) = training(args, row, generator)?;
    let mut identity = config.clone();
    if let Some(path) = &mut identity.data.generator {
        // What it is counts, not where it lies.
        let loaded =
            load_run::<RcanConfig>(path).with_context(|| format!("loading the generator in {}", path.display()))?;
        *path = sha256_file(&loaded.checkpoint.path.join("generator_averaged.safetensors"))?.into();
    }
    let train = format!("train-{}", row.name());
    graph.add(&train, &identity.to_toml()?, &[], move |context| {
        remark(format_args!("{}: training in {}", row.title(), row.domain()));
        let resume = context.folder.join("config.toml").is_file();
        let run = RunArgs { out: context.folder.to_owned(), resume, ..command.run.clone() };
        let command = qtopt::Args { run, ..command.clone() };
        let (outcome, episodes) =
            execute(&command, context.folder, &config, resume, |trainer, _| Ok(trainer.source.episodes()))?;
        let trained = Trained { steps: outcome.steps, episodes };
        write_atomic(&context.folder.join(RESULT_NAME), &serde_json::to_vec_pretty(&trained)?)?;
        Ok(outcome.ended)
    })?;
    for (name, domain) in [("simulation", row.domain()), ("reality", Domain::Reality)] {
        let settings = format!("attempts = {}\nseed = {}\ndomain = {domain}\n", attempts(args), args.seed.get().0);
        let input = train.clone();
        graph.add(&format!("{name}-{}", row.name()), &settings, &[&train], move |context| {
            remark(format_args!("{}: measuring in {domain}", row.title()));
            if interrupt::requested() {
                return Ok(Ended::Interrupted);
            }
            let evaluation = measure(args, context.input(&input), domain)?;
            create_folder(context.folder)?;
            write_atomic(&context.folder.join(RESULT_NAME), &serde_json::to_vec_pretty(&evaluation)?)?;
            Ok(Ended::Complete)
        })?;
    }
    Ok(())
}

/// Trains and measures one row; false when it was interrupted.
fn bring_to_end(graph: &mut RunGraph<'_>, args: &Table1Args, row: Row) -> anyhow::Result<bool> {
    let name = row.name();
    let nodes = [format!("train-{name}"), format!("simulation-{name}"), format!("reality-{name}")];
    for node in &nodes {
        if graph.complete(node)? == Ended::Interrupted {
            return Ok(false);
        }
    }
    let [trained, simulation, reality] = nodes.map(|node| graph.folder(&node).join(RESULT_NAME));
    let Trained { steps: training_steps, episodes: training_episodes } = read(&trained)?;
    let (simulation, reality) = (read(&simulation)?, read(&reality)?);
    let result = RowResult { row, training_steps, training_episodes, simulation, reality };
    write_atomic(&result_path(&args.out, row), &serde_json::to_vec_pretty(&result)?)?;
    Ok(true)
}

fn result_path(out: &Path, row: Row) -> PathBuf {
    out.join(format!("{}.json", row.name()))
}

/// The training of a row, and its settings.
fn training(args: &Table1Args, row: Row, generator: Option<&Path>) -> anyhow::Result<(qtopt::Args, QtOptRun)> {
    let Limits { steps, minutes } = limits(args);
    let run = RunArgs { steps, minutes, seed: Some(args.seed.get().0), ..RunArgs::default() };
    let generator = generator.map(Path::to_owned);
    let command = qtopt::Args { run, domain: Some(row.domain()), generator, ..qtopt::Args::default() };
    let config = resolve(&command)?;
    Ok((command, config))
}

/// Success on unseen objects; the same sets for every row.
fn measure(args: &Table1Args, run: &Path, domain: Domain) -> anyhow::Result<GraspEvaluation> {
    let loaded = load_policy(run, &HOST)?;
    warn_all(&loaded.warnings);
    let protocol = GraspProtocol { attempts: attempts(args), ..GraspProtocol::default() };
    let seed: Seed = args.seed.get().derive("table1", 0);
    let cell = common::load_cell(common::CELL)?;
    let env = EnvConfig::new(
        &cell,
        common::load_objects("test", common::ImportArgs::default())?,
        domain,
        (1, loaded.policy.size as u32),
        seed,
    );
    Ok(eval::play_learned(&mut Learned::QtOpt(Box::new(loaded)), &protocol, env, None)?.evaluation)
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> anyhow::Result<T> {
    let bytes = read_capped(path, MAX_RESULT_BYTES)?;
    serde_json::from_slice(&bytes)
        .with_context(|| format!("reading {}; remove its folder to make it again", path.display()))
}

/// The rows whose results lie in the folder: those of this command, and those that were copied there.
fn results_in(out: &Path) -> anyhow::Result<Vec<RowResult>> {
    Row::ALL.map(|row| result_path(out, row)).iter().filter(|path| path.is_file()).map(|path| read(path)).collect()
}

fn write_table(args: &Table1Args) -> anyhow::Result<(PathBuf, PathBuf)> {
    let results = results_in(&args.out)?;
    let (table, picture) = (args.out.join("table1.md"), args.out.join("table1.png"));
    let quick =
        if args.quick { "**Quick run: it shows that the table can be made, and nothing else.**\n\n" } else { "" };
    write_atomic(&table, format!("{quick}{}", markdown(&results)).as_bytes())?;
    figure(&results).save(&picture)?;
    Ok((table, picture))
}
