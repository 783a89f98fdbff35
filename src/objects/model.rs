//! One graspable object as data: what physics collides and weighs, what the renderer draws. In: convex parts in any
//! frame and what is known of the mass. Out: an [`ObjectModel`] whose body origin is its centre of mass.

use super::assembly::Assembly;
use super::error::{ObjectError, Result};
use super::geometry::{Polyhedron, support_points};
use super::mass::{Inertia, Moments};
use super::rest::RestCache;
use crate::contract::{Class, MeshData, Pose, Shape, Surface, VisualPart};
use glam::{DVec3, Vec3};
use std::fmt;
use std::sync::Arc;

/// Points of a hull part beyond which it is reduced: contacts slow down with the number of points, and a graspable
/// object's convex piece has nothing to say with more.
pub const MAX_HULL_POINTS: usize = 96;

/// A convex solid fixed to the body.
#[derive(Clone, Debug, PartialEq)]
pub enum ConvexPart {
    Box {
        half_extents: Vec3,
        body_from_part: Pose,
    },
    /// The convex hull of points in the body's frame, at most [`MAX_HULL_POINTS`] of them.
    Hull {
        points: Vec<Vec3>,
    },
}

impl ConvexPart {
    /// The solid around `points`: a box where they are the corners of one, else a hull of its extreme points. `None`
    /// where the points are flat or not finite.
    pub fn from_points(points: &[Vec3]) -> Option<Self> {
        let mut hull = Polyhedron::hull(points)?;
        if let Some((half_extents, center, rotation)) = hull.as_box(1e-4) {
            let body_from_part = Pose::new(center.as_vec3(), rotation.as_quat().normalize());
            return Some(Self::Box { half_extents: half_extents.as_vec3(), body_from_part });
        }
        if hull.points.len() > MAX_HULL_POINTS {
            let all: Vec<Vec3> = hull.points.iter().map(|point| point.as_vec3()).collect();
            hull = Polyhedron::hull(&support_points(&all, MAX_HULL_POINTS - 6))?;
        }
        Some(Self::Hull { points: hull.points.iter().map(|point| point.as_vec3()).collect() })
    }

    /// The same solid in another frame.
    pub fn transformed(&self, pose: Pose) -> Self {
        match self {
            Self::Box { half_extents, body_from_part } => {
                Self::Box { half_extents: *half_extents, body_from_part: pose * *body_from_part }
            }
            Self::Hull { points } => {
                Self::Hull { points: points.iter().map(|&point| pose.transform_point(point)).collect() }
            }
        }
    }

    fn shifted(&mut self, by: Vec3) {
        match self {
            Self::Box { body_from_part, .. } => body_from_part.translation += by,
            Self::Hull { points } => points.iter_mut().for_each(|point| *point += by),
        }
    }

    /// Corners in the body's frame.
    pub fn corners(&self) -> Vec<Vec3> {
        match self {
            Self::Box { half_extents, body_from_part } => super::geometry::box_corners(half_extents.as_dvec3())
                .iter()
                .map(|corner| body_from_part.transform_point(corner.as_vec3()))
                .collect(),
            Self::Hull { points } => points.clone(),
        }
    }
}

/// What is known of an object's mass.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mass {
    /// Total mass in kilograms, spread evenly over the volume.
    Total(f32),
    /// kg/m^3.
    Density(f32),
    /// From a file: total mass, centre of mass in the frame of the parts, and the inertia about it where it is given.
    Given { mass_kg: f32, center: Vec3, inertia: Option<Inertia> },
}

/// Everything about an object but its shape.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Physics {
    pub mass: Mass,
    /// Coulomb friction coefficient, 0 or more.
    pub friction: f32,
    /// 0 (no bounce) to 1.
    pub restitution: f32,
    /// sRGB.
    pub color: Option<[u8; 3]>,
}

impl Default for Physics {
    /// PyBullet's random objects: 0.1 kg, friction 1.
    fn default() -> Self {
        Self { mass: Mass::Total(0.1), friction: 1.0, restitution: 0.0, color: None }
    }
}

