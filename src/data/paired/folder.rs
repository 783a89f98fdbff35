//! Pairs as image files in folders (formats `folder` and `pix2pix`).
//!
//! Image files are written at once and synced in batches by a background thread, many at a time, so that the file
//! system joins the syncs; only then their checksums and metadata lines are appended and synced. A metadata line is
//! therefore the commitment: what it names is on the disk. After a crash, [`recover`] removes all that is behind the
//! last whole line.

use super::encode::EncodedPair;
use super::layout::{Layout, checksums_path};
use crate::data::DataError;
use crate::files::atomic::{FileError, create_folder, remove_leftovers, sha256_file, sha256_hex, sync_folder};
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

/// Syncs in flight at once. Measured on ext4, 2,560 files: 385 ms one after the other, 170 ms with 4, 85 ms with 16.
const SYNC_THREADS: usize = 16;

/// Files written and not yet committed.
#[derive(Default)]
struct Batch {
    files: Vec<PathBuf>,
    checksums: String,
    lines: String,
    pairs: usize,
    bytes: usize,
}

/// The two files that grow by appending.
struct Logs {
    root: PathBuf,
    folders: Vec<PathBuf>,
    checksums: (PathBuf, File),
    metadata: (PathBuf, File),
}

pub struct FolderSink {
    layout: Layout,
    root: PathBuf,
    batch: Batch,
    /// Idle logs, or the commit in flight, which brings them back.
    logs: Option<Logs>,
    flight: Option<JoinHandle<Result<Logs, DataError>>>,
    commit_pairs: usize,
    commit_bytes: usize,
}

impl FolderSink {
    /// Opens the folders of a dataset that is new or has been [recovered](recover).
    pub fn open(root: &Path, layout: Layout, (commit_pairs, commit_bytes): (usize, usize)) -> Result<Self, DataError> {
        let folders: Vec<PathBuf> = layout.channels().iter().map(|&c| Layout::join(root, &layout.folder(c))).collect();
        for folder in &folders {
            create_folder(folder)?;
        }
        let append = |path: PathBuf| {
            let file = OpenOptions::new().append(true).create(true).open(&path);
            file.map(|file| (path.clone(), file)).map_err(|e| FileError::io("open", path, e))
        };
        let metadata = Layout::join(root, &layout.metadata());
        let logs = Logs {
            root: root.into(),
            folders,
            checksums: append(checksums_path(root))?,
            metadata: append(metadata.clone())?,
        };
        // The names of the two must be as durable as what will be appended to them.
        for folder in metadata.parent().into_iter().chain([root]) {
            sync_folder(folder)?;
        }
        Ok(Self {
            layout,
            root: root.into(),
            batch: Batch::default(),
            logs: Some(logs),
            flight: None,
            commit_pairs,
            commit_bytes,
        })
    }

    /// Writes a pair's image files; any thread. Returns what [`Self::add`] wants, in the order of the indices.
    pub fn write_files(root: &Path, layout: &Layout, pair: &EncodedPair) -> Result<Written, DataError> {
        let mut written = Written { files: Vec::new(), checksums: String::new(), line: String::new(), bytes: 0 };
        for (&channel, bytes) in layout.channels().iter().zip(&pair.images) {
            let name = layout.file(channel, pair.index);
            let path = Layout::join(root, &name);
            std::fs::write(&path, bytes).map_err(|e| FileError::new("write", &path, bytes.len() as u64, e))?;
            written.checksums += &format!("{}  {name}\n", sha256_hex(bytes));
            written.files.push(path);
            written.bytes += bytes.len();
        }
        let rest = pair.json.strip_prefix('{').unwrap_or(&pair.json);
        written.line = format!("{{{}{rest}\n", layout.file_name_members(pair.index));
        Ok(written)
    }

    /// Takes up a written pair; commits when the batch is large enough.
    pub fn add(&mut self, written: Written) -> Result<(), DataError> {
        let batch = &mut self.batch;
        batch.files.extend(written.files);
        batch.checksums += &written.checksums;
        batch.lines += &written.line;
        batch.pairs += 1;
        batch.bytes += written.bytes;
        if batch.pairs >= self.commit_pairs || batch.bytes >= self.commit_bytes {
            self.begin_commit()?;
        }
        Ok(())
    }

    fn begin_commit(&mut self) -> Result<(), DataError> {
        self.wait()?;
        let batch = std::mem::take(&mut self.batch);
        if let Some(logs) = self.logs.take() {
            self.flight = Some(std::thread::spawn(move || logs.commit(batch)));
        }
        Ok(())
    }

    /// Waits for the commit in flight.
    fn wait(&mut self) -> Result<(), DataError> {
        if let Some(flight) = self.flight.take() {
            let logs = flight.join().map_err(|_| DataError::Input("the thread that syncs files ended early".into()))?;
            self.logs = Some(logs?);
        }
        if self.logs.is_none() {
            let message = "the dataset cannot be written on after an error; start again with --resume";
            return Err(DataError::Input(message.into()));
        }
        Ok(())
    }

    /// Makes everything written so far durable.
    pub fn commit(&mut self) -> Result<(), DataError> {
        self.begin_commit()?;
        self.wait()
    }

