//! Checkpoints: named tensors and a JSON state, written whole or not at all, checked when read.
//!
//! `checkpoints/step-000000100/` holds one `.safetensors` a group of tensors (PyTorch loads them by name), `state.json`
//! and `checksums.txt`. The folder is written under a temporary name and renamed, so that it is there as a whole; the
//! last three are kept. [`Checkpoints::load_latest`] passes over a damaged one, names it, and takes the one before.

use super::tensors::{NamedTensors, TensorFile, save_tensors};
use crate::files::atomic::{FileError, create_folder, read_capped, sha256_hex, sync_folder, write_atomic};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Folder of the checkpoints within a run's.
pub const CHECKPOINTS_NAME: &str = "checkpoints";
const STATE_NAME: &str = "state.json";
/// SHA-256 of every file of a checkpoint, beside them.
pub const CHECKSUMS_NAME: &str = "checksums.txt";
const TEMPORARY_PREFIX: &str = ".tmp-";
const MAX_STATE_BYTES: u64 = 1 << 30;

/// A checkpoint could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file of the checkpoint is not what was saved: another checksum, or no valid content.
    #[error("the checkpoint '{}' is damaged: {message}", path.display())]
    Damaged {
        /// The checkpoint's folder, or the damaged file in it.
        path: PathBuf,
        /// The damage in words.
        message: String,
    },
    /// [`Checkpoints::load_latest`] found checkpoints, and every one is damaged.
    #[error(
        "none of the checkpoints in '{}' is whole, the newest because: {error}; bring one back from a copy",
        folder.display()
    )]
    AllDamaged {
        /// The folder of the checkpoints.
        folder: PathBuf,
        /// The damage of the newest one.
        error: String,
    },
    /// The content cannot be saved: a group that is no file name, a bad tensor, a state that is no JSON.
    #[error("a checkpoint cannot be written: {0}")]
    Input(String),
    /// A learner asked for a group of tensors that this checkpoint lacks.
    #[error("the checkpoint '{}' holds no '{group}'; another learner wrote it", path.display())]
    NoGroup {
        /// The checkpoint's folder.
        path: PathBuf,
        /// The group: the name of its file without the ending.
        group: String,
    },
}

impl CheckpointError {
    pub(super) fn damaged(path: impl Into<PathBuf>, message: impl Into<String>) -> Self {
        Self::Damaged { path: path.into(), message: message.into() }
    }

    /// The checkpoint itself is broken; trying again, or with more rights, would not help.
    fn is_damage(&self) -> bool {
        match self {
            Self::File(error) => error.is_damage(),
            Self::Damaged { .. } => true,
            Self::Input(_) | Self::AllDamaged { .. } | Self::NoGroup { .. } => false,
        }
    }
}

/// What is saved: groups of tensors, each a file (`model`, `optimizer`, `replay`, ...), and the rest as JSON.
#[derive(Clone, Debug, Default)]
pub struct CheckpointContent<'a> {
    /// Tensors by group. A name has ASCII letters, digits, `_` and `-` alone, and becomes `NAME.safetensors`.
    pub groups: BTreeMap<String, NamedTensors<'a>>,
    /// Schedules, counters, generators. Floating-point numbers come back bit for bit; JSON has no infinities.
    pub state: Value,
}

/// What was saved.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// Number of the last step before it was saved, from 0; a resumed run begins with the next.
    pub step: u64,
    /// Its folder, `step-000000100` for example.
    pub path: PathBuf,
    /// The `.safetensors` files in memory, by name without the ending; their checksums have been compared.
    pub groups: BTreeMap<String, TensorFile>,
    /// The JSON that was saved. A run's own has the learner's state under `learner`, which [`super::RunDir::resume`]
    /// takes out.
    pub state: Value,
}

impl Checkpoint {
    /// The tensors of one group.
    ///
    /// # Errors
    /// A group that this checkpoint does not hold.
    pub fn group(&self, group: &str) -> Result<&TensorFile, CheckpointError> {
        let missing = || CheckpointError::NoGroup { path: self.path.clone(), group: group.to_owned() };
        self.groups.get(group).ok_or_else(missing)
    }
}

/// The checkpoints of a run.
#[derive(Clone, Debug)]
pub struct Checkpoints {
    folder: PathBuf,
    /// How many of the newest stay.
    pub keep: usize,
}

