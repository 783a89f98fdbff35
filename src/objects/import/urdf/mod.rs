//! URDF: one rigid object, as a link or as links that fixed joints hold together. In: XML and the meshes that it refers
//! to. Out: collision and drawn pieces in the root link's frame, mass, friction (`contact/lateral_friction`, as in
//! PyBullet) and colour.

mod mass;
mod shapes;
mod values;
mod xml;

use super::material::{color_of, texture_of_file};
use super::text::shortened;
use super::texture::Texture;
use super::{
    Drawn, ImportOptions, Limits, MeshFile, MeshMaterial, ObjectError, Piece, RawMesh, RawObject, Result, Root,
    read_capped,
};
use super::{named_files, read_mesh, resolve};
use crate::contract::Pose;
use crate::objects::model::ConvexPart;
use glam::Vec3;
use mass::{LinkMass, combined};
use roxmltree::{Document, Node};
use shapes::{capsule, cylinder, ellipsoid};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What to do about templates.
pub(super) const XACRO_CURE: &str = "expand it first: xacro FILE > thing.urdf";
/// Links that one object may have.
/// As of the flag `--friction`.
const MAX_FRICTION: f32 = 10.0;
const MAX_LINKS: usize = 256;

/// The mesh files that a URDF names; none where it cannot be read.
pub(super) fn references(path: &Path, limits: &Limits) -> Vec<String> {
    let Ok(bytes) = read_capped(path, limits.urdf_bytes) else { return Vec::new() };
    let text = xml::prepared(&bytes);
    let Ok(document) = Document::parse(&text) else { return named_files(&text) };
    let meshes = document.descendants().filter(|node| node.has_tag_name("mesh"));
    meshes.filter_map(|node| node.attribute("filename").map(str::to_owned)).collect()
}

/// One URDF, and the canonical paths of the mesh files that it names.
pub(super) fn read(path: &Path, root: &Root, options: &ImportOptions) -> Result<(RawObject, Vec<PathBuf>)> {
    parse(path, &read_capped(path, options.limits.urdf_bytes)?, root, options)
}

/// [`read`] for bytes that are in memory.
pub(super) fn parse(
    path: &Path,
    bytes: &[u8],
    root: &Root,
    options: &ImportOptions,
) -> Result<(RawObject, Vec<PathBuf>)> {
    let text = xml::prepared(bytes);
    let document = Document::parse(&text).map_err(|error| {
        let at = error.pos();
        let what = format!("malformed XML: {error}");
        ObjectError::Syntax { path: path.to_owned(), line: at.row, column: at.col, what }
    })?;
    if xml::is_xacro(&document) {
        return Err(ObjectError::Unsupported {
            path: path.to_owned(),
            place: "whole file".into(),
            what: "a xacro template".into(),
            cure: XACRO_CURE,
        });
    }
    let mut reader = Reader { path, root, options, document: &document, meshes: Vec::new() };
    let robot = document.root_element();
    if !robot.has_tag_name("robot") {
        return Err(reader.syntax(robot, format!("the root element is <{}>, not <robot>", robot.tag_name().name())));
    }
    let object = reader.object(robot)?;
    let meshes = document.descendants().filter(|node| node.has_tag_name("mesh"));
    let named = meshes.filter_map(|node| node.attribute("filename"));
    let used = named.filter_map(|name| resolve(path, name, root).ok()?.canonicalize().ok()).collect();
    Ok((object, used))
}

struct Reader<'a, 'input> {
    path: &'a Path,
    root: &'a Root,
    options: &'a ImportOptions,
    document: &'a Document<'input>,
    /// Meshes read so far: drawing and collision often share one.
    meshes: Vec<(PathBuf, Arc<MeshFile>)>,
}

/// The first thing wrong with what collides, and with what is drawn.
#[derive(Default)]
struct Faults {
    collision: Option<ObjectError>,
    visual: Option<ObjectError>,
}

impl<'a, 'input> Reader<'a, 'input> {
    fn syntax(&self, node: Node, what: String) -> ObjectError {
        let at = self.document.text_pos_at(node.range().start);
        ObjectError::Syntax { path: self.path.to_owned(), line: at.row, column: at.col, what }
    }

