//! What people do to a program without meaning to: closed streams, odd numbers, files of another kind, few objects, small
//! limits. The real binary, driven from outside.

use super::training::SMALL;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn bingrasp(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bingrasp"));
    command.args(words).stdin(Stdio::null());
    command
}

fn run(words: &[&str]) -> Output {
    bingrasp(words).output().expect("the binary runs")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn sound(output: &Output) -> String {
    assert!(output.status.success(), "{}", stderr(output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn picture(path: &Path, colour: [u8; 3]) {
    std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
    image::RgbImage::from_pixel(16, 16, image::Rgb(colour)).save(path).expect("a picture");
}

/// A small dataset and what was said of it.
fn dataset(out: &str, extra: &[&str]) -> Output {
    let words = ["dataset", "generate", "--out", out, "--count", "12", "--size", "32", "--num-envs", "2"];
    run(&[&words[..], extra].concat())
}

#[test]
fn parts_of_a_dataset_are_joined_to_the_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = |name: &str| folder.path().join(name).display().to_string();
    let [whole, first, second, joined] = ["whole", "first", "second", "joined"].map(place);
    // A part is of whole blocks, here 24 pairs.
    let make = |out: &str, extra: &[&str]| {
        let words = ["dataset", "generate", "--out", out, "--count", "72", "--size", "16", "--num-envs", "2"];
        sound(&run(&[&words[..], extra].concat()));
    };
    make(&whole, &[]);
    make(&first, &["--shard", "0/2"]);
    make(&second, &["--shard", "1/2"]);
    let says = stderr(&run(&["dataset", "merge", &first, "--out", &joined]));
    assert!(says.contains("in none of the shards"), "{says}");
    assert!(!Path::new(&joined).exists());
    let says = sound(&run(&["dataset", "merge", &second, &first, "--out", &joined]));
    assert!(says.contains("72 pairs of 2 parts"), "{says}");
    sound(&run(&["dataset", "check", &joined]));
    let list = |root: &str| std::fs::read_to_string(Path::new(root).join("SHA256SUMS")).expect("a list");
    assert_eq!(list(&joined), list(&whole));
    assert_eq!(run(&["dataset", "merge", &second, &first, "--out", &joined]).status.code(), Some(1));
}

#[cfg(target_os = "linux")]
#[test]
fn nobody_has_to_read_warnings() {
    let folder = tempfile::tempdir().expect("a folder");
    let textures = folder.path().join("textures");
    picture(&textures.join("sound.png"), [9, 99, 199]);
    std::fs::write(textures.join("torn.png"), b"\x89PNG\r\n\x1a\nrest").expect("written");
    let (textures, out) = (textures.display().to_string(), folder.path().join("d").display().to_string());
    let words = [
        "dataset",
        "generate",
        "--out",
        &out,
        "--count",
        "4",
        "--size",
        "16",
        "--num-envs",
        "1",
        "--textures",
        &textures,
    ];
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("there on Linux");
    let status = bingrasp(&words).stderr(full).stdout(Stdio::null()).status().expect("runs");
    assert_eq!(status.code(), Some(0));
    // Wrong usage is still wrong usage where nobody hears of it.
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("there on Linux");
    let status = bingrasp(&["dataset", "check", "nowhere"]).stderr(full).status().expect("runs");
    assert_eq!(status.code(), Some(1));
}

#[test]
fn causes_are_said_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let missing = folder.path().join("nowhere").display().to_string();
    let below = folder.path().join("nowhere/x.png").display().to_string();
    for words in [
        vec!["dataset", "generate", "--out", &missing, "--count", "2", "--textures", &missing],
        vec!["dataset", "check", &missing],
        vec!["episodes", "check", &missing],
        vec!["episodes", "export", &missing, "--out", &below],
        vec!["objects", "sheet", "--count", "1", "--out", &below],
        vec!["translate", "--generator", &missing, &missing, &below],
        #[cfg(feature = "viewer")]
        vec!["view", "--screenshot", &below],
    ] {
        let output = run(&words);
        let says = stderr(&output);
        assert_ne!(output.status.code(), Some(0), "{words:?}");
        assert!(says.matches("os error").count() <= 1, "{words:?}: {says}");
        assert_eq!(says.trim().lines().count(), 1, "{words:?}: {says}");
    }
}

#[test]
fn numbers_that_make_no_sense_are_refused_with_what_does() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("x").display().to_string();
    let png = folder.path().join("x.png").display().to_string();
    for (words, possible) in [
        (vec!["bench", "capture", "--seconds", "nan"], "from 0 to 86400"),
        (vec!["bench", "soak", "--steps", "0"], "from 1 to"),
        (vec!["dataset", "generate", "--out", &out, "--num-envs", "0"], "from 1 to 4096"),
        (vec!["dataset", "generate", "--out", &out, "--scale", "-1"], "from 0.000001 to 1000000"),
        (vec!["dataset", "generate", "--out", &out, "--density", "inf"], "from 1 to 30000"),
        (vec!["dataset", "sheet", &out, "--rows", "0"], "from 1 to 500"),
        (vec!["eval", "grasp", "--attempts", "0"], "from 1 to"),
        (vec!["objects", "generate", "--out", &out, "--mass", "nan"], "from 0.0001 to 100"),
        (vec!["objects", "import", &out, "--friction", "nan"], "from 0 to 10"),
        (vec!["objects", "sheet", "--out", &png, "--count", "0"], "from 1 to"),
        (vec!["reproduce", "rcan-table1", "--out", &out, "--attempts", "0"], "from 1 to"),
        #[cfg(feature = "viewer")]
        (vec!["view", "--screenshot", &png, "--divider", "nan"], "from -0.08 to 0.08"),
        #[cfg(feature = "viewer")]
        (vec!["view", "--screenshot", &png, "--divider", "9"], "from -0.08 to 0.08"),
        #[cfg(feature = "viewer")]
        (vec!["view", "--screenshot", &png, "--pixels-per-point", "nan"], "from 0.5 to 4"),
        #[cfg(feature = "viewer")]
        (vec!["view", "--screenshot", &png, "--view", "0,0,0,nan,0,0"], "six numbers"),
    ] {
        let output = run(&words);
        assert_eq!(output.status.code(), Some(2), "{words:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(possible), "{words:?}: {}", stderr(&output));
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0, "{words:?}");
    }
}

#[test]
fn the_largest_seed_fits_everywhere() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("run").display().to_string();
    // The last of them is the one that counts.
    let words = [&["train", "rcan", "--out", &out, "--steps", "2"][..], &SMALL].concat();
    let words: Vec<&str> = words.iter().map(|word| if *word == "3" { "18446744073709551615" } else { word }).collect();
    assert!(words.contains(&"18446744073709551615"));
    sound(&run(&words));
    let config = std::fs::read_to_string(folder.path().join("run/config.toml")).expect("settings");
    assert!(config.contains("seed = \"18446744073709551615\""), "{config}");
    let json = sound(&run(&["train", "rcan", "--out", &out, "--resume", "--steps", "3", "--json"]));
    assert!(json.contains("\"seed\": 18446744073709551615"), "{json}");
    let out = folder.path().join("d").display().to_string();
    sound(&dataset(&out, &["--seed", "18446744073709551615"]));
}

