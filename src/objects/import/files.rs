//! The only way in for bytes. In: a path or a reference in another file. Out: contents below a limit, and paths that lie
//! inside the imported folder.

use super::gltf::percent_decoded;
use super::text::shortened;
use super::{ObjectError, Result};
use std::io::Read;
use std::path::{Component, Path, PathBuf};

/// The folder that is imported. Links inside it are followed, wherever they lead: its owner put them there. No reference
/// may leave it.
#[derive(Clone, Debug)]
pub(super) struct Root {
    /// As the user gave it, from the file system's root.
    given: PathBuf,
    canonical: PathBuf,
}

impl Root {
    /// # Errors
    /// When the folder cannot be found.
    pub fn new(folder: &Path) -> Result<Self> {
        let fail = |source| ObjectError::Read { path: folder.to_owned(), source };
        let given = normal(&std::path::absolute(folder).map_err(fail)?);
        Ok(Self { given, canonical: folder.canonicalize().map_err(fail)? })
    }

    fn holds(&self, path: &Path) -> bool {
        let own = std::path::absolute(path).map(|path| normal(&path));
        own.is_ok_and(|path| path.starts_with(&self.given) || path.starts_with(&self.canonical))
            || path.canonicalize().is_ok_and(|path| path.starts_with(&self.canonical))
    }
}

/// `a/./b/../c` as `a/c`.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => {
                normal.pop();
            }
            Component::CurDir => {}
            other => normal.push(other),
        }
    }
    normal
}

/// The bytes of a file, if they are no more than `limit`.
pub(super) fn read_capped(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let fail = |source| ObjectError::Read { path: path.to_owned(), source };
    // A pipe would wait for a writer.
    if !std::fs::metadata(path).map_err(fail)?.is_file() {
        return Err(fail(std::io::Error::other("it is a folder, a pipe or a device")));
    }
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

/// The file that `reference` in the file `from` means, if it lies inside `root`: a relative or absolute path, `file:`,
/// or `package://` and `model://` for folders inside `root`. Backslashes, `%20` and capitals that differ are tried last.
/// The path keeps the reference's ending, also where it is a link.
pub(super) fn resolve(from: &Path, reference: &str, root: &Root) -> Result<PathBuf> {
    let reference = reference.trim();
    if let Some(error) = unresolved(from, reference) {
        return Err(error);
    }
    let outside = || ObjectError::OutsideFolder { path: from.to_owned(), reference: reference.to_owned() };
    let inside = places(from, reference, root);
    let found = inside.iter().find(|candidate| candidate.is_file()).cloned();
    if let Some(found) = found.or_else(|| inside.iter().find_map(|candidate| in_other_capitals(candidate, root))) {
        return Ok(found);
    }
    let Some(first) = inside.first() else { return Err(outside()) };
    let why = match std::fs::metadata(first) {
        Err(source) => source.to_string(),
        Ok(_) => "it is no file".into(),
    };
    Err(ObjectError::Format {
        path: from.to_owned(),
        place: format!("reference '{reference}'"),
        what: format!("the file cannot be opened ({why}); put it beside this one or correct the reference"),
    })
}

/// Where in `root` the file of a reference could be, likeliest first.
fn places(from: &Path, reference: &str, root: &Root) -> Vec<PathBuf> {
    let parent = from.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut spellings = vec![reference.to_owned()];
    spellings.extend(percent_decoded(reference).filter(|decoded| decoded != reference));
    for i in 0..spellings.len() {
        let slashed = spellings[i].replace('\\', "/");
        if !spellings.contains(&slashed) {
            spellings.push(slashed);
        }
    }
    let places = spellings.iter().flat_map(|spelling| candidates(parent, spelling, root));
    places.filter(|candidate| root.holds(candidate)).collect()
}

/// The folders that a reference in the file `from` may point into, whether or not the file that it names is there.
pub(super) fn folders_meant(from: &Path, reference: &str, root: &Root) -> Vec<PathBuf> {
    if let Ok(file) = resolve(from, reference, root) {
        return file.parent().map(Path::to_owned).into_iter().collect();
    }
    // $(find NAME)/path is xacro's way of writing package://NAME/path.
    let package = reference.trim().strip_prefix("$(find ").and_then(|rest| rest.split_once(')'));
    let reference = package.map_or_else(
        || reference.trim().to_owned(),
        |(name, path)| format!("package://{}/{}", name.trim(), path.trim_start_matches('/')),
    );
    // A package's own folder holds more than what one file names: there, a folder below it has to be named.
    let within = |path: &str| path.split_once('/').is_some_and(|(_, inner)| inner.contains('/'));
    if reference.split_once("://").is_some_and(|(_, path)| !within(path)) {
        return Vec::new();
    }
    let folders = places(from, &reference, root).into_iter();
    folders.filter_map(|file| file.parent().map(Path::to_owned)).filter(|folder| folder.is_dir()).collect()
}

/// What a text names as files, whatever its format: `filename="…"` (URDF, xacro), `file="…"` below each `meshdir="…"` or
/// `assetdir="…"` (MuJoCo), `<uri>…</uri>` (SDF).
pub(super) fn named_files(text: &str) -> Vec<String> {
    let quoted = |key: &str| -> Vec<String> {
        let value = |rest: &str| {
            let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''))?;
            rest[1..].split_once(quote).map(|(value, _)| value.to_owned())
        };
        text.split(key).skip(1).filter_map(value).collect()
    };
    let mut names = quoted("filename=");
    let files = quoted("file=");
    for folder in quoted("meshdir=").into_iter().chain(quoted("assetdir=")) {
        names.extend(files.iter().map(|file| format!("{}/{file}", folder.trim_end_matches('/'))));
    }
    names.extend(files);
    names.extend(text.split("<uri>").skip(1).filter_map(|rest| Some(rest.split_once('<')?.0.to_owned())));
    names
}

