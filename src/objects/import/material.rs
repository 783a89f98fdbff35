//! What files say about colours. In: material libraries, textures. Out: one sRGB colour for an object, as every domain
//! that keeps an object's own colour draws it.

use super::obj::joined_lines;
use super::text::shortened;
use super::{Limits, Root, read_capped, resolve};
use std::path::{Path, PathBuf};

/// A material of an MTL file.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Material {
    pub name: String,
    /// `Kd`, 0..1 taken as sRGB, as viewers do.
    pub color: Option<[u8; 3]>,
    /// `map_Kd`.
    pub texture: Option<PathBuf>,
    pub bytes: u64,
}

/// The materials of a library, `file`.
pub(super) fn library(text: &str, file: &Path, root: &Root, limits: &Limits) -> Vec<Material> {
    let mut found: Vec<Material> = Vec::new();
    for line in joined_lines(text) {
        let code = line.code();
        let (keyword, rest) = code.split_once([' ', '\t']).unwrap_or((code, ""));
        if keyword.eq_ignore_ascii_case("newmtl") {
            found.push(Material { name: rest.trim().to_owned(), bytes: limits.file_bytes, ..Material::default() });
            continue;
        }
        let Some(material) = found.last_mut() else { continue };
        if keyword.eq_ignore_ascii_case("Kd") {
            let values: Vec<f32> = rest.split_ascii_whitespace().filter_map(|token| token.parse().ok()).collect();
            // One number is a grey (the format's `Kd r`).
            material.color = color_of(&values).or_else(|| color_of(&[*values.first()?; 3]));
        } else if keyword.eq_ignore_ascii_case("map_Kd") {
            material.texture = texture_of(rest, file, root);
        }
    }
    found
}

/// The picture that a `map_` statement names, after any options (`-s 1 1 1`, `-clamp on`).
fn texture_of(rest: &str, file: &Path, root: &Root) -> Option<PathBuf> {
    let mut name = rest.trim();
    while name.starts_with('-') {
        let (_, after) = name.split_once([' ', '\t'])?;
        let mut after = after.trim_start();
        // An option's values are numbers, or on, off and channel names.
        while let Some((word, next)) = after.split_once([' ', '\t']) {
            let is_value =
                word.parse::<f32>().is_ok() || matches!(word, "on" | "off" | "r" | "g" | "b" | "m" | "l" | "z");
            if !is_value {
                break;
            }
            after = next.trim_start();
        }
        name = after;
    }
    resolve(file, name, root).ok()
}

/// Three numbers from 0 to 1 as bytes.
pub(super) fn color_of(values: &[f32]) -> Option<[u8; 3]> {
    let [r, g, b] = values.get(..3)?.try_into().ok()?;
    [r, g, b]
        .iter()
        .all(|value: &f32| value.is_finite())
        .then(|| [r, g, b].map(|v| (v.clamp(0.0, 1.0) * 255.0).round() as u8))
}

/// The colour of the material with the largest area; a warning says what it stands for.
pub(super) fn dominant(used: &[(&Material, f64)], warnings: &mut Vec<String>) -> Option<[u8; 3]> {
    let (material, _) = used.iter().max_by(|a, b| a.1.total_cmp(&b.1))?;
    if used.iter().any(|(other, _)| other.color != material.color) {
        let count = used.len();
        let name = shortened(&material.name);
        warnings.push(format!("of {count} materials, '{name}' covers most; the object is drawn in its colour"));
    }
    match &material.texture {
        Some(texture) => textured(texture, material.color, material.bytes, warnings),
        None => material.color,
    }
}

/// The mean of a texture times the material's colour.
fn textured(texture: &Path, color: Option<[u8; 3]>, bytes: u64, warnings: &mut Vec<String>) -> Option<[u8; 3]> {
    let name = texture.file_name().unwrap_or_default().to_string_lossy();
    match mean_of_file(texture, bytes) {
        Ok(mean) => {
            warnings.push(format!("the texture '{name}' is drawn as its mean colour"));
            // A black Kd beside a map_Kd is what exporters leave behind; viewers draw the map.
            let tint = color.filter(|color| *color != [0; 3]).unwrap_or([255; 3]);
            Some(std::array::from_fn(|i| (u16::from(mean[i]) * u16::from(tint[i]) / 255) as u8))
        }
        Err(error) => {
            warnings.push(format!("the texture '{name}' is left out: {error}"));
            color
        }
    }
}

/// [`mean_of`] a file of at most `limit` bytes.
pub(super) fn mean_of_file(path: &Path, limit: u64) -> Result<[u8; 3], String> {
    read_capped(path, limit).map_err(|error| error.to_string()).and_then(|bytes| mean_of(&bytes))
}

/// The mean colour of a picture, over what is not transparent, in linear light.
///
/// # Errors
/// Says why the bytes are no picture.
pub(super) fn mean_of(bytes: &[u8]) -> Result<[u8; 3], String> {
    let picture = decode(bytes)?;
    let (mut sum, mut weight) = ([0.0_f64; 3], 0.0_f64);
    for pixel in picture.pixels() {
        let [r, g, b, alpha] = pixel.0;
        let alpha = f64::from(alpha);
        weight += alpha;
        [r, g, b].into_iter().zip(&mut sum).for_each(|(value, sum)| *sum += alpha * linear(value));
    }
    if weight <= 0.0 {
        return Err("it is wholly transparent".into());
    }
    Ok(sum.map(|sum| srgb_byte((sum / weight) as f32)))
}

/// The only place where the importers decode a picture.
fn decode(bytes: &[u8]) -> Result<image::RgbaImage, String> {
    let mut reader = image::ImageReader::new(std::io::Cursor::new(bytes))
        .with_guessed_format()
        .map_err(|error| error.to_string())?;
    let mut limits = image::Limits::default();
    limits.max_image_width = Some(16_384);
    limits.max_image_height = Some(16_384);
    reader.limits(limits);
    reader.decode().map(|picture| picture.to_rgba8()).map_err(|error| error.to_string())
}

/// An sRGB byte in linear light.
fn linear(byte: u8) -> f64 {
    let encoded = f64::from(byte) / 255.0;
    if encoded <= 0.04045 { encoded / 12.92 } else { ((encoded + 0.055) / 1.055).powf(2.4) }
}

/// A linear channel as an sRGB byte.
pub(super) fn srgb_byte(linear: f32) -> u8 {
    let linear = linear.clamp(0.0, 1.0);
    let encoded = if linear <= 0.003_130_8 { linear * 12.92 } else { 1.055 * linear.powf(1.0 / 2.4) - 0.055 };
    (encoded * 255.0).round() as u8
}
