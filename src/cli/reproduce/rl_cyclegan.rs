//! `bingrasp reproduce rl-cyclegan-table1`: a canonical Q, a recording of `reality`, four translations, an agent for each, and
//! what they come to in `reality`.

use super::{RESULT_NAME, RUNS, read};
use crate::cli::generator::load_translation;
use crate::cli::learned::Learned;
use crate::cli::train::qtopt;
use crate::cli::train::rl_cyclegan;
use crate::cli::train::run::{RunArgs, execute, resolve};
use crate::cli::{agent, common, episodes, eval, numbers, output};
use crate::contract::Domain;
use crate::env::EnvConfig;
use crate::eval::grasp::{GraspEvaluation, GraspProtocol};
use crate::eval::rl_cyclegan_table1::{Row, RowResult, figure, markdown};
use crate::files::atomic::{create_folder, sha256_file, write_atomic};
use crate::files::console::remark;
use crate::files::interrupt;
use crate::gan::cyclegan::Method;
use crate::nn::HOST;
use crate::rl::qtopt::{QtOptConfig, load_policy};
use crate::rl::rl_cyclegan::RlCycleGanConfig;
use crate::rl::rl_cyclegan::load::{JointQ, load_q};
use crate::train::graph::Context as Node;
use crate::train::{Ended, Preset, RunGraph, load_run};
use anyhow::Context;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Args {
    /// Folder of the runs, results, table and figure
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Rows to bring to an end: sim-only, randomized, gan, cyclegan, graspgan, rl-cyclegan, real-to-sim, joint-q-real,
    /// ceiling [default: all]
    #[arg(long, value_delimiter = ',', value_name = "ROW,...")]
    rows: Vec<Row>,
    /// A finished run of `train qtopt` on canonical pictures, which every row begins with [default: one is trained]
    #[arg(long, value_name = "RUN")]
    canonical: Option<PathBuf>,
    /// The recording that the translations learn from [default: 5,000 scripted episodes in reality]
    #[arg(long, value_name = "DIR")]
    real: Option<PathBuf>,
    /// Gradient steps of the canonical agent, where it is trained
    #[arg(long, default_value_t = 40_000)]
    canonical_steps: u64,
    /// Steps of each translation
    #[arg(long, default_value_t = 8_000)]
    gan_steps: u64,
    /// Gradient steps of each row's own agent
    #[arg(long, default_value_t = 9_000)]
    agent_steps: u64,
    /// Grasp attempts of each measurement
    #[arg(long, default_value_t = 700, value_parser = numbers::count(numbers::ATTEMPTS))]
    attempts: usize,
    /// Write table and figure of the results that are there, and run nothing
    #[arg(long)]
    table_only: bool,
    /// Shrink everything to minutes, to see that it runs; the table says so and shows nothing else
    #[arg(long, conflicts_with_all = ["canonical_steps", "gan_steps", "agent_steps", "attempts"])]
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

/// How much of everything.
#[derive(Clone, Copy)]
struct Amounts {
    canonical_steps: u64,
    gan_steps: u64,
    agent_steps: u64,
    /// Scripted episodes that an agent begins with.
    initial_episodes: u64,
    recorded: u64,
    held_out: u64,
    attempts: usize,
}

impl Amounts {
    fn of(args: &Args) -> Self {
        if args.quick {
            return Self {
                canonical_steps: 200,
                gan_steps: 40,
                agent_steps: 60,
                initial_episodes: 60,
                recorded: 80,
                held_out: 20,
                attempts: 20,
            };
        }
        Self {
            canonical_steps: args.canonical_steps,
            gan_steps: args.gan_steps,
            agent_steps: args.agent_steps,
            initial_episodes: 1_000,
            recorded: 5_000,
            held_out: 200,
            attempts: args.attempts,
        }
    }
}

const CANONICAL: &str = "canonical";
const RECORDING: &str = "recording";

/// What training left for the table.
#[derive(Serialize, Deserialize)]
struct Trained {
    steps: u64,
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut rows = if args.rows.is_empty() { Row::ALL.to_vec() } else { args.rows.clone() };
    rows.sort();
    rows.dedup();
    if args.table_only {
        rows.clear();
    }
    let amounts = Amounts::of(args);
    common::Inputs::default()
        .run("--canonical", args.canonical.as_deref())
        .ours("--real", args.real.as_deref())
        .check_folder(&args.out)?;
    let mut graph = RunGraph::new(&args.out.join(RUNS));
    add_shared(&mut graph, args, amounts)?;
    for method in Method::ALL {
        add_translation(&mut graph, args, amounts, method)?;
    }
    for row in &rows {
        add_row(&mut graph, args, amounts, *row)?;
    }
    create_folder(&args.out)?;
    interrupt::install(|| remark("stopping at the next checkpoint; Ctrl-C again stops at once"))?;
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

/// Trains in a node's folder, and says how it ended.
fn trained(context: &Node<'_>, ended: Ended, steps: u64) -> anyhow::Result<Ended> {
    write_atomic(&context.folder.join(RESULT_NAME), &serde_json::to_vec_pretty(&Trained { steps })?)?;
    Ok(ended)
}

/// Flags of a training in a node's folder; an interrupted one goes on.
fn run_args(context: &Node<'_>, steps: u64, seed: u64, set: &[String]) -> RunArgs {
    let resume = context.folder.join("config.toml").is_file();
    let set = if resume { Vec::new() } else { set.to_vec() };
    let (steps, seed) = if resume { (None, None) } else { (Some(steps), Some(seed)) };
    RunArgs { out: context.folder.to_owned(), steps, seed, set, resume, ..RunArgs::default() }
}

fn train_agent(context: &Node<'_>, command: &qtopt::Args) -> anyhow::Result<Ended> {
    let config = resolve(command)?;
    let (outcome, ()) = execute(command, context.folder, &config, command.run.resume, |_, _| Ok(()))?;
    trained(context, outcome.ended, outcome.steps)
}

/// The canonical agent and the recording that all rows share.
fn add_shared<'a>(graph: &mut RunGraph<'a>, args: &'a Args, amounts: Amounts) -> anyhow::Result<()> {
    let seed = args.seed.seed;
    let canonical = match &args.canonical {
        // What it is counts, not where it lies.
        Some(run) => {
            let loaded =
                load_run::<QtOptConfig>(run).with_context(|| format!("opening --canonical {}", run.display()))?;
            sha256_file(&loaded.checkpoint.path.join("q_averaged.safetensors"))?
        }
        None => format!(
            "steps = {}\nseed = {seed}\n{}",
            amounts.canonical_steps,
            toml::to_string(&QtOptConfig::preset(Preset::Small))?
        ),
    };
    graph.add(CANONICAL, &canonical, &[], move |context| {
        if args.canonical.is_some() {
            return Ok(Ended::Complete);
        }
        remark("the canonical agent that all rows begin with: training");
        let run = run_args(context, amounts.canonical_steps, seed, &[]);
        train_agent(context, &qtopt::Args { run, ..qtopt::Args::default() })
    })?;
    let real = match &args.real {
        Some(folder) => sha256_file(&crate::data::paired::checksums_path(folder))?,
        None => format!("episodes = {}\nseed = {seed}\n", amounts.recorded),
    };
    graph.add(RECORDING, &real, &[], move |context| {
        if args.real.is_some() {
            return Ok(Ended::Complete);
        }
        remark("reality: recording scripted episodes");
        let place = context.folder.join("episodes");
        let record = episodes::RecordArgs::scripted(&place, Domain::Reality, amounts.recorded, seed);
        let report = episodes::play_recording(&record)?;
        Ok(if report.complete { Ended::Complete } else { Ended::Interrupted })
    })?;
    Ok(())
}

/// The canonical agent's run and the recording, as given or as made.
fn shared(args: &Args, context: &Node<'_>) -> (PathBuf, PathBuf) {
    let canonical = args.canonical.clone().unwrap_or_else(|| context.input(CANONICAL).to_owned());
    let real = args.real.clone().unwrap_or_else(|| context.input(RECORDING).join("episodes"));
    (canonical, real)
}

fn translation_node(method: Method) -> String {
    format!("translation-{method}")
}

/// The joint phase of a method.
fn add_translation<'a>(
    graph: &mut RunGraph<'a>,
    args: &'a Args,
    amounts: Amounts,
    method: Method,
) -> anyhow::Result<()> {
    let preset = toml::to_string(&RlCycleGanConfig::preset(method, Preset::Small))?;
    let Amounts { gan_steps, held_out, .. } = amounts;
    let settings = format!("steps = {gan_steps}\nheld_out = {held_out}\nseed = {}\n{preset}", args.seed.seed);
    graph.add(&translation_node(method), &settings, &[CANONICAL, RECORDING], move |context| {
        remark(format_args!("{method}: training"));
        let (init, real) = shared(args, context);
        let set = [format!("rl-cyclegan.held_out_episodes={held_out}")];
        let run = run_args(context, gan_steps, args.seed.seed, &set);
        let fresh = !run.resume;
        let joint = rl_cyclegan::Args {
            run,
            init: fresh.then_some(init),
            real: fresh.then_some(real),
            ..rl_cyclegan::Args::default()
        };
        let command = rl_cyclegan::Command { method, args: &joint };
        let config = resolve(&command)?;
        let (outcome, ()) = execute(&command, context.folder, &config, joint.run.resume, |_, _| Ok(()))?;
        trained(context, outcome.ended, outcome.steps)
    })?;
    Ok(())
}

