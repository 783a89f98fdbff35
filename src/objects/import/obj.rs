//! Wavefront OBJ. In: text. Out: points, and one group for every `o` or `g`. Polygons are cut into fans; normals and
//! texture coordinates are left out (normals are computed); the colour is the first used material's `Kd`.

use super::{Limits, ObjectError, RawGroup, RawMesh, Result, read_capped, resolve};
use glam::Vec3;
use std::path::Path;

pub(super) fn read(path: &Path, root: &Path, limits: &Limits) -> Result<RawMesh> {
    let bytes = read_capped(path, limits.file_bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let mut parser =
        Parser { path, limits, line: 0, text: "", mesh: RawMesh::default(), largest: (0, 0), triangles: 0 };
    let (mut libraries, mut material) = (Vec::new(), None);
    for (i, line) in text.lines().enumerate() {
        parser.line = i as u32 + 1;
        parser.text = line;
        let (keyword, rest) = line.trim_start().split_once([' ', '\t']).unwrap_or((line.trim(), ""));
        match keyword {
            "v" => parser.vertex(rest)?,
            "f" => parser.face(rest)?,
            "o" | "g" => parser.group(rest.trim()),
            "mtllib" => libraries.push(rest.trim()),
            "usemtl" if material.is_none() => material = Some(rest.trim()),
            _ => {}
        }
    }
    let mut mesh = parser.finish()?;
    if let Some(material) = material {
        // Colours are a courtesy: a missing or broken library changes nothing else.
        let files = libraries.iter().filter_map(|library| resolve(path, library, root).ok());
        mesh.color = files
            .filter_map(|file| read_capped(&file, limits.urdf_bytes).ok())
            .find_map(|bytes| diffuse(&String::from_utf8_lossy(&bytes), material));
    }
    Ok(mesh)
}

struct Parser<'a> {
    path: &'a Path,
    limits: &'a Limits,
    line: u32,
    text: &'a str,
    mesh: RawMesh,
    /// The largest index used by a face (from 0) and its line.
    largest: (u32, u32),
    triangles: usize,
}

impl<'a> Parser<'a> {
    fn syntax(&self, token: &str, what: String) -> ObjectError {
        // Tokens are slices of the line.
        let column = (token.as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize) as u32 + 1;
        ObjectError::Syntax { path: self.path.to_owned(), line: self.line, column, what }
    }

    fn vertex(&mut self, rest: &'a str) -> Result<()> {
        let mut values = [0.0; 3];
        let mut tokens = rest.split_ascii_whitespace();
        for value in &mut values {
            let token = tokens.next().ok_or_else(|| self.syntax(rest, "a vertex needs three coordinates".into()))?;
            *value = token
                .parse::<f32>()
                .map_err(|_| self.syntax(token, format!("'{}' is not a number", shortened(token))))?;
            if !value.is_finite() {
                let place = format!("line {}", self.line);
                return Err(ObjectError::NotFinite { path: self.path.to_owned(), place });
            }
        }
        if self.mesh.positions.len() == self.limits.vertices {
            let limit = self.limits.vertices;
            return Err(ObjectError::TooMany { path: self.path.to_owned(), what: "vertices", limit });
        }
        self.mesh.positions.push(Vec3::from_array(values));
        Ok(())
    }

    fn face(&mut self, rest: &'a str) -> Result<()> {
        let mut corners = rest.split_ascii_whitespace().map(|token| self.index(token)).collect::<Result<Vec<u32>>>()?;
        corners.dedup();
        if corners.len() < 3 {
            // Points, lines and faces that collapse to one exist in real files and carry no area.
            return match rest.trim().is_empty() {
                true => Err(self.syntax(rest, "a face needs corners".into())),
                false => Ok(()),
            };
        }
        let largest = corners.iter().copied().max().unwrap_or(0);
        if largest > self.largest.0 || self.largest.1 == 0 {
            self.largest = (largest, self.line);
        }
        if self.mesh.groups.is_empty() {
            self.group("");
        }
        self.triangles += corners.len() - 2;
        if self.triangles > self.limits.triangles {
            let limit = self.limits.triangles;
            return Err(ObjectError::TooMany { path: self.path.to_owned(), what: "triangles", limit });
        }
        if let Some(group) = self.mesh.groups.last_mut() {
            group.triangles.extend(corners.windows(2).skip(1).map(|pair| [corners[0], pair[0], pair[1]]));
        }
        Ok(())
    }

    /// `7`, `7/1`, `7//3` or `7/1/3`; negative numbers count back from the last vertex.
    fn index(&self, token: &str) -> Result<u32> {
        let number = token.split('/').next().unwrap_or(token);
        let index: i64 =
            number.parse().map_err(|_| self.syntax(token, format!("'{}' is not a vertex number", shortened(token))))?;
        let count = self.mesh.positions.len();
        let from_zero = if index < 0 { count as i64 + index } else { index - 1 };
        // Faces may come before their vertices; the upper end is checked when all are known.
        u32::try_from(from_zero).ok().filter(|&i| (i as usize) < self.limits.vertices).ok_or_else(|| {
            ObjectError::IndexOutOfRange {
                path: self.path.to_owned(),
                place: format!("line {}", self.line),
                index,
                count,
                what: "vertices",
            }
        })
    }

    fn group(&mut self, name: &str) {
        match self.mesh.groups.last_mut() {
            Some(group) if group.triangles.is_empty() => group.name = name.to_owned(),
            _ => self.mesh.groups.push(RawGroup { name: name.to_owned(), triangles: Vec::new() }),
        }
    }

    fn finish(mut self) -> Result<RawMesh> {
        let count = self.mesh.positions.len();
        if self.largest.1 > 0 && self.largest.0 as usize >= count {
            return Err(ObjectError::IndexOutOfRange {
                path: self.path.to_owned(),
                place: format!("line {}", self.largest.1),
                index: i64::from(self.largest.0) + 1,
                count,
                what: "vertices",
            });
        }
        self.mesh.groups.retain(|group| !group.triangles.is_empty());
        Ok(self.mesh)
    }
}

/// The start of a token, for messages.
pub(super) fn shortened(token: &str) -> String {
    token.chars().take(32).collect()
}

/// `Kd` of a material, linear 0..1 taken as sRGB, as viewers do.
fn diffuse(text: &str, material: &str) -> Option<[u8; 3]> {
    let mut inside = false;
    for line in text.lines() {
        let (keyword, rest) = line.trim().split_once([' ', '\t']).unwrap_or((line.trim(), ""));
        match keyword {
            "newmtl" => inside = rest.trim() == material,
            "Kd" if inside => {
                let values: Vec<f32> = rest.split_ascii_whitespace().filter_map(|token| token.parse().ok()).collect();
                return color_of(&values);
            }
            _ => {}
        }
    }
    None
}

/// Three numbers from 0 to 1 as bytes.
pub(super) fn color_of(values: &[f32]) -> Option<[u8; 3]> {
    let [r, g, b] = values.get(..3)?.try_into().ok()?;
    [r, g, b]
        .iter()
        .all(|value: &f32| value.is_finite())
        .then(|| [r, g, b].map(|v| (v.clamp(0.0, 1.0) * 255.0).round() as u8))
}
