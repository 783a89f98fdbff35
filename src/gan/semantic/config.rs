//! Settings of the semantic CycleGAN. The paper's numbers where it gives any.

use crate::nn::AdamConfig;
use serde::{Deserialize, Serialize};

/// Largest sizes that are taken: guards against a mistyped number.
const MAX_SIZE: usize = 2048;
const MAX_BATCH: usize = 4096;
const MAX_FILTERS: usize = 512;

/// How a decoder layer takes in the encoder's features of its size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SkipJoin {
    /// Concatenated after the layer's 3x3 convolution, then a 1x1 convolution to the layer's width: two thirds of the work.
    #[default]
    Mix,
    /// Concatenated before the next layer's convolution (Ronneberger et al., 2015; Isola et al., 2017).
    Concatenate,
}

/// What stands where a depth camera measured nothing, and where a depth is below `near_m`, which it cannot measure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Holes {
    /// The farther of the nearest measurements on both sides in the pixel's row: beside an object, what it stands on. Simulated
    /// and real images then have the same depth at fingers and around objects.
    #[default]
    Background,
    /// `far_m`, as runs before this setting have it; near depths are `near_m`. Simulated images have no holes, so that G has
    /// to invent them, and D_Y learns from those.
    Far,
}

impl Holes {
    /// What runs have whose settings do not say it.
    fn earlier() -> Self {
        Self::Far
    }
}

/// What a translated image is held close to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IdentityLoss {
    /// The image that it was made from: `|G(x) - x| + |F(y) - y|`, equation 2 as printed.
    #[default]
    Translation,
    /// An image that is in the target domain already: `|G(y) - y| + |F(x) - x|` (Zhu et al., 2017).
    SameDomain,
}

/// Weights of equation 4.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LossWeights {
    /// Of the least-squares adversarial terms of generators and discriminators (equation 6).
    pub gan: f64,
    /// Of the distances between images and their way there and back.
    pub cycle: f64,
    /// Of the distances that [`IdentityLoss`] names.
    pub identity: f64,
    /// Cross-entropy of `D_Y(G(x))` that G learns from; without it nothing but the cycle keeps objects where they are.
    pub semantic: f64,
    /// Cross-entropies that the discriminators learn to segment from. Equation 3 has one weight for both.
    pub segmentation: f64,
    /// Cross-entropy of D_Y on x as it is, beside G(x): it then segments while G still learns, and where G errs. The paper has
    /// none, nor have runs before this setting.
    #[serde(default)]
    pub raw_segmentation: f64,
    /// Weight of the depth channel within the cycle and identity losses; a colour channel counts 1.
    pub depth: f64,
}

impl Default for LossWeights {
    fn default() -> Self {
        Self {
            gan: 1.0,
            cycle: 10.0,
            identity: 1.0,
            semantic: 1.0,
            segmentation: 1.0,
            raw_segmentation: 1.0,
            depth: 1.0,
        }
    }
}

/// Settings of the four networks, their losses and their optimizers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SemanticConfig {
    /// Edge of the square images: 64. The encoder halves six times.
    pub size: usize,
    /// Width of the first layer; the seven have 1, 2, 4, 8, 8, 8 and 8 times as much.
    pub filters: usize,
    /// How encoder features join the decoder, in all four networks.
    pub skip: SkipJoin,
    /// The images that a translation is held close to.
    pub identity: IdentityLoss,
    /// Weights of the terms of the objectives.
    pub weights: LossWeights,
    /// Images of each side in a step.
    pub batch: usize,
    /// Probability that a simulated image is given other looks before it is learned from: objects bleached towards grey, and
    /// shade along outlines. The paper has 0; runs before this setting too.
    #[serde(default)]
    pub p_varied_looks: f32,
    /// Dropout in the generator's decoder, all layers but the first and the image itself; the paper gives no probability.
    pub p_dropout: f32,
    /// Learning rate of the generators' optimizers in the first half of a run, above 0.
    pub learning_rate: f64,
    /// The discriminators' learning rate over that of the generators, above 0 (two time scales: Heusel et al., 2017).
    pub discriminator_lr_factor: f64,
    /// Settings of all four optimizers.
    pub adam: AdamConfig,
    /// What takes the place of depths that were not measured.
    #[serde(default = "Holes::earlier")]
    pub holes: Holes,
    /// Depths that the network's -1 and 1 stand for, metres; what is farther is 1.
    pub near_m: f32,
    /// The depth that 1 stands for, metres, beyond `near_m`.
    pub far_m: f32,
}

