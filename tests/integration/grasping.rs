//! `train qtopt` and what is done with its runs, as a user calls it.

use super::training::{self, checksums, kill_at_first_checkpoint, run, sound};
use std::path::Path;

/// As few attempts and steps as show that everything is there.
const SMALL: [&str; 22] = [
    "--batch",
    "8",
    "--set",
    "qtopt.exploration.initial_episodes=8",
    "--set",
    "qtopt.episodes_per_iteration=4",
    "--set",
    "qtopt.updates_per_iteration=4",
    "--set",
    "qtopt.bellman_batch=16",
    "--set",
    "qtopt.training_buffer=64",
    "--set",
    "qtopt.segment_len=64",
    "--set",
    "qtopt.network.features=64",
    "--set",
    "data.num_envs=4",
    "--set",
    "checkpoint_interval=1",
    "--set",
    "image_interval=2",
];

fn train<'a>(out: &'a str, extra: &[&'a str]) -> Vec<&'a str> {
    [&["train", "qtopt", "--out", out], &SMALL[..], extra].concat()
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).expect("one JSON object")
}

/// Wrong usage that is named, before anything is written.
fn refused(out: &str, args: &[&str], says: &str) {
    let output = run(args);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains(says), "{text}");
    assert!(!Path::new(out).exists(), "{out} was begun");
}

#[test]
fn a_run_is_killed_resumed_measured_recorded_and_learned_from() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = |name: &str| folder.path().join(name).display().to_string();
    let [whole, killed, episodes, small, from_disk] = ["whole", "killed", "episodes", "small", "from-disk"].map(&place);
    // It stops in the middle of its last iteration.
    let report = json(&sound(&run(&train(&whole, &["--steps", "14", "--json"]))));
    assert_eq!((&report["steps"], &report["complete"]), (&14.into(), &true.into()));

    kill_at_first_checkpoint(&train(&killed, &["--steps", "14"]), &killed);
    assert!(!Path::new(&killed).join("checkpoints/step-000000013").exists(), "it was killed too late");
    sound(&run(&["train", "qtopt", "--out", &killed, "--resume"]));
    assert_eq!(checksums(&whole, 13), checksums(&killed, 13));

    // A run that is over goes on for longer, with other settings it does not.
    let longer = ["train", "qtopt", "--out", &killed, "--resume", "--steps", "17", "--json"];
    assert_eq!(json(&sound(&run(&longer)))["steps"], 17);
    let config = std::fs::read_to_string(Path::new(&killed).join("config.toml")).expect("readable");
    assert!(config.contains("steps = 17"), "{config}");
    assert_eq!(run(&["train", "qtopt", "--out", &killed, "--resume", "--batch", "9"]).status.code(), Some(2));

    let report = json(&sound(&run(&["eval", "grasp", "--policy", &whole, "--attempts", "4", "--json"])));
    assert_eq!((&report["attempts"], &report["trained_steps"]), (&4.into(), &14.into()));

    let record = ["episodes", "record", "--policy", &whole, "--count", "6", "--out", &episodes];
    sound(&run(&record));
    let checked = json(&sound(&run(&["episodes", "check", &episodes, "--json"])));
    assert_eq!((&checked["episodes_readable"], &checked["problem_count"]), (&6.into(), &0.into()));
    let report = json(&sound(&run(&train(&from_disk, &["--steps", "2", "--offline", &episodes, "--json"]))));
    // What was recorded, and an iteration's episodes.
    assert_eq!(report["episodes"], 4);
    let kept = report["transitions"][0].as_u64().expect("a number");
    assert!(kept > checked["steps"].as_u64().expect("a number") / 2, "{kept} transitions");

    sound(&run(&["episodes", "record", "--count", "2", "--size", "32", "--out", &small]));
    let other = place("other");
    refused(&other, &train(&other, &["--offline", &small]), "record them with --size 64");
    refused(&other, &train(&other, &["--set", "data.domian=reality"]), "domian");
    refused(&other, &train(&other, &["--set", "data.num_envs=2.5"]), "data.num_envs");
    refused(&other, &train(&other, &["--minutes", "-1"]), "a number from 0 to");
    refused(&other, &train(&other, &["--minutes", "0"]), "minutes must be above 0");
}

