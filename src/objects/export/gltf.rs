//! glTF 2.0 binary. In: an object. Out: its surface as scene 0, in metres and with y up; where the convex parts are not
//! what is drawn, they are scene 1. Physics goes to `asset.extras.bingrasp`.

use crate::contract::MeshData;
use crate::contract::srgb::linear_of;
use crate::objects::import::gltf::{Extras, y_up};
use crate::objects::model::ObjectModel;
use glam::Vec3;
use serde_json::{Value, json};

pub(super) fn glb(object: &ObjectModel, name: &str) -> Vec<u8> {
    let mut writer = Writer::default();
    let parts: Vec<MeshData> = object.solids().iter().map(|solid| solid.mesh()).collect();
    let scenes = match &object.mesh {
        None => {
            let node = writer.node(name, &parts, true);
            json!([{"name": "object", "nodes": [node]}])
        }
        Some(mesh) => {
            let drawn = writer.node(name, std::slice::from_ref(&**mesh), true);
            let collision = writer.node(&format!("{name} collision"), &parts, false);
            json!([{"name": "object", "nodes": [drawn]}, {"name": "collision", "nodes": [collision]}])
        }
    };
    let extras = Extras {
        mass_kg: object.mass_kg,
        friction: object.friction,
        restitution: object.restitution,
        center_of_mass_m: [0.0; 3],
        principal_inertia_kg_m2: object.inertia.principal_kg_m2.to_array(),
        body_from_principal: object.inertia.body_from_principal.to_array(),
        collision_scene: object.mesh.is_some().then_some(1),
    };
    // Colours of the vertices are multiplied by the material's.
    let is_colored = object.mesh.as_ref().is_some_and(|mesh| !mesh.colors.is_empty());
    let [r, g, b] = if is_colored { [1.0; 3] } else { object.color.unwrap_or([204; 3]).map(linear_of) };
    let document = json!({
        "asset": {"version": "2.0", "generator": "bingrasp", "extras": {"bingrasp": extras}},
        "scene": 0,
        "scenes": scenes,
        "nodes": writer.nodes,
        "meshes": writer.meshes,
        "materials": [{"name": name, "pbrMetallicRoughness":
            {"baseColorFactor": [r, g, b, 1.0], "metallicFactor": 0.0, "roughnessFactor": 0.6}}],
        "accessors": writer.accessors,
        "bufferViews": writer.views,
        "buffers": [{"byteLength": writer.bytes.len()}],
    });
    container(document.to_string().into_bytes(), writer.bytes)
}

#[derive(Default)]
struct Writer {
    bytes: Vec<u8>,
    views: Vec<Value>,
    accessors: Vec<Value>,
    meshes: Vec<Value>,
    nodes: Vec<Value>,
}

impl Writer {
    /// A node with one primitive for each surface; its index.
    fn node(&mut self, name: &str, surfaces: &[MeshData], material: bool) -> usize {
        let primitives: Vec<Value> = surfaces
            .iter()
            .map(|surface| {
                let positions = self.vectors(&surface.positions);
                let normals = self.vectors(&surface.normals);
                let indices = self.indices(&surface.indices);
                let mut primitive =
                    json!({"attributes": {"POSITION": positions, "NORMAL": normals}, "indices": indices});
                if material {
                    primitive["material"] = json!(0);
                }
                if !surface.colors.is_empty() {
                    primitive["attributes"]["COLOR_0"] = json!(self.colors(&surface.colors));
                }
                primitive
            })
            .collect();
        self.meshes.push(json!({"name": name, "primitives": primitives}));
        self.nodes.push(json!({"name": name, "mesh": self.meshes.len() - 1}));
        self.nodes.len() - 1
    }

    fn vectors(&mut self, vectors: &[Vec3]) -> usize {
        let turned: Vec<Vec3> = vectors.iter().map(|&vector| y_up(vector)).collect();
        let low = turned.iter().copied().fold(Vec3::INFINITY, Vec3::min);
        let high = turned.iter().copied().fold(Vec3::NEG_INFINITY, Vec3::max);
        let bytes = turned.iter().flat_map(|vector| vector.to_array()).flat_map(f32::to_le_bytes).collect();
        self.accessor(
            bytes,
            34_962,
            json!({"componentType": 5126, "count": vectors.len(), "type": "VEC3",
                "min": low.to_array(), "max": high.to_array()}),
        )
    }

    fn colors(&mut self, colors: &[[u8; 3]]) -> usize {
        let bytes = colors.iter().flatten().flat_map(|&byte| linear_of(byte).to_le_bytes()).collect();
        self.accessor(bytes, 34_962, json!({"componentType": 5126, "count": colors.len(), "type": "VEC3"}))
    }

    fn indices(&mut self, indices: &[u32]) -> usize {
        let bytes = indices.iter().flat_map(|index| index.to_le_bytes()).collect();
        self.accessor(bytes, 34_963, json!({"componentType": 5125, "count": indices.len(), "type": "SCALAR"}))
    }

    /// Appends data (always whole words) with their view and accessor; the accessor's index.
    fn accessor(&mut self, bytes: Vec<u8>, target: u32, mut accessor: Value) -> usize {
        self.views
            .push(json!({"buffer": 0, "byteOffset": self.bytes.len(), "byteLength": bytes.len(), "target": target}));
        self.bytes.extend(bytes);
        accessor["bufferView"] = json!(self.views.len() - 1);
        self.accessors.push(accessor);
        self.accessors.len() - 1
    }
}

/// Header, JSON chunk, binary chunk, each padded to whole words.
fn container(mut json: Vec<u8>, mut binary: Vec<u8>) -> Vec<u8> {
    json.resize(json.len().next_multiple_of(4), b' ');
    binary.resize(binary.len().next_multiple_of(4), 0);
    let length = 12 + 8 + json.len() + 8 + binary.len();
    let mut file = Vec::with_capacity(length);
    file.extend(b"glTF");
    file.extend(2_u32.to_le_bytes());
    file.extend((length as u32).to_le_bytes());
    for (kind, chunk) in [(b"JSON", &json), (b"BIN\0", &binary)] {
        file.extend((chunk.len() as u32).to_le_bytes());
        file.extend(kind);
        file.extend(chunk);
    }
    file
}