/// The agent of a row, where it has one of its own, and its measurement in `reality`.
fn add_row<'a>(graph: &mut RunGraph<'a>, args: &'a Args, amounts: Amounts, row: Row) -> anyhow::Result<()> {
    let seed = args.seed.seed;
    let mut inputs = vec![CANONICAL.to_owned(), RECORDING.to_owned()];
    inputs.extend(row.method().map(translation_node));
    let agent = format!("agent-{}", row.name());
    if row.has_agent() {
        let Amounts { agent_steps, initial_episodes, .. } = amounts;
        let settings =
            format!("steps = {agent_steps}\nscripted = {initial_episodes}\nseed = {seed}\nrow = {}\n", row.name());
        let names: Vec<&str> = inputs.iter().map(String::as_str).collect();
        graph.add(&agent, &settings, &names, move |context| {
            remark(format_args!("{}: training the agent", row.title()));
            let (init, real) = shared(args, context);
            let set = [format!("qtopt.exploration.initial_episodes={initial_episodes}")];
            let run = run_args(context, agent_steps, seed, &set);
            if run.resume {
                return train_agent(context, &qtopt::Args { run, ..qtopt::Args::default() });
            }
            let domain = match row {
                Row::Randomized => Domain::RandomizedMild,
                Row::Ceiling => Domain::Reality,
                _ => Domain::Canonical,
            };
            let generator = row.method().map(|method| context.input(&translation_node(method)).to_owned());
            // The final Q_real learns from the recording, too (Figure 6); rows without a translation have no real data.
            let real = generator.is_some().then_some(real);
            train_agent(
                context,
                &qtopt::Args { run, domain: Some(domain), init: Some(init), generator, real, ..qtopt::Args::default() },
            )
        })?;
        inputs.push(agent.clone());
    }
    let settings = format!("attempts = {}\nseed = {seed}\nrow = {}\n", amounts.attempts, row.name());
    let names: Vec<&str> = inputs.iter().map(String::as_str).collect();
    graph.add(&format!("reality-{}", row.name()), &settings, &names, move |context| {
        remark(format_args!("{}: measuring in reality", row.title()));
        if interrupt::requested() {
            return Ok(Ended::Interrupted);
        }
        let evaluation = measure(args, amounts, context, row, &agent)?;
        create_folder(context.folder)?;
        write_atomic(&context.folder.join(RESULT_NAME), &serde_json::to_vec_pretty(&evaluation)?)?;
        Ok(Ended::Complete)
    })?;
    Ok(())
}

