//! How an object lies on a table and where parallel jaws can take it from above. In: convex parts around their centre
//! of mass. Out: stable poses with their probabilities, and top-down grasps with the opening they need.

use super::geometry::{Plane, Polyhedron};
use super::model::ObjectModel;
use glam::{DQuat, DVec2, DVec3, Quat};

/// A resting pose on a horizontal plane.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StablePose {
    /// Takes the body's frame to one with z up.
    pub world_from_body: Quat,
    /// Height of the centre of mass above the table, metres.
    pub height_m: f32,
    /// Probability of coming to rest on this face when dropped slowly at a random orientation.
    pub probability: f32,
}

impl StablePose {
    /// The direction, in the body's frame, that points up.
    pub fn up(&self) -> glam::Vec3 {
        self.world_from_body.inverse() * glam::Vec3::Z
    }
}

/// The jaws as the analysis sees them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Jaws {
    /// Largest distance between the pads, metres.
    pub max_opening_m: f32,
    /// Width of a pad across the closing direction.
    pub pad_width_m: f32,
    /// Free space that a finger needs beside the object along the closing direction.
    pub finger_clearance_m: f32,
    /// How far the tips reach below the top of what they hold, at most.
    pub reach_m: f32,
    /// The tips stay this far above the table.
    pub floor_clearance_m: f32,
    /// The centre of mass may lie this far, horizontally, from what is held.
    pub max_offset_m: f32,
}

impl Default for Jaws {
    fn default() -> Self {
        Self {
            max_opening_m: 0.085,
            pad_width_m: 0.02,
            finger_clearance_m: 0.016,
            reach_m: 0.035,
            floor_clearance_m: 0.003,
            max_offset_m: 0.03,
        }
    }
}

/// A grasp from straight above, in the frame of a stable pose: z up, table at z = 0, the centre of mass over the
/// origin.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TopDownGrasp {
    /// Point midway between the finger tips.
    pub tip: glam::Vec3,
    /// Direction in which the jaws close, radians from x.
    pub yaw_rad: f32,
    /// Width of what lies between the jaws.
    pub width_m: f32,
}

/// Edge of a cell of the height map.
const CELL_M: f64 = 0.003;
/// Height of the band that the pads must hold.
const CONTACT_M: f64 = 0.009;
/// What the object may narrow over that band, both sides together: faces up to about 27 degrees from the vertical,
/// which hold from a friction of 0.5 on.
const TAPER_M: f64 = 0.009;
/// Jaw directions tried besides those of the object's own faces.
const YAWS: usize = 12;

/// A face of the convex hull: all coplanar triangles.
struct Face {
    plane: Plane,
    /// Boundary edges (from, to), counter-clockwise, with the face beyond each.
    border: Vec<(usize, usize, usize)>,
    solid_angle: f64,
}

/// The poses in which a body with its centre of mass at the origin rests, most probable first. Each face of the hull is
/// reached with probability solid angle / 4 pi, and from an unstable face the body rolls over the edge that the centre
/// of mass lies beyond (Goldberg et al., 1999).
pub fn stable_poses(solids: &[Polyhedron]) -> Vec<StablePose> {
    let corners: Vec<glam::Vec3> =
        solids.iter().flat_map(|solid| solid.points.iter().map(|point| point.as_vec3())).collect();
    let Some(hull) = Polyhedron::hull(&corners) else { return Vec::new() };
    let faces = faces_of(&hull);
    let mut probability = vec![0.0; faces.len()];
    for start in 0..faces.len() {
        let mut face = start;
        // The centre of mass sinks with every roll, so no face comes twice.
        for _ in 0..faces.len() {
            match beyond(&hull, &faces[face]) {
                Some(next) => face = next,
                None => break,
            }
        }
        probability[face] += faces[start].solid_angle / (4.0 * std::f64::consts::PI);
    }
    let mut poses: Vec<StablePose> = faces
        .iter()
        .zip(&probability)
        .filter(|(face, p)| **p > 0.0 && face.plane.offset > 0.0)
        .map(|(face, &p)| StablePose {
            world_from_body: DQuat::from_rotation_arc(face.plane.normal, -DVec3::Z).as_quat().normalize(),
            height_m: face.plane.offset as f32,
            probability: p as f32,
        })
        .collect();
    poses.sort_by(|a, b| b.probability.total_cmp(&a.probability));
    poses
}

