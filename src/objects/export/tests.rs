//! What is exported comes back the same, and nothing is half-written.

use super::*;
use crate::objects::import::{ImportOptions, import_dir};
use crate::objects::model::{ConvexPart, Mass, Physics};
use crate::objects::set::ObjectSet;
use glam::Vec3;
use std::fs;

fn assert_same(ours: &ObjectModel, back: &ObjectModel) {
    let name = &ours.name;
    assert_eq!(ours.parts.len(), back.parts.len(), "{name}");
    assert_eq!(
        (ours.mass_kg, ours.friction, ours.restitution),
        (back.mass_kg, back.friction, back.restitution),
        "{name}"
    );
    assert_eq!(ours.color, back.color, "{name}");
    assert_eq!(ours.mesh.is_some(), back.mesh.is_some(), "{name}");
    assert!((back.volume_m3 / ours.volume_m3 - 1.0).abs() < 1e-3, "{name}: {} {}", ours.volume_m3, back.volume_m3);
    let (a, b) = (ours.aabb(), back.aabb());
    assert!(a.min.distance(b.min) < 1e-5 && a.max.distance(b.max) < 1e-5, "{name}: {a:?} {b:?}");
    let (a, b) = (ours.inertia.tensor(), back.inertia.tensor());
    let scale = ours.inertia.principal_kg_m2.max_element();
    assert!(a.abs_diff_eq(b, 1e-4 * f64::from(scale)), "{name}: {a} {b}");
    for (a, b) in ours.parts.iter().zip(&back.parts) {
        assert_eq!(matches!(a, ConvexPart::Box { .. }), matches!(b, ConvexPart::Box { .. }), "{name}");
        for corner in a.corners() {
            assert!(b.corners().iter().any(|other| other.distance(corner) < 1e-5), "{name}");
        }
    }
}

/// Forty of the catalogue, and one of hulls that is drawn as another mesh.
fn objects() -> Vec<Arc<ObjectModel>> {
    let mut objects: Vec<Arc<ObjectModel>> = ObjectSet::builtin().objects().iter().step_by(25).cloned().collect();
    let wedge = |shift: f32| {
        let corners = [(0.0, 0.0, 0.0), (0.05, 0.0, 0.0), (0.0, 0.04, 0.0), (0.0, 0.0, 0.03), (0.05, 0.0, 0.01)];
        ConvexPart::from_points(&corners.map(|(x, y, z)| Vec3::new(x + shift, y, z))).expect("solid")
    };
    let physics = Physics { mass: Mass::Total(0.25), friction: 0.4, restitution: 0.2, color: Some([10, 200, 90]) };
    let drawn = crate::objects::geometry::Polyhedron::of_part(&wedge(0.01)).expect("solid").mesh();
    let object = ObjectModel::new("wedges", vec![wedge(0.0), wedge(0.03)], Some(drawn), physics).expect("solid");
    objects.push(Arc::new(object));
    objects
}

#[test]
fn colours_of_vertices_come_back() {
    let cube = crate::objects::geometry::Polyhedron::from_box(
        glam::DVec3::splat(0.02),
        glam::DVec3::ZERO,
        glam::DQuat::IDENTITY,
    );
    let mut mesh = cube.mesh();
    mesh.colors =
        mesh.normals.iter().map(|normal| if normal.z > 0.5 { [200, 30, 40] } else { [20, 90, 250] }).collect();
    let part = ConvexPart::Box { half_extents: Vec3::splat(0.02), body_from_part: crate::contract::Pose::IDENTITY };
    let mut object = ObjectModel::new("cube", vec![part], Some(mesh.clone()), Physics::default()).expect("solid");
    object.paint = Some([255; 3]);
    let seen = |mesh: &crate::contract::MeshData| {
        let mut seen: Vec<_> = mesh
            .positions
            .iter()
            .zip(&mesh.colors)
            .map(|(point, color)| ((point.to_array().map(|value| (value * 1e5).round() as i64)), *color))
            .collect();
        seen.sort_unstable();
        seen.dedup();
        seen
    };
    for format in [ExportFormat::Urdf, ExportFormat::Gltf] {
        let folder = tempfile::tempdir().expect("a folder");
        let out = folder.path().join("out");
        export_objects(&[Arc::new(object.clone())], &out, format).expect("written");
        let report = import_dir(&out, &ImportOptions::default()).expect("a folder of objects");
        let back = &report.objects[0].model;
        assert_eq!(seen(back.mesh.as_ref().expect("a mesh")), seen(&mesh), "{format:?}");
        assert_eq!(back.paint, Some([255; 3]), "{format:?}");
    }
}

