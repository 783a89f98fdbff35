//! What of a cell can be drawn, as primitives fixed to bodies.
//!
//! In: a [`CellDescription`] and the number of objects. Out: the parts of everything but the objects
//! ([`fixed_parts`]), the numbering of bodies ([`Bodies`]) and instance ids ([`instance`]), and the poses of the arm's
//! links for a gripper pose ([`arm_poses`]).

use super::arm::{ArmPose, LINKS};
use super::cell::{BinDescription, CellDescription};
use crate::contract::{Class, Pose, Shape, Surface, VisualPart};
use glam::{Quat, Vec3};

/// Instance ids in segmentation pictures.
pub mod instance {
    /// Floor and walls of the room, and pixels where nothing is.
    pub const BACKGROUND: u8 = 0;
    /// Floors and walls of all bins.
    pub const TRAY: u8 = 1;
    /// The dividers of all bins.
    pub const DIVIDER: u8 = 2;
    /// Arm link 0 (base); link `i` is `ARM + i`, up to 10 for the flange.
    pub const ARM: u8 = 3;
    /// The hand without its fingers.
    pub const GRIPPER: u8 = 11;
    /// The finger on the gripper's -x side.
    pub const FINGER_LEFT: u8 = 12;
    /// The finger on the gripper's +x side.
    pub const FINGER_RIGHT: u8 = 13;
    /// The cables along the arm, on whichever link.
    pub const CABLE: u8 = 14;
    /// Object 0 of the episode; object `i` is `OBJECT + i`.
    pub const OBJECT: u8 = 16;
    /// Objects of an episode at most; their ids end at 79.
    pub const MAX_OBJECTS: usize = 64;
}

/// Indices into the list of body poses. Bodies come in this order: the world (floor, backdrop, bins), one divider a
/// bin, the arm's links, the palm, the two fingers, the objects, and at last the pieces of spring-jointed objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bodies {
    bins: usize,
}

impl Bodies {
    /// The numbering for this cell, which depends on the number of its bins alone.
    pub fn new(cell: &CellDescription) -> Self {
        Self { bins: cell.bins.len() }
    }

    /// Index of the body that never moves: floor, backdrop and bins.
    pub const fn world(self) -> usize {
        0
    }

    /// Index of the divider of bin `bin`; it is counted where the bin has none, too.
    pub const fn divider(self, bin: usize) -> usize {
        1 + bin
    }

    /// Index of arm link `link`, from 0 for the base to 7 for the flange.
    pub const fn arm_link(self, link: usize) -> usize {
        1 + self.bins + link
    }

    /// Index of the hand without its fingers; its frame is the gripper's.
    pub const fn palm(self) -> usize {
        self.arm_link(LINKS)
    }

    /// 0 is the finger on the gripper's -x side, 1 on its +x side.
    pub const fn finger(self, side: usize) -> usize {
        self.palm() + 1 + side
    }

    /// Index of object `index` of the episode, as a whole.
    pub const fn object(self, index: usize) -> usize {
        self.palm() + 3 + index
    }

    /// Bodies of a cell with so many objects, without the pieces of spring-jointed ones.
    pub const fn count(self, objects: usize) -> usize {
        self.object(objects)
    }
}

struct PartList {
    parts: Vec<VisualPart>,
    body: usize,
    surface: Surface,
    class: Class,
    instance: u8,
}

impl PartList {
    fn of(&mut self, body: usize, surface: Surface, class: Class, instance: u8) -> &mut Self {
        (self.body, self.surface, self.class, self.instance) = (body, surface, class, instance);
        self
    }

    fn push(&mut self, shape: Shape, scale: Vec3, pose: Pose) -> &mut Self {
        self.parts.push(VisualPart {
            shape,
            scale,
            body: self.body,
            body_from_part: pose,
            surface: self.surface,
            class: self.class,
            instance: self.instance,
        });
        self
    }

    fn cuboid(&mut self, size: Vec3, centre: Vec3) -> &mut Self {
        self.push(Shape::Box, size, Pose::from_translation(centre))
    }

    fn cuboid_at(&mut self, size: Vec3, pose: Pose) -> &mut Self {
        self.push(Shape::Box, size, pose)
    }

    fn sphere(&mut self, diameter: f32, centre: Vec3) -> &mut Self {
        self.push(Shape::Sphere, Vec3::splat(diameter), Pose::from_translation(centre))
    }

    /// From one point to another.
    fn cylinder(&mut self, diameter: f32, from: Vec3, to: Vec3) -> &mut Self {
        let axis = to - from;
        let pose = Pose::new(0.5 * (from + to), Quat::from_rotation_arc(Vec3::Z, axis.normalize()));
        self.push(Shape::Cylinder, Vec3::new(diameter, diameter, axis.length()), pose)
    }
}

