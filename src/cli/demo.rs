//! `bingrasp demo`: the main job from start to finish.

use super::{Usage, common, dataset, domains, output};
use crate::collect::collect_pairs;
use crate::data::paired::{PairWriter, check};
use crate::env::GraspEnv;
use crate::run::interrupt;
use clap::Parser;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

/// Simulates grasping in many bins, writes a paired dataset, checks it, and draws a contact sheet.
#[derive(clap::Args)]
pub struct Args {
    /// Folder for everything that the demo makes; replaced if it is an earlier demo's
    #[arg(long, value_name = "DIR", default_value = "out/demo")]
    out: PathBuf,
    /// The small form, for checks
    #[arg(long)]
    small: bool,
    #[command(flatten)]
    seed: common::SeedArg,
}

/// `demo` writes what `dataset` would with these words.
#[derive(Parser)]
struct DatasetWords {
    #[command(flatten)]
    generate: dataset::GenerateArgs,
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    dataset::stop_on_interrupt()?;
    let pairs = args.out.join("pairs");
    let sheet = args.out.join("sheet.png");
    if pairs.exists() {
        // Only a dataset of ours is replaced.
        if !pairs.join("dataset.toml").is_file() {
            return Err(Usage(format!("{} is not an earlier demo's; pass another --out", pairs.display())).into());
        }
        std::fs::remove_dir_all(&pairs)?;
    }
    let count = if args.small { 256 } else { 2000 };
    let (seed, out) = (args.seed.seed.to_string(), pairs.display().to_string());
    let words =
        ["demo", "--out", &out, "--count", &count.to_string(), "--size", "128", "--seed", &seed].map(ToOwned::to_owned);
    let words = DatasetWords::try_parse_from(words)?;
    let (env_config, config) = dataset::plan(&words.generate)?;
    output::line(&format!("1. simulating {} bins and writing {count} pairs", env_config.environments))?;
    let start = Instant::now();
    let mut env = GraspEnv::new(env_config)?;
    let writer = PairWriter::create(&pairs, &config)?;
    let bar = output::progress(count, "pairs");
    let ended = collect_pairs(&mut env, crate::sim::policy::PolicyKind::Scripted, writer, &mut |written| {
        bar.set_position(written);
        !interrupt::requested()
    })?;
    bar.finish_and_clear();
    if ended != crate::collect::Ended::Complete {
        eprintln!("interrupted; run the demo again to start over");
        return Ok(ExitCode::from(130));
    }
    let seconds = start.elapsed().as_secs_f64();
    output::line(&format!("   {count} pairs in {seconds:.1} s, {:.0} a second", count as f64 / seconds))?;
    let report = check(&pairs, &|_, _| {})?;
    output::line(&format!("2. checked: {} pairs, {} problems", report.pairs_readable, report.problem_count))?;
    dataset::draw_sheet(&pairs, &sheet, if args.small { 3 } else { 6 })?;
    output::line(&format!("3. contact sheet: {}", sheet.display()))?;
    let picture = args.out.join("domains.png");
    let (moments, size) = if args.small { (2, 128) } else { (4, 224) };
    domains::sheet(&picture, moments, size, args.seed.get())?;
    output::line(&format!("4. the same moments in every domain: {}", picture.display()))?;
    Ok(ExitCode::from(u8::from(!report.is_ok())))
}
