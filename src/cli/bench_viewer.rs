//! `bingrasp bench viewer`: how smooth the window is on this machine.

use super::{output, view};
use crate::viewer::settings::Settings;
use crate::viewer::window;
use clap::Parser;
use serde::Serialize;
use std::process::ExitCode;
use std::time::{Duration, Instant};

#[derive(clap::Args)]
pub struct Args {
    /// How long to measure
    #[arg(long, default_value_t = 8.0)]
    seconds: f64,
    /// Size of the window in points
    #[arg(long, value_name = "WxH", default_value = "1280x720")]
    size: String,
    /// Press random keys and buttons meanwhile, and watch memory
    #[arg(long)]
    random_input: bool,
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
    seconds: f64,
    /// Resident memory after the first picture and at the end.
    memory_start_gib: f64,
    memory_end_gib: f64,
    peak_memory_gib: f64,
    adapter: String,
    threads: usize,
    seed: u64,
}

/// The options of `bingrasp view`, as if typed.
#[derive(Parser)]
struct View {
    #[command(flatten)]
    args: view::Args,
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let started = process_start();
    let words = ["view", "--fresh", "--size", &args.size, "--seed", &args.seed.to_string()].map(str::to_owned);
    let view = View::try_parse_from(words).map_err(|error| super::Usage(error.kind().to_string()))?.args;
    let adapter = crate::render::Gpu::open()?.description.name;
    let options = window::Options {
        size: view.window_size(),
        maximized: false,
        remember: false,
        script: args.random_input.then(|| window::random_input(args.seconds as f32, args.seed)),
        measure: Some(Duration::from_secs_f64(args.seconds.clamp(0.5, 86_400.0))),
    };
    let measured = window::run(move || view::build(&view, &Settings::default()), options)?;
    let first = measured.first_picture.unwrap_or_else(Instant::now);
    let report = Report {
        frames_per_s: measured.frames as f64 / measured.seconds.max(1e-9),
        longest_frame_ms: measured.longest_frame_s * 1e3,
        first_picture_s: first.saturating_duration_since(started).as_secs_f64(),
        window_pixels: measured.window_pixels,
        seconds: measured.seconds,
        memory_start_gib: measured.memory_gib[0],
        memory_end_gib: measured.memory_gib[1],
        peak_memory_gib: output::peak_memory_gib(),
        adapter,
        threads: rayon::current_num_threads(),
        seed: args.seed,
    };
    if args.json {
        output::json(&report)?;
    } else {
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
    }
    Ok(ExitCode::SUCCESS)
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
