//! The tiled renderer against independent geometry: rays cast from the camera at boxes, cylinders and spheres.

use bingrasp::appearance::{ImageSet, Look};
use bingrasp::contract::{
    Action, Camera, Crop, Domain, FrameChannels, Pose, PrivilegedAccess, Seed, Shape, VecEnv, VisualPart,
};
use bingrasp::env::{Channels, EnvConfig, GraspEnv, PolicyView, scene_bounds_of};
use bingrasp::objects::{ObjectSet, Split};
use bingrasp::render::{Gpu, RenderConfig, SceneView, TiledRenderer};
use bingrasp::scene::CellDescription;
use bingrasp::sim::{GraspWorldBundle, Motion, SimConfig, Speed, ToolPose};
use glam::{Vec2, Vec3};
use std::sync::Arc;

fn world(seed: u64) -> GraspWorldBundle {
    let objects = ObjectSet::builtin().split(Split::Train);
    let mut world = GraspWorldBundle::new(Arc::new(CellDescription::iiwa_bin()), &SimConfig::default());
    let mut rng = Seed(seed).rng();
    let chosen: Vec<_> = (0..5).map(|_| rng.pick(&objects).clone()).collect();
    let mut edit = world.edit();
    edit.reset(&chosen, Seed(seed));
    let ToolPose { position, yaw } = edit.view().tool_pose();
    let goal = edit.view().reachable(ToolPose { position: position + Vec3::new(0.03, -0.02, -0.06), yaw });
    edit.begin_motion(&Motion::Move { goal, close: None, speed: Speed::Full, max_s: 0.375 });
    edit.advance(&mut u32::MAX.clone(), true);
    edit.publish();
    world
}

pub(super) fn view<'a>(world: &'a GraspWorldBundle, look: &'a Look, size: u32) -> SceneView<'a> {
    let description = &world.cell().cameras[0];
    SceneView {
        parts: world.parts(),
        world_from_body: world.body_poses(),
        camera: description.camera(description.centre_crop(size), world.view().gripper_pose()),
        look,
        scene_bounds: scene_bounds_of(world),
        step_index: 1,
        look_seed: 0,
        arm_motion_m: Vec3::ZERO,
    }
}

/// Distance along a ray (in units of its direction) to a part, or none.
fn hit(part: &VisualPart, poses: &[Pose], origin: Vec3, direction: Vec3) -> Option<f32> {
    let part_from_world = (poses[part.body] * part.body_from_part).inverse();
    let o = part_from_world.transform_point(origin) / part.scale;
    let d = part_from_world.transform_vector(direction) / part.scale;
    let slab = |axis: usize| {
        let (a, b) = ((-0.5 - o[axis]) / d[axis], (0.5 - o[axis]) / d[axis]);
        (a.min(b), a.max(b))
    };
    // Roots of |(o + t d) restricted to `axes`| = 1/2.
    let round = |axes: &[usize]| {
        let dot = |u: Vec3, v: Vec3| axes.iter().map(|&i| u[i] * v[i]).sum::<f32>();
        let (a, b, c) = (dot(d, d), dot(o, d), dot(o, o) - 0.25);
        let root = (b * b - a * c).max(-1.0).sqrt();
        (!root.is_nan() && a > 0.0).then(|| ((-b - root) / a, (-b + root) / a))
    };
    let ranges = match part.shape {
        Shape::Box => vec![slab(0), slab(1), slab(2)],
        Shape::Cylinder => vec![round(&[0, 1])?, slab(2)],
        Shape::Sphere => vec![round(&[0, 1, 2])?],
        Shape::Mesh(_) => return None,
    };
    let near = ranges.iter().map(|r| r.0).fold(f32::NEG_INFINITY, f32::max);
    let far = ranges.iter().map(|r| r.1).fold(f32::INFINITY, f32::min);
    (near <= far && near > 0.0).then_some(near)
}

