//! The gripper in physics: a palm that follows a smooth path as far as a limited force lets it, and two fingers on
//! prismatic joints that close with equal, limited force.
//!
//! In: a goal pose and open/close. Out: forces on three bodies every tick. Nothing is ever attached to the fingers:
//! what they lift, they lift by friction.
//!
//! The palm is a dynamic body without gravity that turns only about the vertical. Its drive asks for the velocity
//! that the path wants and gives way beyond `max_force_n`: an object jammed between a finger and the bin floor is
//! pressed with a known force, not crushed.
//!
//! The fingers move like a rack and pinion. A motor between them, limited to `force_n`, opens and closes them; a stiff
//! spring and damper in each one's joint with the palm holds it to the mean of both, so that the pair cannot shift
//! sideways with what it holds.

use super::config::SimConfig;
use super::motion::{Profile, Speed, ToolPose};
use super::physics::{Physics, PhysicsMut, from_rapier, gripper_groups, to_rapier};
use crate::contract::Pose;
use crate::scene::arm::wrap;
use crate::scene::{CellDescription, GripperDescription, MotionLimits};
use bevy_rapier3d::rapier::prelude::{
    CoefficientCombineRule, ColliderBuilder, ColliderHandle, GenericJointBuilder, ImpulseJointHandle, JointAxesMask,
    JointAxis, LockedAxes, MassProperties, Pose3, RigidBodyBuilder, RigidBodyHandle, RigidBodyVelocity,
};
use glam::{Quat, Vec3};
use std::f32::consts::PI;

/// Stiffness and damping (per unit of effective mass) of the coupling between the fingers: 84 Hz, critically damped.
const COUPLING: (f32, f32) = (280_000.0, 1_060.0);
/// The most the coupling may push, newtons.
const COUPLING_FORCE: f32 = 80.0;
/// Rate (1/s) at which the motor between the fingers corrects their speed.
const SPEED_GAIN: f32 = 2_000.0;

/// The path is given up when the palm lags behind it by this, metres.
const STOP_LAG: f32 = 0.005;

pub(super) struct Gripper {
    description: GripperDescription,
    limits: MotionLimits,
    palm: RigidBodyHandle,
    fingers: [RigidBodyHandle; 2],
    finger_colliders: [ColliderHandle; 2],
    palm_collider: ColliderHandle,
    joints: [ImpulseJointHandle; 2],
    /// Between the fingers.
    jaw: ImpulseJointHandle,
    inertia: f32,
    /// Followed over several turns; the body's quaternion only knows it to one.
    yaw: f32,
    start: ToolPose,
    goal: ToolPose,
    linear: Profile,
    angular: Profile,
    time: f32,
    closed: bool,
    /// Ticks for which the fingers have stood still, and where.
    still: u32,
    still_at: f32,
    /// Distances of the pads from the middle during a glide.
    pad_offsets: [f32; 2],
}

fn side_sign(side: usize) -> f32 {
    if side == 0 { -1.0 } else { 1.0 }
}

