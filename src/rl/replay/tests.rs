use super::*;
use crate::contract::Seed;
use crate::files::atomic::sha256_hex;
use crate::rl::qtopt::network::state_of;

fn episode(number: u64, length: usize) -> Vec<Transition> {
    (0..length)
        .map(|step| Transition {
            image: vec![(number % 251) as u8, step as u8, 7],
            mask: vec![(number % 5) as u8, step as u8],
            record: Record {
                state: state_of(number as f32, step as f32),
                action: [0.5; 8],
                reward: if step + 1 == length { 1.0 } else { -0.05 },
                termination: if step + 1 == length { Termination::Terminated } else { Termination::None },
                exploratory: 0.0,
                privileged: PrivilegedState::UNKNOWN,
            },
        })
        .collect()
}

fn filled(episodes: u64) -> Replay {
    let mut replay = Replay::new("test", 3, 10, 40);
    (0..episodes).for_each(|number| replay.push(&episode(number, 1 + (number % 7) as usize)));
    replay
}

#[test]
fn memory_is_bounded_and_the_newest_stay() {
    let replay = filled(100);
    // 100 episodes of 1 to 7 steps, 395 transitions: 39 full segments and 5 transitions; 4 segments are kept.
    assert_eq!((replay.end(), replay.first(), replay.len()), (395, 360, 35));
    assert!(replay.bytes() <= 4 * 10 * (3 + size_of::<Record>()));
    assert!(replay.get(359).is_none() && replay.get(395).is_none());
    let (image, record) = replay.get(394).unwrap();
    assert_eq!((image, record.termination), (&[99_u8, 1, 7][..], Termination::Terminated));
    assert_eq!(record.state, state_of(99.0, 1.0));
    assert_eq!(replay.episodes(), 100);
}

#[test]
fn draws_are_uniform_and_terminal_as_often_as_asked() {
    let replay = filled(100);
    let mut rng = Seed(5).rng();
    let mut counts = std::collections::BTreeMap::new();
    for _ in 0..35_000 {
        *counts.entry(replay.draw((0.0, 0.0), &mut rng).unwrap()).or_insert(0) += 1;
    }
    assert_eq!(counts.len(), 35);
    assert!(counts.values().all(|&count| (850..1150).contains(&count)), "{counts:?}");
    let ends = (0..1000).filter(|_| {
        let number = replay.draw((1.0, 0.0), &mut rng).unwrap();
        replay.get(number).unwrap().1.termination == Termination::Terminated
    });
    assert_eq!(ends.count(), 1000);
    assert!(Replay::new("empty", 3, 10, 40).draw((0.5, 0.0), &mut rng).is_none());
}

#[test]
fn a_step_that_teaches_nothing_is_never_drawn_but_follows_the_one_before() {
    let cases = [(TimeLimit::Bootstrap, Termination::TimeLimit), (TimeLimit::Terminal, Termination::Interrupted)];
    for (time_limit, termination) in cases {
        let mut replay = Replay::new("test", 3, 10, 40).with_time_limit(time_limit);
        let mut last = episode(1, 2);
        last[1].record.termination = termination;
        replay.push(&last);
        let mut rng = Seed(5).rng();
        assert!((0..100).all(|_| replay.draw((0.5, 0.0), &mut rng) == Some(0)));
        assert_eq!(replay.get(1).unwrap().0, [1, 1, 7]);
        let mut nothing = Replay::new("test", 3, 10, 40).with_time_limit(time_limit);
        nothing.push(&last[1..]);
        assert!(nothing.draw((0.5, 0.0), &mut rng).is_none());
        // Whether what came of it counts is not for the sum of its rewards to say; of one that broke off none is known.
        let sum = (termination == Termination::TimeLimit).then_some(-0.05 + 0.9);
        assert_eq!(replay.discounted_return(0, 0.9), sum);
    }
}

