//! A task of one's own, the leak rule, masks beside pictures, and what a seed means.

use super::{BlockSchedule, Channels, EnvConfig, EnvError, EpisodeLoop, GraspEnv, PolicyView, collect};
use crate::contract::privileged::{MAP, MapFrame};
use crate::contract::{
    ActRequest, Action, ActionSpace, Decision, Domain, Observation, Policy, PrivilegedAccess, Script, ScriptPolicy,
    Seed, VecEnv, VecEnvError,
};
use crate::env::SetSchedule;
use crate::objects::{ObjectSet, Split, draw_objects};
use crate::policies::PolicyKind;
use crate::scene::CellDescription;
use crate::sim::{GraspWorld, Motion, Speed, ToolPose};
use crate::tasks::{Judgement, Next, Task, TaskFactory};
use glam::Vec3;
use std::sync::Arc;

fn config(num_envs: usize, domain: Domain) -> EnvConfig {
    let cell = CellDescription::iiwa_bin().into();
    EnvConfig::new(&cell, ObjectSet::builtin().split(Split::Train), domain, (num_envs, 32), Seed(4)).blind()
}

/// A task with nothing but this impl: lower the gripper to 10 cm within four steps. Its reward is minus the distance.
#[derive(Default)]
struct Descend {
    last: bool,
}

impl Task for Descend {
    fn action_space(&self, _: &CellDescription) -> ActionSpace {
        ActionSpace { step_m: [0.0, 0.0, 0.04], step_rad: 0.0 }
    }

    fn max_steps(&self) -> u64 {
        4
    }

    fn begin(&mut self, _: &GraspWorld) {}

    fn act(&mut self, world: &GraspWorld, action: &Action, step_index: u64) -> Motion {
        self.last = step_index >= self.max_steps();
        let here = world.tool_pose();
        let position = here.position + glam::Vec3::from(action.translation_m);
        let goal = world.reachable(ToolPose { position, yaw: here.yaw });
        Motion::Move { goal, close: None, speed: Speed::Full, max_s: 0.5 }
    }

    fn after_motion(&mut self, world: &GraspWorld) -> Next {
        let reward = -(world.gripper_state().height_m - 0.1).abs();
        if reward > -0.01 || self.last {
            let judgement = Judgement { reward, terminated: reward > -0.01, ..Judgement::default() };
            return Next::End(judgement);
        }
        Next::Step { reward }
    }
}

/// Always down, by more than the task allows.
struct Down;

impl Policy for Down {
    fn act(
        &mut self,
        _: &Observation,
        requests: &[ActRequest],
        _: &mut dyn Script,
    ) -> Result<Vec<Decision>, VecEnvError> {
        let down = Action { translation_m: [1.0, 0.0, -1.0], ..Action::default() };
        Ok(vec![down.into(); requests.len()])
    }
}

#[test]
fn a_task_of_ones_own_needs_no_line_elsewhere() {
    let config = EnvConfig { task: Arc::new(|| Box::<Descend>::default()), ..config(2, Domain::Canonical) };
    let mut env = GraspEnv::new(config).expect("built");
    let mut episodes = Vec::new();
    collect(&mut env, &mut Down, SetSchedule::new(Seed(1), 4, 2), &mut |episode| episodes.push(episode))
        .expect("played");
    assert_eq!(episodes.len(), 4);
    for episode in &episodes {
        // From 18 cm in steps of 4 cm: 14 and 10 cm.
        assert_eq!(episode.steps.len(), 2);
        assert!(episode.steps[1].terminated && !episode.steps[1].truncated);
        assert_eq!(episode.steps[0].action.translation_m, [0.0, 0.0, -0.04]);
        assert!((episode.steps[0].reward + 0.04).abs() < 2e-3, "{:?}", episode.steps);
        let seen = episode.observations[1].gripper;
        assert!(
            (seen.achieved.translation_m[2] + 0.04).abs() < 1e-3 && (seen.height_m - 0.14).abs() < 2e-3,
            "{seen:?}"
        );
    }
}

