//! What an agent sees of the camera's pictures: the pictures, or a generator's translation and the pictures (RCAN, 4.3:
//! both are given to the agent, one behind the other in the channels).

use crate::contract::{Domain, FrameBatch};
use crate::gan::rcan::{Generator, batch::images_tensor};
use crate::rl::vec_env::VecEnvError;

/// From frames to the images of an agent.
pub struct ObservationAdapter {
    domain: Domain,
    generator: Option<Generator>,
}

impl ObservationAdapter {
    /// The pictures of a domain as they are.
    pub fn plain(domain: Domain) -> Self {
        Self { domain, generator: None }
    }

    /// Translated and original pictures: 6 channels.
    pub fn translated(domain: Domain, generator: Generator) -> Self {
        Self { domain, generator: Some(generator) }
    }

    pub fn domain(&self) -> Domain {
        self.domain
    }

    pub fn channels(&self) -> usize {
        if self.generator.is_some() { 6 } else { 3 }
    }

    /// `[environments, size, size, channels]` bytes of the first camera's pictures.
    ///
    /// # Errors
    /// No pictures of the domain; a generator for another size.
    pub fn encode(&self, frames: Vec<FrameBatch>) -> Result<Vec<u8>, VecEnvError> {
        let wanted = frames.into_iter().find(|batch| batch.source == self.domain);
        let Some(batch) = wanted else {
            return Err(VecEnvError::new(format!("the environment renders no pictures of {}", self.domain)));
        };
        self.encode_rgb(batch.source_rgb, [batch.height, batch.width])
    }

    /// As [`Self::encode`], of pictures one after the other, `[n, height, width, 3]`.
    ///
    /// # Errors
    /// A generator for another size.
    pub fn encode_rgb(&self, rgb: Vec<u8>, [height, width]: [usize; 2]) -> Result<Vec<u8>, VecEnvError> {
        let Some(generator) = &self.generator else { return Ok(rgb) };
        let _frozen = generator.store().freeze();
        let mut images = Vec::with_capacity(2 * rgb.len());
        for chunk in rgb.chunks(GENERATED_AT_ONCE * height * width * 3) {
            let pictures = chunk.chunks_exact(height * width * 3);
            let tensor = images_tensor(pictures.clone(), [height, width]);
            let translated = tensor.and_then(|tensor| generator.translate(&tensor)).map_err(VecEnvError::new)?;
            for (source, translation) in pictures.zip(&translated) {
                for (generated, source) in translation.image.chunks_exact(3).zip(source.chunks_exact(3)) {
                    images.extend_from_slice(generated);
                    images.extend_from_slice(source);
                }
            }
        }
        Ok(images)
    }
}

/// Pictures in one pass of the generator.
const GENERATED_AT_ONCE: usize = 32;
