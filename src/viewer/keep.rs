//! What is taken home: screenshots, recordings, scenes, pairs, and the command line that shows the same again.

use super::camera::Orbit;
use super::pictures::{Channel, Shot};
use super::recorder::Recorder;
use super::session::{Eye, Session};
use super::setup::{Actor, Setup, quoted};
use super::stage::Event;
use super::ui::Viewer;
use crate::contract::Seed;
use crate::data::paired::{DatasetConfig, ObjectSource, ObjectState, PairRecord, PairWriter};
use crate::run::atomic::{create_folder, read_capped, write_atomic};
use crate::run::console::with_causes;
use anyhow::Context;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Edge of an exported pair, pixels: the papers' crop.
const PAIR_SIZE: u32 = 472;
const LARGEST_SCENE: u64 = 64 << 20;
const SCENE_VERSION: u32 = 1;

/// A scene on disk: what it was built from and everything that happened since.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scene {
    pub bingrasp_scene: u32,
    /// The setup at the last reset, from which the events start.
    pub origin: Setup,
    pub setup: Setup,
    pub events: Vec<Event>,
    pub orbit: Orbit,
    pub eye: Eye,
    pub channel: Channel,
}

impl Scene {
    pub fn of(session: &Session) -> Self {
        Self {
            bingrasp_scene: SCENE_VERSION,
            origin: session.origin.clone(),
            setup: session.setup().clone(),
            events: session.stage().log().to_vec(),
            orbit: session.free.orbit,
            eye: session.show.eye,
            channel: session.show.channel,
        }
    }

    /// # Errors
    /// A file that is missing, too large, or no scene.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let bytes = read_capped(path, LARGEST_SCENE)?;
        let scene: Self = serde_json::from_slice(&bytes)
            .with_context(|| format!("{} is no scene of bingrasp; save one with the viewer", path.display()))?;
        anyhow::ensure!(
            scene.bingrasp_scene == SCENE_VERSION,
            "{} has version {}, and this program reads version {SCENE_VERSION}",
            path.display(),
            scene.bingrasp_scene
        );
        Ok(scene)
    }

    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        write_atomic(path, &serde_json::to_vec(self)?)?;
        Ok(())
    }

    /// Puts a session into this state.
    ///
    /// # Errors
    /// Objects that are not there.
    pub fn restore(&self, session: &mut Session) -> anyhow::Result<()> {
        session.restore((self.origin.clone(), self.setup.clone()), &self.events)?;
        session.set_orbit(self.orbit);
        (session.show.eye, session.show.channel) = (self.eye, self.channel);
        Ok(())
    }
}

/// `stem-0001.ending` and so on: the first that does not exist.
fn next_path(folder: &Path, stem: &str, ending: &str) -> anyhow::Result<PathBuf> {
    create_folder(folder)?;
    let name = |i: u32| folder.join(format!("{stem}-{i:04}{ending}"));
    (1..10_000).map(name).find(|path| !path.exists()).with_context(|| format!("{} is full", folder.display()))
}

impl Viewer {
    /// Says where something went, or why it went nowhere.
    fn report(&mut self, what: &str, outcome: anyhow::Result<PathBuf>) {
        match outcome {
            Ok(path) => self.session.say(format!("{what}: {}", path.display())),
            Err(error) => self.session.say(with_causes(error.chain())),
        }
    }

    /// Asks the host for a picture of the whole window.
    pub fn take_screenshot(&mut self) {
        match next_path(&self.out, "screenshot", ".png") {
            Ok(path) => self.wishes.screenshot = Some(path),
            Err(error) => self.session.say(with_causes(error.chain())),
        }
    }

    pub fn save_scene(&mut self) {
        let save = || {
            let path = next_path(&self.out, "scene", ".json")?;
            Scene::of(&self.session).write(&path)?;
            Ok(path)
        };
        let outcome = save();
        self.report("Saved", outcome);
    }

    pub fn open_scene(&mut self, path: &Path) {
        let outcome = Scene::read(path).and_then(|scene| scene.restore(&mut self.session));
        self.report("Opened", outcome.map(|()| path.to_owned()));
    }

