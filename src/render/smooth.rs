//! Morphological smoothing of edges (after Reshetov, "Morphological antialiasing", 2009) for adapters on which
//! multisampling costs more than the picture itself.
//!
//! Edges are not guessed from colours: the identity target tells where one face of one part ends and another begins.
//! All colour pictures are blended with the same weights, so that they agree on every silhouette.

/// Longest straight run of an edge that is followed, in pixels.
const LONGEST_RUN: usize = 32;

/// One tile's pixels: `width * height` face numbers, and RGB pictures to smooth in place.
pub struct Tile<'a> {
    pub width: usize,
    pub height: usize,
    /// Equal numbers belong to one face; neighbours with different numbers have an edge between them.
    pub faces: &'a [u16],
    pub pictures: Vec<&'a mut [u8]>,
}

/// How much of a pixel shows its four neighbours.
#[derive(Clone, Copy, Default)]
struct Blend {
    up: f32,
    down: f32,
    left: f32,
    right: f32,
}

/// Blends every edge pixel with what lies across the edge, by the share of the pixel that the edge's line leaves to it.
pub fn smooth(tile: &mut Tile<'_>) {
    let (width, height) = (tile.width, tile.height);
    let mut blends: Vec<(u32, Blend)> = Vec::new();
    let mut index = vec![u32::MAX; width * height];
    let mut add = |at: usize, side: Side, share: f32| {
        if index[at] == u32::MAX {
            index[at] = blends.len() as u32;
            blends.push((at as u32, Blend::default()));
        }
        let blend = &mut blends[index[at] as usize].1;
        let slot = match side {
            Side::Up => &mut blend.up,
            Side::Down => &mut blend.down,
            Side::Left => &mut blend.left,
            Side::Right => &mut blend.right,
        };
        *slot = slot.max(share);
    };
    // Borders between rows: pixels above blend downwards, pixels below upwards.
    for y in 0..height.saturating_sub(1) {
        let (first, second) = tile.faces[y * width..(y + 2) * width].split_at(width);
        Lines { first, second }.runs(|x, before, share| {
            let side = if before { Side::Down } else { Side::Up };
            add((y + usize::from(!before)) * width + x, side, share);
        });
    }
    // Borders between columns are borders between the rows of the transposed tile.
    let columns = transposed(tile.faces, width, height);
    for x in 0..width.saturating_sub(1) {
        let (first, second) = columns[x * height..(x + 2) * height].split_at(height);
        Lines { first, second }.runs(|y, before, share| {
            let side = if before { Side::Right } else { Side::Left };
            add(y * width + x + usize::from(!before), side, share);
        });
    }
    for picture in &mut tile.pictures {
        // Blends read the picture as it was.
        let blended: Vec<[u8; 3]> =
            blends.iter().map(|&(at, blend)| mixed(picture, width, at as usize, blend)).collect();
        for ((at, _), rgb) in blends.iter().zip(blended) {
            let at = *at as usize * 3;
            picture[at..at + 3].copy_from_slice(&rgb);
        }
    }
}

#[derive(Clone, Copy)]
enum Side {
    Up,
    Down,
    Left,
    Right,
}

/// Blocks keep both sides of the copy in the nearest cache.
fn transposed(faces: &[u16], width: usize, height: usize) -> Vec<u16> {
    const BLOCK: usize = 32;
    let mut columns = vec![0; faces.len()];
    for top in (0..height).step_by(BLOCK) {
        for left in (0..width).step_by(BLOCK) {
            for y in top..(top + BLOCK).min(height) {
                for x in left..(left + BLOCK).min(width) {
                    columns[x * height + y] = faces[y * width + x];
                }
            }
        }
    }
    columns
}

/// Two neighbouring lines of pixels and the border between them.
struct Lines<'a> {
    first: &'a [u16],
    second: &'a [u16],
}

