//! STL, binary and text. In: bytes. Out: one group of triangles.

use super::obj::shortened;
use super::{Limits, ObjectError, RawGroup, RawMesh, Result, read_capped};
use glam::Vec3;
use std::path::Path;

const HEADER: usize = 84;
const RECORD: usize = 50;

pub(super) fn read(path: &Path, limits: &Limits) -> Result<RawMesh> {
    let bytes = read_capped(path, limits.file_bytes)?;
    let count = bytes.get(80..HEADER).and_then(|four| four.try_into().ok()).map(u32::from_le_bytes);
    // Text files start with "solid", but so do some binary headers: the length decides.
    let binary = count.filter(|&count| (count as usize).saturating_mul(RECORD) + HEADER == bytes.len());
    let corners = match binary {
        Some(count) => read_binary(path, &bytes[HEADER..], count as usize, limits)?,
        None if bytes.trim_ascii_start().starts_with(b"solid") => read_text(path, &bytes, limits)?,
        None => {
            return Err(ObjectError::Format {
                path: path.to_owned(),
                place: "header".into(),
                what: format!(
                    "a binary STL of {} triangles has {} bytes, this one has {}; it is cut off or no STL",
                    count.unwrap_or(0),
                    (count.unwrap_or(0) as usize).saturating_mul(RECORD).saturating_add(HEADER),
                    bytes.len()
                ),
            });
        }
    };
    let triangles = (0..corners.len() as u32 / 3).map(|i| [3 * i, 3 * i + 1, 3 * i + 2]).collect();
    Ok(RawMesh { positions: corners, groups: vec![RawGroup { name: String::new(), triangles }], color: None })
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
    for (i, record) in records.chunks_exact(RECORD).enumerate() {
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

fn read_text(path: &Path, bytes: &[u8], limits: &Limits) -> Result<Vec<Vec3>> {
    let text = String::from_utf8_lossy(bytes);
    let mut corners: Vec<Vec3> = Vec::new();
    let mut line_number = 0;
    for line in text.lines() {
        line_number += 1;
        let Some(rest) = line.trim_start().strip_prefix("vertex") else { continue };
        let syntax = |what: String| ObjectError::Syntax { path: path.to_owned(), line: line_number, column: 1, what };
        let values = rest
            .split_ascii_whitespace()
            .map(|token| token.parse::<f32>().map_err(|_| syntax(format!("'{}' is not a number", shortened(token)))))
            .collect::<Result<Vec<f32>>>()?;
        let [x, y, z] = values[..] else { return Err(syntax("a vertex needs three coordinates".into())) };
        let point = Vec3::new(x, y, z);
        if !point.is_finite() {
            return Err(ObjectError::NotFinite { path: path.to_owned(), place: format!("line {line_number}") });
        }
        corners.push(point);
        check_count(path, corners.len() / 3, limits)?;
    }
    if !corners.len().is_multiple_of(3) {
        let what = format!("{} vertices are no whole number of triangles; the file is cut off", corners.len());
        return Err(ObjectError::Syntax { path: path.to_owned(), line: line_number, column: 1, what });
    }
    Ok(corners)
}
