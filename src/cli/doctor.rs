//! `bingrasp doctor`: what this machine offers, and the cure for what is missing.

use super::{common, output};
use crate::contract::{Domain, Seed};
use crate::draw::save_picture;
use crate::env::{EnvConfig, GraspEnv};
use crate::objects::{ObjectSet, Split};
use crate::render::{AdapterDescription, Gpu};
use serde::Serialize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

/// Says which graphics adapter is used, renders a probe with it, and names the cure for what is missing.
#[derive(clap::Args)]
pub struct Args {
    /// Write the rendered probe as a PNG
    #[arg(long, value_name = "FILE")]
    probe: Option<PathBuf>,
    /// One JSON object on standard output
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    version: &'static str,
    adapter: AdapterDescription,
    clip_distances: bool,
    largest_picture: u32,
    threads: usize,
    avx512: bool,
    memory_gib: f64,
    memory_free_gib: f64,
    probe_ms: f64,
    probe_colours: usize,
    advice: Vec<String>,
}

/// Edge of the probe, pixels.
const PROBE_SIZE: u32 = 128;

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if let Some(path) = &args.probe {
        common::Inputs::default().check_picture("--probe", path)?;
    }
    let gpu = Gpu::open()?;
    let start = Instant::now();
    let objects = ObjectSet::builtin().split(Split::Train);
    let cell = common::load_cell(common::CELL)?;
    let config = EnvConfig::new(&cell, objects, Domain::RandomizedHeavy, (1, PROBE_SIZE), Seed(7));
    let mut env = GraspEnv::with_gpu(config, Some(gpu.clone()))?;
    let rgb = env.reset_all()?.observation.images;
    let probe_ms = start.elapsed().as_secs_f64() * 1e3;
    let mut colours: Vec<&[u8]> = rgb.chunks_exact(3).collect();
    colours.sort_unstable();
    colours.dedup();
    let mut advice = Vec::new();
    if gpu.description.software {
        advice.push("rendering runs on the CPU: a GPU with a Vulkan driver would be much faster".to_owned());
    }
    if colours.len() < 100 {
        advice.push(format!(
            "the probe shows only {} colours: the driver renders wrongly; update it or choose another adapter with BINGRASP_ADAPTER",
            colours.len()
        ));
    }
    let avx512 = avx512();
    if !avx512 {
        advice.push("this processor has no AVX-512: training runs at about half the speed per core".to_owned());
    }
    let (memory_gib, memory_free_gib) = memory();
    if memory_free_gib < 2.0 && memory_gib > 0.0 {
        advice.push("less than 2 GiB of memory is free: use fewer environments (--num-envs 16)".to_owned());
    }
    let report = Report {
        version: env!("CARGO_PKG_VERSION"),
        clip_distances: gpu.device.features().contains(wgpu::Features::CLIP_DISTANCES),
        largest_picture: gpu.device.limits().max_texture_dimension_2d,
        adapter: gpu.description.clone(),
        threads: rayon::current_num_threads(),
        avx512,
        memory_gib,
        memory_free_gib,
        probe_ms,
        probe_colours: colours.len(),
        advice,
    };
    if let Some(path) = &args.probe {
        save_picture(path, &rgb, PROBE_SIZE as usize, PROBE_SIZE as usize)?;
    }
    if args.json {
        output::json(&report)?;
    } else {
        print(&report)?;
    }
    Ok(ExitCode::from(u8::from(report.probe_colours < 100)))
}

fn print(report: &Report) -> anyhow::Result<()> {
    let kind = if report.adapter.software { "software" } else { "hardware" };
    let lines = [
        ("bingrasp", report.version.to_owned()),
        ("adapter", format!("{} ({kind}, {})", report.adapter.name, report.adapter.backend)),
        ("driver", report.adapter.driver.clone()),
        ("largest picture", format!("{0} x {0} pixels", report.largest_picture)),
        ("threads", format!("{}{}", report.threads, if report.avx512 { ", AVX-512" } else { "" })),
        ("memory", format!("{:.1} GiB, {:.1} free", report.memory_gib, report.memory_free_gib)),
        ("probe", format!("one 128x128 picture in {:.0} ms, {} colours", report.probe_ms, report.probe_colours)),
    ];
    for (name, value) in lines {
        output::line(&format!("{name:>16}  {value}"))?;
    }
    for advice in &report.advice {
        output::line(&format!("{:>16}  {advice}", "note"))?;
    }
    output::line(&format!("{:>16}  {}", "verdict", if report.probe_colours < 100 { "broken" } else { "ready" }))
}

#[cfg(target_arch = "x86_64")]
fn avx512() -> bool {
    std::arch::is_x86_feature_detected!("avx512f")
}

#[cfg(not(target_arch = "x86_64"))]
fn avx512() -> bool {
    false
}

/// Total and available memory in GiB; zeros where the system does not tell.
fn memory() -> (f64, f64) {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let field = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name))
            .and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse::<f64>().ok())
            .map_or(0.0, |kib| kib / 1024.0 / 1024.0)
    };
    (field("MemTotal:"), field("MemAvailable:"))
}
