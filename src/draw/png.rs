//! PNG in the four shapes that datasets use: colour, class ids with a palette, and 16-bit depth.
//!
//! In: raw pixels. Out: the file's bytes, and back. Encoding is the bottleneck of writing datasets, so it uses
//! `fdeflate` (a deflate for PNG's filtered rows) and one fixed filter for each kind of image; the choice was measured,
//! see [`encode_rgb`]. Decoding looks at the size in the header before it allocates anything.

use png::{BitDepth, ColorType, DeflateCompression, Filter};
use std::io::Cursor;

/// Images larger than this in either direction are refused.
pub const MAX_SIDE: u32 = 8192;
/// Text and other chunks an image may carry beside its pixels, bytes.
const EXTRA_BYTES: usize = 1 << 20;

#[derive(Debug, thiserror::Error)]
pub enum PngError {
    #[error("it is not a readable PNG: {0}")]
    Decode(#[from] png::DecodingError),
    #[error("it cannot be encoded as PNG: {0}")]
    Encode(#[from] png::EncodingError),
    #[error("its size is {width}x{height}, and at most {MAX_SIDE}x{MAX_SIDE} is accepted")]
    TooLarge { width: u32, height: u32 },
    #[error("it is {found}, and {expected} was expected")]
    Kind { found: String, expected: String },
}

/// A decoded image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image<T> {
    pub width: usize,
    pub height: usize,
    /// `[height, width, channels]`
    pub pixels: Vec<T>,
}

struct Kind<'a> {
    color: ColorType,
    depth: BitDepth,
    palette: Option<&'a [u8]>,
    filter: Filter,
}

fn encode(bytes: &[u8], width: usize, height: usize, kind: &Kind) -> Result<Vec<u8>, PngError> {
    let side = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let (w, h) = (side(width), side(height));
    if w > MAX_SIDE || h > MAX_SIDE {
        return Err(PngError::TooLarge { width: w, height: h });
    }
    let mut out = Vec::with_capacity(bytes.len() / 2 + 1024);
    let mut encoder = png::Encoder::new(&mut out, w, h);
    encoder.set_color(kind.color);
    encoder.set_depth(kind.depth);
    encoder.set_deflate_compression(DeflateCompression::FdeflateUltraFast);
    encoder.set_filter(kind.filter);
    if let Some(palette) = kind.palette {
        encoder.set_palette(palette);
    }
    let mut writer = encoder.write_header()?;
    writer.write_image_data(bytes)?;
    writer.finish()?;
    Ok(out)
}

/// `[height, width, 3]` sRGB bytes.
///
/// Measured on two kinds of frames (textured and flat), one core, microseconds and bytes an image:
///
/// | 472x472 | textured | flat |
/// |---|---|---|
/// | fdeflate, adaptive filter (this) | 980 us, 461 kB | 240 us, 15.9 kB |
/// | fdeflate, sub | 763 us, 478 kB | 118 us, 21.5 kB |
/// | deflate level 1, adaptive | 5,442 us, 403 kB | 524 us, 11.8 kB |
/// | deflate level 6, adaptive | 39,004 us, 339 kB | 2,466 us, 6.0 kB |
pub fn encode_rgb(rgb: &[u8], width: usize, height: usize) -> Result<Vec<u8>, PngError> {
    let kind = Kind { color: ColorType::Rgb, depth: BitDepth::Eight, palette: None, filter: Filter::Adaptive };
    encode(rgb, width, height, &kind)
}

/// `[height, width]` ids; `palette` has three bytes for each id from 0 on, and colours the image in every viewer while
/// the pixels stay ids. The filter is `up` (measured: half the time of the adaptive one for the same bytes).
pub fn encode_indexed(ids: &[u8], width: usize, height: usize, palette: &[u8]) -> Result<Vec<u8>, PngError> {
    let palette = Some(palette);
    encode(ids, width, height, &Kind { color: ColorType::Indexed, depth: BitDepth::Eight, palette, filter: Filter::Up })
}

/// `[height, width]` 16-bit values. The filter is Paeth (measured: smallest by far for depth, 244 us at 472x472).
pub fn encode_gray16(gray: &[u16], width: usize, height: usize) -> Result<Vec<u8>, PngError> {
    let bytes: Vec<u8> = gray.iter().flat_map(|v| v.to_be_bytes()).collect();
    let kind = Kind { color: ColorType::Grayscale, depth: BitDepth::Sixteen, palette: None, filter: Filter::Paeth };
    encode(&bytes, width, height, &kind)
}

