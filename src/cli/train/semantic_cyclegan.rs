//! `bingrasp train semantic-cyclegan`: translation of RGB-D images between a simulation and a reality, with a segmentation
//! of both, from two unpaired sets of images.

use super::run::{RunArgs, TrainCommand};
use crate::cli::common;
use crate::runs::semantic_cyclegan::{Semantic, SemanticRun};
use crate::train::RunConfig;
use std::path::PathBuf;

/// A loss to leave out.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Term {
    /// G does not learn from labels; the discriminators still learn to segment
    Semantic,
    /// Translations are not held close to what they were made from
    Identity,
}

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub run: RunArgs,
    /// Read simulated images (x) with their classes from this dataset, made with --sensed-depth
    #[arg(long, value_name = "DIR", required_unless_present = "resume")]
    simulation: Option<PathBuf>,
    /// Read real images (y) from this dataset, made with --sensed-depth, or from the folders rgb/ and depth/ below this one;
    /// no label of them is opened
    #[arg(long, value_name = "DIR", required_unless_present = "resume")]
    reality: Option<PathBuf>,
    /// Images of each side in a step [default: 2]
    #[arg(long)]
    batch: Option<usize>,
    /// Pass over both sets this many times, instead of --steps
    #[arg(long, conflicts_with_all = ["steps", "resume"])]
    epochs: Option<u64>,
    /// Leave out a loss (ablation); may be repeated
    #[arg(long, value_name = "LOSS")]
    without: Vec<Term>,
}

impl TrainCommand for Args {
    type Setup = Semantic;

    fn run_args(&self) -> &RunArgs {
        &self.run
    }

    fn setup(&self) -> Semantic {
        Semantic { epochs: self.epochs }
    }

    fn apply(&self, config: &mut SemanticRun) -> anyhow::Result<()> {
        let RunConfig { data, learner, .. } = config;
        learner.batch = self.batch.unwrap_or(learner.batch);
        for term in &self.without {
            match term {
                Term::Semantic => learner.weights.semantic = 0.0,
                Term::Identity => learner.weights.identity = 0.0,
            }
        }
        for (folder, flag) in [(&mut data.simulation, &self.simulation), (&mut data.reality, &self.reality)] {
            if let Some(flag) = flag {
                *folder = common::absolute(flag);
            }
        }
        Ok(())
    }
}
