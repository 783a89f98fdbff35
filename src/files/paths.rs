//! Whether two paths are the same place, however they are spelled: with `.` and `..`, relative or absolute, through links,
//! or through a second mount. Commands ask this before they write anything, so that no result takes the place of an input.

use super::atomic::FileError;
use std::borrow::Cow;
use std::ffi::OsString;
use std::io;
use std::path::{Component, Path, PathBuf};

/// Links that are followed before a path counts as a circle; Linux follows as many.
const MAX_LINKS: usize = 40;

/// A result that would take the place of an input.
#[derive(Debug, thiserror::Error)]
pub enum OverlapError {
    #[error(
        "{what} '{}' is the place that {input} '{}' is read from; choose another place, so that nothing is written over \
         its own input", path.display(), input_path.display()
    )]
    Same { what: String, path: PathBuf, input: String, input_path: PathBuf },
    #[error(
        "{what} '{}' would replace a file of {input} '{}'; choose another place, so that nothing is written over its own \
         input", path.display(), input_path.display()
    )]
    Replaces { what: String, path: PathBuf, input: String, input_path: PathBuf },
    #[error(
        "{input} '{}' lies inside {what} '{}', where results are written; choose another place for them",
        input_path.display(), path.display()
    )]
    Inside { what: String, path: PathBuf, input: String, input_path: PathBuf },
    #[error(transparent)]
    File(#[from] FileError),
}

/// Something that a command reads: a file or a folder.
#[derive(Clone, Debug)]
pub struct Input<'a> {
    /// As the user knows it: `--data`, `the images in`.
    pub name: &'a str,
    pub path: Cow<'a, Path>,
    /// Made by this program (a data set, a recording, a run): pictures right inside it are drawn by commands, so that they
    /// may be drawn again.
    pub is_ours: bool,
}

impl<'a> Input<'a> {
    /// A folder or file of the user.
    pub fn of_user(name: &'a str, path: &'a Path) -> Self {
        Self { name, path: path.into(), is_ours: false }
    }

    /// A folder that this program made.
    pub fn of_ours(name: &'a str, path: &'a Path) -> Self {
        Self { name, path: path.into(), is_ours: true }
    }
}

/// The absolute path without links, `.` and `..`. What does not exist keeps its name below the nearest folder that does.
///
/// # Errors
/// A circle of links; a working folder that is gone.
pub fn resolve(path: &Path) -> Result<PathBuf, FileError> {
    let fail = |source| FileError::io("find the place of", path, source);
    let absolute = std::path::absolute(path).map_err(fail)?;
    let mut links = 0;
    // What is still to be walked, last first.
    let mut rest: Vec<OsString> = Vec::new();
    let mut resolved = PathBuf::new();
    let push = |rest: &mut Vec<OsString>, path: &Path| {
        rest.extend(path.components().rev().map(|component| component.as_os_str().to_owned()));
    };
    push(&mut rest, &absolute);
    while let Some(name) = rest.pop() {
        match Path::new(&name).components().next() {
            Some(Component::ParentDir) => {
                // What is walked has no links, so that its parent is what the system takes for it.
                resolved.pop();
            }
            Some(Component::CurDir) | None => {}
            Some(Component::RootDir | Component::Prefix(_)) => resolved.push(&name),
            Some(Component::Normal(_)) => {
                resolved.push(&name);
                if let Ok(target) = std::fs::read_link(&resolved) {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(fail(io::Error::other("its links go round in a circle")));
                    }
                    resolved.pop();
                    push(&mut rest, &target);
                }
            }
        }
    }
    // Where names may be spelled in capitals or not, the system knows the right spelling.
    Ok(std::fs::canonicalize(&resolved).unwrap_or(resolved))
}

/// Whether both are one file or folder, or would be if they existed.
///
/// # Errors
/// As [`resolve`].
pub fn is_same_place(a: &Path, b: &Path) -> Result<bool, FileError> {
    Ok(same(&resolve(a)?, &resolve(b)?))
}

/// Whether `inner` is `outer` or lies anywhere below it.
///
/// # Errors
/// As [`resolve`].
pub fn is_within(inner: &Path, outer: &Path) -> Result<bool, FileError> {
    let (inner, outer) = (resolve(inner)?, resolve(outer)?);
    Ok(within(&inner, &outer))
}

