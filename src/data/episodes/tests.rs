use super::*;
use crate::contract::{
    Action, Displacement, Episode, EpisodeObservation, EpisodeStep, GripperCommand, GripperState, Rng,
};
use std::path::Path;

pub fn config(count: u64) -> EpisodesConfig {
    EpisodesConfig {
        seed: Seed(u64::MAX),
        domain: Domain::Canonical,
        width: 5,
        height: 4,
        count,
        episodes_per_shard: 3,
        cell: RecordedCell { name: "iiwa-bin".into(), digest: "0".into() },
        policy: "scripted".into(),
        generator: toml::Table::new(),
    }
}

pub fn episode(number: u64) -> Episode {
    let mut rng: Rng = Seed(8).derive("episode", number).rng();
    let steps = 1 + rng.below(5);
    let displacement = |rng: &mut Rng| Displacement {
        translation_m: [rng.normal(), rng.normal(), rng.normal()],
        rotation_rad: rng.normal(),
    };
    let observation = |rng: &mut Rng| EpisodeObservation {
        image: (0..60).map(|_| rng.next_u64() as u8).collect(),
        gripper: GripperState {
            closed: rng.chance(0.5),
            height_m: rng.f32(),
            aperture_m: rng.f32(),
            commanded: displacement(rng),
            achieved: displacement(rng),
        },
    };
    let step = |rng: &mut Rng, last: bool| EpisodeStep {
        action: Action {
            translation_m: [rng.normal(), rng.normal(), rng.normal()],
            rotation_rad: rng.normal(),
            gripper: *rng.pick(&[GripperCommand::Keep, GripperCommand::Close, GripperCommand::Open]),
            terminate: last,
        },
        reward: if last { 1.0 } else { -0.05 },
        terminated: last && number != 7,
        truncated: false,
        invalid: last && number == 7,
        exploratory: rng.chance(0.5),
        value: None,
    };
    Episode {
        seed: Seed(rng.next_u64()),
        bin_group: [rng.normal(), rng.normal(), rng.normal()],
        observations: (0..=steps).map(|_| observation(&mut rng)).collect(),
        steps: (0..steps).map(|i| step(&mut rng, i + 1 == steps)).collect(),
        grasped: (0..number as usize % 3).map(|i| i * 31).collect(),
        ..Episode::default()
    }
}

fn record(root: &Path, count: u64) {
    let mut writer = EpisodeWriter::create(root, &config(count)).unwrap();
    (0..count).for_each(|i| writer.write(&episode(i)).unwrap());
    writer.finish().unwrap();
}

fn files(root: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = std::fs::read_dir(root).unwrap().map(|e| e.unwrap());
    let mut files: Vec<_> =
        entries.map(|e| (e.file_name().into_string().unwrap(), std::fs::read(e.path()).unwrap())).collect();
    files.sort();
    files
}

#[test]
fn what_was_recorded_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    record(folder.path(), 8);
    let reader = EpisodeReader::open(folder.path()).unwrap();
    assert_eq!((reader.len(), reader.is_complete()), (8, true));
    for (i, found) in reader.iter().enumerate() {
        assert_eq!(found.unwrap(), episode(i as u64));
    }
    assert_eq!(reader.read(2).unwrap(), episode(2));
    let images: Vec<Vec<u8>> = episode(5).observations.into_iter().map(|o| o.image).collect();
    let pngs = reader.pngs(5).unwrap();
    assert_eq!(pngs.iter().map(|file| crate::draw::png::decode_rgb(file).unwrap().pixels).collect::<Vec<_>>(), images);
    assert!(reader.read(8).unwrap_err().to_string().contains("has 8"));
}

#[test]
fn resumed_equals_uninterrupted() {
    let whole = tempfile::tempdir().unwrap();
    record(whole.path(), 8);
    for stop in 0..=8 {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = EpisodeWriter::create(folder.path(), &config(8)).unwrap();
        (0..stop).for_each(|i| writer.write(&episode(i)).unwrap());
        drop(writer);
        assert_eq!(EpisodeReader::open(folder.path()).unwrap().len(), if stop == 8 { 8 } else { stop / 3 * 3 });
        let mut writer = EpisodeWriter::resume(folder.path(), &config(8)).unwrap();
        (writer.next_episode()..8).for_each(|i| writer.write(&episode(i)).unwrap());
        writer.finish().unwrap();
        assert!(files(folder.path()) == files(whole.path()), "stopped at {stop}");
    }
    let other = EpisodesConfig { policy: "random".into(), ..config(8) };
    let error = EpisodeWriter::resume(whole.path(), &other).err().unwrap().to_string();
    assert!(error.contains("episodes.policy is \"scripted\" there and \"random\" here"), "{error}");
    assert!(matches!(EpisodeWriter::create(whole.path(), &config(8)), Err(DataError::Exists(_))));
}

