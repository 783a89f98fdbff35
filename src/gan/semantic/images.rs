//! The images of one side in memory, and the order in which training goes through them.

use super::batch::{RgbdImage, SegmentedRgbd};
use crate::contract::Seed;

/// Most bytes of one side's images in memory: 4 GiB.
pub const MAX_BYTES: usize = 4 << 30;

/// What is wrong with a set of images; the message names the cure.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0}")]
pub struct ImagesError(pub String);

/// RGB-D images of one size: all that training may see of reality.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RgbdImages {
    size: usize,
    rgb: Vec<u8>,
    depth_m: Vec<f32>,
}

impl RgbdImages {
    /// An empty set of square images of `size` pixels.
    pub fn new(size: usize) -> Self {
        Self { size, ..Self::default() }
    }

    /// # Errors
    /// More images than fit into memory.
    pub fn check_count(size: usize, count: usize) -> Result<(), ImagesError> {
        let bytes_per_image = size.saturating_mul(size).saturating_mul(3 + size_of::<f32>()).max(1);
        if bytes_per_image.saturating_mul(count) <= MAX_BYTES {
            return Ok(());
        }
        let (most, limit) = (MAX_BYTES / bytes_per_image, MAX_BYTES >> 30);
        Err(ImagesError(format!("{count} images of {size}x{size} pixels exceed {limit} GiB; use at most {most}")))
    }

    /// Appends an image: `[size, size, 3]` bytes, `[size, size]` metres with 0 for holes.
    ///
    /// # Errors
    /// An image of another size.
    pub fn push(&mut self, rgb: &[u8], depth_m: &[f32]) -> Result<(), ImagesError> {
        let pixels = self.size * self.size;
        if (rgb.len(), depth_m.len()) != (3 * pixels, pixels) {
            let (bytes, depths, size) = (rgb.len(), depth_m.len(), self.size);
            return Err(ImagesError(format!(
                "an image has {bytes} bytes of colour and {depths} depths; images of this set have {size}x{size} pixels"
            )));
        }
        self.rgb.extend_from_slice(rgb);
        self.depth_m.extend_from_slice(depth_m);
        Ok(())
    }

    /// Images in the set.
    pub fn len(&self) -> usize {
        self.depth_m.len() / (self.size * self.size).max(1)
    }

    /// Whether no image has been added.
    pub fn is_empty(&self) -> bool {
        self.depth_m.is_empty()
    }

    /// Edge of the square images, pixels.
    pub fn size(&self) -> usize {
        self.size
    }

    /// The image at a place, from 0. Panics beyond the last one.
    pub fn image(&self, index: usize) -> RgbdImage<'_> {
        let pixels = self.size * self.size;
        RgbdImage {
            rgb: &self.rgb[3 * pixels * index..3 * pixels * (index + 1)],
            depth_m: &self.depth_m[pixels * index..pixels * (index + 1)],
        }
    }

    /// Share of pixels without a depth.
    pub fn hole_rate(&self) -> f64 {
        let holes = self.depth_m.iter().filter(|depth| !(depth.is_finite() && **depth > 0.0)).count();
        holes as f64 / self.depth_m.len().max(1) as f64
    }

    /// Everything that is in it as bytes, for a checksum.
    pub fn bytes(&self) -> Vec<u8> {
        let depths = self.depth_m.iter().flat_map(|depth| depth.to_le_bytes());
        self.rgb.iter().copied().chain(depths).collect()
    }
}

/// RGB-D images of simulation with the renderer's class of each pixel.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SegmentedImages {
    images: RgbdImages,
    classes: Vec<u8>,
}

impl SegmentedImages {
    /// An empty set of square images of `size` pixels.
    pub fn new(size: usize) -> Self {
        Self { images: RgbdImages::new(size), classes: Vec::new() }
    }

