//! `bingrasp eval`: policies and learners by fixed protocols.

use super::{UsageError, agent, common, eval_translation, numbers, output};
use crate::collect::observation_adapter::ObservationAdapter;
use crate::contract::Domain;
use crate::env::EnvConfig;
use crate::eval::grasp::{EvaluationWithEpisodes, PolicyRef, evaluate_with_episodes};
use crate::eval::protocol::{EvaluationConfig, GraspEvaluation, evaluate_policy};
use crate::nn::with_large_stack;
use crate::objects::ObjectModel;
use crate::policies::PolicyKind;
use crate::rl::qtopt::episode_sheet::episode_sheet;
use crate::rl::qtopt::load::Loaded;
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
}

#[derive(clap::Args)]
struct GraspArgs {
    /// scripted, noisy-planner, oracle, random, or the folder of a QT-Opt run (or of one of its checkpoints)
    #[arg(long, value_name = "NAME|RUN", default_value = "scripted")]
    policy: String,
    /// What the policy sees [default: the domain it was trained in]
    #[arg(long)]
    domain: Option<Domain>,
    #[command(flatten)]
    textures: common::TextureArgs,
    /// A contact sheet of successes and failures as a PNG file
    #[arg(long, value_name = "FILE")]
    episode_sheet: Option<PathBuf>,
    /// Objects: train, test, all, household, household:SEED, ycb, or a folder of OBJ, URDF or glTF files; several with
    /// commas between them
    #[arg(long, value_name = "SET|DIR", default_value = "test")]
    objects: String,
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
    }
}

fn grasp(args: &GraspArgs) -> anyhow::Result<ExitCode> {
    let builtin: Option<PolicyKind> = args.policy.parse().ok();
    let loaded = match builtin {
        Some(_) => None,
        None => Some(agent::load(&args.policy)?),
    };
    if let Some(sheet) = &args.episode_sheet {
        common::Inputs::default()
            .run("--policy", loaded.as_ref().map(|_| Path::new(&args.policy)))
            .objects(Some(&args.objects))
            .textures(&args.textures)
            .check_picture("--episode-sheet", sheet)?;
    }
    let objects = common::load_objects(&args.objects, args.object_options)?;
    let config = EvaluationConfig {
        policy: builtin.unwrap_or_default(),
        attempts: args.attempts,
        ..EvaluationConfig::default()
    };
    let start = Instant::now();
    let mut attempt_success = Vec::new();
    let mut domain = None;
    let evaluation = if builtin.is_some() && args.episode_sheet.is_none() {
        evaluate_policy(&config, &objects, args.seed.get())
    } else {
        let seen = args.domain.map_or_else(|| trained_domain(loaded.as_ref()), Ok)?;
        domain = Some(seen);
        let played = play(args, &config, builtin, loaded.as_ref(), (objects, seen))?;
        attempt_success = played.successes.iter().map(|&success| u8::from(success)).collect();
        if let Some(path) = &args.episode_sheet {
            write_episode_sheet(path, args, loaded.as_ref(), &played)?;
        }
        played.evaluation
    };
    let report = Report {
        policy: args.policy.clone(),
        trained_steps: loaded.as_ref().map(|loaded| loaded.step + 1),
        domain,
        objects: args.objects.clone(),
        evaluation,
        attempt_success,
        seconds: start.elapsed().as_secs_f64(),
        threads: rayon::current_num_threads(),
        seed: args.seed.seed,
    };
    if args.json {
        output::json(&report)?;
        return Ok(ExitCode::SUCCESS);
    }
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
        "failures: {} empty grasp, {} slipped, {} jaws open, {} timed out",
        f.empty_grasp, f.slipped, f.jaws_open, f.timed_out
    ))?;
    Ok(ExitCode::SUCCESS)
}

fn trained_domain(loaded: Option<&Loaded>) -> anyhow::Result<Domain> {
    match loaded {
        Some(loaded) => Ok(loaded.config.data.env.domain),
        None => Ok(Domain::Canonical),
    }
}

fn play(
    args: &GraspArgs,
    config: &EvaluationConfig,
    builtin: Option<PolicyKind>,
    loaded: Option<&Loaded>,
    (objects, domain): (Vec<Arc<ObjectModel>>, Domain),
) -> anyhow::Result<EvaluationWithEpisodes> {
    let num_episodes = if args.episode_sheet.is_some() { SHEET_EPISODES } else { 0 };
    let env = EnvConfig {
        textures: args.textures.load()?,
        ..EnvConfig::new(objects, domain, 1, size_of(loaded), args.seed.get())
    };
    match (builtin, loaded) {
        (Some(kind), _) => {
            let adapter = ObservationAdapter::plain(domain);
            let env = EnvConfig { num_envs: common::num_envs_for(env.size), ..env };
            let seeds = (args.seed.get(), num_episodes);
            Ok(with_large_stack(|| evaluate_with_episodes(PolicyRef::Builtin(kind), config, env, &adapter, seeds))??)
        }
        (None, Some(loaded)) => play_learned(loaded, config, env, num_episodes),
        (None, None) => Err(UsageError("no policy".into()).into()),
    }
}

fn size_of(loaded: Option<&Loaded>) -> u32 {
    loaded.map_or(96, |loaded| loaded.policy.size as u32)
}

/// Plays a run's policy in the environments of `env`: its domain, objects, textures and seed.
pub(super) fn play_learned(
    loaded: &Loaded,
    config: &EvaluationConfig,
    env: EnvConfig,
    num_episodes: usize,
) -> anyhow::Result<EvaluationWithEpisodes> {
    let size = size_of(Some(loaded));
    let (seed, domain) = (env.seed, env.sources.first().copied().unwrap_or(Domain::Canonical));
    let mut env = EnvConfig {
        cell: Arc::new(config.cell.clone()),
        sim: config.sim.clone(),
        size,
        num_envs: common::num_envs_for(size),
        ..env
    };
    let adapter = agent::adapter(&loaded.run, &loaded.config, domain)?;
    let camera = loaded.config.data.env.camera.as_str();
    if !camera.is_empty() {
        env.cameras = vec![camera.to_owned()];
    }
    let policy_ref = PolicyRef::Learned(loaded.policy.cem_policy());
    Ok(with_large_stack(|| evaluate_with_episodes(policy_ref, config, env, &adapter, (seed, num_episodes)))??)
}

/// Successes and failures on a contact sheet, at most.
const SHEET_EPISODES: usize = 8;

fn write_episode_sheet(
    path: &Path,
    args: &GraspArgs,
    loaded: Option<&Loaded>,
    played: &EvaluationWithEpisodes,
) -> anyhow::Result<()> {
    let (size, channels) = loaded.map_or((96, 3), |loaded| (loaded.policy.size, loaded.policy.channels));
    let e = &played.evaluation;
    let title = format!("{}: {:.1}% of {} attempts", args.policy, 100.0 * e.success, e.attempts);
    let subtitle =
        format!("{} objects, seed {}; one row an attempt, the judged state last", args.objects, args.seed.seed);
    let episodes: Vec<_> = played.episodes.iter().collect();
    episode_sheet(&title, &subtitle, &episodes, size, channels).save(path)?;
    Ok(())
}
