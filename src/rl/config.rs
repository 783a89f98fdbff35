//! Everything that decides what a QT-Opt run does, with the sizes that go by name.

use super::cem::CemConfig;
use super::network::CpuQConfig;
use crate::nn::AdamConfig;
use crate::run::limits::MAX_STEPS;
use serde::{Deserialize, Serialize};

/// Sizes by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// 64x64, late merge, trains on two processor cores.
    #[default]
    Cpu,
    /// 472x472 with the published network.
    Paper,
}

impl Preset {
    pub const ALL: [Self; 2] = [Self::Cpu, Self::Paper];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Paper => "paper",
        }
    }
}

impl std::fmt::Display for Preset {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.pad(self.name())
    }
}

impl std::str::FromStr for Preset {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|preset| preset.name() == text);
        found.ok_or_else(|| format!("unknown size preset '{text}'; the presets are cpu, paper"))
    }
}

/// Who decides while data is collected, and how far from what they would do.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExplorationConfig {
    /// Scripted attempts before anything is learned.
    pub first_attempts: usize,
    /// Share of attempts by the policy until it is better than the script.
    pub policy_before: f32,
    /// Share of attempts by the policy after that.
    pub policy_after: f32,
    /// Share of the policy's attempts that are played without noise: they tell how good it is.
    pub greedy: f32,
    /// Share of noisy attempts that the script begins, by up to `jump_steps` steps: so the policy gets to where grasps are
    /// made before it finds its own way there (Uchendu et al., 2023).
    pub jump_start: f32,
    pub jump_steps: usize,
    /// Where a policy would give a noisy attempt up (end it at a value below this), the script goes on in its place as often
    /// as not: a policy that does not grasp well yet rightly thinks nothing worth its steps, and would learn nothing more.
    pub give_up: f32,
    /// Share of a noisy attempt's steps that are uniformly random.
    pub random: f32,
    /// Share that is moved aside, by this deviation (of the largest step).
    pub moved: f32,
    pub deviation: f32,
    /// Share of the script's steps with closed fingers at which it ends the episode, where the policy might (`cem.end_above_m`).
    pub hurry: f32,
    /// The same with open fingers.
    pub early_end: f32,
    /// Share of the script's steps that are moved aside, and that are uniformly random.
    pub script_moved: f32,
    pub script_random: f32,
    /// Share of the script's closings during which the hand moves as well. It never would, and the search for the best
    /// action tries all such closings: where nothing was ever seen to fail, Q is too high.
    pub script_swerve: f32,
    /// Share of the attempts that follow another one in their environment (in a round half of them do, of 128 in 64) that
    /// go on with the objects as it left them, what was grasped returned to a random place, as in evaluations (RCAN, 5.1).
    /// Bins that were always fresh taught nothing of what lies about after failures.
    pub go_on: f32,
}

impl Default for ExplorationConfig {
    fn default() -> Self {
        Self {
            first_attempts: 6_000,
            policy_before: 0.5,
            policy_after: 0.95,
            greedy: 0.3,
            jump_start: 0.6,
            jump_steps: 6,
            give_up: 0.1,
            random: 0.05,
            moved: 0.3,
            deviation: 0.25,
            hurry: 0.35,
            early_end: 0.01,
            script_moved: 0.15,
            script_random: 0.06,
            script_swerve: 0.35,
            go_on: 0.75,
        }
    }
}

