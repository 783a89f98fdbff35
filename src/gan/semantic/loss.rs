//! The losses of equations 2 to 6, as functions of tensors.

use super::batch::CHANNELS;
use crate::nn::ops::loss::{absolute_error, least_squares_gan, softmax_cross_entropy};
use candle_core::{Result, Tensor};

/// `1/2 E (D(real) - 1)^2 + 1/2 E D(fake)^2` (equation 6), values `[n]`.
///
/// # Errors
/// Empty tensors.
pub fn discriminator_loss(real: &Tensor, fake: &Tensor) -> Result<Tensor> {
    ((least_squares_gan(real, 1.0)? + least_squares_gan(fake, 0.0)?)? * 0.5)?.reshape(())
}

/// `1/2 E (D(fake) - 1)^2` (equation 6).
///
/// # Errors
/// Empty tensors.
pub fn generator_loss(fake: &Tensor) -> Result<Tensor> {
    (least_squares_gan(fake, 1.0)? * 0.5)?.reshape(())
}

/// Mean absolute difference of two images `[n, 4, h, w]`, where the depth channel counts `depth` times as much as a colour:
/// `(3 |rgb| + depth |d|) / (3 + depth)` with means over each. With a weight of 1 it is the plain mean.
///
/// # Errors
/// Different shapes.
pub fn image_distance(a: &Tensor, b: &Tensor, depth: f64) -> Result<Tensor> {
    let colours = CHANNELS - 1;
    let part = |from: usize, count: usize| -> Result<Tensor> {
        absolute_error(&a.narrow(1, from, count)?.contiguous()?, &b.narrow(1, from, count)?.contiguous()?)
    };
    let weighted = ((part(0, colours)? * colours as f64)? + (part(colours, 1)? * depth)?)?;
    weighted / (colours as f64 + depth)
}

/// Pixel-wise cross-entropy of logits `[n, 3, h, w]` with class numbers `[n, h, w]` (equation 3).
///
/// # Errors
/// Different shapes.
pub fn semantic_loss(logits: &Tensor, classes: &Tensor) -> Result<Tensor> {
    softmax_cross_entropy(logits, classes)
}
