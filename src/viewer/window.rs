//! The window: a Bevy app with winit and bevy_egui around a [`Viewer`].
//!
//! In: a way to build the viewer (on another thread, while the window opens), options. Out: figures of how it ran. The
//! pictures come from the session's own graphics device and are shown as textures.

mod clipboard;
mod display;
mod input;
mod painted;

pub use display::NoWindow;

use super::painter::Painter;
use super::pictures::PANELS;
use super::script::{Order, Script, State};
use super::settings::Settings;
use super::translator::Translator;
use super::ui::{Textures, Viewer, install_theme};
use crate::draw::save_picture;
use crate::files::atomic::write_atomic;
use crate::files::console::{self, with_causes};
use anyhow::Context;
use bevy::app::{AppExit, TaskPoolOptions, TaskPoolPlugin, TerminalCtrlCHandlerPlugin};
use bevy::asset::RenderAssetUsages;
use bevy::camera::{CameraMainTextureUsages, ClearColorConfig};
use bevy::log::LogPlugin;
use bevy::prelude::*;
use bevy::render::render_resource::{Extent3d, TextureDimension, TextureFormat, TextureUsages};
use bevy::render::view::screenshot::{Screenshot, ScreenshotCaptured};
use bevy::render::{Render, RenderApp, RenderSystems};
use bevy::window::{PresentMode, PrimaryWindow, WindowCloseRequested, WindowResolution};
use bevy::winit::{UpdateMode, WinitSettings};
use bevy_egui::{
    EguiContexts, EguiPlugin, EguiPostUpdateSet, EguiPrimaryContextPass, EguiTextureHandle, EguiUserTextures, egui,
};
use clipboard::copy;
use display::check_display;
use input::Senders;
use painted::{Painted, hand_over, paint};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often a window at rest looks around.
const REST: Duration = Duration::from_millis(250);
/// How often memory is looked at while it is measured how the window runs.
const SAMPLES: usize = 20;

pub struct Options {
    /// Points.
    pub size: [f32; 2],
    /// Write the settings at the end.
    pub remember: bool,
    pub script: Option<Script>,
    /// Close by itself after playing for so long, and let frames come as fast as they can.
    pub measure: Option<Duration>,
}

/// How it ran.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// When the first whole picture was handed to the screen.
    pub first_picture: Option<Instant>,
    /// Frames after that, and the seconds that they took.
    pub frames: u64,
    pub seconds: f64,
    pub longest_frame_s: f64,
    /// Resident memory, `SAMPLES` times at equal distances; the first is after as much time as lies between two.
    pub memory_gib: Vec<f64>,
    /// Frames in which the panels changed, and pictures that a generator translated.
    pub panels_drawn: u64,
    pub translated: u64,
    pub window_pixels: [u32; 2],
    /// What the pictures are drawn on.
    pub adapter: String,
}

type Build = JoinHandle<anyhow::Result<Viewer>>;

enum Stage {
    Loading(Option<Build>),
    Ready(Box<Viewer>),
}

/// Everything that the systems share.
struct Shared {
    stage: Stage,
    script: Option<Script>,
    options: Rules,
    handles: Option<[Handle<Image>; 1 + PANELS]>,
    uploaded: [u64; 1 + PANELS],
    painter: Painter,
    report: Report,
    before: Option<Instant>,
    /// Frames that showed a whole picture.
    shown: u64,
    error: Option<anyhow::Error>,
    settings: Option<Settings>,
    scripted_screenshots: usize,
}

#[derive(Clone, Copy)]
struct Rules {
    remember: bool,
    measure: Option<Duration>,
}

#[derive(Resource, Clone)]
struct Handles(Arc<Mutex<Shared>>);

