//! What a user of the simulation relies on: friction holds, the same seed gives the same bits, rewards and ends are
//! as documented.

use super::GraspWorld;
use super::testing::{action, cuboid, five_prisms, go_to, open_bin};
use crate::contract::{Action, GripperCommand, Pose, Seed};
use glam::Vec3;

/// Grips a box of 0.1 kg that stands in the middle of the bin and lifts it; then shakes it for 10 s along x, y and z
/// in turn with accelerations of up to 1 g. Returns how far the object moved in the gripper.
fn slip_when_shaken(size: Vec3, friction: f32) -> f32 {
    let mut world = open_bin(&[cuboid(size, friction)], 1);
    let centre = world.cell().bins[0].position;
    world.physics.move_object(0, Pose::from_translation(centre + Vec3::Z * (0.5 * size.z)));
    go_to(&mut world, centre + Vec3::Z * 0.01, 0.0);
    world.step(&action(Vec3::ZERO, 0.0, GripperCommand::Close));
    go_to(&mut world, centre + Vec3::Z * 0.2, 0.0);
    let place = |world: &GraspWorld| world.gripper_pose().inverse() * world.physics.object_pose(0);
    let before = place(&world);
    let dt = world.config().dt();
    let period = 60;
    let omega = std::f32::consts::TAU / (period as f32 * dt);
    let amplitude = 9.81 / (omega * omega);
    let mut worst = 0.0_f32;
    for k in 0..10 * world.config().rate_hz {
        let axis = [Vec3::X, Vec3::Y, Vec3::Z][(k / period % 3) as usize];
        let offset = |k: u32| axis * (amplitude * (1.0 - (omega * k as f32 * dt).cos()));
        let start = centre + Vec3::Z * 0.2;
        world.shake_tick(start + offset(k % period), start + offset(k % period + 1));
        worst = worst.max(place(&world).translation.distance(before.translation));
    }
    worst
}

#[test]
fn friction_holds_a_shaken_object_and_its_lack_drops_it() {
    for size in [Vec3::new(0.04, 0.05, 0.06), Vec3::new(0.06, 0.03, 0.03), Vec3::new(0.02, 0.09, 0.09)] {
        let slip = slip_when_shaken(size, 0.8);
        assert!(slip < 0.002, "{size}: slipped by {slip} m at friction 0.8");
        let slip = slip_when_shaken(size, 0.05);
        assert!(slip > 0.02, "{size}: stayed ({slip} m) at friction 0.05");
    }
}

#[test]
fn a_grasp_is_rewarded_and_ends_the_episode() {
    let size = Vec3::new(0.04, 0.05, 0.06);
    let mut world = open_bin(&[cuboid(size, 1.0)], 1);
    let centre = world.cell().bins[0].position;
    world.physics.move_object(0, Pose::from_translation(centre + Vec3::Z * 0.03));
    go_to(&mut world, centre + Vec3::Z * 0.01, 0.0);
    let steps = world.tick();
    let step = world.step(&action(Vec3::ZERO, 0.0, GripperCommand::Close));
    assert_eq!((step.reward, step.done(), step.tick), (-0.05, false, steps + 1));
    let state = world.gripper_state();
    assert!(state.closed && (state.aperture_m - 0.04).abs() < 0.001, "{state:?}");
    // Both fingers press with the grip force.
    let [left, right, palm] = world.contact_forces();
    let force = world.cell().gripper.force_n;
    assert!((left - force).abs() < 0.25 * force && (right - force).abs() < 0.25 * force && palm == 0.0);
    let step = world.step(&Action { terminate: true, ..Action::default() });
    assert_eq!((step.reward, step.terminated, step.truncated), (1.0, true, false));
    assert_eq!(step.grasped, [0]);
    assert!(world.is_done() && world.object_poses()[0].translation.z > world.cell().bins[0].rim_z());
    // Nothing happens after the end.
    let poses = world.body_poses().to_vec();
    assert_eq!(world.step(&action(Vec3::X, 0.0, GripperCommand::Open)), step);
    assert_eq!(world.body_poses(), poses);
}

#[test]
fn an_empty_or_open_gripper_fails() {
    let mut world = open_bin(&[cuboid(Vec3::splat(0.04), 1.0)], 2);
    let step = world.step(&Action { terminate: true, ..Action::default() });
    assert_eq!((step.reward, step.terminated, step.success()), (0.0, true, false));
}

#[test]
fn the_last_step_is_judged() {
    let mut world = open_bin(&[cuboid(Vec3::splat(0.04), 1.0)], 3);
    for tick in 1..=20 {
        let step = world.step(&action(Vec3::new(0.0, 0.02, 0.0), 0.1, GripperCommand::Keep));
        assert_eq!((step.tick, step.done()), (tick, tick == 20));
        assert_eq!(step.reward, if tick == 20 { 0.0 } else { -0.05 });
    }
}