    fn object(&mut self, robot: Node<'a, 'input>) -> Result<RawObject> {
        let mut object = RawObject::default();
        let (mut masses, mut faults) = (Vec::new(), Faults::default());
        let links = self.links(robot)?;
        for (link, root_from_link) in &links {
            self.link(robot, *link, *root_from_link, &mut object, &mut masses, &mut faults)?;
        }
        let Faults { collision, visual } = faults;
        if let Some(fault) = visual {
            // What is drawn is a courtesy; half a picture would mislead.
            object.visual.clear();
            if object.collision.is_empty() && collision.is_none() {
                return Err(fault);
            }
            object.warnings.push(format!("what collides is drawn, as a <visual> cannot be used: {fault}"));
        }
        if let Some(fault) = collision {
            object.collision.clear();
            if object.visual.is_empty() {
                return Err(fault);
            }
            object.warnings.push(format!("what is drawn collides, as a <collision> cannot be used: {fault}"));
        } else if object.collision.is_empty() && !object.visual.is_empty() {
            object.warnings.push("it has no <collision>; what is drawn collides".into());
        }
        if object.collision.is_empty() {
            object.collision = object.visual.iter().map(|drawn| drawn.piece.clone()).collect();
            object.same = true;
        }
        if object.collision.is_empty() {
            return Err(self.syntax(robot, "no <link> has a <collision> or <visual> with a <geometry>".into()));
        }
        object.same |= object.visual.is_empty() || same_pieces(&object.collision, &object.visual);
        object.mass = combined(&masses);
        Ok(object)
    }

    /// All links with their poses in the root link's frame.
    fn links(&self, robot: Node<'a, 'input>) -> Result<Vec<(Node<'a, 'input>, Pose)>> {
        let links: Vec<Node> = children(robot, "link").collect();
        if links.len() > MAX_LINKS {
            return Err(ObjectError::TooMany { path: self.path.to_owned(), what: "links", limit: MAX_LINKS });
        }
        let mut joints = Vec::new();
        for joint in children(robot, "joint") {
            let kind = joint.attribute("type").unwrap_or("fixed");
            if kind != "fixed" {
                let at = self.document.text_pos_at(joint.range().start);
                return Err(ObjectError::Unsupported {
                    path: self.path.to_owned(),
                    place: format!("line {}", at.row),
                    what: format!("a joint of type '{}'", shortened(kind)),
                    cure: "an object is one rigid body: make its joints fixed",
                });
            }
            let end = |tag| child(joint, tag).and_then(|node| node.attribute("link"));
            let (Some(parent), Some(child)) = (end("parent"), end("child")) else {
                return Err(self.syntax(joint, "a joint needs <parent link=...> and <child link=...>".into()));
            };
            joints.push((parent, child, self.origin(joint)?));
        }
        let name = |link: &Node<'a, 'input>| link.attribute("name").unwrap_or("");
        let is_child = |link: &Node<'a, 'input>| joints.iter().any(|(_, child, _)| *child == name(link));
        let mut placed: Vec<(Node, Pose)> =
            links.iter().filter(|link| !is_child(link)).map(|link| (*link, Pose::IDENTITY)).collect();
        if placed.len() > 1 {
            return Err(self
                .syntax(placed[1].0, "this link hangs on no joint; hold the object together by fixed joints".into()));
        }
        let mut next = 0;
        while next < placed.len() {
            let (link, pose) = placed[next];
            for (_, child, origin) in joints.iter().filter(|(parent, _, _)| *parent == name(&link)) {
                let Some(found) = links.iter().find(|link| name(link) == *child) else {
                    return Err(
                        self.syntax(link, format!("a joint names the link '{}', which is not there", shortened(child)))
                    );
                };
                if placed.iter().any(|(known, _)| known == found) {
                    return Err(self.syntax(*found, "two joints hold this link, or the joints form a circle".into()));
                }
                placed.push((*found, pose * *origin));
            }
            next += 1;
        }
        if placed.len() < links.len() || links.is_empty() {
            return Err(
                self.syntax(robot, "there is no root link: the joints form a circle or there are no links".into())
            );
        }
        Ok(placed)
    }

