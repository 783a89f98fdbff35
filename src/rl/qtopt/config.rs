//! Everything that decides what a QT-Opt run does, with the sizes that go by name.

pub use super::exploration::ExplorationConfig;
use super::network::{EndToEndQConfig, QNetwork, StateEstimatorQConfig};
use crate::nn::AdamConfig;
use crate::rl::cem::{CemConfig, SearchSize};
pub use crate::rl::replay::TimeLimit;
pub use crate::train::Preset;
use crate::train::limits::MAX_STEPS;
use serde::{Deserialize, Serialize};

/// What teaches the encoder of the small network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EncoderSupervision {
    /// The simulator's labels, as auxiliary losses of the transitions that have them; of the others, and of what the network
    /// has no labels for (`map_features`, `grip_features`), Q.
    #[default]
    Labels,
    /// Q alone, through `map_features` and `grip_features`, at every step: no label is read. What labels taught before (where
    /// the hand is, above all) stays as it was, so that such a run begins with the weights of one that had labels.
    QGradient,
}

impl EncoderSupervision {
    /// Whether any label is read.
    pub fn uses_labels(self) -> bool {
        self == Self::Labels
    }
}

/// All of QT-Opt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QtOptConfig {
    /// The size that the settings began with; `Paper` also selects the published network.
    pub preset: Preset,
    /// Edge of the square images, pixels.
    pub size: usize,
    /// 3; 6 when the agent sees a generated image before the source; 8 with the generator's mask and depth behind both.
    pub channels: usize,
    /// Sizes of the state-estimating network, and the camera's calibration.
    pub network: StateEstimatorQConfig,
    /// Sizes of the end-to-end network, where the small preset has it in place of the state-estimating one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_to_end: Option<EndToEndQConfig>,
    /// The search for the best action while it learns: when the policy collects episodes and when targets are computed.
    pub cem: CemConfig,
    /// The size of the search when the policy acts and does not learn: in evaluations, recordings and the viewer.
    #[serde(default = "usual_acting")]
    pub acting: SearchSize,
    /// Labelled transitions of one gradient step, from 1 to 65536.
    pub batch: usize,
    /// Images that are learned from are moved by up to this many pixels, as by a random crop.
    pub shift: usize,
    /// Deviation of the logarithm of the brightness of each of their colours. Colours tell one bin from all others, and with
    /// it how its episode ended.
    pub tint_std: f32,
    /// At its highest; it rises from 0 over `num_warmup_steps` and falls along half a cosine to `final_lr_scale` of it.
    pub q_lr: f64,
    /// Gradient steps over which the learning rate rises from 0 to `q_lr`.
    pub num_warmup_steps: u64,
    /// Share of `q_lr` that is left at the end of the run, from 0 to 1.
    pub final_lr_scale: f64,
    /// Adam's moments, weight decay and gradient clipping, for the trained Q-function.
    pub adam: AdamConfig,
    /// Weight of the auxiliary task: telling from the image where the hand is and what lies around it. The state-estimating
    /// network cannot find the hand without it. The end-to-end one has a head for it on its encoder unless this is 0, as it is
    /// by default; the published one has none, and 0.
    pub auxiliary_weight: f64,
    /// What teaches the encoder.
    #[serde(default)]
    pub encoder_supervision: EncoderSupervision,
    /// Layers of the small network that the auxiliary task teaches learn at so many times the rate: their targets are exact,
    /// where Q's are guesses.
    pub auxiliary_lr_scale: f64,
    /// They learn at every so many-th step; at the others Q alone does, from what they say. Must be 1 where Q teaches them too.
    pub auxiliary_interval: u64,
    /// QT-Opt: 0.9.
    pub discount: f32,
    /// Targets look so many steps ahead along what was done, while chance did not move it aside; QT-Opt: 1.
    pub n_step: usize,
    /// What is learned from the last step of an episode that reached its time limit.
    #[serde(default = "usual_time_limit")]
    pub time_limit: TimeLimit,
    /// The first target network moves by this share towards the trained one at every step.
    pub tau: f64,
    /// The second target network is the first one as it was between one and two times this many steps ago.
    pub target_delay: u64,
    /// Transitions that are labelled at once, and how often each label is used on average.
    pub bellman_batch: usize,
    /// How often a label is used on average, from 0.1 to 1000; labellings are spaced by it.
    pub updates_per_label: f64,
    /// Labelled transitions that wait to be trained on.
    pub training_buffer: usize,
    /// Share of labelled transitions that come from on-policy data, once there is enough of it; until then each counts as
    /// much as so many of the others.
    pub p_on_policy: f32,
    /// How many off-policy transitions one on-policy transition counts as, below the share `p_on_policy`; at least 1.
    pub on_policy_weight: f32,
    /// Share of labelled transitions that end their episodes, and that close open fingers: what matters most, and is rare.
    pub p_terminal: f32,
    /// Share of labelled transitions that close open fingers, from 0 to 1.
    pub p_closing: f32,
    /// Transitions that are kept, and how many go into one file.
    pub off_policy_capacity: usize,
    /// Transitions of the policy's own episodes that are kept; the oldest segment goes first.
    pub on_policy_capacity: usize,
    /// Transitions of one segment, which is one file of the replay; from 16 to 1000000.
    pub segment_len: usize,
    /// An iteration collects this many episodes and then takes this many steps.
    pub episodes_per_iteration: usize,
    /// Gradient steps between two collections of episodes, at least 1.
    pub updates_per_iteration: u64,
    /// Which policy plays the collected episodes, and with how much noise.
    pub exploration: ExplorationConfig,
    /// Weight of the loss on data of the domain to transfer to (lambda_RL-real of RL-CycleGAN, Table 6).
    pub real_weight: f32,
    /// Episodes that the policy plays in the domain to transfer to with each iteration, as long as it may.
    #[serde(default = "usual_real_episodes")]
    pub real_episodes_per_iteration: usize,
}

