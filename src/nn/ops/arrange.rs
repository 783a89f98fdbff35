//! Ops that move values about: concatenation of channels, reflection padding, dropout, adding a vector to an image.

use candle_core::{Device, Result, Tensor, bail};

use crate::contract::Seed;

use super::activations::{Activations, with_float};
use super::kind::OpKind;
use super::memory::Buffer;
use super::parallel::{self, ELEMENTWISE_GRAIN, Shared};
use super::real::Real;
use super::resample::plane_op;
use super::simd;
use super::tracking::{Slot, token, track};

/// Joins values along dimension 1 (channels, or features of `[n, k]`); all other dimensions agree.
pub fn concat(values: &[&Activations]) -> Result<Activations> {
    let Some(first) = values.first() else { bail!("concat: nothing to join") };
    let fits = |v: &&Activations| {
        v.shape().len() >= 2
            && v.shape().len() == first.shape().len()
            && v.shape()[0] == first.shape()[0]
            && v.shape()[2..] == first.shape()[2..]
    };
    if !values.iter().all(fits) {
        bail!("concat: shapes {:?} differ beyond dimension 1", values.iter().map(|v| v.shape()).collect::<Vec<_>>())
    }
    if values.iter().all(|v| v.native().is_none()) {
        let tensors = values.iter().map(|v| v.to_tensor()).collect::<Result<Vec<_>>>()?;
        return Ok(Activations::stock(Tensor::cat(&tensors, 1)?));
    }
    let n = first.shape()[0];
    let mut shape = first.shape().to_vec();
    shape[1] = values.iter().map(|v| v.shape()[1]).sum();
    let row: usize = shape[1..].iter().product();
    with_float!(first.dtype(), T => {
        let natives = values.iter().map(|v| v.require_native()).collect::<Result<Vec<_>>>()?;
        let inputs = natives.iter().map(|native| native.buffer::<T>()).collect::<Result<Vec<_>>>()?;
        // Each input's place in a row of the result.
        let mut places = Vec::new();
        let mut at = 0;
        for input in &inputs {
            let len = input.len() / n.max(1);
            places.push((at, len));
            at += len;
        }
        let mut y = Buffer::<T>::stale(n * row);
        {
            let y = Shared::new(&mut y);
            parallel::for_ranges(n, ELEMENTWISE_GRAIN / row.max(1) + 1, |range| {
                for sample in range {
                    for (input, &(at, len)) in inputs.iter().zip(&places) {
                        // SAFETY: disjoint pieces of disjoint rows.
                        unsafe { y.range(sample * row + at, len) }
                            .copy_from_slice(&input[sample * len..(sample + 1) * len]);
                    }
                }
            });
        }
        let slot = Slot::default();
        let tokens: Vec<&Tensor> = natives.iter().map(|native| &native.token).collect();
        let slots: Vec<Option<Slot>> =
            natives.iter().map(|native| native.tracked().then(|| native.slot.clone())).collect();
        let token = {
            let slot = slot.clone();
            track(OpKind::Concat, &tokens, move || {
                if let Some(gradient) = slot.take::<T>() {
                    for (slot, &(at, len)) in slots.iter().zip(&places) {
                        let Some(slot) = slot else { continue };
                        slot.accumulate::<T>(n * len, |total, accumulate| {
                            let total = Shared::new(total);
                            parallel::for_ranges(n, ELEMENTWISE_GRAIN / len.max(1) + 1, |range| {
                                for sample in range {
                                    // SAFETY: disjoint rows.
                                    let total = unsafe { total.range(sample * len, len) };
                                    let from = &gradient[sample * row + at..sample * row + at + len];
                                    if accumulate { simd::add_assign(total, from) } else { total.copy_from_slice(from) }
                                }
                            });
                        });
                    }
                }
                slots.iter().map(|_| token().map(Some)).collect()
            })?
        };
        Ok(Activations::from_buffer(y, &shape, token, slot))
    })
}

/// Where each index of an axis padded by `padding` on both sides reads: mirrored at the edge pixels.
fn reflected(len: usize, padding: usize) -> Vec<usize> {
    (0..len + 2 * padding)
        .map(|i| {
            let at = i.abs_diff(padding);
            if at < len { at } else { 2 * (len - 1) - at }
        })
        .collect()
}

