//! `eval servo` as a user calls it: the controls that need no training, and what is said where a part is missing.

use super::training::{run, sound};

fn report(args: &[&str]) -> serde_json::Value {
    let json = sound(&run(&[&["eval", "servo", "--json"], args].concat()));
    serde_json::from_str(&json).expect("one JSON object")
}

fn rate(report: &serde_json::Value, judgement: &str) -> f64 {
    report[judgement]["rate"].as_f64().unwrap_or_else(|| panic!("{judgement} is missing in {report}"))
}

#[test]
fn the_oracle_lifts_and_its_poses_are_good_ones() {
    let oracle = report(&["--method", "oracle", "--attempts", "1", "--domain", "canonical"]);
    assert_eq!((oracle["lifted"]["trials"].as_u64(), oracle["objects"].as_array().map(Vec::len)), (Some(10), Some(10)));
    assert!(rate(&oracle, "lifted") >= 0.8 && rate(&oracle, "near") >= 0.9, "{oracle}");
    assert!(oracle["mask"].is_null() && oracle["servo"]["converged"] == 0);
}

#[test]
fn servoing_on_the_true_mask_lifts_and_a_fixed_target_is_off_by_the_papers_error() {
    let follows = ["--method", "vs", "--mask", "truth", "--attempts", "1", "--domain", "canonical"];
    let follows = report(&[&follows[..], &["--target-follows-distance"]].concat());
    assert!(rate(&follows, "lifted") >= 0.7, "{follows}");
    assert!(follows["servo"]["converged"].as_u64() >= Some(9), "{follows}");
    let fixed = report(&["--method", "vs", "--mask", "truth", "--attempts", "1", "--domain", "canonical"]);
    // 45 mm x (distance / 0.32 m - 1), with objects 0.55 to 0.63 m away; less where an object has good poses all along.
    let across = |report: &serde_json::Value| report["error_y_m"]["p90"].as_f64().expect("a figure");
    assert!((0.03..0.06).contains(&across(&fixed)) && across(&follows) < 0.02, "{fixed} {follows}");
    assert!(
        rate(&fixed, "near") < rate(&follows, "near") || rate(&fixed, "lifted") < rate(&follows, "lifted"),
        "{fixed}"
    );
}

#[test]
fn missing_parts_and_wrong_names_are_named() {
    for (args, part) in [
        (&["--method", "drl+gan"][..], "--policy"),
        (&["--method", "vs"], "--generator"),
        (&["--method", "sonar"], "drl+gan+vs"),
        (&["--method", "oracle", "--cell", "iiwa-bin"], "panda-table"),
        (&["--method", "oracle", "--objects", "nothing-there"], "nothing-there"),
    ] {
        let output = run(&[&["eval", "servo"], args].concat());
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && message.contains(part), "{args:?}: {message}");
    }
}
