//! A bit of a file turns over on the disk. A reader must say so, and whatever lies in other files must read as before.
//!
//! `BINGRASP_BIT_FLIPS=100000 cargo test --release --lib bit_flips` turns over that many bits of checkpoints, recordings and
//! datasets each, one at a time; by default a few hundred.

use super::episodes::{EpisodeReader, EpisodeWriter, tests as recording};
use super::paired::{self, Format, Manifest, Pair, PairReader, tests as pairs};
use crate::contract::{Episode, Rng, Seed};
use crate::train::{CheckpointContent, Checkpoints, TensorBytes};
use std::path::{Path, PathBuf};

fn flips() -> u64 {
    std::env::var("BINGRASP_BIT_FLIPS").map_or(300, |text| text.parse().expect("a number of bits"))
}

/// In memory where the system has such a place.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a folder")
}

/// Turns over bits, one at a time, of the files in `root`: each byte is as likely as any other. `look` is shown the name of the
/// file that has one and says what is wrong.
fn turn_bits_over(root: &Path, count: u64, look: impl Fn(&str) -> Result<(), String>) {
    let files: Vec<(String, Vec<u8>)> =
        pairs::files(root).into_iter().filter(|(name, _)| name != "README.md").collect();
    let bytes: usize = files.iter().map(|(_, contents)| contents.len()).sum();
    let mut rng: Rng = Seed(5).derive("bit flips", bytes as u64).rng();
    let mut wrong = Vec::new();
    for _ in 0..count {
        let mut at = rng.below(bytes);
        let hit = files.iter().find(|(_, contents)| {
            let inside = at < contents.len();
            at -= if inside { 0 } else { contents.len() };
            inside
        });
        let (name, contents) = hit.expect("a byte of a file");
        let mut turned = contents.clone();
        turned[at] ^= 1 << rng.below(8);
        let path: PathBuf = root.join(name);
        std::fs::write(&path, &turned).expect("written");
        if let Err(what) = look(name) {
            let around =
                String::from_utf8_lossy(&contents[at.saturating_sub(20)..(at + 20).min(contents.len())]).into_owned();
            wrong.push(format!(
                "{name}, byte {at} ({around:?}), {:#04x} in place of {:#04x}: {what}",
                turned[at], contents[at]
            ));
        }
        std::fs::write(&path, contents).expect("written");
    }
    assert!(look("").is_err(), "whole again, nothing may be found");
    let few = wrong.iter().take(20).cloned().collect::<Vec<_>>().join("\n");
    assert!(wrong.is_empty(), "{} of {count} bits:\n{few}", wrong.len());
}

#[test]
fn a_bit_of_a_checkpoint_is_noticed_and_the_one_before_loads() {
    let folder = folder();
    let checkpoints = Checkpoints::new(folder.path().join("checkpoints"));
    let save = |step: u64| {
        let weights: Vec<f32> = (0..60).map(|i| (i as f32 + step as f32).sin()).collect();
        let state = serde_json::json!({ "rng": [step, u64::MAX], "mean": 0.1 * step as f64, "name": "a run" });
        let mut content = CheckpointContent { state, ..CheckpointContent::default() };
        for group in ["model", "optimizer", "replay"] {
            let tensors = vec![
                (format!("{group}.weight"), TensorBytes::f32(&[6, 10], &weights)),
                (format!("{group}.count"), TensorBytes::u8(&[3], &[1, 2, 3])),
            ];
            content.groups.insert(group.into(), tensors);
        }
        checkpoints.save(step, &content).expect("saved");
    };
    save(1);
    save(2);
    let loaded = |found: &crate::train::Checkpoint| {
        let groups = found.groups.iter().map(|(name, file)| format!("{name}: {:?}", file.tensors().expect("sound")));
        (found.step, found.state.clone(), groups.collect::<Vec<_>>())
    };
    let before = loaded(&checkpoints.load(1).expect("whole"));
    turn_bits_over(&checkpoints.path(2), flips(), |_| {
        let mut said = Vec::new();
        let found = checkpoints.load_latest(|error| said.push(error.to_string())).map_err(|error| error.to_string())?;
        let found = found.ok_or("no checkpoint was found")?;
        if loaded(&found) != before {
            return Err(format!("step {} was taken for whole", found.step));
        }
        let named = said.len() == 1 && said[0].contains("step-000000002");
        named.then_some(()).ok_or_else(|| format!("it was not named: {said:?}"))
    });
}

