//! What the scene is, before anything moves: seed, domain, axes of randomization, objects, divider, who acts.
//!
//! In: the command line, settings, the person's controls. Out: a [`Setup`] that can be saved, the looks it means, and
//! the command line that gives it again.

use crate::appearance::{Look, LookSeeds};
use crate::contract::{Domain, Seed};
use crate::env::look_seed;
use crate::policies::PolicyKind;
use serde::{Deserialize, Serialize};

/// Who moves the gripper.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PolicyChoice {
    Keyboard,
    Scripted,
    NoisyPlanner,
    #[default]
    Oracle,
    Random,
    /// A policy from a run, where one was given.
    Learned,
}

impl PolicyChoice {
    /// Those that are always there.
    pub const ALL: [Self; 5] = [Self::Keyboard, Self::Scripted, Self::NoisyPlanner, Self::Oracle, Self::Random];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Keyboard => "keyboard",
            Self::Scripted => "scripted",
            Self::NoisyPlanner => "noisy-planner",
            Self::Oracle => "oracle",
            Self::Random => "random",
            Self::Learned => "learned",
        }
    }

    pub const fn tooltip(self) -> &'static str {
        match self {
            Self::Keyboard => "You drive the gripper with the keyboard",
            Self::Scripted => "The papers' exploration policy: goes to random places, closes and lifts",
            Self::NoisyPlanner => {
                "Agents learn from it: goes to grasps that the planner knows, and misses them by an error"
            }
            Self::Oracle => "Reads the true state and plans the best grasp",
            Self::Random => "Random actions",
            Self::Learned => "The trained policy decides from the robot camera's picture",
        }
    }

    pub const fn policy(self) -> Option<PolicyKind> {
        match self {
            Self::Keyboard | Self::Learned => None,
            Self::Scripted => Some(PolicyKind::Scripted),
            Self::NoisyPlanner => Some(PolicyKind::NoisyPlanner),
            Self::Oracle => Some(PolicyKind::Oracle),
            Self::Random => Some(PolicyKind::Random),
        }
    }
}

impl std::fmt::Display for PolicyChoice {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.pad(self.name())
    }
}

impl std::str::FromStr for PolicyChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|choice| choice.name() == text)
            .ok_or_else(|| format!("'{text}' cannot act; choose keyboard, scripted, noisy-planner, oracle or random"))
    }
}

/// One thing that a domain may randomize by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AxisKind {
    Textures,
    Objects,
    Light,
    Jitter,
    Camera,
}

impl AxisKind {
    pub const ALL: [Self; 5] = [Self::Textures, Self::Objects, Self::Light, Self::Jitter, Self::Camera];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Textures => "textures",
            Self::Objects => "objects",
            Self::Light => "light",
            Self::Jitter => "jitter",
            Self::Camera => "camera",
        }
    }

    pub const fn label(self) -> &'static str {
        match self {
            Self::Textures => "Textures",
            Self::Objects => "Object colours",
            Self::Light => "Light",
            Self::Jitter => "Arm and tray jitter",
            Self::Camera => "Camera",
        }
    }

    pub const fn tooltip(self) -> &'static str {
        match self {
            Self::Textures => "Materials of tray, divider, arm, floor and backdrop",
            Self::Objects => "Materials of the objects",
            Self::Light => "Position, colour and strength of the light, and its shadow's softness",
            Self::Jitter => "Small changes of the arm's and the tray's size and place, as drawn",
            Self::Camera => "The robot camera's mount, and in stand-ins for reality its lens, sensor and compression",
        }
    }

    /// Whether a domain draws this axis at random.
    pub const fn varies_in(self, domain: Domain) -> bool {
        match (self, domain) {
            (Self::Objects, _) => true,
            (_, Domain::Canonical) => false,
            (Self::Textures | Self::Light, _) => true,
            (Self::Jitter, domain) => matches!(domain, Domain::RandomizedHeavy),
            (Self::Camera, domain) => matches!(domain, Domain::RandomizedHeavy) || domain.stands_for_reality(),
        }
    }

    pub fn of(self, seeds: &LookSeeds) -> Seed {
        match self {
            Self::Textures => seeds.textures,
            Self::Objects => seeds.objects,
            Self::Light => seeds.light,
            Self::Jitter => seeds.jitter,
            Self::Camera => seeds.camera,
        }
    }

    fn of_mut(self, seeds: &mut LookSeeds) -> &mut Seed {
        match self {
            Self::Textures => &mut seeds.textures,
            Self::Objects => &mut seeds.objects,
            Self::Light => &mut seeds.light,
            Self::Jitter => &mut seeds.jitter,
            Self::Camera => &mut seeds.camera,
        }
    }
}

