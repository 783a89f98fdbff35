//! In-place updates of parameters: optimizer steps and lagged copies, fused and on all cores.

use std::cell::RefCell;

use candle_core::{CpuStorage, DType, InplaceOp1, Layout, Result, Tensor, Var, bail};

use super::activations::with_slice;
use super::dispatch::is_native;
use super::parallel::{self, Shared};
use super::simd::simd_fn;
use super::tracking::GradientSource;

/// Floats of one task.
const GRAIN: usize = 1 << 15;

/// Lets `update` change the elements of an f32 variable on the CPU.
fn in_place(var: &Var, update: impl FnOnce(&mut [f32]) -> Result<()>) -> Result<()> {
    struct Op<F>(RefCell<Option<F>>);
    impl<F: FnOnce(&mut [f32]) -> Result<()>> InplaceOp1 for Op<F> {
        fn name(&self) -> &'static str {
            "bingrasp-update"
        }
        fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
            let CpuStorage::F32(values) = storage else { bail!("in-place updates want f32") };
            let at = layout.start_offset();
            let values = &mut values[at..at + layout.shape().elem_count()];
            match self.0.borrow_mut().take() {
                Some(update) => update(values),
                None => Ok(()),
            }
        }
    }
    var.inplace_op1(&Op(RefCell::new(Some(update))))
}

/// One parameter's gradient, wherever a backward pass left it.
pub enum Gradient<'a> {
    Floats(&'a [f32]),
    Tensor(Tensor),
}

impl<'a> Gradient<'a> {
    pub fn find(source: &'a impl GradientSource, var: &Var) -> Result<Option<Self>> {
        match source.floats(var) {
            Some(floats) => Ok(Some(Self::Floats(floats))),
            None => Ok(source.tensor(var)?.map(Self::Tensor)),
        }
    }

    fn with_floats<R>(&self, read: impl FnOnce(&[f32]) -> Result<R>) -> Result<R> {
        match self {
            Self::Floats(floats) => read(floats),
            Self::Tensor(tensor) => with_slice::<f32, _>(tensor, read),
        }
    }

    /// As a tensor of the variable's shape.
    pub fn to_tensor(&self, var: &Var) -> Result<Tensor> {
        match self {
            Self::Floats(floats) => Tensor::from_slice(floats, var.shape(), var.device()),
            Self::Tensor(tensor) => Ok(tensor.clone()),
        }
    }

    /// Sum of squares of all elements, in f64, in an order that depends on the length alone.
    pub fn sum_of_squares(&self) -> Result<f64> {
        match self {
            Self::Tensor(tensor) if !(tensor.device().is_cpu() && tensor.dtype() == DType::F32) => {
                tensor.to_dtype(DType::F64)?.sqr()?.sum_all()?.to_scalar::<f64>()
            }
            _ => self.with_floats(|values| {
                let mut partial = vec![0.0_f64; values.len().div_ceil(GRAIN)];
                let shared = Shared::new(&mut partial);
                parallel::for_ranges(values.len(), GRAIN, |range| {
                    // SAFETY: one element a range.
                    let partial = unsafe { shared.range(range.start / GRAIN, 1) };
                    partial[0] = sum_of_squares_range(&values[range]);
                });
                Ok(partial.iter().sum())
            }),
        }
    }
}

/// Whether the fused updates apply to this variable.
pub fn is_fused(var: &Var) -> bool {
    is_native(var) && var.dtype() == DType::F32 && var.is_contiguous()
}

/// One Adam step's numbers, the same for all parameters.
#[derive(Clone, Copy, Debug)]
pub struct AdamFactors {
    /// Multiplies the gradient: clipping.
    pub gradient_scale: f32,
    pub beta1: f32,
    pub beta2: f32,
    /// Learning rate over the first moment's bias correction.
    pub rate: f32,
    /// One over the square root of the second moment's bias correction.
    pub root_scale: f32,
    pub epsilon: f32,
    /// Added to the gradient, times the parameter (L2).
    pub l2: f32,
    /// What the parameter is multiplied with first (decoupled weight decay).
    pub shrink: f32,
}

