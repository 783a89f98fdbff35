//! Plans antipodal top-down grasps from the state: which object, where, at what angle, how deep.
//!
//! In: a world's objects and solids. Out: the best [`GraspPlan`]. Candidates close along the normals of the objects'
//! own faces (and a few directions between); the jaws must fit around the object, the open fingers and the palm must
//! come down past everything else, and both pads should meet faces squarely, opposite each other, near the centre of
//! mass.

use super::section::{Cutter, JawFrame, Section, Triangle};
use crate::contract::Pose;
use crate::objects::geometry::Polyhedron;
use crate::scene::arm::wrap;
use crate::sim::GraspWorld;
use glam::{Quat, Vec2, Vec3};
use std::f32::consts::PI;
use std::ops::Range;

/// Free space kept around the fingers on their way down.
const CLEARANCE: f32 = 0.002;
/// Free space kept between the open pads and the object, each side.
const SIDE_ROOM: f32 = 0.003;
/// How much of the object the pads must hold, from its local top down.
const LEAST_DEPTH: f32 = 0.008;
/// Score lost by a metre between the line of the jaws and the centre of mass.
const LEVER_COST: f32 = 14.0;
/// Parts at most this thick can be pinched on their own, with a finger on either side: the wall of a cup, metres.
const THIN: f64 = 0.014;
/// Directions tried besides those of the faces.
const YAWS: usize = 8;
/// With a grasp of this score the search for others may be less choosy or not be at all.
const GOOD: f32 = 1.6;
/// A grasp of this score ends the search.
const EXCELLENT: f32 = 3.2;

/// How choosy a search is.
#[derive(Clone, Copy, Debug)]
struct Standard {
    /// Least cosine between a pad's normal and that of the face it meets.
    squareness: f32,
    /// Places along each part besides its middle.
    along: usize,
    /// Whether the hand may touch other objects on its way down.
    may_touch: bool,
}

const STANDARDS: [Standard; 3] = [
    Standard { squareness: 0.9, along: 0, may_touch: false },
    Standard { squareness: 0.75, along: 2, may_touch: false },
    Standard { squareness: 0.75, along: 1, may_touch: true },
];

/// One grasp.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GraspPlan {
    pub object: usize,
    /// Where the point between the finger tips goes.
    pub tip: Vec3,
    /// Nearest to the gripper's present angle of the two that are the same to a parallel jaw.
    pub yaw: f32,
    /// Expected distance between the pads once closed.
    pub width: f32,
    pub score: f32,
}

/// Keeps the objects' triangles between plans.
#[derive(Default)]
pub struct Planner {
    cutter: Cutter,
    shapes: Vec<PlannedShape>,
}

/// One object's surface in the body's frame.
struct PlannedShape {
    /// Address of the model.
    address: usize,
    /// Of all parts, one after the other.
    triangles: Vec<Triangle>,
    /// Ranges in `triangles` of the parts that are thin enough to be pinched on their own: a cup's wall, a handle.
    thin: Vec<(usize, Range<usize>)>,
}

/// An object as it lies, or one thin part of it.
struct Target {
    index: usize,
    triangles: Vec<Triangle>,
    centre_of_mass: Vec3,
    /// Highest point of what is to be held, and of the whole object.
    top: f32,
    whole_top: f32,
    anchors: Vec<Vec2>,
    yaws: Vec<f32>,
    standard: Standard,
}

impl Planner {
    /// The best grasp on any object for which `allowed(object, tip, yaw)` holds.
    pub fn plan(&mut self, world: &GraspWorld, allowed: impl Fn(usize, Vec3, f32) -> bool) -> Option<GraspPlan> {
        // From the top: what lies highest is least in others' way.
        let mut order: Vec<usize> = (0..world.objects().len()).filter(|&index| world.is_present(index)).collect();
        order.sort_by(|&a, &b| world.highest_point(b).total_cmp(&world.highest_point(a)));
        self.plan_among(world, &order, allowed)
    }