#[test]
fn a_damaged_shard_is_named_and_the_others_stay_readable() {
    let folder = tempfile::tempdir().unwrap();
    record(folder.path(), 8);
    let path = folder.path().join("episodes-000001.safetensors");
    let bytes = std::fs::read(&path).unwrap();
    for bad in [&bytes[..bytes.len() - 7], &bytes[..3], b""] {
        std::fs::write(&path, bad).unwrap();
        let reader = EpisodeReader::open(folder.path()).unwrap();
        let good: Vec<bool> = reader.iter().map(|e| e.is_ok()).collect();
        assert_eq!(good, [true, true, true, false, false, false, true, true]);
        assert!(reader.read(4).unwrap_err().to_string().contains("episodes-000001.safetensors"));
    }
}

#[test]
fn tensors_that_do_not_fit_are_refused_even_with_the_right_checksum() {
    let folder = tempfile::tempdir().unwrap();
    record(folder.path(), 3);
    let path = folder.path().join("episodes-000000.safetensors");
    let file = crate::train::TensorFile::read(&path).unwrap();
    for (name, message) in [
        ("reward", "do not fit"),
        ("episode_offset", "do not fit"),
        ("image_offset", "do not fit"),
        ("action", "no tensor"),
    ] {
        let mut tensors = file.tensors().unwrap();
        let at = tensors.iter().position(|(n, _)| n == name).unwrap();
        if name == "action" {
            tensors.remove(at);
        } else {
            // The first number becomes -1; for `reward`, one number is lost.
            let tensor = &mut tensors[at].1;
            let mut data = tensor.data.to_vec();
            if name == "reward" {
                data.truncate(data.len() - 4);
                tensor.shape = vec![data.len() / 4];
            } else {
                data[..8].fill(0xFF);
            }
            tensor.data = data.into();
        }
        crate::train::save_tensors(&path, &tensors).unwrap();
        let error = super::shard::Shard::read(&path).err().unwrap().to_string();
        assert!(error.contains(message), "{name}: {error}");
    }
}

#[test]
fn a_recording_of_an_earlier_version_is_refused_with_the_cure() {
    let folder = tempfile::tempdir().unwrap();
    record(folder.path(), 3);
    let path = folder.path().join("episodes.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let said = |format: &str| {
        std::fs::write(&path, text.replace("format_version = 3", format)).unwrap();
        EpisodeReader::open(folder.path()).err().unwrap().to_string()
    };
    let error = said("format_version = 2\nan_old_key = 3");
    for part in ["episodes.toml", "format 2", "reads format 3", "bingrasp 0.1", "record the episodes again"] {
        assert!(error.contains(part), "'{part}' is not in: {error}");
    }
    assert!(said("format_version = 4").contains("newer release"));
}

#[test]
fn what_does_not_fit_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = EpisodeWriter::create(folder.path(), &config(2)).unwrap();
    let text = |writer: &mut EpisodeWriter, e: &Episode| writer.write(e).unwrap_err().to_string();
    let mut short = episode(1);
    short.observations.pop();
    assert!(text(&mut writer, &short).contains("n steps need n + 1"));
    let mut small = episode(1);
    small.observations[0].image.pop();
    assert!(text(&mut writer, &small).contains("59 bytes instead of 5x4x3"));
    let mut odd = episode(1);
    odd.steps[0].reward = f32::NAN;
    assert!(text(&mut writer, &odd).contains("not a finite number"));
    let many = Episode { grasped: vec![63], ..episode(1) };
    assert!(text(&mut writer, &many).contains("object 63"));
    writer.write(&episode(0)).unwrap();
    assert!(writer.finish().unwrap_err().to_string().contains("1 of 2 episodes are missing"));
}

#[test]
fn a_recording_of_reality_does_not_hold_what_only_a_simulator_knows() {
    for domain in Domain::ALL {
        let folder = tempfile::tempdir().unwrap();
        let config = EpisodesConfig { domain, ..config(1) };
        let mut writer = EpisodeWriter::create(folder.path(), &config).unwrap();
        writer.write(&episode(0)).unwrap();
        writer.finish().unwrap();
        let file = crate::train::TensorFile::read(&folder.path().join("episodes-000000.safetensors")).unwrap();
        let tensors = file.tensors().unwrap();
        let names: Vec<&str> = tensors.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names.contains(&"bin_group"), !domain.stands_for_reality(), "{domain}: {names:?}");
        let back = EpisodeReader::open(folder.path()).unwrap().read(0).unwrap();
        let expected = if domain.stands_for_reality() { [0.0; 3] } else { episode(0).bin_group };
        assert_eq!(back.bin_group, expected);
    }
}
