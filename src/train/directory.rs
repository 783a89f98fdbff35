//! The folder of a training run and everything that is written into it.
//!
//! | file | what |
//! |---|---|
//! | `config.toml` | the settings, resolved: the run can be repeated from them |
//! | `metrics.jsonl` | figures by step; the same bytes for the same run |
//! | `events.out.tfevents.*` | the same and timings, images, text for TensorBoard |
//! | `checkpoints/step-*/` | the last three states to go on from |
//! | `images/<name>/<step>.png` | pictures |
//! | `report.md` | what came out, with curves |

use super::checkpoint::{CHECKPOINTS_NAME, Checkpoint, CheckpointContent, CheckpointError, Checkpoints};
use super::events::EventWriter;
use super::metrics::{MetricsError, MetricsLog};
use crate::draw::{Canvas, DrawError};
use crate::files::atomic::{FileError, create_folder, read_capped, remove_leftovers_below, write_atomic};
use crate::files::lock::{FolderLock, LockError, is_vacant};
use crate::files::names::plain_name;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// File of the settings within a run's folder.
pub const CONFIG_NAME: &str = "config.toml";
/// Format of a run's settings and checkpoints: `format_version` in its `config.toml`. Runs of before have none.
/// 2: the settings, tensors and replay bear the names of the field.
pub const RUN_FORMAT: u32 = 2;
/// Folder of the pictures within a run's.
pub const IMAGES_NAME: &str = "images";
const MAX_CONFIG_BYTES: u64 = 4 << 20;

/// Refuses settings of runs in other formats, before anything else of them is read.
///
/// # Errors
/// A sentence that names both formats and the cure.
pub fn check_run_format(settings: &toml::Table) -> Result<(), String> {
    let found = settings.get("format_version").and_then(toml::Value::as_integer);
    if found == Some(i64::from(RUN_FORMAT)) {
        return Ok(());
    }
    let program = concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION"));
    Err(match found {
        Some(found) if found > i64::from(RUN_FORMAT) => {
            format!("the run has format {found}, and {program} reads format {RUN_FORMAT}; use a newer release of it")
        }
        found => format!(
            "the run has format {}, written by an earlier version of bingrasp, and {program} reads format {RUN_FORMAT}; use \
             that version, or train anew in another folder",
            found.unwrap_or(1)
        ),
    })
}

/// A run's folder could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// Another process has the run open, or the lock cannot be made.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// `metrics.jsonl` cannot be opened, or is shorter than when the checkpoint was saved.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// A checkpoint cannot be written or read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The run has checkpoints and none is whole; arises at [`RunDir::resume`], which then leaves them all in place.
    #[error("{0}, or rename that folder to start again from the beginning")]
    AllDamaged(CheckpointError),
    /// A picture or a chart cannot be drawn or written.
    #[error(transparent)]
    Draw(#[from] DrawError),
    /// [`RunDir::create`] was given this folder, which already holds files.
    #[error("'{}' already holds files; choose another folder, remove it, or add --resume to go on with that run", .0.display())]
    Exists(PathBuf),
    /// This folder holds no `config.toml`.
    #[error("'{}' holds no run (it has no config.toml); was it started with another folder?", .0.display())]
    NoRun(PathBuf),
}

/// A run that is open for writing. Nobody else can write into it meanwhile.
pub struct RunDir {
    root: PathBuf,
    config: String,
    metrics: MetricsLog,
    events: EventWriter,
    checkpoints: Checkpoints,
    _lock: FolderLock,
}

/// A run that goes on.
pub struct Resumed {
    /// The run, open for writing: new figures follow those before the checkpoint.
    pub run: RunDir,
    /// Where to go on from; `None` when the run was stopped before its first checkpoint.
    pub checkpoint: Option<Checkpoint>,
    /// Sentences about damaged checkpoints that were set aside.
    pub warnings: Vec<String>,
}

