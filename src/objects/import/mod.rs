//! Objects from a folder of URDF, OBJ, STL, glTF and GLB files. In: a path and [`ImportOptions`]. Out: an
//! [`ImportReport`] with every object, what was assumed about it, and every file that could not be used.
//!
//! A URDF wins over the meshes that it refers to. Meshes that are not convex are decomposed. Nothing larger than the
//! [`Limits`] is read, and no file outside the folder.

mod decompose;
mod files;
pub(super) mod gltf;
mod mesh;
mod obj;
mod stl;
mod urdf;
mod walk;

use files::{read_capped, resolve};
pub use mesh::{RawGroup, RawMesh};

use super::error::{ObjectError, Result};
use super::mass::Inertia;
use super::model::{ConvexPart, Mass, ObjectModel, Physics};
use crate::contract::MeshData;
use glam::Vec3;
use rayon::prelude::*;
use std::path::{Path, PathBuf};

/// What is read at most, and the sizes that make sense on a table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    pub file_bytes: u64,
    pub urdf_bytes: u64,
    pub vertices: usize,
    pub triangles: usize,
    /// Files in the whole folder.
    pub files: usize,
    /// Largest edge of an object's bounding box, after scaling.
    pub largest_m: f32,
    /// An object whose largest edge is below this is refused.
    pub smallest_m: f32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            file_bytes: 64 << 20,
            urdf_bytes: 4 << 20,
            vertices: 1_000_000,
            triangles: 2_000_000,
            files: 100_000,
            largest_m: 0.5,
            smallest_m: 0.004,
        }
    }
}

/// How files become objects. What a file says itself goes first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ImportOptions {
    /// Multiplies every length; 0.001 for files in millimetres.
    pub scale: f32,
    /// For files that give no mass, kg/m^3 (500: a light wood).
    pub density: f32,
    pub friction: f32,
    pub restitution: f32,
    pub limits: Limits,
}

impl Default for ImportOptions {
    fn default() -> Self {
        Self { scale: 1.0, density: 500.0, friction: 1.0, restitution: 0.0, limits: Limits::default() }
    }
}

/// An object and where it came from.
#[derive(Clone, Debug)]
pub struct Imported {
    pub path: PathBuf,
    pub model: ObjectModel,
    /// What was assumed, left out or looks doubtful.
    pub warnings: Vec<String>,
}

/// Everything found in a folder, in the order of the paths.
#[derive(Debug, Default)]
pub struct ImportReport {
    pub objects: Vec<Imported>,
    pub failures: Vec<ObjectError>,
}

/// A piece of an object before it is one.
#[derive(Clone, Debug)]
enum Piece {
    Part(ConvexPart),
    Mesh(std::sync::Arc<RawMesh>),
}

/// What a file says, in the file's units.
#[derive(Clone, Debug, Default)]
struct RawObject {
    collision: Vec<Piece>,
    visual: Vec<Piece>,
    /// The visual pieces are the collision pieces.
    same: bool,
    mass: Option<RawMass>,
    friction: Option<f32>,
    restitution: Option<f32>,
    color: Option<[u8; 3]>,
    warnings: Vec<String>,
}

#[derive(Clone, Copy, Debug)]
struct RawMass {
    mass_kg: f32,
    center: Option<Vec3>,
    inertia: Option<Inertia>,
}

/// Everything in and below `folder`. Objects are named by their paths without endings (`000/000.urdf` is `000`).
///
/// # Errors
/// When the folder is missing, is no folder, or holds no object file. A file that cannot be used is a failure in the
/// report.
pub fn import_dir(folder: &Path, options: &ImportOptions) -> Result<ImportReport> {
    let found = walk::object_files(folder, options)?;
    let one = |file: &walk::Found| import_named(&file.path, &file.name, &found.root, options);
    let results: Vec<Result<Imported>> = found.files.par_iter().map(one).collect();
    let mut report = ImportReport::default();
    for result in results {
        match result {
            Ok(imported) => report.objects.push(imported),
            Err(error) => report.failures.push(error),
        }
    }
    Ok(report)
}

/// One URDF, OBJ, STL, glTF or GLB file. References may not leave its folder.
pub fn import_file(path: &Path, options: &ImportOptions) -> Result<Imported> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let root = parent.canonicalize().map_err(|source| ObjectError::Read { path: path.to_owned(), source })?;
    let name = path.file_stem().map_or_else(|| "object".into(), |stem| stem.to_string_lossy());
    import_named(path, &name, &root, options)
}

