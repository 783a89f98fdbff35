//! `bingrasp translate`: a trained generator on a folder of anyone's images.

use super::rgbd::read_square;
use super::{UsageError, common, output, translate_rgbd};
use crate::draw::palette::class_palette;
use crate::draw::png;
use crate::files::atomic::write_atomic;
use crate::files::console;
use crate::files::names::UniqueNames;
use crate::files::paths::resolve;
use crate::gan::images::images_tensor;
use crate::gan::semantic::SemanticConfig;
use crate::gan::{cyclegan, rcan};
use crate::nn::HOST;
use crate::nn::with_large_stack;
use crate::pictures::{self, LeftOut, PictureError};
use crate::runs::generator::{self, GeneratorKind};
use crate::runs::left_out::warn_left_out;
use crate::train::{LearnerConfig, learner_name};
use anyhow::Context;
use serde::Serialize;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Images translated at once.
const BATCH: usize = 16;

#[derive(clap::Args)]
pub struct Args {
    /// Folder of a run of `train rcan`, `gan`, `cyclegan`, `graspgan`, `rl-cyclegan` or `semantic-cyclegan`, or of one of its
    /// checkpoints
    #[arg(long, value_name = "RUN")]
    pub(super) generator: PathBuf,
    /// Translate from B to A (reality to simulation): the other generator of a run of `train cyclegan`, `rl-cyclegan` or
    /// `semantic-cyclegan`
    #[arg(long)]
    pub(super) backward: bool,
    /// A picture (PNG, JPEG, GIF, WebP, BMP or TIFF) or a folder of them; folders in it are not entered. For a semantic
    /// CycleGAN a dataset with measured depth, or a folder with rgb/ and depth/
    #[arg(value_name = "IN")]
    pub(super) input: PathBuf,
    /// Folder for the results: one PNG for each picture, with RCAN and the semantic CycleGAN the same in mask/ and depth/
    /// (16 bits, millimetres). They are of the picture's middle square, at the size that the network was trained for
    #[arg(value_name = "OUT")]
    pub(super) output: PathBuf,
    /// One JSON object on standard output
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Serialize)]
pub(super) struct Report {
    pub generator: PathBuf,
    pub step: u64,
    pub translated: usize,
    /// Pictures that could not be read; each is in `left_out`.
    pub failed: usize,
    /// Everything in the folder that was not translated.
    pub left_out: Vec<LeftOut>,
    /// Edge of the results, pixels; they are of the middle square of each picture.
    pub size: usize,
    pub out: PathBuf,
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    // What is no run is refused by the checks and loaders below.
    if learner_name(&args.generator).is_ok_and(|name| name == SemanticConfig::NAME) {
        return translate_rgbd::run(args);
    }
    let listing = pictures::list(&args.input).map_err(|error| match error {
        // As a wrong path is.
        PictureError::Nothing { .. } => anyhow::Error::from(UsageError(error.to_string())),
        error => error.into(),
    })?;
    let (files, mut left_out) = (listing.pictures, listing.left_out);
    check_results(args, &files)?;
    let (generator, step) = load(args)?;
    let names = names_of(&files);
    refuse_existing(&args.output, generator.folders(), &names)?;
    for folder in generator.folders() {
        let folder = args.output.join(folder);
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    }
    let size = generator.size();
    let mut translated = 0;
    let bar = output::progress(files.len() as u64, "images");
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
                    left_out.push(LeftOut { path: file.clone(), reason: error.reason(), looks_like_a_picture: true });
                }
            }
        }
        if !images.is_empty() {
            let translations = with_large_stack(|| generator.translate(&images))??;
            for (translation, name) in translations.iter().zip(whose) {
                save(translation, size, &args.output, name)?;
                translated += 1;
            }
        }
        bar.inc(files.len() as u64);
    }
    bar.finish_and_clear();
    left_out.sort_by(|a, b| a.path.cmp(&b.path));
    warn_left_out(&left_out);
    let failed = left_out.iter().filter(|left| left.looks_like_a_picture).count();
    let report = Report {
        generator: args.generator.clone(),
        step,
        translated,
        failed,
        left_out,
        size,
        out: args.output.clone(),
    };
    if args.json {
        output::json(&report)?;
    } else {
        output::line(&format!(
            "{translated} pictures translated (middle squares, {size}x{size} pixels) into {}",
            args.output.display()
        ))?;
    }
    Ok(ExitCode::from(u8::from(failed > 0)))
}

/// The generators that a folder of pictures can go through.
enum Translator {
    Rcan(rcan::Generator),
    CycleGan(cyclegan::Generator),
}

/// One result; a CycleGAN has pictures only.
struct Translated {
    image: Vec<u8>,
    /// The class of each pixel, and its depth in metres.
    classes_and_depth: Option<(Vec<u8>, Vec<f32>)>,
}

impl Translator {
    fn size(&self) -> usize {
        match self {
            Self::Rcan(generator) => generator.size(),
            Self::CycleGan(generator) => generator.size(),
        }
    }

