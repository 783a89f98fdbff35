//! `bingrasp train qtopt`.

use super::run::{RunArgs, TrainCommand};
use crate::cli::common::{EnvArgs, set_paths};
use crate::cli::{UsageError, numbers};
use crate::contract::Domain;
use crate::rl::qtopt::Preset;
use crate::rl::qtopt::network::QNetwork;
use crate::runs::qtopt::{QtOpt, QtOptRun, look_through, take_network};
use crate::train::RunConfig;
use std::path::PathBuf;

#[derive(clap::Args, Clone, Default)]
pub struct Args {
    #[command(flatten)]
    pub run: RunArgs,
    /// Size: small (64x64, two processor cores) or paper (472x472, the published network)
    #[arg(long, value_name = "PRESET")]
    pub size_preset: Option<Preset>,
    /// Network of the small size: state-estimating (reads an estimated height map and pose, learned from the simulator's
    /// labels) or end-to-end (the published shape, pixels to Q); the size paper is end-to-end
    /// [default: state-estimating]
    #[arg(long, value_name = "NETWORK")]
    pub network: Option<QNetwork>,
    /// Look through a frozen generator. Of RCAN the agent sees the generated and the source image, 6 channels; of gan,
    /// cyclegan, graspgan or rl-cyclegan it sees G's translation of the simulator and reality as it is, 3 channels
    #[arg(long, value_name = "RUN")]
    pub generator: Option<PathBuf>,
    /// See the mask of objects and the depth that RCAN's generator gives beside its picture, too: 8 channels
    #[arg(long, requires = "generator")]
    pub generator_maps: bool,
    /// Begin with recorded episodes (`bingrasp episodes record`) in place of the script's first ones
    #[arg(long, value_name = "DIR")]
    pub offline: Option<PathBuf>,
    /// Begin with the weights of a finished run, and with its network. One that saw plain pictures may begin one behind
    /// RCAN's generator: the generated picture gets its weights, the source none
    #[arg(long, value_name = "RUN")]
    pub init: Option<PathBuf>,
    /// Begin with so many episodes of that run's agent, too, in place of the script's first ones: its newest ones, or, where it
    /// saw another domain, new ones in which it sees that domain while this run keeps pictures of its own
    #[arg(long, value_name = "N", requires = "init", conflicts_with_all = ["offline", "real_only"])]
    pub init_episodes: Option<u64>,
    /// Learn from a recording of another domain beside the simulator: images, gripper, actions, rewards and ends alone
    #[arg(long, value_name = "DIR")]
    pub real: Option<PathBuf>,
    /// Learn from --real and --on-policy-domain alone; the simulator plays nothing
    #[arg(long)]
    pub real_only: bool,
    /// Play in this domain too while learning, with the policy and its noise: images, gripper, actions, rewards and ends
    /// alone are learned from
    #[arg(long, value_name = "DOMAIN", requires = "on_policy_episodes")]
    pub on_policy_domain: Option<Domain>,
    /// Episodes to play there in all
    #[arg(long, value_name = "N", requires = "on_policy_domain")]
    pub on_policy_episodes: Option<u64>,
    /// Weight of the loss on what --real and --on-policy-domain bring [default: 0.1]
    #[arg(long, value_name = "W", allow_negative_numbers = true, value_parser = numbers::real32(numbers::WEIGHT))]
    pub real_weight: Option<f32>,
    /// Transitions a step [default: 64, paper 32]
    #[arg(long)]
    pub batch: Option<usize>,
    #[command(flatten)]
    pub env: EnvArgs,
}

impl TrainCommand for Args {
    type Setup = QtOpt;

    fn run_args(&self) -> &RunArgs {
        &self.run
    }

    fn setup(&self) -> QtOpt {
        QtOpt { preset: self.size_preset.unwrap_or_default() }
    }

    fn names_recordings(&self) -> [bool; 2] {
        [self.offline.is_some(), self.real.is_some()]
    }