impl RunDir {
    /// Starts a run in a folder that is missing or empty. `config` is the whole of its settings as TOML.
    pub fn create(root: &Path, config: &str) -> Result<Self, RunError> {
        if !is_vacant(root)? {
            return Err(RunError::Exists(root.into()));
        }
        create_folder(root)?;
        let lock = FolderLock::acquire(root)?;
        if !is_vacant(root)? {
            return Err(RunError::Exists(root.into()));
        }
        write_atomic(&root.join(CONFIG_NAME), config.as_bytes())?;
        Self::open(root, config.into(), lock, 0, None)
    }

    /// The settings of a run, without opening it for writing.
    pub fn read_config(root: &Path) -> Result<String, RunError> {
        match read_capped(&root.join(CONFIG_NAME), MAX_CONFIG_BYTES) {
            Err(error) if error.is_not_found() => Err(RunError::NoRun(root.into())),
            bytes => Ok(String::from_utf8_lossy(&bytes?).into_owned()),
        }
    }

    /// Goes on with a run from its newest checkpoint that is whole: what was logged after it is dropped, so that the
    /// files end up as those of an uninterrupted run. Where checkpoints are there and none is whole, nothing is touched.
    pub fn resume(root: &Path) -> Result<Resumed, RunError> {
        let config = Self::read_config(root)?;
        let lock = FolderLock::acquire(root)?;
        // Pictures and replay files lie in folders of their own.
        remove_leftovers_below(root)?;
        let checkpoints = Checkpoints::new(root.join(CHECKPOINTS_NAME));
        let mut damaged = Vec::new();
        let mut checkpoint = checkpoints.load_latest(|error| damaged.push(error)).map_err(|error| match error {
            CheckpointError::AllDamaged { .. } => RunError::AllDamaged(error),
            error => error.into(),
        })?;
        let mut position = 0;
        if let Some(checkpoint) = &mut checkpoint {
            let (learner, metrics_bytes) = unwrap(std::mem::take(&mut checkpoint.state)).ok_or_else(|| {
                let message = "state.json is not that of a run".into();
                CheckpointError::Damaged { path: checkpoint.path.clone(), message }
            })?;
            (checkpoint.state, position) = (learner, metrics_bytes);
        }
        // Out of the way, so that they are neither tried again nor counted among the last three.
        let newest = checkpoint.as_ref().map(|c| c.step);
        for step in checkpoints.steps()?.into_iter().filter(|step| newest.is_none_or(|newest| *step > newest)) {
            checkpoints.set_aside(step)?;
        }
        let warnings = damaged.iter().map(|e| format!("{e}; it was set aside")).collect();
        let run = Self::open(root, config, lock, position, Some(newest.map_or(0, |step| step + 1)))?;
        Ok(Resumed { run, checkpoint, warnings })
    }

    fn open(
        root: &Path,
        config: String,
        lock: FolderLock,
        position: u64,
        resumed_at: Option<u64>,
    ) -> Result<Self, RunError> {
        create_folder(&root.join(IMAGES_NAME))?;
        let metrics = MetricsLog::open(root, position)?;
        let mut events = EventWriter::create(root, now_s(), resumed_at)?;
        if resumed_at.is_none() {
            events.text(now_s(), 0, "config", &format!("```toml\n{config}\n```"))?;
            events.flush()?;
        }
        let checkpoints = Checkpoints::new(root.join(CHECKPOINTS_NAME));
        Ok(Self { root: root.into(), config, metrics, events, checkpoints, _lock: lock })
    }

    /// The run's folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The settings, as they were given to [`create`](Self::create) or [`set_config`](Self::set_config).
    pub fn config(&self) -> &str {
        &self.config
    }

    /// Changes the settings of a run that goes on.
    pub fn set_config(&mut self, config: &str) -> Result<(), RunError> {
        write_atomic(&self.root.join(CONFIG_NAME), config.as_bytes())?;
        config.clone_into(&mut self.config);
        Ok(())
    }

    /// The run's checkpoints on disk.
    pub fn checkpoints(&self) -> &Checkpoints {
        &self.checkpoints
    }

    /// The same, to change how many are kept.
    pub fn checkpoints_mut(&mut self) -> &mut Checkpoints {
        &mut self.checkpoints
    }