    /// The folders in OUT that results go to.
    fn folders(&self) -> &'static [&'static str] {
        match self {
            Self::Rcan(_) => &["mask", "depth"],
            Self::CycleGan(_) => &[""],
        }
    }

    fn translate(&self, images: &[Vec<u8>]) -> candle_core::Result<Vec<Translated>> {
        let images = images_tensor(images.iter().map(Vec::as_slice), [self.size(); 2])?;
        Ok(match self {
            Self::Rcan(generator) => (generator.translate(&images)?.into_iter())
                .map(|t| Translated { image: t.image, classes_and_depth: Some((t.classes, t.depth_m)) })
                .collect(),
            Self::CycleGan(generator) => (generator.translate(&images)?.into_iter())
                .map(|image| Translated { image, classes_and_depth: None })
                .collect(),
        })
    }
}

/// The generator of the run, whichever of both kinds it is of, and its step.
fn load(args: &Args) -> anyhow::Result<(Translator, u64)> {
    let run = &args.generator;
    if args.backward || generator::kind(run)? == GeneratorKind::Translation {
        let loaded = generator::load_translation(run, args.backward)?;
        return Ok((Translator::CycleGan(loaded.generator), loaded.step));
    }
    // A run of a learner without a generator is refused by its name there.
    let loaded = rcan::load_generator(run, &HOST)?;
    console::warn_all(&loaded.warnings);
    Ok((Translator::Rcan(loaded.generator), loaded.step))
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

/// Refuses a folder that holds a file of a result's name already, in itself or in one of `folders`: it may be anybody's work.
///
/// # Errors
/// [`UsageError`] names the first.
pub(super) fn refuse_existing(out: &Path, folders: &[&str], names: &[String]) -> anyhow::Result<()> {
    for folder in std::iter::once(&"").chain(folders) {
        for name in names {
            let path = out.join(folder).join(format!("{name}.png"));
            if path.symlink_metadata().is_ok() {
                let message = format!(
                    "{} is there already and nothing is replaced; pass another folder for the results, or remove it",
                    path.display()
                );
                return Err(UsageError(message).into());
            }
        }
    }
    Ok(())
}

/// A name for each result: the image's own, with its ending where two images differ in nothing else, and with a number
/// where they do not differ in that (names that are no text).
fn names_of(files: &[PathBuf]) -> Vec<String> {
    let mut names = UniqueNames::default();
    files
        .iter()
        .map(|file| {
            let text = |part: Option<&OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
            names.take([text(file.file_stem()).as_str(), &text(file.file_name())])
        })
        .collect()
}

fn save(translated: &Translated, size: usize, out: &Path, name: &str) -> anyhow::Result<()> {
    let file = format!("{name}.png");
    write_atomic(&out.join(&file), &png::encode_rgb(&translated.image, size, size)?)?;
    let Some((classes, depth_m)) = &translated.classes_and_depth else { return Ok(()) };
    save_mask_and_depth((classes, depth_m), size, out, &file)
}

/// The classes of the renderer and depths in metres, into `mask/` and `depth/`.
pub(super) fn save_mask_and_depth(
    (classes, depth_m): (&[u8], &[f32]),
    size: usize,
    out: &Path,
    file: &str,
) -> anyhow::Result<()> {
    let mask = png::encode_indexed(classes, size, size, &class_palette())?;
    write_atomic(&out.join("mask").join(file), &mask)?;
    let depth: Vec<u16> = depth_m.iter().map(|&d| (d * 1e3).round().clamp(0.0, 65_535.0) as u16).collect();
    write_atomic(&out.join("depth").join(file), &png::encode_gray16(&depth, size, size)?)?;
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
        let error = read_square(&folder.path().join("broken.jpg"), 4).unwrap_err().to_string();
        assert!(error.contains("broken.jpg"), "{error}");
        let files = pictures::list(folder.path())?.pictures;
        assert_eq!(names_of(&files), ["wide"]);
        // A result's name that is taken, in the folder itself or below.
        let out = folder.path().join("out");
        std::fs::create_dir_all(out.join("mask"))?;
        refuse_existing(&out, &["mask", "depth"], &["wide".to_owned()])?;
        std::fs::write(out.join("mask/wide.png"), "mine")?;
        let error = refuse_existing(&out, &["mask", "depth"], &["other".to_owned(), "wide".to_owned()]).unwrap_err();
        assert!(error.is::<UsageError>() && error.to_string().contains("mask/wide.png"), "{error}");
        refuse_existing(&out, &[""], &["wide".to_owned()])?;
        let twins = [PathBuf::from("a.jpg"), PathBuf::from("a.png")];
        assert_eq!(names_of(&twins), ["a", "a.png"]);
        #[cfg(unix)]
        {
            // Two names that become one as text.
            use std::os::unix::ffi::OsStrExt;
            let unreadable = [b"\xff.png", b"\xfe.png", b"\xfd.png"].map(|name| PathBuf::from(OsStr::from_bytes(name)));
            assert_eq!(names_of(&unreadable), ["\u{fffd}", "\u{fffd}.png", "\u{fffd}.png-2"]);
        }
        Ok(())
    }
}
