//! Approximate convex decomposition by cutting planes, as in CoACD (Wei et al., 2022), with exact volumes. In: a closed
//! surface. Out: clouds whose hulls together hold little more than the solid.
//!
//! The piece whose hull adds the most volume is cut first, along the plane of few candidates that leaves the smallest
//! hulls, resolves the most folds and divides most evenly; at the end neighbours that make a good hull together are
//! merged.

use super::candidates::{ReflexEdge, candidates, reflex_edges};
use super::convexity::hides_nothing;
use super::cut::{Piece, Solid, hull_volume};
use super::merge::{Part, merge};
use super::surface::Surface;
use crate::objects::geometry::{Plane, Polyhedron};
use glam::Vec3;

/// Volume that all hulls may add, as a share of the solid's.
const TOTAL_EXCESS: f64 = 0.03;
/// Volume that one hull may add to its piece, as a share of the piece's.
pub(super) const OWN_EXCESS: f64 = 0.05;
/// Points that a plane is judged by.
const JUDGED_POINTS: usize = 1500;

/// Clouds of at most `limit` convex parts.
pub(super) fn decompose(surface: &Surface, limit: usize) -> Vec<Vec<Vec3>> {
    let solid = Solid::new(surface);
    let edges = reflex_edges(&solid);
    // (piece, whether it can be cut further)
    let mut pieces = vec![(solid.whole(), true)];
    // Merging takes some pieces back, so that more may be cut than are kept.
    let most = limit + limit / 2;
    while pieces.len() < most {
        let excess: f64 = pieces.iter().map(|(piece, _)| piece.excess()).sum();
        let worst = pieces.iter().enumerate().filter(|(_, (_, open))| *open);
        let worst = worst.max_by(|a, b| a.1.0.excess().total_cmp(&b.1.0.excess())).map(|(index, _)| index);
        let Some(worst) = worst.filter(|_| pieces.len() == 1 || excess > TOTAL_EXCESS * solid.volume) else { break };
        let piece = &pieces[worst].0;
        if pieces.len() > 1 && is_good(piece, &solid) {
            pieces[worst].1 = false;
            continue;
        }
        let cut = best_plane(&solid, piece, &edges).map(|plane| solid.split(piece, plane));
        match cut {
            Some([Some(below), Some(above)]) => {
                pieces[worst] = (below, true);
                pieces.push((above, true));
            }
            _ => pieces[worst].1 = false,
        }
    }
    let parts = pieces.iter().map(|(piece, _)| Part::of(piece)).collect();
    merge(parts, limit, solid.volume, 8.0 * solid.epsilon).into_iter().map(|part| part.cloud).collect()
}

/// Whether the hull may stand for the piece: little volume is added, and no hollow is hidden.
fn is_good(piece: &Piece, solid: &Solid) -> bool {
    if piece.excess() > OWN_EXCESS * piece.volume {
        return false;
    }
    // A piece this small hides nothing that matters.
    if piece.excess() < 1e-3 * solid.volume {
        return true;
    }
    // Caps lie on the hull's cuts; only the real surface can hide a hollow.
    Polyhedron::hull(&piece.cloud()).is_none_or(|hull| hides_nothing(&hull, &piece.surface(), solid.surface.diagonal()))
}

/// The plane with the least cost; `None` where nothing is left to try.
fn best_plane(solid: &Solid, piece: &Piece, edges: &[ReflexEdge]) -> Option<Plane> {
    let triangles = &piece.real;
    let step = (triangles.len() * 3).div_ceil(JUDGED_POINTS).max(1);
    let judged: Vec<[glam::DVec3; 3]> = triangles.iter().step_by(step).copied().collect();
    let costs = candidates(solid, piece, edges).into_iter().filter_map(|candidate| {
        let plane = candidate.plane;
        let (mut below, mut above) = (Vec::new(), Vec::new());
        for triangle in &judged {
            let heights = triangle.map(|corner| plane.normal.dot(corner) - plane.offset);
            for i in 0..3 {
                let (from, to) = (i, (i + 1) % 3);
                let point = triangle[from].as_vec3();
                if heights[from] <= solid.epsilon {
                    below.push(point);
                }
                if heights[from] >= -solid.epsilon {
                    above.push(point);
                }
                if heights[from] * heights[to] < 0.0 && heights[from].abs().min(heights[to].abs()) > solid.epsilon {
                    let share = heights[from] / (heights[from] - heights[to]);
                    let crossing = (triangle[from] + (triangle[to] - triangle[from]) * share).as_vec3();
                    below.push(crossing);
                    above.push(crossing);
                }
            }
        }
        let (below, above) = (hull_volume(&below), hull_volume(&above));
        if below < 1e-5 * solid.volume || above < 1e-5 * solid.volume {
            return None;
        }
        let excess = (below + above - piece.volume) / piece.excess().max(1e-12);
        let imbalance = (below - above).abs() / (below + above);
        let askew = if candidate.along_face { 0.0 } else { 0.03 };
        Some((excess - 0.3 * candidate.resolved + 0.05 * imbalance + askew, plane))
    });
    costs.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, plane)| plane)
}
