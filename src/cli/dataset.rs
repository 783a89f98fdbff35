//! `bingrasp dataset`: writes, checks and draws paired datasets.

use super::pair_agent::{self, PairAgent};
use super::{UsageError, common, numbers, output};
use crate::contract::{Crop, Domain};
use crate::data::paired::{DatasetConfig, Format, PairReader, PairWriter, Shard, Split, check, merge, sheet};
use crate::env::pairs::{block_size, collect_pairs, collect_pairs_of};
use crate::env::{EnvConfig, GraspEnv};
use crate::files::atomic::human_bytes;
use crate::files::console;
use crate::files::{interrupt, memory};
use crate::pictures::LeftOut;
use crate::policies::PolicyKind;
use anyhow::Context;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

/// Plays a policy in many bins at once and writes every moment as a pair: a source domain and the canonical domain,
/// with segmentation, instance ids and depth, aligned pixel for pixel.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// Play a policy in many bins at once and write every moment as a pair: a source domain and the canonical domain
    #[command(
        after_help = "Example: bingrasp dataset generate --out pairs --count 4000 --size 64 --domain randomized-heavy"
    )]
    Generate(Box<GenerateArgs>),
    /// Verify counts, checksums, sizes and alignment, and print how many pixels each class has
    #[command(after_help = "Example: bingrasp dataset check pairs --json")]
    Check {
        dir: PathBuf,
        /// One JSON object on standard output
        #[arg(long)]
        json: bool,
    },
    /// Join the parts of a dataset that were made with --shard 0/N, 1/N, ...: the bytes of the whole, without copying images where
    /// the file system has links
    #[command(after_help = "Example: bingrasp dataset merge part-0 part-1 --out pairs")]
    Merge {
        /// Folders of all parts, in any order
        #[arg(required = true, value_name = "DIR")]
        parts: Vec<PathBuf>,
        /// Folder of the whole; it must be missing or empty
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// Draw a contact sheet: randomized | canonical | segmentation | depth
    #[command(after_help = "Example: bingrasp dataset sheet pairs --out sheet.png --rows 8")]
    Sheet {
        dir: PathBuf,
        /// Where to write the PNG; the default is sheet.png in the dataset's folder
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// Pairs to show, spread over the dataset
        #[arg(long, default_value_t = 6, value_parser = numbers::count(numbers::ROWS))]
        rows: usize,
    },
}

#[derive(clap::Args)]
pub struct GenerateArgs {
    /// Folder of the dataset; it must be missing or empty, or continue with --resume
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Pairs of the whole dataset
    #[arg(long, default_value_t = 1000)]
    count: u64,
    /// Edge of the square pictures in pixels, 16 to 2048
    #[arg(long, default_value_t = 64)]
    size: u32,
    /// Source domain: canonical, randomized-mild, randomized-medium, randomized-heavy,
    /// reality, reality-dev, reality-2
    #[arg(long, default_value_t = Domain::RandomizedHeavy)]
    domain: Domain,
    /// Part of the data: train and validation use the training objects, test the test objects
    #[arg(long, default_value = "train", value_parser = parse_split)]
    split: Split,
    /// Move the arm by this policy: scripted, noisy-planner, oracle, random, or the folder of a run of `train qtopt`, whose agent plays
    /// with the noise that it explores with and looks at the domain that it was trained in
    #[arg(long, value_name = "NAME|RUN", default_value = "scripted")]
    policy: String,
    /// folder (PNG files and metadata.jsonl), webdataset (tar shards) or pix2pix ({A,B} pictures)
    #[arg(long, default_value_t = Format::Folder)]
    format: Format,
    /// Also write depth as the domain's depth camera measures it: its noise and holes in reality, the truth elsewhere
    #[arg(long)]
    sensed_depth: bool,
    /// Draw a randomized domain as random cameras take it: lens, soft shade, noise, blur, compression. `train rcan` does so in the
    /// live simulator
    #[arg(long)]
    camera_effects: bool,
    /// Write only part i of n, counted from 0: 0/8 to 7/8
    #[arg(long, value_name = "i/n")]
    shard: Option<Shard>,
    /// Resume an interrupted run
    #[arg(long)]
    resume: bool,
    /// Objects in place of those of the split: train, test, all, household, household:SEED, household-solid, ycb, spring-jointed,
    /// spring-jointed-rigid, or a folder of URDF, OBJ, STL, PLY, glTF or GLB files; several with commas between them
    #[arg(long, value_name = "SET|DIR")]
    objects: Option<String>,
    #[command(flatten)]
    object_options: common::ImportArgs,
    #[command(flatten)]
    textures: common::TextureArgs,
    #[command(flatten)]
    cell: common::CellArg,
    /// Camera of the cell; the default is its first
    #[arg(long)]
    camera: Option<String>,
    /// Environments in one batch; the default fits the size
    #[arg(long, value_parser = numbers::count(numbers::ENVIRONMENTS))]
    num_envs: Option<usize>,
    #[command(flatten)]
    seed: common::SeedArg,
    /// One JSON object on standard output
    #[arg(long)]
    json: bool,
}

