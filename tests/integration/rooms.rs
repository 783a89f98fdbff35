//! ARCHITECTURE.md's map of rooms holds, read from the sources as Rust parses them: simulator rooms never name Candle, learner
//! rooms never name Bevy, `contract` names neither and nothing of ours, a room uses only what lies below it, and no two rooms
//! use each other, by whatever detour.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use syn::visit::Visit;

/// Every room, and what it may use of the others: the table in ARCHITECTURE.md. `cli` may use everything.
const ROOMS: [(&str, &[&str]); 21] = [
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
    ("gan", &["contract", "pictures", "nn", "files", "train", "draw"]),
    ("rl", &["contract", "nn", "gan", "files", "train", "draw"]),
    ("eval", &["contract", "objects", "scene", "sim", "policies", "servo", "tasks", "env", "draw", "gan"]),
    (
        "runs",
        &[
            "contract",
            "objects",
            "scene",
            "policies",
            "tasks",
            "pictures",
            "appearance",
            "env",
            "data",
            "files",
            "train",
            "draw",
            "nn",
            "gan",
            "rl",
            "eval",
        ],
    ),
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

/// Paths of one file, each in full: `crate::sim::world::GraspWorld`, `bevy::prelude::App`.
struct Paths {
    /// The file's module: `["sim", "world"]`.
    module: Vec<String>,
    found: BTreeSet<Vec<String>>,
}

impl Paths {
    /// Adds a path as it is written in `self.module`.
    fn add(&mut self, written: &[String]) {
        let Some(first) = written.first() else { return };
        let supers = written.iter().take_while(|name| *name == "super").count();
        let full = match (first.as_str(), supers) {
            ("self", _) => [&["crate".to_owned()], &self.module[..], &written[1..]].concat(),
            (_, 0) => written.to_vec(),
            (_, supers) => {
                let kept = self.module.len().saturating_sub(supers);
                [&["crate".to_owned()], &self.module[..kept], &written[supers..]].concat()
            }
        };
        self.found.insert(full);
    }

    fn add_tree(&mut self, above: &[String], tree: &syn::UseTree) {
        let below = |name: &syn::Ident| [above, &[name.to_string()]].concat();
        match tree {
            syn::UseTree::Path(path) => self.add_tree(&below(&path.ident), &path.tree),
            syn::UseTree::Name(name) => self.add(&below(&name.ident)),
            syn::UseTree::Rename(name) => self.add(&below(&name.ident)),
            syn::UseTree::Glob(_) => self.add(above),
            syn::UseTree::Group(group) => group.items.iter().for_each(|tree| self.add_tree(above, tree)),
        }
    }

    /// Paths in what a macro was given: the parser leaves it as it is.
    fn add_tokens(&mut self, tokens: proc_macro2::TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                proc_macro2::TokenTree::Ident(name) => {
                    if colons != 2 {
                        self.add(&std::mem::take(&mut path));
                    }
                    path.push(name.to_string());
                    colons = 0;
                }
                proc_macro2::TokenTree::Punct(mark) if mark.as_char() == ':' => colons += 1,
                proc_macro2::TokenTree::Group(group) => {
                    self.add(&std::mem::take(&mut path));
                    self.add_tokens(group.stream());
                    colons = 0;
                }
                _ => {
                    self.add(&std::mem::take(&mut path));
                    colons = 0;
                }
            }
        }
        self.add(&path);
    }
}

impl<'ast> Visit<'ast> for Paths {
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.add_tree(&[], &item.tree);
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.module.push(item.ident.to_string());
        syn::visit::visit_item_mod(self, item);
        self.module.pop();
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let written: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.add(&written);
        syn::visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, item: &'ast syn::Macro) {
        self.add_tokens(item.tokens.clone());
        syn::visit::visit_macro(self, item);
    }
}

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// All paths that a file names, as if it were the module `module`.
fn paths_of(text: &str, module: Vec<String>) -> BTreeSet<Vec<String>> {
    let file = syn::parse_file(text).expect("a source file that parses");
    let mut paths = Paths { module, found: BTreeSet::new() };
    paths.visit_file(&file);
    paths.found
}

/// Every path that the files of a room name, with the files.
fn paths_in(room: &str) -> Vec<(PathBuf, Vec<String>)> {
    let mut folders = vec![sources().join(room)];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            if path.extension().is_none_or(|extension| extension != "rs") {
                continue;
            }
            let place = path.strip_prefix(sources()).expect("a source file").with_extension("");
            let names = place.iter().map(|name| name.to_string_lossy().into_owned());
            let module = names.filter(|name| name != "mod").collect();
            let text = std::fs::read_to_string(&path).expect("a readable source file");
            found.extend(paths_of(&text, module).into_iter().map(|named| (path.clone(), named)));
        }
    }
    assert!(!found.is_empty(), "there is no room '{room}'");
    found
}

/// The room that a path leads to, if any.
fn room_of(path: &[String]) -> Option<&'static str> {
    let [root, name, ..] = path else { return None };
    let ours = root == "crate" || root == "bingrasp";
    ROOMS.iter().map(|(room, _)| *room).chain(["cli"]).find(|room| ours && name == room)
}