#[test]
fn privileged_state_is_handed_out_to_those_who_may_see_it_alone() {
    let asks = |domain, channels, access| {
        let config = EnvConfig { channels, access, ..config(1, domain) };
        GraspEnv::with_gpu(config, None).map(|mut env| env.observe().expect("observed").privileged.is_some())
    };
    let state = Channels::NONE.with_state();
    assert!(matches!(asks(Domain::Canonical, Channels::NONE, PrivilegedAccess::Simulation), Ok(false)));
    assert!(matches!(asks(Domain::Canonical, state, PrivilegedAccess::Denied), Err(EnvError::Denied)));
    assert!(matches!(asks(Domain::Canonical, state, PrivilegedAccess::Simulation), Ok(true)));
    for domain in Domain::ALL.into_iter().filter(|domain| domain.stands_for_reality()) {
        assert!(matches!(asks(domain, state, PrivilegedAccess::Simulation), Err(EnvError::LeakRule(_))));
        assert!(matches!(asks(domain, Channels::FRAMES, PrivilegedAccess::Simulation), Err(EnvError::LeakRule(_))));
        let masks = Channels::NONE.with_masks(true);
        assert!(matches!(asks(domain, masks, PrivilegedAccess::Simulation), Err(EnvError::LeakRule(_))));
        assert!(matches!(asks(domain, masks, PrivilegedAccess::Denied), Err(EnvError::Denied)));
        assert!(matches!(asks(domain, state, PrivilegedAccess::GroundTruth), Ok(true)));
        assert!(matches!(asks(domain, Channels::NONE, PrivilegedAccess::Denied), Ok(false)));
    }
}

#[test]
fn masks_lie_beside_the_policys_pictures_and_are_those_of_frames() {
    let played = |channels: Channels| {
        let (task, access): (TaskFactory, _) = (Arc::new(|| Box::<Descend>::default()), PrivilegedAccess::Simulation);
        let mut env =
            GraspEnv::new(EnvConfig { task, channels, access, ..config(1, Domain::Canonical) }).expect("built");
        let mut episodes = Vec::new();
        collect(&mut env, &mut Down, SetSchedule::new(Seed(1), 1, 1), &mut |episode| episodes.push(episode))
            .expect("played");
        episodes.remove(0)
    };
    let (plain, masked) = (played(Channels::IMAGE), played(Channels::IMAGE.with_masks(true)));
    assert!(plain.masks.is_empty());
    assert_eq!(plain.observations, masked.observations);
    // One before each action.
    assert_eq!(masked.masks.len(), masked.steps.len());
    let framed = played(Channels { frames: true, ..Channels::IMAGE });
    assert_eq!(framed.masks, masked.masks);
    for mask in &masked.masks {
        let classes: std::collections::BTreeSet<u8> = mask.iter().copied().collect();
        assert!(mask.len() == 32 * 32 && classes.len() >= 3, "{classes:?}");
    }
}

/// As [`Down`]; keeps what it was shown.
#[derive(Default)]
struct DownLooking(Vec<Vec<u8>>);

impl Policy for DownLooking {
    fn act(
        &mut self,
        seen: &Observation,
        requests: &[ActRequest],
        script: &mut dyn Script,
    ) -> Result<Vec<Decision>, VecEnvError> {
        self.0.push(seen.images.clone());
        Down.act(seen, requests, script)
    }
}

#[test]
fn a_policy_sees_one_domain_while_its_episodes_keep_another() {
    let played = |source: Domain, view: Option<Domain>| {
        let task: TaskFactory = Arc::new(|| Box::<Descend>::default());
        let plain = EnvConfig { task, channels: Channels::IMAGE, ..config(2, source) };
        let camera = plain.cameras[0].clone();
        let policy_view = view.map(|domain| PolicyView { domain, camera, crop: plain.crop });
        let mut env = GraspEnv::new(EnvConfig { policy_view, ..plain }).expect("built");
        let (mut policy, mut episodes) = (DownLooking::default(), Vec::new());
        collect(&mut env, &mut policy, SetSchedule::new(Seed(1), 2, 1), &mut |episode| episodes.push(episode))
            .expect("played");
        (policy.0, episodes)
    };
    let (canonical, _) = played(Domain::Canonical, None);
    let (_, heavy) = played(Domain::RandomizedHeavy, None);
    let (seen, kept) = played(Domain::RandomizedHeavy, Some(Domain::Canonical));
    assert!(seen == canonical, "the policy does not see its own domain");
    assert!(kept == heavy, "the episodes do not keep theirs");
    assert!(seen[0] != kept[0].observations[0].image);
}

