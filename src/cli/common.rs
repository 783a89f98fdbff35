//! Arguments that several commands share, and what they resolve to.

use super::numbers;
use crate::appearance::ImageSet;
use crate::contract::{Domain, Seed};
use crate::objects::ObjectModel;
use crate::objects::import::ImportOptions;
use crate::runs::environments::{self, set_cell, set_objects};
pub use crate::runs::environments::{
    CELL, absolute, load_cell, measured_access, num_envs_for, recorded_cell, texture_source,
};
pub use crate::runs::inputs::{Inputs, run_of};
pub use crate::runs::objects::{load_objects, measured_objects, named_set, object_source, objects_in, usual_objects};
use crate::scene::CellDescription;
use crate::train::{EnvData, ObjectFiles};
use std::path::{Path, PathBuf};
use std::sync::Arc;

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
}

impl From<ImportArgs> for ImportOptions {
    /// With the usual limits.
    fn from(ImportArgs { scale, density, friction }: ImportArgs) -> Self {
        Self { scale, density, friction, ..Self::default() }
    }
}

/// Texture images of the randomized domains.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct TextureArgs {
    /// A folder of pictures (PNG, JPEG, GIF, WebP, BMP or TIFF) that the randomized domains draw on, beside the procedural textures
    #[arg(long, value_name = "DIR")]
    pub textures: Option<PathBuf>,
}

impl TextureArgs {
    pub fn folder(&self) -> Option<&Path> {
        self.textures.as_deref()
    }

    /// # Errors
    /// A folder or file that cannot be read.
    pub fn load(&self) -> anyhow::Result<Arc<ImageSet>> {
        environments::load_textures(self.folder())
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

/// Where a learner's episodes are played.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct EnvArgs {
    /// Domain that the learner sees: canonical, randomized-mild, randomized-medium, randomized-heavy, reality, reality-dev,
    /// reality-2 [default: canonical; rcan translates from a simulated one, by default randomized-heavy]
    #[arg(long)]
    pub domain: Option<Domain>,
    /// Cell: one of `bingrasp cells list`, or a TOML file [default: iiwa-bin; ppo: that of the task, panda-table or iiwa-bin]
    #[arg(long, value_name = "NAME|FILE")]
    pub cell: Option<String>,
    /// Objects: train, test, all, household, household:SEED, ycb, spring-jointed, spring-jointed-rigid, or a folder of OBJ,
    /// URDF or glTF files; several with commas between them [default: train; ppo on pose-grasp: ycb]
    #[arg(long, value_name = "SET|DIR")]
    pub objects: Option<String>,
    #[command(flatten)]
    pub object_files: ImportArgs,
    #[command(flatten)]
    pub textures: TextureArgs,
}

impl EnvArgs {
    /// Puts the flags into a run's settings.
    ///
    /// # Errors
    /// A cell that cannot be loaded.
    pub fn apply(&self, env: &mut EnvData) -> anyhow::Result<()> {
        if let Some(cell) = &self.cell {
            set_cell(env, cell)?;
        }
        env.object_files = self.object_files.settings().or(env.object_files);
        env.domain = self.domain.unwrap_or(env.domain);
        if let Some(objects) = &self.objects {
            set_objects(env, objects);
        }
        if let Some(textures) = &self.textures.textures {
            env.textures = Some(absolute(textures));
        }
        Ok(())
    }
}

/// Puts the paths that were typed into a run's settings, so that they stay the same when the working folder changes.
pub fn set_paths<const N: usize>(places: [(&mut Option<PathBuf>, &Option<PathBuf>); N]) {
    for (place, typed) in places {
        *place = typed.as_deref().map(absolute).or(place.take());
    }
}
