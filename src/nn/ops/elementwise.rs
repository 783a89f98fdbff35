//! Point-wise arithmetic on values, on all cores: add, multiply, scale and shift, reshape.

use candle_core::{Result, Tensor, bail};

use super::activations::{Activations, with_float};
use super::kind::OpKind;
use super::memory::Buffer;
use super::parallel::{self, ELEMENTWISE_GRAIN, Shared};
use super::real::Real;
use super::simd::{self, simd_fn};
use super::tracking::{Slot, token, track};

/// `y = f(x)` over ranges of a fixed size, in parallel.
pub(crate) fn map_parallel<T: Real>(x: &[T], f: impl Fn(&[T], &mut [T]) + Sync + Send) -> Buffer<T> {
    let mut y = Buffer::stale(x.len());
    let shared = Shared::new(&mut y);
    parallel::for_ranges(x.len(), ELEMENTWISE_GRAIN, |range| {
        // SAFETY: the ranges are disjoint.
        f(&x[range.clone()], unsafe { shared.range(range.start, range.len()) });
    });
    y
}

pub(crate) fn par_copy<T: Real>(to: &mut [T], from: &[T]) {
    assert_eq!(to.len(), from.len());
    let shared = Shared::new(to);
    parallel::for_ranges(from.len(), ELEMENTWISE_GRAIN, |range| {
        // SAFETY: the ranges are disjoint.
        unsafe { shared.range(range.start, range.len()) }.copy_from_slice(&from[range]);
    });
}

pub(crate) fn par_add_assign<T: Real>(to: &mut [T], from: &[T]) {
    par_add_scaled(to, from, T::ONE);
}

pub(crate) fn par_add_scaled<T: Real>(to: &mut [T], from: &[T], scale: T) {
    assert_eq!(to.len(), from.len());
    let shared = Shared::new(to);
    parallel::for_ranges(from.len(), ELEMENTWISE_GRAIN, |range| {
        // SAFETY: the ranges are disjoint.
        let to = unsafe { shared.range(range.start, range.len()) };
        if scale == T::ONE { simd::add_assign(to, &from[range]) } else { simd::add_scaled(to, &from[range], scale) }
    });
}

/// Adds `scale * gradient` to a slot, copying when it is the first.
pub(crate) fn add_to_slot<T: Real>(slot: &Slot, gradient: &[T], scale: T) {
    slot.accumulate(gradient.len(), |total, accumulate| {
        if accumulate {
            par_add_scaled(total, gradient, scale);
        } else {
            let shared = Shared::new(total);
            parallel::for_ranges(gradient.len(), ELEMENTWISE_GRAIN, |range| {
                // SAFETY: the ranges are disjoint.
                simd::affine(&gradient[range.clone()], scale, T::ZERO, unsafe {
                    shared.range(range.start, range.len())
                });
            });
        }
    });
}

simd_fn! {
    fn add_into<T>(a: &[T], b: &[T], y: &mut [T]) {
        for ((y, &a), &b) in y.iter_mut().zip(a).zip(b) {
            *y = a + b;
        }
    }
}

simd_fn! {
    fn mul_into<T>(a: &[T], b: &[T], y: &mut [T]) {
        for ((y, &a), &b) in y.iter_mut().zip(a).zip(b) {
            *y = a * b;
        }
    }
}

fn zip_parallel<T: Real>(a: &[T], b: &[T], f: impl Fn(&[T], &[T], &mut [T]) + Sync + Send) -> Buffer<T> {
    let mut y = Buffer::stale(a.len());
    let shared = Shared::new(&mut y);
    parallel::for_ranges(a.len(), ELEMENTWISE_GRAIN, |range| {
        // SAFETY: the ranges are disjoint.
        f(&a[range.clone()], &b[range.clone()], unsafe { shared.range(range.start, range.len()) });
    });
    y
}

fn same_shape(what: &str, a: &Activations, b: &Activations) -> Result<()> {
    if a.shape() != b.shape() {
        bail!("{what}: shapes {:?} and {:?} differ", a.shape(), b.shape())
    }
    Ok(())
}

