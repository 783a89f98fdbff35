//! glTF 2.0, text and binary. In: a file, its buffers and its node tree. Out: one group for every drawn primitive, in
//! metres with z up (glTF has y up), and the physics that bingrasp's own export keeps in `asset.extras`.

use super::{Limits, MeshFile, ObjectError, RawGroup, RawMass, RawMesh, Result, read_capped, resolve};
use crate::objects::mass::Inertia;
use glam::{Mat4, Quat, Vec3};
use gltf::accessor::{DataType, Dimensions};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Nodes below each other.
const MAX_DEPTH: usize = 64;

/// The physics of an object in a glTF file's `asset.extras.bingrasp`, in the file's metres and z-up body frame.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::objects) struct Extras {
    pub mass_kg: f32,
    pub friction: f32,
    pub restitution: f32,
    pub center_of_mass_m: [f32; 3],
    pub principal_inertia_kg_m2: [f32; 3],
    /// Principal axes in the body's frame, x, y, z, w.
    pub body_from_principal: [f32; 4],
    /// The scene that holds the convex parts, where they are not what is drawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collision_scene: Option<usize>,
}

/// glTF's y up to z up.
pub(in crate::objects) fn z_up(point: Vec3) -> Vec3 {
    Vec3::new(point.x, -point.z, point.y)
}

/// The inverse of [`z_up`].
pub(in crate::objects) fn y_up(point: Vec3) -> Vec3 {
    Vec3::new(point.x, point.z, -point.y)
}

pub(super) fn read(path: &Path, root: &Path, limits: &Limits) -> Result<MeshFile> {
    let bytes = read_capped(path, limits.file_bytes)?;
    let mut reader = Reader { path, limits, buffers: Vec::new(), mesh: RawMesh::default(), visited: Vec::new() };
    // The crate subtracts the header from the announced length.
    let announced = bytes.get(8..12).and_then(|four| four.try_into().ok()).map_or(0, u32::from_le_bytes);
    if bytes.starts_with(b"glTF") && announced < 20 {
        return Err(reader.format("header", "the file is cut off".into()));
    }
    let file = gltf::Gltf::from_slice(&bytes).map_err(|error| reader.format("header", error.to_string()))?;
    reader.load_buffers(&file, root)?;
    let mut found = MeshFile::default();
    match extras(&bytes) {
        Ok(None) => {}
        Ok(Some(extras)) => {
            if let Some(scene) = extras.collision_scene.and_then(|index| file.scenes().nth(index)) {
                found.collision = Some(reader.scene(&file, Some(scene))?);
            }
            found.friction = Some(extras.friction);
            found.restitution = Some(extras.restitution);
            found.mass = Some(extras.mass());
        }
        Err(what) => found.warnings.push(format!("asset.extras.bingrasp is ignored: {what}")),
    }
    found.mesh = reader.scene(&file, file.default_scene().or_else(|| file.scenes().next()))?;
    Ok(found)
}

impl Extras {
    fn mass(&self) -> RawMass {
        let inertia = Inertia {
            principal_kg_m2: Vec3::from_array(self.principal_inertia_kg_m2),
            body_from_principal: Quat::from_array(self.body_from_principal).normalize(),
        };
        let center = Vec3::from_array(self.center_of_mass_m);
        RawMass { mass_kg: self.mass_kg, center: Some(center), inertia: Some(inertia) }
    }
}

/// `asset.extras.bingrasp`, if it is there. The gltf crate drops extras, so the JSON is looked at once more.
fn extras(bytes: &[u8]) -> std::result::Result<Option<Extras>, String> {
    #[derive(Deserialize)]
    struct File {
        asset: Asset,
    }
    #[derive(Deserialize)]
    struct Asset {
        extras: Option<serde_json::Value>,
    }
    let json = match gltf::binary::Glb::from_slice(bytes) {
        Ok(glb) => glb.json.into_owned(),
        Err(_) => bytes.to_vec(),
    };
    let file: File = serde_json::from_slice(&json).map_err(|error| error.to_string())?;
    let Some(ours) = file.asset.extras.as_ref().and_then(|extras| extras.get("bingrasp")) else { return Ok(None) };
    let extras: Extras = serde_json::from_value(ours.clone()).map_err(|error| error.to_string())?;
    let numbers =
        extras.center_of_mass_m.iter().chain(&extras.principal_inertia_kg_m2).chain(&extras.body_from_principal);
    let turned = extras.body_from_principal.iter().map(|component| component * component).sum::<f32>();
    if !numbers.copied().all(f32::is_finite) || !(0.9..1.1).contains(&turned) {
        return Err("its numbers are no centre, inertia and unit rotation".into());
    }
    Ok(Some(extras))
}

struct Reader<'a> {
    path: &'a Path,
    limits: &'a Limits,
    buffers: Vec<Vec<u8>>,
    mesh: RawMesh,
    visited: Vec<bool>,
}

