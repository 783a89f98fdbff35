//! GraspGAN's grasp network C (Bousmalis et al., 2018): from an image, the gripper's state and an action to the value of that
//! action, with batch statistics of its own for each domain.
//!
//! The papers give no sizes for it at 64 pixels; these are of the grasp network's pattern: convolutions on the image, the motor
//! command joined to their features, two layers more. It teaches the generators and is thrown away.

use crate::contract::{Action, Seed};
use crate::gan::cyclegan::{CycleGanError, ImageDomain, TaskNetwork, UnpairedBatch};
use crate::nn::layers::{BatchNorm, Conv2d, Conv2dConfig, Linear};
use crate::nn::ops::loss::sigmoid_cross_entropy;
use crate::nn::ops::{self, Activation, Activations};
use crate::nn::{Adam, AdamConfig, Gradients, Init, NnError, ParamStore};
use crate::rl::qtopt::network::PUBLISHED_STATE_LEN;
use candle_core::{DType, Device, Result, Tensor};

/// For rectified layers (He et al., 2015).
const HE: Init = Init::KaimingUniform { gain: std::f32::consts::SQRT_2 };
/// Filters of the convolutions, each halving the image; the features are those of the last.
const FILTERS: [usize; 3] = [32, 64, 64];
const WIDTH: usize = 128;
/// Numbers of a row of labels: the value, the gripper's state, the action.
pub const LABEL_LEN: usize = 1 + PUBLISHED_STATE_LEN + Action::ENCODED_LEN;

struct Block {
    conv: Conv2d,
    /// By [`ImageDomain`]: one scale and shift, statistics of each domain.
    norms: [BatchNorm; 3],
}

/// See the file's head.
pub struct GraspNetwork {
    store: ParamStore,
    blocks: Vec<Block>,
    spatial: Conv2d,
    image: Linear,
    command: Linear,
    value: Linear,
    adam: Adam,
    lr: f64,
}

impl GraspNetwork {
    /// For square images of this size, at least 16.
    ///
    /// # Errors
    /// A device that fails.
    pub fn new(size: usize, lr: f64, seed: Seed, device: &Device) -> std::result::Result<Self, NnError> {
        let store = ParamStore::new(seed, device);
        let mut blocks = Vec::new();
        let (mut inputs, mut edge) = (3, size);
        for (index, filters) in FILTERS.into_iter().enumerate() {
            let scope = |name: &str| store.root().sub(format!("conv.{index}")).sub(name);
            let config = Conv2dConfig::new(inputs, filters, 3).stride(2).without_bias().init(HE);
            let conv = Conv2d::new(store.root().sub(format!("conv.{index}")), config)?;
            let norm = BatchNorm::new(scope("norm"), filters)?;
            let adapted = norm.with_own_statistics(scope("norm_adapted"))?;
            let real = norm.with_own_statistics(scope("norm_real"))?;
            blocks.push(Block { conv, norms: [norm, adapted, real] });
            (inputs, edge) = (filters, edge.div_ceil(2));
        }
        let config = Conv2dConfig::new(inputs, WIDTH / 4, 3).stride(2).activation(Activation::Relu).init(HE);
        let spatial = Conv2d::new(store.root().sub("spatial"), config)?;
        let flat = WIDTH / 4 * edge.div_ceil(2).pow(2);
        let image = Linear::new(store.root().sub("image"), flat, WIDTH, Activation::None)?;
        let command = Linear::new(store.root().sub("command"), LABEL_LEN - 1, WIDTH, Activation::None)?;
        let value = Linear::new(store.root().sub("value"), WIDTH, 1, Activation::None)?;
        let adam = Adam::new(&[&store], AdamConfig { clip_norm: Some(10.0), ..AdamConfig::default() })?;
        Ok(Self { store, blocks, spatial, image, command, value, adam, lr })
    }

    /// Its parameters and its optimizer, to save.
    pub(super) fn parts(&mut self) -> (&ParamStore, &mut Adam) {
        (&self.store, &mut self.adam)
    }

    /// Logits of the values `[n]`.
    fn logits(&self, features: &Activations, commands: &Tensor) -> Result<Tensor> {
        let image = self.image.forward(&ops::flatten(&self.spatial.forward(features)?)?)?;
        let command = self.command.forward(&Activations::from_tensor(commands)?)?;
        let joined = ops::activate(&ops::add(&image, &command)?, Activation::Relu)?;
        self.value.forward(&joined)?.to_tensor()?.flatten_all()
    }
}

