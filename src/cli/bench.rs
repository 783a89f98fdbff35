//! `bingrasp bench`: figures of this machine, with the adapter and thread count beside them.

use super::{bench_qtopt, bench_soak, bench_train, common, numbers, output};
use crate::contract::{Domain, ScriptPolicy, Seed, VecEnv};
use crate::env::{BlockSchedule, EnvConfig, EpisodeLoop, GraspEnv};
use crate::objects::{ObjectSet, Split};
use serde::Serialize;
use std::process::ExitCode;
use std::time::Instant;

#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// Paired frames a second: source, canonical, ids and depth, with shadows in both
    #[command(after_help = "Example: bingrasp bench capture --size 64 --num-envs 64 --json")]
    Capture(CaptureArgs),
    /// Whole scripted grasp attempts a second, with an image at every step
    #[command(after_help = "Example: bingrasp bench episodes --size 64 --json")]
    Episodes(EpisodeArgs),
    /// Environment steps under random and scripted actions, watched for impossible states
    #[command(after_help = "Example: bingrasp bench soak --steps 100000 --json")]
    Soak(bench_soak::SoakArgs),
    /// Measure whether grasped objects stay in the jaws while the arm shakes them
    #[command(after_help = "Example: bingrasp bench shake --grasps 1000 --json")]
    Shake(bench_soak::ShakeArgs),
    /// One training step of a network: forward, backward and Adam
    #[command(after_help = "Example: bingrasp bench train-step --network unet7 --json")]
    TrainStep(bench_train::BenchTrainArgs),
    /// QT-Opt's parts: updates with their targets, decisions, attempts
    #[command(after_help = "Example: bingrasp bench qtopt --json")]
    Qtopt(bench_qtopt::Args),
    /// Frames a second of the viewer's window, playing, with four panels shown, and how soon the first picture came
    #[cfg(feature = "viewer")]
    #[command(after_help = "Example: xvfb-run bingrasp bench viewer --json")]
    Viewer(super::bench_viewer::Args),
}

#[derive(clap::Args)]
struct CaptureArgs {
    /// Edge of the pictures in pixels
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(16..=2048))]
    size: u32,
    /// Environments in one batch; the default fits the size
    #[arg(long, value_parser = numbers::count(numbers::ENVIRONMENTS))]
    num_envs: Option<usize>,
    /// Source domain
    #[arg(long, default_value_t = Domain::RandomizedHeavy)]
    domain: Domain,
    /// Leave edges jagged
    #[arg(long)]
    no_smooth: bool,
    /// How long to measure
    #[arg(long, default_value_t = 4.0, value_parser = numbers::real(numbers::SECONDS))]
    seconds: f64,
    #[command(flatten)]
    cell: common::CellArg,
    #[command(flatten)]
    seed: common::SeedArg,
    /// One JSON object on standard output
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
struct EpisodeArgs {
    /// Edge of the pictures in pixels
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(16..=2048))]
    size: u32,
    /// Source domain
    #[arg(long, default_value_t = Domain::RandomizedHeavy)]
    domain: Domain,
    /// Draw canonical pictures, masks and depth as well, in place of images alone
    #[arg(long)]
    frames: bool,
    /// Environments in one batch; the default fits the size
    #[arg(long, value_parser = numbers::count(numbers::ENVIRONMENTS))]
    num_envs: Option<usize>,
    /// How long to measure
    #[arg(long, default_value_t = 8.0, value_parser = numbers::real(numbers::SECONDS))]
    seconds: f64,
    #[command(flatten)]
    cell: common::CellArg,
    #[command(flatten)]
    seed: common::SeedArg,
    /// One JSON object on standard output
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct CaptureReport {
    pairs_per_s: f64,
    size: u32,
    envs: usize,
    domain: Domain,
    batch_ms: f64,
    first_frame_s: f64,
    peak_memory_gib: f64,
    adapter: String,
    threads: usize,
    seed: u64,
}

#[derive(Serialize)]
struct EpisodeReport {
    attempts_per_s: f64,
    pairs_per_s: f64,
    physics_share: f64,
    /// None where no attempt came to its end.
    success: Option<f64>,
    size: u32,
    envs: usize,
    attempts: u64,
    peak_memory_gib: f64,
    adapter: String,
    threads: usize,
    seed: u64,
}

pub fn run(args: &Args, started: Instant) -> anyhow::Result<ExitCode> {
    match &args.what {
        What::Capture(args) => capture(args, started)?,
        What::Episodes(args) => episodes(args)?,
        What::Soak(args) => return bench_soak::run_soak(args, started),
        What::Shake(args) => return bench_soak::run_shake(args, started),
        What::TrainStep(args) => bench_train::run(args)?,
        What::Qtopt(args) => bench_qtopt::run(args)?,
        #[cfg(feature = "viewer")]
        What::Viewer(args) => return super::bench_viewer::run(args),
    }
    Ok(ExitCode::SUCCESS)
}

