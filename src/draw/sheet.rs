//! Contact sheets: rows of pictures with captions, to be judged at a glance.

use super::canvas::{Align, Canvas, DrawError, Rect};
use super::font::{TextStyle, Typeface};
use super::palette;
use crate::contract::Class;
use image::imageops::{FilterType, resize};

const PAPER: [u8; 3] = [250, 250, 248];
const INK: [u8; 3] = [32, 36, 44];
const FAINT: [u8; 3] = [112, 118, 128];
const RULE: [u8; 3] = [222, 223, 220];
const MARGIN: usize = 36;
const GAP: usize = 14;
/// Of the line with the labels of pictures.
const LABEL_HEIGHT: usize = 20;

const TITLE: TextStyle = TextStyle::new(Typeface::Sans, 30.0, INK).weight(0.35);
const SUBTITLE: TextStyle = TextStyle::new(Typeface::Sans, 17.0, FAINT).weight(0.2);
const HEADER: TextStyle = TextStyle::new(Typeface::Sans, 17.0, INK).weight(0.45);
const CAPTION: TextStyle = TextStyle::new(Typeface::Mono, 12.5, FAINT);
const LEGEND: TextStyle = TextStyle::new(Typeface::Sans, 15.0, INK).weight(0.25);

/// One picture of a sheet.
#[derive(Clone, Debug)]
pub struct Picture {
    pub width: usize,
    pub height: usize,
    /// `[height, width, 3]`
    pub rgb: Vec<u8>,
    /// Enlarge by repeating pixels (ids, depth, pixel-exact comparison) or smoothly (photographs).
    pub exact: bool,
    /// Stands below the picture.
    pub label: String,
}

impl Picture {
    pub fn photo(width: usize, height: usize, rgb: Vec<u8>) -> Self {
        Self { width, height, rgb, exact: false, label: String::new() }
    }

    pub fn exact(width: usize, height: usize, rgb: Vec<u8>) -> Self {
        Self { width, height, rgb, exact: true, label: String::new() }
    }

    pub fn labelled(self, label: impl Into<String>) -> Self {
        Self { label: label.into(), ..self }
    }

    /// The pixels at another size: whole multiples are repeated when exact, everything else is Lanczos.
    fn scaled(&self, width: usize, height: usize) -> Vec<u8> {
        if (width, height) == (self.width, self.height) {
            return self.rgb.clone();
        }
        let Some(image) = image::RgbImage::from_raw(self.width as u32, self.height as u32, self.rgb.clone()) else {
            return vec![255; width * height * 3];
        };
        let larger = width >= self.width && height >= self.height;
        let filter = if self.exact && larger { FilterType::Nearest } else { FilterType::Lanczos3 };
        resize(&image, width as u32, height as u32, filter).into_raw()
    }
}

#[derive(Clone, Debug)]
struct Row {
    caption: String,
    pictures: Vec<Picture>,
}

/// Colours explained at the foot of a sheet.
#[derive(Clone, Debug)]
enum Legend {
    Classes,
    /// Near and far, metres.
    Depth(f32, f32),
}

/// Rows of pictures under named columns.
#[derive(Clone, Debug)]
pub struct ContactSheet {
    title: String,
    subtitle: String,
    columns: Vec<String>,
    rows: Vec<Row>,
    legends: Vec<Legend>,
    cell: usize,
}

