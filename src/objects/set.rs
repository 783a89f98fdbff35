//! A set of objects and its split into training and test. In: the built-in catalogue or a folder. Out: shared
//! [`ObjectModel`]s.

use super::catalogue;
use super::error::{ObjectError, Result};
use super::household::{self, HouseholdConfig};
use super::import::{ImportOptions, import_dir};
use super::model::ObjectModel;
use crate::contract::Seed;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::{Arc, LazyLock};

/// Which objects of a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Split {
    #[default]
    Train,
    Test,
    All,
}

/// Sets smaller than this are not divided.
const SMALLEST_DIVIDED: usize = 10;

/// Objects in a fixed order.
#[derive(Clone, Debug, Default)]
pub struct ObjectSet {
    objects: Vec<Arc<ObjectModel>>,
    failures: Vec<Arc<ObjectError>>,
    skipped: Vec<Arc<ObjectError>>,
}

/// The objects of the episode that `seed` decides: `count` different ones of `pool`, some of them twice where it holds fewer. The one rule
/// for training, recordings, datasets, evaluations and the viewer, so that a seed means the same objects everywhere.
pub fn draw_objects(pool: &[Arc<ObjectModel>], count: usize, seed: Seed) -> Vec<Arc<ObjectModel>> {
    let mut rng = seed.derive("objects", 0).rng();
    let mut left = at_least(pool, count);
    (0..count.min(left.len())).map(|_| left.swap_remove(rng.below(left.len()))).collect()
}

impl ObjectSet {
    pub fn new(objects: Vec<Arc<ObjectModel>>) -> Self {
        Self { objects, ..Self::default() }
    }

    /// The 1,000 procedural objects that the program carries: 900 for training, 100 (ids ending in 0) for test.
    pub fn builtin() -> Self {
        static BUILTIN: LazyLock<ObjectSet> = LazyLock::new(catalogue::builtin);
        BUILTIN.clone()
    }

    /// The 51 household objects of a seed (see [`super::household`]), hollow where they are in life. Another seed gives
    /// other objects of the same kinds.
    ///
    /// # Errors
    /// None for any seed that has been tried; the shapes are checked as every object's are.
    pub fn household(seed: Seed) -> Result<Self> {
        Self::household_with(seed, &HouseholdConfig::default())
    }

    /// [`Self::household`] with solid vessels or another number of staves.
    ///
    /// # Errors
    /// A configuration out of range.
    pub fn household_with(seed: Seed, config: &HouseholdConfig) -> Result<Self> {
        Ok(Self::new(household::household(seed, config)?))
    }

    /// Ten objects in the sizes and masses of the YCB set (see [`super::ycb`]).
    ///
    /// # Errors
    /// None in practice.
    pub fn ycb() -> Result<Self> {
        Ok(Self::new(super::ycb::ycb()?))
    }

    /// Six spring-jointed objects (see [`super::spring_jointed`]).
    ///
    /// # Errors
    /// None in practice.
    pub fn spring_jointed() -> Result<Self> {
        Ok(Self::new(super::spring_jointed::spring_jointed()?))
    }

    /// The rigid twins of [`Self::spring_jointed`].
    ///
    /// # Errors
    /// None in practice.
    pub fn rigid_twins() -> Result<Self> {
        Ok(Self::new(super::spring_jointed::rigid_twins()?))
    }

    /// Every object in and below a folder, sorted by path (see [`import_dir`]). Files that cannot be used are listed in
    /// [`Self::failures`].
    ///
    /// # Errors
    /// When the folder is missing or holds no object file, or when not one of them could be read.
    pub fn load_dir(path: &Path) -> Result<Self> {
        Self::load_dir_with(path, &ImportOptions::default())
    }

    /// [`Self::load_dir`] with a scale, limits or physics of one's own.
    pub fn load_dir_with(path: &Path, options: &ImportOptions) -> Result<Self> {
        let mut report = import_dir(path, options)?;
        if report.objects.is_empty() && !report.failures.is_empty() {
            return Err(report.failures.swap_remove(0));
        }
        Ok(Self {
            objects: report.objects.into_iter().map(|imported| Arc::new(imported.model)).collect(),
            failures: report.failures.into_iter().map(Arc::new).collect(),
            skipped: report.skipped.into_iter().map(Arc::new).collect(),
        })
    }

