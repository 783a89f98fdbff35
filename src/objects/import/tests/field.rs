//! Awkward files as the field has them, one kind after the other, each against a value worked out by hand.

use super::meshes::{box_mesh, stl_of};
use super::*;

fn cm3(folder: &Folder) -> f32 {
    folder.one().model.volume_m3 * 1e6
}

fn is_box(folder: Folder) {
    let volume = cm3(&folder);
    assert!((volume - 48.0).abs() < 1e-3, "{volume} cm^3");
}

#[test]
fn obj_and_urdf_in_any_encoding_and_line_ending() {
    let wide: Vec<u8> = BOX_OBJ.encode_utf16().flat_map(|unit| unit.to_le_bytes()).collect();
    is_box(Folder::new().with("m.obj", [b"\xFF\xFE".to_vec(), wide].concat()));
    is_box(Folder::new().with("m.obj", format!("\u{feff}{}", BOX_OBJ.trim_start_matches("# a box\no box\n"))));
    is_box(Folder::new().with("m.obj", BOX_OBJ.replace('\n', "\r")));
    is_box(Folder::new().with("m.obj", BOX_OBJ.replace('\n', "\r\n")));
    let text = urdf("<!-- gr\u{fc}n --><collision><geometry><box size=\"0.04 0.06 0.02\"/></geometry></collision>");
    let wide: Vec<u8> = text.encode_utf16().flat_map(|unit| unit.to_be_bytes()).collect();
    is_box(Folder::new().with("m.urdf", [b"\xFE\xFF".to_vec(), wide].concat()));
    is_box(Folder::new().with("m.urdf", text.chars().map(|c| c as u32 as u8).collect::<Vec<u8>>()));
    is_box(Folder::new().with("m.urdf", format!("\n \n{text}")));
}

#[test]
fn obj_statements_as_the_format_has_them() {
    is_box(Folder::new().with("m.obj", BOX_OBJ.replace("0.06 0.02\n", "0.06 \\\n  0.02 # a corner\n")));
    is_box(Folder::new().with("m.obj", BOX_OBJ.replace("f 5 6 7 8\n", "f 5 6 \\  \r\n 7 8 # top\n# end \\\n#\n")));
    let odd = Folder::new().with("m.obj", format!("{BOX_OBJ}vertex 1 2 3\nsurf 0 1 2\nsurf 1\n")).one();
    let said = |word: &str| odd.warnings.iter().any(|warning| warning.contains(word));
    assert!(
        said("1 lines that begin with 'vertex'") && said("2 lines that begin with 'surf' (a free-form"),
        "{:?}",
        odd.warnings
    );
    // The colour of the material that covers most, joined lines and comments in the library too.
    let library = "newmtl small # x\nKd 0 0 1\nnewmtl large\nKd 1 \\\n 0.5 0 # orange\n";
    let colored =
        BOX_OBJ.replace("f 1 4", "mtllib m.mtl # colours\nusemtl small\nf 1 4").replace("f 5 6", "usemtl large\nf 5 6");
    let object = Folder::new().with("m.obj", &colored).with("m.mtl", library).one();
    assert_eq!(object.model.color, Some([255, 128, 0]));
    // Both are drawn.
    let drawn = object.model.mesh.as_ref().expect("what has two colours is no plain box");
    assert_eq!(object.model.paint, Some([255; 3]));
    for color in [[0, 0, 255], [255, 128, 0]] {
        assert!(drawn.colors.contains(&color), "{color:?}");
    }
    let object = Folder::new().with("m.obj", colored).one();
    assert!(object.model.color.is_none() && object.warnings.iter().any(|w| w.contains("'m.mtl' cannot be opened")));
}

#[test]
fn materials_beyond_the_most_that_a_mesh_has_are_counted() {
    let faces = |count: usize| (0..count).map(|i| format!("usemtl m{i}\nf 1 2 3\n")).collect::<String>();
    let said = |count: usize| Folder::new().with("m.obj", format!("{BOX_OBJ}{}", faces(count))).one().warnings;
    assert!(said(4097).iter().any(|warning| warning.starts_with("1 materials beyond the first 4096")));
    assert!(!said(4096).iter().any(|warning| warning.contains("beyond the first")));
}