fn environment(cell: &common::CellArg, domain: Domain, batch: (usize, u32), seed: Seed) -> anyhow::Result<EnvConfig> {
    Ok(EnvConfig::new(&cell.load()?, ObjectSet::builtin().split(Split::Train), domain, batch, seed))
}

fn adapter(env: &GraspEnv) -> String {
    env.graphics_adapter().map(|a| a.name.clone()).unwrap_or_default()
}

fn capture(args: &CaptureArgs, started: Instant) -> anyhow::Result<()> {
    let envs = args.num_envs.unwrap_or_else(|| common::num_envs_for(args.size));
    let config = environment(&args.cell, args.domain, (envs, args.size), args.seed.get())?;
    let config = EnvConfig { smooth_edges: !args.no_smooth, ..config };
    let mut env = GraspEnv::new(config.with_frames(common::measured_access(args.domain)))?;
    env.observe()?;
    let first_frame_s = started.elapsed().as_secs_f64();
    // Scenes as they are in the middle of attempts.
    let mut episodes = EpisodeLoop::new(BlockSchedule { block: args.seed.get() }, envs);
    for _ in 0..5 {
        episodes.step(&mut env, &mut ScriptPolicy, false)?;
    }
    env.observe()?;
    let mut times = Vec::new();
    let begun = Instant::now();
    while times.len() < 3 || begun.elapsed().as_secs_f64() < args.seconds {
        let start = Instant::now();
        let observation = env.observe()?;
        times.push(start.elapsed().as_secs_f64());
        debug_assert_eq!(observation.privileged.map_or(0, |privileged| privileged.frames[0].count), envs);
    }
    let batch = output::median(&times);
    let report = CaptureReport {
        pairs_per_s: envs as f64 / batch,
        size: args.size,
        envs,
        domain: args.domain,
        batch_ms: batch * 1e3,
        first_frame_s,
        peak_memory_gib: output::peak_memory_gib(),
        adapter: adapter(&env),
        threads: rayon::current_num_threads(),
        seed: args.seed.seed,
    };
    if args.json {
        return output::json(&report);
    }
    output::line(&format!(
        "{:.0} pairs/s at {2}x{2} ({1} environments, {3:.1} ms a batch) on {4}, {5} threads",
        report.pairs_per_s, envs, args.size, report.batch_ms, report.adapter, report.threads
    ))?;
    output::line(&format!("first frame after {first_frame_s:.2} s, {:.2} GiB at the peak", report.peak_memory_gib))
}

fn episodes(args: &EpisodeArgs) -> anyhow::Result<()> {
    let envs = args.num_envs.unwrap_or_else(|| common::num_envs_for(args.size));
    let config = environment(&args.cell, args.domain, (envs, args.size), args.seed.get())?;
    let config = if args.frames { config.with_frames(common::measured_access(args.domain)) } else { config };
    let mut env = GraspEnv::new(config)?;
    let mut episodes = EpisodeLoop::new(BlockSchedule { block: args.seed.get() }, env.num_envs());
    episodes.step(&mut env, &mut ScriptPolicy, true)?;
    let (mut attempts, mut successes, mut pairs, mut rounds) = (0_u64, 0_u64, 0_u64, 0_u64);
    let begun = Instant::now();
    // At least one whole round of attempts, so that starts and ends are in balance.
    while rounds < 16 || begun.elapsed().as_secs_f64() < args.seconds {
        let Some(moment) = episodes.step(&mut env, &mut ScriptPolicy, true)? else { break };
        pairs += envs as u64;
        rounds += 1;
        for transition in moment.transitions.iter().filter(|t| t.step.done()) {
            attempts += 1;
            successes += u64::from(transition.step.success());
        }
    }
    let elapsed = begun.elapsed().as_secs_f64();
    // The same again without pictures: what physics alone takes.
    let blind = Instant::now();
    let blind_rounds = rounds.min(16);
    for _ in 0..blind_rounds {
        episodes.step(&mut env, &mut ScriptPolicy, false)?;
    }
    let physics_per_round = blind.elapsed().as_secs_f64() / blind_rounds as f64;
    let report = EpisodeReport {
        attempts_per_s: attempts as f64 / elapsed,
        pairs_per_s: pairs as f64 / elapsed,
        physics_share: (physics_per_round * rounds as f64 / elapsed).min(1.0),
        success: (attempts > 0).then(|| successes as f64 / attempts as f64),
        size: args.size,
        envs,
        attempts,
        peak_memory_gib: output::peak_memory_gib(),
        adapter: adapter(&env),
        threads: rayon::current_num_threads(),
        seed: args.seed.seed,
    };
    if args.json {
        return output::json(&report);
    }
    output::line(&format!(
        "{:.1} attempts/s, {:.0} pairs/s at {3}x{3} ({2} environments; physics takes {4:.0}% of the time)",
        report.attempts_per_s,
        report.pairs_per_s,
        envs,
        args.size,
        report.physics_share * 100.0
    ))
}