    /// Figures that follow from the settings alone: losses, rewards, success rates. `group/name` puts curves of one
    /// group into one chart.
    pub fn scalars(&mut self, step: u64, values: &[(&str, f64)]) -> Result<(), RunError> {
        self.metrics.append(step, values)?;
        self.events.scalars(now_s(), step, values)?;
        Ok(self.events.flush()?)
    }

    /// Figures that depend on the machine and its load: steps per second, seconds. Only TensorBoard gets them.
    pub fn timings(&mut self, step: u64, values: &[(&str, f64)]) -> Result<(), RunError> {
        self.events.scalars(now_s(), step, values)?;
        Ok(self.events.flush()?)
    }

    /// A picture; `name` becomes its folder. Returns its file.
    pub fn image(&mut self, step: u64, name: &str, canvas: &Canvas) -> Result<PathBuf, RunError> {
        let folder = self.root.join(IMAGES_NAME).join(plain_name(name));
        create_folder(&folder)?;
        let path = folder.join(format!("{step:09}.png"));
        let png = canvas.to_png()?;
        write_atomic(&path, &png)?;
        self.events.image(now_s(), step, name, (canvas.width, canvas.height), &png)?;
        self.events.flush()?;
        Ok(path)
    }

    /// Saves a checkpoint to go on from with step `step + 1`. Everything logged so far is made durable first.
    pub fn save_checkpoint(&mut self, step: u64, mut content: CheckpointContent) -> Result<PathBuf, RunError> {
        self.metrics.sync()?;
        self.events.flush()?;
        content.state = json!({ "metrics_bytes": self.metrics.position(), "learner": content.state });
        Ok(self.checkpoints.save(step, &content)?)
    }
}

/// The learner's state and the position in the metrics.
fn unwrap(mut state: Value) -> Option<(Value, u64)> {
    let position = state.get("metrics_bytes")?.as_u64()?;
    Some((state.get_mut("learner")?.take(), position))
}

