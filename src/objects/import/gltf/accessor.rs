//! Numbers out of glTF buffers. In: an accessor. Out: its values, with strides, sparse replacements (core glTF 2.0,
//! 3.6.2.3) and KHR_mesh_quantization's small types.

use super::document::{Accessor, BufferView};
use super::uri::{base64, percent_decoded};
use super::{ObjectError, Reader, Result, read_capped, resolve};
use std::sync::Arc;

const BYTE: u32 = 5120;
const UNSIGNED_BYTE: u32 = 5121;
const SHORT: u32 = 5122;
const UNSIGNED_SHORT: u32 = 5123;
const UNSIGNED_INT: u32 = 5125;
const FLOAT: u32 = 5126;

/// Bytes of a component.
fn size_of(kind: u32) -> Option<u64> {
    match kind {
        BYTE | UNSIGNED_BYTE => Some(1),
        SHORT | UNSIGNED_SHORT => Some(2),
        UNSIGNED_INT | FLOAT => Some(4),
        _ => None,
    }
}

impl Reader<'_> {
    /// The accessor `index` as vectors of `N` numbers; at most `limit` of them.
    pub(super) fn vectors<const N: usize>(
        &mut self,
        index: usize,
        place: &str,
        (what, limit): (&'static str, usize),
    ) -> Result<Vec<[f64; N]>> {
        let accessor = self.document.accessors.get(index).cloned();
        let accessor = accessor
            .ok_or_else(|| self.format(place, format!("there is no accessor {index}; export the file again")))?;
        let wanted = match N {
            1 => "SCALAR",
            2 => "VEC2",
            3 => "VEC3",
            _ => "VEC4",
        };
        let wrong = "its numbers have the wrong type; export the file again";
        let size = size_of(accessor.component_type).filter(|_| accessor.kind == wanted);
        let size = size.ok_or_else(|| self.format(place, wrong.into()))?;
        if accessor.count > limit as u64 {
            return Err(ObjectError::TooMany { path: self.path.to_owned(), what, limit });
        }
        let count = accessor.count as usize;
        let mut values = match accessor.buffer_view {
            Some(view) => self.packed::<N>(view, accessor.byte_offset, &accessor, size, place)?,
            None if accessor.sparse.is_some() => vec![[0.0; N]; count],
            None => {
                return Err(ObjectError::Unsupported {
                    path: self.path.to_owned(),
                    place: place.to_owned(),
                    what: "data without a buffer view (compressed geometry)".into(),
                    cure: "export without Draco or meshopt compression",
                });
            }
        };
        if let Some(sparse) = &accessor.sparse {
            if sparse.count > accessor.count {
                return Err(self.format(place, "its sparse values are more than it has; export the file again".into()));
            }
            let kind = sparse.indices.component_type.unwrap_or(0);
            let as_index =
                Accessor { component_type: kind, normalized: false, count: sparse.count, ..accessor.clone() };
            let index_size = size_of(kind).ok_or_else(|| self.format(place, wrong.into()))?;
            let (at, from) = (&sparse.indices, &sparse.values);
            let replaced = self.packed::<1>(at.buffer_view, at.byte_offset, &as_index, index_size, place)?;
            let as_value = Accessor { count: sparse.count, ..accessor.clone() };
            let new = self.packed::<N>(from.buffer_view, from.byte_offset, &as_value, size, place)?;
            for ([index], value) in replaced.into_iter().zip(new) {
                let count = values.len();
                *values.get_mut(index as usize).ok_or_else(|| ObjectError::IndexOutOfRange {
                    path: self.path.to_owned(),
                    place: place.to_owned(),
                    index: index as i64,
                    count,
                    what: "values",
                })? = value;
            }
        }
        Ok(values)
    }

    /// `accessor.count` values from a view, `offset` bytes into it.
    fn packed<const N: usize>(
        &mut self,
        view: usize,
        offset: u64,
        accessor: &Accessor,
        size: u64,
        place: &str,
    ) -> Result<Vec<[f64; N]>> {
        let (bytes, stride) = self.view(view, place)?;
        let own = size * N as u64;
        let stride = stride.filter(|stride| *stride > 0).unwrap_or(own);
        let end = accessor
            .count
            .checked_sub(1)
            .map_or(Some(offset), |steps| steps.checked_mul(stride)?.checked_add(offset)?.checked_add(own));
        if stride < own || end.is_none_or(|end| end > bytes.1 - bytes.0) {
            return Err(self.format(place, "its data lie outside the buffer; the file is cut off".into()));
        }
        let data = &self.buffers[self.document.buffer_views[view].buffer];
        let Some(Ok(data)) = data else { return Err(self.format(place, "its buffer is missing".into())) };
        let mut values = Vec::with_capacity(accessor.count as usize);
        for i in 0..accessor.count {
            let start = (bytes.0 + offset + i * stride) as usize;
            values.push(std::array::from_fn(|k| {
                let at = start + k * size as usize;
                component(&data[at..at + size as usize], accessor.component_type, accessor.normalized)
            }));
        }
        Ok(values)
    }

    /// Where a view's bytes lie in its buffer, which is loaded, and its stride.
    pub(super) fn view(&mut self, view: usize, place: &str) -> Result<((u64, u64), Option<u64>)> {
        let Some(&BufferView { buffer, byte_offset, byte_length, byte_stride }) = self.document.buffer_views.get(view)
        else {
            return Err(self.format(place, format!("there is no buffer view {view}; export the file again")));
        };
        let length = self.buffer(buffer)?.len() as u64;
        match byte_offset.checked_add(byte_length).filter(|end| *end <= length) {
            Some(end) => Ok(((byte_offset, end), byte_stride)),
            None => Err(self.format(place, "its data lie outside the buffer; the file is cut off".into())),
        }
    }

    /// The bytes of a buffer, read when they are first wanted.
    pub(super) fn buffer(&mut self, index: usize) -> Result<Arc<Vec<u8>>> {
        let place = format!("buffer {index}");
        if index >= self.document.buffers.len() {
            return Err(self.format(&place, "it is not in the file; export the file again".into()));
        }
        if let Some(known) = &self.buffers[index] {
            return known.clone().map_err(|what| self.format(&place, what));
        }
        let wanted = self.document.buffers[index].byte_length;
        let bytes = match self.document.buffers[index].uri.clone() {
            None => self.binary.clone().ok_or_else(|| {
                let what = "it has no uri, and the file no binary chunk; export the file again, without compression";
                self.format(&place, what.into())
            })?,
            Some(uri) => Arc::new(self.bytes_of(&uri, &place)?),
        };
        let found = if (bytes.len() as u64) < wanted {
            Err(format!("{wanted} bytes are announced and {} are there; the file is cut off", bytes.len()))
        } else {
            Ok(bytes)
        };
        self.buffers[index] = Some(found.clone());
        found.map_err(|what| self.format(&place, what))
    }

    /// The bytes of a data URI or of a file beside this one.
    pub(super) fn bytes_of(&self, uri: &str, place: &str) -> Result<Vec<u8>> {
        match uri.strip_prefix("data:") {
            Some(data) => data
                .split_once(";base64,")
                .and_then(|(_, text)| base64(text))
                .ok_or_else(|| self.format(place, "the data URI is not base64".into())),
            None => {
                let name =
                    percent_decoded(uri).ok_or_else(|| self.format(place, "the file's name is not UTF-8".into()))?;
                read_capped(&resolve(self.path, &name, self.root)?, self.limits.file_bytes)
            }
        }
    }
}

/// One number. Normalized integers stand for -1..1 or 0..1 (glTF 2.0, 3.6.2.2).
fn component(bytes: &[u8], kind: u32, normalized: bool) -> f64 {
    let mut four = [0_u8; 4];
    four[..bytes.len()].copy_from_slice(bytes);
    let [a, b, ..] = four;
    let (value, largest) = match kind {
        BYTE => (f64::from(a as i8), 127.0),
        UNSIGNED_BYTE => (f64::from(a), 255.0),
        SHORT => (f64::from(i16::from_le_bytes([a, b])), 32_767.0),
        UNSIGNED_SHORT => (f64::from(u16::from_le_bytes([a, b])), 65_535.0),
        FLOAT => return f64::from(f32::from_le_bytes(four)),
        _ => return f64::from(u32::from_le_bytes(four)),
    };
    if normalized { (value / largest).max(-1.0) } else { value }
}
