//! `bingrasp bench viewer`: how smooth the window is on this machine, and how it takes random input.

use super::{numbers, output, view};
use crate::viewer::settings::Settings;
use crate::viewer::window;
use clap::Parser;
use serde::Serialize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Growth of memory within what the allocator keeps or gives back by chance.
const GROWTH_GIB: f64 = 0.03;

#[derive(clap::Args)]
pub struct Args {
    /// How long to measure
    #[arg(long, default_value_t = 8.0, value_parser = numbers::real(numbers::SECONDS))]
    seconds: f64,
    /// Size of the window in points
    #[arg(long, value_name = "WxH", default_value = "1280x720")]
    size: String,
    /// A run of `train rcan` whose generator translates every frame
    #[arg(long, value_name = "RUN")]
    generator: Option<PathBuf>,
    /// Press random keys, buttons and the mouse for so many minutes instead, and watch memory; fails when anything
    /// panics or memory grows
    #[arg(long, value_name = "MINUTES", value_parser = numbers::real(0.0..=1440.0))]
    random_minutes: Option<f64>,
    /// Seed of the episode, and of the random input
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// One JSON object on standard output
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    frames_per_s: f64,
    longest_frame_ms: f64,
    first_picture_s: f64,
    window_pixels: [u32; 2],
    frames: u64,
    seconds: f64,
    /// Pictures translated by the generator for each time that the panels changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    translated_per_frame: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    random: Option<Random>,
    peak_memory_gib: f64,
    adapter: String,
    threads: usize,
    seed: u64,
}

/// A run with random input.
#[derive(Serialize)]
struct Random {
    panics: u64,
    /// Resident memory when a quarter of the time was over, and at the end; medians of five samples.
    memory_warm_gib: f64,
    memory_end_gib: f64,
    /// Every twentieth of the time.
    memory_gib: Vec<f64>,
}

/// The options of `bingrasp view`, as if typed.
#[derive(Parser)]
struct View {
    #[command(flatten)]
    args: view::Args,
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let started = process_start();
    let mut argv =
        ["view", "--fresh", "--size", &args.size, "--seed", &args.seed.to_string()].map(str::to_owned).to_vec();
    if let Some(run) = &args.generator {
        argv.extend(["--generator".to_owned(), run.display().to_string()]);
    }
    let view = View::try_parse_from(argv).map_err(|error| super::UsageError(error.kind().to_string()))?.args;
    let seconds = args.random_minutes.map_or(args.seconds, |minutes| minutes * 60.0).clamp(0.5, 86_400.0);
    let options = window::Options {
        size: view.window_size(),
        remember: false,
        script: args.random_minutes.map(|_| window::random_input(seconds as f32, args.seed)),
        measure: Some(Duration::from_secs_f64(seconds)),
    };
    let panics = count_panics();
    // Random input must find generators slow as people do; a figure must not leave pictures out.
    let lockstep = args.random_minutes.is_none();
    let build = move || {
        let mut viewer = view::build(&view, &Settings::default())?;
        viewer.session.lockstep = lockstep;
        Ok(viewer)
    };
    let Ok(measured) = catch_unwind(AssertUnwindSafe(|| window::run(build, options))) else {
        anyhow::bail!("the window panicked; the message is above");
    };
    let measured = measured?;
    let first = measured.first_picture.unwrap_or_else(Instant::now);
    let random = args.random_minutes.map(|_| {
        let memory = &measured.memory_gib;
        let median = |samples: &[f64]| {
            let mut samples = samples.to_vec();
            samples.sort_by(f64::total_cmp);
            samples.get(samples.len() / 2).copied().unwrap_or(0.0)
        };
        // The last quarter, however few samples a slow machine takes.
        let end = &memory[memory.len() - memory.len().div_ceil(4)..];
        let warm = memory.get(4..9).unwrap_or(memory);
        Random {
            panics: panics.load(Ordering::Relaxed),
            memory_warm_gib: median(warm),
            memory_end_gib: median(end),
            memory_gib: memory.clone(),
        }
    });
    let report = Report {
        frames_per_s: measured.frames as f64 / measured.seconds.max(1e-9),
        longest_frame_ms: measured.longest_frame_s * 1e3,
        first_picture_s: first.saturating_duration_since(started).as_secs_f64(),
        window_pixels: measured.window_pixels,
        frames: measured.frames,
        seconds: measured.seconds,
        translated_per_frame: args
            .generator
            .as_ref()
            .map(|_| measured.translated as f64 / measured.panels_drawn.max(1) as f64),
        random,
        peak_memory_gib: output::peak_memory_gib(),
        adapter: measured.adapter.clone(),
        threads: rayon::current_num_threads(),
        seed: args.seed,
    };
    say(args, &report)?;
    let sound = report
        .random
        .as_ref()
        .is_none_or(|random| random.panics == 0 && random.memory_end_gib <= random.memory_warm_gib + GROWTH_GIB);
    Ok(ExitCode::from(u8::from(!sound)))
}

fn say(args: &Args, report: &Report) -> anyhow::Result<()> {
    if args.json {
        output::json(report)?;
        return Ok(());
    }
    output::line(&format!(
        "{:.1} frames/s at {}x{} on {} (longest {:.0} ms), first picture after {:.2} s, {:.2} GiB at the peak",
        report.frames_per_s,
        report.window_pixels[0],
        report.window_pixels[1],
        report.adapter,
        report.longest_frame_ms,
        report.first_picture_s,
        report.peak_memory_gib
    ))?;
    if let Some(random) = &report.random {
        output::line(&format!(
            "{:.1} minutes of random input, {} frames: {} panics, memory {:.3} GiB warm and {:.3} GiB at the end",
            report.seconds / 60.0,
            report.frames,
            random.panics,
            random.memory_warm_gib,
            random.memory_end_gib
        ))?;
    }
    Ok(())
}

/// Counts panics on every thread, also on those that nobody waits for.
fn count_panics() -> Arc<AtomicU64> {
    let count = Arc::new(AtomicU64::new(0));
    let (hook, mine) = (std::panic::take_hook(), count.clone());
    std::panic::set_hook(Box::new(move |info| {
        mine.fetch_add(1, Ordering::Relaxed);
        hook(info);
    }));
    count
}

/// When this process was started, as well as the system tells.
fn process_start() -> Instant {
    let now = Instant::now();
    let age = || {
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        // The 22nd field, counted behind the name in parentheses, in hundredths of a second since the system started.
        let ticks: f64 = stat.rsplit(')').next()?.split_whitespace().nth(19)?.parse().ok()?;
        let uptime: f64 = std::fs::read_to_string("/proc/uptime").ok()?.split_whitespace().next()?.parse().ok()?;
        Some(Duration::from_secs_f64((uptime - ticks / 100.0).clamp(0.0, 60.0)))
    };
    age().and_then(|age| now.checked_sub(age)).unwrap_or(now)
}
