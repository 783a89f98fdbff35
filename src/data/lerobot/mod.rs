//! A recording as a LeRobot dataset (format v3.0), which the Python package `lerobot` opens from the folder as it is.
//!
//! | file | what |
//! |---|---|
//! | `data/chunk-000/file-000.parquet` | frames; a new file after about 100 MiB |
//! | `meta/episodes/chunk-000/file-000.parquet` | episodes: length, place of their frames, success, seed, statistics |
//! | `meta/tasks.parquet` | the one task |
//! | `meta/stats.json` | statistics of each feature over all frames, for normalization |
//! | `meta/info.json` | features, counts, paths |
//! | `README.md` | the dataset's card |
//!
//! A frame is a decision: the observation before it, the action, and what came of it. The observation after the last
//! decision of an episode is left out, as LeRobot has no frame without an action. Images are the PNG files of the
//! recording, unchanged, within the Parquet file. Decisions have no fixed duration; timestamps count them ([`FPS`]).

mod meta;
mod stats;
mod table;
#[cfg(test)]
mod tests;

use crate::contract::{Action, Displacement, Episode, GripperCommand, GripperState};
use crate::data::DataError;
use crate::data::episodes::{EpisodeReader, EpisodesConfig};
use crate::files::atomic::{FileError, create_folder, sync_folder, write_atomic};
use crate::files::paths::resolve;
use serde_json::Value;
use stats::{ImageTally, NumberTally, Summary};
use std::path::{Path, PathBuf};
use table::{Cells, Field, Kind, Table, Tables};

/// Version of the format.
pub const VERSION: &str = "v3.0";
/// Nominal frames a second. Decisions take as long as the motion they ask for, so a second stands for a decision.
pub const FPS: u32 = 1;
/// The instruction of every frame, the one row of `meta/tasks.parquet`.
pub const TASK: &str = "grasp any object from the bin";
const IMAGE: &str = "observation.images.camera";
const FILE_BYTES: usize = 100 << 20;

/// A feature of numbers.
struct Feature {
    key: &'static str,
    kind: Kind,
    /// Of the components; none for single values.
    names: &'static [&'static str],
}

impl Feature {
    const fn one(key: &'static str, kind: Kind) -> Self {
        Self { key, kind, names: &[] }
    }

    fn width(&self) -> usize {
        self.names.len().max(1)
    }

    /// NumPy's name.
    fn dtype(&self) -> &'static str {
        match self.kind {
            Kind::Bool => "bool",
            Kind::I64 => "int64",
            Kind::F32 => "float32",
            Kind::F64 => "float64",
            Kind::Text | Kind::Bytes => "string",
        }
    }
}

/// The columns of a frame after the image.
const NUMBERS: [Feature; 11] = [
    Feature {
        key: "observation.state",
        kind: Kind::F32,
        names: &[
            "closed",
            "height_m",
            "aperture_m",
            "achieved_x_m",
            "achieved_y_m",
            "achieved_z_m",
            "achieved_rotation_rad",
        ],
    },
    Feature { key: "action", kind: Kind::F32, names: &["x_m", "y_m", "z_m", "rotation_rad", "gripper", "terminate"] },
    Feature::one("next.reward", Kind::F32),
    Feature::one("next.done", Kind::Bool),
    Feature::one("next.truncated", Kind::Bool),
    Feature::one("next.success", Kind::Bool),
    Feature::one("timestamp", Kind::F32),
    Feature::one("frame_index", Kind::I64),
    Feature::one("episode_index", Kind::I64),
    Feature::one("index", Kind::I64),
    Feature::one("task_index", Kind::I64),
];

/// What was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exported {
    /// Rows of `meta/episodes`: every episode of the recording.
    pub episodes: u64,
    /// Decisions of all episodes.
    pub frames: u64,
    /// Episodes at whose end an object was held.
    pub successes: u64,
    /// Of the Parquet files with frames.
    pub bytes: u64,
}

/// Writes the recording into the folder `out`, which must be missing or empty. It appears when all is written; until then
/// the files are in a hidden folder beside it. `should_continue` hears the episodes that are done and stops the export with
/// `false`: nothing is left of it and the result is `None`.
///
/// Memory: the files of the recording that the reader holds (two, and while it reads one, that file and its tensors) and
/// 32 MiB of rows.
///
/// # Errors
/// [`DataError::Occupied`]; [`DataError::Damaged`] with the recording's file; [`DataError::Input`] for a recording without
/// episodes.
pub fn export(
    reader: &EpisodeReader,
    out: &Path,
    should_continue: &mut dyn FnMut(u64) -> bool,
) -> Result<Option<Exported>, DataError> {
    export_in_files(reader, out, FILE_BYTES, should_continue)
}

