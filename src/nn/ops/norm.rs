//! Normalizations with the activation fused: instance and group (per sample), batch (per channel), layer (per row).

use std::sync::Arc;

use candle_core::{Device, Result, Tensor, bail};

use super::activation::Activation;
use super::activations::{Activations, with_float, with_slice};
use super::kind::OpKind;
use super::memory::Buffer;
use super::parallel::{self, Shared};
use super::real::Real;
use super::simd::{self, simd_fn};
use super::tracking::{InputGradients, Slot, deliver, token, track};

/// Scale and shift learned beside a normalization, and what stands after it.
#[derive(Clone, Copy)]
pub struct NormOptions<'a> {
    /// Scale `[channels]`, in layer normalization `[width]`; `None` is 1.
    pub gamma: Option<&'a Tensor>,
    /// Shift of the same shape; `None` is 0.
    pub beta: Option<&'a Tensor>,
    /// Added to the variance.
    pub epsilon: f64,
    /// Applied after scale and shift.
    pub activation: Activation,
}

impl Default for NormOptions<'_> {
    fn default() -> Self {
        Self { gamma: None, beta: None, epsilon: 1e-5, activation: Activation::None }
    }
}

/// Statistics a batch normalization uses.
#[derive(Clone, Copy)]
pub enum BatchStatistics<'a> {
    /// Those of this batch (training).
    Batch,
    /// Given mean and variance a channel (evaluation).
    Fixed {
        /// `[channels]`.
        mean: &'a [f64],
        /// `[channels]`, 0 or more.
        variance: &'a [f64],
    },
}

/// Mean and (biased) variance of each channel.
pub struct ChannelMoments {
    /// `[channels]`.
    pub mean: Vec<f64>,
    /// `[channels]`, divided by the count and not by one less.
    pub variance: Vec<f64>,
}

simd_fn! {
    /// `y = (x - mean) * scale + shift`.
    fn normalize<T>(x: &[T], mean: T, scale: T, shift: T, y: &mut [T]) {
        for (y, &x) in y.iter_mut().zip(x) {
            *y = (x - mean) * scale + shift;
        }
    }
}

simd_fn! {
    /// `out (+)= scale * g - offset - slope * (x - mean)`.
    fn combine<T>(g: &[T], x: &[T], mean: T, factors: [T; 3], accumulate: bool, out: &mut [T]) {
        let [scale, offset, slope] = factors;
        if accumulate {
            for ((out, &g), &x) in out.iter_mut().zip(g).zip(x) {
                *out += scale * g - offset - slope * (x - mean);
            }
        } else {
            for ((out, &g), &x) in out.iter_mut().zip(g).zip(x) {
                *out = scale * g - offset - slope * (x - mean);
            }
        }
    }
}

/// `(what, tensor)` to values, or the default for every channel.
fn channel_values<T: Real>(tensor: Option<&Tensor>, channels: usize, default: T, what: &str) -> Result<Vec<T>> {
    let Some(tensor) = tensor else { return Ok(vec![default; channels]) };
    if tensor.dims() != [channels] {
        bail!("normalization: {what} is {:?}, the input has {channels} channels", tensor.dims())
    }
    with_slice::<T, _>(tensor, |values| Ok(values.to_vec()))
}

/// How elements fall into sets that are normalized together: set `s` consists of planes.
#[derive(Clone, Copy)]
struct Sets {
    n: usize,
    channels: usize,
    pixels: usize,
    /// Channels a set; 0 for sets across the whole batch, one a channel.
    group: usize,
}

impl Sets {
    fn count(&self) -> usize {
        if self.group == 0 { self.channels } else { self.n * self.channels / self.group }
    }

    /// Planes (`sample * channels + channel`) of set `set`, in the order their sums are added.
    fn planes(&self, set: usize) -> impl Iterator<Item = usize> {
        let (first, step, count) =
            if self.group == 0 { (set, self.channels, self.n) } else { (set * self.group, 1, self.group) };
        (0..count).map(move |i| first + i * step)
    }

