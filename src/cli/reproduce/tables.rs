//! What all tables of grasp success share: their flags, the order of the work, and the pages that are written.

use super::plan::Plan;
use crate::cli::{UsageError, common, numbers, output};
use crate::draw::{Chart, Series};
use crate::eval::table::{Column, Layout, Measured, Row, RowResult, success};
use crate::files::atomic::{create_folder, read_capped, write_atomic};
use crate::files::console::remark;
use crate::files::interrupt;
use crate::train::Ended;
use anyhow::Context;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const MAX_ROW_BYTES: u64 = 16 << 20;

/// Flags of every table.
#[derive(clap::Args, Clone)]
pub struct TableArgs {
    /// Folder of the runs, results, table and figure
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Rows to bring to an end; a wrong name lists them [default: all]
    #[arg(long, value_delimiter = ',', value_name = "ROW,...")]
    pub rows: Vec<String>,
    /// A finished run of `train qtopt` on canonical pictures, which the rows begin with [default: one is trained]
    #[arg(long, value_name = "RUN")]
    pub canonical: Option<PathBuf>,
    /// Gradient steps of the canonical agent, where it is trained, and of agents that learn from nothing
    #[arg(long, default_value_t = 40_000, value_parser = numbers::whole(numbers::ATTEMPTS))]
    pub canonical_steps: u64,
    /// Gradient steps of each row's own agent
    #[arg(long, default_value_t = 9_000, value_parser = numbers::whole(numbers::ATTEMPTS))]
    pub agent_steps: u64,
    /// Learning rate of agents that begin with a trained one, which keep what they know; agents from nothing have 0.002
    #[arg(long, default_value_t = 3e-4, value_parser = numbers::real(1e-7..=1.0))]
    pub agent_lr: f64,
    /// Episodes that each row's agent begins with, of the agent that it starts from
    #[arg(long, default_value_t = 2_000, value_parser = numbers::whole(0..=*numbers::ATTEMPTS.end()))]
    pub init_episodes: u64,
    /// Scripted episodes that agents begin with which have no other ones: those from nothing, and all with --init-episodes 0
    #[arg(long, default_value_t = 1_000, value_parser = numbers::whole(numbers::ATTEMPTS))]
    pub scripted_episodes: u64,
    /// Grasp attempts of each measurement
    #[arg(long, default_value_t = 700, value_parser = numbers::count(numbers::ATTEMPTS))]
    pub attempts: usize,
    /// Seeds of trainings and measurements: --seed and those after it. What is given with --canonical and the like is the
    /// same for all
    #[arg(long, default_value_t = 1, value_parser = numbers::whole(1..=100))]
    pub seeds: u64,
    /// Write table and figure of the results that are there, and run nothing
    #[arg(long)]
    pub table_only: bool,
    /// Shrink everything to minutes, to see that it runs; every page says so and shows nothing else
    #[arg(long, conflicts_with_all = ["canonical_steps", "agent_steps", "scripted_episodes", "init_episodes", "attempts", "seeds"])]
    pub quick: bool,
    #[command(flatten)]
    pub seed: common::SeedArg,
    /// One JSON object on standard output
    #[arg(long)]
    pub json: bool,
}

impl TableArgs {
    /// The same, shrunk to minutes where `--quick` says so.
    pub fn scaled(&self) -> Self {
        if !self.quick {
            return self.clone();
        }
        Self {
            canonical_steps: 200,
            agent_steps: 60,
            scripted_episodes: 60,
            init_episodes: 60,
            attempts: 20,
            ..self.clone()
        }
    }

    /// `full`, or `quick` where everything is shrunk.
    pub fn amount(&self, full: u64, quick: u64) -> u64 {
        if self.quick { quick } else { full }
    }

    pub fn seeds(&self) -> impl Iterator<Item = u64> + use<> {
        let first = self.seed.seed;
        (0..self.seeds).map(move |index| first + index)
    }
}

