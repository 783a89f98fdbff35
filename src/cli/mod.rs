//! The command line: one file a command. Words are parsed and checked first, then acted upon.
//!
//! Exit codes: 0 success, 1 failure, 2 wrong usage, 130 interrupted.

mod bench;
mod bench_qtopt;
mod bench_soak;
mod bench_train;
#[cfg(feature = "viewer")]
mod bench_viewer;
mod cells;
mod common;
mod dataset;
mod demo;
mod demo_folder;
mod doctor;
mod domains;
mod episodes;
mod episodes_export;
mod episodes_sample;
mod eval;
mod eval_q;
mod eval_semantic;
mod eval_servo;
mod eval_translation;
mod eval_unpaired;
#[cfg(feature = "viewer")]
mod generator;
mod grasp_sheet;
mod learned;
mod limits;
mod numbers;
mod object_sheet;
mod objects;
mod output;
#[cfg(feature = "viewer")]
mod pilot;
mod progress;
mod reproduce;
mod reproduce_servo;
mod servo_pictures;
#[cfg(feature = "viewer")]
mod servo_pilot;
mod servo_trials;
mod train;
mod translate;
mod translate_rgbd;
#[cfg(feature = "viewer")]
mod view;

use crate::files::{console, interrupt};
use crate::runs::{UsageError, agent, pair_agent, rgbd};
use clap::{Parser, Subcommand};
use std::process::ExitCode;
use std::time::Instant;

/// Simulates a robot grasping from a bin, renders it in several visual domains at once, and trains sim-to-real learners
/// on the frames.
#[derive(Parser)]
#[command(name = "bingrasp", version, propagate_version = true, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the main job from start to finish in a few minutes: simulate, write a paired dataset, check it, draw it
    #[command(after_help = "Example: bingrasp demo --out out/demo")]
    Demo(demo::Args),
    /// Generate, check or draw a paired randomized/canonical dataset
    #[command(
        after_help = "Example: bingrasp dataset generate --out pairs --count 4000 --size 64 --domain randomized-heavy"
    )]
    Dataset(dataset::Args),
    /// Record, check, draw or export episodes of a policy: a learner's off-policy data
    #[command(after_help = "Example: bingrasp episodes record --out real --domain reality --count 5000")]
    Episodes(episodes::Args),
    /// Open a window to watch, drive and take apart the grasping cell
    #[cfg(feature = "viewer")]
    #[command(after_help = "Examples: bingrasp view --domain reality --policy oracle\n          \
        bingrasp view --screenshot cell.png --ticks 600   (needs no display)")]
    View(Box<view::Args>),
    /// List, print and check robot cells
    #[command(after_help = "Example: bingrasp cells show iiwa-bin > mine.toml")]
    Cells(cells::Args),
    /// Generate, list, draw, export and import objects
    #[command(after_help = "Example: bingrasp objects sheet --objects test --out objects.png")]
    Objects(objects::Args),
    /// Train a learner on the simulator's frames or on a data set
    #[command(after_help = "Example: bingrasp train rcan --out runs/rcan --minutes 20")]
    Train(train::Args),
    /// Apply a trained generator to a folder of images
    #[command(after_help = "Example: bingrasp translate --generator runs/rcan photos translated")]
    Translate(translate::Args),
    /// Measure policies and generators by fixed protocols
    #[command(after_help = "Example: bingrasp eval grasp --policy oracle --objects test --attempts 500 --json")]
    Eval(eval::Args),
    /// Repeat a paper's experiment with `reality` in the place of the robot
    #[command(after_help = "Example: bingrasp reproduce rcan-table1 --out runs/table1 --canonical runs/canonical")]
    Reproduce(reproduce::Args),
    /// Measure the speed and soundness of this machine's simulator and renderer
    #[command(after_help = "Example: bingrasp bench capture --size 64 --num-envs 64 --json")]
    Bench(bench::Args),
    /// Say what this machine offers, and what is missing
    #[command(after_help = "Example: bingrasp doctor --probe probe.png")]
    Doctor(doctor::Args),
}

/// What is wrong with a word that is not UTF-8, where settings or JSON would have to hold it.
fn unwritable_word() -> Option<String> {
    let words: Vec<std::ffi::OsString> = std::env::args_os().skip(1).collect();
    let needs_text = words.iter().any(|word| ["train", "reproduce", "--json"].iter().any(|known| word == known));
    let word = words.iter().find(|word| word.to_str().is_none()).filter(|_| needs_text)?;
    Some(format!("'{}' is not UTF-8, as settings and JSON are; rename the file or folder", word.display()))
}

/// Runs the program on the process's arguments.
pub fn main() -> ExitCode {
    let started = Instant::now();
    crate::files::memory::keep_freed_memory();
    let cli = Cli::parse();
    if let Some(message) = unwritable_word() {
        console::remark(format_args!("error: {message}"));
        return ExitCode::from(2);
    }
    limits::prepare();
    // Its text says how far it is: without a reader the work is still to be done.
    let works_on = matches!(cli.command, Command::Demo(_));
    let result = match cli.command {
        _ if unwritable_word().is_some() => Err(UsageError(unwritable_word().unwrap_or_default()).into()),
        Command::Demo(args) => demo::run(&args),
        Command::Dataset(args) => dataset::run(&args),
        Command::Episodes(args) => episodes::run(&args),
        #[cfg(feature = "viewer")]
        Command::View(args) => view::run(&args),
        Command::Cells(args) => cells::run(&args),
        Command::Objects(args) => objects::run(&args),
        Command::Train(args) => train::run(&args),
        Command::Translate(args) => translate::run(&args),
        Command::Eval(args) => eval::run(&args),
        Command::Reproduce(args) => reproduce::run(&args),
        Command::Bench(args) => bench::run(&args, started),
        Command::Doctor(args) => doctor::run(&args),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            // A reader that has seen enough (`| head`) is no failure.
            let broken_pipe =
                error.downcast_ref::<std::io::Error>().is_some_and(|io| io.kind() == std::io::ErrorKind::BrokenPipe);
            if broken_pipe && !works_on {
                return ExitCode::SUCCESS;
            }
            if let Some(interrupted) = error.downcast_ref::<interrupt::Interrupted>() {
                console::remark(interrupted);
                return ExitCode::from(interrupt::EXIT_CODE as u8);
            }
            console::remark(format_args!("error: {}", console::with_causes(error.chain())));
            ExitCode::from(if error.is::<UsageError>() { 2 } else { 1 })
        }
    }
}