#[test]
fn pictures_are_what_they_are_called() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("d").display().to_string();
    sound(&dataset(&out, &[]));
    for (name, start) in [("a.png", &b"\x89PNG"[..]), ("a.jpg", b"\xff\xd8\xff")] {
        let path = folder.path().join(name);
        sound(&run(&["dataset", "sheet", &out, "--out", &path.display().to_string(), "--rows", "1"]));
        assert!(std::fs::read(path).expect("a picture").starts_with(start), "{name}");
    }
    let path = folder.path().join("a.webp").display().to_string();
    for words in [
        vec!["dataset", "sheet", &out, "--out", &path],
        vec!["objects", "sheet", "--out", &path],
        vec!["doctor", "--probe", &path],
        vec!["eval", "grasp", "--attempts", "1", "--episode-sheet", &path],
        #[cfg(feature = "viewer")]
        vec!["view", "--screenshot", &path],
    ] {
        let output = run(&words);
        assert_eq!(output.status.code(), Some(2), "{words:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(".png"), "{words:?}: {}", stderr(&output));
        assert!(!Path::new(&path).exists());
    }
}

#[test]
fn one_object_is_enough_and_millimetres_are_taken_where_objects_are() {
    let folder = tempfile::tempdir().expect("a folder");
    // A box of 30 x 40 x 50 mm, in millimetres.
    let corners: String =
        (0..8).map(|i| format!("v {} {} {}\n", 30 * (i & 1), 40 * (i >> 1 & 1), 50 * (i >> 2))).collect();
    let faces = "f 1 3 4 2\nf 5 6 8 7\nf 1 2 6 5\nf 3 7 8 4\nf 1 5 7 3\nf 2 4 8 6\n";
    let objects = folder.path().join("mm");
    std::fs::create_dir(&objects).expect("a folder");
    std::fs::write(objects.join("box.obj"), corners + faces).expect("written");
    let (objects, out) = (objects.display().to_string(), folder.path().join("d").display().to_string());
    // Without the scale the cure is said, and it can be followed.
    let refused = dataset(&out, &["--objects", &objects]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("0.001"), "{}", stderr(&refused));
    sound(&dataset(&out, &["--objects", &objects, "--scale", "0.001"]));
    sound(&run(&["dataset", "check", &out]));
    let toml = std::fs::read_to_string(folder.path().join("d/dataset.toml")).expect("settings");
    assert!(toml.contains("catalogue = \"folder\"") && toml.contains("digest = ") && !toml.contains("mm"), "{toml}");
    let line = std::fs::read_to_string(folder.path().join("d/train/metadata.jsonl")).expect("records");
    let record: serde_json::Value = serde_json::from_str(line.lines().next().unwrap_or_default()).expect("JSON");
    assert_eq!(record["objects"].as_array().map(Vec::len), Some(5), "five of the one kind");
    let json = sound(&run(&[
        "eval",
        "grasp",
        "--policy",
        "oracle",
        "--attempts",
        "4",
        "--objects",
        &objects,
        "--scale",
        "0.001",
        "--json",
    ]));
    let report: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(report["attempts"], 4);
}

