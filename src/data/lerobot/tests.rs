use super::table::repetition_levels;
use super::*;
use crate::contract::{Domain, Seed};
use crate::data::episodes::{Decision, EpisodeWriter, RecordedObservation};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field as Cell, Row};
use std::collections::BTreeMap;
use std::fs::File;

const WIDTH: u32 = 2;

/// Two pixels, of which the second is the first but for its blue.
fn image(red: u8, green: u8, blue: u8) -> Vec<u8> {
    vec![red, green, blue, red, green, blue + 51]
}

/// A failure of two decisions and a success of one; what follows from them is worked out in the tests by hand.
fn two_episodes() -> [RecordedEpisode; 2] {
    let observation = |image: Vec<u8>, closed, height_m| RecordedObservation {
        image,
        gripper: GripperState { closed, height_m, aperture_m: 0.5 },
    };
    let action = |x: f32, gripper, terminate| Action {
        translation_m: [x, -0.25, 0.125],
        rotation_rad: 0.75,
        gripper,
        terminate,
    };
    let failure = RecordedEpisode {
        seed: u64::MAX,
        observations: vec![
            observation(image(0, 255, 0), false, 0.25),
            observation(image(255, 255, 0), false, 0.5),
            observation(image(9, 9, 9), true, 9.0),
        ],
        decisions: vec![
            Decision { action: action(0.5, GripperCommand::Close, false), reward: -0.25, ..Decision::default() },
            Decision {
                action: action(-0.5, GripperCommand::Open, false),
                reward: 0.0,
                truncated: true,
                ..Decision::default()
            },
        ],
        grasped: vec![],
    };
    let success = RecordedEpisode {
        seed: 7,
        observations: vec![observation(image(255, 255, 102), true, 0.75), observation(image(1, 1, 1), true, 9.0)],
        decisions: vec![Decision {
            action: action(1.5, GripperCommand::Keep, true),
            reward: 1.0,
            terminated: true,
            ..Decision::default()
        }],
        grasped: vec![4],
    };
    [failure, success]
}

fn record(root: &Path, episodes: &[RecordedEpisode], complete: bool) -> EpisodeReader {
    let count = episodes.len() as u64 + u64::from(!complete);
    let config = EpisodesConfig {
        seed: Seed(1),
        domain: Domain::Canonical,
        width: WIDTH,
        height: 1,
        count,
        episodes_per_shard: 1,
        policy: "scripted".into(),
        generator: toml::Table::new(),
    };
    let mut writer = EpisodeWriter::create(root, &config).unwrap();
    episodes.iter().for_each(|episode| writer.write(episode).unwrap());
    if complete {
        writer.finish().unwrap();
    }
    EpisodeReader::open(root).unwrap()
}

fn open(path: &Path) -> SerializedFileReader<File> {
    SerializedFileReader::new(File::open(path).unwrap()).unwrap()
}

/// The rows of a file by the names of their columns, as the crate's own reader assembles them.
fn rows(path: &Path) -> Vec<BTreeMap<String, Cell>> {
    let of = |row: Row| row.get_column_iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    open(path).get_row_iter(None).unwrap().map(|row| of(row.unwrap())).collect()
}

fn list(value: &Cell) -> &[Cell] {
    match value {
        Cell::ListInternal(list) => list.elements(),
        other => panic!("{other:?} is no list"),
    }
}

