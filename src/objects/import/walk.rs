//! Finds object files. In: a folder. Out: the files that may stand for objects, sorted; what looks like a model and is
//! none that can be read; names for objects.

use super::urdf::XACRO_CURE;
use super::{Limits, ObjectError, Result};
use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Folders below the one asked for.
const MAX_DEPTH: usize = 16;
/// Meshes and scenes of other programs.
const OTHER_MODELS: &str = "3dm 3ds 3mf abc ac amf b3d blend brep c4d ctm dae dxf fbx iges igs jt lwo ma max mb mesh ms3d \
     nff off pcd ply2 sat skp sldprt step stp usd usda usdc usdz vrml vtk vtp wrl x x3d x_t xyz";
const PACKED: [&str; 7] = ["gz", "zip", "xz", "bz2", "zst", "7z", "tar"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Urdf,
    Mesh,
}

impl Kind {
    pub fn of(path: &Path) -> Option<Self> {
        match ending(path).as_str() {
            "urdf" => Some(Self::Urdf),
            "obj" | "stl" | "gltf" | "glb" | "ply" => Some(Self::Mesh),
            _ => None,
        }
    }
}

pub(super) fn ending(path: &Path) -> String {
    path.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase()).unwrap_or_default()
}

/// What lies in and below a folder, each list in the order of the paths.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub urdfs: Vec<PathBuf>,
    pub meshes: Vec<PathBuf>,
    /// Models that cannot be read, links that lead nowhere, folders that cannot be opened.
    pub skipped: Vec<ObjectError>,
}

pub(super) fn object_files(folder: &Path, limits: &Limits) -> Result<Found> {
    match folder.metadata() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(ObjectError::Missing { path: folder.to_owned() });
        }
        Err(source) => return Err(ObjectError::Read { path: folder.to_owned(), source }),
        Ok(found) if !found.is_dir() => return Err(ObjectError::NotAFolder { path: folder.to_owned() }),
        Ok(_) => {}
    }
    let mut walk = Walk { limit: limits.files, ..Walk::default() };
    walk.visited.insert(folder.canonicalize().map_err(|source| ObjectError::Read { path: folder.to_owned(), source })?);
    walk.folder(folder, 0).map_err(|source| ObjectError::Read { path: folder.to_owned(), source })??;
    // Real folders come before links to folders, so that a folder is known by its own name.
    while !walk.links.is_empty() {
        let mut links = std::mem::take(&mut walk.links);
        links.sort();
        for (path, depth) in links {
            walk.subfolder(&path, depth)?;
        }
    }
    let Walk { mut found, .. } = walk;
    found.urdfs.sort();
    found.meshes.sort();
    found.skipped.sort_by_key(|error| error.path().map(Path::to_owned));
    if found.urdfs.is_empty() && found.meshes.is_empty() {
        let seen = found.skipped.iter().map(|error| format!("\n  {error}")).collect();
        return Err(ObjectError::Empty { path: folder.to_owned(), seen });
    }
    Ok(found)
}

#[derive(Default)]
struct Walk {
    limit: usize,
    found: Found,
    /// Canonical paths of folders, so that no circle of links is walked twice.
    visited: BTreeSet<PathBuf>,
    /// Links to folders, with their depth.
    links: Vec<(PathBuf, usize)>,
}

