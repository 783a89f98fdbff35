//! Everything that decides what a run of unpaired translation does, with the methods and sizes that go by name.

pub use crate::gan::error::ConfigError;
use crate::gan::losses::{Distance, GanLoss};
use crate::nn::AdamConfig;
pub use crate::train::Preset;
use serde::{Deserialize, Serialize};

/// The four methods that RL-CycleGAN's Table 1 compares: one learner with terms on or off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// G against D_Y alone.
    Gan,
    /// Both generators, both discriminators, cycle consistency (Zhu et al., 2017).
    #[default]
    #[serde(rename = "cyclegan", alias = "cycle-gan")]
    CycleGan,
    /// G with mask, content, task and domain-adversarial losses (Bousmalis et al., 2018).
    #[serde(rename = "graspgan", alias = "grasp-gan")]
    GraspGan,
    /// CycleGAN with the consistency of Q-values (Rao et al., 2020).
    #[serde(rename = "rl-cyclegan", alias = "rl-cycle-gan")]
    RlCycleGan,
}

impl Method {
    /// All methods, in the order of their declaration.
    pub const ALL: [Self; 4] = [Self::Gan, Self::CycleGan, Self::GraspGan, Self::RlCycleGan];

    /// The name on the command line and in tables, which parsing takes.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gan => "gan",
            Self::CycleGan => "cyclegan",
            Self::GraspGan => "graspgan",
            Self::RlCycleGan => "rl-cyclegan",
        }
    }

    /// Whether there is a way back: F and D_X.
    pub const fn has_cycle(self) -> bool {
        matches!(self, Self::CycleGan | Self::RlCycleGan)
    }
}

macro_rules! by_name {
    ($type:ty, $what:literal, $names:literal) => {
        impl std::fmt::Display for $type {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.pad(self.name())
            }
        }

        impl std::str::FromStr for $type {
            type Err = ConfigError;

            fn from_str(text: &str) -> Result<Self, ConfigError> {
                let found = Self::ALL.into_iter().find(|one| one.name() == text);
                found.ok_or_else(|| ConfigError(format!("unknown {} '{text}'; there are {}", $what, $names)))
            }
        }
    };
}

by_name!(Method, "method", "gan, cyclegan, graspgan, rl-cyclegan");

/// A generator's U-Net. Level 0 has the size of the image; each further level halves it by a stride of two.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GeneratorConfig {
    /// Filters of each level.
    pub filters: Vec<usize>,
    /// Further 3x3 convolutions at the deepest level.
    pub bottleneck: usize,
    /// Kernel of the first convolution.
    pub stem_kernel: usize,
    /// Kernel of the last convolution.
    pub head_kernel: usize,
    /// 3x3 convolutions between the last enlargement and the last convolution.
    pub refine: usize,
    /// The input image joins the features again before the last convolution: instance normalization takes the mean and
    /// the contrast of every feature map away, and with them the absolute colours. Not in the paper.
    pub raw_input: bool,
    /// Classes of the mask that G predicts beside the image (GraspGAN); 0 for none.
    pub mask_classes: usize,
    /// Instance normalization has a learned scale and shift, and the convolutions before it have no bias.
    pub affine: bool,
}

impl GeneratorConfig {
    pub(super) fn validate(&self, size: usize) -> Result<(), ConfigError> {
        let bad = |message: String| Err(ConfigError(message));
        if !(1..=10).contains(&self.filters.len()) || self.filters.iter().any(|f| !(1..=8192).contains(f)) {
            return bad("generator.filters must list 1 to 10 levels of 1 to 8192 filters".into());
        }
        // The deepest level needs more than one pixel: instance normalization makes 0 of a single one.
        if size > 4096 || size.div_ceil(1 << (self.filters.len() - 1)) < 2 || size < 8 {
            let least = (1_usize << (self.filters.len() - 1)) + 1;
            return bad(format!(
                "size must be from {} to 4096 for {} levels, not {size}",
                least.max(8),
                self.filters.len()
            ));
        }
        if [self.stem_kernel, self.head_kernel].iter().any(|k| k % 2 == 0 || *k > 31) {
            return bad("generator.stem_kernel and head_kernel must be odd and at most 31".into());
        }
        if self.bottleneck > 64 || self.refine > 64 || self.mask_classes > 256 {
            return bad("generator.bottleneck and refine must be at most 64, mask_classes at most 256".into());
        }
        Ok(())
    }
}

