//! A person from a file: events in order, for tests and demonstrations.
//!
//! In: JSON, one step a line, for example `{"key": "Space"}`, `{"click": "panel-depth"}`, `{"wait": 0.5}`,
//! `{"drag": {"from": "view", "by": [80, 10]}}`, `{"screenshot": "now.png"}`, `{"state": "now.json"}`, `"close"`.
//! Out: raw input, one event a frame, which the host sends the way its window system would.

use super::pictures::PANELS;
use super::pilot::ServoReading;
use super::ui::Viewer;
use crate::contract::{Rng, Seed};
use anyhow::Context;
use bevy_egui::egui::{Pos2, pos2};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// A control by its name (its middle), or a point.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Target {
    Control(String),
    Point([f32; 2]),
    /// A place within a control, in shares of its size.
    Within {
        control: String,
        at: [f32; 2],
    },
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Button {
    #[default]
    Left,
    Right,
    Middle,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Step {
    /// Seconds.
    Wait(f32),
    /// Until at least so many environment steps were carried out, or attempts judged.
    UntilTicks(u64),
    UntilAttempts(u64),
    Key(String),
    Hold {
        key: String,
        seconds: f32,
    },
    Type(String),
    Click(Target),
    DoubleClick(Target),
    Drag {
        from: Target,
        by: [f32; 2],
        #[serde(default)]
        button: Button,
        /// Seconds that the button stays down afterwards.
        #[serde(default)]
        hold: f32,
    },
    Scroll {
        at: Target,
        lines: f32,
    },
    Hover(Target),
    Screenshot(PathBuf),
    State(PathBuf),
    /// Random input for so many seconds.
    Random {
        seconds: f32,
        seed: u64,
    },
    Close,
}

impl Step {
    /// The control or place that has to be there.
    fn target(&self) -> Option<&Target> {
        match self {
            Self::Click(target) | Self::DoubleClick(target) | Self::Hover(target) => Some(target),
            Self::Drag { from: target, .. } | Self::Scroll { at: target, .. } => Some(target),
            _ => None,
        }
    }
}

/// One event as a window system sends it.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    Move(Pos2),
    Button(Button, bool),
    Wheel(f32),
    Key(String, bool),
    Text(String),
}

/// What the host is to do in this frame.
#[derive(Clone, Debug, PartialEq)]
pub enum Order {
    Send(Input),
    Screenshot(PathBuf),
    State(PathBuf),
    Close,
}

enum Task {
    Wait(f32),
    Do(Order),
    UntilTicks(u64),
    UntilAttempts(u64),
    Random { seconds: f32, rng: Rng },
}

/// Plays steps, one order a frame.
pub struct Script {
    steps: VecDeque<Step>,
    tasks: VecDeque<Task>,
    /// Since when the next step's control has been missing.
    missing_since: Option<Instant>,
}

/// How long a step waits for its control: a slow machine shows it later.
const PATIENCE: Duration = Duration::from_secs(20);

