//! Connected parts of a mask.

use super::Mask;

/// A connected part: its pixels, their number and their box.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Component {
    /// The whole image with this part alone.
    pub mask: Mask,
    /// Pixels.
    pub area: usize,
    /// First and last column, inclusive.
    pub columns: (usize, usize),
    /// First and last row, inclusive.
    pub rows: (usize, usize),
}

impl Component {
    /// Width of the box in pixels.
    pub fn width(&self) -> usize {
        self.columns.1 - self.columns.0 + 1
    }

    /// Height of the box in pixels.
    pub fn height(&self) -> usize {
        self.rows.1 - self.rows.0 + 1
    }

    /// Free pixels between the box and the nearest image border; 0 where it touches.
    pub fn border_margin(&self) -> usize {
        let right = self.mask.width() - 1 - self.columns.1;
        let below = self.mask.height() - 1 - self.rows.1;
        self.columns.0.min(self.rows.0).min(right).min(below)
    }
}

/// The largest 8-connected part; of equals the one that a scan row by row meets first. `None` of an empty mask.
pub fn largest_component(mask: &Mask) -> Option<Component> {
    let (width, height) = (mask.width(), mask.height());
    let mut seen = vec![false; width * height];
    let mut best: Vec<(usize, usize)> = Vec::new();
    let mut part = Vec::new();
    for start in mask.on() {
        if seen[start.1 * width + start.0] {
            continue;
        }
        seen[start.1 * width + start.0] = true;
        part.clear();
        part.push(start);
        let mut next = 0;
        while let Some(&(column, row)) = part.get(next) {
            next += 1;
            for y in row.saturating_sub(1)..=(row + 1).min(height - 1) {
                for x in column.saturating_sub(1)..=(column + 1).min(width - 1) {
                    let index = y * width + x;
                    if mask.pixels()[index] && !seen[index] {
                        seen[index] = true;
                        part.push((x, y));
                    }
                }
            }
        }
        if part.len() > best.len() {
            std::mem::swap(&mut best, &mut part);
        }
    }
    let (&(first_column, first_row), _) = best.split_first()?;
    let mut component = Component {
        mask: Mask::new(width, height),
        area: best.len(),
        columns: (first_column, first_column),
        rows: (first_row, first_row),
    };
    for &(column, row) in &best {
        component.mask.set(column, row, true);
        component.columns = (component.columns.0.min(column), component.columns.1.max(column));
        component.rows = (component.rows.0.min(row), component.rows.1.max(row));
    }
    Some(component)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn diagonals_connect_and_the_largest_part_wins() {
        let picture = ["11.....", "..1....", "...1..1", ".......", "1111..."];
        let mask = Mask::from_fn(7, 5, |c, r| picture[r].as_bytes()[c] == b'1');
        let part = largest_component(&mask).expect("three parts");
        // The staircase has four pixels and is met before the bar of four.
        assert_eq!((part.area, part.columns, part.rows), (4, (0, 3), (0, 2)));
        assert_eq!((part.width(), part.height(), part.border_margin()), (4, 3, 0));
        assert_eq!(part.mask.on().collect::<Vec<_>>(), [(0, 0), (1, 0), (2, 1), (3, 2)]);
        let mut longer = mask;
        longer.set(4, 4, true);
        assert_eq!(largest_component(&longer).map(|part| (part.area, part.rows)), Some((5, (4, 4))));
        assert_eq!(largest_component(&Mask::new(5, 5)), None);
    }

    #[test]
    fn the_margin_is_counted_in_free_pixels() {
        let mask = Mask::from_fn(20, 12, |c, r| (4..9).contains(&c) && (3..10).contains(&r));
        assert_eq!(largest_component(&mask).map(|part| part.border_margin()), Some(2));
    }
}