    /// The same among the objects in `order`, the first of them first.
    pub fn plan_among(
        &mut self,
        world: &GraspWorld,
        order: &[usize],
        allowed: impl Fn(usize, Vec3, f32) -> bool,
    ) -> Option<GraspPlan> {
        self.load(world);
        let mut best: Option<GraspPlan> = None;
        for standard in STANDARDS {
            // Touching others on the way is for when there is nothing else at all.
            if best.is_some_and(|b| b.score > GOOD || standard.may_touch) {
                break;
            }
            for &index in order {
                if best.is_some_and(|b| b.score > EXCELLENT) {
                    break;
                }
                let target = self.target(world, index, standard);
                self.search(world, &target, &allowed, &mut best);
            }
            // With nothing good on whole objects: their rims and handles.
            for &index in order {
                if best.is_some_and(|b| b.score > GOOD) || standard.may_touch {
                    break;
                }
                for part in 0..self.shapes[index].thin.len() {
                    if let Some(target) = self.thin_target(world, index, part, standard) {
                        self.search(world, &target, &allowed, &mut best);
                    }
                }
            }
        }
        best
    }

    /// Every grasp on an object that a search without and with more places along it finds, at most one for each place and
    /// direction, best first.
    pub fn all(&mut self, world: &GraspWorld, index: usize) -> Vec<GraspPlan> {
        self.load(world);
        let mut found: Vec<GraspPlan> = Vec::new();
        for standard in STANDARDS.into_iter().filter(|standard| !standard.may_touch) {
            let mut targets = vec![self.target(world, index, standard)];
            let thin = self.shapes[index].thin.len();
            targets.extend((0..thin).filter_map(|part| self.thin_target(world, index, part, standard)));
            for target in &targets {
                for (&yaw, &anchor) in target.yaws.iter().flat_map(|yaw| target.anchors.iter().map(move |at| (yaw, at)))
                {
                    found.extend(self.best_depth(world, target, anchor, yaw));
                }
            }
        }
        found.sort_by(|a, b| b.score.total_cmp(&a.score));
        found
    }

    /// Takes a target's best grasp where it is better than what is known.
    fn search(
        &mut self,
        world: &GraspWorld,
        target: &Target,
        allowed: &impl Fn(usize, Vec3, f32) -> bool,
        best: &mut Option<GraspPlan>,
    ) {
        for &yaw in &target.yaws {
            for &anchor in &target.anchors {
                // The best that contacts this far from the centre of mass can be worth.
                let lever = JawFrame::new(anchor, yaw).from_world(target.centre_of_mass).y.abs();
                if best.is_some_and(|b| 4.0 - LEVER_COST * lever < b.score) {
                    continue;
                }
                let Some(plan) = self.best_depth(world, target, anchor, yaw) else { continue };
                if best.is_none_or(|b| plan.score > b.score) && allowed(target.index, plan.tip, plan.yaw) {
                    *best = Some(plan);
                }
            }
        }
    }

    /// Takes the triangles of objects that are new since the last plan.
    fn load(&mut self, world: &GraspWorld) {
        for (i, model) in world.objects().iter().enumerate() {
            let address = std::sync::Arc::as_ptr(model) as usize;
            if self.shapes.get(i).is_some_and(|shape| shape.address == address) {
                continue;
            }
            let mut shape = PlannedShape { address, triangles: Vec::new(), thin: Vec::new() };
            for (part, solid) in model.solids().iter().enumerate() {
                let first = shape.triangles.len();
                shape.triangles.extend(triangles_of(solid));
                if solid.min_width() <= THIN {
                    shape.thin.push((part, first..shape.triangles.len()));
                }
            }
            self.shapes.truncate(i);
            self.shapes.push(shape);
        }
        self.shapes.truncate(world.objects().len());
    }

