//! The environments that settings describe: cell, objects, textures, camera, and how many of them.

use super::UsageError;
use super::left_out::warn_left_out;
use super::objects::{folder_of, import_options, objects_in};
use crate::appearance::ImageSet;
use crate::contract::{Domain, PrivilegedAccess, Seed};
use crate::data::episodes::RecordedCell;
use crate::env::EnvConfig;
use crate::files::atomic::sha256_hex;
use crate::scene::{CellDescription, cells};
use crate::train::EnvData;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The camera that policies and networks look through unless they were made for another.
pub const CAMERA: &str = "over-the-shoulder";

/// The cell of the papers' Robot 1.
pub const CELL: &str = "iiwa-bin";

/// A cell by name or file.
///
/// # Errors
/// [`UsageError`] for an unknown name, a file that cannot be read, a value out of range.
pub fn load_cell(name: &str) -> anyhow::Result<Arc<CellDescription>> {
    cells::load(name).map(Arc::new).map_err(|error| UsageError(error.to_string()).into())
}

/// The cell of a recording: its name, and what tells cells of one name apart.
pub fn recorded_cell(cell: &CellDescription) -> anyhow::Result<RecordedCell> {
    let text = cells::to_toml(cell)?;
    Ok(RecordedCell { name: cell.name.clone(), digest: sha256_hex(text.as_bytes()) })
}

/// Who may see what only the simulator knows, for data and measurements: in simulated domains as learners do, elsewhere the
/// truth is declared.
pub fn measured_access(domain: Domain) -> PrivilegedAccess {
    if domain.stands_for_reality() { PrivilegedAccess::GroundTruth } else { PrivilegedAccess::Simulation }
}

/// The pictures of a folder that the randomized domains draw on; none without one.
///
/// # Errors
/// A folder or file that cannot be read.
pub fn load_textures(folder: Option<&Path>) -> anyhow::Result<Arc<ImageSet>> {
    let Some(folder) = folder else { return Ok(Arc::default()) };
    if !folder.exists() {
        let message = format!("--textures: there is no folder or file {}", folder.display());
        return Err(UsageError(message).into());
    }
    let images = ImageSet::load(folder)?;
    warn_left_out(&images.left_out);
    Ok(Arc::new(images))
}

/// Textures as they are remembered: by their contents; empty without any.
pub fn texture_source(images: &ImageSet) -> String {
    if images.is_empty() { String::new() } else { images.digest() }
}

/// Environments that share one batch: many small tiles, few large ones.
pub fn num_envs_for(size: u32) -> usize {
    match size {
        0..=96 => 64,
        97..=160 => 24,
        161..=320 => 8,
        _ => 4,
    }
}

/// A path that stays the same when the working folder changes.
pub fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Names the cell of a run, one that is built in or a file, and its first camera, which policies look through.
///
/// # Errors
/// As [`load_cell`].
pub fn set_cell(env: &mut EnvData, name: &str) -> anyhow::Result<()> {
    env.camera = load_cell(name)?.cameras.first().map_or(String::new(), |camera| camera.name.clone());
    let is_file = !cells::is_built_in(name) && Path::new(name).is_file();
    env.cell = if is_file { absolute(Path::new(name)).display().to_string() } else { name.to_owned() };
    Ok(())
}

/// Names the objects of a run: sets and folders, with commas between them.
pub fn set_objects(env: &mut EnvData, names: &str) {
    let part = |part: &str| {
        folder_of(part.trim()).map_or_else(|| part.to_owned(), |path| absolute(path).display().to_string())
    };
    env.objects = match folder_of(names) {
        // A folder's own name may hold a comma.
        Some(_) => part(names),
        None => names.split(',').map(part).collect::<Vec<_>>().join(","),
    };
}

/// The environments that a run's settings describe.
///
/// # Errors
/// Objects or textures that cannot be read, a camera that the cell lacks.
pub fn env_config(env: &EnvData, size: u32, seed: Seed) -> anyhow::Result<EnvConfig> {
    let config = EnvConfig {
        cameras: vec![env.camera.clone()],
        crop: env.crop,
        textures: load_textures(env.textures.as_deref())?,
        ..EnvConfig::new(
            &load_cell(&env.cell)?,
            objects_in(env.domain, &env.objects, import_options(env.object_files))?,
            env.domain,
            (env.num_envs, size),
            seed,
        )
    };
    config.validate().map_err(|error| UsageError(error.to_string()))?;
    Ok(config)
}
