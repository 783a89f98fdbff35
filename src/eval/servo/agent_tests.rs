//! The whole method in closed loop with a pinhole camera over a table, no simulator and no network.

use super::agent::{Approach, ApproachConfig, ReachPolicy, SegmentFn, Stage, trial_seed};
use super::hand_eye::HandEye;
use super::method::Method;
use crate::contract::{
    ActRequest, Action, Camera, Decision, GripperState, Intrinsics, Observation, Policy, Pose, Script, Seed,
    VecEnvError,
};
use crate::servo::Phase;
use glam::{Mat3, Quat, Vec2, Vec3};
use std::sync::{Arc, Mutex};

const SIZE: u32 = 64;

/// A box on the table, and the hand over it.
struct Table {
    hand: Vec3,
    yaw: f32,
    centre: Vec2,
    /// Of the box's longer axis in the world.
    angle: f32,
    /// Length, width, height.
    size: Vec3,
}

struct NoScript;

impl Script for NoScript {
    fn scripted(&mut self, indices: &[usize]) -> Vec<Action> {
        vec![Action::default(); indices.len()]
    }
}

/// A camera 45 mm beside the approach axis and 135 mm above the tips, the gripper's y up in its picture.
fn wrist() -> Camera {
    let rotation = Quat::from_mat3(&Mat3::from_cols(Vec3::X, -Vec3::Y, -Vec3::Z));
    let intrinsics = Intrinsics::from_vertical_fov(SIZE, SIZE, 42.3_f32.to_radians());
    Camera { intrinsics, world_from_camera: Pose::new(Vec3::new(0.0, -0.045, 0.135), rotation) }
}

impl Table {
    fn camera(&self) -> Camera {
        let mount = wrist();
        let hand = Pose::new(self.hand, Quat::from_rotation_z(self.yaw));
        Camera { world_from_camera: hand * mount.world_from_camera, ..mount }
    }

    /// The share of each pixel on the box's top, and depths: of the top or of the table.
    fn see(&self) -> (Vec<f32>, Vec<f32>) {
        let camera = self.camera();
        let turn = Vec2::from_angle(-self.angle);
        let on_top = |column: f32, row: f32| {
            let (origin, ray) = camera.ray(Vec2::new(column, row));
            let at = origin + ray * ((self.size.z - origin.z) / ray.z);
            let local = turn.rotate(at.truncate() - self.centre).abs();
            local.x <= 0.5 * self.size.x && local.y <= 0.5 * self.size.y
        };
        let pixels = (0..SIZE * SIZE).map(|index| {
            let (column, row) = ((index % SIZE) as f32, (index / SIZE) as f32);
            let inside = |sample: &u32| {
                on_top(column + (sample % 4) as f32 / 4.0 + 0.125, row + (sample / 4) as f32 / 4.0 + 0.125)
            };
            (0..16).filter(inside).count() as f32 / 16.0
        });
        let shares: Vec<f32> = pixels.collect();
        let height = camera.world_from_camera.translation.z;
        let depths = shares.iter().map(|&share| if share >= 0.5 { height - self.size.z } else { height }).collect();
        (shares, depths)
    }

    /// As the task carries an action out: relative to the hand.
    fn act(&mut self, action: &Action) {
        self.hand += Quat::from_rotation_z(self.yaw) * Vec3::from(action.translation_m);
        self.yaw += action.rotation_rad;
    }
}

/// Decides the same every time, and notes how often it was asked.
struct Constant(Action, usize);

impl Policy for Constant {
    fn act(
        &mut self,
        _: &Observation,
        requests: &[ActRequest],
        _: &mut dyn Script,
    ) -> Result<Vec<Decision>, VecEnvError> {
        self.1 += requests.len();
        Ok(vec![Decision::from(self.0); requests.len()])
    }
}

/// Plays a trial to its end; returns the steps taken and the actions from the way down on.
fn play(
    method: Method,
    config: ApproachConfig,
    table: &mut Table,
    agent: Option<&mut Constant>,
) -> anyhow::Result<(usize, Vec<Action>, Option<Phase>)> {
    let seen: Arc<Mutex<Vec<f32>>> = Arc::default();
    let shares = Arc::clone(&seen);
    let segment: SegmentFn<'_> = Box::new(move |inputs| {
        let shares = shares.lock().expect("no other thread");
        Ok(inputs.iter().map(|_| shares.clone()).collect())
    });
    let agent = agent.map(|agent| Box::new(agent) as ReachPolicy<'_>);
    let mut approach =
        Approach::new(method, config, HandEye::new(&wrist()), agent).with_segmentation(segment).with_traces();
    let mut last = Vec::new();
    for step in 0..2000 {
        let (shares, sensed_depth_m) = table.see();
        *seen.lock().expect("no other thread") = shares;
        let gripper = vec![GripperState { height_m: table.hand.z, ..GripperState::default() }];
        let images = vec![0; (3 * SIZE * SIZE) as usize];
        let observation = Observation { images, sensed_depth_m, gripper, step_indices: vec![step as u64] };
        let request = ActRequest { index: 0, episode: 0, seed: trial_seed(Seed(1), 0, 0), step };
        let before = approach.stage(0);
        let decision = approach.act(&observation, &[request], &mut NoScript)?[0];
        let ending = matches!(before, Some(Stage::Descend | Stage::Close));
        if ending {
            last.push(decision.action);
        }
        if decision.action.terminate {
            assert_looked_on(&approach, method);
            return Ok((step, last, approach.record(0).and_then(|record| record.phase)));
        }
        table.act(&decision.action);
    }
    anyhow::bail!("the trial does not end")
}

