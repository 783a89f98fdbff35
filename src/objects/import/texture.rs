//! Pictures on objects. In: the bytes of a picture file. Out: its mean, and samples at any level of detail.

use crate::contract::srgb::{byte_of, linear_of};
use glam::{Vec2, Vec3, Vec4};
use image::RgbaImage;

/// Longest edge of what is kept of a picture, texels: finer detail than vertices can show.
const LARGEST: u32 = 512;

/// A picture as a pyramid of halved ones, in linear light, each texel times its alpha.
#[derive(Clone, Debug, PartialEq)]
pub struct Texture {
    /// The mean over what is not transparent, sRGB.
    pub mean: [u8; 3],
    levels: Vec<Level>,
}

#[derive(Clone, Debug, PartialEq)]
struct Level {
    width: usize,
    height: usize,
    texels: Vec<Vec4>,
}

impl Texture {
    /// # Errors
    /// Says why the bytes are no picture.
    pub fn decoded(bytes: &[u8]) -> Result<Self, String> {
        let picture = decode(bytes)?;
        let (mut sum, mut weight) = ([0.0_f64; 3], 0.0_f64);
        for pixel in picture.pixels() {
            let [r, g, b, alpha] = pixel.0;
            let alpha = f64::from(alpha);
            weight += alpha;
            [r, g, b].into_iter().zip(&mut sum).for_each(|(value, sum)| *sum += alpha * f64::from(linear_of(value)));
        }
        if weight <= 0.0 {
            return Err("it is wholly transparent".into());
        }
        let mean = sum.map(|sum| byte_of((sum / weight) as f32));
        let shrink = picture.width().max(picture.height()).div_ceil(LARGEST).max(1) as usize;
        let mut levels = vec![Level::shrunk(&picture, shrink)];
        while let Some(next) = levels.last().and_then(Level::halved) {
            levels.push(next);
        }
        Ok(Self { mean, levels })
    }

    /// Width and height of the finest level, texels.
    pub fn size(&self) -> Vec2 {
        self.levels.first().map_or(Vec2::ONE, |level| Vec2::new(level.width as f32, level.height as f32))
    }

    /// The linear colour at `uv`, v downwards, where `level` is 0 for single texels and 1 more for twice as many a side. Beyond
    /// the picture's border it is `repeated`, or else its border texels are: the two sides of a picture that is there once
    /// do not blend.
    pub fn sample(&self, uv: Vec2, level: f32, repeated: bool) -> Vec3 {
        let last = self.levels.len() - 1;
        let texel = self.levels[(level.max(0.0).round() as usize).min(last)].sample(uv, repeated);
        match texel.w > 1e-3 {
            true => texel.truncate() / texel.w,
            false => linear_color(self.mean),
        }
    }
}

impl Level {
    /// Blocks of `factor` by `factor` pixels, smaller ones at the right and lower edges.
    fn shrunk(picture: &RgbaImage, factor: usize) -> Self {
        let (full_width, full_height) = (picture.width() as usize, picture.height() as usize);
        let table: Vec<f32> = (0..=255).map(linear_of).collect();
        let texel = |x: usize, y: usize| {
            let [r, g, b, alpha] = picture.get_pixel(x as u32, y as u32).0;
            let alpha = f32::from(alpha) / 255.0;
            let [r, g, b] = [r, g, b].map(|byte| table[usize::from(byte)]);
            (Vec3::new(r, g, b) * alpha).extend(alpha)
        };
        Self::blocks((full_width, full_height), factor, texel)
    }

    fn blocks((full_width, full_height): (usize, usize), factor: usize, texel: impl Fn(usize, usize) -> Vec4) -> Self {
        let (width, height) = (full_width.div_ceil(factor), full_height.div_ceil(factor));
        let mut texels = Vec::with_capacity(width * height);
        for y in 0..height {
            for x in 0..width {
                let (right, low) = (((x + 1) * factor).min(full_width), ((y + 1) * factor).min(full_height));
                let (mut sum, mut count) = (Vec4::ZERO, 0.0);
                for row in y * factor..low {
                    for column in x * factor..right {
                        sum += texel(column, row);
                        count += 1.0;
                    }
                }
                texels.push(sum / count);
            }
        }
        Self { width, height, texels }
    }

    /// `None` for a single texel.
    fn halved(&self) -> Option<Self> {
        let at = |x: usize, y: usize| self.texels[y * self.width + x];
        (self.width > 1 || self.height > 1).then(|| Self::blocks((self.width, self.height), 2, at))
    }

