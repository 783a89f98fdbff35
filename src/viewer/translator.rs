//! A trained generator as a live panel: it translates what the robot's camera sees, on a thread of its own.
//!
//! In: a [`Translate`] (the command line brings one; this room does not know networks) and source pictures. Out: what the
//! generator made of the latest of them. Pictures that come while it is busy wait in one place: the newest wins.

use crate::draw::palette::{colour_classes, colour_depth};
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A generator. It is moved to a thread of its own.
pub trait Translate: Send {
    /// Edge of its square pictures, pixels.
    fn size(&self) -> u32;

    /// `[size, size, 3]` bytes to what it makes of them, or a sentence why it cannot.
    ///
    /// # Errors
    /// The network fails.
    fn translate(&mut self, rgb: &[u8]) -> Result<Translated, String>;
}

/// Everything that a generator says about a picture.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Translated {
    /// `[size, size, 3]`
    pub rgb: Vec<u8>,
    /// `[size, size]`, [`crate::contract::Class`] of each pixel.
    pub classes: Vec<u8>,
    /// `[size, size]`
    pub depth_m: Vec<f32>,
}

/// Which of its outputs is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Output {
    #[default]
    Image,
    Segmentation,
    Depth,
}

impl Output {
    pub const ALL: [Self; 3] = [Self::Image, Self::Segmentation, Self::Depth];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Segmentation => "segmentation",
            Self::Depth => "depth",
        }
    }

    pub const fn label(self) -> &'static str {
        match self {
            Self::Image => "Image",
            Self::Segmentation => "Segmentation",
            Self::Depth => "Depth",
        }
    }
}

impl Translated {
    /// `[size, size, 3]`; depth in the colours of `range_m`, those of the picture that it was made from.
    pub fn colours(&self, output: Output, (near, far): (f32, f32)) -> Vec<u8> {
        match output {
            Output::Image => self.rgb.clone(),
            Output::Segmentation => colour_classes(&self.classes),
            Output::Depth => colour_depth(&self.depth_m, near, far),
        }
    }
}

/// A source picture on its way, and its depth's range for the colours.
struct Job {
    rgb: Vec<u8>,
    range_m: (f32, f32),
}

/// A translated picture.
pub struct Done {
    pub translated: Translated,
    pub range_m: (f32, f32),
}

/// What lies between the session and the thread.
#[derive(Default)]
struct WorkerState {
    job: Option<Job>,
    busy: bool,
    done: Option<Done>,
    error: Option<String>,
    /// The session has gone.
    closed: bool,
    translated: u64,
    /// Seconds that a picture takes, averaged over some.
    seconds: f64,
}

#[derive(Default)]
struct Shared {
    state: Mutex<WorkerState>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, WorkerState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The session's end of it.
pub struct Translator {
    shared: Arc<Shared>,
    /// Words that name the generator, for tooltips.
    pub name: String,
    pub size: u32,
    /// Pictures that were handed over.
    pub submitted: u64,
}

impl Translator {
    /// # Errors
    /// The system has no thread left.
    pub fn start(mut generator: Box<dyn Translate>, name: String) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let (size, theirs) = (generator.size(), shared.clone());
        std::thread::Builder::new()
            .name("translator".into())
            .stack_size(32 << 20)
            .spawn(move || work(&theirs, generator.as_mut()))?;
        Ok(Self { shared, name, size, submitted: 0 })
    }

    /// Hands over a picture `[size, size, 3]`. One that still waits is forgotten.
    pub fn submit(&mut self, rgb: Vec<u8>, range_m: (f32, f32)) {
        self.submitted += 1;
        self.shared.lock().job = Some(Job { rgb, range_m });
        self.shared.changed.notify_all();
    }

    /// The newest translation, once.
    ///
    /// # Errors
    /// The generator's sentence, once; it translates no more.
    pub fn take(&self) -> Result<Option<Done>, String> {
        let mut state = self.shared.lock();
        match state.error.take() {
            Some(error) => Err(error),
            None => Ok(state.done.take()),
        }
    }

    /// Whether a picture is waiting or being translated.
    pub fn is_busy(&self) -> bool {
        let state = self.shared.lock();
        !state.closed && (state.busy || state.job.is_some())
    }