fn cast(view: &SceneView<'_>, camera: &Camera, pixel: Vec2) -> Option<(f32, u8, u8, bool)> {
    let (origin, direction) = camera.ray(pixel);
    view.parts
        .iter()
        .filter(|part| part.surface != bingrasp::contract::Surface::Cable)
        .filter_map(|part| {
            let round = !matches!(part.shape, Shape::Box);
            hit(part, view.world_from_body, origin, direction).map(|t| (t, part.instance, part.class as u8, round))
        })
        .min_by(|a, b| a.0.total_cmp(&b.0))
}

#[test]
fn ids_and_depth_agree_with_ray_casting() {
    let gpu = Gpu::open().expect("an adapter");
    let size = 256;
    let mut renderer = TiledRenderer::new(&gpu, RenderConfig::new(size, size), &ImageSet::default()).expect("built");
    let (mut compared, mut of_objects, mut edges) = (0, 0, 0);
    for seed in 0..4 {
        let world = world(seed);
        let look = Look::sample(Domain::Canonical, Seed(seed), 0);
        let view = view(&world, &look, size);
        let frames = renderer.capture(Domain::Canonical, &[view], FrameChannels::PAIRED).expect("captured");
        let mut rng = Seed(seed).derive("pixels", 0).rng();
        for _ in 0..1500 {
            let (x, y) = (rng.below(size as usize), rng.below(size as usize));
            let (depth, instance, class, round) =
                cast(&view, &frames.cameras[0], Vec2::new(x as f32 + 0.5, y as f32 + 0.5)).expect("the floor at least");
            // Where a hair's breadth decides which part a pixel shows, either answer is right.
            let unsure = [(-0.02, 0.0), (0.02, 0.0), (0.0, -0.02), (0.0, 0.02)].iter().any(|&(dx, dy)| {
                let near = Vec2::new(x as f32 + 0.5 + dx, y as f32 + 0.5 + dy);
                cast(&view, &frames.cameras[0], near).is_none_or(|n| n.1 != instance || (n.0 - depth).abs() > 1e-3)
            });
            if unsure {
                edges += 1;
                continue;
            }
            let at = y * size as usize + x;
            let drawn = (frames.depth_m[at], frames.instances[at], frames.segmentation[at]);
            // Round parts are drawn as many-sided ones: a facet lies up to 0.4% of the radius inside, and at the rim
            // the ray may pass it.
            if round && drawn.1 != instance {
                edges += 1;
                continue;
            }
            assert_eq!((drawn.1, drawn.2), (instance, class), "seed {seed}, pixel {x},{y}");
            let tolerance = if round { 6e-3 } else { 1e-3 };
            assert!((drawn.0 - depth).abs() < tolerance, "seed {seed}, pixel {x},{y}: {} for {depth}", drawn.0);
            compared += 1;
            of_objects += usize::from(class == 1);
        }
    }
    assert!(compared > 5500 && of_objects > 150 && edges < 400, "{compared} {of_objects} {edges}");
}

