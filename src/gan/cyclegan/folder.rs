//! Two folders of images as a source of batches: `trainA/` and `trainB/`, the layout that CycleGAN users have.
//!
//! Images of any size, shape and format that [`crate::pictures`] reads are resized and cropped as CycleGAN's options say; what
//! cannot be read is left out and listed. A is gone through in a new order each
//! epoch, B is drawn at random. The seed and the step's number decide a batch, so that nothing has to be saved; `testA/`
//! and `testB/`, if they are there, are for pictures and validation.

use super::batch::UnpairedBatch;
use super::error::CycleGanError;
use super::noise::random_crop;
use crate::contract::Seed;
use crate::gan::images::images_tensor;
use crate::pictures::{self, LeftOut, PictureError};
use image::imageops::FilterType;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// What happens to an image before it is cropped at random to the size of the run; CycleGAN's `--preprocess`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Preprocess {
    /// Resized to a square of the load size, whatever its shape.
    #[default]
    ResizeAndCrop,
    /// Resized to the load size along its shorter edge, so that shapes stay.
    ScaleAndCrop,
    /// Left as it is; enlarged along the shorter edge only if it is smaller than the crop.
    Crop,
}

/// How two folders become batches.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FolderConfig {
    /// How an image is resized before the crop.
    pub preprocess: Preprocess,
    /// Edge to resize to before the crop, pixels. CycleGAN's 286 for crops of 256 is 1.12 times the crop.
    pub load_size: usize,
    /// Probability that an image is mirrored left to right.
    pub p_flip: f32,
    /// Decoded images kept in memory, MiB; the others are decoded whenever they are drawn.
    pub cache_mib: usize,
}

impl FolderConfig {
    /// CycleGAN's own choices for crops of `size` pixels.
    pub fn for_size(size: usize) -> Self {
        let load_size = (size * 286).div_ceil(256);
        Self { preprocess: Preprocess::ResizeAndCrop, load_size, p_flip: 0.5, cache_mib: 1024 }
    }
}

/// An image as it is cropped from.
struct Decoded {
    /// `[height, width, 3]`
    rgb: Vec<u8>,
    size: [usize; 2],
}

/// The images of one folder, in the order of their names.
struct Folder {
    paths: Vec<PathBuf>,
    cache: Mutex<Cache>,
}

/// Decoded images by their place in the folder, up to a number of bytes.
struct Cache {
    images: Vec<Option<Arc<Decoded>>>,
    free_bytes: usize,
}

/// Images that are decoded together when a folder is opened.
const CHUNK: usize = 64;

impl Folder {
    /// Every picture is decoded once, so that a damaged one is known before the run begins and not where it is first drawn.
    fn open(
        path: &Path,
        (config, crop): (&FolderConfig, usize),
        cache_bytes: usize,
        left_out: &mut Vec<LeftOut>,
    ) -> Result<Self, CycleGanError> {
        let listing = pictures::list(path).map_err(|error| match error {
            PictureError::Io { .. } => {
                CycleGanError::Input(format!("{error}; unpaired data are two folders of images, trainA/ and trainB/"))
            }
            other => CycleGanError::Input(other.to_string()),
        })?;
        let mut folder =
            Self { paths: Vec::new(), cache: Mutex::new(Cache { images: Vec::new(), free_bytes: cache_bytes }) };
        let mut unread = listing.left_out;
        for paths in listing.pictures.chunks(CHUNK) {
            let decoded: Vec<_> = paths.par_iter().map(|path| decode(path, config, crop)).collect();
            for (path, decoded) in paths.iter().zip(decoded) {
                match decoded {
                    Ok(image) => folder.push(path, image),
                    Err(error) => {
                        unread.push(LeftOut { path: path.clone(), reason: error.reason(), looks_like_a_picture: true });
                    }
                }
            }
        }
        if folder.paths.is_empty() {
            let nothing = PictureError::Nothing { path: path.to_owned(), left_out: unread };
            return Err(CycleGanError::Input(nothing.to_string()));
        }
        left_out.extend(unread);
        Ok(folder)
    }

    fn push(&mut self, path: &Path, image: Decoded) {
        let cache = self.cache.get_mut().unwrap_or_else(PoisonError::into_inner);
        let kept = image.rgb.len() <= cache.free_bytes;
        if kept {
            cache.free_bytes -= image.rgb.len();
        }
        cache.images.push(kept.then(|| Arc::new(image)));
        self.paths.push(path.to_owned());
    }

    fn len(&self) -> usize {
        self.paths.len()
    }

    /// Image `index`, prepared for crops of `crop` pixels.
    fn image(&self, index: usize, config: &FolderConfig, crop: usize) -> Result<Arc<Decoded>, CycleGanError> {
        // Nothing in the cache can be half done: a panic elsewhere leaves it whole.
        let lock = || self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(image) = &lock().images[index] {
            return Ok(image.clone());
        }
        let decoded = decode(&self.paths[index], config, crop);
        let image = Arc::new(decoded.map_err(|error| CycleGanError::Input(error.to_string()))?);
        let mut cache = lock();
        if cache.images[index].is_none() && image.rgb.len() <= cache.free_bytes {
            cache.free_bytes -= image.rgb.len();
            cache.images[index] = Some(image.clone());
        }
        Ok(image)
    }
}

/// The size to resize to, `[height, width]`.
fn target_size([h, w]: [usize; 2], config: &FolderConfig, crop: usize) -> [usize; 2] {
    let shorter = h.min(w).max(1);
    // Rounded, but never below what the crop needs.
    let scaled = |edge: usize| [h, w].map(|side| ((side * edge + shorter / 2) / shorter).max(crop));
    match config.preprocess {
        Preprocess::ResizeAndCrop => [config.load_size; 2],
        Preprocess::ScaleAndCrop => scaled(config.load_size),
        Preprocess::Crop if shorter < crop => scaled(crop),
        Preprocess::Crop => [h, w],
    }
}

