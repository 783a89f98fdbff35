//! No command writes over what it reads, however the two paths are spelled; `demo` replaces only what demos wrote.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn run(folder: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bingrasp"));
    command.args(words).current_dir(folder).stdin(Stdio::null()).output().expect("the binary runs")
}

fn put(path: PathBuf, text: &str) {
    std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
    std::fs::write(path, text).expect("written");
}

/// Every file below a folder, links as what they lead to.
fn contents(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
            if entry.file_type().expect("a kind").is_dir() {
                folders.push(entry.path());
            } else {
                files.insert(entry.path(), std::fs::read(entry.path()).unwrap_or_default());
            }
        }
    }
    files
}

/// Runs a command that must be refused as wrong usage before it writes anything.
fn refused(root: &Path, words: &str) {
    let before = contents(root);
    let output = run(root, &words.split(' ').collect::<Vec<_>>());
    let says = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{words}: {says}");
    assert!(says.contains("own input") || says.contains("lies inside"), "{words}: {says}");
    assert_eq!(contents(root), before, "{words}");
}

#[test]
fn translations_never_replace_the_images_they_are_of() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path();
    put(root.join("run/config.toml"), "seed = 0");
    for name in ["photos/a.png", "photos/b.jpg", "elsewhere/c.png", "mask/a.png"] {
        put(root.join(name), "");
        image::RgbImage::from_pixel(8, 8, image::Rgb([9, 99, 199])).save(root.join(name)).expect("a picture");
    }
    for out in ["photos", "./photos/.", "photos/../photos", "elsewhere/../photos/"] {
        refused(root, &format!("translate --generator run photos {out}"));
        refused(root, &format!("translate --generator run photos/a.png {out}"));
    }
    refused(root, &format!("translate --generator run photos {}", root.join("photos").display()));
    refused(root, "translate --generator run photos run");
    // Where masks and depths would go.
    refused(root, "translate --generator run mask .");
    #[cfg(unix)]
    {
        use std::os::unix::fs::symlink;
        symlink("photos", root.join("link")).expect("a link");
        refused(root, "translate --generator run photos link");
        refused(root, "translate --generator run link photos");
        std::fs::create_dir(root.join("out")).expect("a folder");
        symlink("../photos", root.join("out/depth")).expect("a link");
        refused(root, "translate --generator run photos out");
        // An image that is a link counts where it leads to.
        std::fs::create_dir(root.join("picked")).expect("a folder");
        symlink("../elsewhere/c.png", root.join("picked/c.png")).expect("a link");
        refused(root, "translate --generator run picked elsewhere");
    }
}

#[test]
fn no_command_writes_over_what_it_reads() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path();
    for name in ["work/data/dataset.toml", "work/data/train/depth/000000.png", "objects/a.obj", "textures/wood.png"] {
        put(root.join(name), name);
    }
    put(root.join("table/rcan/config.toml"), "seed = 0");
    for words in [
        "dataset generate --count 10 --out objects --objects ./objects",
        "dataset generate --count 10 --out textures --textures textures/. --resume",
        "dataset generate --count 10 --out work --textures work/data",
        "dataset sheet work/data --out work/data/dataset.toml",
        "dataset sheet work/data --out ./work/../work/data/train/depth/000000.png",
        "dataset sheet work/data --out work/data/train/sheet.png",
        "episodes record --count 10 --out objects --objects objects",
        "episodes record --count 10 --out work/data --policy work/data --resume",
        "episodes sheet work/data --out work/data/dataset.toml",
        "episodes export work/data --out work/data",
        "episodes export work/data --out work",
        "objects export --objects objects --out objects/.",
        "objects sheet --objects objects --out objects/a.obj",
        "eval grasp --attempts 5 --objects objects --episode-sheet objects/a.obj",
        "eval grasp --attempts 5 --textures textures --episode-sheet textures/wood.png",
        "eval translation --generator work/data --sheet work/data/dataset.toml",
        "eval translation --generator work/data --textures textures --sheet textures/wood.png",
        "train rcan --steps 1 --data work/data --out work/data",
        "train rcan --steps 1 --data work/data --out work",
        "train rcan --steps 1 --objects objects --out objects",
        "train qtopt --steps 1 --offline work/data --out work/data",
        "train qtopt --steps 1 --generator work/data --out work/data",
        "reproduce rcan-table1 --quick --generator table/rcan --out table",
        "reproduce rcan-table1 --quick --generator table --out table/.",
    ] {
        refused(root, words);
    }
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("work/data", root.join("link")).expect("a link");
        refused(root, "dataset sheet link --out work/data/train/depth/000000.png");
        refused(root, "train rcan --steps 1 --data link --out work/data");
        refused(root, "episodes export work/data --out link");
    }
    #[cfg(unix)]
    {
        // One run by another spelling of its path, and another run's pictures.
        put(root.join("runs/a/config.toml"), "seed = 0");
        put(root.join("runs/a/images/g/1.png"), "");
        put(root.join("runs/a/checkpoints/step-000000001/state.json"), "{}");
        std::os::unix::fs::symlink("runs/a/checkpoints/step-000000001", root.join("best")).expect("a link");
        refused(
            root,
            "eval grasp --attempts 5 --policy oracle --generator runs/a --episode-sheet runs/a/images/g/1.png",
        );
        refused(root, "eval translation --generator best --sheet runs/a/images/g/1.png");
    }
    #[cfg(feature = "viewer")]
    refused(root, "view --textures textures --screenshot textures/wood.png");
}

