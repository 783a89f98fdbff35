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
    pub step_indices: Vec<u64>,
    /// The seed of the look of each frame: with the state and the domain it renders the frame again.
    pub look_seeds: Vec<u64>,
}

impl FrameBatch {
    /// Zeroed pixels for `count` frames; cameras, step_indices and seeds are empty until they are filled in.
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
            step_indices: Vec::new(),
            look_seeds: Vec::new(),
        }
    }

    pub fn pixels(&self) -> usize {
        self.height * self.width
    }

    /// The same frames `factor` times smaller, which must divide both sizes: colours are averaged; ids are those of the
    /// most frequent instance in each block of pixels (of equals the lower number), and so is depth, in the mean.
    pub fn shrunk(&self, factor: usize) -> Self {
        assert!(factor > 0 && self.height.is_multiple_of(factor) && self.width.is_multiple_of(factor));
        let (height, width) = (self.height / factor, self.width / factor);
        let mut small = Self::blank(self.source, self.count, height, width);
        let area = (factor * factor) as u32;
        for at in 0..self.count * height * width {
            let (frame, y, x) = (at / (height * width), at / width % height, at % width);
            let first = (frame * self.height + y * factor) * self.width + x * factor;
            let block = || (0..factor).flat_map(move |dy| (0..factor).map(move |dx| first + dy * self.width + dx));
            for channel in 0..3 {
                let mean = |bytes: &[u8]| {
                    let sum: u32 = block().map(|pixel| u32::from(bytes[3 * pixel + channel])).sum();
                    ((sum + area / 2) / area) as u8
                };
                small.source_rgb[3 * at + channel] = mean(&self.source_rgb);
                small.canonical_rgb[3 * at + channel] = mean(&self.canonical_rgb);
            }
            // Frames without instances have segmentation alone to tell things apart.
            let key = |pixel: usize| (self.instances[pixel], self.segmentation[pixel]);
            let votes = |wanted: (u8, u8)| block().filter(|&pixel| key(pixel) == wanted).count();
            let winner = block().map(key).max_by_key(|&k| (votes(k), std::cmp::Reverse(k))).unwrap_or_default();
            (small.instances[at], small.segmentation[at]) = winner;
            let depths = block().filter(|&pixel| key(pixel) == winner).map(|pixel| self.depth_m[pixel]);
            small.depth_m[at] = depths.sum::<f32>() / votes(winner).max(1) as f32;
        }
        let resized =
            |camera: &Camera| Camera { intrinsics: camera.intrinsics.resized(width as u32, height as u32), ..*camera };
        small.cameras = self.cameras.iter().map(resized).collect();
        (small.step_indices, small.look_seeds) = (self.step_indices.clone(), self.look_seeds.clone());
        small
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_becomes_its_mean_colour_and_its_most_frequent_instance() {
        let mut batch = FrameBatch::blank(Domain::RandomizedHeavy, 2, 2, 4);
        // Frame 1, right block: three pixels of instance 7 (class 1), one of instance 2 (class 3).
        for (pixel, (instance, class, depth, red)) in
            [(10, (7, 1, 0.5, 10)), (11, (2, 3, 9.0, 20)), (14, (7, 1, 0.7, 30)), (15, (7, 1, 0.6, 41))]
        {
            (batch.instances[pixel], batch.segmentation[pixel], batch.depth_m[pixel]) = (instance, class, depth);
            batch.source_rgb[3 * pixel] = red;
        }
        let small = batch.shrunk(2);
        assert_eq!((small.count, small.height, small.width), (2, 1, 2));
        assert_eq!(small.instances, [0, 0, 0, 7]);
        assert_eq!(small.segmentation, [0, 0, 0, 1]);
        assert!((small.depth_m[3] - 0.6).abs() < 1e-6);
        // 101 / 4 = 25.25.
        assert_eq!(small.source_rgb, [0, 0, 0, 0, 0, 0, 0, 0, 0, 25, 0, 0]);
    }
}
