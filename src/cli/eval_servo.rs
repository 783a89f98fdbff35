//! `bingrasp eval servo`: the pose agent, visual servoing, and both, on trials that are the same for every method.

use super::output::{self, decimal};
use super::servo_trials::{CELL, LawArg, MaskSource, Plan};
use super::{common, numbers};
use crate::contract::Domain;
use crate::eval::servo::{ApproachConfig, Judged, Method, ServoReport, ServoTrials};
use serde::Serialize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

#[derive(clap::Args)]
pub struct Args {
    /// Method: vs, drl, drl+gan, drl+vs, drl+gan+vs, or the control oracle
    #[arg(long, value_name = "METHOD")]
    method: Method,
    /// Pose agent: a run of `train ppo`, or one of its checkpoints
    #[arg(long, value_name = "RUN")]
    policy: Option<PathBuf>,
    /// Translation and masks: a run of `train semantic-cyclegan`, or one of its checkpoints
    #[arg(long, value_name = "RUN")]
    generator: Option<PathBuf>,
    /// Domain of the images: reality, or another as a control
    #[arg(long, default_value_t = Domain::Reality)]
    domain: Domain,
    /// Object's mask: network, truth (a control), k-means or watershed
    #[arg(long, value_enum, default_value_t = MaskSource::Network)]
    mask: MaskSource,
    /// Control law: exact, or paper
    #[arg(long, value_enum, default_value_t = LawArg::Exact)]
    law: LawArg,
    /// Choose the servo's target for the measured distance of the object and not for one fixed distance
    #[arg(long)]
    target_follows_distance: bool,
    /// Act on images at once, and not a tick late as in reality
    #[arg(long)]
    no_latency: bool,
    /// Objects: ycb, household, household:SEED, train, test, all, spring-jointed, spring-jointed-rigid, or a folder of OBJ,
    /// URDF or glTF files; several with commas between them
    #[arg(long, value_name = "SET|DIR", default_value = "ycb")]
    objects: String,
    #[command(flatten)]
    object_options: common::ImportArgs,
    /// Attempts on each object
    #[arg(long, default_value_t = 3, value_parser = numbers::count(numbers::ATTEMPTS))]
    attempts: usize,
    /// Cell: one of `bingrasp cells list`, or a TOML file
    #[arg(long, value_name = "NAME|FILE", default_value = CELL)]
    cell: String,
    /// Environments in one batch
    #[arg(long, default_value_t = 64, value_parser = numbers::count(numbers::ENVIRONMENTS))]
    num_envs: usize,
    #[command(flatten)]
    seed: common::SeedArg,
    /// One JSON object on standard output
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    method: Method,
    domain: Domain,
    /// None without servoing.
    mask: Option<MaskSource>,
    law: Option<LawArg>,
    policy: Option<PathBuf>,
    generator: Option<PathBuf>,
    objects_named: String,
    attempts_per_object: usize,
    #[serde(flatten)]
    figures: ServoReport,
    approach: ApproachConfig,
    seconds: f64,
    threads: usize,
    seed: u64,
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let started = Instant::now();
    let objects = common::load_objects(&args.objects, args.object_options)?;
    let mut approach = Plan::approach(args.domain, args.law, args.no_latency);
    approach.target_follows_distance = args.target_follows_distance;
    let plan = Plan {
        method: args.method,
        policy: args.policy.clone(),
        generator: args.generator.clone(),
        domain: args.domain,
        mask: args.mask,
        approach,
        cell: args.cell.clone(),
        num_envs: args.num_envs,
        keep_traces: false,
    };
    let trials =
        ServoTrials { objects, attempts_per_object: args.attempts, seed: args.seed.get().derive("evaluate servo", 0) };
    let bar = output::progress(trials.count() as u64, "trials");
    let results = plan.run(&trials, &mut |done| bar.set_position(done as u64))?;
    bar.finish_and_clear();
    let has_servo = args.method.has_servo();
    let report = Report {
        method: args.method,
        domain: args.domain,
        mask: has_servo.then_some(args.mask),
        law: has_servo.then_some(args.law),
        policy: args.policy.clone().filter(|_| args.method.has_agent()),
        generator: args.generator.clone(),
        objects_named: args.objects.clone(),
        attempts_per_object: args.attempts,
        figures: ServoReport::new(&results),
        approach,
        seconds: started.elapsed().as_secs_f64(),
        threads: rayon::current_num_threads(),
        seed: args.seed.seed,
    };
    if args.json {
        output::json(&report)?;
    } else {
        print(&report)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn print(report: &Report) -> anyhow::Result<()> {
    let f = &report.figures;
    let percent = |judged: &Judged| {
        format!(
            "{}% ({} to {})",
            decimal(100.0 * judged.rate, 1),
            decimal(100.0 * judged.wilson_low, 1),
            decimal(100.0 * judged.wilson_high, 1)
        )
    };
    output::line(&format!(
        "{} in {}: {} trials, {} on each object ({})",
        report.method, report.domain, f.all.lifted.trials, report.attempts_per_object, report.objects_named
    ))?;
    output::line(&format!("lifted  {}", percent(&f.all.lifted)))?;
    output::line(&format!(
        "near    {} of a good pose (2 cm, 15 degrees); {} when 4 cm across are allowed",
        percent(&f.all.near),
        percent(&f.all.near_allowing_y)
    ))?;
    let mm = |metres: f64| decimal(1e3 * metres, 1);
    output::line(&format!(
        "errors  median {} mm closing, {} mm across, {} mm in height, {} degrees (90%: {}, {}, {}, {})",
        mm(f.error_x_m.median),
        mm(f.error_y_m.median),
        mm(f.error_z_m.median),
        decimal(f.error_yaw_rad.median.to_degrees(), 1),
        mm(f.error_x_m.p90),
        mm(f.error_y_m.p90),
        mm(f.error_z_m.p90),
        decimal(f.error_yaw_rad.p90.to_degrees(), 1)
    ))?;
    if report.mask.is_some() {
        let servo = f.servo;
        output::line(&format!(
            "servo   {} converged, {} lost, {} timed out, {} reverts; median {} images",
            servo.converged,
            servo.lost,
            servo.timed_out,
            servo.reverts,
            decimal(f.servo_ticks.median, 0)
        ))?;
    }
    for object in &f.objects {
        output::line(&format!(
            "  {:<24} lifted {} of {}, near {} of {}",
            object.object, object.lifted.successes, object.lifted.trials, object.near.successes, object.near.trials
        ))?;
    }
    Ok(())
}