#[test]
fn textures_without_coordinates_count_as_their_mean() {
    // Half of the pixels red, half blue: 0.5 in linear light is sRGB 188.
    let mut png = Vec::new();
    let picture = image::RgbImage::from_fn(4, 2, |x, _| image::Rgb(if x % 2 == 0 { [255, 0, 0] } else { [0, 0, 255] }));
    picture.write_to(&mut std::io::Cursor::new(&mut png), image::ImageFormat::Png).expect("a picture");
    let obj = BOX_OBJ.replace("f 1 4", "mtllib m.mtl\nusemtl a\nf 1 4");
    let library = "newmtl a\nKd 0 0 0\nmap_Kd -s 1 1 1 -clamp on my picture.png\n";
    let object = Folder::new().with("m.obj", &obj).with("m.mtl", library).with("my picture.png", &png).one();
    assert_eq!((object.model.color, object.model.paint), (Some([188, 0, 188]), Some([188, 0, 188])));
    let said = |object: &Imported| object.warnings.iter().any(|warning| warning.contains("no texture coordinates"));
    assert!(said(&object), "{:?}", object.warnings);
    let text = urdf(
        "<visual><geometry><box size=\"0.04 0.06 0.02\"/></geometry>\
         <material name=\"m\"><texture filename=\"t.png\"/></material></visual>",
    );
    let object = Folder::new().with("m.urdf", &text).with("t.png", &png).one();
    assert_eq!(object.model.color, Some([188, 0, 188]));
    let object = Folder::new().with("m.urdf", text).with("t.png", &png[..20]).one();
    assert!(object.warnings.iter().any(|warning| warning.contains("'t.png' is left out")), "{:?}", object.warnings);
}

/// A square of 40 mm, 20 mm thick, whose upper side has a picture of red (left) and blue: OBJ, its library and the picture.
fn pictured(with_library: bool) -> Folder {
    let picture = image::RgbImage::from_fn(8, 8, |x, _| image::Rgb(if x < 4 { [255, 0, 0] } else { [0, 0, 255] }));
    let mut png = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut png, image::ImageFormat::Png).expect("a picture");
    let mut obj = String::from(if with_library { "mtllib m.mtl\n" } else { "" });
    for z in ["0", "0.02"] {
        obj.push_str(&format!("v 0 0 {z}\nv 0.04 0 {z}\nv 0.04 0.04 {z}\nv 0 0.04 {z}\n"));
    }
    obj.push_str("vt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\nusemtl side\nf 4 3 2 1\n");
    for [a, b] in [[1, 2], [2, 3], [3, 4], [4, 1]] {
        obj.push_str(&format!("f {a} {b} {} {}\n", b + 4, a + 4));
    }
    // Numbers that count back from the last one too.
    obj.push_str("usemtl top\nf 5/1 6/2 7/3 8/-1\n");
    Folder::new()
        .with("m.obj", obj)
        .with("m.mtl", "newmtl side\nKd 0 1 0\nnewmtl top\nKd 1 1 1\nmap_Kd t.png\n")
        .with("t.png", png.into_inner())
}

/// The colours that are drawn on the upper side, left and right, away from edges.
fn upper_sides(model: &ObjectModel) -> [Vec<[u8; 3]>; 2] {
    let mesh = model.mesh.as_ref().expect("a mesh");
    let low = mesh.positions.iter().copied().fold(Vec3::INFINITY, Vec3::min);
    let mut found = [Vec::new(), Vec::new()];
    for ((position, normal), color) in mesh.positions.iter().zip(&mesh.normals).zip(&mesh.colors) {
        let x = position.x - low.x;
        if normal.z > 0.9 && [0.005..0.015, 0.025..0.035].iter().any(|range| range.contains(&x)) {
            let side = &mut found[usize::from(x > 0.02)];
            if !side.contains(color) {
                side.push(*color);
            }
        }
    }
    found
}

