//! Writing a paired dataset: fast, resumable, the same bytes for the same input.

use super::config::{DatasetConfig, Format, Manifest};
use super::encode::{check_batch, encode_pair};
use super::folder::{self, FolderSink};
use super::layout::{Layout, checksums_path};
use super::readme;
use super::record::PairRecord;
use super::tars::{self, TarSink};
use crate::contract::FrameBatch;
use crate::data::DataError;
use crate::files::atomic::{FileError, create_folder, remove_leftovers, sha256_file};
use crate::files::lock::{FolderLock, is_vacant};
use rayon::prelude::*;
use std::path::{Path, PathBuf};

/// How often the folder formats commit; decides what a crash costs, not what the files contain.
#[derive(Clone, Copy, Debug)]
pub struct CommitEvery {
    /// Pairs after which a commit begins, if it does not begin earlier.
    pub pairs: usize,
    /// Bytes of image files after which a commit begins, if it does not begin earlier.
    pub bytes: usize,
}

impl Default for CommitEvery {
    fn default() -> Self {
        Self { pairs: 512, bytes: 64 << 20 }
    }
}

enum Sink {
    Folder(Box<FolderSink>),
    Tars(Box<TarSink>),
}

/// Writes pairs in the order of their indices. Dropped before [`finish`](Self::finish), it leaves a dataset that
/// [`resume`](Self::resume) goes on with.
pub struct PairWriter {
    // Dropped in this order: files first, then the lock.
    sink: Sink,
    layout: Layout,
    manifest: Manifest,
    root: PathBuf,
    next: u64,
    end: u64,
    /// Pairs and bytes written by this process, to tell what the rest will take.
    written: (u64, u64),
    _lock: FolderLock,
}

impl PairWriter {
    /// Starts a dataset in a folder that is missing or empty.
    ///
    /// # Errors
    /// [`DataError::Exists`] when the folder holds files; [`DataError::Input`] for settings out of range.
    pub fn create(out: &Path, config: &DatasetConfig) -> Result<Self, DataError> {
        Self::create_with(out, config, CommitEvery::default())
    }

    /// Goes on with a dataset that was interrupted anywhere, and starts it when there is none yet. What was not
    /// committed is dropped; the finished dataset is byte for byte that of an uninterrupted run. A dataset that is
    /// complete opens with [`remaining`](Self::remaining) 0.
    ///
    /// # Errors
    /// [`DataError::Differs`] names the settings that are not those it was started with.
    pub fn resume(out: &Path, config: &DatasetConfig) -> Result<Self, DataError> {
        Self::resume_with(out, config, CommitEvery::default())
    }

    /// [`Self::create`] with commits of a chosen size.
    ///
    /// # Errors
    /// As [`Self::create`].
    pub fn create_with(out: &Path, config: &DatasetConfig, every: CommitEvery) -> Result<Self, DataError> {
        config.validate()?;
        if !is_vacant(out)? {
            return Err(DataError::Exists(out.into()));
        }
        create_folder(out)?;
        let lock = FolderLock::acquire(out)?;
        if !is_vacant(out)? {
            return Err(DataError::Exists(out.into()));
        }
        remove_leftovers(out)?;
        let manifest = Manifest::new(config.clone());
        manifest.write(out)?;
        let next = config.range().start;
        Self::open(out, manifest, lock, (next, every))
    }

    /// [`Self::resume`] with commits of a chosen size.
    ///
    /// # Errors
    /// As [`Self::resume`]; [`DataError::Damaged`] for pairs beyond the dataset's range.
    pub fn resume_with(out: &Path, config: &DatasetConfig, every: CommitEvery) -> Result<Self, DataError> {
        config.validate()?;
        if is_vacant(out)? {
            return Self::create_with(out, config, every);
        }
        let wanted = Manifest::new(config.clone());
        let mut manifest = Manifest::read(out)?;
        if let Some(difference) = manifest.difference(&wanted) {
            return Err(DataError::Differs { path: out.into(), difference });
        }
        let lock = FolderLock::acquire(out)?;
        let layout = Layout::new(config);
        let range = config.range();
        let next = match config.format {
            Format::Folder | Format::Pix2Pix => folder::recover(out, &layout, range.start)?,
            Format::WebDataset => tars::recover(out, &layout, range.clone(), config.pairs_per_tar)?,
        };
        if next > range.end {
            let message = format!("it has pairs up to {}, but its range ends at {}", next - 1, range.end);
            return Err(DataError::damaged(out, message));
        }
        if manifest.complete {
            // `recover` has shortened the list of checksums; `finish` completes it again.
            (manifest.complete, manifest.checksums_sha256) = (false, None);
            manifest.write(out)?;
        }
        Self::open(out, manifest, lock, (next, every))
    }

