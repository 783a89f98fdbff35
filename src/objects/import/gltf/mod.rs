//! glTF 2.0, text and binary. In: a file, its buffers and its node tree. Out: one group for every drawn primitive, in
//! metres with z up (glTF has y up), with its looks, and the physics that bingrasp's own export keeps in `asset.extras`.

mod accessor;
mod document;
mod extras;
mod looks;
mod uri;

use super::{Limits, MeshFile, ObjectError, RawGroup, RawMesh, Result, Root, read_capped, resolve};
use document::{Document, Node, Parsed, Primitive};
pub(in crate::objects) use extras::Extras;
use glam::{Mat4, Quat, Vec3};
use std::path::Path;
use std::sync::Arc;
pub(super) use uri::percent_decoded;

/// Nodes below each other.
const MAX_DEPTH: usize = 64;
/// Primitive modes.
const TRIANGLES: u32 = 4;
const STRIP: u32 = 5;
const FAN: u32 = 6;

/// glTF's y up to z up.
pub(in crate::objects) fn z_up(point: Vec3) -> Vec3 {
    Vec3::new(point.x, -point.z, point.y)
}

/// The inverse of [`z_up`].
pub(in crate::objects) fn y_up(point: Vec3) -> Vec3 {
    Vec3::new(point.x, point.z, -point.y)
}

pub(super) fn parse(path: &Path, bytes: Vec<u8>, root: &Root, limits: &Limits) -> Result<MeshFile> {
    let mut found = MeshFile::default();
    let Parsed { document, asset, binary } = document::parse(path, &bytes, &mut found.warnings)?;
    drop(bytes);
    let mut reader = Reader {
        path,
        root,
        limits,
        buffers: vec![None; document.buffers.len()],
        document: &document,
        binary: binary.map(Arc::new),
        mesh: RawMesh::default(),
        triangles: 0,
        visited: Vec::new(),
        areas: Vec::new(),
        looks: Vec::new(),
        notes: Vec::new(),
    };
    match extras::of(&asset) {
        Ok(None) => {}
        Ok(Some(extras)) => {
            let scenes = document.scenes.as_ref().map_or(0, Vec::len);
            if let Some(scene) = extras.collision_scene.filter(|index| *index < scenes) {
                found.collision = Some(reader.scene(Some(scene))?);
                reader.areas.clear();
                reader.looks.clear();
            }
            found.friction = Some(extras.friction);
            found.restitution = Some(extras.restitution);
            found.mass = Some(extras.mass());
        }
        Err(what) => found.warnings.push(format!("asset.extras.bingrasp is ignored: {what}")),
    }
    found.mesh = reader.scene(document.scene.or(Some(0)))?;
    reader.paint(&mut found.mesh, &mut found.warnings);
    reader.notes.dedup();
    found.warnings.append(&mut reader.notes);
    Ok(found)
}

struct Reader<'a> {
    path: &'a Path,
    root: &'a Root,
    limits: &'a Limits,
    document: &'a Document,
    binary: Option<Arc<Vec<u8>>>,
    /// What was read so far, or why it could not be.
    buffers: Vec<Option<std::result::Result<Arc<Vec<u8>>, String>>>,
    mesh: RawMesh,
    triangles: usize,
    visited: Vec<bool>,
    /// Area under each material.
    areas: Vec<(Option<usize>, f64)>,
    /// Of every group: its material, and the vertices' attributes by the names of the format.
    looks: Vec<looks::PrimitiveLooks>,
    notes: Vec<String>,
}