simd_fn! {
    fn adam_range<T>(w: &mut [T], g: &[T], m: &mut [T], v: &mut [T], factors: [T; 8]) {
        let [scale, beta1, beta2, rate, root_scale, epsilon, l2, shrink] = factors;
        let (rest1, rest2) = (T::ONE - beta1, T::ONE - beta2);
        for (((w, &g), m), v) in w.iter_mut().zip(g).zip(m.iter_mut()).zip(v.iter_mut()) {
            let g = g * scale + l2 * *w;
            *m = beta1 * *m + rest1 * g;
            *v = beta2 * *v + rest2 * g * g;
            *w = *w * shrink - rate * *m / ((*v).sqrt() * root_scale + epsilon);
        }
    }
}

/// Adam on one parameter (Kingma and Ba, 2015): updates the variable and both moments.
pub fn adam(var: &Var, gradient: &Gradient<'_>, moments: (&mut [f32], &mut [f32]), f: AdamFactors) -> Result<()> {
    let factors = [f.gradient_scale, f.beta1, f.beta2, f.rate, f.root_scale, f.epsilon, f.l2, f.shrink];
    gradient.with_floats(|g| {
        in_place(var, |w| {
            let (m, v) = moments;
            if g.len() != w.len() || m.len() != w.len() || v.len() != w.len() {
                bail!("adam: gradient and moments do not have the parameter's size")
            }
            let (w, m, v) = (Shared::new(w), Shared::new(m), Shared::new(v));
            parallel::for_ranges(g.len(), GRAIN, |range| {
                let (start, len) = (range.start, range.len());
                // SAFETY: the ranges are disjoint.
                let (w, m, v) = unsafe { (w.range(start, len), m.range(start, len), v.range(start, len)) };
                adam_range(w, &g[range], m, v, factors);
            });
            Ok(())
        })
    })
}

simd_fn! {
    fn momentum_range<T>(w: &mut [T], g: &[T], velocity: &mut [T], factors: [T; 4]) {
        let [scale, momentum, rate, l2] = factors;
        for ((w, &g), velocity) in w.iter_mut().zip(g).zip(velocity.iter_mut()) {
            *velocity = momentum * *velocity + (g * scale + l2 * *w);
            *w -= rate * *velocity;
        }
    }
}

/// Stochastic gradient descent with momentum on one parameter; `factors` are gradient scale, momentum, rate, L2.
pub fn momentum(var: &Var, gradient: &Gradient<'_>, velocity: &mut [f32], factors: [f32; 4]) -> Result<()> {
    gradient.with_floats(|g| {
        in_place(var, |w| {
            if g.len() != w.len() || velocity.len() != w.len() {
                bail!("momentum: gradient and velocity do not have the parameter's size")
            }
            let (w, velocity) = (Shared::new(w), Shared::new(velocity));
            parallel::for_ranges(g.len(), GRAIN, |range| {
                // SAFETY: the ranges are disjoint.
                let (w, velocity) =
                    unsafe { (w.range(range.start, range.len()), velocity.range(range.start, range.len())) };
                momentum_range(w, &g[range], velocity, factors);
            });
            Ok(())
        })
    })
}

simd_fn! {
    fn blend_range<T>(to: &mut [T], from: &[T], rate: T) {
        for (to, &from) in to.iter_mut().zip(from) {
            *to += rate * (from - *to);
        }
    }
}

/// `to = rate * from + (1 - rate) * to`.
pub fn blend(to: &Var, from: &Var, rate: f64) -> Result<()> {
    if to.as_tensor().id() == from.as_tensor().id() {
        return Ok(());
    }
    if !(is_fused(to) && is_fused(from)) {
        let step = ((from.as_detached_tensor() - to.as_detached_tensor())? * rate)?;
        return to.set(&(to.as_detached_tensor() + step)?);
    }
    with_slice::<f32, _>(from, |from| {
        in_place(to, |to| {
            let to = Shared::new(to);
            parallel::for_ranges(from.len(), GRAIN, |range| {
                // SAFETY: the ranges are disjoint.
                blend_range(unsafe { to.range(range.start, range.len()) }, &from[range], rate as f32);
            });
            Ok(())
        })
    })
}

/// Squares of floats are exact in f64, and large gradients do not overflow there.
fn sum_of_squares_range(values: &[f32]) -> f64 {
    let mut totals = [0.0_f64; 8];
    for chunk in values.chunks(8) {
        for (total, &value) in totals.iter_mut().zip(chunk) {
            *total += f64::from(value) * f64::from(value);
        }
    }
    totals.iter().sum()
}
