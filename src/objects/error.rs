//! What can go wrong with objects: every error names the file, the place in it and the cure.

use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    #[error("{path}: no such folder; give a folder that holds .urdf, .obj, .stl, .ply, .gltf or .glb files")]
    Missing { path: PathBuf },
    #[error("{path}: is not a folder; give the folder that holds the object files")]
    NotAFolder { path: PathBuf },
    /// `seen` lists what looks like a model and cannot be read, one a line.
    #[error(
        "{path}: holds no .urdf, .obj, .stl, .ply, .gltf or .glb file, in it or below it; put the object files there{seen}"
    )]
    Empty { path: PathBuf, seen: String },
    #[error(
        "{path}: is no object of its own, as it belongs to {owner}, which failed: mend that file, or move the mesh \
         elsewhere"
    )]
    OfFailedUrdf { path: PathBuf, owner: PathBuf },
    #[error("{path}: cannot be read ({source}); check that the file exists and its permissions")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path}: cannot be written ({source}); check the permissions and the free space")]
    Write { path: PathBuf, source: std::io::Error },
    #[error("{path}: already exists and is not empty; name a new folder or empty this one")]
    OutputNotEmpty { path: PathBuf },
    #[error("{path}: {bytes} bytes are more than the {limit} that one object file may have; reduce the mesh")]
    FileTooLarge { path: PathBuf, bytes: u64, limit: u64 },
    #[error("{path}: more than {limit} {what}; reduce the mesh (a few thousand triangles are plenty)")]
    TooMany { path: PathBuf, what: &'static str, limit: usize },
    /// Malformed text or XML; `line` and `column` count from 1.
    #[error("{path}:{line}:{column}: {what}")]
    Syntax { path: PathBuf, line: u32, column: u32, what: String },
    /// Malformed data without lines (binary files), `place` says where.
    #[error("{path}: {place}: {what}")]
    Format { path: PathBuf, place: String, what: String },
    #[error(
        "{path}: {place}: a coordinate is not a finite number (NaN or infinite); export the mesh again or remove the file"
    )]
    NotFinite { path: PathBuf, place: String },
    #[error("{path}: {place}: index {index} is out of range, there are {count} {what}; export the mesh again")]
    IndexOutOfRange { path: PathBuf, place: String, index: i64, count: usize, what: &'static str },
    #[error("{path}: refers to '{reference}', which lies outside the object's folder; copy the file beside this one")]
    OutsideFolder { path: PathBuf, reference: String },
    #[error("{path}: {place}: {what} is not supported; {cure}")]
    Unsupported { path: PathBuf, place: String, what: String, cure: &'static str },
    #[error(
        "{path}: the object is {} m across, more than {limit_m} m; if the file is in other units, set the scale ({})",
        round3(*largest_m), scale_hint(*largest_m)
    )]
    TooBig { path: PathBuf, largest_m: f32, limit_m: f32 },
    #[error(
        "{path}: the object is {} m across, less than {limit_m} m; if the file is in other units, set the scale ({})",
        round3(*largest_m), scale_hint(*largest_m)
    )]
    TooSmall { path: PathBuf, largest_m: f32, limit_m: f32 },
    #[error("object '{name}': {what}; give it at least one closed, solid part")]
    Degenerate { name: String, what: String },
    #[error("object '{name}' cannot be joined by springs: {what}")]
    Joints { name: String, what: String },
    #[error("object '{name}': {what} must be {range}, not {value}")]
    OutOfRange { name: String, what: &'static str, range: &'static str, value: f32 },
    #[error("object generator: {what}")]
    Generator { what: String },
    #[error("object catalogue, line {line}: {what}")]
    Catalogue { line: usize, what: String },
}

impl ObjectError {
    /// The file or folder that it is about.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Missing { path }
            | Self::NotAFolder { path }
            | Self::Empty { path, .. }
            | Self::OfFailedUrdf { path, .. }
            | Self::Read { path, .. }
            | Self::Write { path, .. }
            | Self::OutputNotEmpty { path }
            | Self::FileTooLarge { path, .. }
            | Self::TooMany { path, .. }
            | Self::Syntax { path, .. }
            | Self::Format { path, .. }
            | Self::NotFinite { path, .. }
            | Self::IndexOutOfRange { path, .. }
            | Self::OutsideFolder { path, .. }
            | Self::Unsupported { path, .. }
            | Self::TooBig { path, .. }
            | Self::TooSmall { path, .. } => Some(path),
            Self::Degenerate { .. }
            | Self::Joints { .. }
            | Self::OutOfRange { .. }
            | Self::Generator { .. }
            | Self::Catalogue { .. } => None,
        }
    }
}

pub type Result<T> = std::result::Result<T, ObjectError>;

/// Three significant digits.
fn round3(value: f32) -> f32 {
    format!("{value:.2e}").parse().unwrap_or(value)
}

/// The unit that makes the object one for a hand, or else the scale that makes it 10 cm.
fn scale_hint(largest_m: f32) -> String {
    if largest_m <= 0.0 {
        return "all its points are one, and no scale makes it larger: export it again".to_owned();
    }
    let units = [(0.001, ", as for millimetres,"), (0.01, ", as for centimetres,"), (0.0254, ", as for inches,")];
    let fits = |scale: f32| (0.02..=0.3).contains(&(largest_m * scale));
    let (scale, unit) = units.into_iter().find(|(scale, _)| fits(*scale)).unwrap_or((round3(0.1 / largest_m), ""));
    format!("{scale}{unit} makes it {} m", round3(largest_m * scale))
}
