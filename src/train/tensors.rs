//! Tensors as plain bytes, in `.safetensors` files that PyTorch loads by name.
//!
//! This room knows no tensor library: learners hand over `(name, TensorBytes)` and get the same back.

use super::checkpoint::CheckpointError;
use crate::files::atomic::{AtomicFile, Committed, read_capped};
use safetensors::tensor::{Dtype, Metadata, SafeTensors, TensorInfo};
use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

const MAX_TENSOR_BYTES: u64 = 256 << 30;
/// A file begins with the length of its header, which is a multiple of this too.
const LENGTH_BYTES: usize = 8;

/// What the numbers of a tensor are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TensorKind {
    /// Floating point, 64 bits.
    F64,
    /// Floating point, 32 bits: all weights of learners.
    F32,
    /// IEEE half precision, 16 bits.
    F16,
    /// Brain floating point, 16 bits: the range of `F32` with 8 bits of precision.
    Bf16,
    /// Signed whole numbers, 64 bits: counters.
    I64,
    /// Unsigned whole numbers, 32 bits.
    U32,
    /// Unsigned whole numbers, 8 bits: images and flags.
    U8,
}

impl TensorKind {
    const ALL: [(Self, Dtype); 7] = [
        (Self::F64, Dtype::F64),
        (Self::F32, Dtype::F32),
        (Self::F16, Dtype::F16),
        (Self::Bf16, Dtype::BF16),
        (Self::I64, Dtype::I64),
        (Self::U32, Dtype::U32),
        (Self::U8, Dtype::U8),
    ];

    /// Bytes of one number.
    pub const fn size(self) -> usize {
        match self {
            Self::F64 | Self::I64 => 8,
            Self::F32 | Self::U32 => 4,
            Self::F16 | Self::Bf16 => 2,
            Self::U8 => 1,
        }
    }

    fn dtype(self) -> Dtype {
        Self::ALL.iter().find(|(kind, _)| *kind == self).map_or(Dtype::U8, |(_, dtype)| *dtype)
    }

    fn of(dtype: Dtype) -> Option<Self> {
        Self::ALL.iter().find(|(_, d)| *d == dtype).map(|(kind, _)| *kind)
    }
}

/// A tensor as plain bytes: little-endian, row-major.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorBytes<'a> {
    /// What the numbers are.
    pub kind: TensorKind,
    /// Sizes from the outermost dimension to the innermost; empty for a single number.
    pub shape: Vec<usize>,
    /// `kind.size()` bytes for each number; the length is checked when the tensor is written.
    pub data: Cow<'a, [u8]>,
}

impl<'a> TensorBytes<'a> {
    /// From bytes of the same layout. Nothing is checked before the tensor is written.
    pub fn new(kind: TensorKind, shape: &[usize], data: impl Into<Cow<'a, [u8]>>) -> Self {
        Self { kind, shape: shape.to_vec(), data: data.into() }
    }

    /// Borrows single-precision numbers, row-major.
    pub fn f32(shape: &[usize], values: &'a [f32]) -> Self {
        Self::new(TensorKind::F32, shape, bytemuck::cast_slice(values))
    }

    /// Borrows bytes, row-major.
    pub fn u8(shape: &[usize], values: &'a [u8]) -> Self {
        Self::new(TensorKind::U8, shape, values)
    }

    /// Borrows signed 64-bit numbers, row-major.
    pub fn i64(shape: &[usize], values: &'a [i64]) -> Self {
        Self::new(TensorKind::I64, shape, bytemuck::cast_slice(values))
    }

    /// The values, if they are `f32`.
    pub fn to_f32(&self) -> Option<Vec<f32>> {
        let values = self.data.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        (self.kind == TensorKind::F32).then(|| values.collect())
    }

    /// The values, if they are `i64`.
    pub fn to_i64(&self) -> Option<Vec<i64>> {
        let values = self.data.chunks_exact(8).map(|b| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(b);
            i64::from_le_bytes(bytes)
        });
        (self.kind == TensorKind::I64).then(|| values.collect())
    }

    fn check(&self, name: &str) -> Result<(), CheckpointError> {
        let bytes = self.shape.iter().try_fold(self.kind.size(), |n, &d| n.checked_mul(d));
        if bytes == Some(self.data.len()) {
            return Ok(());
        }
        let (shape, kind, len) = (&self.shape, self.kind, self.data.len());
        Err(CheckpointError::Input(format!("tensor '{name}' of shape {shape:?} and kind {kind:?} has {len} bytes")))
    }
}