fn same(a: &Path, b: &Path) -> bool {
    a == b || identity(a).is_some_and(|id| identity(b) == Some(id))
}

fn within(inner: &Path, outer: &Path) -> bool {
    inner.ancestors().any(|ancestor| same(ancestor, outer))
}

/// What the system calls a file or folder: the same for two mounts and for hard links.
#[cfg(unix)]
fn identity(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

#[cfg(not(unix))]
fn identity(_: &Path) -> Option<(u64, u64)> {
    None
}

/// Refuses a folder for results that is, or holds, something that is read. A folder inside an input is fine: what is read
/// there stays as it is. Call it before anything is created.
///
/// # Errors
/// [`OverlapError`] names both.
pub fn check_folder(what: &str, out: &Path, inputs: &[Input<'_>]) -> Result<(), OverlapError> {
    let resolved = resolve(out)?;
    for input in inputs {
        let (what, path, name, input_path) =
            (what.to_owned(), out.to_owned(), input.name.to_owned(), input.path.to_path_buf());
        let place = resolve(&input.path)?;
        if same(&resolved, &place) {
            return Err(OverlapError::Same { what, path, input: name, input_path });
        }
        if within(&place, &resolved) {
            return Err(OverlapError::Inside { what, path, input: name, input_path });
        }
    }
    Ok(())
}

/// Refuses a place for results that is the very place that something is read from; results around or inside an input are
/// fine. For commands whose results have names of their own.
///
/// # Errors
/// [`OverlapError::Same`] names both.
pub fn check_distinct(what: &str, out: &Path, inputs: &[Input<'_>]) -> Result<(), OverlapError> {
    let resolved = resolve(out)?;
    for input in inputs {
        if same(&resolved, &resolve(&input.path)?) {
            let (what, path) = (what.to_owned(), out.to_owned());
            return Err(OverlapError::Same {
                what,
                path,
                input: input.name.to_owned(),
                input_path: input.path.to_path_buf(),
            });
        }
    }
    Ok(())
}

/// Refuses a file for results that is something that is read, or that would replace a file in a folder that is read. In
/// what this program made, pictures (`.png`, `.jpg`, `.svg`) right inside the folder are results of commands and may be
/// replaced; everything below belongs to it.
///
/// # Errors
/// [`OverlapError`] names both.
pub fn check_file(what: &str, out: &Path, inputs: &[Input<'_>]) -> Result<(), OverlapError> {
    let resolved = resolve(out)?;
    // A link is replaced itself, but who names it means what it points to: both count.
    let folder = out.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let named = match out.file_name() {
        Some(name) => resolve(folder)?.join(name),
        None => resolved.clone(),
    };
    for input in inputs {
        let (what, path, name, input_path) =
            (what.to_owned(), out.to_owned(), input.name.to_owned(), input.path.to_path_buf());
        let place = resolve(&input.path)?;
        for file in [&resolved, &named] {
            if same(file, &place) {
                return Err(OverlapError::Same { what, path, input: name, input_path });
            }
            let right_inside = file.parent().is_some_and(|parent| same(parent, &place));
            let is_result = input.is_ours && right_inside && is_picture_name(file);
            // New names deep inside what this program made would be taken for data, too.
            let spoils = std::fs::symlink_metadata(file).is_ok() || (input.is_ours && !right_inside);
            if within(file, &place) && spoils && !is_result {
                return Err(OverlapError::Replaces { what, path, input: name, input_path });
            }
        }
    }
    Ok(())
}

fn is_picture_name(path: &Path) -> bool {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
    ["png", "jpg", "jpeg", "svg"].contains(&extension.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    fn link(to: &Path, at: &Path) {
        std::os::unix::fs::symlink(to, at).unwrap();
    }

    #[test]
    fn spellings_of_one_place_are_one_place() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        std::fs::create_dir_all(root.join("photos/deep")).unwrap();
        let photos = root.join("photos");
        for spelling in ["photos/", "./photos", "photos/.", "photos/deep/..", "photos/nowhere/..", "x/../photos"] {
            assert!(is_same_place(&root.join(spelling), &photos).unwrap(), "{spelling}");
        }
        for other in ["photos2", "photos/deep", "", "photos/../photo"] {
            assert!(!is_same_place(&root.join(other), &photos).unwrap(), "{other}");
        }
        // Neither has to exist.
        assert!(is_same_place(&root.join("new/a/../b"), &root.join("new/b")).unwrap());
        assert!(is_within(&photos.join("new/b"), &photos).unwrap() && is_within(&photos, &photos).unwrap());
        // No prefix of the text alone.
        assert!(!is_within(&root.join("photos-old"), &photos).unwrap());
        // A relative path is one below the working folder.
        let here = std::env::current_dir().unwrap();
        assert!(
            is_same_place(Path::new("."), &here).unwrap() && is_same_place(Path::new("a"), &here.join("a")).unwrap()
        );
    }

    #[test]
    #[cfg(unix)]
    fn links_are_followed_also_where_nothing_is_yet() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        std::fs::create_dir_all(root.join("real/photos")).unwrap();
        link(Path::new("real"), &root.join("link"));
        link(&root.join("link/photos"), &root.join("twice"));
        link(Path::new("later"), &root.join("dangling"));
        let photos = root.join("real/photos");
        assert!(is_same_place(&root.join("link/photos"), &photos).unwrap());
        assert!(is_same_place(&root.join("twice"), &photos).unwrap());
        assert!(is_within(&root.join("twice/new.png"), &root.join("real")).unwrap());
        // The parent of a link's target, as the system has it, and not the link's own.
        assert!(is_same_place(&root.join("twice/.."), &root.join("real")).unwrap());
        assert!(is_same_place(&root.join("dangling/x"), &root.join("later/x")).unwrap());
        link(Path::new("round-b"), &root.join("round-a"));
        link(Path::new("round-a"), &root.join("round-b"));
        assert!(resolve(&root.join("round-a")).unwrap_err().to_string().contains("circle"));
        // Two names of one file.
        std::fs::write(root.join("one"), b"x").unwrap();
        std::fs::hard_link(root.join("one"), root.join("two")).unwrap();
        assert!(is_same_place(&root.join("one"), &root.join("two")).unwrap());
    }

    #[test]
    fn results_may_lie_inside_an_input_but_never_around_or_upon_it() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("work/data");
        std::fs::create_dir_all(&data).unwrap();
        let inputs = [Input::of_user("--data", &data)];
        assert!(check_folder("--out", &data.join("new"), &inputs).is_ok());
        assert!(check_folder("--out", &folder.path().join("other"), &inputs).is_ok());
        let error = check_folder("--out", &data.join("../data/."), &inputs).unwrap_err().to_string();
        assert!(error.starts_with("--out '") && error.contains("--data"), "{error}");
        let error = check_folder("--out", &folder.path().join("work"), &inputs).unwrap_err();
        assert!(matches!(error, OverlapError::Inside { .. }), "{error}");
    }

    #[test]
    fn a_file_of_an_input_is_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("pairs");
        std::fs::create_dir_all(data.join("train/depth")).unwrap();
        for name in ["dataset.toml", "sheet.png", "train/depth/000000.png"] {
            std::fs::write(data.join(name), b"x").unwrap();
        }
        let ours = |name: &str| check_file("--out", &data.join(name), &[Input::of_ours("the data set", &data)]);
        for (name, is_fine) in [
            ("sheet.png", true),
            ("new.png", true),
            ("../sheet.png", true),
            ("dataset.toml", false),
            ("train/depth/000000.png", false),
            ("train/../train/depth/000000.png", false),
            // pix2pix's loader would take it for a pair.
            ("train/new.png", false),
            (".", false),
        ] {
            assert_eq!(ours(name).is_ok(), is_fine, "{name}");
        }
        // Whatever lies in a folder of the user's is the user's; new names are fine.
        let users = |name: &str| check_file("--out", &data.join(name), &[Input::of_user("--textures", &data)]);
        assert!(users("sheet.png").is_err() && users("new.png").is_ok() && users("train/new.png").is_ok());
        #[cfg(unix)]
        {
            link(Path::new("dataset.toml"), &data.join("linked.png"));
            assert!(ours("linked.png").is_err());
            // A link in the folder itself, to something outside.
            link(Path::new("/dev/null"), &data.join("train/outside.png"));
            assert!(users("train/outside.png").is_err());
        }
    }
}
