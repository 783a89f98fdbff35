//! `bingrasp train ppo`.

use super::run::{RunArgs, TrainCommand};
use crate::cli::common::EnvArgs;
use crate::contract::TaskKind;
use crate::runs::ppo::{Ppo, PpoRun};

#[derive(clap::Args, Clone, Default)]
pub struct Args {
    #[command(flatten)]
    pub run: RunArgs,
    /// Task: pose-grasp (three relative poses, equation 1's reward, a kinematic hand) or bin-grasp (QT-Opt's)
    /// [default: pose-grasp]
    #[arg(long)]
    pub task: Option<TaskKind>,
    #[command(flatten)]
    pub env: EnvArgs,
}

impl TrainCommand for Args {
    type Setup = Ppo;

    fn run_args(&self) -> &RunArgs {
        &self.run
    }

    fn setup(&self) -> Ppo {
        Ppo { task: self.task.unwrap_or(TaskKind::PoseGrasp) }
    }

    fn apply(&self, config: &mut PpoRun) -> anyhow::Result<()> {
        config.data.task = self.task.unwrap_or(config.data.task);
        self.env.apply(&mut config.data.env)
    }
}