#[test]
fn a_tile_equals_the_same_scene_alone() {
    let gpu = Gpu::open().expect("an adapter");
    let worlds: Vec<GraspWorldBundle> = (0..7).map(world).collect();
    let looks: Vec<Look> = (0..7).map(|i| Look::sample(Domain::RandomizedHeavy, Seed(i), 0)).collect();
    let mut renderer = TiledRenderer::new(&gpu, RenderConfig::new(64, 64), &ImageSet::default()).expect("built");
    let views: Vec<_> = worlds.iter().zip(&looks).map(|(w, l)| view(w, l, 64)).collect();
    let together = renderer.capture(Domain::RandomizedHeavy, &views, FrameChannels::PAIRED).expect("captured");
    let again = renderer.capture(Domain::RandomizedHeavy, &views, FrameChannels::PAIRED).expect("captured");
    assert_eq!(together.source_rgb, again.source_rgb, "the same state gives the same bytes");
    for (i, view) in views.iter().enumerate() {
        let alone = renderer.capture(Domain::RandomizedHeavy, &[*view], FrameChannels::PAIRED).expect("captured");
        // A tile's place in the atlas rounds edges to other 256ths of a pixel: now and then a pixel on an edge changes
        // hands, and nothing else does.
        let differs = |a: &[u8], b: &[u8]| a.iter().zip(b).filter(|(a, b)| a != b).count();
        assert!(differs(&alone.instances, together.instance_image(i)) <= 4, "tile {i}");
        assert!(differs(&alone.segmentation, together.segmentation_image(i)) <= 4, "tile {i}");
        let deeper = alone.depth_m.iter().zip(together.depth_image(i)).filter(|(a, b)| (**a - **b).abs() > 2.1e-4);
        assert!(deeper.count() <= 4, "tile {i}");
        for (one, many) in
            [(&alone.source_rgb[..], together.source_image(i)), (&alone.canonical_rgb[..], together.canonical_image(i))]
        {
            let off = one.iter().zip(many).filter(|(a, b)| a.abs_diff(**b) > 2).count();
            assert!(off * 500 < one.len(), "tile {i}: {off} of {} bytes differ", one.len());
        }
    }
}

/// Environments of Robot 1 that deliver frames.
fn config(domain: Domain, batch: (usize, u32), seed: u64) -> EnvConfig {
    let cell = CellDescription::iiwa_bin().into();
    let objects = ObjectSet::builtin().split(Split::Train);
    EnvConfig::new(&cell, objects, domain, batch, Seed(seed)).with_frames(PrivilegedAccess::GroundTruth)
}

#[test]
fn images_alone_are_those_of_the_frames() {
    for domain in Domain::LOOKS {
        let frames = config(domain, (3, 64), 3);
        let images = EnvConfig { channels: Channels::IMAGE, ..frames.clone() };
        let of = |config| GraspEnv::new(config).expect("built").reset_all().expect("reset");
        let privileged = of(frames).privileged.expect("frames");
        let alone = of(images);
        assert!(alone.privileged.is_none());
        assert!(alone.observation.images == privileged.frames[0].source_rgb, "{domain}");
    }
}

#[test]
fn a_view_for_policies_stands_beside_the_frames_and_changes_none() {
    let frames = EnvConfig { crop: Crop::Random, ..config(Domain::RandomizedHeavy, (3, 64), 3) };
    let camera = frames.cameras[0].clone();
    let view = PolicyView { domain: Domain::Canonical, camera, crop: Crop::Centre };
    let both = EnvConfig { policy_view: Some(view), ..frames.clone() };
    let alone = EnvConfig { channels: Channels::IMAGE, ..config(Domain::Canonical, (3, 64), 3) };
    let of = |config| GraspEnv::new(config).expect("built").reset_all().expect("reset");
    let (frames, alone) = (of(frames), of(alone));
    let mut env = GraspEnv::new(both).expect("built");
    let both = env.reset_all().expect("reset");
    assert!(both.observation.images == alone.observation.images, "the view is the picture of canonical environments");
    let [expected, found] = [&frames, &both].map(|batch| &batch.privileged.as_ref().expect("frames").frames);
    assert_eq!((expected.len(), found.len()), (1, 1));
    assert!(expected[0].source_rgb == found[0].source_rgb && expected[0].depth_m == found[0].depth_m);
    assert!(expected[0].canonical_rgb != both.observation.images, "the crops differ");
    // What is not wanted is not drawn; the view is.
    env.draw_frames(false);
    let seen = env.observe().expect("observed");
    assert!(seen.observation.images == both.observation.images && seen.privileged.is_some_and(|p| p.frames.is_empty()));
}