impl Lines<'_> {
    fn face(&self, i: usize, line: usize) -> u16 {
        if line == 0 { self.first[i] } else { self.second[i] }
    }

    /// Calls `emit(i, on the first line, share)` for every pixel that an edge along this border cuts.
    fn runs(&self, mut emit: impl FnMut(usize, bool, f32)) {
        const STRIDE: usize = 32;
        let count = self.first.len();
        let mut i = 0;
        while i < count {
            // Most of a border has no edge: whole stretches are compared at once.
            if i + STRIDE <= count && self.first[i..i + STRIDE] == self.second[i..i + STRIDE] {
                i += STRIDE;
                continue;
            }
            if self.face(i, 0) == self.face(i, 1) {
                i += 1;
                continue;
            }
            let start = i;
            // A run ends where the border ends or where either side changes its face.
            while i < count
                && self.face(i, 0) != self.face(i, 1)
                && i - start < LONGEST_RUN
                && self.face(i, 0) == self.face(start, 0)
                && self.face(i, 1) == self.face(start, 1)
            {
                i += 1;
            }
            let length = i - start;
            let first_end = self.crossing(start, true);
            let last_end = self.crossing(i - 1, false);
            self.ramp(start, length, first_end, false, &mut emit);
            self.ramp(start, length, last_end, true, &mut emit);
        }
    }

    /// Where the edge turns at the end of a run: `Some(true)` when it goes on along the first line's side, `Some(false)`
    /// along the second's. The line through the middle of that step is what the pixels should show.
    fn crossing(&self, i: usize, at_start: bool) -> Option<bool> {
        let next = if at_start { i.checked_sub(1)? } else { Some(i + 1).filter(|&n| n < self.first.len())? };
        // The first line's pixel beyond the end belongs to the second line's face: the edge has stepped to that side.
        let first = self.face(next, 0) == self.face(i, 1);
        let second = self.face(next, 1) == self.face(i, 0);
        (first != second).then_some(first)
    }

    /// Coverage falls from one half at the crossing to nothing in the middle of the run.
    fn ramp(
        &self,
        start: usize,
        length: usize,
        end: Option<bool>,
        from_last: bool,
        emit: &mut impl FnMut(usize, bool, f32),
    ) {
        let Some(on_first) = end else { return };
        let half = 0.5 * length as f32;
        for k in 0..length.div_ceil(2) {
            // Mean height of the line over this pixel, cut off where it meets the border.
            let (near, far) = (k as f32, (k as f32 + 1.0).min(half));
            if far <= near {
                break;
            }
            let height = |d: f32| 0.5 * (1.0 - d / half);
            let share = 0.5 * (height(near) + height(far)) * (far - near);
            emit(if from_last { start + length - 1 - k } else { start + k }, on_first, share);
        }
    }
}

fn mixed(picture: &[u8], width: usize, at: usize, blend: Blend) -> [u8; 3] {
    let Blend { up, down, left, right } = blend;
    let total = (up + down + left + right).max(1.0);
    let rest = 1.0 - (up + down + left + right) / total;
    let pixel = |i: usize| &picture[i * 3..i * 3 + 3];
    std::array::from_fn(|c| {
        let mut sum = f32::from(pixel(at)[c]) * rest;
        for (share, neighbour) in
            [(up, at.wrapping_sub(width)), (down, at + width), (left, at.wrapping_sub(1)), (right, at + 1)]
        {
            if share > 0.0 {
                sum += f32::from(pixel(neighbour)[c]) * share / total;
            }
        }
        (sum + 0.5) as u8
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Draws a half-plane by its pixel centres, smooths it, and compares with exact coverage.
    fn half_plane(slope: f32) -> (f32, f32) {
        let (width, height) = (64_usize, 64_usize);
        let line = |x: f32| 20.3 + slope * x;
        let faces: Vec<u16> =
            (0..width * height).map(|i| u16::from((i / width) as f32 + 0.5 > line((i % width) as f32 + 0.5))).collect();
        let mut picture: Vec<u8> = faces.iter().flat_map(|&f| [if f == 1 { 200 } else { 0 }; 3]).collect();
        let mut other = picture.clone();
        let jagged = picture.clone();
        smooth(&mut Tile { width, height, faces: &faces, pictures: vec![&mut picture, &mut other] });
        assert_eq!(picture, other, "both pictures are blended alike");
        let exact = |i: usize| {
            let (x, y) = ((i % width) as f32, (i / width) as f32);
            let samples = 16;
            let below = (0..samples * samples).filter(|s| {
                let (sx, sy) = ((s % samples) as f32 + 0.5, (s / samples) as f32 + 0.5);
                y + sy / samples as f32 > line(x + sx / samples as f32)
            });
            200.0 * below.count() as f32 / (samples * samples) as f32
        };
        // Away from the picture's border, where runs are cut off.
        let inner = |i: &usize| (16..48).contains(&(i % width)) && (2..62).contains(&(i / width));
        let error =
            |p: &[u8]| (0..width * height).filter(inner).map(|i| (f32::from(p[i * 3]) - exact(i)).abs()).sum::<f32>();
        (error(&jagged), error(&picture))
    }

    #[test]
    fn straight_edges_come_close_to_exact_coverage() {
        // Runs of one or two pixels, near the diagonal, say less about their line than long ones.
        for (slope, share) in [(0.13_f32, 0.45), (0.31, 0.45), (-0.22, 0.45), (0.77, 0.7)] {
            let (jagged, smoothed) = half_plane(slope);
            assert!(smoothed < share * jagged, "slope {slope}: {jagged} to {smoothed}");
        }
    }

    #[test]
    fn flat_pictures_and_axis_aligned_edges_stay() {
        let faces: Vec<u16> = (0..256).map(|i| u16::from(i % 16 > 7)).collect();
        let mut picture: Vec<u8> = (0..256 * 3).map(|i| (i % 251) as u8).collect();
        let before = picture.clone();
        let mut other = picture.clone();
        smooth(&mut Tile { width: 16, height: 16, faces: &faces, pictures: vec![&mut picture, &mut other] });
        assert_eq!(picture, before);
    }
}
