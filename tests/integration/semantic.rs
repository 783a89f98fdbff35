//! `train semantic-cyclegan` as a user calls it: from datasets and from folders, killed and resumed to the same bytes, and
//! blind to what only a simulator knows of reality.

use super::training::{checksums, kill_at_first_checkpoint, run, sound};
use std::path::Path;

const STEPS: u64 = 6;

fn dataset(out: &Path, domain: &str, seed: &str) {
    let out = out.to_string_lossy();
    sound(&run(&[
        "dataset",
        "generate",
        "--out",
        &out,
        "--domain",
        domain,
        "--seed",
        seed,
        "--sensed-depth",
        "--count",
        "12",
        "--num-envs",
        "4",
        "--size",
        "64",
    ]));
}

fn train_args<'a>(out: &'a str, simulation: &'a str, reality: &'a str) -> Vec<&'a str> {
    let mut args = vec!["train", "semantic-cyclegan", "--out", out, "--simulation", simulation, "--reality", reality];
    args.extend(["--batch", "2", "--steps", "6", "--set", "semantic-cyclegan.filters=1"]);
    args.extend(["--set", "checkpoint_interval=2", "--set", "image_interval=4", "--seed", "3"]);
    args
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a new folder");
    for entry in std::fs::read_dir(from).expect("a folder").flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("a copy");
        }
    }
}

#[test]
fn a_run_is_the_same_killed_resumed_from_folders_and_with_garbage_for_labels_of_reality() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let text = |name: &str| at(name).to_string_lossy().into_owned();
    let (simulation, reality) = (text("simulation"), text("reality"));
    dataset(&at("simulation"), "canonical", "1");
    dataset(&at("reality"), "reality", "2");
    let whole = text("whole");
    let train = |out: &str, reality: &str| sound(&run(&train_args(out, &simulation, reality)));
    train(&whole, &reality);
    let expected = checksums(&whole, STEPS - 1);

    let killed = text("killed");
    kill_at_first_checkpoint(&train_args(&killed, &simulation, &reality), &killed);
    sound(&run(&["train", "semantic-cyclegan", "--out", &killed, "--resume"]));
    assert_eq!(checksums(&killed, STEPS - 1), expected, "killed and resumed");

    // Masks, true depth, canonical pictures and records of reality are not read: garbage in their place changes nothing.
    let garbled = at("garbled");
    copy_folder(&at("reality"), &garbled);
    for forbidden in ["segmentation", "depth", "canonical", "instances"] {
        for file in std::fs::read_dir(garbled.join("train").join(forbidden)).expect("its images").flatten() {
            std::fs::write(file.path(), "garbage").expect("written");
        }
    }
    let lines = std::fs::read_to_string(garbled.join("train/metadata.jsonl")).expect("records").lines().count();
    std::fs::write(garbled.join("train/metadata.jsonl"), "garbage\n".repeat(lines)).expect("written");
    train(&text("from-garbled"), &text("garbled"));
    assert_eq!(checksums(&text("from-garbled"), STEPS - 1), expected, "labels of reality were read");

    // Folders of one's own, and a resumed run that finds the same images there.
    for (from, to) in [("randomized", "rgb"), ("sensed_depth", "depth")] {
        copy_folder(&at("reality").join("train").join(from), &at("photos").join(to));
    }
    train(&text("from-photos"), &text("photos"));
    assert_eq!(checksums(&text("from-photos"), STEPS - 1), expected, "a folder with rgb/ and depth/");
    let resume = ["train", "semantic-cyclegan", "--out", &whole, "--resume", "--reality"];
    sound(&run(&[&resume[..], &[text("photos").as_str()]].concat()));
    let other = run(&[&resume[..], &[simulation.as_str()]].concat());
    assert_eq!(other.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&other.stderr).contains("--reality"), "{other:?}");

    // What reads the run.
    let report = sound(&run(&["eval", "translation", "--generator", &whole, "--count", "8", "--json"]));
    let report: serde_json::Value = serde_json::from_str(&report).expect("JSON");
    assert_eq!((report["frames"].as_u64(), report["domain"].as_str()), (Some(8), Some("reality")));
    assert!(report["object_iou"].as_f64().is_some() && report["depth_mae_object_m"].is_number(), "{report}");
    assert!(Path::new(&whole).join("translation-reality.png").is_file());
    for (input, name) in [("photos", "000003.png"), ("reality", "000003.png")] {
        let out = text(&format!("translated-{input}"));
        let translate = ["translate", "--generator", &whole, "--backward", &text(input), &out];
        sound(&run(&translate));
        for part in [name.to_owned(), format!("mask/{name}"), format!("depth/{name}")] {
            assert!(Path::new(&out).join(&part).is_file(), "{part}");
        }
        // What is there already may be somebody's.
        let again = run(&translate);
        assert_eq!(again.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&again.stderr).contains("nothing is replaced"), "{again:?}");
    }
    // Two pictures cannot have one depth, and what is not read is named.
    std::fs::write(at("photos").join("rgb/notes.heic"), b"not read").expect("written");
    let listed = run(&["translate", "--generator", &whole, "--json", &text("photos"), &text("listed")]);
    assert_eq!(listed.status.code(), Some(1));
    let report: serde_json::Value = serde_json::from_slice(&listed.stdout).expect("JSON");
    assert!(report["left_out"].to_string().contains("notes.heic") && report["failed"] == 1, "{report}");
    let twin = image::open(at("photos").join("rgb/000003.png")).expect("a picture").to_rgb8();
    twin.save(at("photos").join("rgb/000003.bmp")).expect("saved");
    let refused = run(&["translate", "--generator", &whole, &text("photos"), &text("twins")]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("one depth image"), "{refused:?}");
}

#[test]
fn wrong_folders_are_named_with_the_cure() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let (out, nothing) = (text("run"), text("nothing"));
    std::fs::create_dir(folder.path().join("nothing")).expect("a folder");
    let fails = |args: &[&str], part: &str| {
        let output = run(args);
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && message.contains(part), "{args:?}: {message}");
    };
    fails(&train_args(&out, &nothing, &nothing), "--sensed-depth");
    fails(&["train", "semantic-cyclegan", "--out", &out, "--simulation", &nothing], "--reality");
    assert!(!Path::new(&out).exists());
}