/// References that no path stands for.
fn unresolved(from: &Path, reference: &str) -> Option<ObjectError> {
    let cure = if reference.contains("$(") || reference.contains("${") {
        "it is xacro's to fill in: xacro FILE > thing.urdf"
    } else {
        let (scheme, _) = reference.split_once("://")?;
        match scheme {
            "file" | "package" | "model" => return None,
            _ => "download the file and refer to it by a relative path",
        }
    };
    Some(ObjectError::Unsupported {
        path: from.to_owned(),
        place: "reference".into(),
        what: format!("'{}'", shortened(reference)),
        cure,
    })
}

/// Where the file could be.
fn candidates(parent: &Path, reference: &str, root: &Root) -> Vec<PathBuf> {
    for scheme in ["package://", "model://"] {
        if let Some(packaged) = reference.strip_prefix(scheme) {
            // package://NAME/path, where NAME is the folder that holds this file, or lies beside one that does.
            let inner = packaged.split_once('/').map_or(packaged, |(_, inner)| inner);
            let parent = std::path::absolute(parent).map(|parent| normal(&parent)).unwrap_or_default();
            let ancestors = parent.ancestors().filter(|folder| root.holds(folder));
            return ancestors.flat_map(|folder| [folder.join(packaged), folder.join(inner)]).collect();
        }
    }
    let path = match reference.strip_prefix("file:") {
        // file:///path, file://localhost/path, file:/path, and file://relative as some write it.
        Some(rest) => rest.strip_prefix("//localhost").or_else(|| rest.strip_prefix("//")).unwrap_or(rest),
        None => reference,
    };
    vec![parent.join(path)]
}

/// The file of this name in other capitals, as file systems that ignore them find it.
fn in_other_capitals(candidate: &Path, root: &Root) -> Option<PathBuf> {
    let candidate = normal(&std::path::absolute(candidate).ok()?);
    let (mut here, rest) = match candidate.strip_prefix(&root.given) {
        Ok(rest) => (root.given.clone(), rest),
        Err(_) => (root.canonical.clone(), candidate.strip_prefix(&root.canonical).ok()?),
    };
    for component in rest.components() {
        let exact = here.join(component);
        if exact.exists() {
            here = exact;
            continue;
        }
        let wanted = component.as_os_str().to_string_lossy().to_lowercase();
        let entries = std::fs::read_dir(&here).ok()?.flatten();
        let same = entries.filter(|entry| entry.file_name().to_string_lossy().to_lowercase() == wanted);
        here = same.map(|entry| entry.path()).min()?;
    }
    here.is_file().then_some(here)
}
