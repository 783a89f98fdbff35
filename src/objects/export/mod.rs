//! Objects as files that other programs read. In: objects and a folder that is new or empty. Out: PyBullet's layout
//! (`NNN/NNN.urdf` and `NNN/NNN.obj`), or one `NNN.glb` or `NNN.obj` an object, all or nothing: they are written beside the folder and
//! renamed into place.

mod gltf;
mod urdf;

use super::error::{ObjectError, Result};
use super::model::ObjectModel;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExportFormat {
    /// `NNN/NNN.urdf` with `NNN/NNN.obj`, and `NNN/NNN_coll.obj` where what collides is not what is drawn.
    #[default]
    Urdf,
    /// `NNN.obj`: what is drawn, and nothing beside it.
    Obj,
    /// `NNN.glb`; mass, inertia and friction are in `asset.extras.bingrasp`.
    Gltf,
}

/// A file to be: path in the folder and contents.
type File = (PathBuf, Vec<u8>);

/// Writes every object into `folder`.
///
/// # Errors
/// When the folder exists and is not empty, or cannot be written.
pub fn export_objects(objects: &[Arc<ObjectModel>], folder: &Path, format: ExportFormat) -> Result<()> {
    let names = file_names(objects);
    let files: Vec<File> = objects
        .par_iter()
        .zip(&names)
        .flat_map_iter(|(object, name)| match format {
            ExportFormat::Urdf => urdf::files(object, name),
            ExportFormat::Obj => vec![(PathBuf::from(format!("{name}.obj")), urdf::obj(object).into_bytes())],
            ExportFormat::Gltf => vec![(PathBuf::from(format!("{name}.glb")), gltf::glb(object, name))],
        })
        .collect();
    write_folder(folder, &files)
}

/// Refuses a folder that holds something, before any work is done for it.
pub fn check_output(folder: &Path) -> Result<()> {
    match std::fs::read_dir(folder).map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(()),
        Ok(false) => Err(ObjectError::OutputNotEmpty { path: folder.to_owned() }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(_) if folder.is_file() => Err(ObjectError::OutputNotEmpty { path: folder.to_owned() }),
        Err(source) => Err(ObjectError::Write { path: folder.to_owned(), source }),
    }
}

/// Writes files into a new folder: into a temporary one beside it first, which takes its name when all is on the disk.
pub fn write_folder(folder: &Path, files: &[File]) -> Result<()> {
    check_output(folder)?;
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = folder.file_name().map_or_else(|| "objects".into(), |name| name.to_string_lossy());
    let partial = parent.join(format!(".{name}.{}.tmp", std::process::id()));
    let written = write_into(&partial, files).and_then(|()| {
        let fail = |source| ObjectError::Write { path: folder.to_owned(), source };
        if folder.exists() {
            std::fs::remove_dir(folder).map_err(fail)?;
        }
        std::fs::rename(&partial, folder).map_err(fail)?;
        sync(parent)
    });
    if written.is_err() {
        // What is left behind is named after this process and hidden; the first error is the one that matters.
        let _ = std::fs::remove_dir_all(&partial);
    }
    written
}

fn write_into(folder: &Path, files: &[File]) -> Result<()> {
    let mut folders = BTreeSet::from([folder.to_owned()]);
    folders.extend(files.iter().filter_map(|(path, _)| folder.join(path).parent().map(Path::to_owned)));
    for path in &folders {
        std::fs::create_dir_all(path).map_err(|source| ObjectError::Write { path: path.clone(), source })?;
    }
    for (path, contents) in files {
        let path = folder.join(path);
        let write = || {
            let mut file = std::fs::File::create(&path)?;
            file.write_all(contents)?;
            file.sync_all()
        };
        write().map_err(|source| ObjectError::Write { path: path.clone(), source })?;
    }
    folders.iter().try_for_each(|path| sync(path))
}

#[cfg(unix)]
fn sync(folder: &Path) -> Result<()> {
    std::fs::File::open(folder)
        .and_then(|file| file.sync_all())
        .map_err(|source| ObjectError::Write { path: folder.to_owned(), source })
}

#[cfg(not(unix))]
fn sync(_: &Path) -> Result<()> {
    Ok(())
}

/// Names that every file system takes, each once.
fn file_names(objects: &[Arc<ObjectModel>]) -> Vec<String> {
    let mut taken = BTreeSet::new();
    objects
        .iter()
        .map(|object| {
            let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' };
            let mut base: String = object.name.chars().map(plain).collect();
            if base.is_empty() || base.starts_with('.') {
                base.insert(0, '_');
            }
            let numbered = (2..).map(|number| format!("{base}-{number}"));
            let name = std::iter::once(base.clone())
                .chain(numbered)
                .find(|name| !taken.contains(&name.to_lowercase()))
                .unwrap_or(base);
            // Some file systems take `Cup` and `cup` for one name.
            taken.insert(name.to_lowercase());
            name
        })
        .collect()
}

#[cfg(test)]
mod tests;