#[test]
fn resuming_asks_what_things_are_and_not_where_they_lie() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = |name: &str| folder.path().join(name).display().to_string();
    for (name, colour) in [("t1/a.png", [200, 30, 30]), ("copy/of/b.png", [200, 30, 30]), ("t2/a.png", [30, 200, 30])] {
        picture(&folder.path().join(name), colour);
    }
    let (out, objects) = (place("d"), place("objects"));
    sound(&run(&["objects", "generate", "--count", "6", "--seed", "3", "--out", &objects]));
    sound(&run(&["objects", "generate", "--count", "6", "--seed", "4", "--out", &place("others")]));
    std::fs::rename(folder.path().join("objects"), folder.path().join("moved")).expect("moved");
    sound(&dataset(&out, &["--textures", &place("t1"), "--objects", &place("moved")]));
    for (textures, objects, differs) in [("t2", "moved", "textures"), ("t1", "others", "objects.digest")] {
        let output = dataset(&out, &["--textures", &place(textures), "--objects", &place(objects), "--resume"]);
        assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
        assert!(stderr(&output).contains(differs), "{}", stderr(&output));
    }
    std::fs::rename(folder.path().join("moved"), folder.path().join("again")).expect("moved");
    sound(&dataset(&out, &["--textures", &place("copy/of"), "--objects", &place("again"), "--resume"]));
}

#[cfg(target_os = "linux")]
#[test]
fn small_limits_of_the_system_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("d").display().to_string();
    let limited = |limit: &str, words: &[&str]| {
        Command::new("sh")
            .args(["-c", &format!("ulimit {limit}; exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_bingrasp")])
            .args(words)
            .stdin(Stdio::null())
            .output()
            .expect("a shell")
    };
    // Blocks of 512 bytes (or of 1024): no picture fits.
    let output =
        limited("-f 4", &["dataset", "generate", "--out", &out, "--count", "20", "--size", "64", "--num-envs", "4"]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("ulimit -f"), "{}", stderr(&output));
    let output = limited("-v 1000000", &["objects", "list", "--split", "test"]);
    assert!(stderr(&output).contains("memory is limited"), "{}", stderr(&output));
}

/// llvmpipe keeps compiled shaders and does not tell vector widths apart: code for eight lanes wrote past buffers for four.
#[test]
fn another_vector_width_takes_no_code_from_the_drivers_cache() {
    let folder = tempfile::tempdir().expect("a folder");
    let make = |name: &str, width: Option<&str>| {
        let out = folder.path().join(name).display().to_string();
        let words = ["dataset", "generate", "--out", &out, "--count", "8", "--size", "64", "--num-envs", "4"];
        let mut command = bingrasp(&words);
        command.env("MESA_SHADER_CACHE_DIR", folder.path().join("cache"));
        if let Some(width) = width {
            command.env("LP_NATIVE_VECTOR_WIDTH", width);
        }
        sound(&command.output().expect("the binary runs"));
        std::fs::read(folder.path().join(name).join("train/segmentation/000000.png")).expect("a segmentation")
    };
    let fills_the_cache = make("default", None);
    assert_eq!(make("narrow", Some("128")), fills_the_cache, "what is seen is the same with vectors of any width");
}
