//! Objects from a folder of URDF, OBJ, STL, PLY, glTF and GLB files. In: a path and [`ImportOptions`]. Out: an
//! [`ImportReport`] with every object, what was assumed about it, and every file that could not be used.
//!
//! A URDF wins over the meshes that it refers to, also where it cannot be used. Meshes that are not convex are
//! decomposed. Nothing larger than the [`Limits`] is read, and no file outside the folder.

mod coloring;
mod decompose;
mod files;
mod finish;
pub(super) mod gltf;
mod material;
mod mesh;
mod obj;
mod ply;
mod polygon;
mod stl;
mod text;
mod texture;
mod urdf;
mod walk;

use files::{Root, folders_meant, named_files, read_capped, resolve};
use finish::finish;
pub use mesh::{MeshMaterial, RawGroup, RawMesh};

use super::error::{ObjectError, Result};
use super::mass::Inertia;
use super::model::{ConvexPart, ObjectModel};
use glam::Vec3;
use rayon::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
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
    /// What looks like a model and was not read, and meshes that belong to a URDF that failed.
    pub skipped: Vec<ObjectError>,
}

/// A piece of an object before it is one.
#[derive(Clone, Debug)]
enum Piece {
    Part(ConvexPart),
    Mesh(std::sync::Arc<RawMesh>),
}

/// A piece as it is drawn.
#[derive(Clone, Debug)]
struct Drawn {
    piece: Piece,
    /// sRGB, of what the piece leaves open.
    color: Option<[u8; 3]>,
}

/// What a file says, in the file's units.
#[derive(Clone, Debug, Default)]
struct RawObject {
    collision: Vec<Piece>,
    visual: Vec<Drawn>,
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
    let found = walk::object_files(folder, &options.limits)?;
    let root = Root::new(folder)?;
    let mut report = ImportReport { skipped: found.skipped, ..ImportReport::default() };
    let read = |path: &PathBuf| urdf::read(path, &root, options);
    let urdfs: Vec<Result<(RawObject, Vec<PathBuf>)>> = found.urdfs.par_iter().map(read).collect();

    let failed = found.urdfs.iter().zip(&urdfs).filter(|(_, result)| result.is_err()).map(|(path, _)| path.as_path());
    let fences = Fences::new(failed, &root, &options.limits);
    let described = described(&report.skipped, &root, &options.limits);
    let used: BTreeSet<&PathBuf> = urdfs.iter().flatten().flat_map(|(_, used)| used).collect();
    let canonical = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let mut meshes = Vec::new();
    for path in found.meshes {
        match fences.owner_of(&path) {
            _ if used.contains(&canonical(&path)) => {}
            Some(owner) => report.skipped.push(ObjectError::OfFailedUrdf { path, owner: owner.to_owned() }),
            None => meshes.push(path),
        }
    }
    // What a usable URDF only draws is told with its object.
    report.skipped.retain(|error| error.path().is_none_or(|path| !used.contains(&canonical(path))));

    let mut paths: Vec<PathBuf> = found.urdfs.iter().chain(&meshes).cloned().collect();
    paths.sort();
    let names: BTreeMap<PathBuf, String> = paths.iter().cloned().zip(walk::names(folder, &paths)).collect();
    let name = |path: &Path| names.get(path).map_or("object", String::as_str);
    let from_urdfs = found.urdfs.par_iter().zip(urdfs).map(|(path, raw)| {
        let imported = raw.and_then(|(raw, _)| finish(path, name(path), raw, options));
        (path, imported)
    });
    let mut results: Vec<(&PathBuf, Result<Imported>)> = from_urdfs.collect();
    let from_meshes = meshes.par_iter().map(|path| {
        let file = read_mesh(path, &root, &options.limits);
        let mut imported = file.and_then(|file| finish(path, name(path), from_mesh(file), options));
        if let (Ok(imported), Some(owner)) = (&mut imported, described.get(&canonical(path))) {
            let owner = owner.file_name().unwrap_or_default().to_string_lossy();
            imported.warnings.push(format!(
                "{owner} names this mesh and cannot be read: a scale, mass or friction that it gives is not used"
            ));
        }
        (path, imported)
    });
    results.extend(from_meshes.collect::<Vec<_>>());
    results.sort_by_key(|(path, _)| *path);
    for (_, result) in results {
        match result {
            Ok(imported) => report.objects.push(imported),
            Err(error) => report.failures.push(error),
        }
    }
    Ok(report)
}

/// Folders whose meshes belong to URDF files that failed: as objects of their own they would have another scale and mass.
struct Fences(Vec<(PathBuf, PathBuf)>);

impl Fences {
    /// The folder of every failed URDF, and those that its references point into.
    fn new<'a>(failed: impl Iterator<Item = &'a Path>, root: &Root, limits: &Limits) -> Self {
        let mut fences = Vec::new();
        for path in failed {
            let parent = path.parent().unwrap_or(Path::new("")).to_owned();
            for reference in urdf::references(path, limits) {
                let folders = folders_meant(path, &reference, root).into_iter();
                fences.extend(folders.filter_map(|folder| Some((folder.canonicalize().ok()?, path.to_owned()))));
            }
            fences.push((parent.canonicalize().unwrap_or(parent), path.to_owned()));
        }
        Self(fences)
    }

    /// The failed URDF that `mesh` belongs to.
    fn owner_of(&self, mesh: &Path) -> Option<&Path> {
        let folder = mesh.parent()?.canonicalize().ok()?;
        self.0.iter().find(|(fence, _)| folder.starts_with(fence)).map(|(_, owner)| owner.as_path())
    }
}