impl Reader<'_> {
    fn format(&self, place: &str, what: String) -> ObjectError {
        ObjectError::Format { path: self.path.to_owned(), place: place.to_owned(), what }
    }

    /// What a scene draws; without one, every mesh once where it is.
    fn scene(&mut self, file: &gltf::Gltf, scene: Option<gltf::Scene>) -> Result<RawMesh> {
        self.visited = vec![false; file.nodes().count()];
        match scene {
            Some(scene) => scene.nodes().try_for_each(|node| self.node(&node, Mat4::IDENTITY, 0))?,
            None => file.meshes().try_for_each(|mesh| self.primitives(&mesh, Mat4::IDENTITY))?,
        }
        Ok(std::mem::take(&mut self.mesh))
    }

    fn load_buffers(&mut self, file: &gltf::Gltf, root: &Path) -> Result<()> {
        for buffer in file.buffers() {
            let place = format!("buffer {}", buffer.index());
            let bytes = match buffer.source() {
                gltf::buffer::Source::Bin => {
                    file.blob.clone().ok_or_else(|| self.format(&place, "the binary chunk is missing".into()))?
                }
                gltf::buffer::Source::Uri(uri) => match uri.strip_prefix("data:") {
                    Some(data) => data
                        .split_once(";base64,")
                        .and_then(|(_, text)| base64(text))
                        .ok_or_else(|| self.format(&place, "the data URI is not base64".into()))?,
                    None => {
                        let reference = percent_decoded(uri)
                            .ok_or_else(|| self.format(&place, "the file's name is not UTF-8".into()))?;
                        read_capped(&resolve(self.path, &reference, root)?, self.limits.file_bytes)?
                    }
                },
            };
            if bytes.len() < buffer.length() {
                let what = format!("{} bytes are announced and {} are there", buffer.length(), bytes.len());
                return Err(self.format(&place, what));
            }
            self.buffers.push(bytes);
        }
        Ok(())
    }

    fn node(&mut self, node: &gltf::Node, parent: Mat4, depth: usize) -> Result<()> {
        if depth > MAX_DEPTH || std::mem::replace(&mut self.visited[node.index()], true) {
            let what = format!("nodes hang below each other more than {MAX_DEPTH} deep, twice, or in a circle");
            return Err(self.format(&format!("node {}", node.index()), what));
        }
        let here = parent * Mat4::from_cols_array_2d(&node.transform().matrix());
        if !here.is_finite() {
            return Err(ObjectError::NotFinite { path: self.path.to_owned(), place: format!("node {}", node.index()) });
        }
        if let Some(mesh) = node.mesh() {
            self.primitives(&mesh, here)?;
        }
        node.children().try_for_each(|child| self.node(&child, here, depth + 1))
    }

    fn primitives(&mut self, mesh: &gltf::Mesh, world_from_mesh: Mat4) -> Result<()> {
        for primitive in mesh.primitives() {
            let place = format!("mesh {}, primitive {}", mesh.index(), primitive.index());
            if primitive.mode() != gltf::mesh::Mode::Triangles {
                if matches!(primitive.mode(), gltf::mesh::Mode::TriangleStrip | gltf::mesh::Mode::TriangleFan) {
                    return Err(ObjectError::Unsupported {
                        path: self.path.to_owned(),
                        place,
                        what: "a triangle strip or fan".into(),
                        cure: "export plain triangles",
                    });
                }
                continue; // points and lines have no surface
            }
            self.primitive(&primitive, &place, world_from_mesh)?;
        }
        Ok(())
    }

    fn primitive(&mut self, primitive: &gltf::Primitive, place: &str, world_from_mesh: Mat4) -> Result<()> {
        let Some(positions) = primitive.get(&gltf::Semantic::Positions) else {
            return Err(self.format(place, "it has no POSITION".into()));
        };
        self.check_accessor(&positions, place, Dimensions::Vec3, &[DataType::F32])?;
        if self.mesh.positions.len() + positions.count() > self.limits.vertices {
            let (what, limit) = ("vertices", self.limits.vertices);
            return Err(ObjectError::TooMany { path: self.path.to_owned(), what, limit });
        }
        if let Some(indices) = primitive.indices() {
            self.check_accessor(&indices, place, Dimensions::Scalar, &[DataType::U8, DataType::U16, DataType::U32])?;
        }
        let triangles = primitive.indices().map_or(positions.count(), |indices| indices.count()) / 3;
        if self.mesh.triangle_count() + triangles > self.limits.triangles {
            let (what, limit) = ("triangles", self.limits.triangles);
            return Err(ObjectError::TooMany { path: self.path.to_owned(), what, limit });
        }
        let buffers = &self.buffers;
        let reader = primitive.reader(|buffer| buffers.get(buffer.index()).map(Vec::as_slice));
        let outside = || self.format(place, "its data lie outside the buffer; the file is cut off".into());
        let points: Vec<Vec3> = reader.read_positions().ok_or_else(outside)?.map(Vec3::from_array).collect();
        let points: Vec<Vec3> = points.into_iter().map(|point| z_up(world_from_mesh.transform_point3(point))).collect();
        let indices: Vec<u32> = match primitive.indices() {
            Some(_) => reader.read_indices().ok_or_else(outside)?.into_u32().collect(),
            None => (0..points.len() as u32).collect(),
        };
        if let Some(vertex) = points.iter().position(|point| !point.is_finite()) {
            let place = format!("{place}, vertex {vertex}");
            return Err(ObjectError::NotFinite { path: self.path.to_owned(), place });
        }
        if let Some(&index) = indices.iter().find(|&&index| index as usize >= points.len()) {
            return Err(ObjectError::IndexOutOfRange {
                path: self.path.to_owned(),
                place: place.to_owned(),
                index: i64::from(index),
                count: points.len(),
                what: "vertices",
            });
        }
        let base = self.mesh.positions.len() as u32;
        let mirrored = world_from_mesh.determinant() < 0.0;
        let triangles = indices
            .chunks_exact(3)
            .map(|t| if mirrored { [t[0], t[2], t[1]] } else { [t[0], t[1], t[2]] }.map(|index| base + index))
            .collect();
        self.mesh.positions.extend(points);
        self.mesh.groups.push(RawGroup { name: String::new(), triangles });
        let [r, g, b, _] = primitive.material().pbr_metallic_roughness().base_color_factor();
        if primitive.material().index().is_some() {
            self.mesh.color = self.mesh.color.or(Some([r, g, b].map(srgb_byte)));
        }
        Ok(())
    }

    /// The crate reads what the accessor claims; here it is made sure that the claim fits.
    fn check_accessor(
        &self,
        accessor: &gltf::Accessor,
        place: &str,
        dimensions: Dimensions,
        types: &[DataType],
    ) -> Result<()> {
        if accessor.sparse().is_some() {
            return Err(ObjectError::Unsupported {
                path: self.path.to_owned(),
                place: place.to_owned(),
                what: "a sparse accessor".into(),
                cure: "export without sparse data or compression",
            });
        }
        if accessor.dimensions() != dimensions || !types.contains(&accessor.data_type()) {
            return Err(self.format(place, "its numbers have the wrong type; export the file again".into()));
        }
        let Some(view) = accessor.view() else {
            return Err(ObjectError::Unsupported {
                path: self.path.to_owned(),
                place: place.to_owned(),
                what: "data without a buffer view (compressed geometry)".into(),
                cure: "export without Draco or meshopt compression",
            });
        };
        let stride = view.stride().unwrap_or(accessor.size());
        let end = (accessor.count() as u64)
            .checked_sub(1)
            .and_then(|steps| steps.checked_mul(stride as u64))
            .and_then(|bytes| bytes.checked_add(accessor.offset() as u64 + accessor.size() as u64));
        let length = self.buffers.get(view.buffer().index()).map_or(0, Vec::len) as u64;
        let inside = (view.offset() as u64).checked_add(view.length() as u64).is_some_and(|end| end <= length);
        if !inside || stride < accessor.size() || end.is_none_or(|end| end > view.length() as u64) {
            return Err(self.format(place, "its data lie outside the buffer; the file is cut off".into()));
        }
        Ok(())
    }
}

