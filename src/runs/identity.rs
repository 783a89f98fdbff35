//! What a run was begun with, by its contents: objects, textures and datasets are remembered by checksums beside their
//! paths. A run that is resumed refuses others under the same path, and takes the same under another one.

use super::objects::{import_options, load_objects, object_source};
use super::{UsageError, pair_agent};
use crate::appearance::ImageSet;
use crate::data::paired::checksums_path;
use crate::files::atomic::{sha256_file, sha256_hex};
use crate::gan::cyclegan::folder::FOLDERS;
use crate::pictures;
use crate::rl::qtopt::QtOptConfig;
use crate::scene::cells;
use crate::train::checkpoint::CHECKSUMS_NAME;
use crate::train::{EnvData, load_run};
use anyhow::Context;
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const OBJECTS: &str = "objects";
const CELL: &str = "cell";
const TEXTURES: &str = "textures";
const POLICY: &str = "policy";
const INIT: &str = "init";

/// Adds the checksums of the environments' cell, objects and textures, and of these datasets and recordings by their settings.
///
/// # Errors
/// Something that is not there or cannot be read.
pub fn remember(env: &mut EnvData, folders: &[(&str, Option<PathBuf>)]) -> anyhow::Result<()> {
    let mut digests = BTreeMap::new();
    digests.extend(objects_digest(env)?.map(|digest| (OBJECTS.to_owned(), digest)));
    digests.extend(cell_digest(&env.cell)?.map(|digest| (CELL.to_owned(), digest)));
    if let Some(textures) = &env.textures {
        digests.insert(TEXTURES.to_owned(), ImageSet::load(textures)?.digest());
    }
    for (name, folder) in folders {
        if let Some(folder) = folder {
            digests.insert((*name).to_owned(), folder_digest(folder)?);
        }
    }
    env.digests = digests;
    Ok(())
}

/// Checks that the environments' cell, objects and textures are what the run was begun with, and then gives `wanted` the paths of
/// `saved`, so that the rest can be compared.
///
/// # Errors
/// [`UsageError`] names what is not the same, and the flag.
pub fn same_env(saved: &EnvData, wanted: &mut EnvData) -> anyhow::Result<()> {
    if let Some(expected) = saved.digests.get(OBJECTS) {
        let found = objects_digest(wanted).with_context(|| elsewhere("--objects"))?;
        compare(found.as_deref(), expected, "--objects", &wanted.objects)?;
        wanted.objects.clone_from(&saved.objects);
    }
    if let Some(expected) = saved.digests.get(CELL) {
        let found = cell_digest(&wanted.cell).with_context(|| elsewhere("--cell"))?;
        compare(found.as_deref(), expected, "--cell", &wanted.cell)?;
        wanted.cell.clone_from(&saved.cell);
    }
    if let Some(expected) = saved.digests.get(TEXTURES) {
        let folder = wanted.textures.clone().unwrap_or_default();
        let found = ImageSet::load(&folder).with_context(|| elsewhere("--textures"))?.digest();
        compare(Some(&found), expected, "--textures", &folder.display().to_string())?;
        wanted.textures.clone_from(&saved.textures);
    }
    Ok(())
}

/// The same for a dataset or recording that the setting `name` and the flag `flag` name.
///
/// # Errors
/// As [`same_env`].
pub fn same_folder(
    (name, flag): (&str, &str),
    digests: &BTreeMap<String, String>,
    saved: &Option<PathBuf>,
    wanted: &mut Option<PathBuf>,
) -> anyhow::Result<()> {
    let (Some(expected), Some(folder)) = (digests.get(name), wanted.clone()) else { return Ok(()) };
    let found = folder_digest(&folder).with_context(|| elsewhere(flag))?;
    compare(Some(&found), expected, flag, &folder.display().to_string())?;
    wanted.clone_from(saved);
    Ok(())
}

/// Adds what the frozen agent of `--policy` is.
///
/// # Errors
/// A run that cannot be loaded.
pub fn remember_policy(env: &mut EnvData, run: Option<&Path>) -> anyhow::Result<()> {
    if let Some(run) = run {
        env.digests.insert(POLICY.to_owned(), pair_agent::name(run)?);
    }
    Ok(())
}

/// Adds what the run of `--init` is, by its newest checkpoint.
///
/// # Errors
/// No run of QT-Opt with a checkpoint.
pub fn remember_init(env: &mut EnvData, run: Option<&Path>) -> anyhow::Result<()> {
    if let Some(run) = run {
        env.digests.insert(INIT.to_owned(), run_digest(run)?);
    }
    Ok(())
}

