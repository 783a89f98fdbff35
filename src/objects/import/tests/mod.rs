//! Import of good files against figures worked out by hand, and of bad ones against their messages.

mod descriptions;
mod field;
mod gltf_files;
mod meshes;

use super::*;
use glam::Quat;
use std::fs;

/// A 4 x 6 x 2 cm box, one corner at the origin, in metres.
const BOX_OBJ: &str = "# a box\no box\nv 0 0 0\nv 0.04 0 0\nv 0.04 0.06 0\nv 0 0.06 0\nv 0 0 0.02\nv 0.04 0 0.02\n\
    v 0.04 0.06 0.02\nv 0 0.06 0.02\nf 1 4 3 2\nf 5 6 7 8\nf 1/1 2/2 6/3 5/4\nf 2//1 3//1 7//1 6//1\nf -6 -5 -1 -2\n\
    f 4 1 5 8\n";

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    fn with(self, name: &str, contents: impl AsRef<[u8]>) -> Self {
        let path = self.0.path().join(name);
        fs::create_dir_all(path.parent().expect("inside the folder")).expect("a folder");
        fs::write(path, contents).expect("a file");
        self
    }

    fn import(&self) -> ImportReport {
        import_dir(self.0.path(), &ImportOptions::default()).expect("a folder with object files")
    }

    /// The only object.
    fn one(&self) -> Imported {
        let mut report = self.import();
        assert!(report.failures.is_empty() && report.objects.len() == 1, "{report:?}");
        report.objects.remove(0)
    }

    /// The message of the only failure.
    fn failure(&self) -> String {
        let report = self.import();
        assert!(report.failures.len() == 1 && report.objects.is_empty(), "{report:?}");
        report.failures[0].to_string()
    }
}

fn urdf(inside: &str) -> String {
    format!("<?xml version=\"1.0\"?>\n<robot name=\"thing\">\n  <link name=\"base\">\n{inside}\n  </link>\n</robot>\n")
}

fn meshed(reference: &str) -> String {
    urdf(&format!("<collision><geometry><mesh filename=\"{reference}\"/></geometry></collision>"))
}

#[test]
fn an_obj_box_is_a_box_with_the_default_density() {
    let object = Folder::new().with("deep/er/block.obj", BOX_OBJ).one();
    assert_eq!(object.model.name, "deep/er/block");
    let [ConvexPart::Box { .. }] = object.model.parts[..] else { panic!("{:?}", object.model.parts) };
    assert!((object.model.volume_m3 - 48e-6).abs() < 1e-10);
    assert!((object.model.mass_kg - 0.024).abs() < 1e-7);
    assert!(object.model.aabb().extents().distance(Vec3::new(0.04, 0.06, 0.02)) < 1e-6);
    assert!((object.model.grasp_width() - 0.02).abs() < 1e-6);
    assert!(object.warnings.iter().any(|warning| warning.contains("500 kg/m^3")), "{:?}", object.warnings);
}

#[test]
fn what_an_obj_says_of_looks_and_is_not_found_is_named() {
    let box_of = |material: &str| BOX_OBJ.replacen("f 1", &format!("mtllib m.mtl\nusemtl {material}\nf 1"), 1);
    let warnings = |material: &str, library: Option<&str>| {
        let folder = Folder::new().with("m.obj", box_of(material));
        let folder = match library {
            Some(text) => folder.with("m.mtl", text),
            None => folder,
        };
        folder.one().warnings.join("\n")
    };
    let says = warnings("wood", Some("newmtl wood\nmap_Kd nope.png\n"));
    assert!(says.contains("texture of material 'wood'") && says.contains("nope.png"), "{says}");
    let says = warnings("wood", Some("newmtl wood\nmap_Kd -clamp\n"));
    assert!(says.contains("names no picture"), "{says}");
    let says = warnings("stone", Some("newmtl wood\nKd 1 0 0\n"));
    assert!(says.contains("describes the material 'stone'"), "{says}");
    // The missing library is named, and nothing more.
    let says = warnings("stone", None);
    assert!(says.contains("m.mtl") && !says.contains("describes"), "{says}");
    assert!(!warnings("wood", Some("newmtl wood\nKd 1 0 0\n")).contains("material"));
}

