//! What lies between two parallel jaws: a solid cut to the slab that the pads can touch.
//!
//! In: triangles in the world, a jaw frame. Out: where each pad would meet the solid first and how squarely.

use glam::{Vec2, Vec3};

/// A triangle with its outward normal.
#[derive(Clone, Copy, Debug)]
pub struct Triangle {
    pub corners: [Vec3; 3],
    pub normal: Vec3,
}

/// Jaws over `centre`, closing along `(cos yaw, sin yaw)`.
#[derive(Clone, Copy, Debug)]
pub struct JawFrame {
    centre: Vec2,
    closing: Vec2,
}

impl JawFrame {
    pub fn new(centre: Vec2, yaw: f32) -> Self {
        Self { centre, closing: Vec2::from_angle(yaw) }
    }

    /// x along the closing direction, y across it, z as in the world.
    pub fn from_world(&self, point: Vec3) -> Vec3 {
        self.rotate(point - self.centre.extend(0.0))
    }

    fn rotate(&self, v: Vec3) -> Vec3 {
        let (c, s) = (self.closing.x, self.closing.y);
        Vec3::new(c * v.x + s * v.y, c * v.y - s * v.x, v.z)
    }

    pub fn world_xy(&self, along: f32, across: f32) -> Vec2 {
        self.centre + self.closing * along + self.closing.perp() * across
    }
}

/// Where one pad meets the solid.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Contact {
    /// Along the closing direction.
    pub x: f32,
    /// Cosine between the pad's normal and that of the squarest face touched.
    pub squareness: f32,
    /// Extent of what lies within a millimetre and a half of the pad, across and up.
    pub low: Vec2,
    pub high: Vec2,
}

impl Contact {
    pub fn middle(&self) -> Vec2 {
        0.5 * (self.low + self.high)
    }
}

/// Both pads' contacts: the one on the -x side, the one on the +x side.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Section {
    pub near: Contact,
    pub far: Contact,
}

impl Section {
    pub fn width(&self) -> f32 {
        self.far.x - self.near.x
    }
}

/// What counts as touched, behind the foremost point.
const TOUCH: f32 = 0.0015;

/// Room to cut in, kept between calls.
#[derive(Debug, Default)]
pub struct Cutter {
    points: Vec<Vec3>,
    /// End of each polygon in `points`, and its normal's x.
    polygons: Vec<(usize, f32)>,
    scratch: [Vec<Vec3>; 2],
}

impl Cutter {
    /// Cuts to `|y| <= half_width`, `low <= z <= high`. `None` where nothing is left.
    pub fn cut(
        &mut self,
        triangles: &[Triangle],
        frame: JawFrame,
        half_width: f32,
        [low, high]: [f32; 2],
    ) -> Option<Section> {
        self.points.clear();
        self.polygons.clear();
        for triangle in triangles {
            let corners = triangle.corners.map(|corner| frame.from_world(corner));
            let [a, b, c] = corners;
            if a.min(b).min(c).cmpgt(Vec3::new(f32::INFINITY, half_width, high)).any()
                || a.max(b).max(c).cmplt(Vec3::new(f32::NEG_INFINITY, -half_width, low)).any()
            {
                continue;
            }
            let [from, to] = &mut self.scratch;
            from.clear();
            from.extend(corners);
            for (axis, sign, limit) in [(1, 1.0, half_width), (1, -1.0, half_width), (2, 1.0, high), (2, -1.0, -low)] {
                clip(from, to, |p: Vec3| limit - sign * p[axis]);
                std::mem::swap(from, to);
            }
            if !from.is_empty() {
                self.points.extend_from_slice(from);
                self.polygons.push((self.points.len(), frame.rotate(triangle.normal).x));
            }
        }
        let near = self.points.iter().map(|p| p.x).fold(f32::INFINITY, f32::min);
        let far = self.points.iter().map(|p| p.x).fold(f32::NEG_INFINITY, f32::max);
        (near < far).then(|| Section { near: self.contact(near, -1.0), far: self.contact(far, 1.0) })
    }