impl ContactSheet {
    pub fn new(title: impl Into<String>, subtitle: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            subtitle: subtitle.into(),
            columns: Vec::new(),
            rows: Vec::new(),
            legends: Vec::new(),
            cell: 256,
        }
    }

    pub fn columns(mut self, names: &[&str]) -> Self {
        self.columns = names.iter().map(ToString::to_string).collect();
        self
    }

    /// The width that a picture is brought to, about: small ones grow by a whole factor, large ones shrink to it.
    pub fn cell(mut self, pixels: usize) -> Self {
        self.cell = pixels.clamp(32, 2048);
        self
    }

    /// One row; the caption stands below it.
    pub fn row(&mut self, caption: impl Into<String>, pictures: Vec<Picture>) {
        self.rows.push(Row { caption: caption.into(), pictures });
    }

    pub fn class_legend(mut self) -> Self {
        self.legends.push(Legend::Classes);
        self
    }

    pub fn depth_legend(mut self, near_m: f32, far_m: f32) -> Self {
        self.legends.push(Legend::Depth(near_m, far_m));
        self
    }

    /// Size on the sheet: the largest whole factor that fits the cell, or shrunk to it.
    fn size_of(&self, picture: &Picture) -> (usize, usize) {
        let (w, h) = (picture.width.max(1), picture.height.max(1));
        if w <= self.cell {
            let factor = (self.cell + w / 2) / w;
            (w * factor, h * factor)
        } else {
            (self.cell, (h * self.cell).div_ceil(w))
        }
    }

    pub fn draw(&self) -> Canvas {
        let sizes: Vec<Vec<(usize, usize)>> =
            self.rows.iter().map(|row| row.pictures.iter().map(|p| self.size_of(p)).collect()).collect();
        let count = sizes.iter().map(Vec::len).max().unwrap_or(0).max(self.columns.len()).max(1);
        let width_of = |c: usize| sizes.iter().filter_map(|row| row.get(c)).map(|s| s.0).max().unwrap_or(self.cell);
        let widths: Vec<usize> = (0..count).map(width_of).collect();
        let heights: Vec<usize> = sizes.iter().map(|row| row.iter().map(|s| s.1).max().unwrap_or(0)).collect();
        let captions = self.rows.iter().any(|row| !row.caption.is_empty());
        let labels = self.rows.iter().flat_map(|row| &row.pictures).any(|picture| !picture.label.is_empty());
        let below = if labels { LABEL_HEIGHT } else { 0 } + if captions { 26 } else { 0 };

        let inner = (widths.iter().sum::<usize>() + GAP * (count - 1)).max(520);
        let head = MARGIN + 34 + if self.subtitle.is_empty() { 0 } else { 26 } + 18;
        let header = if self.columns.is_empty() { 0 } else { 30 };
        let body: usize = heights.iter().map(|h| h + below + GAP).sum();
        let foot = if self.legends.is_empty() { 0 } else { 34 };
        let mut canvas = Canvas::new(inner + 2 * MARGIN, head + header + body + foot + MARGIN - GAP / 2, PAPER);

        let left = MARGIN as f32;
        let fitted = TITLE.fit(&self.title, inner as f32);
        canvas.text(&fitted, (left, (MARGIN + 22) as f32), &TITLE, Align::Left);
        let fitted = SUBTITLE.fit(&self.subtitle, inner as f32);
        canvas.text(&fitted, (left, (MARGIN + 51) as f32), &SUBTITLE, Align::Left);
        canvas.fill(Rect { x: MARGIN as i32, y: head as i32 - 8, width: inner, height: 1 }, RULE);

        let lefts: Vec<usize> = (0..count).map(|c| MARGIN + widths[..c].iter().sum::<usize>() + GAP * c).collect();
        for (c, name) in self.columns.iter().enumerate() {
            let fitted = HEADER.fit(name, widths[c] as f32);
            canvas.text(&fitted, (lefts[c] as f32, (head + 17) as f32), &HEADER, Align::Left);
        }
        let mut y = head + header;
        for ((row, sizes), height) in self.rows.iter().zip(&sizes).zip(&heights) {
            for ((picture, &(w, h)), &x) in row.pictures.iter().zip(sizes).zip(&lefts) {
                canvas.image(x as i32, y as i32, w, &picture.scaled(w, h));
                let fitted = CAPTION.fit(&picture.label, w as f32);
                canvas.text(&fitted, (x as f32, (y + h + 15) as f32), &CAPTION, Align::Left);
            }
            y += height + below;
            let fitted = CAPTION.fit(&row.caption, inner as f32);
            canvas.text(&fitted, (left, (y - 9) as f32), &CAPTION, Align::Left);
            y += GAP;
        }
        let mut x = left;
        for legend in &self.legends {
            x = legend.draw(&mut canvas, x, (y + 10) as i32) + 40.0;
        }
        canvas
    }

    pub fn save(&self, path: &std::path::Path) -> Result<(), DrawError> {
        self.draw().save(path)
    }
}

impl Legend {
    /// Draws the legend from `x` on; returns where it ends.
    fn draw(&self, canvas: &mut Canvas, mut x: f32, y: i32) -> f32 {
        let baseline = (y + 13) as f32;
        match *self {
            Self::Classes => {
                for class in Class::ALL {
                    let rect = Rect { x: x as i32, y, width: 16, height: 16 };
                    canvas.fill_round(rect, 4.0, palette::class_colour(class));
                    x += 24.0;
                    x += canvas.text(class.name(), (x, baseline), &LEGEND, Align::Left) + 20.0;
                }
                x - 20.0
            }
            Self::Depth(near, far) => {
                x += canvas.text(&format!("{near:.2} m"), (x, baseline), &LEGEND, Align::Left) + 10.0;
                const BAR: usize = 180;
                let depths: Vec<f32> = (0..BAR)
                    .map(|i| near + (far - near) * (i as f32 + 0.5) / BAR as f32)
                    .map(|d| d.max(1e-6))
                    .collect();
                let line = palette::colour_depth(&depths, near, far);
                canvas.image(x as i32, y, BAR, &line.repeat(16));
                x += BAR as f32 + 10.0;
                x + canvas.text(&format!("{far:.2} m"), (x, baseline), &LEGEND, Align::Left)
            }
        }
    }
}

