//! Sliced Wasserstein distance between two sets of images (Karras et al., 2018, section 5): how alike their patches are at
//! several scales, whatever they show where.

use crate::contract::{Rng, Seed};

/// Edge of a patch, pixels.
const PATCH: usize = 7;
/// Patches of each image and scale.
const PATCHES: usize = 64;
/// Random directions.
const DIRECTIONS: usize = 256;
/// The smallest scale, pixels.
const LEAST: usize = 16;

/// One scale of an image, channels as planes.
struct Plane {
    size: usize,
    values: Vec<f32>,
}

impl Plane {
    fn of(rgb: &[u8], size: usize) -> Self {
        let values =
            (0..3).flat_map(|channel| rgb.iter().skip(channel).step_by(3).map(|&v| f32::from(v) / 127.5 - 1.0));
        Self { size, values: values.collect() }
    }

    /// Means of 2x2 pixels.
    fn halved(&self) -> Self {
        let size = self.size / 2;
        let mut values = Vec::with_capacity(3 * size * size);
        for channel in 0..3 {
            for (y, x) in (0..size).flat_map(|y| (0..size).map(move |x| (y, x))) {
                let at = |dy: usize, dx: usize| self.at(channel, 2 * y + dy, 2 * x + dx);
                values.push(0.25 * (at(0, 0) + at(0, 1) + at(1, 0) + at(1, 1)));
            }
        }
        Self { size, values }
    }

    fn at(&self, channel: usize, y: usize, x: usize) -> f32 {
        self.values[(channel * self.size + y) * self.size + x]
    }

    /// What halving loses: a level of the Laplacian pyramid.
    fn minus_enlarged(&self, half: &Self) -> Self {
        let mut values = self.values.clone();
        for (i, value) in values.iter_mut().enumerate() {
            let (channel, y, x) = (i / (self.size * self.size), i / self.size % self.size, i % self.size);
            *value -= half.at(channel, (y / 2).min(half.size - 1), (x / 2).min(half.size - 1));
        }
        Self { size: self.size, values }
    }
}

/// The levels of an image's Laplacian pyramid, the coarsest as it is.
fn pyramid(rgb: &[u8], size: usize) -> Vec<Plane> {
    let mut levels = Vec::new();
    let mut level = Plane::of(rgb, size);
    while level.size / 2 >= LEAST {
        let half = level.halved();
        levels.push(level.minus_enlarged(&half));
        level = half;
    }
    levels.push(level);
    levels
}

/// Patches of one level of all images, `[patches][3 * PATCH * PATCH]`, normalized by each channel's mean and deviation.
fn patches(levels: &[Plane], rng: &mut Rng) -> Vec<Vec<f32>> {
    let mut patches = Vec::with_capacity(levels.len() * PATCHES);
    for level in levels {
        for _ in 0..PATCHES {
            let room = level.size - PATCH + 1;
            let (top, left) = (rng.below(room), rng.below(room));
            let pixels = (0..3).flat_map(|c| (0..PATCH).flat_map(move |y| (0..PATCH).map(move |x| (c, y, x))));
            patches.push(pixels.map(|(c, y, x)| level.at(c, top + y, left + x)).collect::<Vec<f32>>());
        }
    }
    for channel in 0..3 {
        let range = channel * PATCH * PATCH..(channel + 1) * PATCH * PATCH;
        let count = (patches.len() * PATCH * PATCH) as f64;
        let sum = |f: &dyn Fn(f64) -> f64| {
            patches.iter().flat_map(|patch| &patch[range.clone()]).map(|&v| f(f64::from(v))).sum::<f64>() / count
        };
        let mean = sum(&|v| v);
        let deviation = sum(&|v| (v - mean).powi(2)).sqrt().max(1e-8);
        for patch in &mut patches {
            patch[range.clone()].iter_mut().for_each(|v| *v = ((f64::from(*v) - mean) / deviation) as f32);
        }
    }
    patches
}

