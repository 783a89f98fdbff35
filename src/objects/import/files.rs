//! The only way in for bytes. In: a path or a reference in another file. Out: contents below a limit, and paths that lie
//! inside the imported folder.

use super::{ObjectError, Result};
use std::io::Read;
use std::path::{Path, PathBuf};

/// The bytes of a file, if they are no more than `limit`.
pub(super) fn read_capped(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let fail = |source| ObjectError::Read { path: path.to_owned(), source };
    let file = std::fs::File::open(path).map_err(fail)?;
    let bytes = file.metadata().map_err(fail)?.len();
    if bytes > limit {
        return Err(ObjectError::FileTooLarge { path: path.to_owned(), bytes, limit });
    }
    // The length may change while it is read, and special files report none.
    let mut contents = Vec::with_capacity(bytes as usize);
    file.take(limit + 1).read_to_end(&mut contents).map_err(fail)?;
    if contents.len() as u64 > limit {
        return Err(ObjectError::FileTooLarge { path: path.to_owned(), bytes: contents.len() as u64, limit });
    }
    Ok(contents)
}

/// The file that `reference` in the file `from` means, if it lies inside `root` (a canonical path).
pub(super) fn resolve(from: &Path, reference: &str, root: &Path) -> Result<PathBuf> {
    let outside = || ObjectError::OutsideFolder { path: from.to_owned(), reference: reference.to_owned() };
    let parent = from.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut candidates = Vec::new();
    if let Some(packaged) = reference.strip_prefix("package://") {
        // ROS: package://NAME/path, where NAME is the folder that holds this file, or lies beside one that does.
        let inner = packaged.split_once('/').map_or(packaged, |(_, inner)| inner);
        for folder in parent.canonicalize().iter().flat_map(|parent| parent.ancestors()) {
            candidates.extend([folder.join(packaged), folder.join(inner)]);
            if folder == root {
                break;
            }
        }
    } else if reference.contains("://") || Path::new(reference).has_root() {
        return Err(outside());
    } else {
        candidates.push(parent.join(reference));
    }
    let mut missing = None;
    for candidate in candidates {
        match candidate.canonicalize() {
            Ok(path) if path.starts_with(root) => return Ok(path),
            Ok(_) => return Err(outside()),
            Err(source) => missing = Some((candidate, source)),
        }
    }
    // A path that climbs out is refused as such, whether or not something is there.
    let mut depth = parent.canonicalize().ok().and_then(|p| p.strip_prefix(root).map(|p| p.components().count()).ok());
    for component in Path::new(reference).components() {
        depth = match component {
            std::path::Component::ParentDir => depth.and_then(|depth| depth.checked_sub(1)),
            std::path::Component::Normal(_) => depth.map(|depth| depth + 1),
            _ => depth,
        };
        if depth.is_none() {
            return Err(outside());
        }
    }
    Err(match missing {
        Some((_, source)) => ObjectError::Format {
            path: from.to_owned(),
            place: format!("reference '{reference}'"),
            what: format!("the file cannot be opened ({source}); put it beside this one or correct the reference"),
        },
        None => outside(),
    })
}
