//! DESIGN's map of rooms holds: simulator rooms never name Candle, learner rooms never name Bevy, `contract` names
//! neither and nothing of ours.

use std::path::Path;

/// Code lines (no comments) of every Rust file below `src/<room>`, with their places.
fn code_of(room: &str) -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(room);
    let mut lines = Vec::new();
    let mut folders = vec![root];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = std::fs::read_to_string(&path).expect("a readable source file");
                for (number, line) in text.lines().enumerate() {
                    if !line.trim_start().starts_with("//") {
                        lines.push((format!("{}:{}", path.display(), number + 1), line.to_owned()));
                    }
                }
            }
        }
    }
    lines
}

fn assert_never_names(rooms: &[&str], words: &[&str]) {
    for room in rooms {
        for (place, line) in code_of(room) {
            for word in words {
                assert!(!line.contains(word), "{room} names {word} at {place}: {line}");
            }
        }
    }
}

#[test]
fn simulator_rooms_never_name_candle() {
    assert!(!code_of("sim").is_empty() && !code_of("render").is_empty(), "the rooms are where they should be");
    assert_never_names(&["scene", "sim", "appearance", "render", "objects", "env", "contract", "viewer"], &["candle"]);
}

#[test]
fn learner_rooms_never_name_bevy() {
    assert_never_names(&["nn", "gan", "rl", "servo", "data", "run", "draw", "contract"], &["bevy", "wgpu", "rapier"]);
}

#[test]
fn contract_uses_nothing_of_ours() {
    let rooms = ["objects", "scene", "sim", "appearance", "render", "env", "nn", "gan", "rl", "data", "run", "eval"];
    for room in rooms {
        assert_never_names(&["contract"], &[&format!("crate::{room}")]);
    }
}

#[test]
fn rooms_use_only_what_lies_below_them() {
    let forbidden: [(&str, &[&str]); 6] = [
        ("scene", &["crate::sim", "crate::render", "crate::env"]),
        ("sim", &["crate::render", "crate::env", "crate::appearance"]),
        ("appearance", &["crate::render", "crate::sim", "crate::scene", "crate::env"]),
        ("render", &["crate::sim", "crate::env"]),
        ("nn", &["crate::sim", "crate::render", "crate::env", "crate::gan", "crate::rl"]),
        ("data", &["crate::sim", "crate::render", "crate::env", "crate::nn"]),
    ];
    for (room, words) in forbidden {
        assert_never_names(&[room], words);
    }
}
