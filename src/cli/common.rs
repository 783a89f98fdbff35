//! Arguments that several commands share, and what they resolve to.

use super::UsageError;
use crate::appearance::ImageSet;
use crate::contract::{Domain, PrivilegedAccess, Seed};
use crate::data::episodes::RecordedCell;
use crate::objects::{ObjectModel, ObjectSet, Split};
use crate::files::atomic::sha256_hex;
use crate::scene::{CellDescription, cells};
use crate::train::checkpoint::CHECKPOINTS_NAME;
use crate::files::paths::{self, Input, OverlapError};
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

/// What a command reads, to be asked before its first write whether its results would take the place of any of it.
#[derive(Debug, Default)]
pub struct Inputs<'a>(Vec<Input<'a>>);

impl<'a> Inputs<'a> {
    /// A data set, recording or run, if there is one.
    pub fn ours(mut self, name: &'a str, path: Option<&'a Path>) -> Self {
        self.0.extend(path.map(|path| Input::of_ours(name, path)));
        self
    }

    /// A training run, or one of its checkpoints, which stands for the run.
    pub fn run(self, name: &'a str, path: Option<&'a Path>) -> Self {
        self.ours(name, path.map(run_of))
    }

    /// A file or folder of the user's, if there is one.
    pub fn users(mut self, name: &'a str, path: Option<&'a Path>) -> Self {
        self.0.extend(path.map(|path| Input::of_user(name, path)));
        self
    }

    /// `--objects`, where it names a folder.
    pub fn objects(self, name: Option<&'a str>) -> Self {
        let folder = name.filter(|name| !["train", "test", "all"].contains(name)).map(Path::new);
        self.users("--objects", folder)
    }

    pub fn textures(self, textures: &'a TextureArgs) -> Self {
        self.users("--textures", textures.textures.as_deref())
    }

    /// What the settings of a training run name under `data`.
    pub fn of_run(data: &'a toml::Table) -> Self {
        let text = |key: &str| data.get(key).and_then(toml::Value::as_str).filter(|text| !text.is_empty());
        let path = |key: &str| text(key).map(Path::new);
        Self::default()
            .ours("--data", path("from").filter(|from| *from != Path::new("live")))
            .ours("--offline", path("offline"))
            .run("--rcan", path("rcan"))
            .objects(text("objects"))
            .users("--textures", path("textures"))
    }

    /// # Errors
    /// [`UsageError`] when the folder `out` is one of these or holds one.
    pub fn check_folder(&self, out: &Path) -> anyhow::Result<()> {
        refuse(paths::check_folder("--out", out, &self.0))
    }

    /// # Errors
    /// [`UsageError`] when the file that `flag` names is one of these or belongs to one.
    pub fn check_file(&self, flag: &str, out: &Path) -> anyhow::Result<()> {
        refuse(paths::check_file(flag, out, &self.0))
    }

    /// # Errors
    /// [`UsageError`] when the place that `what` names is one of these.
    pub fn check_distinct(&self, what: &str, out: &Path) -> anyhow::Result<()> {
        refuse(paths::check_distinct(what, out, &self.0))
    }
}

/// The run that a path names: itself, or the one that a checkpoint (`RUN/checkpoints/step-000001000`) belongs to.
pub fn run_of(path: &Path) -> &Path {
    path.parent().filter(|parent| parent.ends_with(CHECKPOINTS_NAME)).and_then(Path::parent).map_or(path, |run| {
        // `checkpoints/step-1` lies in a run that is the working folder.
        if run.as_os_str().is_empty() { Path::new(".") } else { run }
    })
}

fn refuse(checked: Result<(), OverlapError>) -> anyhow::Result<()> {
    Ok(checked.map_err(|error| UsageError(error.to_string()))?)
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
