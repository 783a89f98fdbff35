//! Sources and sinks of planes for the convolution driver: this is where everything is fused.

use super::super::activation::Activation;
use super::super::memory::Buffer;
use super::super::parallel::Shared;
use super::super::real::Real;
use super::super::resample::{bilinear2_adjoint_plane, bilinear2_plane};
use super::super::simd::{self, simd_fn};
use super::Resample;
use super::driver::{Planes, Sink};

/// One of the tensors whose channels follow each other in a convolution's input, before resampling.
#[derive(Clone, Copy)]
pub struct Part {
    pub channels: usize,
    pub size: [usize; 2],
    pub resample: Resample,
}

impl Part {
    fn pixels(&self) -> usize {
        self.size[0] * self.size[1]
    }

    fn start(&self, sample: usize, channel: usize) -> usize {
        (sample * self.channels + channel) * self.pixels()
    }
}

fn locate(parts: &[Part], mut channel: usize) -> (usize, usize) {
    for (index, part) in parts.iter().enumerate() {
        if channel < part.channels {
            return (index, channel);
        }
        channel -= part.channels;
    }
    unreachable!("channel beyond the planned ones")
}

/// The input of a convolution.
pub struct InputPlanes<'a, T> {
    pub parts: &'a [Part],
    pub data: Vec<&'a [T]>,
}

impl<T: Real> Planes<T> for InputPlanes<'_, T> {
    fn scratch(&self) -> usize {
        let enlarged = |part: &Part| if part.resample == Resample::Bilinear2 { 4 * part.pixels() } else { 0 };
        self.parts.iter().map(enlarged).max().unwrap_or(0)
    }

    fn plane<'s>(&'s self, sample: usize, channel: usize, scratch: &'s mut [T]) -> &'s [T] {
        let (index, channel) = locate(self.parts, channel);
        let part = &self.parts[index];
        let plane = &self.data[index][part.start(sample, channel)..][..part.pixels()];
        if part.resample != Resample::Bilinear2 {
            return plane;
        }
        let scratch = &mut scratch[..4 * part.pixels()];
        bilinear2_plane(plane, part.size, scratch);
        scratch
    }
}

/// The gradient of a convolution's input; parts that want none have no target.
pub struct InputSink<'a, T> {
    pub parts: &'a [Part],
    /// The gradient of each part, and whether to add to it.
    pub targets: Vec<Option<(Shared<'a, T>, bool)>>,
}

impl<T: Real> Sink<T> for InputSink<'_, T> {
    fn scratch(&self) -> usize {
        self.parts.iter().map(|part| 4 * part.pixels()).max().unwrap_or(0)
    }

    fn emit(&self, sample: usize, channel: usize, scratch: &mut [T], fill: &mut dyn FnMut(&mut [T])) {
        let (index, channel) = locate(self.parts, channel);
        let part = &self.parts[index];
        let Some((target, accumulate)) = &self.targets[index] else { return };
        // SAFETY: every plane is emitted once, and planes are disjoint.
        let target = unsafe { target.range(part.start(sample, channel), part.pixels()) };
        match (part.resample, accumulate) {
            (Resample::Bilinear2, _) => {
                let scratch = &mut scratch[..4 * part.pixels()];
                fill(scratch);
                bilinear2_adjoint_plane(scratch, part.size, target, *accumulate);
            }
            (_, true) => {
                let scratch = &mut scratch[..part.pixels()];
                fill(scratch);
                simd::add_assign(target, scratch);
            }
            (_, false) => fill(target),
        }
    }
}

simd_fn! {
    /// `y = scale * (x - mean) + shift`.
    fn normalize<T>(x: &[T], mean: T, scale: T, shift: T, y: &mut [T]) {
        for (y, &x) in y.iter_mut().zip(x) {
            *y = (x - mean) * scale + shift;
        }
    }
}

simd_fn! {
    fn add_constant<T>(y: &mut [T], constant: T) {
        for y in y.iter_mut() {
            *y += constant;
        }
    }
}

simd_fn! {
    /// `out = gradient_scale * g - offset - slope * (x - mean)`, in place in `g`.
    fn normalize_backward<T>(g: &mut [T], x: &[T], mean: T, gradient_scale: T, offset: T, slope: T) {
        for (g, &x) in g.iter_mut().zip(x) {
            *g = gradient_scale * *g - offset - slope * (x - mean);
        }
    }
}

/// What instance normalization needs, one entry a plane, filled by [`OutputSink`].
pub struct NormState<'a, T> {
    /// Planes before normalization.
    pub before: Shared<'a, T>,
    pub mean: Shared<'a, T>,
    /// `1 / sqrt(variance + epsilon)`.
    pub inverse_deviation: Shared<'a, T>,
    pub epsilon: T,
    /// Scale and shift a channel; empty for none.
    pub gamma: &'a [T],
    pub beta: &'a [T],
}