impl Gripper {
    /// Open, at rest.
    pub fn new(physics: &mut PhysicsMut<'_>, cell: &CellDescription, config: &SimConfig, tool_pose: ToolPose) -> Self {
        let extra = config.grip_iterations.saturating_sub(config.solver_iterations);
        let g = cell.gripper;
        let world_from_gripper = tool_pose.pose();
        let locked = LockedAxes::ROTATION_LOCKED_X | LockedAxes::ROTATION_LOCKED_Y;
        let palm_centre = Vec3::new(0.0, 0.0, g.finger_length + 0.5 * g.palm_size.z);
        let box_inertia = |mass: f32, size: Vec3| {
            let s = size * size;
            Vec3::new(s.y + s.z, s.x + s.z, s.x + s.y) * (mass / 12.0)
        };
        // The hand's own inertia is small; the arm behind it is not. About the vertical it must outweigh the fingers.
        let palm_inertia = box_inertia(g.palm_mass_kg, g.palm_size).max(Vec3::splat(4e-3));
        let palm = physics.world.insert_body(
            RigidBodyBuilder::dynamic()
                .pose(to_rapier(world_from_gripper))
                .gravity_scale(0.0)
                .locked_axes(locked)
                .can_sleep(false)
                .additional_solver_iterations(extra)
                // The centre of mass is on the axis, so that turning does not push it aside.
                .additional_mass_properties(MassProperties::new(palm_centre, g.palm_mass_kg, palm_inertia)),
        );
        let half = 0.5 * g.palm_size;
        let palm_collider = physics.world.insert_collider(
            ColliderBuilder::cuboid(half.x, half.y, half.z)
                .translation(palm_centre)
                .density(0.0)
                .friction(cell.surfaces.palm_friction)
                .friction_combine_rule(CoefficientCombineRule::Multiply)
                .collision_groups(gripper_groups()),
            Some(palm),
        );
        let size = Vec3::new(g.finger_thickness, g.finger_width, g.finger_length);
        let half_open = 0.5 * g.stroke;
        let mut inertia = palm_inertia.z;
        let parts = [0, 1].map(|side| {
            let sign = side_sign(side);
            let centre = Vec3::new(sign * 0.5 * size.x, 0.0, 0.5 * size.z);
            let moments = box_inertia(g.finger_mass_kg, size).max(Vec3::splat(1e-4));
            let reach = half_open + 0.5 * size.x;
            inertia += moments.z + g.finger_mass_kg * reach * reach;
            let pose = world_from_gripper * Pose::from_translation(Vec3::new(sign * half_open, 0.0, 0.0));
            let finger = physics.world.insert_body(
                RigidBodyBuilder::dynamic()
                    .pose(to_rapier(pose))
                    .gravity_scale(0.0)
                    .locked_axes(locked)
                    .can_sleep(false)
                    .additional_solver_iterations(extra)
                    .additional_mass_properties(MassProperties::new(centre, g.finger_mass_kg, moments)),
            );
            let collider = physics.world.insert_collider(
                ColliderBuilder::cuboid(0.5 * size.x, 0.5 * size.y, 0.5 * size.z)
                    .translation(centre)
                    .density(0.0)
                    .friction(cell.surfaces.pad_friction)
                    .friction_combine_rule(CoefficientCombineRule::Multiply)
                    .collision_groups(gripper_groups()),
                Some(finger),
            );
            // The joint's coordinate is the distance of the pad from the middle. Tilting is locked in the bodies
            // themselves: a joint that locked it again would divide by their vanished inertia.
            let frame = Pose3::from_rotation(if side == 0 { Quat::from_rotation_z(PI) } else { Quat::IDENTITY });
            let joint = GenericJointBuilder::new(JointAxesMask::LIN_Y | JointAxesMask::LIN_Z | JointAxesMask::ANG_Z)
                .local_frame1(frame)
                .local_frame2(frame)
                .limits(JointAxis::LinX, [0.0, half_open])
                .contacts_enabled(false)
                .set_motor(JointAxis::LinX, half_open, 0.0, COUPLING.0, COUPLING.1)
                .motor_max_force(JointAxis::LinX, COUPLING_FORCE);
            let joint = physics.world.insert_impulse_joint(palm, finger, joint);
            (finger, collider, joint)
        });
        // Its coordinate is the distance between the pads.
        let jaw = GenericJointBuilder::new(JointAxesMask::empty())
            .contacts_enabled(false)
            .set_motor(JointAxis::LinX, 0.0, 0.0, 0.0, SPEED_GAIN)
            .motor_max_force(JointAxis::LinX, g.force_n);
        let jaw = physics.world.insert_impulse_joint(parts[0].0, parts[1].0, jaw);
        Self {
            description: g,
            limits: cell.motion,
            palm,
            jaw,
            fingers: parts.map(|part| part.0),
            finger_colliders: parts.map(|part| part.1),
            palm_collider,
            joints: parts.map(|part| part.2),
            inertia,
            yaw: tool_pose.yaw,
            start: tool_pose,
            goal: tool_pose,
            linear: Profile::default(),
            angular: Profile::default(),
            time: 0.0,
            closed: false,
            still: 8,
            still_at: half_open,
            pad_offsets: [half_open; 2],
        }
    }

    /// Takes the gripper out of the world.
    pub fn remove(self, physics: &mut PhysicsMut<'_>) {
        for handle in self.fingers {
            physics.world.remove_body(handle);
        }
        physics.world.remove_body(self.palm);
    }

    /// Where the gripper is.
    pub fn tool_pose(&self, physics: &Physics<'_>) -> ToolPose {
        ToolPose { position: physics.world.bodies[self.palm].translation(), yaw: self.yaw }
    }

    pub fn palm_pose(&self, physics: &Physics<'_>) -> Pose {
        from_rapier(physics.world.bodies[self.palm].position())
    }

    pub fn finger_pose(&self, physics: &Physics<'_>, side: usize) -> Pose {
        from_rapier(physics.world.bodies[self.fingers[side]].position())
    }

