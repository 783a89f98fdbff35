//! `bingrasp episodes`: records attempts of a policy, checks recordings, draws them. Exports are in `episodes_export`.

use super::learned::Learned;
use super::{UsageError, agent, common, episodes_export, episodes_sample, numbers, output};
use crate::contract::{Domain, ScriptPolicy};
use crate::data::episodes::{EpisodeReader, EpisodeWriter, EpisodesConfig, record_episodes};
use crate::env::{EnvConfig, GraspEnv};
use crate::files::{console, interrupt};
use crate::nn::with_large_stack;
use crate::pictures::LeftOut;
use crate::policies::PolicyKind;
use crate::rl::qtopt::collect::{BehaviorPolicy, Episode};
use crate::rl::qtopt::episode_sheet::episode_sheet;
use crate::scene::cells;
use anyhow::Context;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// Play attempts and write what was seen, done and got
    #[command(after_help = "Example: bingrasp episodes record --out real --domain reality --count 5000")]
    Record(Box<RecordArgs>),
    /// Verify checksums and count what is in a recording
    #[command(after_help = "Example: bingrasp episodes check real --json")]
    Check {
        dir: PathBuf,
        /// One JSON object on standard output
        #[arg(long)]
        json: bool,
    },
    /// Draw episodes as film strips, one row each
    #[command(after_help = "Example: bingrasp episodes sheet real --out real.png")]
    Sheet {
        dir: PathBuf,
        /// Where to write the PNG; the default is sheet.png in the recording's folder
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// Episodes to show, spread over the recording
        #[arg(long, default_value_t = 10, value_parser = numbers::whole(numbers::ROWS))]
        rows: u64,
    },
    /// Draw some episodes of a recording, by a seed, into a recording of its own
    #[command(after_help = "Example: bingrasp episodes sample real --out real-1000 --count 1000")]
    Sample(episodes_sample::Args),
    /// Write a recording as a dataset of another program
    #[command(after_help = episodes_export::EXAMPLES)]
    Export(episodes_export::Args),
}

#[derive(clap::Args)]
struct RecordArgs {
    /// Folder of the recording; it must be missing or empty, or continue with --resume
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Episodes of the whole recording
    #[arg(long, default_value_t = 1000)]
    count: u64,
    /// Edge of the square pictures in pixels
    #[arg(long, default_value_t = 64)]
    size: u32,
    /// What the camera sees: canonical, randomized-mild, randomized-medium, randomized-heavy,
    /// reality, reality-dev, reality-2
    #[arg(long, default_value_t = Domain::Reality)]
    domain: Domain,
    /// scripted, noisy-planner, oracle, random, or the folder of a run of QT-Opt or PPO that sees plain pictures of this size
    #[arg(long, value_name = "NAME|RUN", default_value = "scripted")]
    policy: String,
    /// Play the policy without noise
    #[arg(long)]
    greedy: bool,
    /// Objects: train, test, all, household, household:SEED, ycb, spring-jointed, spring-jointed-rigid, or a folder of OBJ,
    /// URDF or glTF files; several with commas between them [default: train, ycb for relative poses]
    #[arg(long, value_name = "SET|DIR")]
    objects: Option<String>,
    #[command(flatten)]
    cell: common::CellArg,
    #[command(flatten)]
    object_options: common::ImportArgs,
    #[command(flatten)]
    textures: common::TextureArgs,
    /// Resume an interrupted recording
    #[arg(long)]
    resume: bool,
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
    episodes: u64,
    episodes_per_s: f64,
    /// What lies in the folder of textures and is not used.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    textures_left_out: Vec<LeftOut>,
    seconds: f64,
    threads: usize,
    seed: u64,
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match &args.verb {
        Verb::Record(args) => record(args),
        Verb::Check { dir, json } => check(dir, *json),
        Verb::Sheet { dir, out, rows } => {
            let out = out.clone().unwrap_or_else(|| dir.join("sheet.png"));
            common::Inputs::default().ours("the recording in", Some(dir)).check_picture("--out", &out)?;
            sheet(dir, &out, *rows)?;
            output::line(&out.display().to_string())?;
            Ok(ExitCode::SUCCESS)
        }
        Verb::Sample(args) => episodes_sample::run(args),
        Verb::Export(args) => episodes_export::run(args),
    }
}

/// Records or samples to the end or to Ctrl-C, and prints nothing; whether it came to its end.
///
/// # Errors
/// As the commands; another verb than `record` or `sample`.
pub(super) fn written(args: &Args) -> anyhow::Result<bool> {
    match &args.verb {
        Verb::Record(args) => Ok(play_recording(args)?.complete),
        Verb::Sample(args) => episodes_sample::written(args),
        _ => Err(UsageError("only episodes record and episodes sample write a recording".into()).into()),
    }
}

