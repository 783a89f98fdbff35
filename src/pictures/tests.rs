//! Files as other programs write them, made here byte by byte or by the encoders of the `image` crate.

use super::*;
use image::{ExtendedColorType, ImageEncoder, Rgb, Rgba};

/// Left half red, right half blue, and a green pixel in the upper left corner of every 8x8 block's worth.
fn two_colours(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, _| if x < width / 2 { Rgb([220, 20, 30]) } else { Rgb([20, 40, 210]) })
}

fn jpeg(picture: &RgbImage) -> Vec<u8> {
    let mut bytes = Vec::new();
    image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, 95)
        .write_image(picture.as_raw(), picture.width(), picture.height(), ExtendedColorType::Rgb8)
        .expect("encoded");
    bytes
}

fn encoded(picture: &DynamicImage, format: image::ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).expect("encoded");
    bytes.into_inner()
}

/// An EXIF segment that says how the camera was held, as TIFF in big-endian order (EXIF 2.32, 4.6).
fn exif(orientation: u8) -> Vec<u8> {
    let tiff =
        [&b"MM\0*\0\0\0\x08"[..], b"\0\x01", b"\x01\x12\0\x03\0\0\0\x01\0", &[orientation], b"\0\0", b"\0\0\0\0"];
    let mut body = b"Exif\0\0".to_vec();
    body.extend(tiff.concat());
    let mut segment = vec![0xff, 0xe1];
    segment.extend(u16::try_from(body.len() + 2).expect("short").to_be_bytes());
    segment.extend(body);
    segment
}

fn is_red(pixel: &Rgb<u8>) -> bool {
    pixel[0] > 150 && pixel[2] < 100
}

#[test]
fn pictures_stand_as_the_camera_was_held() {
    let upright = jpeg(&two_colours(32, 16));
    // Where the red half, left in the stored rows, is to be seen: EXIF 2.32, table 6.
    for (orientation, size, red, blue) in [
        (1, (32, 16), (4, 8), (28, 8)),
        (2, (32, 16), (28, 8), (4, 8)),
        (3, (32, 16), (28, 8), (4, 8)),
        (4, (32, 16), (4, 8), (28, 8)),
        (5, (16, 32), (8, 4), (8, 28)),
        (6, (16, 32), (8, 4), (8, 28)),
        (7, (16, 32), (8, 28), (8, 4)),
        (8, (16, 32), (8, 28), (8, 4)),
    ] {
        let bytes = [&upright[..2], &exif(orientation), &upright[2..]].concat();
        let picture = decode(&bytes, Path::new("held.jpg")).expect("a picture");
        assert_eq!(picture.dimensions(), size, "orientation {orientation}");
        assert!(is_red(picture.get_pixel(red.0, red.1)), "orientation {orientation}");
        assert!(!is_red(picture.get_pixel(blue.0, blue.1)), "orientation {orientation}");
    }
    // A note that makes no sense turns nothing.
    let bytes = [&upright[..2], &exif(77), &upright[2..]].concat();
    assert_eq!(decode(&bytes, Path::new("odd.jpg")).expect("a picture").dimensions(), (32, 16));
}

#[test]
fn every_depth_and_colour_becomes_eight_bits_of_srgb() {
    let path = Path::new("x");
    // 16 bits: v / 257, rounded. 0x8080 is 128 in 8 bits, as 0xffff is 255.
    let deep = image::ImageBuffer::from_pixel(3, 2, Rgb([0x8080_u16, 0xffff, 0x0101]));
    let picture = decode(&encoded(&DynamicImage::ImageRgb16(deep), image::ImageFormat::Png), path).expect("read");
    assert_eq!(*picture.get_pixel(2, 1), Rgb([128, 255, 1]));
    // Grey.
    let grey = image::GrayImage::from_pixel(3, 2, image::Luma([77]));
    let picture = decode(&encoded(&DynamicImage::ImageLuma8(grey), image::ImageFormat::Png), path).expect("read");
    assert_eq!(*picture.get_pixel(0, 0), Rgb([77; 3]));
    // A palette of two colours, one bit a pixel.
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 8, 1);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(png::BitDepth::One);
    encoder.set_palette(vec![10, 20, 30, 200, 100, 50]);
    let mut writer = encoder.write_header().expect("a header");
    writer.write_image_data(&[0b1010_0000]).expect("data");
    writer.finish().expect("an end");
    let picture = decode(&bytes, path).expect("read");
    assert_eq!((*picture.get_pixel(0, 0), *picture.get_pixel(1, 0)), (Rgb([200, 100, 50]), Rgb([10, 20, 30])));
    // Transparency lies on white: 0 is white, 51 of 255 is a fifth of the colour.
    let clear = image::RgbaImage::from_fn(2, 1, |x, _| Rgba([0, 100, 255, if x == 0 { 0 } else { 51 }]));
    let picture = decode(&encoded(&DynamicImage::ImageRgba8(clear), image::ImageFormat::Png), path).expect("read");
    assert_eq!((*picture.get_pixel(0, 0), *picture.get_pixel(1, 0)), (Rgb([255; 3]), Rgb([204, 224, 255])));
}