#[test]
fn a_run_that_was_stopped_before_its_first_checkpoint_begins_again_with_all_that_it_began_with() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = |name: &str| folder.path().join(name).display().to_string();
    let [agent, real] = ["agent", "real"].map(&place);
    sound(&run(&train(&agent, &["--steps", "3"])));
    sound(&run(&["episodes", "record", "--domain", "reality", "--count", "4", "--out", &real]));
    let joint = [
        &["--batch", "2", "--set", "rl-cyclegan.held_out_episodes=1", "--set", "rl-cyclegan.judged_episodes=0"][..],
        &["--set", "rl-cyclegan.sim_episodes=4"],
    ]
    .concat();
    let q = [&SMALL[..], &["--real", &real, "--init", &agent]].concat();
    let gan = [&joint[..], &["--real", &real, "--init", &agent]].concat();
    for (learner, words) in [("qtopt", q), ("graspgan", gan)] {
        let [whole, stopped] = ["whole", "stopped"].map(|name| place(&format!("{learner}-{name}")));
        for out in [&whole, &stopped] {
            sound(&run(&[&["train", learner, "--out", out, "--steps", "2"], &words[..]].concat()));
        }
        std::fs::remove_dir_all(Path::new(&stopped).join("checkpoints")).expect("removed");
        sound(&run(&["train", learner, "--out", &stopped, "--resume"]));
        assert_eq!(checksums(&whole, 1), checksums(&stopped, 1), "{learner}");
    }
    // The agent learned on since: the run would begin with another one.
    sound(&run(&["train", "qtopt", "--out", &agent, "--resume", "--steps", "4"]));
    for learner in ["qtopt", "graspgan"] {
        let stopped = place(&format!("{learner}-stopped"));
        std::fs::remove_dir_all(Path::new(&stopped).join("checkpoints")).expect("removed");
        let output = run(&["train", learner, "--out", &stopped, "--resume"]);
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && message.contains("--init"), "{learner}: {message}");
    }
}

#[test]
fn an_agent_keeps_the_generator_that_it_learned_with() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = |name: &str| folder.path().join(name).display().to_string();
    let (generator, agent, other) = (place("generator"), place("agent"), place("other"));
    let args = [&["train", "rcan", "--out", &generator, "--steps", "2"], &training::SMALL[..]].concat();
    sound(&run(&[&args[..], &["--set", "rcan.size=64"]].concat()));
    sound(&run(&train(&agent, &["--steps", "2", "--generator", &generator])));
    let measure = ["eval", "grasp", "--policy", &agent, "--attempts", "4", "--json"];
    let figures = |text: String| {
        let report = json(&text);
        (report["attempt_success"].clone(), report["mean_steps"].clone())
    };
    let before = figures(sound(&run(&measure)));
    // Another one sees the generator's mask and depth too.
    let mapped = place("mapped");
    sound(&run(&train(&mapped, &["--steps", "2", "--generator", &generator, "--generator-maps"])));
    sound(&run(&["eval", "grasp", "--policy", &mapped, "--attempts", "4", "--json"]));
    let settings = std::fs::read_to_string(Path::new(&mapped).join("config.toml")).expect("readable");
    assert!(settings.contains("channels = 8"), "{settings}");
    // The run that it came from goes, and nothing changes.
    std::fs::remove_dir_all(&generator).expect("removed");
    assert_eq!(figures(sound(&run(&measure))), before);
    let output = run(&train(&other, &["--steps", "2", "--generator", &generator]));
    assert_eq!(output.status.code(), Some(1));
    assert!(!Path::new(&other).exists());
}

#[test]
fn results_that_were_copied_into_the_folder_join_the_table() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().display().to_string();
    let finished = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/rcan-table1-2041689/canonical.json");
    let rows = folder.path().join("rcan-table1");
    std::fs::create_dir(&rows).expect("created");
    std::fs::copy(finished, rows.join("canonical.json")).expect("copied");
    let table = sound(&run(&["reproduce", "rcan-table1", "--table-only", "--out", &out]));
    assert!(table.contains("Canonical Sim") && table.contains("4.6%") && table.contains("not run yet"), "{table}");
    assert!(folder.path().join("rcan-table1.png").is_file());
    // A row where earlier versions wrote it is named, and not taken.
    std::fs::write(folder.path().join("heavy.json"), "{}").expect("written");
    let output = run(&["reproduce", "rcan-table1", "--table-only", "--out", &out]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("heavy.json") && text.contains("rcan-table1/"), "{text}");
    assert!(!folder.path().join("runs").exists(), "nothing is run");
    // The same folder holds another paper's first table, which takes none of it.
    let other = sound(&run(&["reproduce", "rl-cyclegan-table1", "--table-only", "--out", &out]));
    assert!(!other.contains("4.6%"), "{other}");
    let kept = std::fs::read_to_string(folder.path().join("rcan-table1.md")).expect("still there");
    assert!(kept.contains("4.6%"), "{kept}");
    // Quick results and others are never on one page.
    let output = run(&["reproduce", "rcan-table1", "--table-only", "--quick", "--out", &out]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && text.contains("canonical.json") && text.contains("--quick"), "{text}");
    std::fs::write(rows.join("mild.json"), "{}").expect("written");
    let output = run(&["reproduce", "rcan-table1", "--table-only", "--out", &out]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && text.contains("mild.json") && text.contains("remove"), "{text}");
}