    fn open(
        out: &Path,
        manifest: Manifest,
        lock: FolderLock,
        (next, every): (u64, CommitEvery),
    ) -> Result<Self, DataError> {
        let config = &manifest.dataset;
        let layout = Layout::new(config);
        readme::write_missing(out, config)?;
        let sink = match config.format {
            Format::WebDataset => Sink::Tars(Box::new(TarSink::open(out, layout.clone())?)),
            _ => Sink::Folder(Box::new(FolderSink::open(out, layout.clone(), (every.pairs, every.bytes))?)),
        };
        let end = config.range().end;
        Ok(Self { sink, layout, manifest, root: out.into(), next, end, written: (0, 0), _lock: lock })
    }

    /// What the dataset is made from.
    pub fn config(&self) -> &DatasetConfig {
        &self.manifest.dataset
    }

    /// Index of the first pair that is not written yet.
    pub fn next_index(&self) -> u64 {
        self.next
    }

    /// Pairs still to be written.
    pub fn remaining(&self) -> u64 {
        self.end - self.next
    }

    /// Writes the frames of a batch as pairs `first`, `first + 1`, ... Pairs before [`next_index`](Self::next_index)
    /// (they were committed before a crash and are generated again with their block) and behind the end of the range
    /// are passed over. `records[i]` belongs to frame `i`.
    ///
    /// # Errors
    /// [`DataError::Input`] when the batch does not fit the dataset or leaves a gap; [`FileError::DiskFull`].
    pub fn write(&mut self, first: u64, frames: &FrameBatch, records: &[PairRecord]) -> Result<(), DataError> {
        self.try_write(first, frames, records).map_err(|error| match error {
            // One file's need tells little: say what the rest of the dataset will take.
            DataError::File(FileError::DiskFull { path, needed }) => {
                let (pairs, bytes) = self.written;
                let rest = bytes.checked_div(pairs).unwrap_or(0).saturating_mul(self.remaining());
                DataError::File(FileError::DiskFull { path, needed: needed.max(rest) })
            }
            error => error,
        })
    }

    fn try_write(&mut self, first: u64, frames: &FrameBatch, records: &[PairRecord]) -> Result<(), DataError> {
        check_batch(self.config(), frames, records)?;
        if first > self.next {
            return Err(DataError::Input(format!("pair {} is missing before pair {first}", self.next)));
        }
        let begin = self.next - first;
        let end = (frames.count as u64).min(self.end.saturating_sub(first));
        let (layout, root) = (&self.layout, &self.root);
        let per_tar = self.manifest.dataset.pairs_per_tar;
        // In parts, so that only a part's files are in memory.
        for part in (begin..end).collect::<Vec<_>>().chunks(64) {
            let encode = |&i: &u64| {
                let i_frame = usize::try_from(i).unwrap_or(usize::MAX);
                encode_pair(layout, frames, i_frame, first + i, &records[i_frame])
            };
            match &mut self.sink {
                Sink::Folder(sink) => {
                    let write = |i: &u64| FolderSink::write_files(root, layout, &encode(i)?);
                    let written: Result<Vec<_>, _> = part.par_iter().map(write).collect();
                    for pair in written? {
                        self.written = (self.written.0 + 1, self.written.1 + pair.bytes as u64);
                        sink.add(pair)?;
                        self.next += 1;
                    }
                }
                Sink::Tars(sink) => {
                    let pairs: Result<Vec<_>, _> = part.par_iter().map(encode).collect();
                    for pair in pairs? {
                        let bytes: usize = pair.images.iter().map(Vec::len).sum();
                        self.written = (self.written.0 + 1, self.written.1 + bytes as u64);
                        sink.add(&pair, (pair.index + 1) % per_tar == 0 || pair.index + 1 == self.end)?;
                        self.next += 1;
                    }
                }
            }
        }
        Ok(())
    }

    /// Makes what is written durable now (tars: the closed ones). Call it before a long pause.
    pub fn commit(&mut self) -> Result<(), DataError> {
        match &mut self.sink {
            Sink::Folder(sink) => sink.commit(),
            Sink::Tars(sink) => sink.commit(),
        }
    }

    /// Commits the rest and marks the dataset as complete.
    ///
    /// # Errors
    /// [`DataError::Input`] while pairs are missing.
    pub fn finish(self) -> Result<(), DataError> {
        if self.next < self.end {
            let message = format!("the dataset ends at pair {}, and {} comes next", self.end - 1, self.next);
            return Err(DataError::Input(message));
        }
        match self.sink {
            Sink::Folder(sink) => sink.finish()?,
            Sink::Tars(mut sink) => sink.commit()?,
        }
        let mut manifest = self.manifest;
        manifest.complete = true;
        let list = checksums_path(&self.root);
        // A shard of a small dataset may be empty.
        manifest.checksums_sha256 = if list.exists() { Some(sha256_file(&list)?) } else { None };
        manifest.write(&self.root)
    }
}