#[test]
fn formats_go_by_their_contents() {
    let picture = DynamicImage::ImageRgb8(two_colours(20, 12));
    use image::ImageFormat::{Bmp, Gif, Png, Tiff, WebP};
    for format in [Bmp, Gif, Png, Tiff, WebP] {
        let bytes = encoded(&picture, format);
        for name in ["right.png", "wrong.jpg", "without", "text.txt"] {
            let read = decode(&bytes, Path::new(name)).unwrap_or_else(|error| panic!("{format:?} as {name}: {error}"));
            assert_eq!(read.dimensions(), (20, 12), "{format:?} as {name}");
            assert!(is_red(read.get_pixel(3, 3)) && !is_red(read.get_pixel(17, 3)), "{format:?} as {name}");
        }
    }
    for (bytes, says) in [
        (&b"\0\0\0\x18ftypheic\0\0\0\0"[..], "HEIC"),
        (b"\0\0\0\x20ftypavif\0\0\0\0", "AVIF"),
        (b"8BPS\0\x01", "PSD"),
        (b"<?xml version='1.0'?>\n<svg width='3'>", "SVG"),
        (b"II*\0\x10\0\0\0CR\x02\0", "camera raw"),
        (b"P6 2 2 255\n", "PNM"),
    ] {
        let error = decode(bytes, Path::new("a.jpg")).expect_err("not read").to_string();
        assert!(error.contains(says) && error.contains("convert it to PNG, JPEG"), "{error}");
    }
    for text in [&b"BM is how this text begins, and it is not a picture"[..], b"hello", b"\0\0\0\x18ftypisom"] {
        let error = decode(text, Path::new("a.png")).expect_err("no picture").to_string();
        assert!(error.contains("a.png") && error.contains("no known picture format"), "{error}");
    }
}

#[test]
fn what_is_cut_off_is_refused_wherever_it_is_cut() {
    let picture = RgbImage::from_fn(64, 48, |x, y| Rgb([(x * 4) as u8, (y * 5) as u8, (x * y) as u8]));
    use image::ImageFormat::{Bmp, Gif, Png, Tiff, WebP};
    let all = DynamicImage::ImageRgb8(picture.clone());
    let mut files = vec![("jpeg", jpeg(&picture))];
    for (name, format) in [("bmp", Bmp), ("gif", Gif), ("png", Png), ("tiff", Tiff), ("webp", WebP)] {
        files.push((name, encoded(&all, format)));
    }
    for (name, bytes) in files {
        assert!(decode(&bytes, Path::new(name)).is_ok(), "{name}");
        for part in [1, 2, 5, 8, 9] {
            let cut = &bytes[..bytes.len() * part / 10];
            let error = decode(cut, Path::new(name)).expect_err(&format!("{name} cut at {part} tenths")).to_string();
            assert!(error.contains(name) && error.contains("replace or remove"), "{error}");
            // As a download leaves it: the full size, with zeros where nothing came.
            let mut holed = bytes.clone();
            holed[bytes.len() * part / 10..].fill(0);
            if name == "jpeg" || name == "gif" || name == "png" {
                assert!(decode(&holed, Path::new(name)).is_err(), "{name} with zeros from {part} tenths on");
            }
        }
    }
    // A thumbnail's end is not the picture's, and what follows the end does not matter.
    let whole = jpeg(&picture);
    let mut with_thumbnail = vec![0xff, 0xd8, 0xff, 0xe0, 0, 6, 0xff, 0xd9, 0xff, 0xd9];
    with_thumbnail.extend(&whole[2..]);
    assert!(decode(&with_thumbnail, Path::new("a.jpg")).is_ok());
    assert!(decode(&with_thumbnail[..whole.len() / 2], Path::new("a.jpg")).is_err());
    assert!(decode(&[&whole[..], b"camera notes"].concat(), Path::new("a.jpg")).is_ok());
}

