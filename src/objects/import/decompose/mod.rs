//! Convex parts of a mesh. In: groups of triangles. Out: one part for every convex solid, and a decomposition of the
//! others by cutting planes; surfaces that enclose nothing go to V-HACD (Mamou and Ghorbel, 2009; parry's
//! implementation).

mod cache;
mod candidates;
mod convexity;
mod cut;
mod merge;
mod search;
mod solids;
mod surface;

use super::mesh::RawMesh;
use crate::objects::geometry::Polyhedron;
use crate::objects::model::ConvexPart;
use bevy_rapier3d::parry::transformation::vhacd::{VHACD, VHACDParameters};
use glam::Vec3;
use solids::Solids;
use surface::Surface;

/// Parts of one object. Contacts take time with every part.
pub(super) const MAX_PARTS: usize = 128;
/// Parts that the solids of one mesh are cut into together.
const CUT_PARTS: usize = 64;
/// Parts that each of many solids may be cut into.
const FEWEST_CUT_PARTS: usize = 8;
/// Share of a solid's volume by which its parts may differ without a note.
const VOLUME_NOTE: f64 = 0.1;
/// Walls of a surface without thickness: this, or [`SHEET_SHARE`] of the diagonal if that is less.
const SHEET_M: f64 = 0.002;
const SHEET_SHARE: f64 = 0.02;
/// Openings that are taken for cracks, as a share of the area.
const CRACK_AREA: f64 = 0.01;

/// The parts, in the order of the solids. `warnings` lists what was assumed or cannot be used.
pub(super) fn convex_parts(mesh: &RawMesh, warnings: &mut Vec<String>) -> Vec<ConvexPart> {
    let Solids { solids, notes } = solids::solids(mesh);
    warnings.extend(notes);
    let hulls: Vec<Option<Polyhedron>> = solids.iter().map(|solid| Polyhedron::hull(&solid.surface.cloud())).collect();
    let convex: Vec<bool> = solids
        .iter()
        .zip(&hulls)
        .map(|(solid, hull)| hull.as_ref().is_some_and(|hull| convexity::is_convex(hull, &solid.surface)))
        .collect();
    let hollow = convex.iter().filter(|convex| !**convex).count().max(1);
    let limit = (CUT_PARTS / hollow).max(FEWEST_CUT_PARTS);
    let mut parts = Vec::new();
    for ((solid, hull), convex) in solids.iter().zip(hulls).zip(convex) {
        let label = &solid.label;
        if hull.is_none() {
            warnings.push(format!("{label} is flat or has no volume; it is drawn but not collided with"));
        } else if convex {
            parts.extend(ConvexPart::from_points(&solid.surface.cloud()));
        } else {
            let clouds = cache::decomposed(&solid.surface, limit, || clouds(&solid.surface, limit));
            warnings.extend(clouds.notes.iter().map(|note| format!("{label} {note}")));
            parts.extend(clouds.clouds.iter().filter_map(|cloud| ConvexPart::from_points(cloud)));
        }
    }
    parts
}

/// At most `limit` of the parts: neighbours are merged.
pub(super) fn at_most(parts: Vec<ConvexPart>, limit: usize) -> Vec<ConvexPart> {
    if parts.len() <= limit {
        return parts;
    }
    let hulls: Vec<Polyhedron> = parts.iter().filter_map(Polyhedron::of_part).collect();
    let total = hulls.iter().map(Polyhedron::volume).sum();
    let size = hulls.iter().map(Polyhedron::bounds).fold(0.0_f64, |size, (low, high)| size.max(low.distance(high)));
    let merged = merge::merge(hulls.iter().map(merge::Part::solid).collect(), limit, total, 1e-5 * size);
    merged.iter().filter_map(|part| ConvexPart::from_points(&part.cloud)).collect()
}

/// Points whose hulls are the parts of one solid, and remarks that follow its name.
#[derive(Debug, Default)]
struct Clouds {
    clouds: Vec<Vec<Vec3>>,
    notes: Vec<String>,
}

