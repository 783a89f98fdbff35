//! `bingrasp reproduce servo-figures`: figures 6 to 11 of the paper that joins a pose agent, a semantic CycleGAN and visual
//! servoing, from nothing: datasets, both trainings, trials of every method and control.

mod page;
mod sets;

use super::reproduce::plan::digest_of;
use super::servo_pictures::{SegmentationReport, segmentation_figures};
use super::servo_trials::{LawArg, MaskSource, Plan, SIZE};
use super::train::run::{self, RunArgs};
use super::train::{ppo, semantic_cyclegan};
use super::{common, dataset, numbers, output, servo_trials};
use crate::contract::Domain;
use crate::data::paired::PairWriter;
use crate::env::GraspEnv;
use crate::env::pairs::collect_pairs;
use crate::eval::servo::{Method, ServoReport, ServoTrials, TrialResult};
use crate::files::atomic::{create_folder, read_capped, write_atomic};
use crate::files::console::remark;
use crate::files::interrupt;
use crate::gan::semantic::SemanticConfig;
use crate::objects::ObjectModel;
use crate::rl::ppo::PpoConfig;
use crate::train::{Ended, RunGraph};
use anyhow::Context;
use clap::Parser;
use serde::Serialize;
use sets::Set;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

const RUNS: &str = "runs";
const TRIALS_NAME: &str = "trials.json";
const MAX_TRIALS_BYTES: u64 = 1 << 30;

/// Nodes that the trials need.
const POSES: &str = "ppo";
const IMAGES: &str = "semantic-cyclegan";

#[derive(clap::Args)]
pub struct Args {
    /// Folder of the runs, results, tables and figures
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Pose agent: a finished run of `train ppo` [default: one is trained]
    #[arg(long, value_name = "RUN", conflicts_with = "quick")]
    policy: Option<PathBuf>,
    /// Translation and masks: a finished run of `train semantic-cyclegan` [default: one is trained]
    #[arg(long, value_name = "RUN", conflicts_with = "quick")]
    generator: Option<PathBuf>,
    /// Attempts of each method on each object [default: 16 seen, 27 unseen]
    #[arg(long, value_parser = numbers::count(numbers::ATTEMPTS))]
    attempts: Option<usize>,
    /// Objects that no training sees: spring-jointed, test, household, household:SEED, or a folder of OBJ, URDF or glTF
    /// files; six of them that fit the jaws are taken, evenly spread. Those with springs are measured without them too
    #[arg(long, value_name = "SET|DIR", default_value = "spring-jointed")]
    unseen: String,
    /// Meshes for figure 9's further bar: a folder of OBJ, URDF, STL, PLY, glTF or GLB files, six of which that fit the jaws are
    /// taken [default: household objects, written to --out/meshes and read back]
    #[arg(long, value_name = "DIR")]
    meshes: Option<PathBuf>,
    /// Sets of objects whose trials are brought to an end: seen, unseen, rigid-twins, meshes. Others are shown where they are
    /// finished; two commands with different sets may run side by side [default: all]
    #[arg(long, value_name = "SET,...", value_delimiter = ',')]
    sets: Vec<Set>,
    /// Shrink everything to minutes, to see that it runs; every page says so and shows nothing else
    #[arg(long)]
    quick: bool,
    #[command(flatten)]
    seed: common::SeedArg,
    /// One JSON object on standard output
    #[arg(long)]
    json: bool,
}

/// How much of everything.
#[derive(Clone, Copy, Debug)]
struct Scale {
    images: u64,
    held_out: u64,
    semantic_steps: u64,
    updates: u64,
    attempts_seen: usize,
    attempts_unseen: usize,
    max_ticks: u32,
}

impl Scale {
    fn of(args: &Args) -> Self {
        let full = Self {
            images: 655,
            held_out: 500,
            // Images of each side: 10,000, or 17 epochs; the paper has 200.
            semantic_steps: 5_000,
            updates: 260,
            attempts_seen: 16,
            attempts_unseen: 27,
            max_ticks: 900,
        };
        let quick = Self {
            images: 64,
            held_out: 32,
            semantic_steps: 60,
            updates: 4,
            attempts_seen: 1,
            attempts_unseen: 1,
            max_ticks: 200,
        };
        let scale = if args.quick { quick } else { full };
        let attempts = |usual: usize| args.attempts.unwrap_or(usual);
        Self { attempts_seen: attempts(scale.attempts_seen), attempts_unseen: attempts(scale.attempts_unseen), ..scale }
    }
}

