//! What the simulator knows around the hand, for learners in simulation.

use crate::contract::PrivilegedState;
use crate::contract::privileged::MapFrame;
use crate::sim::GraspWorld;

/// Heights, divider, hand and grip, measured from the middle of the map.
pub fn privileged_state(world: &GraspWorld, map: MapFrame) -> PrivilegedState {
    let MapFrame { centre, cell_m } = map;
    let place = (world.gripper_pose().translation - centre).truncate();
    let [left, right, _] = world.contact_forces();
    let heights = world.object_heights(centre, &PrivilegedState::places(cell_m));
    PrivilegedState::with_cells(cell_m, &heights, world.divider_from(centre), place, world.gripper_yaw())
        .with_grip(world.gripper_state().aperture_m, left.min(right))
}