#[test]
fn one_number_scales_a_mesh_on_all_axes() {
    let text = urdf("<collision><geometry><mesh filename=\"m.obj\" scale=\"0.5\"/></geometry></collision>");
    let object = Folder::new().with("a/a.urdf", text).with("a/m.obj", BOX_OBJ).one();
    assert!(object.model.aabb().extents().distance(Vec3::new(0.02, 0.03, 0.01)) < 1e-6);
    assert!(object.warnings.iter().any(|warning| warning.contains("all three axes")), "{:?}", object.warnings);
}

#[test]
fn a_urdf_wins_over_its_mesh_and_says_mass_friction_colour() {
    let text = urdf(
        "<contact><lateral_friction value=\"0.7\"/></contact>\n\
         <inertial><origin xyz=\"0.02 0.03 0.02\"/><mass value=\"0.2\"/>\n\
         <inertia ixx=\"1\" ixy=\"0\" ixz=\"0\" iyy=\"1\" iyz=\"0\" izz=\"0\"/></inertial>\n\
         <visual><geometry><mesh filename=\"mesh.obj\" scale=\"1 1 2\"/></geometry>\n\
         <material name=\"m\"><color rgba=\"1 0.5 0 1\"/></material></visual>\n\
         <collision><geometry><mesh filename=\"mesh.obj\" scale=\"1 1 2\"/></geometry></collision>",
    );
    let object = Folder::new().with("007/007.urdf", text).with("007/mesh.obj", BOX_OBJ).one();
    assert_eq!(object.model.name, "007");
    assert_eq!((object.model.mass_kg, object.model.friction), (0.2, 0.7));
    assert_eq!(object.model.color, Some([255, 128, 0]));
    assert!(object.model.aabb().extents().distance(Vec3::new(0.04, 0.06, 0.04)) < 1e-6);
    // The placeholder inertia is refused; m/12 (b^2 + c^2) of the box is used.
    assert!(object.warnings.iter().any(|warning| warning.contains("inertia")), "{:?}", object.warnings);
    let expected = Vec3::new(0.04, 0.06, 0.06).powf(2.0) + Vec3::new(0.04, 0.04, 0.04).powf(2.0);
    assert!((object.model.inertia.principal_kg_m2 / (expected * 0.2 / 12.0) - 1.0).abs().max_element() < 1e-3);
}

#[test]
fn pybullets_random_objects() {
    // The layout and the numbers' style of its random_urdfs: convex pieces in one OBJ, spaces at the ends of faces, a
    // scale, a placeholder inertia. Two bars of 2 x 6 x 2 units that cross at a right angle.
    let mut text = String::new();
    for (number, [x, y]) in [[1, 3], [3, 1]].into_iter().enumerate() {
        text.push_str(&format!("o convex_{number}\n"));
        for corner in 0..8 {
            let sign = |bit: i32| if corner & bit == 0 { -1 } else { 1 };
            text.push_str(&format!("v {}.000000 {}.000000 {}.000000\n", x * sign(1), y * sign(2), sign(4)));
        }
        for [a, b, c] in crate::objects::geometry::BOX_TRIANGLES {
            text.push_str(&format!("f {} {} {} \n", 8 * number + a + 1, 8 * number + b + 1, 8 * number + c + 1));
        }
    }
    let description = |number: &str| {
        urdf(&format!(
            "<contact><lateral_friction value=\"1.0\"/><inertia_scaling value=\"3.0\"/></contact>\n\
             <inertial><origin rpy=\"0 0 0\" xyz=\"0 0 0\"/><mass value=\"0.1\"/>\n\
             <inertia ixx=\"1\" ixy=\"0\" ixz=\"0\" iyy=\"1\" iyz=\"0\" izz=\"0\"/></inertial>\n\
             <visual><geometry><mesh filename=\"{number}.obj\" scale=\"0.015 0.015 0.015\"/></geometry></visual>\n\
             <collision><geometry><mesh filename=\"{number}.obj\" scale=\"0.015 0.015 0.015\"/></geometry></collision>"
        ))
    };
    let folder = Folder::new()
        .with("000/000.urdf", description("000"))
        .with("000/000.obj", &text)
        .with("168/168.urdf", description("168"))
        .with("168/168.obj", "o 168_Cube.721\nv nan nan nan\nv nan nan nan\nv nan nan nan\nf 1 2 3\n");
    let report = folder.import();
    let [Imported { model, .. }] = &report.objects[..] else { panic!("{report:?}") };
    assert_eq!((model.name.as_str(), model.parts.len(), model.mass_kg, model.friction), ("000", 2, 0.1, 1.0));
    assert!(model.aabb().extents().distance(Vec3::new(0.09, 0.09, 0.03)) < 1e-6);
    // Two bars of 3 x 9 x 3 cm, less the 27 cm^3 that they share.
    assert!((model.volume_m3 * 1e6 - 135.0).abs() < 0.5, "{}", model.volume_m3);
    assert!(report.failures[0].to_string().contains("168.obj: line 2"), "{report:?}");
}

