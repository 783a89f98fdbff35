//! What a run begins with: the replays of another one, or episodes that another run's agent plays.

use super::load::load_replays;
use super::stream::Stream;
use super::train_tests::{Table, config, go, parts, resume};
use crate::contract::{ImageAdapter, VecEnvError};
use crate::nn::with_large_stack;
use crate::rl::replay::{Replay, Transition};

#[test]
fn another_run_takes_over_the_replays_of_a_finished_one() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let root = folder.path().join("run");
    go(&root, Some(20), u64::MAX, 2)?;
    let ([off_policy, on_policy], warnings) = load_replays(&root)?;
    assert!(warnings.is_empty(), "{warnings:?}");
    let trainer = resume(&root)?;
    let stream = &trainer.source.simulation;
    assert_eq!((off_policy.len(), on_policy.len()), (stream.off_policy.len(), stream.on_policy.len()));
    assert!(!off_policy.is_empty());
    let newest = off_policy.newest_episodes(3);
    let lengths: usize = newest.iter().map(Vec::len).sum();
    let Some((image, record)) = off_policy.get(off_policy.end() - lengths as u64) else { anyhow::bail!("gone") };
    assert_eq!((newest.len(), &newest[0][0].image[..], newest[0][0].record), (3, image, *record));
    // The return of an episode's first step by hand.
    let expected = newest[0].iter().rev().fold(0.0, |sum, step| step.record.reward + 0.9 * sum);
    let Some(found) = off_policy.discounted_return(off_policy.end() - lengths as u64, 0.9) else {
        anyhow::bail!("gone")
    };
    assert!((found - expected).abs() < 1e-6, "{found} {expected}");

    // A learner's source begins with them, seen through a generator: here one that inverts.
    let (_, mut source) = parts(&config(1))?;
    let episodes = off_policy.newest_episodes(usize::MAX).len() + on_policy.newest_episodes(usize::MAX).len();
    assert_eq!(source.take_over([&off_policy, &on_policy], usize::MAX, Some(&Inverted))?, episodes);
    let taken = source.simulation.off_policy.newest_episodes(3);
    assert_eq!((taken.len(), taken[0].len()), (3, newest[0].len()));
    let inverted: Vec<u8> = newest[0][0].image.iter().map(|byte| !byte).collect();
    assert_eq!((&taken[0][0].image, taken[0][0].record), (&inverted, newest[0][0].record));
    let steps: usize = on_policy.newest_episodes(usize::MAX).iter().map(Vec::len).sum();
    assert_eq!(source.simulation.on_policy.len(), steps);
    // No more than asked for: half of each kind, or what there is.
    let (_, mut source) = parts(&config(1))?;
    assert_eq!(source.take_over([&off_policy, &on_policy], 4, None)?, 4);
    // Or episodes that are played, by script and agent, and kept as the generator shows them.
    let (played, [scripted, own]) = with_large_stack(|| {
        let (learner, mut source) = parts(&config(1))?;
        let played = source.play_before(&mut Table::new(), learner.cem_policy(), 40, Some(&Inverted))?;
        let Stream { off_policy, on_policy, .. } = &source.simulation;
        anyhow::Ok((played, [off_policy, on_policy].map(|replay| replay.newest_episodes(usize::MAX))))
    })??;
    assert_eq!((played, scripted.len() + own.len()), (40, 40));
    assert!(scripted.len() > 5 && own.len() > 5, "{} {}", scripted.len(), own.len());
    // There is no blue in the table's pictures.
    let is_inverted = |step: &Transition| step.image.chunks_exact(3).all(|pixel| pixel[2] == 255);
    assert!(scripted.iter().chain(&own).flatten().all(is_inverted));
    assert!(source.take_over([source_of_nothing(), source_of_nothing()].each_ref(), 4, None).is_err());
    Ok(())
}

/// A replay without an episode.
fn source_of_nothing() -> Replay {
    Replay::new("nothing", 3, 8, 8)
}

/// The picture's negative.
struct Inverted;

impl ImageAdapter for Inverted {
    fn channels(&self) -> usize {
        3
    }

    fn encode(&self, rgb: Vec<u8>, _: [usize; 2]) -> Result<Vec<u8>, VecEnvError> {
        Ok(rgb.iter().map(|byte| !byte).collect())
    }
}