#[test]
fn a_seed_means_the_same_objects_everywhere() {
    let config = config(3, Domain::Canonical);
    let (pool, count) = (config.objects.clone(), config.cell.objects.per_episode);
    let mut env = GraspEnv::new(config).expect("built");
    let names = |objects: &[Arc<crate::objects::ObjectModel>]| -> Vec<String> {
        objects.iter().map(|object| object.name.clone()).collect()
    };
    let check = |env: &GraspEnv, seeds: Vec<Option<Seed>>| {
        for (index, seed) in seeds.into_iter().enumerate() {
            let seed = seed.expect("an episode");
            assert_eq!(names(env.world(index).objects()), names(&draw_objects(&pool, count, seed)));
        }
    };
    let mut blocks = EpisodeLoop::new(BlockSchedule { block: Seed(8) }, 3);
    let moment = blocks.step(&mut env, &mut ScriptPolicy, false).expect("played").expect("a moment");
    let seeds = moment.transitions.iter().map(|transition| transition.seed).collect();
    check(&env, seeds);
    let mut sets = EpisodeLoop::new(SetSchedule::new(Seed(9), 30, 10), 3);
    let moment = sets.step(&mut env, &mut ScriptPolicy, false).expect("played").expect("a moment");
    let seeds = moment.transitions.iter().map(|transition| transition.seed).collect();
    check(&env, seeds);
}

#[test]
fn scripts_of_different_environments_do_not_meet() {
    let played = |num_envs: usize| {
        let config = EnvConfig { scripts: vec![PolicyKind::NoisyPlanner], ..config(num_envs, Domain::Canonical) };
        let mut env = GraspEnv::new(config).expect("built");
        let mut episodes = EpisodeLoop::new(BlockSchedule { block: Seed(2) }, env.num_envs());
        let mut actions = Vec::new();
        for _ in 0..6 {
            let moment = episodes.step(&mut env, &mut ScriptPolicy, false).expect("played").expect("a moment");
            actions.push(moment.transitions[0].decision.map(|decision| decision.action));
        }
        actions
    };
    assert_eq!(played(1), played(3));
}

#[test]
fn the_privileged_map_stands_still_while_the_bins_move() {
    let cell = Arc::new(CellDescription::load("mobile-three-bins").expect("built in"));
    let map = MapFrame { centre: Vec3::new(0.55, 0.0, 0.012), cell_m: 0.04 };
    let channels = Channels::NONE.with_state();
    let objects = config(1, Domain::Canonical).objects;
    let config = EnvConfig {
        channels,
        access: PrivilegedAccess::Simulation,
        map,
        ..EnvConfig::new(&cell, objects, Domain::Canonical, (8, 64), Seed(3))
    };
    let mut env = GraspEnv::with_gpu(config, None).expect("built");
    let states = env.reset_all().expect("placed").privileged.expect("asked for").states;
    let (mut seen, mut aside) = (0, 0);
    for (index, state) in states.iter().enumerate() {
        let world = env.world(index);
        aside += usize::from(world.workspace_centre().truncate().distance(map.centre.truncate()) > 0.05);
        let (place, _) = state.hand(map.cell_m);
        let true_place = (world.gripper_pose().translation - map.centre).truncate();
        assert!(place.distance(true_place) < 0.01, "{place} {true_place}");
        let heights: Vec<f32> = state.heights_m().collect();
        for object in 0..world.objects().len() {
            let at = (world.object_pose(object).translation - map.centre).truncate() / map.cell_m;
            let cell = at + 0.5 * (MAP as f32 - 1.0);
            let [column, row] = [cell.x.round() as usize, cell.y.round() as usize];
            // A cell's centre may lie beside a small object; one of its neighbours' does not.
            let near = (row.saturating_sub(1)..=row + 1)
                .flat_map(|row| (column.saturating_sub(1)..=column + 1).map(move |column| (row, column)))
                .filter(|&(row, column)| row < MAP && column < MAP)
                .any(|(row, column)| heights[row * MAP + column] > 0.004);
            seen += usize::from(near);
        }
    }
    let objects: usize = (0..8).map(|index| env.world(index).objects().len()).sum();
    assert!(aside >= 4, "the bins hardly moved: {aside} of 8");
    assert!(seen * 10 >= objects * 9, "{seen} of {objects} objects are on the map");
}