impl std::str::FromStr for AxisKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|axis| axis.name() == text);
        found.ok_or_else(|| format!("'{text}' is no axis; the axes are textures, objects, light, jitter, camera"))
    }
}

/// A person's say over one axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Axis {
    /// Off: as the canonical domain has it.
    pub on: bool,
    /// How often it was rolled anew; 0 is what the seed gives.
    pub rolls: u64,
    /// Kept over steps, episodes and seeds.
    pub pinned: Option<Seed>,
}

impl Default for Axis {
    fn default() -> Self {
        Self { on: true, rolls: 0, pinned: None }
    }
}

/// Everything that decides a scene.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Setup {
    pub seed: u64,
    pub domain: Domain,
    /// train, test, all, or a folder.
    pub objects: String,
    pub count: usize,
    /// Offset of the divider from the bin's centre along y, metres; none draws it.
    pub divider_m: Option<f32>,
    /// In the order of [`AxisKind::ALL`].
    pub axes: [Axis; 5],
    /// `randomized-heavy` draws a new look at every step (as learners see it) or keeps one for the episode.
    pub every_step: bool,
    pub policy: PolicyChoice,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            seed: 0,
            domain: Domain::Reality,
            objects: "train".to_owned(),
            count: 5,
            divider_m: None,
            axes: [Axis::default(); 5],
            every_step: true,
            policy: PolicyChoice::default(),
        }
    }
}

impl Setup {
    pub fn axis(&self, kind: AxisKind) -> &Axis {
        &self.axes[kind as usize]
    }

    pub fn axis_mut(&mut self, kind: AxisKind) -> &mut Axis {
        &mut self.axes[kind as usize]
    }

    /// Rolls one axis again and leaves the others as they are.
    pub fn roll(&mut self, kind: AxisKind) {
        let axis = self.axis_mut(kind);
        axis.rolls += 1;
        axis.pinned = axis.pinned.map(|seed| seed.derive("roll", axis.rolls));
    }

    /// Keeps an axis as it looks at `step_index`, or lets it follow the seed again.
    pub fn set_pinned(&mut self, kind: AxisKind, pinned: bool, step_index: u64) {
        let now = kind.of(&self.look_seeds(step_index));
        self.axis_mut(kind).pinned = pinned.then_some(now);
    }

    /// The seed that names the look at `step_index`, before the axes are touched.
    pub fn look_seed(&self, step_index: u64) -> Seed {
        look_seed(self.domain, Seed(self.seed), if self.every_step { step_index } else { 0 })
    }

    pub fn look_seeds(&self, step_index: u64) -> LookSeeds {
        let mut seeds = LookSeeds::from(self.look_seed(step_index));
        for kind in AxisKind::ALL {
            let (axis, seed) = (self.axis(kind), kind.of_mut(&mut seeds));
            *seed = match (axis.pinned, axis.rolls) {
                (Some(pinned), _) => pinned,
                (None, 0) => *seed,
                (None, rolls) => seed.derive("roll", rolls),
            };
        }
        seeds
    }

