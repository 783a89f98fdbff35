//! STL and the box that the tests of meshes share.

use super::*;

/// [`BOX_OBJ`] as a mesh.
pub(super) fn box_mesh() -> RawMesh {
    let folder = Folder::new();
    let root = Root::new(folder.0.path()).expect("a folder");
    let path = folder.0.path().join("m.obj");
    obj::parse(&path, BOX_OBJ.into(), &root, &Limits::default()).expect("readable").mesh
}

pub(super) fn stl_of(mesh: &RawMesh) -> Vec<u8> {
    let mut bytes = b"solid but binary".to_vec();
    bytes.resize(80, b' ');
    bytes.extend((mesh.triangle_count() as u32).to_le_bytes());
    for triangle in mesh.groups.iter().flat_map(|group| &group.triangles) {
        bytes.extend([0; 12]);
        for index in triangle {
            mesh.positions[*index as usize].to_array().iter().for_each(|value| bytes.extend(value.to_le_bytes()));
        }
        bytes.extend([0; 2]);
    }
    bytes
}

#[test]
fn stl_binary_and_text() {
    let mesh = box_mesh();
    let binary = stl_of(&mesh);
    let from_binary = Folder::new().with("m.stl", &binary).one().model;
    assert!((from_binary.volume_m3 - 48e-6).abs() < 1e-10);
    let mut text = String::from("solid m\n");
    for triangle in mesh.groups.iter().flat_map(|group| &group.triangles) {
        text.push_str("facet normal 0 0 0\n outer loop\n");
        for index in triangle {
            let p = mesh.positions[*index as usize];
            text.push_str(&format!("  vertex {} {} {}\n", p.x, p.y, p.z));
        }
        text.push_str(" endloop\nendfacet\n");
    }
    let from_text = Folder::new().with("m.stl", &text).one().model;
    assert_eq!(from_text.parts, from_binary.parts);
    let says = |text: &str, what: &str| {
        let warnings = Folder::new().with("m.stl", text).one().warnings;
        warnings.iter().any(|warning| warning.contains(what))
    };
    assert!(says(&text, "endsolid") && !says(&format!("{text}endsolid m\n"), "endsolid"));
    let message = Folder::new().with("m.stl", &binary[..binary.len() - 1]).failure();
    assert!(message.contains("m.stl"), "{message}");
    let mut headless = binary.clone();
    headless[..5].copy_from_slice(b"xxxxx");
    headless.pop();
    assert!(Folder::new().with("m.stl", headless).failure().contains("cut off"));
    assert!(Folder::new().with("m.stl", "solid m\nvertex 0 0 inf\n").failure().contains("line 2"));
}