/// Episodes of one file.
const PER_SHARD: u64 = 200;

fn learned(args: &RecordArgs) -> anyhow::Result<Learned> {
    let loaded = Learned::load(&args.policy)?;
    let (size, channels) = loaded.image();
    if channels != 3 || size != args.size as usize {
        let message = format!(
            "the policy in {} sees {channels} channels of {size}x{size} pixels; recordings are of plain pictures: pass --size \
             {size} and a policy without a generator",
            args.policy
        );
        return Err(UsageError(message).into());
    }
    Ok(loaded)
}

fn record(args: &RecordArgs) -> anyhow::Result<ExitCode> {
    let report = play_recording(args)?;
    if args.json {
        output::json(&report)?;
    } else {
        output::line(&format!(
            "{} episodes in {:.1} s ({:.1}/s) in {}",
            report.episodes,
            report.seconds,
            report.episodes_per_s,
            args.out.display()
        ))?;
    }
    if report.complete {
        return Ok(ExitCode::SUCCESS);
    }
    console::remark("interrupted: everything written so far is kept; go on with the same command and --resume");
    Ok(ExitCode::from(interrupt::EXIT_CODE as u8))
}

/// Records to the end or to Ctrl-C.
fn play_recording(args: &RecordArgs) -> anyhow::Result<Report> {
    let builtin: Option<PolicyKind> = args.policy.parse().ok();
    common::Inputs::default()
        .run("--policy", builtin.is_none().then_some(Path::new(&args.policy)))
        .objects(args.objects.as_deref())
        .textures(args.textures.folder())
        .check_folder(&args.out)?;
    let mut loaded = if builtin.is_some() { None } else { Some(learned(args)?) };
    let cell = args.cell.load()?;
    let set = args.objects.as_deref().unwrap_or_else(|| common::usual_objects(&cell, false));
    let objects = common::objects_in(args.domain, set, args.object_options)?;
    let batch = (common::num_envs_for(args.size), args.size);
    let mut env = EnvConfig {
        scripts: vec![builtin.unwrap_or_default()],
        textures: args.textures.load()?,
        ..EnvConfig::new(&cell, objects, args.domain, batch, args.seed.get())
    };
    if let Some(loaded) = &loaded {
        env = loaded.env_config(env)?;
    }
    let camera = env.cameras.join(", ");
    env.validate().map_err(|error| UsageError(error.to_string()))?;
    if args.domain.stands_for_reality() && builtin.is_some_and(PolicyKind::reads_state) {
        console::warn(format_args!(
            "{} reads the state, which no robot knows: do not learn from these episodes but for a ceiling",
            args.policy
        ));
    }
    let objects = common::object_source(set, &env.objects, env.cell.objects.per_episode);
    let name = objects.digest.unwrap_or(objects.split);
    let config = EpisodesConfig {
        seed: args.seed.get(),
        domain: args.domain,
        width: args.size,
        height: args.size,
        count: args.count,
        episodes_per_shard: PER_SHARD.min(args.count.max(1)),
        cell: common::recorded_cell(&cell)?,
        // With another checkpoint it would be another policy; under another path it is the same.
        policy: loaded.as_ref().map_or_else(|| Ok(args.policy.clone()), Learned::name)?,
        generator: toml::Table::from_iter([
            ("objects".to_owned(), name.into()),
            ("greedy".to_owned(), args.greedy.into()),
            ("textures".to_owned(), common::texture_source(&env.textures).into()),
            ("camera".to_owned(), camera.into()),
            ("crop".to_owned(), "centre".into()),
            ("policy_step".to_owned(), loaded.as_ref().map_or(0, |loaded| loaded.trained_steps() as i64).into()),
        ]),
    };
    config.validate().map_err(|error| UsageError(error.to_string()))?;
    let textures_left_out = env.textures.left_out.clone();
    interrupt::install(|| console::remark("stopping after this file; Ctrl-C again stops at once"))?;
    let bar = output::progress(args.count, "episodes");
    let start = Instant::now();
    let (mut written, mut first) = (0, 0);
    let complete = with_large_stack(|| -> anyhow::Result<bool> {
        // Without an adapter nothing is begun.
        let mut envs = GraspEnv::new(env)?;
        let writer = if args.resume {
            EpisodeWriter::resume(&args.out, &config)?
        } else {
            EpisodeWriter::create(&args.out, &config)?
        };
        (first, written) = (writer.next_episode(), writer.next_episode());
        let mut should_continue = |done: u64| {
            written = done;
            bar.set_position(done);
            !interrupt::requested()
        };
        Ok(match &mut loaded {
            Some(loaded) => {
                loaded.act(args.greedy, |policy| record_episodes(&mut envs, policy, writer, &mut should_continue))?
            }
            None => record_episodes(&mut envs, &mut ScriptPolicy, writer, &mut should_continue)?,
        })
    })?
    .with_context(|| format!("writing {}; go on with the same command and --resume", args.out.display()))?;
    bar.finish_and_clear();
    let seconds = start.elapsed().as_secs_f64();
    Ok(Report {
        out: args.out.clone(),
        complete,
        episodes: written,
        episodes_per_s: (written - first) as f64 / seconds.max(1e-9),
        textures_left_out,
        seconds,
        threads: rayon::current_num_threads(),
        seed: args.seed.seed,
    })
}

