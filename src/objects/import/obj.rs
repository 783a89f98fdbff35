//! Wavefront OBJ ("Advanced Visualizer Manual", appendix B1). In: text. Out: points, and one group for every `o` or
//! `g`. Normals and texture coordinates are left out (normals are computed); the colour is that of the material that
//! covers most.

use super::material::{Material, library};
use super::polygon::triangulated;
use super::text::{decoded, lines, shortened};
use super::{Limits, MeshFile, ObjectError, RawGroup, RawMesh, Result, Root, read_capped, resolve};
use glam::Vec3;
use std::borrow::Cow;
use std::path::Path;

/// Statements that say nothing about triangles.
const IGNORED: [&str; 24] = [
    "vt",
    "vn",
    "vp",
    "p",
    "l",
    "s",
    "usemap",
    "maplib",
    "mg",
    "cstype",
    "deg",
    "bmat",
    "step",
    "parm",
    "con",
    "bevel",
    "c_interp",
    "d_interp",
    "lod",
    "shadow_obj",
    "trace_obj",
    "ctech",
    "stech",
    "end",
];
/// Free-form curves and surfaces, and files within files.
const GEOMETRY: [&str; 11] = ["curv", "curv2", "surf", "trim", "hole", "scrv", "sp", "call", "csh", "bzp", "bsp"];

pub(super) fn parse(path: &Path, bytes: Vec<u8>, root: &Root, limits: &Limits) -> Result<MeshFile> {
    let text = decoded(&bytes);
    let mut parser = Parser::new(path, limits);
    let mut libraries: Vec<String> = Vec::new();
    for line in joined_lines(&text) {
        let code = line.code();
        let (keyword, rest) = code.split_once([' ', '\t']).unwrap_or((code, ""));
        match keyword {
            "v" | "V" => parser.vertex(&line, rest)?,
            "f" | "F" | "fo" => parser.face(&line, rest)?,
            "o" | "g" | "O" | "G" => parser.group(rest.trim()),
            "mtllib" => libraries.push(rest.trim().to_owned()),
            "usemtl" => parser.material(rest.trim()),
            "" => {}
            word if IGNORED.contains(&word) => {}
            word => parser.unknown(&line, word),
        }
    }
    let (mesh, used, mut warnings) = parser.finish()?;
    let mut file = MeshFile { mesh, ..MeshFile::default() };
    if !used.is_empty() {
        // Colours are a courtesy: a missing or broken library changes nothing else.
        let known = materials(path, root, limits, &libraries, &mut warnings);
        let named = |name: &str| known.iter().find(|material| material.name == name);
        let used: Vec<(&Material, f64)> =
            used.iter().filter_map(|(name, area)| named(name).map(|material| (material, *area))).collect();
        file.mesh.color = super::material::dominant(&used, &mut warnings);
    }
    file.warnings = warnings;
    Ok(file)
}

/// The materials of every library that `mtllib` names: one file, or several on one line.
fn materials(path: &Path, root: &Root, limits: &Limits, names: &[String], warnings: &mut Vec<String>) -> Vec<Material> {
    let mut found = Vec::new();
    for name in names {
        let whole = resolve(path, name, root).ok();
        let files = match whole {
            Some(file) => vec![file],
            None => name.split_whitespace().filter_map(|word| resolve(path, word, root).ok()).collect(),
        };
        if files.is_empty() {
            warnings.push(format!("the material library '{}' cannot be opened; colours are left out", shortened(name)));
        }
        for file in files {
            match read_capped(&file, limits.urdf_bytes) {
                Ok(bytes) => found.extend(library(&decoded(&bytes), &file, root, limits)),
                Err(error) => warnings.push(format!("colours are left out: {error}")),
            }
        }
    }
    found
}

/// A statement, which a backslash may join from several lines.
pub(super) struct Line<'a> {
    /// Of its first line, from 1.
    number: u32,
    text: Cow<'a, str>,
}

impl Line<'_> {
    /// Without what a `#` opens and without spaces around it. Names may hold a `#` inside a word.
    pub fn code(&self) -> &str {
        let mut end = self.text.len();
        for (at, _) in self.text.match_indices('#') {
            let keyword = self.text.trim_start().split([' ', '\t']).next().unwrap_or("");
            let is_name = matches!(keyword, "o" | "g" | "mtllib" | "usemtl" | "newmtl") || keyword.starts_with("map_");
            if !is_name || self.text[..at].ends_with([' ', '\t']) || at == 0 {
                end = at;
                break;
            }
        }
        self.text[..end].trim()
    }
}