impl Checkpoints {
    /// The checkpoints in `folder`, which [`Self::save`] makes; the newest three stay.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder, keep: 3 }
    }

    /// Where the checkpoint of this step is, or would be.
    pub fn path(&self, step: u64) -> PathBuf {
        self.folder.join(format!("step-{step:09}"))
    }

    /// Steps with a checkpoint, ascending.
    pub fn steps(&self) -> Result<Vec<u64>, FileError> {
        let entries = match std::fs::read_dir(&self.folder) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(|e| FileError::io("list", &self.folder, e))?,
        };
        let mut steps = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|e| FileError::io("list", &self.folder, e))?;
            let name = entry.file_name();
            let step = name.to_str().and_then(|n| n.strip_prefix("step-")).filter(|n| n.len() >= 9);
            steps.extend(step.and_then(|n| n.parse::<u64>().ok()));
        }
        steps.sort_unstable();
        Ok(steps)
    }

    /// Saves a checkpoint durably, then removes those that are too many. Saving a step again replaces it.
    pub fn save(&self, step: u64, content: &CheckpointContent) -> Result<PathBuf, CheckpointError> {
        create_folder(&self.folder)?;
        self.remove_leftovers()?;
        let temporary = self.folder.join(format!("{TEMPORARY_PREFIX}{}", std::process::id()));
        std::fs::create_dir(&temporary).map_err(|e| FileError::io("create the folder", &temporary, e))?;
        let path = self.path(step);
        let written = Self::write_into(&temporary, content).and_then(|()| {
            if path.exists() {
                self.remove(step)?;
            }
            std::fs::rename(&temporary, &path).map_err(|e| FileError::io("rename", &path, e))?;
            Ok(sync_folder(&self.folder)?)
        });
        if written.is_err() {
            // The error that is returned matters more than this one.
            let _ = std::fs::remove_dir_all(&temporary);
        }
        written?;
        let steps = self.steps()?;
        for &old in &steps[..steps.len().saturating_sub(self.keep.max(1))] {
            self.remove(old)?;
        }
        Ok(path)
    }

    fn write_into(folder: &Path, content: &CheckpointContent) -> Result<(), CheckpointError> {
        let mut checksums = String::new();
        for (group, tensors) in &content.groups {
            let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
            if group.is_empty() || !group.bytes().all(plain) {
                return Err(CheckpointError::Input(format!("'{group}' cannot be a file name")));
            }
            let path = folder.join(format!("{group}.safetensors"));
            let written = save_tensors(&path, tensors)?;
            checksums += &format!("{}  {group}.safetensors\n", written.sha256);
        }
        let state = state_text(&content.state)?;
        write_atomic(&folder.join(STATE_NAME), state.as_bytes())?;
        checksums += &format!("{}  {STATE_NAME}\n", sha256_hex(state.as_bytes()));
        Ok(write_atomic(&folder.join(CHECKSUMS_NAME), checksums.as_bytes())?)
    }

    /// Renamed first, so that a half-removed one is not taken for a checkpoint.
    fn remove(&self, step: u64) -> Result<(), FileError> {
        let path = self.path(step);
        let condemned = self.folder.join(format!("{TEMPORARY_PREFIX}old-{step}"));
        std::fs::rename(&path, &condemned).map_err(|e| FileError::io("remove", &path, e))?;
        std::fs::remove_dir_all(&condemned).map_err(|e| FileError::io("remove", &condemned, e))
    }

    /// Takes a damaged checkpoint out of the list by its name, `damaged-step-...`.
    pub fn set_aside(&self, step: u64) -> Result<(), FileError> {
        let (from, to) = (self.path(step), self.folder.join(format!("damaged-step-{step:09}")));
        if to.exists() {
            std::fs::remove_dir_all(&to).map_err(|e| FileError::io("remove", &to, e))?;
        }
        std::fs::rename(&from, &to).map_err(|e| FileError::io("rename", &from, e))
    }

    fn remove_leftovers(&self) -> Result<(), FileError> {
        let entries = std::fs::read_dir(&self.folder).map_err(|e| FileError::io("list", &self.folder, e))?;
        for entry in entries {
            let path = entry.map_err(|e| FileError::io("list", &self.folder, e))?.path();
            if path.file_name().and_then(|n| n.to_str()).is_some_and(|n| n.starts_with(TEMPORARY_PREFIX)) {
                std::fs::remove_dir_all(&path).map_err(|e| FileError::io("remove", &path, e))?;
            }
        }
        Ok(())
    }

    /// Loads one checkpoint and compares all its checksums.
    pub fn load(&self, step: u64) -> Result<Checkpoint, CheckpointError> {
        let path = self.path(step);
        let list = read_capped(&path.join(CHECKSUMS_NAME), 1 << 20)?;
        let mut checkpoint = Checkpoint { step, path: path.clone(), groups: BTreeMap::new(), state: Value::Null };
        let mut whole = false;
        for line in String::from_utf8_lossy(&list).lines() {
            let named = line.split_once("  ").filter(|(_, name)| !name.contains(['/', '\\']));
            let (sum, name) = named.ok_or_else(|| CheckpointError::damaged(&path, "checksums.txt cannot be read"))?;
            let file = path.join(name);
            let check = |bytes: &[u8]| {
                let same = sha256_hex(bytes) == sum;
                same.then_some(()).ok_or_else(|| CheckpointError::damaged(&file, "its checksum differs"))
            };
            if let Some(group) = name.strip_suffix(".safetensors") {
                let tensors = TensorFile::load(&file)?;
                check(tensors.bytes())?;
                tensors.tensors()?;
                checkpoint.groups.insert(group.into(), tensors);
            } else if name == STATE_NAME {
                let bytes = read_capped(&file, MAX_STATE_BYTES)?;
                check(&bytes)?;
                checkpoint.state = parse_state(&bytes).map_err(|e| CheckpointError::damaged(&file, e))?;
                // Its line is the last one.
                whole = true;
            } else {
                return Err(CheckpointError::damaged(&path, format!("it lists the unknown file '{name}'")));
            }
        }
        if !whole {
            return Err(CheckpointError::damaged(&path, format!("{CHECKSUMS_NAME} does not list {STATE_NAME}")));
        }
        Ok(checkpoint)
    }

    /// The state of one checkpoint without its tensors, its checksum compared.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_state(&self, step: u64) -> Result<Value, CheckpointError> {
        let path = self.path(step);
        let list = read_capped(&path.join(CHECKSUMS_NAME), 1 << 20)?;
        let list = String::from_utf8_lossy(&list);
        let file = path.join(STATE_NAME);
        let bytes = read_capped(&file, MAX_STATE_BYTES)?;
        let sum = list.lines().find_map(|line| line.strip_suffix(STATE_NAME)?.strip_suffix("  "));
        if sum != Some(&sha256_hex(&bytes)) {
            return Err(CheckpointError::damaged(&file, "its checksum differs"));
        }
        parse_state(&bytes).map_err(|e| CheckpointError::damaged(&file, e))
    }

    /// The newest checkpoint that is whole; `None` without any. `damaged` is told of each newer one that is not.
    ///
    /// # Errors
    /// Checkpoints of which none is whole; files that may not be read.
    pub fn load_latest(&self, mut damaged: impl FnMut(CheckpointError)) -> Result<Option<Checkpoint>, CheckpointError> {
        let mut first = None;
        for step in self.steps()?.into_iter().rev() {
            match self.load(step) {
                Ok(checkpoint) => return Ok(Some(checkpoint)),
                Err(error) if error.is_damage() => {
                    first = first.or_else(|| Some(error.to_string()));
                    damaged(error);
                }
                Err(error) => return Err(error),
            }
        }
        match first {
            None => Ok(None),
            Some(error) => Err(CheckpointError::AllDamaged { folder: self.folder.clone(), error }),
        }
    }
}

