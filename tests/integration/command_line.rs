//! The real binary: what it prints, what it leaves on disk, how it fails, and how it goes on.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

fn bingrasp(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bingrasp"));
    command.args(args).stdin(Stdio::null());
    command
}

fn run(args: &[&str]) -> Output {
    bingrasp(args).output().expect("the binary runs")
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or(-1)
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Every file below a folder with its bytes, but for the lock.
fn contents(root: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(root).expect("below the root").display().to_string();
                if !name.contains("lock") {
                    files.push((name, std::fs::read(&path).expect("readable")));
                }
            }
        }
    }
    files.sort();
    files
}

fn dataset(out: &Path, extra: &[&str]) -> Vec<String> {
    let out = out.display().to_string();
    let args =
        ["dataset", "generate", "--out", &out, "--count", "200", "--size", "32", "--num-envs", "8", "--seed", "4"];
    args.iter().chain(extra).map(ToString::to_string).collect()
}

fn run_args(args: &[String]) -> Output {
    run(&args.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn help_and_wrong_usage() {
    for command in
        [&["--help"][..], &["dataset", "generate", "--help"], &["bench", "capture", "--help"], &["objects", "--help"]]
    {
        let output = run(command);
        assert_eq!(code(&output), 0, "{command:?}");
        assert!(output.stdout.len() > 200, "{command:?}");
    }
    let output = run(&["dataset", "generate", "--help"]);
    assert!(
        String::from_utf8_lossy(&output.stdout).contains("Example: bingrasp dataset generate"),
        "help shows an example"
    );
    let typo = run(&["dataset", "generate", "--out", "x", "--cuont", "5"]);
    assert_eq!(code(&typo), 2);
    assert!(stderr(&typo).contains("--count"), "the right flag is suggested: {}", stderr(&typo));
    assert_eq!(code(&run(&["frobnicate"])), 2);
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("d").display().to_string();
    for (args, says) in [
        (vec!["dataset", "generate", "--out", &out, "--domain", "purple"], "canonical"),
        (vec!["dataset", "generate", "--out", &out, "--domain", "reality", "--camera-effects"], "randomized"),
        (vec!["dataset", "generate", "--out", &out, "--size", "7"], "16 to 2048"),
        (vec!["dataset", "generate", "--out", &out, "--shard", "3/2"], "i/n"),
        (vec!["dataset", "generate", "--out", &out, "--objects", "no-such-folder"], "no-such-folder"),
        (vec!["dataset", "generate", "--out", &out, "--camera", "ceiling"], "over-the-shoulder"),
        (vec!["dataset", "generate", "--out", &out, "--count", "0"], "count"),
        #[cfg(target_os = "linux")]
        (vec!["dataset", "generate", "--out", &out, "--size", "2048", "--num-envs", "4096"], "fits"),
        (vec!["dataset", "generate", "--out", &out, "--textures", "no-such-folder"], "no-such-folder"),
        (vec!["train", "rcan", "--out", &out, "--data", "pairs", "--domain", "canonical"], "--data"),
        (vec!["objects", "generate", "--out", &out, "--prisms", "5", "2"], "--prisms"),
        (vec!["objects", "list", "--objects", "no-such-folder"], "no-such-folder"),
        (vec!["reproduce", "rl-cyclegan-figure4", "--out", &out, "--table-only"], "--table-only"),
        (vec!["reproduce", "rl-cyclegan-table1", "--out", &out, "--quick", "--gan-steps", "5"], "--quick"),
    ] {
        let output = run(&args);
        assert_eq!(code(&output), 2, "{args:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(says), "{args:?}: {}", stderr(&output));
        assert!(!Path::new(&out).exists(), "{args:?} leaves nothing behind");
    }
}

#[test]
fn words_of_earlier_versions_are_wrong_usage() {
    for args in [
        &["dataset", "--out", "x"][..],
        &["dataset", "generate", "--out", "x", "--source", "reality"],
        &["dataset", "generate", "--out", "x", "--envs", "4"],
        &["bench", "capture", "--envs", "4"],
        &["bench", "train-step", "--network", "rcan-cpu"],
        &["translate", "--checkpoint", "run", "in", "out"],
        &["eval", "translation", "--checkpoint", "run"],
        &["eval", "grasp", "--policy", "aimed"],
        &["eval", "grasp", "--film", "film.png"],
        &["train", "qtopt", "--out", "x", "--rcan", "run"],
        &["train", "qtopt", "--out", "x", "--size-preset", "cpu"],
        &["train", "qtopt", "--out", "x", "--set", "qtopt.label_block=4"],
        &["train", "rcan", "--out", "x", "--source", "reality"],
        &["train", "rcan", "--out", "x", "--set", "log_every=4"],
        &["reproduce", "rcan-table1", "--out", "x", "--rcan", "run"],
        &["view", "--actor", "oracle"],
        &["view", "--rcan", "run"],
    ] {
        let output = run(args);
        assert_eq!(code(&output), 2, "{args:?}: {}", stderr(&output));
    }
    assert!(!Path::new("x").exists(), "nothing is begun");
}

#[test]
fn missing_things_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let missing = folder.path().join("missing").display().to_string();
    let output = run(&["dataset", "check", &missing]);
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("missing") && stderr(&output).contains("dataset.toml"), "{}", stderr(&output));
    let out = folder.path().join("full");
    std::fs::create_dir(&out).expect("created");
    std::fs::write(out.join("thesis.txt"), "years of work").expect("written");
    let output = run_args(&dataset(&out, &[]));
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("--resume"), "{}", stderr(&output));
    assert_eq!(std::fs::read_to_string(out.join("thesis.txt")).expect("still there"), "years of work");
    let textures = folder.path().join("textures");
    std::fs::create_dir(&textures).expect("created");
    std::fs::write(textures.join("broken.png"), b"not a picture").expect("written");
    let output = run_args(&dataset(&folder.path().join("d"), &["--textures", &textures.display().to_string()]));
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("broken.png"), "{}", stderr(&output));
}