impl TaskNetwork for GraspNetwork {
    fn store(&self) -> &ParamStore {
        &self.store
    }

    fn feature_channels(&self) -> usize {
        FILTERS[FILTERS.len() - 1]
    }

    fn features(&self, images: &Activations, domain: ImageDomain, train: bool) -> Result<Activations> {
        let statistics = match domain {
            ImageDomain::Simulation => 0,
            ImageDomain::Adapted => 1,
            ImageDomain::Reality => 2,
        };
        let mut features = images.clone();
        for block in &self.blocks {
            let norm = &block.norms[statistics];
            features = block.conv.forward_normalized(&[(&features).into()], norm, Activation::Relu, train)?;
        }
        Ok(features)
    }

    fn loss(&self, features: &Activations, batch: &UnpairedBatch) -> std::result::Result<Tensor, CycleGanError> {
        let labels = batch.x_labels.as_ref().filter(|labels| labels.dims().get(1) == Some(&LABEL_LEN));
        let labels = labels.ok_or_else(|| {
            CycleGanError::Input(format!("the task loss needs labels [n, {LABEL_LEN}] of x: value, gripper, action"))
        })?;
        let targets = labels.narrow(1, 0, 1)?.contiguous()?.flatten_all()?;
        let commands = labels.narrow(1, 1, LABEL_LEN - 1)?.contiguous()?.to_dtype(DType::F32)?;
        Ok(sigmoid_cross_entropy(&self.logits(features, &commands)?, &targets)?)
    }

    fn step(&mut self, gradients: &Gradients, lr_scale: f64) -> std::result::Result<(), CycleGanError> {
        self.adam.step(gradients, lr_scale * self.lr)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gan::cyclegan::noise::noise;
    use crate::nn::HOST;
    use crate::nn::backward;

    fn batch(n: usize, targets: &[f32]) -> anyhow::Result<UnpairedBatch> {
        let x = noise(&[n, 3, 16, 16], 0.5, Seed(1), &HOST)?;
        let mut batch = UnpairedBatch::new(x.clone(), x);
        let rows: Vec<f32> =
            targets.iter().flat_map(|target| std::iter::once(*target).chain([0.2; LABEL_LEN - 1])).collect();
        batch.x_labels = Some(Tensor::from_vec(rows, (n, LABEL_LEN), &HOST)?);
        Ok(batch)
    }

    #[test]
    fn it_learns_its_labels_from_images_and_keeps_the_domains_statistics_apart() -> anyhow::Result<()> {
        let targets = [1.0, 0.0, 1.0, 0.0, 0.0, 1.0];
        let batch = batch(6, &targets)?;
        let mut network = GraspNetwork::new(16, 3e-3, Seed(3), &HOST)?;
        let x = Activations::from_tensor(&batch.x)?;
        let mut losses = Vec::new();
        for _ in 0..60 {
            let loss = network.loss(&network.features(&x, ImageDomain::Simulation, true)?, &batch)?;
            losses.push(loss.to_scalar::<f32>()?);
            network.step(&backward(&loss)?, 1.0)?;
        }
        assert!(losses[0] > 0.5 && losses[59] < 0.1, "{} {}", losses[0], losses[59]);
        // The other domains' statistics have not moved: mean 0, variance 1.
        let state = network.store().state_tensors()?;
        let find = |name: &str| -> anyhow::Result<Vec<f32>> {
            let found = state.iter().find(|(known, _)| known == name);
            Ok(found.ok_or_else(|| anyhow::anyhow!("no {name}"))?.1.to_vec1::<f32>()?)
        };
        assert_eq!(find("conv.0.norm_real.running_mean")?, [0.0; 32]);
        assert_eq!(find("conv.0.norm_adapted.running_var")?, [1.0; 32]);
        assert!(find("conv.0.norm.running_mean")?.iter().any(|mean| mean.abs() > 1e-3));
        Ok(())
    }

    #[test]
    fn missing_labels_are_named() -> anyhow::Result<()> {
        let network = GraspNetwork::new(16, 1e-3, Seed(3), &HOST)?;
        let mut batch = batch(2, &[0.0, 1.0])?;
        batch.x_labels = None;
        let features = network.features(&Activations::from_tensor(&batch.x)?, ImageDomain::Adapted, true)?;
        let error = network.loss(&features, &batch).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains("labels"), "{error}");
        Ok(())
    }
}