    fn target(&self, world: &GraspWorld, index: usize, standard: Standard) -> Target {
        let pose = world.object_poses()[index];
        let triangles = placed(&self.shapes[index].triangles, pose);
        let top = top_of(&triangles);
        let mut yaws: Vec<f32> = Vec::new();
        let faces = triangles.iter().filter(|t| t.normal.z.abs() < 0.45).map(|t| t.normal.y.atan2(t.normal.x));
        for yaw in faces.chain((0..YAWS).map(|k| k as f32 * PI / YAWS as f32)) {
            let yaw = yaw.rem_euclid(PI);
            let apart = |other: f32| {
                let difference = (yaw - other).abs();
                difference.min(PI - difference)
            };
            if yaws.iter().all(|&other| apart(other) > 0.05) {
                yaws.push(yaw);
            }
        }
        let centre_of_mass = pose.translation;
        let mut anchors = vec![centre_of_mass.truncate()];
        for part in &world.objects()[index].parts {
            let corners = part.corners();
            let middle = corners.iter().sum::<Vec3>() / corners.len().max(1) as f32;
            let place = pose.transform_point(middle).truncate();
            // Along the part's longest way through its middle, as seen from above.
            let far = corners
                .iter()
                .map(|&corner| pose.transform_point(corner).truncate() - place)
                .fold(Vec2::ZERO, |far, way| if way.length() > far.length() { way } else { far });
            let steps = (1..=standard.along).map(|k| k as f32 / (standard.along + 1) as f32);
            let ends = steps.flat_map(|share| [place + far * share, place - far * share]);
            // ... and half-way from the middle to the centre of mass.
            let between = place.lerp(centre_of_mass.truncate(), 0.5);
            for anchor in [place, between].into_iter().chain(ends) {
                if anchors.iter().all(|other: &Vec2| other.distance(anchor) > 0.004) {
                    anchors.push(anchor);
                }
            }
        }
        Target { index, triangles, centre_of_mass, top, whole_top: top, anchors, yaws, standard }
    }

    /// A thin part of an object, to be pinched across its faces; `None` where none of them stands upright.
    fn thin_target(&self, world: &GraspWorld, index: usize, part: usize, standard: Standard) -> Option<Target> {
        let pose = world.object_poses()[index];
        let (number, range) = self.shapes[index].thin.get(part)?;
        let triangles = placed(&self.shapes[index].triangles[range.clone()], pose);
        // Its two large faces, or a bar's two pairs: one direction each, the largest area first.
        let mut faces: Vec<(f32, f32)> = Vec::new();
        for triangle in triangles.iter().filter(|t| t.normal.z.abs() < 0.45) {
            let yaw = triangle.normal.y.atan2(triangle.normal.x).rem_euclid(PI);
            let [a, b, c] = triangle.corners;
            let area = (b - a).cross(c - a).length();
            let near = |other: f32| (yaw - other).abs().min(PI - (yaw - other).abs()) < 0.15;
            match faces.iter_mut().find(|(other, _)| near(*other)) {
                Some((_, sum)) => *sum += area,
                None => faces.push((yaw, area)),
            }
        }
        faces.sort_by(|a, b| b.1.total_cmp(&a.1));
        let yaws: Vec<f32> = faces.iter().take(2).map(|(yaw, _)| *yaw).collect();
        let corners = world.objects()[index].parts.get(*number)?.corners();
        let middle = pose.transform_point(corners.iter().sum::<Vec3>() / corners.len().max(1) as f32);
        let whole_top = world.highest_point(index);
        let top = top_of(&triangles);
        (!yaws.is_empty()).then(|| Target {
            index,
            triangles,
            centre_of_mass: pose.translation,
            top,
            whole_top,
            anchors: vec![middle.truncate()],
            yaws,
            standard,
        })
    }