/// Success in `reality` on unseen objects; the same sets for every row.
fn measure(
    args: &Args,
    amounts: Amounts,
    context: &Node<'_>,
    row: Row,
    agent: &str,
) -> anyhow::Result<GraspEvaluation> {
    let joint = || context.input(&translation_node(Method::RlCycleGan));
    let (loaded, generator) = match row {
        Row::RealToSim => (load_policy(&shared(args, context).0, &HOST)?, Some(joint())),
        Row::JointQReal => (load_q(joint(), JointQ::Real, &HOST)?, None),
        _ => (agent::load(&context.input(agent).display().to_string())?, None),
    };
    if let Some(run) = generator {
        // A method without a way back is named here, not in the middle of the measurement.
        load_translation(run, true)?;
    }
    let protocol = GraspProtocol { attempts: amounts.attempts, ..GraspProtocol::default() };
    let seed = args.seed.get().derive("table1", 0);
    let objects = common::load_objects("test", common::ImportArgs::default())?;
    let env = EnvConfig::new(
        &common::load_cell(common::CELL)?,
        objects,
        Domain::Reality,
        (1, loaded.policy.size as u32),
        seed,
    );
    Ok(eval::play_learned(&mut Learned::QtOpt(Box::new(loaded)), &protocol, env, generator)?.evaluation)
}

/// Trains and measures one row; false when it was interrupted.
fn bring_to_end(graph: &mut RunGraph<'_>, args: &Args, row: Row) -> anyhow::Result<bool> {
    let node = format!("reality-{}", row.name());
    if graph.complete(&node)? == Ended::Interrupted {
        return Ok(false);
    }
    let steps =
        |name: &str| -> anyhow::Result<u64> { Ok(read::<Trained>(&graph.folder(name).join(RESULT_NAME))?.steps) };
    let gan_steps = row.method().map_or(Ok(0), |method| steps(&translation_node(method)))?;
    let agent_steps = if row.has_agent() { steps(&format!("agent-{}", row.name()))? } else { 0 };
    let reality = read(&graph.folder(&node).join(RESULT_NAME))?;
    let result = RowResult { row, gan_steps, agent_steps, reality };
    write_atomic(&result_path(&args.out, row), &serde_json::to_vec_pretty(&result)?)?;
    Ok(true)
}

fn result_path(out: &Path, row: Row) -> PathBuf {
    out.join(format!("{}.json", row.name()))
}

/// The rows whose results lie in the folder: those of this command, and those that were copied there.
fn results_in(out: &Path) -> anyhow::Result<Vec<RowResult>> {
    Row::ALL.map(|row| result_path(out, row)).iter().filter(|path| path.is_file()).map(|path| read(path)).collect()
}

fn write_table(args: &Args) -> anyhow::Result<(PathBuf, PathBuf)> {
    let results = results_in(&args.out)?;
    let (table, picture) = (args.out.join("table1.md"), args.out.join("table1.png"));
    let quick =
        if args.quick { "**Quick run: it shows that the table can be made, and nothing else.**\n\n" } else { "" };
    write_atomic(&table, format!("{quick}{}", markdown(&results)).as_bytes())?;
    figure(&results).save(&picture)?;
    Ok((table, picture))
}