    pub fn closed(&self) -> bool {
        self.closed
    }

    /// Distance of each pad from the middle, and its rate.
    fn finger_state(&self, physics: &Physics<'_>, side: usize) -> (f32, f32) {
        let palm = &physics.world.bodies[self.palm];
        let finger = &physics.world.bodies[self.fingers[side]];
        let axis = *palm.rotation() * (Vec3::X * side_sign(side));
        let offset = finger.translation() - palm.translation();
        // The rate in the turning frame: a finger that turns with the palm has none.
        let carried = palm.linvel() + palm.angvel().cross(offset);
        let own = finger.velocity_at_point(finger.translation());
        (axis.dot(offset), axis.dot(own - carried))
    }

    /// Measured distance between the pads.
    pub fn aperture(&self, physics: &Physics<'_>) -> f32 {
        (self.finger_state(physics, 0).0 + self.finger_state(physics, 1).0).max(0.0)
    }

    /// Colliders of finger 0, finger 1 and the palm.
    pub fn colliders(&self) -> [ColliderHandle; 3] {
        [self.finger_colliders[0], self.finger_colliders[1], self.palm_collider]
    }

    /// Starts a smooth motion.
    pub fn move_to(&mut self, from: ToolPose, to: ToolPose, speed: Speed) {
        let limits = &self.limits;
        let acceleration = match speed {
            Speed::Full => limits.acceleration,
            Speed::Gentle => 0.5 * limits.acceleration,
        };
        self.start = from;
        self.goal = to;
        self.linear = Profile::new(from.position.distance(to.position), limits.speed, acceleration);
        self.angular = Profile::new((to.yaw - from.yaw).abs(), limits.angular_speed, limits.angular_acceleration);
        self.time = 0.0;
    }

    pub fn command(&mut self, close: bool) {
        if self.closed != close {
            self.closed = close;
            self.still = 0;
        }
    }

    fn reference(&self, time: f32) -> ToolPose {
        let share = |profile: &Profile| {
            if profile.distance > 0.0 { profile.at(time) / profile.distance } else { 1.0 }
        };
        ToolPose {
            position: self.start.position.lerp(self.goal.position, share(&self.linear)),
            yaw: self.start.yaw + (self.goal.yaw - self.start.yaw) * share(&self.angular),
        }
    }

    /// Takes the path's place for one tick of `dt`: from one tool_pose to another.
    #[cfg(test)]
    pub fn force_path(&mut self, from: ToolPose, to: ToolPose, dt: f32) {
        let distance = from.position.distance(to.position);
        (self.start, self.goal, self.time) = (from, to, 0.0);
        // Constant speed: an acceleration without limit.
        self.linear = Profile { distance, speed: distance / dt, acceleration: 1e9, duration: dt };
        self.angular = Profile::default();
    }

    /// Whether the path is done and the fingers stand still.
    pub fn finished(&self) -> bool {
        self.time >= self.linear.duration.max(self.angular.duration) && self.still >= 8
    }

    /// Whether nothing of the gripper moves.
    pub fn at_rest(&self, physics: &Physics<'_>) -> bool {
        self.still >= 8 && physics.world.bodies[self.palm].linvel().length() < 0.01
    }

    /// Bounds of everything the fingers, and then the palm, pass on the way to the goal, with `margin` around.
    pub fn swept_bounds(&self, margin: f32) -> [(Vec3, Vec3); 2] {
        let g = &self.description;
        let (low, high) = (self.start.position.min(self.goal.position), self.start.position.max(self.goal.position));
        let fingers = (0.5 * g.stroke + g.finger_thickness).hypot(0.5 * g.finger_width) + margin;
        let palm = 0.5 * g.palm_size.truncate().length() + margin;
        let bounds = |radius: f32, bottom: f32, top: f32| {
            let side = Vec3::new(radius, radius, 0.0);
            (low - side + Vec3::Z * (bottom - margin), high + side + Vec3::Z * (top + margin))
        };
        [bounds(fingers, 0.0, g.finger_length), bounds(palm, g.finger_length, g.length)]
    }

