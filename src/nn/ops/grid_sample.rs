//! Bilinear sampling of images at given places: PyTorch's `grid_sample` with `padding_mode = "border"`.
//!
//! In: images, and for each image a list of places ([`SampleGrid`]). Out: one number a place and channel. The gradient goes
//! to the four pixels around each place; the places themselves are constants. Crops of an image as seen from elsewhere
//! (inverse perspective mapping) and features read off a map at a point are both this op.

use std::ops::Range;
use std::sync::Arc;

use candle_core::{Result, Tensor, bail};

use super::activations::{Activations, with_float};
use super::kind::OpKind;
use super::memory::Buffer;
use super::parallel::{self, Shared};
use super::real::Real;
use super::simd;
use super::tracking::{Slot, token, track};

/// Elements that one task reads or writes at least.
const GRAIN: usize = 1 << 13;

/// How the four pixels around a place are combined: the same function of them, up to the rounding of the last bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bilinear {
    /// Along both rows, then between the rows.
    Separable,
    /// The sum of four weighted pixels.
    Weighted,
}

/// The four pixels around a place, and what they count for.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tap {
    /// Index in a plane `[h, w]`: upper left, upper right, lower left, lower right.
    pixels: [u32; 4],
    /// Separable: of the left, right, upper and lower pixels. Weighted: of each pixel.
    factors: [f32; 4],
}

impl Tap {
    /// At `[x, y]` in pixels, the centre of the first one at 0, in a plane of `[w, h]` pixels. Beyond the plane its edge
    /// counts; a place that is no number is the first pixel.
    pub fn at(place: [f32; 2], size: [usize; 2], rule: Bilinear) -> Self {
        let within = |at: f32, count: usize| {
            let at = if at.is_finite() { at.clamp(0.0, count.max(1) as f32 - 1.0) } else { 0.0 };
            let low = (at as usize).min(count.saturating_sub(2));
            (low, (low + 1).min(count.saturating_sub(1)), at - low as f32)
        };
        let [w, h] = size;
        let ((left, right, a), (top, bottom, b)) = (within(place[0], w), within(place[1], h));
        let pixels = [top * w + left, top * w + right, bottom * w + left, bottom * w + right];
        let factors = match rule {
            Bilinear::Separable => [1.0 - a, a, 1.0 - b, b],
            Bilinear::Weighted => [(1.0 - a) * (1.0 - b), a * (1.0 - b), (1.0 - a) * b, a * b],
        };
        Self { pixels: pixels.map(|pixel| pixel as u32), factors }
    }

    /// What each pixel counts for; together 1.
    fn weights<T: Real>(&self, rule: Bilinear) -> [T; 4] {
        let [a, b, c, d] = self.factors.map(T::of_f32);
        match rule {
            Bilinear::Separable => [a * c, b * c, a * d, b * d],
            Bilinear::Weighted => [a, b, c, d],
        }
    }

    /// The value at the place in a plane.
    #[inline(always)]
    pub fn sample<T: Real>(&self, plane: &[T], rule: Bilinear) -> T {
        let [a, b, c, d] = self.pixels.map(|pixel| plane[pixel as usize]);
        let [p, q, r, s] = self.factors.map(T::of_f32);
        match rule {
            Bilinear::Separable => (a * p + b * q) * r + (c * p + d * q) * s,
            Bilinear::Weighted => p * a + q * b + r * c + s * d,
        }
    }
}

/// Where a batch of images is sampled: as many places in each.
#[derive(Clone, Debug)]
pub struct SampleGrid {
    /// `[images, places]`, or `[places]` for all images.
    taps: Arc<[Tap]>,
    places: usize,
    /// One for each image, or `None` when all images share one list.
    images: Option<usize>,
    /// Width and height of the sampled planes.
    size: [usize; 2],
    rule: Bilinear,
}

impl SampleGrid {
    /// `places` places in each of `images` planes of `[w, h]` pixels. `of_image` gives the places of one image as `[x, y]`
    /// in pixels; it is called on several threads at once, and missing places are the first pixel.
    pub fn per_image<I: Iterator<Item = [f32; 2]>>(
        images: usize,
        places: usize,
        size: [usize; 2],
        rule: Bilinear,
        of_image: impl Fn(usize) -> I + Sync + Send,
    ) -> Self {
        let mut taps = vec![Tap::default(); images * places];
        {
            let taps = Shared::new(&mut taps);
            parallel::for_ranges(images, GRAIN / 8 / places.max(1) + 1, |range| {
                for image in range {
                    // SAFETY: images are disjoint.
                    let taps = unsafe { taps.range(image * places, places) };
                    taps.iter_mut().zip(of_image(image)).for_each(|(tap, place)| *tap = Tap::at(place, size, rule));
                }
            });
        }
        Self { taps: taps.into(), places, images: Some(images), size, rule }
    }