/// A line of the table.
#[derive(Clone, Copy, Debug)]
struct Row {
    name: &'static str,
    method: Method,
    domain: Domain,
    mask: MaskSource,
    /// Played on unseen objects too.
    unseen: bool,
}

impl Row {
    const fn of(name: &'static str, method: Method) -> Self {
        Self { name, method, domain: Domain::Reality, mask: MaskSource::Network, unseen: true }
    }

    const fn control(self) -> Self {
        Self { unseen: false, ..self }
    }

    /// The method where the row is the paper's.
    fn published_method(&self) -> Option<Method> {
        let is_papers = self.domain == Domain::Reality && self.mask == MaskSource::Network;
        is_papers.then_some(self.method)
    }
}

const ROWS: [Row; 10] = [
    Row::of("vs", Method::Vs),
    Row::of("drl+gan", Method::DrlGan),
    Row::of("drl+gan+vs", Method::DrlGanVs),
    Row::of("drl", Method::Drl).control(),
    Row::of("drl+vs", Method::DrlVs).control(),
    Row { domain: Domain::Canonical, ..Row::of("drl in simulation", Method::Drl).control() },
    Row { mask: MaskSource::Truth, ..Row::of("vs, true mask", Method::Vs).control() },
    Row { mask: MaskSource::KMeans, ..Row::of("drl+gan+vs, k-means", Method::DrlGanVs).control() },
    Row { mask: MaskSource::Watershed, ..Row::of("drl+gan+vs, watershed", Method::DrlGanVs).control() },
    Row::of("oracle", Method::Oracle).control(),
];

#[derive(Serialize)]
struct Report {
    out: PathBuf,
    complete: bool,
    quick: bool,
    page: PathBuf,
    segmentation: Option<SegmentationReport>,
    rows: Vec<RowReport>,
}

#[derive(Serialize)]
struct RowReport {
    row: String,
    set: Set,
    seen: bool,
    #[serde(flatten)]
    figures: ServoReport,
}

/// As `dataset generate` would with these words.
#[derive(Parser)]
struct DatasetCommand {
    #[command(flatten)]
    generate: dataset::GenerateArgs,
}

/// And as the two trainings.
#[derive(Parser)]
struct PpoCommand {
    #[command(flatten)]
    train: ppo::Args,
}