fn decode(path: &Path, config: &FolderConfig, crop: usize) -> Result<Decoded, PictureError> {
    let mut rgb = pictures::read(path)?;
    let size = [rgb.height() as usize, rgb.width() as usize];
    let target = target_size(size, config, crop);
    if target != size {
        // CycleGAN resizes bicubically.
        rgb = image::imageops::resize(&rgb, target[1] as u32, target[0] as u32, FilterType::CatmullRom);
    }
    Ok(Decoded { rgb: rgb.into_raw(), size: target })
}

/// The folders below a root that hold images, if they are there.
pub const FOLDERS: [&str; 4] = ["trainA", "trainB", "testA", "testB"];

/// Batches of two folders.
pub struct ImageFolders {
    train: [Folder; 2],
    test: Option<[Folder; 2]>,
    left_out: Vec<LeftOut>,
    config: FolderConfig,
    size: usize,
    seed: Seed,
}

impl ImageFolders {
    /// The folders below `root`, for images of `size` pixels squared.
    ///
    /// # Errors
    /// A folder that is missing or holds no picture that can be read; settings that leave no room for the crop.
    pub fn open(root: &Path, config: FolderConfig, size: usize, seed: Seed) -> Result<Self, CycleGanError> {
        if config.load_size < size || config.load_size > 16_384 || size == 0 {
            return Err(CycleGanError::Input(format!(
                "load_size must be from the image size ({size}) to 16384, not {}",
                config.load_size
            )));
        }
        if !(0.0..=1.0).contains(&config.p_flip) {
            return Err(CycleGanError::Input(format!("p_flip is a probability, not {}", config.p_flip)));
        }
        let bytes = config.cache_mib.saturating_mul(1 << 19);
        let mut left_out = Vec::new();
        let mut open = |name: &str| Folder::open(&root.join(name), (&config, size), bytes, &mut left_out);
        let train = [open("trainA")?, open("trainB")?];
        let has_test = ["testA", "testB"].iter().all(|name| root.join(name).is_dir());
        let test = if has_test { Some([open("testA")?, open("testB")?]) } else { None };
        Ok(Self { train, test, left_out, config, size, seed })
    }

    /// What lies in the folders and is not read.
    pub fn left_out(&self) -> &[LeftOut] {
        &self.left_out
    }

    /// Images to train on in A and B.
    pub fn lengths(&self) -> [usize; 2] {
        [self.train[0].len(), self.train[1].len()]
    }

    /// The batch of a step: `count` images of each folder, A as x and B as y.
    ///
    /// # Errors
    /// An image that cannot be read.
    pub fn batch(&self, step: u64, count: usize) -> Result<UnpairedBatch, CycleGanError> {
        let [a, b] = &self.train;
        let first = step * count as u64;
        let mut rng = self.seed.derive("folder-b", step).rng();
        let from_a: Vec<usize> = (first..first + count as u64).map(|place| self.in_epoch(place, a.len())).collect();
        let from_b: Vec<usize> = (0..count).map(|_| rng.below(b.len())).collect();
        let crops = |folder: &Folder, indices: &[usize], name: &str| {
            let images = indices.par_iter().enumerate().map(|(place, &index)| {
                let image = folder.image(index, &self.config, self.size)?;
                let mut rng = self.seed.derive(name, first + place as u64).rng();
                Ok(random_crop(&image.rgb, image.size, self.size, self.config.p_flip, &mut rng))
            });
            images.collect::<Result<Vec<_>, CycleGanError>>()
        };
        self.to_batch(&crops(a, &from_a, "crop-a")?, &crops(b, &from_b, "crop-b")?)
    }

    /// The first `count` images of testA and testB (of the training folders, where there are none), cropped in the
    /// middle.
    ///
    /// # Errors
    /// An image that cannot be read.
    pub fn validation(&self, count: usize) -> Result<UnpairedBatch, CycleGanError> {
        let [a, b] = self.test.as_ref().unwrap_or(&self.train);
        let count = count.min(a.len()).min(b.len());
        let middle = |folder: &Folder| {
            let images = (0..count).into_par_iter().map(|index| {
                let image = folder.image(index, &self.config, self.size)?;
                Ok(center_crop(&image.rgb, image.size, self.size))
            });
            images.collect::<Result<Vec<_>, CycleGanError>>()
        };
        self.to_batch(&middle(a)?, &middle(b)?)
    }

    fn to_batch(&self, a: &[Vec<u8>], b: &[Vec<u8>]) -> Result<UnpairedBatch, CycleGanError> {
        let tensor = |images: &[Vec<u8>]| images_tensor(images.iter().map(Vec::as_slice), [self.size; 2]);
        Ok(UnpairedBatch::new(tensor(a)?, tensor(b)?))
    }

    /// The image at a place of the endless row of shuffled epochs.
    fn in_epoch(&self, place: u64, len: usize) -> usize {
        let (epoch, place) = (place / len as u64, (place % len as u64) as usize);
        let mut order: Vec<usize> = (0..len).collect();
        self.seed.derive("epoch", epoch).rng().shuffle(&mut order);
        order[place]
    }
}

/// The middle square.
fn center_crop(rgb: &[u8], [h, w]: [usize; 2], size: usize) -> Vec<u8> {
    let (top, left) = ((h - size) / 2, (w - size) / 2);
    let rows = rgb.chunks_exact(3 * w).skip(top).take(size);
    rows.flat_map(|row| row[3 * left..3 * (left + size)].iter().copied()).collect()
}

#[cfg(test)]
#[path = "folder_tests.rs"]
mod tests;
