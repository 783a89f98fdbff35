//! `bingrasp translate`: a trained generator on a folder of anyone's images.

use super::{UsageError, common, output};
use crate::draw::palette::class_palette;
use crate::draw::png;
use crate::files::atomic::write_atomic;
use crate::files::paths::resolve;
use crate::gan::rcan::batch::images_tensor;
use crate::gan::rcan::{Generator, Translation, load_generator};
use crate::nn::HOST;
use crate::nn::with_large_stack;
use anyhow::Context;
use image::imageops::{FilterType, crop_imm, resize};
use serde::Serialize;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Images translated at once.
const BATCH: usize = 16;
/// Larger files are not opened.
const MAX_BYTES: u64 = 256 << 20;

#[derive(clap::Args)]
pub struct Args {
    /// Folder of a training run, or of one of its checkpoints
    #[arg(long, value_name = "RUN")]
    generator: PathBuf,
    /// A PNG, JPEG or GIF file, or a folder of them
    #[arg(value_name = "IN")]
    input: PathBuf,
    /// Folder for the results: one PNG for each image, and the same in mask/ and depth/ (16 bits, millimetres)
    #[arg(value_name = "OUT")]
    output: PathBuf,
    /// One JSON object on standard output
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    generator: PathBuf,
    step: u64,
    translated: usize,
    failed: usize,
    size: usize,
    out: PathBuf,
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let files = files_of(&args.input)?;
    check_results(args, &files)?;
    let loaded = load_generator(&args.generator, &HOST)?;
    for warning in &loaded.warnings {
        eprintln!("warning: {warning}");
    }
    let names = names_of(&files);
    for folder in ["mask", "depth"] {
        let folder = args.output.join(folder);
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    }
    let size = loaded.generator.size();
    let bar = output::progress(files.len() as u64, "images");
    let mut failed = 0;
    for (files, names) in files.chunks(BATCH).zip(names.chunks(BATCH)) {
        let mut images = Vec::new();
        let mut whose = Vec::new();
        for (file, name) in files.iter().zip(names) {
            match read_square(file, size) {
                Ok(rgb) => {
                    images.push(rgb);
                    whose.push(name);
                }
                Err(error) => {
                    eprintln!("warning: {error:#}; it is left out");
                    failed += 1;
                }
            }
        }
        if !images.is_empty() {
            let translations = with_large_stack(|| translate(&loaded.generator, &images))??;
            for (translation, name) in translations.iter().zip(whose) {
                save(translation, &args.output, name)?;
            }
        }
        bar.inc(files.len() as u64);
    }
    bar.finish_and_clear();
    let translated = files.len() - failed;
    let report = Report {
        generator: args.generator.clone(),
        step: loaded.step,
        translated,
        failed,
        size,
        out: args.output.clone(),
    };
    if args.json {
        output::json(&report)?;
    } else {
        output::line(&format!("{translated} images translated at {size}x{size} into {}", args.output.display()))?;
    }
    Ok(ExitCode::from(u8::from(failed > 0)))
}

/// Refuses folders for the results that hold any of the images, or are the run: an image and its result may have the same
/// name. Images that are links count where they point to, too.
fn check_results(args: &Args, files: &[PathBuf]) -> anyhow::Result<()> {
    let mut folders: BTreeSet<PathBuf> = BTreeSet::new();
    for file in files {
        folders
            .extend(file.parent().map(|parent| if parent.as_os_str().is_empty() { ".".into() } else { parent.into() }));
        folders.extend(resolve(file)?.parent().map(Path::to_owned));
    }
    let mut inputs = common::Inputs::default().run("--generator", Some(&args.generator));
    for folder in &folders {
        inputs = inputs.users("the folder of images", Some(folder));
    }
    for results in [args.output.clone(), args.output.join("mask"), args.output.join("depth")] {
        inputs.check_distinct("OUT", &results)?;
    }
    Ok(())
}