/// 45 bytes that announce a picture of 193x2 pixels with a frame of 32,770x15,106: two gigabytes. Found by fuzzing.
#[test]
fn a_frame_larger_than_its_picture_takes_no_more_memory_than_a_picture_may() {
    let mut bytes = b"GIF89a\xc1\0\x02\0\x80\0\0\xff\0\0\0\0\xff!\xf9\x04\x01\0\0\0\0,\0\0\0\0".to_vec();
    bytes.extend(b"\x02\x80\x02;\x03\x03\0\x02d\x02\0\x05;");
    let message = decode(&bytes, Path::new("frame.gif")).expect_err("refused").to_string();
    assert!(message.contains("frame.gif") && message.to_lowercase().contains("memory"), "{message}");
}

/// Sixteen bytes a pixel, as some TIFF files have them, are more than any picture may take.
#[test]
fn many_bytes_a_pixel_count_too() {
    let (width, height) = (12_000_u32, 9_000_u32);
    let mut bytes = b"II*\0\x08\0\0\0".to_vec();
    let tags: [(u16, u16, u32, u32); 11] = [
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, 4, 8 + 2 + 11 * 12 + 4),
        (259, 3, 1, 1),
        (262, 3, 1, 2),
        (273, 4, 1, 8),
        (277, 3, 1, 4),
        (278, 4, 1, height),
        (279, 4, 1, 16),
        (338, 3, 1, 2),
        (339, 3, 4, 8 + 2 + 11 * 12 + 4 + 8),
    ];
    bytes.extend(11_u16.to_le_bytes());
    for (tag, kind, count, value) in tags {
        bytes.extend([tag.to_le_bytes(), kind.to_le_bytes()].concat());
        bytes.extend([count.to_le_bytes(), value.to_le_bytes()].concat());
    }
    bytes.extend(0_u32.to_le_bytes());
    // 32 bits each, and floating-point numbers.
    bytes.extend([32_u16, 32, 32, 32, 3, 3, 3, 3].into_iter().flat_map(u16::to_le_bytes));
    let message = decode(&bytes, Path::new("deep.tif")).expect_err("refused").to_string();
    assert!(message.contains("MiB of pixels") && message.contains("scale it down"), "{message}");
}

#[test]
fn a_folder_says_what_is_not_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let put = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).expect("written");
    let png = encoded(&DynamicImage::ImageRgb8(two_colours(4, 4)), image::ImageFormat::Png);
    put("b.png", &png);
    put("a.txt.png", &png);
    // No ending that says so, and the wrong one.
    put("c", &png);
    put("UPPER.JFIF", &jpeg(&two_colours(4, 4)));
    put("._b.png", b"macOS keeps its notes here");
    put(".hidden.png", &png);
    put("phone.heic", b"\0\0\0\x18ftypheic\0\0\0\0");
    put("empty.jpg", b"");
    put("page.jpg", b"<!DOCTYPE html><html>not found</html>");
    put("notes.txt", b"mine");
    std::fs::create_dir(folder.path().join("more")).expect("a folder");
    let listing = list(folder.path()).expect("pictures");
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    assert_eq!(listing.pictures.iter().map(|p| name(p)).collect::<Vec<_>>(), ["UPPER.JFIF", "a.txt.png", "b.png", "c"]);
    let left: Vec<_> = listing.left_out.iter().map(|l| (name(&l.path), l.looks_like_a_picture)).collect();
    let expected =
        [("empty.jpg", true), ("more", false), ("notes.txt", false), ("page.jpg", true), ("phone.heic", true)];
    assert_eq!(left, expected.map(|(name, looks)| (name.to_owned(), looks)));
    assert!(listing.left_out[4].reason.contains("HEIC"), "{}", listing.left_out[4]);
    // Nothing at all names what is there.
    let other = tempfile::tempdir().expect("a folder");
    std::fs::write(other.path().join("phone.heic"), b"\0\0\0\x18ftypheic\0\0\0\0").expect("written");
    let error = list(other.path()).expect_err("no picture").to_string();
    assert!(error.contains("phone.heic") && error.contains("HEIC") && error.contains("WebP"), "{error}");
    assert!(matches!(list(&other.path().join("nowhere")), Err(PictureError::Io { .. })));
}
