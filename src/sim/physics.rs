//! One Rapier world: the bin, the fence around it, the objects. In: a cell and object models. Out: bodies that move
//! when ticked, and what can be asked about them.
//!
//! A world is built anew for every episode, so that nothing of an episode's past (handles, trees, warm starts) can
//! reach the next one.

use super::config::SimConfig;
use super::context::{Context, ContextMut};
use super::object_body::ObjectBody;
use crate::contract::Pose;
use crate::scene::{BinDescription, CellDescription};
use bevy::prelude::Component;
use bevy_rapier3d::rapier::prelude::{
    CoefficientCombineRule, Collider, ColliderBuilder, ColliderHandle, Cuboid, Group, InteractionGroups,
    InteractionTestMode, Pose3, QueryFilter, Ray, RigidBodyBuilder, RigidBodyHandle, SharedShape,
};
use glam::Vec3;

/// How far the solid behind a visible wall or floor reaches where no other bin is in its way: nothing gets through it.
const BACKING: f32 = 0.2;
/// Height above the rims of the invisible lid over cells with several bins: higher than any heap is dropped from.
const LID_HEIGHT: f32 = 2.0;

const CELL: Group = Group::GROUP_1;
const GRIPPER: Group = Group::GROUP_2;
const OBJECT: Group = Group::GROUP_3;
const FENCE: Group = Group::GROUP_4;

pub(super) fn cell_groups() -> InteractionGroups {
    groups(CELL, GRIPPER.union(OBJECT))
}

pub(super) fn gripper_groups() -> InteractionGroups {
    groups(GRIPPER, CELL.union(OBJECT))
}

pub(super) fn object_groups() -> InteractionGroups {
    groups(OBJECT, Group::ALL)
}

/// What only objects meet.
fn half_space_groups() -> InteractionGroups {
    groups(FENCE, OBJECT)
}

const fn groups(of: Group, with: Group) -> InteractionGroups {
    InteractionGroups::new(of, with, InteractionTestMode::And)
}

pub(super) fn to_rapier(pose: Pose) -> Pose3 {
    Pose3::from_parts(pose.translation, pose.rotation)
}

pub(super) fn from_rapier(pose: &Pose3) -> Pose {
    Pose::new(pose.translation, pose.rotation)
}

/// Which of an environment's rigid bodies are its objects: their handles in its `RapierRigidBodySet`.
#[derive(Component, Default)]
pub struct CellBodies {
    pub(super) objects: Vec<ObjectBody>,
    /// Invisible walls on top of those between bins, while dropped objects settle.
    fences: Vec<ColliderHandle>,
    /// Ticks since the world was built.
    pub(super) ticks: u64,
}

impl CellBodies {
    /// The bodies of the objects, in the order of their numbers: one for a rigid object, one a piece for one that springs join.
    pub fn objects(&self) -> impl Iterator<Item = RigidBodyHandle> {
        self.objects.iter().flat_map(|object| object.pieces.iter().map(|piece| piece.handle))
    }

    /// Ticks of physics since the episode's world was built.
    pub fn ticks(&self) -> u64 {
        self.ticks
    }
}

/// A world's physics, to be read.
#[derive(Clone, Copy)]
pub(super) struct Physics<'w> {
    pub world: Context<'w>,
    pub objects: &'w [ObjectBody],
}

/// A world's physics, to be changed.
pub(super) struct PhysicsMut<'w> {
    pub world: ContextMut<'w>,
    pub cell: &'w mut CellBodies,
}