/// The parts of a surface that is not convex.
fn clouds(surface: &Surface, limit: usize) -> Clouds {
    let mut notes = Vec::new();
    if let Some(closed) = closed(surface, &mut notes) {
        // parry asserts inside its hulls: a user's odd mesh must not end the program.
        let run = || search::decompose(&closed, limit);
        let clouds = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).unwrap_or_default();
        // One part means that no plane helped, as in a surface that crosses itself.
        if clouds.len() > 1 {
            let (parts, own) = (clouds.iter().map(|cloud| cut::hull_volume(cloud)).sum::<f64>(), closed.volume());
            let off = parts / own - 1.0;
            if off.abs() > VOLUME_NOTE {
                let more = if off > 0.0 { "more" } else { "less" };
                let percent = (off.abs() * 100.0).round();
                notes.push(format!("is cut into {} convex parts, {percent}% {more} than its volume", clouds.len()));
            }
            return Clouds { clouds, notes };
        }
    }
    match vhacd(&surface.cloud(), &surface.triangles) {
        Some(clouds) => Clouds { clouds, notes },
        None => {
            notes.push("could not be decomposed; its convex hull is used".into());
            Clouds { clouds: vec![surface.cloud()], notes }
        }
    }
}

/// A closed surface for `surface`: itself, without its cracks, or with walls where it is a sheet. `None` where its
/// triangles do not say which side is out.
fn closed(surface: &Surface, notes: &mut Vec<String>) -> Option<Surface> {
    let mut closed = surface.clone();
    let encloses = |surface: &Surface| surface.volume().abs() > 1e-4 * surface.area() * surface.diagonal();
    if surface.closed {
        if !encloses(surface) {
            return None;
        }
    } else {
        let openings = surface.boundary_loops();
        let open: f64 = openings.iter().map(|edges| surface.twice_loop_area(edges).length() / 2.0).sum();
        let healed = (open <= CRACK_AREA * surface.area()).then(|| surface.clone().with_holes_closed());
        if let Some(healed) = healed.filter(|healed| healed.closed && encloses(healed)) {
            notes.push("has cracks; they are closed".into());
            closed = healed;
        } else if surface.is_orientable_manifold() {
            let thickness = SHEET_M.min(SHEET_SHARE * surface.diagonal());
            notes.push(format!(
                "is an open surface ({:.1} cm^2 of openings); its walls are taken to be {:.1} mm thick",
                open * 1e4,
                thickness * 1e3
            ));
            closed = surface.thickened(thickness);
            if !closed.closed {
                return None;
            }
        } else {
            return None;
        }
    }
    if closed.volume() < 0.0 {
        closed.flip();
    }
    Some(closed)
}

/// V-HACD on voxels, for surfaces that enclose no volume.
fn vhacd(cloud: &[Vec3], triangles: &[[u32; 3]]) -> Option<Vec<Vec<Vec3>>> {
    let parameters = VHACDParameters { resolution: 64, max_convex_hulls: 32, ..VHACDParameters::default() };
    // parry asserts inside: a user's odd mesh must not end the program.
    let run = || {
        let found = VHACD::decompose(&parameters, cloud, triangles, true);
        let exact = found.compute_exact_convex_hulls(cloud, triangles);
        let solid: Vec<Vec<Vec3>> =
            exact.into_iter().map(|(points, _)| points).filter(|points| Polyhedron::hull(points).is_some()).collect();
        // Flat sheets have flat exact hulls; their voxels have a thickness.
        match solid.is_empty() {
            true => found.compute_convex_hulls(1).into_iter().map(|(points, _)| points).collect(),
            false => solid,
        }
    };
    let clouds: Vec<Vec<Vec3>> = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).ok()?;
    (!clouds.is_empty()).then_some(clouds)
}

#[cfg(test)]
mod tests;
