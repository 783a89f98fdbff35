//! Two folders of images as a source of batches: `trainA/` and `trainB/`, the layout that CycleGAN users have.
//!
//! Images of any size and shape are resized and cropped as CycleGAN's options say. A is gone through in a new order each
//! epoch, B is drawn at random. The seed and the step's number decide a batch, so that nothing has to be saved; `testA/`
//! and `testB/`, if they are there, are for pictures and validation.

use super::batch::UnpairedBatch;
use super::error::CycleGanError;
use super::noise::random_crop;
use crate::contract::Seed;
use crate::gan::images::images_tensor;
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

/// Extensions that are read.
const EXTENSIONS: [&str; 4] = ["png", "jpg", "jpeg", "gif"];

impl Folder {
    fn open(path: &Path, cache_bytes: usize) -> Result<Self, CycleGanError> {
        let fail = |error: std::io::Error| {
            CycleGanError::Input(format!(
                "cannot read the folder '{}': {error}; unpaired data are two folders of images, trainA/ and trainB/",
                path.display()
            ))
        };
        let mut paths = Vec::new();
        for entry in std::fs::read_dir(path).map_err(fail)? {
            let path = entry.map_err(fail)?.path();
            let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
            if EXTENSIONS.contains(&extension.as_str()) && path.is_file() {
                paths.push(path);
            }
        }
        if paths.is_empty() {
            return Err(CycleGanError::Input(format!(
                "'{}' holds no images; put files ending in {} there",
                path.display(),
                EXTENSIONS.join(", ")
            )));
        }
        paths.sort();
        let cache = Cache { images: paths.iter().map(|_| None).collect(), free_bytes: cache_bytes };
        Ok(Self { paths, cache: Mutex::new(cache) })
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
        let image = Arc::new(decode(&self.paths[index], config, crop)?);
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

fn decode(path: &Path, config: &FolderConfig, crop: usize) -> Result<Decoded, CycleGanError> {
    let fail = |error: image::ImageError| {
        CycleGanError::Input(format!(
            "cannot read the image '{}': {error}; remove it from the folder or save it again as PNG",
            path.display()
        ))
    };
    let reader = image::ImageReader::open(path).map_err(|e| fail(e.into()))?;
    let reader = reader.with_guessed_format().map_err(|e| fail(e.into()))?;
    let mut rgb = reader.decode().map_err(fail)?.to_rgb8();
    let size = [rgb.height() as usize, rgb.width() as usize];
    let target = target_size(size, config, crop);
    if target != size {
        // CycleGAN resizes bicubically.
        rgb = image::imageops::resize(&rgb, target[1] as u32, target[0] as u32, FilterType::CatmullRom);
    }
    Ok(Decoded { rgb: rgb.into_raw(), size: target })
}

/// Batches of two folders.
pub struct ImageFolders {
    train: [Folder; 2],
    test: Option<[Folder; 2]>,
    config: FolderConfig,
    size: usize,
    seed: Seed,
}

impl ImageFolders {
    /// The folders below `root`, for images of `size` pixels squared.
    ///
    /// # Errors
    /// A folder that is missing or holds no images; settings that leave no room for the crop.
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
        let open = |name: &str| Folder::open(&root.join(name), bytes);
        let train = [open("trainA")?, open("trainB")?];
        let has_test = ["testA", "testB"].iter().all(|name| root.join(name).is_dir());
        let test = if has_test { Some([open("testA")?, open("testB")?]) } else { None };
        Ok(Self { train, test, config, size, seed })
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