#[test]
fn textures_are_drawn_where_the_file_has_them() {
    let object = pictured(true).one();
    assert_eq!(upper_sides(&object.model), [vec![[255, 0, 0]], vec![[0, 0, 255]]]);
    assert!(!object.warnings.iter().any(|warning| warning.contains("texture")), "{:?}", object.warnings);
    let mesh = object.model.mesh.as_ref().expect("a mesh");
    for (normal, color) in mesh.normals.iter().zip(&mesh.colors) {
        assert_eq!(*color == [0, 255, 0], normal.z < 0.9, "the other sides are green");
    }
    // The five other sides cover more.
    assert_eq!((object.model.color, object.model.paint), (Some([0, 255, 0]), Some([255; 3])));
    // A URDF's texture on a mesh that has coordinates and no library; mirrored, the picture is too.
    for (scale, expected) in [("1", [[255, 0, 0], [0, 0, 255]]), ("-1", [[0, 0, 255], [255, 0, 0]])] {
        let text = urdf(&format!(
            "<visual><geometry><mesh filename=\"m.obj\" scale=\"{scale} 1 1\"/></geometry>\
             <material name=\"m\"><texture filename=\"t.png\"/></material></visual>"
        ));
        let object = pictured(false).with("m.urdf", text).one();
        assert_eq!(upper_sides(&object.model), expected.map(|color| vec![color]), "{scale}");
    }
}

#[test]
fn links_of_several_colours_keep_them() {
    let visual = |x: f32, color: &str| {
        format!(
            "<visual><origin xyz=\"{x} 0 0\"/><geometry><box size=\"0.02 0.02 0.02\"/></geometry>\
             <material name=\"{color}\"><color rgba=\"{color} 1\"/></material></visual>"
        )
    };
    let text = urdf(&(visual(0.0, "1 0 0") + &visual(0.02, "0 0 1")));
    let object = Folder::new().with("m.urdf", text).one();
    let mesh = object.model.mesh.as_ref().expect("what has two colours is drawn as a mesh");
    for (position, color) in mesh.positions.iter().zip(&mesh.colors) {
        match color {
            [255, 0, 0] => assert!(position.x < 0.001),
            [0, 0, 255] => assert!(position.x > -0.001),
            other => panic!("{other:?}"),
        }
    }
    // One colour for all stays plain boxes.
    let text = urdf(&(visual(0.0, "1 0 0") + &visual(0.02, "1 0 0")));
    let object = Folder::new().with("m.urdf", text).one();
    assert!(object.model.mesh.is_none() && object.model.paint == Some([255, 0, 0]));
}

#[test]
fn colours_of_vertices_in_obj() {
    let mut number = 0;
    let painted: String = BOX_OBJ
        .lines()
        .map(|line| match line.strip_prefix("v ") {
            Some(place) => {
                number += 1;
                format!("v {place} {} 0 1\n", if number <= 4 { "0.2" } else { "1.0" })
            }
            None => format!("{line}\n"),
        })
        .collect();
    // MeshLab's files have a plain material, too.
    let beside = format!("mtllib m.mtl\nusemtl plain\n{painted}");
    for text in [painted, beside] {
        let object = Folder::new().with("m.obj", text).with("m.mtl", "newmtl plain\nKd 0.75 0.75 0.75\n").one();
        let mesh = object.model.mesh.as_ref().expect("a mesh");
        let mut colors = mesh.colors.clone();
        colors.sort_unstable();
        colors.dedup();
        assert_eq!(colors, [[51, 0, 255], [255, 0, 255]]);
    }
}

#[test]
fn stl_is_known_by_its_contents() {
    let binary = stl_of(&box_mesh());
    let padded = Folder::new().with("m.stl", [binary.clone(), vec![0; 37]].concat()).one();
    assert!((padded.model.volume_m3 * 1e6 - 48.0).abs() < 1e-3);
    assert!(
        padded.warnings.iter().any(|warning| warning.contains("37 bytes after the last of 12")),
        "{:?}",
        padded.warnings
    );
    for count in [0_u32, u32::MAX] {
        let mut uncounted = binary.clone();
        uncounted[80..84].copy_from_slice(&count.to_le_bytes());
        let object = Folder::new().with("m.stl", uncounted).one();
        assert!((object.model.volume_m3 * 1e6 - 48.0).abs() < 1e-3);
        assert!(
            object.warnings.iter().any(|warning| warning.contains("the 12 that are there")),
            "{:?}",
            object.warnings
        );
    }
    let mesh = box_mesh();
    let mut text = String::from("# made by hand\nSOLID vertex of a box\n");
    for triangle in &mesh.groups[0].triangles {
        let [a, b, c] = triangle.map(|index| mesh.positions[index as usize]);
        let corner = |p: Vec3| format!("Vertex {} {} {}", p.x, p.y, p.z);
        text.push_str(&format!(
            " Facet Normal 0 0 0 Outer Loop {} {}\r{} EndLoop EndFacet\n",
            corner(a),
            corner(b),
            corner(c)
        ));
    }
    is_box(Folder::new().with("m.stl", &text));
    is_box(Folder::new().with("m.stl", format!("\u{feff}{text}")));
    let wild = [vec![b'x'; 80], 540_357_168_u32.to_le_bytes().to_vec(), vec![1; 60]].concat();
    let message = Folder::new().with("m.stl", wild).failure();
    assert!(message.contains("neither text nor binary STL") && !message.contains("540357168"), "{message}");
}

