//! Springs between the pieces of an object, as joints of Rapier. In: an assembly and the bodies of its pieces. Out: joints.
//!
//! A spring is a force-based motor that holds an axis at 0: its stiffness is newtons a metre (or newton metres a radian), its
//! damping newtons a metre a second, whatever the masses. The engine integrates it implicitly, so that it is stable at any
//! stiffness.

use super::context::ContextMut;
use super::object_body::PieceBody;
use super::physics::to_rapier;
use crate::objects::{Assembly, SpringJoint};
use bevy_rapier3d::rapier::prelude::{
    GenericJoint, GenericJointBuilder, ImpulseJointHandle, JointAxesMask, JointAxis, MotorModel, SpringCoefficients,
};

const LINEAR: [JointAxis; 3] = [JointAxis::LinX, JointAxis::LinY, JointAxis::LinZ];
const ANGULAR: [JointAxis; 3] = [JointAxis::AngX, JointAxis::AngY, JointAxis::AngZ];

/// Solver iterations of springs beside the usual ones. The first hinge of a chain that hangs at its end droops 28% more than
/// its moment says with 8 iterations in all, 10% with 16 and 5% with 24.
pub(super) const EXTRA_ITERATIONS: usize = 20;
/// What holds the axes that do not give way, and the stops: as soft as contacts are. The engine's own (a megahertz) lets light
/// pieces jitter and round things creep.
const LOCK_SOFTNESS: SpringCoefficients<f32> = SpringCoefficients { natural_frequency: 240.0, damping_ratio: 5.0 };

/// Joins the pieces. Those that no spring joins get a joint that holds nothing: pieces of one object never touch each
/// other, they overlap where they are pressed together.
pub(super) fn insert(world: &mut ContextMut<'_>, assembly: &Assembly, pieces: &[PieceBody]) -> Vec<ImpulseJointHandle> {
    let mut handles = Vec::new();
    for joint in &assembly.joints {
        let [first, second] = joint.pieces.map(|number| pieces[number].handle);
        handles.push(world.insert_impulse_joint(first, second, spring_joint(joint)));
    }
    let are_joined = |first: usize, second: usize| {
        assembly.joints.iter().any(|joint| joint.pieces == [first, second] || joint.pieces == [second, first])
    };
    for second in 0..pieces.len() {
        for first in (0..second).filter(|&first| !are_joined(first, second)) {
            let free = GenericJointBuilder::new(JointAxesMask::empty()).contacts_enabled(false);
            handles.push(world.insert_impulse_joint(pieces[first].handle, pieces[second].handle, free));
        }
    }
    handles
}

fn spring_joint(joint: &SpringJoint) -> GenericJoint {
    let axes = || LINEAR.into_iter().zip(joint.linear).chain(ANGULAR.into_iter().zip(joint.angular));
    let locked = axes().filter(|(_, spring)| spring.is_none());
    let locked = locked.fold(JointAxesMask::empty(), |mask, (axis, _)| mask | JointAxesMask::from(axis));
    // Both bodies have the object's frame at rest.
    let frame = to_rapier(joint.object_from_joint);
    let builder = GenericJointBuilder::new(locked).local_frame1(frame).local_frame2(frame).contacts_enabled(false);
    let builder = builder.softness(LOCK_SOFTNESS);
    let springs = axes().filter_map(|(axis, spring)| Some((axis, spring?)));
    let builder = springs.fold(builder, |builder, (axis, spring)| {
        builder
            .motor_model(axis, MotorModel::ForceBased)
            .set_motor(axis, 0.0, 0.0, spring.stiffness, spring.damping)
            .limits(axis, spring.range)
    });
    builder.build()
}

/// Forgets the forces in joints whose bodies were put elsewhere.
pub(super) fn relax(world: &mut ContextMut<'_>, joints: &[ImpulseJointHandle]) {
    for &handle in joints {
        let Some(joint) = world.impulse_joints.get_mut(handle, false) else { continue };
        joint.impulses = Default::default();
        joint.data.motors.iter_mut().for_each(|motor| motor.impulse = 0.0);
        joint.data.limits.iter_mut().for_each(|limit| limit.impulse = 0.0);
    }
}