    fn contact(&self, x: f32, side: f32) -> Contact {
        let mut contact =
            Contact { x, squareness: 0.0, low: Vec2::splat(f32::INFINITY), high: Vec2::splat(f32::NEG_INFINITY) };
        let mut start = 0;
        for &(end, normal_x) in &self.polygons {
            let mut touched = 0;
            for point in &self.points[start..end] {
                if side * (x - point.x) < TOUCH {
                    touched += 1;
                    let place = Vec2::new(point.y, point.z);
                    contact.low = contact.low.min(place);
                    contact.high = contact.high.max(place);
                }
            }
            if touched > 1 {
                contact.squareness = contact.squareness.max(side * normal_x);
            }
            start = end;
        }
        contact
    }
}

/// Sutherland and Hodgman's clipping of a convex polygon against one half-space (`inside >= 0`).
fn clip(from: &[Vec3], to: &mut Vec<Vec3>, inside: impl Fn(Vec3) -> f32) {
    to.clear();
    for (i, &point) in from.iter().enumerate() {
        let previous = from[(i + from.len() - 1) % from.len()];
        let (here, before) = (inside(point), inside(previous));
        if (here >= 0.0) != (before >= 0.0) {
            to.push(previous.lerp(point, before / (before - here)));
        }
        if here >= 0.0 {
            to.push(point);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::geometry::{BOX_TRIANGLES, box_corners};

    fn cuboid(half: Vec3, rotation: glam::Quat, centre: Vec3) -> Vec<Triangle> {
        let corners = box_corners(half.as_dvec3()).map(|c| rotation * c.as_vec3() + centre);
        BOX_TRIANGLES
            .iter()
            .map(|t| {
                let corners = t.map(|i| corners[i]);
                let normal = (corners[1] - corners[0]).cross(corners[2] - corners[0]).normalize();
                Triangle { corners, normal }
            })
            .collect()
    }

    #[test]
    fn a_box_between_the_jaws() {
        let centre = Vec3::new(0.5, 0.1, 0.03);
        let half = Vec3::new(0.02, 0.05, 0.03);
        let triangles = cuboid(half, glam::Quat::IDENTITY, centre);
        let mut cutter = Cutter::default();
        // Closing along x over a point 1 cm off: faces at -2 - 1 and 2 - 1 cm, 2 cm of width, 1 to 4 cm of height.
        let frame = JawFrame::new(Vec2::new(0.51, 0.1), 0.0);
        let section = cutter.cut(&triangles, frame, 0.01, [0.01, 0.04]).expect("there is a box");
        assert!((section.near.x + 0.03).abs() < 1e-6 && (section.far.x - 0.01).abs() < 1e-6);
        assert!((section.far.squareness - 1.0).abs() < 1e-5 && (section.near.squareness - 1.0).abs() < 1e-5);
        assert!((section.far.high - section.far.low).distance(Vec2::new(0.02, 0.03)) < 1e-5);
        assert!(section.far.middle().distance(Vec2::new(0.0, 0.025)) < 1e-5);
        // Closing along y: 10 cm.
        let across = JawFrame::new(centre.truncate(), std::f32::consts::FRAC_PI_2);
        let section = cutter.cut(&triangles, across, 0.01, [0.01, 0.04]).expect("there is a box");
        assert!((section.width() - 0.1).abs() < 1e-6);
        // At 45 degrees between two faces only an edge is touched.
        let askew = JawFrame::new(centre.truncate(), std::f32::consts::FRAC_PI_4);
        let section = cutter.cut(&triangles, askew, 0.1, [0.01, 0.04]).expect("there is a box");
        assert!((section.far.squareness - std::f32::consts::FRAC_1_SQRT_2).abs() < 1e-5);
        assert!((section.width() - (0.04 + 0.1) * std::f32::consts::FRAC_1_SQRT_2).abs() < 1e-6);
        // Above the box there is nothing.
        assert!(cutter.cut(&triangles, frame, 0.01, [0.07, 0.1]).is_none());
    }
}