/// Everything but the objects. A few dozen primitives, because the renderer pays by the vertex.
pub fn fixed_parts(cell: &CellDescription) -> Vec<VisualPart> {
    let bodies = Bodies::new(cell);
    let mut list = PartList {
        parts: Vec::with_capacity(48),
        body: 0,
        surface: Surface::Floor,
        class: Class::Background,
        instance: instance::BACKGROUND,
    };
    room(&mut list, cell);
    for (i, bin) in cell.bins.iter().enumerate() {
        tray(&mut list, bin, bodies.divider(i));
    }
    arm(&mut list, cell, bodies);
    gripper(&mut list, cell, bodies);
    list.parts
}

fn room(list: &mut PartList, cell: &CellDescription) {
    let backdrop = &cell.backdrop;
    let (centre, size, height) = (backdrop.floor_centre, backdrop.floor_size, backdrop.wall_height);
    let thickness = 0.02;
    list.of(0, Surface::Floor, Class::Background, instance::BACKGROUND)
        .cuboid(size.extend(thickness), centre.extend(backdrop.floor_z - 0.5 * thickness));
    if height <= 0.0 {
        return;
    }
    list.of(0, Surface::Backdrop, Class::Background, instance::BACKGROUND);
    let z = backdrop.floor_z + 0.5 * height;
    let half = 0.5 * (size + thickness);
    list.cuboid(Vec3::new(thickness, size.y, height), Vec3::new(centre.x + half.x, centre.y, z));
    for side in [-1.0, 1.0] {
        list.cuboid(Vec3::new(size.x, thickness, height), Vec3::new(centre.x, centre.y + side * half.y, z));
    }
}

fn tray(list: &mut PartList, bin: &BinDescription, divider_body: usize) {
    list.of(0, Surface::Tray, Class::Tray, instance::TRAY);
    let (t, floor) = (bin.wall_thickness, bin.floor_thickness);
    let outer = bin.inner_size + 2.0 * t;
    let placed = |centre: Vec3| bin.world_from_bin() * Pose::from_translation(centre);
    list.cuboid_at(outer.extend(floor), placed(-Vec3::Z * (0.5 * floor)));
    let z = 0.5 * bin.wall_height;
    let offset = 0.5 * (bin.inner_size + t);
    for side in [-1.0, 1.0] {
        // The walls along y lie between those along x, so that no faces coincide.
        list.cuboid_at(Vec3::new(t, outer.y, bin.wall_height), placed(Vec3::new(side * offset.x, 0.0, z)));
        list.cuboid_at(Vec3::new(bin.inner_size.x, t, bin.wall_height), placed(Vec3::new(0.0, side * offset.y, z)));
    }
    if let Some(divider) = bin.divider {
        list.of(divider_body, Surface::Divider, Class::Divider, instance::DIVIDER).cuboid(
            Vec3::new(bin.inner_size.x, divider.thickness, divider.height),
            Vec3::new(0.0, 0.0, 0.5 * divider.height),
        );
    }
}

/// The limbs of an S-R-S arm: two primitives a link at most.
fn arm(list: &mut PartList, cell: &CellDescription, bodies: Bodies) {
    let [base, upper, fore, hand] = cell.arm.lengths;
    let d = cell.arm.diameter;
    let up = |z: f32| Vec3::new(0.0, 0.0, z);
    let link = |i: u8| (bodies.arm_link(usize::from(i)), Surface::ArmLink(i), Class::Arm, instance::ARM + i);
    let on = |list: &mut PartList, i: u8| {
        let (body, surface, class, id) = link(i);
        list.of(body, surface, class, id);
    };
    on(list, 0);
    list.cylinder(1.6 * d, up(0.0), up(0.12 * base)).cylinder(1.1 * d, up(0.12 * base), up(0.5 * base));
    on(list, 1);
    list.cylinder(d, up(-0.5 * base), up(0.0)).sphere(1.28 * d, up(0.0));
    on(list, 2);
    list.cylinder(0.98 * d, up(0.1 * upper), up(0.56 * upper));
    on(list, 3);
    list.cylinder(0.9 * d, up(-0.44 * upper), up(0.0)).sphere(1.2 * d, up(0.0));
    on(list, 4);
    list.cylinder(0.86 * d, up(0.1 * fore), up(0.55 * fore));
    on(list, 5);
    list.cylinder(0.78 * d, up(-0.45 * fore), up(0.0)).sphere(d, up(0.0));
    on(list, 6);
    list.cylinder(0.7 * d, up(0.0), up(0.62 * hand));
    on(list, 7);
    list.cylinder(0.5 * d, up(-0.38 * hand), up(0.0));

    // Cables run along the limbs' backs.
    let mut cable = |link: usize, from: Vec3, to: Vec3| {
        list.of(bodies.arm_link(link), Surface::Cable, Class::Arm, instance::CABLE).cylinder(0.016, from, to);
    };
    let side = 0.58 * d;
    cable(2, Vec3::new(-side, 0.02, 0.05), Vec3::new(-side, -0.02, 0.9 * upper));
    cable(4, Vec3::new(-side, 0.0, -0.02), Vec3::new(-0.8 * side, 0.02, 0.8 * fore));
    cable(5, Vec3::new(-0.8 * side, 0.02, -0.25 * fore), Vec3::new(-0.6 * side, -0.02, hand));
}

