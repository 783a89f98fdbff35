//! Random changes of images: noise, blanked blocks, bytes, crops. Each is decided by a seed alone, on any number of
//! threads.

use crate::contract::{Rng, Seed};
use crate::gan::images::to_bytes;
use crate::nn::Activations;
use crate::nn::ops::add;
use candle_core::{Device, Result, Tensor};
use rayon::prelude::*;

/// Floats that share a generator.
const BLOCK: usize = 1 << 14;

/// Noise of this standard deviation, drawn on the host: the sum of four uniform numbers, which is a tenth as dear as a normal one and near
/// enough for images (kurtosis 2.7 instead of 3, no value beyond 3.5 deviations).
///
/// # Errors
/// A device that fails.
pub fn noise(shape: &[usize], std: f64, seed: Seed, device: &Device) -> Result<Tensor> {
    let mut values = vec![0.0_f32; shape.iter().product()];
    values.par_chunks_mut(BLOCK).enumerate().for_each(|(block, values)| {
        let mut rng = seed.derive("noise", block as u64).rng();
        values.iter_mut().for_each(|value| *value = std as f32 * bell(&mut rng));
    });
    Tensor::from_vec(values, shape, device)
}

/// A number of mean 0 and variance 1 from the four quarters of one draw.
fn bell(rng: &mut Rng) -> f32 {
    // A quarter is uniform over 0..65536: mean 32767.5, variance (65536^2 - 1) / 12.
    const MEAN: f32 = 4.0 * 32_767.5;
    const SCALE: f32 = 1.0 / 37_837.227;
    let bits = rng.next_u64();
    let sum: u64 = (0..4).map(|quarter| (bits >> (16 * quarter)) & 0xFFFF).sum();
    (sum as f32 - MEAN) * SCALE
}

/// `x` with noise; gradients pass to `x`.
///
/// # Errors
/// A device that fails.
pub fn with_noise(x: &Activations, std: f64, seed: Seed) -> Result<Activations> {
    if std <= 0.0 {
        return Ok(x.clone());
    }
    add(x, &Activations::from_tensor(&noise(x.shape(), std, seed, &x.device())?)?)
}

/// Images in `[-1, 1]` as a camera would hand them on: with noise, cut off, in whole bytes. Gradients pass as if nothing
/// had been done, so that G can still be taught, but no code finer than that survives.
///
/// # Errors
/// A device that fails.
pub fn as_observed(x: &Activations, std: f64, seed: Seed) -> Result<Activations> {
    let plain = x.detach()?.to_tensor()?;
    let noisy = (&plain + noise(x.shape(), std, seed, &x.device())?)?;
    let change = (in_bytes(&noisy)? - plain)?;
    add(x, &Activations::from_tensor(&change)?)
}

/// Images in `[-1, 1]`, cut off there, at the values that whole bytes have.
///
/// # Errors
/// A device that fails.
pub fn in_bytes(images: &Tensor) -> Result<Tensor> {
    ((images.clamp(-1.0, 1.0)? + 1.0)? * 127.5)?.round()?.affine(1.0 / 127.5, -1.0)
}

/// Images `[n, 3, height, width]` in `[-1, 1]` as bytes `[height, width, 3]` each, with noise of this standard deviation
/// (in units of `[-1, 1]`) first.
///
/// # Errors
/// Another shape.
pub fn to_byte_images(images: &Tensor, std: f64, seed: Seed) -> Result<Vec<Vec<u8>>> {
    let host = images.detach().to_device(&crate::nn::HOST)?;
    to_bytes(&if std > 0.0 { (&host + noise(host.dims(), std, seed, host.device())?)? } else { host })
}

/// Images `[n, c, height, width]` in which each square of `edge` pixels is set to 0 with this probability.
///
/// # Errors
/// Another shape.
pub fn with_blanks(images: &Tensor, edge: usize, probability: f32, seed: Seed) -> Result<Tensor> {
    let (n, _, h, w) = images.dims4()?;
    let mut rng = seed.rng();
    let (rows, columns) = (h.div_ceil(edge), w.div_ceil(edge));
    let mut mask = vec![1.0_f32; n * h * w];
    for image in mask.chunks_exact_mut(h * w) {
        let blank: Vec<bool> = (0..rows * columns).map(|_| rng.chance(probability)).collect();
        for (i, value) in image.iter_mut().enumerate() {
            if blank[i / w / edge * columns + i % w / edge] {
                *value = 0.0;
            }
        }
    }
    images.broadcast_mul(&Tensor::from_vec(mask, (n, 1, h, w), images.device())?)
}