fn faces_of(hull: &Polyhedron) -> Vec<Face> {
    let plane_of = |triangle: &[usize; 3]| -> usize {
        let [a, b, c] = triangle.map(|i| hull.points[i]);
        let normal = (b - a).cross(c - a).normalize_or_zero();
        let misfit = |plane: &Plane| {
            let gap = [a, b, c].iter().map(|p| (plane.offset - plane.normal.dot(*p)).abs()).fold(0.0, f64::max);
            gap + (1.0 - plane.normal.dot(normal)) * 1e-3
        };
        (0..hull.planes.len()).min_by(|&i, &j| misfit(&hull.planes[i]).total_cmp(&misfit(&hull.planes[j]))).unwrap_or(0)
    };
    let owners: Vec<usize> = hull.triangles.iter().map(plane_of).collect();
    let mut directed = std::collections::BTreeMap::new();
    for (triangle, &owner) in hull.triangles.iter().zip(&owners) {
        for k in 0..3 {
            directed.insert((triangle[k], triangle[(k + 1) % 3]), owner);
        }
    }
    let mut faces: Vec<Face> =
        hull.planes.iter().map(|&plane| Face { plane, border: Vec::new(), solid_angle: 0.0 }).collect();
    for (&(from, to), &owner) in &directed {
        if let Some(&other) = directed.get(&(to, from)).filter(|&&other| other != owner) {
            faces[owner].border.push((from, to, other));
        }
    }
    for (triangle, &owner) in hull.triangles.iter().zip(&owners) {
        faces[owner].solid_angle += solid_angle(triangle.map(|i| hull.points[i]));
    }
    faces
}

/// Solid angle of a triangle seen from the origin (Van Oosterom and Strackee, 1983).
fn solid_angle([a, b, c]: [DVec3; 3]) -> f64 {
    let (la, lb, lc) = (a.length(), b.length(), c.length());
    let denominator = la * lb * lc + a.dot(b) * lc + b.dot(c) * la + c.dot(a) * lb;
    (2.0 * a.dot(b.cross(c)).atan2(denominator)).abs()
}

/// The face over whose edge the body rolls, or `None` where the centre of mass stands inside the face's border.
fn beyond(hull: &Polyhedron, face: &Face) -> Option<usize> {
    let foot = face.plane.normal * face.plane.offset;
    let mut worst = (1e-9, None);
    for &(from, to, other) in &face.border {
        let edge = hull.points[to] - hull.points[from];
        let outward = edge.cross(face.plane.normal).normalize_or_zero();
        let outside = outward.dot(foot - hull.points[from]);
        if outside > worst.0 {
            worst = (outside, Some(other));
        }
    }
    worst.1
}

/// The grasp from above that needs the smallest opening, or, where `good_enough_m` is given, the first one found that
/// needs no more. `None` where the jaws find none.
pub fn top_down_grasp(
    solids: &[Polyhedron],
    pose: &StablePose,
    jaws: &Jaws,
    good_enough_m: Option<f32>,
) -> Option<TopDownGrasp> {
    let standing: Vec<Polyhedron> =
        solids.iter().map(|solid| solid.rotated(pose.world_from_body.as_dquat().normalize())).collect();
    let mut best: Option<TopDownGrasp> = None;
    for yaw in closing_directions(&standing) {
        let turned: Vec<Polyhedron> = standing.iter().map(|solid| solid.rotated(turn(-yaw))).collect();
        for grasp in HeightMap::new(&turned, f64::from(pose.height_m)).grasps(jaws) {
            if best.is_none_or(|known| grasp.1 < f64::from(known.width_m)) {
                best = Some(TopDownGrasp {
                    tip: (turn(yaw) * grasp.0).as_vec3(),
                    yaw_rad: yaw.y.atan2(yaw.x) as f32,
                    width_m: grasp.1 as f32,
                });
            }
        }
        if let (Some(enough), Some(found)) = (good_enough_m, best)
            && found.width_m <= enough
        {
            break;
        }
    }
    best
}

