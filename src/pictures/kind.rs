//! What a file is, by its first bytes.

use image::ImageFormat;
use std::fmt;
use std::path::Path;

/// First bytes that [`kind_of`] looks at.
pub const HEAD: usize = 512;

/// Contents of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Png,
    Jpeg,
    Gif,
    WebP,
    Bmp,
    Tiff,
    /// A picture that is not read, by the name people know.
    Other(&'static str),
    Unknown,
}

impl Kind {
    /// The decoder; none for pictures that are not read, and for what is no picture.
    pub fn format(self) -> Option<ImageFormat> {
        Some(match self {
            Self::Png => ImageFormat::Png,
            Self::Jpeg => ImageFormat::Jpeg,
            Self::Gif => ImageFormat::Gif,
            Self::WebP => ImageFormat::WebP,
            Self::Bmp => ImageFormat::Bmp,
            Self::Tiff => ImageFormat::Tiff,
            Self::Other(_) | Self::Unknown => return None,
        })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Png => "a PNG picture",
            Self::Jpeg => "a JPEG picture",
            Self::Gif => "a GIF picture",
            Self::WebP => "a WebP picture",
            Self::Bmp => "a BMP picture",
            Self::Tiff => "a TIFF picture",
            Self::Other(name) => return write!(formatter, "a picture in the format {name}"),
            Self::Unknown => "of no known format",
        })
    }
}

/// Endings of TIFF files that hold a camera's raw data, and as a picture a thumbnail at most.
const RAW: [&str; 9] = ["dng", "nef", "nrw", "arw", "srf", "sr2", "pef", "erf", "3fr"];

/// First bytes of formats that are not read.
const OTHERS: [(&[u8], &str); 14] = [
    (b"8BPS", "Photoshop (PSD)"),
    (b"\x76\x2f\x31\x01", "OpenEXR"),
    (b"#?RADIANCE", "Radiance HDR"),
    (b"#?RGBE", "Radiance HDR"),
    (b"qoif", "QOI"),
    (b"DDS ", "DDS"),
    (b"gimp xcf", "GIMP (XCF)"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"\0\0\x01\0", "ICO"),
    (b"FUJIFILMCCD-RAW", "camera raw"),
    (b"farbfeld", "farbfeld"),
];

/// What bytes are; `path` only tells camera raw from other TIFF files, and formats without first bytes of their own.
pub fn kind_of(bytes: &[u8], path: &Path) -> Kind {
    let head = &bytes[..bytes.len().min(HEAD)];
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
    let at = |offset: usize, word: &[u8]| head.get(offset..offset + word.len()) == Some(word);
    if at(0, b"\x89PNG\r\n\x1a\n") {
        return Kind::Png;
    }
    if at(0, b"\xff\xd8\xff") {
        return Kind::Jpeg;
    }
    if at(0, b"GIF87a") || at(0, b"GIF89a") {
        return Kind::Gif;
    }
    if at(0, b"RIFF") && at(8, b"WEBP") {
        return Kind::WebP;
    }
    // "BM" alone begins many a text.
    let bmp_header = head.get(14..18).map(|size| u32::from_le_bytes([size[0], size[1], size[2], size[3]]));
    if at(0, b"BM") && bmp_header.is_some_and(|size| [12, 16, 40, 52, 56, 64, 108, 124].contains(&size)) {
        return Kind::Bmp;
    }
    if [&b"II*\0"[..], b"MM\0*", b"II+\0", b"MM\0+"].iter().any(|word| at(0, word)) {
        let raw = at(8, b"CR") || RAW.contains(&extension.as_str());
        return if raw { Kind::Other("camera raw") } else { Kind::Tiff };
    }
    if at(0, b"IIU\0") || at(0, b"IIRO") || at(0, b"IIRS") || at(0, b"MMOR") {
        return Kind::Other("camera raw");
    }
    if at(4, b"ftyp") {
        return match head.get(8..12) {
            Some(b"avif" | b"avis") => Kind::Other("AVIF"),
            Some(b"heic" | b"heix" | b"hevc" | b"hevx" | b"heim" | b"heis" | b"mif1" | b"msf1") => Kind::Other("HEIC"),
            Some(b"crx ") => Kind::Other("camera raw"),
            _ => Kind::Unknown,
        };
    }
    if let Some((_, name)) = OTHERS.iter().find(|(word, _)| at(0, word)) {
        return Kind::Other(name);
    }
    let is_netpbm = head.len() > 2 && head[0] == b'P' && (b'1'..=b'7').contains(&head[1]);
    if is_netpbm && head[2].is_ascii_whitespace() {
        return Kind::Other("PNM");
    }
    let text = String::from_utf8_lossy(head);
    if text.contains("<svg") {
        return Kind::Other("SVG");
    }
    // No first bytes of its own.
    if extension == "tga" && !head.is_empty() { Kind::Other("TGA") } else { Kind::Unknown }
}
