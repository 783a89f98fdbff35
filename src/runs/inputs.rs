//! What a command reads, so that nothing is written over it.

use super::UsageError;
use super::objects::folder_of;
use crate::draw::PictureFormat;
use crate::files::paths::{self, Input, OverlapError};
use crate::train::EnvData;
use std::path::{Path, PathBuf};

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

    /// The folder of `--textures`.
    pub fn textures(self, folder: Option<&'a Path>) -> Self {
        self.users("--textures", folder)
    }

    /// What the environments of a training run are read from.
    pub fn env(self, env: &'a EnvData) -> Self {
        self.objects(Some(&env.objects)).textures(env.textures.as_deref())
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
