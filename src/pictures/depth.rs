//! Depth images of users: 16-bit grey PNG in millimetres, 0 where nothing was measured.

use super::{MAX_DECODED, MAX_PIXELS, MAX_SIDE, PictureError, whole};
use crate::pictures::kind_of;
use image::{DynamicImage, ImageDecoder, ImageReader};
use std::io::Cursor;
use std::path::Path;

/// A depth image as it lies on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DepthImage {
    pub width: usize,
    pub height: usize,
    /// `[height, width]` millimetres, 0 where nothing was measured.
    pub depth_mm: Vec<u16>,
}

impl DepthImage {
    /// The middle square at `size` pixels, metres. A pixel is the nearest of the file's: depths of two surfaces are never
    /// mixed.
    pub fn square_m(&self, size: usize) -> Vec<f32> {
        let edge = self.width.min(self.height);
        let (left, top) = ((self.width - edge) / 2, (self.height - edge) / 2);
        let nearest = |at: usize| (2 * at + 1) * edge / (2 * size);
        let pixel = |i: usize| (top + nearest(i / size)) * self.width + left + nearest(i % size);
        (0..size * size).map(|i| f32::from(self.depth_mm[pixel(i)]) * 0.001).collect()
    }
}

/// Reads a depth image.
///
/// # Errors
/// [`PictureError`] names the file and what is wrong with it: another format, colours, 8 bits.
pub fn read_depth(path: &Path) -> Result<DepthImage, PictureError> {
    decode_depth(&super::read_bytes(path)?, path)
}

/// [`read_depth`] for bytes that are in memory; `path` is for messages.
///
/// # Errors
/// As [`read_depth`].
pub fn decode_depth(bytes: &[u8], path: &Path) -> Result<DepthImage, PictureError> {
    let damaged = |message: String| PictureError::Damaged { path: path.into(), message };
    let too_large = |what: String, limit: String| PictureError::TooLarge { path: path.into(), what, limit };
    let kind = kind_of(bytes, path);
    let wanted = "a depth image is a 16-bit grey PNG in millimetres";
    let Some(format) = kind.format().filter(|format| *format == image::ImageFormat::Png) else {
        return Err(damaged(format!("{wanted}, and this is {kind}")));
    };
    // Decoders fill what is missing with grey.
    whole::check(kind, bytes).map_err(damaged)?;
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut limits = image::Limits::default();
    (limits.max_image_width, limits.max_image_height) = (Some(MAX_SIDE), Some(MAX_SIDE));
    limits.max_alloc = Some(MAX_DECODED);
    reader.limits(limits);
    let decoder = reader.into_decoder().map_err(|error| damaged(error.to_string()))?;
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > MAX_PIXELS || width == 0 || height == 0 {
        let limit = format!("{} million pixels", MAX_PIXELS / 1_000_000);
        return Err(too_large(format!("{width}x{height} pixels"), limit));
    }
    let image = DynamicImage::from_decoder(decoder).map_err(|error| damaged(error.to_string()))?;
    let DynamicImage::ImageLuma16(image) = image else {
        return Err(damaged(format!("{wanted}, and this one has {:?} pixels", image.color())));
    };
    Ok(DepthImage { width: width as usize, height: height as usize, depth_mm: image.into_raw() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{GrayImage, ImageBuffer, Luma, RgbImage};

    #[test]
    fn depths_come_from_16_bit_grey_alone_and_are_never_mixed() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = |name: &str| folder.path().join(name);
        // 6 wide, 4 high: the middle square is columns 1 to 4. Depth 100 x + y.
        let image = ImageBuffer::from_fn(6, 4, |x, y| Luma([(100 * x + y) as u16]));
        image.save(path("depth.png"))?;
        let depth = read_depth(&path("depth.png"))?;
        assert_eq!((depth.width, depth.height, depth.depth_mm[7]), (6, 4, 101));
        let square: Vec<u32> = depth.square_m(2).iter().map(|m| (m * 1000.0).round() as u32).collect();
        // Of four pixels an edge the second and the fourth.
        assert_eq!(square, [201, 401, 203, 403]);
        assert_eq!(depth.square_m(4)[1], 0.2);
        assert_eq!(depth.square_m(8)[..3], [0.1, 0.1, 0.2]);
        GrayImage::from_pixel(4, 4, Luma([9])).save(path("grey.png"))?;
        RgbImage::from_pixel(4, 4, image::Rgb([9; 3])).save(path("photo.jpg"))?;
        std::fs::write(path("text.png"), "no image")?;
        for name in ["grey.png", "photo.jpg", "text.png"] {
            let message = read_depth(&path(name)).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(message.contains(name) && message.contains("16-bit grey PNG"), "{message}");
        }
        let missing = read_depth(&path("none.png")).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(missing.contains("none.png"), "{missing}");
        Ok(())
    }
}
