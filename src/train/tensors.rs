//! Tensors as plain bytes, in `.safetensors` files that PyTorch loads by name.
//!
//! This room knows no tensor library: learners hand over `(name, TensorBytes)` and get the same back.

use super::checkpoint::CheckpointError;
use crate::files::atomic::{FileError, read_capped, sync_folder};
use safetensors::tensor::{Dtype, SafeTensors, View, serialize_to_file};
use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::path::{Path, PathBuf};

const MAX_TENSOR_BYTES: u64 = 256 << 30;

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

impl View for &TensorBytes<'_> {
    fn dtype(&self) -> Dtype {
        self.kind.dtype()
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.data)
    }

    fn data_len(&self) -> usize {
        self.data.len()
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

/// Writes tensors as one `.safetensors` file, whole or not at all: weights to be taken elsewhere.
pub fn save_tensors(path: &Path, tensors: &[(String, TensorBytes)]) -> Result<(), CheckpointError> {
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let temporary = path.with_file_name(format!(".{name}.{}-0.tmp", std::process::id()));
    let written = write_tensors(&temporary, tensors).and_then(|()| {
        std::fs::rename(&temporary, path).map_err(|e| FileError::io("rename", path, e))?;
        Ok(sync_folder(path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")))?)
    });
    if written.is_err() {
        // The error that is returned matters more than this one.
        let _ = std::fs::remove_file(&temporary);
    }
    written
}

pub(super) fn write_tensors(path: &Path, tensors: &[(String, TensorBytes)]) -> Result<(), CheckpointError> {
    let mut names = BTreeSet::new();
    for (name, tensor) in tensors {
        tensor.check(name)?;
        if !names.insert(name) {
            return Err(CheckpointError::Input(format!("there are two tensors called '{name}'")));
        }
    }
    let needed = tensors.iter().map(|(_, t)| t.data.len() as u64).sum();
    let fail = |e| FileError::new("write", path, needed, e);
    let data = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor));
    // What Hugging Face's loaders look for.
    let information = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    serialize_to_file(data, Some(information), path).map_err(|e| match e {
        safetensors::SafeTensorError::IoError(e) => CheckpointError::File(fail(e)),
        other => CheckpointError::Input(format!("'{}': {other}", path.display())),
    })?;
    let file = File::options().write(true).open(path).map_err(fail)?;
    Ok(file.sync_all().map_err(fail)?)
}