/// An object: one rigid body, or several that springs join. Lengths in metres in the body's frame, whose origin is the centre
/// of mass.
#[derive(Clone, PartialEq)]
pub struct ObjectModel {
    pub name: String,
    /// Collision shape; never empty.
    pub parts: Vec<ConvexPart>,
    /// What is drawn; `None` where every part is a box and the boxes are drawn.
    pub mesh: Option<Arc<MeshData>>,
    pub mass_kg: f32,
    pub inertia: Inertia,
    /// Coulomb friction coefficient.
    pub friction: f32,
    pub restitution: f32,
    /// sRGB, the source's own colour; domains may repaint.
    pub color: Option<[u8; 3]>,
    /// sRGB of a user's file, in which the domains `canonical` and `reality` draw it, times the mesh's own colours where it
    /// has any. `None` for generated objects, whose look is the domain's to choose.
    pub paint: Option<[u8; 3]>,
    /// Volume of the union of the parts, cubic metres.
    pub volume_m3: f32,
    /// Of a spring-jointed object: its pieces, of which everything above is the whole at rest. `None` for a rigid body.
    pub assembly: Option<Arc<Assembly>>,
    pub(super) rests: RestCache,
}

/// All fields, as they were before there were springs: digests are made of this text. The springs come last, where there are any.
impl fmt::Debug for ObjectModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            parts,
            mesh,
            mass_kg,
            inertia,
            friction,
            restitution,
            color,
            paint,
            volume_m3,
            assembly,
            rests,
        } = self;
        let mut text = f.debug_struct("ObjectModel");
        text.field("name", name).field("parts", parts).field("mesh", mesh).field("mass_kg", mass_kg);
        text.field("inertia", inertia).field("friction", friction).field("restitution", restitution);
        text.field("color", color).field("paint", paint).field("volume_m3", volume_m3).field("rests", rests);
        if let Some(assembly) = assembly {
            text.field("assembly", assembly);
        }
        text.finish()
    }
}

/// An axis-aligned bounding box in the body's frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Aabb {
    pub min: Vec3,
    pub max: Vec3,
}

impl Aabb {
    pub fn extents(&self) -> Vec3 {
        self.max - self.min
    }

    /// Edge lengths, smallest first.
    pub fn sorted_extents(&self) -> [f32; 3] {
        let mut sorted = self.extents().to_array();
        sorted.sort_by(f32::total_cmp);
        sorted
    }
}

impl ObjectModel {
    /// Builds the object and moves the body's origin to its centre of mass. `mesh` is in the frame of `parts`; where
    /// it is `None` and a part is a hull, the hulls are drawn.
    pub fn new(name: &str, parts: Vec<ConvexPart>, mesh: Option<MeshData>, physics: Physics) -> Result<Self> {
        let degenerate = |what: String| ObjectError::Degenerate { name: name.to_owned(), what };
        if parts.is_empty() {
            return Err(degenerate("it has no solid part".into()));
        }
        let solids = parts
            .iter()
            .enumerate()
            .map(|(i, part)| {
                Polyhedron::of_part(part).ok_or_else(|| degenerate(format!("part {i} is flat or not finite")))
            })
            .collect::<Result<Vec<_>>>()?;
        let moments = Moments::of_union(&solids);
        if !(moments.volume > 0.0 && moments.volume.is_finite()) {
            return Err(degenerate(format!("its volume is {} cubic metres", moments.volume)));
        }
        let (mass, center, inertia) = match physics.mass {
            Mass::Total(mass_kg) => (f64::from(mass_kg), moments.center(), None),
            Mass::Density(density) => (f64::from(density) * moments.volume, moments.center(), None),
            Mass::Given { mass_kg, center, inertia } => (f64::from(mass_kg), center.as_dvec3(), inertia),
        };
        let out_of_range = |what, range, value| ObjectError::OutOfRange { name: name.to_owned(), what, range, value };
        if !(mass > 0.0 && mass.is_finite()) {
            return Err(out_of_range("mass_kg", "a finite number above 0", mass as f32));
        }
        if !(physics.friction >= 0.0 && physics.friction.is_finite()) {
            return Err(out_of_range("friction", "a finite number, 0 or above", physics.friction));
        }
        if !(0.0..=1.0).contains(&physics.restitution) {
            return Err(out_of_range("restitution", "between 0 and 1", physics.restitution));
        }
        let inertia = inertia.unwrap_or_else(|| moments.inertia(mass));
        if !inertia.is_physical() {
            return Err(degenerate(format!(
                "its principal inertia {} kg m^2 is not a solid body's",
                inertia.principal_kg_m2
            )));
        }
        let mut model = Self {
            name: name.to_owned(),
            mesh: mesh.or_else(|| hull_mesh(&parts, &solids)).map(Arc::new),
            parts,
            mass_kg: mass as f32,
            inertia,
            friction: physics.friction,
            restitution: physics.restitution,
            color: physics.color,
            paint: None,
            volume_m3: moments.volume as f32,
            assembly: None,
            rests: RestCache::default(),
        };
        model.shift(-center);
        Ok(model)
    }