/// Meshes that a description names which is of a format that is not read (xacro, SDF, MuJoCo), with that description.
fn described(skipped: &[ObjectError], root: &Root, limits: &Limits) -> BTreeMap<PathBuf, PathBuf> {
    let mut meshes = BTreeMap::new();
    let is_description = |path: &&Path| matches!(walk::ending(path).as_str(), "xacro" | "sdf" | "mjcf" | "xml");
    for path in skipped.iter().filter_map(ObjectError::path).filter(is_description) {
        let Ok(bytes) = read_capped(path, limits.urdf_bytes) else { continue };
        for reference in named_files(&text::decoded(&bytes)) {
            // xacro's $(find NAME)/path is package://NAME/path.
            let reference = reference.replace("$(find ", "package://").replacen(")/", "/", 1);
            if let Some(mesh) = resolve(path, &reference, root).ok().and_then(|mesh| mesh.canonicalize().ok()) {
                meshes.insert(mesh, path.to_owned());
            }
        }
    }
    meshes
}

/// One URDF, OBJ, STL, PLY, glTF or GLB file. References may not leave its folder.
///
/// # Errors
/// A file that cannot be read or used, with the place in it.
pub fn import_file(path: &Path, options: &ImportOptions) -> Result<Imported> {
    let limit = if is_urdf(path)? { options.limits.urdf_bytes } else { options.limits.file_bytes };
    import_bytes(path, read_capped(path, limit)?, options)
}

/// [`import_file`] for contents that are in memory. `path` gives the ending and the name; references are looked up beside
/// it, and it need not exist.
///
/// # Errors
/// As [`import_file`].
pub fn import_bytes(path: &Path, bytes: Vec<u8>, options: &ImportOptions) -> Result<Imported> {
    let name = path.file_stem().map_or_else(|| "object".into(), |stem| stem.to_string_lossy());
    finish(path, &name, raw_object(path, bytes, options)?, options)
}

fn raw_object(path: &Path, bytes: Vec<u8>, options: &ImportOptions) -> Result<RawObject> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let root = Root::new(parent)?;
    match is_urdf(path)? {
        true => Ok(urdf::parse(path, &bytes, &root, options)?.0),
        false => Ok(from_mesh(with_triangles(path, mesh_parser(path)?(path, bytes, &root, &options.limits)?)?)),
    }
}

/// A file's bytes as [`import_bytes`] reads them, up to where an object is made of them.
///
/// # Errors
/// As [`import_file`].
#[cfg(feature = "fuzz")]
pub fn parse_bytes(path: &Path, bytes: Vec<u8>, options: &ImportOptions) -> Result<()> {
    raw_object(path, bytes, options).map(drop)
}

/// The materials of an MTL library; how many there are.
///
/// # Errors
/// The folder of `path` is missing.
#[cfg(feature = "fuzz")]
pub fn parse_materials(path: &Path, bytes: &[u8], limits: &Limits) -> Result<usize> {
    let root = Root::new(path.parent().unwrap_or(Path::new(".")))?;
    Ok(material::library(&text::decoded(bytes), path, &root, limits).len())
}

fn is_urdf(path: &Path) -> Result<bool> {
    match walk::Kind::of(path) {
        Some(walk::Kind::Urdf) => Ok(true),
        Some(walk::Kind::Mesh) => Ok(false),
        None => Err(ObjectError::Unsupported {
            path: path.to_owned(),
            place: "file name".into(),
            what: "this kind of file".into(),
            cure: "give a .urdf, .obj, .stl, .ply, .gltf or .glb file",
        }),
    }
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

type MeshParser = fn(&Path, Vec<u8>, &Root, &Limits) -> Result<MeshFile>;

fn mesh_parser(path: &Path) -> Result<MeshParser> {
    let ending = walk::ending(path);
    Ok(match ending.as_str() {
        "obj" => obj::parse,
        "stl" => stl::parse,
        "ply" => ply::parse,
        "gltf" | "glb" => gltf::parse,
        _ => {
            return Err(ObjectError::Unsupported {
                path: path.to_owned(),
                place: "file name".into(),
                what: format!("the mesh format '.{ending}'"),
                cure: "convert it to .obj, .stl, .ply or .glb",
            });
        }
    })
}

fn read_mesh(path: &Path, root: &Root, limits: &Limits) -> Result<MeshFile> {
    let parse = mesh_parser(path)?;
    with_triangles(path, parse(path, read_capped(path, limits.file_bytes)?, root, limits)?)
}

fn with_triangles(path: &Path, file: MeshFile) -> Result<MeshFile> {
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
        visual: vec![Drawn { piece: drawn, color: None }],
        same,
        mass: file.mass,
        friction: file.friction,
        restitution: file.restitution,
        color,
        warnings: file.warnings,
    }
}

#[cfg(test)]
mod tests;