    fn best_depth(&mut self, world: &GraspWorld, target: &Target, anchor: Vec2, yaw: f32) -> Option<GraspPlan> {
        let cell = world.cell();
        let bin = cell.bins.iter().min_by(|a, b| {
            let distance = |bin: &crate::scene::BinDescription| bin.position.truncate().distance(anchor);
            distance(a).total_cmp(&distance(b))
        })?;
        let gripper = &cell.gripper;
        let floor = bin.position.z + cell.motion.floor_clearance + 0.001;
        let deepest = floor.max(target.whole_top - gripper.finger_length + 0.006);
        let frame = JawFrame::new(anchor, yaw);
        let half_pad = 0.5 * gripper.finger_width;
        // Everything that stands between the fingers must fit, not only what the pads will hold.
        let whole = self.cutter.cut(
            &target.triangles,
            frame,
            half_pad + CLEARANCE,
            [deepest, deepest + gripper.finger_length],
        )?;
        let mut best: Option<GraspPlan> = None;
        for rise in [0.0, 0.008, 0.018, 0.03, 0.045] {
            let tip_z = deepest + rise;
            if tip_z > target.top - LEAST_DEPTH {
                break;
            }
            let Some(section) =
                self.cutter.cut(&target.triangles, frame, half_pad, [tip_z, tip_z + gripper.pad_length])
            else {
                continue;
            };
            let Some(quality) = quality(target, frame, &section, tip_z) else { continue };
            // Open jaws may stand off-centre where a wall or a neighbour is in the way.
            let wall = if rise > 0.0 {
                self.cutter.cut(
                    &target.triangles,
                    frame,
                    half_pad + CLEARANCE,
                    [tip_z, tip_z + gripper.finger_length],
                )?
            } else {
                whole
            };
            let half_open = 0.5 * gripper.stroke - SIDE_ROOM;
            let (least, most) = (wall.far.x - half_open, wall.near.x + half_open);
            if least > most {
                continue;
            }
            let centred = (0.5 * (section.near.x + section.far.x)).clamp(least, most);
            for shift in [0.0, 0.007, -0.007, 0.014, -0.014, 0.021, -0.021] {
                let along = centred + shift;
                if along < least || along > most {
                    continue;
                }
                let score = quality - 8.0 * shift.abs() - 0.02 * rise;
                if best.is_some_and(|b| b.score >= score) {
                    continue;
                }
                let tip = frame.world_xy(along, 0.0).extend(tip_z);
                if cell_clamps(world, tip) || !hand_fits(world, tip, yaw, target.standard.may_touch) {
                    continue;
                }
                let Some(crowd) = crowd(world, target.index, tip, yaw) else { continue };
                let score = score - crowd;
                if best.is_none_or(|b| score > b.score) {
                    let yaw = nearest_turn(world, yaw);
                    best = Some(GraspPlan { object: target.index, tip, yaw, width: section.width(), score });
                }
            }
        }
        best
    }
}

/// Triangles in the world.
fn placed(triangles: &[Triangle], pose: Pose) -> Vec<Triangle> {
    let world = |t: &Triangle| Triangle {
        corners: t.corners.map(|corner| pose.transform_point(corner)),
        normal: pose.transform_vector(t.normal),
    };
    triangles.iter().map(world).collect()
}

fn top_of(triangles: &[Triangle]) -> f32 {
    triangles.iter().flat_map(|t| t.corners).map(|c| c.z).fold(f32::NEG_INFINITY, f32::max)
}

fn triangles_of(solid: &Polyhedron) -> Vec<Triangle> {
    let corner = |i: usize| solid.points[i].as_vec3();
    solid
        .triangles
        .iter()
        .map(|&[a, b, c]| {
            let corners = [corner(a), corner(b), corner(c)];
            let normal = (corners[1] - corners[0]).cross(corners[2] - corners[0]).normalize_or_zero();
            Triangle { corners, normal }
        })
        .collect()
}

