//! `bingrasp translate` with a run of `train semantic-cyclegan`: RGB-D images in, RGB-D images and masks out.

use super::rgbd::RgbdFolder;
use super::translate::{Args, Report, refuse_existing, save_mask_and_depth};
use super::{common, output};
use crate::draw::png;
use crate::files::atomic::write_atomic;
use crate::files::console;
use crate::gan::semantic::{LoadedSemantic, RgbdImage, SemanticClass, decode_batch, encode_batch, load_semantic};
use crate::nn::{HOST, with_large_stack};
use crate::pictures::LeftOut;
use crate::runs::left_out::warn_left_out;
use anyhow::Context;
use std::process::ExitCode;

/// Images translated at once.
const BATCH: usize = 16;

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let folder = RgbdFolder::open(&args.input)?;
    let inputs = common::Inputs::default().run("--generator", Some(&args.generator)).users("IN", Some(&args.input));
    let [rgb, depth] = ["rgb", "depth"].map(|name| args.input.join(name));
    let inputs = inputs.users("IN/rgb", Some(&rgb)).users("IN/depth", Some(&depth));
    for results in [args.output.clone(), args.output.join("mask"), args.output.join("depth")] {
        inputs.check_distinct("OUT", &results)?;
    }
    let names: Vec<String> = (0..folder.count()).map(|index| folder.name(index)).collect();
    refuse_existing(&args.output, &["mask", "depth"], &names)?;
    let loaded = load_semantic(&args.generator, &HOST)?;
    console::warn_all(&loaded.warnings);
    for folder in ["mask", "depth"] {
        let folder = args.output.join(folder);
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    }
    let size = loaded.config.learner.size;
    let bar = output::progress(folder.count() as u64, "images");
    let mut left_out = folder.left_out().to_vec();
    let mut translated_count = 0;
    for first in (0..folder.count()).step_by(BATCH) {
        let range = first..folder.count().min(first + BATCH);
        let (mut whole, mut indices) = (Vec::new(), Vec::new());
        for (index, image) in range.clone().zip(folder.read_each(range.clone(), size)) {
            match (image, folder.users_picture(index)) {
                (Ok(image), _) => {
                    whole.push(image);
                    indices.push(index);
                }
                // One damaged file of a user's is named, and the others are translated.
                (Err(error), Some(picture)) => left_out.push(LeftOut {
                    path: picture.to_owned(),
                    reason: console::with_causes(error.chain()),
                    looks_like_a_picture: true,
                }),
                (Err(error), None) => return Err(error),
            }
        }
        bar.inc(range.len() as u64);
        if whole.is_empty() {
            continue;
        }
        let images: Vec<RgbdImage<'_>> =
            whole.iter().map(|image| RgbdImage { rgb: &image.rgb, depth_m: &image.depth_m }).collect();
        let translated = with_large_stack(|| translate(&loaded, args.backward, &images))??;
        translated_count += translated.len();
        for (index, (image, classes)) in indices.into_iter().zip(translated) {
            let file = format!("{}.png", folder.name(index));
            write_atomic(&args.output.join(&file), &png::encode_rgb(&image.rgb, size, size)?)?;
            save_mask_and_depth((&classes, &image.depth_m), size, &args.output, &file)?;
        }
    }
    bar.finish_and_clear();
    left_out.sort_by(|a, b| a.path.cmp(&b.path));
    warn_left_out(&left_out);
    let failed = left_out.iter().filter(|left| left.looks_like_a_picture).count();
    let report = Report {
        generator: args.generator.clone(),
        step: loaded.step,
        translated: translated_count,
        failed,
        left_out,
        size,
        out: args.output.clone(),
    };
    if args.json {
        output::json(&report)?;
    } else {
        output::line(&format!(
            "{} RGB-D images translated to {} (middle squares, {size}x{size} pixels) into {}",
            report.translated,
            if args.backward { "simulation" } else { "reality" },
            args.output.display()
        ))?;
    }
    Ok(ExitCode::from(u8::from(failed > 0)))
}

/// Translated images, and the classes (the renderer's numbers) of what went in.
fn translate(
    loaded: &LoadedSemantic,
    backward: bool,
    images: &[RgbdImage<'_>],
) -> candle_core::Result<Vec<(crate::gan::semantic::TranslatedRgbd, Vec<u8>)>> {
    let config = &loaded.config.learner;
    let images = encode_batch(config, images.iter().copied(), &HOST)?;
    let (generator, discriminator) = if backward {
        (&loaded.generator_x, &loaded.discriminator_y)
    } else {
        (&loaded.generator_y, &loaded.discriminator_x)
    };
    let masks = discriminator.segment(&images)?;
    let masks = masks.chunks_exact(config.size * config.size);
    let rendered = |mask: &[u8]| mask.iter().map(|&class| SemanticClass::to_rendered(class) as u8).collect();
    Ok(decode_batch(config, &generator.translate(&images)?)?.into_iter().zip(masks.map(rendered)).collect())
}