#[test]
fn urdf_origins_centre_of_mass_and_inertia_are_kept() {
    // A box turned by 90 degrees about z; the mass sits 1 cm off its middle; the inertia is 0.8 of the uniform one.
    let inertia = [0.04_f64, 0.02, 0.06]; // full edges x, y, z after the turn: 2, 4, 6 cm
    let m = 0.3 / 12.0 * 0.8;
    let (ixx, iyy, izz) = (
        m * (inertia[0].powi(2) + inertia[2].powi(2)),
        m * (inertia[1].powi(2) + inertia[2].powi(2)),
        m * (inertia[0].powi(2) + inertia[1].powi(2)),
    );
    let text = urdf(&format!(
        "<inertial><origin xyz=\"0.1 0.01 0\" rpy=\"0 0 0\"/><mass value=\"0.3\"/>\n\
         <inertia ixx=\"{ixx}\" iyy=\"{iyy}\" izz=\"{izz}\" ixy=\"0\" ixz=\"0\" iyz=\"0\"/></inertial>\n\
         <collision><origin xyz=\"0.1 0 0\" rpy=\"0 0 1.5707963\"/><geometry><box size=\"0.04 0.02 0.06\"/></geometry>\n\
         </collision>"
    ));
    let object = Folder::new().with("a.urdf", text).one();
    assert!(object.warnings.is_empty(), "{:?}", object.warnings);
    let bounds = object.model.aabb();
    assert!(bounds.min.distance(Vec3::new(-0.01, -0.03, -0.03)) < 1e-6, "{bounds:?}");
    assert!(bounds.max.distance(Vec3::new(0.01, 0.01, 0.03)) < 1e-6, "{bounds:?}");
    let tensor = object.model.inertia.tensor();
    for (have, want) in [(tensor.x_axis.x, ixx), (tensor.y_axis.y, iyy), (tensor.z_axis.z, izz)] {
        assert!((have / want - 1.0).abs() < 1e-5, "{have} {want}");
    }
}

#[test]
fn primitives_and_fixed_links() {
    let text = "<robot name=\"hammer\">\n\
        <link name=\"handle\"><inertial><mass value=\"0.1\"/></inertial>\n\
        <collision><geometry><cylinder radius=\"0.01\" length=\"0.1\"/></geometry></collision></link>\n\
        <link name=\"head\"><inertial><mass value=\"0.3\"/></inertial>\n\
        <collision><geometry><sphere radius=\"0.02\"/></geometry></collision></link>\n\
        <joint name=\"j\" type=\"fixed\"><parent link=\"handle\"/><child link=\"head\"/>\n\
        <origin xyz=\"0 0 0.06\"/></joint></robot>";
    let object = Folder::new().with("hammer.urdf", text).one().model;
    assert!((object.mass_kg - 0.4).abs() < 1e-6);
    // The centre of mass is 3/4 of the way from the handle's middle to the head's: 4.5 cm up.
    let bounds = object.aabb();
    assert!((bounds.min.z + 0.095).abs() < 1e-4, "{bounds:?}");
    let cylinder = std::f32::consts::PI * 0.01 * 0.01 * 0.1;
    let ball = 4.0 / 3.0 * std::f32::consts::PI * 0.02_f32.powi(3);
    // They overlap by a little: the handle's end reaches 1 cm into the ball.
    assert!(object.volume_m3 < cylinder + ball && object.volume_m3 > 0.9 * (cylinder + ball));
    assert!(object.mesh.is_some());
}

