//! The outer border of a part, and the moments of the polygon through the centres of its pixels, as ViSP's vpDot2 has them.
//!
//! Holes do not count, and a box of `w x h` pixels has the area `(w - 1)(h - 1)`.

use super::Mask;

/// The eight neighbours in the order of turning: right, lower right, down, and so on (rows grow downwards).
const NEIGHBOURS: [(isize, isize); 8] = [(1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1)];

/// Pixels of the outer border of the part that a scan row by row meets first, in order, each as `(column, row)`; a pixel
/// occurs twice where the part is one pixel wide. Empty for an empty mask.
///
/// Moore-neighbour tracing with Jacob's criterion: it ends when the start is left in the first direction again.
pub fn outer_border(mask: &Mask) -> Vec<(usize, usize)> {
    let Some((column, row)) = mask.on().next() else { return Vec::new() };
    let start = (column as isize, row as isize);
    // The scan came from the left, where the mask is off: the search turns from there.
    let Some(first) = next_direction(mask, start, 4) else { return vec![(column, row)] };
    let mut border = Vec::new();
    let (mut place, mut direction) = (start, first);
    loop {
        border.push((place.0 as usize, place.1 as usize));
        let (dx, dy) = NEIGHBOURS[direction];
        place = (place.0 + dx, place.1 + dy);
        // Two steps back from the direction of arrival lies a pixel that was just seen to be off; diagonal arrivals
        // have passed one more.
        let back = if direction % 2 == 0 { direction + 6 } else { direction + 5 };
        let Some(next) = next_direction(mask, place, back) else { break };
        direction = next;
        if place == start && direction == first {
            break;
        }
    }
    border
}

/// The first neighbour that is on, turning from `from`.
fn next_direction(mask: &Mask, place: (isize, isize), from: usize) -> Option<usize> {
    (0..8).map(|turn| (from + turn) % 8).find(|&direction| {
        let (dx, dy) = NEIGHBOURS[direction];
        mask.at(place.0 + dx, place.1 + dy)
    })
}

/// Raw moments `[m00, m10, m01, m20, m11, m02]` of a simple polygon (Steger, 1996), positive whatever the sense of turning.
pub fn polygon_moments(points: &[(f64, f64)]) -> [f64; 6] {
    let mut sums = [0.0_f64; 6];
    for (index, &(x0, y0)) in points.iter().enumerate() {
        let (x1, y1) = points[(index + 1) % points.len()];
        let cross = x0 * y1 - x1 * y0;
        sums[0] += cross;
        sums[1] += cross * (x0 + x1);
        sums[2] += cross * (y0 + y1);
        sums[3] += cross * (x0 * x0 + x0 * x1 + x1 * x1);
        sums[4] += cross * (2.0 * x0 * y0 + x0 * y1 + x1 * y0 + 2.0 * x1 * y1);
        sums[5] += cross * (y0 * y0 + y0 * y1 + y1 * y1);
    }
    let sign = if sums[0] < 0.0 { -1.0 } else { 1.0 };
    let divisors = [2.0, 6.0, 6.0, 12.0, 24.0, 12.0];
    std::array::from_fn(|index| sign * sums[index] / divisors[index])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn borders_run_around_and_back_along_thin_parts() {
        let square = Mask::from_fn(6, 6, |c, r| (1..4).contains(&c) && (2..5).contains(&r));
        let expected = [(1, 2), (2, 2), (3, 2), (3, 3), (3, 4), (2, 4), (1, 4), (1, 3)];
        assert_eq!(outer_border(&square), expected);
        let line = Mask::from_fn(6, 1, |c, _| (1..4).contains(&c));
        assert_eq!(outer_border(&line), [(1, 0), (2, 0), (3, 0), (2, 0)]);
        assert_eq!(outer_border(&Mask::from_fn(3, 3, |c, r| (c, r) == (1, 1))), [(1, 1)]);
        assert!(outer_border(&Mask::new(3, 3)).is_empty());
        // Two triangles that touch in one pixel: the border passes it twice and sees both.
        let picture = ["1.1", ".1.", "1.1"];
        let cross = Mask::from_fn(3, 3, |c, r| picture[r].as_bytes()[c] == b'1');
        let border = outer_border(&cross);
        assert_eq!(border.len(), 8);
        assert_eq!(border.iter().filter(|&&place| place == (1, 1)).count(), 4);
    }

    #[test]
    fn moments_of_a_triangle_by_hand() {
        // (0,0), (3,0), (0,6): area 9, centroid (1, 2), integral of x^2 = b^3 h / 12 = 13.5, of y^2 = 54, of xy = 13.5.
        let expected = [9.0, 9.0, 18.0, 13.5, 13.5, 54.0];
        assert_eq!(polygon_moments(&[(0.0, 0.0), (3.0, 0.0), (0.0, 6.0)]), expected);
        assert_eq!(polygon_moments(&[(0.0, 6.0), (3.0, 0.0), (0.0, 0.0)]), expected);
    }
}
