//! Recording episodes, shard by shard.

use super::shard::{EncodedEpisode, encode, to_tensors};
use super::{EpisodesConfig, EpisodesManifest, FORMAT_VERSION, MANIFEST_NAME, shard_name};
use crate::contract::Episode;
use crate::data::format::FormatVersion;
use crate::data::paired::checksums_path;
use crate::data::{DataError, difference::difference, seal::Sealed};
use crate::files::atomic::{create_folder, read_capped, remove_leftovers, write_atomic};
use crate::files::lock::{FolderLock, is_vacant};
use crate::train::checkpoint::CheckpointError;
use crate::train::tensors::save_tensors;
use std::path::{Path, PathBuf};

const MAX_LIST_BYTES: u64 = 256 << 20;

/// Writes episodes in order. A shard appears whole when its last episode is written; dropped before
/// [`finish`](Self::finish), the open one is lost and the rest can be [resumed](Self::resume).
pub struct EpisodeWriter {
    root: PathBuf,
    manifest: EpisodesManifest,
    checksums: String,
    open: Vec<EncodedEpisode>,
    next: u64,
    _lock: FolderLock,
}

impl EpisodeWriter {
    /// Starts a recording in a folder that is missing or empty.
    pub fn create(out: &Path, config: &EpisodesConfig) -> Result<Self, DataError> {
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
        let writer = Self {
            root: out.into(),
            manifest: EpisodesManifest::new(config),
            checksums: String::new(),
            open: Vec::new(),
            next: 0,
            _lock: lock,
        };
        writer.manifest.write(out)?;
        Ok(writer)
    }

    /// Goes on behind the last whole shard; starts the recording when there is none. The finished recording equals an
    /// uninterrupted one byte for byte.
    pub fn resume(out: &Path, config: &EpisodesConfig) -> Result<Self, DataError> {
        config.validate()?;
        if is_vacant(out)? {
            return Self::create(out, config);
        }
        let mut manifest = EpisodesManifest::read(out)?;
        let plain = |m: &EpisodesManifest| EpisodesManifest { complete: false, ..m.clone() };
        if let Some(difference) = difference(&plain(&manifest), &EpisodesManifest::new(config)) {
            return Err(DataError::Differs { path: out.into(), difference });
        }
        let lock = FolderLock::acquire(out)?;
        remove_leftovers(out)?;
        let path = checksums_path(out);
        let checksums = match read_capped(&path, MAX_LIST_BYTES) {
            Err(error) if error.is_not_found() => String::new(),
            bytes => String::from_utf8_lossy(&bytes?).into_owned(),
        };
        let mut shards = 0;
        for line in checksums.lines() {
            let name = shard_name(shards);
            if !line.ends_with(&format!("  {name}")) || !out.join(&name).is_file() {
                return Err(DataError::damaged(path, format!("line {} does not name {name}", shards + 1)));
            }
            shards += 1;
        }
        manifest.complete = false;
        let next = (shards * config.episodes_per_shard).min(config.count);
        Ok(Self { root: out.into(), manifest, checksums, open: Vec::new(), next, _lock: lock })
    }

    /// What the recording is made with.
    pub fn config(&self) -> &EpisodesConfig {
        &self.manifest.episodes
    }

    /// Number of the next episode.
    pub fn next_episode(&self) -> u64 {
        self.next
    }

    /// Episodes that are still to be written; 0 when the recording is full.
    pub fn remaining(&self) -> u64 {
        self.config().count - self.next
    }

    /// Appends an episode.
    ///
    /// # Errors
    /// [`DataError::Input`] when it does not fit the recording or the recording is full.
    pub fn write(&mut self, episode: &Episode) -> Result<(), DataError> {
        if self.remaining() == 0 {
            return Err(DataError::Input(format!("the recording has all its {} episodes", self.config().count)));
        }
        self.open.push(encode(self.config(), episode)?);
        self.next += 1;
        if self.open.len() as u64 == self.config().episodes_per_shard || self.remaining() == 0 {
            let name = shard_name((self.next - 1) / self.config().episodes_per_shard);
            let path = self.root.join(&name);
            let episodes = std::mem::take(&mut self.open);
            let written = save_tensors(&path, &to_tensors(self.config(), &episodes)).map_err(|e| match e {
                CheckpointError::File(e) => DataError::File(e),
                other => DataError::Input(other.to_string()),
            })?;
            self.checksums += &format!("{}  {name}\n", written.sha256);
            write_atomic(&checksums_path(&self.root), self.checksums.as_bytes())?;
        }
        Ok(())
    }

    /// Marks the recording as complete.
    pub fn finish(mut self) -> Result<(), DataError> {
        if self.remaining() > 0 {
            let message = format!("{} of {} episodes are missing", self.remaining(), self.config().count);
            return Err(DataError::Input(message));
        }
        self.manifest.complete = true;
        self.manifest.write(&self.root)
    }
}

impl EpisodesManifest {
    pub(super) fn new(config: &EpisodesConfig) -> Self {
        Self {
            format_version: FORMAT_VERSION,
            program: concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION")).into(),
            complete: false,
            settings_sha256: None,
            episodes: config.clone(),
        }
    }

    fn write(&self, folder: &Path) -> Result<(), DataError> {
        let path = folder.join(MANIFEST_NAME);
        let text =
            self.to_sealed_toml().map_err(|e| DataError::Config { path: path.clone(), message: e.to_string() })?;
        Ok(write_atomic(&path, text.as_bytes())?)
    }

    pub(super) fn read(folder: &Path) -> Result<Self, DataError> {
        let path = folder.join(MANIFEST_NAME);
        Self::parse(&path, &read_capped(&path, 4 << 20)?)
    }

    /// [`read`](Self::read) for a file in memory; `path` is for messages.
    pub(super) fn parse(path: &Path, bytes: &[u8]) -> Result<Self, DataError> {
        let fail = |message: String| DataError::Config { path: path.to_owned(), message };
        let text = String::from_utf8_lossy(bytes);
        // The version first, so that a file of another version is not blamed for keys that are merely unknown here.
        let version: FormatVersion = toml::from_str(&text).map_err(|e| fail(e.to_string()))?;
        version.check(FORMAT_VERSION, "record the episodes again").map_err(&fail)?;
        let mut manifest: Self = toml::from_str(&text).map_err(|e| fail(e.to_string()))?;
        manifest.episodes.validate().map_err(|e| fail(e.to_string()))?;
        manifest.check_seal().map_err(fail)?;
        Ok(manifest)
    }
}

/// The checksums by file name.
pub(super) fn read_checksums(folder: &Path) -> Result<Vec<(String, String)>, DataError> {
    let bytes = read_capped(&checksums_path(folder), MAX_LIST_BYTES)?;
    let pair = |line: &str| line.split_once("  ").map(|(sum, name)| (name.to_owned(), sum.to_owned()));
    Ok(String::from_utf8_lossy(&bytes).lines().filter_map(pair).collect())
}