/// Seconds since 1970.
fn now_s() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::super::metrics::METRICS_NAME;
    use super::super::tensors::TensorBytes;
    use super::*;

    /// A learner whose whole state is one number that each step doubles in part.
    fn train(run: &mut RunDir, mut state: f32, steps: std::ops::Range<u64>) -> f32 {
        for step in steps {
            state = state * 1.5 + step as f32;
            run.scalars(step, &[("loss/a", f64::from(state)), ("reward", -0.05)]).unwrap();
            run.timings(step, &[("steps per second", 123.0)]).unwrap();
            if step % 10 == 9 {
                let mut content = CheckpointContent { state: json!({ "state": state }), ..Default::default() };
                let values = [state];
                content.groups.insert("model".into(), vec![("w".into(), TensorBytes::f32(&[1], &values))]);
                run.save_checkpoint(step, content).unwrap();
            }
        }
        state
    }

    fn start_of(checkpoint: Option<&Checkpoint>) -> (f32, u64) {
        checkpoint.map_or((1.0, 0), |c| {
            let state = c.groups["model"].tensors().unwrap()[0].1.to_f32().unwrap()[0];
            assert_eq!(c.state["state"].as_f64().unwrap() as f32, state);
            (state, c.step + 1)
        })
    }

    #[test]
    fn killed_and_resumed_equals_uninterrupted() {
        let folder = tempfile::tempdir().unwrap();
        let whole = folder.path().join("whole");
        let mut run = RunDir::create(&whole, "seed = 1\n").unwrap();
        let expected = train(&mut run, 1.0, 0..35);
        drop(run);
        let metrics = |root: &Path| std::fs::read(root.join(METRICS_NAME)).unwrap();

        for kill in [0, 3, 10, 11, 29, 30, 34] {
            let root = folder.path().join(format!("killed-{kill}"));
            let mut run = RunDir::create(&root, "seed = 1\n").unwrap();
            train(&mut run, 1.0, 0..kill);
            drop(run);
            let Resumed { mut run, checkpoint, warnings } = RunDir::resume(&root).unwrap();
            assert!(warnings.is_empty());
            assert_eq!(run.config(), "seed = 1\n");
            let (state, next) = start_of(checkpoint.as_ref());
            assert_eq!(next, kill / 10 * 10);
            assert_eq!(train(&mut run, state, next..35), expected);
            assert!(metrics(&root) == metrics(&whole), "killed at {kill}");
        }
    }

    #[test]
    fn a_damaged_checkpoint_is_set_aside_and_said() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("run");
        let mut run = RunDir::create(&root, "").unwrap();
        let expected = train(&mut run, 1.0, 0..30);
        let metrics = std::fs::read(root.join(METRICS_NAME)).unwrap();
        std::fs::write(run.checkpoints().path(29).join("state.json"), b"{}").unwrap();
        drop(run);
        let Resumed { mut run, checkpoint, warnings } = RunDir::resume(&root).unwrap();
        assert!(warnings[0].contains("step-000000029") && warnings[0].contains("set aside"), "{warnings:?}");
        let (state, next) = start_of(checkpoint.as_ref());
        assert_eq!(next, 20);
        assert_eq!(train(&mut run, state, next..30), expected);
        assert_eq!(run.checkpoints().steps().unwrap(), [9, 19, 29]);
        assert!(std::fs::read(root.join(METRICS_NAME)).unwrap() == metrics);

        // Without one that is whole nothing is touched.
        drop(run);
        for step in [9, 19, 29] {
            std::fs::write(root.join(format!("checkpoints/step-{step:09}/state.json")), b"{}").unwrap();
        }
        let message = RunDir::resume(&root).err().unwrap().to_string();
        assert!(message.contains("none of the checkpoints") && message.contains("start again"), "{message}");
        assert_eq!(Checkpoints::new(root.join(CHECKPOINTS_NAME)).steps().unwrap(), [9, 19, 29]);
        assert!(std::fs::read(root.join(METRICS_NAME)).unwrap() == metrics);
    }

    #[test]
    fn one_writer_and_no_overwriting() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunDir::create(folder.path(), "a = 1").unwrap();
        assert!(matches!(RunDir::resume(folder.path()), Err(RunError::Lock(LockError::InUse { .. }))));
        drop(run);
        assert!(matches!(RunDir::create(folder.path(), "a = 2"), Err(RunError::Exists(_))));
        assert_eq!(RunDir::read_config(folder.path()).unwrap(), "a = 1");
        let empty = tempfile::tempdir().unwrap();
        assert!(matches!(RunDir::resume(empty.path()), Err(RunError::NoRun(_))));
    }

    #[test]
    fn pictures_have_a_folder_each() {
        let folder = tempfile::tempdir().unwrap();
        let mut run = RunDir::create(folder.path(), "").unwrap();
        let path = run.image(120, "eval/real → canonical", &Canvas::new(3, 2, [9; 3])).unwrap();
        assert!(path.ends_with("images/eval-real---canonical-c21efe08/000000120.png"), "{}", path.display());
        let image = crate::draw::png::decode_rgb(&std::fs::read(path).unwrap()).unwrap();
        assert_eq!(image.pixels, [9; 18]);

        // A process that was killed while it wrote one.
        drop(run);
        let torn = folder.path().join("images/eval-real---canonical-c21efe08/.000000130.png.4711-3.tmp");
        std::fs::write(&torn, b"half").unwrap();
        drop(RunDir::resume(folder.path()).unwrap());
        assert!(!torn.exists() && torn.with_file_name("000000120.png").is_file());
    }

    #[test]
    fn runs_of_other_formats_are_refused_with_the_cure() {
        let said = |text: &str| check_run_format(&text.parse().unwrap()).err().unwrap_or_default();
        assert_eq!(said(&format!("format_version = {RUN_FORMAT}\nseed = 3\n")), "");
        let earlier = said("seed = 3\n");
        assert!(earlier.contains("format 1") && earlier.contains("earlier version"), "{earlier}");
        assert!(earlier.contains("reads format 2") && earlier.contains("train anew"), "{earlier}");
        assert!(said("format_version = 3\n").contains("newer release"));
    }
}