    /// Appends an image and its classes, `[size, size]`.
    ///
    /// # Errors
    /// As [`RgbdImages::push`].
    pub fn push(&mut self, rgb: &[u8], depth_m: &[f32], classes: &[u8]) -> Result<(), ImagesError> {
        if classes.len() != self.images.size * self.images.size {
            let (found, size) = (classes.len(), self.images.size);
            return Err(ImagesError(format!("{found} classes for an image of {size}x{size} pixels")));
        }
        self.images.push(rgb, depth_m)?;
        self.classes.extend_from_slice(classes);
        Ok(())
    }

    /// The images without their classes.
    pub fn images(&self) -> &RgbdImages {
        &self.images
    }

    /// The image at a place, from 0, with its classes. Panics beyond the last one.
    pub fn image(&self, index: usize) -> SegmentedRgbd<'_> {
        let pixels = self.images.size * self.images.size;
        SegmentedRgbd { image: self.images.image(index), classes: &self.classes[pixels * index..pixels * (index + 1)] }
    }

    /// As [`RgbdImages::bytes`].
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.images.bytes();
        bytes.extend_from_slice(&self.classes);
        bytes
    }
}

/// A new random order of `count` images each epoch; the number of a draw decides its image, so that nothing is saved.
#[derive(Clone, Debug)]
pub(super) struct EpochOrder {
    seed: Seed,
    count: usize,
    epoch: Option<u64>,
    order: Vec<usize>,
}

impl EpochOrder {
    pub fn new(seed: Seed, count: usize) -> Self {
        Self { seed, count, epoch: None, order: Vec::new() }
    }

    /// The image of draw `number`, counted from the beginning of the run.
    pub fn index(&mut self, number: u64) -> usize {
        let epoch = number / self.count as u64;
        if self.epoch != Some(epoch) {
            self.order = (0..self.count).collect();
            self.seed.derive("epoch", epoch).rng().shuffle(&mut self.order);
            self.epoch = Some(epoch);
        }
        self.order[(number % self.count as u64) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_epoch_shows_every_image_once_in_another_order_and_any_draw_can_be_asked_for() {
        let mut order = EpochOrder::new(Seed(3), 5);
        let epochs: Vec<Vec<usize>> =
            (0..4).map(|epoch| (0..5).map(|i| order.index(5 * epoch + i)).collect()).collect();
        for epoch in &epochs {
            let mut sorted = epoch.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, [0, 1, 2, 3, 4]);
        }
        assert!(epochs.iter().any(|epoch| *epoch != epochs[0]));
        assert_eq!(EpochOrder::new(Seed(3), 5).index(13), epochs[2][3]);
    }

    #[test]
    fn images_are_kept_as_they_came_and_other_sizes_are_refused() -> anyhow::Result<()> {
        let mut images = SegmentedImages::new(2);
        images.push(&[1; 12], &[0.5, 0.0, f32::NAN, 0.25], &[0, 1, 4, 2])?;
        images.push(&[2; 12], &[1.0; 4], &[0; 4])?;
        assert_eq!((images.images().len(), images.image(1).image.rgb), (2, &[2; 12][..]));
        assert_eq!((images.image(0).classes, images.image(0).image.depth_m[3]), (&[0, 1, 4, 2][..], 0.25));
        assert_eq!(images.images().hole_rate(), 0.25);
        assert!(images.push(&[1; 12], &[1.0; 4], &[0; 3]).is_err_and(|e| e.to_string().contains("3 classes")));
        assert!(images.push(&[1; 11], &[1.0; 4], &[0; 4]).is_err_and(|e| e.to_string().contains("2x2")));
        assert_eq!(images.images().len(), 2);
        assert!(RgbdImages::check_count(64, 100_000).is_ok());
        assert!(RgbdImages::check_count(472, 10_000_000).is_err_and(|e| e.to_string().contains("at most 2754")));
        assert!(RgbdImages::check_count(usize::MAX, 2).is_err());
        Ok(())
    }
}
