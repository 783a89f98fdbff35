//! A user's texture images: a folder of PNG or JPEG files becomes layers of 256x256 pixels.

use image::imageops::FilterType;
use rayon::prelude::*;
use std::path::{Path, PathBuf};

/// Edge of a layer in pixels.
pub const LAYER_SIZE: u32 = 256;
/// More files than this are refused: the layers live in one texture array (64 MiB on the device with mipmaps).
pub const MAX_LAYERS: usize = 192;
const MAX_FILE_BYTES: u64 = 64 << 20;
const MAX_PIXELS: u64 = 64_000_000;

#[derive(Debug, thiserror::Error)]
pub enum ImageSetError {
    #[error("cannot read the texture folder {path}: {source}; pass a folder of PNG or JPEG files with --textures")]
    Folder { path: PathBuf, source: std::io::Error },
    #[error("no PNG or JPEG file in the texture folder {0}")]
    Empty(PathBuf),
    #[error("the texture {path} is {what}, more than the limit of {limit}; scale it down")]
    TooLarge { path: PathBuf, what: String, limit: String },
    #[error("cannot decode the texture {path}: {message}; replace or remove the file")]
    Decode { path: PathBuf, message: String },
}

/// Texture layers, RGBA sRGB, `LAYER_SIZE` squared each, in the order of their file names.
#[derive(Clone, Debug, Default)]
pub struct ImageSet {
    pub layers: Vec<Vec<u8>>,
    pub names: Vec<String>,
}

impl ImageSet {
    /// Reads every PNG and JPEG of `folder` (not recursive). When there are more than [`MAX_LAYERS`], an even choice is
    /// taken, so that the same folder always gives the same layers.
    ///
    /// # Errors
    /// Names the file that cannot be read or decoded, or is too large.
    pub fn load(folder: &Path) -> Result<Self, ImageSetError> {
        let failed = |source| ImageSetError::Folder { path: folder.to_owned(), source };
        let mut paths = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
            if matches!(extension.as_str(), "png" | "jpg" | "jpeg") {
                paths.push(path);
            }
        }
        if paths.is_empty() {
            return Err(ImageSetError::Empty(folder.to_owned()));
        }
        paths.sort();
        if paths.len() > MAX_LAYERS {
            let count = paths.len();
            paths = (0..MAX_LAYERS).map(|i| paths[i * count / MAX_LAYERS].clone()).collect();
        }
        let layers = paths.par_iter().map(|path| load_layer(path)).collect::<Result<Vec<_>, _>>()?;
        let names = paths.iter().map(|p| p.file_name().unwrap_or_default().to_string_lossy().into_owned()).collect();
        Ok(Self { layers, names })
    }

    pub fn len(&self) -> usize {
        self.layers.len()
    }

    pub fn is_empty(&self) -> bool {
        self.layers.is_empty()
    }
}

fn load_layer(path: &Path) -> Result<Vec<u8>, ImageSetError> {
    let decode = |message: String| ImageSetError::Decode { path: path.to_owned(), message };
    let bytes = std::fs::metadata(path).map_err(|e| decode(e.to_string()))?.len();
    if bytes > MAX_FILE_BYTES {
        return Err(ImageSetError::TooLarge {
            path: path.to_owned(),
            what: format!("{} MiB", bytes >> 20),
            limit: format!("{} MiB", MAX_FILE_BYTES >> 20),
        });
    }
    let reader = image::ImageReader::open(path)
        .and_then(image::ImageReader::with_guessed_format)
        .map_err(|e| decode(e.to_string()))?;
    let (width, height) = reader.into_dimensions().map_err(|e| decode(e.to_string()))?;
    if u64::from(width) * u64::from(height) > MAX_PIXELS {
        return Err(ImageSetError::TooLarge {
            path: path.to_owned(),
            what: format!("{width}x{height} pixels"),
            limit: format!("{MAX_PIXELS} pixels"),
        });
    }
    let picture = image::open(path).map_err(|e| decode(e.to_string()))?;
    Ok(picture.resize_exact(LAYER_SIZE, LAYER_SIZE, FilterType::Triangle).to_rgba8().into_raw())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_folders_and_files_are_named() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        assert!(matches!(ImageSet::load(&folder.path().join("none")), Err(ImageSetError::Folder { .. })));
        assert!(matches!(ImageSet::load(folder.path()), Err(ImageSetError::Empty(_))));
        std::fs::write(folder.path().join("torn.png"), b"\x89PNG\r\n\x1a\nrest").expect("written");
        let error = ImageSet::load(folder.path()).expect_err("a torn file").to_string();
        assert!(error.contains("torn.png") && error.contains("replace or remove"), "{error}");
    }

    #[test]
    fn layers_follow_file_names() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for (name, value) in [("b.png", 200_u8), ("a.png", 10)] {
            image::RgbImage::from_pixel(5, 3, image::Rgb([value; 3])).save(folder.path().join(name)).expect("saved");
        }
        let set = ImageSet::load(folder.path()).expect("two images");
        assert_eq!(set.names, ["a.png", "b.png"]);
        assert_eq!((set.layers[0][0], set.layers[1][0]), (10, 200));
        assert_eq!(set.layers[0].len(), (LAYER_SIZE * LAYER_SIZE * 4) as usize);
    }
}
