//! Arguments that several commands share, and what they resolve to.

use super::{UsageError, numbers, output};
use crate::appearance::ImageSet;
use crate::contract::{Domain, PrivilegedAccess, Seed, TaskKind};
use crate::data::episodes::RecordedCell;
use crate::data::paired::ObjectSource;
use crate::draw::PictureFormat;
use crate::env::EnvConfig;
use crate::files::atomic::sha256_hex;
use crate::files::console;
use crate::files::paths::{self, Input, OverlapError};
use crate::objects::import::ImportOptions;
use crate::objects::{HouseholdConfig, ObjectModel, ObjectSet, Split, digest};
use crate::scene::{CellDescription, cells};
use crate::train::{EnvData, ObjectFiles};
use anyhow::Context;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The camera that policies and networks look through unless they were made for another.
pub const CAMERA: &str = "over-the-shoulder";

/// Which objects fill the bin.
#[derive(clap::Args, Clone, Debug)]
pub struct ObjectArgs {
    /// Objects: train, test or all of the built-in catalogue, household, household:SEED, ycb, spring-jointed,
    /// spring-jointed-rigid, or a folder of URDF, OBJ, STL, PLY, glTF or GLB files; several with commas between them
    #[arg(long, value_name = "SET|DIR", default_value = "train")]
    pub objects: String,
    #[command(flatten)]
    pub options: ImportArgs,
}

impl ObjectArgs {
    /// # Errors
    /// A folder that is missing or holds no usable object.
    pub fn load(&self) -> anyhow::Result<Vec<Arc<ObjectModel>>> {
        load_objects(&self.objects, self.options)
    }
}

/// How the files of a folder of objects are read; a set that is built in is what it is.
#[derive(clap::Args, Clone, Copy, Debug, PartialEq)]
pub struct ImportArgs {
    /// Multiply every length in the files of --objects; 0.001 for files in millimetres
    #[arg(long, default_value_t = 1.0, allow_negative_numbers = true, value_parser = numbers::real32(numbers::SCALE))]
    pub scale: f32,
    /// Density for object files that give no mass, kg/m^3
    #[arg(long, default_value_t = ImportOptions::default().density, allow_negative_numbers = true, value_parser = numbers::real32(numbers::DENSITY))]
    pub density: f32,
    /// Coulomb friction for object files that give none
    #[arg(long, default_value_t = ImportOptions::default().friction, allow_negative_numbers = true, value_parser = numbers::real32(numbers::FRICTION))]
    pub friction: f32,
}

impl Default for ImportArgs {
    fn default() -> Self {
        let ImportOptions { scale, density, friction, .. } = ImportOptions::default();
        Self { scale, density, friction }
    }
}

impl ImportArgs {
    /// As the settings of a run hold them: nothing where they are as usual.
    pub fn settings(self) -> Option<ObjectFiles> {
        let Self { scale, density, friction } = self;
        (self != Self::default()).then_some(ObjectFiles { scale, density, friction })
    }

    /// What the settings of a run say.
    pub fn of_run(files: Option<ObjectFiles>) -> Self {
        files.map_or_else(Self::default, |ObjectFiles { scale, density, friction }| Self { scale, density, friction })
    }

    /// With the usual limits.
    pub fn get(self) -> ImportOptions {
        let Self { scale, density, friction } = self;
        ImportOptions { scale, density, friction, ..ImportOptions::default() }
    }
}

/// What `--objects` takes, for messages.
const OBJECT_SETS: &str = "train, test or all of the built-in catalogue; household, household:SEED, household-solid; ycb; spring-jointed, spring-jointed-rigid; a folder of objects";

/// Objects by the name of a set or a folder, or several of these separated by commas, one after the other.
///
/// # Errors
/// A name that is neither a set nor a folder, a folder without a usable object.
pub fn load_objects(names: &str, options: ImportArgs) -> anyhow::Result<Vec<Arc<ObjectModel>>> {
    // A folder's own name may hold a comma.
    if folder_of(names).is_some() {
        return load_set(names, options);
    }
    let mut objects = Vec::new();
    for name in names.split(',') {
        objects.extend(load_set(name.trim(), options)?);
    }
    Ok(objects)
}

