//! What an agent behind a generator sees: the translation and the picture, one behind the other in the channels (RCAN, 4.3).

use super::Generator;
use crate::contract::{ImageAdapter, VecEnvError};
use crate::gan::images::images_tensor;

/// Pictures in one pass of the generator.
const GENERATED_AT_ONCE: usize = 32;

/// Translated and original pictures: 6 channels.
pub struct GeneratorAdapter(pub Generator);

impl ImageAdapter for GeneratorAdapter {
    fn channels(&self) -> usize {
        6
    }

    fn encode(&self, rgb: Vec<u8>, [height, width]: [usize; 2]) -> Result<Vec<u8>, VecEnvError> {
        encode(&self.0, rgb, [height, width], true)
    }
}

/// Translated pictures alone: 3 channels. For an agent that was trained on canonical pictures and never saw another.
pub struct CanonicalAdapter(pub Generator);

impl ImageAdapter for CanonicalAdapter {
    fn channels(&self) -> usize {
        3
    }

    fn encode(&self, rgb: Vec<u8>, size: [usize; 2]) -> Result<Vec<u8>, VecEnvError> {
        encode(&self.0, rgb, size, false)
    }
}

/// Translations, with each pixel of the source behind that of its translation where `with_source`.
fn encode(
    generator: &Generator,
    rgb: Vec<u8>,
    [height, width]: [usize; 2],
    with_source: bool,
) -> Result<Vec<u8>, VecEnvError> {
    let _frozen = generator.store().freeze();
    let mut images = Vec::with_capacity(2 * rgb.len());
    for chunk in rgb.chunks(GENERATED_AT_ONCE * height * width * 3) {
        let pictures = chunk.chunks_exact(height * width * 3);
        let tensor = images_tensor(pictures.clone(), [height, width]);
        let translated = tensor.and_then(|tensor| generator.translate(&tensor)).map_err(VecEnvError::new)?;
        for (source, translation) in pictures.zip(&translated) {
            if !with_source {
                images.extend_from_slice(&translation.image);
                continue;
            }
            for (generated, source) in translation.image.chunks_exact(3).zip(source.chunks_exact(3)) {
                images.extend_from_slice(generated);
                images.extend_from_slice(source);
            }
        }
    }
    Ok(images)
}