fn gripper(list: &mut PartList, cell: &CellDescription, bodies: Bodies) {
    let g = &cell.gripper;
    let palm_top = g.finger_length + g.palm_size.z;
    list.of(bodies.palm(), Surface::Gripper, Class::Arm, instance::GRIPPER)
        .cuboid(g.palm_size, Vec3::new(0.0, 0.0, g.finger_length + 0.5 * g.palm_size.z));
    if g.length > palm_top + 1e-4 {
        list.cylinder(0.8 * g.palm_size.y, Vec3::new(0.0, 0.0, palm_top), Vec3::new(0.0, 0.0, g.length));
    }
    // A finger's frame has its origin on the pad's face at the tip; the finger lies on the outer side.
    let pad = 0.35 * g.finger_thickness;
    for (side, sign, id) in [(0, -1.0, instance::FINGER_LEFT), (1, 1.0, instance::FINGER_RIGHT)] {
        let rear = g.finger_thickness - pad;
        list.of(bodies.finger(side), Surface::Finger, Class::Arm, id)
            .cuboid(Vec3::new(pad, g.finger_width, g.pad_length), Vec3::new(sign * 0.5 * pad, 0.0, 0.5 * g.pad_length));
        list.of(bodies.finger(side), Surface::Gripper, Class::Arm, id).cuboid(
            Vec3::new(rear, 0.9 * g.finger_width, g.finger_length),
            Vec3::new(sign * (pad + 0.5 * rear), 0.0, 0.5 * g.finger_length),
        );
    }
}

/// World poses of the arm's links for a gripper pose. Where the arm cannot follow (a bin out of its reach), the last
/// reachable pose is kept by the caller.
pub fn arm_poses(cell: &CellDescription, world_from_gripper: Pose) -> Result<ArmPose, super::IkError> {
    let world_from_base = cell.world_from_base();
    let base_from_flange = world_from_base.inverse() * world_from_gripper * cell.gripper.gripper_from_flange();
    let angles = cell.arm.inverse(base_from_flange, 0.0)?;
    Ok(cell.arm.forward(&angles).map(|base_from_link| world_from_base * base_from_link))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_primitives_each_on_its_own_body() {
        let cell = CellDescription::iiwa_bin();
        let parts = fixed_parts(&cell);
        assert!(parts.len() <= 36, "{}", parts.len());
        let bodies = Bodies::new(&cell);
        for part in &parts {
            assert!(part.body < bodies.count(0));
            assert!(part.scale.min_element() > 0.0 && part.body_from_part.is_finite());
            assert_eq!(part.class == Class::Background, part.instance == instance::BACKGROUND);
        }
        // Every link, the palm, both fingers and the divider have something to show.
        for body in 1..bodies.count(0) {
            assert!(parts.iter().any(|part| part.body == body), "body {body}");
        }
        for link in 0..8 {
            let id = instance::ARM + link;
            assert!(parts.iter().any(|p| p.instance == id && p.surface == Surface::ArmLink(link)));
        }
    }

    #[test]
    fn the_flange_meets_the_gripper() {
        let cell = CellDescription::iiwa_bin();
        let gripper = Pose::new(Vec3::new(0.5, -0.1, 0.1), Quat::from_rotation_z(-0.9));
        let links = arm_poses(&cell, gripper).unwrap();
        let flange = gripper.transform_point(Vec3::new(0.0, 0.0, cell.gripper.length));
        assert!(links[7].translation.distance(flange) < 1e-5);
        // The tool axis points straight down.
        assert!((links[7].rotation * Vec3::Z).distance(-Vec3::Z) < 1e-4);
        // The elbow is above the line from shoulder to wrist, well clear of the bin.
        assert!(links[3].translation.z > 0.5);
    }
}
