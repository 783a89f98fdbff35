//! Replay: what was seen, done and got, as bytes, bounded, saved piece by piece.
//!
//! Transitions are numbered from the first one ever pushed and kept in segments. A full segment never changes again: it
//! is written to disk once, and checkpoints only name it with its checksum. When the capacity is exceeded the oldest
//! segment goes. The state that follows a transition is the next one's, so each image is kept once.
//!
//! In: whole episodes. Out: transitions by number; files in a folder.

mod storage;

use super::qtopt::network::{STATE_LEN, is_closed};
use crate::contract::action_space::{ActionFeatures, CLOSE};
use crate::contract::{PrivilegedState, Rng};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
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
    /// The episode reached its time limit, and was judged ([`TimeLimit`] says what is learned from it).
    TimeLimit,
    /// What followed is not known. Such a step is kept as the state that follows the one before it, and is never learned
    /// from.
    Interrupted,
}

/// What is learned from a step with which an episode reached its time limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TimeLimit {
    /// It ends the episode: its reward, 0 where nothing was grasped, is all that comes (QT-Opt's twentieth step).
    #[default]
    Terminal,
    /// Nothing: the outcome says nothing about the action, whose value is that of a next state that was never observed
    /// (Pardo et al., 2018). The step before it has the value of its state.
    Bootstrap,
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
    time_limit: TimeLimit,
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
            time_limit: TimeLimit::default(),
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

    /// The same, empty, with what time limits teach.
    pub fn with_time_limit(self, time_limit: TimeLimit) -> Self {
        debug_assert!(self.segments.is_empty());
        Self { time_limit, ..self }
    }

    /// Whether a step that ended its episode like this is one to learn from.
    fn teaches(&self, termination: Termination) -> bool {
        match termination {
            Termination::None | Termination::Terminated => true,
            Termination::TimeLimit => self.time_limit == TimeLimit::Terminal,
            Termination::Interrupted => false,
        }
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

    /// Transitions in memory, those that teach nothing included.
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

    /// What came of step `number` over at most `steps` steps, cut off before an exploratory step, and before one that
    /// teaches nothing. None when it is gone or cannot be learned from.
    pub fn n_step(&self, number: u64, steps: usize, discount: f32) -> Option<NStepTransition<'_>> {
        let mut transition = NStepTransition { n_step_return: 0.0, discount: 1.0, next: None };
        for offset in 0..steps.max(1) as u64 {
            let (image, record) = self.get(number + offset)?;
            let cut = !self.teaches(record.termination) || (offset > 0 && record.exploratory > 0.0);
            if cut {
                return (offset > 0).then_some(NStepTransition { next: Some((image, record.state)), ..transition });
            }
            transition.n_step_return += transition.discount * record.reward;
            transition.discount *= discount;
            if record.termination != Termination::None {
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
            match record.termination {
                Termination::None => {}
                Termination::Terminated | Termination::TimeLimit => break,
                Termination::Interrupted => return None,
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
        let usable = |number: &u64| self.get(*number).is_some_and(|(_, record)| self.teaches(record.termination));
        (0..64).map(|_| any(rng)).find(usable)
    }
}

#[cfg(test)]
mod tests;
