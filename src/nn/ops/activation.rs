//! Activations, fused into convolutions, linear layers and normalizations, or on their own.

use candle_core::{Result, Tensor};

use super::activations::{Activations, with_float};
use super::elementwise::map_parallel;
use super::kind::OpKind;
use super::memory::Buffer;
use super::parallel::{self, ELEMENTWISE_GRAIN, Shared};
use super::real::Real;
use super::simd::simd_fn;
use super::tracking::{Slot, token, track};

/// A point-wise function whose derivative can be told from its result.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Activation {
    /// The identity.
    #[default]
    None,
    /// `max(x, 0)`.
    Relu,
    /// `x` above zero, `slope * x` below; the slope is positive.
    LeakyRelu(f32),
    /// Hyperbolic tangent, in `[-1, 1]`.
    Tanh,
    /// `1 / (1 + exp(-x))`, in `[0, 1]`.
    Sigmoid,
}

/// `1 / (1 + exp(-x))` without overflow on either side.
#[inline(always)]
pub fn sigmoid<T: Real>(x: T) -> T {
    let e = (-x.abs()).exp();
    if x >= T::ZERO { T::ONE / (T::ONE + e) } else { e / (T::ONE + e) }
}

simd_fn! {
    fn leaky_in_place<T>(y: &mut [T], slope: T) {
        for y in y.iter_mut() {
            *y = if *y > T::ZERO { *y } else { *y * slope };
        }
    }
}

simd_fn! {
    fn leaky_backward<T>(gradient: &[T], y: &[T], slope: T, out: &mut [T]) {
        for ((out, &g), &y) in out.iter_mut().zip(gradient).zip(y) {
            *out = if y > T::ZERO { g } else { g * slope };
        }
    }
}

simd_fn! {
    fn tanh_backward<T>(gradient: &[T], y: &[T], out: &mut [T]) {
        for ((out, &g), &y) in out.iter_mut().zip(gradient).zip(y) {
            *out = g * (T::ONE - y * y);
        }
    }
}

simd_fn! {
    fn sigmoid_backward<T>(gradient: &[T], y: &[T], out: &mut [T]) {
        for ((out, &g), &y) in out.iter_mut().zip(gradient).zip(y) {
            *out = g * y * (T::ONE - y);
        }
    }
}

simd_fn! {
    /// `y = max(y, 0)`, and NaN stays NaN so that a diverged net is seen, not hidden.
    fn relu_in_place<T>(y: &mut [T]) {
        for y in y.iter_mut() {
            *y = if *y < T::ZERO { T::ZERO } else { *y };
        }
    }
}

simd_fn! {
    fn relu_backward<T>(gradient: &[T], y: &[T], out: &mut [T]) {
        for ((out, &g), &y) in out.iter_mut().zip(gradient).zip(y) {
            *out = if y > T::ZERO { g } else { T::ZERO };
        }
    }
}

impl Activation {
    pub(crate) fn apply<T: Real>(self, y: &mut [T]) {
        match self {
            Self::None => {}
            Self::Relu => relu_in_place(y),
            Self::LeakyRelu(slope) => leaky_in_place(y, T::of(f64::from(slope))),
            Self::Tanh => y.iter_mut().for_each(|y| *y = y.tanh()),
            Self::Sigmoid => y.iter_mut().for_each(|y| *y = sigmoid(*y)),
        }
    }

    /// `out = gradient * derivative`, the derivative told from the result `y`.
    pub(crate) fn backward<T: Real>(self, gradient: &[T], y: &[T], out: &mut [T]) {
        match self {
            Self::None => out.copy_from_slice(gradient),
            Self::Relu => relu_backward(gradient, y, out),
            Self::LeakyRelu(slope) => leaky_backward(gradient, y, T::of(f64::from(slope)), out),
            Self::Tanh => tanh_backward(gradient, y, out),
            Self::Sigmoid => sigmoid_backward(gradient, y, out),
        }
    }

    /// The same on a candle tensor, from operations whose gradients are right.
    pub(crate) fn stock(self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::None => Ok(x.clone()),
            Self::Relu => x.relu(),
            Self::LeakyRelu(slope) => x.relu()? - (x.neg()?.relu()? * f64::from(slope))?,
            Self::Tanh => x.tanh(),
            // 1 / (1 + exp(-x)) as (tanh(x / 2) + 1) / 2: no overflow.
            Self::Sigmoid => (x * 0.5)?.tanh()?.affine(0.5, 0.5),
        }
    }
}

/// `activation(x)`, any shape.
pub fn activate(x: &Activations, activation: Activation) -> Result<Activations> {
    if activation == Activation::None {
        return Ok(x.clone());
    }
    let Some(native) = x.native() else { return Ok(Activations::stock(activation.stock(&x.to_tensor()?)?)) };
    with_float!(x.dtype(), T => {
        let input = native.buffer::<T>()?;
        let y = map_parallel(&input, |from, to| {
            to.copy_from_slice(from);
            activation.apply(to);
        });
        let y = std::sync::Arc::new(y);
        let slot = Slot::default();
        let token = {
            let (slot, y, input_slot) = (slot.clone(), y.clone(), native.slot.clone());
            track(OpKind::Activation, &[&native.token], move || {
                if let Some(gradient) = slot.take::<T>() {
                    let mut out = Buffer::<T>::stale(y.len());
                    let shared = Shared::new(&mut out);
                    parallel::for_ranges(y.len(), ELEMENTWISE_GRAIN, |range| {
                        // SAFETY: the ranges are disjoint.
                        let out = unsafe { shared.range(range.start, range.len()) };
                        activation.backward(&gradient[range.clone()], &y[range], out);
                    });
                    input_slot.put(out);
                }
                Ok(vec![Some(token()?)])
            })?
        };
        Ok(Activations::from_data(T::wrap(y), x.shape(), token, slot))
    })
}
