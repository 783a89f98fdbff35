//! What material libraries say about colours. In: an MTL file, and the pictures that it names. Out: how each material looks,
//! and one sRGB colour for the whole.

use super::obj::joined_lines;
use super::text::shortened;
use super::texture::{Texture, linear_color};
use super::{Limits, MeshMaterial, Root, read_capped, resolve};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A material of an MTL file.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Material {
    pub name: String,
    /// `Kd`, 0..1 taken as sRGB, as viewers do.
    pub color: Option<[u8; 3]>,
    /// `map_Kd`, or why it is not found.
    pub texture: Option<Result<PathBuf, String>>,
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
            material.texture = Some(texture_of(rest, file, root));
        }
    }
    found
}

/// The picture that a `map_` statement names, after any options (`-s 1 1 1`, `-clamp on`).
fn texture_of(rest: &str, file: &Path, root: &Root) -> Result<PathBuf, String> {
    let mut name = rest.trim();
    while name.starts_with('-') {
        let unnamed = || format!("'{}' names no picture", shortened(rest.trim()));
        let (_, after) = name.split_once([' ', '\t']).ok_or_else(unnamed)?;
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
    resolve(file, name, root).map_err(|error| error.to_string())
}

/// Three numbers from 0 to 1 as bytes.
pub(super) fn color_of(values: &[f32]) -> Option<[u8; 3]> {
    let [r, g, b] = values.get(..3)?.try_into().ok()?;
    [r, g, b]
        .iter()
        .all(|value: &f32| value.is_finite())
        .then(|| [r, g, b].map(|v| (v.clamp(0.0, 1.0) * 255.0).round() as u8))
}

/// The materials that a mesh's triangles name, in the order of `used`: how each looks, and the sRGB colour of the one with the
/// largest area. A name that no library has is `None`.
pub(super) fn looks(
    used: &[(Option<&Material>, f64)],
    has_uvs: bool,
    warnings: &mut Vec<String>,
) -> (Vec<Option<MeshMaterial>>, Option<[u8; 3]>) {
    let looks: Vec<Option<(MeshMaterial, [u8; 3])>> =
        used.iter().map(|(material, _)| look((*material)?, has_uvs, warnings)).collect();
    let known = looks.iter().zip(used).filter(|(_, (material, _))| material.is_some());
    let largest = known.max_by(|a, b| a.1.1.total_cmp(&b.1.1));
    let color = largest.and_then(|(look, _)| look.as_ref().map(|(_, color)| *color));
    (looks.into_iter().map(|look| look.map(|(material, _)| material)).collect(), color)
}

/// A material with its picture, and its mean colour; `None` where it says no colour.
fn look(material: &Material, has_uvs: bool, warnings: &mut Vec<String>) -> Option<(MeshMaterial, [u8; 3])> {
    let plain = |color: [u8; 3]| (MeshMaterial { color: linear_color(color), texture: None }, color);
    let path = match &material.texture {
        None => return material.color.map(plain),
        Some(Err(error)) => {
            warnings.push(format!("the texture of material '{}' is left out: {error}", shortened(&material.name)));
            return material.color.map(plain);
        }
        Some(Ok(path)) => path,
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    match texture_of_file(path, material.bytes) {
        Ok(texture) => {
            if !has_uvs {
                warnings.push(format!(
                    "the texture '{name}' is drawn as its mean colour: the faces have no texture coordinates"
                ));
            }
            // A black Kd beside a map_Kd is what exporters leave behind; viewers draw the map.
            let tint = material.color.filter(|color| *color != [0; 3]).unwrap_or([255; 3]);
            let mean = texture.mean;
            let mean = std::array::from_fn(|i| (u16::from(mean[i]) * u16::from(tint[i]) / 255) as u8);
            Some((MeshMaterial { color: linear_color(tint), texture: Some(Arc::new(texture)) }, mean))
        }
        Err(error) => {
            warnings.push(format!("the texture '{name}' is left out: {error}"));
            material.color.map(plain)
        }
    }
}

/// The picture in a file of at most `limit` bytes.
pub(super) fn texture_of_file(path: &Path, limit: u64) -> Result<Texture, String> {
    read_capped(path, limit).map_err(|error| error.to_string()).and_then(|bytes| Texture::decoded(&bytes))
}
