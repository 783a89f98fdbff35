//! The viewer as a person meets it: the real binary, driven by events, read back from its state and its pictures. The
//! same scripts run without a display and, where `xvfb-run` is installed, in a window on a virtual one.

mod networks;
mod pictures;

use bingrasp::viewer::script::State;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tempfile::TempDir;

/// Longer than anything here takes on a slow machine: a viewer that hangs is a failure, not a wait.
const PATIENCE: Duration = Duration::from_secs(600);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Host {
    Headless,
    Window,
}

/// A window needs a virtual display.
fn hosts() -> Vec<Host> {
    let found = Command::new("xvfb-run").arg("--help").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if found {
        vec![Host::Headless, Host::Window]
    } else {
        eprintln!("xvfb-run is not installed: no window is opened");
        vec![Host::Headless]
    }
}

struct Visit {
    folder: TempDir,
    output: Output,
}

impl Visit {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn state(&self, name: &str) -> State {
        let path = self.path(&format!("{name}.json"));
        let text = std::fs::read(&path).unwrap_or_else(|error| panic!("{name}: {error}; {}", self.says()));
        serde_json::from_slice(&text).expect("a state")
    }

    fn says(&self) -> String {
        String::from_utf8_lossy(&self.output.stderr).into_owned()
    }
}

fn bingrasp(host: Host) -> Command {
    let binary = env!("CARGO_BIN_EXE_bingrasp");
    let mut command = match host {
        Host::Headless => Command::new(binary),
        Host::Window => {
            let mut command = Command::new("xvfb-run");
            command.args(["-a", "-s", "-screen 0 1280x720x24 -noreset", binary]);
            command
        }
    };
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    if host == Host::Headless {
        command.env_remove("DISPLAY");
    }
    command
}

/// Runs a command to its end; one window at a time, because each wants the whole machine.
fn finish(host: Host, command: &mut Command) -> Output {
    static WINDOW: Mutex<()> = Mutex::new(());
    let _alone = (host == Host::Window).then(|| WINDOW.lock().unwrap_or_else(PoisonError::into_inner));
    let child = command.spawn().expect("the binary runs");
    let watched = child.id();
    let (done, ended) = std::sync::mpsc::channel::<()>();
    let watch = std::thread::spawn(move || {
        if ended.recv_timeout(PATIENCE) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            let _ = Command::new("kill").args(["-KILL", &watched.to_string()]).status();
        }
    });
    let output = Child::wait_with_output(child).expect("it ends");
    drop(done);
    watch.join().expect("the watch ends");
    output
}

/// Runs `bingrasp view` with a script. Paths in it are relative to a fresh folder.
fn visit(host: Host, args: &[&str], script: &str) -> Visit {
    let folder = tempfile::tempdir().expect("a folder");
    visit_in(folder, host, args, script)
}

fn visit_in(folder: TempDir, host: Host, args: &[&str], script: &str) -> Visit {
    std::fs::write(folder.path().join("script.txt"), script).expect("written");
    let mut command = bingrasp(host);
    command.args(["view", "--fresh", "--script", "script.txt"]).args(args);
    if host == Host::Headless {
        command.arg("--headless");
    }
    let output = finish(host, command.current_dir(folder.path()));
    let visit = Visit { folder, output };
    assert!(visit.output.status.success(), "{host:?} {args:?}: {}", visit.says());
    visit
}

#[test]
fn keys_and_buttons_do_what_they_say() {
    let script = r#"
{"state": "start.json"}
{"click": "play"}
{"wait": 0.4}
{"state": "playing.json"}
{"key": "Space"}
{"wait": 0.1}
{"click": "new-seed"}
{"wait": 0.1}
{"state": "seed.json"}
{"key": "B"}
{"click": "roll-light"}
{"wait": 0.1}
{"state": "rolled.json"}
{"click": "domain"}
{"wait": 0.2}
{"click": "domain-canonical"}
{"wait": 0.2}
{"key": "O"}
{"key": "Plus"}
{"click": "drop"}
{"key": "Space"}
{"wait": 0.1}
{"state": "changed.json"}
{"click": "panel-depth"}
{"wait": 0.3}
{"state": "zoomed.json"}
{"key": "Escape"}
{"key": "3"}
{"wait": 0.8}
{"state": "top.json"}
{"drag": {"from": {"control": "view", "at": [0.06, 0.9]}, "by": [120, -30]}}
{"scroll": {"at": "view", "lines": 3}}
{"wait": 0.5}
{"state": "turned.json"}
{"click": "help"}
{"wait": 0.1}
{"state": "help.json"}
{"key": "Escape"}
{"key": "Tab"}
{"wait": 0.2}
{"state": "end.json"}
"close"
"#;
    for host in hosts() {
        let visit = visit(host, &["--paused", "--seed", "3"], script);
        let state = |name: &str| visit.state(name);
        let start = state("start");
        assert!(!start.playing && start.ticks == 0 && start.seed == 3 && start.objects == 5, "{host:?}");
        let playing = state("playing");
        assert!(playing.playing && playing.ticks > 20, "{host:?}: {} ticks", playing.ticks);
        assert_ne!(playing.gripper_m, start.gripper_m);
        let seed = state("seed");
        assert!(!seed.playing && seed.seed != 3 && seed.ticks == 0 && seed.objects_m != start.objects_m);
        let rolled = state("rolled");
        assert_eq!((rolled.seed, &rolled.objects_m), (3, &start.objects_m), "back to where it was");
        assert_ne!(rolled.look_seeds.light, start.look_seeds.light);
        assert_eq!(rolled.look_seeds.textures, start.look_seeds.textures);
        let changed = state("changed");
        assert_eq!((changed.domain.as_str(), changed.overlay, changed.speed), ("canonical", [true; 3], 2.0));
        assert_eq!(changed.objects, 6, "one was dropped");
        let zoomed = state("zoomed");
        assert_eq!((zoomed.eye.as_str(), zoomed.channel.as_str()), ("robot", "depth"));
        assert_eq!(zoomed.main_pixels[0], zoomed.main_pixels[1]);
        let top = state("top");
        assert_eq!((top.eye.as_str(), top.channel.as_str()), ("free", "source"));
        assert!(top.orbit.elevation > 1.5, "seen from above: {:?}", top.orbit);
        let turned = state("turned");
        assert!(turned.orbit.azimuth != top.orbit.azimuth && turned.orbit.distance < top.orbit.distance);
        assert!(state("help").help);
        let end = state("end");
        assert!(!end.help && !end.controls && end.main_pixels[0] > start.main_pixels[0], "{:?}", end.main_pixels);
    }
}

