//! glTF against figures worked out by hand, and its faults against their messages.

use super::meshes::box_mesh;
use super::*;

/// The box as text glTF, its buffer in a file beside it, under a node that moves, turns and scales it.
fn gltf_text(uri: &str, length: usize, count: usize) -> String {
    let half = std::f32::consts::FRAC_1_SQRT_2;
    format!(
        "{{\"asset\":{{\"version\":\"2.0\"}},\"scene\":0,\"scenes\":[{{\"nodes\":[0]}}],\
         \"nodes\":[{{\"children\":[1],\"translation\":[1,2,3]}},{{\"mesh\":0,\"scale\":[2,1,1],\
         \"rotation\":[0,{half},0,{half}]}}],\
         \"meshes\":[{{\"primitives\":[{{\"attributes\":{{\"POSITION\":0}},\"indices\":1}}]}}],\
         \"buffers\":[{{\"uri\":\"{uri}\",\"byteLength\":{length}}}],\
         \"bufferViews\":[{{\"buffer\":0,\"byteLength\":96}},{{\"buffer\":0,\"byteOffset\":96,\"byteLength\":72}}],\
         \"accessors\":[{{\"bufferView\":0,\"componentType\":5126,\"count\":8,\"type\":\"VEC3\",\
         \"min\":[0,0,0],\"max\":[0.04,0.06,0.02]}},\
         {{\"bufferView\":1,\"componentType\":5123,\"count\":{count},\"type\":\"SCALAR\"}}]}}"
    )
}

fn gltf_buffer(mesh: &RawMesh) -> Vec<u8> {
    let mut bytes = Vec::new();
    mesh.positions.iter().flat_map(|p| p.to_array()).for_each(|value| bytes.extend(value.to_le_bytes()));
    let indices = mesh.groups[0].triangles.iter().flatten();
    indices.for_each(|&index| bytes.extend((index as u16).to_le_bytes()));
    bytes
}

#[test]
fn gltf_nodes_buffers_and_damage() {
    let mesh = box_mesh();
    let buffer = gltf_buffer(&mesh);
    let object =
        Folder::new().with("m.gltf", gltf_text("my%20box.bin", 168, 36)).with("my box.bin", &buffer).one().model;
    // x doubled (8 cm), turned about glTF's vertical y so that x lies along -z; glTF's y is our z.
    assert!(object.aabb().extents().distance(Vec3::new(0.02, 0.08, 0.06)) < 1e-5, "{:?}", object.aabb());
    assert!((object.volume_m3 - 96e-6).abs() < 1e-9);

    // A primitive without positions is skipped, as the format says, with a note.
    let partly =
        gltf_text("b.bin", 168, 36).replace("\"primitives\":[", "\"primitives\":[{\"attributes\":{\"NORMAL\":0}},");
    let partly = Folder::new().with("m.gltf", partly).with("b.bin", &buffer).one();
    assert!((partly.model.volume_m3 - 96e-6).abs() < 1e-9);
    assert!(partly.warnings.iter().any(|warning| warning.contains("no POSITION")), "{:?}", partly.warnings);
    let broken = |text: String, bytes: &[u8]| Folder::new().with("m.gltf", text).with("b.bin", bytes).failure();
    assert!(broken(gltf_text("b.bin", 168, 36), &buffer[..100]).contains("buffer 0: 168 bytes are announced and 100"));
    assert!(broken(gltf_text("b.bin", 168, 360), &buffer).contains("outside the buffer"));
    assert!(broken(gltf_text("../b.bin", 168, 36), &buffer).contains("outside the object's folder"));
    let mut wild = buffer.clone();
    wild[96] = 200;
    assert!(broken(gltf_text("b.bin", 168, 36), &wild).contains("index 200 is out of range, there are 8 vertices"));
    wild[0..4].copy_from_slice(&f32::NAN.to_le_bytes());
    assert!(broken(gltf_text("b.bin", 168, 36), &wild).contains("vertex 0"));
    let circle = gltf_text("b.bin", 168, 36).replace("{\"mesh\":0,", "{\"mesh\":0,\"children\":[0],");
    assert!(broken(circle, &buffer).contains("circle"));
    let sideways = gltf_text("b.bin", 168, 36).replace("\"byteLength\":96}", "\"byteLength\":96,\"byteStride\":4}");
    assert!(broken(sideways, &buffer).contains("m.gltf"));
    assert!(broken("{".into(), &buffer).contains("m.gltf: header"));
    assert!(broken("{\"asset\":{\"version\":\"2.0\"}}".into(), &buffer).contains("no triangles"));
    for cut in [0, 4, 11, 13, 20] {
        let glb = b"glTF\x02\x00\x00\x00\xff\x00\x00\x00\xff\x00\x00\x00JSON{}";
        assert!(Folder::new().with("m.glb", &glb[..cut]).failure().contains("m.glb"), "{cut}");
    }
}