/// All of QT-Opt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QtOptConfig {
    pub preset: Preset,
    /// Edge of the square images, pixels.
    pub size: usize,
    /// 3, or 6 when the agent sees a generated image before the source.
    pub channels: usize,
    pub network: CpuQConfig,
    pub cem: CemConfig,
    pub batch: usize,
    /// Images that are learned from are moved by up to this many pixels, as by a random crop.
    pub shift: usize,
    /// Deviation of the logarithm of the brightness of each of their colours. Colours tell one bin from all others, and with
    /// it how its attempt ended.
    pub tint: f32,
    /// At its highest; it rises from 0 over `warmup_steps` and falls along half a cosine to `final_rate` of it.
    pub learning_rate: f64,
    pub warmup_steps: u64,
    pub final_rate: f64,
    pub adam: AdamConfig,
    /// Weight of the auxiliary task: telling from the image where the hand is and what lies around it. The small network
    /// cannot find the hand without it; the published one has none, and 0.
    pub auxiliary_weight: f64,
    /// Layers of the small network that the auxiliary task teaches learn at so many times the rate: their targets are exact,
    /// where Q's are guesses.
    pub lesson_rate: f64,
    /// They learn at every so many-th step; at the others Q alone does, from what they say. Must be 1 where Q teaches them too.
    pub lesson_every: u64,
    /// QT-Opt: 0.9.
    pub discount: f32,
    /// Targets look so many steps ahead along what was done, while chance did not move it aside; QT-Opt: 1.
    pub n_step: usize,
    /// The first target network moves by this share towards the trained one at every step.
    pub target_rate: f64,
    /// The second target network is the first one as it was between one and two times this many steps ago.
    pub older_steps: u64,
    /// Transitions that are labelled at once, and how often each label is used on average.
    pub label_block: usize,
    pub label_reuse: f64,
    /// Labelled transitions that wait to be trained on.
    pub training_buffer: usize,
    /// Share of labelled transitions that come from on-policy data, once there is enough of it; until then each counts as
    /// much as so many of the others.
    pub on_policy_share: f32,
    pub on_policy_weight: f32,
    /// Share of labelled transitions that end their episodes, and that close open fingers: what matters most, and is rare.
    pub terminal_share: f32,
    pub closing_share: f32,
    /// Transitions that are kept, and how many go into one file.
    pub off_policy_capacity: usize,
    pub on_policy_capacity: usize,
    pub segment: usize,
    /// A round collects this many attempts and then takes this many steps.
    pub attempts_per_round: usize,
    pub steps_per_round: u64,
    pub exploration: ExplorationConfig,
}

impl ExplorationConfig {
    /// No chance in what the script does, and every attempt in a bin of its own.
    pub fn none() -> Self {
        Self {
            hurry: 0.0,
            early_end: 0.0,
            script_moved: 0.0,
            script_random: 0.0,
            script_swerve: 0.0,
            go_on: 0.0,
            ..Self::default()
        }
    }
}

impl QtOptConfig {
    pub fn preset(preset: Preset) -> Self {
        let paper = Self {
            preset: Preset::Paper,
            size: 472,
            channels: 3,
            network: CpuQConfig::default(),
            cem: CemConfig::default(),
            batch: 32,
            shift: 22,
            tint: 0.0,
            learning_rate: 2e-3,
            warmup_steps: 200,
            final_rate: 0.02,
            adam: AdamConfig { clip_norm: Some(10.0), ..AdamConfig::default() },
            auxiliary_weight: 0.0,
            lesson_rate: 1.0,
            lesson_every: 1,
            discount: 0.9,
            n_step: 1,
            target_rate: 0.01,
            older_steps: 250,
            label_block: 32,
            label_reuse: 3.0,
            training_buffer: 4096,
            on_policy_share: 0.6,
            on_policy_weight: 4.0,
            terminal_share: 0.2,
            closing_share: 0.3,
            off_policy_capacity: 3000,
            on_policy_capacity: 5000,
            segment: 128,
            attempts_per_round: 256,
            steps_per_round: 192,
            // As many as the replay holds: an image has 668 kB.
            exploration: ExplorationConfig { first_attempts: 300, ..ExplorationConfig::default() },
        };
        match preset {
            Preset::Paper => paper,
            Preset::Cpu => Self {
                preset: Preset::Cpu,
                size: 64,
                batch: 64,
                // What it is told of the image would be elsewhere; it looks a little aside by itself.
                shift: 0,
                // How attempts ended is soon learned by heart: colours vary, weights decay, ends are drawn less often.
                tint: 0.25,
                adam: AdamConfig { weight_decay: 0.05, decoupled: true, ..paper.adam },
                terminal_share: 0.15,
                auxiliary_weight: 2.0,
                // After 600 batches heights are told with an r2 of 0.55; with 1 (and the hand not marked) 0.48.
                lesson_rate: 6.0,
                lesson_every: 2,
                // What is grasped is lifted, and looked at, before the attempt is ended.
                cem: CemConfig { end_above_m: 0.1, ..paper.cem },
                // Over three steps, and with less of a hurry, it learns faster and tries again more often.
                discount: 0.97,
                n_step: 3,
                label_block: 512,
                label_reuse: 5.0,
                off_policy_capacity: 120_000,
                on_policy_capacity: 220_000,
                segment: 4096,
                // Of twice as many it learned no more an update, and there was time for fewer updates.
                attempts_per_round: 128,
                exploration: ExplorationConfig::default(),
                ..paper
            },
        }
    }

