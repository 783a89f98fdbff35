//! PyBullet's layout. In: an object. Out: a URDF in the style of its `random_urdfs` and Wavefront OBJ with one `o` for
//! every convex part, in metres.

use super::File;
use crate::contract::MeshData;
use crate::objects::geometry::Polyhedron;
use crate::objects::model::ObjectModel;
use std::fmt::Write;
use std::path::PathBuf;

pub(super) fn files(object: &ObjectModel, name: &str) -> Vec<File> {
    let at = |ending: &str| PathBuf::from(name).join(format!("{name}{ending}"));
    let parts = parts_obj(&object.solids()).into_bytes();
    match &object.mesh {
        None => vec![(at(".urdf"), urdf(object, name, &format!("{name}.obj")).into_bytes()), (at(".obj"), parts)],
        Some(mesh) => vec![
            (at(".urdf"), urdf(object, name, &format!("{name}_coll.obj")).into_bytes()),
            (at(".obj"), mesh_obj(mesh).into_bytes()),
            (at("_coll.obj"), parts),
        ],
    }
}

/// What is drawn of an object: its mesh, or its convex parts where it has none.
pub(super) fn obj(object: &ObjectModel) -> String {
    object.mesh.as_ref().map_or_else(|| parts_obj(&object.solids()), |mesh| mesh_obj(mesh))
}

fn urdf(object: &ObjectModel, name: &str, collision: &str) -> String {
    let tensor = object.inertia.tensor();
    let (x, y, z) = (tensor.x_axis, tensor.y_axis, tensor.z_axis);
    let [r, g, b] = object.color.unwrap_or([204; 3]).map(|byte| f32::from(byte) / 255.0);
    format!(
        "<?xml version=\"1.0\"?>
<robot name=\"{name}\">
  <link name=\"base\">
    <contact>
      <lateral_friction value=\"{friction}\"/>
      <rolling_friction value=\"0.0\"/>
      <restitution value=\"{restitution}\"/>
      <contact_cfm value=\"0.0\"/>
      <contact_erp value=\"1.0\"/>
    </contact>
    <inertial>
      <origin rpy=\"0 0 0\" xyz=\"0 0 0\"/>
      <mass value=\"{mass}\"/>
      <inertia ixx=\"{ixx:e}\" ixy=\"{ixy:e}\" ixz=\"{ixz:e}\" iyy=\"{iyy:e}\" iyz=\"{iyz:e}\" izz=\"{izz:e}\"/>
    </inertial>
    <visual>
      <origin rpy=\"0 0 0\" xyz=\"0 0 0\"/>
      <geometry>
        <mesh filename=\"{name}.obj\" scale=\"1 1 1\"/>
      </geometry>
      <material name=\"{name}\">
        <color rgba=\"{r} {g} {b} 1\"/>
      </material>
    </visual>
    <collision>
      <origin rpy=\"0 0 0\" xyz=\"0 0 0\"/>
      <geometry>
        <mesh filename=\"{collision}\" scale=\"1 1 1\"/>
      </geometry>
    </collision>
  </link>
</robot>
",
        friction = object.friction,
        restitution = object.restitution,
        mass = object.mass_kg,
        ixx = x.x as f32,
        ixy = x.y as f32,
        ixz = x.z as f32,
        iyy = y.y as f32,
        iyz = y.z as f32,
        izz = z.z as f32,
    )
}

/// Every convex part as an object of its own: PyBullet makes a hull of each.
fn parts_obj(solids: &[Polyhedron]) -> String {
    let mut text = String::new();
    let mut first = 1;
    for (number, solid) in solids.iter().enumerate() {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "o convex_{number}");
        for point in &solid.points {
            let point = point.as_vec3();
            let _ = writeln!(text, "v {} {} {}", point.x, point.y, point.z);
        }
        for [a, b, c] in &solid.triangles {
            let _ = writeln!(text, "f {} {} {}", first + a, first + b, first + c);
        }
        first += solid.points.len();
    }
    text
}

fn mesh_obj(mesh: &MeshData) -> String {
    let mut text = String::from("o visual\n");
    for (i, point) in mesh.positions.iter().enumerate() {
        let _ = write!(text, "v {} {} {}", point.x, point.y, point.z);
        if let Some(color) = mesh.colors.get(i) {
            // As MeshLab writes them; who does not know them reads three numbers.
            let [r, g, b] = color.map(|byte| f32::from(byte) / 255.0);
            let _ = write!(text, " {r} {g} {b}");
        }
        text.push('\n');
    }
    for normal in &mesh.normals {
        let _ = writeln!(text, "vn {} {} {}", normal.x, normal.y, normal.z);
    }
    for triangle in mesh.indices.chunks_exact(3) {
        let [a, b, c] = [0, 1, 2].map(|corner| triangle[corner] + 1);
        let _ = writeln!(text, "f {a}//{a} {b}//{b} {c}//{c}");
    }
    text
}
