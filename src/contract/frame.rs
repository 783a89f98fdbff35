//! What the renderer delivers.

use super::{Camera, Domain, FrameChannels, MissingChannels};

/// One captured moment of `count` environments from one camera: a source domain, the canonical domain, and what only
/// a simulator knows. All arrays are contiguous and aligned pixel for pixel. Images that were not asked for are empty:
/// [`FrameBatch::require`] turns that into an error, and the accessors of single images deliver empty slices.
#[derive(Clone, Debug)]
pub struct FrameBatch {
    /// Domain of `source_rgb` and `sensed_depth_m`.
    pub source: Domain,
    /// Frames: one for each environment, in their order.
    pub count: usize,
    /// Rows of every image.
    pub height: usize,
    /// Columns of every image.
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
    /// `[count, height, width]`, metres along the optical axis as the source domain's depth camera measures them, 0 where
    /// it measures nothing. Equal to `depth_m` where the domain models no depth camera.
    pub sensed_depth_m: Vec<f32>,
    /// `[count]`: the camera of each frame, for the window that was captured.
    pub cameras: Vec<Camera>,
    /// The environment step whose state each frame shows.
    pub step_indices: Vec<u64>,
    /// The seed of the look of each frame: with the state and the domain it renders the frame again.
    pub look_seeds: Vec<u64>,
}

impl FrameBatch {
    /// Zeroed images of `channels` for `count` frames; cameras, step_indices and seeds are empty until they are filled in.
    pub fn blank(source: Domain, channels: FrameChannels, count: usize, height: usize, width: usize) -> Self {
        let pixels = |wanted: bool| if wanted { count * height * width } else { 0 };
        Self {
            source,
            count,
            height,
            width,
            source_rgb: vec![0; pixels(channels.source) * 3],
            canonical_rgb: vec![0; pixels(channels.canonical) * 3],
            segmentation: vec![0; pixels(channels.identity)],
            instances: vec![0; pixels(channels.identity)],
            depth_m: vec![0.0; pixels(channels.depth)],
            sensed_depth_m: vec![0.0; pixels(channels.sensed_depth)],
            cameras: Vec::new(),
            step_indices: Vec::new(),
            look_seeds: Vec::new(),
        }
    }

    /// The images that are there.
    pub fn channels(&self) -> FrameChannels {
        let pixels = self.count * self.pixels();
        FrameChannels {
            source: self.source_rgb.len() == pixels * 3,
            canonical: self.canonical_rgb.len() == pixels * 3,
            identity: self.segmentation.len() == pixels && self.instances.len() == pixels,
            depth: self.depth_m.len() == pixels,
            sensed_depth: self.sensed_depth_m.len() == pixels,
        }
    }

    /// # Errors
    /// Some of `channels` were not captured.
    pub fn require(&self, channels: FrameChannels) -> Result<(), MissingChannels> {
        let held = self.channels();
        let missing = channels.without(held);
        if missing.is_none() { Ok(()) } else { Err(MissingChannels { held, missing }) }
    }

    /// Drops the images that are not among `channels`.
    pub fn keep(&mut self, channels: FrameChannels) {
        if !channels.source {
            self.source_rgb = Vec::new();
        }
        if !channels.canonical {
            self.canonical_rgb = Vec::new();
        }
        if !channels.identity {
            (self.segmentation, self.instances) = (Vec::new(), Vec::new());
        }
        if !channels.depth {
            self.depth_m = Vec::new();
        }
        if !channels.sensed_depth {
            self.sensed_depth_m = Vec::new();
        }
    }

    /// Pixels of one image: `height * width`.
    pub fn pixels(&self) -> usize {
        self.height * self.width
    }