/// How good the contacts are, about 0 to 4. `None` where the pads would slide off.
fn quality(target: &Target, frame: JawFrame, section: &Section, tip_z: f32) -> Option<f32> {
    let (near, far) = (section.near, section.far);
    let square = near.squareness.min(far.squareness);
    if square < target.standard.squareness {
        return None;
    }
    // The pads should overlap: same place across, same height.
    let overlap = near.high.min(far.high) - near.low.max(far.low);
    let misplaced = (near.middle() - far.middle()).abs();
    let patch = |size: f32, enough: f32| (size / enough).clamp(0.0, 1.0);
    let area = patch(overlap.x, 0.014) + patch(overlap.y, 0.014);
    let mass = frame.from_world(target.centre_of_mass);
    // A grip away from the centre of mass turns in the pads; one above it hangs.
    let lever = mass.y.abs() + (tip_z + 0.5 * (near.middle().y + far.middle().y) - tip_z - mass.z).max(0.0) * 0.3;
    let narrow = if section.width() < 0.008 { 0.5 } else { 0.0 };
    Some(2.0 * (square - 0.87) / 0.13 + area - 30.0 * misplaced.x - 12.0 * misplaced.y - LEVER_COST * lever - narrow)
}

/// Whether the workspace would not let the tips go there.
fn cell_clamps(world: &GraspWorld, tip: Vec3) -> bool {
    world.clamp_to_workspace(tip).distance(tip) > 5e-4
}

/// Whether the open hand can come straight down to `tip`: both fingers and the palm, from there up.
fn hand_fits(world: &GraspWorld, tip: Vec3, yaw: f32, may_touch: bool) -> bool {
    let free = |half: Vec3, centre: Vec3, rotation: Quat| {
        if may_touch {
            world.is_clear_of_cell(half, centre, rotation)
        } else {
            world.is_free(half, centre, rotation, None)
        }
    };
    let gripper = &world.cell().gripper;
    let up = 0.12;
    let rotation = Quat::from_rotation_z(yaw);
    let finger =
        Vec3::new(0.5 * gripper.finger_thickness + CLEARANCE, 0.5 * gripper.finger_width + CLEARANCE, 0.5 * up);
    let out = 0.5 * (gripper.stroke + gripper.finger_thickness);
    let fingers = [-1.0, 1.0].iter().all(|sign| {
        let centre = tip + rotation * Vec3::new(sign * out, 0.0, finger.z - 0.001);
        free(finger, centre, rotation)
    });
    let palm = 0.5 * gripper.palm_size + Vec3::new(CLEARANCE, CLEARANCE, 0.0);
    fingers && {
        let centre = tip + Vec3::Z * (gripper.finger_length + palm.z);
        free(palm, centre, rotation)
    }
}

/// What it costs that the fingers meet other objects while they close. `None` where they would close on the cell.
fn crowd(world: &GraspWorld, target: usize, tip: Vec3, yaw: f32) -> Option<f32> {
    let gripper = &world.cell().gripper;
    let half = Vec3::new(0.5 * gripper.stroke, 0.5 * gripper.finger_width, 0.5 * gripper.finger_length - 0.002);
    let rotation = Quat::from_rotation_z(yaw);
    let centre = tip + Vec3::Z * (half.z + 0.002);
    world
        .is_clear_of_cell(half, centre, rotation)
        .then(|| if world.is_free(half, centre, rotation, Some(target)) { 0.0 } else { 0.7 })
}

/// Of the turns that bring the closing direction to `yaw`, the smallest within the gripper's range.
fn nearest_turn(world: &GraspWorld, yaw: f32) -> f32 {
    let here = world.gripper_yaw();
    let limit = world.cell().motion.max_yaw_rad;
    let half_turn = |difference: f32| {
        let wrapped = wrap(2.0 * difference) * 0.5;
        here + wrapped
    };
    let yaw = half_turn(yaw - here);
    if yaw > limit {
        yaw - PI
    } else if yaw < -limit {
        yaw + PI
    } else {
        yaw
    }
}