impl Script {
    /// # Errors
    /// A line that is no step.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
        let steps = lines
            .map(|(i, line)| serde_json::from_str(line).with_context(|| format!("line {} is no step: {line}", i + 1)))
            .collect::<anyhow::Result<Vec<_>>>()?;
        Ok(Self::of(steps))
    }

    pub fn of(steps: Vec<Step>) -> Self {
        Self { steps: steps.into(), tasks: VecDeque::new(), missing_since: None }
    }

    pub fn is_over(&self) -> bool {
        self.steps.is_empty() && self.tasks.is_empty()
    }

    /// What happens in a frame that comes `seconds` after the last.
    ///
    /// # Errors
    /// A control that does not come on screen for [`PATIENCE`].
    pub fn next(&mut self, viewer: &Viewer, seconds: f32) -> anyhow::Result<Option<Order>> {
        if self.tasks.is_empty() {
            let Some(step) = self.steps.pop_front() else { return Ok(None) };
            let is_missing = step.target().is_some_and(|target| place(target, viewer).is_none());
            if is_missing && self.missing_since.get_or_insert_with(Instant::now).elapsed() < PATIENCE {
                self.steps.push_front(step);
                return Ok(None);
            }
            self.missing_since = None;
            self.expand(step, viewer)?;
        }
        let Some(task) = self.tasks.pop_front() else { return Ok(None) };
        match task {
            Task::Do(order) => return Ok(Some(order)),
            Task::Wait(left) => {
                if left > seconds {
                    self.tasks.push_front(Task::Wait(left - seconds));
                }
            }
            Task::UntilTicks(ticks) => {
                if viewer.session.stage().ticks < ticks {
                    self.tasks.push_front(Task::UntilTicks(ticks));
                }
            }
            Task::UntilAttempts(attempts) => {
                if viewer.session.scores.attempts < attempts {
                    self.tasks.push_front(Task::UntilAttempts(attempts));
                }
            }
            Task::Random { seconds: left, mut rng } => {
                let order = random(&mut rng, viewer);
                if left > seconds {
                    self.tasks.push_front(Task::Random { seconds: left - seconds, rng });
                }
                return Ok(Some(Order::Send(order)));
            }
        }
        Ok(None)
    }

    fn expand(&mut self, step: Step, viewer: &Viewer) -> anyhow::Result<()> {
        let tasks = &mut self.tasks;
        let mut send = |input| tasks.push_back(Task::Do(Order::Send(input)));
        match step {
            Step::Wait(seconds) => tasks.push_back(Task::Wait(seconds)),
            Step::UntilTicks(ticks) => tasks.push_back(Task::UntilTicks(ticks)),
            Step::UntilAttempts(attempts) => tasks.push_back(Task::UntilAttempts(attempts)),
            Step::Key(key) => {
                send(Input::Key(key.clone(), true));
                send(Input::Key(key, false));
            }
            Step::Hold { key, seconds } => {
                send(Input::Key(key.clone(), true));
                tasks.push_back(Task::Wait(seconds));
                tasks.push_back(Task::Do(Order::Send(Input::Key(key, false))));
            }
            Step::Type(text) => send(Input::Text(text)),
            Step::Click(target) | Step::Hover(target) | Step::DoubleClick(target)
                if place(&target, viewer).is_none() =>
            {
                anyhow::bail!("the control {target:?} is not on screen");
            }
            Step::Hover(target) => place(&target, viewer).into_iter().for_each(|at| send(Input::Move(at))),
            Step::Click(target) => click(&mut send, place(&target, viewer), 1),
            Step::DoubleClick(target) => click(&mut send, place(&target, viewer), 2),
            Step::Drag { from, by, button, hold } => {
                let start = place(&from, viewer).with_context(|| format!("the control {from:?} is not on screen"))?;
                send(Input::Move(start));
                send(Input::Button(button, true));
                for share in [0.1, 0.3, 0.6, 1.0] {
                    send(Input::Move(pos2(start.x + by[0] * share, start.y + by[1] * share)));
                }
                tasks.push_back(Task::Wait(hold));
                tasks.push_back(Task::Do(Order::Send(Input::Button(button, false))));
            }
            Step::Scroll { at, lines } => {
                let at = place(&at, viewer).with_context(|| format!("the control {at:?} is not on screen"))?;
                send(Input::Move(at));
                send(Input::Wheel(lines));
            }
            Step::Screenshot(path) => tasks.push_back(Task::Do(Order::Screenshot(path))),
            Step::State(path) => tasks.push_back(Task::Do(Order::State(path))),
            Step::Random { seconds, seed } => tasks.push_back(Task::Random { seconds, rng: Seed(seed).rng() }),
            Step::Close => tasks.push_back(Task::Do(Order::Close)),
        }
        Ok(())
    }
}

fn click(send: &mut impl FnMut(Input), at: Option<Pos2>, times: usize) {
    let Some(at) = at else { return };
    send(Input::Move(at));
    for _ in 0..times {
        send(Input::Button(Button::Left, true));
        send(Input::Button(Button::Left, false));
    }
}

fn place(target: &Target, viewer: &Viewer) -> Option<Pos2> {
    match target {
        Target::Point([x, y]) => Some(pos2(*x, *y)),
        Target::Control(name) => viewer.control(name).map(|rect| rect.center()),
        Target::Within { control, at: [x, y] } => {
            viewer.control(control).map(|rect| rect.lerp_inside(bevy_egui::egui::vec2(*x, *y)))
        }
    }
}

/// Keys and the mouse in the hands of a cat. It does not write files.
fn random(rng: &mut Rng, viewer: &Viewer) -> Input {
    const KEYS: [&str; 28] = [
        "Space",
        "Period",
        "R",
        "N",
        "B",
        "Plus",
        "Minus",
        "X",
        "O",
        "Tab",
        "H",
        "Escape",
        "1",
        "2",
        "3",
        "4",
        "5",
        "W",
        "A",
        "S",
        "D",
        "E",
        "Q",
        "ArrowLeft",
        "ArrowRight",
        "G",
        "Enter",
        "Space",
    ];
    const WRITES: [&str; 7] = ["save", "export", "screenshot", "record", "record-gif", "record-png", "copy"];
    match rng.below(10) {
        0 | 1 => {
            let controls: Vec<_> = viewer.controls().filter(|(name, _)| !WRITES.contains(name)).collect();
            if controls.is_empty() {
                return Input::Wheel(0.0);
            }
            Input::Move(rng.pick(&controls).1.center())
        }
        2 => {
            let view = viewer.control("view").map_or([600.0, 400.0], |rect| [rect.width(), rect.height()]);
            Input::Move(pos2(8.0 + rng.f32() * view[0], 54.0 + rng.f32() * view[1]))
        }
        3 | 4 => Input::Button(*rng.pick(&[Button::Left, Button::Left, Button::Left, Button::Right]), true),
        5 | 6 => Input::Button(*rng.pick(&[Button::Left, Button::Left, Button::Left, Button::Right]), false),
        7 => Input::Wheel(rng.range(-2.0, 2.0)),
        _ => Input::Key((*rng.pick(&KEYS)).to_owned(), rng.chance(0.5)),
    }
}

