//! Folders of images of several sizes and kinds become the batches that CycleGAN users expect.

use super::*;
use image::{GrayImage, ImageFormat, Luma, Rgb, RgbImage};
use std::collections::BTreeSet;

/// Folders in which every image has one colour of its own: its number in red (A) or green (B).
fn folders(root: &Path, counts: [u8; 2]) -> anyhow::Result<()> {
    for (domain, (name, count)) in ["trainA", "trainB"].into_iter().zip(counts).enumerate() {
        std::fs::create_dir_all(root.join(name))?;
        for number in 0..count {
            let mut colour = [0; 3];
            colour[domain] = 10 * (number + 1);
            let image = RgbImage::from_pixel(20 + u32::from(number), 30, Rgb(colour));
            image.save(root.join(name).join(format!("{number:03}.png")))?;
        }
    }
    Ok(())
}

/// The byte that numbers each image of a batch.
fn numbers(images: &candle_core::Tensor, channel: usize) -> anyhow::Result<Vec<u8>> {
    let pixels = images.narrow(1, channel, 1)?.narrow(2, 0, 1)?.narrow(3, 0, 1)?.flatten_all()?.to_vec1::<f32>()?;
    Ok(pixels.into_iter().map(|value| ((value + 1.0) * 127.5).round() as u8 / 10 - 1).collect())
}

#[test]
fn an_epoch_shows_every_image_of_a_once_and_steps_repeat() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    folders(folder.path(), [6, 4])?;
    let open = || ImageFolders::open(folder.path(), FolderConfig::for_size(16), 16, Seed(1));
    let source = open()?;
    assert_eq!(source.lengths(), [6, 4]);
    let mut orders = BTreeSet::new();
    for epoch in 0..4 {
        let mut seen = Vec::new();
        for step in 0..3 {
            let batch = source.batch(3 * epoch + step, 2)?;
            assert_eq!(batch.x.dims(), [2, 3, 16, 16]);
            seen.extend(numbers(&batch.x, 0)?);
            assert!(numbers(&batch.y, 1)?.iter().all(|&number| number < 4));
        }
        assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), 6, "{seen:?}");
        orders.insert(seen);
    }
    assert!(orders.len() > 1);
    // A source that was opened again gives the same batch, whatever came before.
    let (a, b) = (source.batch(7, 2)?, open()?.batch(7, 2)?);
    assert_eq!(a.x.flatten_all()?.to_vec1::<f32>()?, b.x.flatten_all()?.to_vec1::<f32>()?);
    assert_eq!(a.y.flatten_all()?.to_vec1::<f32>()?, b.y.flatten_all()?.to_vec1::<f32>()?);
    Ok(())
}

#[test]
fn sizes_are_those_of_the_options() {
    let config = |preprocess| FolderConfig { preprocess, ..FolderConfig::for_size(256) };
    assert_eq!(config(Preprocess::Crop).load_size, 286);
    for (preprocess, size, expected) in [
        (Preprocess::ResizeAndCrop, [100, 900], [286, 286]),
        (Preprocess::ScaleAndCrop, [500, 1000], [286, 572]),
        (Preprocess::ScaleAndCrop, [300, 200], [429, 286]),
        (Preprocess::Crop, [300, 400], [300, 400]),
        (Preprocess::Crop, [128, 300], [256, 600]),
    ] {
        assert_eq!(target_size(size, &config(preprocess), 256), expected, "{preprocess:?} {size:?}");
    }
}

#[test]
fn grey_and_jpeg_images_mix_and_other_files_are_passed_over() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    folders(folder.path(), [1, 1])?;
    let a = folder.path().join("trainA");
    GrayImage::from_pixel(50, 10, Luma([200])).save(a.join("grey.png"))?;
    // A JPEG that calls itself something else is read by what is in it.
    RgbImage::from_pixel(9, 40, Rgb([30, 90, 60])).save_with_format(a.join("photo.png"), ImageFormat::Jpeg)?;
    std::fs::write(a.join("notes.txt"), "no image")?;
    let source = ImageFolders::open(folder.path(), FolderConfig::for_size(8), 8, Seed(2))?;
    assert_eq!(source.lengths(), [3, 1]);
    assert_eq!(source.left_out().len(), 1);
    assert!(source.left_out()[0].path.ends_with("notes.txt") && !source.left_out()[0].looks_like_a_picture);
    let batch = source.batch(0, 3)?;
    let mean = batch.x.mean((2, 3))?.to_vec2::<f32>()?;
    let grey = 200.0 / 127.5 - 1.0;
    assert!(mean.iter().any(|colour| colour.iter().all(|c| (c - grey).abs() < 1e-3)), "{mean:?}");
    let green = 90.0 / 127.5 - 1.0;
    assert!(mean.iter().any(|colour| (colour[1] - green).abs() < 0.03 && colour[0] < colour[2]), "{mean:?}");
    Ok(())
}

