//! Into and out of packs whose lanes are samples: images are transposed, sixteen at a time.

use super::super::real::Real;
use super::super::simd::LANES;
#[cfg(target_arch = "x86_64")]
use super::super::simd::{Level, level};

/// The same plane of sixteen samples.
pub type Sixteen<'a, T> = [&'a [T]; LANES];

/// Writes dense planes of `size` into the lanes `lane..` of a channel of a pack, with `padding` zeros around them.
pub fn pack_planes<T: Real>(
    planes: &Sixteen<'_, T>,
    size: [usize; 2],
    padding: [usize; 2],
    (to, samples, lane): (&mut [T], usize, usize),
) {
    let [h, w] = size;
    let [py, px] = padding;
    if padding == [0, 0] {
        interleave(planes, 0, h * w, &mut to[lane..], samples);
        return;
    }
    let pitch = w + 2 * px;
    for row in 0..h {
        let start = ((row + py) * pitch + px) * samples + lane;
        interleave(planes, row * w, w, &mut to[start..], samples);
    }
}

/// `to[i * stride + lane] = planes[lane][start + i]` for `i` below `count`.
fn interleave<T: Real>(planes: &Sixteen<'_, T>, start: usize, count: usize, to: &mut [T], stride: usize) {
    if count == 0 {
        return;
    }
    assert!(planes.iter().all(|plane| plane.len() >= start + count) && to.len() >= (count - 1) * stride + LANES);
    #[cfg(target_arch = "x86_64")]
    if T::SINGLE && level() == Level::Avx512 {
        // SAFETY: `SINGLE` is true for f32 only, so this cast changes no type; `level` saw AVX-512, and the assertion bounds
        // every access.
        return unsafe {
            let planes = &*std::ptr::from_ref(planes).cast::<Sixteen<'_, f32>>();
            super::avx512::interleave(planes, start, count, to.as_mut_ptr().cast(), stride);
        };
    }
    for i in 0..count {
        for (to, plane) in to[i * stride..i * stride + LANES].iter_mut().zip(planes) {
            *to = plane[start + i];
        }
    }
}

/// `planes[lane * count + i] = run[i * stride + lane]` for `i` below `count`: sixteen dense planes of a computed run.
pub fn separate<T: Real>(run: &[T], stride: usize, count: usize, planes: &mut [T]) {
    if count == 0 {
        return;
    }
    assert!(run.len() >= (count - 1) * stride + LANES && planes.len() >= LANES * count);
    #[cfg(target_arch = "x86_64")]
    if T::SINGLE && level() == Level::Avx512 {
        // SAFETY: as in `interleave`.
        return unsafe {
            super::avx512::separate(run.as_ptr().cast(), stride, count, planes.as_mut_ptr().cast());
        };
    }
    for i in 0..count {
        for (lane, &value) in run[i * stride..i * stride + LANES].iter().enumerate() {
            planes[lane * count + i] = value;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: Real + PartialEq + std::fmt::Debug>(of: fn(usize) -> T) {
        // Whole vectors and rests; the second half of 32 lanes; a border.
        for (size, padding, samples, lane) in
            [([4, 8], [0, 0], 16, 0), ([3, 7], [0, 0], 32, 16), ([5, 17], [1, 2], 16, 0), ([1, 1], [0, 1], 32, 0)]
        {
            let [h, w] = size;
            let value = |sample: usize, pixel: usize| of(1 + sample * 1000 + pixel);
            let owned: Vec<Vec<T>> = (0..LANES).map(|s| (0..h * w).map(|p| value(s, p)).collect()).collect();
            let planes: Sixteen<'_, T> = std::array::from_fn(|s| &owned[s][..]);
            let pitch = [h + 2 * padding[0], w + 2 * padding[1]];
            let mut pack = vec![of(0); pitch[0] * pitch[1] * samples];
            pack_planes(&planes, size, padding, (&mut pack, samples, lane));
            for (i, &found) in pack.iter().enumerate() {
                let (pixel, sample) = (i / samples, (i % samples).wrapping_sub(lane));
                let (row, column) =
                    ((pixel / pitch[1]).wrapping_sub(padding[0]), (pixel % pitch[1]).wrapping_sub(padding[1]));
                let inside = row < h && column < w && sample < LANES;
                let expected = if inside { value(sample, row * w + column) } else { of(0) };
                assert_eq!(found, expected, "{size:?} {padding:?} {i}");
            }
            if padding == [0, 0] {
                let mut back = vec![of(0); LANES * h * w];
                separate(&pack[lane..], samples, h * w, &mut back);
                assert_eq!(back, owned.concat());
            }
        }
    }

    #[test]
    fn planes_are_transposed_and_come_back() {
        check::<f32>(|value| value as f32);
        check::<f64>(|value| value as f64);
    }
}
