//! `bingrasp bench soak` and `bench shake`: whether the physics stays sound, and whether what is held stays held.

use super::{common, numbers, output};
use crate::contract::Domain;
use crate::env::EnvConfig;
use crate::eval::shake::{ShakeReport, shake};
use crate::eval::soak::{SoakReport, soak};
use crate::files::{console, interrupt};
use anyhow::anyhow;
use serde::Serialize;
use std::process::ExitCode;
use std::time::Instant;

/// What is measured, and how it is said.
#[derive(clap::Args)]
struct Subject {
    #[command(flatten)]
    objects: common::ObjectArgs,
    #[command(flatten)]
    cell: common::CellArg,
    #[command(flatten)]
    seed: common::SeedArg,
    /// One JSON object on standard output
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
pub struct SoakArgs {
    /// Environment steps
    #[arg(long, default_value_t = 100_000, value_parser = numbers::whole(1..=1_000_000_000_000))]
    steps: u64,
    #[command(flatten)]
    subject: Subject,
}

#[derive(clap::Args)]
pub struct ShakeArgs {
    /// Grasps that are planned and tried
    #[arg(long, default_value_t = 200, value_parser = numbers::whole(numbers::ATTEMPTS))]
    grasps: u64,
    /// How long each lifted object is shaken, at the cell's full acceleration
    #[arg(long, default_value_t = 3.0, value_parser = numbers::real(numbers::SECONDS))]
    seconds: f64,
    #[command(flatten)]
    subject: Subject,
}

/// A report, and what it is of.
#[derive(Serialize)]
struct Measured<'a, T> {
    #[serde(flatten)]
    report: &'a T,
    cell: &'a str,
    objects: &'a str,
    seed: u64,
    /// Of the whole command.
    wall_s: f64,
}

/// Enough of them that no core waits for the slowest.
const ENVIRONMENTS: usize = 64;

pub fn run_soak(args: &SoakArgs, started: Instant) -> anyhow::Result<ExitCode> {
    let (subject, seed) = (&args.subject, args.subject.seed.get());
    let objects = subject.objects.load()?;
    let config = EnvConfig::new(&subject.cell.load()?, objects, Domain::Canonical, (ENVIRONMENTS, 64), seed);
    interrupt::install(|| console::remark("stopping; Ctrl-C again stops at once"))?;
    let bar = output::progress(args.steps, "steps");
    let report: SoakReport = soak(config, args.steps, seed, &mut |so_far| {
        bar.set_position(so_far.steps);
        !interrupt::requested()
    })?;
    bar.finish_and_clear();
    let sound = report.not_finite == 0 && report.out_of_bounds == 0 && report.penetrating == 0;
    if subject.json {
        output::json(&measured(&report, subject, started))?;
    } else {
        output::line(&format!(
            "{} steps: {} not finite, {} out of bounds, {} penetrating by more than 3 mm",
            report.steps, report.not_finite, report.out_of_bounds, report.penetrating
        ))?;
    }
    if report.steps < args.steps {
        console::remark(format_args!("interrupted after {} of {} steps", report.steps, args.steps));
        return Ok(ExitCode::from(interrupt::EXIT_CODE as u8));
    }
    Ok(ExitCode::from(u8::from(!sound)))
}

pub fn run_shake(args: &ShakeArgs, started: Instant) -> anyhow::Result<ExitCode> {
    let subject = &args.subject;
    let objects = subject.objects.load()?;
    let cell = subject.cell.load()?;
    let report: ShakeReport =
        shake(&cell, &objects, args.grasps, args.seconds as f32, subject.seed.get()).map_err(|error| anyhow!(error))?;
    if subject.json {
        output::json(&measured(&report, subject, started))?;
    } else {
        let share = report.share().map_or("none".to_owned(), |share| format!("{:.1}%", 100.0 * share));
        output::line(&format!(
            "{} of {} grasps lifted an object; {} of them still held it after {} s of shaking ({share})",
            report.lifted, report.grasps, report.stayed, report.seconds
        ))?;
    }
    Ok(ExitCode::from(u8::from(report.not_finite > 0)))
}

fn measured<'a, T>(report: &'a T, subject: &'a Subject, started: Instant) -> Measured<'a, T> {
    let Subject { objects, cell, seed, .. } = subject;
    let wall_s = started.elapsed().as_secs_f64();
    Measured { report, cell: &cell.cell, objects: &objects.objects, seed: seed.seed, wall_s }
}
