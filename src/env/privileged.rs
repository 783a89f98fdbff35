//! What the simulator knows around the hand, for learners in simulation.

use crate::contract::PrivilegedState;
use crate::sim::GraspWorld;

/// Heights, divider, hand and grip, measured from the centre of the bins that are worked in.
pub fn privileged_state(world: &GraspWorld) -> PrivilegedState {
    let centre = world.workspace_centre();
    let place = (world.gripper_pose().translation - centre).truncate();
    let [left, right, _] = world.contact_forces();
    let heights = world.object_heights(centre, &PrivilegedState::places());
    PrivilegedState::new(&heights, world.divider_from(centre), place, world.gripper_yaw())
        .with_grip(world.gripper_state().aperture_m, left.min(right))
}