/// Nearest and farthest depth that matter: the 1st and 99th percentile of what was hit. `(0, 1)` without any hit.
pub fn depth_range(depths_m: impl Iterator<Item = f32>) -> (f32, f32) {
    let mut hits: Vec<f32> = depths_m.filter(|&d| d > 0.0 && d.is_finite()).collect();
    hits.sort_by(f32::total_cmp);
    let at = |q: usize| hits.get((hits.len() * q / 100).min(hits.len().saturating_sub(1))).copied();
    match (at(1), at(99)) {
        (Some(near), Some(far)) if far > near => (near, far),
        (Some(near), _) => (near, near + 1.0),
        _ => (0.0, 1.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_keep_their_pixels_and_their_place() {
        let red = Picture::exact(2, 2, [[255, 0, 0]; 4].concat());
        let blue = Picture::exact(2, 2, [[0, 0, 255]; 4].concat());
        let mut sheet = ContactSheet::new("title", "").columns(&["a", "b"]).cell(64);
        sheet.row("first", vec![red.clone(), blue.clone()]);
        sheet.row("second", vec![blue, red]);
        let canvas = sheet.draw();
        let count = |colour: [u8; 3]| canvas.rgb.chunks_exact(3).filter(|p| **p == colour).count();
        assert_eq!(count([255, 0, 0]), 2 * 64 * 64);
        assert_eq!(count([0, 0, 255]), 2 * 64 * 64);
    }

    #[test]
    fn a_label_stands_below_its_picture_alone() {
        let sheet = |label: &str| {
            let white = Picture::exact(1, 1, vec![255; 3]);
            let mut sheet = ContactSheet::new("", "").cell(64);
            sheet.row("", vec![white.clone().labelled(label), white]);
            sheet.draw()
        };
        let (plain, labelled) = (sheet(""), sheet("0.75"));
        assert_eq!((labelled.width, labelled.height), (plain.width, plain.height + LABEL_HEIGHT));
        let top = labelled.height - MARGIN - GAP / 2 - LABEL_HEIGHT;
        let inked = |columns: std::ops::Range<usize>| {
            let pixel = |y: usize, x: usize| labelled.rgb[(y * labelled.width + x) * 3] < 200;
            (top..top + LABEL_HEIGHT)
                .flat_map(|y| columns.clone().map(move |x| (y, x)))
                .filter(|&(y, x)| pixel(y, x))
                .count()
        };
        assert!(inked(MARGIN..MARGIN + 64) > 20 && inked(MARGIN + 64 + GAP..labelled.width) == 0);
    }

    #[test]
    fn large_pictures_shrink_to_the_cell_and_odd_sheets_do_not_fail() {
        let sheet = ContactSheet::new("t", "s").cell(100);
        assert_eq!(sheet.size_of(&Picture::photo(640, 512, vec![])), (100, 80));
        assert_eq!(sheet.size_of(&Picture::photo(64, 48, vec![])), (128, 96));
        assert_eq!(sheet.size_of(&Picture::photo(72, 72, vec![])), (72, 72));
        assert!(sheet.draw().width > 100);
        let mut sheet = sheet.columns(&["only"]);
        sheet.row("wrong size", vec![Picture::photo(7, 7, vec![1, 2]), Picture::exact(1, 1, vec![1, 2, 3])]);
        assert!(sheet.draw().height > 100);
    }

    #[test]
    fn the_depth_range_ignores_misses_and_strays() {
        let depths = (0..1000).map(|i| if i % 2 == 0 { 0.0 } else { 1.0 + i as f32 * 0.001 }).chain([50.0]);
        let (near, far) = depth_range(depths);
        assert!((near - 1.01).abs() < 0.01 && (far - 1.99).abs() < 0.02, "{near} {far}");
        assert_eq!(depth_range(std::iter::empty()), (0.0, 1.0));
    }
}
