//! Datasets written, broken off, gone on with, split and put together again.

use super::*;
use crate::contract::{Domain, Seed};
use crate::data::{DataError, testing};
use std::collections::BTreeMap;
use std::path::Path;

pub const SEED: Seed = Seed(11);
pub const SIZE: (usize, usize) = (24, 16);

pub fn config(format: Format, count: u64) -> DatasetConfig {
    let mut config = DatasetConfig::new(SEED, Domain::RandomizedMedium, count, (SIZE.0 as u32, SIZE.1 as u32));
    (config.format, config.block, config.pairs_per_tar) = (format, 3, 4);
    config
}

/// Every file below a folder, by its relative name.
pub fn files(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                found.insert(name, std::fs::read(&path).unwrap());
            }
        }
    }
    found
}

/// Writes pairs `from..to` in batches of three, block by block as a generator does.
pub fn write(writer: &mut PairWriter, to: u64) {
    let mut first = writer.next_index() / 3 * 3;
    while first < to {
        let count = (to - first).min(3) as usize;
        let frames = testing::frames(SEED, first, count, SIZE);
        writer.write(first, &frames, &testing::records(SEED, first, count)).unwrap();
        first += count as u64;
    }
}

/// A whole dataset.
pub fn dataset(root: &Path, config: &DatasetConfig) {
    let mut writer = PairWriter::create(root, config).unwrap();
    write(&mut writer, config.range().end);
    writer.finish().unwrap();
}

fn every_two() -> CommitEvery {
    CommitEvery { pairs: 2, bytes: usize::MAX }
}