/// A rotation about z by the angle of a unit vector, from its half-angle formulas (square roots only).
fn turn(direction: DVec2) -> DQuat {
    let cosine = ((1.0 + direction.x) / 2.0).max(0.0).sqrt();
    let sine = ((1.0 - direction.x) / 2.0).max(0.0).sqrt().copysign(direction.y);
    DQuat::from_xyzw(0.0, 0.0, sine, cosine).normalize()
}

/// Unit vectors in the half plane y >= 0: across the nearly vertical faces of the parts, then evenly spread.
fn closing_directions(standing: &[Polyhedron]) -> Vec<DVec2> {
    let mut directions: Vec<DVec2> = Vec::new();
    let faces = standing.iter().flat_map(|solid| &solid.planes).map(|plane| plane.normal);
    // Faces steeper than 45 degrees; objects of many facets are served by the even spread.
    let own = faces.filter(|normal| normal.z.abs() < 0.7).take(64).map(|normal| normal.truncate().normalize());
    let even = (0..YAWS).map(|i| {
        let (sin, cos) = (std::f64::consts::PI * i as f64 / YAWS as f64).sin_cos();
        DVec2::new(cos, sin)
    });
    for direction in own.chain(even) {
        let direction = if direction.y < 0.0 { -direction } else { direction };
        if directions.iter().all(|known| known.perp_dot(direction).abs() > 0.05) {
            directions.push(direction);
        }
    }
    directions
}

/// Heights of the top surface above the table on a grid: columns along x (the closing direction), rows along y.
struct HeightMap {
    columns: usize,
    rows: usize,
    low: DVec2,
    top: Vec<f64>,
}

/// The rows under the pads, the highest point of each column of theirs, and the y of their middle.
struct Strip {
    rows: std::ops::Range<usize>,
    profile: Vec<f64>,
    middle: f64,
}

impl HeightMap {
    fn new(solids: &[Polyhedron], height_of_origin: f64) -> Self {
        let bounds: Vec<(DVec3, DVec3)> = solids.iter().map(Polyhedron::bounds).collect();
        let low = bounds.iter().fold(DVec3::INFINITY, |low, b| low.min(b.0)).truncate();
        let high = bounds.iter().fold(DVec3::NEG_INFINITY, |high, b| high.max(b.1)).truncate();
        let cells = |length: f64| ((length / CELL_M).ceil() as usize).clamp(1, 256);
        let (columns, rows) = (cells(high.x - low.x), cells(high.y - low.y));
        let mut top = vec![0.0_f64; columns * rows];
        for (solid, (from, to)) in solids.iter().zip(&bounds) {
            let first = |at: f64| (at / CELL_M - 0.5).ceil().max(0.0) as usize;
            for row in first(from.y - low.y)..first(to.y - low.y).min(rows) {
                for column in first(from.x - low.x)..first(to.x - low.x).min(columns) {
                    let at = low + (DVec2::new(column as f64, row as f64) + 0.5) * CELL_M;
                    if let Some((_, high)) = solid.column(at.x, at.y) {
                        let cell = &mut top[row * columns + column];
                        *cell = cell.max(high + height_of_origin);
                    }
                }
            }
        }
        Self { columns, rows, low, top }
    }

    /// Tip position (in the turned frame) and width of every grasp with the jaws closing along x.
    fn grasps(&self, jaws: &Jaws) -> Vec<(DVec3, f64)> {
        let pad = ((f64::from(jaws.pad_width_m) / CELL_M).round() as usize).max(1);
        let mut found = Vec::new();
        let last = self.rows.saturating_sub(pad);
        for row in 0..=last {
            let rows = row..(row + pad).min(self.rows);
            let middle = self.low.y + 0.5 * (rows.start + rows.end) as f64 * CELL_M;
            if middle.abs() > f64::from(jaws.max_offset_m) {
                continue;
            }
            let profile: Vec<f64> = (0..self.columns)
                .map(|column| rows.clone().map(|r| self.top[r * self.columns + column]).fold(0.0, f64::max))
                .collect();
            let strip = Strip { rows, profile, middle };
            for depth in [0.5, 1.0] {
                self.grasps_in_strip(&strip, f64::from(jaws.reach_m) * depth, jaws, &mut found);
            }
        }
        found
    }

