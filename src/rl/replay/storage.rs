//! A replay's files: a full segment is written once, and checkpoints name it with its checksum.

use super::{MAGIC, Record, Replay, ReplayState, Segment, Termination};
use crate::files::atomic::{AtomicFile, FileError, create_folder, read_capped, sha256_hex};
use crate::rl::error::RlError;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

impl Replay {
    /// Writes what is not on disk yet into `folder`, and says what there is.
    ///
    /// # Errors
    /// A full or failing disk.
    pub fn save(&mut self, folder: &Path) -> Result<ReplayState, RlError> {
        create_folder(folder)?;
        let mut state = ReplayState { first: self.first, segments: Vec::new(), episodes: self.episodes };
        for index in 0..self.segments.len() {
            let segment = &self.segments[index];
            let length = segment.records.len();
            let sum = match &segment.saved {
                Some(sum) => sum.clone(),
                None => {
                    let path = self.path(folder, self.first + index as u64, length);
                    let sum = self.write(&path, segment)?;
                    if length == self.segment {
                        Arc::make_mut(&mut self.segments[index]).saved = Some(sum.clone());
                    }
                    sum
                }
            };
            state.segments.push((length as u64, sum));
        }
        Ok(state)
    }

    pub(super) fn path(&self, folder: &Path, number: u64, length: usize) -> PathBuf {
        // A segment that is not full yet has another name each time, so that older checkpoints keep theirs.
        folder.join(format!("{}-{number:06}-{length:06}.bin", self.name))
    }

    fn write(&self, path: &Path, segment: &Segment) -> Result<String, RlError> {
        let header = [self.entry_bytes() as u64, segment.records.len() as u64];
        let mut file = AtomicFile::create(path)?;
        file.write_bytes(MAGIC)?;
        file.write_bytes(bytemuck::cast_slice(&header))?;
        file.write_bytes(bytemuck::cast_slice::<Record, u8>(&segment.records))?;
        file.write_bytes(&segment.images)?;
        Ok(file.commit()?.sha256)
    }

    /// Takes over what [`Self::save`] wrote. Where files are missing or damaged, the longest stretch without such a file
    /// stays, and sentences come back that say so: a run need not end for a part of its memory.
    ///
    /// # Errors
    /// A file that may not be read, does not fit the settings of the run, or was written by another version of the program.
    pub fn load(&mut self, folder: &Path, state: &ReplayState) -> Result<Vec<String>, RlError> {
        let (mut warnings, mut stretch) = (Vec::new(), (state.first, VecDeque::new()));
        let mut longest = stretch.clone();
        for (index, (length, sum)) in state.segments.iter().enumerate() {
            let number = state.first + index as u64;
            let length = usize::try_from(*length).unwrap_or(usize::MAX);
            let last = index + 1 == state.segments.len();
            let path = self.path(folder, number, length);
            if length > self.segment || (length < self.segment && !last) {
                let message = "its length does not fit the settings of the run";
                return Err(RlError::Inconsistent(format!("'{}' cannot be used: {message}", path.display())));
            }
            match self.read(&path, length, sum) {
                Ok(Some(segment)) => stretch.1.push_back(Arc::new(segment)),
                Ok(None) => warnings.push(format!("'{}' is damaged: its checksum differs", path.display())),
                Err(RlError::File(error)) if error.is_damage() => warnings.push(error.to_string()),
                Err(error) => return Err(error),
            }
            if stretch.1.len() >= longest.1.len() {
                longest.clone_from(&stretch);
            }
            if stretch.0 + stretch.1.len() as u64 <= number {
                stretch = (number + 1, VecDeque::new());
            }
        }
        (self.first, self.segments) = longest;
        self.episodes = state.episodes;
        let behind = state.first + state.segments.len() as u64;
        if self.first + (self.segments.len() as u64) < behind {
            self.end_before_a_gap(behind);
        }
        self.index();
        if !warnings.is_empty() {
            let all: u64 = state.segments.iter().map(|(length, _)| length).sum();
            let (name, kept) = (&self.name, self.len());
            warnings.push(format!("of the {all} {name} transitions {kept} are kept, and the run continues with them"));
        }
        Ok(warnings)
    }

