//! `bingrasp train gan` and `bingrasp train cyclegan`: translation between two folders of images, no simulator needed.

use super::run::{RunArgs, TrainCommand};
use crate::cli::common;
use crate::gan::cyclegan::{Method, Preset};
use crate::runs::cyclegan::{CycleGanRun, TwoFolders};
use crate::train::RunConfig;
use std::path::PathBuf;

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub(super) run: RunArgs,
    /// Read images from the folders trainA/ and trainB/ (and testA/, testB/) below this one
    #[arg(long, value_name = "DIR", required_unless_present_any = ["resume", "real"], conflicts_with = "real")]
    data: Option<PathBuf>,
    /// In place of --data: x from the episodes of this run of `train qtopt`
    #[arg(long, value_name = "RUN", requires = "real")]
    init: Option<PathBuf>,
    /// In place of --data: y from this recording (`bingrasp episodes record`)
    #[arg(long, value_name = "DIR", requires = "init")]
    pub(super) real: Option<PathBuf>,
    /// Size: small (64x64, two processor cores) or paper (472x472, the published network)
    #[arg(long, value_name = "PRESET", conflicts_with = "real")]
    size_preset: Option<Preset>,
    /// Edge of the square images, pixels [default: 64, paper 472]
    #[arg(long, conflicts_with = "real")]
    size: Option<usize>,
    /// Images of each folder in a step [default: 8]
    #[arg(long)]
    batch: Option<usize>,
}

impl Args {
    /// The flags of a run between a simulator and a recording.
    pub(super) fn to_joint(&self) -> super::rl_cyclegan::Args {
        super::rl_cyclegan::Args {
            run: self.run.clone(),
            init: self.init.clone(),
            real: self.real.clone(),
            batch: self.batch,
            end_to_end_gradients: false,
        }
    }
}

/// One of the two methods, with its flags.
pub struct Command<'a> {
    pub method: Method,
    pub args: &'a Args,
}

impl TrainCommand for Command<'_> {
    type Setup = TwoFolders;

    fn run_args(&self) -> &RunArgs {
        &self.args.run
    }

    fn setup(&self) -> TwoFolders {
        TwoFolders { method: self.method, preset: self.args.size_preset.unwrap_or_default(), size: self.args.size }
    }

    fn apply(&self, config: &mut CycleGanRun) -> anyhow::Result<()> {
        let RunConfig { data, learner, .. } = config;
        learner.preset = self.args.size_preset.unwrap_or(learner.preset);
        learner.size = self.args.size.unwrap_or(learner.size);
        learner.batch = self.args.batch.unwrap_or(learner.batch);
        if let Some(root) = &self.args.data {
            data.root = common::absolute(root);
        }
        Ok(())
    }
}
