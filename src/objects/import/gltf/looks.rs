//! The looks of a glTF file. In: materials, pictures, texture coordinates and colours of vertices. Out: how every triangle of
//! the mesh looks, and one sRGB colour for the whole. Looks are a courtesy: what is wrong with them is said in the warnings.

use super::super::texture::{Texture, linear_color};
use super::super::{MeshMaterial, RawMesh};
use super::Reader;
use crate::contract::srgb::byte_of;
use glam::{Vec2, Vec3};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a primitive says of its looks.
pub(super) struct PrimitiveLooks {
    pub material: Option<usize>,
    pub attributes: BTreeMap<String, usize>,
    /// Its vertices among the mesh's points.
    pub first_vertex: usize,
    pub vertices: usize,
}

/// A material of the file as it is drawn.
struct Look {
    material: MeshMaterial,
    /// sRGB, over the whole picture.
    mean: [u8; 3],
    coordinates: Coordinates,
}

/// Which texture coordinates a material reads, and where they are in the picture (`KHR_texture_transform`).
struct Coordinates {
    attribute: String,
    offset: Vec2,
    scale: Vec2,
    /// Radians.
    rotation: f32,
}

impl Coordinates {
    fn of(texture: &Value) -> Self {
        let transform = &texture["extensions"]["KHR_texture_transform"];
        let set = transform["texCoord"].as_u64().or_else(|| texture["texCoord"].as_u64()).unwrap_or(0);
        let pair = |value: &Value, usual: f32| match numbers(value)[..] {
            [x, y] => Vec2::new(x, y),
            _ => Vec2::splat(usual),
        };
        Self {
            attribute: format!("TEXCOORD_{set}"),
            offset: pair(&transform["offset"], 0.0),
            scale: pair(&transform["scale"], 1.0),
            rotation: number(&transform["rotation"]).unwrap_or(0.0),
        }
    }

    /// The extension's matrices: translation, rotation, scale.
    fn placed(&self, uv: Vec2) -> Vec2 {
        let scaled = uv * self.scale;
        let (sine, cosine) = self.rotation.sin_cos();
        self.offset + Vec2::new(cosine * scaled.x + sine * scaled.y, -sine * scaled.x + cosine * scaled.y)
    }
}