#[test]
fn random_cameras_take_randomized_pictures_and_no_others() {
    for domain in Domain::LOOKS {
        let plain = config(domain, (24, 64), 3);
        let taken = EnvConfig { camera_effects: true, ..plain.clone() };
        let of = |config| GraspEnv::new(config).expect("built").reset_all().expect("reset");
        let [plain, taken] = [plain, taken].map(|config| of(config).privileged.expect("frames").frames.remove(0));
        let same = |i: &usize| plain.source_image(*i) == taken.source_image(*i);
        let unchanged = (0..plain.count).filter(same).count();
        if !domain.is_randomized() {
            assert_eq!(unchanged, plain.count, "{domain}");
            continue;
        }
        assert!((1..=12).contains(&unchanged), "{domain}: a fifth of the cameras is perfect, not {unchanged} of 24");
    }
}

#[test]
fn frames_show_the_state_after_the_step() {
    let mut env = GraspEnv::new(config(Domain::Canonical, (3, 96), 5)).expect("built");
    env.reset_all().expect("reset");
    let down = Action { translation_m: [0.01, 0.01, -0.03], ..Action::default() };
    for step_index in 1..=3_u64 {
        let outcome = env.step(&[Some(down); 3], true).expect("stepped");
        let frames = &outcome.privileged.as_ref().expect("frames").frames[0];
        for i in 0..3 {
            assert_eq!((frames.step_indices[i], outcome.observation.step_indices[i]), (step_index, step_index));
            // A finger's tip is where the physics says it is now: its pixel shows the gripper or what hides it.
            let tip = env.world(i).gripper_pose().translation;
            let (pixel, depth) = frames.cameras[i].project(tip + Vec3::Z * 0.1);
            let at = pixel.y as usize * frames.width + pixel.x as usize;
            let drawn = frames.depth_image(i)[at];
            assert!(drawn <= depth + 0.01, "step {step_index}: the palm is at {depth} m, the picture shows {drawn} m");
            assert!(depth - drawn < 0.12, "step {step_index}: the palm is at {depth} m, the picture shows {drawn} m");
        }
    }
}

#[test]
fn the_thread_count_changes_nothing() {
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        pool.install(|| {
            let mut env = GraspEnv::new(config(Domain::Reality, (4, 64), 9)).expect("built");
            env.reset_all().expect("reset");
            let action = |i: usize| Action { translation_m: [0.01 * i as f32, 0.0, -0.05], ..Action::default() };
            let actions: Vec<Option<Action>> = (0..4).map(|i| Some(action(i))).collect();
            let outcome = env.step(&actions, true).expect("stepped");
            outcome.privileged.expect("frames").frames
        })
    };
    let (one, three) = (run(1), run(3));
    assert_eq!(one[0].source_rgb, three[0].source_rgb);
    assert_eq!(one[0].depth_m, three[0].depth_m);
}

#[test]
fn every_domain_differs_and_none_is_blank() {
    let gpu = Gpu::open().expect("an adapter");
    let world = world(2);
    let mut renderer = TiledRenderer::new(&gpu, RenderConfig::new(128, 128), &ImageSet::default()).expect("built");
    let mut pictures: Vec<(Domain, Vec<u8>)> = Vec::new();
    for domain in Domain::ALL {
        let look = Look::sample(domain, Seed(3), 0);
        let frames = renderer.capture(domain, &[view(&world, &look, 128)], FrameChannels::PAIRED).expect("captured");
        let mean = frames.source_rgb.iter().map(|&b| f64::from(b)).sum::<f64>() / frames.source_rgb.len() as f64;
        assert!((20.0..235.0).contains(&mean), "{domain}: mean {mean}");
        let (low, high) = frames.source_rgb.iter().fold((255, 0), |(l, h), &b| (b.min(l), b.max(h)));
        assert!(high - low > 100, "{domain}: {low} to {high}");
        for (other, picture) in &pictures {
            let difference =
                picture.iter().zip(&frames.source_rgb).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>();
            assert!(difference / picture.len() as f64 > 3.0, "{domain} looks like {other}");
        }
        pictures.push((domain, frames.source_rgb));
    }
}