#[test]
fn ply_in_its_three_encodings() {
    let mesh = box_mesh();
    let header = |format: &str| {
        format!(
            "ply\nformat {format} 1.0\ncomment a box\nelement vertex 8\nproperty float x\nproperty float y\nproperty float z\n\
             property uchar red\nproperty uchar green\nproperty uchar blue\nelement face 12\n\
             property list uchar int vertex_indices\nend_header\n"
        )
    };
    let triangles = &mesh.groups[0].triangles;
    let mut text = header("ascii");
    for p in &mesh.positions {
        text.push_str(&format!("{} {} {} 255 128 0\n", p.x, p.y, p.z));
    }
    triangles.iter().for_each(|[a, b, c]| text.push_str(&format!("3 {a} {b} {c}\n")));
    let binary = |format: &str, big: bool| {
        let four = |mut bytes: [u8; 4]| {
            if big {
                bytes.reverse();
            }
            bytes
        };
        let mut bytes = header(format).into_bytes();
        for p in &mesh.positions {
            p.to_array().iter().for_each(|value| bytes.extend(four(value.to_le_bytes())));
            bytes.extend([255, 128, 0]);
        }
        for triangle in triangles {
            bytes.push(3);
            triangle.iter().for_each(|index| bytes.extend(four(index.to_le_bytes())));
        }
        bytes
    };
    let little = binary("binary_little_endian", false);
    let marked = [b"\xEF\xBB\xBF", text.as_bytes()].concat();
    let wide: Vec<u8> = "\u{feff}".encode_utf16().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    let shouted = text.replacen("ply", "PLY", 1).into_bytes();
    for bytes in [text.into_bytes(), little.clone(), binary("binary_big_endian", true), marked, wide, shouted] {
        let object = Folder::new().with("m.ply", bytes).one();
        assert!((object.model.volume_m3 * 1e6 - 48.0).abs() < 1e-3);
        assert_eq!(object.model.color, Some([255, 128, 0]));
    }
    assert!(
        Folder::new().with("m.ply", &little[..little.len() - 9]).failure().contains("face 11: the file is cut off")
    );
    assert!(Folder::new().with("m.ply", "ply\nformat ascii 1.0\n").failure().contains("no end_header"));
}

#[test]
fn references_in_every_spelling() {
    let folder = Folder::new().with("meshes/My Box.obj", BOX_OBJ);
    let here = folder.0.path().canonicalize().expect("a folder").display().to_string();
    for reference in [
        "meshes/My Box.obj",
        "meshes\\My Box.obj",
        "meshes/My%20Box.obj",
        "MESHES/my box.OBJ",
        &format!("{here}/meshes/My Box.obj"),
        &format!("file://{here}/meshes/My%20Box.obj"),
        &format!("file:{here}/meshes/My Box.obj"),
        "package://thing/meshes/My Box.obj",
        "model://thing/meshes/My Box.obj",
        "./../x/../meshes/My Box.obj",
    ] {
        fs::create_dir_all(folder.0.path().join("x")).expect("a folder");
        let at = if reference.starts_with("./..") { "x/m.urdf" } else { "m.urdf" };
        fs::write(folder.0.path().join(at), meshed(reference)).expect("a file");
        let object = folder.one();
        assert!((object.model.volume_m3 * 1e6 - 48.0).abs() < 1e-3, "{reference}");
        fs::remove_file(folder.0.path().join(at)).expect("a file");
    }
    for (reference, said) in [
        ("$(find thing)/m.obj", "xacro"),
        ("https://x.org/m.obj", "download the file"),
        ("model://other/m.obj", "cannot be opened"),
    ] {
        let message = Folder::new().with("m.urdf", meshed(reference)).failure();
        assert!(message.contains(said), "{message}");
    }
}

