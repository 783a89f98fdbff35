//! `bingrasp episodes export`: a recording as a dataset of another program.

use super::{common, output};
use crate::data::episodes::EpisodeReader;
use crate::data::lerobot;
use crate::files::console;
use crate::files::interrupt;
use anyhow::Context;
use serde::Serialize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

pub const EXAMPLES: &str = "Example: bingrasp episodes export real --format lerobot --out real-lerobot\n\
    Then in Python: LeRobotDataset(\"local/real\", root=\"real-lerobot\")";

#[derive(clap::Args)]
pub struct Args {
    /// Folder of the recording
    #[arg(value_name = "RECORDING")]
    recording: PathBuf,
    /// Format of the dataset
    #[arg(long, value_enum, default_value_t = Format::Lerobot)]
    format: Format,
    /// Folder of the dataset; it must be missing or empty
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// One JSON object on standard output
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Format {
    /// LeRobot's dataset format v3.0, images inside the Parquet files
    Lerobot,
}

#[derive(Serialize)]
struct Report {
    recording: PathBuf,
    out: PathBuf,
    format: Format,
    format_version: &'static str,
    /// Whether the recording has all its episodes.
    complete: bool,
    episodes: u64,
    frames: u64,
    successes: u64,
    fps: u32,
    data_bytes: u64,
    seconds: f64,
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let Args { recording, format, out, json } = args;
    common::Inputs::default().ours("the recording in", Some(recording)).check_new_folder(out)?;
    let reader =
        EpisodeReader::open(recording).with_context(|| format!("opening the episodes in {}", recording.display()))?;
    interrupt::install(|| console::remark("stopping; Ctrl-C again stops at once"))?;
    let bar = output::progress(reader.len(), "episodes");
    let start = Instant::now();
    let mut should_continue = |done: u64| {
        bar.set_position(done);
        !interrupt::requested()
    };
    let exported = match format {
        Format::Lerobot => lerobot::export(&reader, out, &mut should_continue),
    };
    bar.finish_and_clear();
    let Some(exported) = exported.with_context(|| format!("exporting {}", recording.display()))? else {
        console::remark("interrupted: nothing was written");
        return Ok(ExitCode::from(interrupt::EXIT_CODE as u8));
    };
    let report = Report {
        recording: recording.clone(),
        out: out.clone(),
        format: *format,
        format_version: lerobot::VERSION,
        complete: reader.is_complete(),
        episodes: exported.episodes,
        frames: exported.frames,
        successes: exported.successes,
        fps: lerobot::FPS,
        data_bytes: exported.bytes,
        seconds: start.elapsed().as_secs_f64(),
    };
    if !report.complete {
        let expected = reader.config().count;
        console::remark(format_args!(
            "note: the recording is not complete; {} of {expected} episodes were exported",
            report.episodes
        ));
    }
    if *json {
        output::json(&report)?;
    } else {
        output::line(&format!(
            "{} episodes, {} frames, {:.1} MB in {:.1} s in {}",
            report.episodes,
            report.frames,
            report.data_bytes as f64 / 1e6,
            report.seconds,
            out.display()
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}