#[test]
fn articulated_and_odd_urdfs_are_refused_with_their_place() {
    let joint = "<robot name=\"r\"><link name=\"a\"/><link name=\"b\"/>\n<joint name=\"j\" type=\"revolute\">\n\
        <parent link=\"a\"/><child link=\"b\"/></joint></robot>";
    let message = Folder::new().with("r.urdf", joint).failure();
    assert!(message.contains("r.urdf: line 2") && message.contains("make its joints fixed"), "{message}");
    let message = Folder::new().with("x.urdf", "<robot name=\"r\">\n  <link name=\"a\">\n  </lnk>\n</robot>").failure();
    assert!(message.contains("x.urdf:3:") && message.contains("malformed XML"), "{message}");
    let circle = "<robot name=\"r\"><link name=\"a\"/><link name=\"b\"/>\
        <joint type=\"fixed\"><parent link=\"a\"/><child link=\"b\"/></joint>\
        <joint type=\"fixed\"><parent link=\"b\"/><child link=\"a\"/></joint></robot>";
    assert!(Folder::new().with("c.urdf", circle).failure().contains("circle"));
    let shape = urdf("<collision><geometry><box size=\"0.1 0.1 nan\"/></geometry></collision>");
    assert!(Folder::new().with("n.urdf", shape).failure().contains("'nan' is not a finite number"));
    let entity = "<!DOCTYPE r [<!ENTITY a \"aaaa\">]><robot name=\"&a;\"/>";
    assert!(Folder::new().with("e.urdf", entity).failure().contains("malformed XML"));
}

#[test]
fn references_stay_inside() {
    let collision =
        |file: &str| urdf(&format!("<collision><geometry><mesh filename=\"{file}\"/></geometry></collision>"));
    let outside = Folder::new().with("secret.obj", BOX_OBJ).with("in/side/a.urdf", collision("../../secret.obj"));
    let report = import_dir(&outside.0.path().join("in"), &ImportOptions::default()).expect("a folder");
    assert!(report.failures[0].to_string().contains("outside"), "{report:?}");
    for climbing in
        ["../../../../../../etc/passwd.obj", "/etc/passwd.obj", "file:///etc/passwd.obj", "a/../../../x.obj"]
    {
        let message = Folder::new().with("in/a.urdf", collision(climbing)).failure();
        assert!(message.contains("lies outside the object's folder"), "{climbing}: {message}");
    }
    // Between folders of the same set it is fine, and as ROS writes it too.
    for inside in ["../meshes/b.obj", "package://thing/meshes/b.obj"] {
        let folder = Folder::new().with("urdf/a.urdf", collision(inside)).with("meshes/b.obj", BOX_OBJ);
        assert_eq!(folder.one().model.name, "urdf/a");
    }
    let message = Folder::new().with("a.urdf", collision("absent.obj")).failure();
    assert!(message.contains("absent.obj") && message.contains("cannot be opened"), "{message}");
}