#[test]
fn a_mesh_never_takes_the_place_of_its_urdf() {
    let folder = Folder::new()
        .with("a/thing.urdf", meshed("meshes/absent.obj"))
        .with("a/meshes/present.obj", BOX_OBJ)
        .with("b/other.urdf", meshed("../shared/absent.obj"))
        .with("shared/present.obj", BOX_OBJ)
        .with("free/alone.obj", BOX_OBJ);
    let report = folder.import();
    let names: Vec<&str> = report.objects.iter().map(|object| object.model.name.as_str()).collect();
    assert_eq!(names, ["free/alone"]);
    assert_eq!((report.failures.len(), report.skipped.len()), (2, 2));
    let skipped: Vec<String> = report.skipped.iter().map(ToString::to_string).collect();
    assert!(skipped[0].contains("a/meshes/present.obj") && skipped[0].contains("thing.urdf"), "{skipped:?}");
}

#[test]
fn what_a_ply_says_of_looks_and_is_not_drawn_is_named() {
    let ply = |comment: &str, vertex: &str, face: &str, number: &str| {
        format!(
            "ply\nformat ascii 1.0\n{comment}element vertex 4\nproperty float x\nproperty float y\nproperty float z\n{vertex}\
             element face 4\nproperty list uchar int vertex_indices\n{face}end_header\n0 0 0{number}\n0.05 0 0{number}\n\
             0 0.05 0{number}\n0 0 0.05{number}\n"
        )
    };
    let faces =
        |more: &str| ["3 0 2 1", "3 0 1 3", "3 0 3 2", "3 1 2 3"].map(|face| format!("{face}{more}\n")).concat();
    let warnings = |text: String| Folder::new().with("m.ply", text).one().warnings.join("; ");
    let plain = warnings(ply("", "", "", "") + &faces(""));
    assert!(!plain.contains("not drawn"), "{plain}");
    let uv = warnings(ply("", "property float texture_u\nproperty float texture_v\n", "", " 0 0") + &faces(""));
    assert!(uv.contains("textures of PLY"), "{uv}");
    let named = warnings(ply("comment TextureFile t.png\n", "", "", "") + &faces(""));
    assert!(named.contains("textures of PLY"), "{named}");
    let colours = "property uchar red\nproperty uchar green\nproperty uchar blue\n";
    let coloured = warnings(ply("", "", colours, "") + &faces(" 255 0 0"));
    assert!(coloured.contains("colours of faces"), "{coloured}");
    let commas = ply("", "", "", "").replace("0.05", "0,05") + &faces("");
    let message = Folder::new().with("m.ply", commas).failure();
    assert!(message.contains("'0,05' is no number"), "{message}");
}

#[test]
fn collision_or_visual_suffices() {
    let both = |visual: &str, collision: &str| {
        urdf(&format!(
            "<inertial><mass value=\"0.1\"/></inertial><visual><geometry><mesh filename=\"{visual}\"/></geometry></visual>\
             <collision><geometry><mesh filename=\"{collision}\"/></geometry></collision>"
        ))
    };
    for (visual, collision, said) in
        [("v.dae", "m.obj", "what collides is drawn"), ("m.obj", "c.dae", "what is drawn collides")]
    {
        let folder =
            Folder::new().with("m.urdf", both(visual, collision)).with("m.obj", BOX_OBJ).with("v.dae", "<COLLADA/>");
        let object = folder.one();
        assert!((object.model.volume_m3 * 1e6 - 48.0).abs() < 1e-3 && object.model.mass_kg == 0.1);
        assert!(object.warnings.iter().any(|warning| warning.contains(said)), "{:?}", object.warnings);
        // What a URDF names is told with it, and nowhere else.
        assert_eq!(folder.import().skipped.len(), usize::from(visual == "m.obj"));
    }
    assert!(Folder::new().with("m.urdf", both("v.dae", "c.dae")).failure().contains(".dae"));
}

