//! Pictures as files whose contents are what their names say.

use super::canvas::DrawError;
use super::png::encode_rgb;
use crate::files::atomic::write_atomic;
use image::codecs::jpeg::JpegEncoder;
use std::path::Path;

/// Nobody sees the difference, and text stays sharp.
const JPEG_QUALITY: u8 = 95;

/// How a picture is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PictureFormat {
    Png,
    Jpeg,
}

impl PictureFormat {
    /// By the ending of the name, in capitals or not.
    ///
    /// # Errors
    /// [`DrawError::Name`] with what is possible.
    pub fn of(path: &Path) -> Result<Self, DrawError> {
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
        match extension.as_str() {
            "png" => Ok(Self::Png),
            "jpg" | "jpeg" => Ok(Self::Jpeg),
            _ => Err(DrawError::Name(path.into())),
        }
    }

    /// The bytes of the file, of `[height, width, 3]` sRGB bytes.
    ///
    /// # Errors
    /// Sizes that the format does not have.
    pub fn encode(self, rgb: &[u8], width: usize, height: usize) -> Result<Vec<u8>, DrawError> {
        match self {
            Self::Png => encode_rgb(rgb, width, height).map_err(|source| DrawError::Png { width, height, source }),
            Self::Jpeg => {
                let side = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
                let mut bytes = Vec::new();
                JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY)
                    .encode(rgb, side(width), side(height), image::ExtendedColorType::Rgb8)
                    .map_err(|error| DrawError::Jpeg { width, height, message: error.to_string() })?;
                Ok(bytes)
            }
        }
    }
}

/// Writes `[height, width, 3]` sRGB bytes in the format of the name, whole or not at all.
///
/// # Errors
/// A name of no such format, a size that it does not have, a full disk.
pub fn save_picture(path: &Path, rgb: &[u8], width: usize, height: usize) -> Result<(), DrawError> {
    Ok(write_atomic(path, &PictureFormat::of(path)?.encode(rgb, width, height)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_decides_the_contents() {
        let folder = tempfile::tempdir().expect("a folder");
        let rgb = [200, 30, 40].repeat(16 * 8);
        for (name, start) in [("a.png", &b"\x89PNG"[..]), ("a.JPG", b"\xff\xd8\xff"), ("a.jpeg", b"\xff\xd8\xff")] {
            let path = folder.path().join(name);
            save_picture(&path, &rgb, 16, 8).expect("written");
            let bytes = std::fs::read(&path).expect("there");
            assert!(bytes.starts_with(start), "{name}");
            let picture = image::load_from_memory(&bytes).expect("a picture").into_rgb8();
            let off = picture.get_pixel(9, 3).0.iter().zip([200_u8, 30, 40]).map(|(&a, b)| a.abs_diff(b)).max();
            assert!(picture.dimensions() == (16, 8) && off <= Some(3), "{name}: {off:?}");
        }
        for name in ["a", "a.webp", "a.toml", "png"] {
            let error = save_picture(&folder.path().join(name), &rgb, 16, 8).expect_err("refused").to_string();
            assert!(error.contains(".png") && error.contains(".jpg") && error.contains(name), "{error}");
            assert!(!folder.path().join(name).exists());
        }
    }
}
