//! What an agent behind a generator sees: the translation and the picture, one behind the other in the channels (RCAN, 4.3).

use super::{Generator, Translation};
use crate::contract::{Class, ImageAdapter, VecEnvError};
use crate::gan::images::images_tensor;

/// Pictures in one pass of the generator.
const GENERATED_AT_ONCE: usize = 32;

/// Translated and original pictures, 6 channels, or with the generator's mask and depth behind them, 8.
pub struct GeneratorAdapter {
    /// Frozen while it translates.
    pub generator: Generator,
    /// Two channels more: 255 where the generator sees an object, and its depth, 0 nearest.
    pub with_maps: bool,
}

impl GeneratorAdapter {
    /// Channels with and without maps.
    pub const fn num_channels(with_maps: bool) -> usize {
        if with_maps { 8 } else { 6 }
    }
}

impl ImageAdapter for GeneratorAdapter {
    fn channels(&self) -> usize {
        Self::num_channels(self.with_maps)
    }

    fn encode(&self, rgb: Vec<u8>, size: [usize; 2]) -> Result<Vec<u8>, VecEnvError> {
        let range = self.generator.depth_range();
        encode(&self.generator, &rgb, size, self.channels(), |translation, source, images| {
            for (i, (generated, source)) in translation.image.chunks_exact(3).zip(source.chunks_exact(3)).enumerate() {
                images.extend_from_slice(generated);
                images.extend_from_slice(source);
                if self.with_maps {
                    let is_object = translation.classes[i] == Class::Object as u8;
                    images.push(if is_object { 255 } else { 0 });
                    images.push((127.5 * (range.encode(translation.depth_m[i]) + 1.0)).round() as u8);
                }
            }
        })
    }
}

/// Translated pictures alone: 3 channels. For an agent that was trained on canonical pictures and never saw another.
pub struct CanonicalAdapter(pub Generator);

impl ImageAdapter for CanonicalAdapter {
    fn channels(&self) -> usize {
        3
    }

    fn encode(&self, rgb: Vec<u8>, size: [usize; 2]) -> Result<Vec<u8>, VecEnvError> {
        encode(&self.0, &rgb, size, 3, |translation, _, images| images.extend_from_slice(&translation.image))
    }
}

/// What `put` makes of each translation and its source, one image after the other, `channels` bytes a pixel.
fn encode(
    generator: &Generator,
    rgb: &[u8],
    [height, width]: [usize; 2],
    channels: usize,
    put: impl Fn(&Translation, &[u8], &mut Vec<u8>),
) -> Result<Vec<u8>, VecEnvError> {
    let _frozen = generator.store().freeze();
    let mut images = Vec::with_capacity(rgb.len() / 3 * channels);
    for chunk in rgb.chunks(GENERATED_AT_ONCE * height * width * 3) {
        let pictures = chunk.chunks_exact(height * width * 3);
        let tensor = images_tensor(pictures.clone(), [height, width]);
        let translated = tensor.and_then(|tensor| generator.translate(&tensor)).map_err(VecEnvError::new)?;
        pictures.zip(&translated).for_each(|(source, translation)| put(translation, source, &mut images));
    }
    Ok(images)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Seed;
    use crate::gan::rcan::RcanConfig;
    use crate::nn::HOST;

    #[test]
    fn maps_stand_behind_the_pictures() -> Result<(), Box<dyn std::error::Error>> {
        let config = RcanConfig { size: 32, ..RcanConfig::preset(crate::train::Preset::Small) };
        let generator = || Generator::new(&config, Seed(3), &HOST);
        let mut rng = Seed(4).rng();
        let rgb: Vec<u8> = (0..2 * 32 * 32 * 3).map(|_| rng.below(256) as u8).collect();
        let plain = GeneratorAdapter { generator: generator()?, with_maps: false };
        let mapped = GeneratorAdapter { generator: generator()?, with_maps: true };
        let (six, eight) = (plain.encode(rgb.clone(), [32, 32])?, mapped.encode(rgb.clone(), [32, 32])?);
        assert_eq!((six.len(), eight.len()), (2 * 32 * 32 * plain.channels(), 2 * 32 * 32 * mapped.channels()));
        let tensor = images_tensor(rgb.chunks_exact(32 * 32 * 3), [32, 32])?;
        let translated = mapped.generator.translate(&tensor)?;
        let (classes, depth_m) = (
            translated.iter().flat_map(|one| one.classes.clone()),
            translated.iter().flat_map(|one| one.depth_m.clone()),
        );
        let range = mapped.generator.depth_range();
        let mut objects = 0;
        for (((six, eight), class), depth_m) in six.chunks_exact(6).zip(eight.chunks_exact(8)).zip(classes).zip(depth_m)
        {
            assert_eq!(six, &eight[..6]);
            assert_eq!(eight[6], if class == 1 { 255 } else { 0 });
            objects += usize::from(class == 1);
            // Half a byte's step of 1.2 m.
            let decoded = range.decode(f32::from(eight[7]) / 127.5 - 1.0);
            assert!((decoded - depth_m.clamp(range.near_m, range.far_m)).abs() < 0.003, "{decoded} {depth_m}");
        }
        assert!(objects > 0, "an untrained generator sees every class somewhere");
        Ok(())
    }
}
