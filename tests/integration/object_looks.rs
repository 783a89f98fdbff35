//! How objects look in the domains: spring-jointed ones, and those of users' files.

use super::rendering::view;
use bingrasp::appearance::{ImageSet, Look};
use bingrasp::contract::{Domain, FrameChannels, Pose, Seed};
use bingrasp::objects::{ImportOptions, ObjectSet, import_dir};
use bingrasp::render::{Gpu, RenderConfig, SceneView, TiledRenderer};
use bingrasp::scene::CellDescription;
use bingrasp::sim::{GraspWorldBundle, SimConfig};
use glam::Vec3;
use std::sync::Arc;

#[test]
fn a_spring_jointed_object_is_one_object_in_every_domain() {
    let gpu = Gpu::open().expect("an adapter");
    let size = 192;
    let mut renderer = TiledRenderer::new(&gpu, RenderConfig::new(size, size), &ImageSet::default()).expect("built");
    let sets = [ObjectSet::spring_jointed(), ObjectSet::rigid_twins()].map(|set| set.expect("six").objects().to_vec());
    let worlds = sets.map(|objects| {
        let mut world = GraspWorldBundle::new(Arc::new(CellDescription::iiwa_bin()), &SimConfig::default());
        let mut edit = world.edit();
        edit.reset(&objects[..4], Seed(1));
        let floor = edit.cell().bins[0].position;
        for (index, (x, y)) in [(-0.07, -0.1), (-0.07, 0.1), (0.08, -0.1), (0.08, 0.1)].into_iter().enumerate() {
            edit.place_object(index, Pose::from_translation(floor + Vec3::new(x, y, 0.1)));
        }
        edit.publish();
        world
    });
    for domain in [Domain::Canonical, Domain::RandomizedHeavy, Domain::Reality, Domain::Reality2] {
        let look = Look::sample(domain, Seed(3), 0);
        let views: Vec<SceneView<'_>> = worlds.iter().map(|world| view(world, &look, size)).collect();
        let frames = renderer.capture(domain, &views, FrameChannels::ALL).expect("captured");
        let pixels = (size * size) as usize;
        for id in 16..20_u8 {
            let count = |frame: usize| {
                let range = frame * pixels..(frame + 1) * pixels;
                let ids = frames.instances[range.clone()].iter().zip(&frames.segmentation[range]);
                let of_object: Vec<u8> = ids.filter(|(found, _)| **found == id).map(|(_, class)| *class).collect();
                assert!(of_object.iter().all(|&class| class == 1), "{domain}: object {id} has another class");
                of_object.len() as f32
            };
            // At rest it is drawn as its rigid twin is.
            let (springs, rigid) = (count(0), count(1));
            assert!(rigid > 250.0 && (springs - rigid).abs() < 0.02 * rigid, "{domain}, {id}: {springs} and {rigid}");
        }
        assert!(frames.instances.iter().all(|&id| id < 20), "{domain}: pieces have ids of their own");
    }
}

#[test]
fn colours_of_a_mesh_are_drawn_where_paint_is_kept() {
    let gpu = Gpu::open().expect("an adapter");
    let size = 192;
    let mut renderer = TiledRenderer::new(&gpu, RenderConfig::new(size, size), &ImageSet::default()).expect("built");
    // A plate of 80 mm, blue at small x and red at large: by colours of vertices, and without any. One end is lower, so that it
    // is no box.
    let folder = tempfile::tempdir().expect("a folder");
    let plate = |colors: [&str; 2]| {
        let mut obj = String::new();
        for upper in [false, true] {
            for (x, color) in [(-0.04, colors[0]), (0.0, colors[0]), (0.0, colors[1]), (0.04, colors[1])] {
                let z = if !upper {
                    0.0
                } else if x > 0.0 {
                    0.017
                } else {
                    0.02
                };
                obj.push_str(&format!("v {x} -0.04 {z}{color}\nv {x} 0.04 {z}{color}\n"));
            }
        }
        for at in [1, 5] {
            let [a, b, c, d] = [at, at + 1, at + 2, at + 3];
            obj.push_str(&format!("f {a} {b} {d} {c}\nf {} {} {} {}\n", a + 8, c + 8, d + 8, b + 8));
            obj.push_str(&format!("f {a} {c} {} {}\nf {d} {b} {} {}\n", c + 8, a + 8, b + 8, d + 8));
        }
        obj + "f 2 1 9 10\nf 7 8 16 15\n"
    };
    std::fs::write(folder.path().join("colored.obj"), plate([" 0 0 1", " 1 0 0"])).expect("written");
    std::fs::write(folder.path().join("plain.obj"), plate(["", ""])).expect("written");
    let report = import_dir(folder.path(), &ImportOptions::default()).expect("a folder of objects");
    assert_eq!((report.objects.len(), report.failures.len()), (2, 0), "{:?}", report.failures);
    let worlds: Vec<GraspWorldBundle> = report
        .objects
        .iter()
        .map(|imported| {
            let mut world = GraspWorldBundle::new(Arc::new(CellDescription::iiwa_bin()), &SimConfig::default());
            let mut edit = world.edit();
            edit.reset(&[Arc::new(imported.model.clone())], Seed(1));
            let floor = edit.cell().bins[0].position;
            edit.place_object(0, Pose::from_translation(floor + Vec3::new(-0.07, -0.1, 0.05)));
            edit.publish();
            world
        })
        .collect();
    for domain in [Domain::Canonical, Domain::Reality, Domain::RandomizedHeavy] {
        let looks: Vec<Look> = worlds
            .iter()
            .map(|world| Look::sample(domain, Seed(3), 0).with_paint(world.objects().iter().map(|object| object.paint)))
            .collect();
        let views: Vec<SceneView<'_>> =
            worlds.iter().zip(&looks).map(|(world, look)| view(world, look, size)).collect();
        let frames = renderer.capture(domain, &views, FrameChannels::ALL).expect("captured");
        let pixels = (size * size) as usize;
        let shares: Vec<[f32; 2]> = (0..2)
            .map(|frame| {
                let mut found = [0.0_f32; 3];
                for i in frame * pixels..(frame + 1) * pixels {
                    if frames.segmentation[i] == 1 {
                        let rgb = &frames.source_rgb[3 * i..3 * i + 3];
                        found[0] += f32::from(u8::from(i32::from(rgb[0]) > i32::from(rgb[2]) + 40));
                        found[1] += f32::from(u8::from(i32::from(rgb[2]) > i32::from(rgb[0]) + 40));
                        found[2] += 1.0;
                    }
                }
                assert!(found[2] > 300.0, "{domain}: {found:?}");
                [found[0] / found[2], found[1] / found[2]]
            })
            .collect();
        if domain == Domain::RandomizedHeavy {
            // The look is the same, and so is the drawing: the mesh's colours count for nothing.
            let (colored, plain) = frames.source_rgb.split_at(3 * pixels);
            let differ = colored.iter().zip(plain).filter(|(a, b)| a.abs_diff(**b) > 2).count();
            assert!(differ < pixels / 100, "{differ}");
            continue;
        }
        let [red, blue] = shares[0];
        assert!(red > 0.3 && blue > 0.3, "{domain}: {shares:?}");
        let [red, blue] = shares[1];
        assert!(red.min(blue) < 0.1, "{domain}: {shares:?}");
        // The canonical picture beside another domain shows the same colours.
        let canonical = &frames.canonical_rgb[..3 * pixels];
        let reddest = canonical.chunks_exact(3).filter(|rgb| i32::from(rgb[0]) > i32::from(rgb[2]) + 60).count();
        assert!(reddest > 100, "{domain}: {reddest}");
    }
}