#[test]
fn actions_are_clamped_and_nonsense_is_ignored() {
    let mut world = open_bin(&[], 1);
    let before = world.gripper_pose().translation;
    world.step(&action(Vec3::new(f32::NAN, 0.0, 0.0), f32::INFINITY, GripperCommand::Keep));
    assert!(world.gripper_pose().translation.distance(before) < 1e-4);
    world.step(&action(Vec3::new(0.0, 1.0, 0.0), 9.0, GripperCommand::Keep));
    let moved = world.gripper_pose().translation - before;
    let limits = world.cell().motion;
    assert!((moved.y - limits.step_m.y).abs() < 5e-4, "{moved}");
    assert!((world.gripper_yaw() - limits.step_rad).abs() < 5e-3, "{}", world.gripper_yaw());
    // However often it is asked, the gripper stays over the bin and above its floor.
    for _ in 0..15 {
        world.step(&action(Vec3::new(-0.1, -0.1, -0.1), 0.0, GripperCommand::Keep));
    }
    let bin = &world.cell().bins[0];
    let place = world.gripper_pose().translation;
    assert!(bin.contains_xy(place, limits.wall_margin - 5e-3), "{place}");
    assert!(world.gripper_state().height_m > 0.002, "{place}");
}

/// Everything that a renderer or a learner could see of a world, as bits.
fn fingerprint(world: &GraspWorld) -> Vec<u32> {
    let poses = world.body_poses().iter().flat_map(|p| [p.translation.extend(0.0), glam::Vec4::from(p.rotation)]);
    poses.flat_map(|v| v.to_array()).map(f32::to_bits).collect()
}

#[test]
fn a_reset_forgets_the_past() {
    let objects = five_prisms(4);
    let mut used = open_bin(&five_prisms(9), 77);
    for _ in 0..3 {
        used.step(&action(Vec3::new(0.03, 0.0, -0.08), 0.3, GripperCommand::Close));
    }
    let mut fresh = open_bin(&objects, 5);
    used.reset(&objects, Seed(5));
    for k in 0..4 {
        assert_eq!(fingerprint(&used), fingerprint(&fresh), "step {k}");
        let action = action(Vec3::new(0.01, -0.02, -0.06), 0.2, GripperCommand::Keep);
        assert_eq!(used.step(&action), fresh.step(&action));
    }
    used.reset(&objects, Seed(6));
    assert_ne!(fingerprint(&used), fingerprint(&fresh));
}

#[test]
fn dropped_objects_lie_in_the_bin() {
    for seed in 0..8 {
        let world = open_bin(&five_prisms(seed), seed);
        let bin = &world.cell().bins[0];
        assert_eq!(world.object_poses().len(), 5);
        for (i, pose) in world.object_poses().iter().enumerate() {
            assert!(bin.contains_xy(pose.translation, 0.0), "{pose:?}");
            let lowest = world.physics.lowest_point(i) - bin.position.z;
            assert!(lowest > -0.001 && lowest < 0.08, "seed {seed}: object {i} lies {lowest} m above the floor");
        }
        assert!(world.physics.at_rest());
    }
}

#[test]
#[ignore]
fn eval_lab() {
    let objects = crate::objects::ObjectSet::builtin().split(crate::objects::Split::Test);
    let n: usize = std::env::var("N").map_or(200, |s| s.parse().unwrap());
    for policy in std::env::var("P")
        .unwrap_or("scripted,oracle".into())
        .split(',')
        .map(|p| p.parse::<super::policy::PolicyKind>().unwrap())
    {
        let t = std::time::Instant::now();
        let config = super::EvaluationConfig {
            policy,
            attempts: n,
            attempts_per_set: std::env::var("K").map_or(10, |k| k.parse().unwrap()),
            ..Default::default()
        };
        let r = super::evaluate_policy(&config, &objects, Seed(1));
        println!("{policy:?} {:?} {:.1} ms each x 2 threads", r, t.elapsed().as_secs_f32() * 1e3 / n as f32);
    }
}

#[test]
#[ignore]
fn soak_lab() {
    let objects = crate::objects::ObjectSet::builtin().split(crate::objects::Split::All);
    let n: u64 = std::env::var("N").map_or(20000, |s| s.parse().unwrap());
    let t = std::time::Instant::now();
    let r = super::soak(&crate::scene::CellDescription::iiwa_bin(), &super::SimConfig::default(), &objects, n, Seed(1));
    println!("{r:?} {:.1} s", t.elapsed().as_secs_f32());
}