    fn shift(&mut self, by: DVec3) {
        let by = by.as_vec3();
        self.parts.iter_mut().for_each(|part| part.shifted(by));
        if let Some(mesh) = &mut self.mesh {
            Arc::make_mut(mesh).translate(by);
        }
    }

    /// The object as drawable parts of body `body`: its mesh, or its boxes. A spring-jointed one at rest.
    pub fn visual_parts(&self, body: usize, surface: Surface, instance: u8) -> Vec<VisualPart> {
        drawn_parts(self.mesh.as_ref(), &self.parts, (body, surface, instance))
    }

    /// All corners of all parts in the body's frame.
    pub fn corners(&self) -> Vec<Vec3> {
        self.parts.iter().flat_map(ConvexPart::corners).collect()
    }

    /// The parts as polyhedra in the body's frame.
    pub fn solids(&self) -> Vec<Polyhedron> {
        self.parts.iter().filter_map(Polyhedron::of_part).collect()
    }

    /// Bounds of the collision shape in the body's frame.
    pub fn aabb(&self) -> Aabb {
        let (min, max) = self
            .corners()
            .into_iter()
            .fold((Vec3::INFINITY, Vec3::NEG_INFINITY), |(low, high), point| (low.min(point), high.max(point)));
        Aabb { min, max }
    }

    /// Radius of the sphere around the centre of mass that holds the collision shape.
    pub fn bounding_radius(&self) -> f32 {
        self.corners().iter().map(|point| point.length()).fold(0.0, f32::max)
    }

    /// The smallest jaw opening that takes the whole object between two parallel pads, over all directions (metres).
    /// Exact for up to [`MAX_HULL_POINTS`] outer corners, else of their extreme points.
    pub fn grasp_width(&self) -> f32 {
        let mut corners = self.corners();
        if corners.len() > MAX_HULL_POINTS {
            corners = support_points(&corners, MAX_HULL_POINTS - 6);
        }
        Polyhedron::hull(&corners).map_or(f32::INFINITY, |hull| hull.min_width() as f32)
    }

    /// Kilograms per cubic metre of the union of the parts.
    pub fn density(&self) -> f32 {
        self.mass_kg / self.volume_m3
    }
}

/// A mesh, or boxes where there is none, as drawable parts of a body.
pub(super) fn drawn_parts(
    mesh: Option<&Arc<MeshData>>,
    parts: &[ConvexPart],
    (body, surface, instance): (usize, Surface, u8),
) -> Vec<VisualPart> {
    let part = |shape, scale, body_from_part| VisualPart {
        shape,
        scale,
        body,
        body_from_part,
        surface,
        class: Class::Object,
        instance,
    };
    if let Some(mesh) = mesh {
        return vec![part(Shape::Mesh(Arc::clone(mesh)), Vec3::ONE, Pose::IDENTITY)];
    }
    parts
        .iter()
        .filter_map(|convex| match convex {
            ConvexPart::Box { half_extents, body_from_part } => {
                Some(part(Shape::Box, *half_extents * 2.0, *body_from_part))
            }
            ConvexPart::Hull { .. } => None,
        })
        .collect()
}

