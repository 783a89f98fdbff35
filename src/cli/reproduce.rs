//! `bingrasp reproduce`: a paper's table or figure, row by row, from runs that are kept, shared and resumed.

mod ablations;
pub(super) mod plan;
mod rcan;
mod rl_cyclegan;
mod rl_figure4;
mod rl_robot2;
mod tables;

use super::reproduce_servo;
use std::process::ExitCode;

/// Nodes of the graph and their results lie in this folder of `--out`.
const RUNS: &str = "runs";
const RESULT_NAME: &str = "result.json";

#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Args)]
struct Table4Args {
    #[command(flatten)]
    table: rl_cyclegan::Args,
    #[command(flatten)]
    generator: tables::GeneratorArgs,
}

#[derive(clap::Args)]
struct RlFigure4Args {
    #[command(flatten)]
    table: rl_cyclegan::Args,
    /// States to judge
    #[arg(long, default_value_t = 400, conflicts_with = "quick", value_parser = super::numbers::count(1..=100_000))]
    frames: usize,
}

const GOES_ON: &str = "The same command resumes where it was interrupted and keeps the rows that are finished.";

#[derive(clap::Subcommand)]
enum What {
    /// RCAN, table 1: agents trained on canonical, randomized and translated pictures, in their own simulation and in `reality`,
    /// a simulated stand-in for the paper's robots, before and after joint finetuning
    #[command(after_help = format!(
        "Example: bingrasp reproduce rcan-table1 --out runs/table1 --canonical runs/canonical --generator runs/rcan\n{GOES_ON}"
    ))]
    RcanTable1(Box<rcan::Args>),
    /// RCAN, figure 4: success in `reality` against grasps of joint finetuning, for RCAN and for mild randomization
    #[command(after_help = format!(
        "Example: bingrasp reproduce rcan-figure4 --out runs/figure4 --canonical runs/canonical --generator runs/rcan\n{GOES_ON}"
    ))]
    RcanFigure4(Box<rcan::Figure4Args>),
    /// RCAN without its GAN, without segmentation and depth, and with other image losses: translations, and what the canonical
    /// agent grasps through them
    #[command(after_help = format!(
        "Example: bingrasp reproduce rcan-ablations --out runs/ablations --canonical runs/canonical\n{GOES_ON}"
    ))]
    RcanAblations(Box<rcan::AblationArgs>),
    /// RL-CycleGAN, table 1: what agents come to in `reality` that learned on pictures of the simulator as they are,
    /// randomized, or translated by GAN, CycleGAN, GraspGAN and RL-CycleGAN
    #[command(
        name = "rl-cyclegan-table1",
        after_help = format!(
            "Example: bingrasp reproduce rl-cyclegan-table1 --out runs/rl-table1 --canonical runs/canonical\n{GOES_ON}"
        )
    )]
    RlCycleganTable1(Box<rl_cyclegan::Args>),
    /// RL-CycleGAN, figure 4: the same states through all four translations, with what vanished and what was invented circled;
    /// its runs are those of rl-cyclegan-table1 with the same flags
    #[command(
        name = "rl-cyclegan-figure4",
        after_help = format!(
            "Example: bingrasp reproduce rl-cyclegan-figure4 --out runs/rl-table1 --canonical runs/canonical\n{GOES_ON}"
        )
    )]
    RlCycleganFigure4(Box<RlFigure4Args>),
    /// RL-CycleGAN, table 2: real episodes alone, and with GraspGAN and RL-CycleGAN, by their amount
    #[command(
        name = "rl-cyclegan-table2",
        after_help = format!(
            "Example: bingrasp reproduce rl-cyclegan-table2 --out runs/rl-table2 --canonical runs/canonical\n{GOES_ON}"
        )
    )]
    RlCycleganTable2(Box<rl_cyclegan::Args>),
    /// RL-CycleGAN, table 3: Robot 2 before one bin and several, the simulator with real episodes against RL-CycleGAN
    #[command(
        name = "rl-cyclegan-table3",
        after_help = format!("Example: bingrasp reproduce rl-cyclegan-table3 --out runs/rl-table3\n{GOES_ON}")
    )]
    RlCycleganTable3(Box<rl_cyclegan::Args>),
    /// RL-CycleGAN, table 4: on-policy finetuning in `reality`, beside RCAN's
    #[command(
        name = "rl-cyclegan-table4",
        after_help = format!(
            "Example: bingrasp reproduce rl-cyclegan-table4 --out runs/rl-table4 --canonical runs/canonical --generator \
             runs/rcan\n{GOES_ON}"
        )
    )]
    RlCycleganTable4(Box<Table4Args>),
    /// RL-CycleGAN, table 6: Robot 2, the weight of the loss on real episodes
    #[command(
        name = "rl-cyclegan-table6",
        after_help = format!("Example: bingrasp reproduce rl-cyclegan-table6 --out runs/rl-table6\n{GOES_ON}")
    )]
    RlCycleganTable6(Box<rl_cyclegan::Args>),
    /// Figures 6 to 11 of reach, then servo (PPO pose agent, semantic CycleGAN, visual servoing), in `reality`, a simulated
    /// stand-in for the paper's robot
    #[command(after_help = "Examples:\n  bingrasp reproduce servo-figures --out runs/servo\n  \
                            bingrasp reproduce servo-figures --out runs/servo-quick --quick\n\
                            The same command resumes where it was interrupted; what is finished is kept.")]
    ServoFigures(reproduce_servo::Args),
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match &args.what {
        What::RcanTable1(args) => rcan::table1(args),
        What::RcanFigure4(args) => rcan::figure4(args),
        What::RcanAblations(args) => rcan::ablation(args),
        What::RlCycleganTable1(args) => rl_cyclegan::table1(args),
        What::RlCycleganFigure4(args) => rl_cyclegan::figure4(&args.table, args.frames),
        What::RlCycleganTable2(args) => rl_cyclegan::table2(args),
        What::RlCycleganTable3(args) => rl_robot2::table3(args),
        What::RlCycleganTable4(args) => rl_cyclegan::table4(&args.table, &args.generator),
        What::RlCycleganTable6(args) => rl_robot2::table6(args),
        What::ServoFigures(args) => reproduce_servo::run(args),
    }
}
