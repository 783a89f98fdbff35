//! The pictures of users: the one reader for photos to translate, textures, and training data without pairs.
//!
//! In: a folder or a file. Out: which pictures there are, what else lies there and why it is not read, and pixels as a
//! person would see them: turned as the camera was held (EXIF), in 8-bit sRGB whatever the file has (16 bits, a palette,
//! CMYK), whole or not at all. What a file is follows from its contents, not from its name.

mod depth;
mod kind;
mod list;
mod whole;

pub use depth::{DepthImage, decode_depth, read_depth};
pub use kind::{Kind, kind_of};
pub use list::{LeftOut, Listing, list};

use image::{DynamicImage, ImageDecoder, ImageReader, RgbImage};
use std::io::Cursor;
use std::path::{Path, PathBuf};

/// Larger files are not opened.
pub const MAX_BYTES: u64 = 256 << 20;
/// Wider or higher pictures are not decoded.
pub const MAX_SIDE: u32 = 32_768;
/// Pictures of more pixels are not decoded.
pub const MAX_PIXELS: u64 = 120_000_000;
/// Bytes that decoding may take, each for the picture and for what decoders need beside it: four channels of 16 bits. Frames of
/// a GIF may be larger than the picture says.
const MAX_DECODED: u64 = 8 * MAX_PIXELS;

/// What a list of formats says to a person.
pub const FORMATS: &str = "PNG, JPEG, GIF, WebP, BMP or TIFF";

#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    #[error("cannot read {}: {reason}", path.display())]
    Io { path: PathBuf, reason: String },
    #[error("{} is {what}, more than the {limit} that are read; scale it down", path.display())]
    TooLarge { path: PathBuf, what: String, limit: String },
    #[error("{} is {kind}, which is not read; convert it to {FORMATS}", path.display())]
    NotRead { path: PathBuf, kind: Kind },
    #[error("{} cannot be read as a picture: {message}; replace or remove the file", path.display())]
    Damaged { path: PathBuf, message: String },
    #[error("{} holds no picture that can be read ({FORMATS}){}", path.display(), first(left_out))]
    Nothing { path: PathBuf, left_out: Vec<LeftOut> },
}

impl PictureError {
    /// The sentence without the path, for lists that name it.
    pub fn reason(&self) -> String {
        match self {
            Self::Io { reason, .. } => format!("it cannot be read: {reason}"),
            Self::TooLarge { what, limit, .. } => format!("it is {what}, more than the {limit} that are read"),
            Self::NotRead { kind, .. } => format!("it is {kind}, which is not read; convert it to {FORMATS}"),
            Self::Damaged { message, .. } => format!("it cannot be read as a picture: {message}; replace or remove it"),
            Self::Nothing { .. } => "it holds no picture".into(),
        }
    }
}

fn first(left_out: &[LeftOut]) -> String {
    match left_out {
        [] => String::new(),
        [only] => format!(": {only}"),
        [one, rest @ ..] => format!(": {one}, and {} more", rest.len()),
    }
}

/// The pixels of a picture, upright, `[height, width, 3]` sRGB bytes. What is transparent lies on white.
///
/// # Errors
/// [`PictureError`] names the file and what is wrong with it.
pub fn read(path: &Path) -> Result<RgbImage, PictureError> {
    decode(&read_bytes(path)?, path)
}

/// The contents of a file of a sensible size.
fn read_bytes(path: &Path) -> Result<Vec<u8>, PictureError> {
    let io = |error: std::io::Error| PictureError::Io { path: path.into(), reason: error.to_string() };
    let too_large = |what: String, limit: String| PictureError::TooLarge { path: path.into(), what, limit };
    let metadata = std::fs::metadata(path).map_err(io)?;
    if !metadata.is_file() {
        let reason = "it is not a file of its own contents".to_owned();
        return Err(PictureError::Io { path: path.into(), reason });
    }
    if metadata.len() > MAX_BYTES {
        return Err(too_large(format!("{} MiB", metadata.len() >> 20), format!("{} MiB", MAX_BYTES >> 20)));
    }
    std::fs::read(path).map_err(io)
}

/// [`read`] for bytes that are in memory; `path` is for messages and for the ending that tells raw formats apart.
///
/// # Errors
/// As [`read`].
pub fn decode(bytes: &[u8], path: &Path) -> Result<RgbImage, PictureError> {
    let damaged = |message: String| PictureError::Damaged { path: path.into(), message };
    let too_large = |what: String, limit: String| PictureError::TooLarge { path: path.into(), what, limit };
    if bytes.is_empty() {
        return Err(damaged("the file is empty".into()));
    }
    let kind = kind_of(bytes, path);
    let Some(format) = kind.format() else {
        return Err(match kind {
            Kind::Unknown => damaged("its contents are of no known picture format".into()),
            kind => PictureError::NotRead { path: path.into(), kind },
        });
    };
    // Decoders fill what is missing with grey.
    whole::check(kind, bytes).map_err(damaged)?;
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut limits = image::Limits::default();
    (limits.max_image_width, limits.max_image_height) = (Some(MAX_SIDE), Some(MAX_SIDE));
    limits.max_alloc = Some(MAX_DECODED);
    reader.limits(limits);
    let sentence = |error: image::ImageError| damaged(error.to_string());
    let mut decoder = reader.into_decoder().map_err(sentence)?;
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > MAX_PIXELS || width > MAX_SIDE || height > MAX_SIDE {
        return Err(too_large(
            format!("{width}x{height} pixels"),
            format!("{} million pixels", MAX_PIXELS / 1_000_000),
        ));
    }
    if width == 0 || height == 0 {
        return Err(damaged("it has no pixels".into()));
    }
    if decoder.total_bytes() > MAX_DECODED {
        let size = |bytes: u64| format!("{} MiB of pixels", bytes >> 20);
        return Err(too_large(size(decoder.total_bytes()), size(MAX_DECODED)));
    }
    // A picture with a damaged note of how the camera was held is still a picture.
    let orientation = decoder.orientation().unwrap_or(image::metadata::Orientation::NoTransforms);
    let mut picture = DynamicImage::from_decoder(decoder).map_err(sentence)?;
    picture.apply_orientation(orientation);
    Ok(on_white(picture))
}

fn on_white(picture: DynamicImage) -> RgbImage {
    if !picture.color().has_alpha() {
        return picture.into_rgb8();
    }
    let rgba = picture.into_rgba8();
    let (width, height) = rgba.dimensions();
    let blend = |value: u8, alpha: u8| {
        let (value, alpha) = (u32::from(value), u32::from(alpha));
        ((value * alpha + 255 * (255 - alpha) + 127) / 255) as u8
    };
    let bytes = rgba.pixels().flat_map(|p| [blend(p[0], p[3]), blend(p[1], p[3]), blend(p[2], p[3])]).collect();
    // Three bytes of four for each pixel: it fits.
    RgbImage::from_raw(width, height, bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests;