/// What can be read back from a viewer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    pub playing: bool,
    pub speed: f32,
    pub seed: u64,
    pub domain: String,
    pub policy: String,
    pub objects: usize,
    pub divider_m: f32,
    pub step: u64,
    pub ticks: u64,
    pub attempts: u64,
    pub successes: u64,
    pub eye: String,
    pub channel: String,
    pub orbit: super::camera::Orbit,
    pub look_seeds: crate::appearance::LookSeeds,
    pub overlay: [bool; 3],
    pub help: bool,
    pub controls: bool,
    pub gripper_closed: bool,
    pub gripper_m: [f32; 3],
    pub objects_m: Vec<[f32; 3]>,
    pub notice: Option<String>,
    pub main_pixels: [usize; 2],
    /// Share of each picture's pixels that differ from its first.
    pub variety: [f32; 1 + PANELS],
    pub frames_per_s: f32,
    /// Pictures that the generator has translated.
    pub translated: u64,
    pub output: String,
    /// What visual servoing sees, where it acts.
    pub servo: Option<ServoFacts>,
}

/// Of visual servoing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServoFacts {
    pub phase: String,
    pub tick: u32,
    pub mask_pixels: usize,
    /// The last one: millimetres, millimetres, degrees.
    pub error: Option<[f32; 3]>,
}

impl ServoFacts {
    fn of(reading: &ServoReading) -> Self {
        Self {
            phase: reading.phase.clone(),
            tick: reading.tick,
            mask_pixels: reading.mask.iter().filter(|&&on| on).count(),
            error: reading.errors.iter().rev().find_map(|tick| tick.error),
        }
    }
}

impl State {
    pub fn of(viewer: &Viewer) -> Self {
        let session = &viewer.session;
        let (stage, setup, show) = (session.stage(), session.setup(), session.show);
        let world = stage.world();
        let name = |eye| format!("{eye:?}").to_lowercase();
        Self {
            playing: session.playing,
            speed: session.speed,
            seed: setup.seed,
            domain: setup.domain.name().to_owned(),
            policy: setup.policy.name().to_owned(),
            objects: world.objects().len(),
            divider_m: world.divider_offsets().first().copied().unwrap_or(0.0),
            step: stage.episode().step_index(),
            ticks: stage.ticks,
            attempts: session.scores.attempts,
            successes: session.scores.successes,
            eye: name(show.eye),
            channel: show.channel.name().to_owned(),
            orbit: session.free.orbit,
            look_seeds: setup.look_seeds(0),
            overlay: [show.colliders, show.contacts, show.forces],
            help: viewer.shows_help(),
            controls: show.controls,
            gripper_closed: world.gripper_state().closed,
            gripper_m: world.gripper_pose().translation.to_array(),
            objects_m: world.object_poses().iter().map(|pose| pose.translation.to_array()).collect(),
            notice: session.notice.as_ref().map(|notice| notice.text.clone()),
            main_pixels: [session.panels.main.width, session.panels.main.height],
            variety: viewer.pictures().map(|picture| {
                let mut pixels = picture.rgba.chunks_exact(4);
                let first = pixels.next();
                let count = picture.width * picture.height;
                pixels.filter(|&pixel| Some(pixel) != first).count() as f32 / count.max(1) as f32
            }),
            frames_per_s: viewer.frames_per_s,
            translated: session.translator().map_or(0, super::translator::Translator::translated),
            output: show.output.name().to_owned(),
            servo: session.servo().as_ref().map(ServoFacts::of),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_read() {
        let text = "# comment\n{\"key\": \"Space\"}\n{\"click\": \"play\"}\n{\"click\": [3, 4]}\n{\"wait\": 0.5}\n\
                    {\"drag\": {\"from\": {\"control\": \"view\", \"at\": [0.5, 0.9]}, \"by\": [10, 0]}}\n\"close\"\n";
        let script = Script::parse(text).unwrap();
        assert_eq!(script.steps.len(), 6);
        assert_eq!(script.steps[2], Step::Click(Target::Point([3.0, 4.0])));
        assert!(Script::parse("{\"klick\": \"play\"}").err().unwrap().to_string().contains("line 1"));
    }
}