#[test]
fn bad_obj_files_name_line_and_cure() {
    let obj = |text: &str| Folder::new().with("m.obj", text).failure();
    let message = obj("v 0 0 0\nv 1 0 nan\n");
    assert!(message.contains("m.obj: line 2") && message.contains("not a finite number"), "{message}");
    let message = obj("v 0 0 0\nv 1 x 0\n");
    assert!(message.contains("m.obj:2:5: 'x' is not a number"), "{message}");
    let message = obj("v 0 0 0\nv 1 0 0\nv 0 1 0\n\nf 1 2 4\n");
    assert!(message.contains("line 5: index 4 is out of range, there are 3 vertices"), "{message}");
    let message = obj("v 0 0 0\nf 1 -2 1\n");
    assert!(message.contains("line 2: index -2 is out of range"), "{message}");
    assert!(obj("v 0 0 0\nf 1 1\n").contains("no triangles"));
    assert!(obj("v 0 0 0\nf\n").contains("a face needs corners"));
    assert!(obj("v 0 0\n").contains("three coordinates"));
    assert!(obj("").contains("no triangles"));
    assert!(obj("v 0 0 0\nv 0.1 0 0\nv 0 0.1 0\nf 1 2 3\n").contains("no solid part"));
    let garbage: Vec<u8> = (0..2000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    assert!(Folder::new().with("m.obj", garbage).failure().contains("m.obj"));
}

#[test]
fn sizes_are_capped_before_anything_is_kept() {
    let limits = Limits { file_bytes: 100, ..Limits::default() };
    let folder = Folder::new().with("m.obj", BOX_OBJ);
    let with = |limits| {
        let options = ImportOptions { limits, ..ImportOptions::default() };
        import_dir(folder.0.path(), &options).expect("a folder").failures.remove(0).to_string()
    };
    assert!(with(limits).contains("more than the 100 that one object file may have"));
    assert!(with(Limits { vertices: 7, ..Limits::default() }).contains("more than 7 vertices"));
    assert!(with(Limits { triangles: 11, ..Limits::default() }).contains("more than 11 triangles"));
    let options = ImportOptions { limits: Limits { files: 0, ..Limits::default() }, ..ImportOptions::default() };
    assert!(import_dir(folder.0.path(), &options).unwrap_err().to_string().contains("more than 0 object files"));
}

#[test]
fn wrong_units_say_the_size_and_the_cure() {
    let millimetres = BOX_OBJ.replace("0.0", "");
    let folder = Folder::new().with("m.obj", &millimetres);
    let message = folder.failure();
    assert!(
        message.contains("6 m across") && message.contains("0.01, as for centimetres, makes it 0.06 m"),
        "{message}"
    );
    let options = ImportOptions { scale: 10.0, ..ImportOptions::default() };
    let message = import_dir(folder.0.path(), &options).expect("a folder").failures.remove(0).to_string();
    assert!(
        message.contains("60 m across") && message.contains("0.001, as for millimetres, makes it 0.06 m"),
        "{message}"
    );
    let options = ImportOptions { scale: 0.01, ..ImportOptions::default() };
    let object = import_dir(folder.0.path(), &options).expect("a folder").objects.remove(0).model;
    assert!(object.aabb().extents().distance(Vec3::new(0.04, 0.06, 0.02)) < 1e-6);
    let tiny = ImportOptions { scale: 1e-5, ..ImportOptions::default() };
    let message = import_dir(folder.0.path(), &tiny).expect("a folder").failures.remove(0).to_string();
    assert!(message.contains("less than 0.004 m"), "{message}");
    let none = ImportOptions { scale: 0.0, ..ImportOptions::default() };
    assert!(import_dir(folder.0.path(), &none).expect("a folder").failures[0].to_string().contains("scale"));
}

#[test]
fn folders_that_are_none() {
    let folder = Folder::new().with("note.txt", "nothing here").with(".hidden/a.obj", BOX_OBJ);
    let fail = |path: &Path| import_dir(path, &ImportOptions::default()).unwrap_err().to_string();
    assert!(fail(folder.0.path()).contains("holds no .urdf"));
    assert!(fail(&folder.0.path().join("absent")).contains("no such folder"));
    assert!(fail(&folder.0.path().join("note.txt")).contains("is not a folder"));
    let report = import_file(&folder.0.path().join("note.txt"), &ImportOptions::default());
    assert!(report.unwrap_err().to_string().contains("not supported"));
}

#[test]
fn one_bad_file_spoils_nothing_else_and_order_is_by_path() {
    let folder =
        Folder::new().with("b.obj", BOX_OBJ).with("a.obj", "v nan 0 0\n").with("c/c.obj", BOX_OBJ).with("c.stl", "");
    let report = folder.import();
    let names: Vec<&str> = report.objects.iter().map(|object| object.model.name.as_str()).collect();
    assert_eq!(names, ["b", "c/c.obj"]); // c.stl and c/c.obj would both be 'c'
    assert_eq!(report.failures.len(), 2);
    let set = crate::objects::ObjectSet::load_dir(folder.0.path()).expect("two objects");
    assert_eq!((set.len(), set.failures().len()), (2, 2));
    assert!(crate::objects::ObjectSet::load_dir(Folder::new().with("a.obj", "").0.path()).is_err());
}

#[test]
fn an_unreadable_urdf_does_not_let_its_mesh_in() {
    let folder = Folder::new().with("x/x.urdf", "<robot").with("x/x.obj", BOX_OBJ);
    assert!(folder.failure().contains("x.urdf"));
}

#[test]
fn rotations_follow_urdf() {
    // Roll 90 degrees then yaw 90 degrees about fixed axes: y -> z, then z stays.
    let text = urdf(
        "<collision><origin rpy=\"1.5707963 0 1.5707963\"/><geometry><box size=\"0.02 0.04 0.06\"/></geometry></collision>",
    );
    let object = Folder::new().with("a.urdf", text).one().model;
    // x (2 cm) goes to y; y (4 cm) goes to z; z (6 cm) goes to -y and then to x.
    assert!(object.aabb().extents().distance(Vec3::new(0.06, 0.02, 0.04)) < 1e-6, "{:?}", object.aabb());
    assert_ne!(object.model_rotation(), Quat::IDENTITY);
}

impl ObjectModel {
    fn model_rotation(&self) -> Quat {
        match &self.parts[0] {
            ConvexPart::Box { body_from_part, .. } => body_from_part.rotation,
            ConvexPart::Hull { .. } => Quat::IDENTITY,
        }
    }
}