/// The hulls' surfaces, for objects that are not all boxes and have no mesh of their own.
pub(super) fn hull_mesh(parts: &[ConvexPart], solids: &[Polyhedron]) -> Option<MeshData> {
    if parts.iter().all(|part| matches!(part, ConvexPart::Box { .. })) {
        return None;
    }
    Some(super::surfaces::joined(solids.iter().map(Polyhedron::mesh)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use glam::Quat;

    fn cuboid(half: Vec3, at: Vec3) -> ConvexPart {
        ConvexPart::Box { half_extents: half, body_from_part: Pose::from_translation(at) }
    }

    #[test]
    fn an_l_of_two_bars() {
        // Two bars of 10 x 2 x 2 cm and 2 x 6 x 2 cm that touch: 40 and 24 cm^3, centres at (0,0) and (4,4) cm.
        let parts = vec![
            cuboid(Vec3::new(0.05, 0.01, 0.01), Vec3::ZERO),
            cuboid(Vec3::new(0.01, 0.03, 0.01), Vec3::new(0.04, 0.04, 0.0)),
        ];
        let object = ObjectModel::new("l", parts, None, Physics::default()).expect("solid");
        assert!((object.volume_m3 - 64e-6).abs() < 1e-9);
        // Centre of mass at (4, 4) * 24/64 = (1.5, 1.5) cm of the first bar's frame.
        let ConvexPart::Box { body_from_part, .. } = &object.parts[0] else { panic!("a box") };
        assert!(body_from_part.translation.distance(Vec3::new(-0.015, -0.015, 0.0)) < 1e-6);
        let bounds = object.aabb();
        assert!(bounds.extents().distance(Vec3::new(0.10, 0.08, 0.02)) < 1e-6);
        assert!((object.grasp_width() - 0.02).abs() < 1e-6);
        assert!((object.density() - 0.1 / 64e-6).abs() < 0.1);
        // The farthest corner from the centre of mass: (-5, -1, +-1) - (1.5, 1.5, 0) cm.
        assert!((object.bounding_radius() - 0.065_f32.hypot(0.025).hypot(0.01)).abs() < 1e-6);
        let drawn = object.visual_parts(3, Surface::Object(1), 7);
        assert_eq!(drawn.len(), 2);
        assert!(drawn.iter().all(|part| part.body == 3 && part.instance == 7 && part.class == Class::Object));
        assert!(drawn[0].scale.distance(Vec3::new(0.1, 0.02, 0.02)) < 1e-7);
    }

    #[test]
    fn a_hull_is_drawn_as_it_collides() {
        let corners = [Vec3::ZERO, Vec3::X * 0.06, Vec3::Y * 0.06, Vec3::Z * 0.06];
        let part = ConvexPart::from_points(&corners).expect("solid");
        let physics = Physics { mass: Mass::Density(1000.0), ..Physics::default() };
        let object = ObjectModel::new("corner", vec![part], None, physics).expect("solid");
        assert!((object.mass_kg - 0.036).abs() < 1e-6); // (6 cm)^3 / 6 = 36 cm^3
        // A corner tetrahedron's centre of mass is a quarter of each edge in.
        assert!(object.aabb().min.distance(Vec3::splat(-0.015)) < 1e-6);
        let mesh = object.mesh.as_ref().expect("hulls have a mesh");
        assert_eq!(mesh.indices.len(), 12);
        assert!(mesh.positions.iter().all(|p| object.corners().iter().any(|c| c.distance(*p) < 1e-6)));
        for triangle in mesh.indices.chunks(3) {
            let [a, b, c] = [0, 1, 2].map(|i| mesh.positions[triangle[i] as usize]);
            assert!((b - a).cross(c - a).dot(mesh.normals[triangle[0] as usize]) > 0.0);
            assert!(mesh.normals[triangle[0] as usize].dot(a) > 0.0, "normals point away from the centre of mass");
        }
    }

    #[test]
    fn corners_of_a_box_become_a_box() {
        let pose = Pose::new(Vec3::new(0.1, 0.2, 0.3), Quat::from_rotation_x(0.3) * Quat::from_rotation_z(1.0));
        let part = ConvexPart::Box { half_extents: Vec3::new(0.01, 0.02, 0.05), body_from_part: pose };
        let again = ConvexPart::from_points(&part.corners()).expect("solid");
        let ConvexPart::Box { half_extents, .. } = &again else { panic!("not a box: {again:?}") };
        assert!(half_extents.distance(Vec3::new(0.01, 0.02, 0.05)) < 1e-6);
        for corner in again.corners() {
            assert!(part.corners().iter().any(|other| other.distance(corner) < 1e-6));
        }
    }

    #[test]
    fn nonsense_is_refused() {
        let bar = || vec![cuboid(Vec3::splat(0.02), Vec3::ZERO)];
        let with = |physics| ObjectModel::new("bad", bar(), None, physics).unwrap_err().to_string();
        assert!(with(Physics { mass: Mass::Total(0.0), ..Physics::default() }).contains("mass_kg"));
        assert!(with(Physics { friction: f32::NAN, ..Physics::default() }).contains("friction"));
        assert!(with(Physics { restitution: 2.0, ..Physics::default() }).contains("restitution"));
        let flat = vec![cuboid(Vec3::new(0.1, 0.1, 0.0), Vec3::ZERO)];
        assert!(ObjectModel::new("flat", flat, None, Physics::default()).is_err());
        assert!(ObjectModel::new("none", Vec::new(), None, Physics::default()).is_err());
    }
}
