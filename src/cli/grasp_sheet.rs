//! `bingrasp objects grasps`: the good grasp poses of objects as a picture, a row an object and a picture for each way it rests.

use super::{common, output};
use crate::appearance::{ImageSet, Look};
use crate::contract::{Camera, Class, Domain, FrameChannels, Intrinsics, Pose, Seed, Shape, Surface, VisualPart};
use crate::draw::{ContactSheet, Picture};
use crate::objects::{ObjectModel, StablePose};
use crate::render::{Gpu, RenderConfig, SceneBounds, SceneView, TiledRenderer};
use crate::scene::{CellDescription, GripperDescription};
use crate::sim::SimConfig;
use crate::tasks::GraspLibrary;
use crate::tasks::grasp_poses::GoodGrasp;
use glam::{Quat, Vec3};
use rayon::prelude::*;
use serde::Serialize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

const SIZE: u32 = 160;
/// Resting poses of an object that are drawn, most probable first.
const COLUMNS: usize = 4;
/// Width of what a picture shows, metres.
const SCALE_M: f32 = 0.3;

/// Plans good grasp poses, tries each in physics, and draws those that lift the object: the hand's fingers and the bar
/// between them.
#[derive(Debug, clap::Args)]
pub struct GraspSheetArgs {
    /// The PNG to write
    #[arg(long, value_name = "FILE", default_value = "grasps.png")]
    out: PathBuf,
    /// Objects: train, test, all, household, household:SEED, ycb, spring-jointed, spring-jointed-rigid, or a folder of OBJ,
    /// URDF or glTF files; several with commas between them
    #[arg(long, value_name = "SET|DIR", default_value = "ycb")]
    objects: String,
    #[command(flatten)]
    options: common::ImportArgs,
    /// The cell whose hand grasps: one of `bingrasp cells list`, or a TOML file
    #[arg(long, value_name = "NAME|FILE", default_value = "panda-table")]
    cell: String,
    /// One JSON object on standard output
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    out: PathBuf,
    objects: Vec<Counted>,
}

#[derive(Serialize)]
struct Counted {
    name: String,
    /// Good poses in each resting pose, most probable first.
    poses: Vec<usize>,
}

type Rest = (StablePose, Vec<GoodGrasp>);

pub fn run(args: &GraspSheetArgs) -> anyhow::Result<ExitCode> {
    common::Inputs::default().objects(Some(&args.objects)).check_picture("--out", &args.out)?;
    let cell = common::load_cell(&args.cell)?;
    let objects = common::load_objects(&args.objects, args.options)?;
    anyhow::ensure!(!objects.is_empty(), "{} holds no object", args.objects);
    let (library, sim) = (GraspLibrary::default(), SimConfig::default());
    let found: Vec<Vec<Rest>> = objects
        .par_iter()
        .map(|object| {
            let rests = object.graspable_rests(&cell.jaws()).into_iter().take(COLUMNS);
            rests.map(|rest| (rest, library.of_rest(object, rest.up(), (&cell, &sim)))).collect()
        })
        .collect();
    let gpu = Gpu::open()?;
    let config = RenderConfig { shadow_taps: 8, ..RenderConfig::new(SIZE, SIZE) };
    let mut renderer = TiledRenderer::new(&gpu, config, &ImageSet::default())?;
    let mut sheet = ContactSheet::new(
        format!("Good grasp poses: {}", args.objects),
        format!("by the hand of {}, tried in physics; a picture is {:.0} cm wide", cell.name, 100.0 * SCALE_M),
    )
    .cell(SIZE as usize);
    let mut report = Report { out: args.out.clone(), objects: Vec::new() };
    for (object, rests) in objects.iter().zip(&found) {
        let poses: Vec<usize> = rests.iter().map(|(_, grasps)| grasps.len()).collect();
        let counts: Vec<String> = poses.iter().map(ToString::to_string).collect();
        sheet.row(format!("{}: {} poses", object.name, counts.join(", ")), draw(&mut renderer, object, rests, &cell)?);
        report.objects.push(Counted { name: object.name.clone(), poses });
    }
    sheet.save(&args.out)?;
    if args.json {
        output::json(&report)?;
    } else {
        for object in &report.objects {
            output::line(&format!("{:<22} {:?}", object.name, object.poses))?;
        }
        output::line(&args.out.display().to_string())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The hand at a pose of body 0: two fingers as wide apart as the pads will be, and a bar above them.
fn hand(gripper: &GripperDescription, grasp: &GoodGrasp, instance: u8) -> [VisualPart; 3] {
    let (thin, high) = (0.004, 0.6 * gripper.finger_length);
    let apart = 0.5 * (grasp.width_m.max(0.004) + thin);
    let part = |scale: Vec3, centre: Vec3| VisualPart {
        shape: Shape::Box,
        scale,
        body: 0,
        body_from_part: grasp.body_from_gripper * Pose::from_translation(centre),
        surface: Surface::Finger,
        class: Class::Arm,
        instance,
    };
    let finger = |side: f32| part(Vec3::new(thin, thin, high), Vec3::new(side * apart, 0.0, 0.5 * high));
    let bar = part(Vec3::new(2.0 * apart + thin, thin, thin), Vec3::Z * high);
    [finger(-1.0), finger(1.0), bar]
}

fn draw(
    renderer: &mut TiledRenderer,
    object: &Arc<ObjectModel>,
    rests: &[Rest],
    cell: &CellDescription,
) -> anyhow::Result<Vec<Picture>> {
    let fov = 0.5_f32;
    let distance = 0.5 * SCALE_M / (0.5 * fov).tan();
    let looks: Vec<Look> = rests
        .iter()
        .map(|_| Look::sample(Domain::Canonical, Seed(1), 0).with_paint([object.color.or(object.paint)]))
        .collect();
    let scenes: Vec<(Vec<VisualPart>, [Pose; 2], Camera)> = rests
        .iter()
        .map(|(rest, grasps)| {
            let mut parts = object.visual_parts(0, Surface::Object(0), 16);
            parts.extend(grasps.iter().enumerate().flat_map(|(i, grasp)| hand(&cell.gripper, grasp, 100 + i as u8)));
            parts.push(VisualPart {
                shape: Shape::Box,
                scale: Vec3::new(4.0, 4.0, 0.02),
                body: 1,
                body_from_part: Pose::from_translation(Vec3::new(0.0, 0.0, -0.01)),
                surface: Surface::Floor,
                class: Class::Background,
                instance: 0,
            });
            let turned = Quat::from_rotation_z(0.4) * rest.world_from_body;
            let body = Pose::new(Vec3::Z * rest.height_m, turned);
            let target = Vec3::Z * (rest.height_m + 0.02);
            let eye = target + Vec3::new(-0.5, -0.6, 0.75).normalize() * distance;
            let camera = Camera::look_at(eye, target, Intrinsics::from_vertical_fov(SIZE, SIZE, fov));
            (parts, [body, Pose::IDENTITY], camera)
        })
        .collect();
    let scene_bounds = SceneBounds { bin_centre: Vec3::ZERO, shadow_radius_m: 0.3 };
    let views: Vec<SceneView<'_>> = scenes
        .iter()
        .zip(&looks)
        .map(|((parts, poses, camera), look)| SceneView {
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
    Ok((0..rests.len()).map(|i| Picture::photo(size, size, frames.source_image(i).to_vec())).collect())
}