    /// Follows the path for `dt` seconds without physics; for a way on which there is nothing to meet.
    pub fn move_kinematic(&mut self, physics: &mut PhysicsMut<'_>, dt: f32) {
        if self.time == 0.0 {
            // Once a way, so that its rounding does not depend on how many pieces it is cut into.
            self.pad_offsets = [0, 1].map(|side| self.finger_state(&physics.view(), side).0);
        }
        self.time += dt;
        let arrived = self.time >= self.linear.duration.max(self.angular.duration);
        let tool_pose = if arrived { self.goal } else { self.reference(self.time) };
        self.yaw = tool_pose.yaw;
        let world_from_palm = tool_pose.pose();
        let bodies = &mut *physics.world.bodies;
        let mut place = |handle: RigidBodyHandle, pose: Pose| {
            if let Some(body) = bodies.get_mut(handle) {
                body.set_position(to_rapier(pose), true);
                body.set_vels(RigidBodyVelocity::zero(), true);
            }
        };
        place(self.palm, world_from_palm);
        for side in [0, 1] {
            let offset = Pose::from_translation(Vec3::X * (side_sign(side) * self.pad_offsets[side]));
            place(self.fingers[side], world_from_palm * offset);
        }
    }

    /// Sets the forces of the next tick of `dt` seconds.
    pub fn drive(&mut self, physics: &mut PhysicsMut<'_>, dt: f32) {
        self.drive_palm(physics, dt);
        self.drive_fingers(physics, dt);
    }

    fn drive_palm(&mut self, physics: &mut PhysicsMut<'_>, dt: f32) {
        let (now, next) = (self.reference(self.time), self.reference(self.time + dt));
        self.time += dt;
        // Held up by something: a robot that feels this stops. Going on would hammer what is in the way into the bin.
        if now.position.distance(physics.world.bodies[self.palm].translation()) > STOP_LAG {
            let here = self.tool_pose(&physics.view());
            self.move_to(here, here, Speed::Full);
            return self.drive_palm(physics, dt);
        }
        let bodies = &mut *physics.world.bodies;
        let total = self.description.palm_mass_kg + 2.0 * self.description.finger_mass_kg;
        let palm = &bodies[self.palm];
        let turn = 2.0 * palm.rotation().z.atan2(palm.rotation().w);
        self.yaw += wrap(turn - self.yaw);
        // Half of the error a tick: fast, and stable with the force held over the tick.
        let gain = 0.5 / dt;
        let want = (next.position - now.position) / dt + (now.position - palm.translation()) * gain;
        let speed = want.clamp_length_max(1.5 * self.limits.speed);
        let acceleration = ((speed - palm.linvel()) / dt).clamp_length_max(self.limits.max_force_n / total);
        let want = (next.yaw - now.yaw) / dt + (now.yaw - self.yaw) * gain;
        let rate = want.clamp(-1.5 * self.limits.angular_speed, 1.5 * self.limits.angular_speed);
        let torque =
            ((rate - palm.angvel().z) / dt * self.inertia).clamp(-self.limits.max_torque_nm, self.limits.max_torque_nm);
        for (handle, mass) in [
            (self.palm, self.description.palm_mass_kg),
            (self.fingers[0], self.description.finger_mass_kg),
            (self.fingers[1], self.description.finger_mass_kg),
        ] {
            if let Some(body) = bodies.get_mut(handle) {
                body.reset_forces(false);
                body.reset_torques(false);
                body.add_force(acceleration * mass, true);
                if handle == self.palm {
                    body.add_torque(Vec3::Z * torque, true);
                }
            }
        }
    }

    fn drive_fingers(&mut self, physics: &mut PhysicsMut<'_>, dt: f32) {
        let g = &self.description;
        let [(q0, v0), (q1, v1)] = [0, 1].map(|side| self.finger_state(&physics.view(), side));
        let (mean, rate) = (0.5 * (q0 + q1), 0.5 * (v0 + v1));
        // Beyond the stops, so that the motor keeps pressing at them and on what is held.
        let target = if self.closed { -0.02 } else { 0.5 * g.stroke + 0.002 };
        let speed = (20.0 * (target - mean)).clamp(-g.speed, g.speed);
        let joints = &mut *physics.world.impulse_joints;
        if let Some(jaw) = joints.get_mut(self.jaw, false) {
            jaw.data.set_motor(JointAxis::LinX, 0.0, 2.0 * speed, 0.0, SPEED_GAIN);
        }
        for joint in self.joints {
            if let Some(joint) = joints.get_mut(joint, false) {
                // Where the mean will be half-way through the tick.
                joint.data.set_motor(JointAxis::LinX, mean + 0.5 * dt * rate, rate, COUPLING.0, COUPLING.1);
            }
        }
        // Still: within a quarter of a millimetre of where it was when the count began.
        if (mean - self.still_at).abs() < 0.000_25 {
            self.still += 1;
        } else {
            (self.still, self.still_at) = (0, mean);
        }
    }
}