/// The state as text for people, with the bits of its floating-point numbers beside it in the order in which they
/// stand: decimal text does not bring every one of them back.
fn state_text(state: &Value) -> Result<String, CheckpointError> {
    let mut bits = Vec::new();
    let mut copy = state.clone();
    each_float(&mut copy, &mut |number| {
        bits.push(format!("{:016x}", number.as_f64().unwrap_or(0.0).to_bits()));
        None
    });
    let whole = serde_json::json!({ "state": state, "float_bits": bits });
    serde_json::to_string_pretty(&whole).map_err(|e| CheckpointError::Input(format!("the state is no JSON: {e}")))
}

/// The state in the bytes of a `state.json`.
///
/// # Errors
/// Says what does not fit.
#[cfg(feature = "fuzz")]
pub fn parse_state_json(bytes: &[u8]) -> Result<Value, String> {
    parse_state(bytes)
}

fn parse_state(bytes: &[u8]) -> Result<Value, String> {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Whole {
        state: Value,
        float_bits: Vec<String>,
    }
    let Whole { mut state, float_bits } = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
    let bits: Result<Vec<u64>, _> = float_bits.iter().map(|text| u64::from_str_radix(text, 16)).collect();
    let mut bits = bits.map_err(|e| format!("float_bits: {e}"))?.into_iter();
    let mut missing = false;
    each_float(&mut state, &mut |_| {
        let next = bits.next();
        missing |= next.is_none();
        next.and_then(|b| serde_json::Number::from_f64(f64::from_bits(b)))
    });
    if missing || bits.next().is_some() {
        return Err("float_bits does not fit the state".into());
    }
    Ok(state)
}

/// Visits the floating-point numbers of a value in their order, replacing those for which the visitor has another.
fn each_float(value: &mut Value, visit: &mut impl FnMut(&serde_json::Number) -> Option<serde_json::Number>) {
    match value {
        Value::Number(number) if number.is_f64() => {
            if let Some(new) = visit(number) {
                *number = new;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| each_float(item, visit)),
        Value::Object(members) => members.values_mut().for_each(|member| each_float(member, visit)),
        _ => {}
    }
}

#[cfg(test)]
mod tests;