impl Reader<'_> {
    fn format(&self, place: &str, what: String) -> ObjectError {
        ObjectError::Format { path: self.path.to_owned(), place: place.to_owned(), what }
    }

    /// What a scene draws. Without scenes, the nodes that are nobody's children; without nodes, every mesh once.
    fn scene(&mut self, scene: Option<usize>) -> Result<RawMesh> {
        self.visited = vec![false; self.document.nodes.len()];
        let scenes = self.document.scenes.as_deref().unwrap_or_default();
        let roots: Vec<usize> = match scene.and_then(|index| scenes.get(index)) {
            Some(scene) => scene.nodes.clone(),
            None => {
                let mut is_root = vec![true; self.document.nodes.len()];
                let children = self.document.nodes.iter().flat_map(|node| &node.children);
                children.for_each(|&child| {
                    if let Some(root) = is_root.get_mut(child) {
                        *root = false;
                    }
                });
                (0..is_root.len()).filter(|&index| is_root[index]).collect()
            }
        };
        if self.document.nodes.is_empty() {
            (0..self.document.meshes.len()).try_for_each(|mesh| self.primitives(mesh, Mat4::IDENTITY))?;
        }
        roots.into_iter().try_for_each(|node| self.node(node, Mat4::IDENTITY, 0))?;
        Ok(std::mem::take(&mut self.mesh))
    }

    fn node(&mut self, index: usize, parent: Mat4, depth: usize) -> Result<()> {
        let place = format!("node {index}");
        let Some(node) = self.document.nodes.get(index) else {
            return Err(self.format(&place, "it is not in the file; export the file again".into()));
        };
        if depth > MAX_DEPTH || std::mem::replace(&mut self.visited[index], true) {
            let what = format!("nodes hang below each other more than {MAX_DEPTH} deep, twice, or in a circle");
            return Err(self.format(&place, what));
        }
        let here = parent * transform(node);
        if !here.is_finite() {
            return Err(ObjectError::NotFinite { path: self.path.to_owned(), place });
        }
        if let Some(mesh) = node.mesh {
            if node.skin.is_some() {
                // glTF 2.0, 3.7.3.3: only the joints place a skinned mesh.
                self.notes.push("it has a skin; the mesh is read as it is bound, without its joints".into());
                self.primitives(mesh, Mat4::IDENTITY)?;
            } else {
                self.primitives(mesh, here)?;
            }
        }
        node.children.iter().try_for_each(|&child| self.node(child, here, depth + 1))
    }

    fn primitives(&mut self, index: usize, world_from_mesh: Mat4) -> Result<()> {
        let Some(mesh) = self.document.meshes.get(index) else {
            return Err(self.format(&format!("mesh {index}"), "it is not in the file; export the file again".into()));
        };
        if mesh.weights.iter().any(|weight| *weight != 0.0) {
            self.notes.push("its morph targets are left out".into());
        }
        for (number, primitive) in mesh.primitives.iter().enumerate() {
            let place = format!("mesh {index}, primitive {number}");
            match primitive.mode.unwrap_or(TRIANGLES) {
                TRIANGLES | STRIP | FAN => self.primitive(primitive, &place, world_from_mesh)?,
                0..=3 => {} // points and lines have no surface
                other => return Err(self.format(&place, format!("mode {other} is not known; export triangles"))),
            }
        }
        Ok(())
    }

    fn primitive(&mut self, primitive: &Primitive, place: &str, world_from_mesh: Mat4) -> Result<()> {
        let extensions = primitive.extensions.as_ref();
        let is_draco = extensions.is_some_and(|all| all.get("KHR_draco_mesh_compression").is_some());
        let Some(&position) = primitive.attributes.get("POSITION") else {
            // As the format says of such primitives.
            self.notes.push(format!("{place} has no POSITION and is left out"));
            return Ok(());
        };
        if is_draco && self.document.accessors.get(position).is_some_and(|a| a.buffer_view.is_none()) {
            return Err(ObjectError::Unsupported {
                path: self.path.to_owned(),
                place: place.to_owned(),
                what: "KHR_draco_mesh_compression".into(),
                cure: "export without Draco compression",
            });
        }
        let room = self.limits.vertices.saturating_sub(self.mesh.positions.len());
        let limits = *self.limits;
        // What is left of a limit is no limit that a user knows.
        let limit = |error| match error {
            ObjectError::TooMany { path, what, .. } => {
                let limit = if what == "vertices" { limits.vertices } else { limits.triangles };
                ObjectError::TooMany { path, what, limit }
            }
            other => other,
        };
        let read = self.vectors::<3>(position, place, ("vertices", room)).map_err(limit)?;
        let points: Vec<Vec3> = read
            .into_iter()
            .map(|point| z_up(world_from_mesh.transform_point3(Vec3::from_array(point.map(|value| value as f32)))))
            .collect();
        let indices: Vec<u32> = match primitive.indices {
            Some(index) => {
                let most = limits.triangles.saturating_mul(3);
                let read = self.vectors::<1>(index, place, ("triangles", most)).map_err(limit)?;
                read.into_iter().map(|[index]| index as u32).collect()
            }
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
        let mut triangles = triangles(&indices, primitive.mode.unwrap_or(TRIANGLES));
        if world_from_mesh.determinant() < 0.0 {
            triangles.iter_mut().for_each(|triangle| triangle.swap(1, 2));
        }
        self.triangles += triangles.len();
        if self.triangles > self.limits.triangles {
            let (what, limit) = ("triangles", self.limits.triangles);
            return Err(ObjectError::TooMany { path: self.path.to_owned(), what, limit });
        }
        let twice = |[a, b, c]: [u32; 3]| {
            let [a, b, c] = [a, b, c].map(|index| points[index as usize]);
            f64::from((b - a).cross(c - a).length())
        };
        self.areas.push((primitive.material, triangles.iter().map(|&triangle| twice(triangle)).sum()));
        let base = self.mesh.positions.len() as u32;
        let triangles = triangles.into_iter().map(|triangle| triangle.map(|index| base + index)).collect();
        self.looks.push(looks::PrimitiveLooks {
            material: primitive.material,
            attributes: primitive.attributes.clone(),
            first_vertex: self.mesh.positions.len(),
            vertices: points.len(),
        });
        self.mesh.positions.extend(points);
        self.mesh.groups.push(RawGroup { triangles, ..RawGroup::default() });
        Ok(())
    }
}

/// Triangles of a list, a strip or a fan (glTF 2.0, 3.7.2.1).
fn triangles(indices: &[u32], mode: u32) -> Vec<[u32; 3]> {
    let all: Vec<[u32; 3]> = match mode {
        STRIP => indices
            .windows(3)
            .enumerate()
            .map(|(i, t)| if i % 2 == 0 { [t[0], t[1], t[2]] } else { [t[0], t[2], t[1]] })
            .collect(),
        FAN => indices.windows(2).skip(1).map(|t| [t[0], t[1], indices[0]]).collect(),
        _ => indices.chunks_exact(3).map(|t| [t[0], t[1], t[2]]).collect(),
    };
    all.into_iter().filter(|[a, b, c]| a != b && b != c && c != a).collect()
}

fn transform(node: &Node) -> Mat4 {
    if let Some(matrix) = &node.matrix {
        return Mat4::from_cols_array(matrix);
    }
    Mat4::from_scale_rotation_translation(
        node.scale.map_or(Vec3::ONE, Vec3::from_array),
        node.rotation.map_or(Quat::IDENTITY, |rotation| Quat::from_array(rotation).normalize()),
        node.translation.map_or(Vec3::ZERO, Vec3::from_array),
    )
}

#[cfg(test)]
mod tests;