fn import_named(path: &Path, name: &str, root: &Path, options: &ImportOptions) -> Result<Imported> {
    let raw = match walk::Kind::of(path) {
        Some(walk::Kind::Urdf) => urdf::read(path, root, options)?,
        Some(walk::Kind::Mesh) => from_mesh(read_mesh(path, root, &options.limits)?),
        None => {
            return Err(ObjectError::Unsupported {
                path: path.to_owned(),
                place: "file name".into(),
                what: "this kind of file".into(),
                cure: "give a .urdf, .obj, .stl, .gltf or .glb file",
            });
        }
    };
    finish(path, name, raw, options)
}

/// A mesh with what its file says besides triangles.
#[derive(Clone, Debug, Default)]
struct MeshFile {
    mesh: RawMesh,
    /// Convex parts, where the file keeps them apart from what is drawn.
    collision: Option<RawMesh>,
    mass: Option<RawMass>,
    friction: Option<f32>,
    restitution: Option<f32>,
    warnings: Vec<String>,
}

fn read_mesh(path: &Path, root: &Path, limits: &Limits) -> Result<MeshFile> {
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    let file = match ending.as_str() {
        "obj" => MeshFile { mesh: obj::read(path, root, limits)?, ..MeshFile::default() },
        "stl" => MeshFile { mesh: stl::read(path, limits)?, ..MeshFile::default() },
        "gltf" | "glb" => gltf::read(path, root, limits)?,
        _ => {
            return Err(ObjectError::Unsupported {
                path: path.to_owned(),
                place: "file name".into(),
                what: format!("the mesh format '.{ending}'"),
                cure: "convert it to .obj, .stl or .glb",
            });
        }
    };
    if file.mesh.triangle_count() == 0 {
        return Err(ObjectError::Format {
            path: path.to_owned(),
            place: "whole file".into(),
            what: "it holds no triangles; export the mesh with its faces".into(),
        });
    }
    Ok(file)
}

fn from_mesh(file: MeshFile) -> RawObject {
    let color = file.mesh.color;
    let drawn = Piece::Mesh(std::sync::Arc::new(file.mesh));
    let same = file.collision.is_none();
    let collision = file.collision.map_or_else(|| drawn.clone(), |mesh| Piece::Mesh(std::sync::Arc::new(mesh)));
    RawObject {
        collision: vec![collision],
        visual: vec![drawn],
        same,
        mass: file.mass,
        friction: file.friction,
        restitution: file.restitution,
        color,
        warnings: file.warnings,
    }
}

/// Scales, checks the size, decomposes, weighs.
fn finish(path: &Path, name: &str, raw: RawObject, options: &ImportOptions) -> Result<Imported> {
    let scale = options.scale;
    if !(scale > 0.0 && scale.is_finite()) {
        return Err(ObjectError::OutOfRange { name: name.to_owned(), what: "scale", range: "above 0", value: scale });
    }
    let collision: Vec<Piece> = raw.collision.iter().map(|piece| scaled(piece, scale)).collect();
    check_size(path, &collision, &options.limits)?;
    let mut warnings = raw.warnings;
    let mut parts = Vec::new();
    for piece in &collision {
        match piece {
            Piece::Part(part) => parts.push(part.clone()),
            Piece::Mesh(mesh) => parts.extend(decompose::convex_parts(mesh, &mut warnings)),
        }
    }
    let all_boxes = parts.iter().all(|part| matches!(part, ConvexPart::Box { .. }));
    let mesh = if raw.same {
        (!all_boxes).then(|| surface(&collision))
    } else {
        let visual: Vec<Piece> = raw.visual.iter().map(|piece| scaled(piece, scale)).collect();
        Some(surface(&visual))
    };
    let mass = match raw.mass {
        None => {
            warnings.push(format!("no mass is given; {} kg/m^3 is assumed", options.density));
            Mass::Density(options.density)
        }
        Some(RawMass { mass_kg, center: None, .. }) => Mass::Total(mass_kg),
        Some(RawMass { mass_kg, center: Some(center), .. }) => {
            let center = center * scale;
            if inside_bounds(&parts, center) {
                Mass::Given { mass_kg, center, inertia: None }
            } else {
                warnings.push(format!("the centre of mass {center} m lies outside the object; it is computed instead"));
                Mass::Total(mass_kg)
            }
        }
    };
    let physics = Physics {
        mass,
        friction: raw.friction.unwrap_or(options.friction),
        restitution: raw.restitution.unwrap_or(options.restitution),
        color: raw.color,
    };
    let mut model = ObjectModel::new(name, parts, mesh, physics).map_err(|error| named(error, path))?;
    if let Some(given) = raw.mass.and_then(|mass| mass.inertia) {
        let given = Inertia { principal_kg_m2: given.principal_kg_m2 * scale * scale, ..given };
        if is_plausible(&given, &model.inertia) {
            model.inertia = given;
        } else {
            warnings.push("the inertia in the file cannot be this object's; it is computed from the shape".into());
        }
    }
    let width = model.grasp_width();
    let opening = super::grasp::Jaws::default().max_opening_m;
    if width > opening {
        warnings.push(format!("{width:.3} m at its narrowest is more than the {opening} m that the jaws open"));
    }
    Ok(Imported { path: path.to_owned(), model, warnings })
}

