//! The parts of a glTF 2.0 document that a shape needs. In: a file's bytes. Out: the JSON as [`Document`] and the binary
//! chunk. Everything else in the JSON may be as it likes.

use super::super::text::decoded;
use super::super::{ObjectError, Result};
use serde::Deserialize;
use serde_json::Value;
use std::path::Path;

/// Extensions that a shape cannot do without, and what to do about them.
const GEOMETRY: [(&str, &str); 6] = [
    ("KHR_draco_mesh_compression", "export without Draco compression"),
    ("EXT_meshopt_compression", "export without meshopt compression"),
    ("KHR_meshopt_compression", "export without meshopt compression"),
    ("EXT_mesh_gpu_instancing", "export every instance as a mesh of its own"),
    ("KHR_gaussian_splatting", "export a mesh with triangles"),
    ("KHR_implicit_shapes", "export a mesh with triangles"),
];

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Document {
    pub scene: Option<usize>,
    pub scenes: Option<Vec<Scene>>,
    pub nodes: Vec<Node>,
    pub meshes: Vec<Mesh>,
    pub accessors: Vec<Accessor>,
    pub buffer_views: Vec<BufferView>,
    pub buffers: Vec<Buffer>,
    /// Looks are a courtesy: what is wrong with them must not lose the shape.
    pub materials: Value,
    pub textures: Value,
    pub images: Value,
    pub extensions_used: Vec<String>,
    pub extensions_required: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Scene {
    pub nodes: Vec<usize>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Node {
    pub children: Vec<usize>,
    pub mesh: Option<usize>,
    pub skin: Option<usize>,
    /// Columns.
    pub matrix: Option<[f32; 16]>,
    pub translation: Option<[f32; 3]>,
    /// x, y, z, w.
    pub rotation: Option<[f32; 4]>,
    pub scale: Option<[f32; 3]>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Mesh {
    pub primitives: Vec<Primitive>,
    /// Of morph targets.
    pub weights: Vec<f32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Primitive {
    pub attributes: std::collections::BTreeMap<String, usize>,
    pub indices: Option<usize>,
    pub material: Option<usize>,
    /// 4, triangles, where it is not given.
    pub mode: Option<u32>,
    pub extensions: Option<Value>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Accessor {
    pub buffer_view: Option<usize>,
    #[serde(default)]
    pub byte_offset: u64,
    pub component_type: u32,
    #[serde(default)]
    pub normalized: bool,
    pub count: u64,
    #[serde(rename = "type")]
    pub kind: String,
    pub sparse: Option<Sparse>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Sparse {
    pub count: u64,
    pub indices: SparsePart,
    pub values: SparsePart,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SparsePart {
    pub buffer_view: usize,
    #[serde(default)]
    pub byte_offset: u64,
    /// Of the indices.
    pub component_type: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BufferView {
    pub buffer: usize,
    #[serde(default)]
    pub byte_offset: u64,
    pub byte_length: u64,
    pub byte_stride: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Buffer {
    pub uri: Option<String>,
    pub byte_length: u64,
}

/// A file taken apart.
#[derive(Debug)]
pub(super) struct Parsed {
    pub document: Document,
    pub asset: Value,
    pub binary: Option<Vec<u8>>,
}

/// Takes `bytes` apart. `warnings` lists what is ignored.
pub(super) fn parse(path: &Path, bytes: &[u8], warnings: &mut Vec<String>) -> Result<Parsed> {
    let format = |place: &str, what: String| ObjectError::Format { path: path.to_owned(), place: place.into(), what };
    let old = || ObjectError::Unsupported {
        path: path.to_owned(),
        place: "header".into(),
        what: "glTF 1.0".into(),
        cure: "convert it to glTF 2.0 (Blender's export, or gltf-pipeline)",
    };
    let (json, binary) = if bytes.starts_with(b"glTF") {
        if bytes.get(4..8) == Some(&[1, 0, 0, 0]) {
            return Err(old());
        }
        chunks(bytes).map_err(|what| format("header", what))?
    } else {
        (bytes, None)
    };
    let mut value: Value = serde_json::from_str(&decoded(json)).map_err(|error| {
        let what = match error.is_eof() {
            true => format!("the JSON ends too early, at line {}; the file is cut off, copy it again", error.line()),
            false => format!(
                "this is no JSON, at line {} column {}; export the file again as glTF 2.0",
                error.line(),
                error.column()
            ),
        };
        format("header", what)
    })?;
    let asset = value.get_mut("asset").map(Value::take).unwrap_or_default();
    let version = asset.get("version").map(|version| version.to_string()).unwrap_or_default();
    let is_old = version.trim_matches('"').starts_with("1") || value.get("meshes").is_some_and(Value::is_object);
    if is_old {
        return Err(old());
    }
    let document: Document = serde_json::from_value(value)
        .map_err(|error| format("JSON", format!("it is no glTF 2.0 ({error}); export the file again")))?;
    for name in &document.extensions_required {
        if let Some((_, cure)) = GEOMETRY.iter().find(|(known, _)| known == name) {
            return Err(ObjectError::Unsupported {
                path: path.to_owned(),
                place: "extensionsRequired".into(),
                what: name.clone(),
                cure,
            });
        }
    }
    let quantized = "KHR_mesh_quantization";
    let ignored: Vec<&str> =
        document.extensions_required.iter().map(String::as_str).filter(|name| *name != quantized).collect();
    if !ignored.is_empty() {
        warnings.push(format!("{} does not concern the shape and is ignored", ignored.join(", ")));
    }
    if document.extensions_used.iter().any(|name| name == "EXT_mesh_gpu_instancing") {
        warnings.push("EXT_mesh_gpu_instancing: only the first instance of each mesh is read".into());
    }
    Ok(Parsed { document, asset, binary: binary.map(<[u8]>::to_vec) })
}

/// The JSON and the binary chunk of a GLB file.
fn chunks(bytes: &[u8]) -> std::result::Result<(&[u8], Option<&[u8]>), String> {
    let word = |at: usize| {
        bytes.get(at..at + 4).and_then(|four| four.try_into().ok()).map(|four| u32::from_le_bytes(four) as usize)
    };
    let cut = |wanted: usize| {
        format!("{wanted} bytes are announced and {} are there; the file is cut off, copy it again", bytes.len())
    };
    let (Some(2), Some(announced)) = (word(4), word(8)) else {
        return Err(if bytes.len() < 12 { cut(12) } else { "this is no GLB of version 2; export it again".into() });
    };
    if announced > bytes.len() {
        return Err(cut(announced));
    }
    let (mut at, mut json, mut binary) = (12, None, None);
    while let (Some(length), Some(kind)) = (word(at), bytes.get(at + 4..at + 8)) {
        let chunk = bytes.get(at + 8..(at + 8).saturating_add(length)).ok_or_else(|| cut(at + 8 + length))?;
        match kind {
            b"JSON" if json.is_none() => json = Some(chunk),
            b"BIN\0" if binary.is_none() => binary = Some(chunk),
            _ => {}
        }
        at = (at + 8 + length).next_multiple_of(4);
    }
    Ok((json.ok_or_else(|| cut(20))?, binary))
}
