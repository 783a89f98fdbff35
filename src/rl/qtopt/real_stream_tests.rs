//! A recording, episodes played in the domain to transfer to, and those alone: killed and resumed they end in the same bytes.

use super::train_tests::{Patience, SPACE, Table, config, create, parts, recording, resume};
use super::*;
use crate::contract::{EpisodeCollector, Seed, VecEnvError};
use crate::nn::{HOST, with_large_stack};
use crate::train::state::to_bytes;
use crate::train::{Learner, Trainer};
use std::path::Path;

/// The files of a checkpoint are the same in both runs.
fn same_bytes([whole, broken]: [&Path; 2], step: u64, names: &[&str]) -> anyhow::Result<()> {
    let file = |root: &Path, name: &str| std::fs::read(root.join(format!("checkpoints/step-{step:09}")).join(name));
    for name in names {
        assert!(file(whole, name)? == file(broken, name)?, "{name} differs");
    }
    Ok(())
}

#[test]
fn a_run_with_a_recording_beside_the_simulator_resumes_to_the_same_bytes() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (whole, broken) = (folder.path().join("whole"), folder.path().join("broken"));
    let go = |root: &Path, steps: Option<u64>, patience: u64| -> anyhow::Result<()> {
        with_large_stack(|| {
            let mut trainer = if let Some(steps) = steps { create(root, steps)? } else { resume(root)? };
            if steps.is_some() {
                trainer.source.add_real(recording()?.into_iter().map(Ok))?;
            }
            trainer.run(&mut Patience(patience))?;
            anyhow::Ok(())
        })?
    };
    go(&whole, Some(50), u64::MAX)?;
    go(&broken, Some(50), 27)?;
    go(&broken, None, u64::MAX)?;
    same_bytes([&whole, &broken], 49, &["q.safetensors", "q_adam.safetensors", "training_buffer_real.safetensors"])?;
    let mut empty = create(&folder.path().join("empty"), 5)?;
    let message = empty.source.add_real(std::iter::empty()).err().map(|error| error.to_string());
    assert!(message.is_some_and(|message| message.contains("--real")));
    Ok(())
}

#[test]
fn playing_in_the_domain_to_transfer_to_is_bounded_unprivileged_and_resumes_to_the_same_bytes() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (whole, broken) = (folder.path().join("whole"), folder.path().join("broken"));
    let go = |root: &Path, steps: Option<u64>, patience: u64| -> anyhow::Result<()> {
        with_large_stack(|| {
            let (learner, mut source) = parts(&config(1))?;
            source.play_in_reality(Box::new(|| Ok(Box::new(Table::new()) as Box<dyn EpisodeCollector>)), 70);
            let mut trainer = match steps {
                Some(steps) => Trainer::create(root, config(steps), learner, source)?,
                None => Trainer::resume(root, learner, source)?.0,
            };
            trainer.run(&mut Patience(patience))?;
            let source = &trainer.source;
            // An iteration of 20 steps plays 32 episodes there, until there are 70.
            let iterations = trainer.learner.step().div_ceil(20);
            assert_eq!(source.on_policy_episodes(), 70.min(32 * iterations));
            let Some(stream) = &source.real else { anyhow::bail!("no real stream") };
            assert_eq!(stream.on_policy.episodes(), source.on_policy_episodes());
            let mut numbers = stream.on_policy.first()..stream.on_policy.end();
            let known = |number| stream.on_policy.get(number).is_some_and(|(_, record)| record.privileged.is_known());
            assert!(!stream.is_unlabelled() && !numbers.any(known));
            anyhow::Ok(())
        })?
    };
    go(&whole, Some(90), u64::MAX)?;
    go(&broken, Some(90), 27)?;
    go(&broken, None, u64::MAX)?;
    same_bytes(
        [&whole, &broken],
        89,
        &["q.safetensors", "q_adam.safetensors", "training_buffer_real.safetensors", "state.json"],
    )?;
    Ok(())
}

#[test]
fn real_data_alone_open_no_simulator_move_the_encoder_and_resume_to_the_same_bytes() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (whole, broken) = (folder.path().join("whole"), folder.path().join("broken"));
    let go = |root: &Path, steps: Option<u64>, patience: u64| -> anyhow::Result<()> {
        with_large_stack(|| {
            let seed = Seed(config(1).seed);
            let learner = QLearner::new(&config(1).learner, SPACE, seed, &HOST)?;
            let none: EnvOpener = Box::new(|| Err(VecEnvError::new("the simulator was opened")));
            let mut source = ExperienceSource::new(&config(1).learner, seed, none);
            source.learn_from_real_alone();
            let mut trainer = match steps {
                Some(steps) => {
                    source.add_real(recording()?.into_iter().map(Ok))?;
                    Trainer::create(root, config(steps), learner, source)?
                }
                None => Trainer::resume(root, learner, source)?.0,
            };
            let before = to_bytes(&trainer.learner.q.store().state_tensors()?)?;
            trainer.run(&mut Patience(patience))?;
            assert!(to_bytes(&trainer.learner.q.store().state_tensors()?)? != before);
            assert!(trainer.source.simulation.is_empty() && trainer.source.episodes() == 0);
            anyhow::Ok(())
        })?
    };
    go(&whole, Some(50), u64::MAX)?;
    go(&broken, Some(50), 27)?;
    go(&broken, None, u64::MAX)?;
    same_bytes(
        [&whole, &broken],
        49,
        &["q.safetensors", "q_adam.safetensors", "training_buffer_real.safetensors", "state.json"],
    )?;
    // Nothing to learn from is said before anything is begun.
    let mut settings = config(1);
    settings.data.real_only = true;
    assert!(settings.validate().is_err_and(|message| message.contains("--real")));
    settings.data.real = Some("recording".into());
    assert!(settings.validate().is_ok());
    settings.learner.network.map_features = 0;
    assert!(settings.validate().is_err_and(|message| message.contains("map_features")));
    Ok(())
}