    fn link(
        &mut self,
        robot: Node<'a, 'input>,
        link: Node<'a, 'input>,
        root_from_link: Pose,
        object: &mut RawObject,
        masses: &mut Vec<LinkMass>,
        faults: &mut Faults,
    ) -> Result<()> {
        for (tag, drawn) in [("collision", false), ("visual", true)] {
            for element in children(link, tag) {
                let found = self.element(element, root_from_link, object);
                match (found, drawn) {
                    (Ok(piece), true) => {
                        let drawn = self.drawn(robot, element, piece, &mut object.warnings);
                        object.color = object.color.or(drawn.color);
                        object.visual.push(drawn);
                    }
                    (Ok(piece), false) => object.collision.push(piece),
                    (Err(fault), true) => faults.visual = faults.visual.take().or(Some(fault)),
                    (Err(fault), false) => faults.collision = faults.collision.take().or(Some(fault)),
                }
            }
        }
        if let Some(contact) = child(link, "contact") {
            let value = |tag| child(contact, tag).map(|node| self.number(node, "value")).transpose();
            let friction = value("lateral_friction")?;
            if let Some(friction) = friction.filter(|friction| !(0.0..=MAX_FRICTION).contains(friction)) {
                let what = format!("the friction is {friction}; it must be from 0 to {MAX_FRICTION}");
                return Err(self.syntax(contact, what));
            }
            object.friction = object.friction.or(friction);
            object.restitution = object.restitution.or(value("restitution")?);
        }
        if let Some(inertial) = child(link, "inertial") {
            masses.extend(self.inertial(inertial, root_from_link)?);
        }
        Ok(())
    }

    /// A `<collision>` or `<visual>`.
    fn element(&mut self, element: Node, root_from_link: Pose, object: &mut RawObject) -> Result<Piece> {
        let pose = root_from_link * self.origin(element)?;
        let Some(geometry) = child(element, "geometry") else {
            return Err(self.syntax(element, format!("<{}> has no <geometry>", element.tag_name().name())));
        };
        self.geometry(geometry, pose, object)
    }

    fn geometry(&mut self, geometry: Node, pose: Pose, object: &mut RawObject) -> Result<Piece> {
        let Some(shape) = geometry.children().find(Node::is_element) else {
            return Err(self.syntax(geometry, "<geometry> is empty".into()));
        };
        match shape.tag_name().name() {
            "mesh" => self.mesh(shape, pose, object),
            "box" => {
                let size =
                    self.vector(shape, "size")?.ok_or_else(|| self.syntax(shape, "<box> needs a size".into()))?;
                self.positive(shape, &size.to_array())?;
                Ok(Piece::Part(ConvexPart::Box { half_extents: size * 0.5, body_from_part: pose }))
            }
            "cylinder" => {
                let (radius, length) = (self.number(shape, "radius")?, self.number(shape, "length")?);
                self.positive(shape, &[radius, length])?;
                self.hull(shape, cylinder(radius, length), pose)
            }
            "sphere" => {
                let radius = self.number(shape, "radius")?;
                self.positive(shape, &[radius])?;
                self.hull(shape, ellipsoid(Vec3::splat(radius)), pose)
            }
            // PyBullet, Drake and MuJoCo: the length of the cylinder between the half balls.
            "capsule" => {
                let (radius, length) = (self.number(shape, "radius")?, self.number(shape, "length")?);
                self.positive(shape, &[radius, length])?;
                self.hull(shape, capsule(radius, length), pose)
            }
            // Drake has a, b and c, SDF has radii.
            "ellipsoid" => {
                let radii = match self.vector(shape, "radii")? {
                    Some(radii) => radii,
                    None => Vec3::new(self.number(shape, "a")?, self.number(shape, "b")?, self.number(shape, "c")?),
                };
                self.positive(shape, &radii.to_array())?;
                self.hull(shape, ellipsoid(radii), pose)
            }
            other => {
                let at = self.document.text_pos_at(shape.range().start);
                Err(ObjectError::Unsupported {
                    path: self.path.to_owned(),
                    place: format!("line {}", at.row),
                    what: format!("the geometry <{}>", shortened(other)),
                    cure: "use mesh, box, cylinder, sphere, capsule or ellipsoid",
                })
            }
        }
    }

    fn hull(&self, node: Node, points: Vec<Vec3>, pose: Pose) -> Result<Piece> {
        let points: Vec<Vec3> = points.into_iter().map(|point| pose.transform_point(point)).collect();
        let part = ConvexPart::from_points(&points).ok_or_else(|| self.syntax(node, "the shape is too thin".into()))?;
        Ok(Piece::Part(part))
    }

