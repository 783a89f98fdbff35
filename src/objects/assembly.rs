//! Objects of several rigid pieces that springs join: a stand-in for what gives way when it is gripped. "Spring-jointed",
//! never "deformable": no piece changes its shape.
//!
//! In: pieces (convex parts, mass, what is drawn) and springs between them, in one frame. Out: an [`ObjectModel`] that is
//! the rest shape as a whole and carries its [`Assembly`].
//!
//! Every piece has the object's own frame at rest. So the pose of a piece is the pose that the whole object would have if
//! all of it had followed that piece, and a spring's frame is the same number for both of its ends.

use super::error::{ObjectError, Result};
use super::geometry::Polyhedron;
use super::mass::{Inertia, Moments};
use super::model::{ConvexPart, Mass, ObjectModel, Physics, drawn_parts, hull_mesh};
use super::surfaces::joined;
use crate::contract::{MeshData, Pose, Surface, VisualPart};
use glam::{DMat3, DVec3, Vec3};
use std::sync::Arc;

/// Most pieces of one object: each is a rigid body.
pub const MAX_PIECES: usize = 16;

/// What gives way along or about one axis of a joint: a linear spring with a damper, between two stops.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AxisSpring {
    /// N/m along an axis, N m/rad about one. Above 0.
    pub stiffness: f32,
    /// N s/m along an axis, N m s/rad about one. 0 or more.
    pub damping: f32,
    /// Stops of the second piece's displacement from rest, metres or radians; 0 lies between them.
    pub range: [f32; 2],
}

impl AxisSpring {
    /// A spring whose damper is `ratio` of the critical one for the reduced mass (kg) or moment of inertia (kg m^2) that
    /// it moves.
    pub fn damped(stiffness: f32, ratio: f32, reduced: f32, range: [f32; 2]) -> Self {
        Self { stiffness, damping: 2.0 * ratio * (stiffness * reduced).sqrt(), range }
    }
}

/// A joint of two pieces. Along and about the axes of its frame they are fixed to each other, but where there is a spring.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SpringJoint {
    /// Numbers of the two pieces; springs measure the second from the first.
    pub pieces: [usize; 2],
    /// The joint's frame at rest, in the object's.
    pub object_from_joint: Pose,
    /// Along its x, y and z.
    pub linear: [Option<AxisSpring>; 3],
    /// About its x, y and z. One axis a joint is exact; of several, small turns are.
    pub angular: [Option<AxisSpring>; 3],
}

/// A rigid piece as it is described.
#[derive(Clone, Debug)]
pub struct PieceDescription {
    /// Collision shape in the object's frame; never empty.
    pub parts: Vec<ConvexPart>,
    /// What is drawn, in the same frame; `None` to draw the parts. Pieces should overlap in it by a millimetre or two, so
    /// that no gap opens where they move.
    pub mesh: Option<MeshData>,
    pub mass_kg: f32,
}

/// A rigid piece, in the object's frame at rest.
#[derive(Clone, Debug, PartialEq)]
pub struct Piece {
    pub parts: Vec<ConvexPart>,
    pub mesh: Option<Arc<MeshData>>,
    pub mass_kg: f32,
    /// Centre of mass.
    pub center: Vec3,
    /// About the centre of mass.
    pub inertia: Inertia,
}

impl Piece {
    /// All corners of all parts in the object's frame at rest.
    pub fn corners(&self) -> Vec<Vec3> {
        self.parts.iter().flat_map(ConvexPart::corners).collect()
    }

    /// What is drawn, as one mesh.
    fn surface(&self) -> MeshData {
        let solids = self.parts.iter().filter_map(Polyhedron::of_part);
        self.mesh.as_deref().cloned().unwrap_or_else(|| joined(solids.map(|solid| solid.mesh())))
    }
}

/// The pieces of an object and the springs between them.
#[derive(Clone, Debug, PartialEq)]
pub struct Assembly {
    pub pieces: Vec<Piece>,
    pub joints: Vec<SpringJoint>,
}