    /// Whether most of the pads' width meets something higher than `level` in `columns`.
    fn fills_pad(&self, strip: &Strip, columns: std::ops::Range<usize>, level: f64) -> bool {
        let meets = |row: &usize| columns.clone().any(|column| self.top[row * self.columns + column] > level);
        strip.rows.clone().filter(meets).count() * 3 >= strip.rows.len() * 2
    }

    fn grasps_in_strip(&self, strip: &Strip, reach: f64, jaws: &Jaws, found: &mut Vec<(DVec3, f64)>) {
        // The tips go down to a level set by the highest thing between the jaws: try each distinct ridge.
        let Strip { profile, middle, .. } = strip;
        let floor = f64::from(jaws.floor_clearance_m);
        let clearance = (f64::from(jaws.finger_clearance_m) / CELL_M).ceil() as usize;
        let mut levels: Vec<f64> =
            profile.iter().map(|top| ((top - reach).max(floor) / CELL_M).round() * CELL_M).collect();
        levels.sort_by(f64::total_cmp);
        levels.dedup();
        for level in levels {
            let mut column = 0;
            while column < self.columns {
                if profile[column] <= level {
                    column += 1;
                    continue;
                }
                let start = column;
                while column < self.columns && profile[column] > level {
                    column += 1;
                }
                let width = (column - start) as f64 * CELL_M;
                let held = &profile[start..column];
                let ridge = held.iter().copied().fold(0.0, f64::max);
                let narrow = held.iter().filter(|top| **top > level + CONTACT_M).count() as f64 * CELL_M;
                let free = |range: std::ops::Range<usize>| profile[range].iter().all(|&top| top <= level);
                let fingers_fit = free(start.saturating_sub(clearance)..start)
                    && free(column..(column + clearance).min(self.columns));
                let holds = narrow > 0.0 && width - narrow <= TAPER_M + 1e-9 && ridge - level <= reach + CELL_M;
                let (from, to) = (self.low.x + start as f64 * CELL_M, self.low.x + column as f64 * CELL_M);
                let offset = from.max(-to).max(0.0);
                if width <= f64::from(jaws.max_opening_m)
                    && fingers_fit
                    && holds
                    && self.fills_pad(strip, start..column, level + CONTACT_M)
                    && offset <= f64::from(jaws.max_offset_m)
                {
                    found.push((DVec3::new((from + to) / 2.0, *middle, level), width));
                }
            }
        }
    }
}

impl ObjectModel {
    /// How the object comes to rest on a table, most probable first.
    pub fn stable_poses(&self) -> Vec<StablePose> {
        stable_poses(&self.solids())
    }