impl Reader<'_> {
    /// Gives the drawn mesh its materials, texture coordinates and colours, and the colour of the material that covers most.
    pub(super) fn paint(&mut self, mesh: &mut RawMesh, warnings: &mut Vec<String>) {
        let primitives = std::mem::take(&mut self.looks);
        let mut numbers: BTreeMap<usize, Option<u16>> = BTreeMap::new();
        let mut looks: Vec<Look> = Vec::new();
        for index in primitives.iter().filter_map(|primitive| primitive.material) {
            if numbers.contains_key(&index) {
                continue;
            }
            let look = u16::try_from(looks.len()).ok().and_then(|number| Some((number, self.look(index, warnings)?)));
            numbers.insert(
                index,
                look.map(|(number, look)| {
                    looks.push(look);
                    number
                }),
            );
        }
        let mut totals: BTreeMap<u16, f64> = BTreeMap::new();
        for (material, area) in self.areas.drain(..) {
            if let Some(number) = material.and_then(|index| numbers.get(&index).copied().flatten()) {
                *totals.entry(number).or_default() += area;
            }
        }
        // The first of equals, as the file has them.
        let largest = totals.iter().rev().max_by(|a, b| a.1.total_cmp(b.1));
        mesh.color = largest.and_then(|(number, _)| looks.get(usize::from(*number))).map(|look| look.mean);
        for (group, primitive) in primitives.iter().enumerate() {
            let number = primitive.material.and_then(|index| numbers.get(&index).copied().flatten());
            self.paint_group(
                mesh,
                group,
                primitive,
                number.map(|number| (number, &looks[usize::from(number)])),
                warnings,
            );
        }
        mesh.materials = looks.into_iter().map(|look| look.material).collect();
        if mesh.materials.is_empty() {
            mesh.groups.iter_mut().for_each(|group| group.material_of.clear());
        }
        if let Some(mean) = mesh.mean_vertex_color() {
            let times = |own: [u8; 3]| std::array::from_fn(|i| (u16::from(mean[i]) * u16::from(own[i]) / 255) as u8);
            mesh.color = Some(mesh.color.map_or(mean, times));
        }
    }

    fn paint_group(
        &mut self,
        mesh: &mut RawMesh,
        group: usize,
        primitive: &PrimitiveLooks,
        look: Option<(u16, &Look)>,
        warnings: &mut Vec<String>,
    ) {
        if let Some(colors) = self.vertex_colors(primitive) {
            mesh.vertex_colors.resize(mesh.positions.len(), Vec3::ONE);
            mesh.vertex_colors[primitive.first_vertex..][..colors.len()].copy_from_slice(&colors);
        }
        // Without a material too: a URDF may bring the picture.
        let plain = Coordinates::of(&Value::Null);
        let coordinates = look.map_or(&plain, |(_, look)| &look.coordinates);
        let is_textured = look.is_some_and(|(_, look)| look.material.texture.is_some());
        let uvs = self.attribute::<2>(primitive, &coordinates.attribute);
        if uvs.is_none() && is_textured {
            warnings.push("its texture is drawn as its mean colour: the mesh has no texture coordinates".into());
        }
        let found = &mut mesh.groups[group];
        found.material_of = vec![look.map(|(number, _)| number); found.triangles.len()];
        if let Some(uvs) = uvs {
            let uv = |vertex: u32| {
                let [u, v] = uvs[vertex as usize - primitive.first_vertex].map(|value| value as f32);
                coordinates.placed(Vec2::new(u, v))
            };
            found.uvs = found.triangles.iter().map(|triangle| triangle.map(uv)).collect();
        }
    }

    /// `COLOR_0`, linear light, with or without alpha.
    fn vertex_colors(&mut self, primitive: &PrimitiveLooks) -> Option<Vec<Vec3>> {
        let three = self.attribute::<3>(primitive, "COLOR_0");
        let three = three.or_else(|| {
            let four = self.attribute::<4>(primitive, "COLOR_0")?;
            Some(four.into_iter().map(|[r, g, b, _]| [r, g, b]).collect())
        })?;
        Some(
            three
                .into_iter()
                .map(|color| Vec3::from_array(color.map(|value| value as f32)).clamp(Vec3::ZERO, Vec3::ONE))
                .collect(),
        )
    }

    /// An attribute with one value a vertex; `None` where it is missing or wrong.
    fn attribute<const N: usize>(&mut self, primitive: &PrimitiveLooks, name: &str) -> Option<Vec<[f64; N]>> {
        let accessor = *primitive.attributes.get(name)?;
        let limit = ("values", primitive.vertices);
        let values = self.vectors::<N>(accessor, name, limit).ok()?;
        (values.len() == primitive.vertices).then_some(values)
    }

    /// A material: its base colour times its picture.
    fn look(&mut self, index: usize, warnings: &mut Vec<String>) -> Option<Look> {
        let document = self.document;
        let material = &document.materials[index];
        if material.is_null() {
            return None;
        }
        let base = &material["pbrMetallicRoughness"];
        let color = match numbers(&base["baseColorFactor"])[..] {
            [r, g, b, ..] => Vec3::new(r, g, b).clamp(Vec3::ZERO, Vec3::ONE),
            _ => Vec3::ONE,
        };
        let own = color.to_array().map(byte_of);
        let named = &base["baseColorTexture"];
        let coordinates = Coordinates::of(named);
        let plain = |coordinates| Look { material: MeshMaterial { color, texture: None }, mean: own, coordinates };
        let Some(texture) = named["index"].as_u64() else { return Some(plain(coordinates)) };
        Some(match self.texture(texture as usize).and_then(|bytes| Texture::decoded(&bytes)) {
            Ok(texture) => {
                let mean = std::array::from_fn(|i| (u16::from(texture.mean[i]) * u16::from(own[i]) / 255) as u8);
                let material = MeshMaterial { color: linear_color(own), texture: Some(Arc::new(texture)) };
                Look { material, mean, coordinates }
            }
            Err(what) => {
                warnings.push(format!("its texture is left out: {what}"));
                plain(coordinates)
            }
        })
    }

    fn texture(&mut self, index: usize) -> Result<Vec<u8>, String> {
        let texture = &self.document.textures[index];
        let webp = &texture["extensions"]["EXT_texture_webp"]["source"];
        let source = texture["source"].as_u64().or_else(|| webp.as_u64()).ok_or("it names no picture")? as usize;
        let image = &self.document.images[source];
        let place = format!("image {source}");
        if let Some(uri) = image["uri"].as_str() {
            return self.bytes_of(uri, &place).map_err(|error| error.to_string());
        }
        let view = image["bufferView"].as_u64().ok_or("the picture is nowhere")? as usize;
        let ((from, to), _) = self.view(view, &place).map_err(|error| error.to_string())?;
        let buffer = self.document.buffer_views[view].buffer;
        let bytes = self.buffer(buffer).map_err(|error| error.to_string())?;
        Ok(bytes[from as usize..to as usize].to_vec())
    }
}

fn number(value: &Value) -> Option<f32> {
    value.as_f64().map(|value| value as f32).filter(|value| value.is_finite())
}

fn numbers(value: &Value) -> Vec<f32> {
    value.as_array().into_iter().flatten().filter_map(number).collect()
}