/// A square of `size` pixels at a random place of an image of `[height, width, 3]` bytes, as bytes; mirrored left to right
/// with probability `p_flip`. The image is at least as large.
pub fn random_crop(rgb: &[u8], [h, w]: [usize; 2], size: usize, p_flip: f32, rng: &mut Rng) -> Vec<u8> {
    let (top, left) = (rng.below(h - size + 1), rng.below(w - size + 1));
    let flip = rng.chance(p_flip);
    let mut out = Vec::with_capacity(3 * size * size);
    for row in rgb.chunks_exact(3 * w).skip(top).take(size) {
        let row = &row[3 * left..3 * (left + size)];
        if flip {
            row.chunks_exact(3).rev().for_each(|pixel| out.extend_from_slice(pixel));
        } else {
            out.extend_from_slice(row);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::HOST;
    use candle_core::{DType, Var};

    #[test]
    fn noise_has_its_moments_and_repeats() -> anyhow::Result<()> {
        let values = noise(&[50, 4000], 0.2, Seed(1), &HOST)?.flatten_all()?.to_vec1::<f32>()?;
        let n = values.len() as f64;
        let moment = |power: i32| values.iter().map(|&v| f64::from(v / 0.2).powi(power)).sum::<f64>() / n;
        assert!(moment(1).abs() < 0.01 && moment(3).abs() < 0.03, "{} {}", moment(1), moment(3));
        assert!((moment(2) - 1.0).abs() < 0.01 && (moment(4) - 2.7).abs() < 0.06, "{} {}", moment(2), moment(4));
        assert_eq!(noise(&[50, 4000], 0.2, Seed(1), &HOST)?.flatten_all()?.to_vec1::<f32>()?, values);
        assert_ne!(noise(&[50, 4000], 0.2, Seed(2), &HOST)?.flatten_all()?.to_vec1::<f32>()?, values);
        // Neighbouring blocks do not repeat each other.
        assert_ne!(values[..16], values[BLOCK..BLOCK + 16]);
        Ok(())
    }

    #[test]
    fn observed_images_are_bytes_and_teach_as_if_they_were_not() -> anyhow::Result<()> {
        let var = Var::new(&[[0.123_f32, -0.987, 0.5, 1.0]], &HOST)?;
        let observed = as_observed(&Activations::from_tensor(var.as_tensor())?, 0.03, Seed(1))?.to_tensor()?;
        for value in observed.flatten_all()?.to_vec1::<f32>()? {
            let byte = (value + 1.0) * 127.5;
            assert!((byte - byte.round()).abs() < 1e-3 && (-1.0..=1.0).contains(&value), "{value}");
        }
        let gradients = (observed * 3.0)?.sum_all()?.backward()?;
        let Some(gradient) = gradients.get(&var) else { anyhow::bail!("no gradient") };
        assert_eq!(gradient.to_vec2::<f32>()?, [[3.0; 4]]);
        Ok(())
    }

    #[test]
    fn a_quarter_of_the_blocks_is_blank_in_all_channels() -> anyhow::Result<()> {
        let images = Tensor::ones((40, 3, 20, 16), DType::F32, &HOST)?;
        let blanked = with_blanks(&images, 8, 0.25, Seed(2))?;
        let share = blanked.mean_all()?.to_scalar::<f32>()?;
        assert!((share - 0.75).abs() < 0.06, "{share}");
        for i in 0..40 {
            // Blocks are whole: rows 0 to 7, 8 to 15 and the rest.
            let image = blanked.get(i)?.get(2)?.to_vec2::<f32>()?;
            for (y, row) in image.iter().enumerate() {
                for (x, &value) in row.iter().enumerate() {
                    assert_eq!(value, image[y / 8 * 8][x / 8 * 8]);
                }
            }
        }
        Ok(())
    }

    #[test]
    fn crops_lie_inside_reach_every_place_and_mirror() {
        let (h, w) = (5, 6);
        let image: Vec<u8> = (0..h * w).flat_map(|i| [i as u8, 0, 255]).collect();
        let mut corners = std::collections::BTreeSet::new();
        let mut rng = Seed(3).rng();
        for _ in 0..300 {
            let crop = random_crop(&image, [h, w], 4, 0.0, &mut rng);
            assert_eq!(crop.len(), 48);
            let corner = usize::from(crop[0]);
            corners.insert((corner / w, corner % w));
            // The next pixel is the right neighbour, the next row lies below.
            assert_eq!(usize::from(crop[3]), corner + 1);
            assert_eq!(usize::from(crop[12]), corner + w);
        }
        assert_eq!(corners.into_iter().collect::<Vec<_>>(), [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]);
        let mirrored = random_crop(&image, [h, w], 4, 1.0, &mut rng);
        assert_eq!((mirrored[0] - mirrored[3], mirrored[1], mirrored[2]), (1, 0, 255));
    }
}