/// Checks that the run of `--init` is what it was when a run was made that has not begun.
///
/// # Errors
/// As [`same_env`].
pub fn same_init(digests: &BTreeMap<String, String>, run: Option<&Path>) -> anyhow::Result<()> {
    let (Some(expected), Some(run)) = (digests.get(INIT), run) else { return Ok(()) };
    let found = run_digest(run).with_context(|| elsewhere("--init"))?;
    compare(Some(&found), expected, "--init", &run.display().to_string())
}

/// The same as [`same_folder`] for the frozen agent of `--policy`, by the checksum of its checkpoint.
///
/// # Errors
/// As [`same_env`].
pub fn same_policy(
    digests: &BTreeMap<String, String>,
    saved: &Option<PathBuf>,
    wanted: &mut Option<PathBuf>,
) -> anyhow::Result<()> {
    let (Some(expected), Some(run)) = (digests.get(POLICY), wanted.clone()) else { return Ok(()) };
    let found = pair_agent::name(&run).with_context(|| elsewhere("--policy"))?;
    compare(Some(&found), expected, "--policy", &run.display().to_string())?;
    wanted.clone_from(saved);
    Ok(())
}

/// Checksums of the pictures in the folders of unpaired images below `root`: of the contents in the order of the names, on
/// which batches depend. Names do not count, nor files that are no pictures.
///
/// # Errors
/// A folder or picture that cannot be read.
pub fn pictures_digests(root: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    let mut digests = BTreeMap::new();
    for name in FOLDERS {
        let folder = root.join(name);
        if folder.is_dir() {
            let pictures = pictures::list(&folder)?.pictures;
            let sums: Vec<String> =
                pictures.par_iter().map(|picture| sha256_file(picture)).collect::<Result<_, _>>()?;
            digests.insert(name.to_owned(), sha256_hex(sums.concat().as_bytes()));
        }
    }
    Ok(digests)
}

/// Checks that the pictures below `root` are those that a run was begun with; nothing where it remembers none.
///
/// # Errors
/// As [`same_env`].
pub fn same_pictures(saved: &BTreeMap<String, String>, root: &Path) -> anyhow::Result<()> {
    if saved.is_empty() {
        return Ok(());
    }
    let found = pictures_digests(root).with_context(|| elsewhere("--data"))?;
    for name in FOLDERS {
        if found.get(name) != saved.get(name) {
            return Err(differs("--data", &root.join(name).display().to_string()).into());
        }
    }
    Ok(())
}

fn elsewhere(flag: &str) -> String {
    format!("looking at what the run was begun with; if it lies elsewhere now, pass {flag} with its new place")
}

fn compare(found: Option<&str>, expected: &str, flag: &str, place: &str) -> anyhow::Result<()> {
    if found == Some(expected) { Ok(()) } else { Err(differs(flag, place).into()) }
}

fn differs(flag: &str, place: &str) -> UsageError {
    UsageError(format!(
        "what is in {place} is not what the run was begun with: its contents differ; pass {flag} with the place of the same \
         ones, or start another run"
    ))
}

/// None where every object is the program's own.
fn objects_digest(env: &EnvData) -> anyhow::Result<Option<String>> {
    let objects = load_objects(&env.objects, import_options(env.object_files))?;
    Ok(object_source(&env.objects, &objects, 0).digest)
}

/// Of a cell's file, whatever its comments and the order of its keys. None where the cell is the program's own.
fn cell_digest(cell: &str) -> anyhow::Result<Option<String>> {
    let (path, preset) = match cell.rsplit_once(':') {
        Some((base, preset)) if !Path::new(cell).is_file() => (base, preset),
        _ => (cell, ""),
    };
    if cells::list().iter().any(|builtin| builtin.name == path) {
        return Ok(None);
    }
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read the cell {path}"))?;
    let table: toml::Table = text.parse().with_context(|| format!("the cell {path}"))?;
    Ok(Some(sha256_hex(format!("{preset}\n{table}").as_bytes())))
}

fn run_digest(run: &Path) -> anyhow::Result<String> {
    Ok(sha256_file(&load_run::<QtOptConfig>(run)?.checkpoint.path.join(CHECKSUMS_NAME))?)
}

/// Its list has the checksum of every file.
fn folder_digest(folder: &Path) -> anyhow::Result<String> {
    Ok(sha256_file(&checksums_path(folder))?)
}

#[cfg(test)]
mod tests {
    use super::super::environments::{CAMERA, CELL, load_cell};
    use super::*;
    use crate::contract::{Crop, Domain};