fn floats(value: &Cell) -> Vec<f32> {
    let float = |value: &Cell| if let Cell::Float(v) = value { *v } else { panic!("{value:?} is no float") };
    list(value).iter().map(float).collect()
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn frames_are_the_decisions_with_the_observations_before_them() {
    let folder = tempfile::tempdir().unwrap();
    let (recording, out) = (folder.path().join("recording"), folder.path().join("out"));
    let reader = record(&recording, &two_episodes(), true);
    let exported = export(&reader, &out, &mut |_| true).unwrap().unwrap();
    let path = out.join("data/chunk-000/file-000.parquet");
    let bytes = std::fs::metadata(&path).unwrap().len();
    assert_eq!(exported, Exported { episodes: 2, frames: 3, successes: 1, bytes });
    let rows = rows(&path);
    assert_eq!(rows.len(), 3);
    let states = [[0.0, 0.25, 0.5], [0.0, 0.5, 0.5], [1.0, 0.75, 0.5]];
    let actions = [
        [0.5, -0.25, 0.125, 0.75, 1.0, 0.0],
        [-0.5, -0.25, 0.125, 0.75, 2.0, 0.0],
        [1.5, -0.25, 0.125, 0.75, 0.0, 1.0],
    ];
    let pixels = [image(0, 255, 0), image(255, 255, 0), image(255, 255, 102)];
    for (i, row) in rows.iter().enumerate() {
        assert_eq!(floats(&row["observation.state"]), states[i]);
        assert_eq!(floats(&row["action"]), actions[i]);
        let Cell::Group(group) = &row[IMAGE] else { panic!("no image") };
        let parts: Vec<_> = group.get_column_iter().collect();
        let (Cell::Bytes(png), Cell::Str(name)) = (parts[0].1, parts[1].1) else { panic!("{parts:?}") };
        assert_eq!((parts[0].0.as_str(), parts[1].0.as_str()), ("bytes", "path"));
        assert_eq!(crate::draw::png::decode_rgb(png.data()).unwrap().pixels, pixels[i]);
        assert_eq!(name, ["frame-000000.png", "frame-000001.png", "frame-000000.png"][i]);
        let expected = [
            ("next.reward", Cell::Float([-0.25, 0.0, 1.0][i])),
            ("next.done", Cell::Bool([false, true, true][i])),
            ("next.truncated", Cell::Bool([false, true, false][i])),
            ("next.success", Cell::Bool([false, false, true][i])),
            ("timestamp", Cell::Float([0.0, 1.0, 0.0][i])),
            ("frame_index", Cell::Long([0, 1, 0][i])),
            ("episode_index", Cell::Long([0, 0, 1][i])),
            ("index", Cell::Long(i as i64)),
            ("task_index", Cell::Long(0)),
        ];
        for (key, value) in expected {
            assert_eq!(row[key], value, "{key} of frame {i}");
        }
        assert_eq!(row.len(), 12);
    }
}

#[test]
fn episodes_tasks_and_features_are_described() {
    let folder = tempfile::tempdir().unwrap();
    let (recording, out) = (folder.path().join("recording"), folder.path().join("out"));
    export(&record(&recording, &two_episodes(), true), &out, &mut |_| true).unwrap();
    let episodes = rows(&out.join("meta/episodes/chunk-000/file-000.parquet"));
    let expected = [
        ("episode_index", [0, 1]),
        ("length", [2, 1]),
        ("dataset_from_index", [0, 2]),
        ("dataset_to_index", [2, 3]),
        ("data/chunk_index", [0, 0]),
        ("data/file_index", [0, 0]),
        ("seed", [-1, 7]),
    ];
    for (e, row) in episodes.iter().enumerate() {
        for (key, values) in expected {
            assert_eq!(row[key], Cell::Long(values[e]), "{key} of episode {e}");
        }
        assert_eq!(row["success"], Cell::Bool(e == 1));
        assert_eq!(list(&row["tasks"]), [Cell::Str(TASK.into())]);
    }
    // Reward of the first episode: -0.25 and 0.
    assert_eq!(list(&episodes[0]["stats/next.reward/mean"]), [Cell::Double(-0.125)]);
    assert_eq!(list(&episodes[0]["stats/next.reward/count"]), [Cell::Long(2)]);
    // Channel means of the first episode: red 0 and 1, green 1, blue 0 and 0.2 in both images; each in lists of its own.
    let channels: Vec<f64> = list(&episodes[0][&format!("stats/{IMAGE}/mean")])
        .iter()
        .map(|channel| match list(&list(channel)[0]) {
            [Cell::Double(mean)] => *mean,
            other => panic!("{other:?}"),
        })
        .collect();
    assert!((channels[0] - 0.5).abs() + (channels[1] - 1.0).abs() + (channels[2] - 0.1).abs() < 1e-12, "{channels:?}");

    let tasks = rows(&out.join("meta/tasks.parquet"));
    assert_eq!((&tasks[0]["task_index"], &tasks[0]["task"]), (&Cell::Long(0), &Cell::Str(TASK.into())));
    let info = json(&out.join("meta/info.json"));
    assert_eq!((&info["total_frames"], &info["total_episodes"]), (&Value::from(3), &Value::from(2)));
    assert_eq!(info["splits"]["train"], "0:2");
    assert_eq!(info["features"][IMAGE]["shape"], Value::from(vec![1, WIDTH, 3]));
    assert_eq!(info["features"]["action"]["names"].as_array().unwrap().len(), 6);
    assert_eq!(info["features"]["next.done"]["dtype"], "bool");
    // Every feature is a column of the frames, and the other way round.
    let frame = &rows(&out.join("data/chunk-000/file-000.parquet"))[0];
    let features: Vec<&String> = info["features"].as_object().unwrap().keys().collect();
    let mut columns: Vec<&String> = frame.keys().collect();
    columns.sort();
    assert!(
        features.len() == columns.len() && features.iter().all(|f| columns.contains(f)),
        "{features:?} {columns:?}"
    );
}

#[test]
fn statistics_by_hand() {
    let folder = tempfile::tempdir().unwrap();
    let (recording, out) = (folder.path().join("recording"), folder.path().join("out"));
    export(&record(&recording, &two_episodes(), true), &out, &mut |_| true).unwrap();
    let stats = json(&out.join("meta/stats.json"));
    let check = |key: &str, name: &str, expected: &[f64]| {
        let flat = |v: &Value| v.as_f64().or_else(|| v[0][0].as_f64()).unwrap();
        let found: Vec<f64> = stats[key][name].as_array().unwrap().iter().map(flat).collect();
        assert_eq!(found.len(), expected.len(), "{key}/{name}");
        let near = found.iter().zip(expected).all(|(f, e)| (f - e).abs() < 1e-9);
        assert!(near, "{key}/{name}: {found:?} instead of {expected:?}");
    };
    // Rewards -0.25, 0, 1: mean 0.25, squared distances 0.25, 0.0625, 0.5625, together 0.875.
    check("next.reward", "mean", &[0.25]);
    check("next.reward", "std", &[(0.875f64 / 3.0).sqrt()]);
    check("next.reward", "q50", &[0.0]);
    check("next.done", "mean", &[2.0 / 3.0]);
    check("next.done", "std", &[(2.0f64 / 9.0).sqrt()]);
    check("observation.state", "min", &[0.0, 0.25, 0.5]);
    check("observation.state", "max", &[1.0, 0.75, 0.5]);
    check("observation.state", "mean", &[1.0 / 3.0, 0.5, 0.5]);
    check("observation.state", "std", &[(2.0f64 / 9.0).sqrt(), (0.125f64 / 3.0).sqrt(), 0.0]);
    check("action", "mean", &[0.5, -0.25, 0.125, 0.75, 1.0, 1.0 / 3.0]);
    check("action", "max", &[1.5, -0.25, 0.125, 0.75, 2.0, 1.0]);
    check("index", "max", &[2.0]);
    // Pixels by channel over 255: red 0 0 1 1 1 1, green 1, blue 0 0.2 0 0.2 0.4 0.6. The last observations do not count.
    check(IMAGE, "min", &[0.0, 1.0, 0.0]);
    check(IMAGE, "max", &[1.0, 1.0, 0.6]);
    check(IMAGE, "mean", &[2.0 / 3.0, 1.0, 1.4 / 6.0]);
    check(IMAGE, "std", &[(2.0f64 / 9.0).sqrt(), 0.0, (0.6f64 / 6.0 - (1.4f64 / 6.0).powi(2)).sqrt()]);
    assert_eq!(stats[IMAGE]["count"], Value::from(vec![3]));
    assert_eq!(stats[IMAGE]["mean"][0][0].as_array().unwrap().len(), 1, "the shape is 3, 1, 1");
}

#[test]
fn levels_of_nested_lists() {
    assert!(repetition_levels(&[]) == [0]);
    assert_eq!(repetition_levels(&[3]), [0, 1, 1]);
    // [[a, b, c], [d, e, f]]
    assert_eq!(repetition_levels(&[2, 3]), [0, 2, 2, 1, 2, 2]);
    assert_eq!(repetition_levels(&[3, 1, 1]), [0, 1, 1]);
}

#[test]
fn large_datasets_go_to_several_files() {
    let folder = tempfile::tempdir().unwrap();
    let (recording, out) = (folder.path().join("recording"), folder.path().join("out"));
    let episodes: Vec<RecordedEpisode> = two_episodes().into_iter().cycle().take(5).collect();
    let reader = record(&recording, &episodes, true);
    // Every file is full after one episode.
    export_in_files(&reader, &out, 1, &mut |_| true).unwrap();
    assert_eq!(names(&out.join("data/chunk-000")).len(), 5);
    for e in 0..5 {
        let name = format!("chunk-000/file-{e:03}.parquet");
        let row = &rows(&out.join("meta/episodes").join(&name))[0];
        assert_eq!((&row["data/file_index"], &row["meta/episodes/file_index"]), (&Cell::Long(e), &Cell::Long(e)));
        let frames = rows(&out.join("data").join(&name));
        assert!(frames.iter().all(|frame| frame["episode_index"] == Cell::Long(e)));
        assert_eq!(frames[0]["index"], row["dataset_from_index"]);
    }
}

#[test]
fn many_rows_are_written_group_by_group() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.parquet");
    let fields = [Field::values("n", Kind::I64, &[]), Field::values("pair", Kind::F64, &[2])];
    let mut table = Table::create(&path, &fields, &[("key", "value".into())]).unwrap();
    for i in 0..2500 {
        table.push(vec![Cells::I64(vec![i]), Cells::F64(vec![i as f64, -1.0])]).unwrap();
    }
    assert!(table.push(vec![Cells::I64(vec![1])]).unwrap_err().to_string().contains("1 cells does not fit 2"));
    assert_eq!(table.commit().unwrap(), std::fs::metadata(&path).unwrap().len());
    let metadata = open(&path).metadata().clone();
    let groups: Vec<i64> = metadata.row_groups().iter().map(|group| group.num_rows()).collect();
    assert_eq!(groups, [1000, 1000, 500]);
    let pair = &metadata.file_metadata().key_value_metadata().unwrap()[0];
    assert_eq!((pair.key.as_str(), pair.value.as_deref()), ("key", Some("value")));
    for (i, row) in rows(&path).iter().enumerate() {
        assert_eq!(row["n"], Cell::Long(i as i64));
        assert_eq!(list(&row["pair"]), [Cell::Double(i as f64), Cell::Double(-1.0)]);
    }
}