/// The set of objects that a measurement in a domain is made with, where none was typed: those that nothing was trained on,
/// but in the domain that methods are tuned on the training objects.
pub fn measured_objects<'a>(typed: Option<&'a str>, domain: Option<Domain>, cell: &CellDescription) -> &'a str {
    typed.unwrap_or_else(|| usual_objects(cell, domain != Some(Domain::RealityDev)))
}

/// [`load_objects`], for episodes in a domain.
///
/// # Errors
/// As [`load_objects`]; test objects in the domain that methods are tuned on.
pub fn objects_in(domain: Domain, names: &str, options: ImportArgs) -> anyhow::Result<Vec<Arc<ObjectModel>>> {
    let measured = names.split(',').map(str::trim).find(|name| ["test", "all"].contains(name));
    if let Some(name) = measured.filter(|_| domain == Domain::RealityDev) {
        let message = format!(
            "{domain} is there to tune methods on, and the objects '{name}' to measure them with; pass --objects train, or \
             measure in reality"
        );
        return Err(UsageError(message).into());
    }
    load_objects(names, options)
}

fn unknown_set(name: &str) -> UsageError {
    UsageError(format!(
        "'{name}' is no set of objects: pass --objects with one of {OBJECT_SETS}, or several with commas"
    ))
}

fn load_set(name: &str, options: ImportArgs) -> anyhow::Result<Vec<Arc<ObjectModel>>> {
    if let Some(set) = named_set(name) {
        return set;
    }
    let Some(path) = folder_of(name) else { return Err(unknown_set(name).into()) };
    let set = ObjectSet::load_dir_with(path, &options.get()).with_context(|| format!("loading objects from {name}"))?;
    console::warn_all(set.failures().iter().chain(set.skipped()));
    Ok(set.objects().to_vec())
}

/// Whether a set that is built in has this name, which then means it everywhere: a folder of the same name is `./NAME`.
fn names_a_set(name: &str) -> bool {
    let kind = name.split_once(':').map_or(name, |(kind, _)| kind);
    matches!(name, "train" | "test" | "all" | "ycb" | "spring-jointed" | "spring-jointed-rigid")
        || matches!(kind, "household" | "household-solid")
}

/// The folder of objects that a name or path means, if it is there.
pub fn folder_of(name: &str) -> Option<&Path> {
    let path = Path::new(name);
    (!name.is_empty() && !names_a_set(name) && path.is_dir()).then_some(path)
}

/// A set that is built in; `None` where the name is none of theirs. The error is a seed that is no number.
pub fn named_set(name: &str) -> Option<anyhow::Result<Vec<Arc<ObjectModel>>>> {
    if !names_a_set(name) {
        return None;
    }
    if Path::new(name).is_dir() {
        console::remark(format_args!("'{name}' is the set that is built in; pass ./{name} for the folder"));
    }
    let builtin = |split| Ok(ObjectSet::builtin().split(split));
    let set = |set: crate::objects::error::Result<ObjectSet>| Ok(set?.objects().to_vec());
    Some(match name {
        "train" => builtin(Split::Train),
        "test" => builtin(Split::Test),
        "all" => builtin(Split::All),
        "ycb" => set(ObjectSet::ycb()),
        "spring-jointed" => set(ObjectSet::spring_jointed()),
        "spring-jointed-rigid" => set(ObjectSet::rigid_twins()),
        household => household_set(household),
    })
}