impl PhysicsMut<'_> {
    pub fn view(&self) -> Physics<'_> {
        Physics { world: self.world.view(), objects: &self.cell.objects }
    }

    /// Empties the world and puts in the cell's fixed solids, with each bin's divider at its offset along y (where it has
    /// one).
    pub fn build(&mut self, cell: &CellDescription, config: &SimConfig, divider_offsets: &[f32]) {
        *self.cell = CellBodies::default();
        let world = &mut self.world;
        world.clear();
        world.simulation.integration_parameters = config.integration_parameters();
        let ground = world.insert_body(RigidBodyBuilder::fixed());
        let friction = cell.surfaces.bin_friction;
        let mut insert = |shape: SharedShape, pose: Pose, groups: InteractionGroups| {
            let collider = solid(shape, friction).position(to_rapier(pose)).collision_groups(groups);
            world.insert_collider(collider, Some(ground));
        };
        let cuboid = |half: Vec3| SharedShape::cuboid(half.x, half.y, half.z);
        // Half-spaces push out whatever is in them along one direction, however deep it is. They stand around all bins
        // together and go on above the rims as an invisible fence, so that nothing leaves the bins but in the gripper.
        for (normal, point) in enclosure(&cell.bins) {
            insert(SharedShape::halfspace(normal), Pose::from_translation(point), half_space_groups());
        }
        let alone = cell.bins.len() == 1;
        let meets = |objects: bool| groups(CELL, if objects { GRIPPER.union(OBJECT) } else { GRIPPER });
        for (index, (bin, &offset)) in cell.bins.iter().zip(divider_offsets).enumerate() {
            let world_from_bin = bin.world_from_bin();
            let [floor, walls @ ..] = tray_solids(bin, backing(&cell.bins, index));
            let placed = |centre: Vec3| world_from_bin * Pose::from_translation(centre);
            // For objects the lowest floor is the half-space's, without seams, and so are the walls of a single bin.
            let is_lowest = cell.bins.iter().all(|other| other.position.z >= bin.position.z);
            insert(cuboid(floor.0), placed(floor.1), meets(!is_lowest));
            for (half, centre) in walls {
                insert(cuboid(half), placed(centre), meets(!alone));
            }
            if let Some(divider) = bin.divider {
                let half = 0.5 * Vec3::new(bin.inner_size.x, divider.thickness, divider.height);
                insert(cuboid(half), placed(Vec3::new(0.0, offset, half.z)), cell_groups());
            }
        }
    }

    /// Makes the walls between bins as high as the lid for objects, so that what is dropped into one settles there.
    /// [`Self::lower_fences`] takes them away again. Nothing to do for a single bin.
    pub fn raise_fences(&mut self, bins: &[BinDescription]) {
        if bins.len() < 2 {
            return;
        }
        for (index, bin) in bins.iter().enumerate() {
            let [_, walls @ ..] = tray_solids(bin, backing(bins, index));
            for (half, centre) in walls {
                let half = half.with_z(0.5 * LID_HEIGHT);
                let place = centre.with_z(bin.wall_height + half.z);
                let fence = solid(SharedShape::cuboid(half.x, half.y, half.z), 0.0)
                    .position(to_rapier(bin.world_from_bin() * Pose::from_translation(place)))
                    .collision_groups(half_space_groups());
                self.cell.fences.push(self.world.insert_collider(fence, None));
            }
        }
    }

    /// Takes the fences away and wakes what leant against them. False when there were none.
    pub fn lower_fences(&mut self) -> bool {
        let fences = std::mem::take(&mut self.cell.fences);
        for &fence in &fences {
            self.world.remove_collider(fence);
        }
        if fences.is_empty() {
            return false;
        }
        for piece in self.cell.objects.iter().flat_map(|object| &object.pieces) {
            if let Some(body) = self.world.bodies.get_mut(piece.handle)
                && body.is_enabled()
            {
                body.wake_up(true);
            }
        }
        true
    }

    pub fn tick(&mut self) {
        self.world.step();
        self.cell.ticks += 1;
    }
}

impl Physics<'_> {
    /// Whether a box touches neither the cell nor any object but `ignored`.
    pub fn is_free(&self, half: Vec3, pose: Pose, ignored: Option<usize>) -> bool {
        let ignored = ignored.and_then(|index| self.objects.get(index)).map_or(&[][..], |object| &object.pieces);
        let is_other = |_: ColliderHandle, collider: &Collider| {
            collider.parent().is_none_or(|parent| ignored.iter().all(|piece| piece.handle != parent))
        };
        let mut filter = QueryFilter::new().groups(gripper_groups());
        match ignored {
            [] => {}
            [only] => filter.exclude_rigid_body = Some(only.handle),
            _ => filter = filter.predicate(&is_other),
        }
        let shape = Cuboid::new(half);
        self.world.is_free(to_rapier(pose), &shape, filter)
    }

    /// World z of the highest object surface straight below a point.
    pub fn height_of_objects(&self, above: Vec3) -> Option<f32> {
        let ray = Ray::new(above, -Vec3::Z);
        let objects = |_: ColliderHandle, collider: &Collider| collider.collision_groups().memberships == OBJECT;
        let filter = QueryFilter::new().predicate(&objects);
        self.world.cast_ray(&ray, 2.0, filter).map(|distance| above.z - distance)
    }

    /// Whether a box touches no fixed solid of the cell.
    pub fn is_clear_of_cell(&self, half: Vec3, pose: Pose) -> bool {
        let filter = QueryFilter::only_fixed().groups(gripper_groups());
        let shape = Cuboid::new(half);
        self.world.is_free(to_rapier(pose), &shape, filter)
    }
}

