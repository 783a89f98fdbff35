//! Cells as files: the built-in ones, and TOML files of a user's own.
//!
//! In: a name (`iiwa-bin`, `mobile-three-bins`, with a preset `mobile-three-bins:single-bin`) or the path of a TOML file
//! (`my_cell.toml`, `my_cell.toml:preset`). Out: a valid [`CellDescription`], or an error that names the file, the key,
//! the value and the cure.

use super::cell::CellDescription;
use super::validate::CellError;
use std::path::{Path, PathBuf};

/// A cell that the program carries.
#[derive(Clone, Copy, Debug)]
pub struct BuiltinCell {
    /// The name that [`load`] takes.
    pub name: &'static str,
    /// One line for lists.
    pub about: &'static str,
    text: &'static str,
}

impl BuiltinCell {
    /// The file: TOML with comments.
    pub const fn text(&self) -> &'static str {
        self.text
    }
}

const BUILTIN: [BuiltinCell; 3] = [
    BuiltinCell {
        name: "iiwa-bin",
        about: "Robot 1: a KUKA LBR iiwa over one bin with a movable divider",
        text: include_str!("iiwa-bin.toml"),
    },
    BuiltinCell {
        name: "mobile-three-bins",
        about: "Robot 2: three adjacent bins before a mobile base",
        text: include_str!("mobile-three-bins.toml"),
    },
    BuiltinCell {
        name: "panda-table",
        about: "A Franka hand with an RGB-D camera at the wrist over a white table, one object",
        text: include_str!("panda-table.toml"),
    },
];

/// Why a cell cannot be loaded. All of these are wrong usage.
#[derive(Debug, thiserror::Error)]
pub enum CellLoadError {
    /// The text is neither the name of a built-in cell nor the path of a file, with or without a preset.
    #[error(
        "there is no cell '{name}': {known} are built in, and no file has that path; name one of them or a TOML file"
    )]
    Unknown {
        /// The text as it was given.
        name: String,
        /// Names of the built-in cells, separated by commas.
        known: String,
    },
    /// The file of a cell exists and cannot be read as text.
    #[error("{path}: cannot be read ({source}); check that the file exists and its permissions")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file, or a preset in it, is not the TOML of a cell: bad syntax, unknown or missing keys.
    #[error(
        "{file}: {problem}\nCompare with `bingrasp cells show iiwa-bin`; `mobile-three-bins` and `panda-table` show the other keys."
    )]
    Syntax {
        /// Path of the file, or name of the built-in cell.
        file: String,
        /// What the parser found, with its place.
        problem: String,
    },
    /// The text after the colon names no table of `presets`.
    #[error("{file} has no preset '{preset}'; {known}")]
    UnknownPreset {
        /// Path of the file, or name of the built-in cell.
        file: String,
        /// The name that was asked for.
        preset: String,
        /// A clause that lists the file's presets, or says how to add one.
        known: String,
    },
    /// The TOML describes a cell that cannot be built.
    #[error("{file}: {source}")]
    Invalid {
        /// Path of the file, or name of the built-in cell.
        file: String,
        /// The key, its value and the cure.
        source: CellError,
    },
}

/// The cells that the program carries.
pub const fn list() -> &'static [BuiltinCell] {
    &BUILTIN
}

/// Whether a cell that is built in has this name, which then means it everywhere.
pub fn is_built_in(name: &str) -> bool {
    BUILTIN.iter().any(|cell| cell.name == name)
}

/// A built-in cell by name or a TOML file by path, with a preset after a colon.
///
/// # Errors
/// An unknown name, a file that cannot be read or is not such TOML, an unknown preset, values out of range.
pub fn load(name_or_path: &str) -> Result<CellDescription, CellLoadError> {
    let builtin = |name: &str| BUILTIN.iter().find(|cell| cell.name == name);
    if let Some(cell) = builtin(name_or_path) {
        return parse(cell.text, cell.name, None);
    }
    if Path::new(name_or_path).is_file() {
        return parse(&read(name_or_path)?, name_or_path, None);
    }
    if let Some((base, preset)) = name_or_path.rsplit_once(':') {
        if let Some(cell) = builtin(base) {
            return parse(cell.text, cell.name, Some(preset));
        }
        if Path::new(base).is_file() {
            return parse(&read(base)?, base, Some(preset));
        }
    }
    let known: Vec<&str> = BUILTIN.iter().map(|cell| cell.name).collect();
    Err(CellLoadError::Unknown { name: name_or_path.to_owned(), known: known.join(", ") })
}

fn read(path: &str) -> Result<String, CellLoadError> {
    let bytes = std::fs::read(path).map_err(|source| CellLoadError::Read { path: path.into(), source })?;
    String::from_utf8(bytes).map_err(|error| CellLoadError::Syntax {
        file: path.to_owned(),
        problem: format!("byte {} is not UTF-8; save the file as UTF-8", error.utf8_error().valid_up_to()),
    })
}

