//! Reading recorded episodes. A damaged shard is named; the episodes of the others stay readable.

use super::shard::Shard;
use super::writer::read_checksums;
use super::{EpisodesConfig, EpisodesManifest, shard_name};
use crate::contract::Episode;
use crate::data::DataError;
use crate::files::atomic::sha256_file;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Shards kept in memory.
const CACHE: usize = 2;

/// A recording, finished or not, that is read by episode number. Two shards at most stay in memory.
pub struct EpisodeReader {
    root: PathBuf,
    manifest: EpisodesManifest,
    checksums: Vec<(String, String)>,
    /// Most recently used last.
    cache: Mutex<Vec<(u64, Arc<Shard>)>>,
}

impl EpisodeReader {
    /// Opens a recording; shards are opened and compared with their checksums when they are read.
    ///
    /// # Errors
    /// [`DataError::File`] without `episodes.toml` or, in a finished recording, the checksums. [`DataError::Config`]
    /// for settings that this program cannot read.
    pub fn open(root: &Path) -> Result<Self, DataError> {
        let manifest = EpisodesManifest::read(root)?;
        let checksums = match read_checksums(root) {
            // Nothing is committed yet.
            Err(DataError::File(error)) if error.is_not_found() && !manifest.complete => Vec::new(),
            checksums => checksums?,
        };
        Ok(Self { root: root.into(), manifest, checksums, cache: Mutex::new(Vec::new()) })
    }

    /// What the recording was made with.
    pub fn config(&self) -> &EpisodesConfig {
        &self.manifest.episodes
    }

    /// Whether all episodes were written; an unfinished recording has those of its whole shards.
    pub fn is_complete(&self) -> bool {
        self.manifest.complete
    }

    /// Number of episodes.
    pub fn len(&self) -> u64 {
        let config = self.config();
        let shards = if self.manifest.complete { config.shards() } else { self.checksums.len() as u64 };
        (shards * config.episodes_per_shard).min(config.count)
    }

    /// Whether no shard is committed yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Episode `number`, decoded. Reading in order loads each shard once.
    pub fn read(&self, number: u64) -> Result<Episode, DataError> {
        let (shard, within) = self.locate(number)?;
        shard.episode(within, self.config())
    }

    /// The PNG files of the observations of episode `number`, as they were recorded.
    pub fn pngs(&self, number: u64) -> Result<Vec<Vec<u8>>, DataError> {
        let (shard, within) = self.locate(number)?;
        Ok(shard.pngs(within))
    }

    /// The shard of an episode and its number there.
    fn locate(&self, number: u64) -> Result<(Arc<Shard>, usize), DataError> {
        if number >= self.len() {
            let message = format!("there is no episode {number}; '{}' has {}", self.root.display(), self.len());
            return Err(DataError::Input(message));
        }
        let per_shard = self.config().episodes_per_shard;
        let shard = self.shard(number / per_shard)?;
        let within = usize::try_from(number % per_shard).unwrap_or(usize::MAX);
        if within >= shard.len() {
            let path = self.root.join(shard_name(number / per_shard));
            return Err(DataError::damaged(path, format!("it has {} episodes, {} is missing", shard.len(), number)));
        }
        Ok((shard, within))
    }

    /// All episodes in order.
    pub fn iter(&self) -> impl Iterator<Item = Result<Episode, DataError>> + '_ {
        (0..self.len()).map(|number| self.read(number))
    }

    fn shard(&self, number: u64) -> Result<Arc<Shard>, DataError> {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = cache.iter().position(|(n, _)| *n == number) {
            let entry = cache.remove(at);
            let shard = Arc::clone(&entry.1);
            cache.push(entry);
            return Ok(shard);
        }
        let name = shard_name(number);
        let path = self.root.join(&name);
        let expected = self.checksums.iter().find(|(n, _)| *n == name).map(|(_, sum)| sum.as_str());
        if expected != Some(sha256_file(&path)?.as_str()) {
            return Err(DataError::damaged(path, "its checksum is not the listed one"));
        }
        let shard = Arc::new(Shard::read(&path)?);
        if cache.len() >= CACHE {
            cache.remove(0);
        }
        cache.push((number, Arc::clone(&shard)));
        Ok(shard)
    }
}
