//! `train rcan`, `eval translation` and `translate` as a user calls them: killed and resumed to the same bytes.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A network small enough for a test.
pub(super) const SMALL: [&str; 30] = [
    "--batch",
    "4",
    "--seed",
    "3",
    "--set",
    "rcan.size=32",
    "--set",
    "rcan.generator.filters=[8, 12, 16]",
    "--set",
    "rcan.discriminator.filters=[8, 8]",
    "--set",
    "rcan.discriminator.strides=[2, 2]",
    "--set",
    "rcan.discriminator.num_scales=2",
    "--set",
    "rcan.generator.num_strided=1",
    "--set",
    "data.num_envs=4",
    "--set",
    "rcan.num_pool_blocks=2",
    "--set",
    "rcan.reuse=0.5",
    "--set",
    "checkpoint_interval=4",
    "--set",
    "log_interval=2",
    "--set",
    "image_interval=10",
    "--set",
    "rcan.num_warmup_steps=5",
];

pub(super) fn bingrasp(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bingrasp"));
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

pub(super) fn run(args: &[&str]) -> Output {
    bingrasp(args).output().expect("the binary runs")
}

pub(super) fn sound(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn train<'a>(out: &'a str, extra: &[&'a str]) -> Vec<&'a str> {
    ["train", "rcan", "--out", out].into_iter().chain(extra.iter().copied()).collect()
}

/// The checksums of the checkpoint after the last step: SHA-256 of every file in it.
pub(super) fn checksums(run: &str, step: u64) -> String {
    let path = Path::new(run).join(format!("checkpoints/step-{step:09}/checksums.txt"));
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Starts a command and kills it without warning as soon as its run has a checkpoint, whole and under its name.
pub(super) fn kill_at_first_checkpoint(args: &[&str], run: &str) {
    let folder = Path::new(run).join("checkpoints");
    let whole = |entry: std::fs::DirEntry| entry.file_name().to_string_lossy().starts_with("step-");
    let has_one = || std::fs::read_dir(&folder).into_iter().flatten().flatten().any(whole);
    let mut child = bingrasp(args).spawn().expect("the binary runs");
    let begun = Instant::now();
    while !has_one() {
        assert!(begun.elapsed() < Duration::from_secs(300), "no checkpoint came");
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().expect("it can be killed");
    child.wait().expect("it ends");
}

#[test]
fn training_killed_anywhere_resumes_to_the_same_checkpoint_and_translates() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = |name: &str| folder.path().join(name).display().to_string();
    let (whole, killed) = (place("whole"), place("killed"));
    let steps = [&SMALL[..], &["--steps", "24"]].concat();
    let report = sound(&run(&train(&whole, &[&steps[..], &["--json"]].concat())));
    assert!(report.contains("\"complete\": true") && report.contains("validation/ssim"), "{report}");

    kill_at_first_checkpoint(&train(&killed, &steps), &killed);

    // Other settings than those it was started with are refused, and nothing changes.
    let refused = run(&train(&killed, &["--resume", "--batch", "8"]));
    assert_eq!(refused.status.code(), Some(2));
    sound(&run(&train(&killed, &["--resume"])));
    assert_eq!(checksums(&whole, 23), checksums(&killed, 23));
    let metrics = |run: &str| std::fs::read(Path::new(run).join("metrics.jsonl")).expect("metrics");
    assert!(metrics(&whole) == metrics(&killed), "metrics differ");
    assert!(Path::new(&killed).join("report.md").is_file());

    // A second run must not write over the first.
    assert!(!run(&train(&whole, &steps)).status.success());

    let json = sound(&run(&["eval", "translation", "--generator", &whole, "--count", "10", "--json"]));
    let report: serde_json::Value = serde_json::from_str(&json).expect("one JSON object");
    for figure in ["psnr", "ssim", "object_iou", "mean_iou", "depth_mae_m", "vanish_rate", "ghost_rate"] {
        assert!(report[figure].is_number(), "{figure} is missing in {json}");
    }
    assert_eq!(report["frames"], 10);
    assert!(Path::new(report["sheet"].as_str().expect("a path")).is_file());

    let (photos, out) = (place("photos"), place("translated"));
    std::fs::create_dir(&photos).expect("a folder");
    image::RgbImage::from_fn(80, 60, |x, y| image::Rgb([x as u8, y as u8, 99]))
        .save(Path::new(&photos).join("a.png"))
        .expect("a picture");
    std::fs::write(Path::new(&photos).join("b.jpg"), b"no picture").expect("a file");
    let output = run(&["translate", "--generator", &whole, &photos, &out]);
    assert_eq!(output.status.code(), Some(1), "the broken picture counts as a failure");
    assert!(String::from_utf8_lossy(&output.stderr).contains("b.jpg"));
    for part in ["", "mask", "depth"] {
        let picture = image::open(Path::new(&out).join(part).join("a.png")).expect("a result");
        assert_eq!((picture.width(), picture.height()), (32, 32));
    }
}

/// A program of one's own gets the run that the command line makes.
#[test]
fn a_training_from_rust_is_the_command_s() -> anyhow::Result<()> {
    use bingrasp::nn::DeviceSpec;
    use bingrasp::runs::rcan::Rcan;
    use bingrasp::runs::{Start, settings, train as train_here};
    use bingrasp::train::{Limits, Progress, TrainCallback};

    struct Steps(u64);
    impl TrainCallback for Steps {
        fn should_continue(&mut self) -> bool {
            true
        }
        fn progress(&mut self, progress: &Progress<'_>) {
            self.0 = progress.step;
        }
    }

    let folder = tempfile::tempdir()?;
    let place = |name: &str| folder.path().join(name).display().to_string();
    let (typed, called) = (place("typed"), place("called"));
    sound(&run(&train(&typed, &[&SMALL[..], &["--steps", "8"]].concat())));

    let start = Start { out: called.clone().into(), ..Start::default() };
    let limits = Limits { steps: Some(8), minutes: None };
    let config = settings(&Rcan::default(), &start, limits, |config| {
        (config.seed, config.learner.batch) = (3, 4);
        for assignment in SMALL.iter().filter(|word| word.contains('=')) {
            *config = config.with(assignment).map_err(anyhow::Error::msg)?;
        }
        Ok(())
    })?;
    let mut steps = Steps(0);
    let (outcome, report) =
        train_here(&Rcan::default(), &start, &config, &DeviceSpec::Cpu, &mut steps, |_, _, report| Ok(report))?;
    assert_eq!((outcome.steps, steps.0), (8, 8));
    assert!(report.is_file());
    assert_eq!(checksums(&typed, 7), checksums(&called, 7));
    Ok(())
}

#[test]
fn what_is_measured_with_is_trained_on_only_if_that_is_meant() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = |name: &str| folder.path().join(name).display().to_string();
    sound(&run(&[
        "dataset",
        "generate",
        "--out",
        &place("test"),
        "--count",
        "20",
        "--size",
        "32",
        "--num-envs",
        "2",
        "--split",
        "test",
    ]));
    let out = place("run");
    for extra in [
        &["--domain", "reality"][..],
        &["--objects", "test"],
        &["--objects", "all"],
        &["--set", "data.domain=reality"],
        &["--data", &place("test")],
    ] {
        let output = run(&train(&out, &[&SMALL[..], &["--steps", "1"], extra].concat()));
        let says = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{extra:?}: {says}");
        assert!(says.contains("--allow-evaluation-data"), "{extra:?}: {says}");
        assert!(!Path::new(&out).exists(), "{extra:?}");
    }
    let words = [&SMALL[..], &["--steps", "1", "--objects", "test", "--allow-evaluation-data"]].concat();
    sound(&run(&train(&out, &words)));
    // It was meant when it began.
    sound(&run(&train(&out, &["--resume", "--steps", "2"])));
}

#[test]
fn training_from_a_data_set_takes_its_pairs() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = |name: &str| folder.path().join(name).display().to_string();
    let (pairs, out) = (place("pairs"), place("run"));
    sound(&run(&["dataset", "generate", "--out", &pairs, "--count", "48", "--size", "32", "--num-envs", "4"]));
    let args = [&SMALL[..], &["--steps", "3", "--data", &pairs]].concat();
    sound(&run(&train(&out, &args)));
    // Pairs of another size are refused before anything is written.
    let other = place("other");
    let args = [&SMALL[..], &["--steps", "3", "--data", &pairs, "--set", "rcan.size=64"]].concat();
    let refused = run(&train(&other, &args));
    assert_eq!(refused.status.code(), Some(2));
    assert!(!Path::new(&other).exists());
}

#[test]
fn two_folders_become_a_generator_that_translates_both_ways() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = |name: &str| folder.path().join(name).display().to_string();
    let (data, whole) = (place("data"), place("run"));
    for (name, shift) in [("trainA", 0), ("trainB", 90)] {
        let side = Path::new(&data).join(name);
        std::fs::create_dir_all(&side).expect("a folder");
        for i in 0..4 {
            image::RgbImage::from_fn(70, 64, |x, y| image::Rgb([x as u8 + shift, y as u8 + shift, 40 * i]))
                .save(side.join(format!("{i}.png")))
                .expect("a picture");
        }
    }
    sound(&run(&["train", "cyclegan", "--data", &data, "--out", &whole, "--steps", "3", "--batch", "2"]));
    let input = Path::new(&data).join("trainA").display().to_string();
    let mut results = Vec::new();
    for extra in [&[][..], &["--backward"]] {
        let out = place(&format!("out{}", extra.len()));
        sound(&run(&[&["translate", "--generator", &whole, &input, &out][..], extra].concat()));
        let picture = image::open(Path::new(&out).join("3.png")).expect("a result").to_rgb8();
        assert_eq!(picture.dimensions(), (64, 64));
        assert!(!Path::new(&out).join("mask").exists() && !Path::new(&out).join("depth").exists());
        results.push(picture);
    }
    assert!(results[0] != results[1], "two networks, one result");
    let one_way = place("one-way");
    sound(&run(&["train", "gan", "--data", &data, "--out", &one_way, "--steps", "1", "--batch", "2"]));
    let refused = run(&["translate", "--generator", &one_way, &input, &place("never"), "--backward"]);
    let says = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && says.contains("cyclegan"), "{says}");
    assert!(!Path::new(&place("never")).exists());
}
