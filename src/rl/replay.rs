//! Replay: what was seen, done and got, as bytes, bounded, saved piece by piece.
//!
//! Transitions are numbered from the first one ever pushed and kept in segments. A full segment never changes again: it
//! is written to disk once, and checkpoints only name it with its checksum. When the capacity is exceeded the oldest
//! segment goes. The state that follows a transition is the next one's, so each image is kept once.
//!
//! In: whole episodes. Out: transitions by number; files in a folder.

use super::error::RlError;
use super::qtopt::network::{STATE_LEN, is_closed};
use crate::contract::action_space::{ActionFeatures, CLOSE};
use crate::contract::{PrivilegedState, Rng};
use crate::files::atomic::{AtomicFile, create_folder, read_capped, sha256_hex};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What is kept of one step besides the image.
#[derive(Clone, Copy, Debug, PartialEq, bytemuck::NoUninit, bytemuck::CheckedBitPattern)]
#[repr(C)]
pub struct Record {
    /// The gripper before the step, as networks read it (`qtopt::network::state_features`).
    pub state: [f32; STATE_LEN],
    /// The action as it was carried out, in the features that networks read.
    pub action: ActionFeatures,
    /// Reward of this step alone, undiscounted.
    pub reward: f32,
    /// Whether and why the episode ended with this step.
    pub termination: Termination,
    /// 1 when chance moved the step away from what its policy or script would have done, else 0.
    pub exploratory: f32,
    /// What the simulator knows of the state.
    pub privileged: PrivilegedState,
}

impl Record {
    /// The step closed open fingers, and the episode went on.
    fn closes(&self) -> bool {
        let close = self.action[CLOSE] > 0.0 && !is_closed(&self.state);
        close && self.termination == Termination::None
    }
}

/// How an episode stands after a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, bytemuck::NoUninit, bytemuck::CheckedBitPattern)]
#[repr(u32)]
pub enum Termination {
    /// Another step follows.
    #[default]
    None,
    /// The policy ended the episode with this step.
    Terminated,
    /// The episode reached its time limit. The outcome says nothing about the action, whose value is that of a next state
    /// that was never observed (Pardo et al., 2018). Such a step is kept as the state that follows the one before it, and
    /// is never learned from.
    TimeLimit,
}

/// What came of a step: rewards that were got, and the state that the rest is to be told from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NStepTransition<'a> {
    /// Discounted sum of the rewards.
    pub n_step_return: f32,
    /// Discount of that state's value.
    pub discount: f32,
    /// Image and state; none when the episode was ended on the way.
    pub next: Option<(&'a [u8], [f32; STATE_LEN])>,
}

/// One step of an episode.
#[derive(Clone, Debug, PartialEq)]
pub struct Transition {
    /// `[size, size, channels]` bytes.
    pub image: Vec<u8>,
    /// What only a simulator knows: classes of the pixels, `[size, size]` bytes; empty where nothing needs them.
    pub mask: Vec<u8>,
    /// State, action and reward that belong to the image.
    pub record: Record,
}

/// Some consecutive transitions.
#[derive(Clone, Debug, Default)]
struct Segment {
    /// Each image with its mask behind it, where masks are kept.
    images: Vec<u8>,
    records: Vec<Record>,
    /// Checksum of the file that holds it, once it is full and on disk.
    saved: Option<String>,
}

/// What a checkpoint remembers of a [`Replay`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplayState {
    /// Number of the first segment.
    first: u64,
    /// Length and checksum of each segment's file.
    segments: Vec<(u64, String)>,
    episodes: u64,
}

/// Bounded memory of transitions.
pub struct Replay {
    name: String,
    image_bytes: usize,
    /// Bytes of a mask behind each image; 0 where none are kept.
    mask_bytes: usize,
    /// Transitions a segment.
    segment: usize,
    /// Segments at most.
    limit: usize,
    segments: VecDeque<Arc<Segment>>,
    /// Number of the first segment that is kept.
    first: u64,
    /// Numbers of the transitions that end episodes, and of those that close open fingers.
    terminals: VecDeque<u64>,
    closings: VecDeque<u64>,
    episodes: u64,
}

const MAGIC: &[u8; 8] = b"bgrepla6";
/// The class of pixels of which none is known.
const NO_CLASS: u8 = u8::MAX;

