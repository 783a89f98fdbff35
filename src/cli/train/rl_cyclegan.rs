//! `bingrasp train rl-cyclegan` and `train graspgan`, and `train gan` and `train cyclegan` on the same data: translation
//! between the simulator of a finished QT-Opt run and a recording.

use super::run::{RunArgs, TrainCommand};
use crate::cli::common;
use crate::gan::cyclegan::Method;
use crate::runs::rl_cyclegan::{Joint, JointRun, take_settings};
use std::path::PathBuf;

#[derive(clap::Args, Clone, Default)]
pub struct Args {
    #[command(flatten)]
    pub run: RunArgs,
    /// The run of `train qtopt` that acts in the simulator: Q_sim and Q_real begin with its network, and x is drawn from its
    /// episodes (graspgan: from new ones by its policy and the script, with masks)
    #[arg(long, value_name = "RUN", required_unless_present = "resume")]
    pub init: Option<PathBuf>,
    /// The recording of the domain to transfer to (`bingrasp episodes record`): y
    #[arg(long, value_name = "DIR", required_unless_present = "resume")]
    pub real: Option<PathBuf>,
    /// Images of each domain in a step [default: 8]
    #[arg(long)]
    pub batch: Option<usize>,
    /// Let Q's own loss on translated images teach the generators too, in place of the Q-functions alone: the failure that
    /// RL-CycleGAN's appendix describes
    #[arg(long)]
    pub end_to_end_gradients: bool,
}

/// One of the four methods, with its flags.
pub struct Command<'a> {
    pub method: Method,
    pub args: &'a Args,
}

impl TrainCommand for Command<'_> {
    type Setup = Joint;

    fn run_args(&self) -> &RunArgs {
        &self.args.run
    }

    fn setup(&self) -> Joint {
        Joint { method: self.method }
    }

    fn names_recordings(&self) -> [bool; 2] {
        [false, self.args.real.is_some()]
    }

    fn apply(&self, config: &mut JointRun) -> anyhow::Result<()> {
        if let Some(init) = &self.args.init {
            config.data.init = common::absolute(init);
            if !self.args.run.resume {
                take_settings(config, self.method)?;
            }
        }
        if let Some(real) = &self.args.real {
            config.data.real = common::absolute(real);
        }
        config.learner.gan.batch = self.args.batch.unwrap_or(config.learner.gan.batch);
        if self.args.end_to_end_gradients {
            config.learner.scene.end_to_end_weight = 1.0;
        }
        Ok(())
    }
}