    fn size(&self) -> usize {
        self.pixels * if self.group == 0 { self.n } else { self.group }
    }
}

/// Normalizes every plane of every sample by itself: `x` `[n, c, h, w]`.
pub fn instance_norm(x: &Activations, options: NormOptions<'_>) -> Result<Activations> {
    let [n, channels, h, w] = x.dims4()?;
    if x.native().is_none() {
        let y = stock_instance_norm(&x.to_tensor()?, options.gamma, options.beta, options.epsilon)?;
        return Ok(Activations::stock(options.activation.stock(&y)?));
    }
    let sets = Sets { n, channels, pixels: h * w, group: 1 };
    with_float!(x.dtype(), T => Ok(normalize_sets::<T>(OpKind::InstanceNorm, x, sets, options, BatchStatistics::Batch)?.0))
}

/// Normalizes groups of `channels / groups` neighbouring channels of each sample together: `x` `[n, c, h, w]`.
pub fn group_norm(x: &Activations, groups: usize, options: NormOptions<'_>) -> Result<Activations> {
    let [n, channels, h, w] = x.dims4()?;
    if groups == 0 || !channels.is_multiple_of(groups) {
        bail!("group_norm: {channels} channels do not make {groups} groups")
    }
    if x.native().is_none() {
        let flat = x.to_tensor()?.reshape((n, groups, channels / groups * h, w))?;
        let y = stock_standardize(&flat, &[2, 3], options.epsilon)?.reshape((n, channels, h, w))?;
        let y = stock_affine(&y, options.gamma, options.beta)?;
        return Ok(Activations::stock(options.activation.stock(&y)?));
    }
    let sets = Sets { n, channels, pixels: h * w, group: channels / groups };
    with_float!(x.dtype(), T => Ok(normalize_sets::<T>(OpKind::GroupNorm, x, sets, options, BatchStatistics::Batch)?.0))
}

/// Normalizes every channel over batch and pixels; also returns the moments it used, for running averages.
pub fn batch_norm(
    x: &Activations,
    statistics: BatchStatistics<'_>,
    options: NormOptions<'_>,
) -> Result<(Activations, ChannelMoments)> {
    let [n, channels, h, w] = x.dims4()?;
    if let BatchStatistics::Fixed { mean, variance } = statistics
        && (mean.len() != channels || variance.len() != channels)
    {
        bail!("batch_norm: statistics of {} and {} channels for {channels}", mean.len(), variance.len())
    }
    if x.native().is_none() {
        return stock_batch_norm(&x.to_tensor()?, statistics, options);
    }
    let sets = Sets { n, channels, pixels: h * w, group: 0 };
    with_float!(x.dtype(), T => normalize_sets::<T>(OpKind::BatchNorm, x, sets, options, statistics))
}

