//! Objects by name: the sets that are built in, users' folders, and mixtures of both.

use super::UsageError;
use crate::contract::{Domain, Seed, TaskKind};
use crate::data::paired::ObjectSource;
use crate::files::console;
use crate::objects::import::ImportOptions;
use crate::objects::{HouseholdConfig, ObjectModel, ObjectSet, Split, digest};
use crate::scene::CellDescription;
use crate::train::ObjectFiles;
use anyhow::Context;
use std::path::Path;
use std::sync::Arc;

/// What `--objects` takes, for messages.
const OBJECT_SETS: &str = "train, test or all of the built-in catalogue; household, household:SEED, household-solid; ycb; spring-jointed, spring-jointed-rigid; a folder of objects";

/// Objects by the name of a set or a folder, or several of these separated by commas, one after the other.
///
/// # Errors
/// A name that is neither a set nor a folder, a folder without a usable object.
pub fn load_objects(names: &str, options: impl Into<ImportOptions>) -> anyhow::Result<Vec<Arc<ObjectModel>>> {
    let options = options.into();
    // A folder's own name may hold a comma.
    if folder_of(names).is_some() {
        return load_set(names, &options);
    }
    let mut objects = Vec::new();
    for name in names.split(',') {
        objects.extend(load_set(name.trim(), &options)?);
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
pub fn objects_in(
    domain: Domain,
    names: &str,
    options: impl Into<ImportOptions>,
) -> anyhow::Result<Vec<Arc<ObjectModel>>> {
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

fn load_set(name: &str, options: &ImportOptions) -> anyhow::Result<Vec<Arc<ObjectModel>>> {
    if let Some(set) = named_set(name) {
        return set;
    }
    let Some(path) = folder_of(name) else { return Err(unknown_set(name).into()) };
    let set = ObjectSet::load_dir_with(path, options).with_context(|| format!("loading objects from {name}"))?;
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

/// The objects of a cell's task where none are named, for training or held out: what fits its jaws.
pub fn usual_objects(cell: &CellDescription, held_out: bool) -> &'static str {
    match (cell.task, held_out) {
        (TaskKind::PoseGrasp, _) => "ycb",
        (TaskKind::BinGrasp, true) => "test",
        (TaskKind::BinGrasp, false) => "train",
    }
}

/// How the files of a run's objects are read: as usual where its settings say nothing.
pub fn import_options(files: Option<ObjectFiles>) -> ImportOptions {
    let usual = ImportOptions::default();
    match files {
        Some(ObjectFiles { scale, density, friction }) => ImportOptions { scale, density, friction, ..usual },
        None => usual,
    }
}

#[cfg(test)]
#[path = "objects_tests.rs"]
mod tests;