#[test]
fn nothing_is_left_of_what_fails() {
    let folder = tempfile::tempdir().unwrap();
    let (recording, out) = (folder.path().join("recording"), folder.path().join("out"));
    let reader = record(&recording, &two_episodes(), true);
    assert_eq!(export(&reader, &out, &mut |done| done < 1).unwrap(), None);
    assert_eq!(names(folder.path()), ["recording"]);
    // What is there is kept.
    std::fs::create_dir(&out).unwrap();
    std::fs::write(out.join("thesis.txt"), "years").unwrap();
    let error = export(&reader, &out, &mut |_| true).unwrap_err();
    assert!(matches!(error, DataError::Occupied(_)), "{error}");
    assert_eq!(names(&out), ["thesis.txt"]);
    // An empty folder is taken.
    std::fs::remove_file(out.join("thesis.txt")).unwrap();
    export(&reader, &out, &mut |_| true).unwrap();
    assert_eq!(names(&out), ["README.md", "data", "meta"]);
    assert_eq!(names(folder.path()), ["out", "recording"]);
    // A damaged file is named.
    let shard = recording.join("episodes-000001.safetensors");
    std::fs::write(&shard, b"short").unwrap();
    let reader = EpisodeReader::open(&recording).unwrap();
    let error = export(&reader, &folder.path().join("other"), &mut |_| true).unwrap_err().to_string();
    assert!(error.contains("episodes-000001.safetensors"), "{error}");
    assert_eq!(names(folder.path()), ["out", "recording"]);
}

#[test]
fn what_cannot_be_normalized_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut episodes = two_episodes();
    episodes[1].observations[0].gripper.height_m = f32::NAN;
    let reader = record(&folder.path().join("recording"), &episodes, true);
    let error = export(&reader, &folder.path().join("out"), &mut |_| true).unwrap_err().to_string();
    assert!(error.contains("episode 1") && error.contains("not finite"), "{error}");
    let reader = record(&folder.path().join("begun"), &[], false);
    let error = export(&reader, &folder.path().join("out"), &mut |_| true).unwrap_err().to_string();
    assert!(error.contains("no episodes"), "{error}");
    // An incomplete recording gives what it has.
    let reader = record(&folder.path().join("half"), &two_episodes(), false);
    assert_eq!(export(&reader, &folder.path().join("out"), &mut |_| true).unwrap().unwrap().episodes, 2);
}
