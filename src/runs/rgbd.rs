//! RGB-D images on disk: a dataset of this program's, or a user's folder with `rgb/` and `depth/`. Nothing but the source
//! image and the measured depth is opened.

use super::UsageError;
use crate::data::paired::{Manifest, PairReader};
use crate::gan::semantic::{RgbdImages, SegmentedImages};
use crate::pictures::{self, DepthImage, LeftOut, PictureError};
use anyhow::Context;
use image::RgbImage;
use image::imageops::{FilterType, crop_imm, resize};
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Images that are decoded together.
const CHUNK: usize = 64;

/// Where RGB-D images lie.
pub enum RgbdFolder {
    Dataset(Box<PairReader>),
    Plain {
        /// Name, picture and depth of each, in the order of the names.
        images: Vec<(String, PathBuf, PathBuf)>,
        /// What lies beside the pictures and is not read.
        left_out: Vec<LeftOut>,
    },
}

/// One image at a network's size.
pub struct Rgbd {
    /// `[size, size, 3]` bytes.
    pub rgb: Vec<u8>,
    /// `[size, size]` metres, 0 where nothing was measured.
    pub depth_m: Vec<f32>,
}

impl RgbdFolder {
    /// # Errors
    /// A folder that is neither; a dataset without measured depth; a picture without its depth.
    pub fn open(root: &Path) -> anyhow::Result<Self> {
        if Manifest::path(root).is_file() {
            let reader = PairReader::open(root)?;
            if !reader.config().sensed_depth {
                let message = format!(
                    "the dataset in {} holds no measured depth; make it with `bingrasp dataset generate --sensed-depth`",
                    root.display()
                );
                return Err(UsageError(message).into());
            }
            return Ok(Self::Dataset(Box::new(reader)));
        }
        let (rgb, depth) = (root.join("rgb"), root.join("depth"));
        if !rgb.is_dir() || !depth.is_dir() {
            let message = format!(
                "{} holds no RGB-D images; pass a dataset made with --sensed-depth, or a folder with pictures in rgb/ and \
                 16-bit PNGs in millimetres of the same names in depth/",
                root.display()
            );
            return Err(UsageError(message).into());
        }
        let stem = |path: &PathBuf| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let depth_files = pictures::list(&depth)?;
        let mut depths: BTreeMap<String, PathBuf> = BTreeMap::new();
        for path in depth_files.pictures {
            if let Some(other) = depths.insert(stem(&path), path.clone()) {
                let message = format!(
                    "{} and {} are depth images of one picture; remove one of them",
                    other.display(),
                    path.display()
                );
                return Err(UsageError(message).into());
            }
        }
        let pair = |picture: PathBuf| {
            let name = stem(&picture);
            let depth = depths.get(&name).cloned().with_context(|| {
                format!("{} has no depth: there is no {name}.png in {}", picture.display(), depth.display())
            })?;
            Ok((name, picture, depth))
        };
        let pictures::Listing { pictures, mut left_out } = pictures::list(&rgb)?;
        left_out.extend(depth_files.left_out);
        let images: Vec<_> = pictures.into_iter().map(pair).collect::<anyhow::Result<_>>()?;
        let mut whose = BTreeMap::new();
        for (name, picture, depth) in &images {
            if let Some(other) = whose.insert(name.clone(), picture) {
                let message = format!(
                    "{} and {} have one depth image, {}; rename one of the pictures and give it its own",
                    other.display(),
                    picture.display(),
                    depth.display()
                );
                return Err(UsageError(message).into());
            }
        }
        Ok(Self::Plain { images, left_out })
    }

    /// What lies beside a user's pictures and is not read.
    pub fn left_out(&self) -> &[LeftOut] {
        match self {
            Self::Dataset(_) => &[],
            Self::Plain { left_out, .. } => left_out,
        }
    }

    /// Images in it.
    pub fn count(&self) -> usize {
        match self {
            Self::Dataset(reader) => reader.len(),
            Self::Plain { images, .. } => images.len(),
        }
    }

    /// The name of an image without its ending.
    pub fn name(&self, index: usize) -> String {
        match self {
            Self::Dataset(reader) => reader.layout().key(reader.index(index)),
            Self::Plain { images, .. } => images[index].0.clone(),
        }
    }