/// Of runs from before the setting.
fn usual_acting() -> SearchSize {
    SearchSize::ACTING
}

/// Of runs from before the setting.
fn usual_time_limit() -> TimeLimit {
    TimeLimit::Bootstrap
}

fn usual_real_episodes() -> usize {
    32
}

impl ExplorationConfig {
    /// No chance in what the script does, and every episode in a bin of its own.
    pub fn none() -> Self {
        Self {
            p_terminate_closed: 0.0,
            p_terminate_open: 0.0,
            p_perturb: 0.0,
            p_script_random: 0.0,
            p_perturb_close: 0.0,
            p_keep_objects: 0.0,
            ..Self::default()
        }
    }
}

impl QtOptConfig {
    /// The settings of a size, with its default network: state-estimating for `Small`, the published one for `Paper`.
    pub fn preset(preset: Preset) -> Self {
        let paper = Self {
            preset: Preset::Paper,
            size: 472,
            channels: 3,
            network: StateEstimatorQConfig::default(),
            end_to_end: None,
            cem: CemConfig::default(),
            acting: SearchSize::PUBLISHED,
            batch: 32,
            shift: 22,
            tint_std: 0.0,
            q_lr: 2e-3,
            num_warmup_steps: 200,
            final_lr_scale: 0.02,
            adam: AdamConfig { clip_norm: Some(10.0), ..AdamConfig::default() },
            auxiliary_weight: 0.0,
            encoder_supervision: EncoderSupervision::Labels,
            auxiliary_lr_scale: 1.0,
            auxiliary_interval: 1,
            discount: 0.9,
            n_step: 1,
            time_limit: TimeLimit::Terminal,
            tau: 0.01,
            target_delay: 250,
            bellman_batch: 32,
            updates_per_label: 3.0,
            training_buffer: 4096,
            p_on_policy: 0.6,
            on_policy_weight: 4.0,
            p_terminal: 0.2,
            p_closing: 0.3,
            off_policy_capacity: 3000,
            on_policy_capacity: 5000,
            segment_len: 128,
            episodes_per_iteration: 256,
            updates_per_iteration: 192,
            // As many as the replay holds: an image has 668 kB.
            exploration: ExplorationConfig { initial_episodes: 300, ..ExplorationConfig::default() },
            real_weight: 0.1,
            real_episodes_per_iteration: usual_real_episodes(),
        };
        match preset {
            Preset::Paper => paper,
            Preset::Small => Self {
                preset: Preset::Small,
                size: 64,
                batch: 64,
                // What it is told of the image would be elsewhere; it looks a little aside by itself.
                shift: 0,
                // A network overfits to how episodes ended: colours vary, weights decay, ends are drawn less often.
                tint_std: 0.25,
                adam: AdamConfig { weight_decay: 0.05, decoupled: true, ..paper.adam },
                p_terminal: 0.15,
                auxiliary_weight: 2.0,
                // After 600 batches heights are told with an r2 of 0.55; with 1 (and the hand not marked) 0.48.
                auxiliary_lr_scale: 6.0,
                auxiliary_interval: 2,
                // What is grasped is lifted, and looked at, before the episode is ended.
                cem: CemConfig { end_above_m: 0.1, ..paper.cem },
                acting: SearchSize::ACTING,
                // Over three steps, and with a smaller p_terminate_closed, it learns faster and tries again more often.
                discount: 0.97,
                n_step: 3,
                bellman_batch: 512,
                updates_per_label: 5.0,
                off_policy_capacity: 120_000,
                on_policy_capacity: 220_000,
                segment_len: 4096,
                // Of twice as many it learned no more an update, and there was time for fewer updates.
                episodes_per_iteration: 128,
                exploration: ExplorationConfig::default(),
                real_weight: 0.1,
                ..paper
            },
        }
    }