#[test]
fn source_and_canonical_share_every_silhouette() {
    let gpu = Gpu::open().expect("an adapter");
    let config = RenderConfig { smooth_edges: false, ..RenderConfig::new(160, 160) };
    let mut renderer = TiledRenderer::new(&gpu, config, &ImageSet::default()).expect("built");
    let world = world(6);
    let mut look = Look::sample(Domain::RandomizedHeavy, Seed(11), 0);
    // Plain, strongly coloured slots: green tray, blue floor. The canonical tray and floor are grey.
    let plain = |rgb| bingrasp::appearance::Material::plain(rgb, 1.0, 0.0);
    look.surfaces.tray = plain([20, 220, 20]);
    look.surfaces.floor = plain([20, 20, 220]);
    look.surfaces.backdrop = plain([20, 20, 220]);
    let view = view(&world, &look, 160);
    let frames = renderer.capture(Domain::RandomizedHeavy, &[view], FrameChannels::PAIRED).expect("captured");
    let mut checked = 0;
    for (i, class) in frames.segmentation.iter().enumerate() {
        let source = &frames.source_rgb[i * 3..i * 3 + 3];
        match class {
            2 => assert!(source[1] > source[2], "pixel {i} of the tray is {source:?}"),
            0 => assert!(source[2] > source[1], "pixel {i} of the floor is {source:?}"),
            _ => continue,
        }
        checked += 1;
    }
    assert!(checked > 10_000);
    // The canonical tray is darker than the canonical floor on every pixel that nothing shades: compare the two sides of
    // the outer silhouette.
    let luma = |i: usize| frames.canonical_rgb[i * 3..i * 3 + 3].iter().map(|&b| u32::from(b)).sum::<u32>();
    let mut contrast = 0;
    let mut pairs = 0;
    for i in 0..frames.segmentation.len() - 1 {
        if let (0, 2) | (2, 0) = (frames.segmentation[i], frames.segmentation[i + 1]) {
            pairs += 1;
            contrast += usize::from(luma(i).abs_diff(luma(i + 1)) > 30);
        }
    }
    assert!(pairs > 100 && contrast * 10 > pairs * 7, "{contrast} of {pairs}");
}

/// Every set of images.
fn channel_sets() -> impl Iterator<Item = FrameChannels> {
    (0..32_u32).map(|bits| FrameChannels {
        source: bits & 1 != 0,
        canonical: bits & 2 != 0,
        identity: bits & 4 != 0,
        depth: bits & 8 != 0,
        sensed_depth: bits & 16 != 0,
    })
}

#[test]
fn no_image_depends_on_which_others_are_captured() {
    let gpu = Gpu::open().expect("an adapter");
    let worlds: Vec<GraspWorldBundle> = (0..3).map(world).collect();
    for smooth_edges in [true, false] {
        let config = RenderConfig { smooth_edges, ..RenderConfig::new(64, 48) };
        let mut renderer = TiledRenderer::new(&gpu, config, &ImageSet::default()).expect("built");
        for domain in Domain::ALL {
            let looks: Vec<Look> = (0..3).map(|i| Look::sample(domain, Seed(i), 0)).collect();
            // The arm moves, so that a camera's shutter smears it.
            let views: Vec<SceneView<'_>> = worlds
                .iter()
                .zip(&looks)
                .map(|(w, l)| SceneView { arm_motion_m: Vec3::new(0.2, 0.1, -0.1), ..view(w, l, 64) })
                .map(|view| SceneView { camera: cropped(&view.camera, 64, 48), ..view })
                .collect();
            let whole = renderer.capture(domain, &views, FrameChannels::ALL).expect("captured");
            assert_eq!(whole.channels(), FrameChannels::ALL);
            for channels in channel_sets() {
                let some = renderer.capture(domain, &views, channels).expect("captured");
                assert_eq!(some.channels(), channels, "{domain}");
                let what = format!("{domain}, {channels} alone, smooth edges: {smooth_edges}");
                assert!(!channels.source || some.source_rgb == whole.source_rgb, "source of {what}");
                assert!(!channels.canonical || some.canonical_rgb == whole.canonical_rgb, "canonical of {what}");
                assert!(!channels.identity || some.segmentation == whole.segmentation, "classes of {what}");
                assert!(!channels.identity || some.instances == whole.instances, "instances of {what}");
                assert!(!channels.depth || some.depth_m == whole.depth_m, "depth of {what}");
                assert!(
                    !channels.sensed_depth || some.sensed_depth_m == whole.sensed_depth_m,
                    "sensed depth of {what}"
                );
                assert_eq!((some.cameras, some.step_indices), (whole.cameras.clone(), whole.step_indices.clone()));
            }
        }
    }
}

