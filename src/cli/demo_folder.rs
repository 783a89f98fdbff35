//! The folder of a demo. In: a folder. Out: the same, empty of an earlier demo, with a list of what this one writes.
//!
//! The list is the mark by which the next demo knows what it may remove: names and checksums of all files below. Only
//! demos write it. A file that is not on it, or has another content, is somebody's work (notes, a run that was trained on),
//! and then nothing is removed.

use super::UsageError;
use crate::files::atomic::{
    FileError, create_folder, read_capped, remove_leftovers, sha256_file, sha256_hex, write_atomic,
};
use crate::files::lock::{FolderLock, LOCK_NAME, is_vacant};
use anyhow::Context;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The list, in the demo's folder.
pub const MARK_NAME: &str = ".bingrasp-demo.json";
const MAX_MARK_BYTES: u64 = 64 << 20;
const LIST_VERSION: u32 = 1;

/// What a demo wrote.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Mark {
    bingrasp_demo: u32,
    /// SHA-256 of each file, by its path in the folder with `/`.
    files: BTreeMap<String, String>,
}

/// A folder that this demo alone writes into.
#[derive(Debug)]
pub struct DemoFolder {
    root: PathBuf,
    _lock: FolderLock,
}

impl DemoFolder {
    /// Takes a folder that is missing, empty, or holds what an earlier demo wrote and nothing else; that is removed.
    ///
    /// # Errors
    /// [`UsageError`] names what no demo wrote; then nothing was touched.
    pub fn begin(root: &Path) -> anyhow::Result<Self> {
        if !is_vacant(root)? {
            check(root)?;
        }
        create_folder(root)?;
        let lock = FolderLock::acquire(root)?;
        if !is_vacant(root)? {
            // Another process may have been at work until now.
            check(root)?;
            for entry in entries(root)? {
                let (path, is_folder) = entry?;
                let remove = if is_folder { std::fs::remove_dir_all } else { std::fs::remove_file };
                // The lock goes when the demo is done, the list last of all: until then this is an earlier demo's folder.
                if path.file_name().is_none_or(|name| name != LOCK_NAME && name != MARK_NAME) {
                    remove(&path).map_err(|e| FileError::io("remove", &path, e))?;
                }
            }
            remove_leftovers(root)?;
        }
        let folder = Self { root: root.to_owned(), _lock: lock };
        folder.note()?;
        Ok(folder)
    }

    /// Writes down the demo's files that are in the folder now. Other ones, that came while it ran, are somebody's.
    ///
    /// # Errors
    /// The folder cannot be read or written.
    pub fn note(&self) -> anyhow::Result<()> {
        let mut files = files_below(&self.root)?;
        files.retain(|name, _| is_the_demos(name));
        let mark = Mark { bingrasp_demo: LIST_VERSION, files };
        Ok(write_atomic(&self.root.join(MARK_NAME), &serde_json::to_vec_pretty(&mark)?)?)
    }
}

/// Whether a demo writes files of this name, a path with `/`: pictures, a data set in `pairs/`, a run in `rcan/`.
fn is_the_demos(name: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let stem_of = |file: &str| file.rsplit_once('.').map_or(String::new(), |(stem, _)| stem.to_owned());
    match name.split('/').collect::<Vec<_>>()[..] {
        ["sheet.png" | "domains.png"] => true,
        ["pairs", "README.md" | "SHA256SUMS" | "dataset.toml"] | ["pairs", _, "metadata.jsonl"] => true,
        ["pairs", _, _, file] => is_number(&stem_of(file)),
        ["rcan", "config.toml" | "metrics.jsonl" | "report.md"] => true,
        ["rcan", file] => {
            file.starts_with("events.out.tfevents.") || (file.starts_with("translation-") && file.ends_with(".png"))
        }
        ["rcan", "images", "curves", file] => file.ends_with(".png") || file.ends_with(".svg"),
        ["rcan", "images", _, file] => is_number(&stem_of(file)),
        ["rcan", "checkpoints", step, _] => step.strip_prefix("step-").is_some_and(is_number),
        _ => false,
    }
}

