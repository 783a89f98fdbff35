//! What is taken home: screenshots, recordings, scenes, pairs, and the command line that shows the same again.

use super::camera::Orbit;
use super::pictures::{Channel, RenderRequest};
use super::recorder::Recorder;
use super::session::{Eye, Session};
use super::setup::{PolicyChoice, Setup, quoted};
use super::stage::Event;
use super::ui::Viewer;
use crate::contract::Seed;
use crate::data::paired::{DatasetConfig, ObjectSource, ObjectState, PairRecord, PairWriter};
use crate::files::atomic::{create_folder, read_capped, write_atomic};
use crate::files::console::with_causes;
use anyhow::Context;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Edge of an exported pair, pixels: the papers' crop.
const PAIR_SIZE: u32 = 472;
const LARGEST_SCENE: u64 = 64 << 20;
/// 2: `actor` is `policy`.
const SCENE_VERSION: u32 = 2;

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

/// What is read of a scene first.
#[derive(Deserialize)]
struct SceneVersion {
    bingrasp_scene: u32,
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
        let no_scene = || format!("{} is no scene of bingrasp; save one with the viewer", path.display());
        // The version first, so that another version's scene is not blamed for keys that are merely unknown here.
        let version: SceneVersion = serde_json::from_slice(&bytes).with_context(no_scene)?;
        anyhow::ensure!(
            version.bingrasp_scene == SCENE_VERSION,
            "{} is a scene of format {}, written by another version of bingrasp, and this program reads format \
             {SCENE_VERSION}; use that version, or save the scene again",
            path.display(),
            version.bingrasp_scene
        );
        serde_json::from_slice(&bytes).with_context(no_scene)
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
            Ok(path) => self.requests.screenshot = Some(path),
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
        let full = self.recorder.as_mut().is_some_and(|recorder| !recorder.offer(clock, &self.session.panels));
        if full {
            self.stop_recording();
        }
    }

    /// What is laid over the scene, and what was brought along.
    fn shown_args(&self) -> Vec<String> {
        let show = &self.session.show;
        let overlays = [("colliders", show.colliders), ("contacts", show.contacts), ("forces", show.forces)];
        let mut overlays: Vec<&str> = overlays.into_iter().filter(|(_, on)| *on).map(|(name, _)| name).collect();
        let mut args = self.given.clone();
        // The options of the setup name every other policy.
        let learned = self.session.setup().policy == PolicyChoice::Learned;
        args.retain(|arg| learned || !(arg.starts_with("--policy ") || arg.starts_with("--servo ")));
        // It is shown where no overlay is named.
        if !overlays.is_empty() && show.servo && self.session.pilot().is_some_and(|pilot| pilot.servos) {
            overlays.push("servo");
        }
        if !overlays.is_empty() {
            args.push(format!("--overlay={}", overlays.join(",")));
        }
        if !self.session.playing {
            args.push("--paused".to_owned());
        }
        args
    }

    /// The command that shows again what is on screen. What a person's hand did cannot be told in options: then the
    /// scene is saved and the command opens it.
    pub fn command_line(&mut self) -> String {
        let session = &self.session;
        let by_hand = |event: &Event| !matches!(event, Event::Act(_) | Event::Run(_) | Event::Idle(_));
        let told = session.setup().policy != PolicyChoice::Keyboard && !session.stage().log().iter().any(by_hand);
        if told {
            let mut args = vec!["bingrasp view".to_owned()];
            args.extend(session.setup().arguments());
            args.push(format!("--view {}", view_args(session)));
            if session.show.channel != Channel::Source {
                args.push(format!("--channel {}", session.show.channel.name()));
            }
            args.push(format!("--ticks {}", session.stage().ticks));
            args.extend(self.shown_args());
            return args.join(" ");
        }
        let save = || {
            let path = next_path(&self.out, "scene", ".json")?;
            Scene::of(&self.session).write(&path)?;
            Ok::<_, anyhow::Error>(path)
        };
        match save() {
            Ok(path) => {
                let mut args = vec![format!("bingrasp view --open {}", quoted(&path.to_string_lossy()))];
                args.extend(self.shown_args());
                args.join(" ")
            }
            Err(error) => {
                self.session.say(with_causes(error.chain()));
                String::new()
            }
        }
    }
}

fn view_args(session: &Session) -> String {
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
    let step_index = stage.episode().step_index();
    let paint = world.objects().iter().map(|object| object.paint);
    let look = setup.look(step_index, session.panel_renderer.image_count()).with_paint(paint);
    let look = look.with_bin_paint(stage.cell().surfaces.bin_paint);
    let request = RenderRequest {
        world,
        step_index,
        look: &look,
        look_seed: setup.look_seed(step_index).0,
        gripper_before: stage.gripper_before(),
    };
    let camera = session.robot_camera(PAIR_SIZE);
    let frames = session.panel_renderer.once(&request, camera)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scenes_of_other_formats_are_refused_with_the_cure() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("scene.json");
        std::fs::write(&path, r#"{"bingrasp_scene": 1, "setup": {"actor": "oracle"}}"#)?;
        let error = Scene::read(&path).err().map(|error| format!("{error:#}")).unwrap_or_default();
        assert!(error.contains("scene.json") && error.contains("format 1") && error.contains("format 2"), "{error}");
        assert!(error.contains("save the scene again"), "{error}");
        std::fs::write(&path, "{}")?;
        let error = Scene::read(&path).err().map(|error| format!("{error:#}")).unwrap_or_default();
        assert!(error.contains("no scene of bingrasp"), "{error}");
        Ok(())
    }
}
