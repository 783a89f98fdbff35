//! From what a file says to an object. In: pieces in the file's units. Out: an [`Imported`] object in metres, decomposed
//! and weighed.

use super::coloring::{COARSE, Detail, FINE, colored_surface, is_colored};
use super::texture::linear_color;
use super::{
    Drawn, ImportOptions, Imported, Limits, ObjectError, Piece, RawMass, RawMesh, RawObject, Result, decompose,
};
use crate::contract::MeshData;
use crate::objects::grasp::Jaws;
use crate::objects::mass::Inertia;
use crate::objects::model::{ConvexPart, Mass, ObjectModel, Physics};
use glam::Vec3;
use std::path::Path;
use std::sync::Arc;

/// Of what a file with colours leaves without one, sRGB.
const UNPAINTED: [u8; 3] = [200; 3];

/// Scales, checks the size, decomposes, weighs.
pub(super) fn finish(path: &Path, name: &str, raw: RawObject, options: &ImportOptions) -> Result<Imported> {
    let scale = options.scale;
    if !(scale > 0.0 && scale.is_finite()) {
        return Err(ObjectError::OutOfRange { name: name.to_owned(), what: "scale", range: "above 0", value: scale });
    }
    let collision: Vec<Piece> = raw.collision.iter().map(|piece| scaled(piece, scale)).collect();
    check_size(path, &collision, &options.limits)?;
    let mut warnings = raw.warnings;
    let mut parts = Vec::new();
    for piece in &collision {
        match piece {
            Piece::Part(part) => parts.push(part.clone()),
            Piece::Mesh(mesh) => parts.extend(decompose::convex_parts(mesh, &mut warnings)),
        }
    }
    let count = parts.len();
    let parts = decompose::at_most(parts, decompose::MAX_PARTS);
    if parts.len() < count {
        warnings.push(format!(
            "its {count} convex parts are merged to {}; more would slow down every contact",
            parts.len()
        ));
    }
    let visual = raw.visual.iter().map(|drawn| Drawn { piece: scaled(&drawn.piece, scale), ..*drawn });
    let visual: Vec<Drawn> = visual.collect();
    let colored = differ_in_color(&visual);
    let mesh = if colored {
        let [mut drawn, fine] =
            [COARSE, FINE].map(|detail| colored_pieces(&visual, raw.color.unwrap_or(UNPAINTED), &detail));
        drawn.detailed = (fine.indices.len() > drawn.indices.len()).then(|| Arc::new(fine));
        Some(drawn)
    } else if raw.same {
        (!are_the_boxes(&parts, &collision)).then(|| surface(collision.iter()))
    } else {
        Some(surface(visual.iter().map(|drawn| &drawn.piece)))
    };
    let mass = match raw.mass {
        None => {
            warnings.push(format!("no mass is given; {} kg/m^3 is assumed", options.density));
            Mass::Density(options.density)
        }
        Some(RawMass { mass_kg, center: None, .. }) => Mass::Total(mass_kg),
        Some(RawMass { mass_kg, center: Some(center), .. }) => {
            let center = center * scale;
            if inside_bounds(&parts, center) {
                Mass::Given { mass_kg, center, inertia: None }
            } else {
                warnings.push(format!("the centre of mass {center} m lies outside the object; it is computed instead"));
                Mass::Total(mass_kg)
            }
        }
    };
    let physics = Physics {
        mass,
        friction: raw.friction.unwrap_or(options.friction),
        restitution: raw.restitution.unwrap_or(options.restitution),
        color: raw.color,
    };
    let mut model = ObjectModel::new(name, parts, mesh, physics).map_err(|error| named(error, path))?;
    model.paint = if colored { Some([255; 3]) } else { model.color };
    if let Some(given) = raw.mass.and_then(|mass| mass.inertia) {
        let given = Inertia { principal_kg_m2: given.principal_kg_m2 * scale * scale, ..given };
        if is_plausible(&given, &model.inertia) {
            model.inertia = given;
        } else {
            warnings.push("the inertia in the file cannot be this object's; it is computed from the shape".into());
        }
    }
    let width = model.grasp_width();
    let opening = Jaws::default().max_opening_m;
    if width > opening {
        warnings.push(format!("{width:.3} m at its narrowest is more than the {opening} m that the jaws open"));
    }
    Ok(Imported { path: path.to_owned(), model, warnings })
}

/// Puts the file's name in front of what is wrong with the object made from it.
fn named(error: ObjectError, path: &Path) -> ObjectError {
    match error {
        ObjectError::Degenerate { what, .. } => ObjectError::Degenerate { name: path.display().to_string(), what },
        ObjectError::OutOfRange { what, range, value, .. } => {
            ObjectError::OutOfRange { name: path.display().to_string(), what, range, value }
        }
        other => other,
    }
}

