//! `bingrasp train`: learners, from nothing to a run directory with checkpoints, metrics, pictures and a report. Each file
//! here turns the flags of one learner into settings; `run` does the rest.

mod frames;
pub(super) mod qtopt;
pub mod rcan;
mod recording;
pub(super) mod run;

use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    learner: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Train RCAN: translate any look of the scene into the canonical one, with segmentation and depth
    #[command(after_help = "Examples:\n  bingrasp train rcan --out runs/rcan --minutes 20\n  \
                            bingrasp train rcan --out runs/rcan --resume\n  \
                            bingrasp train rcan --out runs/from-disk --data pairs --steps 2000 --json")]
    Rcan(Box<rcan::Args>),
    /// Train QT-Opt: grasp from the camera's images, in the simulator
    #[command(after_help = "Examples:\n  bingrasp train qtopt --out runs/canonical --minutes 90\n  \
                            bingrasp train qtopt --out runs/canonical --resume\n  \
                            bingrasp train qtopt --out runs/heavy --domain randomized-heavy --steps 60000 --json")]
    Qtopt(Box<qtopt::Args>),
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match &args.learner {
        Command::Rcan(args) => run::run(&**args),
        Command::Qtopt(args) => run::run(&**args),
    }
}