    #[test]
    fn contents_count_and_paths_do_not() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        for (name, colour) in [("a", 10), ("copy", 10), ("other", 200)] {
            std::fs::create_dir(folder.path().join(name))?;
            image::RgbImage::from_pixel(4, 4, image::Rgb([colour; 3])).save(folder.path().join(name).join("x.png"))?;
        }
        let env = |textures: &str| EnvData {
            cell: CELL.to_owned(),
            domain: Domain::Canonical,
            objects: "train".to_owned(),
            textures: Some(folder.path().join(textures)),
            camera: CAMERA.to_owned(),
            crop: Crop::Centre,
            num_envs: 1,
            object_files: None,
            digests: BTreeMap::new(),
        };
        let mut saved = env("a");
        remember(&mut saved, &[])?;
        assert_eq!(saved.digests.keys().collect::<Vec<_>>(), ["textures"]);
        let with = |textures: &str| EnvData { textures: Some(folder.path().join(textures)), ..saved.clone() };
        for same in ["a", "copy"] {
            let mut wanted = with(same);
            same_env(&saved, &mut wanted)?;
            assert_eq!(wanted, saved, "{same}");
        }
        let error = same_env(&saved, &mut with("other")).expect_err("other contents");
        assert!(error.is::<UsageError>() && error.to_string().contains("--textures"), "{error}");
        let error = same_env(&saved, &mut with("nowhere")).expect_err("nothing there");
        assert!(error.to_string().contains("--textures"), "{error:#}");
        // A cell's file counts by what it describes.
        let description = cells::to_toml(&*load_cell(CELL)?)?;
        let [mine, copy] = ["mine.toml", "copy.toml"].map(|name| folder.path().join(name));
        let in_file = |file: &Path| EnvData { cell: file.display().to_string(), ..env("a") };
        std::fs::write(&mine, &description)?;
        std::fs::write(&copy, format!("# mine\n{description}"))?;
        let mut begun = in_file(&mine);
        remember(&mut begun, &[])?;
        assert_eq!(begun.digests.keys().collect::<Vec<_>>(), ["cell", "textures"]);
        let mut wanted = EnvData { cell: copy.display().to_string(), ..begun.clone() };
        same_env(&begun, &mut wanted)?;
        assert_eq!(wanted, begun);
        let changed = description.replacen("per_episode = 5", "per_episode = 2", 1);
        assert_ne!(changed, description);
        std::fs::write(&mine, changed)?;
        let error = same_env(&begun, &mut begun.clone()).expect_err("another cell");
        assert!(error.is::<UsageError>() && error.to_string().contains("--cell"), "{error}");
        // The same path, and other contents since.
        image::RgbImage::from_pixel(4, 4, image::Rgb([11; 3])).save(folder.path().join("a/x.png"))?;
        assert!(same_env(&saved, &mut with("a")).is_err());
        // Runs of earlier versions remember nothing.
        let mut wanted = env("other");
        same_env(&env("a"), &mut wanted)?;
        assert_eq!(wanted, env("other"));
        Ok(())
    }

    #[test]
    fn pictures_count_by_contents_and_order() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let save = |root: &str, name: &str, colour: u8| -> anyhow::Result<()> {
            let path = folder.path().join(root).join(name);
            std::fs::create_dir_all(path.parent().unwrap_or(&path))?;
            Ok(image::RgbImage::from_pixel(4, 4, image::Rgb([colour; 3])).save(path)?)
        };
        for (root, names) in [("a", ["1.png", "2.png"]), ("copy", ["x.png", "y.png"]), ("turned", ["2.png", "1.png"])] {
            save(root, &format!("trainA/{}", names[0]), 10)?;
            save(root, &format!("trainA/{}", names[1]), 20)?;
            save(root, "trainB/1.png", 30)?;
        }
        std::fs::write(folder.path().join("copy/trainA/notes.txt"), "no picture")?;
        let saved = pictures_digests(&folder.path().join("a"))?;
        assert_eq!(saved.keys().collect::<Vec<_>>(), ["trainA", "trainB"]);
        let check = |root: &str| same_pictures(&saved, &folder.path().join(root));
        check("a")?;
        check("copy")?;
        let error = check("turned").expect_err("another order");
        assert!(error.is::<UsageError>() && error.to_string().contains("trainA"), "{error}");
        // Validation pictures that were not there.
        save("a", "testB/1.png", 1)?;
        assert!(check("a").is_err_and(|error| error.to_string().contains("testB")));
        assert!(check("nowhere").is_err());
        // Runs of earlier versions remember nothing.
        same_pictures(&BTreeMap::new(), &folder.path().join("nowhere"))
    }
}