fn export_in_files(
    reader: &EpisodeReader,
    out: &Path,
    file_bytes: usize,
    should_continue: &mut dyn FnMut(u64) -> bool,
) -> Result<Option<Exported>, DataError> {
    check_vacant(out)?;
    if reader.is_empty() {
        return Err(DataError::Input("the recording has no episodes yet".into()));
    }
    // What a link leads to, as the link itself takes no other name.
    let out = &resolve(out)?;
    let partial = Partial::beside(out)?;
    let mut writer = Writer::new(&partial.path, reader.config(), file_bytes);
    for number in 0..reader.len() {
        writer.episode(&reader.read(number)?, reader.pngs(number)?)?;
        if !should_continue(number + 1) {
            return Ok(None);
        }
    }
    let exported = writer.finish()?;
    partial.become_folder(out)?;
    Ok(Some(exported))
}

/// Refuses a folder that holds anything.
fn check_vacant(out: &Path) -> Result<(), DataError> {
    match std::fs::read_dir(out).map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(()),
        Ok(false) => Err(DataError::Occupied(out.into())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(_) if out.is_file() => Err(DataError::Occupied(out.into())),
        Err(error) => Err(FileError::io("list", out, error).into()),
    }
}

/// A hidden folder that goes away unless it gets its name.
struct Partial {
    path: PathBuf,
    parent: PathBuf,
}

impl Partial {
    fn beside(out: &Path) -> Result<Self, DataError> {
        let Some(name) = out.file_name() else {
            return Err(DataError::Input(format!("'{}' is no name for a new folder", out.display())));
        };
        let parent = out.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned();
        create_folder(&parent)?;
        let path = parent.join(format!(".{}.{}.tmp", name.to_string_lossy(), std::process::id()));
        // A killed process that had the same id may have left one.
        match std::fs::remove_dir_all(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(FileError::io("remove", &path, error).into());
            }
            _ => {}
        }
        std::fs::create_dir(&path).map_err(|e| FileError::io("create the folder", &path, e))?;
        Ok(Self { path, parent })
    }

    fn become_folder(self, out: &Path) -> Result<(), DataError> {
        for folder in ["data", "meta/episodes", "meta", ""] {
            sync_folder(&self.path.join(folder))?;
        }
        match std::fs::remove_dir(out) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(FileError::io("replace", out, error).into());
            }
            _ => {}
        }
        std::fs::rename(&self.path, out).map_err(|e| FileError::io("rename", out, e))?;
        Ok(sync_folder(&self.parent)?)
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // It is gone when it got its name; when removing fails, the first error is the one that matters.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// Statistics of all features.
struct Tallies {
    image: ImageTally,
    numbers: [NumberTally; NUMBERS.len()],
}

impl Tallies {
    fn new() -> Self {
        Self { image: ImageTally::new(), numbers: std::array::from_fn(|i| NumberTally::new(NUMBERS[i].width())) }
    }

    /// Key, whether it is an image, and figures of each feature.
    fn summaries(&self) -> impl Iterator<Item = (&'static str, bool, Summary)> + '_ {
        let numbers = NUMBERS.iter().zip(&self.numbers).map(|(feature, tally)| (feature.key, false, tally.summary()));
        std::iter::once((IMAGE, true, self.image.summary())).chain(numbers)
    }
}

struct Writer<'a> {
    root: &'a Path,
    config: &'a EpisodesConfig,
    data: Tables,
    episodes: Tables,
    all: Tallies,
    written: Exported,
}

impl<'a> Writer<'a> {
    fn new(root: &'a Path, config: &'a EpisodesConfig, file_bytes: usize) -> Self {
        let numbers = NUMBERS.iter().map(|feature| {
            let shape: &[usize] = if feature.names.is_empty() { &[] } else { &[feature.width()] };
            Field::values(feature.key, feature.kind, shape)
        });
        let frame = std::iter::once(Field::Image { name: IMAGE.into() }).chain(numbers).collect();
        let data = Tables::new(root.join("data"), frame, vec![("huggingface", meta::hugging_face())], file_bytes);
        let episodes = Tables::new(root.join("meta/episodes"), episode_fields(), Vec::new(), file_bytes);
        Self { root, config, data, episodes, all: Tallies::new(), written: Exported::default() }
    }