    /// The search of a policy that acts and does not learn.
    pub fn acting_cem(&self) -> CemConfig {
        self.cem.with_size(self.acting)
    }

    /// The settings of the preset small with one of its networks. The preset paper has one network.
    pub fn with_network(self, network: QNetwork) -> Self {
        let usual = Self::preset(self.preset);
        let [auxiliary_weight, auxiliary_lr_scale] = [usual.auxiliary_weight, usual.auxiliary_lr_scale];
        match network {
            QNetwork::StateEstimating => Self {
                end_to_end: None,
                acting: usual.acting,
                shift: usual.shift,
                auxiliary_weight,
                auxiliary_lr_scale,
                auxiliary_interval: usual.auxiliary_interval,
                ..self
            },
            QNetwork::EndToEnd => Self {
                end_to_end: Some(EndToEndQConfig::default()),
                // Its actions are scored by tensor operations, which take long.
                acting: SearchSize::PUBLISHED,
                // 22 of the published 472 pixels.
                shift: 3,
                auxiliary_weight: 0.0,
                auxiliary_lr_scale: 1.0,
                // Q trains the encoder at every step.
                auxiliary_interval: 1,
                ..self
            },
        }
    }

    /// Which network it is.
    pub const fn q_network(&self) -> QNetwork {
        match (self.preset, &self.end_to_end) {
            (Preset::Small, None) => QNetwork::StateEstimating,
            _ => QNetwork::EndToEnd,
        }
    }

    /// Whether the simulator's labels train the encoder.
    pub fn has_auxiliary_loss(&self) -> bool {
        self.encoder_supervision.uses_labels() && self.auxiliary_weight > 0.0 && self.preset == Preset::Small
    }

    /// Whether the network, or the targets of its auxiliary loss, know where in the image the camera shows a place: images of
    /// another camera or crop are of no use then.
    pub fn is_calibrated(&self) -> bool {
        self.q_network() == QNetwork::StateEstimating || self.has_auxiliary_loss()
    }