#[derive(Parser)]
struct SemanticCommand {
    #[command(flatten)]
    train: semantic_cyclegan::Args,
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    common::Inputs::default()
        .objects(Some(&args.unseen))
        .users("--meshes", args.meshes.as_deref())
        .run("--policy", args.policy.as_deref())
        .run("--generator", args.generator.as_deref())
        .check_folder(&args.out)?;
    let scale = Scale::of(args);
    let seen = common::load_objects("ycb", common::ImportArgs::default())?;
    let unseen = sets::fitting_objects(&args.unseen, "--unseen")?;
    dataset::stop_on_interrupt()?;
    let mut graph = RunGraph::new(&args.out.join(RUNS));
    add_datasets(&mut graph, args, scale)?;
    add_trainings(&mut graph, args, scale)?;
    // These may be written to --out: not before the runs that are given have been opened.
    let meshes = sets::meshes(args.meshes.as_deref(), &args.out)?;
    let twins: Vec<Arc<ObjectModel>> = (unseen.iter())
        .filter(|object| object.assembly.is_some())
        .map(|object| Arc::new(object.rigid_twin()))
        .collect();
    let sets = [
        (Set::Seen, seen, scale.attempts_seen),
        (Set::Unseen, unseen, scale.attempts_unseen),
        (Set::RigidTwins, twins, scale.attempts_unseen),
        (Set::Meshes, meshes, scale.attempts_unseen),
    ];
    let mut nodes = Vec::new();
    for (set, objects, attempts) in sets.iter().filter(|(_, objects, _)| !objects.is_empty()) {
        for row in ROWS.iter().filter(|row| *set == Set::Seen || row.unseen) {
            let trials = ServoTrials {
                objects: objects.clone(),
                attempts_per_object: *attempts,
                // Twins begin as the objects with springs do.
                seed: args.seed.get().derive("servo figures", u64::from(*set == Set::Seen)),
            };
            nodes.push((*row, *set, add_row(&mut graph, args, row, (*set, trials), scale)?));
        }
    }
    create_folder(&args.out)?;
    let mut complete = true;
    let wanted = nodes.iter().filter(|(_, set, _)| args.sets.is_empty() || args.sets.contains(set));
    for node in std::iter::once("held-out").chain(wanted.map(|(_, _, node)| node.as_str())) {
        complete = graph.complete(node)? == Ended::Complete;
        if !complete {
            break;
        }
    }
    let segmentation = complete
        .then(|| {
            let generator = args.generator.clone().unwrap_or_else(|| graph.folder(IMAGES));
            segmentation_figures(&graph.folder("held-out"), &generator, &args.out)
        })
        .transpose()?;
    let mut results = Vec::new();
    for (row, set, node) in &nodes {
        if graph.is_done(node)? {
            results.push((*row, *set, read_trials(&graph.folder(node))?));
        }
    }
    let page = page::write(args, scale, segmentation.as_ref(), &results)?;
    if args.json {
        let rows = results.iter().map(|(row, set, trials)| RowReport {
            row: row.name.to_owned(),
            set: *set,
            seen: *set == Set::Seen,
            figures: ServoReport::new(trials),
        });
        let rows = rows.collect();
        output::json(&Report { out: args.out.clone(), complete, quick: args.quick, page, segmentation, rows })?;
    } else {
        output::line(&std::fs::read_to_string(&page)?)?;
    }
    if complete {
        return Ok(ExitCode::SUCCESS);
    }
    remark("interrupted: resume with the same command");
    Ok(ExitCode::from(interrupt::EXIT_CODE as u8))
}

fn add_datasets<'a>(graph: &mut RunGraph<'a>, args: &'a Args, scale: Scale) -> anyhow::Result<()> {
    let images = scale.images;
    for (name, domain, count, seed) in [
        ("simulation", Domain::Canonical, images, 1),
        ("reality", Domain::Reality, images, 2),
        ("held-out", Domain::Reality, scale.held_out, 3),
    ] {
        let seed = args.seed.get().derive(name, seed).0;
        let settings = format!("domain = {domain}\ncount = {count}\nseed = {seed}\n");
        graph.add(name, &settings, &[], move |context| {
            remark(format_args!("{count} images of {domain}"));
            let words = ["dataset", "--out", "data", "--cell", servo_trials::CELL, "--policy", "noisy-planner"];
            let [domain, count, seed, size] =
                [domain.name().to_owned(), count.to_string(), seed.to_string(), SIZE.to_string()];
            let more = ["--sensed-depth", "--domain", &domain, "--count", &count, "--seed", &seed, "--size", &size];
            let command = DatasetCommand::try_parse_from(words.into_iter().chain(more).chain(["--num-envs", "32"]))?;
            let (env, config) = dataset::plan(&command.generate)?;
            let writer = PairWriter::resume(context.folder, &config)?;
            let complete = collect_pairs(&mut GraspEnv::new(env)?, writer, &mut |_| !interrupt::requested())?;
            Ok(if complete { Ended::Complete } else { Ended::Interrupted })
        })?;
    }
    Ok(())
}

fn add_trainings<'a>(graph: &mut RunGraph<'a>, args: &'a Args, scale: Scale) -> anyhow::Result<()> {
    let seed = args.seed.seed.to_string();
    add_pose_agent(graph, args, (scale.updates, &seed))?;
    if let Some(run) = &args.generator {
        let digest =
            digest_of::<SemanticConfig>(run).with_context(|| format!("opening --generator {}", run.display()))?;
        return Ok(graph.add(IMAGES, &digest, &[], |_| Ok(Ended::Complete))?);
    }
    let steps = scale.semantic_steps.to_string();
    let settings = format!("steps = {steps}\nseed = {seed}\n");
    graph.add(IMAGES, &settings, &["simulation", "reality"], move |context| {
        remark(format_args!("training the semantic CycleGAN: {steps} steps"));
        let resume = context.folder.join("config.toml").is_file();
        let [simulation, reality] = ["simulation", "reality"].map(|name| context.input(name).display().to_string());
        let words = ["semantic-cyclegan", "--out", "x", "--simulation", &simulation, "--reality", &reality];
        let mut command =
            SemanticCommand::try_parse_from(words.into_iter().chain(["--steps", &steps, "--seed", &seed]))?.train;
        command.run = RunArgs { out: context.folder.to_owned(), resume, ..command.run };
        Ok(run::run(&command)?.outcome.ended)
    })?;
    Ok(())
}

