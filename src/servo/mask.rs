//! Binary images.

use super::ServoError;

/// A binary image, row by row from the upper left corner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mask {
    width: usize,
    height: usize,
    pixels: Vec<bool>,
}

impl Mask {
    /// Every pixel off.
    pub fn new(width: usize, height: usize) -> Self {
        Self { width, height, pixels: vec![false; width * height] }
    }

    /// `value(column, row)` for every pixel.
    pub fn from_fn(width: usize, height: usize, value: impl Fn(usize, usize) -> bool) -> Self {
        let pixels = (0..height).flat_map(|row| (0..width).map(move |column| (column, row)));
        Self { width, height, pixels: pixels.map(|(column, row)| value(column, row)).collect() }
    }

    /// The pixels of `class` in a class map of `width * height` bytes, row by row.
    ///
    /// # Errors
    /// A map of another length.
    pub fn of_class(map: &[u8], width: usize, height: usize, class: u8) -> Result<Self, ServoError> {
        if map.len() != width * height {
            return Err(ServoError::Length { got: map.len(), width, height });
        }
        Ok(Self { width, height, pixels: map.iter().map(|&value| value == class).collect() })
    }

    /// Columns of the image.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows of the image.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Whether a pixel is on; off outside the image.
    pub fn at(&self, column: isize, row: isize) -> bool {
        let (Ok(column), Ok(row)) = (usize::try_from(column), usize::try_from(row)) else { return false };
        column < self.width && row < self.height && self.pixels[row * self.width + column]
    }

    /// Sets a pixel; nothing happens outside the image.
    pub fn set(&mut self, column: usize, row: usize, on: bool) {
        if column < self.width && row < self.height {
            self.pixels[row * self.width + column] = on;
        }
    }

    /// Row-major pixels.
    pub fn pixels(&self) -> &[bool] {
        &self.pixels
    }

    pub(super) fn row_mut(&mut self, row: usize) -> &mut [bool] {
        &mut self.pixels[row * self.width..(row + 1) * self.width]
    }

    /// How many pixels are on.
    pub fn area(&self) -> usize {
        self.pixels.iter().filter(|&&on| on).count()
    }

    /// `(column, row)` of the pixels that are on, row by row.
    pub fn on(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        let width = self.width;
        self.pixels.iter().enumerate().filter(|(_, on)| **on).map(move |(index, _)| (index % width, index / width))
    }

    /// Intersection over union with another mask of the same size; 1 where both are empty.
    ///
    /// # Errors
    /// Another size.
    pub fn intersection_over_union(&self, other: &Self) -> Result<f64, ServoError> {
        if (self.width, self.height) != (other.width, other.height) {
            return Err(ServoError::MaskSize {
                got_width: other.width,
                got_height: other.height,
                width: self.width,
                height: self.height,
            });
        }
        let (mut both, mut either) = (0_usize, 0_usize);
        for (&a, &b) in self.pixels.iter().zip(&other.pixels) {
            both += usize::from(a && b);
            either += usize::from(a || b);
        }
        Ok(if either == 0 { 1.0 } else { both as f64 / either as f64 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_of_a_map_and_its_overlap() -> Result<(), ServoError> {
        let map = [0, 1, 1, 2, 1, 0];
        let mask = Mask::of_class(&map, 3, 2, 1)?;
        assert_eq!(mask.on().collect::<Vec<_>>(), [(1, 0), (2, 0), (1, 1)]);
        assert!(!mask.at(-1, 0) && !mask.at(3, 0) && !mask.at(0, 2) && mask.at(2, 0));
        // Two pixels in common, (1, 0) and (1, 1), of three in all.
        let other = Mask::from_fn(3, 2, |column, _| column == 1);
        assert_eq!(mask.intersection_over_union(&other)?, 2.0 / 3.0);
        assert_eq!(Mask::new(4, 4).intersection_over_union(&Mask::new(4, 4))?, 1.0);
        assert!(mask.intersection_over_union(&Mask::new(4, 4)).is_err());
        assert!(Mask::of_class(&map, 2, 2, 1).is_err());
        Ok(())
    }
}