/// A box of 5 x 4 x 3 cm with quantized positions: shorts of a tenth of a millimetre, or normalized over 3.2767 m.
fn quantized(normalized: bool, scale: f32) -> (String, Vec<u8>) {
    let mut bytes = Vec::new();
    for corner in 0..8_i16 {
        for (axis, edge) in [500_i16, 300, 400].into_iter().enumerate() {
            bytes.extend((edge * (corner >> axis & 1)).to_le_bytes());
        }
        bytes.extend([0; 2]);
    }
    for index in crate::objects::geometry::BOX_TRIANGLES.iter().flatten() {
        bytes.extend((*index as u16).to_le_bytes());
    }
    let text = format!(
        "{{\"asset\":{{\"version\":\"2.0\"}},\"extensionsRequired\":[\"KHR_mesh_quantization\"],\"scenes\":[{{\"nodes\":[0]}}],\
         \"nodes\":[{{\"mesh\":0,\"scale\":[{scale},{scale},{scale}]}}],\
         \"meshes\":[{{\"primitives\":[{{\"attributes\":{{\"POSITION\":0}},\"indices\":1}}]}}],\
         \"buffers\":[{{\"uri\":\"b.bin\",\"byteLength\":{}}}],\
         \"bufferViews\":[{{\"buffer\":0,\"byteLength\":64,\"byteStride\":8}},\
         {{\"buffer\":0,\"byteOffset\":64,\"byteLength\":72}}],\
         \"accessors\":[{{\"bufferView\":0,\"componentType\":5122,\"normalized\":{normalized},\"count\":8,\
         \"type\":\"VEC3\"}},{{\"bufferView\":1,\"componentType\":5123,\"count\":36,\"type\":\"SCALAR\"}}]}}",
        bytes.len()
    );
    (text, bytes)
}

#[test]
fn quantized_positions_have_their_size() {
    for (normalized, scale) in [(false, 1e-4), (true, 3.2767)] {
        let (text, bytes) = quantized(normalized, scale);
        let object = Folder::new().with("q.gltf", text).with("b.bin", bytes).one();
        // glTF's y (3 cm) is up.
        assert!(
            object.model.aabb().extents().distance(Vec3::new(0.05, 0.04, 0.03)) < 1e-5,
            "{:?}",
            object.model.aabb()
        );
        assert!((object.model.volume_m3 - 60e-6).abs() < 1e-9);
    }
}