impl Assembly {
    /// The object's pose for the poses of its pieces: the origin at their common centre of mass, the rotation their mean,
    /// weighted by mass. Exact where nothing is bent.
    pub fn object_pose(&self, pieces: impl IntoIterator<Item = Pose>) -> Pose {
        let (mut mass, mut center, mut sum) = (0.0, Vec3::ZERO, glam::Vec4::ZERO);
        for (piece, pose) in self.pieces.iter().zip(pieces) {
            let rotation = glam::Vec4::from(pose.rotation);
            // A quaternion and its negative are one rotation.
            let sign = if sum.dot(rotation) < 0.0 { -1.0 } else { 1.0 };
            mass += piece.mass_kg;
            center += pose.transform_point(piece.center) * piece.mass_kg;
            sum += rotation * (sign * piece.mass_kg);
        }
        Pose::new(center / mass, glam::Quat::from_vec4(sum.normalize()))
    }
}

impl ObjectModel {
    /// An object of several pieces. Its own parts, mass and inertia are those of the whole at rest; the body's origin is its
    /// centre of mass. `physics.mass` does not count: the pieces have theirs.
    ///
    /// # Errors
    /// A piece that is no solid body; no piece or more than [`MAX_PIECES`]; a joint of pieces that do not exist; a spring out of
    /// range; pieces that no joint holds.
    pub fn spring_jointed(
        name: &str,
        pieces: Vec<PieceDescription>,
        joints: Vec<SpringJoint>,
        physics: Physics,
    ) -> Result<Self> {
        let refused = |what: String| ObjectError::Joints { name: name.to_owned(), what };
        if !(2..=MAX_PIECES).contains(&pieces.len()) {
            return Err(refused(format!("it has {} pieces, and 2 to {MAX_PIECES} can be joined", pieces.len())));
        }
        check_joints(&joints, pieces.len()).map_err(refused)?;
        let pieces = (pieces.into_iter().enumerate())
            .map(|(number, piece)| solid_piece(piece).map_err(|what| refused(format!("piece {number} {what}"))))
            .collect::<Result<Vec<Piece>>>()?;
        let mass: f64 = pieces.iter().map(|piece| f64::from(piece.mass_kg)).sum();
        let center =
            pieces.iter().map(|piece| piece.center.as_dvec3() * f64::from(piece.mass_kg)).sum::<DVec3>() / mass;
        let inertia = pieces.iter().fold(DMat3::ZERO, |sum, piece| {
            let way = piece.center.as_dvec3() - center;
            let outer = DMat3::from_cols(way * way.x, way * way.y, way * way.z);
            let apart = DMat3::from_diagonal(DVec3::splat(way.length_squared())) - outer;
            sum + piece.inertia.tensor() + apart * f64::from(piece.mass_kg)
        });
        let given = Mass::Given {
            mass_kg: mass as f32,
            center: center.as_vec3(),
            inertia: Some(Inertia::from_tensor(&inertia)),
        };
        let parts: Vec<ConvexPart> = pieces.iter().flat_map(|piece| piece.parts.clone()).collect();
        // Boxes are drawn as boxes, unless there is something else beside them.
        let mesh = pieces.iter().any(|piece| piece.mesh.is_some()).then(|| joined(pieces.iter().map(Piece::surface)));
        let mut model = Self::new(name, parts, mesh, Physics { mass: given, ..physics })?;
        let mut assembly = Assembly { pieces, joints };
        assembly.shift(-center.as_vec3());
        model.assembly = Some(Arc::new(assembly));
        Ok(model)
    }

    /// The same thing without its springs: one rigid body of the same shape, mass and inertia, as a control.
    pub fn rigid_twin(&self) -> Self {
        Self { name: format!("{}_rigid", self.name), assembly: None, ..self.clone() }
    }

    /// Rigid bodies that the object is made of.
    pub fn num_pieces(&self) -> usize {
        self.assembly.as_ref().map_or(1, |assembly| assembly.pieces.len())
    }

