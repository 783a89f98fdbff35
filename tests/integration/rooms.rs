//! ARCHITECTURE.md's map of rooms holds: simulator rooms never name Candle, learner rooms never name Bevy, `contract` names
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
        let code = code_of(room);
        assert!(!code.is_empty(), "there is no room '{room}'");
        for (place, line) in code {
            for word in words {
                assert!(!line.contains(word), "{room} names {word} at {place}: {line}");
            }
        }
    }
}

#[test]
fn simulator_rooms_never_name_candle() {
    assert_never_names(
        &["scene", "sim", "policies", "servo", "appearance", "render", "objects", "env", "contract", "viewer"],
        &["candle"],
    );
}

#[test]
fn learner_rooms_never_name_bevy() {
    assert_never_names(
        &["nn", "gan", "rl", "data", "files", "train", "draw", "contract", "servo"],
        &["bevy", "wgpu", "rapier"],
    );
}

#[test]
fn contract_uses_nothing_of_ours() {
    assert_uses_only("contract", &[]);
}

/// Every room, and what it may use of the others: the table in ARCHITECTURE.md.
const ROOMS: [(&str, &[&str]); 20] = [
    ("contract", &[]),
    ("objects", &["contract"]),
    ("scene", &["contract", "objects"]),
    ("sim", &["contract", "objects", "scene"]),
    ("policies", &["contract", "objects", "scene", "sim"]),
    ("servo", &["contract"]),
    ("pictures", &["contract"]),
    ("appearance", &["contract", "pictures"]),
    ("render", &["contract", "scene", "appearance"]),
    ("tasks", &["contract", "objects", "scene", "sim", "policies"]),
    ("env", &["contract", "objects", "scene", "sim", "policies", "tasks", "appearance", "render", "data"]),
    ("files", &[]),
    ("draw", &["contract", "files"]),
    ("train", &["contract", "nn", "files", "draw"]),
    ("data", &["contract", "files", "train", "draw"]),
    ("nn", &["contract"]),
    ("gan", &["contract", "nn", "files", "train", "draw"]),
    ("rl", &["contract", "nn", "gan", "files", "train", "draw"]),
    ("eval", &["contract", "objects", "scene", "policies", "env", "draw", "gan"]),
    (
        "viewer",
        &[
            "contract",
            "objects",
            "scene",
            "sim",
            "appearance",
            "render",
            "env",
            "policies",
            "tasks",
            "files",
            "draw",
            "data",
        ],
    ),
];

fn assert_uses_only(room: &str, allowed: &[&str]) {
    let code = code_of(room);
    assert!(!code.is_empty(), "there is no room '{room}'");
    for (place, line) in code {
        for used in line.split("crate::").skip(1) {
            let used: String = used.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
            let another = used != room && ROOMS.iter().any(|(name, _)| *name == used);
            assert!(!another || allowed.contains(&used.as_str()), "{room} uses {used} at {place}: {line}");
        }
    }
}

#[test]
fn rooms_use_only_what_lies_below_them() {
    for (room, allowed) in ROOMS {
        assert_uses_only(room, allowed);
    }
    // A room that is missing here would be held to nothing.
    let folders = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).expect("the sources");
    for folder in folders.flatten().filter(|entry| entry.path().is_dir()) {
        let name = folder.file_name().to_string_lossy().into_owned();
        assert!(name == "cli" || ROOMS.iter().any(|(room, _)| *room == name), "{name} is no room");
    }
}