    /// The look of the robot camera's picture at `step_index`. `images` is the number of the user's texture images.
    pub fn look(&self, step_index: u64, images: usize) -> Look {
        let seeds = self.look_seeds(step_index);
        let mut look = Look::from_axes(self.domain, &seeds, images);
        let plain = Look::from_axes(Domain::Canonical, &seeds, images);
        let off = |kind: AxisKind| !self.axis(kind).on;
        if off(AxisKind::Textures) {
            let objects = look.surfaces.objects;
            look.surfaces = plain.surfaces.clone();
            look.surfaces.objects = objects;
        }
        if off(AxisKind::Objects) {
            look.surfaces.objects = plain.surfaces.objects;
        }
        if off(AxisKind::Light) {
            look.light = plain.light;
        }
        if off(AxisKind::Jitter) {
            look.jitter = crate::appearance::Jitter { camera: look.jitter.camera, ..plain.jitter };
        }
        if off(AxisKind::Camera) {
            look.jitter.camera = plain.jitter.camera;
            look.effects = plain.effects;
        }
        look
    }

    /// The options of `bingrasp view` that give this setup.
    pub fn arguments(&self) -> Vec<String> {
        let mut args = vec![
            format!("--seed {}", self.seed),
            format!("--domain {}", self.domain),
            format!("--objects {}", quoted(&self.objects)),
            format!("--count {}", self.count),
        ];
        // A learned policy is named by its run, which the session knows.
        if self.policy != PolicyChoice::Learned {
            args.push(format!("--policy {}", self.policy));
        }
        args.extend(self.divider_m.map(|metres| format!("--divider {metres}")));
        if !self.every_step {
            args.push("--keep-look".to_owned());
        }
        for kind in AxisKind::ALL {
            let axis = self.axis(kind);
            if !axis.on {
                args.push(format!("--without {}", kind.name()));
            }
            match (axis.pinned, axis.rolls) {
                (Some(seed), _) => args.push(format!("--pin {}={seed}", kind.name())),
                (None, 0) => {}
                (None, rolls) => args.push(format!("--roll {}={rolls}", kind.name())),
            }
        }
        args
    }
}

/// A word as a POSIX shell reads it back.
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_axis_is_rolled_alone() {
        let mut setup = Setup { domain: Domain::RandomizedHeavy, ..Setup::default() };
        let before = setup.look(3, 0);
        setup.roll(AxisKind::Light);
        let after = setup.look(3, 0);
        assert_ne!(before.light, after.light);
        assert_eq!((&before.surfaces, before.jitter), (&after.surfaces, after.jitter));
        assert!(setup.arguments().contains(&"--roll light=1".to_owned()));
    }

    #[test]
    fn a_pinned_axis_survives_steps_and_seeds() {
        let mut setup = Setup { domain: Domain::RandomizedHeavy, ..Setup::default() };
        assert_ne!(setup.look(1, 0).surfaces.tray, setup.look(2, 0).surfaces.tray);
        let kept = setup.look(2, 0).surfaces.tray;
        setup.set_pinned(AxisKind::Textures, true, 2);
        setup.seed = 77;
        assert_eq!(setup.look(9, 0).surfaces.tray, kept);
        setup.roll(AxisKind::Textures);
        assert_ne!(setup.look(9, 0).surfaces.tray, kept);
    }

    #[test]
    fn an_axis_that_is_off_is_canonical() {
        let mut setup = Setup { domain: Domain::RandomizedHeavy, ..Setup::default() };
        setup.axis_mut(AxisKind::Light).on = false;
        setup.axis_mut(AxisKind::Jitter).on = false;
        let look = setup.look(0, 0);
        assert_eq!(look.light, crate::appearance::Light::CANONICAL);
        assert_eq!(look.jitter.arm_scale, 1.0);
        assert_ne!(look.jitter.camera, crate::appearance::Jitter::NONE.camera);
    }

    #[test]
    fn words_are_quoted() {
        assert_eq!(quoted("my objects/it's"), "'my objects/it'\\''s'");
        assert_eq!(quoted("train"), "train");
    }
}
