//! Pictures as tensors, and back.

use crate::nn::HOST;
use candle_core::{DType, Result, Tensor};

/// `[height, width, 3]` bytes to planes in `[-1, 1]`.
pub fn image_planes(rgb: &[u8], planes: &mut Vec<f32>) {
    for channel in 0..3 {
        planes.extend(rgb.iter().skip(channel).step_by(3).map(|&value| f32::from(value) / 127.5 - 1.0));
    }
}

/// Images of `[height, width, 3]` bytes as one tensor `[n, 3, height, width]` in `[-1, 1]`, on the host.
///
/// # Errors
/// An image of another size.
pub fn images_tensor<'a>(images: impl Iterator<Item = &'a [u8]>, [h, w]: [usize; 2]) -> Result<Tensor> {
    let mut planes = Vec::new();
    let mut count = 0;
    for image in images {
        image_planes(image, &mut planes);
        count += 1;
    }
    Tensor::from_vec(planes, (count, 3, h, w), &HOST)
}

/// `[n, channels, height, width]` in `[-1, 1]` as bytes `[height, width, channels]` each.
///
/// # Errors
/// Another shape.
pub fn to_bytes(images: &Tensor) -> Result<Vec<Vec<u8>>> {
    let (n, channels, height, width) = images.dims4()?;
    let values = images.detach().to_device(&HOST)?.to_dtype(DType::F32)?;
    let rows = values.permute((0, 2, 3, 1))?.reshape((n, height * width * channels))?.to_vec2::<f32>()?;
    let byte = |value: f32| ((value + 1.0) * 127.5).round().clamp(0.0, 255.0) as u8;
    Ok(rows.into_iter().map(|row| row.into_iter().map(byte).collect()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_go_round() -> anyhow::Result<()> {
        let images: Vec<Vec<u8>> = (0..2).map(|n| (0..2 * 3 * 3).map(|i| (n * 100 + i * 7) as u8).collect()).collect();
        let tensor = images_tensor(images.iter().map(Vec::as_slice), [2, 3])?;
        assert_eq!(tensor.dims(), [2, 3, 2, 3]);
        // The second channel of the first image's third pixel.
        let value = tensor.get(0)?.get(1)?.get(0)?.get(2)?.to_scalar::<f32>()?;
        assert!((value - (f32::from(images[0][7]) / 127.5 - 1.0)).abs() < 1e-6);
        assert_eq!(to_bytes(&tensor)?, images);
        assert!(images_tensor([&images[0][1..]].into_iter(), [2, 3]).is_err());
        Ok(())
    }
}
