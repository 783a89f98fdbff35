//! A picture to draw on: rectangles, images, text.

use super::file::save_picture;
use super::font::TextStyle;
use crate::draw::png::{PngError, encode_rgb};
use crate::files::atomic::FileError;
use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum DrawError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("a picture of {width}x{height} cannot be written: {source}")]
    Png { width: usize, height: usize, source: PngError },
    #[error("a picture of {width}x{height} cannot be written as JPEG: {message}")]
    Jpeg { width: usize, height: usize, message: String },
    #[error("'{}': pictures are written as PNG or JPEG; give a name that ends in .png or .jpg", .0.display())]
    Name(PathBuf),
    #[error("the chart '{title}' cannot be drawn: {message}")]
    Chart { title: String, message: String },
}

/// Where a text stands relative to its point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    Left,
    Center,
    Right,
}

/// `[height, width, 3]` sRGB bytes. Everything drawn outside of it is cut off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Canvas {
    pub width: usize,
    pub height: usize,
    pub rgb: Vec<u8>,
}

/// A rectangle in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rect {
    pub x: i32,
    pub y: i32,
    pub width: usize,
    pub height: usize,
}

impl Canvas {
    pub fn new(width: usize, height: usize, colour: [u8; 3]) -> Self {
        Self { width, height, rgb: colour.repeat(width * height) }
    }

    /// Mixes a colour into a pixel. Coverage is blended on the encoded values, which keeps thin dark strokes on light
    /// ground from fading.
    pub fn blend(&mut self, x: i32, y: i32, colour: [u8; 3], coverage: f32) {
        let inside = |v: i32, n: usize| usize::try_from(v).ok().filter(|&v| v < n);
        if let (Some(x), Some(y)) = (inside(x, self.width), inside(y, self.height)) {
            let pixel = &mut self.rgb[(y * self.width + x) * 3..][..3];
            for (value, c) in pixel.iter_mut().zip(colour) {
                let (old, new) = (f32::from(*value), f32::from(c));
                *value = (old + (new - old) * coverage.clamp(0.0, 1.0) + 0.5) as u8;
            }
        }
    }

    pub fn fill(&mut self, rect: Rect, colour: [u8; 3]) {
        self.fill_round(rect, 0.0, colour);
    }

    /// A filled rectangle with round, anti-aliased corners.
    pub fn fill_round(&mut self, rect: Rect, radius: f32, colour: [u8; 3]) {
        let (half_w, half_h) = (rect.width as f32 * 0.5, rect.height as f32 * 0.5);
        let radius = radius.min(half_w).min(half_h);
        for row in 0..rect.height {
            for column in 0..rect.width {
                // Distance to the rounded outline, negative inside.
                let dx = ((column as f32 + 0.5 - half_w).abs() - (half_w - radius)).max(0.0);
                let dy = ((row as f32 + 0.5 - half_h).abs() - (half_h - radius)).max(0.0);
                let coverage = if radius > 0.0 { radius - dx.hypot(dy) + 0.5 } else { 1.0 };
                if coverage > 0.0 {
                    self.blend(rect.x + column as i32, rect.y + row as i32, colour, coverage);
                }
            }
        }
    }

    /// Copies `[height, width, 3]` pixels to the rectangle `at` that has their size.
    pub fn image(&mut self, x: i32, y: i32, width: usize, rgb: &[u8]) {
        for (row, line) in rgb.chunks_exact((width * 3).max(1)).enumerate() {
            for (column, pixel) in line.chunks_exact(3).enumerate() {
                self.blend(x + column as i32, y + row as i32, [pixel[0], pixel[1], pixel[2]], 1.0);
            }
        }
    }

    /// Writes a line of text whose baseline is at `y`. Returns its width in pixels.
    pub fn text(&mut self, text: &str, (x, y): (f32, f32), style: &TextStyle, align: Align) -> f32 {
        let width = style.width(text);
        let left = match align {
            Align::Left => x,
            Align::Center => x - 0.5 * width,
            Align::Right => x - width,
        };
        style.rasterize(text, (left, y), |px, py, coverage| self.blend(px, py, style.colour, coverage));
        width
    }

    /// Writes a PNG or JPEG file, as its name says, whole or not at all.
    pub fn save(&self, path: &Path) -> Result<(), DrawError> {
        save_picture(path, &self.rgb, self.width, self.height)
    }

    pub fn to_png(&self) -> Result<Vec<u8>, DrawError> {
        let (width, height) = (self.width, self.height);
        encode_rgb(&self.rgb, width, height).map_err(|source| DrawError::Png { width, height, source })
    }
}

#[cfg(test)]
mod tests {
    use super::super::font::Typeface;
    use super::*;

    #[test]
    fn drawing_outside_is_cut_off() {
        let mut canvas = Canvas::new(4, 3, [255; 3]);
        canvas.fill(Rect { x: -2, y: -2, width: 4, height: 4 }, [0; 3]);
        canvas.image(3, 2, 2, &[9; 12]);
        let pixel = |x: usize, y: usize| canvas.rgb[(y * 4 + x) * 3];
        assert_eq!([pixel(0, 0), pixel(1, 1), pixel(2, 1), pixel(1, 2), pixel(3, 2)], [0, 0, 255, 255, 9]);
        canvas.text("far away", (-500.0, 900.0), &TextStyle::new(Typeface::Mono, 12.0, [0; 3]), Align::Right);
    }

    #[test]
    fn alignment() {
        let style = TextStyle::new(Typeface::Sans, 16.0, [0; 3]);
        let ink_center = |align| {
            let mut canvas = Canvas::new(200, 40, [255; 3]);
            canvas.text("oooo", (100.0, 25.0), &style, align);
            let (mut sum, mut weight) = (0.0, 0.0);
            for (i, pixel) in canvas.rgb.chunks_exact(3).enumerate() {
                let ink = f64::from(255 - pixel[0]);
                (sum, weight) = (sum + ink * ((i % 200) as f64 + 0.5), weight + ink);
            }
            sum / weight
        };
        let half = f64::from(style.width("oooo")) / 2.0;
        assert!((ink_center(Align::Center) - 100.0).abs() < 1.0);
        assert!((ink_center(Align::Left) - 100.0 - half).abs() < 1.0);
        assert!((ink_center(Align::Right) - 100.0 + half).abs() < 1.0);
    }
}
