//! `bingrasp demo`: the main job from start to finish.

use super::demo_folder::DemoFolder;
use super::{common, dataset, domains, eval_translation, output, train};
use crate::data::paired::{PairWriter, check};
use crate::env::GraspEnv;
use crate::env::pairs::collect_pairs;
use crate::files::console;
use crate::files::interrupt;
use clap::Parser;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

/// Simulates grasping in many bins, writes a paired dataset, checks it, draws a contact sheet, and trains RCAN on the
/// pairs for a moment.
#[derive(clap::Args)]
pub struct Args {
    /// Folder for everything that the demo makes; replaced only if an earlier demo made all that is in it
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
struct DatasetCommand {
    #[command(flatten)]
    generate: dataset::GenerateArgs,
}

/// `demo` trains as `train rcan` would with these words.
#[derive(Parser)]
struct TrainCommand {
    #[command(flatten)]
    train: train::rcan::Args,
}

/// And judges as `eval translation` would.
#[derive(Parser)]
struct EvalCommand {
    #[command(flatten)]
    eval: eval_translation::Args,
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    dataset::stop_on_interrupt()?;
    let pairs = args.out.join("pairs");
    let rcan = args.out.join("rcan");
    let sheet = args.out.join("sheet.png");
    let place = DemoFolder::begin(&args.out)?;
    let done = simulate(args, &place, &pairs, &sheet).and_then(|done| match done {
        ExitCode::SUCCESS => learn(args, &pairs, &rcan),
        failed => Ok(failed),
    });
    // Also after an error, so that the next demo knows what this one left; the first error is the one that matters.
    let noted = place.note();
    let done = done?;
    noted?;
    Ok(done)
}

/// Pairs, their check and what they look like.
fn simulate(args: &Args, place: &DemoFolder, pairs: &Path, sheet: &Path) -> anyhow::Result<ExitCode> {
    let count = if args.small { 256 } else { 2000 };
    let (seed, out) = (args.seed.seed.to_string(), pairs.display().to_string());
    let argv =
        ["demo", "--out", &out, "--count", &count.to_string(), "--size", "128", "--seed", &seed].map(ToOwned::to_owned);
    let argv = DatasetCommand::try_parse_from(argv)?;
    let (env_config, config) = dataset::plan(&argv.generate)?;
    output::line(&format!("1. simulating {} bins and writing {count} pairs", env_config.num_envs))?;
    let start = Instant::now();
    let mut env = GraspEnv::new(env_config)?;
    let writer = PairWriter::create(pairs, &config)?;
    place.note()?;
    let bar = output::progress(count, "pairs");
    let complete = collect_pairs(&mut env, writer, &mut |written| {
        bar.set_position(written);
        !interrupt::requested()
    })?;
    bar.finish_and_clear();
    if !complete {
        console::remark("interrupted; run the demo again to start over");
        return Ok(ExitCode::from(130));
    }
    let seconds = start.elapsed().as_secs_f64();
    output::line(&format!("   {count} pairs in {seconds:.1} s, {:.0} a second", count as f64 / seconds))?;
    let report = check(pairs, &|_, _| {})?;
    output::line(&format!("2. checked: {} pairs, {} problems", report.pairs_readable, report.problem_count))?;
    dataset::draw_sheet(pairs, sheet, if args.small { 3 } else { 6 })?;
    output::line(&format!("3. contact sheet: {}", sheet.display()))?;
    let picture = args.out.join("domains.png");
    let (moments, size) = if args.small { (2, 128) } else { (4, 224) };
    domains::sheet(&picture, moments, size, args.seed.get())?;
    output::line(&format!("4. the same moments in every domain: {}", picture.display()))?;
    if !report.is_ok() {
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// A short training on the pairs, judged on unseen scenes.
fn learn(args: &Args, pairs: &Path, run: &Path) -> anyhow::Result<ExitCode> {
    let (minutes, frames) = if args.small { ("0.25", "64") } else { ("1.5", "300") };
    let (seed, pairs, out) = (args.seed.seed.to_string(), pairs.display().to_string(), run.display().to_string());
    let argv = ["demo", "--out", &out, "--data", &pairs, "--minutes", minutes, "--seed", &seed];
    output::line(&format!("5. training RCAN on those pairs: bingrasp train rcan {}", argv[1..].join(" ")))?;
    let done = train::run::run(&TrainCommand::try_parse_from(argv)?.train)?.print()?;
    if done != ExitCode::SUCCESS {
        return Ok(done);
    }
    let argv = ["demo", "--generator", &out, "--count", frames, "--seed", &seed];
    output::line(&format!("6. on unseen scenes of test objects: bingrasp eval translation {}", argv[1..].join(" ")))?;
    eval_translation::run(&EvalCommand::try_parse_from(argv)?.eval)
}
