use super::super::setup::PolicyChoice;
use super::*;
use crate::objects::{ObjectSet, Split};

fn stage(policy: PolicyChoice, seed: u64) -> Stage {
    let setup = Setup { policy, seed, ..Setup::default() };
    stage_of(&setup)
}

fn stage_of(setup: &Setup) -> Stage {
    let pool = Arc::new(ObjectSet::builtin().split(Split::Train));
    Stage::new(setup, StageParts { cell: Arc::new(CellDescription::iiwa_bin()), pool, learned_task: None })
}

#[test]
fn a_log_replays_to_the_same_bits() {
    let mut first = stage(PolicyChoice::Scripted, 4);
    for tick in 0..700 {
        match tick {
            100 => assert!(first.drop_another()),
            200..260 => first.pull(1, Vec3::ZERO, Vec3::new(0.5, 0.0, 0.1 + 0.001 * tick as f32)),
            260 => first.let_go(),
            _ => {}
        }
        first.tick();
    }
    let text = serde_json::to_string(first.log()).unwrap();
    let log: Vec<Event> = serde_json::from_str(&text).unwrap();
    let mut second = stage(PolicyChoice::Scripted, 4);
    second.replay(&log).unwrap();
    assert_eq!(first.world().body_poses(), second.world().body_poses());
    assert_eq!(first.is_busy(), second.is_busy());
    assert_eq!(first.log(), second.log());
}

#[test]
fn time_stands_still_when_nothing_moves() {
    let mut stage = stage(PolicyChoice::Keyboard, 1);
    for _ in 0..400 {
        stage.tick();
    }
    assert!(!stage.tick().moved);
    let before = stage.world().gripper_pose().translation;
    stage.teleop = Teleop { direction: Vec3::X, turn: 0.0 };
    let ended = (0..200).find_map(|_| stage.tick().step).expect("the step ends");
    assert_eq!(ended.step_index, 1);
    let moved = stage.world().gripper_pose().translation - before;
    assert!((moved.x - KEY_STEP_M).abs() < 0.004 && moved.z.abs() < 0.004, "{moved}");
}

#[test]
fn the_keyboard_closes_and_terminates() {
    let mut stage = stage(PolicyChoice::Keyboard, 1);
    stage.toggle_gripper();
    while stage.tick().step.is_none() {}
    assert!(stage.world().gripper_state().closed);
    stage.terminate();
    let judged = (0..4000).find_map(|_| stage.tick().step.filter(Step::done)).expect("it is judged");
    assert!(judged.grasped.is_empty() && stage.episode().is_done());
    stage.next_attempt();
    assert!(stage.episode().is_ready() && !stage.world().gripper_state().closed);
}

#[test]
fn the_divider_goes_where_it_is_put() {
    let divider = |offset| {
        let stage = stage_of(&Setup { divider_m: offset, ..Setup::default() });
        stage.world().divider_offsets()[0]
    };
    assert_eq!(divider(Some(0.03)), 0.03);
    assert_eq!(divider(Some(9.0)), 0.08);
    assert!(divider(None).abs() <= 0.08);
}
