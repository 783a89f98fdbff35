//! `train ppo` on both tasks as a user calls it, and what takes its runs; the cell `panda-table` in the other commands.

use super::training::{checksums, kill_at_first_checkpoint, run, sound};
use std::path::Path;

/// A run small enough for a test.
const SMALL: [&str; 15] = [
    "--set",
    "ppo.num_envs=4",
    "--set",
    "ppo.num_steps=5",
    "--set",
    "ppo.minibatch_size=8",
    "--set",
    "data.size=36",
    "--set",
    "data.eval_episodes=4",
    "--set",
    "checkpoint_interval=2",
    "--seed",
    "3",
    "--json",
];

fn train<'a>(out: &'a str, extra: &[&'a str]) -> Vec<&'a str> {
    ["train", "ppo", "--out", out].into_iter().chain(extra.iter().copied()).collect()
}

#[test]
fn ppo_killed_anywhere_resumes_to_the_same_checkpoint_and_is_judged() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = |name: &str| folder.path().join(name).display().to_string();
    let (whole, killed) = (place("whole"), place("killed"));
    // Five steps a rollout: of three-step episodes, checkpoints fall into their middle.
    let steps = [&SMALL[..], &["--steps", "6"]].concat();
    let report = sound(&run(&train(&whole, &steps)));
    let report: serde_json::Value = serde_json::from_str(&report).expect("one JSON object");
    assert_eq!((report["complete"].as_bool(), report["decisions"].as_u64()), (Some(true), Some(120)));
    assert!(report["validation"]["eval/episodic_return"].as_f64().is_some_and(|value| (-1.1..=1.0).contains(&value)));
    let metrics = std::fs::read_to_string(Path::new(&whole).join("metrics.jsonl")).expect("metrics");
    for name in ["charts/episodic_return", "losses/approx_kl", "losses/clipfrac", "losses/explained_variance"] {
        assert!(metrics.contains(name), "{name} is missing in {metrics}");
    }

    kill_at_first_checkpoint(&train(&killed, &steps), &killed);
    let refused = run(&train(&killed, &["--resume", "--task", "bin-grasp"]));
    assert_eq!(refused.status.code(), Some(2));
    sound(&run(&train(&killed, &["--resume"])));
    assert_eq!(checksums(&whole, 5), checksums(&killed, 5));

    // Its cell and objects are the run's own where none are named.
    let json = sound(&run(&["eval", "grasp", "--policy", &whole, "--attempts", "4", "--json"]));
    let report: serde_json::Value = serde_json::from_str(&json).expect("one JSON object");
    assert_eq!((report["cell"].as_str(), report["objects"].as_str()), (Some("panda-table"), Some("ycb")));
    assert_eq!((report["attempts"].as_u64(), report["mean_steps"].as_f64()), (Some(4), Some(3.0)));
    let other = run(&["eval", "grasp", "--policy", &whole, "--cell", "iiwa-bin", "--attempts", "4"]);
    assert_eq!(other.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&other.stderr).contains("--cell panda-table"));
    let recording = place("recording");
    sound(&run(&[
        "episodes",
        "record",
        "--policy",
        &whole,
        "--cell",
        "panda-table",
        "--size",
        "36",
        "--count",
        "3",
        "--out",
        &recording,
    ]));
    assert!(sound(&run(&["episodes", "check", &recording])).contains("9 steps"));
}

#[test]
fn ppo_also_plays_the_bin_task() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("bin").display().to_string();
    let report = sound(&run(&train(&out, &[&SMALL[..], &["--steps", "2", "--task", "bin-grasp"]].concat())));
    let report: serde_json::Value = serde_json::from_str(&report).expect("one JSON object");
    assert_eq!(report["decisions"].as_u64(), Some(40));
    let json = sound(&run(&["eval", "grasp", "--policy", &out, "--attempts", "2", "--json"]));
    let report: serde_json::Value = serde_json::from_str(&json).expect("one JSON object");
    assert_eq!((report["cell"].as_str(), report["objects"].as_str()), (Some("iiwa-bin"), Some("test")));
}

#[test]
fn the_table_is_a_cell_like_any_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = |name: &str| folder.path().join(name).display().to_string();
    let json =
        sound(&run(&["eval", "grasp", "--cell", "panda-table", "--policy", "oracle", "--attempts", "20", "--json"]));
    let report: serde_json::Value = serde_json::from_str(&json).expect("one JSON object");
    assert!(report["success"].as_f64().is_some_and(|share| share >= 0.9), "{json}");
    assert_eq!((report["objects"].as_str(), report["mean_steps"].as_f64()), (Some("ycb"), Some(3.0)));
    let pairs = place("pairs");
    let generate =
        ["dataset", "generate", "--cell", "panda-table", "--domain", "reality", "--count", "24", "--num-envs", "4"];
    sound(&run(&[&generate[..], &["--out", &pairs]].concat()));
    let check = sound(&run(&["dataset", "check", &pairs]));
    let share = |class: &str| {
        let line = check.lines().find(|line| line.trim_start().starts_with(class)).unwrap_or_default();
        line.split_whitespace().nth(1).and_then(|text| text.trim_end_matches('%').parse::<f64>().ok()).unwrap_or(0.0)
    };
    // The white table with its object, the fingers, and what is beyond the table.
    assert!(check.contains("0 problems") && share("tray") > 30.0, "{check}");
    assert!(share("object") > 1.0 && share("arm") > 1.0 && share("background") > 1.0, "{check}");
}