/// The images of a folder by name, or the one file.
fn files_of(input: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if input.is_file() {
        return Ok(vec![input.to_owned()]);
    }
    let entries = std::fs::read_dir(input).with_context(|| format!("cannot read {}", input.display()))?;
    let is_image = |path: &PathBuf| {
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
        ["png", "jpg", "jpeg", "gif"].contains(&extension.as_str())
    };
    let mut files = Vec::new();
    for entry in entries {
        files.push(entry.with_context(|| format!("cannot read {}", input.display()))?.path());
    }
    files.retain(|path| path.is_file() && is_image(path));
    files.sort();
    if files.is_empty() {
        return Err(UsageError(format!("{} holds no PNG, JPEG or GIF image", input.display())).into());
    }
    Ok(files)
}

/// A name for each result: the image's own, with its ending where two images differ in nothing else.
fn names_of(files: &[PathBuf]) -> Vec<String> {
    let mut taken = BTreeSet::new();
    files
        .iter()
        .map(|file| {
            let text = |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
            let mut name = text(file.file_stem());
            if !taken.insert(name.clone()) {
                name = text(file.file_name());
                taken.insert(name.clone());
            }
            name
        })
        .collect()
}

/// The middle square of an image at the network's size, `[size, size, 3]`.
fn read_square(path: &Path, size: usize) -> anyhow::Result<Vec<u8>> {
    let place = || format!("{} cannot be read as an image", path.display());
    let bytes = std::fs::metadata(path).with_context(place)?.len();
    anyhow::ensure!(bytes <= MAX_BYTES, "{} is larger than {} MiB", path.display(), MAX_BYTES >> 20);
    let mut reader = image::ImageReader::open(path).with_context(place)?.with_guessed_format().with_context(place)?;
    let mut limits = image::Limits::default();
    (limits.max_image_width, limits.max_image_height) = (Some(16_384), Some(16_384));
    reader.limits(limits);
    let image = reader.decode().with_context(place)?.into_rgb8();
    let (w, h) = image.dimensions();
    let edge = w.min(h);
    anyhow::ensure!(edge > 0, "{} has no pixels", path.display());
    let square = crop_imm(&image, (w - edge) / 2, (h - edge) / 2, edge, edge).to_image();
    let size = u32::try_from(size)?;
    if edge == size {
        return Ok(square.into_raw());
    }
    Ok(resize(&square, size, size, FilterType::Triangle).into_raw())
}

fn translate(generator: &Generator, images: &[Vec<u8>]) -> candle_core::Result<Vec<Translation>> {
    generator.translate(&images_tensor(images.iter().map(Vec::as_slice), [generator.size(); 2])?)
}

fn save(translation: &Translation, out: &Path, name: &str) -> anyhow::Result<()> {
    let (w, h) = (translation.width, translation.height);
    let file = format!("{name}.png");
    write_atomic(&out.join(&file), &png::encode_rgb(&translation.image, w, h)?)?;
    let mask = png::encode_indexed(&translation.classes, w, h, &class_palette())?;
    write_atomic(&out.join("mask").join(&file), &mask)?;
    let depth: Vec<u16> = translation.depth_m.iter().map(|&d| (d * 1e3).round().clamp(0.0, 65_535.0) as u16).collect();
    write_atomic(&out.join("depth").join(&file), &png::encode_gray16(&depth, w, h)?)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_become_the_middle_square_of_the_networks_size() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        // 12 wide, 4 high: black, white in the middle 4 columns, black.
        let rgb: Vec<u8> = (0..12 * 4).flat_map(|i| [if (4..8).contains(&(i % 12)) { 255 } else { 0 }; 3]).collect();
        let path = folder.path().join("wide.png");
        std::fs::write(&path, png::encode_rgb(&rgb, 12, 4)?)?;
        assert_eq!(read_square(&path, 2)?, [255; 12]);
        assert_eq!(read_square(&path, 4)?, [255; 48]);
        std::fs::write(folder.path().join("broken.jpg"), b"no image")?;
        let error = format!("{:#}", read_square(&folder.path().join("broken.jpg"), 4).unwrap_err());
        assert!(error.contains("broken.jpg"), "{error}");
        let files = files_of(folder.path())?;
        assert_eq!(names_of(&files), ["broken", "wide"]);
        let twins = [PathBuf::from("a.jpg"), PathBuf::from("a.png")];
        assert_eq!(names_of(&twins), ["a", "a.png"]);
        assert!(files_of(&folder.path().join("nowhere")).is_err());
        Ok(())
    }
}