fn parse_split(text: &str) -> Result<Split, String> {
    [Split::Train, Split::Validation, Split::Test]
        .into_iter()
        .find(|split| split.name() == text)
        .ok_or_else(|| "the splits are train, validation, test".to_owned())
}

#[derive(Serialize)]
struct Report {
    out: PathBuf,
    pairs: u64,
    pairs_per_s: f64,
    seconds: f64,
    complete: bool,
    size: u32,
    domain: Domain,
    format: &'static str,
    /// What lies in the folder of textures and is not used.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    textures_left_out: Vec<LeftOut>,
    adapter: String,
    threads: usize,
    seed: u64,
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match &args.verb {
        Verb::Generate(args) => generate(args),
        Verb::Check { dir, json } => check_dataset(dir, *json),
        Verb::Merge { parts, out } => merge_parts(parts, out),
        Verb::Sheet { dir, out, rows } => {
            let out = out.clone().unwrap_or_else(|| dir.join("sheet.png"));
            common::Inputs::default().ours("the data set in", Some(dir)).check_picture("--out", &out)?;
            draw_sheet(dir, &out, *rows)?;
            output::line(&out.display().to_string())?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

impl GenerateArgs {
    fn builtin(&self) -> Option<PolicyKind> {
        self.policy.parse().ok()
    }
}

/// The settings of a dataset that `demo` and `dataset` share; an agent joins them with [`with_agent`].
pub fn plan(args: &GenerateArgs) -> anyhow::Result<(EnvConfig, DatasetConfig)> {
    let cell = args.cell.load()?;
    let set = args.objects.as_deref().unwrap_or_else(|| common::usual_objects(&cell, args.split == Split::Test));
    let objects = common::objects_in(args.domain, set, args.object_options)?;
    let envs = args.num_envs.unwrap_or_else(|| common::num_envs_for(args.size));
    fits_in_memory(envs, args.size)?;
    let mut env = EnvConfig {
        crop: Crop::Random,
        scripts: vec![args.builtin().unwrap_or_default()],
        textures: args.textures.load()?,
        ..EnvConfig::new(&cell, objects, args.domain, (envs, args.size), args.seed.get())
    }
    .with_frames(common::measured_access(args.domain));
    env.channels.depth = args.sensed_depth;
    env.camera_effects = args.camera_effects;
    if args.camera_effects && !args.domain.is_randomized() {
        let domain = args.domain;
        let message = format!("--camera-effects: {domain} is drawn as it is; choose a --domain that is randomized");
        return Err(UsageError(message).into());
    }
    env.cameras = args.camera.clone().map_or(env.cameras, |camera| vec![camera]);
    env.validate().map_err(|error| UsageError(error.to_string()))?;
    // Splits of one seed share nothing.
    let seed = args.seed.get().derive(args.split.name(), 0);
    let mut config = DatasetConfig::new(seed, args.domain, args.count, (args.size, args.size));
    config.format = args.format;
    config.split = args.split;
    config.sensed_depth = args.sensed_depth;
    config.shard = args.shard;
    config.block = block_size(envs);
    config.objects = common::object_source(set, &env.objects, env.cell.objects.per_episode);
    config.generator = toml::Table::from_iter([
        ("policy".to_owned(), args.policy.clone().into()),
        ("camera".to_owned(), env.cameras.join(", ").into()),
        ("num_envs".to_owned(), (envs as i64).into()),
        ("textures".to_owned(), common::texture_source(&env.textures).into()),
        // As it was given; the splits of one seed have seeds of their own.
        ("seed".to_owned(), args.seed.seed.to_string().into()),
    ]);
    if args.camera_effects {
        config.generator.insert("camera_effects".to_owned(), true.into());
    }
    // The cell that is meant unless another is named; a changed copy of it may have kept its name.
    let digest = common::recorded_cell(&cell)?.digest;
    if digest != common::recorded_cell(&*common::load_cell(common::CELL)?)?.digest {
        config.generator.insert("cell".to_owned(), cell.name.clone().into());
        config.generator.insert("cell_digest".to_owned(), digest.into());
    }
    config.validate().map_err(|error| UsageError(error.to_string()))?;
    Ok((env, config))
}

/// Refuses more pictures at once than there is memory for: two colours, two kinds of ids and two depths of each environment.
fn fits_in_memory(envs: usize, size: u32) -> anyhow::Result<()> {
    const BYTES: u64 = 2 * 3 + 2 + 2 * 4;
    let each = u64::from(size) * u64::from(size) * BYTES;
    let Some(free) = memory::available_bytes() else { return Ok(()) };
    if each * envs as u64 <= free {
        return Ok(());
    }
    let message = format!(
        "--num-envs {envs} with --size {size} takes {} of memory and {} are free; --num-envs {} fits",
        human_bytes(each * envs as u64),
        human_bytes(free),
        (free / 2 / each).max(1)
    );
    Err(UsageError(message).into())
}

/// Lets the agent of `run` play, if there is one. With another checkpoint it would be another data set; under another path it
/// is the same.
fn with_agent(
    run: Option<&Path>,
    env: EnvConfig,
    mut config: DatasetConfig,
) -> anyhow::Result<(Option<PairAgent>, EnvConfig, DatasetConfig)> {
    let Some(run) = run else { return Ok((None, env, config)) };
    let (agent, env) = PairAgent::load(run, env, "--policy")?;
    config.generator.insert("policy".to_owned(), agent.name()?.into());
    Ok((Some(agent), env, config))
}

fn generate(args: &GenerateArgs) -> anyhow::Result<ExitCode> {
    let out = &args.out;
    let run = args.builtin().is_none().then_some(Path::new(&args.policy));
    common::Inputs::default()
        .run("--policy", run)
        .objects(args.objects.as_deref())
        .textures(args.textures.folder())
        .check_folder(out)?;
    let (env_config, config) = plan(args)?;
    let (agent, env_config, config) = with_agent(run, env_config, config)?;
    stop_on_interrupt()?;
    // Without an adapter nothing is begun.
    let textures_left_out = env_config.textures.left_out.clone();
    let mut env = GraspEnv::new(env_config)?;
    let mut playing = None;
    if let Some(agent) = agent {
        let (loaded, seen) = agent.enter(env);
        (playing, env) = (Some(loaded), seen);
    }
    let writer = if args.resume { PairWriter::resume(out, &config)? } else { PairWriter::create(out, &config)? };
    let todo = writer.remaining();
    let adapter = env.graphics_adapter().map(|a| a.name.clone()).unwrap_or_default();
    let bar = output::progress(todo, "pairs");
    let start = Instant::now();
    let mut pairs = 0;
    let mut should_continue = |written| {
        pairs = written;
        bar.set_position(written);
        !interrupt::requested()
    };
    let complete = match &playing {
        None => collect_pairs(&mut env, writer, &mut should_continue),
        Some(loaded) => pair_agent::act(loaded, env.len(), |policy| {
            collect_pairs_of(&mut env, policy, writer, &mut should_continue)
        }),
    }
    .with_context(|| format!("writing {}; go on with the same command and --resume", out.display()))?;
    bar.finish_and_clear();
    let seconds = start.elapsed().as_secs_f64();
    let report = Report {
        out: out.clone(),
        pairs,
        pairs_per_s: if seconds > 0.0 { pairs as f64 / seconds } else { 0.0 },
        seconds,
        complete,
        size: args.size,
        domain: args.domain,
        format: args.format.name(),
        textures_left_out,
        adapter,
        threads: rayon::current_num_threads(),
        seed: args.seed.seed,
    };
    if args.json {
        output::json(&report)?;
    } else {
        output::line(&format!(
            "{} pairs in {:.1} s ({:.0} pairs/s) in {}",
            report.pairs,
            seconds,
            report.pairs_per_s,
            out.display()
        ))?;
    }
    if complete {
        return Ok(ExitCode::SUCCESS);
    }
    console::remark("interrupted: everything written so far is kept; go on with the same command and --resume");
    Ok(ExitCode::from(130))
}

fn merge_parts(parts: &[PathBuf], out: &Path) -> anyhow::Result<ExitCode> {
    let inputs = parts.iter().fold(common::Inputs::default(), |inputs, part| inputs.ours("a part", Some(part)));
    inputs.check_folder(out)?;
    let bar = output::progress(0, "pairs");
    merge(parts, out, &|done, total| {
        bar.set_length(total);
        bar.set_position(done);
    })?;
    bar.finish_and_clear();
    let pairs = PairReader::open(out)?.len();
    output::line(&format!("{pairs} pairs of {} parts in {}", parts.len(), out.display()))?;
    Ok(ExitCode::SUCCESS)
}

fn check_dataset(dir: &Path, json: bool) -> anyhow::Result<ExitCode> {
    let bar = output::progress(0, "checks");
    let report = check(dir, &|done, total| {
        bar.set_length(total);
        bar.set_position(done);
    })?;
    bar.finish_and_clear();
    if json {
        output::json(&report)?;
        return Ok(ExitCode::from(u8::from(!report.is_ok())));
    }
    output::line(&format!(
        "{}: {} of {} pairs readable, {} files checked, {} problems",
        dir.display(),
        report.pairs_readable,
        report.pairs_expected,
        report.files_checked,
        report.problem_count
    ))?;
    for class in &report.classes {
        output::line(&format!(
            "  {:<11} {:5.1}% of the pixels, in {} pairs",
            class.class,
            class.share * 100.0,
            class.pairs
        ))?;
    }
    for (phase, pairs) in &report.phases {
        output::line(&format!("  {phase:<11} {pairs} pairs"))?;
    }
    for problem in &report.problems {
        output::line(&format!("  {problem}"))?;
    }
    Ok(ExitCode::from(u8::from(!report.is_ok())))
}

/// A contact sheet of `rows` pairs, spread over the dataset.
pub fn draw_sheet(dir: &Path, out: &Path, rows: usize) -> anyhow::Result<()> {
    let reader = PairReader::open(dir)?;
    sheet(&reader, rows.max(1), reader.config().seed)?.save(out)?;
    Ok(())
}

/// The first Ctrl-C asks for a stop after the current batch.
pub fn stop_on_interrupt() -> anyhow::Result<()> {
    Ok(interrupt::install(|| console::remark("stopping after this batch; Ctrl-C again stops at once"))?)
}