    fn apply(&self, config: &mut QtOptRun) -> anyhow::Result<()> {
        let RunConfig { data, learner, .. } = config;
        learner.preset = self.size_preset.unwrap_or(learner.preset);
        if let Some(network) = self.network.filter(|network| *network != learner.q_network()) {
            if learner.preset == Preset::Paper {
                let message =
                    format!("--network {network}: the size paper has one network, the published one, end-to-end");
                return Err(UsageError(message).into());
            }
            *learner = learner.clone().with_network(network);
        }
        learner.batch = self.batch.unwrap_or(learner.batch);
        learner.real_weight = self.real_weight.unwrap_or(learner.real_weight);
        data.on_policy_domain = self.on_policy_domain.or(data.on_policy_domain);
        data.on_policy_episodes = self.on_policy_episodes.unwrap_or(data.on_policy_episodes);
        self.env.apply(&mut data.env)?;
        set_paths([
            (&mut data.generator, &self.generator),
            (&mut data.offline, &self.offline),
            (&mut data.init, &self.init),
            (&mut data.real, &self.real),
        ]);
        data.real_only |= self.real_only;
        data.init_episodes = self.init_episodes.unwrap_or(data.init_episodes);
        if self.run.resume {
            return Ok(());
        }
        if let Some(init) = &self.init {
            take_network(learner, init, self.network)?;
        }
        if let Some(generator) = &self.generator {
            look_through(learner, generator, self.generator_maps)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::run::{RunArgs, resolve};
    use super::{Args, Preset, QNetwork};

    #[test]
    fn a_run_of_few_steps_begins_with_few_episodes() -> anyhow::Result<()> {
        let initial = |steps: u64, set: &[&str]| {
            let set = set.iter().map(ToString::to_string).collect();
            let run = RunArgs { steps: Some(steps), set, ..RunArgs::default() };
            anyhow::Ok(resolve(&Args { run, ..Args::default() })?.learner.exploration.initial_episodes)
        };
        assert_eq!((initial(3, &[])?, initial(60_000, &[])?), (3, 6_000));
        assert_eq!(initial(3, &["qtopt.exploration.initial_episodes=500"])?, 500);
        Ok(())
    }

    #[test]
    fn the_network_is_chosen_once_and_its_sizes_may_be_set() -> anyhow::Result<()> {
        let resolved = |network: Option<QNetwork>, size_preset: Option<Preset>, set: &[&str]| {
            let set = set.iter().map(ToString::to_string).collect();
            let run = RunArgs { set, ..RunArgs::default() };
            resolve(&Args { run, network, size_preset, ..Args::default() })
        };
        let usual = resolved(None, None, &[])?;
        assert_eq!(usual, resolved(Some(QNetwork::StateEstimating), None, &[])?);
        let sizes = ["qtopt.end_to_end.hidden=32", "qtopt.auxiliary_weight=0.5"];
        let learner = resolved(Some(QNetwork::EndToEnd), None, &sizes)?.learner;
        assert_eq!((learner.q_network(), learner.auxiliary_weight), (QNetwork::EndToEnd, 0.5));
        assert_eq!(learner.end_to_end.map(|sizes| sizes.hidden), Some(32));
        // Without a head nothing has to know the crop.
        assert!(resolved(Some(QNetwork::EndToEnd), None, &["data.crop=random"]).is_ok());
        let message = |result: anyhow::Result<super::QtOptRun>| result.err().map(|e| e.to_string()).unwrap_or_default();
        let refused = message(resolved(Some(QNetwork::EndToEnd), None, &["data.crop=random", sizes[1]]));
        assert!(refused.contains("auxiliary loss"), "{refused}");
        let refused = message(resolved(Some(QNetwork::StateEstimating), Some(Preset::Paper), &[]));
        assert!(refused.contains("end-to-end"), "{refused}");
        assert!(resolved(Some(QNetwork::EndToEnd), Some(Preset::Paper), &[])?.learner.end_to_end.is_none());
        Ok(())
    }
}
