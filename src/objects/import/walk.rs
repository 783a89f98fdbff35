//! Finds object files. In: a folder. Out: the files that stand for objects, sorted, named, without the meshes that a
//! URDF already uses.

use super::{ImportOptions, ObjectError, Result, urdf};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Folders below the one asked for.
const MAX_DEPTH: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Urdf,
    Mesh,
}

impl Kind {
    pub fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_string_lossy().to_ascii_lowercase().as_str() {
            "urdf" => Some(Self::Urdf),
            "obj" | "stl" | "gltf" | "glb" => Some(Self::Mesh),
            _ => None,
        }
    }
}

pub(super) struct Found {
    pub path: PathBuf,
    pub name: String,
}

pub(super) struct FoundFiles {
    /// The folder's canonical path: no reference may leave it.
    pub root: PathBuf,
    pub files: Vec<Found>,
}

pub(super) fn object_files(folder: &Path, options: &ImportOptions) -> Result<FoundFiles> {
    match folder.metadata() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(ObjectError::Missing { path: folder.to_owned() });
        }
        Err(source) => return Err(ObjectError::Read { path: folder.to_owned(), source }),
        Ok(found) if !found.is_dir() => return Err(ObjectError::NotAFolder { path: folder.to_owned() }),
        Ok(_) => {}
    }
    let root = folder.canonicalize().map_err(|source| ObjectError::Read { path: folder.to_owned(), source })?;
    let mut paths = Vec::new();
    collect(folder, 0, options.limits.files, &mut paths)?;
    paths.sort();
    let used = meshes_in_use(&paths, &root, options);
    paths.retain(|path| {
        path.canonicalize().is_ok_and(|path| !used.contains(&path)) || Kind::of(path) == Some(Kind::Urdf)
    });
    if paths.is_empty() {
        return Err(ObjectError::Empty { path: folder.to_owned() });
    }
    let names = names(folder, &paths);
    Ok(FoundFiles { root, files: paths.into_iter().zip(names).map(|(path, name)| Found { path, name }).collect() })
}

fn collect(folder: &Path, depth: usize, limit: usize, paths: &mut Vec<PathBuf>) -> Result<()> {
    let fail = |source| ObjectError::Read { path: folder.to_owned(), source };
    for entry in std::fs::read_dir(folder).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let path = entry.path();
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        // Links to folders are not followed: they may lead in a circle.
        let kind = entry.file_type().map_err(fail)?;
        if kind.is_dir() && depth < MAX_DEPTH {
            collect(&path, depth + 1, limit, paths)?;
        } else if !kind.is_dir() && Kind::of(&path).is_some() {
            if paths.len() == limit {
                return Err(ObjectError::TooMany { path: folder.to_owned(), what: "object files", limit });
            }
            paths.push(path);
        }
    }
    Ok(())
}

/// The meshes that URDF files refer to; where a URDF cannot be read, those of its own name.
fn meshes_in_use(paths: &[PathBuf], root: &Path, options: &ImportOptions) -> BTreeSet<PathBuf> {
    let mut used = BTreeSet::new();
    for path in paths.iter().filter(|path| Kind::of(path) == Some(Kind::Urdf)) {
        match urdf::references(path, &options.limits) {
            Ok(references) => {
                used.extend(references.iter().filter_map(|reference| super::resolve(path, reference, root).ok()));
            }
            Err(_) => {
                let twins = ["obj", "stl", "gltf", "glb"].map(|ending| path.with_extension(ending));
                used.extend(twins.iter().filter_map(|twin| twin.canonicalize().ok()));
            }
        }
    }
    used
}

/// Paths without endings; a file called like its folder takes the folder's name; endings come back where two would
/// share a name.
fn names(folder: &Path, paths: &[PathBuf]) -> Vec<String> {
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