    /// The segment in a file; none when its checksum differs.
    ///
    /// # Errors
    /// A whole file of another version, whose records are of another length: nothing of it is given up.
    fn read(&self, path: &Path, length: usize, sum: &str) -> Result<Option<Segment>, RlError> {
        let header = MAGIC.len() + 16;
        let size = header + length * (size_of::<Record>() + self.entry_bytes());
        let bytes = read_capped(path, size as u64)?;
        if sha256_hex(&bytes) != sum {
            return Ok(None);
        }
        if !bytes.starts_with(MAGIC) {
            return Err(RlError::Inconsistent(format!(
                "'{}' is of another version of bingrasp: resume the run with that version, or begin a new one with its \
                 weights (--init)",
                path.display()
            )));
        }
        if bytes.len() != size {
            return Ok(None);
        }
        let images_at = header + length * size_of::<Record>();
        let (mut images, mut records) =
            (Vec::with_capacity(self.segment * self.entry_bytes()), Vec::with_capacity(self.segment));
        for record in bytes[header..images_at].chunks_exact(size_of::<Record>()) {
            let Ok(record) = bytemuck::checked::try_pod_read_unaligned::<Record>(record) else { return Ok(None) };
            records.push(record);
        }
        images.extend_from_slice(&bytes[images_at..]);
        Ok(Some(Segment { images, records, saved: (length == self.segment).then(|| sum.to_owned()) }))
    }

    /// What would have followed is lost. What is pushed next must not pass for it, nor take its numbers, under which whole
    /// files may lie that other checkpoints name: what is kept moves behind them.
    fn end_before_a_gap(&mut self, behind: u64) {
        self.first = behind;
        for segment in &mut self.segments {
            Arc::make_mut(segment).saved = None;
        }
        let last = self.segments.back_mut().and_then(|segment| Arc::make_mut(segment).records.last_mut());
        if let Some(record) = last.filter(|record| record.termination == Termination::None) {
            record.termination = Termination::Interrupted;
        }
    }

    /// Finds the transitions that are drawn by their kind.
    fn index(&mut self) {
        (self.terminals, self.closings) = (VecDeque::new(), VecDeque::new());
        let records = self.segments.iter().flat_map(|segment| &segment.records);
        for (number, record) in (self.first()..).zip(records) {
            if record.termination == Termination::Terminated {
                self.terminals.push_back(number);
            }
            if record.closes() {
                self.closings.push_back(number);
            }
        }
    }

    /// Removes files that none of these states names. Call it when the checkpoints that named them are gone.
    ///
    /// # Errors
    /// A folder that cannot be listed.
    pub fn remove_unnamed(&self, folder: &Path, states: &[ReplayState]) -> Result<(), RlError> {
        let named: std::collections::BTreeSet<PathBuf> = states
            .iter()
            .flat_map(|state| {
                state.segments.iter().enumerate().map(|(index, (length, _))| {
                    self.path(folder, state.first + index as u64, usize::try_from(*length).unwrap_or(usize::MAX))
                })
            })
            .collect();
        let fail = |e| FileError::io("list", folder, e);
        for entry in std::fs::read_dir(folder).map_err(fail)? {
            let path = entry.map_err(fail)?.path();
            let ours = path
                .file_name()
                .and_then(|n| n.to_str())
                .is_some_and(|n| n.starts_with(&format!("{}-", self.name)) && n.ends_with(".bin"));
            if ours && !named.contains(&path) {
                std::fs::remove_file(&path).map_err(|e| FileError::io("remove", &path, e))?;
            }
        }
        Ok(())
    }
}
