//! A pool of generated images for a discriminator (Shrivastava et al., 2017; CycleGAN, section 4): half of the images it
//! is shown come from earlier steps, so that it does not forget what the generator did before.
//!
//! Each discriminator needs a pool of its own. Images and generator state are part of a checkpoint: a resumed run
//! returns the same images as one that was never stopped.

use crate::contract::{Rng, Seed};
use crate::nn::HOST;
use candle_core::{DType, Tensor};

/// Why a saved pool cannot be taken over.
#[derive(Debug, thiserror::Error)]
#[error("the saved image pool does not fit: {0}; load a checkpoint of the same image size and pool size")]
pub struct PoolError(String);

/// Earlier images as rows of floats, all of one length.
#[derive(Clone, Debug, PartialEq)]
pub struct ImagePool {
    capacity: usize,
    rows: Vec<Vec<f32>>,
    rng: Rng,
}

impl ImagePool {
    /// An empty pool; one of `capacity` 0 returns every image as it comes.
    pub fn new(capacity: usize, seed: Seed) -> Self {
        Self { capacity, rows: Vec::new(), rng: seed.rng() }
    }

    /// Images stored so far, at most the capacity.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether no image is stored: before the first query, and always with a capacity of 0.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Exchanges images `[n, ...]`, one after the other. While the pool fills, an image is stored and returned as it
    /// came. After that, with probability 1/2 it takes the place of a random stored one, which is returned instead.
    /// Images of one batch may meet each other. The result has no gradient.
    ///
    /// # Errors
    /// Images of another size than those in the pool; a device that fails.
    pub fn query(&mut self, images: &Tensor) -> candle_core::Result<Tensor> {
        if self.capacity == 0 {
            return Ok(images.detach());
        }
        let count = images.dims().first().copied().unwrap_or(0);
        let flat = images.detach().to_device(&HOST)?.to_dtype(DType::F32)?.reshape((count, ()))?;
        let mut rows = flat.to_vec2::<f32>()?;
        if let (Some(new), Some(stored)) = (rows.first(), self.rows.first())
            && new.len() != stored.len()
        {
            candle_core::bail!("image pool: images of {} floats, stored are images of {}", new.len(), stored.len())
        }
        for row in &mut rows {
            if self.rows.len() < self.capacity {
                self.rows.push(row.clone());
            } else if self.rng.chance(0.5) {
                let place = self.rng.below(self.capacity);
                std::mem::swap(row, &mut self.rows[place]);
            }
        }
        Tensor::from_vec(rows.concat(), images.shape(), &HOST)?.to_dtype(images.dtype())?.to_device(images.device())
    }

    /// The stored images `[count, floats of an image]` (`None` while there are none) and the random generator.
    ///
    /// # Errors
    /// A device that fails.
    pub fn state(&self) -> candle_core::Result<(Option<Tensor>, Rng)> {
        let Some(first) = self.rows.first() else { return Ok((None, self.rng.clone())) };
        let shape = (self.rows.len(), first.len());
        Ok((Some(Tensor::from_vec(self.rows.concat(), shape, &HOST)?), self.rng.clone()))
    }

    /// Takes over what [`Self::state`] gave.
    ///
    /// # Errors
    /// More images than the pool holds, or a tensor that is not a list of images.
    pub fn load_state(&mut self, images: Option<&Tensor>, rng: Rng) -> Result<(), PoolError> {
        let rows = match images {
            Some(images) => images.to_vec2::<f32>().map_err(|e| PoolError(e.to_string()))?,
            None => Vec::new(),
        };
        if rows.len() > self.capacity {
            return Err(PoolError(format!("{} images for a pool of {}", rows.len(), self.capacity)));
        }
        (self.rows, self.rng) = (rows, rng);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Images of two pixels that hold their own number.
    fn numbered(numbers: std::ops::Range<usize>) -> candle_core::Result<Tensor> {
        let count = numbers.len();
        let values: Vec<f32> = numbers.flat_map(|number| [number as f32; 2]).collect();
        Tensor::from_vec(values, (count, 1, 1, 2), &HOST)
    }

    fn numbers(images: &Tensor) -> candle_core::Result<Vec<usize>> {
        Ok(images.narrow(3, 0, 1)?.flatten_all()?.to_vec1::<f32>()?.into_iter().map(|x| x as usize).collect())
    }

    #[test]
    fn the_first_images_come_back_as_they_came() -> anyhow::Result<()> {
        let mut pool = ImagePool::new(50, Seed(1));
        for step in 0..10 {
            let batch = numbered(step * 5..step * 5 + 5)?;
            assert_eq!(numbers(&pool.query(&batch)?)?, (step * 5..step * 5 + 5).collect::<Vec<_>>());
        }
        assert_eq!(pool.len(), 50);
        Ok(())
    }

    #[test]
    fn half_of_the_later_ones_are_stored_and_100_queries_old() -> anyhow::Result<()> {
        let mut pool = ImagePool::new(50, Seed(2));
        let (mut stored, mut age, mut queries) = (0_u32, 0_usize, 0_u32);
        for step in 0..10_000 {
            let asked = step * 8..step * 8 + 8;
            let returned = numbers(&pool.query(&numbered(asked.clone())?)?)?;
            // The first images have not had the time to grow old.
            if step < 200 {
                continue;
            }
            for (asked, returned) in asked.zip(returned) {
                queries += 1;
                assert!(returned <= asked, "an image from the future");
                if returned != asked {
                    stored += 1;
                    age += asked - returned;
                }
            }
        }
        let share = f64::from(stored) / f64::from(queries);
        assert!((share - 0.5).abs() < 0.01, "{share}");
        // A stored image is taken with probability 1/2 * 1/50 a query: its age is geometric, with mean 100.
        let mean = age as f64 / f64::from(stored);
        assert!((mean - 100.0).abs() < 3.0, "{mean}");
        Ok(())
    }

    #[test]
    fn a_restored_pool_goes_on_byte_for_byte() -> anyhow::Result<()> {
        let mut pool = ImagePool::new(7, Seed(3));
        for step in 0..20 {
            pool.query(&numbered(step * 3..step * 3 + 3)?)?;
        }
        let (images, rng) = pool.state()?;
        let rng: Rng = serde_json::from_str(&serde_json::to_string(&rng)?)?;
        let mut restored = ImagePool::new(7, Seed(999));
        restored.load_state(images.as_ref(), rng.clone())?;
        for step in 20..40 {
            let batch = numbered(step * 3..step * 3 + 3)?;
            assert_eq!(numbers(&pool.query(&batch)?)?, numbers(&restored.query(&batch)?)?);
        }
        assert_eq!(pool, restored);
        assert!(ImagePool::new(6, Seed(3)).load_state(images.as_ref(), rng).is_err());
        Ok(())
    }

    #[test]
    fn a_pool_of_none_returns_all_and_sizes_must_agree() -> anyhow::Result<()> {
        let mut none = ImagePool::new(0, Seed(4));
        for _ in 0..5 {
            assert_eq!(numbers(&none.query(&numbered(0..3)?)?)?, [0, 1, 2]);
        }
        assert!(none.is_empty() && none.state()?.0.is_none());
        let mut pool = ImagePool::new(5, Seed(4));
        pool.query(&numbered(0..3)?)?;
        assert!(pool.query(&Tensor::zeros((1, 1, 1, 3), DType::F32, &HOST)?).is_err());
        Ok(())
    }
}