pub(super) fn solid(shape: SharedShape, friction: f32) -> ColliderBuilder {
    ColliderBuilder::new(shape).friction(friction).friction_combine_rule(CoefficientCombineRule::Multiply).density(0.0)
}

/// How thick the solids behind a bin's walls are, on its -x, +x, -y and +y side: [`BACKING`], or half of the gap to the
/// next bin, so that the walls of neighbours meet and neither reaches into the other's inside.
fn backing(bins: &[BinDescription], index: usize) -> [f32; 4] {
    let mut thickness = [BACKING; 4];
    let bin = &bins[index];
    for (_, other) in bins.iter().enumerate().filter(|(other, _)| *other != index) {
        // The two are apart along the axis with the wider gap; along the other their walls may pass each other.
        let (gap, way) = (bin.gap_to(other), bin.to_bin(other.position));
        let side = match (gap.x >= gap.y, way.x > 0.0, way.y > 0.0) {
            (true, false, _) => 0,
            (true, true, _) => 1,
            (false, _, false) => 2,
            (false, _, true) => 3,
        };
        thickness[side] = thickness[side].min(0.5 * gap.max_element().max(0.0));
    }
    thickness
}

/// (half extents, centre in the bin's frame) of a bin's floor and walls, thickened away from the inside by `thickness`
/// on the -x, +x, -y and +y side; the floor downwards by [`BACKING`].
fn tray_solids(bin: &BinDescription, thickness: [f32; 4]) -> [(Vec3, Vec3); 5] {
    let half = bin.half_size();
    let height = 0.5 * bin.wall_height;
    let [left, right, front, back] = thickness;
    let across = |low: f32, high: f32, half: f32| (half + 0.5 * (low + high), 0.5 * (high - low));
    let (length_x, middle_x) = across(left, right, half.x);
    let (length_y, middle_y) = across(front, back, half.y);
    let wall_x = |sign: f32, thickness: f32| {
        let extents = Vec3::new(0.5 * thickness, length_y, height);
        (extents, Vec3::new(sign * (half.x + 0.5 * thickness), middle_y, height))
    };
    let wall_y = |sign: f32, thickness: f32| {
        let extents = Vec3::new(half.x, 0.5 * thickness, height);
        (extents, Vec3::new(0.0, sign * (half.y + 0.5 * thickness), height))
    };
    let floor = (Vec3::new(length_x, length_y, 0.5 * BACKING), Vec3::new(middle_x, middle_y, -0.5 * BACKING));
    [floor, wall_x(-1.0, left), wall_x(1.0, right), wall_y(-1.0, front), wall_y(1.0, back)]
}

/// (normal, point) of half-spaces around all bins together, in the first bin's directions: the lowest floor, the
/// outermost walls, and above several bins a lid.
fn enclosure(bins: &[BinDescription]) -> Vec<(Vec3, Vec3)> {
    let Some(first) = bins.first() else { return Vec::new() };
    let corners = || bins.iter().flat_map(BinDescription::corners).map(|corner| first.to_bin(corner));
    let low = corners().fold(Vec3::INFINITY, Vec3::min);
    let high = corners().fold(Vec3::NEG_INFINITY, Vec3::max);
    let rim = bins.iter().map(BinDescription::rim_z).fold(f32::NEG_INFINITY, f32::max) - first.position.z;
    let (middle, half) = if bins.len() == 1 {
        (Vec3::ZERO, first.half_size().extend(0.0))
    } else {
        ((0.5 * (low + high)).with_z(low.z), (0.5 * (high - low)).with_z(0.0))
    };
    let mut planes: Vec<(Vec3, Vec3)> =
        [Vec3::Z, Vec3::X, -Vec3::X, Vec3::Y, -Vec3::Y].map(|normal| (normal, middle - normal * half)).to_vec();
    if bins.len() > 1 {
        planes.push((-Vec3::Z, middle.with_z(rim + LID_HEIGHT)));
    }
    // A rotation by nothing would turn the normals' negative zeros into positive ones, from which the friction directions
    // are made.
    let turned = |v: Vec3| if first.yaw_rad == 0.0 { v } else { first.world_from_bin().transform_vector(v) };
    planes.iter().map(|&(normal, point)| (turned(normal), first.position + turned(point))).collect()
}
