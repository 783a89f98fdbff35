//! Which pictures a folder holds, and what else.

use super::kind::{HEAD, Kind, kind_of};
use super::{FORMATS, PictureError};
use serde::Serialize;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Something in a folder that is not read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// In JSON with a mark in place of what is not UTF-8.
    #[serde(serialize_with = "lossy")]
    pub path: PathBuf,
    pub reason: String,
    /// It is, or by its name should be, a picture: somebody will miss it.
    pub looks_like_a_picture: bool,
}

fn lossy<S: serde::Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}

impl fmt::Display for LeftOut {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.path.display(), self.reason)
    }
}

/// What a folder holds: every entry but hidden ones is in one of the two, sorted by name.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// Of a format that is read; whether they are whole shows when they are.
    pub pictures: Vec<PathBuf>,
    pub left_out: Vec<LeftOut>,
}

/// Endings that promise a picture.
const ENDINGS: [&str; 40] = [
    "png", "apng", "jpg", "jpeg", "jpe", "jfif", "jif", "pjpeg", "gif", "webp", "bmp", "dib", "tif", "tiff", "heic",
    "heif", "hif", "avif", "jxl", "jp2", "j2k", "jpf", "psd", "svg", "ico", "tga", "exr", "hdr", "qoi", "dds", "ppm",
    "pgm", "pbm", "dng", "cr2", "cr3", "nef", "arw", "raf", "orf",
];

/// The pictures right inside a folder (folders in it are not entered), or the one file. Names that begin with a dot are
/// left out without a word: they are hidden, and what macOS leaves beside pictures.
///
/// # Errors
/// [`PictureError::Io`] for a path that cannot be read, [`PictureError::Nothing`] for a folder without a picture.
pub fn list(input: &Path) -> Result<Listing, PictureError> {
    let io = |path: &Path, error: std::io::Error| PictureError::Io { path: path.into(), reason: error.to_string() };
    let metadata = std::fs::metadata(input).map_err(|error| io(input, error))?;
    if !metadata.is_dir() {
        return Ok(Listing { pictures: vec![input.to_owned()], left_out: Vec::new() });
    }
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(input).map_err(|error| io(input, error))? {
        paths.push(entry.map_err(|error| io(input, error))?.path());
    }
    paths.retain(|path| !path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".")));
    paths.sort();
    let mut listing = Listing::default();
    for path in paths {
        match reason_against(&path) {
            None => listing.pictures.push(path),
            Some((reason, looks_like_a_picture)) => {
                listing.left_out.push(LeftOut { path, reason, looks_like_a_picture });
            }
        }
    }
    if listing.pictures.is_empty() {
        return Err(PictureError::Nothing { path: input.into(), left_out: listing.left_out });
    }
    Ok(listing)
}

/// Why an entry of a folder is not read, and whether it looks like a picture.
fn reason_against(path: &Path) -> Option<(String, bool)> {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
    let named = ENDINGS.contains(&extension.as_str());
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) => return Some((format!("it cannot be read ({error})"), named)),
    };
    if metadata.is_dir() {
        return Some(("it is a folder, and folders in the folder are not entered".into(), false));
    }
    if !metadata.is_file() {
        return Some(("it is neither a file nor a folder".into(), named));
    }
    let mut head = Vec::new();
    if let Err(error) = File::open(path).and_then(|file| file.take(HEAD as u64).read_to_end(&mut head)) {
        return Some((format!("it cannot be read ({error})"), named));
    }
    match kind_of(&head, path) {
        kind if kind.format().is_some() => None,
        Kind::Unknown if head.is_empty() => Some(("it is empty".into(), named)),
        Kind::Unknown if named => Some(("its contents are of no known picture format".into(), true)),
        Kind::Unknown => Some(("it is no picture".into(), false)),
        kind => Some((format!("it is {kind}, which is not read; convert it to {FORMATS}"), true)),
    }
}
