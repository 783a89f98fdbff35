//! What the renderer delivers.

use super::{Camera, Domain};

/// One captured moment of `count` environments from one camera: a source domain, the canonical domain, and what only
/// a simulator knows. All arrays are contiguous and aligned pixel for pixel.
#[derive(Clone, Debug)]
pub struct FrameBatch {
    pub source: Domain,
    pub count: usize,
    pub height: usize,
    pub width: usize,
    /// `[count, height, width, 3]`, sRGB bytes of the source domain. Equal to `canonical_rgb` for the canonical domain.
    pub source_rgb: Vec<u8>,
    /// `[count, height, width, 3]`.
    pub canonical_rgb: Vec<u8>,
    /// `[count, height, width]`, values of [`super::Class`].
    pub segmentation: Vec<u8>,
    /// `[count, height, width]`, 0 is background.
    pub instances: Vec<u8>,
    /// `[count, height, width]`, metres along the optical axis; 0 where nothing was hit.
    pub depth_m: Vec<f32>,
    pub cameras: Vec<Camera>,
    /// The environment step whose state each frame shows.
    pub ticks: Vec<u64>,
    /// The seed of the look of each frame: with the state and the domain it renders the frame again.
    pub look_seeds: Vec<u64>,
}

impl FrameBatch {
    /// Zeroed pixels for `count` frames; cameras, ticks and seeds are empty until they are filled in.
    pub fn blank(source: Domain, count: usize, height: usize, width: usize) -> Self {
        let pixels = count * height * width;
        Self {
            source,
            count,
            height,
            width,
            source_rgb: vec![0; pixels * 3],
            canonical_rgb: vec![0; pixels * 3],
            segmentation: vec![0; pixels],
            instances: vec![0; pixels],
            depth_m: vec![0.0; pixels],
            cameras: Vec::new(),
            ticks: Vec::new(),
            look_seeds: Vec::new(),
        }
    }

    pub fn pixels(&self) -> usize {
        self.height * self.width
    }

    /// Source image of environment `i`, `[height, width, 3]`.
    pub fn source_image(&self, i: usize) -> &[u8] {
        let n = self.pixels() * 3;
        &self.source_rgb[i * n..(i + 1) * n]
    }

    /// Canonical image of environment `i`, `[height, width, 3]`.
    pub fn canonical_image(&self, i: usize) -> &[u8] {
        let n = self.pixels() * 3;
        &self.canonical_rgb[i * n..(i + 1) * n]
    }

    pub fn segmentation_image(&self, i: usize) -> &[u8] {
        &self.segmentation[i * self.pixels()..(i + 1) * self.pixels()]
    }

    pub fn instance_image(&self, i: usize) -> &[u8] {
        &self.instances[i * self.pixels()..(i + 1) * self.pixels()]
    }

    pub fn depth_image(&self, i: usize) -> &[f32] {
        &self.depth_m[i * self.pixels()..(i + 1) * self.pixels()]
    }
}