/// Statements of OBJ and MTL text.
pub(super) fn joined_lines(text: &str) -> impl Iterator<Item = Line<'_>> {
    let mut number = 0;
    let mut rest = lines(text);
    std::iter::from_fn(move || {
        let first = rest.next()?;
        number += 1;
        let start = number;
        let Some(opened) = first.trim_end_matches([' ', '\t']).strip_suffix('\\') else {
            return Some(Line { number: start, text: Cow::Borrowed(first) });
        };
        let mut whole = opened.to_owned();
        for next in rest.by_ref() {
            number += 1;
            whole.push(' ');
            match next.trim_end_matches([' ', '\t']).strip_suffix('\\') {
                Some(part) => whole.push_str(part),
                None => {
                    whole.push_str(next);
                    break;
                }
            }
        }
        Some(Line { number: start, text: Cow::Owned(whole) })
    })
}

/// A mesh, the materials in use with their areas, and what was left out.
type Parsed = (RawMesh, Vec<(String, f64)>, Vec<String>);

struct Parser<'a> {
    path: &'a Path,
    limits: &'a Limits,
    mesh: RawMesh,
    /// The largest index used by a face (from 0) and its line.
    largest: (u32, u32),
    triangles: usize,
    /// Polygons cut as fans before their corners were known: group, first triangle, corners.
    unsure: Vec<(usize, usize, Vec<u32>)>,
    materials: Vec<String>,
    /// From this group and triangle on, this material.
    runs: Vec<(usize, usize, usize)>,
    /// Statements left out, their number, and the line of the first.
    unknown: Vec<(String, usize, u32)>,
}

impl<'a> Parser<'a> {
    fn new(path: &'a Path, limits: &'a Limits) -> Self {
        Self {
            path,
            limits,
            mesh: RawMesh::default(),
            largest: (0, 0),
            triangles: 0,
            unsure: Vec::new(),
            materials: Vec::new(),
            runs: Vec::new(),
            unknown: Vec::new(),
        }
    }

    fn syntax(&self, line: &Line, token: &str, what: String) -> ObjectError {
        // Tokens are slices of the line.
        let column = (token.as_ptr() as usize).saturating_sub(line.text.as_ptr() as usize) as u32 + 1;
        ObjectError::Syntax { path: self.path.to_owned(), line: line.number, column, what }
    }

