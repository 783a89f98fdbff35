//! Image moments: area, centroid, orientation, half axes.
//!
//! Coordinates are pixel indices, as ViSP has them: the centre of the first pixel is `(0, 0)`. (The project's
//! [`crate::contract::Intrinsics`] have it at 0.5; [`super::PixelCamera`] converts.)

use super::Mask;
use super::border::{outer_border, polygon_moments};
use serde::{Deserialize, Serialize};

/// How a mask's moments are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MomentSource {
    /// Sums over pixels: holes count, single pixels weigh little.
    Pixels,
    /// The polygon through the outer border's pixels, as ViSP's blob tracker: holes do not count.
    #[default]
    Border,
}

/// Area, centroid and central second moments, in pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moments {
    /// Area: pixels, the sum of their weights, or a polygon's area.
    pub m00: f64,
    /// Centroid, column and row.
    pub x: f64,
    /// The centroid's row, as a pixel index.
    pub y: f64,
    /// Squared distance of columns from the centroid's, summed over the area and not divided by it: pixels to the
    /// fourth power.
    pub mu20: f64,
    /// The same of rows.
    pub mu02: f64,
    /// Product of both distances, summed: above 0 where the longer axis runs from the upper left to the lower right.
    pub mu11: f64,
}

impl Moments {
    /// `None` of what has no area: an empty mask, and for [`MomentSource::Border`] a part that is one pixel wide.
    pub fn of(mask: &Mask, source: MomentSource) -> Option<Self> {
        match source {
            MomentSource::Pixels => Self::from_pixels(mask),
            MomentSource::Border => Self::from_border(mask),
        }
    }

    /// Sums over the pixels that are on (ViSP's vpMomentObject, DENSE_FULL_OBJECT).
    pub fn from_pixels(mask: &Mask) -> Option<Self> {
        Self::from_weighted(mask, |_| 1.0)
    }

    /// Sums over the pixels that are on, each with its weight (`weights` are row by row, negative ones count as 0): the share
    /// of the pixel that the object covers, or its probability. `None` for weights of another length.
    pub fn from_weights(mask: &Mask, weights: &[f32]) -> Option<Self> {
        if weights.len() != mask.pixels().len() {
            return None;
        }
        Self::from_weighted(mask, |index| f64::from(weights[index].max(0.0)))
    }

    fn from_weighted(mask: &Mask, weight: impl Fn(usize) -> f64) -> Option<Self> {
        let weighted = || mask.on().map(|(x, y)| (weight(y * mask.width() + x), x as f64, y as f64));
        let (mut m00, mut m10, mut m01) = (0.0, 0.0, 0.0);
        for (weight, x, y) in weighted() {
            m00 += weight;
            m10 += weight * x;
            m01 += weight * y;
        }
        if m00 <= 0.0 {
            return None;
        }
        let (x, y) = (m10 / m00, m01 / m00);
        let (mut mu20, mut mu02, mut mu11) = (0.0, 0.0, 0.0);
        for (weight, px, py) in weighted() {
            let (dx, dy) = (px - x, py - y);
            mu20 += weight * dx * dx;
            mu02 += weight * dy * dy;
            mu11 += weight * dx * dy;
        }
        Some(Self { m00, x, y, mu20, mu02, mu11 })
    }

    /// The polygon through the outer border of the part that a scan meets first (ViSP's vpDot2).
    pub fn from_border(mask: &Mask) -> Option<Self> {
        let border = outer_border(mask);
        let &(origin_x, origin_y) = border.first()?;
        let points: Vec<(f64, f64)> =
            border.iter().map(|&(x, y)| (x as f64 - origin_x as f64, y as f64 - origin_y as f64)).collect();
        let moments = Self::from_polygon(&points)?;
        Some(Self { x: moments.x + origin_x as f64, y: moments.y + origin_y as f64, ..moments })
    }

    /// A simple polygon's moments; `None` where it has no area.
    pub fn from_polygon(points: &[(f64, f64)]) -> Option<Self> {
        let [m00, m10, m01, m20, m11, m02] = polygon_moments(points);
        if m00 <= 0.0 {
            return None;
        }
        let (x, y) = (m10 / m00, m01 / m00);
        Some(Self { m00, x, y, mu20: m20 - x * m10, mu02: m02 - y * m01, mu11: m11 - x * m01 })
    }

    /// Angle of the longer axis from the image's x axis towards its y axis, in [-pi/2, pi/2]:
    /// `0.5 atan2(2 mu11, mu20 - mu02)` (ViSP's vpMomentAlpha of symmetric objects). The two ends are one direction.
    pub fn alpha(&self) -> f64 {
        0.5 * (2.0 * self.mu11).atan2(self.mu20 - self.mu02)
    }

    /// Half the longer and half the shorter axis of the ellipse that has these moments, pixels.
    pub fn half_axes(&self) -> (f64, f64) {
        let difference = self.mu20 - self.mu02;
        let root = (difference * difference + 4.0 * self.mu11 * self.mu11).sqrt();
        let axis = |sign: f64| (2.0 / self.m00 * (self.mu20 + self.mu02 + sign * root)).max(0.0).sqrt();
        (axis(1.0), axis(-1.0))
    }