    /// # Errors
    /// The first impossible setting, and what is possible.
    pub fn validate(&self) -> Result<(), String> {
        let bad = |message: &str| Err(message.to_owned());
        let e = &self.exploration;
        let shares = [
            self.p_on_policy,
            self.p_terminal,
            self.p_closing,
            e.p_policy_warmup,
            e.p_policy,
            e.p_greedy,
            e.p_random,
            e.p_jump_start,
            e.p_noise,
            e.p_terminate_closed,
            e.p_terminate_open,
            e.p_perturb,
            e.p_script_random,
            e.p_perturb_close,
            e.p_keep_objects,
            self.discount,
        ];
        if shares.iter().any(|share| !(0.0..=1.0).contains(share)) {
            return bad("shares and the discount must be from 0 to 1");
        }
        if !(1..=100_000).contains(&self.real_episodes_per_iteration) {
            return bad("real_episodes_per_iteration must be from 1 to 100000");
        }
        if !(self.real_weight >= 0.0 && self.real_weight <= 1e3) {
            return Err(format!("real_weight must be from 0 to 1000, not {}", self.real_weight));
        }
        let least = if self.preset == Preset::Paper { super::network::LEAST_SIZE } else { 16 };
        if !(least..=1024).contains(&self.size) {
            return Err(format!("the image size must be from {least} to 1024, not {}", self.size));
        }
        if ![3, 6, 8].contains(&self.channels) {
            return bad(
                "channels must be 3 (the source image), 6 (generated and source image) or 8 (object mask and depth of the \
                 generator, too)",
            );
        }
        let state_estimating = self.q_network() == QNetwork::StateEstimating;
        if self.preset == Preset::Paper && self.end_to_end.is_some() {
            return bad("end_to_end has the sizes of the small network; leave it out with the preset paper");
        }
        if state_estimating && self.shift > 0 {
            return bad("shift must be 0 for the state-estimating network: it knows where in the image things are");
        }
        if self.shift >= self.size / 2 {
            return Err(format!("shift must be below half the image, {} pixels", self.size / 2));
        }
        if !(1..=65_536).contains(&self.batch) || !(1..=65_536).contains(&self.bellman_batch) {
            return bad("batch and bellman_batch must be from 1 to 65536");
        }
        let final_lr_scale = (0.0..=1.0).contains(&self.final_lr_scale);
        if !(self.q_lr > 0.0 && self.q_lr <= 1.0 && final_lr_scale) {
            return bad("q_lr must be above 0 and at most 1, and final_lr_scale from 0 to 1");
        }
        let positive = self.on_policy_weight >= 1.0 && self.on_policy_weight <= 1e6;
        if !(0.0..=1000.0).contains(&self.auxiliary_weight) || !positive {
            return bad("auxiliary_weight must be from 0 to 1000, and on_policy_weight from 1 to 1000000");
        }
        let unable = self.network.map_features.min(self.network.grip_features) == 0;
        let by_labels = self.encoder_supervision.uses_labels();
        if state_estimating && unable && !by_labels {
            return bad(
                "with encoder_supervision \"q-gradient\" only map_features and grip_features teach the small network: set \
                network.map_features and network.grip_features to at least 1 (4 and 64, for example)",
            );
        }
        if state_estimating && self.auxiliary_weight == 0.0 && unable {
            return bad(
                "with auxiliary_weight 0 nothing teaches the small network to see: set network.map_features and \
                network.grip_features to at least 1 (4 and 64, for example), and Q does",
            );
        }
        if !(self.auxiliary_lr_scale > 0.0 && self.auxiliary_lr_scale <= 1000.0) {
            return bad("auxiliary_lr_scale must be above 0 and at most 1000");
        }
        let by_q = !state_estimating || self.network.map_features.max(self.network.grip_features) > 0;
        let every_step = by_q && by_labels;
        if self.auxiliary_interval == 0 || self.auxiliary_interval > 1000 || (every_step && self.auxiliary_interval > 1)
        {
            return bad(
                "auxiliary_interval must be from 1 to 1000, and 1 where Q teaches the encoder: with the preset paper, \
                the end-to-end network, network.map_features or network.grip_features",
            );
        }
        if !(0.0..=2.0).contains(&self.tint_std) {
            return bad("tint_std must be from 0 to 2");
        }
        if !(1..=100).contains(&self.n_step) {
            return bad("n_step must be from 1 to 100");
        }
        if !(self.tau > 0.0 && self.tau <= 1.0) || self.target_delay == 0 {
            return bad("tau must be above 0 and at most 1, and target_delay at least 1");
        }
        if !(self.updates_per_label >= 0.1 && self.updates_per_label <= 1000.0) || self.training_buffer < self.batch {
            return bad("updates_per_label must be from 0.1 to 1000, and training_buffer at least the batch");
        }
        let transitions = self.off_policy_capacity.checked_add(self.on_policy_capacity);
        let memory = transitions.map_or(f64::INFINITY, |count| count as f64 * self.image_bytes() as f64);
        if !(16..=1_000_000).contains(&self.segment_len) || memory > 1e12 {
            return bad("a segment must have 16 to 1000000 transitions, and the replay at most 1 TB");
        }
        let iterations = (1..=100_000).contains(&self.episodes_per_iteration) && self.updates_per_iteration >= 1;
        if !iterations
            || e.initial_episodes > 10_000_000
            || !(0.0..=100.0).contains(&e.noise_std)
            || !(-1e6..=1e6).contains(&e.give_up_value)
        {
            return bad(
                "an iteration takes 1 to 100000 episodes and at least one step, noise_std is from 0 to 100, and \
                 give_up_value from -1000000 to 1000000",
            );
        }
        self.adam.validate().map_err(|problem| format!("adam.{problem}"))?;
        if self.num_warmup_steps > MAX_STEPS || self.updates_per_iteration > MAX_STEPS || self.target_delay > MAX_STEPS
        {
            return Err(format!(
                "num_warmup_steps, updates_per_iteration and target_delay must be at most {MAX_STEPS}"
            ));
        }
        self.cem.validate()?;
        self.acting_cem().validate().map_err(|problem| format!("acting: {problem}"))?;
        if state_estimating {
            return self.network.validate(self.size);
        }
        if self.has_auxiliary_loss() && !self.network.projection.is_valid() {
            return bad(
                "network.projection must see the floor: the auxiliary loss needs to know where the image shows it",
            );
        }
        self.end_to_end.as_ref().map_or(Ok(()), |sizes| sizes.validate(self.size))
    }

    /// States and draws of the dense search that the cross-entropy method is compared with. The published network takes as
    /// long for two thousand actions as for a decision of all environments; the small end-to-end one scores all of them at
    /// once, each with a map of its own.
    pub const fn dense_search(&self) -> (usize, usize) {
        match (self.preset, self.q_network()) {
            (Preset::Small, QNetwork::StateEstimating) => (32, 4096),
            (Preset::Small, QNetwork::EndToEnd) => (8, 1024),
            (Preset::Paper, _) => (4, 512),
        }
    }

    /// What both replays hold when they are full.
    pub fn replay_bytes(&self) -> u64 {
        let transition = (self.image_bytes() + size_of::<crate::rl::replay::Record>()) as u64;
        (self.off_policy_capacity + self.on_policy_capacity) as u64 * transition
    }

    /// Bytes of one image in the replay: `size * size * channels`.
    pub fn image_bytes(&self) -> usize {
        self.size * self.size * self.channels
    }

    /// Steps between two labellings.
    pub fn label_interval(&self) -> u64 {
        ((self.bellman_batch as f64 * self.updates_per_label / self.batch as f64).round() as u64).max(1)
    }
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