/// Every node of every table is a command that the program knows: a typo among its words is found before anything runs.
#[test]
fn every_table_can_be_laid_out() {
    let folder = tempfile::tempdir().expect("a folder");
    for (table, row) in [
        ("rcan-table1", "Mild Randomization"),
        ("rcan-figure4", "RCAN"),
        ("rl-cyclegan-table1", "Q_sim on F(y)"),
        ("rl-cyclegan-table2", "Real only, 5000 episodes"),
        ("rl-cyclegan-table3", "Sim+Real, multi-bin"),
        ("rl-cyclegan-table4", "RL-CycleGAN, 5000 off-policy"),
        ("rl-cyclegan-table6", "5000 episodes, lambda 2"),
    ] {
        let out = folder.path().join(table).display().to_string();
        let text = sound(&run(&["reproduce", table, "--table-only", "--out", &out]));
        assert!(text.contains(row) && text.contains("not run yet"), "{table}: {text}");
        assert!(text.contains("simulated stand-in") && !text.contains("Quick run"), "{table}: {text}");
        let output = run(&["reproduce", table, "--rows", "nonsense", "--out", &out]);
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && message.contains("the rows are"), "{table}: {message}");
    }
    let out = folder.path().join("quick").display().to_string();
    assert!(
        sound(&run(&["reproduce", "rl-cyclegan-table1", "--quick", "--table-only", "--out", &out]))
            .contains("Quick run")
    );
    let missing = folder.path().join("nothing").display().to_string();
    for flag in ["--canonical", "--real"] {
        let output = run(&["reproduce", "rl-cyclegan-table1", "--table-only", "--out", &out, flag, &missing]);
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(message.contains(flag) && message.contains("nothing") && !message.contains("SHA256SUMS"), "{message}");
    }
    // A row that nothing was recorded for is no success, and the page counts the episodes that are there.
    let table2 = ["reproduce", "rl-cyclegan-table2", "--out", &out, "--rows", "rl-cyclegan-25000"];
    let output = run(&table2);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--recorded"), "{output:?}");
    let real = folder.path().join("real").display().to_string();
    sound(&run(&["episodes", "record", "--out", &real, "--count", "3", "--policy", "random"]));
    let page = sound(&run(&["reproduce", "rl-cyclegan-table1", "--table-only", "--out", &out, "--real", &real]));
    assert!(page.contains("learn from 3 episodes"), "{page}");
}

#[test]
fn what_an_agent_does_becomes_pairs_that_rcan_learns_from() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = |name: &str| folder.path().join(name).display().to_string();
    let [agent, other, moved, pairs] = ["agent", "other", "moved", "pairs"].map(&place);
    let [whole, killed, scripts] = ["whole", "killed", "scripts"].map(&place);
    sound(&run(&train(&agent, &["--steps", "2"])));
    sound(&run(&train(&other, &["--steps", "2", "--seed", "1"])));

    let rcan = |out: &str, extra: &[&str]| -> Vec<String> {
        let words =
            [&["train", "rcan", "--out", out], &training::SMALL[..], &["--set", "rcan.size=64"], extra].concat();
        words.into_iter().map(str::to_owned).collect()
    };
    let args = |words: &[String]| words.iter().map(String::as_str).collect::<Vec<_>>().join("\n");
    let play = |words: Vec<String>| run(&args(&words).split('\n').collect::<Vec<_>>());
    let half = ["--steps", "12", "--policy", &agent, "--policy-share", "0.5"];
    sound(&play(rcan(&whole, &half)));
    sound(&play(rcan(&scripts, &["--steps", "12"])));
    assert!(checksums(&whole, 11) != checksums(&scripts, 11), "the agent makes a difference");
    let words = args(&rcan(&killed, &half));
    kill_at_first_checkpoint(&words.split('\n').collect::<Vec<_>>(), &killed);
    // Another agent is another run; the same one may lie elsewhere.
    let resume = |extra: &[&str]| run(&[&["train", "rcan", "--out", &killed, "--resume"], extra].concat());
    let output = resume(&["--policy", &other]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && text.contains("--policy"), "{text}");
    std::fs::rename(&agent, &moved).expect("moved");
    sound(&resume(&["--policy", &moved]));
    assert_eq!(checksums(&whole, 11), checksums(&killed, 11));

    let generate = ["dataset", "generate", "--out", &pairs, "--count", "60", "--num-envs", "4", "--policy"];
    sound(&run(&[&generate[..], &[&moved]].concat()));
    let checked = json(&sound(&run(&["dataset", "check", &pairs, "--json"])));
    assert_eq!((&checked["pairs_readable"], &checked["problem_count"]), (&60.into(), &0.into()));
    let name = std::fs::read_to_string(Path::new(&pairs).join("dataset.toml")).expect("readable");
    assert!(name.contains("policy = \"qtopt-"), "{name}");

    let output = play(rcan(&place("refused"), &["--policy", &moved, "--set", "rcan.size=32"]));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && text.contains("64x64"), "{text}");
    let real = place("real");
    sound(&run(&train(&real, &["--steps", "1", "--domain", "reality"])));
    let output = play(rcan(&place("refused"), &["--policy", &real]));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && text.contains("RCAN sees nothing"), "{text}");
    assert!(!Path::new(&place("refused")).exists());
}