    /// Shorter over longer axis, in [0, 1]; 1 for what has no extent.
    pub fn axis_ratio(&self) -> f64 {
        let (longer, shorter) = self.half_axes();
        if longer > 0.0 { shorter / longer } else { 1.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_close(what: &str, got: f64, expected: f64, tolerance: f64) {
        assert!((got - expected).abs() <= tolerance, "{what}: {got}, not {expected}");
    }

    #[test]
    fn boxes_by_hand() {
        let mask = Mask::from_fn(30, 20, |c, r| (5..25).contains(&c) && (5..15).contains(&r));
        // Sums of squares of 20 and 10 equidistant places: w h (w^2 - 1) / 12.
        let pixels = Moments::from_pixels(&mask).expect("an area");
        assert_eq!(pixels, Moments { m00: 200.0, x: 14.5, y: 9.5, mu20: 6650.0, mu02: 1650.0, mu11: 0.0 });
        // A rectangle of 19 x 9: w^3 h / 12.
        let border = Moments::from_border(&mask).expect("an area");
        assert_close("m00", border.m00, 171.0, 1e-9);
        assert_close("mu20", border.mu20, 5144.25, 1e-9);
        assert_close("mu02", border.mu02, 1154.25, 1e-9);
        assert_close("x", border.x, 14.5, 1e-12);
    }

    #[test]
    fn an_l_and_a_slanted_bar() {
        let l = Mask::from_fn(40, 40, |c, r| {
            (10..20).contains(&c) && (10..30).contains(&r) || (20..30).contains(&c) && (20..30).contains(&r)
        });
        let moments = Moments::from_pixels(&l).expect("an area");
        assert_close("alpha", moments.alpha().to_degrees(), 45.0, 1e-9);
        assert_close("longer", moments.half_axes().0, 12.8970, 1e-4);
        assert_close("shorter", moments.half_axes().1, 8.8003, 1e-4);
        let bar =
            Mask::from_fn(40, 40, |c, r| (10..34).contains(&c) && (10 + (c - 10) / 2..14 + (c - 10) / 2).contains(&r));
        let moments = Moments::from_pixels(&bar).expect("an area");
        assert_eq!((moments.m00, moments.mu20, moments.mu02, moments.mu11), (96.0, 4600.0, 1264.0, 2288.0));
        assert_close("alpha", moments.alpha().to_degrees(), 26.95358, 1e-5);
        assert_close("longer", moments.half_axes().0, 15.4966, 1e-4);
        assert_close("shorter", moments.half_axes().1, 2.0467, 1e-4);
    }

    #[test]
    fn the_border_ignores_holes_and_pixel_sums_do_not() {
        let full = Mask::from_fn(20, 20, |c, r| (3..16).contains(&c) && (4..14).contains(&r));
        let mut holed = full.clone();
        (6..10).for_each(|column| holed.set(column, 8, false));
        assert_eq!(Moments::from_border(&full), Moments::from_border(&holed));
        assert_ne!(Moments::from_pixels(&full), Moments::from_pixels(&holed));
        assert_eq!(Moments::of(&Mask::new(4, 4), MomentSource::Pixels), None);
        assert_eq!(Moments::of(&Mask::from_fn(4, 4, |_, r| r == 2), MomentSource::Border), None);
    }

    #[test]
    fn weights_are_shares_of_pixels() {
        // Columns 2 to 5 whole and half of column 6.
        let mask = Mask::from_fn(10, 6, |c, r| (1..8).contains(&c) && (1..5).contains(&r));
        let weights: Vec<f32> =
            (0..60).map(|i| if i % 10 == 6 { 0.5 } else { f32::from(u8::from((2..6).contains(&(i % 10)))) }).collect();
        let moments = Moments::from_weights(&mask, &weights).expect("an area");
        assert_eq!((moments.m00, moments.y), (18.0, 2.5));
        // (2 + 3 + 4 + 5 + 0.5 * 6) / 4.5
        assert_close("x", moments.x, 17.0 / 4.5, 1e-12);
        assert_eq!(Moments::from_weights(&mask, &vec![1.0; 60]), Moments::from_pixels(&mask));
        assert_eq!(Moments::from_weights(&mask, &[1.0; 10]), None);
        assert_eq!(Moments::from_weights(&mask, &[0.0; 60]), None);
    }

    #[test]
    fn mirroring_along_x_negates_alpha() {
        let bar = |c: usize, r: usize| (10..34).contains(&c) && (10 + (c - 10) / 2..14 + (c - 10) / 2).contains(&r);
        for source in [MomentSource::Pixels, MomentSource::Border] {
            let moments = Moments::of(&Mask::from_fn(40, 40, bar), source).expect("an area");
            let flipped = Moments::of(&Mask::from_fn(40, 40, |c, r| bar(39 - c, r)), source).expect("an area");
            assert_close("alpha", flipped.alpha(), -moments.alpha(), 1e-12);
            assert_close("x", flipped.x, 39.0 - moments.x, 1e-9);
        }
    }
}