fn household_set(name: &str) -> anyhow::Result<Vec<Arc<ObjectModel>>> {
    let (kind, seed) = name.split_once(':').unwrap_or((name, "0"));
    let hollow = match kind {
        "household" => true,
        "household-solid" => false,
        _ => return Err(unknown_set(name).into()),
    };
    let seed = seed
        .parse()
        .map_err(|_| UsageError(format!("'{seed}' in '{name}' is no seed; pass a whole number, as in household:1")))?;
    let config = HouseholdConfig { hollow, ..HouseholdConfig::default() };
    Ok(ObjectSet::household_with(Seed(seed), &config)?.objects().to_vec())
}

/// Objects as datasets and recordings remember them: a set that is built in by its name, a user's folder by its contents.
pub fn object_source(name: &str, objects: &[Arc<ObjectModel>], per_episode: usize) -> ObjectSource {
    let is_builtin = folder_of(name).is_none() && !name.split(',').any(|part| folder_of(part.trim()).is_some());
    ObjectSource {
        catalogue: if is_builtin { "built-in" } else { "folder" }.to_owned(),
        split: if is_builtin { name } else { "all" }.to_owned(),
        per_episode: u32::try_from(per_episode).unwrap_or(u32::MAX),
        digest: (!is_builtin).then(|| digest(objects)),
    }
}

/// Textures as they are remembered: by their contents; empty without any.
pub fn texture_source(images: &ImageSet) -> String {
    if images.is_empty() { String::new() } else { images.digest() }
}

/// Texture images of the randomized domains.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct TextureArgs {
    /// A folder of pictures (PNG, JPEG, GIF, WebP, BMP or TIFF) that the randomized domains draw on, beside the procedural textures
    #[arg(long, value_name = "DIR")]
    pub textures: Option<PathBuf>,
}

impl TextureArgs {
    /// # Errors
    /// A folder or file that cannot be read.
    pub fn load(&self) -> anyhow::Result<Arc<ImageSet>> {
        Ok(match &self.textures {
            Some(folder) => {
                if !folder.exists() {
                    let message = format!("--textures: there is no folder or file {}", folder.display());
                    return Err(UsageError(message).into());
                }
                let images = ImageSet::load(folder)?;
                output::left_out(&images.left_out);
                Arc::new(images)
            }
            None => Arc::default(),
        })
    }
}

/// The cell of the papers' Robot 1.
pub const CELL: &str = "iiwa-bin";

/// The objects of a cell's task where none are named, for training or held out: what fits its jaws.
pub fn usual_objects(cell: &CellDescription, held_out: bool) -> &'static str {
    match (cell.task, held_out) {
        (TaskKind::PoseGrasp, _) => "ycb",
        (TaskKind::BinGrasp, true) => "test",
        (TaskKind::BinGrasp, false) => "train",
    }
}

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
    pub fn run(mut self, name: &'a str, path: Option<&'a Path>) -> Self {
        let runs = path.map(|path| Input { name, path: run_of(path).into(), is_ours: true });
        self.0.extend(runs);
        self
    }

    /// A file or folder of the user's, if there is one.
    pub fn users(mut self, name: &'a str, path: Option<&'a Path>) -> Self {
        self.0.extend(path.map(|path| Input::of_user(name, path)));
        self
    }

    /// `--objects`, where it names a folder.
    pub fn objects(self, name: Option<&'a str>) -> Self {
        let Some(name) = name else { return self };
        // A folder's own name may hold a comma.
        let parts = name.split(',').map(str::trim).filter_map(folder_of);
        folder_of(name).into_iter().chain(parts).fold(self, |inputs, folder| inputs.users("--objects", Some(folder)))
    }

    pub fn textures(self, textures: &'a TextureArgs) -> Self {
        self.users("--textures", textures.textures.as_deref())
    }

    /// What the environments of a training run are read from.
    pub fn env(self, env: &'a EnvData) -> Self {
        self.objects(Some(&env.objects)).users("--textures", env.textures.as_deref())
    }

    /// # Errors
    /// [`UsageError`] when the folder `out` is one of these or holds one.
    pub fn check_folder(&self, out: &Path) -> anyhow::Result<()> {
        refuse(paths::check_folder("--out", out, &self.0))
    }

    /// The same for a folder that appears as a whole, in the place of an empty one.
    ///
    /// # Errors
    /// As [`Self::check_folder`]; the working folder, whose place would be taken from under the shell.
    pub fn check_new_folder(&self, out: &Path) -> anyhow::Result<()> {
        self.check_folder(out)?;
        if paths::is_same_place(out, Path::new("."))? {
            let message = format!("--out '{}' is the folder that you are in; name a new one", out.display());
            return Err(UsageError(message).into());
        }
        Ok(())
    }

    /// # Errors
    /// [`UsageError`] when the picture that `flag` names is one of these or belongs to one, or when it is named after a format
    /// that is not written.
    pub fn check_picture(&self, flag: &str, out: &Path) -> anyhow::Result<()> {
        refuse(paths::check_file(flag, out, &self.0))?;
        PictureFormat::of(out).map_err(|error| UsageError(format!("{flag} {error}")))?;
        let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if !folder.is_dir() {
            let message =
                format!("{flag} '{}': there is no folder '{}'; make it first", out.display(), folder.display());
            return Err(UsageError(message).into());
        }
        Ok(())
    }

    /// # Errors
    /// [`UsageError`] when the place that `what` names is one of these.
    pub fn check_distinct(&self, what: &str, out: &Path) -> anyhow::Result<()> {
        refuse(paths::check_distinct(what, out, &self.0))
    }
}