impl Walk {
    /// The entries of a folder; the outer error is that of the folder itself.
    fn folder(&mut self, folder: &Path, depth: usize) -> std::io::Result<Result<()>> {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let path = entry.path();
            if entry.file_name().to_string_lossy().starts_with('.') {
                continue;
            }
            if let Err(error) = self.entry(path, entry.file_type()?, depth) {
                return Ok(Err(error));
            }
        }
        Ok(Ok(()))
    }

    fn entry(&mut self, path: PathBuf, kind: std::fs::FileType, depth: usize) -> Result<()> {
        if kind.is_dir() {
            return self.subfolder(&path, depth + 1);
        }
        let is_model = Kind::of(&path);
        let about = if kind.is_symlink() {
            match std::fs::metadata(&path) {
                Ok(target) if target.is_dir() => {
                    self.links.push((path, depth + 1));
                    return Ok(());
                }
                Ok(target) => target.file_type(),
                Err(_) if is_model.is_none() && foreign(&path).is_none() => return Ok(()),
                Err(source) => {
                    self.found.skipped.push(ObjectError::Read { path, source });
                    return Ok(());
                }
            }
        } else {
            kind
        };
        let Some(is_model) = is_model else {
            self.found.skipped.extend(foreign(&path));
            return Ok(());
        };
        if !about.is_file() {
            // Reading a pipe would wait for a writer.
            let source = std::io::Error::other("it is a pipe, a socket or a device");
            self.found.skipped.push(ObjectError::Read { path, source });
            return Ok(());
        }
        let list = if is_model == Kind::Urdf { &mut self.found.urdfs } else { &mut self.found.meshes };
        list.push(path);
        if self.found.urdfs.len() + self.found.meshes.len() > self.limit {
            let path = self.found.meshes.pop().or_else(|| self.found.urdfs.pop()).unwrap_or_default();
            let folder = path.parent().unwrap_or(&path).to_owned();
            return Err(ObjectError::TooMany { path: folder, what: "object files", limit: self.limit });
        }
        Ok(())
    }

    /// A folder below the one asked for; what cannot be opened is named.
    fn subfolder(&mut self, path: &Path, depth: usize) -> Result<()> {
        let skip = |source| ObjectError::Read { path: path.to_owned(), source };
        if depth > MAX_DEPTH {
            let source = std::io::Error::other(format!("it lies more than {MAX_DEPTH} folders deep"));
            self.found.skipped.push(skip(source));
            return Ok(());
        }
        match path.canonicalize() {
            Ok(canonical) => {
                if !self.visited.insert(canonical) {
                    return Ok(());
                }
            }
            Err(source) => {
                self.found.skipped.push(skip(source));
                return Ok(());
            }
        }
        match self.folder(path, depth) {
            Ok(result) => result,
            Err(source) => {
                self.found.skipped.push(skip(source));
                Ok(())
            }
        }
    }
}

/// Why a file that looks like a model is not read; `None` for all other files.
fn foreign(path: &Path) -> Option<ObjectError> {
    let ending = ending(path);
    let inner = self::ending(Path::new(path.file_stem()?));
    let is_mesh = |ending: &str| {
        matches!(ending, "urdf" | "obj" | "stl" | "gltf" | "glb" | "ply")
            || OTHER_MODELS.split(' ').any(|e| e == ending)
    };
    let (what, cure) = match ending.as_str() {
        "xacro" => ("a xacro template".to_owned(), XACRO_CURE),
        "sdf" | "mjcf" => (format!("the robot format '.{ending}'"), "convert it to .urdf"),
        "xml" => match start_of(path)? {
            start if start.contains("<mujoco") => ("a MuJoCo model".to_owned(), "convert it to .urdf"),
            start if start.contains("<robot") => ("a URDF called .xml".to_owned(), "rename it to .urdf"),
            _ => return None,
        },
        packed if PACKED.contains(&packed) && is_mesh(&inner) => (format!("a packed .{inner} file"), "unpack it first"),
        other if !other.is_empty() && is_mesh(other) => {
            (format!("the format '.{other}'"), "convert it to .obj, .stl, .ply or .glb (Blender, MeshLab or assimp)")
        }
        _ => return None,
    };
    Some(ObjectError::Unsupported { path: path.to_owned(), place: "file name".into(), what, cure })
}

/// The first kilobytes of a file as text.
fn start_of(path: &Path) -> Option<String> {
    if !path.metadata().ok()?.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    std::fs::File::open(path).ok()?.take(4096).read_to_end(&mut bytes).ok()?;
    Some(super::text::decoded(&bytes).into_owned())
}

/// Paths without endings; a file called like its folder takes the folder's name; endings come back where two would
/// share a name.
pub(super) fn names(folder: &Path, paths: &[PathBuf]) -> Vec<String> {
    let short: Vec<String> = paths
        .iter()
        .map(|path| {
            let relative = path.strip_prefix(folder).unwrap_or(path).with_extension("");
            let mut words: Vec<String> = relative.iter().map(|word| word.to_string_lossy().into_owned()).collect();
            if words.len() > 1 && words[words.len() - 1] == words[words.len() - 2] {
                words.pop();
            }
            words.join("/")
        })
        .collect();
    let mut counts = std::collections::BTreeMap::new();
    short.iter().for_each(|name| *counts.entry(name).or_insert(0) += 1);
    let full = |path: &PathBuf| path.strip_prefix(folder).unwrap_or(path).to_string_lossy().replace('\\', "/");
    paths.iter().zip(&short).map(|(path, name)| if counts[name] > 1 { full(path) } else { name.clone() }).collect()
}