    /// An image's middle square at `size` pixels.
    ///
    /// # Errors
    /// Files that are missing or damaged; a depth image that does not fit its picture.
    pub fn read(&self, index: usize, size: usize) -> anyhow::Result<Rgbd> {
        match self {
            Self::Dataset(reader) => {
                let (width, height) = reader.size();
                let rgb = reader.source_rgb(index)?;
                let depth = DepthImage { width, height, depth_mm: reader.sensed_depth_mm(index)? };
                let picture = RgbImage::from_raw(width as u32, height as u32, rgb).unwrap_or_default();
                Ok(Rgbd { rgb: square(&picture, size), depth_m: depth.square_m(size) })
            }
            Self::Plain { images, .. } => {
                let (_, picture_path, depth_path) = &images[index];
                let (picture, depth) = (pictures::read(picture_path)?, pictures::read_depth(depth_path)?);
                let (found, wanted) = ((depth.width, depth.height), picture.dimensions());
                if found != (wanted.0 as usize, wanted.1 as usize) {
                    anyhow::bail!(
                        "{} is {}x{} and its picture {} is {}x{}; save both at one size, aligned pixel for pixel",
                        depth_path.display(),
                        found.0,
                        found.1,
                        picture_path.display(),
                        wanted.0,
                        wanted.1
                    );
                }
                Ok(Rgbd { rgb: square(&picture, size), depth_m: depth.square_m(size) })
            }
        }
    }

    /// The picture of an image of a user's folder.
    pub fn users_picture(&self, index: usize) -> Option<&Path> {
        match self {
            Self::Dataset(_) => None,
            Self::Plain { images, .. } => images.get(index).map(|(_, picture, _)| picture.as_path()),
        }
    }

    /// Several images, decoded in parallel, with what is wrong in the place of those that cannot be read.
    pub fn read_each(&self, range: std::ops::Range<usize>, size: usize) -> Vec<anyhow::Result<Rgbd>> {
        range.into_par_iter().map(|index| self.read(index, size)).collect()
    }

    /// Several images, decoded in parallel.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_many(&self, range: std::ops::Range<usize>, size: usize) -> anyhow::Result<Vec<Rgbd>> {
        range.into_par_iter().map(|index| self.read(index, size)).collect()
    }
}

/// The middle square of a picture at `size` pixels.
pub fn square(picture: &RgbImage, size: usize) -> Vec<u8> {
    let (width, height) = picture.dimensions();
    let edge = width.min(height);
    let square = crop_imm(picture, (width - edge) / 2, (height - edge) / 2, edge, edge).to_image();
    if edge as usize == size {
        return square.into_raw();
    }
    resize(&square, size as u32, size as u32, FilterType::Triangle).into_raw()
}

/// All images of a folder at `size` pixels: all that training may see of reality.
///
/// # Errors
/// As [`RgbdFolder::open`] and [`RgbdFolder::read`]; more than fit into memory.
pub fn load_images(root: &Path, size: usize) -> anyhow::Result<RgbdImages> {
    let folder = RgbdFolder::open(root)?;
    RgbdImages::check_count(size, folder.count())
        .map_err(|error| UsageError(format!("{}: {error}", root.display())))?;
    let mut images = RgbdImages::new(size);
    for first in (0..folder.count()).step_by(CHUNK) {
        for image in folder.read_many(first..folder.count().min(first + CHUNK), size)? {
            images.push(&image.rgb, &image.depth_m)?;
        }
    }
    Ok(images)
}

/// All images of a dataset of simulated ones, with their classes.
///
/// # Errors
/// As [`load_images`]; a folder that is no dataset, or images of another size.
pub fn load_segmented(root: &Path, size: usize) -> anyhow::Result<SegmentedImages> {
    let folder = RgbdFolder::open(root)?;
    let RgbdFolder::Dataset(reader) = &folder else {
        let message = format!("{} holds no classes; simulated images must come from a dataset", root.display());
        return Err(UsageError(message).into());
    };
    if reader.config().domain.stands_for_reality() {
        let (root, domain) = (root.display(), reader.config().domain);
        let message = format!(
            "the dataset in {root} is of the domain {domain}, whose classes no learner may see; simulated images must be of \
             another domain"
        );
        return Err(UsageError(message).into());
    }
    let (width, height) = reader.size();
    if (width, height) != (size, size) {
        return Err(UsageError(format!(
            "the images in {} are {width}x{height} and the network takes {size}x{size}; make a dataset with --size {size}",
            root.display()
        ))
        .into());
    }
    RgbdImages::check_count(size, reader.len()).map_err(|error| UsageError(format!("{}: {error}", root.display())))?;
    let mut images = SegmentedImages::new(size);
    for first in (0..folder.count()).step_by(CHUNK) {
        let range = first..folder.count().min(first + CHUNK);
        let classes: Vec<_> =
            range.clone().into_par_iter().map(|index| reader.segmentation(index)).collect::<Result<_, _>>()?;
        for (image, classes) in folder.read_many(range, size)?.into_iter().zip(classes) {
            images.push(&image.rgb, &image.depth_m, &classes)?;
        }
    }
    Ok(images)
}

/// The middle square of the picture in a file.
///
/// # Errors
/// As [`pictures::read`].
pub fn read_square(path: &Path, size: usize) -> Result<Vec<u8>, PictureError> {
    Ok(square(&pictures::read(path)?, size))
}
