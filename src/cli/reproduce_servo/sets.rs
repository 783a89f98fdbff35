//! The objects of `reproduce servo-figures`: those that were trained on, unseen ones, their rigid twins, and imported meshes.

use crate::cli::{UsageError, common, servo_trials};
use crate::files::console::remark;
use crate::objects::ObjectModel;
use crate::objects::export::{ExportFormat, export_objects};
use anyhow::Context;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Objects of a set, at most: as many as the paper's unseen ones.
const MOST: usize = 6;
/// What is written and read back where no meshes are given.
const MADE_MESHES: &str = "household:9";
const MESHES_FOLDER: &str = "meshes";

/// Which objects trials are on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Set {
    /// The training objects: figure 8.
    Seen,
    /// Figure 9.
    Unseen,
    /// The unseen ones without their springs, where they have some: does compliance matter?
    RigidTwins,
    /// Files through the importer: a bar that the paper lacks.
    Meshes,
}

impl Set {
    pub const ALL: [Self; 4] = [Self::Seen, Self::Unseen, Self::RigidTwins, Self::Meshes];

    /// In names of nodes and captions.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Seen => "seen",
            Self::Unseen => "unseen",
            Self::RigidTwins => "rigid twins",
            Self::Meshes => "imported meshes",
        }
    }

    /// File and heading of its bars.
    pub const fn figure(self) -> (&'static str, &'static str) {
        match self {
            Self::Seen => ("figure-8.png", "Figure 8: seen objects"),
            Self::Unseen => ("figure-9.png", "Figure 9: unseen objects"),
            Self::RigidTwins => ("figure-9-rigid-twins.png", "Control of figure 9: rigid twins of the unseen objects"),
            Self::Meshes => ("figure-9-meshes.png", "Beyond the paper: imported meshes"),
        }
    }

    /// A title for its bars.
    pub fn title(self) -> String {
        match self {
            Self::Seen | Self::Unseen => format!("Lifted, {} objects", self.name()),
            Self::RigidTwins => "Lifted, rigid twins of the unseen objects".to_owned(),
            Self::Meshes => "Lifted, imported meshes".to_owned(),
        }
    }

    /// What is said under the heading, where the paper has no such set.
    pub const fn remark(self) -> &'static str {
        match self {
            Self::Seen | Self::Unseen => "",
            Self::RigidTwins => "The same shapes, masses and starts, each in one rigid piece.\n\n",
            Self::Meshes => "Files through the importer, by default household objects that were written as meshes.\n\n",
        }
    }

    /// Whether the paper has figures for it.
    pub const fn is_papers(self) -> bool {
        matches!(self, Self::Seen | Self::Unseen)
    }
}

/// Six objects of a set that fit the jaws, evenly spread; `flag` gave them.
///
/// # Errors
/// No such set; none that fits.
pub fn fitting_objects(set: &str, flag: &str) -> anyhow::Result<Vec<Arc<ObjectModel>>> {
    let cell = common::load_cell(servo_trials::CELL)?;
    let mut fitting = common::load_objects(set, common::ImportArgs::default())?;
    fitting.retain(|object| !object.graspable_rests(&cell.jaws()).is_empty());
    if fitting.is_empty() {
        let message = format!("none of the objects '{set}' fits the jaws of {}; pass others with {flag}", cell.name);
        return Err(UsageError(message).into());
    }
    let count = fitting.len().min(MOST);
    Ok((0..count).map(|index| fitting[index * fitting.len() / count].clone()).collect())
}

/// The user's meshes, or household objects through files in `out`: what is measured is what the importer makes of them.
///
/// # Errors
/// A folder that cannot be read or written; none that fits.
pub fn meshes(users: Option<&Path>, out: &Path) -> anyhow::Result<Vec<Arc<ObjectModel>>> {
    if let Some(folder) = users {
        return fitting_objects(&folder.display().to_string(), "--meshes");
    }
    let folder = made_meshes(out)?.display().to_string();
    fitting_objects(&folder, "--meshes").with_context(|| format!("reading {folder}; remove it to make it again"))
}

/// Household objects as OBJ files, without the masses, the friction and the convex parts that a URDF would bring: written once.
fn made_meshes(out: &Path) -> anyhow::Result<PathBuf> {
    let folder = out.join(MESHES_FOLDER);
    if !folder.is_dir() {
        remark(format_args!("writing meshes to {}", folder.display()));
        let objects = fitting_objects(MADE_MESHES, "--meshes")?;
        crate::files::atomic::create_folder(out)?;
        export_objects(&objects, &folder, ExportFormat::Obj)?;
    }
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_meshes_come_back_through_the_importer() -> anyhow::Result<()> {
        let out = tempfile::tempdir()?;
        let first = meshes(None, out.path())?;
        assert_eq!(first.len(), MOST);
        let written = fitting_objects(MADE_MESHES, "--meshes")?;
        for read in &first {
            // By the files' names, so in another order.
            let made = written.iter().find(|made| made.name == read.name).expect("it was written");
            let apart = (read.aabb().extents() - made.aabb().extents()).abs().max_element();
            assert!(apart < 2e-3, "{}: {apart} m", read.name);
        }
        let files = std::fs::read_dir(out.path().join(MESHES_FOLDER))?.collect::<Result<Vec<_>, _>>()?;
        assert_eq!(files.len(), MOST);
        // A user's own folder is read, and nothing is written beside it.
        let own = meshes(Some(&out.path().join(MESHES_FOLDER)), &out.path().join("elsewhere"))?;
        assert_eq!(own.len(), MOST);
        assert!(!out.path().join("elsewhere").exists());
        Ok(())
    }
}