    /// What is drawn of a spring-jointed object, piece number `i` on body `first_body + i`; nothing of a rigid one.
    pub fn piece_visual_parts(&self, first_body: usize, surface: Surface, instance: u8) -> Vec<VisualPart> {
        let pieces = self.assembly.iter().flat_map(|assembly| &assembly.pieces);
        pieces
            .enumerate()
            .flat_map(|(number, piece)| {
                drawn_parts(piece.mesh.as_ref(), &piece.parts, (first_body + number, surface, instance))
            })
            .collect()
    }
}

impl Assembly {
    fn shift(&mut self, by: Vec3) {
        for piece in &mut self.pieces {
            piece.parts.iter_mut().for_each(|part| *part = part.transformed(Pose::from_translation(by)));
            piece.center += by;
            if let Some(mesh) = &mut piece.mesh {
                Arc::make_mut(mesh).translate(by);
            }
        }
        self.joints.iter_mut().for_each(|joint| joint.object_from_joint.translation += by);
    }
}

fn solid_piece(piece: PieceDescription) -> std::result::Result<Piece, String> {
    let PieceDescription { parts, mesh, mass_kg } = piece;
    let solids: Vec<Polyhedron> = parts.iter().filter_map(Polyhedron::of_part).collect();
    if parts.is_empty() || solids.len() < parts.len() {
        return Err("has no solid part, or one that is flat or not finite".into());
    }
    if !(mass_kg > 0.0 && mass_kg.is_finite()) {
        return Err(format!("weighs {mass_kg} kg"));
    }
    let moments = Moments::of_union(&solids);
    let (center, inertia) = (moments.center().as_vec3(), moments.inertia(f64::from(mass_kg)));
    if !(moments.volume > 0.0 && center.is_finite() && inertia.is_physical()) {
        return Err(format!("of {} cubic metres is no solid body", moments.volume));
    }
    let mesh = mesh.or_else(|| hull_mesh(&parts, &solids)).map(Arc::new);
    Ok(Piece { parts, mesh, mass_kg, center, inertia })
}

