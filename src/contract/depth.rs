//! Depth images as cameras measure them, and what stands where they measured nothing.

/// A depth image, metres row by row in rows of `width`, without its holes: pixels that are not finite or below `least_m` (a
/// depth camera measures nothing nearer, and holes are 0) get the farther of the nearest measurements on both sides in their
/// row. Beside an object that is what it stands on. 0 where nothing is measured in the row.
pub fn fill_holes(depth_m: &[f32], width: usize, least_m: f32) -> Vec<f32> {
    let is_measured = |depth: f32| depth.is_finite() && depth > 0.0 && depth >= least_m;
    let mut filled: Vec<f32> = depth_m.iter().map(|&depth| if is_measured(depth) { depth } else { 0.0 }).collect();
    for row in filled.chunks_mut(width.max(1)) {
        let mut after = vec![0.0_f32; row.len()];
        let mut next = 0.0;
        for (after, &depth) in after.iter_mut().zip(row.iter()).rev() {
            next = if depth > 0.0 { depth } else { next };
            *after = next;
        }
        let mut before = 0.0_f32;
        for (depth, after) in row.iter_mut().zip(after) {
            if *depth > 0.0 {
                before = *depth;
            } else {
                *depth = before.max(after);
            }
        }
    }
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_become_what_is_behind_them() {
        let depth = [
            [0.12, f32::NAN, 0.6, 0.0, 0.5, 0.0, 0.5, f32::INFINITY, 0.7, 0.0],
            [0.0, 0.1, 0.0, -1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        ];
        let filled = fill_holes(depth.as_flattened(), 10, 0.2);
        assert_eq!(filled[..10], [0.6, 0.6, 0.6, 0.6, 0.5, 0.5, 0.5, 0.7, 0.7, 0.7]);
        assert_eq!(filled[10..], [0.0; 10]);
        // Without a least depth 0.12 m is a measurement.
        assert_eq!(fill_holes(depth.as_flattened(), 10, 0.0)[..3], [0.12, 0.6, 0.6]);
        assert!(fill_holes(&[], 0, 0.2).is_empty());
    }
}