    /// # Errors
    /// The first impossible setting, and what is possible.
    pub fn validate(&self) -> Result<(), String> {
        let bad = |message: &str| Err(message.to_owned());
        let e = &self.exploration;
        let shares = [
            self.on_policy_share,
            self.terminal_share,
            self.closing_share,
            e.policy_before,
            e.policy_after,
            e.greedy,
            e.random,
            e.jump_start,
            e.moved,
            e.hurry,
            e.early_end,
            e.script_moved,
            e.script_random,
            e.script_swerve,
            e.go_on,
            self.discount,
        ];
        if shares.iter().any(|share| !(0.0..=1.0).contains(share)) {
            return bad("shares and the discount must be from 0 to 1");
        }
        let least = if self.preset == Preset::Paper { super::network::LEAST_SIZE } else { 16 };
        if !(least..=1024).contains(&self.size) {
            return Err(format!("the image size must be from {least} to 1024, not {}", self.size));
        }
        if ![3, 6].contains(&self.channels) {
            return bad("channels must be 3 (the source image) or 6 (generated and source image)");
        }
        if self.preset == Preset::Cpu && self.shift > 0 {
            return bad("shift must be 0 for the preset cpu: its network knows where in the image things are");
        }
        if self.shift >= self.size / 2 {
            return Err(format!("shift must be below half the image, {} pixels", self.size / 2));
        }
        if !(1..=65_536).contains(&self.batch) || !(1..=65_536).contains(&self.label_block) {
            return bad("batch and label_block must be from 1 to 65536");
        }
        let final_rate = (0.0..=1.0).contains(&self.final_rate);
        if !(self.learning_rate > 0.0 && self.learning_rate <= 1.0 && final_rate) {
            return bad("learning_rate must be above 0 and at most 1, and final_rate from 0 to 1");
        }
        let positive = self.on_policy_weight >= 1.0 && self.on_policy_weight <= 1e6;
        if !(0.0..=1000.0).contains(&self.auxiliary_weight) || !positive {
            return bad("auxiliary_weight must be from 0 to 1000, and on_policy_weight from 1 to 1000000");
        }
        let untaught = self.network.map_features.min(self.network.held_features) == 0;
        if self.preset == Preset::Cpu && self.auxiliary_weight == 0.0 && untaught {
            return bad(
                "with auxiliary_weight 0 nothing teaches the small network to see: set network.map_features and \
                network.held_features to at least 1 (4 and 64, for example), and Q does",
            );
        }
        if !(self.lesson_rate > 0.0 && self.lesson_rate <= 1000.0) {
            return bad("lesson_rate must be above 0 and at most 1000");
        }
        let by_q = self.preset == Preset::Paper || self.network.map_features.max(self.network.held_features) > 0;
        if self.lesson_every == 0 || self.lesson_every > 1000 || (by_q && self.lesson_every > 1) {
            return bad(
                "lesson_every must be from 1 to 1000, and 1 where Q teaches the encoder: with the preset paper, \
                network.map_features or network.held_features",
            );
        }
        if !(0.0..=2.0).contains(&self.tint) {
            return bad("tint must be from 0 to 2");
        }
        if !(1..=100).contains(&self.n_step) {
            return bad("n_step must be from 1 to 100");
        }
        if !(self.target_rate > 0.0 && self.target_rate <= 1.0) || self.older_steps == 0 {
            return bad("target_rate must be above 0 and at most 1, and older_steps at least 1");
        }
        if !(self.label_reuse >= 0.1 && self.label_reuse <= 1000.0) || self.training_buffer < self.batch {
            return bad("label_reuse must be from 0.1 to 1000, and training_buffer at least the batch");
        }
        let transitions = self.off_policy_capacity.checked_add(self.on_policy_capacity);
        let memory = transitions.map_or(f64::INFINITY, |count| count as f64 * self.image_bytes() as f64);
        if !(16..=1_000_000).contains(&self.segment) || memory > 1e12 {
            return bad("a segment must have 16 to 1000000 transitions, and the replay at most 1 TB");
        }
        let rounds = (1..=100_000).contains(&self.attempts_per_round) && self.steps_per_round >= 1;
        if !rounds
            || e.first_attempts > 10_000_000
            || !(0.0..=100.0).contains(&e.deviation)
            || !(-1e6..=1e6).contains(&e.give_up)
        {
            return bad(
                "a round takes 1 to 100000 attempts and at least one step, the noise is from 0 to 100, and give_up from \
                 -1000000 to 1000000",
            );
        }
        self.adam.validate().map_err(|problem| format!("adam.{problem}"))?;
        if self.warmup_steps > MAX_STEPS || self.steps_per_round > MAX_STEPS || self.older_steps > MAX_STEPS {
            return Err(format!("warmup_steps, steps_per_round and older_steps must be at most {MAX_STEPS}"));
        }
        self.cem.validate()?;
        if self.preset == Preset::Cpu { self.network.validate(self.size) } else { Ok(()) }
    }

