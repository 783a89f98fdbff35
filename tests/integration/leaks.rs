//! The leak rule, held by whole runs as a user starts them: what a learner may not see of the real world (seeds, which objects
//! were held, where bins stand, masks, depth, canonical pictures) is filled with garbage, and no byte of its weights changes.
//! That what it may see does change them shows that the comparison can fail.

use super::training::{checksums, run, sound};
use bingrasp::contract::{Episode, Failure, PrivilegedState, Rng, Seed};
use bingrasp::data::episodes::{EpisodeReader, EpisodeWriter, EpisodesConfig, RecordedCell};
use std::path::Path;

/// A copy of a recording, changed.
fn rewritten(from: &str, to: &str, config: EpisodesConfig, mut change: impl FnMut(&mut Episode)) {
    let reader = EpisodeReader::open(Path::new(from)).expect("a recording");
    let mut writer = EpisodeWriter::create(Path::new(to), &config).expect("a new recording");
    for episode in reader.iter() {
        let mut episode = episode.expect("an episode");
        change(&mut episode);
        writer.write(&episode).expect("written");
    }
    writer.finish().expect("finished");
}

/// Everything in an episode that no robot knows; whether it succeeded is its reward.
fn spoil(episode: &mut Episode, rng: &mut Rng) {
    episode.seed = Seed(rng.next_u64());
    episode.number = rng.below(1000);
    episode.grasped.iter_mut().for_each(|object| *object = 5 + rng.below(10));
    episode.bin_group = [rng.range(-1.0, 1.0), rng.range(-1.0, 1.0), rng.range(-3.0, 3.0)];
    episode.failure = rng.chance(0.5).then_some(Failure::Invalid);
    let heights: Vec<f32> = (0..32 * 32).map(|_| rng.range(0.0, 0.2)).collect();
    let state = PrivilegedState::new(&heights, Some(rng.range(-0.1, 0.1)), glam::Vec2::ZERO, rng.f32());
    episode.privileged = vec![state; episode.steps.len()];
}

#[test]
fn what_a_recording_of_reality_may_not_tell_reaches_no_weight() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = |name: &str| folder.path().join(name).display().to_string();
    let [real, spoiled, other] = ["real", "spoiled", "other"].map(&place);
    sound(&run(&["episodes", "record", "--out", &real, "--domain", "reality", "--count", "6", "--seed", "2"]));
    let config = EpisodeReader::open(Path::new(&real)).expect("a recording").config().clone();
    let mut rng = Seed(9).rng();
    let garbage = EpisodesConfig {
        seed: Seed(1234),
        cell: RecordedCell { name: config.cell.name.clone(), digest: "0".repeat(64) },
        ..config.clone()
    };
    rewritten(&real, &spoiled, garbage, |episode| spoil(episode, &mut rng));
    rewritten(&real, &other, config, |episode| {
        episode.observations.iter_mut().for_each(|seen| seen.image[2016] ^= 0x80);
    });

    let trained = |recording: &str, name: &str| {
        let out = place(name);
        let words = [
            &["train", "qtopt", "--out", &out, "--steps", "5", "--real", recording, "--batch", "16"][..],
            &["--set", "qtopt.encoder_supervision=q-gradient", "--set", "qtopt.network.map_features=4"],
            &["--set", "qtopt.network.grip_features=64", "--set", "qtopt.network.features=64"],
            &["--set", "qtopt.exploration.initial_episodes=4", "--set", "qtopt.episodes_per_iteration=4"],
            &["--set", "qtopt.updates_per_iteration=4", "--set", "qtopt.bellman_batch=64"],
            &["--set", "qtopt.training_buffer=64", "--set", "qtopt.segment_len=64", "--set", "data.num_envs=4"],
        ];
        sound(&run(&words.concat()));
        checksums(&out, 4)
    };
    let expected = trained(&real, "run");
    assert_eq!(trained(&spoiled, "spoiled-run"), expected);
    assert_ne!(trained(&other, "other-run"), expected, "a changed pixel must be seen");

    // What joins a simulator and the same recording.
    let init = place("run");
    for method in ["cyclegan", "graspgan", "rl-cyclegan"] {
        let joined = |recording: &str, name: &str| {
            let out = place(&format!("{method}-{name}"));
            let words = [
                &["train", method, "--out", &out, "--steps", "2", "--init", &init, "--real", recording][..],
                &["--batch", "2", "--set", "rl-cyclegan.held_out_episodes=1"],
                &["--set", "rl-cyclegan.judged_episodes=0", "--set", "rl-cyclegan.q_interval=1"],
                &["--set", "rl-cyclegan.qtopt.episodes_per_iteration=2"],
                &["--set", "rl-cyclegan.qtopt.updates_per_iteration=2", "--set", "rl-cyclegan.sim_episodes=4"],
            ];
            sound(&run(&words.concat()));
            checksums(&out, 1)
        };
        let expected = joined(&real, "run");
        assert_eq!(joined(&spoiled, "spoiled"), expected, "{method}");
        assert_ne!(joined(&other, "other"), expected, "{method}: a changed pixel must be seen");
    }
}