    /// Waits until nothing is left to do, for so long at most.
    pub fn wait(&self, limit: Duration) {
        let state = self.shared.lock();
        let _rest = self
            .shared
            .changed
            .wait_timeout_while(state, limit, |state| !state.closed && (state.busy || state.job.is_some()));
    }

    /// Pictures translated so far.
    pub fn translated(&self) -> u64 {
        self.shared.lock().translated
    }

    /// How long one takes, seconds.
    pub fn seconds(&self) -> f64 {
        self.shared.lock().seconds
    }
}

impl Drop for Translator {
    /// The thread ends after the picture it is at; nobody waits for it.
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.changed.notify_all();
    }
}

fn work(shared: &Shared, generator: &mut dyn Translate) {
    loop {
        let state = shared.lock();
        let waiting = shared.changed.wait_while(state, |state| !state.closed && state.job.is_none());
        let mut state = waiting.unwrap_or_else(PoisonError::into_inner);
        if state.closed {
            return;
        }
        let Some(job) = state.job.take() else { continue };
        state.busy = true;
        drop(state);
        let begun = Instant::now();
        let outcome = generator.translate(&job.rgb);
        let seconds = begun.elapsed().as_secs_f64();
        let mut state = shared.lock();
        state.busy = false;
        match outcome {
            Ok(translated) => {
                state.done = Some(Done { translated, range_m: job.range_m });
                state.translated += 1;
                state.seconds += (seconds - state.seconds) / state.translated.min(30) as f64;
            }
            Err(error) => {
                state.error = Some(error);
                state.closed = true;
            }
        }
        drop(state);
        shared.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, Sender, channel};

    /// Inverts colours, one picture for each word that it is given.
    struct Inverse {
        go: Receiver<()>,
        begun: Sender<u8>,
    }

    impl Translate for Inverse {
        fn size(&self) -> u32 {
            1
        }

        fn translate(&mut self, rgb: &[u8]) -> Result<Translated, String> {
            self.begun.send(rgb[0]).map_err(|error| error.to_string())?;
            self.go.recv().map_err(|_| "it was told to stop".to_owned())?;
            let rgb = rgb.iter().map(|value| 255 - value).collect();
            Ok(Translated { rgb, classes: vec![1], depth_m: vec![0.5] })
        }
    }

    #[test]
    fn the_newest_picture_wins_and_nobody_waits() {
        let (go, steps) = channel();
        let (begun, starts) = channel();
        let mut translator = Translator::start(Box::new(Inverse { go: steps, begun }), "inverse".into()).unwrap();
        assert!(!translator.is_busy() && translator.take().unwrap().is_none());
        translator.submit(vec![10; 3], (0.0, 1.0));
        assert_eq!(starts.recv(), Ok(10));
        // While it is at the first, two more come: the second of them wins.
        translator.submit(vec![20; 3], (0.0, 1.0));
        translator.submit(vec![30; 3], (0.0, 1.0));
        assert!(translator.is_busy() && translator.take().unwrap().is_none());
        go.send(()).unwrap();
        assert_eq!(starts.recv(), Ok(30));
        assert_eq!(translator.take().unwrap().map(|done| done.translated.rgb), Some(vec![245; 3]));
        go.send(()).unwrap();
        translator.wait(Duration::from_secs(60));
        let done = translator.take().unwrap().expect("the last");
        assert_eq!(done.translated.colours(Output::Image, done.range_m), [225; 3]);
        assert_eq!((translator.translated(), translator.submitted), (2, 3));
        // A generator that fails says so once and is left alone.
        drop(go);
        translator.submit(vec![1; 3], (0.0, 1.0));
        translator.wait(Duration::from_secs(60));
        assert_eq!(translator.take().err().as_deref(), Some("it was told to stop"));
        assert!(!translator.is_busy() && translator.take().unwrap().is_none());
    }

    #[test]
    fn it_goes_when_the_session_goes() {
        let (_go, steps) = channel();
        let (begun, starts) = channel();
        drop(Translator::start(Box::new(Inverse { go: steps, begun }), "inverse".into()).unwrap());
        // The thread has let go of its end.
        assert!(starts.recv().is_err());
    }
}
