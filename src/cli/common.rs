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
use crate::train::checkpoint::CHECKPOINTS_NAME;
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
    /// spring-jointed-rigid, or a folder of OBJ, URDF or glTF files; several with commas between them
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
    if Path::new(names).is_dir() {
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
    let path = Path::new(name);
    if let Some(set) = named_set(name) {
        return set;
    }
    if name.is_empty() || !path.is_dir() {
        return Err(unknown_set(name).into());
    }
    let set = ObjectSet::load_dir_with(path, &options.get()).with_context(|| format!("loading objects from {name}"))?;
    console::warn_all(set.failures().iter().chain(set.skipped()));
    Ok(set.objects().to_vec())
}

/// A set that is built in; `None` where the name is none of theirs. The error is a seed that is no number.
pub fn named_set(name: &str) -> Option<anyhow::Result<Vec<Arc<ObjectModel>>>> {
    let builtin = |split| Ok(ObjectSet::builtin().split(split));
    let set = |set: crate::objects::error::Result<ObjectSet>| Ok(set?.objects().to_vec());
    Some(match name {
        "train" => builtin(Split::Train),
        "test" => builtin(Split::Test),
        "all" => builtin(Split::All),
        "ycb" => set(ObjectSet::ycb()),
        "spring-jointed" => set(ObjectSet::spring_jointed()),
        "spring-jointed-rigid" => set(ObjectSet::rigid_twins()),
        household if household.starts_with("household") && !Path::new(household).is_dir() => household_set(household),
        _ => return None,
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
    let is_builtin = !Path::new(name).is_dir() && !name.split(',').any(|part| Path::new(part.trim()).is_dir());
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
        let Some(name) = name else { return self };
        // A folder's own name may hold a comma.
        let whole = std::iter::once(name).filter(|name| Path::new(name).is_dir());
        let parts = name.split(',').map(str::trim).filter(|part| Path::new(part).is_dir());
        whole.chain(parts).fold(self, |inputs, folder| inputs.users("--objects", Some(Path::new(folder))))
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

    /// # Errors
    /// [`UsageError`] when the picture that `flag` names is one of these or belongs to one, or when it is named after a format
    /// that is not written.
    pub fn check_picture(&self, flag: &str, out: &Path) -> anyhow::Result<()> {
        refuse(paths::check_file(flag, out, &self.0))?;
        PictureFormat::of(out).map_err(|error| UsageError(format!("{flag} {error}")))?;
        Ok(())
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
        env.cell =
            if Path::new(cell).is_file() { absolute(Path::new(cell)).display().to_string() } else { cell.to_owned() };
    }
    env.object_files = files.settings().or(env.object_files);
    env.domain = domain.unwrap_or(env.domain);
    if let Some(objects) = objects {
        let part = |part: &str| {
            let path = Path::new(part.trim());
            if path.is_dir() { absolute(path).display().to_string() } else { part.to_owned() }
        };
        env.objects = objects.split(',').map(part).collect::<Vec<_>>().join(",");
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
mod tests {
    use super::*;

    #[test]
    fn sets_by_name_and_mixed() {
        let names = |text: &str| -> Vec<String> {
            let objects = load_objects(text, ImportArgs::default()).expect(text);
            objects.iter().map(|object| object.name.clone()).collect()
        };
        assert_eq!((names("household").len(), names("ycb").len(), names("test").len()), (51, 10, 100));
        assert_eq!(names("spring-jointed")[..2], ["fish_fillet", "sausage"]);
        assert_eq!(names("spring-jointed-rigid")[..2], ["fish_fillet_rigid", "sausage_rigid"]);
        let mixed = names("ycb, household:3,test");
        assert_eq!(mixed.len(), 161);
        assert_eq!((mixed[0].as_str(), mixed[10].as_str()), ("004_sugar_box", "bottle-01"));
        let volumes = |text: &str| -> f32 {
            let objects = load_objects(text, ImportArgs::default()).expect(text);
            objects.iter().map(|object| object.volume_m3).sum()
        };
        assert!(volumes("household:1") != volumes("household:2") && volumes("household-solid") > volumes("household"));
    }

    #[test]
    fn methods_are_tuned_on_training_objects() {
        let cell = CellDescription::default();
        assert_eq!(measured_objects(None, Some(Domain::RealityDev), &cell), "train");
        assert_eq!(measured_objects(None, Some(Domain::Reality2), &cell), "test");
        assert_eq!(measured_objects(Some("ycb"), Some(Domain::RealityDev), &cell), "ycb");
        let count = |domain, names| objects_in(domain, names, ImportArgs::default()).map(|objects| objects.len());
        assert_eq!(count(Domain::Reality, "test").expect("known"), 100);
        assert!(count(Domain::RealityDev, "train").is_ok_and(|count| count > 100));
        for names in ["test", "ycb, all"] {
            let error = count(Domain::RealityDev, names).expect_err("refused");
            assert!(error.downcast_ref::<UsageError>().is_some() && error.to_string().contains("reality-dev"));
        }
    }

    #[test]
    fn a_wrong_name_is_named_with_the_cure() {
        for (wrong, part) in
            [("houshold", "houshold"), ("train,", "''"), ("household:x", "'x'"), ("ycb,nowhere", "nowhere")]
        {
            let error = load_objects(wrong, ImportArgs::default()).expect_err(wrong);
            assert!(error.downcast_ref::<UsageError>().is_some(), "{wrong}: wrong usage");
            let message = error.to_string();
            assert!(message.contains(part) && message.contains("household"), "{wrong}: {message}");
        }
    }
}