#[test]
fn the_files_of_each_format() {
    for (format, expected) in [
        (
            Format::Folder,
            "README.md SHA256SUMS dataset.toml train/canonical/000000.png train/canonical/000001.png \
             train/depth/000000.png train/depth/000001.png train/instances/000000.png train/instances/000001.png train/metadata.jsonl \
             train/randomized/000000.png train/randomized/000001.png train/segmentation/000000.png \
             train/segmentation/000001.png",
        ),
        (Format::WebDataset, "README.md SHA256SUMS dataset.toml train-000000.tar"),
        (
            Format::Pix2Pix,
            "README.md SHA256SUMS dataset.toml depth/000000.png depth/000001.png instances/000000.png \
             instances/000001.png metadata.jsonl segmentation/000000.png segmentation/000001.png train/000000.png train/000001.png",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        dataset(folder.path(), &config(format, 2));
        let names: Vec<String> = files(folder.path()).into_keys().collect();
        assert_eq!(names.join(" "), expected);
        assert!(Manifest::read(folder.path()).unwrap().complete);
    }
}

/// The keys of a value and of all below it, and of what kind each is: what a reader infers a schema from.
fn schema(value: &serde_json::Value) -> String {
    use serde_json::Value;
    match value {
        Value::Null => "null".into(),
        Value::Bool(_) => "bool".into(),
        Value::Number(number) => if number.is_f64() { "float" } else { "int" }.into(),
        Value::String(_) => "text".into(),
        Value::Array(items) => {
            let kinds: std::collections::BTreeSet<String> = items.iter().map(schema).collect();
            format!("{kinds:?}")
        }
        Value::Object(members) => {
            members.iter().map(|(key, value)| format!("{key}: {}, ", schema(value))).collect::<String>()
        }
    }
}

#[test]
fn every_record_has_the_same_keys_and_kinds() {
    let folder = tempfile::tempdir().unwrap();
    // Every third of them has no action.
    dataset(folder.path(), &config(Format::Folder, 12));
    let text = std::fs::read_to_string(folder.path().join("train/metadata.jsonl")).unwrap();
    let schemas: std::collections::BTreeSet<String> =
        text.lines().map(|line| schema(&serde_json::from_str(line).unwrap())).collect();
    assert_eq!(schemas.len(), 1, "{schemas:#?}");
    let schema = schemas.first().unwrap();
    assert!(schema.contains("is_given: bool") && !schema.contains("null"), "{schema}");
    let reader = PairReader::open(folder.path()).unwrap();
    let given: Vec<bool> = (0..6).map(|i| reader.read(i).unwrap().meta.action.is_some()).collect();
    assert_eq!(given, [false, true, true, false, true, true]);
    // What an earlier version wrote.
    let old = |action: &str| {
        let mut value = serde_json::to_value(&reader.read(1).unwrap().meta).unwrap();
        value["action"] = serde_json::from_str(action).unwrap();
        serde_json::from_value::<PairMeta>(value).unwrap().action
    };
    assert_eq!(old("null"), None);
    let action = r#"{"translation_m": [0.5, 0, 0], "rotation_rad": 0.25, "gripper": "close", "terminate": true}"#;
    let expected = crate::contract::Action {
        translation_m: [0.5, 0.0, 0.0],
        rotation_rad: 0.25,
        gripper: crate::contract::GripperCommand::Close,
        terminate: true,
    };
    assert_eq!(old(action), Some(expected));
}

#[test]
fn the_readme_says_what_is_data() {
    for (format, data) in
        [(Format::Folder, "train/**"), (Format::WebDataset, "train-*.tar"), (Format::Pix2Pix, "train/*.png")]
    {
        let folder = tempfile::tempdir().unwrap();
        dataset(folder.path(), &config(format, 2));
        let text = std::fs::read_to_string(folder.path().join("README.md")).unwrap();
        assert!(text.starts_with("---\nconfigs:\n") && text.contains(&format!("path: \"{data}\"")), "{text}");
    }
}

#[test]
fn datasets_of_an_earlier_version_are_read_and_finished() {
    let config = config(Format::WebDataset, 11);
    let folder = tempfile::tempdir().unwrap();
    dataset(folder.path(), &config);
    let rename = |from: &str, to: &str| std::fs::rename(folder.path().join(from), folder.path().join(to)).unwrap();
    rename("SHA256SUMS", "checksums.txt");
    rename("train-000000.tar", "shard-000000.tar");
    let list = folder.path().join("checksums.txt");
    let text = std::fs::read_to_string(&list).unwrap().replace("  train-000000.tar", "  shard-000000.tar");
    std::fs::write(&list, &text).unwrap();
    let mut manifest = Manifest::read(folder.path()).unwrap();
    manifest.checksums_sha256 = Some(crate::files::atomic::sha256_hex(text.as_bytes()));
    manifest.write(folder.path()).unwrap();
    let report = check(folder.path(), &|_, _| {}).unwrap();
    assert!(report.is_ok() && report.pairs_readable == 11, "{:?}", report.problems);
}

#[test]
fn resumed_anywhere_equals_uninterrupted() {
    for format in Format::ALL {
        let whole = tempfile::tempdir().unwrap();
        dataset(whole.path(), &config(format, 11));
        let whole = files(whole.path());
        for stop in [0, 1, 2, 4, 5, 8, 10, 11] {
            let folder = tempfile::tempdir().unwrap();
            let mut writer = PairWriter::create_with(folder.path(), &config(format, 11), every_two()).unwrap();
            write(&mut writer, stop);
            drop(writer);
            // What a crash leaves: files that no line names, torn lines, temporary files.
            let metadata = Layout::new(&config(format, 11)).metadata();
            if format != Format::WebDataset {
                use std::io::Write;
                let path = folder.path().join(metadata);
                let mut file = std::fs::OpenOptions::new().append(true).open(path).unwrap();
                file.write_all(b"{\"randomized_file_name\":\"rando").unwrap();
            }
            std::fs::write(folder.path().join(".train-000000.tar.99-1.tmp"), b"half").unwrap();

            let mut writer = PairWriter::resume(folder.path(), &config(format, 11)).unwrap();
            let kept = writer.next_index();
            assert!(kept <= stop && stop - kept < 4 && writer.remaining() == 11 - kept, "{format} {stop} {kept}");
            write(&mut writer, 11);
            writer.finish().unwrap();
            assert!(files(folder.path()) == whole, "{format}, stopped at {stop}");
        }
    }
}

#[test]
fn resuming_a_complete_dataset_changes_nothing() {
    for format in Format::ALL {
        let folder = tempfile::tempdir().unwrap();
        dataset(folder.path(), &config(format, 5));
        let before = files(folder.path());
        let writer = PairWriter::resume(folder.path(), &config(format, 5)).unwrap();
        assert_eq!(writer.remaining(), 0);
        writer.finish().unwrap();
        assert!(files(folder.path()) == before, "{format}");
    }
}

#[test]
fn the_number_of_threads_and_the_batches_do_not_matter() {
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    dataset(a.path(), &config(Format::Folder, 9));
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    pool.install(|| {
        let mut writer = PairWriter::create_with(b.path(), &config(Format::Folder, 9), every_two()).unwrap();
        writer.write(0, &testing::frames(SEED, 0, 9, SIZE), &testing::records(SEED, 0, 9)).unwrap();
        writer.finish().unwrap();
    });
    assert!(files(a.path()) == files(b.path()));
}

#[test]
fn wrong_use_is_refused_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let wanted = config(Format::Folder, 4);
    dataset(folder.path(), &wanted);
    let text = |r: Result<PairWriter, DataError>| r.err().unwrap().to_string();
    assert!(text(PairWriter::create(folder.path(), &wanted)).contains("--resume"));
    let other = DatasetConfig { seed: Seed(12), ..wanted.clone() };
    let error = text(PairWriter::resume(folder.path(), &other));
    assert!(error.contains("seed is 11 there and 12 here"), "{error}");

    let folder = tempfile::tempdir().unwrap();
    let mut writer = PairWriter::create(folder.path(), &wanted).unwrap();
    assert!(text(PairWriter::resume(folder.path(), &wanted)).contains("in use by process"));
    let (frames, records) = (testing::frames(SEED, 0, 2, SIZE), testing::records(SEED, 0, 2));
    let fail = |r: Result<(), DataError>| r.unwrap_err().to_string();
    assert!(fail(writer.write(1, &frames, &records)).contains("pair 0 is missing"));
    assert!(fail(writer.write(0, &frames, &records[..1])).contains("1 records instead of 2"));
    let wide = testing::frames(SEED, 0, 2, (25, 16));
    assert!(fail(writer.write(0, &wide, &records)).contains("25x16 do not fit a dataset of 24x16"));
    let mut odd = frames.clone();
    odd.segmentation[5] = 77;
    assert!(fail(writer.write(0, &odd, &records)).contains("class id 77"));
    let mut infinite = records.clone();
    infinite[1].joints_rad[3] = f32::NAN;
    assert!(fail(writer.write(0, &frames, &infinite)).contains("not finite"));
    writer.write(0, &frames, &records).unwrap();
    assert!(fail(writer.finish()).contains("2 comes next"));
}