    /// The same places in all images.
    pub fn shared(size: [usize; 2], rule: Bilinear, places: impl Iterator<Item = [f32; 2]>) -> Self {
        let taps: Arc<[Tap]> = places.map(|place| Tap::at(place, size, rule)).collect();
        Self { places: taps.len(), taps, images: None, size, rule }
    }

    /// Places an image.
    pub fn len(&self) -> usize {
        self.places
    }

    /// Whether the grid has no place, so that samples are `[n, channels, 0]`.
    pub fn is_empty(&self) -> bool {
        self.places == 0
    }

    fn of_image(&self, image: usize) -> &[Tap] {
        match self.images {
            None => &self.taps,
            Some(_) => &self.taps[image * self.places..(image + 1) * self.places],
        }
    }
}

/// Samples the planes `channels` of `x` `[n, c, h, w]` at the places of `grid`: `[n, channels, places]`. Differentiable in
/// `x`; the places are constants.
///
/// # Errors
/// A grid for another number or size of images; channels that `x` does not have.
pub fn grid_sample(x: &Activations, channels: Range<usize>, grid: &SampleGrid) -> Result<Activations> {
    let [n, c, h, w] = x.dims4()?;
    if grid.size != [w, h] || grid.images.is_some_and(|images| images != n) {
        let images = grid.images.map_or_else(|| "any number of".to_owned(), |images| images.to_string());
        let [width, height] = grid.size;
        bail!("grid_sample: the grid is for {images} images of {height}x{width}, not for {:?}", x.shape())
    }
    if channels.start > channels.end || channels.end > c {
        bail!("grid_sample: channels {channels:?} of {c}")
    }
    if x.native().is_none() {
        return stock(x, channels, grid).map(Activations::stock);
    }
    with_float!(x.dtype(), T => native::<T>(x, channels, grid))
}

fn native<T: Real>(x: &Activations, channels: Range<usize>, grid: &SampleGrid) -> Result<Activations> {
    let [n, c, h, w] = x.dims4()?;
    let (pixels, places, count) = (h * w, grid.places, channels.len());
    let native = x.require_native()?;
    let input = native.buffer::<T>()?;
    let mut y = Buffer::<T>::stale(n * count * places);
    // The plane of `x` that the sampled plane `index` comes from.
    let first = channels.start;
    let plane_of = move |index: usize| index / count.max(1) * c + first + index % count.max(1);
    {
        let y = Shared::new(&mut y);
        parallel::for_ranges(n * count, GRAIN / places.max(1) + 1, |range| {
            for index in range {
                let plane = &input[plane_of(index) * pixels..][..pixels];
                // SAFETY: sampled planes are disjoint.
                let y = unsafe { y.range(index * places, places) };
                for (y, tap) in y.iter_mut().zip(grid.of_image(index / count)) {
                    *y = tap.sample(plane, grid.rule);
                }
            }
        });
    }
    let slot = Slot::default();
    let token = {
        let (slot, x_slot, grid) = (slot.clone(), native.slot.clone(), grid.clone());
        track(OpKind::GridSample, &[&native.token], move || {
            if let Some(gradient) = slot.take::<T>() {
                x_slot.accumulate::<T>(n * c * pixels, |total, accumulate| {
                    if !accumulate && count < c {
                        total.fill(T::ZERO);
                    }
                    let total = Shared::new(total);
                    parallel::for_ranges(n * count, GRAIN / (4 * places + pixels).max(1) + 1, |range| {
                        let mut own = vec![T::ZERO; if accumulate { pixels } else { 0 }];
                        for index in range {
                            // SAFETY: planes are disjoint.
                            let total = unsafe { total.range(plane_of(index) * pixels, pixels) };
                            let gradient = &gradient[index * places..(index + 1) * places];
                            let taps = grid.of_image(index / count);
                            if accumulate {
                                scatter(gradient, taps, grid.rule, &mut own);
                                simd::add_assign(total, &own);
                            } else {
                                scatter(gradient, taps, grid.rule, total);
                            }
                        }
                    });
                });
            }
            Ok(vec![Some(token()?)])
        })?
    };
    Ok(Activations::from_buffer(y, &[n, count, places], token, slot))
}

/// Gives each place's gradient to its pixels, in the order of the places; what was in `plane` is lost.
fn scatter<T: Real>(gradient: &[T], taps: &[Tap], rule: Bilinear, plane: &mut [T]) {
    plane.fill(T::ZERO);
    for (&gradient, tap) in gradient.iter().zip(taps) {
        for (pixel, weight) in tap.pixels.into_iter().zip(tap.weights::<T>(rule)) {
            plane[pixel as usize] += gradient * weight;
        }
    }
}

