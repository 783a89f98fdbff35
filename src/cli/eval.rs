//! `bingrasp eval`: policies and learners by fixed protocols.

use super::learned::Learned;
use super::{UsageError, agent, common, eval_servo, eval_translation, numbers, output};
use crate::contract::{Domain, ImageAdapter, Policy, ScriptPolicy, TaskKind};
use crate::env::EnvConfig;
use crate::eval::grasp::{EvaluationWithEpisodes, GraspEvaluation, GraspProtocol, evaluate};
use crate::nn::with_large_stack;
use crate::policies::PolicyKind;
use crate::rl::qtopt::collect::{BehaviorPolicy, Episode};
use crate::rl::qtopt::episode_sheet::episode_sheet;
use crate::scene::CellDescription;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// Grasp success: sets of five unseen objects, returned to a random place after success, at most 20 steps
    #[command(after_help = "Example: bingrasp eval grasp --policy oracle --objects test --attempts 500 --json")]
    Grasp(GraspArgs),
    /// A generator on unseen scenes of test objects: image, mask, depth, objects lost and invented
    #[command(after_help = "Example: bingrasp eval translation --generator runs/rcan --count 1000 --json")]
    Translation(eval_translation::Args),
    /// Reach, then servo: the pose agent, visual servoing and both on the same trials, judged by pose and by lift
    #[command(after_help = "Examples:\n  \
        bingrasp eval servo --method drl+gan+vs --policy runs/ppo --generator runs/semantic --attempts 3\n  \
        bingrasp eval servo --method vs --mask truth --domain canonical\n\
        Controls: --method oracle, --mask truth, and a simulated --domain.")]
    Servo(Box<eval_servo::Args>),
}

#[derive(clap::Args)]
struct GraspArgs {
    /// scripted, noisy-planner, oracle, random, or the folder of a run of QT-Opt or PPO (or of one of its checkpoints)
    #[arg(long, value_name = "NAME|RUN", default_value = "scripted")]
    policy: String,
    /// Look through F of a run of `train cyclegan` or `rl-cyclegan`, or through the generator of `train rcan`: a policy of the
    /// simulator sees reality as simulation, without any training of its own
    #[arg(long, value_name = "RUN")]
    generator: Option<PathBuf>,
    /// What the policy sees [default: the domain it was trained in]
    #[arg(long)]
    domain: Option<Domain>,
    /// Cell: one of `bingrasp cells list`, or a TOML file [default: the cell that the policy was trained in; iiwa-bin]
    #[arg(long, value_name = "NAME|FILE")]
    cell: Option<String>,
    #[command(flatten)]
    textures: common::TextureArgs,
    /// A contact sheet of successes and failures as a PNG file
    #[arg(long, value_name = "FILE")]
    episode_sheet: Option<PathBuf>,
    /// Objects: train, test, all, household, household:SEED, ycb, spring-jointed, spring-jointed-rigid, or a folder of OBJ,
    /// URDF or glTF files; several with commas between them [default: test, ycb for relative poses; in reality-dev train]
    #[arg(long, value_name = "SET|DIR")]
    objects: Option<String>,
    #[command(flatten)]
    object_options: common::ImportArgs,
    /// Grasp attempts
    #[arg(long, default_value_t = 500, value_parser = numbers::count(numbers::ATTEMPTS))]
    attempts: usize,
    #[command(flatten)]
    seed: common::SeedArg,
    /// One JSON object on standard output
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    policy: String,
    /// Steps that a learned policy was trained for.
    trained_steps: Option<u64>,
    domain: Option<Domain>,
    cell: String,
    objects: String,
    #[serde(flatten)]
    evaluation: GraspEvaluation,
    /// Attempt by attempt, in the order of sets: the same for every policy, so that differences are paired.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attempt_success: Vec<u8>,
    seconds: f64,
    threads: usize,
    seed: u64,
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match &args.what {
        What::Grasp(args) => grasp(args),
        What::Translation(args) => eval_translation::run(args),
        What::Servo(args) => eval_servo::run(args),
    }
}