impl Default for SemanticConfig {
    fn default() -> Self {
        Self {
            size: 64,
            filters: 16,
            skip: SkipJoin::default(),
            identity: IdentityLoss::default(),
            weights: LossWeights::default(),
            batch: 2,
            p_varied_looks: 0.7,
            p_dropout: 0.1,
            learning_rate: 2e-4,
            discriminator_lr_factor: 3.0,
            adam: AdamConfig { beta1: 0.5, ..AdamConfig::default() },
            holes: Holes::default(),
            near_m: 0.2,
            far_m: 1.0,
        }
    }
}

impl SemanticConfig {
    /// # Errors
    /// The first setting that makes no sense, with its cure.
    pub fn validate(&self) -> Result<(), String> {
        if self.size == 0 || self.size % 64 != 0 {
            return Err(format!("size is {}; give a multiple of 64: the encoder halves six times", self.size));
        }
        if self.size > MAX_SIZE {
            return Err(format!("size is {}; give at most {MAX_SIZE}", self.size));
        }
        if !(1..=MAX_BATCH).contains(&self.batch) {
            return Err(format!("batch is {}; give 1 to {MAX_BATCH}", self.batch));
        }
        if self.filters > MAX_FILTERS {
            return Err(format!("filters is {}; give at most {MAX_FILTERS}", self.filters));
        }
        if self.filters == 0 {
            return Err("filters is 0; give at least 1".into());
        }
        if !(0.0..=1.0).contains(&self.p_varied_looks) {
            return Err(format!("p_varied_looks is {}; give a probability from 0 to 1", self.p_varied_looks));
        }
        if !(0.0..1.0).contains(&self.p_dropout) {
            return Err(format!("p_dropout is {}; give a probability from 0 to below 1", self.p_dropout));
        }
        for (name, value) in
            [("learning_rate", self.learning_rate), ("discriminator_lr_factor", self.discriminator_lr_factor)]
        {
            if !(value.is_finite() && value > 0.0) {
                return Err(format!("{name} is {value}; give a number above 0"));
            }
        }
        if !(self.near_m >= 0.0 && self.far_m > self.near_m && self.far_m.is_finite()) {
            let (near, far) = (self.near_m, self.far_m);
            return Err(format!("near_m is {near} and far_m {far}; give 0 <= near < far, metres"));
        }
        self.adam.validate().map_err(|problem| format!("adam.{problem}"))?;
        let LossWeights { gan, cycle, identity, semantic, segmentation, raw_segmentation, depth } = self.weights;
        let weights = [
            ("gan", gan),
            ("cycle", cycle),
            ("identity", identity),
            ("semantic", semantic),
            ("segmentation", segmentation),
            ("raw_segmentation", raw_segmentation),
            ("depth", depth),
        ];
        for (name, weight) in weights {
            if !(weight.is_finite() && weight >= 0.0) {
                return Err(format!("weights.{name} is {weight}; give 0 or more"));
            }
        }
        if semantic > 0.0 && segmentation == 0.0 {
            return Err(
                "weights.semantic is above 0 and weights.segmentation is 0: G would learn from a segmentation \
                        that nothing taught; set both to 0"
                    .into(),
            );
        }
        Ok(())
    }

    /// Factor of the learning rates when `done` of the run is over: 1 in the first half, then linearly to 0, as
    /// CycleGAN's (Zhu et al., 2017).
    pub fn lr_scale(done: f64) -> f64 {
        (2.0 * (1.0 - done)).clamp(0.0, 1.0)
    }
}
