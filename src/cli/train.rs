//! `bingrasp train`: learners, from nothing to a run directory with checkpoints, metrics, pictures and a report. Each file
//! here turns the flags of one learner into settings; `run` and the room `runs` do the rest.

mod cyclegan;
pub(super) mod ppo;
pub(super) mod qtopt;
pub mod rcan;
pub(super) mod rl_cyclegan;
pub(super) mod run;
pub(super) mod semantic_cyclegan;

use crate::gan::cyclegan::Method;
use crate::runs::rl_cyclegan::is_joint_run;
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
    /// Train PPO: relative grasp poses from RGB-D images, in the simulator
    #[command(after_help = "Examples:\n  bingrasp train ppo --out runs/ppo\n  \
                            bingrasp train ppo --out runs/ppo --resume\n  \
                            bingrasp train ppo --out runs/bin --task bin-grasp --minutes 30 --json\n\
                            A step is an update, from ppo.num_envs x ppo.num_steps decisions.")]
    Ppo(Box<ppo::Args>),
    /// Train a GAN: translate images of one folder into the look of another
    #[command(after_help = "Example: bingrasp train gan --data photos --out runs/gan --steps 8000\n\
                            photos/trainA and photos/trainB hold images of any size and shape.")]
    Gan(Box<cyclegan::Args>),
    /// Train a CycleGAN: translate between two folders of images, both ways
    #[command(after_help = "Examples:\n  bingrasp train cyclegan --data photos --out runs/cyclegan --steps 8000\n  \
                            bingrasp train cyclegan --out runs/cyclegan --resume\n\
                            photos/trainA and photos/trainB hold images of any size and shape.")]
    Cyclegan(Box<cyclegan::Args>),
    /// Train GraspGAN: translate the simulator to a recording, with the losses of a grasp network
    #[command(after_help = "Example: bingrasp train graspgan --init runs/canonical --real real --out runs/graspgan")]
    Graspgan(Box<rl_cyclegan::Args>),
    /// Train RL-CycleGAN: a CycleGAN between the simulator and a recording that leaves Q-values alone, and Q with it
    #[command(
        name = "rl-cyclegan",
        after_help = "Examples:\n  \
                            bingrasp episodes record --out real --domain reality --count 5000\n  \
                            bingrasp train rl-cyclegan --init runs/canonical --real real --out runs/rl-cyclegan\n  \
                            bingrasp train qtopt --init runs/canonical --generator runs/rl-cyclegan --real real --out \
                            runs/final"
    )]
    RlCyclegan(Box<rl_cyclegan::Args>),
    /// Train a semantic CycleGAN: translate RGB-D images between simulation and reality, and segment both
    #[command(
        after_help = "Examples:\n  bingrasp dataset generate --out sim --domain canonical --sensed-depth --count 655\n  \
                            bingrasp dataset generate --out real --domain reality --sensed-depth --count 655 --seed 1\n  \
                            bingrasp train semantic-cyclegan --simulation sim --reality real --out runs/semantic --epochs 60\n\
                            Images of one's own lie in rgb/ and depth/ (16-bit PNG, millimetres) under the same names."
    )]
    SemanticCyclegan(Box<semantic_cyclegan::Args>),
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    to_end(args)?.print()
}

/// Trains to the end or to Ctrl-C, and prints nothing.
///
/// # Errors
/// Usage errors, failures of simulator, device and disk.
pub(super) fn to_end(args: &Args) -> anyhow::Result<run::Finished> {
    match &args.learner {
        Command::Rcan(args) => run::run(&**args),
        Command::Qtopt(args) => run::run(&**args),
        Command::Ppo(args) => run::run(&**args),
        Command::Gan(args) => translation(Method::Gan, args),
        Command::Cyclegan(args) => translation(Method::CycleGan, args),
        Command::Graspgan(args) => run::run(&rl_cyclegan::Command { method: Method::GraspGan, args }),
        Command::RlCyclegan(args) => run::run(&rl_cyclegan::Command { method: Method::RlCycleGan, args }),
        Command::SemanticCyclegan(args) => run::run(&**args),
    }
}

/// A GAN or CycleGAN: between two folders, or between a run's simulator and a recording.
fn translation(method: Method, args: &cyclegan::Args) -> anyhow::Result<run::Finished> {
    let joint = args.real.is_some() || (args.run.resume && is_joint_run(&args.run.out));
    if joint {
        let args = args.to_joint();
        return run::run(&rl_cyclegan::Command { method, args: &args });
    }
    run::run(&cyclegan::Command { method, args })
}