impl Replay {
    /// Holds at most `capacity` transitions (rounded down to whole segments, at least two of them).
    pub fn new(name: &str, image_bytes: usize, segment: usize, capacity: usize) -> Self {
        Self {
            name: name.to_owned(),
            image_bytes,
            mask_bytes: 0,
            segment: segment.max(1),
            limit: (capacity / segment.max(1)).max(2),
            segments: VecDeque::new(),
            first: 0,
            terminals: VecDeque::new(),
            closings: VecDeque::new(),
            episodes: 0,
        }
    }

    /// The same, empty, with a mask of so many bytes beside each image ([`Transition::mask`]).
    pub fn with_masks(self, mask_bytes: usize) -> Self {
        debug_assert!(self.segments.is_empty());
        Self { mask_bytes, ..self }
    }

    /// Bytes of an image and its mask.
    fn entry_bytes(&self) -> usize {
        self.image_bytes + self.mask_bytes
    }

    /// Number of the first transition that is kept.
    pub fn first(&self) -> u64 {
        self.first * self.segment as u64
    }

    /// The number behind the last transition.
    pub fn end(&self) -> u64 {
        let last = self.segments.back().map_or(0, |segment| segment.records.len());
        let full = self.segments.len().saturating_sub(1) * self.segment;
        self.first() + (full + last) as u64
    }

    /// Transitions in memory, those that a time limit ended included.
    pub fn len(&self) -> usize {
        (self.end() - self.first()) as usize
    }

    /// Whether no transition is in memory.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Episodes ever pushed.
    pub fn episodes(&self) -> u64 {
        self.episodes
    }

    /// Bytes of memory held by images and records.
    pub fn bytes(&self) -> usize {
        self.segments.iter().map(|s| s.images.capacity() + s.records.capacity() * size_of::<Record>()).sum()
    }

    /// Appends an episode; its last transition must not go on. One without transitions is ignored.
    pub fn push(&mut self, episode: &[Transition]) {
        for transition in episode {
            debug_assert_eq!(transition.image.len(), self.image_bytes);
            if self.segments.back().is_none_or(|segment| segment.records.len() >= self.segment) {
                if self.segments.len() >= self.limit {
                    self.segments.pop_front();
                    self.first += 1;
                    let first = self.first();
                    for numbers in [&mut self.terminals, &mut self.closings] {
                        while numbers.front().is_some_and(|&number| number < first) {
                            numbers.pop_front();
                        }
                    }
                }
                let images = Vec::with_capacity(self.segment * self.entry_bytes());
                let records = Vec::with_capacity(self.segment);
                self.segments.push_back(Arc::new(Segment { images, records, saved: None }));
            }
            if transition.record.termination == Termination::Terminated {
                self.terminals.push_back(self.end());
            }
            if transition.record.closes() {
                self.closings.push_back(self.end());
            }
            debug_assert!(self.mask_bytes == 0 || transition.mask.len() == self.mask_bytes);
            let entry = self.entry_bytes();
            if let Some(segment) = self.segments.back_mut() {
                let segment = Arc::make_mut(segment);
                segment.images.extend_from_slice(&transition.image);
                if entry > self.image_bytes {
                    segment.images.extend_from_slice(&transition.mask);
                    segment.images.resize((segment.records.len() + 1) * entry, NO_CLASS);
                }
                segment.records.push(transition.record);
            }
        }
        self.episodes += u64::from(!episode.is_empty());
    }

    fn place(&self, number: u64) -> Option<(&Segment, usize)> {
        let offset = usize::try_from(number.checked_sub(self.first())?).ok()?;
        let segment = self.segments.get(offset / self.segment)?;
        let within = offset % self.segment;
        (within < segment.records.len()).then_some((segment.as_ref(), within))
    }

    /// Transition `number`, unless it is gone.
    pub fn get(&self, number: u64) -> Option<(&[u8], &Record)> {
        let (segment, within) = self.place(number)?;
        let image = &segment.images[within * self.entry_bytes()..][..self.image_bytes];
        Some((image, &segment.records[within]))
    }

    /// Whether masks are kept beside the images.
    pub fn keeps_masks(&self) -> bool {
        self.mask_bytes > 0
    }

    /// The mask of transition `number`, unless it is gone; empty where none are kept.
    pub fn mask(&self, number: u64) -> Option<&[u8]> {
        let (segment, within) = self.place(number)?;
        Some(&segment.images[within * self.entry_bytes()..][self.image_bytes..][..self.mask_bytes])
    }

