//! `bingrasp objects sheet`: many objects in one picture, drawn by the renderer that learners see through.

use super::{common, numbers, output};
use crate::appearance::{ImageSet, Look};
use crate::contract::{Camera, Class, Domain, FrameChannels, Intrinsics, Pose, Seed, Shape, Surface, VisualPart};
use crate::draw::{ContactSheet, Picture};
use crate::objects::ObjectModel;
use crate::render::{Gpu, RenderConfig, SceneBounds, SceneView, TiledRenderer};
use glam::Vec3;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

const COLUMNS: usize = 8;
const SIZE: u32 = 160;

/// Draws objects on a table, all at one scale, so that their sizes can be compared.
#[derive(Debug, clap::Args)]
pub struct SheetArgs {
    /// The PNG to write
    #[arg(long, value_name = "FILE", default_value = "objects.png")]
    out: PathBuf,
    /// How many objects to draw, evenly chosen from the set
    #[arg(long, default_value_t = 48, value_parser = numbers::count(1..=4000))]
    count: usize,
    #[command(flatten)]
    objects: common::ObjectArgs,
}

pub fn run(args: &SheetArgs) -> anyhow::Result<ExitCode> {
    common::Inputs::default().objects(Some(&args.objects.objects)).check_picture("--out", &args.out)?;
    let objects = args.objects.load()?;
    anyhow::ensure!(!objects.is_empty(), "{} holds no object", args.objects.objects);
    let count = args.count.clamp(1, objects.len());
    let chosen: Vec<&Arc<ObjectModel>> = (0..count).map(|i| &objects[i * objects.len() / count]).collect();
    let gpu = Gpu::open()?;
    let config = RenderConfig { shadow_taps: 8, ..RenderConfig::new(SIZE, SIZE) };
    let mut renderer = TiledRenderer::new(&gpu, config, &ImageSet::default())?;
    let largest = chosen.iter().map(|object| object.bounding_radius()).fold(0.02, f32::max);
    let mut sheet = ContactSheet::new(
        format!("Objects: {}", args.objects.objects),
        format!("{count} of {}, all at one scale: a picture is {:.0} cm wide", objects.len(), largest * 2.2 * 100.0),
    )
    .cell(SIZE as usize);
    for (row, group) in chosen.chunks(COLUMNS).enumerate() {
        let pictures = draw(&mut renderer, group, largest, row * COLUMNS)?;
        let names: Vec<&str> = group.iter().map(|object| object.name.as_str()).collect();
        sheet.row(names.join("  "), pictures);
    }
    sheet.save(&args.out)?;
    output::line(&args.out.display().to_string())?;
    Ok(ExitCode::SUCCESS)
}

/// The light of `canonical`; the object in its own colour where it has one: that of its file, or of its set.
fn look_of(object: &ObjectModel, index: usize) -> Look {
    Look::sample(Domain::Canonical, Seed(index as u64), 0).with_paint([object.paint.or(object.color)])
}

fn draw(
    renderer: &mut TiledRenderer,
    group: &[&Arc<ObjectModel>],
    largest: f32,
    first: usize,
) -> anyhow::Result<Vec<Picture>> {
    // An object's origin is its centre of mass: it stands on its lowest corner.
    let fov = 0.5_f32;
    let distance = largest * 1.1 / (0.5 * fov).tan();
    let scenes: Vec<(Vec<VisualPart>, Vec<Pose>, Look, Camera)> = group
        .iter()
        .enumerate()
        .map(|(i, object)| {
            let lowest = object.corners().iter().map(|c| c.z).fold(0.0, f32::min);
            let mut parts = object.visual_parts(0, Surface::Object(0), 1);
            parts.push(VisualPart {
                shape: Shape::Box,
                scale: Vec3::new(4.0, 4.0, 0.02),
                body: 1,
                body_from_part: Pose::from_translation(Vec3::new(0.0, 0.0, -0.01)),
                surface: Surface::Floor,
                class: Class::Background,
                instance: 0,
            });
            let poses = vec![Pose::from_translation(Vec3::Z * -lowest), Pose::IDENTITY];
            let look = look_of(object, first + i);
            // The camera aims at the centre of mass, so that a tall object fits as a flat one does.
            let target = Vec3::Z * -lowest;
            let eye = target + Vec3::new(-0.55, -0.75, 0.6).normalize() * distance;
            let camera = Camera::look_at(eye, target, Intrinsics::from_vertical_fov(SIZE, SIZE, fov));
            (parts, poses, look, camera)
        })
        .collect();
    let scene_bounds = SceneBounds { bin_centre: Vec3::ZERO, shadow_radius_m: largest * 2.0 };
    let views: Vec<SceneView<'_>> = scenes
        .iter()
        .map(|(parts, poses, look, camera)| SceneView {
            parts,
            world_from_body: poses,
            camera: *camera,
            look,
            scene_bounds,
            step_index: 0,
            look_seed: 0,
            arm_motion_m: Vec3::ZERO,
        })
        .collect();
    let frames = renderer.capture(Domain::Canonical, &views, FrameChannels::SOURCE)?;
    let size = SIZE as usize;
    Ok((0..group.len()).map(|i| Picture::photo(size, size, frames.source_image(i).to_vec())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::appearance::material::srgb_to_linear;

    #[test]
    fn objects_of_every_set_are_drawn_in_their_own_colours() -> anyhow::Result<()> {
        for set in ["test", "household", "household:3", "ycb", "spring-jointed", "spring-jointed-rigid"] {
            let objects = common::load_objects(set, common::ImportArgs::default())?;
            for (index, object) in objects.iter().enumerate() {
                let own = srgb_to_linear(object.color.expect("sets have colours"));
                let drawn = look_of(object, index).surfaces.objects[0];
                assert_eq!((drawn.colour_a, drawn.colour_b), (own, own), "{set}: {}", object.name);
            }
        }
        // A file's paint, and the domain's choice where a file has none.
        let mut object = ObjectModel::clone(&common::load_objects("ycb", common::ImportArgs::default())?[0]);
        object.paint = Some([255, 0, 0]);
        assert_eq!(look_of(&object, 0).surfaces.objects[0].colour_a, Vec3::X);
        (object.paint, object.color) = (None, None);
        assert_eq!(look_of(&object, 4), Look::sample(Domain::Canonical, Seed(4), 0));
        Ok(())
    }
}