/// What keeps a discriminator's features in bounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DiscriminatorNorm {
    /// Every weight is divided by its largest singular value (Miyato et al., 2018).
    #[default]
    Spectral,
    /// Instance normalization after every convolution but the first and the last (Zhu et al., 2017).
    Instance,
    /// Nothing.
    None,
}

/// Patch discriminators, one a scale.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiscriminatorConfig {
    /// Edge of every kernel.
    pub kernel: usize,
    /// Filters of the convolutions; one to a decision a patch follows.
    pub filters: Vec<usize>,
    /// Stride of each of them.
    pub strides: Vec<usize>,
    /// Images of full, half, quarter, ... size.
    pub scales: usize,
    /// Numbers of state beside each image (is the gripper closed, how high is it), each a constant plane of the input:
    /// with them a generator need not remove an object to be believed.
    pub state_planes: usize,
    /// What keeps the features in bounds. Runs of earlier versions had spectral normalization.
    #[serde(default)]
    pub norm: DiscriminatorNorm,
}

impl DiscriminatorConfig {
    /// Whether instance normalization follows this convolution of a scale; the decision is the last one.
    pub(super) fn has_instance_norm(&self, layer: usize) -> bool {
        self.norm == DiscriminatorNorm::Instance && (1..self.filters.len()).contains(&layer)
    }
}

/// Weights of the terms; 0 leaves a term out. RL-CycleGAN's Table 5: GAN 1, cycle 10, scene 10.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TermWeights {
    /// Of both generators' adversarial terms; above 0.
    pub gan: f64,
    /// Of the cycle terms; [`BalanceConfig`] may set it anew during training.
    pub cycle: f64,
    /// Of the cycle that begins with a real image, relative to the other.
    pub real_cycle: f64,
    /// Of the identity terms: a generator should leave images of its own target domain alone.
    pub identity: f64,
    /// Scene consistency (RL-CycleGAN).
    pub scene: f64,
    /// Pairwise squared error of G(x) and x (GraspGAN).
    pub content: f64,
    /// L2 of the predicted mask (GraspGAN).
    pub mask: f64,
    /// The grasp network's own loss on G(x) (GraspGAN).
    pub task: f64,
    /// Squared distance of the grasp network's features of G(x) and x (GraspGAN).
    pub feature: f64,
    /// The domain classifier's loss, whose gradient reaches the features reversed (GraspGAN; Ganin et al., 2016).
    pub domain: f64,
}

/// Sets the weights of cycle and scene once, so that at G(x) the norms of the terms' gradients have given ratios.
///
/// The papers leave open over what their losses sum, so that published weights mean little elsewhere; the pull of each
/// term at the image that all of them judge does not depend on that.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BalanceConfig {
    /// Norm of the cycle term's gradient over the GAN term's.
    pub cycle_ratio: f64,
    /// Norm of the scene term's gradient over the GAN term's.
    pub scene_ratio: f64,
    /// Steps of adversarial training before measuring.
    pub start_step: u64,
    /// Steps whose norms are averaged.
    pub num_steps: u64,
}

/// Standard deviations of Gaussian noise, in units of the images' `[-1, 1]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoiseConfig {
    /// On every image a discriminator sees, so that it does not live on sensor noise, which no deterministic generator can
    /// make.
    pub discriminator_std: f64,
    /// On a translation before its way back, so that no code can hide in it (Chu et al., 2017).
    pub cycle_std: f64,
}

/// All of a run's settings but its data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CycleGanConfig {
    /// Decides whether there is a way back (F and D_X); the weights decide on the terms.
    pub method: Method,
    /// The named size that the settings began with.
    pub preset: Preset,
    /// Edge of the square images, pixels.
    pub size: usize,
    /// Images of each domain in a batch.
    pub batch: usize,
    /// Adversarial loss of discriminators and generators.
    pub gan_loss: GanLoss,
    /// Distance of the cycle and identity terms.
    pub distance: Distance,
    /// The real cycle is compared after average pooling over squares of this edge: `reality` has noise in every frame
    /// that the way back could only give again by smuggling it.
    pub real_cycle_pooling: usize,
    /// Weights of the terms at the start of the run.
    pub weights: TermWeights,
    /// `None` leaves the weights as they are.
    pub balance: Option<BalanceConfig>,
    /// The scene term takes part in every so many steps, at as many times its weight.
    pub scene_interval: u64,
    /// Steps at the start in which G and F only learn to reproduce images of which a quarter is blanked.
    pub warm_start_steps: u64,
    /// Steps over which the reversed gradient of GraspGAN's domain classifier rises (Ganin et al., 2016).
    pub domain_ramp_steps: u64,
    /// Noise on the discriminators' images and on translations before their way back.
    pub noise: NoiseConfig,
    /// Images in the pool of each discriminator; 0 for no pool.
    pub image_pool: usize,
    /// The averaged generators keep this much of themselves each step (less in the beginning).
    pub ema_decay: f64,
    /// Learning rate of G and F before it falls, above 0 and at most 1.
    pub generator_lr: f64,
    /// Learning rate of the discriminators and the domain classifier before it falls, above 0 and at most 1.
    pub discriminator_lr: f64,
    /// The share of a run after which the learning rates fall in a straight line to 0; 1 keeps them constant.
    pub lr_decay_start: f64,
    /// Optimizers of G and F.
    pub adam: AdamConfig,
    /// Optimizers of the discriminators and the domain classifier.
    pub discriminator_adam: AdamConfig,
    /// Shape of G and F; F has no mask head.
    pub generator: GeneratorConfig,
    /// Shape of D_Y and D_X.
    pub discriminator: DiscriminatorConfig,
}