    /// What came of step `number` over at most `steps` steps, cut off before an exploratory step, and where the episode ran
    /// out of steps. None when it is gone or cannot be learned from.
    pub fn n_step(&self, number: u64, steps: usize, discount: f32) -> Option<NStepTransition<'_>> {
        let mut transition = NStepTransition { n_step_return: 0.0, discount: 1.0, next: None };
        for offset in 0..steps.max(1) as u64 {
            let (image, record) = self.get(number + offset)?;
            let cut = record.termination == Termination::TimeLimit || (offset > 0 && record.exploratory > 0.0);
            if cut {
                return (offset > 0).then_some(NStepTransition { next: Some((image, record.state)), ..transition });
            }
            transition.n_step_return += transition.discount * record.reward;
            transition.discount *= discount;
            if record.termination == Termination::Terminated {
                return Some(transition);
            }
        }
        let (image, record) = self.get(number + steps.max(1) as u64)?;
        Some(NStepTransition { next: Some((image, record.state)), ..transition })
    }

    /// Discounted sum of the rewards from step `number` to the end of its episode. None when it is gone, or the episode is not
    /// whole.
    pub fn discounted_return(&self, number: u64, discount: f32) -> Option<f32> {
        let (mut sum, mut factor) = (0.0, 1.0);
        for number in number.. {
            let (_, record) = self.get(number)?;
            sum += factor * record.reward;
            factor *= discount;
            if record.termination != Termination::None {
                break;
            }
        }
        Some(sum)
    }

    /// The newest whole episodes, at most so many, in the order in which they were pushed.
    pub fn newest_episodes(&self, count: usize) -> Vec<Vec<Transition>> {
        let mut episodes = VecDeque::new();
        let mut episode: Vec<Transition> = Vec::new();
        // What is left of an episode whose beginning is gone is none.
        let mut whole = self.first == 0;
        for number in self.first()..self.end() {
            let Some((image, record)) = self.get(number) else { break };
            let mask = self.mask(number).unwrap_or_default().to_vec();
            episode.push(Transition { image: image.to_vec(), mask, record: *record });
            if record.termination != Termination::None {
                let finished = std::mem::take(&mut episode);
                if whole {
                    episodes.push_back(finished);
                    if episodes.len() > count {
                        episodes.pop_front();
                    }
                }
                whole = true;
            }
        }
        episodes.into()
    }

    /// The number of a transition to learn from: one by which the policy ended an episode with probability
    /// `p_terminal`, one that closed open fingers with probability `p_closing`, else any. The choice does not look
    /// at what came of it, so that frequencies of success stay true. None when there is none.
    pub fn draw(&self, (p_terminal, p_closing): (f32, f32), rng: &mut Rng) -> Option<u64> {
        if self.is_empty() {
            return None;
        }
        let of = |numbers: &VecDeque<u64>, rng: &mut Rng| numbers.get(rng.below(numbers.len())).copied();
        let kind = rng.f32();
        if kind < p_terminal && !self.terminals.is_empty() {
            return of(&self.terminals, rng);
        }
        if kind >= 1.0 - p_closing && !self.closings.is_empty() {
            return of(&self.closings, rng);
        }
        // Of an episode's steps at most one is unusable.
        let any = |rng: &mut Rng| self.first() + rng.below(self.len()) as u64;
        let usable =
            |number: &u64| self.get(*number).is_some_and(|(_, record)| record.termination != Termination::TimeLimit);
        (0..64).map(|_| any(rng)).find(usable)
    }

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

    fn path(&self, folder: &Path, number: u64, length: usize) -> PathBuf {
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
            warnings.push(format!("of the {all} {name} transitions {kept} are kept, and the run goes on with them"));
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
            record.termination = Termination::TimeLimit;
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
        let fail = |e| crate::files::atomic::FileError::io("list", folder, e);
        for entry in std::fs::read_dir(folder).map_err(fail)? {
            let path = entry.map_err(fail)?.path();
            let ours = path
                .file_name()
                .and_then(|n| n.to_str())
                .is_some_and(|n| n.starts_with(&format!("{}-", self.name)) && n.ends_with(".bin"));
            if ours && !named.contains(&path) {
                std::fs::remove_file(&path).map_err(|e| crate::files::atomic::FileError::io("remove", &path, e))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
