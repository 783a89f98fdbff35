//! Do two images of a pair lie on each other? Measured where the ids change: there the colours (or depths) must change
//! too, and more than one or two pixels beside it.

use serde::Serialize;

/// Largest offset looked at, pixels.
const REACH: i32 = 2;
const SIDE: usize = 2 * REACH as usize + 1;
/// Fewer edges than this say nothing.
const ENOUGH: u64 = 200;
/// How much better an offset must fit before it is believed.
const MARGIN: f64 = 1.1;

/// Pixels to the right and down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Shift {
    /// Pixels to the right, from -2 to 2.
    pub dx: i32,
    /// Pixels down, from -2 to 2.
    pub dy: i32,
}

/// Sums of an image's contrast over the edges of the ids, for each offset.
#[derive(Clone, Debug, Default)]
pub struct AlignmentSums {
    contrast: [u64; SIDE * SIDE],
    count: [u64; SIDE * SIDE],
}

impl AlignmentSums {
    /// `ids(i)` are compared between neighbours; `contrast(i, j)` is how much pixels i and j differ.
    pub fn add_image<I: PartialEq>(
        &mut self,
        (width, height): (usize, usize),
        ids: impl Fn(usize) -> I,
        contrast: impl Fn(usize, usize) -> u32,
    ) {
        for (step_x, step_y) in [(1, 0), (0, 1)] {
            let step = step_y * width + step_x;
            let (w, h) = ((width - step_x) as i32, (height - step_y) as i32);
            for y in 0..h {
                for x in 0..w {
                    let at = y as usize * width + x as usize;
                    if ids(at) == ids(at + step) {
                        continue;
                    }
                    for slot in 0..SIDE * SIDE {
                        let Shift { dx, dy } = shift_of(slot);
                        let (sx, sy) = (x + dx, y + dy);
                        if (0..w).contains(&sx) && (0..h).contains(&sy) {
                            let there = sy as usize * width + sx as usize;
                            self.contrast[slot] += u64::from(contrast(there, there + step));
                            self.count[slot] += 1;
                        }
                    }
                }
            }
        }
    }

    pub fn add(&mut self, other: &Self) {
        for slot in 0..SIDE * SIDE {
            self.contrast[slot] += other.contrast[slot];
            self.count[slot] += other.count[slot];
        }
    }

    /// The offset at which the edges fit best; (0, 0) unless another one is clearly better, `None` with too few edges.
    pub fn best(&self) -> Option<Shift> {
        let mean = |slot: usize| self.contrast[slot] as f64 / self.count[slot].max(1) as f64;
        let center = SIDE * SIDE / 2;
        if self.count[center] < ENOUGH {
            return None;
        }
        let best = (0..SIDE * SIDE).max_by(|&a, &b| mean(a).total_cmp(&mean(b)))?;
        Some(if mean(best) > MARGIN * mean(center) { shift_of(best) } else { Shift::default() })
    }
}

fn shift_of(slot: usize) -> Shift {
    Shift { dx: (slot % SIDE) as i32 - REACH, dy: (slot / SIDE) as i32 - REACH }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Seed;
    use crate::data::testing;

    #[test]
    fn a_shifted_image_is_measured() {
        let (w, h) = (64, 64);
        let frames = testing::frames(Seed(2), 0, 4, (w, h));
        for (dx, dy) in [(0, 0), (1, 0), (0, -2), (-1, 1)] {
            let mut sums = AlignmentSums::default();
            for i in 0..4 {
                let (ids, image) = (frames.segmentation_image(i), frames.canonical_image(i));
                // The image moved by (dx, dy), its border repeated.
                let moved = |at: usize| {
                    let x = ((at % w) as i32 - dx).clamp(0, w as i32 - 1) as usize;
                    let y = ((at / w) as i32 - dy).clamp(0, h as i32 - 1) as usize;
                    (y * w + x) * 3
                };
                let contrast = |a: usize, b: usize| {
                    (0..3).map(|c| u32::from(image[moved(a) + c].abs_diff(image[moved(b) + c]))).sum()
                };
                sums.add_image((w, h), |at| ids[at], contrast);
            }
            assert_eq!(sums.best(), Some(Shift { dx, dy }));
        }
        assert_eq!(AlignmentSums::default().best(), None);
    }
}