    /// States and draws of the dense search that the cross-entropy method is compared with. The published network takes as
    /// long for two thousand actions as for a decision of all environments.
    pub const fn dense_search(&self) -> (usize, usize) {
        match self.preset {
            Preset::Cpu => (32, 4096),
            Preset::Paper => (4, 512),
        }
    }

    /// What both replays hold when they are full.
    pub fn replay_bytes(&self) -> u64 {
        let transition = (self.image_bytes() + size_of::<super::replay::Record>()) as u64;
        (self.off_policy_capacity + self.on_policy_capacity) as u64 * transition
    }

    pub fn image_bytes(&self) -> usize {
        self.size * self.size * self.channels
    }

    /// Steps between two labellings.
    pub fn steps_per_label(&self) -> u64 {
        ((self.label_block as f64 * self.label_reuse / self.batch as f64).round() as u64).max(1)
    }

    /// The part of the highest learning rate at `step`, `progress` in [0, 1] of the run being over.
    pub fn rate_factor(&self, step: u64, progress: f64) -> f64 {
        let rise = if step < self.warmup_steps { (step + 1) as f64 / self.warmup_steps as f64 } else { 1.0 };
        let turn = (std::f64::consts::PI * progress.clamp(0.0, 1.0)).cos();
        rise * (self.final_rate + (1.0 - self.final_rate) * 0.5 * (1.0 + turn))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_are_valid_and_survive_toml() -> anyhow::Result<()> {
        for preset in Preset::ALL {
            let config = QtOptConfig::preset(preset);
            config.validate().map_err(anyhow::Error::msg)?;
            assert_eq!(toml::from_str::<QtOptConfig>(&toml::to_string(&config)?)?, config);
            assert_eq!(preset.name().parse(), Ok(preset));
        }
        Ok(())
    }

    #[test]
    fn mistakes_are_named() {
        let check = |change: fn(&mut QtOptConfig), expected: &str| {
            let mut config = QtOptConfig::preset(Preset::Cpu);
            change(&mut config);
            let message = config.validate().err().unwrap_or_default();
            assert!(message.contains(expected), "'{message}' does not say '{expected}'");
        };
        check(|c| c.channels = 4, "6 (generated");
        check(|c| c.discount = 1.5, "discount");
        check(|c| c.cem.elites = 64, "elites");
        check(|c| c.cem.end_above_m = -0.1, "end_above_m");
        check(|c| c.network.look_strides.truncate(2), "filters");
        check(|c| c.shift = 1, "shift must be 0");
        check(|c| c.network.map_features = 300, "map_features");
        check(|c| c.network.found = 1, "widths");
        check(|c| c.auxiliary_weight = 0.0, "nothing teaches");
        check(|c| c.network.map_features = 4, "lesson_every");
        check(|c| c.exploration.go_on = 1.1, "shares");
        check(|c| c.size = 8, "16 to 1024");
        check(|c| c.adam.beta1 = 1.0, "adam.beta1 must be at least 0 and below 1, not 1");
        check(|c| c.adam.epsilon = f64::NAN, "adam.epsilon");
        check(|c| c.exploration.deviation = f32::INFINITY, "noise");
        check(|c| c.exploration.give_up = f32::NAN, "give_up");
        check(|c| c.warmup_steps = u64::MAX, "warmup_steps");
        check(|c| c.training_buffer = 3, "training_buffer");
        check(|c| (c.preset, c.size) = (Preset::Paper, 64), "218");
        assert!("huge".parse::<Preset>().is_err());
    }
}
