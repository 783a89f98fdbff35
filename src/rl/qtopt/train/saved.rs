//! What a checkpoint holds of a run, written and read back: the learner, both replays, the training buffer, counters.

use super::Trainer;
use super::figures::Recent;
use crate::files::atomic::remove_leftovers;
use crate::rl::error::RlError;
use crate::rl::qtopt::learner::group_of;
use crate::rl::replay::ReplayState;
use crate::train::{Checkpoint, CheckpointContent, TensorBytes, TensorKind};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::path::Path;

const REPLAY_FOLDER: &str = "replay";
const TRAINING_BUFFER: &str = "training_buffer";

/// What is saved beside tensors and replay. Nothing in it depends on the clock unless a limit does.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Saved {
    iteration: u64,
    steps: u64,
    episodes: u64,
    bellman_batches: u64,
    policy_beats_script: bool,
    greedy: Recent,
    scripted: Recent,
    off_policy: ReplayState,
    on_policy: ReplayState,
    elapsed_s: Option<f64>,
}

/// A labelled transition that waits to be trained on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Labelled {
    pub(super) on_policy: bool,
    pub(super) number: u64,
    pub(super) target: f32,
}

impl Trainer {
    /// Takes up the run in `root` where this checkpoint left it. Also returns sentences about replay that is lost.
    pub(super) fn restore(&mut self, mut checkpoint: Checkpoint, root: &Path) -> Result<Vec<String>, RlError> {
        let state = std::mem::take(&mut checkpoint.state);
        let step = checkpoint.step;
        let bad = |message: String| RlError::BadState { step, message };
        let saved: Saved = serde_json::from_value(state).map_err(|e| bad(e.to_string()))?;
        self.learner.load(&checkpoint, saved.steps)?;
        let folder = root.join(REPLAY_FOLDER);
        if folder.is_dir() {
            remove_leftovers(&folder)?;
        }
        let mut lost = self.off_policy.load(&folder, &saved.off_policy)?;
        lost.extend(self.on_policy.load(&folder, &saved.on_policy)?);
        let file = group_of(&checkpoint, TRAINING_BUFFER)?;
        self.buffer = read_buffer(&file.tensors()?).ok_or_else(|| bad("the training buffer".into()))?;
        if !lost.is_empty() {
            // Its numbers may soon stand for other transitions; it is filled again before the next step.
            self.buffer.clear();
        }
        (self.iteration, self.episodes) = (saved.iteration, saved.episodes);
        (self.bellman_batches, self.policy_beats_script) = (saved.bellman_batches, saved.policy_beats_script);
        (self.greedy, self.scripted) = (saved.greedy, saved.scripted);
        self.elapsed_s = saved.elapsed_s.unwrap_or(0.0);
        self.named.push_back([saved.off_policy, saved.on_policy]);
        Ok(lost)
    }

    pub(super) fn save(&mut self, elapsed_s: f64) -> Result<(), RlError> {
        let folder = self.run.root().join(REPLAY_FOLDER);
        let mut content = CheckpointContent::default();
        self.learner.save(&mut content)?;
        let (off_policy, on_policy) = (self.off_policy.save(&folder)?, self.on_policy.save(&folder)?);
        content.groups.insert(TRAINING_BUFFER.to_owned(), buffer_tensors(&self.buffer));
        let steps = self.learner.steps();
        let saved = Saved {
            iteration: self.iteration,
            steps,
            episodes: self.episodes,
            bellman_batches: self.bellman_batches,
            policy_beats_script: self.policy_beats_script,
            greedy: self.greedy.clone(),
            scripted: self.scripted.clone(),
            off_policy: off_policy.clone(),
            on_policy: on_policy.clone(),
            // A run that once had a clock keeps it, whatever its limits are now.
            elapsed_s: (self.settings.limits.minutes.is_some() || self.elapsed_s > 0.0).then_some(elapsed_s),
        };
        let step = steps.saturating_sub(1);
        content.state = serde_json::to_value(saved).map_err(|e| RlError::BadState { step, message: e.to_string() })?;
        self.run.save_checkpoint(step, content)?;
        self.named.push_back([off_policy, on_policy]);
        while self.named.len() > self.run.checkpoints().keep {
            self.named.pop_front();
        }
        // A resumed run does not know what target_2 checkpoints name until it has written as many itself.
        if self.named.len() == self.run.checkpoints().keep {
            for (index, replay) in [&self.off_policy, &self.on_policy].into_iter().enumerate() {
                let states: Vec<ReplayState> = self.named.iter().map(|pair| pair[index].clone()).collect();
                replay.remove_unnamed(&folder, &states)?;
            }
        }
        Ok(())
    }
}

fn buffer_tensors(buffer: &VecDeque<Labelled>) -> Vec<(String, TensorBytes<'static>)> {
    let numbers: Vec<i64> = buffer.iter().map(|l| i64::try_from(l.number).unwrap_or(i64::MAX)).collect();
    let kinds: Vec<u8> = buffer.iter().map(|l| u8::from(l.on_policy)).collect();
    let targets: Vec<f32> = buffer.iter().map(|l| l.target).collect();
    let shape = [buffer.len()];
    let owned = |kind, bytes: &[u8]| TensorBytes::new(kind, &shape, bytes.to_vec());
    vec![
        ("number".into(), owned(TensorKind::I64, bytemuck::cast_slice(&numbers))),
        ("on_policy".into(), owned(TensorKind::U8, &kinds)),
        ("target".into(), owned(TensorKind::F32, bytemuck::cast_slice(&targets))),
    ]
}

fn read_buffer(tensors: &[(String, TensorBytes<'_>)]) -> Option<VecDeque<Labelled>> {
    let find = |name: &str| tensors.iter().find(|(known, _)| known == name).map(|(_, tensor)| tensor);
    let (numbers, targets) = (find("number")?.to_i64()?, find("target")?.to_f32()?);
    let kinds = &find("on_policy")?.data;
    if numbers.len() != targets.len() || kinds.len() != targets.len() {
        return None;
    }
    let labelled = |((number, &kind), target): ((i64, &u8), f32)| {
        Some(Labelled { on_policy: kind != 0, number: u64::try_from(number).ok()?, target })
    };
    numbers.into_iter().zip(kinds.iter()).zip(targets).map(labelled).collect()
}