impl Handles {
    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Opens the window and runs until it is closed.
///
/// # Errors
/// No window system; the viewer cannot be built; the graphics device fails.
pub fn run(
    build: impl FnOnce() -> anyhow::Result<Viewer> + Send + 'static,
    options: Options,
) -> anyhow::Result<Report> {
    check_display()?;
    // Another part of the program may have installed it already.
    let _ = crate::files::interrupt::install(|| {});
    let [width, height] = options.size;
    let window = Window {
        title: "bingrasp".into(),
        name: Some("bingrasp".into()),
        resolution: WindowResolution::new(width as u32, height as u32),
        present_mode: if options.measure.is_some() { PresentMode::AutoNoVsync } else { PresentMode::AutoVsync },
        resize_constraints: WindowResizeConstraints { min_width: 960.0, min_height: 560.0, ..default() },
        ..default()
    };
    let mut app = App::new();
    app.add_plugins(
        DefaultPlugins
            .set(WindowPlugin { primary_window: Some(window), ..default() })
            .set(LogPlugin { filter: "error".into(), ..default() })
            .set(TaskPoolPlugin { task_pool_options: threads() })
            .disable::<TerminalCtrlCHandlerPlugin>(),
    );
    // Only now: opening a graphics device may connect to the display and leave it again, and an X server that loses its
    // last client starts anew, just when winit knocks.
    let worker = std::thread::Builder::new().name("viewer".into()).spawn(build).context("starting a thread")?;
    let shared = Handles(Arc::new(Mutex::new(Shared {
        stage: Stage::Loading(Some(worker)),
        script: options.script,
        options: Rules { remember: options.remember, measure: options.measure },
        handles: None,
        uploaded: [0; 1 + PANELS],
        painter: Painter::default(),
        report: Report::default(),
        before: None,
        shown: 0,
        error: None,
        settings: None,
        scripted_screenshots: 0,
    })));
    // Arrays of textures are slow on software adapters, and there are six textures.
    app.add_plugins(EguiPlugin { bindless_mode_array_size: None, ..default() });
    app.insert_resource(ClearColor(Color::srgb_u8(243, 244, 247)));
    app.insert_resource(WinitSettings { focused_mode: UpdateMode::Continuous, unfocused_mode: UpdateMode::Continuous });
    app.insert_resource(shared.clone());
    app.add_systems(Startup, |mut commands: Commands| {
        // The picture that was handed over must not be cleared away; the layout covers the whole window.
        let camera = Camera { clear_color: ClearColorConfig::None, ..default() };
        let usages = CameraMainTextureUsages::default().with(TextureUsages::COPY_DST);
        commands.spawn((Camera2d, camera, usages, Msaa::Off));
    });
    let painted = Painted::default();
    if let Some(render_app) = app.get_sub_app_mut(RenderApp) {
        render_app.insert_resource(painted.clone());
        render_app.add_systems(Render, hand_over.in_set(RenderSystems::Queue));
    }
    app.insert_resource(painted);
    app.add_systems(First, (play_script, stop_on_signal));
    app.add_systems(Update, advance);
    app.add_systems(EguiPrimaryContextPass, lay_out);
    app.add_systems(PostUpdate, (handle_requests, remember));
    let before_upload = EguiPostUpdateSet::PostProcessOutput;
    app.add_systems(PostUpdate, paint.after(EguiPostUpdateSet::ProcessOutput).before(before_upload));
    app.run();
    let mut shared = shared.lock();
    let shared = &mut *shared;
    if let Stage::Ready(viewer) = &mut shared.stage {
        shared.report.adapter = viewer.session.gpu().description.name.clone();
        shared.report.panels_drawn = viewer.session.panels_drawn;
        shared.report.translated = viewer.session.translator().map_or(0, Translator::translated);
        if let Some(recorder) = viewer.recorder.take() {
            recorder.stop()?;
        }
    }
    if shared.options.remember
        && let Some(settings) = &shared.settings
    {
        settings.save();
    }
    match shared.error.take() {
        Some(error) => Err(error),
        None => Ok(shared.report.clone()),
    }
}

/// Threads for systems. Drawing a frame occupies one while it waits for the graphics device, and the frame before is
/// brought to the screen meanwhile: with Bevy's choice for two cores, one thread, it would have to wait.
fn threads() -> TaskPoolOptions {
    let mut options = TaskPoolOptions::default();
    options.compute.min_threads = 4;
    options
}

/// Time, and new pictures.
fn advance(
    shared: Res<Handles>,
    mut images: ResMut<Assets<Image>>,
    mut user_textures: ResMut<EguiUserTextures>,
    mut winit: ResMut<WinitSettings>,
    mut exit: MessageWriter<AppExit>,
) {
    let mut shared = shared.lock();
    let shared = &mut *shared;
    if let Stage::Loading(worker) = &mut shared.stage {
        if !worker.as_ref().is_some_and(JoinHandle::is_finished) {
            return;
        }
        let built = worker.take().map(JoinHandle::join);
        match built {
            Some(Ok(Ok(viewer))) => shared.stage = Stage::Ready(Box::new(viewer)),
            Some(Ok(Err(error))) => shared.error = Some(error),
            _ => shared.error = Some(anyhow::anyhow!("the viewer could not be built")),
        }
    }
    let Stage::Ready(viewer) = &mut shared.stage else {
        exit.write(AppExit::error());
        return;
    };
    let now = Instant::now();
    let seconds = shared.before.replace(now).map_or(0.0, |before| (now - before).as_secs_f32());
    if seconds > 0.0 {
        viewer.frames_per_s += (1.0 / seconds - viewer.frames_per_s) * 0.05;
    }
    viewer.detail = viewer.adapt_resolution(seconds);
    viewer.session.update(seconds.min(0.5));
    if let Err(error) = viewer.session.draw() {
        shared.error = Some(error.into());
        exit.write(AppExit::error());
        return;
    }
    viewer.feed_recorder();
    if viewer.session.gpu().description.software {
        viewer.textures = Textures::numbered();
    } else if let Err(error) =
        upload(viewer, &mut shared.uploaded, &mut shared.handles, (&mut images, &mut user_textures))
    {
        shared.error = Some(error);
    }
    let mode = if viewer.session.is_alive() || shared.script.is_some() || viewer.recorder.is_some() {
        UpdateMode::Continuous
    } else {
        UpdateMode::reactive(REST)
    };
    if winit.focused_mode != mode {
        (winit.focused_mode, winit.unfocused_mode) = (mode, mode);
    }
    shared.count_frame(now, f64::from(seconds), &mut exit);
}

/// New pictures as textures of Bevy's device.
fn upload(
    viewer: &mut Viewer,
    uploaded: &mut [u64; 1 + PANELS],
    handles: &mut Option<[Handle<Image>; 1 + PANELS]>,
    (images, user_textures): (&mut Assets<Image>, &mut EguiUserTextures),
) -> anyhow::Result<()> {
    let handles = handles.get_or_insert_with(|| std::array::from_fn(|_| images.add(Image::default())));
    for ((picture, handle), uploaded) in viewer.pictures().into_iter().zip(&*handles).zip(uploaded) {
        if picture.version != *uploaded && !picture.is_empty() {
            *uploaded = picture.version;
            let size =
                Extent3d { width: picture.width as u32, height: picture.height as u32, depth_or_array_layers: 1 };
            let image = Image::new(
                size,
                TextureDimension::D2,
                picture.rgba.clone(),
                TextureFormat::Rgba8UnormSrgb,
                RenderAssetUsages::RENDER_WORLD,
            );
            images.insert(handle.id(), image).map_err(|error| anyhow::anyhow!("{error}"))?;
        }
    }
    if viewer.textures == Textures::default() {
        let mut id = |i: usize| Some(user_textures.add_image(EguiTextureHandle::Strong(handles[i].clone())));
        viewer.textures = Textures { main: id(0), panels: std::array::from_fn(|i| id(1 + i)) };
    }
    Ok(())
}

impl Shared {
    fn count_frame(&mut self, now: Instant, seconds: f64, exit: &mut MessageWriter<AppExit>) {
        self.shown += 1;
        // The first frame has no layout yet, and the second shows it.
        if self.shown == 3 {
            self.report.first_picture = Some(now);
        }
        if self.shown > 3 {
            self.report.frames += 1;
            self.report.seconds += seconds;
            self.report.longest_frame_s = self.report.longest_frame_s.max(seconds);
        }
        if let Some(limit) = self.options.measure {
            let share = self.report.seconds / limit.as_secs_f64().max(1e-9);
            if share * SAMPLES as f64 >= (self.report.memory_gib.len() + 1) as f64 {
                self.report.memory_gib.push(resident_gib());
            }
            if share >= 1.0 {
                exit.write(AppExit::Success);
            }
        }
    }
}

/// Memory that this process holds now; 0 where the system does not tell.
fn resident_gib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse::<f64>().ok());
    kib.map_or(0.0, |kib| kib / 1024.0 / 1024.0)
}