/// Measures and prints nothing: the object of `--json`.
///
/// # Errors
/// As the command; servo trials are not measured here.
pub(super) fn measured(args: &Args) -> anyhow::Result<serde_json::Value> {
    match &args.what {
        What::Grasp(args) => Ok(serde_json::to_value(measure_grasp(args)?)?),
        What::Translation(args) => eval_translation::measured(args),
        What::Servo(_) => Err(UsageError("eval servo is measured by reproduce servo-figures".into()).into()),
    }
}

fn measure_grasp(args: &GraspArgs) -> anyhow::Result<Report> {
    let builtin: Option<PolicyKind> = args.policy.parse().ok();
    let mut loaded = match builtin {
        Some(_) => None,
        None => Some(Learned::load(&args.policy)?),
    };
    if let Some(sheet) = &args.episode_sheet {
        common::Inputs::default()
            .run("--policy", loaded.as_ref().map(|_| Path::new(&args.policy)))
            .run("--generator", args.generator.as_deref())
            .objects(args.objects.as_deref())
            .textures(args.textures.folder())
            .check_picture("--episode-sheet", sheet)?;
    }
    let trained_in = loaded.as_ref().map(|loaded| loaded.env().cell.as_str());
    let cell = common::load_cell(args.cell.as_deref().or(trained_in).unwrap_or(common::CELL))?;
    let start = Instant::now();
    // Built-in policies need no pictures unless they are to be shown.
    let domain = match (&loaded, args.domain) {
        (None, _) if args.episode_sheet.is_none() => None,
        (Some(_), Some(domain)) | (None, Some(domain)) => Some(domain),
        (Some(loaded), None) => Some(loaded.env().domain),
        (None, None) => Some(Domain::Canonical),
    };
    // Whether or not anything is drawn in it.
    let set = common::measured_objects(args.objects.as_deref(), args.domain.or(domain), &cell);
    let played = play(args, (&cell, set), builtin, loaded.as_mut(), domain)?;
    if let Some(path) = &args.episode_sheet {
        write_episode_sheet(path, args, (&cell, set), loaded.as_ref(), &played)?;
    }
    let attempt_success = played.successes.iter().map(|&success| u8::from(success)).collect();
    Ok(Report {
        policy: args.policy.clone(),
        trained_steps: loaded.as_ref().map(Learned::trained_steps),
        domain,
        cell: cell.name.clone(),
        objects: set.to_owned(),
        evaluation: played.evaluation,
        attempt_success,
        seconds: start.elapsed().as_secs_f64(),
        threads: rayon::current_num_threads(),
        seed: args.seed.seed,
    })
}