/// A linear channel as an sRGB byte.
fn srgb_byte(linear: f32) -> u8 {
    let linear = linear.clamp(0.0, 1.0);
    let encoded = if linear <= 0.003_130_8 { linear * 12.92 } else { 1.055 * linear.powf(1.0 / 2.4) - 0.055 };
    (encoded * 255.0).round() as u8
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
            bytes.push((digit(rest.next())? * 16 + digit(rest.next())?) as u8);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

fn base64(text: &str) -> Option<Vec<u8>> {
    let value = |byte: u8| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let digits = text.trim().trim_end_matches('=').as_bytes();
    let mut bytes = Vec::with_capacity(digits.len() * 3 / 4);
    for chunk in digits.chunks(4) {
        let mut bits = 0_u32;
        for &digit in chunk {
            bits = bits << 6 | u32::from(value(digit)?);
        }
        bits <<= 6 * (4 - chunk.len()) as u32;
        // n digits carry 6 n bits: 2 make one byte, 3 two, 4 three.
        let count = match chunk.len() {
            4 => 3,
            3 => 2,
            2 => 1,
            _ => return None,
        };
        bytes.extend(&bits.to_be_bytes()[1..=count]);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_of_rfc_4648() {
        for (text, bytes) in [("Zg==", "f"), ("Zm8=", "fo"), ("Zm9v", "foo"), ("Zm9vYmFy", "foobar")] {
            assert_eq!(base64(text).as_deref(), Some(bytes.as_bytes()));
        }
        assert_eq!(base64("Z"), None);
        assert_eq!(base64("Zm9*"), None);
    }

    #[test]
    fn up_and_back() {
        let point = Vec3::new(1.0, 2.0, 3.0);
        assert_eq!(z_up(y_up(point)), point);
        assert_eq!(z_up(Vec3::Y), Vec3::Z);
    }

    #[test]
    fn names_are_decoded() {
        assert_eq!(percent_decoded("a%20b%2Ebin").as_deref(), Some("a b.bin"));
        assert_eq!(percent_decoded("%zz"), None);
    }
}