fn cropped(camera: &Camera, width: u32, height: u32) -> Camera {
    Camera { intrinsics: camera.intrinsics.cropped(0, 8, width, height), ..*camera }
}

#[test]
fn only_reality_measures_depth_with_a_camera() {
    let gpu = Gpu::open().expect("an adapter");
    let world = world(1);
    let capture = |domain, depth_camera| {
        let config = RenderConfig { depth_camera, ..RenderConfig::new(128, 128) };
        let mut renderer = TiledRenderer::new(&gpu, config, &ImageSet::default()).expect("built");
        let look = Look::sample(domain, Seed(3), 0);
        renderer.capture(domain, &[view(&world, &look, 128)], FrameChannels::ALL).expect("captured")
    };
    let simulated = capture(Domain::RandomizedHeavy, Seed(0));
    assert_eq!(simulated.sensed_depth_m, simulated.depth_m);
    let ratio = |specimen| {
        let frames = capture(Domain::Reality, Seed(specimen));
        let pairs = || frames.sensed_depth_m.iter().zip(&frames.depth_m).filter(|(sensed, _)| **sensed > 0.0);
        let holes =
            frames.depth_m.iter().zip(&frames.sensed_depth_m).filter(|(z, sensed)| **z < 1.4 && **sensed == 0.0);
        let (seen, holes) = (pairs().count(), holes.count());
        assert!(holes * 100 > seen && holes * 2 < seen, "{holes} holes beside {seen} pixels");
        let off = pairs().filter(|(sensed, z)| (**sensed - **z).abs() > 0.05).count();
        assert!(off * 50 < seen, "{off} of {seen} are off by more than 5 cm");
        pairs().map(|(sensed, z)| f64::from(sensed / z)).sum::<f64>() / seen as f64
    };
    // A specimen keeps its scale and bias: within 1% and 5 mm of about 1 m, and not those of the next one.
    let (first, second) = (ratio(1), ratio(2));
    assert!((first - 1.0).abs() < 0.02 && (second - 1.0).abs() < 0.02, "{first} {second}");
    assert!((first - second).abs() > 1e-4 && (first - ratio(1)).abs() < 1e-12, "{first} {second}");
}

#[test]
fn environments_deliver_measured_depth_where_it_is_asked_for() {
    let observed = |channels, access| {
        let config = EnvConfig { channels, access, ..config(Domain::Reality, (2, 48), 3) };
        let mut env = GraspEnv::new(config).expect("built");
        env.reset_all().expect("reset")
    };
    // A policy may see what a camera measures, and the true depth is not handed out with it.
    let seen = observed(Channels::IMAGE.with_depth(), PrivilegedAccess::Denied);
    assert_eq!(seen.observation.sensed_depth(1).len(), 48 * 48);
    assert!(seen.privileged.is_none());
    let alone = observed(Channels::IMAGE, PrivilegedAccess::Denied);
    assert_eq!(alone.observation.images, seen.observation.images);
    assert!(alone.observation.sensed_depth(1).is_empty());
    let both = observed(Channels::FRAMES.with_depth(), PrivilegedAccess::GroundTruth);
    assert_eq!(both.observation.sensed_depth_m, seen.observation.sensed_depth_m);
    let frames = &both.privileged.as_ref().expect("frames").frames[0];
    assert_ne!(frames.depth_m, frames.sensed_depth_m);
}
