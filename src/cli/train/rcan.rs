//! `bingrasp train rcan`.

use super::run::{RunArgs, TrainCommand};
use crate::cli::common::{EnvArgs, set_paths};
use crate::gan::rcan::{ImageLoss, Preset, RcanConfig};
use crate::runs::rcan::Rcan;
use crate::train::RunConfig;
use std::path::PathBuf;

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub(super) run: RunArgs,
    /// Size: small (64x64, two processor cores) or paper (472x472, the published network)
    #[arg(long, value_name = "PRESET")]
    size_preset: Option<Preset>,
    /// Take frames from a dataset in place of the live simulator
    #[arg(long, value_name = "DIR", conflicts_with_all = ["domain", "cell", "objects"])]
    data: Option<PathBuf>,
    /// Let the agent of a run of `train qtopt` play in the live simulator, with the noise that it explores with: the pairs show
    /// what agents do, closing, lifting, empty jaws. It looks at the domain that it was trained in [default: scripts]
    #[arg(long, value_name = "RUN", conflicts_with = "data")]
    policy: Option<PathBuf>,
    /// The part of the environments that --policy plays in, above 0 and at most 1; the scripts play in the others [default: 1]
    #[arg(long, value_name = "SHARE", requires = "policy")]
    policy_share: Option<f64>,
    /// Images a step [default: 8, paper 16]
    #[arg(long)]
    batch: Option<usize>,
    /// Image loss: l1, l2 or mpse (mean pairwise squared error) [default: mpse]
    #[arg(long)]
    image_loss: Option<ImageLoss>,
    /// Train on what measurements are made with: a stand-in for reality, or test objects
    #[arg(long)]
    allow_evaluation_data: bool,
    /// Leave out the adversary
    #[arg(long)]
    no_gan: bool,
    /// Leave out segmentation and depth
    #[arg(long)]
    no_auxiliaries: bool,
    /// Draw randomized pictures without a camera's lens, shade, noise, blur and compression, as the paper does
    #[arg(long, conflicts_with = "data")]
    no_camera_effects: bool,
    #[command(flatten)]
    env: EnvArgs,
}

impl TrainCommand for Args {
    type Setup = Rcan;

    fn run_args(&self) -> &RunArgs {
        &self.run
    }

    fn setup(&self) -> Rcan {
        let preset = self.size_preset.unwrap_or_default();
        Rcan { preset, allow_evaluation_data: self.allow_evaluation_data }
    }

    fn apply(&self, config: &mut RunConfig<RcanConfig>) -> anyhow::Result<()> {
        let RunConfig { data, learner, .. } = config;
        learner.preset = self.size_preset.unwrap_or(learner.preset);
        learner.batch = self.batch.unwrap_or(learner.batch);
        learner.image_loss = self.image_loss.unwrap_or(learner.image_loss);
        if self.no_gan {
            learner.weights.gan = 0.0;
        }
        if self.no_auxiliaries {
            (learner.weights.mask, learner.weights.depth) = (0.0, 0.0);
        }
        data.camera_effects &= !self.no_camera_effects;
        set_paths([(&mut data.dataset, &self.data), (&mut data.policy, &self.policy)]);
        data.policy_share = self.policy_share.unwrap_or(data.policy_share);
        self.env.apply(&mut data.env)
    }
}