#[test]
fn capsules_and_ellipsoids_of_other_simulators() {
    let of = |shape: &str| {
        let text = urdf(&format!("<collision><geometry>{shape}</geometry></collision>"));
        cm3(&Folder::new().with("m.urdf", text))
    };
    // pi r^2 l + 4/3 pi r^3, and 4/3 pi a b c.
    assert!((of("<capsule radius=\"0.02\" length=\"0.04\"/>") / 83.776 - 1.0).abs() < 0.01);
    assert!((of("<drake:ellipsoid a=\"0.01\" b=\"0.02\" c=\"0.03\"/>") / 25.133 - 1.0).abs() < 0.01);
    assert!((of("<ellipsoid radii=\"0.01 0.02 0.03\"/>") / 25.133 - 1.0).abs() < 0.01);
}

#[test]
fn templates_are_called_xacro() {
    for text in [
        urdf("<collision><geometry><box size=\"${s} 1 1\"/></geometry></collision>"),
        "<robot xmlns:xacro=\"http://www.ros.org/wiki/xacro\" name=\"r\"><xacro:macro name=\"m\"/></robot>".to_owned(),
    ] {
        let message = Folder::new().with("m.urdf", text).failure();
        assert!(
            message.contains("a xacro template is not supported; expand it first: xacro FILE > thing.urdf"),
            "{message}"
        );
    }
    // What xacro leaves behind is no template.
    let expanded = urdf("<collision><geometry><box size=\"0.04 0.06 0.02\"/></geometry></collision>");
    is_box(
        Folder::new()
            .with("m.urdf", expanded.replace("<robot", "<robot xmlns:xacro=\"http://www.ros.org/wiki/xacro\"")),
    );
}

#[test]
fn models_that_are_not_read_are_named() {
    let folder = Folder::new()
        .with("a.obj", BOX_OBJ)
        .with("c.DAE", "x")
        .with("d.off", "OFF")
        .with("e.urdf.xacro", "x")
        .with("f.obj.gz", "x")
        .with("g.sdf", "x")
        .with("h.xml", "<mujoco/>")
        .with("i.xml", "<notes/>")
        .with("j.txt", "x");
    let report = folder.import();
    let skipped: Vec<String> = report.skipped.iter().map(ToString::to_string).collect();
    for (error, wanted) in skipped.iter().zip(["c.DAE", "d.off", "e.urdf.xacro", "f.obj.gz", "g.sdf", "h.xml"]) {
        assert!(error.contains(wanted), "{skipped:?}");
    }
    assert_eq!((skipped.len(), report.objects.len()), (6, 1));
    let none = Folder::new().with("c.dae", "x");
    let error = import_dir(none.0.path(), &ImportOptions::default()).unwrap_err().to_string();
    assert!(error.contains("holds no") && error.contains("c.dae") && error.contains("convert it"), "{error}");
}

#[cfg(unix)]
#[test]
fn links_are_followed_once_and_pipes_are_named() {
    use std::os::unix::fs::symlink;
    let elsewhere =
        Folder::new().with("set/a.urdf", meshed("m.obj")).with("set/m.obj", BOX_OBJ).with("one.obj", BOX_OBJ);
    let folder = Folder::new().with("own/own.obj", BOX_OBJ);
    let at = |name: &str| folder.0.path().join(name);
    symlink(elsewhere.0.path().join("set"), at("linked")).expect("a link");
    symlink(elsewhere.0.path().join("one.obj"), at("one.obj")).expect("a link");
    // A circle, a second way to the same folder, and a link to nothing.
    symlink("..", at("own/up")).expect("a link");
    symlink("own", at("again")).expect("a link");
    symlink("nowhere.obj", at("gone.obj")).expect("a link");
    let made = std::process::Command::new("mkfifo").arg(at("pipe.obj")).status();
    let report = folder.import();
    let names: Vec<&str> = report.objects.iter().map(|object| object.model.name.as_str()).collect();
    assert_eq!(names, ["linked/a", "one", "own"], "{:?}", report.failures);
    let skipped: Vec<String> = report.skipped.iter().map(ToString::to_string).collect();
    assert!(skipped[0].contains("gone.obj"), "{skipped:?}");
    if made.is_ok_and(|status| status.success()) {
        assert!(skipped[1].contains("pipe.obj") && skipped[1].contains("a pipe"), "{skipped:?}");
    }
}