#[test]
fn a_missing_generator_is_named_before_any_row_is_trained() {
    let folder = tempfile::tempdir().expect("a folder");
    let [out, generator] = ["table", "no-generator"].map(|name| folder.path().join(name).display().to_string());
    let rows = ["reproduce", "rcan-table1", "--rows", "canonical,rcan"];
    let output = run(&[&rows[..], &["--out", &out, "--generator", &generator]].concat());
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("no-generator") && !stderr(&output).contains("training"), "{}", stderr(&output));
    assert!(!Path::new(&out).exists());
}

#[test]
fn no_adapter_is_one_sentence_with_the_cure() {
    let output = bingrasp(&["doctor"]).env("BINGRASP_ADAPTER", "no such adapter").output().expect("runs");
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("BINGRASP_ADAPTER"), "{}", stderr(&output));
    // A loader that finds no driver at all.
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("never");
    let output = bingrasp(&["dataset", "generate", "--out", &out.display().to_string(), "--count", "10"])
        .env("VK_DRIVER_FILES", "/nonexistent.json")
        .env("VK_ICD_FILENAMES", "/nonexistent.json")
        .output()
        .expect("runs");
    assert_eq!(code(&output), 1);
    let text = stderr(&output);
    assert!(text.contains("mesa-vulkan-drivers"), "{text}");
    assert!(!text.contains("panicked"), "{text}");
    assert!(!out.exists(), "nothing is begun without an adapter");
}

