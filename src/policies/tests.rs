//! A policy in worlds of its own: attempts on the same objects, and environments as entities.

use super::PolicyKind;
use crate::contract::Seed;
use crate::sim::testing::{fingerprint, five_prisms, open_bin};
use crate::sim::{Driver, GraspWorld, LastStep, PendingAction, SimPlugin};

#[test]
fn another_attempt_returns_what_was_grasped() {
    let mut world = open_bin(&five_prisms(6), 6);
    let mut policy = PolicyKind::Oracle.create();
    let mut rng = Seed(0).rng();
    let step = loop {
        let step = world.step(&policy.act(&world, &mut rng));
        if step.done() {
            break step;
        }
    };
    assert!(step.success());
    let left: Vec<_> = (0..5).filter(|i| !step.grasped.contains(i)).map(|i| world.object_poses()[i]).collect();
    world.next_attempt(&step.grasped, Seed(7));
    assert!(!world.is_done() && world.step_index() == 0 && !world.gripper_state().closed);
    let check = world.check();
    assert!(check.out_of_bounds == 0 && check.deepest_m < 0.003, "{check:?}");
    let moved = (0..5)
        .filter(|i| !step.grasped.contains(i))
        .zip(&left)
        .filter(|(i, then)| world.object_poses()[*i].translation.distance(then.translation) > 0.03);
    assert!(moved.count() <= 1, "the others stay where they were, but for one that is hit");
}

#[test]
fn the_plugin_steps_environments_and_keeps_them_apart() {
    let mut app = bevy::prelude::App::new();
    app.add_plugins((bevy::app::TaskPoolPlugin::default(), SimPlugin));
    let spawn = |app: &mut bevy::prelude::App, seed: u64| {
        let mut driver = Driver::new(PolicyKind::Oracle.create(), Seed(seed).rng());
        driver.begin();
        let world = open_bin(&five_prisms(seed), seed);
        app.world_mut().spawn((world, PendingAction::default(), LastStep::default(), driver)).id()
    };
    let entities: Vec<_> = (0..3).map(|seed| spawn(&mut app, seed)).collect();
    for _ in 0..20 {
        app.update();
    }
    let ecs = app.world();
    let get = |entity| ecs.get::<GraspWorld>(entity).expect("the world");
    assert!(entities.iter().all(|&entity| get(entity).is_done()));
    assert!(entities.iter().any(|&entity| ecs.get::<LastStep>(entity).expect("a step").0.success()));
    // One is reset; the others stay as they were.
    let others: Vec<_> = entities[1..].iter().map(|&entity| fingerprint(get(entity))).collect();
    app.world_mut().get_mut::<GraspWorld>(entities[0]).expect("the world").reset(&five_prisms(9), Seed(9));
    app.update();
    let ecs = app.world();
    for (&entity, before) in entities[1..].iter().zip(&others) {
        assert_eq!(fingerprint(ecs.get::<GraspWorld>(entity).expect("the world")), *before);
    }
    assert_eq!(ecs.get::<GraspWorld>(entities[0]).expect("the world").step_index(), 1);
}