    fn mesh(&mut self, node: Node, pose: Pose, object: &mut RawObject) -> Result<Piece> {
        let Some(reference) = node.attribute("filename") else {
            return Err(self.syntax(node, "<mesh> needs a filename".into()));
        };
        let scale = match self.numbers(node, "scale")?[..] {
            // As PyBullet reads it.
            [one] => {
                object.warnings.push(format!("the mesh's scale is one number, {one}: it is taken for all three axes"));
                Vec3::splat(one)
            }
            _ => self.vector(node, "scale")?.unwrap_or(Vec3::ONE),
        };
        if scale.abs().min_element() <= 0.0 {
            return Err(self.syntax(node, "the mesh's scale must not be 0".into()));
        }
        let path = resolve(self.path, reference, self.root)?;
        let known = self.meshes.iter().find(|(known, _)| *known == path).map(|(_, file)| Arc::clone(file));
        let file = match known {
            Some(file) => file,
            None => {
                let file = Arc::new(read_mesh(&path, self.root, &self.options.limits)?);
                object.warnings.extend(file.warnings.iter().cloned());
                object.color = object.color.or(file.mesh.color);
                self.meshes.push((path, Arc::clone(&file)));
                file
            }
        };
        let mut mesh = file.mesh.mapped(|point| pose.transform_point(point * scale));
        if scale.x * scale.y * scale.z < 0.0 {
            mesh = mesh.flipped();
        }
        Ok(Piece::Mesh(Arc::new(mesh)))
    }

    /// A piece in the look of its `<visual>`: its own, or that of the robot's material of the same name. What a mesh's own
    /// file says goes first.
    fn drawn(&self, robot: Node, visual: Node, piece: Piece, warnings: &mut Vec<String>) -> Drawn {
        let plain = |piece, color| Drawn { piece, color };
        let Some(material) = child(visual, "material") else { return plain(piece, None) };
        let name = material.attribute("name").filter(|name| !name.is_empty());
        let shared = children(robot, "material").find(|other| name.is_some() && other.attribute("name") == name);
        let of = |tag| child(material, tag).or_else(|| child(shared?, tag));
        if let Some(file) = of("texture").and_then(|texture| texture.attribute("filename")) {
            let picture = resolve(self.path, file, self.root).map_err(|error| error.to_string());
            match picture.and_then(|path| texture_of_file(&path, self.options.limits.file_bytes)) {
                Ok(texture) => {
                    let (mean, texture) = (texture.mean, Arc::new(texture));
                    let piece = textured(piece, texture).unwrap_or_else(|piece| {
                        warnings.push(format!(
                            "the texture '{}' is drawn as its mean colour: the shape has no texture coordinates",
                            shortened(file)
                        ));
                        piece
                    });
                    return plain(piece, Some(mean));
                }
                Err(error) => warnings.push(format!("the texture '{}' is left out: {error}", shortened(file))),
            }
        }
        let Some(color) = of("color") else { return plain(piece, None) };
        match self.numbers(color, "rgba") {
            Ok(values) => plain(piece, color_of(&values)),
            Err(error) => {
                warnings.push(format!("a colour is left out: {error}"));
                plain(piece, None)
            }
        }
    }
}

/// A mesh with a texture on it, unless its own file gives colours; what has no texture coordinates comes back as it was.
fn textured(piece: Piece, texture: Arc<Texture>) -> std::result::Result<Piece, Piece> {
    let Piece::Mesh(mesh) = &piece else { return Err(piece) };
    if !mesh.materials.is_empty() || !mesh.vertex_colors.is_empty() {
        return Ok(piece);
    }
    if mesh.groups.iter().all(|group| group.uvs.is_empty()) {
        return Err(piece);
    }
    let mut mesh = (**mesh).clone();
    mesh.materials.push(MeshMaterial { color: Vec3::ONE, texture: Some(texture) });
    for group in &mut mesh.groups {
        group.material_of = vec![Some(0); group.triangles.len()];
    }
    Ok(Piece::Mesh(Arc::new(mesh)))
}

fn children<'a, 'input>(node: Node<'a, 'input>, tag: &'static str) -> impl Iterator<Item = Node<'a, 'input>> {
    node.children().filter(move |child| child.has_tag_name(tag))
}

fn child<'a, 'input>(node: Node<'a, 'input>, tag: &'static str) -> Option<Node<'a, 'input>> {
    children(node, tag).next()
}

fn same_pieces(collision: &[Piece], visual: &[Drawn]) -> bool {
    let triangles =
        |mesh: &RawMesh| mesh.groups.iter().flat_map(|group| group.triangles.iter().copied()).collect::<Vec<_>>();
    let same = |pair: (&Piece, &Piece)| match pair {
        (Piece::Mesh(a), Piece::Mesh(b)) => a.positions == b.positions && triangles(a) == triangles(b),
        (Piece::Part(a), Piece::Part(b)) => a == b,
        _ => false,
    };
    let visual = visual.iter().map(|drawn| &drawn.piece);
    collision.len() == visual.len() && collision.iter().zip(visual).all(same)
}
