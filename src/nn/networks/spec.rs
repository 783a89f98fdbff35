//! Inputs and outputs that a network declares; tests and serving derive random batches and checks from them.

use candle_core::{Device, Result, Tensor, bail};

use crate::contract::Rng;
use crate::nn::device::HOST;
use crate::nn::ops::Activations;
use crate::nn::params::ParamStore;

/// One dimension of an input or output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dim {
    /// The batch, any size from 1.
    Batch,
    /// Always this many.
    Fixed(usize),
}

/// What the numbers may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Range {
    /// Any finite number.
    Real,
    /// Between two numbers, both included.
    Between(f32, f32),
}

/// One input or output of a network.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// Name of the tensor in the errors of [`Spec::check`].
    pub name: &'static str,
    /// Its dimensions, outermost first.
    pub shape: Vec<Dim>,
    /// The bounds of every element.
    pub range: Range,
}

impl Spec {
    /// Images `[batch, channels, height, width]`.
    pub fn image(name: &'static str, channels: usize, [h, w]: [usize; 2], range: Range) -> Self {
        Self { name, shape: vec![Dim::Batch, Dim::Fixed(channels), Dim::Fixed(h), Dim::Fixed(w)], range }
    }

    /// Vectors `[batch, size]`.
    pub fn vector(name: &'static str, size: usize, range: Range) -> Self {
        Self { name, shape: vec![Dim::Batch, Dim::Fixed(size)], range }
    }

    /// The shape of a batch of `batch` samples.
    pub fn dims(&self, batch: usize) -> Vec<usize> {
        let size = |dim: &Dim| match dim {
            Dim::Batch => batch,
            Dim::Fixed(size) => *size,
        };
        self.shape.iter().map(size).collect()
    }

    /// Random numbers that satisfy the declaration.
    pub fn random(&self, batch: usize, rng: &mut Rng, device: &Device) -> Result<Tensor> {
        let dims = self.dims(batch);
        let count = dims.iter().product();
        let values: Vec<f32> = (0..count)
            .map(|_| match self.range {
                Range::Real => rng.normal(),
                Range::Between(low, high) => rng.range(low, high),
            })
            .collect();
        Tensor::from_vec(values, dims, &HOST)?.to_device(device)
    }

    /// Fails, naming the tensor, when shape or numbers are not as declared.
    pub fn check(&self, tensor: &Tensor, batch: usize) -> Result<()> {
        if tensor.dims() != self.dims(batch) {
            bail!("`{}` has shape {:?}, declared is {:?}", self.name, tensor.dims(), self.dims(batch))
        }
        let values = tensor.detach().to_dtype(candle_core::DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
        let fits = |x: f32| match self.range {
            Range::Real => x.is_finite(),
            Range::Between(low, high) => (low..=high).contains(&x),
        };
        match values.iter().find(|&&x| !fits(x)) {
            Some(x) => bail!("`{}` holds {x}, declared is {:?}", self.name, self.range),
            None => Ok(()),
        }
    }
}

/// A network with its parameters and declarations.
pub trait Network {
    /// The network's parameters and buffers, for optimizers and checkpoints.
    fn store(&self) -> &ParamStore;
    /// The inputs that [`Network::forward`] takes, in its order.
    fn inputs(&self) -> Vec<Spec>;
    /// The outputs that [`Network::forward`] gives, in its order.
    fn outputs(&self) -> Vec<Spec>;
    /// Inputs and outputs in the declared order.
    fn forward(&self, inputs: &[Activations]) -> Result<Vec<Activations>>;
}

/// Feeds a random batch built from the declarations and checks the outputs against them.
pub fn check_network(network: &dyn Network, batch: usize, rng: &mut Rng) -> Result<()> {
    let device = network.store().device().clone();
    let inputs = network
        .inputs()
        .iter()
        .map(|spec| Activations::from_tensor(&spec.random(batch, rng, &device)?))
        .collect::<Result<Vec<_>>>()?;
    let outputs = network.forward(&inputs)?;
    let specs = network.outputs();
    if outputs.len() != specs.len() {
        bail!("the network gave {} outputs, declared are {}", outputs.len(), specs.len())
    }
    for (spec, output) in specs.iter().zip(outputs) {
        spec.check(&output.to_tensor()?, batch)?;
    }
    Ok(())
}