fn normalize_sets<T: Real>(
    kind: OpKind,
    x: &Activations,
    sets: Sets,
    options: NormOptions<'_>,
    statistics: BatchStatistics<'_>,
) -> Result<(Activations, ChannelMoments)> {
    let native = x.require_native()?;
    let input = native.buffer::<T>()?;
    let (pixels, channels) = (sets.pixels, sets.channels);
    let activation = options.activation;
    let gamma = channel_values(options.gamma, channels, T::ONE, "gamma")?;
    let beta = channel_values(options.beta, channels, T::ZERO, "beta")?;
    let fixed = matches!(statistics, BatchStatistics::Fixed { .. });
    let count = sets.count();
    let size = T::of(sets.size() as f64);
    let mut y = Buffer::<T>::stale(input.len());
    let (mut mean, mut inverse) = (Buffer::<T>::stale(count), Buffer::<T>::stale(count));
    let mut variances = Buffer::<T>::stale(count);
    {
        let (y, mean, inverse) = (Shared::new(&mut y), Shared::new(&mut mean), Shared::new(&mut inverse));
        let variances = Shared::new(&mut variances);
        parallel::for_ranges(count, (1 << 15) / sets.size().max(1) + 1, |range| {
            for set in range {
                let plane = |p: usize| &input[p * pixels..(p + 1) * pixels];
                let (m, v) = match statistics {
                    BatchStatistics::Fixed { mean, variance } => (T::of(mean[set]), T::of(variance[set])),
                    BatchStatistics::Batch => {
                        let m = sets.planes(set).map(|p| simd::sum(plane(p))).sum::<T>() / size;
                        let v = sets.planes(set).map(|p| simd::sum_squared_deviations(plane(p), m)).sum::<T>() / size;
                        (m, v)
                    }
                };
                let i = T::ONE / (v + T::of(options.epsilon)).sqrt();
                // SAFETY: one element a set, and sets consist of disjoint planes.
                unsafe {
                    mean.range(set, 1)[0] = m;
                    variances.range(set, 1)[0] = v;
                    inverse.range(set, 1)[0] = i;
                }
                for p in sets.planes(set) {
                    // SAFETY: as above.
                    let y = unsafe { y.range(p * pixels, pixels) };
                    let channel = p % channels;
                    normalize(plane(p), m, i * gamma[channel], beta[channel], y);
                    activation.apply(y);
                }
            }
        });
    }
    let moments = ChannelMoments {
        mean: mean.iter().map(|m| m.as_f64()).collect(),
        variance: variances.iter().map(|v| v.as_f64()).collect(),
    };
    let y = Arc::new(y);
    let slot = Slot::default();
    let mut tracked = vec![&native.token];
    tracked.extend(options.gamma);
    tracked.extend(options.beta);
    let saved = Saved {
        sets,
        input,
        x_slot: native.tracked().then(|| native.slot.clone()),
        y: y.clone(),
        mean,
        inverse,
        gamma,
        parameters: [options.gamma.cloned(), options.beta.cloned()],
        activation,
        fixed,
        slot: slot.clone(),
    };
    let token = track(kind, &tracked, move || saved.backward())?;
    Ok((Activations::from_data(T::wrap(y), x.shape(), token, slot), moments))
}

struct Saved<T: Real> {
    sets: Sets,
    input: Arc<Buffer<T>>,
    x_slot: Option<Slot>,
    y: Arc<Buffer<T>>,
    mean: Buffer<T>,
    inverse: Buffer<T>,
    gamma: Vec<T>,
    parameters: [Option<Tensor>; 2],
    activation: Activation,
    /// The statistics were constants, not functions of the input.
    fixed: bool,
    slot: Slot,
}

impl<T: Real> Saved<T> {
    fn backward(&self) -> Result<InputGradients> {
        let Some(gradient) = self.slot.take::<T>() else {
            let mut gradients = vec![Some(token()?)];
            for tensor in self.parameters.iter().flatten() {
                gradients.push(Some(tensor.zeros_like()?));
            }
            return Ok(gradients);
        };
        let Sets { n, channels, pixels, .. } = self.sets;
        let count = self.sets.count();
        let size = T::of(self.sets.size() as f64);
        let (mut dots, mut sums) = (Buffer::<T>::stale(n * channels), Buffer::<T>::stale(n * channels));
        let (mut total, accumulate) = match &self.x_slot {
            Some(slot) => slot.open::<T>(self.input.len()),
            None => (Buffer::stale(self.input.len()), false),
        };
        {
            let (dots, sums, total) = (Shared::new(&mut dots), Shared::new(&mut sums), Shared::new(&mut total));
            parallel::for_ranges(count, (1 << 15) / self.sets.size().max(1) + 1, |range| {
                let mut scratch = Buffer::<T>::stale(self.sets.size());
                for set in range {
                    let (mean, inverse) = (self.mean[set], self.inverse[set]);
                    let (mut sum, mut dot) = (T::ZERO, T::ZERO);
                    for (p, g) in self.sets.planes(set).zip(scratch.chunks_exact_mut(pixels.max(1))) {
                        let range = p * pixels..(p + 1) * pixels;
                        self.activation.backward(&gradient[range.clone()], &self.y[range.clone()], g);
                        let (s, d) = simd::sum_and_centred_dot(g, &self.input[range], mean);
                        let gamma = self.gamma[p % channels];
                        sum += gamma * s;
                        dot += gamma * d;
                        // SAFETY: one element a plane, and planes belong to one set.
                        unsafe {
                            sums.range(p, 1)[0] = s;
                            dots.range(p, 1)[0] = d * inverse;
                        }
                    }
                    let (offset, slope) = if self.fixed {
                        (T::ZERO, T::ZERO)
                    } else {
                        (inverse * sum / size, inverse * inverse * inverse * dot / size)
                    };
                    for (p, g) in self.sets.planes(set).zip(scratch.chunks_exact(pixels.max(1))) {
                        let scale = inverse * self.gamma[p % channels];
                        // SAFETY: planes are disjoint.
                        let out = unsafe { total.range(p * pixels, pixels) };
                        let x = &self.input[p * pixels..(p + 1) * pixels];
                        combine(g, x, mean, [scale, offset, slope], accumulate, out);
                    }
                }
            });
        }
        if let Some(slot) = &self.x_slot {
            slot.put(total);
        }
        let mut gradients = vec![Some(token()?)];
        for (tensor, per_plane) in self.parameters.iter().zip([&dots, &sums]) {
            if let Some(tensor) = tensor {
                let mut sum = Buffer::zeroed(channels);
                per_plane.chunks_exact(channels.max(1)).for_each(|row| simd::add_assign(&mut sum, row));
                gradients.push(deliver(tensor, sum)?);
            }
        }
        Ok(gradients)
    }
}