/// The run that a path names: itself, or the one that a checkpoint (`RUN/checkpoints/step-000001000`) belongs to.
pub fn run_of(path: &Path) -> PathBuf {
    crate::train::run_and_step(path).0
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

/// A path that stays the same when the working folder changes.
pub fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Puts the flags that describe environments into a run's settings.
///
/// # Errors
/// A cell that cannot be loaded.
pub fn apply_env(
    env: &mut EnvData,
    (cell, domain): (Option<&str>, Option<Domain>),
    (objects, files): (Option<&str>, ImportArgs),
    textures: &TextureArgs,
) -> anyhow::Result<()> {
    if let Some(cell) = cell {
        // The policy's camera is a cell's first.
        env.camera = load_cell(cell)?.cameras.first().map_or(String::new(), |camera| camera.name.clone());
        let is_file = !cells::is_built_in(cell) && Path::new(cell).is_file();
        env.cell = if is_file { absolute(Path::new(cell)).display().to_string() } else { cell.to_owned() };
    }
    env.object_files = files.settings().or(env.object_files);
    env.domain = domain.unwrap_or(env.domain);
    if let Some(objects) = objects {
        let part = |part: &str| {
            folder_of(part.trim()).map_or_else(|| part.to_owned(), |folder| absolute(folder).display().to_string())
        };
        env.objects = match folder_of(objects) {
            // A folder's own name may hold a comma.
            Some(_) => part(objects),
            None => objects.split(',').map(part).collect::<Vec<_>>().join(","),
        };
    }
    if let Some(textures) = &textures.textures {
        env.textures = Some(absolute(textures));
    }
    Ok(())
}

/// The environments that a run's settings describe.
///
/// # Errors
/// Objects or textures that cannot be read, a camera that the cell lacks.
pub fn env_config(env: &EnvData, size: u32, seed: Seed) -> anyhow::Result<EnvConfig> {
    let textures = TextureArgs { textures: env.textures.clone() };
    let config = EnvConfig {
        cameras: vec![env.camera.clone()],
        crop: env.crop,
        textures: textures.load()?,
        ..EnvConfig::new(
            &load_cell(&env.cell)?,
            objects_in(env.domain, &env.objects, ImportArgs::of_run(env.object_files))?,
            env.domain,
            (env.num_envs, size),
            seed,
        )
    };
    config.validate().map_err(|error| UsageError(error.to_string()))?;
    Ok(config)
}

#[cfg(test)]
mod tests;