/// `a + b`, equal shapes.
pub fn add(a: &Activations, b: &Activations) -> Result<Activations> {
    same_shape("add", a, b)?;
    if a.native().is_none() && b.native().is_none() {
        return Ok(Activations::stock((a.to_tensor()? + b.to_tensor()?)?));
    }
    let (na, nb) = (a.require_native()?, b.require_native()?);
    with_float!(a.dtype(), T => {
        let y = zip_parallel(&na.buffer::<T>()?, &nb.buffer::<T>()?, add_into);
        let slot = Slot::default();
        let token = {
            let (slot, a_slot, b_slot) = (slot.clone(), na.tracked().then(|| na.slot.clone()), nb.tracked().then(|| nb.slot.clone()));
            track(OpKind::Add, &[&na.token, &nb.token], move || {
                if let Some(gradient) = slot.take::<T>() {
                    for slot in [&a_slot, &b_slot].into_iter().flatten() {
                        add_to_slot(slot, &gradient, T::ONE);
                    }
                }
                Ok(vec![Some(token()?), Some(token()?)])
            })?
        };
        Ok(Activations::from_buffer(y, a.shape(), token, slot))
    })
}

/// `a * b`, equal shapes.
pub fn mul(a: &Activations, b: &Activations) -> Result<Activations> {
    same_shape("mul", a, b)?;
    if a.native().is_none() && b.native().is_none() {
        return Ok(Activations::stock((a.to_tensor()? * b.to_tensor()?)?));
    }
    let (na, nb) = (a.require_native()?, b.require_native()?);
    with_float!(a.dtype(), T => {
        let (xa, xb) = (na.buffer::<T>()?, nb.buffer::<T>()?);
        let y = zip_parallel(&xa, &xb, mul_into);
        let slot = Slot::default();
        let token = {
            let (slot, a_slot, b_slot) = (slot.clone(), na.tracked().then(|| na.slot.clone()), nb.tracked().then(|| nb.slot.clone()));
            track(OpKind::Mul, &[&na.token, &nb.token], move || {
                if let Some(gradient) = slot.take::<T>() {
                    for (slot, other) in [(&a_slot, &xb), (&b_slot, &xa)] {
                        if let Some(slot) = slot {
                            slot.put(zip_parallel(&gradient, other, mul_into));
                        }
                    }
                }
                Ok(vec![Some(token()?), Some(token()?)])
            })?
        };
        Ok(Activations::from_buffer(y, a.shape(), token, slot))
    })
}

/// `scale * x + shift`.
pub fn affine(x: &Activations, scale: f64, shift: f64) -> Result<Activations> {
    let Some(native) = x.native() else { return Ok(Activations::stock(x.to_tensor()?.affine(scale, shift)?)) };
    with_float!(x.dtype(), T => {
        let y = map_parallel(&native.buffer::<T>()?, |from, to| simd::affine(from, T::of(scale), T::of(shift), to));
        let slot = Slot::default();
        let token = {
            let (slot, x_slot) = (slot.clone(), native.slot.clone());
            track(OpKind::Scale, &[&native.token], move || {
                if let Some(gradient) = slot.take::<T>() {
                    add_to_slot(&x_slot, &gradient, T::of(scale));
                }
                Ok(vec![Some(token()?)])
            })?
        };
        Ok(Activations::from_buffer(y, x.shape(), token, slot))
    })
}

/// The same elements under another shape.
pub fn reshape(x: &Activations, shape: &[usize]) -> Result<Activations> {
    if shape.iter().product::<usize>() != x.elements() {
        bail!("reshape: {:?} has not as many elements as {shape:?}", x.shape())
    }
    let Some(native) = x.native() else { return Ok(Activations::stock(x.to_tensor()?.reshape(shape)?)) };
    with_float!(x.dtype(), T => {
        let slot = Slot::default();
        let token = {
            let (slot, x_slot) = (slot.clone(), native.slot.clone());
            track(OpKind::Reshape, &[&native.token], move || {
                if let Some(gradient) = slot.take::<T>() {
                    x_slot.put(gradient);
                }
                Ok(vec![Some(token()?)])
            })?
        };
        Ok(Activations::from_data(native.data.clone(), shape, token, slot))
    })
}

/// `[n, ...]` to `[n, everything else]`.
pub fn flatten(x: &Activations) -> Result<Activations> {
    let Some((&n, rest)) = x.shape().split_first() else { bail!("flatten: the value has no dimensions") };
    reshape(x, &[n, rest.iter().product()])
}

/// Mean of `x^2` over all elements, as a scalar tensor.
pub fn mean_square(x: &Activations) -> Result<Tensor> {
    super::loss::squared_error(&x.to_tensor()?, 0.0)
}