    /// Commits, and closes the list of checksums with the metadata's.
    pub fn finish(mut self) -> Result<(), DataError> {
        self.commit()?;
        let name = self.layout.metadata();
        let checksum = sha256_file(&Layout::join(&self.root, &name))?;
        match &mut self.logs {
            Some(logs) => append_synced(&mut logs.checksums, &format!("{checksum}  {name}\n")),
            None => Ok(()),
        }
    }
}

impl Drop for FolderSink {
    fn drop(&mut self) {
        if let Some(flight) = self.flight.take() {
            // Dropped without `finish`: as after a crash, what is committed stays. The thread must not outlive us,
            // or the folder's lock would be released under it.
            let _ = flight.join();
        }
    }
}

/// A pair whose image files are written.
pub struct Written {
    files: Vec<PathBuf>,
    checksums: String,
    line: String,
    pub(super) bytes: usize,
}

fn append_synced((path, file): &mut (PathBuf, File), text: &str) -> Result<(), DataError> {
    let fail = |e| FileError::new("append to", &*path, text.len() as u64, e);
    file.write_all(text.as_bytes()).map_err(fail)?;
    Ok(file.sync_data().map_err(fail)?)
}

impl Logs {
    fn commit(mut self, batch: Batch) -> Result<Self, DataError> {
        if batch.pairs > 0 {
            sync_files(&batch.files, batch.bytes as u64)?;
            for folder in self.folders.iter().chain([&self.root]) {
                sync_folder(folder)?;
            }
            append_synced(&mut self.checksums, &batch.checksums)?;
            append_synced(&mut self.metadata, &batch.lines)?;
        }
        Ok(self)
    }
}

/// Syncs many files, several at a time.
fn sync_files(files: &[PathBuf], needed: u64) -> Result<(), DataError> {
    let sync = |path: &PathBuf| {
        let file = OpenOptions::new().write(true).open(path);
        file.and_then(|file| file.sync_all()).map_err(|e| FileError::new("sync", path, needed, e))
    };
    let part = files.len().div_ceil(SYNC_THREADS).max(1);
    let results: Vec<Result<(), FileError>> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            files.chunks(part).map(|part| scope.spawn(move || part.iter().try_for_each(sync))).collect();
        let ended = |_| Err(FileError::io("sync", &files[0], std::io::Error::other("a thread ended early")));
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(ended)).collect()
    });
    Ok(results.into_iter().collect::<Result<(), _>>()?)
}

/// Removes everything behind the last committed pair and returns the index of the first that is missing.
pub fn recover(root: &Path, layout: &Layout, first: u64) -> Result<u64, DataError> {
    let metadata = Layout::join(root, &layout.metadata());
    let (lines, last) = keep_whole_lines(&metadata, u64::MAX)?;
    let next = first + lines;
    if let Some(last) = last {
        #[derive(serde::Deserialize)]
        struct Index {
            index: u64,
        }
        let found = serde_json::from_slice::<Index>(&last)
            .map_err(|e| DataError::damaged(&metadata, format!("line {lines} is not a record: {e}")))?;
        if found.index + 1 != next {
            let message = format!("line {lines} is pair {} instead of {}", found.index, next - 1);
            return Err(DataError::damaged(&metadata, message));
        }
    }
    let checksums = checksums_path(root);
    let wanted = lines * layout.channels().len() as u64;
    let (kept, _) = keep_whole_lines(&checksums, wanted)?;
    if kept < wanted {
        let message = format!("it lists {kept} files, and {wanted} belong to the {lines} pairs in the metadata");
        return Err(DataError::damaged(&checksums, message));
    }
    for &channel in layout.channels() {
        let folder = Layout::join(root, &layout.folder(channel));
        if !folder.exists() {
            continue;
        }
        let entries = std::fs::read_dir(&folder).map_err(|e| FileError::io("list", &folder, e))?;
        for entry in entries {
            let entry = entry.map_err(|e| FileError::io("list", &folder, e))?;
            let index = entry.file_name().to_str().and_then(Layout::index_of);
            if index.is_some_and(|index| index >= next) {
                std::fs::remove_file(entry.path()).map_err(|e| FileError::io("remove", entry.path(), e))?;
            }
        }
    }
    remove_leftovers(root)?;
    Ok(next)
}

/// Cuts a file of lines behind its last whole line, and behind `most` lines. Returns how many are left, and the last.
fn keep_whole_lines(path: &Path, most: u64) -> Result<(u64, Option<Vec<u8>>), DataError> {
    let file = match OpenOptions::new().read(true).write(true).open(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok((0, None)),
        file => file.map_err(|e| FileError::io("open", path, e))?,
    };
    let mut reader = BufReader::with_capacity(1 << 20, file);
    let (mut lines, mut end, mut last) = (0, 0, Vec::new());
    let mut line = Vec::new();
    while lines < most {
        line.clear();
        let n = reader.read_until(b'\n', &mut line).map_err(|e| FileError::io("read", path, e))?;
        if line.last() != Some(&b'\n') {
            break;
        }
        lines += 1;
        end += n as u64;
        std::mem::swap(&mut line, &mut last);
    }
    let mut file = reader.into_inner();
    file.set_len(end).map_err(|e| FileError::io("shorten", path, e))?;
    file.seek(SeekFrom::End(0)).and_then(|_| file.sync_all()).map_err(|e| FileError::io("sync", path, e))?;
    Ok((lines, (lines > 0).then_some(last)))
}
