//! RGB-D images as the networks take them, with their labels, flipped at random.

use super::config::{Holes, SemanticConfig};
use super::looks;
use crate::contract::{Class, Rng, fill_holes};
use crate::nn::HOST;
use candle_core::{Device, Result, Tensor, bail};

/// Channels of an image: red, green, blue, depth.
pub const CHANNELS: usize = 4;

/// What the discriminators tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum SemanticClass {
    /// Table and everything behind it.
    Background = 0,
    /// Objects to grasp.
    Object = 1,
    /// The gripper in view.
    Fingers = 2,
}

impl SemanticClass {
    /// Number of classes: the output channels of a segmentation.
    pub const COUNT: usize = 3;

    /// From the renderer's class numbers: the arm's is the gripper's, unknown ones are background.
    pub fn from_rendered(class: u8) -> Self {
        if class == Class::Object as u8 {
            Self::Object
        } else if class == Class::Arm as u8 {
            Self::Fingers
        } else {
            Self::Background
        }
    }

    /// The renderer's class that a network's number stands for.
    pub fn to_rendered(class: u8) -> Class {
        if class == Self::Object as u8 {
            Class::Object
        } else if class == Self::Fingers as u8 {
            Class::Arm
        } else {
            Class::Background
        }
    }
}

/// A real image: nothing but what a camera sees.
#[derive(Clone, Copy, Debug)]
pub struct RgbdImage<'a> {
    /// `[size, size, 3]` bytes.
    pub rgb: &'a [u8],
    /// `[size, size]` metres; 0 and what is not finite are holes.
    pub depth_m: &'a [f32],
}

/// A simulated image with the renderer's class of each pixel.
#[derive(Clone, Copy, Debug)]
pub struct SegmentedRgbd<'a> {
    /// The picture and its depth.
    pub image: RgbdImage<'a>,
    /// `[size, size]`
    pub classes: &'a [u8],
}

/// Appends the planes red, green, blue, depth, all in [-1, 1]: colours and depth linearly, holes as [`Holes`] says and as far as
/// can be where nothing is measured in their row. `flip` mirrors along x.
///
/// # Errors
/// Images of another size.
pub fn encode_rgbd(config: &SemanticConfig, image: RgbdImage<'_>, flip: bool, out: &mut Vec<f32>) -> Result<()> {
    let size = config.size;
    if image.rgb.len() != 3 * size * size || image.depth_m.len() != size * size {
        let (rgb, depth) = (image.rgb.len(), image.depth_m.len());
        bail!("an RGB-D image has {rgb} bytes and {depth} depths; this network takes {size}x{size} pixels")
    }
    let pixels = || (0..size * size).map(move |index| mirrored(index, size, flip));
    for channel in 0..3 {
        out.extend(pixels().map(|pixel| f32::from(image.rgb[3 * pixel + channel]) / 127.5 - 1.0));
    }
    let scale = 2.0 / (config.far_m - config.near_m);
    let filled = match config.holes {
        Holes::Background => Some(fill_holes(image.depth_m, size, config.near_m)),
        Holes::Far => None,
    };
    let depth_m = filled.as_deref().unwrap_or(image.depth_m);
    out.extend(pixels().map(|pixel| {
        let depth = depth_m[pixel];
        if depth.is_finite() && depth > 0.0 { (scale * (depth - config.near_m) - 1.0).clamp(-1.0, 1.0) } else { 1.0 }
    }));
    Ok(())
}

/// Unflipped images as one tensor, `[n, 4, size, size]`.
///
/// # Errors
/// As [`encode_rgbd`].
pub fn encode_batch<'a>(
    config: &SemanticConfig,
    images: impl ExactSizeIterator<Item = RgbdImage<'a>>,
    device: &Device,
) -> Result<Tensor> {
    let shape = (images.len(), CHANNELS, config.size, config.size);
    let mut planes = Vec::with_capacity(shape.0 * CHANNELS * config.size * config.size);
    for image in images {
        encode_rgbd(config, image, false, &mut planes)?;
    }
    Tensor::from_vec(planes, shape, device)
}