/// Result of a convolution: bias, normalization, activation.
pub struct OutputSink<'a, T> {
    pub y: Shared<'a, T>,
    pub channels: usize,
    pub pixels: usize,
    pub bias: &'a [T],
    pub norm: Option<NormState<'a, T>>,
    pub activation: Activation,
}

impl<T: Real> Sink<T> for OutputSink<'_, T> {
    fn scratch(&self) -> usize {
        0
    }

    fn emit(&self, sample: usize, channel: usize, _: &mut [T], fill: &mut dyn FnMut(&mut [T])) {
        let index = sample * self.channels + channel;
        // SAFETY: every plane is emitted once, and planes are disjoint.
        let y = unsafe { self.y.range(index * self.pixels, self.pixels) };
        if let Some(norm) = &self.norm {
            // SAFETY: as above.
            let before = unsafe { norm.before.range(index * self.pixels, self.pixels) };
            fill(before);
            // The bias shifts plane and mean alike, so it is left out.
            let count = T::of(self.pixels as f64);
            let mean = simd::sum(before) / count;
            let variance = simd::sum_squared_deviations(before, mean) / count;
            let inverse = T::ONE / (variance + norm.epsilon).sqrt();
            // SAFETY: as above, one element a plane.
            unsafe {
                norm.mean.range(index, 1)[0] = mean;
                norm.inverse_deviation.range(index, 1)[0] = inverse;
            }
            let gamma = norm.gamma.get(channel).copied().unwrap_or(T::ONE);
            let beta = norm.beta.get(channel).copied().unwrap_or(T::ZERO);
            normalize(before, mean, inverse * gamma, beta, y);
        } else {
            fill(y);
            if let Some(&bias) = self.bias.get(channel) {
                add_constant(y, bias);
            }
        }
        self.activation.apply(y);
    }
}

/// What the forward pass kept for the gradient of its normalization.
pub struct NormGradient<'a, T> {
    pub before: &'a [T],
    pub mean: &'a [T],
    pub inverse_deviation: &'a [T],
    pub gamma: &'a [T],
    /// Gradients of scale and shift, one entry a plane.
    pub gamma_sums: Shared<'a, T>,
    pub beta_sums: Shared<'a, T>,
}

/// The gradient before bias, normalization and activation. Also sums each plane, for the bias.
pub struct GradientPlanes<'a, T> {
    pub gradient: &'a [T],
    pub y: &'a [T],
    pub channels: usize,
    pub pixels: usize,
    pub activation: Activation,
    pub norm: Option<NormGradient<'a, T>>,
    pub bias_sums: Option<Shared<'a, T>>,
}

impl<T: Real> Planes<T> for GradientPlanes<'_, T> {
    fn scratch(&self) -> usize {
        self.pixels
    }

    fn plane<'s>(&'s self, sample: usize, channel: usize, scratch: &'s mut [T]) -> &'s [T] {
        let index = sample * self.channels + channel;
        let range = index * self.pixels..(index + 1) * self.pixels;
        let incoming = &self.gradient[range.clone()];
        let out: &[T] = if self.activation == Activation::None && self.norm.is_none() {
            incoming
        } else {
            let g = &mut scratch[..self.pixels];
            self.activation.backward(incoming, &self.y[range.clone()], g);
            if let Some(norm) = &self.norm {
                let x = &norm.before[range];
                let (mean, inverse) = (norm.mean[index], norm.inverse_deviation[index]);
                let (sum, centred) = simd::sum_and_centred_dot(g, x, mean);
                let gamma = norm.gamma.get(channel).copied().unwrap_or(T::ONE);
                // SAFETY: one element a plane, and every plane is asked for once.
                unsafe {
                    norm.gamma_sums.range(index, 1)[0] = centred * inverse;
                    norm.beta_sums.range(index, 1)[0] = sum;
                }
                let count = T::of(self.pixels as f64);
                let scale = gamma * inverse;
                normalize_backward(g, x, mean, scale, scale * sum / count, scale * inverse * inverse * centred / count);
            }
            g
        };
        if let Some(sums) = &self.bias_sums {
            // SAFETY: one element a plane, and every plane is asked for once.
            unsafe { sums.range(index, 1)[0] = simd::sum(out) };
        }
        out
    }
}

/// Sums per-plane values `[n][channels]` over the batch, in order.
pub fn sum_over_batch<T: Real>(values: &[T], channels: usize) -> Buffer<T> {
    let mut total = Buffer::zeroed(channels);
    values.chunks_exact(channels.max(1)).for_each(|row| simd::add_assign(&mut total, row));
    total
}