/// A row and its nodes.
pub struct RowPlan {
    pub row: Row,
    /// What is done for it, in words.
    pub trained: String,
    /// Column and node of each measurement, and its seed.
    pub cells: Vec<(&'static str, u64, String)>,
}

impl RowPlan {
    pub fn new(key: &str, title: &str, trained: String) -> Self {
        let row = Row { key: key.to_owned(), title: title.to_owned(), published: Vec::new(), published_percent: None };
        Self { row, trained, cells: Vec::new() }
    }

    /// The paper's numbers, percent, in the order of its columns; `main` is the one of the figure.
    pub fn published(mut self, percents: &[Option<u32>], main: usize) -> Self {
        self.row.published =
            percents.iter().map(|percent| percent.map_or("-".to_owned(), |percent| format!("{percent}%"))).collect();
        self.row.published_percent = percents.get(main).copied().flatten();
        self
    }

    pub fn cell(&mut self, column: &'static str, seed: u64, node: &str) {
        self.cells.push((column, seed, node.to_owned()));
    }
}

/// How the results are drawn.
pub enum Picture {
    Bars,
    /// A curve a row over the columns at these places.
    Curves {
        at: Vec<f64>,
        x: &'static str,
    },
}

/// A table: its layout without rows, and its rows.
pub struct Table {
    /// Name of its files, and of the folder of its rows' results: that of the command.
    pub name: &'static str,
    pub title: &'static str,
    pub intro: String,
    pub rows_are: &'static str,
    pub columns: Vec<(&'static str, String)>,
    pub published: Vec<&'static str>,
    pub main: &'static str,
    pub gap: Option<[&'static str; 2]>,
    pub picture: Picture,
    pub rows: Vec<RowPlan>,
}

#[derive(Serialize)]
struct Report {
    out: PathBuf,
    complete: bool,
    quick: bool,
    results: Vec<RowResult>,
    table: PathBuf,
    csv: PathBuf,
    figure: PathBuf,
}

impl Table {
    /// A table of one column, success in `reality`, beside the paper's on robots.
    pub fn in_reality(name: &'static str, title: &'static str, intro: String, rows: Vec<RowPlan>) -> Self {
        Self {
            name,
            title,
            intro,
            rows_are: "trained on",
            columns: vec![("reality", "in `reality`".into())],
            published: vec!["on robots"],
            main: "reality",
            gap: None,
            picture: Picture::Bars,
            rows,
        }
    }

    fn layout(&self) -> Layout {
        let columns = self.columns.iter().map(|(key, title)| Column { key, title: title.clone() }).collect();
        Layout {
            title: self.title.to_owned(),
            intro: self.intro.clone(),
            rows_are: self.rows_are.to_owned(),
            columns,
            published: self.published.iter().map(ToString::to_string).collect(),
            rows: self.rows.iter().map(|plan| plan.row.clone()).collect(),
            main: self.main,
            gap: self.gap,
        }
    }

    /// The rows that the flags ask for, by number.
    fn wanted(&self, args: &TableArgs) -> anyhow::Result<Vec<usize>> {
        let place = |name: &String| {
            let place = self.rows.iter().position(|plan| plan.row.key == *name).ok_or_else(|| {
                let keys: Vec<&str> = self.rows.iter().map(|plan| plan.row.key.as_str()).collect();
                UsageError(format!("--rows: unknown row '{name}'; the rows are {}", keys.join(", ")))
            })?;
            if self.rows[place].cells.is_empty() {
                let message = format!(
                    "--rows {name}: the row needs more real episodes; raise --recorded, or pass a larger --real"
                );
                return Err(UsageError(message));
            }
            Ok(place)
        };
        let mut wanted = args.rows.iter().map(place).collect::<Result<Vec<_>, _>>()?;
        if args.rows.is_empty() {
            wanted = (0..self.rows.len()).collect();
        }
        if args.table_only {
            wanted.clear();
        }
        wanted.sort_unstable();
        wanted.dedup();
        Ok(wanted)
    }

    /// Brings the rows to their ends, one after the other, and writes the pages after each.
    ///
    /// # Errors
    /// An unknown row; what the runs met; a full disk.
    pub fn run(&self, args: &TableArgs, plan: &mut Plan) -> anyhow::Result<ExitCode> {
        let wanted = self.wanted(args)?;
        // Before anything is made: results of quick runs and others are never on one page.
        self.results(args)?;
        self.name_earlier_results(&args.out);
        create_folder(&args.out.join(self.name))?;
        interrupt::install(|| remark("stopping at the next checkpoint; Ctrl-C again stops at once"))?;
        let mut complete = true;
        for index in wanted {
            complete = self.bring_to_end(args, plan, &self.rows[index])?;
            if !complete {
                break;
            }
            self.write(args)?;
        }
        let results = self.results(args)?;
        let [table, csv, figure] = self.write(args)?;
        if args.json {
            let (out, quick) = (args.out.clone(), args.quick);
            output::json(&Report { out, complete, quick, results, table, csv, figure })?;
        } else {
            output::line(&std::fs::read_to_string(&table)?)?;
            output::line(&format!("{}, {} and {}", table.display(), csv.display(), figure.display()))?;
        }
        if complete {
            return Ok(ExitCode::SUCCESS);
        }
        remark("interrupted: resume with the same command");
        Ok(ExitCode::from(interrupt::EXIT_CODE as u8))
    }

    /// False when it was interrupted. Cells that are done are on the page before the next one is begun.
    fn bring_to_end(&self, args: &TableArgs, plan: &mut Plan, row: &RowPlan) -> anyhow::Result<bool> {
        let (key, trained) = (row.row.key.clone(), row.trained.clone());
        let mut result = RowResult { row: key, trained, quick: args.quick, ..RowResult::default() };
        for (column, seed, node) in &row.cells {
            if plan.complete(node)? == Ended::Interrupted {
                return Ok(false);
            }
            let value = plan.result(node)?;
            let evaluation = serde_json::from_value(value.clone()).with_context(|| format!("the result of {node}"))?;
            let attempt_success = serde_json::from_value(value["attempt_success"].clone()).unwrap_or_default();
            let measured = Measured { seed: *seed, evaluation, attempt_success };
            result.cells.entry((*column).to_owned()).or_default().push(measured);
            write_atomic(&self.path_of(&args.out, &row.row.key), &serde_json::to_vec(&result)?)?;
            self.write(args)?;
        }
        Ok(true)
    }

    /// Says where rows lie that an earlier version wrote right into the folder, whatever table they are of.
    fn name_earlier_results(&self, out: &Path) {
        let earlier = |plan: &&RowPlan| out.join(format!("{}.json", plan.row.key)).is_file();
        if let Some(plan) = self.rows.iter().find(earlier) {
            let (out, row) = (out.display(), &plan.row.key);
            let name = self.name;
            remark(format_args!("{out}/{row}.json is not read; if it is a result of {name}, move it to {out}/{name}/"));
        }
    }

    fn path_of(&self, out: &Path, row: &str) -> PathBuf {
        out.join(self.name).join(format!("{row}.json"))
    }

    /// The rows whose results lie in the folder: those of this command, and those that were copied there.
    fn results(&self, args: &TableArgs) -> anyhow::Result<Vec<RowResult>> {
        let paths = self.rows.iter().map(|plan| self.path_of(&args.out, &plan.row.key)).filter(|path| path.is_file());
        paths
            .map(|path| {
                let bytes = read_capped(&path, MAX_ROW_BYTES)?;
                let reading = || format!("reading {}; remove it to make the row again", path.display());
                let result: RowResult = serde_json::from_slice(&bytes).with_context(reading)?;
                if result.quick != args.quick {
                    let (with, flag) = if result.quick { ("with", "give it") } else { ("without", "leave it out") };
                    let message = format!("{} was made {with} --quick; {flag}, or pass another --out", path.display());
                    return Err(UsageError(message).into());
                }
                Ok(result)
            })
            .collect()
    }

    fn write(&self, args: &TableArgs) -> anyhow::Result<[PathBuf; 3]> {
        let (results, layout) = (self.results(args)?, self.layout());
        let [table, csv, picture] = ["md", "csv", "png"].map(|kind| args.out.join(format!("{}.{kind}", self.name)));
        let (quick, mark) = if args.quick {
            ("**Quick run: it shows that the table can be made, and nothing else.**\n\n", "quick run: ")
        } else {
            ("", "")
        };
        write_atomic(&table, format!("{quick}{}", layout.markdown(&results)).as_bytes())?;
        write_atomic(&csv, layout.csv(&results).as_bytes())?;
        match &self.picture {
            Picture::Bars => layout.figure(&results, mark).save(&picture)?,
            Picture::Curves { at, x } => self.curves(&results, at, mark).labels(*x, "success").save(&picture)?,
        }
        Ok([table, csv, picture])
    }

    /// Success of each row over its columns, with its interval.
    fn curves(&self, results: &[RowResult], at: &[f64], mark: &str) -> Chart {
        let series = self.rows.iter().map(|plan| {
            let found = results.iter().find(|result| result.row == plan.row.key);
            let measured = self.columns.iter().zip(at).filter_map(|((key, _), &x)| {
                let (value, [low, high]) = success(found?.cells.get(*key)?)?;
                Some(((x, value), (x, low, high)))
            });
            let (points, band) = measured.unzip();
            Series { name: plan.row.title.clone(), points, band }
        });
        Chart::new(format!("{mark}{}", self.title), series.collect()).y_range(0.0, 1.0)
    }
}

/// The network that all agents of the tables share: Q teaches its encoder too, so that real data without labels can.
pub const NETWORK: &str = "--set qtopt.network.map_features=4 --set qtopt.network.grip_features=32 --set \
                           qtopt.auxiliary_interval=1";

/// The network of agents that see no label: the published one's shape. The other one learns from labels where the hand is.
pub const WITHOUT_LABELS: &str = "--network end-to-end";

/// Steps that the canonical agent learns with [`NETWORK`], after so many without.
pub fn steps_with_features(canonical_steps: u64) -> u64 {
    canonical_steps.div_ceil(10)
}

/// Adds the canonical agent of a seed, given or trained: first by labels alone, which is fast, then with features that Q
/// teaches. Returns its node.
///
/// # Errors
/// `--canonical` names no finished run.
pub fn canonical(plan: &mut Plan, args: &TableArgs, seed: u64, cell: &str) -> anyhow::Result<String> {
    if let Some(run) = &args.canonical {
        if !plan.has("canonical") {
            plan.give_run("canonical", "--canonical", run)?;
        }
        return Ok("canonical".to_owned());
    }
    let (first, name) = (format!("canonical-labels-{seed}"), format!("canonical-{seed}"));
    let command = format!("train qtopt --steps {} --seed {seed} {cell}", args.canonical_steps);
    plan.add(&first, "the canonical agent that the rows begin with: training", &command)?;
    let widened = TableArgs { agent_steps: steps_with_features(args.canonical_steps), ..args.clone() };
    let command = format!("{} {NETWORK} {cell}", agent(&widened, seed, &first));
    plan.add(&name, "the canonical agent with features that Q teaches: training", &command)?;
    Ok(name)
}

/// The words of an agent that begins with another one.
pub fn agent(args: &TableArgs, seed: u64, init: &str) -> String {
    format!(
        "train qtopt --init @{init} --steps {} --seed {seed} --set qtopt.q_lr={} --set \
         qtopt.exploration.initial_episodes={} {}",
        args.agent_steps,
        args.agent_lr,
        args.scripted_episodes,
        begins_with_episodes(args)
    )
}

/// The words of the simulated episodes that an agent takes from the one that it begins with.
pub fn begins_with_episodes(args: &TableArgs) -> String {
    format!("--init-episodes {}", args.init_episodes)
}

/// The node of an agent's finetuning: one name, so that tables with the same `--out` share the run.
pub fn finetuned_name(grasps: u64, agent: &str, seed: u64) -> String {
    format!("grasps-{grasps}-{agent}-{seed}")
}

/// The words of a finished agent's finetuning, in which it plays `grasps` episodes in `reality`. Where the simulator plays
/// too, [`begins_with_episodes`] belongs to it.
pub fn finetuned(args: &TableArgs, seed: u64, init: &str, grasps: u64, (steps, real_weight): (u64, f64)) -> String {
    // So many episodes with each iteration of 192 updates that all are played before three quarters of the steps are done.
    let iterations = (steps * 3 / 4 / 192).max(1);
    format!(
        "train qtopt --init @{init} --steps {steps} --seed {seed} --on-policy-domain reality --on-policy-episodes {grasps} \
         --real-weight {real_weight} --set qtopt.q_lr={} --set qtopt.exploration.initial_episodes={} --set \
         qtopt.real_episodes_per_iteration={}",
        args.agent_lr,
        args.scripted_episodes,
        grasps.div_ceil(iterations)
    )
}

/// Adds a measurement on unseen objects; the same sets for every row of a seed. Returns its node.
///
/// # Errors
/// A policy that is no node.
pub fn measure(
    plan: &mut Plan,
    args: &TableArgs,
    (name, title): (&str, &str),
    seed: u64,
    words: &str,
) -> anyhow::Result<String> {
    let command = format!("eval grasp {words} --attempts {} --seed {}", args.attempts, 1000 + seed);
    plan.add(name, &format!("{title}: measuring"), &command)?;
    Ok(name.to_owned())
}

/// RCAN's generator in the flags of a table.
#[derive(clap::Args, Clone)]
pub struct GeneratorArgs {
    /// An RCAN run (`bingrasp train rcan`) [default: one is trained]
    #[arg(long, value_name = "RUN")]
    pub generator: Option<PathBuf>,
    /// Steps of RCAN's generator, where it is trained
    #[arg(long, default_value_t = 20_000, conflicts_with = "quick", value_parser = numbers::whole(numbers::ATTEMPTS))]
    pub generator_steps: u64,
}

/// Adds RCAN's generator, given or trained: half on the states of the canonical agent, as the paper trains it on QT-Opt's
/// trajectories, half on those of scripts. Returns its node.
///
/// # Errors
/// `--generator` names no finished run.
pub fn rcan_generator(
    plan: &mut Plan,
    table: &TableArgs,
    args: &GeneratorArgs,
    canonical: &str,
    seed: u64,
) -> anyhow::Result<String> {
    if let Some(run) = &args.generator {
        if !plan.has("rcan") {
            plan.give_run("rcan", "--generator", run)?;
        }
        return Ok("rcan".to_owned());
    }
    let name = format!("rcan-{seed}");
    let steps = table.amount(args.generator_steps, 40);
    let command = format!("train rcan --policy @{canonical} --policy-share 0.5 --steps {steps} --seed {seed}");
    plan.add(&name, "RCAN's generator: training", &command)?;
    Ok(name)
}

/// Adds the recording that the user gave. Returns its node.
///
/// # Errors
/// `--real` names no recording.
pub fn given_recording(plan: &mut Plan, folder: &Path) -> anyhow::Result<String> {
    if !plan.has("recording") {
        plan.give_recording("recording", "--real", folder)?;
    }
    Ok("recording".to_owned())
}
