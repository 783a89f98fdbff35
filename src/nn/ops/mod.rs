//! Native operations on [`Activations`]s: forward and backward on all cores, with AVX-512 where the processor has it.
//!
//! Every function takes and returns values (losses take and return tensors), checks its shapes, and runs either our own
//! kernels (CPU, `f32` and `f64`) or a composition of candle's operations that is known to be right (everything else).
//! Results do not depend on the number of threads. All `unsafe` of the learners lives in this folder.

mod activation;
mod activations;
mod arrange;
pub mod conv;
pub(crate) mod dispatch;
mod elementwise;
mod grid_sample;
mod kind;
mod layer_norm;
pub mod loss;
mod matmul;
pub mod memory;
mod norm;
mod parallel;
mod pool;
mod real;
mod resample;
mod simd;
mod spectral;
mod tracking;
pub(crate) mod update;

#[cfg(test)]
mod checks;

pub use activation::{Activation, activate};
pub use activations::Activations;
pub use arrange::{broadcast_add, concat, dropout, reflection_pad};
pub use conv::{ConvInput, ConvNorm, ConvOptions, Resample, conv2d, conv2d_fused};
pub use dispatch::with_stock_path;
pub use elementwise::{add, affine, flatten, mean_square, mul, reshape};
pub use grid_sample::{Bilinear, SampleGrid, Tap, grid_sample};
pub use kind::OpKind;
pub use layer_norm::{layer_norm, softmax};
pub use matmul::linear;
pub(crate) use matmul::{Matrix, multiply};
pub use norm::{BatchStatistics, ChannelMoments, NormOptions, batch_norm, group_norm, instance_norm};
pub use pool::{avg_pool, global_avg_pool, max_pool};
pub use resample::{upsample_bilinear, upsample_nearest};
pub use spectral::{SingularVectors, spectral_normalize};
pub use tracking::{GradientSource, Gradients, backward};

/// The vector instructions the kernels use on this processor, for reports.
pub fn instructions() -> String {
    format!("{:?}", simd::level()).to_lowercase()
}
