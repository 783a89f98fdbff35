//! The shards of a dataset put together: the same bytes as if one process had written it.

use super::config::{Format, Manifest};
use super::layout::{CHECKSUMS_NAME, Layout, checksums_path};
use super::readme;
use crate::data::DataError;
use crate::files::atomic::{AtomicFile, FileError, create_folder, sync_folder};
use crate::files::lock::{FolderLock, is_vacant};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

/// Joins complete shards, in any order, into a new folder. Image files and tars are hard-linked where the file system
/// can (no space, no time), else copied. `progress(done, total)` counts pairs.
///
/// # Errors
/// [`DataError::Differs`] when the shards are not of one dataset; [`DataError::Input`] when one is missing, unfinished
/// or given twice; [`DataError::Exists`] when `out` holds files.
pub fn merge(parts: &[PathBuf], out: &Path, progress: &dyn Fn(u64, u64)) -> Result<(), DataError> {
    let mut shards = Vec::new();
    for part in parts {
        let manifest = Manifest::read(part)?;
        if !manifest.complete {
            return Err(DataError::Input(format!("'{}' is not complete; finish it with --resume", part.display())));
        }
        shards.push((manifest.dataset.range(), part, manifest));
    }
    shards.sort_by_key(|(range, ..)| (range.start, range.end));
    let Some((_, first_part, first)) = shards.first() else {
        return Err(DataError::Input("there are no shards to merge".into()));
    };
    let whole = |manifest: &Manifest| {
        let mut manifest = manifest.clone();
        manifest.dataset.shard = None;
        manifest
    };
    let mut merged = whole(first);
    let mut next = 0;
    for (range, part, manifest) in &shards {
        if let Some(difference) = merged.difference(&whole(manifest)) {
            let difference = format!("'{}' against '{}': {difference}", first_part.display(), part.display());
            return Err(DataError::Differs { path: (*part).clone(), difference });
        }
        if range.start != next {
            let what = if range.start > next { "are in none of the shards" } else { "are in two shards" };
            let (low, high) = (range.start.min(next), range.start.max(next));
            return Err(DataError::Input(format!("pairs {low} to {} {what}", high - 1)));
        }
        next = range.end;
    }
    let count = merged.dataset.count;
    if next < count {
        return Err(DataError::Input(format!("pairs {next} to {} are in none of the shards", count - 1)));
    }

    if !is_vacant(out)? {
        return Err(DataError::Exists(out.into()));
    }
    create_folder(out)?;
    let _lock = FolderLock::acquire(out)?;
    readme::write_missing(out, &merged.dataset)?;
    let layout = Layout::new(&merged.dataset);
    let tars = layout.format == Format::WebDataset;
    if !tars {
        for &channel in layout.channels() {
            create_folder(&Layout::join(out, &layout.folder(channel)))?;
        }
    }
    let mut checksums = AtomicFile::create(&out.join(CHECKSUMS_NAME))?;
    let metadata_path = Layout::join(out, &layout.metadata());
    let mut metadata = if tars { None } else { Some(AtomicFile::create(&metadata_path)?) };
    for (range, part, _) in &shards {
        for_each_line(&checksums_path(part), range.is_empty(), |line| {
            let name = String::from_utf8_lossy(line).trim_end().split_once("  ").map(|(_, name)| name.to_owned());
            if name.as_deref() == Some(layout.metadata().as_str()) {
                return Ok(());
            }
            checksums.write_all(line)
        })?;
        if let Some(metadata) = &mut metadata {
            let path = Layout::join(part, &layout.metadata());
            for_each_line(&path, range.is_empty(), |line| metadata.write_all(line))?;
        }
        if tars {
            for number in range.clone().step_by(merged.dataset.pairs_per_tar as usize).map(|i| layout.tar_of(i)) {
                place(part, out, &layout.tar(number))?;
                progress(range.end.min((number + 1) * merged.dataset.pairs_per_tar), count);
            }
        } else {
            for index in range.clone() {
                for &channel in layout.channels() {
                    place(part, out, &layout.file(channel, index))?;
                }
                progress(index + 1, count);
            }
        }
    }
    for &channel in layout.channels().iter().filter(|_| !tars) {
        sync_folder(&Layout::join(out, &layout.folder(channel)))?;
    }
    if let Some(metadata) = metadata {
        let sum = metadata.commit()?.sha256;
        checksums.write_bytes(format!("{sum}  {}\n", layout.metadata()).as_bytes())?;
    }
    merged.checksums_sha256 = Some(checksums.commit()?.sha256);
    merged.write(out)
}

fn for_each_line(
    path: &Path,
    may_be_missing: bool,
    mut each: impl FnMut(&[u8]) -> std::io::Result<()>,
) -> Result<(), DataError> {
    let file = match File::open(path) {
        Err(e) if may_be_missing && e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        file => file.map_err(|e| FileError::io("open", path, e))?,
    };
    let mut reader = BufReader::with_capacity(1 << 20, file);
    let mut line = Vec::new();
    loop {
        line.clear();
        if reader.read_until(b'\n', &mut line).map_err(|e| FileError::io("read", path, e))? == 0 {
            return Ok(());
        }
        each(&line).map_err(|e| FileError::new("copy the lines of", path, line.len() as u64, e))?;
    }
}

/// Links or copies a file of a shard into the whole.
fn place(part: &Path, out: &Path, name: &str) -> Result<(), DataError> {
    let (from, to) = (Layout::join(part, name), Layout::join(out, name));
    if std::fs::hard_link(&from, &to).is_ok() {
        return Ok(());
    }
    let copied = std::fs::copy(&from, &to).map_err(|e| FileError::new("copy", &from, size_of_file(&from), e))?;
    let synced = File::options().write(true).open(&to).and_then(|file| file.sync_all());
    Ok(synced.map_err(|e| FileError::new("write", &to, copied, e))?)
}

fn size_of_file(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |m| m.len())
}