/// Pads rows and columns by mirroring without repeating the edge, as PyTorch's `ReflectionPad2d`.
pub fn reflection_pad(x: &Activations, padding: [usize; 2]) -> Result<Activations> {
    let [_, _, h, w] = x.dims4()?;
    if padding[0] >= h || padding[1] >= w {
        bail!("reflection_pad: padding {padding:?} must be smaller than the {h}x{w} image")
    }
    let (rows, columns) = (reflected(h, padding[0]), reflected(w, padding[1]));
    if x.native().is_none() {
        let indices =
            |axis: &[usize]| Tensor::from_iter(axis.iter().map(|&i| i as u32), &Device::Cpu)?.to_device(&x.device());
        let padded = x.to_tensor()?.index_select(&indices(&rows)?, 2)?.index_select(&indices(&columns)?, 3)?;
        return Ok(Activations::stock(padded));
    }
    let size = [rows.len(), columns.len()];
    let (back_rows, back_columns) = (rows.clone(), columns.clone());
    with_float!(x.dtype(), T => plane_op::<T>(
        OpKind::ReflectionPad,
        x,
        size,
        move |from, to| {
            for (to, &y) in to.chunks_exact_mut(size[1]).zip(&rows) {
                let from = &from[y * w..(y + 1) * w];
                to.iter_mut().zip(&columns).for_each(|(to, &x)| *to = from[x]);
            }
        },
        move |from, to, accumulate| {
            if !accumulate {
                to.fill(T::ZERO);
            }
            for (from, &y) in from.chunks_exact(size[1]).zip(&back_rows) {
                let to = &mut to[y * w..(y + 1) * w];
                from.iter().zip(&back_columns).for_each(|(&g, &x)| to[x] += g);
            }
        },
    ))
}

/// `0` or `1 / (1 - probability)`, drawn for the elements of block `block`; one generator a block, so that cores do not
/// matter and the mask need not be stored.
fn dropout_mask(seed: Seed, block: usize, probability: f32, mut each: impl FnMut(f64) -> bool) {
    let keep = 1.0 / (1.0 - f64::from(probability));
    let mut rng = seed.derive("dropout", block as u64).rng();
    while each(if rng.chance(probability) { 0.0 } else { keep }) {}
}

/// Multiplies the elements of blocks of [`ELEMENTWISE_GRAIN`] by the mask of `seed`.
fn apply_dropout<T: Real>(x: &[T], y: &mut [T], seed: Seed, probability: f32, accumulate: bool) {
    let y = Shared::new(y);
    parallel::for_ranges(x.len(), ELEMENTWISE_GRAIN, |range| {
        // SAFETY: the ranges are disjoint.
        let y = unsafe { y.range(range.start, range.len()) };
        let mut pairs = y.iter_mut().zip(&x[range.clone()]);
        dropout_mask(seed, range.start / ELEMENTWISE_GRAIN, probability, |factor| {
            let Some((y, &x)) = pairs.next() else { return false };
            let kept = x * T::of(factor);
            *y = if accumulate { *y + kept } else { kept };
            true
        });
    });
}

/// Zeroes each element with `probability` and scales the others to keep the mean. The same seed gives the same mask on
/// any device and any number of threads.
pub fn dropout(x: &Activations, probability: f32, seed: Seed) -> Result<Activations> {
    if !(0.0..1.0).contains(&probability) {
        bail!("dropout: probability {probability} is not in [0, 1)")
    }
    if probability == 0.0 {
        return Ok(x.clone());
    }
    let Some(native) = x.native() else {
        let ones = vec![1.0_f64; x.elements()];
        let mut mask = vec![0.0; x.elements()];
        apply_dropout(&ones, &mut mask, seed, probability, false);
        let tensor = x.to_tensor()?;
        let mask = Tensor::from_vec(mask, x.shape(), &Device::Cpu)?.to_dtype(x.dtype())?.to_device(tensor.device())?;
        return Ok(Activations::stock((tensor * mask)?));
    };
    with_float!(x.dtype(), T => {
        let input = native.buffer::<T>()?;
        let mut y = Buffer::<T>::stale(input.len());
        apply_dropout(&input, &mut y, seed, probability, false);
        let slot = Slot::default();
        let token = {
            let (slot, x_slot) = (slot.clone(), native.slot.clone());
            track(OpKind::Dropout, &[&native.token], move || {
                if let Some(gradient) = slot.take::<T>() {
                    x_slot.accumulate::<T>(gradient.len(), |total, accumulate| {
                        apply_dropout(&gradient, total, seed, probability, accumulate);
                    });
                }
                Ok(vec![Some(token()?)])
            })?
        };
        Ok(Activations::from_buffer(y, x.shape(), token, slot))
    })
}

