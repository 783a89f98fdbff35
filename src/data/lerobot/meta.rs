//! What a LeRobot dataset says about itself: `meta/info.json` and the texts that Parquet files carry for their readers.

use super::table::FILES_PER_CHUNK;
use super::{FILE_BYTES, FPS, IMAGE, NUMBERS, TASK, VERSION};
use crate::data::episodes::EpisodesConfig;
use serde_json::{Map, Value, json};

fn generator() -> Value {
    json!({ "library": env!("CARGO_PKG_NAME"), "version": env!("CARGO_PKG_VERSION") })
}

/// The features as LeRobot describes them.
fn features(config: &EpisodesConfig) -> Value {
    let image = json!({
        "dtype": "image",
        "shape": [config.height, config.width, 3],
        "names": ["height", "width", "channels"],
    });
    let numbers = NUMBERS.iter().map(|feature| {
        let names = if feature.names.is_empty() { Value::Null } else { json!(feature.names) };
        let about = json!({ "dtype": feature.dtype(), "shape": [feature.width()], "names": names });
        (feature.key.to_owned(), about)
    });
    std::iter::once((IMAGE.to_owned(), image)).chain(numbers).collect()
}

/// `meta/info.json`.
pub(super) fn info(config: &EpisodesConfig, episodes: u64, frames: u64) -> Value {
    json!({
        "codebase_version": VERSION,
        "robot_type": config.cell.name,
        "total_episodes": episodes,
        "total_frames": frames,
        "total_tasks": 1,
        "chunks_size": FILES_PER_CHUNK,
        "data_files_size_in_mb": FILE_BYTES >> 20,
        "video_files_size_in_mb": 200,
        "fps": FPS,
        "splits": { "train": format!("0:{episodes}") },
        "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
        "video_path": null,
        "features": features(config),
    })
}

/// The key `huggingface` of the frames' files: the features as `datasets` describes them, so that `load_dataset("parquet")`
/// decodes the images. Lists are named as versions 2 to 4 understand them, and have no length, as in Parquet.
pub(super) fn hugging_face() -> String {
    let mut features = Map::from_iter([(IMAGE.to_owned(), json!({ "_type": "Image" }))]);
    for feature in &NUMBERS {
        let value = json!({ "dtype": feature.dtype(), "_type": "Value" });
        let about = match feature.width() {
            1 => value,
            _ => json!({ "feature": value, "length": -1, "_type": "Sequence" }),
        };
        features.insert(feature.key.to_owned(), about);
    }
    json!({ "info": { "features": features } }).to_string()
}

/// The key `pandas` of `meta/tasks.parquet`: its column `task` is the index of the data frame.
pub(super) fn pandas() -> String {
    let column = |name: &str, kind: &str, numpy: &str| json!({ "name": name, "field_name": name, "pandas_type": kind, "numpy_type": numpy, "metadata": null });
    json!({
        "index_columns": ["task"],
        "column_indexes": [{
            "name": null,
            "field_name": null,
            "pandas_type": "unicode",
            "numpy_type": "object",
            "metadata": { "encoding": "UTF-8" },
        }],
        "columns": [column("task_index", "int64", "int64"), column("task", "unicode", "object")],
        "creator": generator(),
        "pandas_version": "2.2.0",
    })
    .to_string()
}

/// `README.md`, the dataset's card.
pub(super) fn card(config: &EpisodesConfig, episodes: u64, frames: u64) -> String {
    let EpisodesConfig { width, height, domain, policy, seed, cell, .. } = config;
    format!(
        "---\n\
        task_categories:\n- robotics\n\
        tags:\n- LeRobot\n- bingrasp\n\
        configs:\n- config_name: default\n  data_files: data/*/*.parquet\n\
        ---\n\n\
        Episodes of a simulated robot arm that shall {TASK}, exported by {} {}.\n\n\
        - {episodes} episodes, {frames} frames of {width}x{height} pixels, cell `{}`, domain `{domain}`, policy `{policy}`, seed {}\n\
        - A frame is what the robot saw before a decision, the decision, and what came of it (`next.*`). The observation \
        after the last decision is not a frame.\n\
        - Decisions have no fixed duration: `fps` is {FPS} by convention, and `timestamp` counts decisions.\n\
        - `action`: displacement in metres in the world's axes, rotation about the vertical in radians, gripper (0 keep, \
        1 close, 2 open), terminate (0 or 1).\n\
        - `observation.state`: gripper closed (0 or 1), height of the finger tips above the bin's floor in metres, measured \
        distance between the pads in metres, and how far the gripper got with the action before (metres, radians).\n\
        - `meta/episodes` tells the `success` and the `seed` (the bits of an unsigned number) of each episode.\n",
        env!("CARGO_PKG_NAME"),
        env!("CARGO_PKG_VERSION"),
        cell.name,
        seed.0,
    )
}
