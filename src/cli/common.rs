//! Arguments that several commands share, and what they resolve to.

use super::{UsageError, numbers, output};
use crate::appearance::ImageSet;
use crate::contract::Seed;
use crate::data::paired::ObjectSource;
use crate::draw::PictureFormat;
use crate::files::console;
use crate::files::paths::{self, Input, OverlapError};
use crate::objects::import::ImportOptions;
use crate::objects::{ObjectModel, ObjectSet, Split, digest};
use crate::train::checkpoint::CHECKPOINTS_NAME;
use anyhow::Context;
use std::ops::RangeInclusive;
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
    /// Puts what is not usual into the settings of a run, under `data`.
    pub fn put(self, data: &mut toml::Table) {
        for ((name, value), (_, usual)) in self.named().into_iter().zip(Self::default().named()) {
            if value != usual {
                data.insert(name.to_owned(), f64::from(value).into());
            }
        }
    }

    /// What the settings of a run say under `data`.
    ///
    /// # Errors
    /// [`UsageError`] with what is possible.
    pub fn of_run(data: &toml::Table) -> anyhow::Result<Self> {
        let usual = Self::default();
        let number = |name: &str, usual: f32, range: RangeInclusive<f64>| -> anyhow::Result<f32> {
            let Some(value) = data.get(name) else { return Ok(usual) };
            let number = value.as_float().or_else(|| value.as_integer().map(|whole| whole as f64));
            let text = number.map_or_else(|| value.to_string(), |number| number.to_string());
            Ok(numbers::real32(range)(&text)
                .map_err(|possible| UsageError(format!("data.{name}: {possible}, not {text}")))?)
        };
        Ok(Self {
            scale: number("scale", usual.scale, numbers::SCALE)?,
            density: number("density", usual.density, numbers::DENSITY)?,
            friction: number("friction", usual.friction, numbers::FRICTION)?,
        })
    }

    fn named(self) -> [(&'static str, f32); 3] {
        [("scale", self.scale), ("density", self.density), ("friction", self.friction)]
    }

    /// With the usual limits.
    pub fn get(self) -> ImportOptions {
        let Self { scale, density, friction } = self;
        ImportOptions { scale, density, friction, ..ImportOptions::default() }
    }
}

/// `train`, `test`, `all`, or a folder.
pub fn load_objects(name: &str, options: ImportArgs) -> anyhow::Result<Vec<Arc<ObjectModel>>> {
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
            let set = ObjectSet::load_dir_with(path, &options.get())
                .with_context(|| format!("loading objects from {folder}"))?;
            console::warn_all(set.failures());
            Ok(set.objects().to_vec())
        }
    }
}

/// Objects as datasets and recordings remember them: a set that is built in by its name, a user's folder by its contents.
pub fn object_source(name: &str, objects: &[Arc<ObjectModel>], per_episode: usize) -> ObjectSource {
    let is_builtin = ["train", "test", "all"].contains(&name);
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
#[derive(clap::Args, Clone, Debug)]
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
                let images = ImageSet::load(folder)?;
                output::left_out(&images.left_out);
                Arc::new(images)
            }
            None => Arc::default(),
        })
    }
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
            .run("--generator", path("generator"))
            .objects(text("objects"))
            .users("--textures", path("textures"))
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
