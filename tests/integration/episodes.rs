//! `episodes export` as a user calls it: what it prints, what it leaves on disk, how it fails.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn run(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bingrasp"));
    command.args(args).stdin(Stdio::null()).output().expect("the binary runs")
}

fn failed(output: &Output, code: i32, says: &str) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{text}");
    assert!(text.contains(says) && !text.contains("panicked"), "{text}");
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
}

fn json(bytes: &[u8]) -> serde_json::Value {
    serde_json::from_slice(bytes).expect("one JSON object")
}

/// Every file below a folder.
fn files(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(root).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

#[test]
fn a_recording_becomes_a_lerobot_dataset() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = |name: &str| folder.path().join(name).display().to_string();
    let (recording, out, again) = (place("recording"), place("nested/out"), place("again"));
    let output = run(&["episodes", "record", "--out", &recording, "--count", "3", "--size", "16", "--seed", "5"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let checked = json(&run(&["episodes", "check", &recording, "--json"]).stdout);

    let output = run(&["episodes", "export", &recording, "--format", "lerobot", "--out", &out, "--json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report = json(&output.stdout);
    assert_eq!((report["format_version"].as_str(), report["complete"].as_bool()), (Some("v3.0"), Some(true)));
    // One frame a decision.
    assert_eq!((&report["episodes"], &report["frames"]), (&3.into(), &checked["steps"]));
    assert_eq!(report["successes"], checked["successes"]);
    let root = Path::new(&out);
    let expected = [
        "README.md",
        "data/chunk-000/file-000.parquet",
        "meta/episodes/chunk-000/file-000.parquet",
        "meta/info.json",
        "meta/stats.json",
        "meta/tasks.parquet",
    ];
    assert_eq!(files(root), expected.map(|name| root.join(name)));
    for name in expected.iter().filter(|name| name.ends_with(".parquet")) {
        let bytes = std::fs::read(root.join(name)).expect("readable");
        assert!(bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1"), "{name}");
    }
    let info = json(&std::fs::read(root.join("meta/info.json")).expect("readable"));
    assert_eq!(info["total_frames"], checked["steps"]);
    assert_eq!(info["features"]["observation.images.camera"]["shape"], serde_json::json!([16, 16, 3]));
    let stats = json(&std::fs::read(root.join("meta/stats.json")).expect("readable"));
    let last = stats["index"]["max"][0].as_f64().expect("a number");
    assert_eq!(Some(last as u64 + 1), checked["steps"].as_u64());

    // The same recording gives the same bytes, and a person is told in one line.
    let output = run(&["episodes", "export", &recording, "--out", &again]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), 1);
    for name in expected {
        let read = |root: &str| std::fs::read(Path::new(root).join(name)).expect("readable");
        assert!(read(&out) == read(&again), "{name} differs");
    }

    // A folder that holds something stays as it is.
    failed(&run(&["episodes", "export", &recording, "--out", &out]), 1, "already holds files");
    assert_eq!(files(root).len(), expected.len());

    // A damaged file is named, and nothing is left of the attempt.
    let shard = Path::new(&recording).join("episodes-000000.safetensors");
    let mut bytes = std::fs::read(&shard).expect("readable");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&shard, bytes).expect("writable");
    let output = run(&["episodes", "export", &recording, "--out", &place("never")]);
    failed(&output, 1, "episodes-000000.safetensors");
    let mut names: Vec<_> =
        std::fs::read_dir(folder.path()).expect("a folder").flatten().map(|e| e.file_name()).collect();
    names.sort();
    assert_eq!(names, ["again", "nested", "recording"]);
}

#[test]
fn wrong_exports_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = |name: &str| folder.path().join(name).display().to_string();
    let (missing, out) = (place("missing"), place("out"));
    failed(&run(&["episodes", "export", &missing, "--out", &out]), 1, "episodes.toml");
    failed(&run(&["episodes", "export", &missing, "--format", "rlds", "--out", &out]), 2, "lerobot");
    failed(&run(&["episodes", "export", &missing]), 2, "--out");
    assert!(!Path::new(&out).exists());
    let help = run(&["episodes", "export", "--help"]);
    assert!(String::from_utf8_lossy(&help.stdout).contains("Example: bingrasp episodes export"));
}