#[test]
fn a_person_drives_pulls_and_judges() {
    let script = r#"
{"wait": 0.5}
{"state": "start.json"}
{"hold": {"key": "Q", "seconds": 0.6}}
{"wait": 0.4}
{"state": "down.json"}
{"hold": {"key": "D", "seconds": 0.6}}
{"wait": 0.4}
{"state": "right.json"}
{"key": "G"}
{"wait": 0.6}
{"state": "closed.json"}
{"key": "Enter"}
{"until-attempts": 1}
{"state": "judged.json"}
"close"
"#;
    for host in hosts() {
        let visit = visit(host, &["--policy", "keyboard", "--seed", "1", "--view", "side"], script);
        let state = |name: &str| visit.state(name);
        let (start, down, right) = (state("start"), state("down"), state("right"));
        assert!(down.gripper_m[2] < start.gripper_m[2] - 0.02, "{host:?}: {:?} {:?}", start.gripper_m, down.gripper_m);
        // From the side, at -y, right is +x.
        assert!(right.gripper_m[0] > down.gripper_m[0] + 0.02, "{host:?}: {:?} {:?}", down.gripper_m, right.gripper_m);
        assert!(!right.gripper_closed && state("closed").gripper_closed, "{host:?}");
        assert_eq!(state("judged").attempts, 1);
    }
}

#[test]
fn the_mouse_pulls_objects() {
    // From above, the middle of an object is found by its place: seed 1's first object.
    let look = visit(Host::Headless, &["--paused", "--seed", "1"], "{\"state\": \"s.json\"}\n\"close\"\n");
    let before = look.state("s").objects_m;
    let target = before[0];
    let view = format!("{},{},{},0.5,-1.5708,1.2", target[0], target[1], target[2]);
    // The object is in the middle of the view; up on the screen is away from the eye.
    let script = r#"
{"wait": 0.2}
{"drag": {"from": "view", "by": [0, -90], "hold": 1.0}}
{"state": "held.json"}
"close"
"#;
    for host in hosts() {
        let visit = visit(host, &["--paused", "--seed", "1", "--view", &view], script);
        let after = visit.state("held").objects_m;
        let moved: f32 = before.iter().zip(&after).map(|(a, b)| (0..3).map(|i| (a[i] - b[i]).abs()).sum::<f32>()).sum();
        assert!(moved > 0.02, "{host:?}: nothing was pulled: {before:?} {after:?}");
    }
}