/// Somebody who presses everything, for so many seconds.
pub fn random_input(seconds: f32, seed: u64) -> Script {
    Script::of(vec![super::script::Step::Random { seconds: seconds * 2.0, seed }])
}

fn lay_out(shared: Res<Handles>, mut contexts: EguiContexts, mut themed: Local<bool>) {
    let Ok(ctx) = contexts.ctx_mut() else { return };
    if !std::mem::replace(&mut *themed, true) {
        install_theme(ctx);
    }
    let mut shared = shared.lock();
    match &mut shared.stage {
        Stage::Ready(viewer) => viewer.show(ctx),
        Stage::Loading(_) => {
            let painter = ctx.layer_painter(egui::LayerId::background());
            let (window, font) = (ctx.content_rect(), egui::FontId::proportional(16.0));
            painter.rect_filled(window, 0.0, egui::Color32::from_rgb(243, 244, 247));
            painter.text(window.center(), egui::Align2::CENTER_CENTER, "Opening the cell", font, egui::Color32::GRAY);
        }
    }
}

/// Does what the layout asks of its host.
fn handle_requests(shared: Res<Handles>, mut commands: Commands) {
    let mut shared = shared.lock();
    let Stage::Ready(viewer) = &mut shared.stage else { return };
    if let Some(path) = viewer.requests.screenshot.take() {
        commands.spawn(Screenshot::primary_window()).observe(save_screenshot(path, false));
    }
    if let Some(text) = viewer.requests.copy.take() {
        let copied = copy(&text);
        // A terminal that is gone takes nothing; the text is shown in the window, too.
        let _ = console::print_line(&text);
        let place = if copied { "the clipboard" } else { "the terminal" };
        viewer.session.say(format!("In {place}: {text}"));
    }
}

