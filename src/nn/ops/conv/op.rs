//! The convolution as an op: checks, forward, and the closure that candle's backward calls.

use std::sync::Arc;

use candle_core::{Result, Tensor, bail};

use super::super::activation::Activation;
use super::super::activations::{Activations, with_float, with_slice};
use super::super::kind::OpKind;
use super::super::memory::Buffer;
use super::super::parallel::Shared;
use super::super::real::Real;
use super::super::resample::upsample_nearest;
use super::super::tracking::{InputGradients, Slot, deliver, token, track};
use super::driver::{self, Backward, Pass, Planes, Sink};
use super::fold::{fold_kernel, unfold_gradient};
use super::plan::{ConvShape, Plan};
use super::planes::{
    GradientPlanes, InputPlanes, InputSink, NormGradient, NormState, OutputSink, Part, sum_over_batch,
};
use super::{Resample, stock};

/// One input of a convolution. The channels of several inputs follow each other.
#[derive(Clone, Copy)]
pub struct ConvInput<'a> {
    /// `[n, c, h, w]`. All inputs of a convolution have one batch and, once enlarged, one size.
    pub value: &'a Activations,
    /// Enlargement that is part of the convolution.
    pub resample: Resample,
}

impl<'a> From<&'a Activations> for ConvInput<'a> {
    fn from(value: &'a Activations) -> Self {
        Self { value, resample: Resample::None }
    }
}

/// Normalization between bias and activation.
#[derive(Clone, Copy, Default)]
pub enum ConvNorm<'a> {
    /// The bias is followed by the activation at once.
    #[default]
    None,
    /// Every plane of every sample to mean 0 and variance 1 (biased, as everywhere), then `gamma * x + beta` a channel.
    Instance {
        /// Added to the variance.
        epsilon: f64,
        /// Scale `[o]`; `None` is 1.
        gamma: Option<&'a Tensor>,
        /// Shift `[o]`; `None` is 0.
        beta: Option<&'a Tensor>,
    },
}

/// How to convolve, beyond the weight.
#[derive(Clone, Copy)]
pub struct ConvOptions<'a> {
    /// Rows, columns.
    pub stride: [usize; 2],
    /// Zeros on each side: rows, columns.
    pub padding: [usize; 2],
    /// Normalization of the output planes, after the bias.
    pub norm: ConvNorm<'a>,
    /// Applied last.
    pub activation: Activation,
}

impl Default for ConvOptions<'_> {
    fn default() -> Self {
        Self { stride: [1, 1], padding: [0, 0], norm: ConvNorm::None, activation: Activation::None }
    }
}

/// `activation(conv(x, weight) + bias)`: input `[n, c, h, w]`, weight `[o, c, kh, kw]`, bias `[o]`.
pub fn conv2d(
    x: &Activations,
    weight: &Tensor,
    bias: Option<&Tensor>,
    stride: [usize; 2],
    padding: [usize; 2],
    activation: Activation,
) -> Result<Activations> {
    conv2d_fused(&[x.into()], weight, bias, ConvOptions { stride, padding, activation, norm: ConvNorm::None })
}