#[test]
fn both_formats_come_back_the_same() {
    let objects = objects();
    for format in [ExportFormat::Urdf, ExportFormat::Gltf] {
        let folder = tempfile::tempdir().expect("a folder");
        let out = folder.path().join("out");
        export_objects(&objects, &out, format).expect("written");
        let report = import_dir(&out, &ImportOptions::default()).expect("a folder of objects");
        assert!(report.failures.is_empty(), "{:?}", report.failures);
        assert_eq!(report.objects.len(), objects.len());
        for (ours, back) in objects.iter().zip(&report.objects) {
            assert_eq!(ours.name, back.model.name);
            assert!(back.warnings.is_empty(), "{format:?} {}: {:?}", ours.name, back.warnings);
            assert_same(ours, &back.model);
        }
        let (ours, back) = (&objects[40], &report.objects[40].model);
        let count = |object: &ObjectModel| object.mesh.as_ref().map(|mesh| mesh.indices.len());
        assert_eq!(count(ours), count(back), "the drawn mesh is kept apart from the parts");
        let left: Vec<_> = fs::read_dir(folder.path()).expect("readable").collect();
        assert_eq!(left.len(), 1, "no temporary folder is left");
    }
}

#[test]
fn glb_is_what_the_specification_says() {
    let object = &objects()[0];
    let bytes = gltf::glb(object, "x");
    let file = ::gltf::Gltf::from_slice(&bytes).expect("valid glTF");
    let blob = file.blob.as_deref().expect("a binary chunk");
    let mesh = file.meshes().next().expect("a mesh");
    assert_eq!(mesh.primitives().count(), object.parts.len());
    let mut volume = 0.0;
    for primitive in mesh.primitives() {
        let reader = primitive.reader(|_| Some(blob));
        let points: Vec<Vec3> = reader.read_positions().expect("positions").map(Vec3::from_array).collect();
        let bounds = primitive.bounding_box();
        assert!(
            points
                .iter()
                .all(|p| p.cmpge(Vec3::from_array(bounds.min)).all() && p.cmple(Vec3::from_array(bounds.max)).all())
        );
        let indices: Vec<u32> = reader.read_indices().expect("indices").into_u32().collect();
        for t in indices.chunks(3) {
            let [a, b, c] = [0, 1, 2].map(|i| points[t[i] as usize].as_dvec3());
            volume += a.dot(b.cross(c)) / 6.0;
        }
    }
    // Outward, counter-clockwise triangles enclose the sum of the parts' volumes.
    let parts: f64 = object.solids().iter().map(|solid| solid.volume()).sum();
    assert!((volume / parts - 1.0).abs() < 1e-4, "{volume} {parts}");
}

#[test]
fn a_folder_in_use_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("mine.txt"), "keep").expect("written");
    let error = export_objects(&objects(), folder.path(), ExportFormat::Urdf).unwrap_err();
    assert!(error.to_string().contains("already exists and is not empty"));
    assert_eq!(fs::read_dir(folder.path()).expect("readable").count(), 1);
    let error = check_output(&folder.path().join("mine.txt")).unwrap_err();
    assert!(error.to_string().contains("already exists"));
    let empty = folder.path().join("empty");
    fs::create_dir(&empty).expect("created");
    export_objects(&objects()[..1], &empty, ExportFormat::Gltf).expect("an empty folder is taken");
    assert!(empty.join("000.glb").is_file());
    let nowhere = folder.path().join("mine.txt/out");
    assert!(export_objects(&objects()[..1], &nowhere, ExportFormat::Gltf).unwrap_err().to_string().contains("written"));
}

#[test]
fn file_names_are_plain_and_differ() {
    let object = |name: &str| Arc::new(ObjectModel { name: name.into(), ..(*objects()[0]).clone() });
    let names = file_names(&[object("a/b"), object("a b"), object("../x"), object(""), object("naïve")]);
    assert_eq!(names, ["a_b", "a_b-2", "_.._x", "_", "na_ve"]);
}