    /// The jaw opening that suffices in every resting pose of at least `min_probability`: the largest, over the poses,
    /// of the smallest width that a grasp from above finds. `None` where a pose offers no grasp.
    pub fn top_down_width(&self, jaws: &Jaws, min_probability: f32) -> Option<f32> {
        let solids = self.solids();
        stable_poses(&solids)
            .iter()
            .filter(|pose| pose.probability >= min_probability)
            .map(|pose| top_down_grasp(&solids, pose, jaws, None).map(|grasp| grasp.width_m))
            .try_fold(0.0_f32, |widest, width| width.map(|width| widest.max(width)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Pose;
    use crate::objects::model::{ConvexPart, Physics};
    use glam::Vec3;

    fn cuboid(half: Vec3, at: Vec3) -> ConvexPart {
        ConvexPart::Box { half_extents: half, body_from_part: Pose::from_translation(at) }
    }

    fn object(parts: Vec<ConvexPart>) -> ObjectModel {
        ObjectModel::new("test", parts, None, Physics::default()).expect("solid")
    }

    #[test]
    fn a_brick_rests_on_six_faces() {
        let poses = object(vec![cuboid(Vec3::new(0.03, 0.02, 0.01), Vec3::ZERO)]).stable_poses();
        assert_eq!(poses.len(), 6);
        assert!((poses.iter().map(|pose| pose.probability).sum::<f32>() - 1.0).abs() < 1e-5);
        assert!((poses[0].height_m - 0.01).abs() < 1e-6 && (poses[5].height_m - 0.03).abs() < 1e-6);
        // Solid angle of a rectangle of half sides a, b at distance d: 4 asin(ab / sqrt((a^2+d^2)(b^2+d^2))).
        let angle = 4.0 * (0.0006_f64 / (0.001_f64 * 0.0005).sqrt()).asin();
        assert!((f64::from(poses[0].probability) - angle / (4.0 * std::f64::consts::PI)).abs() < 1e-5);
        for pose in &poses {
            let lowest = object(vec![cuboid(Vec3::new(0.03, 0.02, 0.01), Vec3::ZERO)])
                .corners()
                .iter()
                .map(|&corner| (pose.world_from_body * corner).z)
                .fold(f32::INFINITY, f32::min);
            assert!((lowest + pose.height_m).abs() < 1e-6);
        }
    }

    #[test]
    fn a_tall_thin_slanted_stack_never_stands() {
        // Two bars that overlap like stairs: the centre of mass stands beyond the edge of either small end face.
        let parts = vec![
            cuboid(Vec3::new(0.01, 0.01, 0.04), Vec3::new(-0.012, 0.0, -0.03)),
            cuboid(Vec3::new(0.01, 0.01, 0.04), Vec3::new(0.012, 0.0, 0.03)),
        ];
        let poses = object(parts).stable_poses();
        assert!((poses.iter().map(|pose| pose.probability).sum::<f32>() - 1.0).abs() < 1e-4);
        assert!(poses.iter().all(|pose| pose.height_m < 0.065), "{poses:?}");
    }

    #[test]
    fn a_bar_is_taken_across_and_a_plate_is_not() {
        let bar = object(vec![cuboid(Vec3::new(0.05, 0.015, 0.015), Vec3::ZERO)]);
        let lying = bar.stable_poses()[0];
        let grasp = top_down_grasp(&bar.solids(), &lying, &Jaws::default(), None).expect("a bar can be taken");
        assert!((grasp.width_m - 0.03).abs() <= CELL_M as f32 + 1e-6, "{grasp:?}");
        assert!(grasp.tip.truncate().length() < 0.035 && grasp.tip.z >= 0.003);
        // The jaws close across the long side, wherever that points in this pose.
        let long = lying.world_from_body * Vec3::X;
        assert!(long.dot(Vec3::new(grasp.yaw_rad.cos(), grasp.yaw_rad.sin(), 0.0)).abs() < 0.1);
        // A 12 x 12 x 2 cm plate lies flat and is too wide; standing on an edge it can be taken.
        let plate = object(vec![cuboid(Vec3::new(0.06, 0.06, 0.01), Vec3::ZERO)]);
        let poses = plate.stable_poses();
        assert!(top_down_grasp(&plate.solids(), &poses[0], &Jaws::default(), None).is_none());
        assert!(top_down_grasp(&plate.solids(), &poses[5], &Jaws::default(), None).is_some());
        assert_eq!(plate.top_down_width(&Jaws::default(), 0.02), None);
    }

    #[test]
    fn a_plate_with_a_handle_is_taken_by_the_handle() {
        let parts = vec![
            cuboid(Vec3::new(0.06, 0.06, 0.01), Vec3::ZERO),
            cuboid(Vec3::new(0.01, 0.05, 0.02), Vec3::new(0.0, 0.0, 0.025)),
        ];
        let plate = object(parts);
        let upright = plate
            .stable_poses()
            .into_iter()
            .find(|pose| (pose.world_from_body * Vec3::Z).z > 0.99)
            .expect("it rests on its plate");
        let grasp = top_down_grasp(&plate.solids(), &upright, &Jaws::default(), None).expect("the handle");
        assert!((grasp.width_m - 0.02).abs() <= CELL_M as f32 + 1e-6, "{grasp:?}");
        assert!(grasp.tip.z >= 0.018, "the tips stay above the plate: {grasp:?}");
    }
}