#[test]
fn pictures_are_read_as_people_see_them_and_damaged_ones_are_left_out() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    folders(folder.path(), [1, 1])?;
    let a = folder.path().join("trainA");
    std::fs::remove_file(a.join("000.png"))?;
    // What is transparent lies on white; 16 bits are scaled; the ending does not count.
    image::RgbaImage::from_pixel(9, 9, image::Rgba([10, 20, 30, 0])).save(a.join("1.png"))?;
    image::ImageBuffer::from_pixel(9, 9, Rgb([0x8080_u16, 0, 0])).save(a.join("2.png"))?;
    RgbImage::from_pixel(9, 9, Rgb([0, 0, 200])).save_with_format(a.join("3"), ImageFormat::WebP)?;
    // A photo without its end.
    RgbImage::from_fn(64, 64, |x, y| Rgb([x as u8, y as u8, 9])).save(a.join("4.jpg"))?;
    let bytes = std::fs::read(a.join("4.jpg"))?;
    std::fs::write(a.join("4.jpg"), &bytes[..bytes.len() / 2])?;
    for cache_mib in [0, 1] {
        let config = FolderConfig { cache_mib, ..FolderConfig::for_size(8) };
        let source = ImageFolders::open(folder.path(), config, 8, Seed(2))?;
        assert_eq!(source.lengths(), [3, 1]);
        let [left] = source.left_out() else { anyhow::bail!("{:?}", source.left_out()) };
        assert!(left.path.ends_with("4.jpg") && left.looks_like_a_picture && left.reason.contains("cut off"), "{left}");
        let colours: BTreeSet<Vec<i32>> = source
            .batch(0, 3)?
            .x
            .mean((2, 3))?
            .to_vec2::<f32>()?
            .into_iter()
            .map(|colour| colour.into_iter().map(|value| ((value + 1.0) * 127.5).round() as i32).collect())
            .collect();
        assert_eq!(colours, BTreeSet::from([vec![255; 3], vec![128, 0, 0], vec![0, 0, 200]]));
    }
    Ok(())
}

#[test]
fn validation_takes_the_middle_of_the_test_folders() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    folders(folder.path(), [2, 2])?;
    let config = FolderConfig { preprocess: Preprocess::Crop, ..FolderConfig::for_size(8) };
    let open = || ImageFolders::open(folder.path(), config, 8, Seed(3));
    assert_eq!(numbers(&open()?.validation(5)?.x, 0)?, [0, 1]);
    for name in ["testA", "testB"] {
        std::fs::create_dir_all(folder.path().join(name))?;
        // 12 wide, 8 high: the middle 8 columns are white.
        let image = RgbImage::from_fn(12, 8, |x, _| Rgb([if (2..10).contains(&x) { 255 } else { 0 }; 3]));
        image.save(folder.path().join(name).join("a.png"))?;
    }
    let batch = open()?.validation(5)?;
    assert_eq!(batch.y.dims(), [1, 3, 8, 8]);
    assert!(batch.y.flatten_all()?.to_vec1::<f32>()?.iter().all(|&value| value == 1.0));
    Ok(())
}

#[test]
fn mistakes_are_named_with_the_cure() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let root = folder.path();
    let message = |config: FolderConfig| {
        ImageFolders::open(root, config, 16, Seed(1)).and_then(|s| s.batch(0, 1)).err().map(|e| e.to_string())
    };
    let config = FolderConfig::for_size(16);
    let says = |message: Option<String>, parts: &[&str]| {
        let message = message.unwrap_or_default();
        assert!(parts.iter().all(|part| message.contains(part)), "'{message}' does not say {parts:?}");
    };
    says(message(config), &["trainA", "trainB"]);
    std::fs::create_dir_all(root.join("trainA"))?;
    says(message(config), &["trainA", "no picture", "PNG"]);
    folders(root, [1, 1])?;
    says(message(FolderConfig { load_size: 15, ..config }), &["load_size", "16"]);
    says(message(FolderConfig { p_flip: 1.5, ..config }), &["p_flip"]);
    std::fs::write(root.join("trainA/000.png"), "not a picture")?;
    says(message(config), &["trainA", "000.png"]);
    Ok(())
}