fn save_screenshot(path: PathBuf, scripted: bool) -> impl FnMut(On<ScreenshotCaptured>, Res<Handles>) {
    move |captured: On<ScreenshotCaptured>, shared: Res<Handles>| {
        let write = || {
            let picture = captured.image.clone().try_into_dynamic()?.to_rgb8();
            let (width, height) = (picture.width() as usize, picture.height() as usize);
            save_picture(&path, picture.as_raw(), width, height)?;
            Ok::<_, anyhow::Error>(())
        };
        let outcome = write();
        let mut shared = shared.lock();
        if scripted {
            shared.scripted_screenshots -= 1;
        }
        if let Stage::Ready(viewer) = &mut shared.stage {
            match outcome {
                Ok(()) => viewer.session.say(format!("Screenshot: {}", path.display())),
                Err(error) => viewer.session.say(with_causes(error.chain())),
            }
        }
    }
}

/// Keeps what is to be remembered up to date, because the window is gone when the app ends.
fn remember(shared: Res<Handles>, windows: Query<&Window, With<PrimaryWindow>>) {
    let (Ok(window), mut shared) = (windows.single(), shared.lock()) else { return };
    shared.report.window_pixels = [window.physical_width(), window.physical_height()];
    if let Stage::Ready(viewer) = &shared.stage {
        let size = [window.width(), window.height()];
        shared.settings = Some(Settings::of(&viewer.session, size));
    }
}

/// Ctrl-C in the terminal closes the window as its button does.
fn stop_on_signal(mut exit: MessageWriter<AppExit>) {
    if crate::files::interrupt::requested() {
        exit.write(AppExit::Success);
    }
}

fn play_script(
    shared: Res<Handles>,
    time: Res<Time>,
    windows: Query<Entity, With<PrimaryWindow>>,
    mut senders: Senders,
    mut commands: Commands,
) {
    let mut shared = shared.lock();
    let shared = &mut *shared;
    let (Stage::Ready(viewer), Some(script), Ok(window)) = (&mut shared.stage, &mut shared.script, windows.single())
    else {
        return;
    };
    if shared.shown < 4 || shared.scripted_screenshots > 0 {
        return;
    }
    match script.next(viewer, time.delta_secs()) {
        Ok(Some(Order::Send(input))) => senders.send(&input, window),
        Ok(Some(Order::Screenshot(path))) => {
            shared.scripted_screenshots += 1;
            commands.spawn(Screenshot::primary_window()).observe(save_screenshot(path, true));
        }
        Ok(Some(Order::State(path))) => {
            let text = serde_json::to_vec_pretty(&State::of(viewer)).map_err(anyhow::Error::from);
            if let Err(error) = text.and_then(|text| Ok(write_atomic(&path, &text)?)) {
                shared.error = Some(error);
            }
        }
        Ok(Some(Order::Close)) => {
            senders.close.write(WindowCloseRequested { window });
        }
        Ok(None) if script.is_over() => {
            senders.exit.write(AppExit::Success);
        }
        Ok(None) => {}
        Err(error) => {
            shared.error = Some(error);
            senders.exit.write(AppExit::error());
        }
    }
}
