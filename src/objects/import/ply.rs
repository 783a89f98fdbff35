//! PLY (Turk, 1994), text and binary, as BOP data sets have it. In: bytes. Out: one group of triangles, and the colours of
//! its vertices.

use super::polygon::triangulated;
use super::text::{decoded, shortened};
use super::texture::linear_color;
use super::{Limits, MeshFile, ObjectError, RawGroup, RawMesh, Result, Root};
use glam::Vec3;
use std::path::Path;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Encoding {
    Text,
    Little,
    Big,
}

/// A number's type: bytes, and whether it is a fraction or has a sign.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Number {
    bytes: usize,
    float: bool,
    signed: bool,
}

struct Property {
    name: String,
    /// Of the length that comes before a list's values.
    list: Option<Number>,
    number: Number,
}

struct Element {
    name: String,
    count: usize,
    properties: Vec<Property>,
}

pub(super) fn parse(path: &Path, bytes: Vec<u8>, _: &Root, limits: &Limits) -> Result<MeshFile> {
    let format = |place: &str, what: String| ObjectError::Format { path: path.to_owned(), place: place.into(), what };
    // Text in wide units or behind a mark is text all the same.
    let bytes = match bytes[..] {
        [0xEF, 0xBB, 0xBF, ..] => bytes[3..].to_vec(),
        [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] => decoded(&bytes).into_owned().into_bytes(),
        _ => bytes,
    };
    let (encoding, elements, start) = header(&bytes).map_err(|what| format("header", what))?;
    let mut source = Source { bytes: &bytes, at: start, encoding, word: 0..0 };
    let mut mesh = RawMesh { groups: vec![RawGroup::default()], ..RawMesh::default() };
    for element in &elements {
        let (is_vertex, is_face) = (element.name == "vertex", element.name == "face");
        if is_vertex && element.count > limits.vertices {
            return Err(ObjectError::TooMany { path: path.to_owned(), what: "vertices", limit: limits.vertices });
        }
        for number in 0..element.count {
            let place = format!("{} {number}", shortened(&element.name));
            let mut vertex = [None; 3];
            let mut color = [None; 3];
            for property in &element.properties {
                let count = match property.list {
                    None => 1,
                    Some(kind) => source.next(kind).ok_or_else(|| format(&place, source.fault()))? as usize,
                };
                let is_outline = is_face && matches!(property.name.as_str(), "vertex_indices" | "vertex_index");
                let mut outline: Vec<u32> = Vec::new();
                for _ in 0..count {
                    let value = source.next(property.number).ok_or_else(|| format(&place, source.fault()))?;
                    if is_outline {
                        // What is below 0 is out of range, like what is above the count.
                        outline.push(if value < 0.0 { u32::MAX } else { value as u32 });
                    }
                    match property.name.as_str() {
                        "x" => vertex[0] = Some(value as f32),
                        "y" => vertex[1] = Some(value as f32),
                        "z" => vertex[2] = Some(value as f32),
                        "red" | "diffuse_red" => color[0] = Some(byte(value, property.number)),
                        "green" | "diffuse_green" => color[1] = Some(byte(value, property.number)),
                        "blue" | "diffuse_blue" => color[2] = Some(byte(value, property.number)),
                        _ => {}
                    }
                }
                if is_outline {
                    face(path, &place, &mut mesh, &outline, limits)?;
                }
            }
            if is_vertex {
                let [Some(x), Some(y), Some(z)] = vertex else {
                    return Err(format("header", "its vertices lack x, y or z; export the mesh again".into()));
                };
                let point = Vec3::new(x, y, z);
                if !point.is_finite() {
                    return Err(ObjectError::NotFinite { path: path.to_owned(), place });
                }
                mesh.positions.push(point);
                if let [Some(r), Some(g), Some(b)] = color {
                    mesh.vertex_colors.push(linear_color([r, g, b]));
                }
            }
        }
    }
    let names = |element: &Element, wanted: &[&str]| {
        element.properties.iter().any(|property| wanted.contains(&property.name.as_str()))
    };
    let mut warnings = Vec::new();
    let textured = ["texture_u", "texture_v", "texcoord", "s", "t", "u", "v"];
    let has_texture = bytes[..start].windows(11).any(|word| word.eq_ignore_ascii_case(b"TextureFile"));
    if has_texture || elements.iter().any(|element| names(element, &textured)) {
        warnings.push("textures of PLY files are not drawn; convert it to .obj or .glb, which keep them".to_owned());
    }
    if elements.iter().any(|element| element.name == "face" && names(element, &["red", "diffuse_red"])) {
        warnings.push("colours of faces are not drawn; give them to the vertices, or convert it to .obj".to_owned());
    }
    if mesh.vertex_colors.len() != mesh.positions.len() {
        mesh.vertex_colors.clear();
    }
    mesh.color = mesh.mean_vertex_color();
    Ok(MeshFile { mesh, warnings, ..MeshFile::default() })
}

fn byte(value: f64, kind: Number) -> u8 {
    (if kind.float { value * 255.0 } else { value }).clamp(0.0, 255.0).round() as u8
}

