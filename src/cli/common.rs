//! Arguments that several commands share, and what they resolve to.

use super::Usage;
use crate::appearance::ImageSet;
use crate::contract::Seed;
use crate::objects::{HouseholdConfig, ObjectModel, ObjectSet, Split};
use anyhow::Context;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The camera that policies and networks look through unless they were made for another.
pub const CAMERA: &str = "over-the-shoulder";

/// Which objects fill the bin.
#[derive(clap::Args, Clone, Debug)]
pub struct ObjectArgs {
    /// Objects: train, test or all of the built-in catalogue, household, household:SEED, ycb, or a folder of OBJ, URDF or
    /// glTF files; several with commas between them
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

/// What `--objects` takes, for messages.
const OBJECT_SETS: &str = "train, test or all of the built-in catalogue; household, household:SEED, household-solid; ycb; a folder of objects";

/// Objects by the name of a set or a folder, or several of these separated by commas, one after the other.
///
/// # Errors
/// A name that is neither a set nor a folder, a folder without a usable object.
pub fn load_objects(names: &str) -> anyhow::Result<Vec<Arc<ObjectModel>>> {
    // A folder's own name may hold a comma.
    if Path::new(names).is_dir() {
        return load_set(names);
    }
    let mut objects = Vec::new();
    for name in names.split(',') {
        objects.extend(load_set(name.trim())?);
    }
    Ok(objects)
}

fn load_set(name: &str) -> anyhow::Result<Vec<Arc<ObjectModel>>> {
    let builtin = |split| Ok(ObjectSet::builtin().split(split));
    let unknown = || {
        Usage(format!(
            "'{name}' is no set of objects: pass --objects with one of {OBJECT_SETS}, or several with commas"
        ))
    };
    match name {
        "train" => builtin(Split::Train),
        "test" => builtin(Split::Test),
        "all" => builtin(Split::All),
        "ycb" => Ok(ObjectSet::ycb()?.objects().to_vec()),
        household if household.starts_with("household") && !Path::new(household).is_dir() => {
            let (kind, seed) = household.split_once(':').unwrap_or((household, "0"));
            let hollow = match kind {
                "household" => true,
                "household-solid" => false,
                _ => return Err(unknown().into()),
            };
            let seed = seed.parse().map_err(|_| {
                Usage(format!("'{seed}' in '{household}' is no seed; pass a whole number, as in household:1"))
            })?;
            let config = HouseholdConfig { hollow, ..HouseholdConfig::default() };
            Ok(ObjectSet::household_with(Seed(seed), &config)?.objects().to_vec())
        }
        folder => {
            let path = Path::new(folder);
            if folder.is_empty() || !path.is_dir() {
                return Err(unknown().into());
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
pub fn environments_for(size: u32) -> usize {
    match size {
        0..=96 => 64,
        97..=160 => 24,
        161..=320 => 8,
        _ => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_by_name_and_mixed() {
        let names = |text: &str| -> Vec<String> {
            load_objects(text).expect(text).iter().map(|object| object.name.clone()).collect()
        };
        assert_eq!((names("household").len(), names("ycb").len(), names("test").len()), (51, 10, 100));
        let mixed = names("ycb, household:3,test");
        assert_eq!(mixed.len(), 161);
        assert_eq!((mixed[0].as_str(), mixed[10].as_str()), ("004_sugar_box", "bottle-01"));
        let volumes = |text: &str| load_objects(text).expect(text).iter().map(|object| object.volume_m3).sum::<f32>();
        assert!(volumes("household:1") != volumes("household:2") && volumes("household-solid") > volumes("household"));
    }

    #[test]
    fn a_wrong_name_is_named_with_the_cure() {
        for (wrong, part) in
            [("houshold", "houshold"), ("train,", "''"), ("household:x", "'x'"), ("ycb,nowhere", "nowhere")]
        {
            let error = load_objects(wrong).expect_err(wrong);
            assert!(error.downcast_ref::<Usage>().is_some(), "{wrong}: wrong usage");
            let message = error.to_string();
            assert!(message.contains(part) && message.contains("household"), "{wrong}: {message}");
        }
    }
}