/// What a translated image shows: the inverse of [`encode_rgbd`].
#[derive(Clone, Debug, PartialEq)]
pub struct TranslatedRgbd {
    /// `[size, size, 3]` bytes.
    pub rgb: Vec<u8>,
    /// `[size, size]` metres, from `near_m` to `far_m`.
    pub depth_m: Vec<f32>,
}

/// The images of a tensor `[n, 4, size, size]`.
///
/// # Errors
/// Another shape.
pub fn decode_batch(config: &SemanticConfig, images: &Tensor) -> Result<Vec<TranslatedRgbd>> {
    let (n, _, height, width) = images.dims4()?;
    let planes = images.to_device(&HOST)?.reshape((n, CHANNELS * height * width))?.to_vec2::<f32>()?;
    let byte = |value: f32| ((value + 1.0) * 127.5).round().clamp(0.0, 255.0) as u8;
    let metres = |value: f32| config.near_m + 0.5 * (value + 1.0).clamp(0.0, 2.0) * (config.far_m - config.near_m);
    let pixels = height * width;
    let image = |planes: Vec<f32>| TranslatedRgbd {
        rgb: (0..3 * pixels).map(|i| byte(planes[i % 3 * pixels + i / 3])).collect(),
        depth_m: planes[3 * pixels..].iter().map(|&value| metres(value)).collect(),
    };
    Ok(planes.into_iter().map(image).collect())
}

fn mirrored(index: usize, size: usize, flip: bool) -> usize {
    if flip { index - index % size + (size - 1 - index % size) } else { index }
}

/// What one training step sees.
#[derive(Clone, Debug)]
pub struct SemanticBatch {
    /// Simulated, `[n, 4, size, size]`.
    pub x: Tensor,
    /// Their [`SemanticClass`] numbers, `[n, size, size]`.
    pub classes: Tensor,
    /// Real, `[n, 4, size, size]`.
    pub y: Tensor,
}

impl SemanticBatch {
    /// Each image is mirrored along x with probability one half, its depth and classes with it. Never along y: the camera
    /// sits beside the gripper there. A share of the simulated ones has other looks ([`SemanticConfig::p_varied_looks`]).
    ///
    /// # Errors
    /// Images of another size, or different numbers of both sides.
    pub fn new(
        config: &SemanticConfig,
        x: &[SegmentedRgbd<'_>],
        y: &[RgbdImage<'_>],
        rng: &mut Rng,
        device: &Device,
    ) -> Result<Self> {
        if x.is_empty() || x.len() != y.len() {
            bail!("a batch needs as many simulated as real images, at least one; got {} and {}", x.len(), y.len())
        }
        let (n, size) = (x.len(), config.size);
        let (mut planes_x, mut planes_y, mut classes) = (Vec::new(), Vec::new(), Vec::new());
        for segmented in x {
            if segmented.classes.len() != size * size {
                bail!("{} classes for an image of {size}x{size} pixels", segmented.classes.len())
            }
            let flip = rng.chance(0.5);
            let mut rgb = segmented.image.rgb.to_owned();
            if config.p_varied_looks > 0.0 && rng.chance(config.p_varied_looks) {
                looks::vary(&mut rgb, segmented.classes, size, rng);
            }
            encode_rgbd(config, RgbdImage { rgb: &rgb, ..segmented.image }, flip, &mut planes_x)?;
            let class = |index| SemanticClass::from_rendered(segmented.classes[mirrored(index, size, flip)]) as u32;
            classes.extend((0..size * size).map(class));
        }
        for image in y {
            encode_rgbd(config, *image, rng.chance(0.5), &mut planes_y)?;
        }
        Ok(Self {
            x: Tensor::from_vec(planes_x, (n, CHANNELS, size, size), device)?,
            classes: Tensor::from_vec(classes, (n, size, size), device)?,
            y: Tensor::from_vec(planes_y, (n, CHANNELS, size, size), device)?,
        })
    }
}
