//! Everything that decides what a run of RL-CycleGAN, or of one of its baselines with a simulator beside it, does.

use crate::contract::{ActionSpace, Class};
use crate::gan::cyclegan::{CycleGanConfig, Method};
use crate::rl::qtopt::QtOptConfig;
use crate::rl::qtopt::network::PUBLISHED_STATE_LEN;
use crate::train::{EnvData, LearnerConfig, Preset};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The section `data` of `config.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RlCycleGanData {
    /// The simulated environments that x comes from.
    #[serde(flatten)]
    pub env: EnvData,
    /// The policy that explores without learning.
    pub script: String,
    /// What one action may do.
    pub space: ActionSpace,
    /// The run of QT-Opt whose network Q_sim and Q_real begin with, and whose episodes are the first x.
    pub init: PathBuf,
    /// The recording that y comes from.
    pub real: PathBuf,
}

/// The scene term and what is known about its failures.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SceneConfig {
    /// Actions for which Q is compared in each image; the paper has 1, the one that was done. The others are actions of other
    /// states and random ones: a translation should leave Q alone as a function.
    pub actions: usize,
    /// Above 0 logits are compared, each difference cut off there: where Q is near 0 or 1 its values hardly differ. 0
    /// compares Q-values, as the paper does.
    pub logit_limit: f64,
    /// The term takes part from when Q_sim tells this share of held-out successes from failures (area under the ROC curve).
    pub least_auc: f64,
    /// Noise, and then whole bytes, between a generator and Q: of the images' `[-1, 1]`. What G hides from the eye it should
    /// hide from Q.
    pub observation_std: f64,
    /// Weight of Q's own loss on translated images in the objective of G and F. The paper applies that gradient to Q alone
    /// (0), "selectively": else the generators compute Q.
    pub end_to_end_weight: f64,
    /// Q_sim and Q_real stay what the run of `--init` is: the scene term holds translations to a Q that does not learn. No
    /// paper has it. Settings of earlier runs lack it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub frozen_q: bool,
}

/// Which Bellman targets the pictures of a scene have: the original and its two translations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BellmanTargetsOf {
    /// All three have the original's: they show one scene, and targets of changed pictures are the noisier ones (Hansen et
    /// al., 2021).
    #[default]
    Scene,
    /// Each has its own: the value of the next picture through the same generators, by the Q-function that judges it. So the
    /// paper counts its six TD losses (equation 6).
    Picture,
}

fn is_false(flag: &bool) -> bool {
    !flag
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

impl BellmanTargetsOf {
    fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

/// All of a run's settings but its data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RlCycleGanConfig {
    /// Generators, discriminators, and which of the four methods.
    pub gan: CycleGanConfig,
    /// Q_sim and Q_real, their Bellman updaters, and how episodes are collected.
    pub qtopt: QtOptConfig,
    /// The scene term, which only RL-CycleGAN has.
    pub scene: SceneConfig,
    /// L_RL takes part in every so many steps.
    pub q_interval: u64,
    /// What translated pictures are labelled with in L_RL. Settings of earlier runs lack it.
    #[serde(default, skip_serializing_if = "BellmanTargetsOf::is_usual")]
    pub bellman_targets_of: BellmanTargetsOf,
    /// Pixels by which pictures of both domains are moved at random, each way, the edge repeated: random windows of the camera's
    /// picture (the paper: 472 of 640x512 pixels), of which replays keep the middle. The state-estimating Q-network knows
    /// where each window lies. Acting, judging and next states see the middle. 0 leaves pictures in their place, as in runs
    /// whose settings lack the key.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub crop_shift: usize,
    /// Episodes that x is drawn from at first: the newest ones of the run in `data.init`; with masks as many that its policy
    /// and the script play anew, as replays keep no masks.
    pub sim_episodes: usize,
    /// Recorded episodes, and as many simulated ones, that nothing is learned from: the watches judge on them.
    pub held_out_episodes: usize,
    /// Episodes that Q_sim and Q_real (through G) each play in the simulator at every look at the pictures.
    pub judged_episodes: usize,
    /// Learning rate of GraspGAN's grasp network.
    pub task_lr: f64,
}

impl RlCycleGanConfig {
    /// The settings of a method at a size.
    pub fn preset(method: Method, preset: Preset) -> Self {
        let small = preset == Preset::Small;
        let mut gan = CycleGanConfig::preset(method, preset);
        gan.discriminator.state_planes = PUBLISHED_STATE_LEN;
        Self {
            gan,
            qtopt: Self::q_preset(QtOptConfig::preset(preset)),
            scene: SceneConfig::preset(preset),
            q_interval: if small { 2 } else { 1 },
            bellman_targets_of: if small { BellmanTargetsOf::Scene } else { BellmanTargetsOf::Picture },
            // 22 of the published 472 pixels.
            crop_shift: if small { 3 } else { 22 },
            sim_episodes: 5_000,
            held_out_episodes: 200,
            judged_episodes: if small { 64 } else { 8 },
            task_lr: 1e-3,
        }
    }

    /// What of the Q-function's settings is otherwise in a joint phase: it starts from a finished Q, for which the usual rate would be too
    /// high, and collects less.
    pub fn q_preset(mut qtopt: QtOptConfig) -> QtOptConfig {
        (qtopt.channels, qtopt.q_lr, qtopt.num_warmup_steps) = (3, 3e-4, 100);
        (qtopt.bellman_batch, qtopt.off_policy_capacity, qtopt.on_policy_capacity) =
            (qtopt.bellman_batch.min(128), qtopt.off_policy_capacity.min(80_000), qtopt.on_policy_capacity.min(40_000));
        // x and y are the pictures that are labelled: as many new ones a step as rows without Q draw, with fresh targets.
        (qtopt.updates_per_label, qtopt.training_buffer) = (1.0, qtopt.training_buffer.min(1024));
        qtopt.segment_len = qtopt.segment_len.min(1024);
        (qtopt.episodes_per_iteration, qtopt.updates_per_iteration) = (64, 500);
        qtopt.exploration.p_policy_warmup = qtopt.exploration.p_policy;
        qtopt.real_weight = 1.0;
        qtopt
    }

    /// Share of Q's learning rate after `steps` steps in the joint phase: it rises from 0, as Adam's moments begin empty.
    pub fn q_warmup(&self, steps: u64) -> f64 {
        ((steps + 1) as f64 / self.qtopt.num_warmup_steps.max(1) as f64).min(1.0)
    }

    /// Whether Q_sim and Q_real learn.
    pub fn has_q(&self) -> bool {
        self.gan.method == Method::RlCycleGan
    }

    /// Whether x comes with masks, which G learns to predict (GraspGAN).
    pub fn has_masks(&self) -> bool {
        self.gan.weights.mask > 0.0
    }
}

impl SceneConfig {
    fn preset(preset: Preset) -> Self {
        match preset {
            Preset::Small => Self {
                actions: 8,
                logit_limit: 4.0,
                least_auc: 0.75,
                observation_std: 0.03,
                end_to_end_weight: 0.0,
                frozen_q: false,
            },
            Preset::Paper => Self {
                actions: 1,
                logit_limit: 0.0,
                least_auc: 0.0,
                observation_std: 0.0,
                end_to_end_weight: 0.0,
                frozen_q: false,
            },
        }
    }

    fn validate(&self) -> Result<(), String> {
        if !(1..=256).contains(&self.actions) {
            return Err(format!("scene.actions must be from 1 to 256, not {}", self.actions));
        }
        for (name, value, limit) in [
            ("logit_limit", self.logit_limit, 100.0),
            ("least_auc", self.least_auc, 1.0),
            ("observation_std", self.observation_std, 1.0),
            ("end_to_end_weight", self.end_to_end_weight, 1e4),
        ] {
            if !(0.0..=limit).contains(&value) {
                return Err(format!("scene.{name} must be from 0 to {limit}, not {value}"));
            }
        }
        Ok(())
    }
}

impl LearnerConfig for RlCycleGanConfig {
    const NAME: &'static str = "rl-cyclegan";
    type Data = RlCycleGanData;

    fn validate(&self, data: &RlCycleGanData) -> Result<(), String> {
        data.env.validate()?;
        if data.env.domain.stands_for_reality() {
            return Err("data.domain is what x shows, with labels: it must be a simulated domain, not reality".into());
        }
        self.gan.validate().map_err(|error| format!("gan.{error}"))?;
        self.qtopt.validate().map_err(|error| format!("qtopt: {error}"))?;
        self.scene.validate()?;
        if self.qtopt.size != self.gan.size || self.qtopt.channels != 3 {
            return Err(format!(
                "qtopt.size must be gan.size, {}, and qtopt.channels 3: Q looks at what the generators draw; they are {} \
                 and {}",
                self.gan.size, self.qtopt.size, self.qtopt.channels
            ));
        }
        if self.has_masks() && self.gan.generator.mask_classes != Class::COUNT {
            return Err(format!(
                "gan.generator.mask_classes must be {}, as many classes as the simulator's masks have, not {}",
                Class::COUNT,
                self.gan.generator.mask_classes
            ));
        }
        if ![0, PUBLISHED_STATE_LEN].contains(&self.gan.discriminator.state_planes) {
            return Err(format!(
                "gan.discriminator.state_planes must be 0 or {PUBLISHED_STATE_LEN}: gripper closed, and its height"
            ));
        }
        if self.crop_shift >= self.gan.size / 4 {
            return Err(format!(
                "crop_shift must be below a quarter of the image, {} pixels, not {}",
                self.gan.size / 4,
                self.crop_shift
            ));
        }
        if self.q_interval == 0
            || self.sim_episodes == 0
            || self.held_out_episodes == 0
            || self.judged_episodes > 10_000
        {
            return Err(
                "q_interval, sim_episodes and held_out_episodes must be at least 1, judged_episodes at most 10000"
                    .into(),
            );
        }
        if !(self.task_lr > 0.0 && self.task_lr <= 1.0) {
            return Err("task_lr must be above 0 and at most 1".into());
        }
        Ok(())
    }

    fn lr_scale(&self, _: u64, done: f64) -> f64 {
        self.gan.lr_scale(done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_survive_toml_and_mistakes_are_named() -> anyhow::Result<()> {
        for (method, preset) in Method::ALL.into_iter().flat_map(|method| Preset::ALL.map(|preset| (method, preset))) {
            let config = RlCycleGanConfig::preset(method, preset);
            assert_eq!(toml::from_str::<RlCycleGanConfig>(&toml::to_string(&config)?)?, config);
            assert_eq!(config.gan.size, config.qtopt.size, "{method} {preset}");
            config.qtopt.validate().map_err(anyhow::Error::msg)?;
            config.gan.validate()?;
        }
        let check = |change: fn(&mut SceneConfig), expected: &str| {
            let mut scene = SceneConfig::preset(Preset::Small);
            change(&mut scene);
            let message = scene.validate().err().unwrap_or_default();
            assert!(message.contains(expected), "'{message}' does not say '{expected}'");
        };
        check(|scene| scene.actions = 0, "scene.actions");
        check(|scene| scene.least_auc = 1.5, "scene.least_auc");
        check(|scene| scene.observation_std = f64::NAN, "scene.observation_std");
        Ok(())
    }
}
