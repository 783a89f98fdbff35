//! Episodes at a pace, as a window plays them, end as those that are carried out at once: one stepper for both.

use bevy::app::TaskPoolPlugin;
use bevy::prelude::App;
use bingrasp::contract::{Action, GripperCommand, Pose, Seed, Step, TaskKind};
use bingrasp::env::{Command, EpisodeDriver};
use bingrasp::objects::{ObjectSet, Split, draw_objects};
use bingrasp::scene::CellDescription;
use bingrasp::sim::{GraspCell, GraspWorldBundle, Pace, SimConfig, SimPlugin};
use bingrasp::tasks::{TaskEpisode, usual};
use std::sync::Arc;

/// Outcomes and last poses of an episode, `pace` ticks an update, and the updates that it took.
fn played(pace: Option<u32>) -> (Vec<Step>, Vec<Pose>, usize) {
    let cell = Arc::new(CellDescription::iiwa_bin());
    let mut app = App::new();
    app.add_plugins((TaskPoolPlugin::default(), SimPlugin::<EpisodeDriver>::default()));
    let driver = EpisodeDriver::new(TaskEpisode::new(usual(TaskKind::BinGrasp)(), &cell));
    let entity = app.world_mut().spawn((GraspWorldBundle::new(cell, &SimConfig::default()), driver)).id();
    if let Some(ticks) = pace {
        app.world_mut().entity_mut(entity).insert(Pace { ticks });
    }
    let command = |app: &mut App, command: Command| {
        app.world_mut().get_mut::<EpisodeDriver>(entity).expect("spawned").command(command);
        app.update();
    };
    let objects = draw_objects(&ObjectSet::builtin().split(Split::Train), 5, Seed(2));
    command(&mut app, Command::Reset { objects, placement: None, seed: Seed(2) });
    let down = Action { translation_m: [0.02, 0.01, -0.05], rotation_rad: 0.2, ..Action::default() };
    let close = Action { gripper: GripperCommand::Close, ..Action::default() };
    let mut steps = Vec::new();
    let mut updates = 0;
    for action in [down, down, close, Action { terminate: true, ..Action::default() }] {
        command(&mut app, Command::Act(action));
        updates += 1;
        let episode = |app: &App| app.world().get::<EpisodeDriver>(entity).expect("spawned").episode.is_busy();
        while episode(&app) {
            app.update();
            updates += 1;
        }
        steps.push(app.world().get::<EpisodeDriver>(entity).expect("spawned").episode.last_step().clone());
    }
    let poses = app.world().get::<GraspCell>(entity).expect("spawned").body_poses().to_vec();
    (steps, poses, updates)
}

#[test]
fn an_episode_at_a_pace_ends_as_one_carried_out_at_once() {
    let (steps, poses, updates) = played(None);
    assert_eq!((steps.len(), updates), (4, 4));
    assert!(steps[3].done() && !steps[2].done());
    for ticks in [1, 7] {
        let paced = played(Some(ticks));
        assert_eq!((&paced.0, &paced.1), (&steps, &poses), "{ticks}");
        assert!(paced.2 > 100 / ticks as usize, "{} updates", paced.2);
    }
}