/// Mean over random directions of the one-dimensional distance of the projected patches.
fn distance(a: &[Vec<f32>], b: &[Vec<f32>], rng: &mut Rng) -> f64 {
    let count = a.len().min(b.len());
    let mut sum = 0.0;
    for _ in 0..DIRECTIONS {
        let mut direction: Vec<f32> = (0..3 * PATCH * PATCH).map(|_| rng.normal()).collect();
        let length = direction.iter().map(|v| v * v).sum::<f32>().sqrt();
        direction.iter_mut().for_each(|v| *v /= length);
        let project = |patches: &[Vec<f32>]| {
            let mut values: Vec<f32> =
                patches[..count].iter().map(|patch| patch.iter().zip(&direction).map(|(a, b)| a * b).sum()).collect();
            values.sort_by(f32::total_cmp);
            values
        };
        let (a, b) = (project(a), project(b));
        sum += a.iter().zip(&b).map(|(a, b)| f64::from((a - b).abs())).sum::<f64>() / count as f64;
    }
    sum / DIRECTIONS as f64
}

/// The mean over scales of the sliced Wasserstein distance between two sets of square images of `[size, size, 3]` bytes, the
/// longer set cut off. NaN without images, or for images below 16 pixels.
pub fn sliced_wasserstein(a: &[&[u8]], b: &[&[u8]], size: usize, seed: Seed) -> f64 {
    let count = a.len().min(b.len());
    if count == 0 || size < LEAST || a.iter().chain(b).any(|image| image.len() != 3 * size * size) {
        return f64::NAN;
    }
    let pyramids = |images: &[&[u8]]| images[..count].iter().map(|rgb| pyramid(rgb, size)).collect::<Vec<_>>();
    let (a, b) = (pyramids(a), pyramids(b));
    let levels = a[0].len();
    let mut sum = 0.0;
    for level in 0..levels {
        let of = |pyramids: &[Vec<Plane>], name: &str| {
            let planes: Vec<Plane> = pyramids
                .iter()
                .map(|levels| Plane { size: levels[level].size, values: levels[level].values.clone() })
                .collect();
            patches(&planes, &mut seed.derive(name, level as u64).rng())
        };
        sum += distance(&of(&a, "a"), &of(&b, "b"), &mut seed.derive("directions", level as u64).rng());
    }
    sum / levels as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Images of noise smoothed over `smooth` pixels.
    fn images(seed: u64, smooth: usize) -> Vec<Vec<u8>> {
        (0..40)
            .map(|n| {
                let mut rng = Seed(seed).derive("image", n).rng();
                let noise: Vec<u8> = (0..32 * 32 * 3).map(|_| rng.below(256) as u8).collect();
                let at = |y: usize, x: usize, c: usize| u32::from(noise[((y % 32) * 32 + x % 32) * 3 + c]);
                let mean = |y: usize, x: usize, c: usize| {
                    let sum: u32 = (0..smooth)
                        .flat_map(|dy| (0..smooth).map(move |dx| (dy, dx)))
                        .map(|(dy, dx)| at(y + dy, x + dx, c))
                        .sum();
                    (sum / (smooth * smooth) as u32) as u8
                };
                (0..32 * 32 * 3).map(|i| mean(i / 96, i / 3 % 32, i % 3)).collect()
            })
            .collect()
    }

    #[test]
    fn sets_of_one_kind_are_near_and_of_two_kinds_far() {
        let sets = [images(1, 1), images(2, 1), images(3, 8)];
        let [rough, other_rough, smooth] = sets.each_ref().map(|set| set.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let near = sliced_wasserstein(&rough, &other_rough, 32, Seed(5));
        let far = sliced_wasserstein(&rough, &smooth, 32, Seed(5));
        assert!(near < 0.06 && far > 2.0 * near, "{near} {far}");
        assert_eq!(sliced_wasserstein(&rough, &smooth, 32, Seed(5)), far);
        assert!(sliced_wasserstein(&[], &smooth, 32, Seed(5)).is_nan());
        assert!(sliced_wasserstein(&rough, &smooth, 16, Seed(5)).is_nan());
    }
}
