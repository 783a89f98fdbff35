//! Wavefront OBJ ("Advanced Visualizer Manual", appendix B1). In: text. Out: points, and one group for every `o` or
//! `g`, with texture coordinates, materials and the colours of vertices. Normals are left out (they are computed).

use super::material::{Material, library, looks};
use super::polygon::triangulated;
use super::text::{decoded, lines, shortened};
use super::texture::linear_color;
use super::{Limits, MeshFile, ObjectError, RawGroup, RawMesh, Result, Root, read_capped, resolve};
use glam::{Vec2, Vec3};
use std::borrow::Cow;
use std::path::Path;

/// Statements that say nothing about triangles.
const IGNORED: [&str; 23] = [
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
            "vt" => parser.texture_coordinate(rest),
            "f" | "F" | "fo" => parser.face(&line, rest)?,
            "o" | "g" | "O" | "G" => parser.group(rest.trim()),
            "mtllib" => libraries.push(rest.trim().to_owned()),
            "usemtl" => parser.material(rest.trim()),
            "" => {}
            word if IGNORED.contains(&word) => {}
            word => parser.unknown(&line, word),
        }
    }
    let Parsed { mesh, used, mut warnings } = parser.finish()?;
    let mut file = MeshFile { mesh, ..MeshFile::default() };
    if !used.is_empty() {
        // Colours are a courtesy: a missing or broken library changes nothing else.
        let known = materials(path, root, limits, &libraries, &mut warnings);
        let named = |name: &str| known.iter().find(|material| material.name == name);
        // A library that cannot be opened is named already.
        let unknown: Vec<&str> =
            used.iter().map(|(name, _)| name.as_str()).filter(|name| named(name).is_none()).collect();
        if let (Some(first), true) = (unknown.first(), libraries.is_empty() || !known.is_empty()) {
            let more = if unknown.len() > 1 { format!(" and {} more", unknown.len() - 1) } else { String::new() };
            warnings.push(format!(
                "no material library describes the material '{}'{more}: these faces have no colour",
                shortened(first)
            ));
        }
        let used: Vec<(Option<&Material>, f64)> = used.iter().map(|(name, area)| (named(name), *area)).collect();
        let has_uvs = file.mesh.groups.iter().any(|group| !group.uvs.is_empty());
        let (looks, color) = looks(&used, has_uvs, &mut warnings);
        file.mesh.color = color;
        // Numbers of materials that say no colour go.
        let mut kept = Vec::new();
        for look in looks {
            kept.push(look.map(|look| {
                file.mesh.materials.push(look);
                file.mesh.materials.len() as u16 - 1
            }));
        }
        for material in file.mesh.groups.iter_mut().flat_map(|group| &mut group.material_of) {
            *material = material.and_then(|number| kept.get(usize::from(number)).copied().flatten());
        }
    }
    let is_textured = file.mesh.materials.iter().any(|material| material.texture.is_some());
    if is_textured {
        // Scanners write both: the picture is the finer one.
        file.mesh.vertex_colors.clear();
    } else if let Some(mean) = file.mesh.mean_vertex_color() {
        // MeshLab writes a plain material beside the colours of the vertices.
        file.mesh.materials.clear();
        file.mesh.color = Some(mean);
    }
    if file.mesh.materials.is_empty() {
        file.mesh.groups.iter_mut().for_each(|group| group.material_of.clear());
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

/// Most materials of a mesh; triangles of further ones have none.
const MAX_MATERIALS: usize = 4096;

struct Parsed {
    mesh: RawMesh,
    /// The materials in use with their areas: [`RawGroup::material_of`] counts these.
    used: Vec<(String, f64)>,
    /// What was left out.
    warnings: Vec<String>,
}

/// A face's corner: the numbers of its vertex and of its texture coordinates, from 0.
#[derive(Clone, Copy)]
struct Corner {
    vertex: u32,
    uv: Option<u32>,
}

struct Parser<'a> {
    path: &'a Path,
    limits: &'a Limits,
    mesh: RawMesh,
    /// The largest index used by a face (from 0) and its line.
    largest: (u32, u32),
    triangles: usize,
    uvs: Vec<Vec2>,
    /// The texture coordinates of every triangle, by group.
    corner_uvs: Vec<Vec<[Option<u32>; 3]>>,
    /// Linear, of the vertices up to the last one that has a colour.
    vertex_colors: Vec<Option<Vec3>>,
    /// Polygons cut as fans before their corners were known: group, first triangle, corners.
    unsure: Vec<(usize, usize, Vec<Corner>)>,
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
            uvs: Vec::new(),
            corner_uvs: Vec::new(),
            vertex_colors: Vec::new(),
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
        // Three more numbers are a colour, as MeshLab and scanners write it.
        let rest: Vec<f32> = tokens.map_while(|token| token.parse().ok()).collect();
        if let [_, _, _, ..] = rest[..]
            && let Some(color) = super::material::color_of(&rest)
        {
            self.vertex_colors.resize(self.mesh.positions.len() - 1, None);
            self.vertex_colors.push(Some(linear_color(color)));
        }
        Ok(())
    }

    /// Looks are a courtesy: what is no number counts as missing.
    fn texture_coordinate(&mut self, rest: &str) {
        let mut values = rest.split_ascii_whitespace().map(|token| token.parse::<f32>().unwrap_or(f32::NAN));
        let (u, v) = (values.next().unwrap_or(f32::NAN), values.next().unwrap_or(0.0));
        if self.uvs.len() < self.limits.vertices.saturating_mul(3) {
            // From the lower edge up to from the upper edge down.
            self.uvs.push(Vec2::new(u, 1.0 - v));
        }
    }

    fn face(&mut self, line: &Line, rest: &str) -> Result<()> {
        let tokens = rest.split_ascii_whitespace();
        let mut corners = tokens.map(|token| self.corner(line, token)).collect::<Result<Vec<Corner>>>()?;
        corners.dedup_by_key(|corner| corner.vertex);
        if corners.len() > 1 && corners.first().map(|c| c.vertex) == corners.last().map(|c| c.vertex) {
            corners.pop();
        }
        if corners.len() < 3 {
            // Points, lines and faces that collapse to one exist in real files and carry no area.
            return match rest.trim().is_empty() {
                true => Err(self.syntax(line, rest, "a face needs corners".into())),
                false => Ok(()),
            };
        }
        let largest = corners.iter().map(|corner| corner.vertex).max().unwrap_or(0);
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
        let cut = if corners.len() > 3 && (largest as usize) < self.mesh.positions.len() {
            polygon(&self.mesh.positions, &corners)
        } else {
            let first = self.mesh.groups[group].triangles.len();
            let fan = corners.windows(2).skip(1).map(|pair| [corners[0], pair[0], pair[1]]).collect();
            if corners.len() > 3 {
                self.unsure.push((group, first, corners));
            }
            fan
        };
        self.mesh.groups[group].triangles.extend(cut.iter().map(|triangle| triangle.map(|corner| corner.vertex)));
        self.corner_uvs.resize(self.mesh.groups.len(), Vec::new());
        self.corner_uvs[group].extend(cut.iter().map(|triangle| triangle.map(|corner| corner.uv)));
        Ok(())
    }

    /// A corner (`v`, `v/vt`, `v//vn`, `v/vt/vn`).
    fn corner(&self, line: &Line, token: &str) -> Result<Corner> {
        let vertex = self.index(line, token)?;
        let number: Option<i64> = token.split('/').nth(1).and_then(|number| number.parse().ok());
        let from_zero = number.map(|number| if number < 0 { self.uvs.len() as i64 + number } else { number - 1 });
        Ok(Corner { vertex, uv: from_zero.and_then(|number| u32::try_from(number).ok()) })
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
            _ => self.mesh.groups.push(RawGroup { name: name.to_owned(), ..RawGroup::default() }),
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
            for (i, triangle) in polygon(&self.mesh.positions, &corners).into_iter().enumerate() {
                self.mesh.groups[group].triangles[first + i] = triangle.map(|corner| corner.vertex);
                self.corner_uvs[group][first + i] = triangle.map(|corner| corner.uv);
            }
        }
        if !self.vertex_colors.is_empty() {
            self.vertex_colors.resize(count, None);
            self.mesh.vertex_colors = self.vertex_colors.iter().map(|color| color.unwrap_or(Vec3::ONE)).collect();
        }
        let (used, further) = self.paint();
        let warnings = self.unknown.iter().map(|(word, count, line)| {
            let kind = if GEOMETRY.contains(&word.as_str()) { "a free-form surface or other file" } else { "unknown" };
            format!("{count} lines that begin with '{word}' ({kind}; the first is line {line}) are left out")
        });
        let mut warnings: Vec<String> = warnings.collect();
        if further > 0 {
            warnings.push(format!(
                "{further} materials beyond the first {MAX_MATERIALS} are left out; their triangles have none"
            ));
        }
        self.mesh.groups.retain(|group| !group.triangles.is_empty());
        Ok(Parsed { mesh: self.mesh, used, warnings })
    }

    /// Gives every triangle its material and texture coordinates; the materials in use and the areas under them, and how many
    /// there were beyond the most that a mesh has.
    fn paint(&mut self) -> (Vec<(String, f64)>, usize) {
        let mut areas = vec![0.0; self.materials.len()];
        let mut runs = self.runs.iter().peekable();
        let mut current = None;
        let materials: Vec<Vec<Option<usize>>> = self
            .mesh
            .groups
            .iter()
            .enumerate()
            .map(|(number, group)| {
                let material = |(i, triangle): (usize, &[u32; 3])| {
                    while let Some(run) = runs.next_if(|run| (run.0, run.1) <= (number, i)) {
                        current = Some(run.2);
                    }
                    let [a, b, c] = triangle.map(|index| self.mesh.positions[index as usize]);
                    areas[current?] += f64::from((b - a).cross(c - a).length());
                    current
                };
                group.triangles.iter().enumerate().map(material).collect()
            })
            .collect();
        // Numbers among those in use.
        let (mut used, mut further) = (Vec::new(), 0);
        let mut number = vec![None; areas.len()];
        for (material, area) in areas.into_iter().enumerate().filter(|(_, area)| *area > 0.0) {
            if used.len() < MAX_MATERIALS {
                number[material] = Some(used.len() as u16);
                used.push((self.materials[material].clone(), area));
            } else {
                further += 1;
            }
        }
        for (group, found) in self.mesh.groups.iter_mut().zip(materials) {
            group.material_of = found.into_iter().map(|material| number[material?]).collect();
        }
        let missing = Vec2::NAN;
        for (group, corners) in self.mesh.groups.iter_mut().zip(&self.corner_uvs) {
            let found = |uv: &Option<u32>| uv.is_some_and(|uv| (uv as usize) < self.uvs.len());
            if corners.iter().flatten().any(found) {
                let uv = |uv: Option<u32>| uv.and_then(|uv| self.uvs.get(uv as usize)).copied().unwrap_or(missing);
                group.uvs = corners.iter().map(|corners| corners.map(uv)).collect();
            }
        }
        (used, further)
    }
}

fn polygon(positions: &[Vec3], corners: &[Corner]) -> Vec<[Corner; 3]> {
    let points: Vec<Vec3> = corners.iter().map(|corner| positions[corner.vertex as usize]).collect();
    triangulated(&points).into_iter().map(|triangle| triangle.map(|i| corners[i])).collect()
}
