//! Text as coverage: glyphs of the two embedded fonts, anti-aliased.

use ab_glyph::{Font, FontRef, Glyph, GlyphId, PxScale, ScaleFont, point};
use std::sync::OnceLock;

/// A typeface that comes with the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Typeface {
    /// Ubuntu Light: titles and captions.
    Sans,
    /// Hack: figures that stand below each other.
    Mono,
}

impl Typeface {
    pub const fn bytes(self) -> &'static [u8] {
        match self {
            Self::Sans => epaint_default_fonts::UBUNTU_LIGHT,
            Self::Mono => epaint_default_fonts::HACK_REGULAR,
        }
    }

    /// `None` only if the embedded file were no font.
    fn font(self) -> Option<&'static FontRef<'static>> {
        static FONTS: [OnceLock<Option<FontRef<'static>>>; 2] = [const { OnceLock::new() }; 2];
        FONTS[self as usize].get_or_init(|| FontRef::try_from_slice(self.bytes()).ok()).as_ref()
    }
}

/// How a text looks. `size` is the height of the letters' em square in pixels.
#[derive(Clone, Copy, Debug)]
pub struct TextStyle {
    pub face: Typeface,
    pub size: f32,
    pub colour: [u8; 3],
    /// Extra thickness of the strokes in pixels; Ubuntu Light is thin in small sizes.
    pub weight: f32,
}

impl TextStyle {
    pub const fn new(face: Typeface, size: f32, colour: [u8; 3]) -> Self {
        Self { face, size, colour, weight: 0.0 }
    }

    pub const fn weight(self, weight: f32) -> Self {
        Self { weight, ..self }
    }

    /// Glyphs with their fonts, the first one's origin at 0, and the width of the whole, pixels. What the face does not
    /// have comes from the other one.
    fn layout(&self, text: &str) -> (Vec<(&'static FontRef<'static>, Glyph)>, f32) {
        let other = if self.face == Typeface::Sans { Typeface::Mono } else { Typeface::Sans };
        let (Some(own), Some(other)) = (self.face.font(), other.font()) else {
            return (Vec::new(), 0.0);
        };
        let (mut x, mut last, mut glyphs) = (0.0, None, Vec::new());
        for c in text.chars() {
            let font = if own.glyph_id(c) == GlyphId(0) && other.glyph_id(c) != GlyphId(0) { other } else { own };
            // ab_glyph scales by the height from ascent to descent; designers count in em.
            let scale = PxScale::from(self.size * font.height_unscaled() / font.units_per_em().unwrap_or(1000.0));
            let scaled = font.as_scaled(scale);
            let id = scaled.glyph_id(c);
            if let Some(last) = last {
                x += scaled.kern(last, id);
            }
            glyphs.push((font, id.with_scale_and_position(scale, point(x, 0.0))));
            x += scaled.h_advance(id) + self.weight;
            last = Some(id);
        }
        (glyphs, x)
    }

    /// Width in pixels.
    pub fn width(&self, text: &str) -> f32 {
        self.layout(text).1
    }

    /// Height of a capital letter over the baseline, pixels (both faces are near 0.7 em).
    pub fn cap_height(&self) -> f32 {
        0.7 * self.size
    }

    /// Calls `draw(x, y, coverage)` for the pixels of a text whose baseline begins at `(x, y)`.
    pub fn rasterize(&self, text: &str, (x, y): (f32, f32), mut draw: impl FnMut(i32, i32, f32)) {
        for (font, mut glyph) in self.layout(text).0 {
            // Whole pixels vertically keep the stems of a line equally sharp.
            glyph.position = point(glyph.position.x + x, y.round());
            let Some(outline) = font.outline_glyph(glyph) else { continue };
            let bounds = outline.px_bounds();
            let (left, top) = (bounds.min.x as i32, bounds.min.y as i32);
            let width = bounds.width().ceil() as usize + 2;
            let height = bounds.height().ceil() as usize;
            let mut coverage = vec![0.0_f32; width * height];
            outline.draw(|gx, gy, c| {
                if let Some(value) = coverage.get_mut(gy as usize * width + gx as usize) {
                    *value = c.clamp(0.0, 1.0);
                }
            });
            for row in 0..height {
                let line = &coverage[row * width..][..width];
                let mut before = 0.0;
                for (column, &c) in line.iter().enumerate() {
                    // Thicker strokes: each pixel also gets a share of its left neighbour.
                    let c_bold = (c + self.weight.min(1.0) * before).min(1.0);
                    before = c;
                    if c_bold > 0.0 {
                        draw(left + column as i32, top + row as i32, c_bold);
                    }
                }
            }
        }
    }

    /// `text`, cut with an ellipsis so that it is at most `width` pixels wide.
    pub fn fit(&self, text: &str, width: f32) -> String {
        if self.width(text) <= width {
            return text.into();
        }
        let mut kept: Vec<char> = text.chars().collect();
        while kept.pop().is_some() {
            let shorter = kept.iter().collect::<String>().trim_end().to_owned() + "…";
            if self.width(&shorter) <= width {
                return shorter;
            }
        }
        String::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STYLE: TextStyle = TextStyle::new(Typeface::Sans, 20.0, [0; 3]);

    #[test]
    fn wide_letters_are_wider_and_every_letter_covers_pixels() {
        assert!(STYLE.width("MMMM") > 2.0 * STYLE.width("iiii"));
        for c in "abcxyzABCXYZ0189%±µ…→".chars() {
            let mut ink = 0.0;
            STYLE.rasterize(&c.to_string(), (10.0, 30.0), |_, _, coverage| ink += coverage);
            assert!(ink > 2.0, "{c}: {ink}");
            let glyph = &STYLE.layout(&c.to_string()).0[0].1;
            assert_ne!(glyph.id, GlyphId(0), "{c} is in no typeface");
        }
    }

    #[test]
    fn letters_stand_on_the_baseline() {
        let (mut top, mut bottom) = (i32::MAX, i32::MIN);
        STYLE.rasterize("H", (0.0, 50.0), |_, y, coverage| {
            if coverage > 0.5 {
                (top, bottom) = (top.min(y), bottom.max(y));
            }
        });
        assert_eq!(bottom, 49);
        let height = (bottom - top + 1) as f32;
        assert!((height - STYLE.cap_height()).abs() <= 1.0, "{height}");
    }

    #[test]
    fn long_text_is_cut() {
        let text = "a caption that is far too long for its picture";
        let cut = STYLE.fit(text, 100.0);
        assert!(cut.ends_with('…') && STYLE.width(&cut) <= 100.0 && cut.len() > 6, "{cut}");
        assert_eq!(STYLE.fit("short", 100.0), "short");
    }
}