    /// Writes the frames of an episode and its row. `pngs` are the files of its images.
    fn episode(&mut self, episode: &Episode, pngs: Vec<Vec<u8>>) -> Result<(), DataError> {
        let (number, first) = (self.written.episodes as i64, self.written.frames as i64);
        let invalid = |what| DataError::Input(format!("episode {number} cannot be exported: {what}"));
        let place = self.data.place()?;
        let mut tallies = Tallies::new();
        let last = episode.steps.len().saturating_sub(1);
        for (step, (decision, png)) in episode.steps.iter().zip(pngs).enumerate() {
            let Some(observation) = episode.observations.get(step) else {
                return Err(invalid("an observation is missing"));
            };
            let GripperState { closed, height_m, aperture_m, achieved, .. } = observation.gripper;
            let Displacement { translation_m: [x, y, z], rotation_rad } = achieved;
            let flag = |on: bool| if on { 1.0 } else { 0.0 };
            let index = step as i64;
            let numbers = [
                Cells::F32(vec![flag(closed), height_m, aperture_m, x, y, z, rotation_rad]),
                Cells::F32(action(&decision.action).to_vec()),
                Cells::F32(vec![decision.reward]),
                Cells::Bool(vec![decision.terminated || decision.truncated || decision.invalid]),
                Cells::Bool(vec![decision.truncated]),
                Cells::Bool(vec![step == last && episode.success()]),
                Cells::F32(vec![step as f32 / FPS as f32]),
                Cells::I64(vec![index]),
                Cells::I64(vec![number]),
                Cells::I64(vec![first + index]),
                Cells::I64(vec![0]),
            ];
            tallies.image.add(&observation.image);
            for (cells, (own, all)) in numbers.iter().zip(tallies.numbers.iter_mut().zip(&mut self.all.numbers)) {
                let values = cells.numbers();
                if !values.iter().all(|v| v.is_finite()) {
                    return Err(invalid("it holds a number that is not finite"));
                }
                own.add(&values);
                all.add(&values);
            }
            let image = [Cells::bytes(png), Cells::text(format!("frame-{step:06}.png"))];
            self.data.push(image.into_iter().chain(numbers).collect())?;
        }
        self.all.image.merge(&tallies.image);
        let frames = episode.steps.len() as i64;
        let own_place = self.episodes.place()?;
        let seed = i64::from_ne_bytes(episode.seed.0.to_ne_bytes());
        let whole = [number, frames, first, first + frames, place.0, place.1, own_place.0, own_place.1, seed];
        let mut row: Vec<Cells> = whole.iter().map(|&n| Cells::I64(vec![n])).collect();
        row.extend([Cells::Bool(vec![episode.success()]), Cells::text(TASK)]);
        for (_, _, summary) in tallies.summaries() {
            row.extend(summary.figures.into_iter().map(Cells::F64));
            row.push(Cells::I64(vec![summary.count as i64]));
        }
        self.episodes.push(row)?;
        self.written.episodes += 1;
        self.written.frames += frames as u64;
        self.written.successes += u64::from(episode.success());
        Ok(())
    }

    fn finish(self) -> Result<Exported, DataError> {
        let Self { root, config, data, episodes, all, mut written } = self;
        written.bytes = data.commit()?;
        episodes.commit()?;
        let meta = root.join("meta");
        let fields = [Field::values("task_index", Kind::I64, &[]), Field::values("task", Kind::Text, &[])];
        let mut tasks = Table::create(&meta.join("tasks.parquet"), &fields, &[("pandas", meta::pandas())])?;
        tasks.push(vec![Cells::I64(vec![0]), Cells::text(TASK)])?;
        tasks.commit()?;
        let stats: Value = all.summaries().map(|(key, image, s)| (key.to_owned(), s.to_json(image))).collect();
        let info = meta::info(config, written.episodes, written.frames);
        for (name, value) in [("stats.json", stats), ("info.json", info)] {
            write_atomic(&meta.join(name), format!("{value:#}\n").as_bytes())?;
        }
        write_atomic(&root.join("README.md"), meta::card(config, written.episodes, written.frames).as_bytes())?;
        Ok(written)
    }
}

/// The columns of an episode, in the order of its row.
fn episode_fields() -> Vec<Field> {
    let whole = [
        "episode_index",
        "length",
        "dataset_from_index",
        "dataset_to_index",
        "data/chunk_index",
        "data/file_index",
        "meta/episodes/chunk_index",
        "meta/episodes/file_index",
        "seed",
    ];
    let mut fields: Vec<Field> = whole.iter().map(|name| Field::values(*name, Kind::I64, &[])).collect();
    fields.extend([Field::values("success", Kind::Bool, &[]), Field::values("tasks", Kind::Text, &[1])]);
    let keys = std::iter::once((IMAGE, vec![3, 1, 1])).chain(NUMBERS.iter().map(|f| (f.key, vec![f.width()])));
    for (key, shape) in keys {
        fields.extend(stats::NAMES.map(|name| Field::values(format!("stats/{key}/{name}"), Kind::F64, &shape)));
        fields.push(Field::values(format!("stats/{key}/count"), Kind::I64, &[1]));
    }
    fields
}

/// The numbers of an action, as in the recording.
fn action(action: &Action) -> [f32; 6] {
    let [x, y, z] = action.translation_m;
    let gripper = match action.gripper {
        GripperCommand::Keep => 0.0,
        GripperCommand::Close => 1.0,
        GripperCommand::Open => 2.0,
    };
    [x, y, z, action.rotation_rad, gripper, if action.terminate { 1.0 } else { 0.0 }]
}