/// Runs a command that is wrong usage; what it says.
fn wrong_usage(root: &Path, words: &str) -> String {
    let before = contents(root);
    let output = run(root, &words.split(' ').collect::<Vec<_>>());
    let says = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{words}: {says}");
    assert_eq!(contents(root), before, "{words}");
    says
}

#[test]
fn exports_take_the_place_of_an_empty_folder_also_through_a_link() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path();
    std::fs::create_dir_all(root.join("empty")).expect("a folder");
    assert!(wrong_usage(root, "objects export --objects ycb --out .").contains("the folder that you are in"));
    assert!(wrong_usage(root, "objects generate --count 2 --out empty/..").contains("the folder that you are in"));
    // The name of a set that is built in is no folder.
    let output = run(root, &["objects", "export", "--objects", "ycb", "--out", "ycb"]);
    assert!(output.status.success() && root.join("ycb/004_sugar_box").is_dir(), "{output:?}");
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("empty", root.join("link")).expect("a link");
        let output = run(root, &["objects", "generate", "--count", "2", "--out", "link"]);
        assert!(output.status.success() && root.join("link").is_symlink(), "{output:?}");
        assert_eq!(std::fs::read_dir(root.join("empty")).expect("a folder").count(), 2);
    }
    // Measurements are not begun where their picture cannot be written.
    let says = wrong_usage(root, "eval grasp --attempts 5 --policy oracle --episode-sheet nowhere/sheet.png");
    assert!(says.contains("there is no folder 'nowhere'"), "{says}");
}

#[cfg(unix)]
#[test]
fn names_that_are_not_utf8_are_refused_where_they_would_have_to_be_written() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let folder = tempfile::tempdir().expect("a folder");
    let out = OsStr::from_bytes(b"out\xff");
    let base = ["objects", "generate", "--count", "2", "--out"].map(OsStr::new);
    let told = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bingrasp"));
        command.args(base).arg(out).args(more).current_dir(folder.path()).stdin(Stdio::null());
        command.output().expect("the binary runs")
    };
    let output = told(&["--json"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("not UTF-8"), "{output:?}");
    assert!(!folder.path().join(out).exists());
    assert!(told(&[]).status.success() && folder.path().join(out).is_dir());
}

#[test]
fn a_demo_replaces_nothing_that_no_demo_wrote() {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["runs/rcan/config.toml", "runs/rcan/notes.txt", "runs/pairs/dataset.toml"] {
        put(folder.path().join(name), "mine");
    }
    let before = contents(folder.path());
    for out in ["runs", "./runs/rcan/.."] {
        let output = run(folder.path(), &["demo", "--small", "--out", out]);
        let says = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{says}");
        assert!(says.contains("not an earlier demo's") && says.contains("--out"), "{says}");
        assert_eq!(contents(folder.path()), before);
    }
}
