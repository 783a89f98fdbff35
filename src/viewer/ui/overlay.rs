//! Physics drawn over the picture: colliders, contacts, forces.

use super::{Viewer, theme};
use crate::contract::{Camera, Class, Pose, Shape};
use crate::objects::ConvexPart;
use crate::objects::geometry::{Polyhedron, box_corners};
use bevy_egui::egui::{self, Color32, FontId, Painter, Stroke};
use glam::Vec3;

const COLLIDER: Color32 = Color32::from_rgb(43, 96, 222);
const CONTACT: Color32 = Color32::from_rgb(214, 40, 110);
const FORCE: Color32 = Color32::from_rgb(206, 92, 0);
/// Points nearer than this to the camera's plane are not drawn.
const NEAR_M: f32 = 0.02;
/// Length of an arrow, metres a newton.
const ARROW_M: f32 = 0.004;

/// Edges of a box: corners that differ in one bit.
const BOX_EDGES: [(usize, usize); 12] =
    [(0, 1), (2, 3), (4, 5), (6, 7), (0, 2), (1, 3), (4, 6), (5, 7), (0, 4), (1, 5), (2, 6), (3, 7)];

struct Ink<'a> {
    painter: &'a Painter,
    viewer: &'a Viewer,
    camera: Camera,
}

impl Ink<'_> {
    fn place(&self, point: Vec3) -> Option<egui::Pos2> {
        let (pixel, depth) = self.camera.project(point);
        (depth > NEAR_M).then(|| self.viewer.to_screen(pixel))
    }

    fn line(&self, from: Vec3, to: Vec3, stroke: Stroke) {
        // Cut at the plane just ahead of the camera.
        let depth = |p: Vec3| self.camera.project(p).1;
        let (a, b) = (depth(from), depth(to));
        let cut = |near: Vec3, far: Vec3, n: f32, f: f32| near.lerp(far, (NEAR_M * 1.01 - n) / (f - n));
        let (from, to) = match (a > NEAR_M, b > NEAR_M) {
            (true, true) => (from, to),
            (false, true) => (cut(from, to, a, b), to),
            (true, false) => (from, cut(to, from, b, a)),
            (false, false) => return,
        };
        if let (Some(from), Some(to)) = (self.place(from), self.place(to)) {
            self.painter.line_segment([from, to], stroke);
        }
    }

    fn boxed(&self, pose: Pose, half: Vec3, stroke: Stroke) {
        let corners = box_corners(half.as_dvec3()).map(|corner| pose.transform_point(corner.as_vec3()));
        for (a, b) in BOX_EDGES {
            self.line(corners[a], corners[b], stroke);
        }
    }
}

pub fn paint(painter: &Painter, viewer: &Viewer) {
    let show = viewer.session.show;
    let Some(camera) = viewer.session.panels.main_frames.as_ref().and_then(|frames| frames.cameras.first()) else {
        return;
    };
    let ink = Ink { painter, viewer, camera: *camera };
    if show.colliders {
        colliders(&ink);
    }
    if show.contacts {
        for point in viewer.session.stage().world().contact_points() {
            if let Some(place) = ink.place(point) {
                painter.circle(place, 3.0, CONTACT, Stroke::new(1.0, Color32::WHITE));
            }
        }
    }
    if show.forces {
        forces(&ink);
    }
    held(&ink);
}

fn colliders(ink: &Ink<'_>) {
    let world = ink.viewer.session.stage().world();
    let (fine, faint) = (Stroke::new(1.2, COLLIDER), Stroke::new(1.0, COLLIDER.gamma_multiply(0.55)));
    let poses = world.body_poses();
    let first_hand = world.bodies().palm();
    for part in world.parts() {
        let fixed = matches!(part.class, Class::Tray | Class::Divider);
        let hand = part.class == Class::Arm && part.body >= first_hand;
        if let Shape::Box = part.shape
            && (fixed || hand)
            && let Some(pose) = poses.get(part.body)
        {
            ink.boxed(*pose * part.body_from_part, part.scale * 0.5, if hand { fine } else { faint });
        }
    }
    for (index, model) in world.objects().iter().enumerate() {
        let pieces = model.assembly.iter().flat_map(|assembly| assembly.pieces.iter().map(|piece| &piece.parts));
        let parts = pieces.chain(model.assembly.is_none().then_some(&model.parts));
        for (parts, pose) in parts.zip(world.piece_poses(index)) {
            object(ink, parts, *pose, fine);
        }
    }
}

fn object(ink: &Ink<'_>, parts: &[ConvexPart], pose: Pose, stroke: Stroke) {
    for part in parts {
        match part {
            ConvexPart::Box { half_extents, body_from_part } => {
                ink.boxed(pose * *body_from_part, *half_extents, stroke);
            }
            hull @ ConvexPart::Hull { .. } => {
                let Some(solid) = Polyhedron::of_part(hull) else { continue };
                for (a, b) in solid.edges() {
                    let corner = |i: usize| pose.transform_point(solid.points[i].as_vec3());
                    ink.line(corner(a), corner(b), stroke);
                }
            }
        }
    }
}

fn forces(ink: &Ink<'_>) {
    let world = ink.viewer.session.stage().world();
    let (bodies, poses) = (world.bodies(), world.body_poses());
    let [left, right, palm] = world.contact_forces();
    let pad = 0.5 * world.cell().gripper.pad_length;
    let hand = poses[bodies.palm()];
    let palm_face = hand.transform_point(Vec3::Z * world.cell().gripper.finger_length);
    let finger = |side: usize| poses[bodies.finger(side)].transform_point(Vec3::Z * pad);
    for (place, towards, newtons) in [
        (finger(0), hand.transform_vector(Vec3::NEG_X), left),
        (finger(1), hand.transform_vector(Vec3::X), right),
        (palm_face, Vec3::Z, palm),
    ] {
        if newtons < 0.1 {
            continue;
        }
        let tip = place + towards * (newtons * ARROW_M).min(0.15);
        if let (Some(from), Some(to)) = (ink.place(place), ink.place(tip)) {
            ink.painter.arrow(from, to - from, Stroke::new(2.0, FORCE));
            let label = format!("{newtons:.0} N");
            let galley = ink.painter.layout_no_wrap(label, FontId::proportional(12.0), FORCE);
            let rect = egui::Rect::from_min_size(to + egui::vec2(6.0, -8.0), galley.size()).expand(2.0);
            ink.painter.rect_filled(rect, 3.0, Color32::from_white_alpha(210));
            ink.painter.galley(rect.min + egui::vec2(2.0, 2.0), galley, FORCE);
        }
    }
}

/// A thread from the mouse to the object that it pulls.
fn held(ink: &Ink<'_>) {
    let Some(grip) = ink.viewer.grip else { return };
    let world = ink.viewer.session.stage().world();
    let Some(pose) = world.object_poses().get(grip.object) else { return };
    let pointer = ink.painter.ctx().input(|input| input.pointer.latest_pos());
    if let (Some(from), Some(to)) = (ink.place(pose.transform_point(grip.point)), pointer) {
        ink.painter.line_segment([from, to], Stroke::new(2.0, theme::ACCENT));
        ink.painter.circle_filled(from, 4.0, theme::ACCENT);
    }
}