#[test]
#[ignore]
fn diag_lab() {
    use super::policy::{Oracle, Policy};
    let objects = crate::objects::ObjectSet::builtin().split(crate::objects::Split::Test);
    let cell = std::sync::Arc::new(crate::scene::CellDescription::iiwa_bin());
    let mut show = 0;
    let mut noplan = 0;
    let mut tp = 0.0;
    let mut ts = 0.0;
    let mut tr = 0.0;
    let (mut n, mut ok) = (0, 0);
    let mut settle = 0u64;
    let mut ticks = 0u64;
    let mut steps = 0u64;
    for set in 0..30u64 {
        let seed = Seed(1).derive("set", set);
        let mut world = GraspWorld::new(cell.clone(), &super::SimConfig::default());
        let mut order: Vec<usize> = (0..100).collect();
        seed.rng().shuffle(&mut order);
        let objs: Vec<_> = order[..5].iter().map(|&i| objects[i].clone()).collect();
        let mut policy = Oracle::default();
        let mut rng = seed.rng();
        for k in 0..5u64 {
            let t = std::time::Instant::now();
            let before = world.physics.ticks;
            if k == 0 {
                world.reset(&objs, seed);
                settle += world.physics.ticks
            } else {
                let g = world.last_step().grasped.clone();
                world.next_attempt(&g, seed.derive("a", k));
                settle += world.physics.ticks - before;
            }
            tr += t.elapsed().as_secs_f64();
            policy.begin();
            let mut log = Vec::new();
            let t0 = world.physics.ticks;
            loop {
                let t = std::time::Instant::now();
                let a = policy.act(&world, &mut rng);
                tp += t.elapsed().as_secs_f64();
                if format!("{:?}", policy.plan()).contains("-inf") && format!("{:?}", policy.plan()).contains("Above") {
                    noplan += 1;
                }
                let t = std::time::Instant::now();
                let trace = std::env::var("TRACE").is_ok_and(|t| t == format!("{set}.{k}"));
                let s = if trace {
                    world.begin_step(&a);
                    println!("{a:?} {}", format!("{:?}", policy.plan()));
                    let mut r;
                    let mut c = 0;
                    loop {
                        r = world.advance(1);
                        c += 1;
                        if c % 6 == 0 {
                            let g = world.gripper_pose().inverse();
                            let i = policy.plan().map_or(0, |p| p.object);
                            let rel = g * world.physics.object_pose(i);
                            println!(
                                "  t {c} ap {:.4} f {:?} rel {:.4} rot {:.3} vel {:.3} z {:.4} low {:.3}",
                                world.gripper_state().aperture_m,
                                world.contact_forces(),
                                rel.translation,
                                rel.rotation,
                                world.physics.world.bodies[world.physics.objects[i].handle].linvel(),
                                world.gripper_pose().translation.z,
                                world.physics.lowest_point(i)
                            );
                        }
                        if r.is_some() {
                            break;
                        }
                    }
                    r.unwrap()
                } else {
                    world.step(&a)
                };
                ts += t.elapsed().as_secs_f64();
                log.push(format!(
                    "   {a:?} -> ap {:.4} z {:.3} plan {:?}",
                    world.gripper_state().aperture_m,
                    world.gripper_pose().translation.z,
                    format!("{:?}", policy.plan()).chars().take(90).collect::<String>()
                ));
                if s.done() {
                    n += 1;
                    ok += s.success() as u32;
                    steps += s.tick;
                    if !s.success() {
                        let rim = cell.bins[0].rim_z();
                        println!(
                            "FAIL set {set} k {k}; lowest {:?} offsets z {:?}",
                            (0..5).map(|i| world.physics.lowest_point(i) - rim).collect::<Vec<_>>(),
                            world.object_poses().iter().map(|p| p.translation.z).collect::<Vec<_>>()
                        );
                        for l in log.iter().take(if show < 6 { 14 } else { 0 }) {
                            println!("{}", &l[..l.len().min(260)]);
                        }
                        show += 1;
                    }
                    break;
                }
            }
            ticks += world.physics.ticks - t0;
        }
    }
    let n_ = n as f64;
    println!("noplan {noplan}");
    println!(
        "{ok}/{n} plan {:.2} ms step {:.2} ms reset {:.2} ms; settle ticks {} step ticks {} steps {}",
        tp / n_ * 1e3,
        ts / n_ * 1e3,
        tr / n_ * 1e3,
        settle / n,
        ticks / n,
        steps as f64 / n_
    );
}

