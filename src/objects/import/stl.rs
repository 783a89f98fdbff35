//! STL, binary and text. In: bytes. Out: one group of triangles. The contents decide which of the two a file is: binary
//! headers may say "solid", and text may come in capitals, in UTF-16 or after comments.

use super::polygon::triangulated;
use super::text::{decoded, lines, shortened};
use super::{Limits, MeshFile, ObjectError, RawGroup, RawMesh, Result, Root};
use glam::Vec3;
use std::path::Path;

const HEADER: usize = 84;
const RECORD: usize = 50;
/// Bytes that tell text from numbers.
const LOOKED_AT: usize = 4096;

pub(super) fn parse(path: &Path, bytes: Vec<u8>, _: &Root, limits: &Limits) -> Result<MeshFile> {
    let mut warnings = Vec::new();
    let records = bytes.len().saturating_sub(HEADER) / RECORD;
    let count = bytes.get(80..HEADER).and_then(|four| four.try_into().ok()).map_or(0, u32::from_le_bytes) as usize;
    let is_exact = count > 0 && bytes.len() == HEADER + count.saturating_mul(RECORD);
    let corners = if !is_exact && is_text(&bytes) {
        read_text(path, &bytes, limits, &mut warnings)?
    } else if bytes.len() >= HEADER && (1..=records).contains(&count) {
        let after = bytes.len() - HEADER - count * RECORD;
        if after > 0 {
            warnings.push(format!("{after} bytes after the last of {count} triangles are left out"));
        }
        read_binary(path, &bytes[HEADER..], count, limits)?
    } else if records > 0 && (count == 0 || count == u32::MAX as usize) {
        // Writers that stream put no count, or the largest, and never come back to correct it.
        warnings.push(format!("the header gives no number of triangles; the {records} that are there are read"));
        read_binary(path, &bytes[HEADER..], records, limits)?
    } else {
        let what = if bytes.len() < HEADER {
            format!("{} bytes are no STL; export the mesh again", bytes.len())
        } else if count <= limits.triangles {
            format!("{count} triangles are announced and {records} are there; the file is cut off, copy it again")
        } else {
            "this is neither text nor binary STL, or it is cut off; export the mesh again".into()
        };
        return Err(ObjectError::Format { path: path.to_owned(), place: "header".into(), what });
    };
    let triangles = (0..corners.len() as u32 / 3).map(|i| [3 * i, 3 * i + 1, 3 * i + 2]).collect();
    let mesh = RawMesh {
        positions: corners,
        groups: vec![RawGroup { triangles, ..RawGroup::default() }],
        ..RawMesh::default()
    };
    Ok(MeshFile { mesh, warnings, ..MeshFile::default() })
}

/// Whether the bytes begin like text that holds a facet, in any case.
fn is_text(bytes: &[u8]) -> bool {
    let start = decoded(&bytes[..bytes.len().min(LOOKED_AT)]);
    let is_plain = start.chars().all(|c| !c.is_control() || c.is_ascii_whitespace());
    let start = start.to_ascii_lowercase();
    is_plain && (start.trim_start().starts_with("solid") || start.contains("facet") || start.contains("vertex"))
}

fn check_count(path: &Path, triangles: usize, limits: &Limits) -> Result<()> {
    // Every triangle brings its own three corners.
    let limit = limits.triangles.min(limits.vertices);
    if triangles > limit {
        return Err(ObjectError::TooMany { path: path.to_owned(), what: "triangles", limit });
    }
    Ok(())
}

fn read_binary(path: &Path, records: &[u8], count: usize, limits: &Limits) -> Result<Vec<Vec3>> {
    check_count(path, count, limits)?;
    let mut corners = Vec::with_capacity(count * 3);
    for (i, record) in records.chunks_exact(RECORD).take(count).enumerate() {
        for corner in record[12..48].chunks_exact(12) {
            let value = |k: usize| f32::from_le_bytes([corner[k], corner[k + 1], corner[k + 2], corner[k + 3]]);
            let point = Vec3::new(value(0), value(4), value(8));
            if !point.is_finite() {
                return Err(ObjectError::NotFinite { path: path.to_owned(), place: format!("triangle {i}") });
            }
            corners.push(point);
        }
    }
    Ok(corners)
}

/// The words of STL text that matter here.
fn is_word(token: &str, word: &str) -> bool {
    token.eq_ignore_ascii_case(word)
}

fn read_text(path: &Path, bytes: &[u8], limits: &Limits, warnings: &mut Vec<String>) -> Result<Vec<Vec3>> {
    let text = decoded(bytes);
    let mut corners: Vec<Vec3> = Vec::new();
    let mut outline: Vec<Vec3> = Vec::new();
    let mut line_number = 0;
    let (mut begun, mut ended) = (0, 0);
    for line in lines(&text) {
        line_number += 1;
        let syntax = |what: String| ObjectError::Syntax { path: path.to_owned(), line: line_number, column: 1, what };
        let mut tokens = line.split_ascii_whitespace();
        while let Some(token) = tokens.next() {
            begun += usize::from(is_word(token, "solid"));
            ended += usize::from(is_word(token, "endsolid"));
            // Names and comments run to the end of the line.
            if is_word(token, "solid") || is_word(token, "endsolid") || token.starts_with(['#', ';']) {
                break;
            }
            if is_word(token, "endloop") || is_word(token, "endfacet") {
                close(&mut outline, &mut corners);
            } else if is_word(token, "vertex") {
                let mut values = [0.0_f32; 3];
                for value in &mut values {
                    let token = tokens.next().ok_or_else(|| syntax("a vertex needs three coordinates".into()))?;
                    let number = token.parse::<f32>();
                    *value = number.map_err(|_| syntax(format!("'{}' is not a number", shortened(token))))?;
                }
                let point = Vec3::from_array(values);
                if !point.is_finite() {
                    return Err(ObjectError::NotFinite { path: path.to_owned(), place: format!("line {line_number}") });
                }
                outline.push(point);
                check_count(path, (corners.len() + outline.len()) / 3, limits)?;
            }
        }
    }
    // Without the words that end a facet, every three vertices are one.
    if !outline.len().is_multiple_of(3) {
        let what = "the last facet has no end; the file is cut off, copy or export it again".into();
        return Err(ObjectError::Syntax { path: path.to_owned(), line: line_number, column: 1, what });
    }
    corners.extend(outline);
    if ended < begun {
        warnings.push("its last solid has no endsolid: if the file is cut off, copy or export it again".into());
    }
    Ok(corners)
}

/// Ends a facet; some writers put polygons into one.
fn close(outline: &mut Vec<Vec3>, corners: &mut Vec<Vec3>) {
    corners.extend(triangulated(outline).into_iter().flatten().map(|i| outline[i]));
    outline.clear();
}
