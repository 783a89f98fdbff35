//! Neural networks on Candle: native ops with their own backward, layers, initialisers, optimizers, networks.
//!
//! A network's activations are [`Activations`]s; its parameters live in a [`ParamStore`]; losses are candle tensors:
//!
//! ```
//! use bingrasp::contract::Seed;
//! use bingrasp::nn::layers::{Conv2d, Conv2dConfig};
//! use bingrasp::nn::ops::{Activation, loss};
//! use bingrasp::nn::{Adam, AdamConfig, ParamStore, Activations, backward};
//! use candle_core::{DType, Device, Tensor};
//!
//! # fn main() -> anyhow::Result<()> {
//! let store = ParamStore::new(Seed(1), &Device::Cpu);
//! let conv = Conv2d::new(store.root().sub("conv1"), Conv2dConfig::new(3, 8, 3).activation(Activation::Relu))?;
//! let mut adam = Adam::new(&[&store], AdamConfig::default())?;
//!
//! let images = Tensor::ones((2, 3, 16, 16), DType::F32, &Device::Cpu)?;
//! let features = conv.forward(&Activations::from_tensor(&images)?)?;
//! let loss = loss::squared_error(&features.to_tensor()?, 0.5)?;
//! adam.step(&backward(&loss)?, 1e-3)?;
//! # Ok(())
//! # }
//! ```
//!
//! [`backward`] is candle's backward pass without its copies of parameter gradients (`loss.backward()` works as well,
//! slower). Train inside [`with_large_stack`]: it recurses.

#![warn(missing_docs)]

pub mod bench;
pub mod builder;
pub mod device;
pub mod error;
pub mod init;
pub mod layers;
pub mod networks;
pub mod ops;
pub mod optim;
mod optimizer;
pub mod params;
pub mod threads;

pub use builder::Scope;
pub use device::{DeviceError, DeviceSpec, HOST};
pub use error::NnError;
pub use init::Init;
pub use ops::{Activations, GradientSource, Gradients, backward};
pub use optim::{Adam, AdamConfig, Sgd, SgdConfig, StepReport};
pub use params::{Param, ParamStore, StateBuffer};
pub use threads::with_large_stack;
