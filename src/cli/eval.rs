//! `bingrasp eval`: policies and learners by fixed protocols.

use super::{common, eval_translation, output};
use crate::sim::policy::PolicyKind;
use crate::sim::{EvaluationConfig, GraspEvaluation, evaluate_policy};
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
    /// Grasp success: sets of five unseen objects, returned to a random place after success, at most 20 steps
    #[command(after_help = "Example: bingrasp eval grasp --policy oracle --objects test --attempts 500 --json")]
    Grasp(GraspArgs),
    /// A generator on unseen scenes of test objects: image, mask, depth, objects lost and invented
    #[command(after_help = "Example: bingrasp eval translation --checkpoint runs/rcan --count 1000 --json")]
    Translation(eval_translation::Args),
}

#[derive(clap::Args)]
struct GraspArgs {
    /// scripted, oracle or random
    #[arg(long, default_value = "scripted")]
    policy: PolicyKind,
    /// Objects: train, test, all, or a folder of OBJ, URDF or glTF files
    #[arg(long, value_name = "SET|DIR", default_value = "test")]
    objects: String,
    /// Grasp attempts
    #[arg(long, default_value_t = 500)]
    attempts: usize,
    #[command(flatten)]
    seed: common::SeedArg,
    /// One JSON object on standard output
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    policy: PolicyKind,
    objects: String,
    #[serde(flatten)]
    evaluation: GraspEvaluation,
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
    let objects = common::load_objects(&args.objects)?;
    let config = EvaluationConfig { policy: args.policy, attempts: args.attempts, ..EvaluationConfig::default() };
    let start = Instant::now();
    let evaluation = evaluate_policy(&config, &objects, args.seed.get());
    let report = Report {
        policy: args.policy,
        objects: args.objects.clone(),
        evaluation,
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
        "{} on {} objects: {} of {} attempts, {:.1}% (95% interval {:.1} to {:.1}%), {:.1} steps an attempt",
        report.policy.name(),
        report.objects,
        e.successes,
        e.attempts,
        e.success * 100.0,
        e.wilson_low * 100.0,
        e.wilson_high * 100.0,
        e.mean_steps
    ))?;
    let f = &e.failures;
    output::line(&format!(
        "failures: {} missed, {} slipped, {} nothing tried, {} time out",
        f.missed, f.slipped, f.nothing_tried, f.time_out
    ))?;
    Ok(ExitCode::SUCCESS)
}
