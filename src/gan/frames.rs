//! Where a learner's frames come from: numbered blocks, a bounded pool of recent ones, and a thread that makes the next
//! block while the learner is busy.
//!
//! A block's number decides its frames, and a training step's number decides which blocks are in the pool. So nothing
//! of this has to be saved: a resumed run makes the same blocks again.

use crate::contract::{FrameBatch, Rng};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

/// Why there are no frames.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The simulator, the graphics device or the disk; the message names the place and the cure.
    #[error("{0}")]
    Source(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The thread has ended without an error of its own: it panicked, or the block before this one failed.
    #[error("the thread that makes frames ended unexpectedly; run again with --resume")]
    Gone,
    /// The operating system refuses another thread.
    #[error("cannot start the thread that makes frames: {0}")]
    Thread(#[from] std::io::Error),
    /// A source made a block that holds no frame.
    #[error("the source of frames gave a block without any; pass a data set that holds pairs")]
    Empty,
}

impl FrameError {
    /// Wraps the error of a source.
    pub fn source(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Source(error.into())
    }
}

/// Makes blocks of frames. `stop` tells that nobody waits any more; what is returned then does not matter.
pub trait FrameSource {
    /// Block `number`: always the same frames for the same number.
    ///
    /// # Errors
    /// The simulator, the graphics device or the disk fails.
    fn block(&mut self, number: u64, stop: &AtomicBool) -> Result<Vec<FrameBatch>, FrameError>;

    /// Frames that no block holds, to judge progress by.
    ///
    /// # Errors
    /// As [`Self::block`].
    fn validation(&mut self, stop: &AtomicBool) -> Result<Vec<FrameBatch>, FrameError>;
}

/// A source on its own thread.
pub type BoxedSource = Box<dyn FrameSource>;

/// Makes blocks on a thread of its own, one ahead of the learner.
pub struct Prefetch {
    blocks: Option<Receiver<Result<Vec<FrameBatch>, FrameError>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    next: u64,
}

impl Prefetch {
    /// `open` runs on the thread (an environment cannot move between threads); blocks begin with number `first`.
    /// Returns the source's validation frames with it.
    ///
    /// # Errors
    /// The source cannot be opened, or the thread not be started.
    pub fn start(
        first: u64,
        open: impl FnOnce() -> Result<BoxedSource, FrameError> + Send + 'static,
    ) -> Result<(Self, Vec<FrameBatch>), FrameError> {
        let (sender, blocks) = sync_channel(1);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let work = move || {
            let mut source = match open() {
                Ok(source) => source,
                Err(error) => return drop(sender.send(Err(error))),
            };
            if sender.send(source.validation(&stopped)).is_err() {
                return;
            }
            for number in first.. {
                let block = source.block(number, &stopped);
                let failed = block.is_err();
                // Nobody listens any more: the run is over.
                if stopped.load(Ordering::Relaxed) || sender.send(block).is_err() || failed {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("frames".into()).spawn(work)?;
        let prefetch = Self { blocks: Some(blocks), stop, thread: Some(thread), next: first };
        let validation = prefetch.receive()?;
        Ok((prefetch, validation))
    }

    fn receive(&self) -> Result<Vec<FrameBatch>, FrameError> {
        self.blocks.as_ref().ok_or(FrameError::Gone)?.recv().map_err(|_| FrameError::Gone)?
    }

    /// The next block and its number.
    ///
    /// # Errors
    /// What the source met.
    pub fn next_block(&mut self) -> Result<(u64, Vec<FrameBatch>), FrameError> {
        let block = self.receive()?;
        let number = self.next;
        self.next += 1;
        Ok((number, block))
    }
}

impl Drop for Prefetch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.blocks = None;
        if let Some(thread) = self.thread.take() {
            // A panic there was reported when its message did not come.
            let _ = thread.join();
        }
    }
}

/// The last `window` blocks, to draw batches from.
pub struct FramePool {
    window: u64,
    blocks: VecDeque<Vec<FrameBatch>>,
    /// Number of the newest block, plus one.
    end: u64,
}

/// One frame of the pool.
#[derive(Clone, Copy)]
pub struct Frame<'a> {
    /// The frames among which it is.
    pub batch: &'a FrameBatch,
    /// Its place in `batch`, from 0.
    pub index: usize,
}

impl FramePool {
    /// An empty pool whose first block will be that of [`Self::first_needed`].
    pub fn new(window: u64, first: u64) -> Self {
        Self { window: window.max(1), blocks: VecDeque::new(), end: first }
    }

    /// The oldest block that is in the pool while `newest` is the newest.
    pub fn first_needed(window: u64, newest: u64) -> u64 {
        (newest + 1).saturating_sub(window.max(1))
    }

    /// Takes blocks from `frames` until `newest` is in.
    ///
    /// # Errors
    /// What the source met.
    pub fn advance(&mut self, newest: u64, frames: &mut Prefetch) -> Result<(), FrameError> {
        while self.end <= newest {
            let (number, block) = frames.next_block()?;
            self.push(number, block)?;
        }
        Ok(())
    }

    /// # Errors
    /// A block without frames.
    pub fn push(&mut self, number: u64, block: Vec<FrameBatch>) -> Result<(), FrameError> {
        if block.iter().all(|batch| batch.count == 0) {
            return Err(FrameError::Empty);
        }
        self.blocks.push_back(block);
        self.end = number + 1;
        while self.blocks.len() as u64 > self.window {
            self.blocks.pop_front();
        }
        Ok(())
    }

    /// Frames in the pool.
    pub fn len(&self) -> usize {
        self.blocks.iter().flatten().map(|batch| batch.count).sum()
    }

    /// Whether no block has come yet, so that [`Self::draw`] gives nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// `count` frames, each drawn uniformly from the whole pool. None from an empty pool.
    pub fn draw(&self, count: usize, rng: &mut Rng) -> Vec<Frame<'_>> {
        let len = self.len();
        let numbers: Vec<usize> = (0..count).map(|_| rng.below(len)).collect();
        numbers.into_iter().filter_map(|number| self.frame(number)).collect()
    }

    fn frame(&self, mut number: usize) -> Option<Frame<'_>> {
        for batch in self.blocks.iter().flatten() {
            if number < batch.count {
                return Some(Frame { batch, index: number });
            }
            number -= batch.count;
        }
        None
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;
    use crate::contract::{Camera, Class, Domain, Intrinsics, Seed};

    /// Pictures that a small network can learn to translate: a bright square (the object) on a grey floor, seen through
    /// random colours.
    pub struct Squares {
        pub seed: Seed,
        pub size: usize,
        pub count: usize,
    }

    pub fn squares(seed: Seed, count: usize, size: usize) -> FrameBatch {
        let mut rng = seed.rng();
        let n = size * size;
        let camera = Camera::look_at(
            glam::Vec3::new(1.0, 0.0, 1.0),
            glam::Vec3::ZERO,
            Intrinsics::from_vertical_fov(size as u32, size as u32, 0.8),
        );
        let mut batch = FrameBatch {
            source: Domain::RandomizedHeavy,
            count,
            height: size,
            width: size,
            source_rgb: Vec::new(),
            canonical_rgb: Vec::new(),
            segmentation: Vec::new(),
            instances: Vec::new(),
            depth_m: Vec::new(),
            sensed_depth_m: Vec::new(),
            cameras: vec![camera; count],
            step_indices: vec![0; count],
            look_seeds: vec![0; count],
        };
        for _ in 0..count {
            let floor: [u8; 3] = std::array::from_fn(|_| rng.below(120) as u8);
            let object: [u8; 3] = std::array::from_fn(|_| 135 + rng.below(120) as u8);
            let (left, top) = (rng.below(size - size / 3), rng.below(size - size / 3));
            for i in 0..n {
                let (x, y) = (i % size, i / size);
                let inside = (left..left + size / 3).contains(&x) && (top..top + size / 3).contains(&y);
                batch.source_rgb.extend(if inside { object } else { floor });
                batch.canonical_rgb.extend(if inside { [200, 60, 40] } else { [90, 100, 110] });
                batch.segmentation.push(if inside { Class::Object as u8 } else { Class::Background as u8 });
                batch.instances.push(u8::from(inside) * 16);
                batch.depth_m.push(if inside { 0.8 } else { 1.0 });
            }
        }
        batch
    }

    impl FrameSource for Squares {
        fn block(&mut self, number: u64, _: &AtomicBool) -> Result<Vec<FrameBatch>, FrameError> {
            Ok(vec![squares(self.seed.derive("block", number), self.count, self.size)])
        }

        fn validation(&mut self, _: &AtomicBool) -> Result<Vec<FrameBatch>, FrameError> {
            Ok(vec![squares(self.seed.derive("validation", 0), 4, self.size)])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{Squares, squares};
    use super::*;
    use crate::contract::Seed;

    fn open() -> Result<BoxedSource, FrameError> {
        Ok(Box::new(Squares { seed: Seed(3), size: 8, count: 5 }))
    }

    #[test]
    fn the_pool_of_a_step_is_the_same_whenever_one_begins() -> anyhow::Result<()> {
        let drawn = |first: u64| -> Result<Vec<u8>, FrameError> {
            let (mut frames, validation) = Prefetch::start(first, open)?;
            assert_eq!(validation[0].count, 4);
            let mut pool = FramePool::new(3, first);
            pool.advance(6, &mut frames)?;
            assert_eq!(pool.len(), 15);
            Ok(pool.draw(6, &mut Seed(1).rng()).iter().flat_map(|f| f.batch.source_image(f.index).to_vec()).collect())
        };
        assert_eq!(FramePool::first_needed(3, 6), 4);
        assert_eq!(FramePool::first_needed(3, 1), 0);
        assert_eq!(drawn(0)?, drawn(4)?);
        Ok(())
    }

    #[test]
    fn every_frame_can_be_drawn() -> anyhow::Result<()> {
        let mut pool = FramePool::new(2, 0);
        for number in 0..3 {
            pool.push(number, vec![squares(Seed(number), 2, 8), squares(Seed(number + 9), 1, 8)])?;
        }
        let mut seen = std::collections::BTreeSet::new();
        for frame in pool.draw(200, &mut Seed(4).rng()) {
            seen.insert(frame.batch.source_image(frame.index).to_vec());
        }
        assert_eq!(seen.len(), 6);
        assert!(FramePool::new(2, 0).draw(3, &mut Seed(4).rng()).is_empty());
        Ok(())
    }

    #[test]
    fn a_failing_source_is_reported_not_waited_for() {
        let error = Prefetch::start(0, || Err(FrameError::source("no graphics adapter"))).err();
        assert_eq!(error.map(|e| e.to_string()).as_deref(), Some("no graphics adapter"));
    }
}