#[test]
fn what_was_written_is_read_back() {
    let (frames, records) = (testing::frames(SEED, 0, 7, SIZE), testing::records(SEED, 0, 7));
    for format in Format::ALL {
        let folder = tempfile::tempdir().unwrap();
        dataset(folder.path(), &config(format, 7));
        let reader = PairReader::open(folder.path()).unwrap();
        assert_eq!(reader.len(), 7);
        for (i, pair) in reader.iter(3).enumerate() {
            let pair = pair.unwrap();
            assert_eq!(pair.meta, PairMeta::new(i as u64, &frames, i, &records[i]), "{format}");
            assert_eq!(pair.randomized, frames.source_image(i));
            assert_eq!(pair.canonical, frames.canonical_image(i));
            assert_eq!(pair.segmentation, frames.segmentation_image(i));
            assert_eq!(pair.instances.as_deref(), Some(frames.instance_image(i)));
            let off =
                pair.depth_mm.iter().zip(frames.depth_image(i)).map(|(&mm, m)| (f32::from(mm) / 1000.0 - m).abs());
            assert!(off.fold(0.0, f32::max) <= 0.000_501);
        }
        let two: Vec<Pair> = reader.read_many(&[6, 2]).into_iter().collect::<Result<_, _>>().unwrap();
        let batch = to_frames(&two).unwrap();
        assert_eq!(batch.step_indices, [6, 2]);
        assert_eq!(batch.source_image(1), frames.source_image(2));
        assert!(reader.read(7).unwrap_err().to_string().contains("has 7"));
    }
}

