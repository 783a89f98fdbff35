//! A user's texture images: a folder of pictures becomes layers of 256x256 pixels.

use crate::pictures::{self, LeftOut, PictureError};
use image::imageops::{FilterType, resize};
use rayon::prelude::*;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// Edge of a layer in pixels.
pub const LAYER_SIZE: u32 = 256;
/// Of more pictures than this an even choice is taken: the layers live in one texture array (64 MiB on the device with
/// mipmaps).
pub const MAX_LAYERS: usize = 192;

#[derive(Debug, thiserror::Error)]
pub enum ImageSetError {
    #[error("textures: {0}; pass a folder of pictures with --textures")]
    Folder(PictureError),
    #[error("textures: {0}")]
    NoneReadable(PictureError),
}

/// Texture layers, RGBA sRGB, `LAYER_SIZE` squared each, in the order of their file names.
#[derive(Clone, Debug, Default)]
pub struct ImageSet {
    pub layers: Vec<Vec<u8>>,
    pub names: Vec<String>,
    /// What lies in the folder and is not among the layers.
    pub left_out: Vec<LeftOut>,
}

impl ImageSet {
    /// Reads every picture of `folder` (see [`pictures::list`]). When there are more than [`MAX_LAYERS`], an even choice is
    /// taken, so that the same folder always gives the same layers. What cannot be read is in [`Self::left_out`].
    ///
    /// # Errors
    /// A folder that cannot be read or holds no picture; pictures of which none can be read, with the first of them.
    pub fn load(folder: &Path) -> Result<Self, ImageSetError> {
        let listing = pictures::list(folder).map_err(ImageSetError::Folder)?;
        let (mut paths, mut left_out) = (listing.pictures, listing.left_out);
        if paths.len() > MAX_LAYERS {
            let count = paths.len();
            let chosen: Vec<PathBuf> = (0..MAX_LAYERS).map(|i| paths[i * count / MAX_LAYERS].clone()).collect();
            let reason =
                format!("of {count} pictures an even choice of {MAX_LAYERS} is taken, and this is none of them");
            let rest = paths.into_iter().filter(|path| chosen.binary_search(path).is_err());
            left_out.extend(rest.map(|path| LeftOut { path, reason: reason.clone(), looks_like_a_picture: false }));
            paths = chosen;
        }
        let mut set = Self::default();
        let mut first = None;
        for (path, layer) in paths.par_iter().map(|path| (path, load_layer(path))).collect::<Vec<_>>() {
            match layer {
                Ok(layer) => {
                    set.layers.push(layer);
                    set.names.push(path.file_name().unwrap_or_default().to_string_lossy().into_owned());
                }
                Err(error) => {
                    left_out.push(LeftOut { path: path.clone(), reason: error.reason(), looks_like_a_picture: true });
                    first.get_or_insert(error);
                }
            }
        }
        match first {
            Some(error) if set.is_empty() => Err(ImageSetError::NoneReadable(error)),
            _ => {
                set.left_out = left_out;
                Ok(set)
            }
        }
    }

    /// SHA-256 of the layers, lower-case hexadecimal: the same for the same pictures, whatever their folder is called.
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        self.layers.iter().for_each(|layer| hash.update(layer));
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    pub fn len(&self) -> usize {
        self.layers.len()
    }

    pub fn is_empty(&self) -> bool {
        self.layers.is_empty()
    }
}

fn load_layer(path: &Path) -> Result<Vec<u8>, PictureError> {
    let layer = resize(&pictures::read(path)?, LAYER_SIZE, LAYER_SIZE, FilterType::Triangle);
    Ok(layer.pixels().flat_map(|p| [p[0], p[1], p[2], 255]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_folders_and_files_are_named() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        assert!(matches!(ImageSet::load(&folder.path().join("none")), Err(ImageSetError::Folder(_))));
        assert!(matches!(ImageSet::load(folder.path()), Err(ImageSetError::Folder(PictureError::Nothing { .. }))));
        std::fs::write(folder.path().join("torn.png"), b"\x89PNG\r\n\x1a\nrest").expect("written");
        let error = ImageSet::load(folder.path()).expect_err("a torn file").to_string();
        assert!(error.contains("torn.png") && error.contains("replace or remove"), "{error}");
        // Beside a sound one it is left out, and named.
        image::RgbImage::from_pixel(5, 3, image::Rgb([9; 3])).save(folder.path().join("sound.png")).expect("saved");
        std::fs::write(folder.path().join("._sound.png"), b"hidden").expect("written");
        let set = ImageSet::load(folder.path()).expect("one image");
        assert_eq!((set.names.as_slice(), set.left_out.len()), (&["sound.png".to_owned()][..], 1));
        let left = set.left_out[0].to_string();
        assert!(left.contains("torn.png") && left.matches("torn.png").count() == 1, "{left}");
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
        // Under another path and other names it is the same; in another order it is not.
        let copy = |names: [&str; 2]| {
            let other = tempfile::tempdir().expect("a temporary folder");
            for (from, to) in ["a.png", "b.png"].into_iter().zip(names) {
                std::fs::copy(folder.path().join(from), other.path().join(to)).expect("copied");
            }
            ImageSet::load(other.path()).expect("two images").digest()
        };
        assert_eq!(copy(["c.png", "d.png"]), set.digest());
        assert_ne!(copy(["d.png", "c.png"]), set.digest());
        assert_eq!(set.layers[0].len(), (LAYER_SIZE * LAYER_SIZE * 4) as usize);
    }
}