    /// The newest first.
    pub fn saved_scenes(&self) -> Vec<PathBuf> {
        let Ok(entries) = std::fs::read_dir(&self.out) else { return Vec::new() };
        let mut files: Vec<PathBuf> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|ending| ending == "json"))
            .collect();
        files.sort();
        files.reverse();
        files
    }

    pub fn export_pair(&mut self) {
        let export = || {
            let folder = next_path(&self.out, "pair", "")?;
            write_pair(&self.session, &folder)?;
            Ok(folder)
        };
        let outcome = export();
        self.report("Exported", outcome);
    }

    pub fn start_recording(&mut self, gif: bool) {
        let start = || {
            let path = next_path(&self.out, "recording", if gif { ".gif" } else { "" })?;
            Recorder::start(&path, gif)
        };
        match start() {
            Ok(recorder) => {
                self.recorder = Some(recorder);
                self.session.playing = true;
            }
            Err(error) => self.session.say(with_causes(error.chain())),
        }
    }

    pub fn stop_recording(&mut self) {
        if let Some(recorder) = self.recorder.take() {
            let outcome = recorder.stop();
            self.report("Recorded", outcome);
        }
    }

    /// Gives the recorder its frame; ends the recording when it is long enough.
    pub fn feed_recorder(&mut self) {
        let clock = self.session.clock();
        let full = self.recorder.as_mut().is_some_and(|recorder| !recorder.offer(clock, &self.session.gallery));
        if full {
            self.stop_recording();
        }
    }

    /// What is laid over the scene, and what was brought along.
    fn shown_words(&self) -> Vec<String> {
        let show = &self.session.show;
        let overlays = [("colliders", show.colliders), ("contacts", show.contacts), ("forces", show.forces)];
        let overlays: Vec<&str> = overlays.into_iter().filter(|(_, on)| *on).map(|(name, _)| name).collect();
        let mut words = self.given.clone();
        if !overlays.is_empty() {
            words.push(format!("--overlay={}", overlays.join(",")));
        }
        if !self.session.playing {
            words.push("--paused".to_owned());
        }
        words
    }

    /// The command that shows again what is on screen. What a person's hand did cannot be told in options: then the
    /// scene is saved and the command opens it.
    pub fn command_line(&mut self) -> String {
        let session = &self.session;
        let by_hand = |event: &Event| !matches!(event, Event::Act(_) | Event::Run(_) | Event::Idle(_));
        let told = session.setup().actor != Actor::Keyboard && !session.stage().log().iter().any(by_hand);
        if told {
            let mut words = vec!["bingrasp view".to_owned()];
            words.extend(session.setup().arguments());
            words.push(format!("--view {}", view_words(session)));
            if session.show.channel != Channel::Source {
                words.push(format!("--channel {}", session.show.channel.name()));
            }
            words.push(format!("--ticks {}", session.stage().ticks));
            words.extend(self.shown_words());
            return words.join(" ");
        }
        let save = || {
            let path = next_path(&self.out, "scene", ".json")?;
            Scene::of(&self.session).write(&path)?;
            Ok::<_, anyhow::Error>(path)
        };
        match save() {
            Ok(path) => {
                let mut words = vec![format!("bingrasp view --open {}", quoted(&path.to_string_lossy()))];
                words.extend(self.shown_words());
                words.join(" ")
            }
            Err(error) => {
                self.session.say(with_causes(error.chain()));
                String::new()
            }
        }
    }
}

fn view_words(session: &Session) -> String {
    match session.show.eye {
        Eye::Wrist => "wrist".to_owned(),
        Eye::Robot => "robot".to_owned(),
        Eye::Free => {
            let Orbit { target, distance, azimuth, elevation } = session.free.orbit;
            format!("{},{},{},{distance},{azimuth},{elevation}", target.x, target.y, target.z)
        }
    }
}

/// The pair on screen as a dataset of one, at the papers' resolution.
fn write_pair(session: &Session, folder: &Path) -> anyhow::Result<()> {
    let (stage, setup) = (session.stage(), session.setup());
    let world = stage.world();
    let look = setup.look(world.tick(), session.artist.image_count());
    let shot =
        Shot { world, look: &look, look_seed: setup.look_seed(world.tick()).0, gripper_before: stage.gripper_before };
    let camera = session.robot_camera(PAIR_SIZE);
    let frames = session.artist.once(&shot, camera)?;
    let mut config = DatasetConfig::new(Seed(setup.seed), setup.domain, 1, (PAIR_SIZE, PAIR_SIZE));
    config.camera = Some(camera);
    let is_builtin = ["train", "test", "all"].contains(&setup.objects.as_str());
    config.objects = ObjectSource {
        catalogue: if is_builtin { "built-in" } else { "folder" }.to_owned(),
        split: if is_builtin { setup.objects.clone() } else { "all".to_owned() },
        per_episode: u32::try_from(setup.count).unwrap_or(u32::MAX),
        digest: (!is_builtin).then(|| crate::objects::digest(session.objects())),
    };
    let first = crate::scene::instance::OBJECT;
    let objects = world.objects().iter().zip(world.object_poses()).zip(first..);
    let record = PairRecord {
        episode_seed: setup.seed,
        action: stage.last_action,
        gripper: world.gripper_state(),
        objects: objects
            .map(|((model, pose), instance)| ObjectState {
                name: model.name.clone(),
                instance,
                world_from_object: *pose,
            })
            .collect(),
        bodies: world.body_poses().to_vec(),
        ..PairRecord::default()
    };
    let mut writer = PairWriter::create(folder, &config)?;
    writer.write(0, &frames, &[record])?;
    writer.finish()?;
    Ok(())
}