/// The same from candle's own operations.
fn stock(x: &Activations, channels: Range<usize>, grid: &SampleGrid) -> Result<Tensor> {
    let [n, _, h, w] = x.dims4()?;
    let (count, places) = (channels.len(), grid.places);
    let images = grid.images.unwrap_or(1);
    let x = x.to_tensor()?.narrow(1, channels.start, count)?.contiguous()?.reshape((n, count, h * w))?;
    let pixels: Vec<u32> = grid.taps.iter().flat_map(|tap| tap.pixels).collect();
    let weights: Vec<f64> = grid.taps.iter().flat_map(|tap| tap.weights::<f64>(grid.rule)).collect();
    let pixels = Tensor::from_vec(pixels, (images, 1, 4 * places), x.device())?;
    let pixels = pixels.broadcast_as((n, count, 4 * places))?.contiguous()?;
    let weights = Tensor::from_vec(weights, (images, 1, 4 * places), &candle_core::Device::Cpu)?;
    let weights = weights.to_dtype(x.dtype())?.to_device(x.device())?;
    let weights = weights.broadcast_as((n, 1, 4 * places))?.contiguous()?;
    x.gather(&pixels, 2)?.broadcast_mul(&weights)?.reshape((n, count, places, 4))?.sum(3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Seed;
    use candle_core::{DType, Device, Var};

    #[test]
    fn weights_are_those_of_bilinear_interpolation_and_sum_to_one() -> Result<()> {
        // 2x3 pixels; the centre of the first one is at 0, 0.
        let x = Tensor::new(&[[[[0.0_f32, 10.0, 20.0], [100.0, 110.0, 120.0]]]], &Device::Cpu)?;
        let places = [[0.0, 0.0], [1.25, 0.5], [2.0, 1.0], [9.0, -4.0], [f32::NAN, 0.0]];
        for rule in [Bilinear::Separable, Bilinear::Weighted] {
            let grid = SampleGrid::shared([3, 2], rule, places.into_iter());
            let found = grid_sample(&Activations::from_tensor(&x)?, 0..1, &grid)?.to_tensor()?;
            assert_eq!(found.flatten_all()?.to_vec1::<f32>()?, [0.0, 62.5, 120.0, 20.0, 0.0], "{rule:?}");
        }
        let mut rng = Seed(4).rng();
        let ones = Activations::from_tensor(&Tensor::ones((2, 3, 5, 7), DType::F64, &Device::Cpu)?)?;
        let places: Vec<[f32; 2]> = (0..200).map(|_| [rng.range(-2.0, 9.0), rng.range(-2.0, 7.0)]).collect();
        for rule in [Bilinear::Separable, Bilinear::Weighted] {
            let grid = SampleGrid::per_image(2, 100, [7, 5], rule, |image| places[100 * image..].iter().copied());
            let found = grid_sample(&ones, 0..3, &grid)?.to_tensor()?.flatten_all()?.to_vec1::<f64>()?;
            assert!(found.len() == 600 && found.iter().all(|x| (x - 1.0).abs() < 2e-7));
        }
        Ok(())
    }

    #[test]
    fn one_pixel_images_and_wrong_grids() -> Result<()> {
        let x = Activations::from_tensor(&Tensor::new(&[[[[3.0_f32]], [[5.0]]]], &Device::Cpu)?)?;
        let grid = SampleGrid::shared([1, 1], Bilinear::Separable, [[0.7, -3.0]].into_iter());
        assert_eq!(grid_sample(&x, 0..2, &grid)?.to_tensor()?.flatten_all()?.to_vec1::<f32>()?, [3.0, 5.0]);
        assert!(grid_sample(&x, 0..3, &grid).is_err());
        let other = SampleGrid::shared([2, 1], Bilinear::Separable, [[0.7, -3.0]].into_iter());
        assert!(grid_sample(&x, 0..2, &other).is_err());
        let two = SampleGrid::per_image(2, 1, [1, 1], Bilinear::Separable, |_| [[0.0, 0.0]].into_iter());
        assert!(grid_sample(&x, 0..2, &two).is_err());
        Ok(())
    }

    #[test]
    fn two_readers_of_one_map_give_the_sum_of_their_gradients() -> Result<()> {
        let x = Var::from_tensor(&Tensor::zeros((1, 2, 2, 2), DType::F64, &Device::Cpu)?)?;
        let map = Activations::from_tensor(x.as_tensor())?;
        let fine = SampleGrid::shared([2, 2], Bilinear::Weighted, [[0.0, 0.0], [0.5, 0.5], [0.0, 0.0]].into_iter());
        let coarse = SampleGrid::shared([2, 2], Bilinear::Weighted, [[1.0, 0.25]].into_iter());
        let a = grid_sample(&map, 0..2, &fine)?.to_tensor()?.sum_all()?;
        let b = grid_sample(&map, 1..2, &coarse)?.to_tensor()?.sum_all()?;
        let gradients = (a + b)?.backward()?;
        let Some(gradient) = gradients.get(&x) else { bail!("no gradient") };
        // By hand: the first channel has two whole samples of the first pixel and a quarter of each; the second has the
        // coarse one's 3/4 and 1/4 of the right column besides.
        let expected = [2.25, 0.25, 0.25, 0.25, 2.25, 1.0, 0.25, 0.5];
        assert_eq!(gradient.flatten_all()?.to_vec1::<f64>()?, expected);
        Ok(())
    }
}