fn assert_never_names(rooms: &[&str], crates: &[&str]) {
    for room in rooms {
        for (file, path) in paths_in(room) {
            let first = path.first().map_or("", String::as_str);
            let named = crates.iter().find(|prefix| first.starts_with(**prefix));
            assert!(named.is_none(), "{room} names {} in {}", path.join("::"), file.display());
        }
    }
}

#[test]
fn simulator_rooms_never_name_candle() {
    assert_never_names(
        &[
            "scene",
            "sim",
            "policies",
            "tasks",
            "servo",
            "pictures",
            "appearance",
            "render",
            "objects",
            "env",
            "contract",
            "viewer",
        ],
        &["candle"],
    );
}

#[test]
fn learner_rooms_never_name_bevy() {
    assert_never_names(
        &["nn", "gan", "rl", "data", "files", "train", "draw", "contract", "servo", "runs"],
        &["bevy", "wgpu", "rapier"],
    );
}

#[test]
fn rooms_use_only_what_lies_below_them() {
    for (room, allowed) in ROOMS {
        for (file, path) in paths_in(room) {
            let used = room_of(&path).filter(|used| *used != room);
            assert!(
                used.is_none_or(|used| allowed.contains(&used)),
                "{room} uses {} in {}",
                path.join("::"),
                file.display()
            );
        }
    }
    // A room that is missing here would be held to nothing.
    for folder in std::fs::read_dir(sources()).expect("the sources").flatten().filter(|entry| entry.path().is_dir()) {
        let name = folder.file_name().to_string_lossy().into_owned();
        assert!(name == "cli" || ROOMS.iter().any(|(room, _)| *room == name), "{name} is no room");
    }
}

/// A way from a room back to itself, if there is one.
fn circle<'a>(uses: &BTreeMap<&'a str, BTreeSet<&'a str>>) -> Option<Vec<&'a str>> {
    fn search<'a>(
        uses: &BTreeMap<&'a str, BTreeSet<&'a str>>,
        way: &mut Vec<&'a str>,
        done: &mut BTreeSet<&'a str>,
    ) -> bool {
        let here = way[way.len() - 1];
        for &next in uses.get(here).into_iter().flatten() {
            if let Some(start) = way.iter().position(|room| *room == next) {
                way.drain(..start);
                way.push(next);
                return true;
            }
            if !done.contains(next) {
                way.push(next);
                if search(uses, way, done) {
                    return true;
                }
                way.pop();
            }
        }
        done.insert(here);
        false
    }
    let mut done = BTreeSet::new();
    uses.keys().find_map(|&room| {
        let mut way = vec![room];
        (!done.contains(room) && search(uses, &mut way, &mut done)).then_some(way)
    })
}

#[test]
fn rooms_have_no_circles() {
    // Not what the table allows, but what the files do: an entry too many in the table hides no circle.
    let used = |room: &'static str| {
        let rooms = paths_in(room).into_iter().filter_map(|(_, path)| room_of(&path));
        rooms.filter(|used| *used != room).collect::<BTreeSet<_>>()
    };
    let uses: BTreeMap<&str, BTreeSet<&str>> = ROOMS.iter().map(|(room, _)| (*room, used(room))).collect();
    // The reader finds what is known to be there.
    assert!(uses["env"].contains("sim") && uses["rl"].contains("nn") && uses["sim"].contains("objects"));
    assert_eq!(circle(&uses), None);
}

#[test]
fn the_reader_of_paths_and_the_search_for_circles_work() {
    let text = "
        use crate::{sim::{self, GraspWorld as World}, tasks::*};
        pub(crate) use super::super::render::Gpu;
        fn f() -> bevy::prelude::App { let x = crate::eval::soak(); println!(\"{}\", crate::gan::name(x)); }
        mod inner { use super::look; use self::deep::Thing; }
        // use crate::viewer::Nothing;
        const TEXT: &str = \"crate::viewer::nothing\";
    ";
    let found = paths_of(text, vec!["env".to_owned(), "app".to_owned()]);
    let rooms: BTreeSet<&str> = found.iter().filter_map(|path| room_of(path)).collect();
    assert_eq!(rooms, BTreeSet::from(["env", "eval", "gan", "render", "sim", "tasks"]));
    let has = |path: &str| found.contains(&path.split("::").map(str::to_owned).collect::<Vec<_>>());
    assert!(has("bevy::prelude::App") && has("crate::env::app::look") && has("crate::env::app::inner::deep::Thing"));

    let uses = |pairs: &[(&'static str, &[&'static str])]| {
        pairs.iter().map(|(room, used)| (*room, used.iter().copied().collect())).collect()
    };
    let detour = uses(&[("a", &["b", "c"]), ("b", &[]), ("c", &["d"]), ("d", &["b", "e"]), ("e", &["c"])]);
    assert_eq!(circle(&detour), Some(vec!["c", "d", "e", "c"]));
    assert_eq!(circle(&uses(&[("a", &["b", "c"]), ("b", &["c"]), ("c", &[])])), None);
}