fn check_joints(joints: &[SpringJoint], pieces: usize) -> std::result::Result<(), String> {
    // Pieces that joints lead to from the first.
    let mut held = vec![false; pieces];
    held[0] = true;
    for (number, joint) in joints.iter().enumerate() {
        let [first, second] = joint.pieces;
        if first == second || first.max(second) >= pieces {
            return Err(format!("joint {number} joins the pieces {first} and {second} of {pieces}"));
        }
        for spring in joint.linear.iter().chain(&joint.angular).flatten() {
            let AxisSpring { stiffness, damping, range: [low, high] } = *spring;
            let is_valid = stiffness > 0.0 && stiffness.is_finite() && damping >= 0.0 && damping.is_finite();
            if !(is_valid && low <= 0.0 && high >= 0.0 && low < high && (high - low).is_finite()) {
                return Err(format!("joint {number} has an impossible spring: {spring:?}"));
            }
        }
    }
    for _ in 0..pieces {
        for joint in joints {
            let [first, second] = joint.pieces;
            let any = held[first] || held[second];
            (held[first], held[second]) = (any, any);
        }
    }
    match held.iter().position(|held| !held) {
        Some(loose) => Err(format!("no joint holds piece {loose}")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use glam::Quat;

    fn half(x: f32, mass_kg: f32) -> PieceDescription {
        let part =
            ConvexPart::Box { half_extents: Vec3::splat(0.01), body_from_part: Pose::from_translation(Vec3::X * x) };
        PieceDescription { parts: vec![part], mesh: None, mass_kg }
    }

    fn spring(pieces: [usize; 2]) -> SpringJoint {
        let along = AxisSpring { stiffness: 500.0, damping: 1.0, range: [-0.005, 0.001] };
        SpringJoint { pieces, object_from_joint: Pose::IDENTITY, linear: [Some(along), None, None], angular: [None; 3] }
    }

    fn two_halves() -> ObjectModel {
        let pieces = vec![half(0.0, 0.03), half(0.02, 0.01)];
        ObjectModel::spring_jointed("halves", pieces, vec![spring([0, 1])], Physics::default()).expect("two cubes")
    }

    #[test]
    fn the_whole_has_the_mass_of_its_pieces() {
        let model = two_halves();
        // Centres at 0 and 2 cm, 30 and 10 g: the centre of mass is at 5 mm.
        assert!((model.mass_kg - 0.04).abs() < 1e-7 && model.num_pieces() == 2);
        let assembly = model.assembly.as_ref().expect("pieces");
        assert!(assembly.pieces[0].center.distance(Vec3::X * -0.005) < 1e-6);
        assert!(assembly.pieces[1].center.distance(Vec3::X * 0.015) < 1e-6);
        assert!(assembly.joints[0].object_from_joint.translation.distance(Vec3::X * -0.005) < 1e-6);
        // About x: m a^2 / 6 of cubes of 2 cm; about y and z the distances come to it.
        let cubes = 0.04 * 0.0004 / 6.0;
        let apart = 0.03 * 0.005_f64.powi(2) + 0.01 * 0.015_f64.powi(2);
        let tensor = model.inertia.tensor();
        assert!((tensor.x_axis.x - cubes).abs() < 1e-9);
        assert!((tensor.y_axis.y - cubes - apart).abs() < 1e-9);
        // The control is the same body in one piece.
        let twin = model.rigid_twin();
        assert_eq!((twin.num_pieces(), twin.mass_kg, twin.inertia), (1, model.mass_kg, model.inertia));
        assert_eq!((twin.name.as_str(), &twin.parts), ("halves_rigid", &model.parts));
    }

    #[test]
    fn the_pose_of_the_whole_follows_its_pieces() {
        let model = two_halves();
        let assembly = model.assembly.as_ref().expect("pieces");
        let pose = Pose::new(Vec3::new(0.3, -0.1, 0.2), Quat::from_rotation_y(2.5));
        let same = assembly.object_pose([pose, Pose::new(pose.translation, -pose.rotation)]);
        assert!(same.translation.distance(pose.translation) < 1e-6);
        assert!(same.rotation.dot(pose.rotation).abs() > 1.0 - 1e-6);
        // Only the second piece, a quarter of the mass, moves by 4 mm.
        let moved = Pose::new(pose.translation + Vec3::Z * 0.004, pose.rotation);
        let whole = assembly.object_pose([pose, moved]);
        assert!(whole.translation.distance(pose.translation + Vec3::Z * 0.001) < 1e-6);
    }

    #[test]
    fn impossible_objects_are_refused_by_name() {
        let made = |pieces: Vec<PieceDescription>, joints: Vec<SpringJoint>| {
            let made = ObjectModel::spring_jointed("thing", pieces, joints, Physics::default());
            made.err().map_or(String::new(), |error| error.to_string())
        };
        let three = || vec![half(0.0, 0.01), half(0.02, 0.01), half(0.04, 0.01)];
        assert_eq!(made(three(), vec![spring([0, 1]), spring([2, 1])]), "");
        assert!(made(three(), vec![spring([0, 1])]).contains("no joint holds piece 2"));
        assert!(made(three(), vec![spring([0, 1]), spring([1, 3])]).contains("the pieces 1 and 3 of 3"));
        assert!(made(vec![half(0.0, 0.01)], vec![]).contains("1 pieces"));
        assert!(made(vec![half(0.0, 0.01), half(0.02, 0.0)], vec![spring([0, 1])]).contains("piece 1 weighs 0 kg"));
        let mut stiff = spring([0, 1]);
        stiff.linear[0] = Some(AxisSpring { stiffness: 100.0, damping: 0.0, range: [0.001, 0.002] });
        assert!(made(three(), vec![stiff, spring([1, 2])]).contains("joint 0 has an impossible spring"));
    }

    #[test]
    fn pieces_are_drawn_as_one_object_on_bodies_of_their_own() {
        let model = two_halves();
        let drawn = model.piece_visual_parts(30, Surface::Object(2), 18);
        assert_eq!(drawn.iter().map(|part| part.body).collect::<Vec<_>>(), [30, 31]);
        assert!(drawn.iter().all(|part| part.instance == 18 && part.surface == Surface::Object(2)));
        assert!(model.rigid_twin().piece_visual_parts(30, Surface::Object(2), 18).is_empty());
    }
}
