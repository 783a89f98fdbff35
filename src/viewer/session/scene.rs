//! What the scene is: its seed, objects and policy, how they are changed, and the way back.

use super::{Pool, Session};
use crate::contract::Seed;
use crate::files::console::with_causes;
use crate::viewer::scores::Scores;
use crate::viewer::setup::{AxisKind, PolicyChoice, Setup};
use crate::viewer::stage::{Event, Stage};
use std::sync::Arc;

/// Seeds that "back" remembers.
const HISTORY: usize = 256;

impl Session {
    /// Starts the episode of the current seed again.
    pub fn reset(&mut self) {
        self.stage = Stage::new(&self.setup, self.materials.stage_parts(self.pilot.as_ref()));
        self.origin = self.setup.clone();
        self.stepping = false;
        self.scene += 1;
    }

    pub(super) fn visit(&mut self, seed: u64) {
        self.history.push(self.setup.seed);
        if self.history.len() > HISTORY {
            self.history.remove(0);
        }
        self.setup.seed = seed;
        self.reset();
    }

    /// A seed that was not on screen before.
    pub fn new_seed(&mut self) {
        self.visit(Seed(self.setup.seed).derive("viewer-new", 1 + self.history.len() as u64).0 % 1_000_000);
    }

    /// The seed before this one.
    pub fn back(&mut self) {
        if let Some(seed) = self.history.pop() {
            self.setup.seed = seed;
            self.reset();
        }
    }

    pub fn can_go_back(&self) -> bool {
        !self.history.is_empty()
    }

    /// Takes over a changed setup and does what the change asks for: nothing, a new look, another policy, a new episode.
    pub fn apply(&mut self, wanted: Setup) {
        if wanted == self.setup {
            return;
        }
        let old = std::mem::replace(&mut self.setup, wanted);
        if self.setup.objects != old.objects
            && let Err(error) = self.load_objects()
        {
            self.say(with_causes(error.chain()));
            self.setup.objects = old.objects.clone();
        }
        self.setup.count = self.setup.count.clamp(1, 16);
        let new = &self.setup;
        if new.policy != old.policy {
            self.scores = Scores::default();
        }
        let restart = new.objects != old.objects
            || new.count != old.count
            || new.divider_m != old.divider_m
            || new.policy != old.policy
            || new.seed != old.seed;
        if new.seed != old.seed {
            self.history.push(old.seed);
        }
        if restart {
            self.reset();
        }
        self.scene += 1;
    }

    fn load_objects(&mut self) -> anyhow::Result<()> {
        let models = (self.materials.load)(&self.setup.objects)?;
        anyhow::ensure!(!models.is_empty(), "'{}' holds no object", self.setup.objects);
        self.materials.pool = Pool { name: self.setup.objects.clone(), models: Arc::new(models) };
        Ok(())
    }

    pub fn set_policy(&mut self, policy: PolicyChoice) {
        self.apply(Setup { policy, ..self.setup.clone() });
        if policy == PolicyChoice::Keyboard {
            self.playing = true;
        }
    }

    pub fn roll(&mut self, axis: AxisKind) {
        self.setup.roll(axis);
        self.scene += 1;
    }

    pub fn drop_another(&mut self) {
        if self.stage.drop_another() {
            self.scene += 1;
            self.playing = true;
        } else {
            self.say("There is no room for another object");
        }
    }

    /// Puts the session into a state that was saved.
    ///
    /// # Errors
    /// An object set or object that is not there.
    pub(in crate::viewer) fn restore(
        &mut self,
        (origin, setup): (Setup, Setup),
        events: &[Event],
    ) -> anyhow::Result<()> {
        let before = std::mem::replace(&mut self.setup, origin.clone());
        if let Err(error) = self.load_objects() {
            self.setup = before;
            return Err(error);
        }
        let mut stage = Stage::new(&origin, self.materials.stage_parts(self.pilot.as_ref()));
        stage.replay(events).map_err(anyhow::Error::msg)?;
        self.stage = stage;
        (self.origin, self.setup) = (origin, setup);
        (self.playing, self.stepping) = (false, false);
        self.scene += 1;
        Ok(())
    }
}