/// Classes of GraspGAN's mask.
const MASK_CLASSES: usize = crate::contract::Class::COUNT;

impl CycleGanConfig {
    /// The settings of a method at a size. The small ones stand apart from the paper's where 64 pixels, two cores or the
    /// experience of others ask for it; each field says why.
    pub fn preset(method: Method, preset: Preset) -> Self {
        let small = preset == Preset::Small;
        let on = |active: bool, weight: f64| if active { weight } else { 0.0 };
        let (cycle, grasp) = (method.has_cycle(), method == Method::GraspGan);
        let weights = TermWeights {
            gan: 1.0,
            cycle: on(cycle, 10.0),
            real_cycle: if small { 0.5 } else { 1.0 },
            identity: 0.0,
            // Until it is balanced, about what balancing finds: at the published weight its gradient at G(x) is hundreds
            // of times the adversarial one.
            scene: on(method == Method::RlCycleGan, if small { 0.005 } else { 10.0 }),
            content: on(grasp, 1.0),
            mask: on(grasp, 1.0),
            task: on(grasp, 1.0),
            feature: on(grasp, 1.0),
            // GraspGAN's weights are not in its text.
            domain: on(grasp, 0.1),
        };
        let generator = GeneratorConfig {
            filters: if small { vec![24, 48, 96] } else { vec![32, 64, 128, 256, 512, 1024, 1024] },
            bottleneck: if small { 2 } else { 0 },
            stem_kernel: if small { 5 } else { 7 },
            head_kernel: if small { 5 } else { 7 },
            refine: usize::from(small),
            raw_input: small,
            mask_classes: if grasp { MASK_CLASSES } else { 0 },
            affine: true,
        };
        let discriminator = if small {
            DiscriminatorConfig {
                kernel: 3,
                filters: vec![48, 96],
                strides: vec![2, 1],
                scales: 3,
                state_planes: 0,
                norm: DiscriminatorNorm::Instance,
            }
        } else {
            DiscriminatorConfig {
                kernel: 4,
                filters: vec![64, 128, 256, 512],
                strides: vec![2, 2, 2, 1],
                scales: 3,
                state_planes: 0,
                norm: DiscriminatorNorm::Instance,
            }
        };
        let adam = AdamConfig {
            beta1: if small { 0.5 } else { 0.1 },
            clip_norm: small.then_some(10.0),
            ..AdamConfig::default()
        };
        let balance = BalanceConfig { cycle_ratio: 1.0, scene_ratio: 0.5, start_step: 300, num_steps: 10 };
        let lr = if small { 2e-4 } else { 1e-4 };
        Self {
            method,
            preset,
            size: if small { 64 } else { 472 },
            batch: 8,
            gan_loss: GanLoss::Log,
            distance: Distance::Squared,
            real_cycle_pooling: if small { 2 } else { 1 },
            weights,
            balance: (small && cycle).then_some(balance),
            scene_interval: if small { 2 } else { 1 },
            warm_start_steps: if small { 500 } else { 0 },
            domain_ramp_steps: 8_000,
            noise: NoiseConfig {
                discriminator_std: if small { 0.03 } else { 0.0 },
                cycle_std: if small { 0.05 } else { 0.0 },
            },
            image_pool: if small { 50 } else { 0 },
            ema_decay: 0.999,
            generator_lr: lr,
            // Slower ones, without normalization or behind more noise, stay at chance, and translations stay blurred.
            discriminator_lr: if small { 5e-4 } else { lr },
            lr_decay_start: if small { 0.5 } else { 1.0 },
            adam,
            discriminator_adam: adam,
            generator,
            discriminator,
        }
    }