/// Tensors by name. The order in the file is the format's own (by size of the numbers, then by name).
pub type NamedTensors<'a> = Vec<(String, TensorBytes<'a>)>;

/// A `.safetensors` file in memory.
#[derive(Clone, Debug)]
pub struct TensorFile {
    path: PathBuf,
    bytes: Vec<u8>,
}

impl TensorFile {
    /// Reads and validates a file; pickled PyTorch files and anything else are refused.
    pub fn read(path: &Path) -> Result<Self, CheckpointError> {
        let file = Self::load(path)?;
        file.tensors()?;
        Ok(file)
    }

    /// A file's bytes, validated; `path` is for messages.
    pub fn parse(path: &Path, bytes: Vec<u8>) -> Result<Self, CheckpointError> {
        let file = Self { path: path.into(), bytes };
        file.tensors()?;
        Ok(file)
    }

    /// Reads a file without looking into it.
    pub(super) fn load(path: &Path) -> Result<Self, CheckpointError> {
        Ok(Self { path: path.into(), bytes: read_capped(path, MAX_TENSOR_BYTES)? })
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The tensors in the order of their names.
    pub fn tensors(&self) -> Result<NamedTensors<'_>, CheckpointError> {
        let fail = |message: String| CheckpointError::damaged(&self.path, message);
        let parsed = SafeTensors::deserialize(&self.bytes).map_err(|e| fail(format!("no safetensors file: {e}")))?;
        let mut tensors = Vec::new();
        for (name, view) in parsed.tensors() {
            let kind = TensorKind::of(view.dtype());
            let kind = kind.ok_or_else(|| fail(format!("'{name}' has numbers of kind {:?}", view.dtype())))?;
            tensors.push((name, TensorBytes::new(kind, view.shape(), view.data())));
        }
        tensors.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(tensors)
    }
}

/// Writes tensors as one `.safetensors` file, whole or not at all; returns its size and checksum.
///
/// The bytes are those of [`safetensors::serialize`], a tensor at a time. The crate's own writer to files leaves
/// temporary files under names that nobody recognizes when the process is killed.
pub fn save_tensors(path: &Path, tensors: &[(String, TensorBytes)]) -> Result<Committed, CheckpointError> {
    let mut ordered: Vec<&(String, TensorBytes)> = tensors.iter().collect();
    // The format's order, for alignment: the widest numbers first, then by name.
    ordered.sort_by(|(left_name, left), (right_name, right)| {
        right.kind.dtype().cmp(&left.kind.dtype()).then(left_name.cmp(right_name))
    });
    let mut names = BTreeSet::new();
    let (mut infos, mut end) = (Vec::new(), 0);
    for (name, tensor) in &ordered {
        tensor.check(name)?;
        if !names.insert(name) {
            return Err(CheckpointError::Input(format!("there are two tensors called '{name}'")));
        }
        let start = end;
        end += tensor.data.len();
        let (dtype, shape) = (tensor.kind.dtype(), tensor.shape.clone());
        infos.push((name.clone(), TensorInfo { dtype, shape, data_offsets: (start, end) }));
    }
    let fail = |message: String| CheckpointError::Input(format!("'{}': {message}", path.display()));
    // What Hugging Face's loaders look for.
    let information = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let metadata = Metadata::new(Some(information), infos).map_err(|e| fail(e.to_string()))?;
    let mut header = serde_json::to_vec(&metadata).map_err(|e| fail(e.to_string()))?;
    header.resize(header.len().next_multiple_of(LENGTH_BYTES), b' ');
    let mut file = AtomicFile::create(path)?;
    file.expect_size((LENGTH_BYTES + header.len() + end) as u64);
    file.write_bytes(&(header.len() as u64).to_le_bytes())?;
    file.write_bytes(&header)?;
    for (_, tensor) in ordered {
        file.write_bytes(&tensor.data)?;
    }
    Ok(file.commit()?)
}
