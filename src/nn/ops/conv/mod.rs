//! 2D convolution, fused with what commonly stands around it.
//!
//! One op reads its input (or the channels of several inputs, one after the other), enlarges it if asked to, convolves,
//! adds the bias, normalizes and activates; the backward pass runs the same chain the other way. Intermediate planes
//! live in scratch memory that stays in the cache: nothing but the result, and the pre-normalization planes that the
//! gradient needs, is written out. A nearest-neighbour enlargement by two is never carried out: the kernel is folded
//! into its transposed, stride-two equivalent, which takes 4/9 of the multiplications for a 3x3 kernel.
//! The lanes of a vector are pixels, or in batches of small images samples (`plan`, `plan_samples`).

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod driver;
mod fold;
mod im2col;
mod op;
mod pack;
mod pack_samples;
mod plan;
mod plan_samples;
mod planes;
mod stock;
mod tile;

pub use op::{ConvInput, ConvNorm, ConvOptions, conv2d, conv2d_fused};
pub use plan::ConvShape;

/// What happens to an input before it is convolved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Resample {
    /// Taken in its own size.
    #[default]
    None,
    /// Twice as large, each pixel repeated.
    Nearest2,
    /// Twice as large, bilinear, `align_corners = false`.
    Bilinear2,
}