    /// # Errors
    /// The first impossible setting, and what is possible.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let bad = |message: String| Err(ConfigError(message));
        self.generator.validate(self.size)?;
        let d = &self.discriminator;
        if d.filters.is_empty() || d.filters.len() != d.strides.len() || d.strides.iter().any(|s| !(1..=4).contains(s))
        {
            return bad("discriminator.filters and strides must be of one length, with strides from 1 to 4".into());
        }
        if !(2..=15).contains(&d.kernel) || d.filters.iter().any(|f| !(1..=8192).contains(f)) {
            return bad("discriminator.kernel must be from 2 to 15, and its filters from 1 to 8192".into());
        }
        let smallest = self.size >> d.scales.saturating_sub(1).min(16);
        if !(1..=6).contains(&d.scales) || !decides(smallest, d) {
            return bad(format!(
                "discriminator.scales must be from 1 to 6 and leave room for a decision: {smallest} pixels of {} do not",
                self.size
            ));
        }
        if !(1..=4096).contains(&self.batch) || self.image_pool > 100_000 || d.state_planes > 64 {
            return bad("batch must be from 1 to 4096, image_pool at most 100000, state_planes at most 64".into());
        }
        let w = &self.weights;
        let all = [w.gan, w.cycle, w.real_cycle, w.identity, w.scene, w.content, w.mask, w.task, w.feature, w.domain];
        if all.iter().any(|weight| !weight.is_finite() || *weight < 0.0) {
            return bad("the weights of the terms must be finite and not negative".into());
        }
        if w.gan <= 0.0 {
            return bad("weights.gan must be above 0: without it nothing is translated".into());
        }
        if !self.method.has_cycle() && w.cycle + w.scene > 0.0 {
            return bad(format!(
                "weights.cycle and scene need a way back, which '{}' does not have; use cyclegan or rl-cyclegan",
                self.method
            ));
        }
        if w.mask > 0.0 && self.generator.mask_classes == 0 {
            return bad("weights.mask needs generator.mask_classes above 0".into());
        }
        if let Some(balance) = &self.balance {
            let ratios = [balance.cycle_ratio, balance.scene_ratio];
            if ratios.iter().any(|ratio| !ratio.is_finite() || *ratio <= 0.0) || balance.num_steps == 0 {
                return bad("balance needs ratios above 0 and at least one step to measure".into());
            }
            if !self.method.has_cycle() {
                return bad(format!("balance sets the weights of cycle and scene, which '{}' lacks", self.method));
            }
        }
        let stds = [self.noise.discriminator_std, self.noise.cycle_std];
        if stds.iter().any(|std| !(0.0..=2.0).contains(std)) {
            return bad("the standard deviations of the noise must be from 0 to 2".into());
        }
        if !(1..=8).contains(&self.real_cycle_pooling) || self.scene_interval == 0 {
            return bad("real_cycle_pooling must be from 1 to 8 and scene_interval at least 1".into());
        }
        if [self.generator_lr, self.discriminator_lr].iter().any(|lr| !(*lr > 0.0 && *lr <= 1.0)) {
            return bad("the learning rates must be above 0 and at most 1".into());
        }
        if !(0.0..1.0).contains(&self.ema_decay) || !(0.0..=1.0).contains(&self.lr_decay_start) {
            return bad("ema_decay must be in [0, 1) and lr_decay_start in [0, 1]".into());
        }
        for (name, adam) in [("adam", &self.adam), ("discriminator_adam", &self.discriminator_adam)] {
            adam.validate().map_err(|problem| ConfigError(format!("{name}.{problem}")))?;
        }
        Ok(())
    }

    /// What the learning rates are multiplied by when `progress` in `[0, 1]` of the run is over.
    pub fn lr_scale(&self, progress: f64) -> f64 {
        let rest = 1.0 - self.lr_decay_start;
        if rest <= 0.0 { 1.0 } else { ((1.0 - progress.clamp(0.0, 1.0)) / rest).min(1.0) }
    }
}

/// Whether an image of this edge leaves a decision, and more than one pixel to every instance normalization, which makes 0
/// of a single one.
fn decides(size: usize, config: &DiscriminatorConfig) -> bool {
    let padding = (config.kernel - 1) / 2;
    let after = config.strides.iter().chain([&1]).enumerate().try_fold(size, |size, (layer, stride)| {
        let room = (size + 2 * padding).checked_sub(config.kernel)?;
        let size = room / stride + 1;
        (size > usize::from(config.has_instance_norm(layer))).then_some(size)
    });
    after.is_some()
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
