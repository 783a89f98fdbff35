//! Arguments that several commands share, and what they resolve to.

use super::UsageError;
use crate::appearance::ImageSet;
use crate::contract::{Domain, PrivilegedAccess, Seed};
use crate::data::episodes::RecordedCell;
use crate::objects::{ObjectModel, ObjectSet, Split};
use crate::files::atomic::sha256_hex;
use crate::scene::{CellDescription, cells};
use anyhow::Context;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The camera that policies and networks look through unless they were made for another.
pub const CAMERA: &str = "over-the-shoulder";

/// Which objects fill the bin.
#[derive(clap::Args, Clone, Debug)]
pub struct ObjectArgs {
    /// Objects: train, test or all of the built-in catalogue, or a folder of OBJ, URDF or glTF files
    #[arg(long, value_name = "SET|DIR", default_value = "train")]
    pub objects: String,
}

impl ObjectArgs {
    /// # Errors
    /// A folder that is missing or holds no usable object.
    pub fn load(&self) -> anyhow::Result<Vec<Arc<ObjectModel>>> {
        load_objects(&self.objects)
    }
}

/// `train`, `test`, `all`, or a folder.
pub fn load_objects(name: &str) -> anyhow::Result<Vec<Arc<ObjectModel>>> {
    let builtin = |split| Ok(ObjectSet::builtin().split(split));
    match name {
        "train" => builtin(Split::Train),
        "test" => builtin(Split::Test),
        "all" => builtin(Split::All),
        folder => {
            let path = Path::new(folder);
            if !path.is_dir() {
                return Err(UsageError(format!(
                    "'{folder}' is neither train, test, all nor a folder of objects; pass --objects train or --objects DIR"
                ))
                .into());
            }
            let set = ObjectSet::load_dir(path).with_context(|| format!("loading objects from {folder}"))?;
            for failure in set.failures() {
                eprintln!("warning: {failure}");
            }
            Ok(set.objects().to_vec())
        }
    }
}

/// Texture images of the randomized domains.
#[derive(clap::Args, Clone, Debug)]
pub struct TextureArgs {
    /// A folder of PNG or JPEG files that the randomized domains draw on, beside the procedural textures
    #[arg(long, value_name = "DIR")]
    pub textures: Option<PathBuf>,
}

impl TextureArgs {
    /// # Errors
    /// A folder or file that cannot be read.
    pub fn load(&self) -> anyhow::Result<Arc<ImageSet>> {
        Ok(match &self.textures {
            Some(folder) => Arc::new(ImageSet::load(folder)?),
            None => Arc::default(),
        })
    }
}

/// The cell of the papers' Robot 1.
pub const CELL: &str = "iiwa-bin";

/// Which robot cell.
#[derive(clap::Args, Clone, Debug)]
pub struct CellArg {
    /// Cell: one of `bingrasp cells list`, or a TOML file
    #[arg(long, value_name = "NAME|FILE", default_value = CELL)]
    pub cell: String,
}

impl CellArg {
    /// # Errors
    /// An unknown name, a file that cannot be read, a value out of range.
    pub fn load(&self) -> anyhow::Result<Arc<CellDescription>> {
        load_cell(&self.cell)
    }
}

/// A cell by name or file.
///
/// # Errors
/// As [`CellArg::load`].
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

/// The seed that names everything.
#[derive(clap::Args, Clone, Debug)]
pub struct SeedArg {
    /// Seed: the same seed gives the same bytes
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
}

impl SeedArg {
    pub fn get(&self) -> Seed {
        Seed(self.seed)
    }
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