fn grasp(args: &GraspArgs) -> anyhow::Result<ExitCode> {
    let report = measure_grasp(args)?;
    if args.json {
        output::json(&report)?;
        return Ok(ExitCode::SUCCESS);
    }
    let domain = report.domain;
    let e = &report.evaluation;
    output::line(&format!(
        "{}{} on {} objects: {} of {} attempts, {:.1}% (95% interval {:.1} to {:.1}%), {} steps an attempt, {} to a \
         success",
        report.policy,
        domain.map_or(String::new(), |domain| format!(" in {domain}")),
        report.objects,
        e.successes,
        e.attempts,
        e.success * 100.0,
        e.wilson_low * 100.0,
        e.wilson_high * 100.0,
        output::decimal(e.mean_steps, 1),
        output::decimal(e.steps_to_success, 1)
    ))?;
    let f = &e.failures;
    output::line(&format!(
        "failures: {} empty grasp, {} slipped, {} jaws open, {} timed out; {} regrasps in 100 attempts",
        f.empty_grasp,
        f.slipped,
        f.jaws_open,
        f.timed_out,
        output::decimal(e.regrasps_per_100, 1)
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// Plays the protocol; without a domain, without pictures.
fn play(
    args: &GraspArgs,
    (cell, set): (&Arc<CellDescription>, &str),
    builtin: Option<PolicyKind>,
    loaded: Option<&mut Learned>,
    domain: Option<Domain>,
) -> anyhow::Result<EvaluationWithEpisodes> {
    let num_episodes = if args.episode_sheet.is_some() { SHEET_EPISODES } else { 0 };
    let mut protocol = GraspProtocol { attempts: args.attempts, num_episodes, ..GraspProtocol::default() };
    let task = loaded.as_ref().map_or(cell.task, |loaded| loaded.task());
    if task == TaskKind::PoseGrasp {
        // Each attempt has an object of its own, in the camera's view.
        protocol.attempts_per_set = 1;
    }
    let size = loaded.as_ref().map_or(96, |loaded| loaded.image().0 as u32);
    let batch = (common::num_envs_for(size), size);
    let objects = common::objects_in(args.domain.or(domain).unwrap_or(Domain::Canonical), set, args.object_options)?;
    let env = EnvConfig {
        textures: args.textures.load()?,
        scripts: vec![builtin.unwrap_or_default()],
        ..EnvConfig::new(cell, objects, domain.unwrap_or(Domain::Canonical), batch, args.seed.get())
    };
    let env = if domain.is_some() { env } else { env.blind() };
    env.validate().map_err(|error| UsageError(error.to_string()))?;
    match loaded {
        Some(loaded) => play_learned(loaded, &protocol, env, args.generator.as_deref()),
        None if args.generator.is_some() => {
            Err(UsageError("--generator needs a learned policy: built-in ones look at no picture".into()).into())
        }
        None => played_by(&mut ScriptPolicy, &protocol, env, None),
    }
}

fn played_by(
    policy: &mut dyn Policy,
    protocol: &GraspProtocol,
    env: EnvConfig,
    adapter: Option<Box<dyn crate::contract::ImageAdapter>>,
) -> anyhow::Result<EvaluationWithEpisodes> {
    let seed = env.seed;
    Ok(evaluate(policy, protocol, env, adapter, seed)?)
}

/// Plays a run's policy in environments as `env` describes them, at the size and through the camera of the run.
pub(super) fn play_learned(
    learned: &mut Learned,
    protocol: &GraspProtocol,
    env: EnvConfig,
    generator: Option<&Path>,
) -> anyhow::Result<EvaluationWithEpisodes> {
    let domain = env.sources.first().copied().unwrap_or(Domain::Canonical);
    let (env, adapter) = (learned.env_config(env)?, learned.adapter(domain, generator)?);
    with_large_stack(|| {
        let adapter = adapter.map(|adapter| adapter as Box<dyn ImageAdapter>);
        learned.act(true, |policy| played_by(policy, protocol, env, adapter))
    })?
}

/// Successes and failures on a contact sheet, at most.
const SHEET_EPISODES: usize = 8;

fn write_episode_sheet(
    path: &Path,
    args: &GraspArgs,
    (cell, set): (&CellDescription, &str),
    loaded: Option<&Learned>,
    played: &EvaluationWithEpisodes,
) -> anyhow::Result<()> {
    let (size, channels) = loaded.map_or((96, 3), Learned::image);
    let e = &played.evaluation;
    let title = format!("{}: {:.1}% of {} attempts", args.policy, 100.0 * e.success, e.attempts);
    let subtitle = format!("{set} objects, seed {}; one row an attempt, the judged state last", args.seed.seed);
    let space = agent::action_space(cell);
    let of = |episode: &crate::contract::Episode| Episode::new(episode.clone(), BehaviorPolicy::Greedy, &space);
    let episodes: Vec<Episode> = played.episodes.iter().map(of).collect();
    let shown: Vec<&Episode> = episodes.iter().collect();
    episode_sheet(&title, &subtitle, &shown, size, channels).save(path)?;
    Ok(())
}