/// What those see who look on at the end: the servo's last image, with the error that it ended with.
fn assert_looked_on(approach: &Approach<'_>, method: Method) {
    let view = approach.view(0).expect("a trial");
    assert_eq!((view.stage, view.tick.is_some()), (Stage::Closed, method.has_servo()));
    assert_eq!(view.trace.len(), view.tick.map_or(0, |tick| tick.tick as usize));
    if let (Some(tick), Some(last)) = (view.tick, view.trace.last()) {
        let seen = tick.observed.as_ref().expect("the object is in the image");
        assert_eq!(last.error, Some([seen.error.tx, seen.error.ty, seen.theta]));
        let (x, y) = view.camera.pixel(seen.features.point);
        let (wanted_x, wanted_y) = view.camera.pixel(view.target.point);
        assert!((x - wanted_x).hypot(y - wanted_y) < 1.0, "{x} {y}, not {wanted_x} {wanted_y}");
    }
}

fn table() -> Table {
    Table {
        hand: Vec3::new(0.42, 0.03, 0.53),
        yaw: 0.3,
        centre: Vec2::new(0.45, 0.02),
        angle: 1.1,
        size: Vec3::new(0.09, 0.045, 0.05),
    }
}

/// How far the hand is from the box's middle, and its closing direction from across the box's longer axis.
fn errors(table: &Table) -> (f32, f32) {
    let half = std::f32::consts::FRAC_PI_2;
    let turn = (table.yaw - table.angle - half + half).rem_euclid(std::f32::consts::PI) - half;
    (table.hand.truncate().distance(table.centre), turn.abs())
}

#[test]
fn servoing_alone_ends_over_the_object_across_it_and_goes_down_by_depth() -> anyhow::Result<()> {
    for latency_ticks in [0, 1] {
        let config = ApproachConfig { target_follows_distance: true, latency_ticks, ..ApproachConfig::default() };
        let mut table = table();
        let (steps, last, phase) = play(Method::Vs, config, &mut table, None)?;
        assert_eq!(phase, Some(Phase::Converged));
        let (distance, turn) = errors(&table);
        assert!(distance < 0.003 && turn < 0.05, "{distance} m, {turn} rad after {steps} steps");
        // 4 cm below the top of a box of 5 cm: from 0.53 m in two steps, then the jaws.
        assert!((table.hand.z - 0.01).abs() < 0.002, "{}", table.hand.z);
        assert_eq!(last.len(), 3);
        assert!((last[0].translation_m[2] + 0.3).abs() < 1e-6 && last[2].terminate);
    }
    Ok(())
}

#[test]
fn a_fixed_target_is_off_by_offset_times_descent_over_distance() -> anyhow::Result<()> {
    let config = ApproachConfig { target_distance_m: 0.33, ..ApproachConfig::default() };
    let mut table = table();
    play(Method::Vs, config, &mut table, None)?;
    // The camera's distance from the top is 0.665 - 0.05 m: 45 mm x (0.615 / 0.33 - 1), the paper's error of 4 cm.
    let expected = 0.045 * (0.615 / 0.33 - 1.0);
    let (distance, _) = errors(&table);
    assert!((distance - expected).abs() < 0.003, "{distance} m, expected {expected}");
    Ok(())
}

#[test]
fn the_agent_decides_three_times_and_its_height_counts_without_servoing() -> anyhow::Result<()> {
    let action = Action { translation_m: [0.01, 0.0, 0.05], rotation_rad: 0.1, ..Action::default() };
    let config = ApproachConfig::default();
    let mut agent = Constant(action, 0);
    let mut bench = table();
    let (steps, last, phase) = play(Method::Drl, config, &mut bench, Some(&mut agent))?;
    assert_eq!((steps, agent.1, phase), (4, 3, None));
    // The third decision's 5 cm up from the usual way down of 20 cm.
    assert!((last[0].translation_m[2] + 0.15).abs() < 1e-6 && last[1].terminate, "{last:?}");
    // With servoing the heights of the decisions are the task's, and the way down follows the measured depth.
    let mut agent = Constant(Action { translation_m: [0.0; 3], ..action }, 0);
    let mut bench = Table { hand: Vec3::new(0.42, 0.03, 0.23), ..table() };
    let (_, _, phase) = play(Method::DrlVs, config, &mut bench, Some(&mut agent))?;
    assert_eq!((agent.1, phase), (3, Some(Phase::Converged)));
    let (distance, turn) = errors(&bench);
    assert!(distance < 0.003 && turn < 0.05 && (bench.hand.z - 0.01).abs() < 0.002, "{distance} {turn} {}", bench.hand);
    Ok(())
}

#[test]
fn a_method_without_its_parts_says_so() {
    let missing = play(Method::Drl, ApproachConfig::default(), &mut table(), None);
    assert!(missing.is_err_and(|error| error.to_string().contains("pose agent")));
}
