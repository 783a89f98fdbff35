//! What the simulator knows around the hand, for learners in simulation.

use crate::contract::PrivilegedState;
use crate::contract::privileged::{CELL_M, MAP, MapFrame};
use crate::scene::CellDescription;
use crate::sim::GraspWorld;
use glam::Vec2;

/// Places along an edge of the working region at which the camera is asked what it sees.
const REGION_PLACES: usize = 65;

/// Heights, divider, hand and grip, measured from the middle of the map.
pub fn privileged_state(world: &GraspWorld, map: MapFrame) -> PrivilegedState {
    let MapFrame { centre, cell_m } = map;
    let place = (world.gripper_pose().translation - centre).truncate();
    let [left, right, _] = world.contact_forces();
    let heights = world.object_heights(centre, &PrivilegedState::places(cell_m));
    PrivilegedState::with_cells(cell_m, &heights, world.divider_from(centre), place, world.gripper_yaw())
        .with_grip(world.gripper_state().aperture_m, left.min(right))
}

/// Where the map of heights lies that the state-estimating network draws. Over a usual bin it is 0.4 m across, around the
/// middle of the bins. Where bins reach farther out, or are put anew every episode, its cells are larger, so that it covers
/// what the hand may reach of them and the camera sees.
pub fn map_frame(cell: &CellDescription, camera: &str, size: u32) -> MapFrame {
    let middle = cell.middle_of_bins();
    let [least, largest] = cell.working_region();
    let reach = (largest - middle.truncate()).max(middle.truncate() - least).max_element();
    let half_m = 0.5 * MAP as f32 * CELL_M;
    if reach <= half_m {
        return MapFrame { centre: middle, cell_m: CELL_M };
    }
    let (mut low, mut high) = (least, largest);
    if let Some(fixed) = cell.fixed_camera(camera, size) {
        let seen = |place: Vec2| {
            let (pixel, depth) = fixed.project(place.extend(middle.z));
            depth > 0.0 && pixel.cmpge(Vec2::ZERO).all() && pixel.cmple(Vec2::splat(size as f32)).all()
        };
        let share = |index: usize| index as f32 / (REGION_PLACES - 1) as f32;
        let places = (0..REGION_PLACES.pow(2))
            .map(|i| Vec2::new(share(i % REGION_PLACES), share(i / REGION_PLACES)))
            .map(|share| least + share * (largest - least));
        let visible: Vec<Vec2> = places.filter(|&place| seen(place)).collect();
        if let (Some(first), Some(last)) =
            (visible.iter().copied().reduce(Vec2::min), visible.iter().copied().reduce(Vec2::max))
        {
            (low, high) = (first, last);
        }
    }
    let cell_m = ((high - low).max_element() / MAP as f32).max(CELL_M);
    MapFrame { centre: (0.5 * (low + high)).extend(middle.z), cell_m }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_map_covers_where_bins_may_stand() {
        let frame = |name: &str, camera: &str| map_frame(&CellDescription::load(name).expect("built in"), camera, 64);
        let usual = CellDescription::default();
        assert_eq!(
            frame("iiwa-bin", &usual.cameras[0].name),
            MapFrame { centre: usual.middle_of_bins(), cell_m: CELL_M }
        );
        assert_eq!(frame("mobile-three-bins:single-bin", "head").cell_m, CELL_M);
        let several = frame("mobile-three-bins", "head");
        let half = 0.5 * MAP as f32 * several.cell_m;
        // What the head's camera sees of 1.4 m: not all, and more than the usual 0.4 m.
        assert!((0.35..0.7).contains(&half), "{several:?}");
        let bins = CellDescription::load("mobile-three-bins").expect("built in");
        for bin in &bins.bins {
            let farthest = (bin.position - several.centre).abs().truncate() + 0.5 * bin.inner_size;
            assert!(farthest.max_element() <= half, "{bin:?} {several:?}");
        }
    }
}
