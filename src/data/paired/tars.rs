//! Pairs in tar files (format `webdataset`): each tar appears whole, under its name, with its line in `SHA256SUMS`.

use super::encode::EncodedPair;
use super::layout::{Layout, checksums_path};
use crate::data::DataError;
use crate::files::atomic::{AtomicFile, FileError, read_capped, remove_leftovers, write_atomic};
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

/// A list of a million tars has 83 MB.
const MAX_LIST_BYTES: u64 = 256 << 20;

pub struct TarSink {
    layout: Layout,
    root: PathBuf,
    open: Option<OpenTar>,
    /// Lines of the finished tars; rewritten whole with every one of them.
    checksums: Option<String>,
    flight: Option<JoinHandle<Result<String, DataError>>>,
}

struct OpenTar {
    path: PathBuf,
    name: String,
    builder: tar::Builder<AtomicFile>,
}

impl TarSink {
    /// Opens a dataset that is new or has been [recovered](recover).
    pub fn open(root: &Path, layout: Layout) -> Result<Self, DataError> {
        let checksums = read_list(root)?;
        Ok(Self { layout, root: root.into(), open: None, checksums: Some(checksums), flight: None })
    }

    /// Appends a pair; `last` closes the tar behind it.
    pub fn add(&mut self, pair: &EncodedPair, last: bool) -> Result<(), DataError> {
        let mut open = match self.open.take() {
            Some(open) => open,
            None => {
                let name = self.layout.tar(self.layout.tar_of(pair.index));
                let path = self.root.join(&name);
                OpenTar { builder: tar::Builder::new(AtomicFile::create(&path)?), name, path }
            }
        };
        open.append(&self.layout.tar_record(pair.index), pair.json.as_bytes())?;
        for (&channel, bytes) in self.layout.channels().iter().zip(&pair.images) {
            open.append(&self.layout.tar_entry(channel, pair.index), bytes)?;
        }
        if last {
            self.wait()?;
            let OpenTar { path, name, builder } = open;
            let file = builder.into_inner().map_err(|e| FileError::new("write", &path, 0, e))?;
            let (root, list) = (self.root.clone(), self.checksums.take().unwrap_or_default());
            // Syncing a large tar takes a while; the next one is filled meanwhile.
            self.flight = Some(std::thread::spawn(move || {
                let committed = file.commit()?;
                let list = list + &format!("{}  {name}\n", committed.sha256);
                write_atomic(&checksums_path(&root), list.as_bytes())?;
                Ok(list)
            }));
        } else {
            self.open = Some(open);
        }
        Ok(())
    }

    fn wait(&mut self) -> Result<(), DataError> {
        if let Some(flight) = self.flight.take() {
            let list = flight.join().map_err(|_| DataError::Input("the thread that syncs files ended early".into()))?;
            self.checksums = Some(list?);
        }
        if self.checksums.is_none() {
            let message = "the dataset cannot be written on after an error; start again with --resume";
            return Err(DataError::Input(message.into()));
        }
        Ok(())
    }

    /// Waits until the closed tars are durable. The open one is not: a crash costs it.
    pub fn commit(&mut self) -> Result<(), DataError> {
        self.wait()
    }
}

impl Drop for TarSink {
    fn drop(&mut self) {
        if let Some(flight) = self.flight.take() {
            // The thread must not outlive us, or the folder's lock would be released under it.
            let _ = flight.join();
        }
    }
}

impl OpenTar {
    /// Same bytes for the same content: no owner, no time.
    fn append(&mut self, name: &str, bytes: &[u8]) -> Result<(), DataError> {
        let needed = bytes.len() as u64;
        let mut header = tar::Header::new_ustar();
        header.set_size(needed);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        let done = header.set_path(name).and_then(|()| {
            header.set_cksum();
            self.builder.append(&header, bytes)
        });
        Ok(done.map_err(|e| FileError::new("write", &self.path, needed, e))?)
    }
}

