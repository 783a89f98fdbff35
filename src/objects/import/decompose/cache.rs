//! Decompositions that were already made. In: a surface. Out: its parts, computed once however many files hold the same
//! mesh in the same size.

use super::Clouds;
use super::surface::Surface;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError};

/// Surfaces that are remembered; a part's cloud takes a few kilobytes.
const REMEMBERED: usize = 1024;

type Key = (u64, u64, usize, usize);
type Entries = HashMap<Key, Arc<OnceLock<Arc<Clouds>>>>;

static ENTRIES: LazyLock<Mutex<Entries>> = LazyLock::new(Mutex::default);

/// The parts of `surface` in at most `limit` pieces, by `compute` where they are not known yet.
pub(super) fn decomposed(surface: &Surface, limit: usize, compute: impl FnOnce() -> Clouds) -> Arc<Clouds> {
    let digest = |salt: u64| {
        let mut hasher = DefaultHasher::new();
        (salt, limit).hash(&mut hasher);
        surface.points.iter().for_each(|point| point.to_array().map(f64::to_bits).hash(&mut hasher));
        surface.triangles.hash(&mut hasher);
        hasher.finish()
    };
    let key = (digest(0), digest(1), surface.points.len(), surface.triangles.len());
    let entry = {
        let mut entries = ENTRIES.lock().unwrap_or_else(PoisonError::into_inner);
        // Dropping all keeps the bound simple; whoever holds an entry keeps it.
        if entries.len() >= REMEMBERED && !entries.contains_key(&key) {
            entries.clear();
        }
        Arc::clone(entries.entry(key).or_default())
    };
    Arc::clone(entry.get_or_init(|| Arc::new(compute())))
}