fn face(path: &Path, place: &str, mesh: &mut RawMesh, outline: &[u32], limits: &Limits) -> Result<()> {
    let count = mesh.positions.len();
    if let Some(&index) = outline.iter().find(|&&index| index as usize >= count) {
        return Err(ObjectError::IndexOutOfRange {
            path: path.to_owned(),
            place: place.to_owned(),
            index: i64::from(index),
            count,
            what: "vertices",
        });
    }
    let corners: Vec<Vec3> = outline.iter().map(|&index| mesh.positions[index as usize]).collect();
    let triangles = &mut mesh.groups[0].triangles;
    triangles.extend(triangulated(&corners).into_iter().map(|triangle| triangle.map(|i| outline[i])));
    if triangles.len() > limits.triangles {
        return Err(ObjectError::TooMany { path: path.to_owned(), what: "triangles", limit: limits.triangles });
    }
    Ok(())
}

/// The encoding, the elements, and where the data begin.
fn header(bytes: &[u8]) -> std::result::Result<(Encoding, Vec<Element>, usize), String> {
    if !bytes.get(..3).is_some_and(|word| word.eq_ignore_ascii_case(b"ply")) {
        return Err("the file does not begin with 'ply'; export the mesh again".into());
    }
    let (mut encoding, mut elements, mut at) = (None, Vec::<Element>::new(), 0);
    loop {
        let end = bytes[at..].iter().position(|&byte| byte == b'\n' || byte == b'\r').ok_or("it has no end_header")?;
        let line = String::from_utf8_lossy(&bytes[at..at + end]).into_owned();
        at += end + if bytes[at + end..].starts_with(b"\r\n") { 2 } else { 1 };
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        match words[..] {
            ["format", "ascii", _] => encoding = Some(Encoding::Text),
            ["format", "binary_little_endian", _] => encoding = Some(Encoding::Little),
            ["format", "binary_big_endian", _] => encoding = Some(Encoding::Big),
            ["element", name, count] => {
                let count = count.parse().map_err(|_| format!("'{}' is no count", shortened(count)))?;
                elements.push(Element { name: name.to_owned(), count, properties: Vec::new() });
            }
            ["property", "list", length, kind, name] => {
                let property = Property { name: name.to_owned(), list: Some(number(length)?), number: number(kind)? };
                elements.last_mut().ok_or("a property has no element")?.properties.push(property);
            }
            ["property", kind, name] => {
                let property = Property { name: name.to_owned(), list: None, number: number(kind)? };
                elements.last_mut().ok_or("a property has no element")?.properties.push(property);
            }
            ["end_header"] => break,
            _ => {}
        }
    }
    // An element without properties takes no bytes, so that its count could be anything.
    elements.retain(|element| !element.properties.is_empty());
    Ok((encoding.ok_or("its format is neither ascii nor binary")?, elements, at))
}

fn number(name: &str) -> std::result::Result<Number, String> {
    let (bytes, float, signed) = match name {
        "char" | "int8" => (1, false, true),
        "uchar" | "uint8" => (1, false, false),
        "short" | "int16" => (2, false, true),
        "ushort" | "uint16" => (2, false, false),
        "int" | "int32" => (4, false, true),
        "uint" | "uint32" => (4, false, false),
        "float" | "float32" => (4, true, true),
        "double" | "float64" => (8, true, true),
        other => return Err(format!("'{}' is no type of number", shortened(other))),
    };
    Ok(Number { bytes, float, signed })
}

struct Source<'a> {
    bytes: &'a [u8],
    at: usize,
    encoding: Encoding,
    /// Where the last word of a text lies.
    word: std::ops::Range<usize>,
}

impl Source<'_> {
    /// Why there is no next number.
    fn fault(&self) -> String {
        match self.bytes.get(self.word.clone()) {
            Some(word) if !word.is_empty() && self.encoding == Encoding::Text => {
                format!("'{}' is no number; decimals are written with a point", shortened(&decoded(word)))
            }
            _ => "the file is cut off; copy or export it again".into(),
        }
    }

    /// The next number; `None` at the end, or where a word is none.
    fn next(&mut self, kind: Number) -> Option<f64> {
        if self.encoding == Encoding::Text {
            self.word = 0..0;
            let skipped = self.bytes[self.at..].iter().position(|byte| !byte.is_ascii_whitespace())?;
            let word = &self.bytes[self.at + skipped..];
            let length = word.iter().position(u8::is_ascii_whitespace).unwrap_or(word.len());
            self.word = self.at + skipped..self.at + skipped + length;
            self.at = self.word.end;
            return std::str::from_utf8(&word[..length]).ok()?.parse().ok();
        }
        let mut wide = [0_u8; 8];
        let own = self.bytes.get(self.at..self.at + kind.bytes)?;
        self.at += kind.bytes;
        wide[..kind.bytes].copy_from_slice(own);
        if self.encoding == Encoding::Big {
            wide[..kind.bytes].reverse();
        }
        let [a, b, c, d, ..] = wide;
        Some(match (kind.bytes, kind.float, kind.signed) {
            (4, true, _) => f64::from(f32::from_le_bytes([a, b, c, d])),
            (8, true, _) => f64::from_le_bytes(wide),
            (1, _, true) => f64::from(a as i8),
            (1, _, _) => f64::from(a),
            (2, _, true) => f64::from(i16::from_le_bytes([a, b])),
            (2, _, _) => f64::from(u16::from_le_bytes([a, b])),
            (_, _, true) => f64::from(i32::from_le_bytes([a, b, c, d])),
            _ => f64::from(u32::from_le_bytes([a, b, c, d])),
        })
    }
}