fn scaled(piece: &Piece, scale: f32) -> Piece {
    match piece {
        Piece::Part(ConvexPart::Box { half_extents, body_from_part }) => {
            let mut pose = *body_from_part;
            pose.translation *= scale;
            Piece::Part(ConvexPart::Box { half_extents: *half_extents * scale, body_from_part: pose })
        }
        Piece::Part(ConvexPart::Hull { points }) => {
            Piece::Part(ConvexPart::Hull { points: points.iter().map(|point| *point * scale).collect() })
        }
        Piece::Mesh(mesh) if scale == 1.0 => Piece::Mesh(std::sync::Arc::clone(mesh)),
        Piece::Mesh(mesh) => Piece::Mesh(std::sync::Arc::new(mesh.mapped(|point| point * scale))),
    }
}

fn piece_points(piece: &Piece) -> Vec<Vec3> {
    match piece {
        Piece::Part(part) => part.corners(),
        Piece::Mesh(mesh) => mesh.used_points(),
    }
}

fn bounds_of(points: impl Iterator<Item = Vec3>) -> (Vec3, Vec3) {
    points.fold((Vec3::INFINITY, Vec3::NEG_INFINITY), |(low, high), point| (low.min(point), high.max(point)))
}

fn check_size(path: &Path, pieces: &[Piece], limits: &Limits) -> Result<()> {
    let (low, high) = bounds_of(pieces.iter().flat_map(piece_points));
    let (largest_m, path) = ((high - low).max_element(), path.to_owned());
    if !largest_m.is_finite() {
        return Err(ObjectError::NotFinite { path, place: "whole object".into() });
    }
    if largest_m > limits.largest_m {
        return Err(ObjectError::TooBig { path, largest_m, limit_m: limits.largest_m });
    }
    if largest_m < limits.smallest_m {
        return Err(ObjectError::TooSmall { path, largest_m, limit_m: limits.smallest_m });
    }
    Ok(())
}

/// Whether the boxes can be drawn in place of the pieces: every part is one, and nothing else has an area.
fn are_the_boxes(parts: &[ConvexPart], pieces: &[Piece]) -> bool {
    let mut boxes = 0.0;
    for part in parts {
        let ConvexPart::Box { half_extents: Vec3 { x, y, z }, .. } = part else { return false };
        boxes += f64::from(8.0 * (x * y + y * z + z * x));
    }
    let drawn: f64 = pieces
        .iter()
        .map(|piece| match piece {
            Piece::Part(ConvexPart::Box { half_extents: Vec3 { x, y, z }, .. }) => {
                f64::from(8.0 * (x * y + y * z + z * x))
            }
            Piece::Part(ConvexPart::Hull { .. }) => f64::INFINITY,
            Piece::Mesh(mesh) => mesh.area(),
        })
        .sum();
    (drawn / boxes - 1.0).abs() < 0.005
}

fn inside_bounds(parts: &[ConvexPart], center: Vec3) -> bool {
    let (low, high) = bounds_of(parts.iter().flat_map(ConvexPart::corners));
    center.is_finite() && center.cmpge(low).all() && center.cmple(high).all()
}

/// Whether a file's inertia can belong to the shape: a rigid body's, and neither a tenth nor five times that of the
/// shape filled evenly (placeholders such as PyBullet's (1, 1, 0) are far off).
fn is_plausible(given: &Inertia, uniform: &Inertia) -> bool {
    let ratio = given.principal_kg_m2.element_sum() / uniform.principal_kg_m2.element_sum();
    given.is_physical() && (0.1..=5.0).contains(&ratio)
}

/// The drawable surface of some pieces.
fn surface<'a>(pieces: impl Iterator<Item = &'a Piece>) -> MeshData {
    let mut whole = MeshData::default();
    for piece in pieces {
        match piece {
            Piece::Mesh(mesh) => whole.append(mesh.surface()),
            Piece::Part(part) => {
                if let Some(mesh) = mesh_of(part) {
                    whole.append(mesh.surface());
                }
            }
        }
    }
    whole
}

fn mesh_of(part: &ConvexPart) -> Option<RawMesh> {
    Some(RawMesh::of_polyhedron(&crate::objects::geometry::Polyhedron::of_part(part)?))
}

/// Whether one colour is not enough for all of it.
fn differ_in_color(drawn: &[Drawn]) -> bool {
    let own = |drawn: &Drawn| match &drawn.piece {
        Piece::Mesh(mesh) => mesh.color.or(drawn.color),
        Piece::Part(_) => drawn.color,
    };
    drawn.windows(2).any(|pair| own(&pair[0]) != own(&pair[1]))
        || drawn.iter().any(|drawn| matches!(&drawn.piece, Piece::Mesh(mesh) if is_colored(mesh)))
}

/// The drawable surface with a colour at every vertex; `unpainted` where nothing says one.
fn colored_pieces(drawn: &[Drawn], unpainted: [u8; 3], detail: &Detail) -> MeshData {
    let mut whole = MeshData::default();
    for Drawn { piece, color } in drawn {
        match piece {
            Piece::Mesh(mesh) => {
                whole.append(colored_surface(mesh, linear_color(color.or(mesh.color).unwrap_or(unpainted)), detail));
            }
            Piece::Part(part) => {
                if let Some(mesh) = mesh_of(part) {
                    whole.append(colored_surface(&mesh, linear_color(color.unwrap_or(unpainted)), detail));
                }
            }
        }
    }
    whole
}