#[test]
fn the_same_seed_gives_the_same_files_whatever_the_threads() {
    let folder = tempfile::tempdir().expect("a folder");
    let (one, two) = (folder.path().join("one"), folder.path().join("two"));
    let args = dataset(&one, &["--json"]);
    let output = bingrasp(&args.iter().map(String::as_str).collect::<Vec<_>>())
        .env("RAYON_NUM_THREADS", "1")
        .output()
        .expect("runs");
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    assert_eq!((report["pairs"].as_u64(), report["complete"].as_bool()), (Some(200), Some(true)));
    assert!(report["pairs_per_s"].as_f64().is_some_and(|rate| rate > 0.0) && report["adapter"].is_string());
    let output = bingrasp(&dataset(&two, &[]).iter().map(String::as_str).collect::<Vec<_>>())
        .env("RAYON_NUM_THREADS", "3")
        .output()
        .expect("runs");
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!(contents(&one), contents(&two));
    let check = run(&["dataset", "check", &one.display().to_string(), "--json"]);
    assert_eq!(code(&check), 0, "{}", stderr(&check));
    let report: serde_json::Value = serde_json::from_slice(&check.stdout).expect("one JSON object");
    let share = |class: usize| report["classes"][class]["share"].as_f64().expect("a share");
    assert!(share(1) > 0.01 && share(2) > 0.1 && share(4) > 0.01, "{report}");
    assert!((0..5).map(share).sum::<f64>() > 0.999);
    let sheet = folder.path().join("sheet.png");
    let output = run(&["dataset", "sheet", &one.display().to_string(), "--out", &sheet.display().to_string()]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let picture = image::open(&sheet).expect("a PNG");
    assert!(picture.width() > 600 && picture.height() > 600);
}

#[cfg(unix)]
#[test]
fn killed_anywhere_it_goes_on_to_the_same_bytes() {
    let folder = tempfile::tempdir().expect("a folder");
    let (whole, broken) = (folder.path().join("whole"), folder.path().join("broken"));
    assert_eq!(code(&run_args(&dataset(&whole, &[]))), 0);
    let mut begun = false;
    for (signal, wait_ms) in [("-INT", 900), ("-KILL", 700), ("-KILL", 1100)] {
        let args = dataset(&broken, if begun { &["--resume"] } else { &[] });
        let mut child = bingrasp(&args.iter().map(String::as_str).collect::<Vec<_>>())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(wait_ms) && child.try_wait().expect("waits").is_none() {
            std::thread::sleep(Duration::from_millis(10));
        }
        Command::new("kill").args([signal, &child.id().to_string()]).status().expect("kill runs");
        child.wait().expect("ends");
        begun = broken.join("dataset.toml").exists();
    }
    let output = run_args(&dataset(&broken, &["--resume"]));
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!(contents(&whole), contents(&broken));
    // Other settings are refused by name.
    let mut other = dataset(&broken, &["--resume"]);
    other[11] = "5".to_owned();
    let output = run_args(&other);
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("seed"), "{}", stderr(&output));
}

#[cfg(unix)]
#[test]
fn under_nohup_a_hangup_is_nothing_and_a_termination_saves() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("data");
    // As `nohup` does it.
    let mut child = Command::new("sh")
        .args(["-c", "trap '' HUP; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_bingrasp")])
        .args([
            "dataset",
            "generate",
            "--out",
            &out.display().to_string(),
            "--count",
            "1000000",
            "--size",
            "32",
            "--num-envs",
            "8",
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    let id = child.id().to_string();
    let send = |signal: &str| {
        Command::new("kill").args([signal, &id]).status().expect("kill runs");
    };
    while !out.join("dataset.toml").exists() {
        assert!(child.try_wait().expect("waits").is_none(), "it begins");
        std::thread::sleep(Duration::from_millis(10));
    }
    send("-HUP");
    std::thread::sleep(Duration::from_millis(300));
    assert!(child.try_wait().expect("waits").is_none(), "it goes on without its terminal");
    send("-TERM");
    let output = child.wait_with_output().expect("ends");
    assert_eq!(code(&output), 130);
    assert!(stderr(&output).contains("--resume"), "{}", stderr(&output));
}

#[test]
fn objects_travel_out_and_in() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("urdfs").display().to_string();
    let output = run(&["objects", "generate", "--count", "12", "--seed", "3", "--out", &out]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let output = run(&["objects", "import", &out, "--json"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let data = folder.path().join("data");
    let output = run_args(&dataset(&data, &["--objects", &out]));
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!(code(&run(&["dataset", "check", &data.display().to_string()])), 0);
}

#[test]
fn figures_have_their_names() {
    let output = run(&["bench", "capture", "--size", "32", "--num-envs", "4", "--seconds", "0.2", "--json"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    for name in ["pairs_per_s", "first_frame_s", "peak_memory_gib", "threads", "seed"] {
        assert!(report[name].is_number(), "{name}: {report}");
    }
    let output = run(&["eval", "grasp", "--policy", "oracle", "--attempts", "10", "--json"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    assert!(report["success"].as_f64().is_some_and(|s| s > 0.6), "{report}");
    let output = run(&["bench", "soak", "--steps", "300", "--json"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    assert_eq!((report["not_finite"].as_u64(), report["out_of_bounds"].as_u64()), (Some(0), Some(0)), "{report}");
}
