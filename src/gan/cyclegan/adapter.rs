//! What an agent behind G (or F) sees: the translation alone, 3 channels. It takes the place of the camera's picture, where
//! RCAN's stands beside it.

use super::generator::Generator;
use crate::contract::{ImageAdapter, VecEnvError};
use crate::gan::images::images_tensor;

/// Pictures in one pass of the generator.
const GENERATED_AT_ONCE: usize = 32;

/// Translated pictures.
pub struct TranslationAdapter(pub Generator);

impl ImageAdapter for TranslationAdapter {
    fn channels(&self) -> usize {
        3
    }

    fn encode(&self, rgb: Vec<u8>, [height, width]: [usize; 2]) -> Result<Vec<u8>, VecEnvError> {
        let mut images = Vec::with_capacity(rgb.len());
        for chunk in rgb.chunks(GENERATED_AT_ONCE * height * width * 3) {
            let tensor = images_tensor(chunk.chunks_exact(height * width * 3), [height, width]);
            let translated = tensor.and_then(|tensor| self.0.translate(&tensor)).map_err(VecEnvError::new)?;
            translated.into_iter().for_each(|image| images.extend(image));
        }
        Ok(images)
    }
}