#[test]
fn a_bit_of_a_recording_is_noticed_and_the_other_files_are_read() {
    let folder = folder();
    let config = recording::config(6);
    let mut writer = EpisodeWriter::create(folder.path(), &config).expect("a new recording");
    (0..6).for_each(|number| writer.write(&recording::episode(number)).expect("written"));
    writer.finish().expect("finished");
    let read = |number: u64| EpisodeReader::open(folder.path()).and_then(|reader| reader.read(number));
    let whole: Vec<Episode> = (0..6).map(|number| read(number).expect("sound")).collect();
    turn_bits_over(folder.path(), flips(), |name| {
        let reader = EpisodeReader::open(folder.path());
        let reader = match reader {
            Ok(reader) => reader,
            // Settings and lists are needed for anything.
            Err(_) if !name.ends_with(".safetensors") => return Ok(()),
            Err(error) => return Err(format!("nothing can be read: {error}")),
        };
        let mut noticed = 0;
        for (number, before) in (0..).zip(&whole) {
            let is_here = name == format!("episodes-{:06}.safetensors", number / 3);
            match reader.read(number) {
                Ok(episode) if episode == *before && !is_here => {}
                Ok(_) => return Err(format!("episode {number} was taken for whole")),
                Err(_) if is_here || !name.ends_with(".safetensors") => noticed += 1,
                Err(error) => return Err(format!("episode {number} lies elsewhere: {error}")),
            }
        }
        (noticed > 0).then_some(()).ok_or_else(|| "nobody noticed".into())
    });
}

/// The pairs that lie in a file, of a dataset of four in tars of two.
fn lies_in(name: &str, pair: usize) -> bool {
    match name.strip_suffix(".tar") {
        Some(tar) => tar.ends_with(&format!("{:06}", pair / 2)),
        None => name.ends_with(&format!("{pair:06}.png")),
    }
}

fn dataset_of(format: Format) {
    let folder = folder();
    let mut config = pairs::config(format, 4);
    config.pairs_per_tar = 2;
    pairs::dataset(folder.path(), &config);
    let read = |position: usize| PairReader::open(folder.path()).and_then(|reader| reader.read(position));
    let settings = Manifest::read(folder.path()).expect("settings");
    let whole: Vec<Pair> = (0..4).map(|position| read(position).expect("sound")).collect();
    turn_bits_over(folder.path(), flips().div_ceil(3), |name| {
        if name == "dataset.toml" && Manifest::read(folder.path()).is_ok_and(|manifest| manifest == settings) {
            // A bit of a comment.
            return Ok(());
        }
        let is_data = name.ends_with(".png") || name.ends_with(".tar");
        let report = match paired::check(folder.path(), &|_, _| ()) {
            Ok(report) => report,
            Err(_) if !is_data => return Ok(()),
            Err(error) => return Err(format!("it cannot be checked: {error}")),
        };
        if report.is_ok() {
            return Err("the check finds nothing".into());
        }
        let reader = PairReader::open(folder.path()).map_err(|error| error.to_string())?;
        for (position, before) in whole.iter().enumerate().filter(|(position, _)| is_data && !lies_in(name, *position))
        {
            match reader.read(position) {
                Ok(pair) if pair == *before => {}
                Ok(_) => return Err(format!("pair {position} has changed")),
                Err(error) => return Err(format!("pair {position} lies elsewhere: {error}")),
            }
        }
        Ok(())
    });
}

#[test]
fn a_bit_of_a_dataset_in_folders_is_noticed_and_the_other_pairs_are_read() {
    dataset_of(Format::Folder);
}

#[test]
fn a_bit_of_a_dataset_in_tars_is_noticed_and_the_other_tars_are_read() {
    dataset_of(Format::WebDataset);
}

#[test]
fn a_bit_of_a_dataset_in_pairs_of_pictures_is_noticed_and_the_other_pairs_are_read() {
    dataset_of(Format::Pix2Pix);
}