#[test]
fn sparse_values_replace_their_own() {
    // The eight corners lie at zero; the sparse list puts seven of them where they belong.
    let mesh = box_mesh();
    let mut bytes: Vec<u8> = (1..8_u8).collect();
    bytes.push(0);
    mesh.positions[1..].iter().flat_map(|p| p.to_array()).for_each(|value| bytes.extend(value.to_le_bytes()));
    let sparse_end = bytes.len();
    mesh.groups[0].triangles.iter().flatten().for_each(|&index| bytes.extend((index as u16).to_le_bytes()));
    let text = format!(
        "{{\"asset\":{{\"version\":\"2.0\"}},\"meshes\":[{{\"primitives\":[{{\"attributes\":{{\"POSITION\":0}},\
         \"indices\":1}}]}}],\"buffers\":[{{\"uri\":\"b.bin\",\"byteLength\":{}}}],\
         \"bufferViews\":[{{\"buffer\":0,\"byteLength\":7}},{{\"buffer\":0,\"byteOffset\":8,\"byteLength\":84}},\
         {{\"buffer\":0,\"byteOffset\":{sparse_end},\"byteLength\":72}}],\
         \"accessors\":[{{\"componentType\":5126,\"count\":8,\"type\":\"VEC3\",\"sparse\":{{\"count\":7,\
         \"indices\":{{\"bufferView\":0,\"componentType\":5121}},\"values\":{{\"bufferView\":1}}}}}},\
         {{\"bufferView\":2,\"componentType\":5123,\"count\":36,\"type\":\"SCALAR\"}}]}}",
        bytes.len()
    );
    let object = Folder::new().with("s.gltf", &text).with("b.bin", &bytes).one();
    assert!((object.model.volume_m3 - 48e-6).abs() < 1e-10);
    bytes[3] = 9;
    let message = Folder::new().with("s.gltf", text).with("b.bin", bytes).failure();
    assert!(message.contains("index 9 is out of range, there are 8 values"), "{message}");
}

#[test]
fn faults_are_said_in_our_own_words() {
    let of = |text: &str| Folder::new().with("m.gltf", text).failure();
    let message = of("{\"asset\":{\"version\":\"1.0\"},\"meshes\":{\"a\":{}}}");
    assert!(message.contains("glTF 1.0 is not supported; convert it to glTF 2.0"), "{message}");
    let message = of("{\"asset\":{\"version\":\"2.0\"},\"extensionsRequired\":[\"EXT_meshopt_compression\"]}");
    assert!(message.contains("EXT_meshopt_compression is not supported; export without meshopt"), "{message}");
    assert!(of("{\"asset\":{\"version\":\"2.0\"},\"meshes\":[").contains("cut off"));
    assert!(of("{\"asset\":{\"version\":\"2.0\"},\"meshes\":[7]}").contains("export the file again"));
    let buffer = gltf_buffer(&box_mesh());
    let text = gltf_text("b.bin", 168, 36);
    let with = |text: String| Folder::new().with("m.gltf", text).with("b.bin", &buffer);
    // Names that only concern looks; a mesh whose accessor has no bounds; a byte order mark.
    let looks =
        text.replacen('{', "\u{feff}{\"extensionsRequired\":[\"KHR_texture_transform\",\"KHR_materials_unlit\"],", 1);
    let looks = looks.replace(",\"min\":[0,0,0],\"max\":[0.04,0.06,0.02]", "");
    let object = with(looks).one();
    assert!((object.model.volume_m3 - 96e-6).abs() < 1e-9);
    assert!(
        object.warnings.iter().any(|w| w.contains("KHR_texture_transform, KHR_materials_unlit")),
        "{:?}",
        object.warnings
    );
    // Without scenes the roots are drawn with their transforms; a skinned node's own transform does not count.
    let rootless = text.replace("\"scene\":0,\"scenes\":[{\"nodes\":[0]}],", "");
    assert!((with(rootless).one().model.volume_m3 - 96e-6).abs() < 1e-9);
    let skinned = with(text.replace("{\"mesh\":0,", "{\"mesh\":0,\"skin\":0,")).one();
    assert!((skinned.model.volume_m3 - 48e-6).abs() < 1e-9);
    assert!(skinned.warnings.iter().any(|warning| warning.contains("skin")));
}

#[test]
fn the_colour_of_what_covers_most_is_kept() {
    // Linear 0.21586 is sRGB 128 / 255.
    let buffer = gltf_buffer(&box_mesh());
    let text = gltf_text("b.bin", 168, 36).replace("\"indices\":1}", "\"indices\":1,\"material\":0}").replacen(
        '{',
        "{\"materials\":[{\"pbrMetallicRoughness\":{\"baseColorFactor\":[1,0.21586,0,1]}}],",
        1,
    );
    let object = Folder::new().with("m.gltf", text).with("b.bin", buffer).one();
    assert_eq!(object.model.color, Some([255, 128, 0]));
}