#[test]
fn unpaired_translation_learns_from_pictures_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = |name: &str| folder.path().join(name).display().to_string();
    for (name, domain) in [("A", "canonical"), ("B", "reality")] {
        let words = ["dataset", "generate", "--out", &place(name), "--domain", domain, "--count", "8", "--size", "32"];
        sound(&run(&[&words[..], &["--num-envs", "4", "--seed", "4"]].concat()));
    }
    // The same pictures with what a dataset holds beside them, true or spoiled.
    let arrange = |root: &str, spoiled: bool, picture: Option<u8>| {
        for side in ["A", "B"] {
            let (from, to) = (place(side), Path::new(root).join(format!("train{side}")));
            std::fs::create_dir_all(&to).expect("a folder");
            for (kind, folder) in
                [("randomized", ""), ("canonical", "canonical"), ("segmentation", "segmentation"), ("depth", "depth")]
            {
                for (number, file) in pictures(Path::new(&from), kind).iter().enumerate() {
                    let target = to.join(folder);
                    std::fs::create_dir_all(&target).expect("a folder");
                    let mut image = image::open(file).expect("a picture").to_rgb8();
                    let changes =
                        if folder.is_empty() { picture.filter(|_| side == "B") } else { spoiled.then_some(77) };
                    if let Some(by) = changes {
                        image.pixels_mut().for_each(|pixel| pixel.0[0] = pixel.0[0].wrapping_mul(31).wrapping_add(by));
                    }
                    image.save(target.join(format!("{number:03}.png"))).expect("saved");
                }
            }
            let seeds = if spoiled { "{\"episode_seed\": 1}\n" } else { "{\"episode_seed\": 2}\n" };
            std::fs::write(to.join("metadata.jsonl"), seeds).expect("written");
        }
    };
    let trained = |name: &str, spoiled: bool, picture: Option<u8>| {
        let (data, out) = (place(&format!("{name}-data")), place(name));
        arrange(&data, spoiled, picture);
        let words = ["train", "cyclegan", "--data", &data, "--out", &out, "--steps", "3", "--batch", "2"];
        sound(&run(&[&words[..], &["--set", "cyclegan.size=32", "--set", "data.images.load_size=36"]].concat()));
        checksums(&out, 2)
    };
    let expected = trained("run", false, None);
    assert_eq!(trained("spoiled", true, None), expected);
    assert_ne!(trained("other", false, Some(3)), expected, "changed pictures must be seen");
}

/// The pictures of one kind in a dataset, in the order of their names.
fn pictures(root: &Path, kind: &str) -> Vec<std::path::PathBuf> {
    let mut folders = vec![root.to_owned()];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder").flatten() {
            let path = entry.path();
            let named = path.strip_prefix(root).expect("below the root").to_string_lossy().contains(kind);
            if path.is_dir() {
                folders.push(path);
            } else if named && path.extension().is_some_and(|extension| extension == "png") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}
