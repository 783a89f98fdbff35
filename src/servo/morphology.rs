//! Erosion, dilation, opening and closing with a square.
//!
//! Pixels outside the image never decide: a square that leaves the image is cut there, as OpenCV's default border does. So an
//! object that touches the border is not eaten from that side.

use super::Mask;

/// A pixel stays on where the whole `(2 radius + 1)`-square around it, cut by the image, is on.
pub fn erode(mask: &Mask, radius: usize) -> Mask {
    filter(mask, radius, false)
}

/// A pixel is on where any pixel of the `(2 radius + 1)`-square around it is on.
pub fn dilate(mask: &Mask, radius: usize) -> Mask {
    filter(mask, radius, true)
}

/// Erosion, then dilation: removes what is thinner than the square.
pub fn open(mask: &Mask, radius: usize) -> Mask {
    dilate(&erode(mask, radius), radius)
}

/// Dilation, then erosion: fills holes and gaps that are thinner than the square.
pub fn close(mask: &Mask, radius: usize) -> Mask {
    erode(&dilate(mask, radius), radius)
}

/// Opening, then closing (Pedersen et al., figure 6c).
pub fn clean(mask: &Mask, radius: usize) -> Mask {
    close(&open(mask, radius), radius)
}

/// The square is the product of two lines, so rows come first, then columns. `sought` decides as soon as it occurs.
fn filter(mask: &Mask, radius: usize, sought: bool) -> Mask {
    if radius == 0 || mask.pixels().is_empty() {
        return mask.clone();
    }
    let (width, height) = (mask.width(), mask.height());
    let mut along_rows = vec![!sought; width * height];
    for (from, to) in mask.pixels().chunks(width).zip(along_rows.chunks_mut(width)) {
        for (column, out) in to.iter_mut().enumerate() {
            let square = column.saturating_sub(radius)..=(column + radius).min(width - 1);
            *out = from[square].contains(&sought) == sought;
        }
    }
    let mut result = Mask::new(width, height);
    for row in 0..height {
        let line = result.row_mut(row);
        line.fill(!sought);
        for near in row.saturating_sub(radius)..=(row + radius).min(height - 1) {
            for (out, &value) in line.iter_mut().zip(&along_rows[near * width..(near + 1) * width]) {
                *out = if sought { *out | value } else { *out & value };
            }
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Seed;

    fn random(seed: u64, share: f64) -> Mask {
        let mut rng = Seed(seed).rng();
        let mut mask = Mask::new(23, 17);
        for row in 0..17 {
            (0..23).for_each(|column| mask.set(column, row, rng.f64() < share));
        }
        mask
    }

    /// From the definition, pixel by pixel.
    fn eroded_by_definition(mask: &Mask, radius: isize) -> Mask {
        Mask::from_fn(mask.width(), mask.height(), |column, row| {
            let square = (-radius..=radius).flat_map(|dy| (-radius..=radius).map(move |dx| (dx, dy)));
            square.into_iter().all(|(dx, dy)| {
                let (x, y) = (column as isize + dx, row as isize + dy);
                let inside = (0..mask.width() as isize).contains(&x) && (0..mask.height() as isize).contains(&y);
                !inside || mask.at(x, y)
            })
        })
    }

    #[test]
    fn erosion_is_its_definition_and_dilation_its_dual() {
        for seed in 0..20 {
            for radius in 0..4 {
                let mask = random(seed, 0.8);
                assert_eq!(erode(&mask, radius), eroded_by_definition(&mask, radius as isize));
                let inverse = Mask::from_fn(23, 17, |c, r| !mask.at(c as isize, r as isize));
                let dual = erode(&inverse, radius);
                assert_eq!(dilate(&mask, radius), Mask::from_fn(23, 17, |c, r| !dual.at(c as isize, r as isize)));
            }
        }
    }

    #[test]
    fn opening_and_closing_are_idempotent_and_ordered() {
        for seed in 0..20 {
            let mask = random(seed, 0.6);
            let (opened, closed) = (open(&mask, 1), close(&mask, 1));
            assert_eq!(open(&opened, 1), opened);
            assert_eq!(close(&closed, 1), closed);
            for (column, row) in opened.on() {
                assert!(mask.at(column as isize, row as isize));
            }
            for (column, row) in mask.on() {
                assert!(closed.at(column as isize, row as isize));
            }
        }
    }

    #[test]
    fn specks_go_holes_close_and_boxes_stay_even_at_the_border() {
        let clean_box = Mask::from_fn(30, 20, |c, r| c < 12 && (5..15).contains(&r));
        let mut dirty = clean_box.clone();
        dirty.set(25, 3, true);
        dirty.set(26, 3, true);
        dirty.set(6, 9, false);
        assert_eq!(clean(&dirty, 1), clean_box);
    }
}