fn read_list(root: &Path) -> Result<String, DataError> {
    let path = checksums_path(root);
    let bytes = match read_capped(&path, MAX_LIST_BYTES) {
        Err(error) if error.is_not_found() => return Ok(String::new()),
        bytes => bytes?,
    };
    String::from_utf8(bytes).map_err(|_| DataError::damaged(path, "it is not text"))
}

/// Removes everything behind the last finished tar and returns the index of the first missing pair.
pub fn recover(root: &Path, layout: &Layout, range: std::ops::Range<u64>, per_tar: u64) -> Result<u64, DataError> {
    remove_leftovers(root)?;
    let first = layout.tar_of(range.start);
    let mut next = first;
    for (i, line) in read_list(root)?.lines().enumerate() {
        let name = layout.tar(next);
        if !line.ends_with(&format!("  {name}")) || !root.join(&name).is_file() {
            let path = checksums_path(root);
            return Err(DataError::damaged(path, format!("line {} does not name {name}, or that is missing", i + 1)));
        }
        next += 1;
    }
    // A tar that was renamed but not yet listed.
    let unlisted = root.join(layout.tar(next));
    if unlisted.exists() {
        std::fs::remove_file(&unlisted).map_err(|e| FileError::io("remove", unlisted, e))?;
    }
    Ok(if next == first { range.start } else { (next * per_tar).min(range.end) })
}

/// Where the entries of a tar lie. The archive is walked from header to header, never unpacked.
pub struct TarIndex {
    /// Name, first byte, size; sorted by name.
    entries: Vec<(String, u64, u64)>,
    /// Why the walk ended early.
    damage: Option<String>,
}

impl TarIndex {
    /// Lists at most `most` entries of the tar at `path`.
    pub fn scan(path: &Path, most: usize) -> Self {
        match File::open(path) {
            Ok(file) => Self::of(BufReader::new(file), most),
            Err(error) => Self { entries: Vec::new(), damage: Some(error.to_string()) },
        }
    }

    /// Lists at most `most` entries of a tar.
    pub fn of(source: impl Read + Seek, most: usize) -> Self {
        let mut index = Self { entries: Vec::new(), damage: None };
        if let Err(error) = index.walk(source, most) {
            index.damage = Some(error.to_string());
        }
        index.entries.sort();
        index
    }

    fn walk(&mut self, mut source: impl Read + Seek, most: usize) -> std::io::Result<()> {
        let size = source.seek(SeekFrom::End(0))?;
        source.rewind()?;
        let mut archive = tar::Archive::new(source);
        for entry in archive.entries_with_seek()? {
            let entry = entry?;
            if self.entries.len() >= most {
                return Err(std::io::Error::other(format!("it has more than the {most} files that belong into it")));
            }
            let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            let (from, n) = (entry.raw_file_position(), entry.size());
            if from.checked_add(n).is_none_or(|end| end > size) {
                return Err(std::io::Error::other(format!("it ends within {name}")));
            }
            self.entries.push((name, from, n));
        }
        Ok(())
    }

    #[cfg(feature = "fuzz")]
    pub fn into_names(self) -> (Vec<String>, Option<String>) {
        (self.entries.into_iter().map(|(name, ..)| name).collect(), self.damage)
    }

    /// The content of entry `name` of the tar at `path`.
    pub fn read(&self, path: &Path, name: &str, limit: u64) -> Result<Vec<u8>, DataError> {
        let Ok(found) = self.entries.binary_search_by(|(n, ..)| n.as_str().cmp(name)) else {
            let why = self.damage.as_ref().map_or(String::new(), |damage| format!(" ({damage})"));
            return Err(DataError::damaged(path, format!("{name} is missing{why}")));
        };
        let (_, from, size) = &self.entries[found];
        if *size > limit {
            return Err(FileError::TooLarge { path: path.join(name), size: *size, limit }.into());
        }
        let mut bytes = vec![0; usize::try_from(*size).unwrap_or(0)];
        File::open(path)
            .and_then(|mut file| {
                file.seek(SeekFrom::Start(*from))?;
                file.read_exact(&mut bytes)
            })
            .map_err(|e| FileError::io("read", path, e))?;
        Ok(bytes)
    }
}
