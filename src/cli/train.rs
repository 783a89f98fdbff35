//! `bingrasp train`: learners, from nothing to a run directory with checkpoints, figures, pictures and a report.

pub mod rcan;
mod source;

use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    learner: Learner,
}

#[derive(clap::Subcommand)]
enum Learner {
    /// RCAN: translates any look of the scene into the canonical one, with segmentation and depth
    #[command(after_help = "Examples:\n  bingrasp train rcan --out runs/rcan --minutes 20\n  \
                            bingrasp train rcan --out runs/rcan --resume\n  \
                            bingrasp train rcan --out runs/from-disk --data pairs --steps 2000 --json")]
    Rcan(Box<rcan::Args>),
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match &args.learner {
        Learner::Rcan(args) => rcan::run(args),
    }
}
