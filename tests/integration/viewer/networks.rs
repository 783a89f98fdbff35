//! Generators and servos in the viewer.

use super::{Host, bingrasp, finish, hosts, visit};
use std::path::{Path, PathBuf};

/// A generator of a few steps: what it draws is of no matter, that it draws is.
fn small_run(folder: &Path) -> PathBuf {
    let out = folder.join("run");
    let settings = [
        "rcan.size=32",
        "rcan.generator.filters=[8, 12, 16]",
        "rcan.generator.num_strided=1",
        "rcan.discriminator.filters=[8, 8]",
        "rcan.discriminator.strides=[2, 2]",
        "rcan.discriminator.num_scales=2",
        "data.num_envs=4",
        "checkpoint_interval=2",
        "image_interval=10",
    ];
    let mut command = bingrasp(Host::Headless);
    command.args(["train", "rcan", "--batch", "4", "--steps", "2", "--seed", "3", "--out"]).arg(&out);
    settings.iter().for_each(|setting| {
        command.args(["--set", setting]);
    });
    let output = finish(Host::Headless, &mut command);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    out
}

#[test]
fn a_generator_has_a_panel_of_its_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = small_run(folder.path()).display().to_string();
    let script = r#"
{"state": "start.json"}
{"click": "play"}
{"until-ticks": 120}
{"wait": 0.5}
{"click": "play"}
{"wait": 0.3}
{"state": "played.json"}
{"screenshot": "a.png"}
{"click": "panel-generated"}
{"wait": 0.5}
{"click": "output-depth"}
{"wait": 0.5}
{"state": "zoomed.json"}
{"key": "Escape"}
{"click": "play"}
{"wait": 0.3}
"close"
"#;
    for host in hosts() {
        let visit = visit(host, &["--paused", "--seed", "3", "--generator", &run], script);
        let (start, played, zoomed) = (visit.state("start"), visit.state("played"), visit.state("zoomed"));
        assert!(played.translated > start.translated, "{host:?}: it translates while the cell plays");
        assert!(played.variety.iter().all(|&share| share > 0.1), "a picture is blank: {:?}", played.variety);
        assert_eq!((zoomed.eye.as_str(), zoomed.channel.as_str()), ("robot", "generated"));
        assert_eq!((zoomed.output.as_str(), zoomed.main_pixels), ("depth", [32, 32]));
    }
    let mut command = bingrasp(Host::Headless);
    command.args(["view", "--screenshot", "x.png", "--generator", "nowhere"]).current_dir(folder.path());
    let broken = finish(Host::Headless, &mut command);
    let says = String::from_utf8_lossy(&broken.stderr).into_owned();
    assert!(broken.status.code() == Some(1) && says.contains("nowhere"), "{says}");
    if hosts().contains(&Host::Window) {
        let mut command = bingrasp(Host::Window);
        command.args(["bench", "viewer", "--seconds", "2", "--json", "--generator", &run]).current_dir(folder.path());
        let output = finish(Host::Window, &mut command);
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(report["translated_per_frame"], 1.0, "no picture is left out: {report}");
        assert!(report["frames_per_s"].as_f64() > Some(0.0), "{report}");
    }
}

#[test]
fn a_servo_acts_on_true_masks_without_any_run() {
    let script = r#"
{"until-ticks": 60}
{"click": "play"}
{"wait": 0.1}
{"state": "servoing.json"}
{"screenshot": "shown.png"}
{"click": "servo"}
{"wait": 0.1}
{"screenshot": "hidden.png"}
{"key": "Plus"}
{"key": "Plus"}
{"click": "play"}
{"until-attempts": 1}
{"state": "judged.json"}
"close"
"#;
    let args = ["--cell", "panda-table", "--servo", "truth", "--domain", "canonical", "--seed", "1"];
    let visit = visit(Host::Headless, &args, script);
    let (servoing, judged) = (visit.state("servoing"), visit.state("judged"));
    let now = servoing.servo.expect("it servos");
    // A picture every eight ticks of physics.
    assert!((5..=24).contains(&now.tick) && now.phase == "linear step" && now.mask_pixels > 10, "{now:?}");
    let end = judged.servo.expect("it servoed");
    assert!(end.phase == "grasp" && end.tick > now.tick, "{end:?}");
    let (first, last) = (now.error.expect("seen"), end.error.expect("seen"));
    assert!(last[0].hypot(last[1]) < 6.0 && first[0].hypot(first[1]) > 30.0, "{first:?} {last:?}");
    assert_eq!((judged.attempts, judged.policy.as_str()), (1, "learned"));
    let read = |name: &str| std::fs::read(visit.path(name)).expect("written");
    assert_ne!(read("shown.png"), read("hidden.png"));
    // The bin's cell has no relative poses.
    let mut command = bingrasp(Host::Headless);
    command.args(["view", "--screenshot", "x.png", "--servo", "truth"]).current_dir(visit.folder.path());
    let refused = finish(Host::Headless, &mut command);
    let says = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(2) && says.contains("--cell panda-table"), "{says}");
}
