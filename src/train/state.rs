//! Learners' tensors to and from the plain bytes of checkpoints.

use super::{NamedTensors, TensorBytes, TensorFile, TensorKind};
use crate::nn::HOST;
use candle_core::{DType, Tensor};

/// What can go wrong between a learner and its checkpoint.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Candle could not read or make a tensor.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
    /// A file of the checkpoint is damaged.
    #[error(transparent)]
    Checkpoint(#[from] crate::train::CheckpointError),
    /// A file of the checkpoint holds numbers other than `f32` and `i64`.
    #[error("tensor '{name}' has numbers of kind {kind:?}, which no learner uses; load a checkpoint of this program")]
    Kind {
        /// The tensor's name in the file.
        name: String,
        /// The kind of its numbers.
        kind: TensorKind,
    },
}

/// Candle's tensors as bytes for a checkpoint: `f32` stay, counters become 64-bit integers.
pub fn to_bytes(tensors: &[(String, Tensor)]) -> Result<NamedTensors<'static>, StateError> {
    tensors
        .iter()
        .map(|(name, tensor)| {
            let flat = tensor.to_device(&HOST)?.flatten_all()?;
            let (kind, data) = match tensor.dtype() {
                DType::I64 => (TensorKind::I64, bytes_of(&flat.to_vec1::<i64>()?)),
                _ => (TensorKind::F32, bytes_of(&flat.to_dtype(DType::F32)?.to_vec1::<f32>()?)),
            };
            Ok((name.clone(), TensorBytes::new(kind, tensor.dims(), data)))
        })
        .collect()
}

fn bytes_of<T: bytemuck::Pod>(values: &[T]) -> Vec<u8> {
    bytemuck::cast_slice(values).to_vec()
}

/// The tensors of one file of a checkpoint, on the CPU.
pub fn from_file(file: &TensorFile) -> Result<Vec<(String, Tensor)>, StateError> {
    file.tensors()?
        .into_iter()
        .map(|(name, bytes)| {
            let shape = bytes.shape.as_slice();
            let tensor = match bytes.kind {
                TensorKind::F32 => Tensor::from_vec(bytes.to_f32().unwrap_or_default(), shape, &HOST)?,
                TensorKind::I64 => Tensor::from_vec(bytes.to_i64().unwrap_or_default(), shape, &HOST)?,
                kind => return Err(StateError::Kind { name, kind }),
            };
            Ok((name, tensor))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::save_tensors;

    #[test]
    fn floats_and_counters_come_back_bit_for_bit() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("model.safetensors");
        let floats = Tensor::new(&[[1.0_f32, -0.0, f32::MIN_POSITIVE], [3.5e-42, 7.25, -1e30]], &HOST)?;
        let counters = Tensor::new(&[3_i64, i64::MAX], &HOST)?;
        let state = [("b.counters".to_owned(), counters), ("a.weight".to_owned(), floats.clone())];
        save_tensors(&path, &to_bytes(&state)?)?;
        let back = from_file(&TensorFile::read(&path)?)?;
        assert_eq!(back[0].0, "a.weight");
        let bits = |t: &Tensor| -> candle_core::Result<Vec<u32>> {
            Ok(t.flatten_all()?.to_vec1::<f32>()?.into_iter().map(f32::to_bits).collect())
        };
        assert_eq!(bits(&back[0].1)?, bits(&floats)?);
        assert_eq!(back[1].1.to_vec1::<i64>()?, [3, i64::MAX]);
        Ok(())
    }
}