#[test]
fn a_time_limit_is_a_grasp_that_failed_and_is_drawn() {
    let mut replay = Replay::new("test", 3, 10, 40);
    let mut last = episode(1, 3);
    last[2].record = Record { reward: 0.0, termination: Termination::TimeLimit, ..last[2].record };
    replay.push(&last);
    let mut rng = Seed(5).rng();
    let draws: Vec<_> = (0..200).filter_map(|_| replay.draw((0.5, 0.0), &mut rng)).collect();
    assert!((0..3).all(|number| draws.contains(&number)) && draws.len() == 200);
    let transition = |n_step_return, discount| Some(NStepTransition { n_step_return, discount, next: None });
    assert_eq!(replay.n_step(2, 3, 0.5), transition(0.0, 0.5));
    assert_eq!(replay.n_step(1, 3, 0.5), transition(-0.05, 0.25));
    // The step before it has its state's value where only one step is looked ahead.
    assert_eq!(replay.n_step(1, 1, 0.5).unwrap().next.unwrap().1, state_of(1.0, 2.0));
    // A grasp that held at the last moment counts.
    last[2].record.reward = 1.0;
    let mut held = Replay::new("test", 3, 10, 40);
    held.push(&last);
    assert_eq!(held.n_step(2, 1, 0.5), transition(1.0, 0.5));
}

#[test]
fn traces_as_by_hand() {
    let mut replay = Replay::new("test", 3, 10, 40).with_time_limit(TimeLimit::Bootstrap);
    let mut steps = episode(1, 5);
    steps[3].record.exploratory = 1.0;
    replay.push(&steps);
    let mut short = episode(2, 3);
    short[2].record.termination = Termination::TimeLimit;
    replay.push(&short);
    let near = |transition: Option<NStepTransition<'_>>, n_step_return: f32, discount: f32, next: Option<[f32; 2]>| {
        let transition = transition.unwrap();
        assert!(
            (transition.n_step_return - n_step_return).abs() < 1e-6 && (transition.discount - discount).abs() < 1e-6,
            "{transition:?}"
        );
        assert_eq!(transition.next.map(|(_, state)| state), next.map(|[episode, step]| state_of(episode, step)));
    };
    near(replay.n_step(0, 1, 0.9), -0.05, 0.9, Some([1.0, 1.0]));
    near(replay.n_step(0, 2, 0.9), -0.095, 0.81, Some([1.0, 2.0]));
    // Nobody chose the fourth step: what came of it says nothing of the first.
    near(replay.n_step(0, 9, 0.9), -0.1355, 0.729, Some([1.0, 3.0]));
    // Of itself it says what it says.
    near(replay.n_step(3, 4, 0.9), -0.05 + 0.9, 0.81, None);
    near(replay.n_step(5, 4, 0.9), -0.095, 0.81, Some([2.0, 2.0]));
    assert_eq!(replay.n_step(7, 4, 0.9), None);
    assert_eq!(replay.n_step(8, 1, 0.9), None);
}

#[test]
fn masks_stay_with_their_images_and_cost_nothing_where_none_are_kept() {
    let mut replay = Replay::new("test", 3, 10, 40).with_masks(2);
    (0..30).for_each(|number| replay.push(&episode(number, 1 + (number % 7) as usize)));
    let plain = filled(30);
    assert!(replay.keeps_masks() && !plain.keeps_masks());
    assert_eq!(plain.mask(plain.first()), Some(&[][..]));
    // Two bytes more for each place, and nothing else.
    let places = replay.segments.len() * 10;
    assert_eq!(replay.bytes(), plain.bytes() + 2 * places);
    let folder = tempfile::tempdir().unwrap();
    let state = replay.save(folder.path()).unwrap();
    let mut back = Replay::new("test", 3, 10, 40).with_masks(2);
    assert!(back.load(folder.path(), &state).unwrap().is_empty());
    for number in replay.first()..replay.end() {
        let (image, record) = replay.get(number).unwrap();
        assert_eq!((image, record), plain.get(number).unwrap());
        assert_eq!(replay.mask(number).unwrap(), [(record.state[0] as u64 % 5) as u8, record.state[1] as u8]);
        assert_eq!((back.get(number), back.mask(number)), (replay.get(number), replay.mask(number)));
    }
    assert_eq!(replay.mask(replay.end()), None);
    assert_eq!(back.newest_episodes(1), [episode(29, 2)]);
}