/// A cell from TOML. `file` is what errors call it.
///
/// # Errors
/// As [`load`].
pub fn parse(text: &str, file: &str, preset: Option<&str>) -> Result<CellDescription, CellLoadError> {
    let syntax = |problem: String| CellLoadError::Syntax { file: file.to_owned(), problem };
    let mut cell: CellDescription = toml::from_str(text).map_err(|error| syntax(error.to_string()))?;
    if let Some(preset) = preset {
        let Some(changes) = cell.presets.get(preset) else {
            let names: Vec<&str> = cell.presets.keys().map(String::as_str).collect();
            let known = match names.as_slice() {
                [] => "it has none: add a table [presets.NAME] with the keys that differ".to_owned(),
                names => format!("its presets are {}", names.join(", ")),
            };
            return Err(CellLoadError::UnknownPreset { file: file.to_owned(), preset: preset.to_owned(), known });
        };
        let mut table: toml::Table = toml::from_str(text).map_err(|error| syntax(error.to_string()))?;
        merge(&mut table, changes);
        table.remove("presets");
        cell = table
            .try_into()
            .map_err(|error: toml::de::Error| syntax(format!("preset '{preset}': {}", error.to_string().trim_end())))?;
    }
    cell.validate().map_err(|source| CellLoadError::Invalid { file: file.to_owned(), source })?;
    Ok(cell)
}

/// Tables key by key, everything else whole.
fn merge(into: &mut toml::Table, from: &toml::Table) {
    for (key, value) in from {
        match (into.get_mut(key), value) {
            (Some(toml::Value::Table(old)), toml::Value::Table(new)) => merge(old, new),
            _ => {
                into.insert(key.clone(), value.clone());
            }
        }
    }
}

/// A cell as TOML; [`parse`] makes the same cell of it, bit for bit.
///
/// # Errors
/// None for a description that [`CellDescription::validate`] accepts.
pub fn to_toml(cell: &CellDescription) -> Result<String, toml::ser::Error> {
    toml::to_string_pretty(cell)
}

impl CellDescription {
    /// [`load`].
    ///
    /// # Errors
    /// As [`load`].
    pub fn load(name_or_path: &str) -> Result<Self, CellLoadError> {
        load(name_or_path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use glam::Vec2;

    #[test]
    fn the_file_of_robot_1_is_the_description_in_code() {
        let cell = load("iiwa-bin").expect("a built-in cell");
        assert_eq!(cell, CellDescription::iiwa_bin());
        assert_eq!(parse(&to_toml(&cell).expect("TOML"), "copy", None).expect("valid"), cell);
    }

    #[test]
    fn every_built_in_cell_and_preset_is_valid_and_survives_toml() {
        for builtin in list() {
            let cell = load(builtin.name).expect(builtin.name);
            assert_eq!(cell.name, builtin.name);
            assert_eq!(parse(&to_toml(&cell).expect("TOML"), "copy", None).expect("valid"), cell);
            for preset in cell.presets.keys() {
                let name = format!("{}:{preset}", builtin.name);
                let chosen = load(&name).unwrap_or_else(|error| panic!("{name}: {error}"));
                assert!(chosen.presets.is_empty());
                assert_eq!(parse(&to_toml(&chosen).expect("TOML"), "copy", None).expect("valid"), chosen);
            }
        }
    }

    #[test]
    fn presets_change_what_they_name_and_nothing_else() {
        let base = load("mobile-three-bins").expect("built in");
        let single = load("mobile-three-bins:single-bin").expect("a preset");
        assert_eq!(single.objects.bins, [1]);
        assert_eq!((single.objects.per_episode, single.objects.remove_on_success), (6, true));
        assert_eq!((&single.bins, &single.cameras, single.motion), (&base.bins, &base.cameras, base.motion));
        let evaluation = load("mobile-three-bins:multi-bin-eval").expect("a preset");
        let places = &evaluation.bin_group.as_ref().expect("a group").placements;
        assert_eq!(places.len(), 6);
        // Left of the robot is +y: before the left bin the group stands one pitch to the right.
        assert_eq!(Vec2::new(places[0].x, places[0].y), Vec2::new(0.0, -0.275));
        assert_eq!(places.iter().filter(|place| place.y == 0.0).count(), 2);
    }

    #[test]
    fn errors_name_file_key_value_and_cure() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("mine.toml");
        let text = load("iiwa-bin").map(|cell| to_toml(&cell).expect("TOML")).expect("built in");
        let error_of = |text: &str| {
            std::fs::write(&path, text).expect("written");
            load(path.to_str().expect("a path")).expect_err("refused").to_string()
        };
        // A misspelt key, a word for a number, a value out of range.
        let error = error_of(&text.replace("wall_height = 0.075", "wall_hieght = 0.075"));
        assert!(
            error.contains("mine.toml") && error.contains("wall_hieght") && error.contains("wall_height"),
            "{error}"
        );
        let error = error_of(&text.replace("force_n = 15.0", "force_n = \"strong\""));
        assert!(error.contains("mine.toml") && error.contains("force_n") && error.contains("strong"), "{error}");
        let error = error_of(&text.replace("wall_height = 0.075", "wall_height = -0.075"));
        let named = ["mine.toml", "bins[0].wall_height", "-0.075", "give a size in metres"];
        assert!(named.iter().all(|part| error.contains(part)), "{error}");
        let error = load("iiwa-bin:nothing").expect_err("refused").to_string();
        assert!(error.contains("iiwa-bin") && error.contains("nothing") && error.contains("[presets.NAME]"), "{error}");
        let error = load("mobile-three-bins:dual").expect_err("refused").to_string();
        assert!(error.contains("multi-bin, multi-bin-eval, single-bin"), "{error}");
        let error = load("no-such-cell").expect_err("refused").to_string();
        assert!(error.contains("no-such-cell") && error.contains("mobile-three-bins"), "{error}");
        // A preset's own faults.
        let text = format!("{text}\n[presets.odd]\nmotion = {{ sped = 1.0 }}");
        let error = parse(&text, "mine.toml", Some("odd")).expect_err("refused").to_string();
        assert!(["mine.toml", "odd", "sped"].iter().all(|part| error.contains(part)), "{error}");
    }
}
