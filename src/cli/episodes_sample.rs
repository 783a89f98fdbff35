//! `bingrasp episodes sample`: some episodes of a recording, drawn by a seed, as a recording of its own.

use super::{common, numbers, output};
use crate::cli::UsageError;
use crate::contract::Seed;
use crate::data::episodes::{EpisodeReader, EpisodeWriter, EpisodesConfig};
use crate::files::{console, interrupt};
use anyhow::Context;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Args {
    /// The recording to draw from
    dir: PathBuf,
    /// Folder of the sample; it must be missing or empty, or continue with --resume
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Episodes to draw. A smaller sample of the same seed is part of a larger one
    #[arg(long, value_parser = numbers::whole(numbers::ATTEMPTS))]
    count: u64,
    /// Resume an interrupted sample
    #[arg(long)]
    resume: bool,
    #[command(flatten)]
    seed: common::SeedArg,
    /// One JSON object on standard output
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    out: PathBuf,
    complete: bool,
    episodes: u64,
    of: u64,
    seed: u64,
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    interrupt::install(|| console::remark("stopping after this episode; Ctrl-C again stops at once"))?;
    let Sampled { complete, episodes, of } = sample(&args.dir, &args.out, args.count, args.seed.get(), args.resume)?;
    let report = Report { out: args.out.clone(), complete, episodes, of, seed: args.seed.seed };
    if args.json {
        output::json(&report)?;
    } else if complete {
        output::line(&format!("{} of {of} episodes in {}", args.count, args.out.display()))?;
    }
    if complete {
        return Ok(ExitCode::SUCCESS);
    }
    console::remark("interrupted: go on with the same command and --resume");
    Ok(ExitCode::from(interrupt::EXIT_CODE as u8))
}

/// Draws to the end or to Ctrl-C, and prints nothing; whether it came to its end.
///
/// # Errors
/// As the command.
pub(super) fn written(args: &Args) -> anyhow::Result<bool> {
    Ok(sample(&args.dir, &args.out, args.count, args.seed.get(), args.resume)?.complete)
}

/// What was drawn.
struct Sampled {
    /// False when interrupted.
    complete: bool,
    /// Episodes written, by this process and before it.
    episodes: u64,
    /// Episodes of the recording.
    of: u64,
}

/// Writes `count` episodes of the recording in `dir` into `out`, in their old order.
///
/// # Errors
/// A recording that is missing, damaged, not finished, or has fewer episodes; a folder that is not empty; a full disk.
fn sample(dir: &Path, out: &Path, count: u64, seed: Seed, resume: bool) -> anyhow::Result<Sampled> {
    common::Inputs::default().ours("the recording in", Some(dir)).check_folder(out)?;
    let opening = || format!("opening the episodes in {}", dir.display());
    let reader = EpisodeReader::open(dir).with_context(opening)?;
    let of = reader.len();
    if !(1..=of).contains(&count) {
        let message = format!("--count {count}: the recording in {} has {of} episodes", dir.display());
        return Err(UsageError(message).into());
    }
    let mut numbers: Vec<u64> = (0..of).collect();
    seed.derive("sample", 0).rng().shuffle(&mut numbers);
    numbers.truncate(usize::try_from(count).unwrap_or(usize::MAX));
    numbers.sort_unstable();
    let mut config = EpisodesConfig { count, ..reader.config().clone() };
    config.episodes_per_shard = config.episodes_per_shard.min(count);
    config.generator.insert("sampled_from".to_owned(), i64::try_from(of).unwrap_or(i64::MAX).into());
    config.generator.insert("sample_seed".to_owned(), seed.0.to_string().into());
    let mut writer = if resume { EpisodeWriter::resume(out, &config)? } else { EpisodeWriter::create(out, &config)? };
    let done = usize::try_from(writer.next_episode()).unwrap_or(usize::MAX);
    let bar = output::progress(count, "episodes");
    for number in numbers.into_iter().skip(done) {
        if interrupt::requested() {
            return Ok(Sampled { complete: false, episodes: writer.next_episode(), of });
        }
        writer.write(&reader.read(number).with_context(opening)?)?;
        bar.inc(1);
    }
    writer.finish()?;
    bar.finish_and_clear();
    Ok(Sampled { complete: true, episodes: count, of })
}
