//! Two cells in a Bevy app of one's own: their grippers reach down and close, and a system of ours reads the bodies out of
//! the Rapier worlds by query. `cargo run --release --example bevy_app`; no window, no graphics adapter.

use bevy::app::{App, TaskPoolPlugin, Update};
use bevy::prelude::{Component, Entity, IntoScheduleConfigs, Query, ResMut, Resource};
use bevy_rapier3d::prelude::RapierRigidBodySet;
use bingrasp::contract::Seed;
use bingrasp::env::BingraspPlugins;
use bingrasp::objects::{ObjectSet, Split};
use bingrasp::scene::CellDescription;
use bingrasp::sim::{
    CellBodies, GraspCell, GraspWorld, GraspWorldBundle, GraspWorldParts, Motion, MotionState, Motions, Pace,
    SimConfig, SimSystems, Speed,
};
use glam::Vec3;
use std::sync::Arc;

/// What a gripper does next.
#[derive(Component, Clone, Copy, Debug, PartialEq)]
enum Plan {
    Down,
    Close,
    Done,
}

/// The fastest that any object moved, metres a second.
#[derive(Resource, Default)]
struct TopSpeed(f32);

/// Begins the next motion of each cell whose last one is over.
fn act(mut cells: Query<(GraspWorldParts, &mut Motions, &mut Plan)>) {
    for (parts, mut motions, mut plan) in &mut cells {
        if motions.state() == MotionState::Moving {
            continue;
        }
        let world = GraspWorld::new(parts);
        let mut goal = world.tool_pose();
        let close = match *plan {
            Plan::Down => {
                goal.position.z = world.workspace_centre().z + 0.02;
                *plan = Plan::Close;
                None
            }
            Plan::Close => {
                *plan = Plan::Done;
                Some(true)
            }
            Plan::Done => continue,
        };
        motions.begin(Motion::Move { goal: world.reachable(goal), close, speed: Speed::Full, max_s: 1.0 });
    }
}

/// Reads the objects' bodies as Rapier has them.
fn watch(cells: Query<(&CellBodies, &RapierRigidBodySet)>, mut top: ResMut<TopSpeed>) {
    for (handles, set) in &cells {
        let speeds = handles.objects().filter_map(|handle| set.bodies.get(handle)).map(|body| body.linvel().length());
        top.0 = speeds.fold(top.0, f32::max);
    }
}

fn main() {
    let mut app = App::new();
    app.add_plugins((TaskPoolPlugin::default(), BingraspPlugins)).init_resource::<TopSpeed>();
    app.add_systems(Update, (act.in_set(SimSystems::Act), watch.in_set(SimSystems::Publish)));

    let cell = Arc::new(CellDescription::iiwa_bin());
    let objects = ObjectSet::builtin().split(Split::Train);
    let entities = [1, 2].map(|seed| {
        let mut world = GraspWorldBundle::new(Arc::clone(&cell), &SimConfig::default());
        world.edit().reset(&objects[..5], Seed(seed));
        // Eight ticks of physics an update, thirty updates a second.
        app.world_mut().spawn((world, Motions::default(), Plan::Down, Pace { ticks: 8 })).id()
    });
    let heights = |app: &App| entities.map(|entity| palm_height(app, entity));
    let before = heights(&app);
    let mut updates = 0;
    let is_done = |app: &App, entity: Entity| {
        let over = app.world().get::<Motions>(entity).is_some_and(|motions| motions.state() == MotionState::Arrived);
        over && app.world().get::<Plan>(entity) == Some(&Plan::Done)
    };
    while updates < 300 && !entities.iter().all(|&entity| is_done(&app, entity)) {
        app.update();
        updates += 1;
    }
    let after = heights(&app);
    for (cell, (before, after)) in before.into_iter().zip(after).enumerate() {
        println!("cell {cell}: the gripper went from {before:.3} m to {after:.3} m in {updates} updates");
        assert!(after < before - 0.05, "the gripper did not go down");
    }
    for &entity in &entities {
        let world = app.world().get::<GraspCell>(entity).expect("the cell");
        let places: Vec<Vec3> = world.object_poses().iter().map(|pose| pose.translation).collect();
        println!("objects at {places:.3?}");
        assert!(places.len() == 5 && places.iter().all(|place| place.is_finite()));
    }
    let TopSpeed(top) = *app.world().resource::<TopSpeed>();
    println!("the fastest object moved at {top:.3} m/s");
    assert!(top > 0.0 && top < 3.0, "no object was pushed, or one was thrown");
}

fn palm_height(app: &App, entity: Entity) -> f32 {
    let parts = app.world().entity(entity).get_components::<GraspWorldParts>().expect("a cell");
    GraspWorld::new(parts).gripper_pose().translation.z
}