/// Puts the file's name in front of what is wrong with the object made from it.
fn named(error: ObjectError, path: &Path) -> ObjectError {
    match error {
        ObjectError::Degenerate { what, .. } => ObjectError::Degenerate { name: path.display().to_string(), what },
        ObjectError::OutOfRange { what, range, value, .. } => {
            ObjectError::OutOfRange { name: path.display().to_string(), what, range, value }
        }
        other => other,
    }
}

fn scaled(piece: &Piece, scale: f32) -> Piece {
    match piece {
        Piece::Part(ConvexPart::Box { half_extents, body_from_part }) => {
            let mut pose = *body_from_part;
            pose.translation *= scale;
            Piece::Part(ConvexPart::Box { half_extents: *half_extents * scale, body_from_part: pose })
        }
        Piece::Part(ConvexPart::Hull { points }) => {
            Piece::Part(ConvexPart::Hull { points: points.iter().map(|point| *point * scale).collect() })
        }
        Piece::Mesh(mesh) if scale == 1.0 => Piece::Mesh(std::sync::Arc::clone(mesh)),
        Piece::Mesh(mesh) => Piece::Mesh(std::sync::Arc::new(mesh.mapped(|point| point * scale))),
    }
}

fn piece_points(piece: &Piece) -> Vec<Vec3> {
    match piece {
        Piece::Part(part) => part.corners(),
        Piece::Mesh(mesh) => mesh.used_points(),
    }
}

fn bounds_of(points: impl Iterator<Item = Vec3>) -> (Vec3, Vec3) {
    points.fold((Vec3::INFINITY, Vec3::NEG_INFINITY), |(low, high), point| (low.min(point), high.max(point)))
}

fn check_size(path: &Path, pieces: &[Piece], limits: &Limits) -> Result<()> {
    let (low, high) = bounds_of(pieces.iter().flat_map(piece_points));
    let (largest_m, path) = ((high - low).max_element(), path.to_owned());
    if !largest_m.is_finite() {
        return Err(ObjectError::NotFinite { path, place: "whole object".into() });
    }
    if largest_m > limits.largest_m {
        return Err(ObjectError::TooBig { path, largest_m, limit_m: limits.largest_m });
    }
    if largest_m < limits.smallest_m {
        return Err(ObjectError::TooSmall { path, largest_m, limit_m: limits.smallest_m });
    }
    Ok(())
}

fn inside_bounds(parts: &[ConvexPart], center: Vec3) -> bool {
    let (low, high) = bounds_of(parts.iter().flat_map(ConvexPart::corners));
    center.is_finite() && center.cmpge(low).all() && center.cmple(high).all()
}

/// Whether a file's inertia can belong to the shape: a rigid body's, and neither a tenth nor five times that of the
/// shape filled evenly (placeholders such as PyBullet's (1, 1, 0) are far off).
fn is_plausible(given: &Inertia, uniform: &Inertia) -> bool {
    let ratio = given.principal_kg_m2.element_sum() / uniform.principal_kg_m2.element_sum();
    given.is_physical() && (0.1..=5.0).contains(&ratio)
}

/// The drawable surface of some pieces.
fn surface(pieces: &[Piece]) -> MeshData {
    let mut whole = MeshData { positions: Vec::new(), normals: Vec::new(), indices: Vec::new() };
    for piece in pieces {
        let mesh = match piece {
            Piece::Mesh(mesh) => mesh.surface(),
            Piece::Part(part) => match super::geometry::Polyhedron::of_part(part) {
                Some(solid) => RawMesh::of_polyhedron(&solid).surface(),
                None => continue,
            },
        };
        let base = whole.positions.len() as u32;
        whole.positions.extend(mesh.positions);
        whole.normals.extend(mesh.normals);
        whole.indices.extend(mesh.indices.iter().map(|index| base + index));
    }
    whole
}

#[cfg(test)]
mod tests;
