//! Fewer parts out of many. In: convex parts. Out: the same solid in fewer hulls.

use super::cut::Piece;
use super::search::OWN_EXCESS;
use crate::objects::geometry::{Polyhedron, bounds};
use glam::{DVec3, Vec3};

/// A convex part to be.
pub(super) struct Part {
    pub cloud: Vec<Vec3>,
    /// Of the solid inside it.
    volume: f64,
    hull_volume: f64,
    low: DVec3,
    high: DVec3,
}

impl Part {
    pub fn of(piece: &Piece) -> Self {
        let (low, high) = bounds(&piece.real.iter().flatten().copied().collect::<Vec<_>>());
        Self { cloud: piece.cloud(), volume: piece.volume, hull_volume: piece.hull_volume, low, high }
    }

    /// A part that is all solid.
    pub fn solid(hull: &Polyhedron) -> Self {
        let (low, high) = hull.bounds();
        let cloud = hull.points.iter().map(|point| point.as_vec3()).collect();
        Self { cloud, volume: hull.volume(), hull_volume: hull.volume(), low, high }
    }

    fn excess(&self) -> f64 {
        (self.hull_volume - self.volume).max(0.0)
    }

    fn touches(&self, other: &Self, margin: f64) -> bool {
        (self.low - margin).cmple(other.high).all() && (other.low - margin).cmple(self.high).all()
    }

    fn with(&self, other: &Self) -> Self {
        let cloud: Vec<Vec3> = self.cloud.iter().chain(&other.cloud).copied().collect();
        // Only the hull's corners matter from here on.
        let (cloud, hull_volume) = match Polyhedron::hull(&cloud) {
            Some(hull) => (hull.points.iter().map(|point| point.as_vec3()).collect(), hull.volume()),
            None => (cloud, f64::INFINITY),
        };
        Self {
            cloud,
            volume: self.volume + other.volume,
            hull_volume,
            low: self.low.min(other.low),
            high: self.high.max(other.high),
        }
    }
}

/// Merges neighbours whose common hull adds next to nothing to `total` volume, and then those that add the least until
/// `limit` parts are left. Boxes within `margin` of each other count as neighbours.
pub(super) fn merge(mut parts: Vec<Part>, limit: usize, total: f64, margin: f64) -> Vec<Part> {
    let joined = |parts: &[Part], i: usize, j: usize| {
        parts[i].touches(&parts[j], margin).then(|| {
            let both = parts[i].with(&parts[j]);
            (i, j, both.excess() - parts[i].excess() - parts[j].excess())
        })
    };
    let mut costs: Vec<(usize, usize, f64)> = Vec::new();
    for j in 0..parts.len() {
        costs.extend((0..j).filter_map(|i| joined(&parts, i, j)));
    }
    let mut gone = vec![false; parts.len()];
    let mut left = parts.len();
    loop {
        let best = (0..costs.len()).min_by(|&a, &b| costs[a].2.total_cmp(&costs[b].2));
        let (i, j) = match best {
            Some(best) => {
                let (i, j, cost) = costs[best];
                let own = parts[i].volume + parts[j].volume;
                let excess = cost + parts[i].excess() + parts[j].excess();
                if left <= limit && !(cost <= 5e-4 * total && excess <= OWN_EXCESS * own) {
                    // The cheapest pair may be spoiled by its own excess while another is harmless.
                    costs.swap_remove(best);
                    continue;
                }
                (i, j)
            }
            None if left > limit => match apart(&parts, &gone) {
                Some(pair) => pair,
                None => break,
            },
            None => break,
        };
        parts[i] = parts[i].with(&parts[j]);
        gone[j] = true;
        left -= 1;
        costs.retain(|&(a, b, _)| a != i && b != i && a != j && b != j);
        let others = (0..parts.len()).filter(|&k| k != i && !gone[k]);
        costs.extend(others.filter_map(|k| joined(&parts, i.min(k), i.max(k))));
    }
    parts.into_iter().zip(gone).filter(|(_, gone)| !gone).map(|(part, _)| part).collect()
}

/// The smallest part and the one nearest to it, where no parts touch.
fn apart(parts: &[Part], gone: &[bool]) -> Option<(usize, usize)> {
    let there = || (0..parts.len()).filter(|&k| !gone[k]);
    let smallest = there().min_by(|&a, &b| parts[a].hull_volume.total_cmp(&parts[b].hull_volume))?;
    let center = |k: usize| (parts[k].low + parts[k].high) / 2.0;
    let distance = |k: usize| center(k).distance_squared(center(smallest));
    let nearest = there().filter(|&k| k != smallest).min_by(|&a, &b| distance(a).total_cmp(&distance(b)))?;
    Some((smallest.min(nearest), smallest.max(nearest)))
}
