//! What URDFs and descriptions of other programs say of the meshes that they name.

use super::*;

/// As ROS packages refer to their meshes, and however else a reference is written.
#[test]
fn a_mesh_in_another_folder_never_takes_the_place_of_its_urdf() {
    let broken = "<robot name=\"a\"><link name=\"b\"><mesh filename=\"../meshes/m.obj\"/></robot>";
    let written = |reference: &str| meshed(reference);
    let references = ["package://pkg/meshes/gone.obj", "model://pkg/meshes/gone.obj", "..\\meshes\\gone.obj"];
    let xacro = ["$(find pkg)/meshes/m.obj", "../meshes/%6d.obj.gone"];
    let texts = references.into_iter().chain(xacro).map(written).chain([broken.to_owned()]);
    for text in texts {
        let folder = Folder::new()
            .with("pkg/urdf/thing.urdf", &text)
            .with("pkg/meshes/m.obj", BOX_OBJ)
            .with("pkg/free/alone.obj", BOX_OBJ);
        let report = folder.import();
        let names: Vec<&str> = report.objects.iter().map(|object| object.model.name.as_str()).collect();
        assert_eq!((names.as_slice(), report.failures.len()), (&["pkg/free/alone"][..], 1), "{text}");
        assert!(report.skipped.iter().any(|skipped| skipped.to_string().contains("thing.urdf")), "{text}");
    }
}

/// Simulators' own descriptions are not read; meshes beside them are, and say so.
#[test]
fn a_mesh_of_a_description_that_is_not_read_says_so() {
    for (name, text) in [
        ("pkg/urdf/thing.urdf.xacro", "<robot><mesh filename=\"package://pkg/meshes/m.obj\" scale=\"9 9 9\"/></robot>"),
        ("pkg/urdf/thing.xacro", "<robot><mesh filename='$(find pkg)/meshes/m.obj'/></robot>"),
        ("pkg/model.sdf", "<sdf><mesh><uri>model://pkg/meshes/m.obj</uri></mesh></sdf>"),
        ("pkg/thing.xml", "<mujoco><compiler meshdir=\"meshes/\"/><mesh file=\"m.obj\"/></mujoco>"),
    ] {
        let report =
            Folder::new().with(name, text).with("pkg/meshes/m.obj", BOX_OBJ).with("pkg/free.obj", BOX_OBJ).import();
        let noted: Vec<bool> = report
            .objects
            .iter()
            .map(|object| object.warnings.iter().any(|warning| warning.contains("cannot be read")))
            .collect();
        // By name: free, then meshes/m.
        assert_eq!(noted, [false, true], "{name}: {report:?}");
    }
}

#[test]
fn masses_and_friction_of_urdfs_have_limits() {
    let inside = "<collision><geometry><box size=\"0.05 0.05 0.05\"/></geometry></collision>";
    for (more, says) in [
        ("<inertial><mass value=\"1e38\"/></inertial>", "at most 1000"),
        ("<contact><lateral_friction value=\"1e30\"/></contact>", "from 0 to 10"),
        ("<contact><lateral_friction value=\"-1\"/></contact>", "from 0 to 10"),
    ] {
        let message = Folder::new().with("m.urdf", urdf(&format!("{inside}{more}"))).failure();
        assert!(message.contains(says) && message.contains("m.urdf:"), "{message}");
    }
}