#[test]
#[ignore]
fn perf_lab() {
    let objects = crate::objects::ObjectSet::builtin().split(crate::objects::Split::Test);
    let cell = std::sync::Arc::new(crate::scene::CellDescription::iiwa_bin());
    let mut world = GraspWorld::new(cell.clone(), &super::SimConfig::default());
    world.reset(&objects[..5], Seed(3));
    let tick = |w: &mut GraspWorld, n: u32, what: &str| {
        let t = std::time::Instant::now();
        let s0 = w.physics.ticks;
        for _ in 0..n {
            w.physics_tick();
        }
        println!("{what}: {:.2} us/tick ({})", t.elapsed().as_secs_f64() * 1e6 / n as f64, w.physics.ticks - s0);
    };
    tick(&mut world, 2000, "gripper idle, objects asleep");
    for a in [
        action(Vec3::new(0.05, 0.0, 0.0), 0.0, GripperCommand::Keep),
        action(Vec3::new(0.0, 0.0, -0.08), 0.0, GripperCommand::Keep),
        action(Vec3::ZERO, 0.8, GripperCommand::Keep),
        action(Vec3::ZERO, 0.0, GripperCommand::Close),
        action(Vec3::ZERO, 0.0, GripperCommand::Open),
        Action { terminate: true, ..Action::default() },
    ] {
        let s0 = world.physics.ticks;
        let t = std::time::Instant::now();
        world.step(&a);
        let n = world.physics.ticks - s0;
        println!("{a:?}: {n} ticks {:.2} us/tick", t.elapsed().as_secs_f64() * 1e6 / n as f64);
    }
    let t = std::time::Instant::now();
    let mut n = 0;
    for k in 0..50 {
        world.reset(&objects[k..k + 5], Seed(k as u64));
        n += world.physics.ticks;
    }
    println!(
        "reset {:.3} ms, {} ticks, {:.2} us/tick",
        t.elapsed().as_secs_f64() * 1e3 / 50.0,
        n / 50,
        t.elapsed().as_secs_f64() * 1e6 / n as f64
    );
    let mut world2 = open_bin(&[], 1);
    tick(&mut world2, 2000, "gripper only");
    world2.gripper.take().unwrap().remove(&mut world2.physics);
    tick(&mut world2, 2000, "nothing");
    for k in 0..300 {
        world.reset(&objects[k % 90..k % 90 + 5], Seed(k as u64));
        for _ in 0..6 {
            world.step(&action(Vec3::new(0.01, 0.02, -0.04), 0.2, GripperCommand::Keep));
        }
        world.step(&Action { terminate: true, ..Action::default() });
    }
}

#[test]
#[ignore]
fn creep_lab() {
    // Hold test objects in oracle grasps for 4 s at rest, and measure drift of the object in the gripper.
    use super::policy::{Oracle, Policy};
    let objects = crate::objects::ObjectSet::builtin().split(crate::objects::Split::Test);
    let cell = std::sync::Arc::new(crate::scene::CellDescription::iiwa_bin());
    let mut drifts = Vec::new();
    let mut lost = 0;
    let mut n = 0;
    let mut tick = 0.0;
    let mut ticks = 0u64;
    for set in 0..40u64 {
        let seed = Seed(2).derive("set", set);
        let mut world = GraspWorld::new(cell.clone(), &super::SimConfig::default());
        let mut order: Vec<usize> = (0..100).collect();
        seed.rng().shuffle(&mut order);
        let objs: Vec<_> = order[..5].iter().map(|&i| objects[i].clone()).collect();
        world.reset(&objs, seed);
        let mut policy = Oracle::default();
        let mut rng = seed.rng();
        policy.begin();
        loop {
            let a = policy.act(&world, &mut rng);
            if a.terminate {
                let i = policy.plan().map_or(0, |p| p.object);
                let rel = |w: &GraspWorld| w.gripper_pose().inverse() * w.physics.object_pose(i);
                let r0 = rel(&world);
                let t = std::time::Instant::now();
                let t0 = world.physics.ticks;
                for _ in 0..960 {
                    world.physics_tick();
                }
                tick += t.elapsed().as_secs_f64();
                ticks += world.physics.ticks - t0;
                let r1 = rel(&world);
                let d = r1.translation.distance(r0.translation);
                n += 1;
                if d > 0.03 {
                    lost += 1;
                } else {
                    drifts.push((d * 1e3, r1.rotation.angle_between(r0.rotation)));
                }
                break;
            }
            if world.step(&a).done() {
                break;
            }
        }
    }
    drifts.sort_by(|a, b| a.0.total_cmp(&b.0));
    let m = drifts.len();
    println!(
        "creep over 4 s: {n} grasps, lost {lost}, median {:?} 90% {:?} max {:?}; {:.2} us/tick",
        drifts[m / 2],
        drifts[m * 9 / 10],
        drifts[m - 1],
        tick * 1e6 / ticks as f64
    );
}