    /// Between the four nearest texels.
    fn sample(&self, uv: Vec2, repeated: bool) -> Vec4 {
        let inside = if repeated { uv - uv.floor() } else { uv };
        let place = inside * Vec2::new(self.width as f32, self.height as f32) - 0.5;
        let (base, part) = (place.floor(), place - place.floor());
        let number = |place: i64, count: usize| match repeated {
            true => place.rem_euclid(count as i64) as usize,
            false => place.clamp(0, count as i64 - 1) as usize,
        };
        let at = |dx: i64, dy: i64| {
            let (x, y) = (number(base.x as i64 + dx, self.width), number(base.y as i64 + dy, self.height));
            self.texels[y * self.width + x]
        };
        at(0, 0).lerp(at(1, 0), part.x).lerp(at(0, 1).lerp(at(1, 1), part.x), part.y)
    }
}

/// The only place where the importers decode a picture.
fn decode(bytes: &[u8]) -> Result<RgbaImage, String> {
    let mut reader = image::ImageReader::new(std::io::Cursor::new(bytes))
        .with_guessed_format()
        .map_err(|error| error.to_string())?;
    let mut limits = image::Limits::default();
    limits.max_image_width = Some(16_384);
    limits.max_image_height = Some(16_384);
    reader.limits(limits);
    reader.decode().map(|picture| picture.to_rgba8()).map_err(|error| error.to_string())
}

/// An sRGB colour in linear light.
pub(super) fn linear_color(srgb: [u8; 3]) -> Vec3 {
    Vec3::from_array(srgb.map(linear_of))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn png(picture: &RgbaImage) -> Vec<u8> {
        let mut bytes = std::io::Cursor::new(Vec::new());
        picture.write_to(&mut bytes, image::ImageFormat::Png).expect("memory takes it");
        bytes.into_inner()
    }

    #[test]
    fn texels_are_hit_at_their_centres_and_levels_are_means() -> Result<(), String> {
        // Red, green; blue, white.
        let picture = RgbaImage::from_fn(2, 2, |x, y| {
            image::Rgba([[255, 0, 0, 255], [0, 255, 0, 255], [0, 0, 255, 255], [255; 4]][(2 * y + x) as usize])
        });
        let texture = Texture::decoded(&png(&picture))?;
        assert_eq!(texture.size(), Vec2::splat(2.0));
        let at = |u: f32, v: f32, level: f32| texture.sample(Vec2::new(u, v), level, true);
        assert_eq!(at(0.25, 0.25, 0.0), Vec3::X);
        assert_eq!(at(0.75, 0.25, 0.0), Vec3::Y);
        assert_eq!(at(0.25, 0.75, 0.0), Vec3::Z);
        // Half way, across the repeated border too, and one or three pictures on.
        assert_eq!(at(0.5, 0.25, 0.0), Vec3::new(0.5, 0.5, 0.0));
        assert_eq!(at(1.0, 0.25, 0.0), Vec3::new(0.5, 0.5, 0.0));
        assert_eq!(at(-0.75, 3.25, 0.0), Vec3::X);
        assert_eq!(at(0.1, 0.9, 1.0), Vec3::splat(0.5));
        // A picture that is there once ends with its border.
        assert_eq!(texture.sample(Vec2::new(1.0, 0.25), 0.0, false), Vec3::Y);
        assert_eq!(texture.sample(Vec2::new(-5.0, 0.0), 0.0, false), Vec3::X);
        assert_eq!(texture.mean, [188; 3]);
        Ok(())
    }

    #[test]
    fn what_is_transparent_has_no_colour() -> Result<(), String> {
        let picture = RgbaImage::from_fn(1024, 1, |x, _| image::Rgba([255, 0, 0, if x < 512 { 255 } else { 0 }]));
        let texture = Texture::decoded(&png(&picture))?;
        assert_eq!((texture.mean, texture.size()), ([255, 0, 0], Vec2::new(512.0, 1.0)));
        assert_eq!(texture.sample(Vec2::new(0.75, 0.5), 0.0, true), Vec3::X);
        assert_eq!(texture.sample(Vec2::new(0.5, 0.5), 0.0, true), Vec3::X);
        let nothing = RgbaImage::from_pixel(2, 2, image::Rgba([9, 9, 9, 0]));
        assert!(Texture::decoded(&png(&nothing)).is_err_and(|error| error.contains("transparent")));
        assert!(Texture::decoded(b"no picture").is_err());
        Ok(())
    }
}