    /// The objects of one side. Where every name ends in a digit, test objects are those ending in 0, else every tenth.
    /// A set of fewer than ten objects is too small to hold any out: each side is the whole set.
    pub fn split(&self, split: Split) -> Vec<Arc<ObjectModel>> {
        if split == Split::All || self.objects.len() < SMALLEST_DIVIDED {
            return self.objects.clone();
        }
        let last = |object: &ObjectModel| object.name.bytes().last().filter(u8::is_ascii_digit);
        let numbered = self.objects.iter().all(|object| last(object).is_some());
        let is_test = |position: usize, object: &ObjectModel| {
            if numbered { last(object) == Some(b'0') } else { position % 10 == 0 }
        };
        let chosen =
            self.objects.iter().enumerate().filter(|(i, object)| is_test(*i, object) == (split == Split::Test));
        chosen.map(|(_, object)| Arc::clone(object)).collect()
    }

    pub fn objects(&self) -> &[Arc<ObjectModel>] {
        &self.objects
    }

    /// What could not be loaded, in the order of the paths.
    pub fn failures(&self) -> &[Arc<ObjectError>] {
        &self.failures
    }

    /// What looks like a model and was not read (see [`super::ImportReport::skipped`]).
    pub fn skipped(&self) -> &[Arc<ObjectError>] {
        &self.skipped
    }

    pub fn len(&self) -> usize {
        self.objects.len()
    }

    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    pub fn get(&self, name: &str) -> Option<&Arc<ObjectModel>> {
        self.objects.iter().find(|object| object.name == name)
    }
}

/// These objects and, where there are fewer than `count`, the same again in turn: a bin of five with one kind of cup holds
/// five cups. None stay none.
pub fn at_least(objects: &[Arc<ObjectModel>], count: usize) -> Vec<Arc<ObjectModel>> {
    objects.iter().cycle().take(if objects.is_empty() { 0 } else { objects.len().max(count) }).map(Arc::clone).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Pose;
    use crate::objects::model::{ConvexPart, Physics};
    use glam::Vec3;

    fn named(names: &[&str]) -> ObjectSet {
        let part = ConvexPart::Box { half_extents: Vec3::splat(0.02), body_from_part: Pose::IDENTITY };
        let object = |name: &&str| ObjectModel::new(name, vec![part.clone()], None, Physics::default());
        ObjectSet::new(names.iter().map(|name| Arc::new(object(name).expect("solid"))).collect())
    }

    #[test]
    fn few_objects_come_more_than_once() {
        let names = |objects: &[Arc<ObjectModel>]| objects.iter().map(|object| object.name.clone()).collect::<Vec<_>>();
        let few = named(&["mug", "cup"]);
        assert_eq!(names(&at_least(few.objects(), 5)), ["mug", "cup", "mug", "cup", "mug"]);
        assert_eq!(names(&at_least(few.objects(), 1)), ["mug", "cup"]);
        assert!(at_least(&[], 5).is_empty());
    }

    #[test]
    fn builtin_is_900_and_100() {
        let set = ObjectSet::builtin();
        let (train, test) = (set.split(Split::Train), set.split(Split::Test));
        assert_eq!((set.len(), train.len(), test.len()), (1000, 900, 100));
        assert!(test.iter().all(|object| object.name.ends_with('0')));
        assert!(train.iter().all(|object| !object.name.ends_with('0')));
    }

    #[test]
    fn names_without_numbers_give_every_tenth() {
        let set = named(&["mug", "b", "c", "d", "e", "f", "g", "h", "i", "j0", "pan", "l"]);
        let test: Vec<_> = set.split(Split::Test).iter().map(|object| object.name.clone()).collect();
        assert_eq!(test, ["mug", "pan"]);
        assert_eq!(set.split(Split::Train).len(), 10);
        let few = named(&["mug0", "cup1"]);
        assert_eq!((few.split(Split::Train).len(), few.split(Split::Test).len()), (2, 2));
    }
}