#[test]
fn measured_depth_is_an_image_of_its_own_and_needs_no_other() {
    let mut frames = testing::frames(SEED, 0, 3, SIZE);
    frames.sensed_depth_m =
        frames.depth_m.iter().enumerate().map(|(i, d)| if i % 5 == 0 { 0.0 } else { d + 0.01 }).collect();
    let records = testing::records(SEED, 0, 3);
    for format in Format::ALL {
        let folder = tempfile::tempdir().unwrap();
        let wanted = DatasetConfig { sensed_depth: true, ..config(format, 3) };
        let mut writer = PairWriter::create(folder.path(), &wanted).unwrap();
        let lacking = testing::frames(SEED, 0, 3, SIZE);
        assert!(writer.write(0, &lacking, &records).unwrap_err().to_string().contains("0 measured depths"));
        writer.write(0, &frames, &records).unwrap();
        writer.finish().unwrap();
        assert!(check(folder.path(), &|_, _| {}).unwrap().is_ok());
        let reader = PairReader::open(folder.path()).unwrap();
        let batch = to_frames(&reader.iter(3).collect::<Result<Vec<_>, _>>().unwrap()).unwrap();
        for (found, sensed) in batch.sensed_depth_m.iter().zip(&frames.sensed_depth_m) {
            assert!((found - sensed).abs() <= 0.000_501 && (*sensed > 0.0 || *found == 0.0));
        }
        // Everything but the picture and its measured depth may be missing.
        if format == Format::Folder {
            for name in ["canonical", "segmentation", "depth", "instances"] {
                std::fs::remove_dir_all(folder.path().join("train").join(name)).unwrap();
            }
            std::fs::write(folder.path().join("train/metadata.jsonl"), "\n\n\n").unwrap();
        }
        let reader = PairReader::open(folder.path()).unwrap();
        assert_eq!(reader.source_rgb(1).unwrap(), frames.source_image(1), "{format}");
        let mm: Vec<u16> = frames.sensed_depth_image(1).iter().map(|&m| depth_to_mm(m)).collect();
        assert_eq!(reader.sensed_depth_mm(1).unwrap(), mm, "{format}");
        if format != Format::Folder {
            assert_eq!(reader.segmentation(2).unwrap(), frames.segmentation_image(2));
        }
    }
    let folder = tempfile::tempdir().unwrap();
    dataset(folder.path(), &config(Format::Folder, 2));
    assert!(!std::fs::read_to_string(folder.path().join("dataset.toml")).unwrap().contains("sensed"));
    let reader = PairReader::open(folder.path()).unwrap();
    assert!(reader.sensed_depth_mm(0).unwrap_err().to_string().contains("--sensed-depth"));
    assert!(to_frames(&[reader.read(0).unwrap()]).unwrap().sensed_depth_m.is_empty());
}

#[test]
fn an_unfinished_dataset_can_be_read() {
    for (format, expected) in [(Format::Folder, 6), (Format::WebDataset, 4), (Format::Pix2Pix, 6)] {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = PairWriter::create_with(folder.path(), &config(format, 11), every_two()).unwrap();
        write(&mut writer, 7);
        drop(writer);
        let reader = PairReader::open(folder.path()).unwrap();
        assert_eq!(reader.len(), expected, "{format}");
        assert!(reader.iter(4).all(|pair| pair.is_ok()));
    }
}

#[test]
fn damage_spoils_one_pair_and_is_named() {
    let folder = tempfile::tempdir().unwrap();
    dataset(folder.path(), &config(Format::Folder, 5));
    let at = |name: &str| folder.path().join("train").join(name);
    let cut = std::fs::read(at("canonical/000001.png")).unwrap();
    std::fs::write(at("canonical/000001.png"), &cut[..cut.len() / 2]).unwrap();
    std::fs::remove_file(at("depth/000002.png")).unwrap();
    std::fs::copy(at("randomized/000000.png"), at("segmentation/000003.png")).unwrap();
    let lines = std::fs::read_to_string(at("metadata.jsonl")).unwrap();
    std::fs::write(at("metadata.jsonl"), lines.replace("\"index\":4", "\"index\":four")).unwrap();

    let reader = PairReader::open(folder.path()).unwrap();
    let error = |i: usize| reader.read(i).unwrap_err().to_string();
    assert!(reader.read(0).is_ok());
    assert!(error(1).contains("canonical/000001.png"), "{}", error(1));
    assert!(error(2).contains("depth/000002.png") && error(2).contains("cannot open"), "{}", error(2));
    assert!(error(3).contains("segmentation/000003.png") && error(3).contains("Indexed"), "{}", error(3));
    assert!(error(4).contains("metadata.jsonl") && error(4).contains("line 5"), "{}", error(4));
}