    /// The same frames `factor` times smaller, which must divide both sizes: colours are averaged; ids are those of the
    /// most frequent instance in each block of pixels (of equals the lower number), and so are depths, in the mean of
    /// those that are not 0.
    pub fn shrunk(&self, factor: usize) -> Self {
        assert!(factor > 0 && self.height.is_multiple_of(factor) && self.width.is_multiple_of(factor));
        let (height, width) = (self.height / factor, self.width / factor);
        let channels = self.channels();
        let mut small = Self::blank(self.source, channels, self.count, height, width);
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
                if channels.source {
                    small.source_rgb[3 * at + channel] = mean(&self.source_rgb);
                }
                if channels.canonical {
                    small.canonical_rgb[3 * at + channel] = mean(&self.canonical_rgb);
                }
            }
            // Frames without instances have segmentation alone to tell things apart; those without ids have one thing.
            let key = |pixel: usize| {
                if channels.identity { (self.instances[pixel], self.segmentation[pixel]) } else { (0, 0) }
            };
            let votes = |wanted: (u8, u8)| block().filter(|&pixel| key(pixel) == wanted).count();
            let winner = block().map(key).max_by_key(|&k| (votes(k), std::cmp::Reverse(k))).unwrap_or_default();
            if channels.identity {
                (small.instances[at], small.segmentation[at]) = winner;
            }
            let depth = |depths: &[f32]| {
                let measured = block().filter(|&pixel| key(pixel) == winner).map(|pixel| depths[pixel]);
                let (sum, count) = measured.filter(|&m| m > 0.0).fold((0.0, 0_u32), |(sum, n), m| (sum + m, n + 1));
                sum / count.max(1) as f32
            };
            if channels.depth {
                small.depth_m[at] = depth(&self.depth_m);
            }
            if channels.sensed_depth {
                small.sensed_depth_m[at] = depth(&self.sensed_depth_m);
            }
        }
        let resized =
            |camera: &Camera| Camera { intrinsics: camera.intrinsics.resized(width as u32, height as u32), ..*camera };
        small.cameras = self.cameras.iter().map(resized).collect();
        (small.step_indices, small.look_seeds) = (self.step_indices.clone(), self.look_seeds.clone());
        small
    }

    /// Source image of environment `i`, `[height, width, 3]`; empty where it was not asked for.
    pub fn source_image(&self, i: usize) -> &[u8] {
        image(&self.source_rgb, i, self.pixels() * 3)
    }

    /// Canonical image of environment `i`, `[height, width, 3]`; empty where it was not asked for.
    pub fn canonical_image(&self, i: usize) -> &[u8] {
        image(&self.canonical_rgb, i, self.pixels() * 3)
    }

    /// Classes of environment `i`, `[height, width]`; empty where they were not asked for.
    pub fn segmentation_image(&self, i: usize) -> &[u8] {
        image(&self.segmentation, i, self.pixels())
    }

    /// Instance ids of environment `i`, `[height, width]`; empty where they were not asked for.
    pub fn instance_image(&self, i: usize) -> &[u8] {
        image(&self.instances, i, self.pixels())
    }

    /// True depth of environment `i`, `[height, width]`; empty where it was not asked for.
    pub fn depth_image(&self, i: usize) -> &[f32] {
        image(&self.depth_m, i, self.pixels())
    }

    /// Measured depth of environment `i`, `[height, width]`; empty where it was not asked for.
    pub fn sensed_depth_image(&self, i: usize) -> &[f32] {
        image(&self.sensed_depth_m, i, self.pixels())
    }
}

/// Image `i` of `size` numbers; empty in an array that was not asked for.
fn image<T>(array: &[T], i: usize, size: usize) -> &[T] {
    if array.is_empty() { array } else { &array[i * size..(i + 1) * size] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_becomes_its_mean_colour_and_its_most_frequent_instance() {
        let mut batch = FrameBatch::blank(Domain::RandomizedHeavy, FrameChannels::PAIRED, 2, 2, 4);
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

    #[test]
    fn images_that_were_not_captured_are_named() {
        let mut batch = FrameBatch::blank(Domain::Reality, FrameChannels::ALL, 3, 4, 4);
        assert_eq!(batch.channels(), FrameChannels::ALL);
        let wanted = FrameChannels { depth: true, ..FrameChannels::SOURCE };
        batch.keep(wanted);
        assert_eq!(batch.channels(), wanted);
        assert_eq!((batch.source_image(2).len(), batch.canonical_image(2).len()), (48, 0));
        assert_eq!((batch.depth_image(2).len(), batch.sensed_depth_image(2).len()), (16, 0));
        assert_eq!(batch.require(wanted), Ok(()));
        let error = batch.require(FrameChannels::PAIRED).expect_err("two are missing");
        assert_eq!(
            error.to_string(),
            "the frames hold source,depth and lack canonical,identity; ask for it where they are captured"
        );
        let small = batch.shrunk(2);
        assert_eq!((small.channels(), small.source_image(1).len()), (wanted, 12));
    }

    #[test]
    fn blocks_without_ids_become_the_mean_of_what_was_measured() {
        let wanted = FrameChannels { sensed_depth: true, ..FrameChannels::NONE };
        let mut batch = FrameBatch::blank(Domain::Reality, wanted, 1, 2, 4);
        batch.sensed_depth_m = vec![0.5, 0.0, 0.0, 0.0, 0.7, 0.6, 0.0, 0.0];
        let small = batch.shrunk(2);
        assert!((small.sensed_depth_m[0] - 0.6).abs() < 1e-6, "holes do not count");
        assert_eq!(small.sensed_depth_m[1], 0.0, "a hole stays a hole");
    }
}