/// Refuses a folder in which a file was not written by a demo, or was written to since.
fn check(root: &Path) -> anyhow::Result<()> {
    let refuse = |what: String| {
        let root = root.display();
        UsageError(format!("{what}, so nothing in {root} is replaced; pass another --out, or remove {root} yourself"))
    };
    let path = root.join(MARK_NAME);
    let bytes = match read_capped(&path, MAX_MARK_BYTES) {
        Err(error) if error.is_not_found() => {
            return Err(refuse(format!("{} holds files and is not an earlier demo's", root.display())).into());
        }
        bytes => bytes?,
    };
    let mark: Mark = serde_json::from_slice(&bytes)
        .ok()
        .filter(|mark: &Mark| mark.bingrasp_demo == LIST_VERSION)
        .ok_or_else(|| refuse(format!("{} is not a list of what a demo wrote", path.display())))?;
    for (name, sum) in files_below(root)? {
        match mark.files.get(&name) {
            None => return Err(refuse(format!("{} was not written by the demo", root.join(name).display())).into()),
            Some(listed) if *listed != sum => {
                return Err(refuse(format!("{} has changed since the demo", root.join(name).display())).into());
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// Path and whether it is a folder (no link to one), of everything in a folder.
fn entries(folder: &Path) -> Result<impl Iterator<Item = anyhow::Result<(PathBuf, bool)>>, FileError> {
    let fail = |e| FileError::io("list", folder, e);
    let listed = std::fs::read_dir(folder).map_err(fail)?;
    Ok(listed.map(|entry| {
        let entry = entry?;
        let kind = entry.file_type().with_context(|| format!("looking at {}", entry.path().display()))?;
        Ok((entry.path(), kind.is_dir()))
    }))
}

/// SHA-256 of all files below the folder, without its lock and list. A link counts as a file that holds where it leads.
fn files_below(root: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![(root.to_owned(), String::new())];
    while let Some((folder, above)) = folders.pop() {
        for entry in entries(&folder)? {
            let (path, is_folder) = entry?;
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            if above.is_empty() && (name == LOCK_NAME || name == MARK_NAME) {
                continue;
            }
            let name = format!("{above}{name}");
            if is_folder {
                folders.push((path, format!("{name}/")));
            } else {
                let sum = match std::fs::read_link(&path) {
                    Ok(target) => sha256_hex(target.as_os_str().as_encoded_bytes()),
                    Err(_) => sha256_file(&path)?,
                };
                files.insert(name, sum);
            }
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What stands for a demo's work.
    fn demo(root: &Path) -> anyhow::Result<()> {
        let place = DemoFolder::begin(root)?;
        std::fs::create_dir_all(root.join("rcan/checkpoints/step-9"))?;
        std::fs::write(root.join("rcan/config.toml"), "seed = 0")?;
        std::fs::write(root.join("rcan/checkpoints/step-9/state"), [7; 100])?;
        for name in [
            "sheet.png",
            "domains.png",
            "pairs/dataset.toml",
            "pairs/SHA256SUMS",
            "pairs/train/metadata.jsonl",
            "pairs/train/depth/000001.png",
            "rcan/events.out.tfevents.1795825017.host.6111.0",
            "rcan/metrics.jsonl",
            "rcan/report.md",
            "rcan/translation-randomized-heavy.png",
            "rcan/images/translation/000000009.png",
            "rcan/images/curves/loss.png",
            "rcan/images/curves/loss.svg",
            "rcan/checkpoints/step-9/generator.safetensors",
        ] {
            let path = root.join(name);
            std::fs::create_dir_all(path.parent().unwrap_or(root))?;
            std::fs::write(path, "picture")?;
        }
        place.note()
    }

    #[test]
    fn only_what_a_demo_wrote_is_replaced() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let root = folder.path().join("demo");
        demo(&root)?;
        // Again, over itself, and it starts from nothing.
        demo(&root)?;
        drop(DemoFolder::begin(&root)?);
        assert_eq!(files_below(&root)?.len(), 0);
        demo(&root)?;
        let keeps = |change: &dyn Fn(), file: &str, says: &str| -> anyhow::Result<()> {
            change();
            let before = files_below(&root)?;
            let error = DemoFolder::begin(&root).expect_err("refused");
            assert!(error.is::<UsageError>() && error.to_string().contains(says), "{file}: {error}");
            assert_eq!(files_below(&root)?, before, "{file}");
            std::fs::remove_dir_all(&root)?;
            demo(&root)
        };
        let write = |name: &str, text: &str| {
            std::fs::create_dir_all(root.join(name).parent().expect("a parent")).expect("a folder");
            std::fs::write(root.join(name), text).expect("written");
        };
        // Notes beside, a run of one's own, a run that was trained on.
        keeps(&|| write("rcan/notes.txt", "mine"), "notes.txt", "notes.txt was not written by the demo")?;
        keeps(&|| write("runs/rcan/config.toml", "seed = 1"), "config.toml", "was not written by the demo")?;
        keeps(&|| write("rcan/checkpoints/step-9/state", &"x".repeat(100)), "state", "has changed since the demo")?;
        // What came while the demo ran, as its own list is written.
        let meanwhile = |name: &str| {
            write(name, "mine");
            let lock = FolderLock::acquire(&root).expect("free");
            DemoFolder { root: root.clone(), _lock: lock }.note().expect("written");
        };
        for name in ["notes.txt", "mine/plan.md", "pairs/train/canonical/best.png", "rcan/images/mine.png"] {
            keeps(&|| meanwhile(name), name, "was not written by the demo")?;
        }
        // Without the mark, and with one that no demo wrote.
        let unmark = || std::fs::remove_file(root.join(MARK_NAME)).expect("removed");
        keeps(&unmark, "the mark", "not an earlier demo's")?;
        keeps(&|| write(MARK_NAME, "{}"), "the mark", "not a list")?;
        Ok(())
    }

    #[test]
    fn a_folder_with_files_is_refused_and_an_empty_one_taken() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        drop(DemoFolder::begin(folder.path())?);
        let runs = tempfile::tempdir()?;
        std::fs::create_dir(runs.path().join("rcan"))?;
        for name in ["rcan/config.toml", "rcan/notes.txt"] {
            std::fs::write(runs.path().join(name), "x")?;
        }
        assert!(DemoFolder::begin(runs.path()).is_err());
        assert_eq!(files_below(runs.path())?.len(), 2);
        Ok(())
    }
}