#[test]
fn a_damaged_tar_keeps_its_other_pairs() {
    let folder = tempfile::tempdir().unwrap();
    dataset(folder.path(), &config(Format::WebDataset, 8));
    let path = folder.path().join("train-000001.tar");
    let bytes = std::fs::read(&path).unwrap();
    let name = b"000006.depth.png";
    let header = bytes.windows(name.len()).position(|w| w == name).unwrap();
    for (bad, expected) in [
        (bytes[..header + 100].to_vec(), "000006.depth.png is missing"),
        ([&bytes[..header + 540], &[0x55; 8][..], &bytes[header + 548..]].concat(), "000006.depth.png"),
        ([&bytes[..header + 140], b"garbage!", &bytes[header + 148..]].concat(), "000006.depth.png is missing"),
    ] {
        std::fs::write(&path, &bad).unwrap();
        let reader = PairReader::open(folder.path()).unwrap();
        assert!((0..6).all(|i| reader.read(i).is_ok()));
        let error = reader.read(6).unwrap_err().to_string();
        assert!(error.contains("train-000001.tar") && error.contains(expected), "{error}");
    }
    std::fs::remove_file(&path).unwrap();
    let reader = PairReader::open(folder.path()).unwrap();
    assert_eq!(reader.len(), 8);
    assert!(reader.read(3).is_ok());
    assert!(reader.read(4).unwrap_err().to_string().contains("train-000001.tar"));
}

#[test]
fn shards_merge_into_the_unsharded_dataset() {
    for format in Format::ALL {
        let whole = tempfile::tempdir().unwrap();
        dataset(whole.path(), &config(format, 11));
        let folder = tempfile::tempdir().unwrap();
        let mut parts = Vec::new();
        for index in [3, 1, 0, 2] {
            let part = folder.path().join(format!("part{index}"));
            dataset(&part, &DatasetConfig { shard: Some(Shard { index, of: 4 }), ..config(format, 11) });
            parts.push(part);
        }
        let out = folder.path().join("merged");
        merge(&parts, &out, &|_, _| {}).unwrap();
        assert!(files(&out) == files(whole.path()), "{format}");

        let text = |parts: &[std::path::PathBuf]| {
            merge(parts, &folder.path().join("other"), &|_, _| {}).unwrap_err().to_string()
        };
        assert!(text(&[]).contains("no shards"));
        assert!(text(&parts[1..]).contains("in none of the shards"), "{}", text(&parts[1..]));
        let twice = [parts.clone(), parts[2..3].to_vec()].concat();
        if !PairReader::open(&parts[2]).unwrap().is_empty() {
            assert!(text(&twice).contains("in two shards"), "{}", text(&twice));
        }
        let mut manifest = Manifest::read(&parts[1]).unwrap();
        manifest.dataset.seed = Seed(12);
        manifest.write(&parts[1]).unwrap();
        assert!(text(&parts).contains("seed is 11 there and 12 here"), "{}", text(&parts));
    }
}