/// Adds vectors to images: `x` `[n, c, h, w]`, `v` `[n * m, c]`, result `[n * m, c, h, w]`, where rows
/// `i * m .. (i + 1) * m` of `v` go with image `i` (many candidate actions for one encoded picture).
pub fn broadcast_add(x: &Activations, v: &Activations) -> Result<Activations> {
    let [n, c, h, w] = x.dims4()?;
    let &[rows, vc] = v.shape() else { bail!("broadcast_add: the vectors must be [n, c], got {:?}", v.shape()) };
    if vc != c || n == 0 || !rows.is_multiple_of(n) {
        bail!("broadcast_add: vectors {:?} do not go with images {:?}", v.shape(), x.shape())
    }
    let (m, pixels) = (rows / n, h * w);
    if x.native().is_none() && v.native().is_none() {
        let images = x.to_tensor()?.reshape(&[n, 1, c, h, w])?;
        let vectors = v.to_tensor()?.reshape(&[n, m, c, 1, 1])?;
        return Ok(Activations::stock(images.broadcast_add(&vectors)?.reshape((rows, c, h, w))?));
    }
    let (nx, nv) = (x.require_native()?, v.require_native()?);
    let grain = (1 << 15) / pixels.max(1) + 1;
    with_float!(x.dtype(), T => {
        let (images, vectors) = (nx.buffer::<T>()?, nv.buffer::<T>()?);
        let mut y = Buffer::<T>::stale(rows * c * pixels);
        {
            let y = Shared::new(&mut y);
            parallel::for_ranges(rows * c, grain, |range| {
                for plane in range {
                    let image = plane / c / m * c + plane % c;
                    // SAFETY: planes are disjoint.
                    let y = unsafe { y.range(plane * pixels, pixels) };
                    simd::affine(&images[image * pixels..(image + 1) * pixels], T::ONE, vectors[plane], y);
                }
            });
        }
        let slot = Slot::default();
        let token = {
            let slot = slot.clone();
            let (x_slot, v_slot) = (nx.tracked().then(|| nx.slot.clone()), nv.tracked().then(|| nv.slot.clone()));
            track(OpKind::BroadcastAdd, &[&nx.token, &nv.token], move || {
                if let Some(gradient) = slot.take::<T>() {
                    let plane = |p: usize| &gradient[p * pixels..(p + 1) * pixels];
                    if let Some(slot) = &v_slot {
                        slot.accumulate::<T>(rows * c, |total, accumulate| {
                            let total = Shared::new(total);
                            parallel::for_ranges(rows * c, grain, |range| {
                                for p in range {
                                    // SAFETY: one element a plane.
                                    let total = unsafe { total.range(p, 1) };
                                    let sum = simd::sum(plane(p));
                                    total[0] = if accumulate { total[0] + sum } else { sum };
                                }
                            });
                        });
                    }
                    if let Some(slot) = &x_slot {
                        slot.accumulate::<T>(n * c * pixels, |total, accumulate| {
                            let total = Shared::new(total);
                            parallel::for_ranges(n * c, grain / m + 1, |range| {
                                for image in range {
                                    // SAFETY: planes are disjoint.
                                    let total = unsafe { total.range(image * pixels, pixels) };
                                    if !accumulate {
                                        total.fill(T::ZERO);
                                    }
                                    for i in 0..m {
                                        simd::add_assign(total, plane((image / c * m + i) * c + image % c));
                                    }
                                }
                            });
                        });
                    }
                }
                Ok(vec![Some(token()?), Some(token()?)])
            })?
        };
        Ok(Activations::from_buffer(y, &[rows, c, h, w], token, slot))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reflection_as_by_hand() {
        assert_eq!(reflected(4, 2), [2, 1, 0, 1, 2, 3, 2, 1]);
        assert_eq!(reflected(2, 1), [1, 0, 1, 0]);
    }

    #[test]
    fn dropout_keeps_the_mean_and_the_mask() -> Result<()> {
        let x = Activations::from_tensor(&Tensor::ones(200_000, candle_core::DType::F32, &Device::Cpu)?)?;
        let a = dropout(&x, 0.3, Seed(5))?.to_tensor()?.to_vec1::<f32>()?;
        let b = dropout(&x, 0.3, Seed(5))?.to_tensor()?.to_vec1::<f32>()?;
        let stock = dropout(&Activations::stock(x.to_tensor()?), 0.3, Seed(5))?.to_tensor()?.to_vec1::<f32>()?;
        assert_eq!(a, b);
        assert_eq!(a, stock);
        assert_ne!(a, dropout(&x, 0.3, Seed(6))?.to_tensor()?.to_vec1::<f32>()?);
        let zeros = a.iter().filter(|&&x| x == 0.0).count();
        assert!((58_500..61_500).contains(&zeros), "{zeros}");
        assert!(a.iter().all(|&x| x == 0.0 || (x - 1.0 / 0.7).abs() < 1e-6));
        Ok(())
    }
}