/// Concatenate, enlarge, convolve, add the bias, normalize and activate, in one op. See [`ConvInput`], [`ConvNorm`].
pub fn conv2d_fused(
    inputs: &[ConvInput<'_>],
    weight: &Tensor,
    bias: Option<&Tensor>,
    options: ConvOptions<'_>,
) -> Result<Activations> {
    let Some(first) = inputs.first() else { bail!("conv2d: no input") };
    if let Some(bias) = bias
        && bias.dims() != [weight.dim(0)?]
    {
        bail!("conv2d: bias {:?} does not fit weight {:?}", bias.dims(), weight.dims())
    }
    if inputs.iter().all(|input| input.value.native().is_none()) {
        return stock::conv2d_fused(inputs, weight, bias, options);
    }
    let enlarged = inputs.iter().any(|input| input.resample == Resample::Nearest2);
    if enlarged && !(inputs.len() == 1 && folds(weight, &options)) {
        let values = inputs
            .iter()
            .map(|input| match input.resample {
                Resample::Nearest2 => upsample_nearest(input.value, [2, 2]),
                _ => Ok(input.value.clone()),
            })
            .collect::<Result<Vec<_>>>()?;
        let inputs: Vec<_> = inputs
            .iter()
            .zip(&values)
            .map(|(input, value)| ConvInput {
                value,
                resample: if input.resample == Resample::Nearest2 { Resample::None } else { input.resample },
            })
            .collect();
        return conv2d_fused(&inputs, weight, bias, options);
    }
    with_float!(first.value.dtype(), T => native::<T>(inputs, weight, bias, options))
}

/// Whether "nearest, then this convolution" can be folded into one.
fn folds(weight: &Tensor, options: &ConvOptions<'_>) -> bool {
    let &[_, _, kh, kw] = weight.dims() else { return false };
    kh == kw && kh % 2 == 1 && options.stride == [1, 1] && options.padding == [(kh - 1) / 2; 2]
}

fn to_vec<T: Real>(tensor: Option<&Tensor>, len: usize, what: &str) -> Result<Vec<T>> {
    let Some(tensor) = tensor else { return Ok(Vec::new()) };
    if tensor.elem_count() != len {
        bail!("conv2d: {what} has {} elements for {len} channels", tensor.elem_count())
    }
    with_slice::<T, _>(tensor, |values| Ok(values.to_vec()))
}

/// What the backward closure keeps.
struct Saved<T: Real> {
    plan: Plan,
    /// The side roles are swapped and the weight folded: nearest enlargement by two.
    folded: bool,
    parts: Vec<Part>,
    /// Data of every part, and its gradient slot if it wants one.
    inputs: Vec<(Arc<Buffer<T>>, Option<Slot>)>,
    weight: Tensor,
    bias: Option<Tensor>,
    gamma: Option<Tensor>,
    beta: Option<Tensor>,
    gamma_values: Vec<T>,
    norm: Option<(Buffer<T>, Buffer<T>, Buffer<T>)>,
    activation: Activation,
    y: Arc<Buffer<T>>,
    y_channels: usize,
    slot: Slot,
}

/// The weight the planned convolution runs with: as it is, or folded.
fn with_planned_weight<T: Real, R>(
    weight: &Tensor,
    folded: bool,
    use_weight: impl FnOnce(&[T]) -> Result<R>,
) -> Result<R> {
    with_slice::<T, _>(weight, |values| {
        if !folded {
            return use_weight(values);
        }
        let (o, c, k, _) = weight.dims4()?;
        use_weight(&fold_kernel(values, o, c, k))
    })
}

fn native<T: Real>(
    inputs: &[ConvInput<'_>],
    weight: &Tensor,
    bias: Option<&Tensor>,
    options: ConvOptions<'_>,
) -> Result<Activations> {
    let folded = inputs[0].resample == Resample::Nearest2;
    let mut parts = Vec::new();
    let mut data = Vec::new();
    let mut tracked: Vec<Tensor> = Vec::new();
    let (mut size, mut batch, mut channels) = (None, None, 0);
    for input in inputs {
        let [n, c, h, w] = input.value.dims4()?;
        let native = input.value.require_native()?;
        let factor = if input.resample == Resample::None { 1 } else { 2 };
        if *size.get_or_insert([factor * h, factor * w]) != [factor * h, factor * w] || *batch.get_or_insert(n) != n {
            bail!("conv2d: inputs of different sizes: {:?}", inputs.iter().map(|i| i.value.shape()).collect::<Vec<_>>())
        }
        channels += c;
        parts.push(Part { channels: c, size: [h, w], resample: input.resample });
        data.push((native.buffer::<T>()?, native.tracked().then(|| native.slot.clone())));
        tracked.push(native.token.clone());
    }
    let (Some([h, w]), Some(n)) = (size, batch) else { bail!("conv2d: no input") };
    let shape = ConvShape::new(&[n, channels, h, w], weight.dims(), options.stride, options.padding)?;
    let y_shape = [n, shape.y_channels, shape.y_size[0], shape.y_size[1]];
    let shape = if folded {
        // Y is the small input, X the large result.
        let (o, c, k, _) = weight.dims4()?;
        ConvShape::new(&[n, o, h, w], &[c, o, k + 1, k + 1], [2, 2], [(k - 1) / 2; 2])?
    } else {
        shape
    };
    let plan = Plan::new(shape)?;
    let [_, o, yh, yw] = y_shape;
    let pixels = yh * yw;

    let (epsilon, gamma, beta, normalized) = match options.norm {
        ConvNorm::None => (0.0, None, None, false),
        ConvNorm::Instance { epsilon, gamma, beta } => (epsilon, gamma, beta, true),
    };
    let bias_values = to_vec::<T>(bias, o, "bias")?;
    let gamma_values = to_vec::<T>(gamma, o, "gamma")?;
    let beta_values = to_vec::<T>(beta, o, "beta")?;
    let mut y = Buffer::<T>::stale(n * o * pixels);
    let mut norm =
        normalized.then(|| (Buffer::stale(n * o * pixels), Buffer::<T>::stale(n * o), Buffer::<T>::stale(n * o)));
    {
        let sink = OutputSink {
            y: Shared::new(&mut y),
            channels: o,
            pixels,
            bias: &bias_values,
            norm: norm.as_mut().map(|(before, mean, inverse_deviation)| NormState {
                before: Shared::new(before),
                mean: Shared::new(mean),
                inverse_deviation: Shared::new(inverse_deviation),
                epsilon: T::of(epsilon),
                gamma: &gamma_values,
                beta: &beta_values,
            }),
            activation: options.activation,
        };
        let planes = InputPlanes { parts: &parts, data: data.iter().map(|(data, _)| &data[..]).collect() };
        let pass = with_planned_weight::<T, _>(weight, folded, |weight| {
            Ok(if folded { Pass::backward(&plan, weight) } else { Pass::forward(&plan, weight) })
        })?;
        driver::run(&plan, &pass, &planes, &sink);
    }

    let slot = Slot::default();
    let y = Arc::new(y);
    let saved = Saved {
        plan,
        folded,
        parts,
        inputs: data,
        weight: weight.clone(),
        bias: bias.cloned(),
        gamma: gamma.cloned(),
        beta: beta.cloned(),
        gamma_values,
        norm,
        activation: options.activation,
        y: y.clone(),
        y_channels: o,
        slot: slot.clone(),
    };
    tracked.extend([Some(weight), bias, gamma, beta].into_iter().flatten().cloned());
    let tracked: Vec<&Tensor> = tracked.iter().collect();
    let kind = if folded { OpKind::NearestUpConv } else { OpKind::Conv };
    let token = track(kind, &tracked, move || saved.backward())?;
    Ok(Activations::from_data(T::wrap(y), &y_shape, token, slot))
}

impl<T: Real> Saved<T> {
    fn backward(&self) -> Result<InputGradients> {
        let Some(gradient) = self.slot.take::<T>() else { return self.nothing() };
        let (o, n) = (self.y_channels, self.plan.shape.n);
        let pixels = self.y.len() / (n * o).max(1);
        let wants = |tensor: &Option<Tensor>| tensor.as_ref().is_some_and(Tensor::track_op);
        let mut sums = Buffer::<T>::stale(if wants(&self.bias) { n * o } else { 0 });
        let mut gamma_sums = Buffer::<T>::stale(if self.norm.is_some() { n * o } else { 0 });
        let mut beta_sums = Buffer::<T>::stale(gamma_sums.len());
        let wants_weight = self.weight.track_op();
        let mut opened: Vec<Option<(Buffer<T>, bool)>> =
            self.inputs.iter().map(|(data, slot)| slot.as_ref().map(|slot| slot.open::<T>(data.len()))).collect();
        let wants_data = opened.iter().any(Option::is_some);
        let weight_gradient = {
            let incoming = GradientPlanes {
                gradient: &gradient,
                y: &self.y,
                channels: o,
                pixels,
                activation: self.activation,
                norm: self.norm.as_ref().map(|(before, mean, inverse_deviation)| NormGradient {
                    before,
                    mean,
                    inverse_deviation,
                    gamma: &self.gamma_values,
                    gamma_sums: Shared::new(&mut gamma_sums),
                    beta_sums: Shared::new(&mut beta_sums),
                }),
                bias_sums: wants(&self.bias).then(|| Shared::new(&mut sums)),
            };
            let input =
                InputPlanes { parts: &self.parts, data: self.inputs.iter().map(|(data, _)| &data[..]).collect() };
            let sink = InputSink {
                parts: &self.parts,
                targets: opened
                    .iter_mut()
                    .map(|opened| opened.as_mut().map(|(buffer, accumulate)| (Shared::new(buffer), *accumulate)))
                    .collect(),
            };
            let pass = wants_data
                .then(|| {
                    with_planned_weight::<T, _>(&self.weight, self.folded, |weight| {
                        Ok(if self.folded {
                            Pass::forward(&self.plan, weight)
                        } else {
                            Pass::backward(&self.plan, weight)
                        })
                    })
                })
                .transpose()?;
            let incoming: &dyn Planes<T> = &incoming;
            let input = wants_weight.then_some(&input as &dyn Planes<T>);
            let (x, y) = if self.folded { (Some(incoming), input) } else { (input, Some(incoming)) };
            let data = pass.as_ref().map(|pass| (pass, &sink as &dyn Sink<T>));
            Backward { plan: &self.plan, x, y, data }.run(wants_weight)
        };
        let mut gradients = Vec::new();
        for ((_, slot), opened) in self.inputs.iter().zip(opened) {
            if let (Some(slot), Some((buffer, _))) = (slot, opened) {
                slot.put(buffer);
            }
            gradients.push(Some(token()?));
        }
        gradients.push(match weight_gradient {
            Some(gradient) if self.folded => {
                let (o, c, k, _) = self.weight.dims4()?;
                deliver(&self.weight, unfold_gradient(&gradient, o, c, k))?
            }
            Some(gradient) => deliver(&self.weight, gradient)?,
            None => None,
        });
        for (tensor, sums) in [(&self.bias, &sums), (&self.gamma, &gamma_sums), (&self.beta, &beta_sums)] {
            if let Some(tensor) = tensor {
                let wanted = tensor.track_op();
                gradients.push(if wanted { deliver(tensor, sum_over_batch(sums, o))? } else { None });
            }
        }
        Ok(gradients)
    }

    /// Nobody asked for this value's gradient: zeros all the way.
    fn nothing(&self) -> Result<InputGradients> {
        let mut gradients = Vec::new();
        for _ in &self.inputs {
            gradients.push(Some(token()?));
        }
        let parameters = [Some(&self.weight), self.bias.as_ref(), self.gamma.as_ref(), self.beta.as_ref()];
        for tensor in parameters.into_iter().flatten() {
            gradients.push(Some(tensor.zeros_like()?));
        }
        Ok(gradients)
    }
}