#[test]
fn scenes_commands_and_pairs_bring_it_back() {
    let script = r#"
{"until-ticks": 260}
{"key": "Space"}
{"wait": 0.1}
{"state": "was.json"}
{"click": "copy"}
{"wait": 0.1}
{"click": "drop"}
{"wait": 0.8}
{"key": "Space"}
{"wait": 0.1}
{"click": "save"}
{"wait": 0.1}
{"click": "export"}
{"wait": 0.2}
{"state": "saved.json"}
"close"
"#;
    let first = visit(Host::Headless, &["--policy", "oracle", "--seed", "9", "--domain", "randomized-heavy"], script);
    // The printed command shows the same again.
    let printed = String::from_utf8_lossy(&first.output.stdout).into_owned();
    let args: Vec<&str> = printed.split_whitespace().skip(2).collect();
    assert!(printed.starts_with("bingrasp view --seed 9 "), "{printed}");
    assert!(args.contains(&"--paused"), "it was paused: {printed}");
    let again = visit(Host::Headless, &args, "{\"state\": \"s.json\"}\n\"close\"\n");
    let (was, is) = (first.state("was"), again.state("s"));
    assert_eq!((was.ticks, &was.objects_m, was.gripper_m), (is.ticks, &is.objects_m, is.gripper_m));
    assert_eq!((was.orbit, was.look_seeds), (is.orbit, is.look_seeds));
    // So does the saved scene, with the object that was dropped by hand.
    let scene = first.path("bingrasp-view/scene-0001.json");
    let opened =
        visit(Host::Headless, &["--open", &scene.display().to_string()], "{\"state\": \"s.json\"}\n\"close\"\n");
    let (saved, opened) = (first.state("saved"), opened.state("s"));
    assert_eq!((saved.objects, &saved.objects_m, saved.gripper_m), (6, &opened.objects_m, opened.gripper_m));
    // The pair is a dataset.
    let pairs = bingrasp::data::paired::PairReader::open(&first.path("bingrasp-view/pair-0001")).expect("a dataset");
    let pair = pairs.read(0).expect("a pair");
    assert_eq!(pairs.len(), 1);
    assert_eq!(pair.meta.objects.len(), 6);
    let broken = Command::new(env!("CARGO_BIN_EXE_bingrasp"))
        .args(["view", "--screenshot", "x.png", "--open", "script.txt"])
        .current_dir(first.folder.path())
        .output()
        .expect("the binary runs");
    let says = String::from_utf8_lossy(&broken.stderr).into_owned();
    assert!(!broken.status.success() && says.contains("script.txt is no scene"), "{says}");
}

#[test]
fn closing_in_the_middle_of_a_recording_leaves_a_whole_file() {
    let script = r#"
{"click": "record"}
{"wait": 0.2}
{"click": "record-gif"}
{"wait": 1.2}
"close"
"#;
    for host in hosts() {
        let visit = visit(host, &["--seed", "4"], script);
        let bytes = std::fs::read(visit.path("bingrasp-view/recording-0001.gif")).expect("a recording");
        assert!(bytes.starts_with(b"GIF89a") && bytes.ends_with(&[0x3B]) && bytes.len() > 20_000, "{host:?}");
        let files = std::fs::read_dir(visit.path("bingrasp-view")).expect("a folder").count();
        assert_eq!(files, 1, "nothing is left over");
    }
}

#[test]
fn settings_are_remembered() {
    if !hosts().contains(&Host::Window) {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("config");
    std::fs::create_dir(&config).expect("created");
    let text = r#"{"window": [1100, 640], "setup": {"seed": 42, "domain": "canonical"}, "speed": 0.5}"#;
    std::fs::write(config.join("viewer.json"), text).expect("written");
    // A person's window is closed from outside: here by the signal that ends a terminal's job, after a time that is
    // enough for it to open.
    let mut kept = serde_json::Value::Null;
    for seconds in ["4", "20", "90"] {
        let mut command = Command::new("xvfb-run");
        command
            .args(["-a", "-s", "-screen 0 1280x720x24 -noreset", "timeout", "-s", "INT", seconds])
            .args([env!("CARGO_BIN_EXE_bingrasp"), "view", "--view", "top"])
            .env("BINGRASP_CONFIG_DIR", &config)
            .current_dir(folder.path())
            .stderr(Stdio::null());
        finish(Host::Window, &mut command);
        let bytes = std::fs::read(config.join("viewer.json")).expect("kept");
        kept = serde_json::from_slice(&bytes).expect("JSON");
        if kept["orbit"]["elevation"].is_number() {
            break;
        }
    }
    assert_eq!(kept["setup"]["domain"], "canonical");
    assert_eq!(kept["speed"], 0.5);
    assert_eq!(kept["window"], serde_json::json!([1100.0, 640.0]));
    assert!(kept["orbit"]["elevation"].as_f64().expect("a number") > 1.5, "the view is remembered: {kept}");
}

#[test]
fn random_input_breaks_nothing() {
    if !hosts().contains(&Host::Window) {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = bingrasp(Host::Window);
    command.args(["bench", "viewer", "--random-minutes", "0.15", "--seed", "5", "--json"]).current_dir(folder.path());
    let output = finish(Host::Window, &mut command);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["random"]["panics"], 0, "{report}");
    assert!(
        report["frames"].as_u64() > Some(3) && report["random"]["memory_end_gib"].as_f64() > Some(0.01),
        "{report}"
    );
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0, "it writes nothing");
}

#[test]
fn without_a_window_system_there_is_a_sentence() {
    for display in [None, Some(":987")] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bingrasp"));
        command.args(["view", "--fresh"]).env_remove("DISPLAY");
        if let Some(display) = display {
            command.env("DISPLAY", display);
        }
        let output = command.output().expect("the binary runs");
        let says = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{says}");
        assert!(says.contains("no window system") && says.contains("--screenshot"), "{says}");
        assert!(!says.contains("panicked"), "{says}");
    }
}