    fn vertex(&mut self, line: &Line, rest: &str) -> Result<()> {
        let mut values = [0.0; 3];
        let mut tokens = rest.split_ascii_whitespace();
        for value in &mut values {
            let token =
                tokens.next().ok_or_else(|| self.syntax(line, rest, "a vertex needs three coordinates".into()))?;
            *value = token
                .parse::<f32>()
                .map_err(|_| self.syntax(line, token, format!("'{}' is not a number", shortened(token))))?;
            if !value.is_finite() {
                let place = format!("line {}", line.number);
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

    fn face(&mut self, line: &Line, rest: &str) -> Result<()> {
        let tokens = rest.split_ascii_whitespace();
        let mut corners = tokens.map(|token| self.index(line, token)).collect::<Result<Vec<u32>>>()?;
        corners.dedup();
        if corners.len() > 1 && corners.first() == corners.last() {
            corners.pop();
        }
        if corners.len() < 3 {
            // Points, lines and faces that collapse to one exist in real files and carry no area.
            return match rest.trim().is_empty() {
                true => Err(self.syntax(line, rest, "a face needs corners".into())),
                false => Ok(()),
            };
        }
        let largest = corners.iter().copied().max().unwrap_or(0);
        if largest > self.largest.0 || self.largest.1 == 0 {
            self.largest = (largest, line.number);
        }
        if self.mesh.groups.is_empty() {
            self.group("");
        }
        self.triangles += corners.len() - 2;
        if self.triangles > self.limits.triangles {
            let limit = self.limits.triangles;
            return Err(ObjectError::TooMany { path: self.path.to_owned(), what: "triangles", limit });
        }
        let group = self.mesh.groups.len() - 1;
        let triangles = &mut self.mesh.groups[group].triangles;
        if corners.len() > 3 && (largest as usize) < self.mesh.positions.len() {
            triangles.extend(polygon(&self.mesh.positions, &corners));
        } else {
            let first = triangles.len();
            triangles.extend(corners.windows(2).skip(1).map(|pair| [corners[0], pair[0], pair[1]]));
            if corners.len() > 3 {
                self.unsure.push((group, first, corners));
            }
        }
        Ok(())
    }

    /// The vertex of a face's corner (`v`, `v/vt`, `v//vn`, `v/vt/vn`), from 0. Negative numbers count back from the
    /// last vertex.
    fn index(&self, line: &Line, token: &str) -> Result<u32> {
        let number = token.split('/').next().unwrap_or(token);
        let index: i64 = number
            .parse()
            .map_err(|_| self.syntax(line, token, format!("'{}' is not a vertex number", shortened(token))))?;
        let count = self.mesh.positions.len();
        let from_zero = if index < 0 { count as i64 + index } else { index - 1 };
        // Faces may come before their vertices; the upper end is checked when all are known.
        u32::try_from(from_zero).ok().filter(|&i| (i as usize) < self.limits.vertices).ok_or_else(|| {
            ObjectError::IndexOutOfRange {
                path: self.path.to_owned(),
                place: format!("line {}", line.number),
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

    fn material(&mut self, name: &str) {
        let number = self.materials.iter().position(|known| known == name).unwrap_or_else(|| {
            self.materials.push(name.to_owned());
            self.materials.len() - 1
        });
        let group = self.mesh.groups.len().saturating_sub(1);
        self.runs.push((group, self.mesh.groups.last().map_or(0, |group| group.triangles.len()), number));
    }

    fn unknown(&mut self, line: &Line, word: &str) {
        let word = shortened(word);
        let known = self.unknown.iter().position(|(known, _, _)| *known == word);
        match known.or((self.unknown.len() >= 10).then_some(9)) {
            // A broken file has a thousand words; ten tell enough.
            Some(known) => self.unknown[known].1 += 1,
            None => self.unknown.push((word, 1, line.number)),
        }
    }

    /// The mesh, the materials in use with their areas, and what was left out.
    fn finish(mut self) -> Result<Parsed> {
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
        for (group, first, corners) in std::mem::take(&mut self.unsure) {
            let cut = polygon(&self.mesh.positions, &corners);
            self.mesh.groups[group].triangles[first..first + cut.len()].copy_from_slice(&cut);
        }
        let areas = self.areas();
        let used = self.materials.iter().cloned().zip(areas).filter(|(_, area)| *area > 0.0).collect();
        let warnings = self.unknown.iter().map(|(word, count, line)| {
            let kind = if GEOMETRY.contains(&word.as_str()) { "a free-form surface or other file" } else { "unknown" };
            format!("{count} lines that begin with '{word}' ({kind}; the first is line {line}) are left out")
        });
        let warnings = warnings.collect();
        self.mesh.groups.retain(|group| !group.triangles.is_empty());
        Ok((self.mesh, used, warnings))
    }

    /// Area under each material.
    fn areas(&self) -> Vec<f64> {
        let mut areas = vec![0.0; self.materials.len()];
        let mut runs = self.runs.iter().peekable();
        let mut current = None;
        for (number, group) in self.mesh.groups.iter().enumerate() {
            for (i, triangle) in group.triangles.iter().enumerate() {
                while let Some(run) = runs.next_if(|run| (run.0, run.1) <= (number, i)) {
                    current = Some(run.2);
                }
                let Some(material) = current else { continue };
                let [a, b, c] = triangle.map(|index| self.mesh.positions[index as usize]);
                areas[material] += f64::from((b - a).cross(c - a).length());
            }
        }
        areas
    }
}

fn polygon(positions: &[Vec3], corners: &[u32]) -> Vec<[u32; 3]> {
    let points: Vec<Vec3> = corners.iter().map(|&corner| positions[corner as usize]).collect();
    triangulated(&points).into_iter().map(|triangle| triangle.map(|i| corners[i])).collect()
}