#[test]
fn a_good_dataset_passes_its_check() {
    let frames = testing::frames(SEED, 0, 9, SIZE);
    for format in Format::ALL {
        let folder = tempfile::tempdir().unwrap();
        dataset(folder.path(), &config(format, 9));
        let calls = std::sync::atomic::AtomicU64::new(0);
        let report = check(folder.path(), &|done, total| {
            assert!(done <= total);
            calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        })
        .unwrap();
        assert!(report.is_ok(), "{:?}", report.problems);
        assert_eq!((report.pairs_readable, report.pairs_expected), (9, 9));
        let files =
            if format == Format::WebDataset { 3 } else { 1 + 9 * if format == Format::Pix2Pix { 4 } else { 5 } };
        assert_eq!(report.files_checked, files);
        assert_eq!(calls.into_inner(), files + 9);
        let objects = frames.segmentation.iter().filter(|&&id| id == 1).count() as u64;
        assert_eq!(report.classes[1].pixels, objects);
        assert_eq!(report.phases.values().sum::<u64>(), 9);
        assert_eq!(report.alignment.canonical, Some(Shift::default()));
        let nearest = frames.depth_m.iter().copied().filter(|&d| d > 0.0).fold(f32::INFINITY, f32::min);
        assert!((report.depth.nearest_m - f64::from(nearest)).abs() < 0.001);
    }
}

#[test]
fn the_check_names_every_kind_of_damage() {
    let problems = |spoil: &dyn Fn(&Path)| {
        let folder = tempfile::tempdir().unwrap();
        dataset(folder.path(), &config(Format::Folder, 4));
        spoil(folder.path());
        let report = check(folder.path(), &|_, _| {}).unwrap();
        assert!(!report.is_ok());
        report.problems.join("\n")
    };
    let train = |root: &Path, name: &str| root.join("train").join(name);
    let text = problems(&|root| {
        // Still a fine picture of the right size, but of another pair.
        std::fs::copy(train(root, "canonical/000001.png"), train(root, "canonical/000002.png")).unwrap();
    });
    assert!(text.contains("canonical/000002.png") && text.contains("has changed"), "{text}");
    let text = problems(&|root| std::fs::remove_file(train(root, "depth/000003.png")).unwrap());
    assert!(text.contains("depth/000003.png"), "{text}");
    let text = problems(&|root| {
        let path = root.join(CHECKSUMS_NAME);
        let list = std::fs::read_to_string(&path).unwrap();
        std::fs::write(path, list.replace("  train/depth/000000.png", "  ../../etc/passwd")).unwrap();
    });
    assert!(text.contains("line 4") && text.contains("not the one in dataset.toml"), "{text}");
    let text = problems(&|root| {
        let mut manifest = Manifest::read(root).unwrap();
        manifest.complete = false;
        manifest.write(root).unwrap();
    });
    assert!(text.contains("not complete"), "{text}");
}

#[test]
fn the_check_sees_images_that_do_not_belong_together() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = PairWriter::create(folder.path(), &config(Format::Folder, 6)).unwrap();
    let mut frames = testing::frames(SEED, 0, 6, SIZE);
    // Canonical images one pixel to the right, and a hole in the depth of the first object pixels.
    let row = SIZE.0 * 3;
    frames.canonical_rgb =
        frames.canonical_rgb.chunks_exact(row).flat_map(|r| [&r[..3], &r[..row - 3]].concat()).collect();
    let objects: Vec<usize> = (0..frames.segmentation.len()).filter(|&i| frames.segmentation[i] == 1).collect();
    objects[..8].iter().for_each(|&i| frames.depth_m[i] = 0.0);
    frames.instances[objects[8]] = 0;
    writer.write(0, &frames, &testing::records(SEED, 0, 6)).unwrap();
    writer.finish().unwrap();
    let problems = check(folder.path(), &|_, _| {}).unwrap().problems.join("\n");
    for expected in ["canonical images lie (1, 0) pixels", "have no depth", "background in one of class and instance"] {
        assert!(problems.contains(expected), "{problems}");
    }
}

#[test]
fn a_sheet_passes_over_damaged_pairs() {
    let folder = tempfile::tempdir().unwrap();
    dataset(folder.path(), &config(Format::Folder, 4));
    std::fs::write(folder.path().join("train/depth/000002.png"), b"no picture").unwrap();
    let reader = PairReader::open(folder.path()).unwrap();
    let canvas = sheet(&reader, 10, Seed(1)).unwrap().draw();
    // Three rows of 16 pixels enlarged eleven times.
    assert!(canvas.height > 3 * 176 && canvas.height < 4 * 176 + 200, "{}", canvas.height);
    assert_eq!(canvas, sheet(&reader, 10, Seed(1)).unwrap().draw());
}