fn add_pose_agent<'a>(graph: &mut RunGraph<'a>, args: &'a Args, (updates, seed): (u64, &str)) -> anyhow::Result<()> {
    if let Some(run) = &args.policy {
        let digest = digest_of::<PpoConfig>(run).with_context(|| format!("opening --policy {}", run.display()))?;
        return Ok(graph.add(POSES, &digest, &[], |_| Ok(Ended::Complete))?);
    }
    let (steps, run_seed) = (updates.to_string(), seed.to_owned());
    let settings = format!("updates = {steps}\nseed = {seed}\n");
    graph.add(POSES, &settings, &[], move |context| {
        remark(format_args!("training the pose agent: {steps} updates"));
        let resume = context.folder.join("config.toml").is_file();
        let mut command =
            PpoCommand::try_parse_from(["ppo", "--out", "x", "--steps", &steps, "--seed", &run_seed])?.train;
        command.run = RunArgs { out: context.folder.to_owned(), resume, ..command.run };
        Ok(run::run(&command)?.outcome.ended)
    })?;
    Ok(())
}

/// The trials of a row on one set of objects; returns the node's name.
fn add_row<'a>(
    graph: &mut RunGraph<'a>,
    args: &'a Args,
    row: &Row,
    (set, trials): (Set, ServoTrials),
    scale: Scale,
) -> anyhow::Result<String> {
    let row = *row;
    let mut approach = Plan::approach(row.domain, LawArg::Exact, false);
    approach.servo.max_ticks = scale.max_ticks;
    let name = format!("{} {}", row.name, set.name()).replace(", ", "-").replace(' ', "-");
    let objects: Vec<&str> = trials.objects.iter().map(|object| object.name.as_str()).collect();
    let settings = format!(
        "method = {}\ndomain = {}\nmask = {:?}\nobjects = {objects:?}\nattempts = {}\nseed = {}\napproach = {}\n",
        row.method,
        row.domain,
        row.mask,
        trials.attempts_per_object,
        trials.seed.0,
        serde_json::to_string(&approach)?
    );
    let wants_images = row.method.has_translation() || (row.method.has_servo() && row.mask == MaskSource::Network);
    let inputs: Vec<&str> =
        [(POSES, row.method.has_agent()), (IMAGES, wants_images)].into_iter().filter(|i| i.1).map(|i| i.0).collect();
    let wants_agent = row.method.has_agent();
    graph.add(&name, &settings, &inputs, move |context| {
        if interrupt::requested() {
            return Ok(Ended::Interrupted);
        }
        remark(format_args!("{}, {}: {} trials", row.name, set.name(), trials.count()));
        let input = |wanted: bool, name: &str, given: &Option<PathBuf>| {
            wanted.then(|| given.clone().unwrap_or_else(|| context.input(name).to_owned()))
        };
        let plan = Plan {
            method: row.method,
            policy: input(wants_agent, POSES, &args.policy),
            generator: input(wants_images, IMAGES, &args.generator),
            domain: row.domain,
            mask: row.mask,
            approach,
            cell: servo_trials::CELL.to_owned(),
            num_envs: 64,
            // Figure 11.
            keep_traces: set == Set::Seen && row.method == Method::DrlGanVs && row.mask == MaskSource::Network,
        };
        let results = plan.run(&trials, &mut |_| {})?;
        create_folder(context.folder)?;
        write_atomic(&context.folder.join(TRIALS_NAME), &serde_json::to_vec(&results)?)?;
        Ok(Ended::Complete)
    })?;
    Ok(name)
}

fn read_trials(folder: &Path) -> anyhow::Result<Vec<TrialResult>> {
    let path = folder.join(TRIALS_NAME);
    serde_json::from_slice(&read_capped(&path, MAX_TRIALS_BYTES)?)
        .with_context(|| format!("reading {}; remove its folder to make it again", path.display()))
}