#[test]
fn textures_and_colours_of_gltf() {
    // The box with texture coordinates from x (u) and y (v): red at small x, which the node turns to y, and blue at large.
    let mesh = box_mesh();
    let picture = image::RgbImage::from_fn(16, 16, |x, _| image::Rgb(if x < 8 { [255, 0, 0] } else { [0, 0, 255] }));
    let mut png = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut png, image::ImageFormat::Png).expect("a picture");
    let mut buffer = gltf_buffer(&mesh);
    let first = buffer.len();
    for point in &mesh.positions {
        // Off the picture's border, where its two sides would blend.
        let [u, v] = [0.03 + 0.94 * point.x / 0.04, point.y / 0.06];
        buffer.extend([u, v].into_iter().flat_map(f32::to_le_bytes));
    }
    let of = |transform: &str| {
        gltf_text("b.bin", first + 64, 36)
            .replace("\"indices\":1}", "\"indices\":1,\"material\":0}")
            .replace("\"POSITION\":0", "\"POSITION\":0,\"TEXCOORD_0\":2")
            .replacen(
                '{',
                &format!(
                    "{{\"images\":[{{\"uri\":\"t.png\"}}],\"textures\":[{{\"source\":0}}],\
                 \"materials\":[{{\"pbrMetallicRoughness\":{{\"baseColorTexture\":{{\"index\":0{transform}}}}}}}],"
                ),
                1,
            )
    };
    let with_views = |text: String| {
        let view = format!("{{\"buffer\":0,\"byteOffset\":{first},\"byteLength\":64}}");
        let accessor = "{\"bufferView\":2,\"componentType\":5126,\"count\":8,\"type\":\"VEC2\"}";
        let mut document: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        document["bufferViews"].as_array_mut().expect("views").push(serde_json::from_str(&view).expect("JSON"));
        document["accessors"].as_array_mut().expect("accessors").push(serde_json::from_str(accessor).expect("JSON"));
        document.to_string()
    };
    let colors = |transform: &str| {
        let folder = Folder::new().with("m.gltf", with_views(of(transform))).with("b.bin", &buffer);
        let object = folder.with("t.png", png.get_ref()).one();
        assert!(!object.warnings.iter().any(|warning| warning.contains("texture")), "{:?}", object.warnings);
        let mesh = object.model.mesh.clone().expect("a mesh");
        let y = |share: f32| {
            let (low, high) = mesh.positions.iter().fold((f32::MAX, f32::MIN), |(l, h), p| (l.min(p.y), h.max(p.y)));
            low + share * (high - low)
        };
        let at = |range: std::ops::Range<f32>| {
            let near = mesh.positions.iter().zip(&mesh.colors).filter(|(p, _)| range.contains(&p.y));
            let mut colors: Vec<[u8; 3]> = near.map(|(_, color)| *color).collect();
            colors.sort_unstable();
            colors.dedup();
            colors
        };
        [at(y(0.1)..y(0.4)), at(y(0.6)..y(0.9))]
    };
    assert_eq!(colors(""), [vec![[255, 0, 0]], vec![[0, 0, 255]]]);
    // Half a picture further, the sides change places; turned by half, they do as well.
    let moved = ",\"extensions\":{\"KHR_texture_transform\":{\"offset\":[0.5,0]}}";
    assert_eq!(colors(moved), [vec![[0, 0, 255]], vec![[255, 0, 0]]]);
    let turned = format!(",\"extensions\":{{\"KHR_texture_transform\":{{\"rotation\":{}}}}}", std::f32::consts::PI);
    assert_eq!(colors(&turned), [vec![[0, 0, 255]], vec![[255, 0, 0]]]);
}
