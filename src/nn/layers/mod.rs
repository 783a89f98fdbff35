//! Layers: thin structs that own parameters in a store and call one op. Names follow PyTorch's modules, so that saved
//! weights load there by name.

mod conv;
mod linear;
mod module;
mod norm;

pub use conv::{Conv2d, Conv2dConfig, SpectralConv2d};
pub use linear::Linear;
pub use norm::{BatchNorm, GroupNorm, InstanceNorm, LayerNorm};
