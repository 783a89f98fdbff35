//! Trains RCAN from a program of one's own, as `bingrasp train rcan` does, and prints how far it is:
//!
//!     cargo run --release --example train -- runs/from-rust
//!
//! The run is like any other: `bingrasp train rcan --out runs/from-rust --resume` resumes it.

use bingrasp::files::{interrupt, memory};
use bingrasp::nn::DeviceSpec;
use bingrasp::runs::rcan::Rcan;
use bingrasp::runs::{Start, settings, train};
use bingrasp::train::{Limits, Progress, TrainCallback};
use std::path::PathBuf;

/// Prints every fifth step.
struct Printed;

impl TrainCallback for Printed {
    /// Ctrl-C saves a checkpoint and stops.
    fn should_continue(&mut self) -> bool {
        !interrupt::requested()
    }

    fn progress(&mut self, progress: &Progress<'_>) {
        if progress.step.is_multiple_of(5) {
            println!("step {}: loss {:.3}", progress.step, progress.metric("loss/total"));
        }
    }
}

fn main() -> anyhow::Result<()> {
    memory::keep_freed_memory();
    interrupt::install(|| eprintln!("saving a checkpoint"))?;
    let out = std::env::args().nth(1).map_or_else(|| PathBuf::from("runs/from-rust"), PathBuf::from);
    let (setup, start) = (Rcan::default(), Start { out, ..Start::default() });
    let config = settings(&setup, &start, Limits { steps: Some(20), minutes: None }, |config| {
        config.seed = 7;
        config.data.env.num_envs = 8;
        config.learner.batch = 4;
        Ok(())
    })?;
    let (outcome, report) = train(&setup, &start, &config, &DeviceSpec::Cpu, &mut Printed, |_, _, report| Ok(report))?;
    println!("{} steps; report: {}", outcome.steps, report.display());
    Ok(())
}
