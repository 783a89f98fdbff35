//! What a window and a screenshot show.

use super::{Host, hosts, visit};
use bingrasp::draw::png::decode_rgb;
use std::path::Path;
use std::process::Command;

/// Mean of 16x16 blocks of a picture.
fn blocks(path: &Path) -> (usize, usize, Vec<f32>) {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let image = decode_rgb(&bytes).expect("a PNG");
    let (columns, rows) = (image.width / 16, image.height / 16);
    let mean = |i: usize| {
        let (left, top) = ((i % columns) * 16, (i / columns) * 16);
        let lines = (top..top + 16).flat_map(|y| &image.pixels[(y * image.width + left) * 3..][..48]);
        lines.map(|&v| f32::from(v)).sum::<f32>() / 768.0
    };
    (image.width, image.height, (0..columns * rows).map(mean).collect())
}

#[test]
fn the_window_shows_what_the_screenshot_without_a_display_shows() {
    let args = ["--paused", "--seed", "2", "--ticks", "300", "--domain", "randomized-mild"];
    let script = "{\"wait\": 0.6}\n{\"screenshot\": \"a.png\"}\n{\"state\": \"a.json\"}\n\"close\"\n";
    let headless = visit(Host::Headless, &args, script);
    let state = headless.state("a");
    // The last panel is a generator's, and there is none.
    let shown = &state.variety[..5];
    assert!(shown.iter().all(|&share| share > 0.2), "a picture is blank: {shown:?}");
    let (width, height, expected) = blocks(&headless.path("a.png"));
    assert_eq!((width, height), (1280, 720));
    // The panels lie beside each other and differ.
    let column = |i: usize| -> Vec<f32> {
        let left = (12 + i * 164) / 16 + 1;
        (35..42)
            .flat_map(|row| (left..left + 8).map(move |c| (row, c)))
            .map(|(row, c)| expected[row * 80 + c])
            .collect()
    };
    for (i, j) in [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)] {
        let apart: f32 = column(i).iter().zip(column(j)).map(|(a, b)| (a - b).abs()).sum::<f32>() / 56.0;
        assert!(apart > 8.0, "panels {i} and {j} look alike: {apart}");
    }
    if hosts().contains(&Host::Window) {
        let window = visit(Host::Window, &args, script);
        let (width, height, shown) = blocks(&window.path("a.png"));
        assert_eq!((width, height), (1280, 720));
        let apart = expected.iter().zip(&shown).map(|(a, b)| (a - b).abs()).sum::<f32>() / expected.len() as f32;
        assert!(apart < 3.0, "the window differs from the screenshot by {apart} of 255 on average");
    }
}

#[test]
fn a_screenshot_needs_no_display_and_is_the_same_every_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let shoot = |name: &str, seed: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_bingrasp"))
            .args(["view", "--screenshot", name, "--ticks", "200", "--seed", seed, "--pixels-per-point", "1.5"])
            .current_dir(folder.path())
            .env_remove("DISPLAY")
            .output()
            .expect("the binary runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        std::fs::read(folder.path().join(name)).expect("written")
    };
    let (first, again, other) = (shoot("a.png", "5"), shoot("b.png", "5"), shoot("c.png", "6"));
    assert!(first == again && first != other);
    assert_eq!(decode_rgb(&first).map(|image| (image.width, image.height)).expect("a PNG"), (1920, 1080));
}