#[derive(Serialize)]
struct CheckReport {
    dir: PathBuf,
    complete: bool,
    episodes_expected: u64,
    episodes_readable: u64,
    steps: u64,
    successes: u64,
    /// None without an episode.
    success: Option<f64>,
    mean_steps: Option<f64>,
    domain: Domain,
    cell: String,
    policy: String,
    size: [u32; 2],
    problem_count: u64,
    /// The first of them.
    problems: Vec<String>,
}

/// Problems that are listed.
const LISTED: usize = 20;

fn check(dir: &Path, json: bool) -> anyhow::Result<ExitCode> {
    let reader = EpisodeReader::open(dir).with_context(|| format!("opening the episodes in {}", dir.display()))?;
    let config = reader.config();
    let mut report = CheckReport {
        dir: dir.to_owned(),
        complete: reader.is_complete(),
        episodes_expected: config.count,
        episodes_readable: 0,
        steps: 0,
        successes: 0,
        success: None,
        mean_steps: None,
        domain: config.domain,
        cell: config.cell.name.clone(),
        policy: config.policy.clone(),
        size: [config.width, config.height],
        problem_count: 0,
        problems: Vec::new(),
    };
    let bar = output::progress(reader.len(), "episodes");
    for episode in reader.iter() {
        bar.inc(1);
        match episode {
            Ok(episode) => {
                report.episodes_readable += 1;
                report.steps += episode.steps.len() as u64;
                report.successes += u64::from(episode.success());
            }
            Err(error) => {
                let problem = error.to_string();
                // A damaged file is named once, not for each of its episodes.
                if report.problems.last() != Some(&problem) {
                    report.problem_count += 1;
                    if report.problems.len() < LISTED {
                        report.problems.push(problem);
                    }
                }
            }
        }
    }
    bar.finish_and_clear();
    if !report.complete {
        report.problem_count += 1;
        let message = format!("the recording is not complete: {} of {} episodes", reader.len(), config.count);
        report.problems.push(format!("{message}; go on with `episodes record --resume`"));
    }
    let mean = |sum: u64| (report.episodes_readable > 0).then(|| sum as f64 / report.episodes_readable as f64);
    (report.success, report.mean_steps) = (mean(report.successes), mean(report.steps));
    let code = ExitCode::from(u8::from(report.problem_count > 0));
    if json {
        output::json(&report)?;
        return Ok(code);
    }
    output::line(&format!(
        "{}: {} of {} episodes readable, {} steps, {}% successes, {} problems",
        dir.display(),
        report.episodes_readable,
        report.episodes_expected,
        report.steps,
        output::decimal(report.success.map(|share| 100.0 * share), 1),
        report.problem_count
    ))?;
    for problem in &report.problems {
        output::line(&format!("  {problem}"))?;
    }
    Ok(code)
}

fn sheet(dir: &Path, out: &Path, rows: u64) -> anyhow::Result<()> {
    let reader = EpisodeReader::open(dir).with_context(|| format!("opening the episodes in {}", dir.display()))?;
    let config = reader.config();
    if config.width != config.height || reader.is_empty() {
        return Err(UsageError(format!("{} has no episodes of square pictures", dir.display())).into());
    }
    // How far one step may go matters to networks, not to pictures.
    let space = agent::action_space(&cells::load(common::CELL)?);
    let rows = rows.clamp(1, reader.len());
    let shown: Vec<Episode> = (0..rows)
        .map(|i| Ok(Episode::new(reader.read(i * reader.len() / rows)?, BehaviorPolicy::Scripted, &space)))
        .collect::<anyhow::Result<_>>()?;
    let title = format!("{} of {} episodes in {}", shown.len(), reader.len(), config.domain);
    let subtitle = format!("played by {}; one row an episode, the judged state last", config.policy);
    let strips: Vec<_> = shown.iter().collect();
    episode_sheet(&title, &subtitle, &strips, config.width as usize, 3).save(out)?;
    Ok(())
}