/// `(x - mean) / sqrt(variance + epsilon)` over `dims`, with candle's operations.
fn stock_standardize(x: &Tensor, dims: &[usize], epsilon: f64) -> Result<Tensor> {
    let centred = x.broadcast_sub(&x.mean_keepdim(dims)?)?;
    let variance = centred.sqr()?.mean_keepdim(dims)?;
    centred.broadcast_div(&(variance + epsilon)?.sqrt()?)
}

fn stock_affine(x: &Tensor, gamma: Option<&Tensor>, beta: Option<&Tensor>) -> Result<Tensor> {
    let per_channel = |tensor: &Tensor| tensor.reshape((1, tensor.elem_count(), 1, 1));
    let x = match gamma {
        Some(gamma) => x.broadcast_mul(&per_channel(gamma)?)?,
        None => x.clone(),
    };
    match beta {
        Some(beta) => x.broadcast_add(&per_channel(beta)?),
        None => Ok(x),
    }
}

pub(crate) fn stock_instance_norm(
    x: &Tensor,
    gamma: Option<&Tensor>,
    beta: Option<&Tensor>,
    epsilon: f64,
) -> Result<Tensor> {
    stock_affine(&stock_standardize(x, &[2, 3], epsilon)?, gamma, beta)
}

fn stock_batch_norm(
    x: &Tensor,
    statistics: BatchStatistics<'_>,
    options: NormOptions<'_>,
) -> Result<(Activations, ChannelMoments)> {
    let c = x.dim(1)?;
    let constant = |values: &[f64]| {
        Tensor::from_slice(values, (1, c, 1, 1), &Device::Cpu)?.to_dtype(x.dtype())?.to_device(x.device())
    };
    let (mean, variance) = match statistics {
        BatchStatistics::Fixed { mean, variance } => (constant(mean)?, constant(variance)?),
        BatchStatistics::Batch => {
            let mean = x.mean_keepdim(&[0, 2, 3][..])?;
            let variance = x.broadcast_sub(&mean)?.sqr()?.mean_keepdim(&[0, 2, 3][..])?;
            (mean, variance)
        }
    };
    let y = x.broadcast_sub(&mean)?.broadcast_div(&(&variance + options.epsilon)?.sqrt()?)?;
    let y = options.activation.stock(&stock_affine(&y, options.gamma, options.beta)?)?;
    let values = |t: &Tensor| t.detach().flatten_all()?.to_dtype(candle_core::DType::F64)?.to_vec1::<f64>();
    Ok((Activations::stock(y), ChannelMoments { mean: values(&mean)?, variance: values(&variance)? }))
}