#[test]
fn it_comes_back_and_damage_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut replay = filled(30);
    let early = replay.save(folder.path()).unwrap();
    (30..50).for_each(|number| replay.push(&episode(number, 3)));
    let state = replay.save(folder.path()).unwrap();
    let mut back = Replay::new("test", 3, 10, 40);
    back.load(folder.path(), &state).unwrap();
    assert_eq!((back.first(), back.end(), back.episodes()), (replay.first(), replay.end(), replay.episodes()));
    assert!((replay.first()..replay.end()).all(|number| back.get(number) == replay.get(number)));
    let draws = |replay: &Replay| {
        let mut rng = Seed(9).rng();
        (0..50).map(|_| replay.draw((0.4, 0.2), &mut rng)).collect::<Vec<_>>()
    };
    assert_eq!(draws(&back), draws(&replay));
    // The earlier checkpoint still has its files, until it is forgotten.
    back.load(folder.path(), &early).unwrap();
    assert_eq!(back.episodes(), 30);
    replay.remove_unnamed(folder.path(), std::slice::from_ref(&state)).unwrap();
    assert!(!back.load(folder.path(), &early).unwrap().is_empty());
    assert!(back.load(folder.path(), &state).unwrap().is_empty());
}

#[test]
fn of_damaged_files_the_longest_stretch_between_them_stays() {
    let folder = tempfile::tempdir().unwrap();
    let mut replay = Replay::new("test", 3, 10, 60);
    (0..18).for_each(|number| replay.push(&episode(number, 3)));
    let early = replay.save(folder.path()).unwrap();
    let state = early.clone();
    assert_eq!((replay.first(), replay.end()), (0, 54));
    // One bit of the second of six, the fifth as a whole.
    let [second, fifth] = [1, 4].map(|number| replay.path(folder.path(), number, 10));
    let mut bytes = std::fs::read(&second).unwrap();
    bytes[40] ^= 1;
    std::fs::write(&second, bytes).unwrap();
    std::fs::remove_file(&fifth).unwrap();
    let mut back = Replay::new("test", 3, 10, 60);
    let warnings = back.load(folder.path(), &state).unwrap();
    assert_eq!(warnings.len(), 3);
    assert!(warnings[0].contains(second.to_str().unwrap()) && warnings[0].contains("checksum"), "{warnings:?}");
    assert!(warnings[1].contains(fifth.to_str().unwrap()), "{warnings:?}");
    assert!(warnings[2].contains("54 test transitions 20 are kept"), "{warnings:?}");
    // 20 to 39 now lie behind all that there was.
    assert_eq!((back.first(), back.end()), (60, 80));
    assert!((20..39).all(|number| back.get(number + 40) == replay.get(number)));
    // The last one is the first step of an episode whose others are lost.
    assert_eq!(back.get(79).unwrap().1.termination, Termination::Interrupted);
    back.push(&episode(50, 3));
    assert_eq!(back.n_step(79, 3, 0.9), None);
    let mut rng = Seed(2).rng();
    for _ in 0..50 {
        let number = back.draw((1.0, 0.0), &mut rng).unwrap();
        assert_eq!(back.get(number).unwrap().1.termination, Termination::Terminated);
    }
    // It is saved and comes back.
    let state = back.save(folder.path()).unwrap();
    let mut again = Replay::new("test", 3, 10, 60);
    assert!(again.load(folder.path(), &state).unwrap().is_empty());
    assert!((60..83).all(|number| again.get(number) == back.get(number)));
    // And no file changed that was whole.
    let sound = replay.path(folder.path(), 5, 4);
    assert_eq!(sha256_hex(&std::fs::read(sound).unwrap()), early.segments[5].1);
}

#[test]
fn a_file_of_another_version_is_refused_and_not_taken_for_damage() {
    let folder = tempfile::tempdir().unwrap();
    let mut replay = filled(3);
    let mut state = replay.save(folder.path()).unwrap();
    // Episodes of 1, 2 and 3 steps: one segment.
    let path = replay.path(folder.path(), state.first, 6);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[7] = b'5';
    std::fs::write(&path, &bytes).unwrap();
    // A flipped bit alone is damage, and the run goes on with the rest.
    assert!(!Replay::new("test", 3, 10, 40).load(folder.path(), &state).unwrap().is_empty());
    state.segments[0].1 = sha256_hex(&bytes);
    let message = Replay::new("test", 3, 10, 40).load(folder.path(), &state).unwrap_err().to_string();
    for part in [&*path.to_string_lossy(), "another version", "--init"] {
        assert!(message.contains(part), "'{message}' does not say '{part}'");
    }
}