fn decode(file: &[u8], color: ColorType, depth: BitDepth) -> Result<Image<u8>, PngError> {
    let mut decoder = png::Decoder::new(Cursor::new(file));
    let info = decoder.read_header_info()?;
    let (width, height) = (info.width, info.height);
    if width > MAX_SIDE || height > MAX_SIDE {
        return Err(PngError::TooLarge { width, height });
    }
    if (info.color_type, info.bit_depth) != (color, depth) {
        let name = |color: ColorType, depth: BitDepth| format!("{color:?} with {} bits", depth as u8);
        return Err(PngError::Kind { found: name(info.color_type, info.bit_depth), expected: name(color, depth) });
    }
    let bytes = width as usize * height as usize * color.samples() * (depth as usize / 8);
    decoder.set_limits(png::Limits { bytes: bytes + EXTRA_BYTES });
    decoder.set_transformations(png::Transformations::IDENTITY);
    let mut reader = decoder.read_info()?;
    let mut pixels = vec![0; bytes];
    reader.next_frame(&mut pixels)?;
    // Reads on to the end, so that a file cut off behind its last pixel is noticed too.
    reader.finish()?;
    Ok(Image { width: width as usize, height: height as usize, pixels })
}

/// An 8-bit RGB file to `[height, width, 3]`.
pub fn decode_rgb(file: &[u8]) -> Result<Image<u8>, PngError> {
    decode(file, ColorType::Rgb, BitDepth::Eight)
}

/// An 8-bit palette file to its indices (not its colours).
pub fn decode_indexed(file: &[u8]) -> Result<Image<u8>, PngError> {
    decode(file, ColorType::Indexed, BitDepth::Eight)
}

/// A 16-bit grey file.
pub fn decode_gray16(file: &[u8]) -> Result<Image<u16>, PngError> {
    let Image { width, height, pixels } = decode(file, ColorType::Grayscale, BitDepth::Sixteen)?;
    let pixels = pixels.chunks_exact(2).map(|b| u16::from_be_bytes([b[0], b[1]])).collect();
    Ok(Image { width, height, pixels })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Seed;

    #[test]
    fn round_trips() {
        let mut rng = Seed(5).rng();
        for (w, h) in [(1, 1), (7, 5), (64, 64)] {
            let rgb: Vec<u8> = (0..w * h * 3).map(|i| (i as u64 * 3 + rng.next_u64() % 9) as u8).collect();
            let image = decode_rgb(&encode_rgb(&rgb, w, h).unwrap()).unwrap();
            assert_eq!(image, Image { width: w, height: h, pixels: rgb });
            let ids: Vec<u8> = (0..w * h).map(|_| rng.below(5) as u8).collect();
            assert_eq!(decode_indexed(&encode_indexed(&ids, w, h, &[9; 15]).unwrap()).unwrap().pixels, ids);
            let gray: Vec<u16> = (0..w * h).map(|_| rng.below(65536) as u16).collect();
            assert_eq!(decode_gray16(&encode_gray16(&gray, w, h).unwrap()).unwrap().pixels, gray);
        }
    }

    #[test]
    fn damage_is_an_error_wherever_it_is() {
        let rgb: Vec<u8> = (0..16 * 16 * 3).map(|i| (i % 251) as u8).collect();
        let file = encode_rgb(&rgb, 16, 16).unwrap();
        for end in 0..file.len() {
            assert!(decode_rgb(&file[..end]).is_err(), "cut at {end} of {}", file.len());
        }
        for at in 0..file.len() {
            let mut bad = file.clone();
            bad[at] ^= 0x10;
            assert!(decode_rgb(&bad).is_err(), "byte {at} of {}", file.len());
        }
    }

    #[test]
    fn huge_and_foreign_images_are_refused_before_allocation() {
        let mut out = Vec::new();
        let mut encoder = png::Encoder::new(&mut out, 60_000, 60_000);
        encoder.set_color(ColorType::Rgb);
        // A header alone claims 10 GB.
        drop(encoder.write_header().unwrap());
        assert!(matches!(decode_rgb(&out), Err(PngError::TooLarge { width: 60_000, .. })));
        let gray = encode_gray16(&[1, 2], 2, 1).unwrap();
        let error = decode_rgb(&gray).unwrap_err().to_string();
        assert_eq!(error, "it is Grayscale with 16 bits, and Rgb with 8 bits was expected");
    }
}
