//! The window: a Bevy app with winit and bevy_egui around a [`Viewer`].
//!
//! In: a way to build the viewer (on another thread, while the window opens), options. Out: figures of how it ran. The
//! pictures come from the session's own graphics device and are shown as textures.

use super::painter::Painter;
use super::pictures::PANELS;
use super::script::{Button, Input, Order, Script, State};
use super::settings::Settings;
use super::translator::Translator;
use super::ui::{Textures, Viewer, install_theme};
use crate::run::atomic::write_atomic;
use anyhow::Context;
use bevy::app::{AppExit, TaskPoolOptions, TaskPoolPlugin, TerminalCtrlCHandlerPlugin};
use bevy::asset::RenderAssetUsages;
use bevy::camera::{CameraMainTextureUsages, ClearColorConfig};
use bevy::input::ButtonState;
use bevy::input::keyboard::{Key, KeyCode, KeyboardInput};
use bevy::input::mouse::{MouseButton, MouseButtonInput, MouseScrollUnit, MouseWheel};
use bevy::input::touch::TouchPhase;
use bevy::log::LogPlugin;
use bevy::prelude::*;
use bevy::render::render_resource::{Extent3d, TexelCopyBufferLayout, TextureDimension, TextureFormat, TextureUsages};
use bevy::render::renderer::RenderQueue;
use bevy::render::view::ViewTarget;
use bevy::render::view::screenshot::{Screenshot, ScreenshotCaptured};
use bevy::render::{Render, RenderApp, RenderSystems};
use bevy::window::{CursorMoved, PresentMode, PrimaryWindow, WindowCloseRequested, WindowResolution};
use bevy::winit::{UpdateMode, WinitSettings};
use bevy_egui::{
    EguiContexts, EguiPlugin, EguiPostUpdateSet, EguiPrimaryContextPass, EguiRenderOutput, EguiTextureHandle,
    EguiUserTextures, egui,
};
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
    /// Resident memory, [`SAMPLES`] times at equal distances; the first is after as much time as lies between two.
    pub memory_gib: Vec<f64>,
    /// Frames in which the panels changed, and pictures that a generator translated.
    pub panels_drawn: u64,
    pub translated: u64,
    pub window_pixels: [u32; 2],
    /// What the pictures are drawn on.
    pub adapter: String,
}

/// Why there is no window.
#[derive(Debug, thiserror::Error)]
#[error(
    "there is no window system ({0}); without one, `bingrasp view --screenshot FILE --ticks N` writes what the window \
     would show, `xvfb-run bingrasp view` opens it on a virtual display, and `bingrasp dataset` writes pictures"
)]
pub struct NoWindow(String);

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
    let _ = crate::run::interrupt::install(|| {});
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
    app.add_systems(PostUpdate, (grant, remember));
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

/// Looks for a display before winit does, which would panic.
fn check_display() -> Result<(), NoWindow> {
    if !cfg!(target_os = "linux") {
        return Ok(());
    }
    let Some(display) = std::env::var("DISPLAY").ok().filter(|name| !name.is_empty()) else {
        return Err(NoWindow("DISPLAY is not set".to_owned()));
    };
    // Local displays have a socket; others are tried by winit.
    let number = display.strip_prefix("unix:").or(display.strip_prefix(':'));
    let number = number.map(|rest| rest.split('.').next().unwrap_or_default());
    #[cfg(unix)]
    if let Some(number) = number {
        let path = format!("/tmp/.X11-unix/X{number}");
        let reachable = std::os::unix::net::UnixStream::connect(&path).is_ok() || abstract_socket(&path);
        if !reachable {
            return Err(NoWindow(format!("the display {display} does not answer")));
        }
    }
    Ok(())
}

/// X servers also listen without a file.
#[cfg(target_os = "linux")]
fn abstract_socket(path: &str) -> bool {
    use std::os::linux::net::SocketAddrExt;
    std::os::unix::net::SocketAddr::from_abstract_name(path)
        .is_ok_and(|address| std::os::unix::net::UnixStream::connect_addr(&address).is_ok())
}

#[cfg(all(unix, not(target_os = "linux")))]
fn abstract_socket(_path: &str) -> bool {
    false
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
    viewer.detail = viewer.govern(seconds);
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
fn grant(shared: Res<Handles>, mut commands: Commands) {
    let mut shared = shared.lock();
    let Stage::Ready(viewer) = &mut shared.stage else { return };
    if let Some(path) = viewer.wishes.screenshot.take() {
        commands.spawn(Screenshot::primary_window()).observe(save_screenshot(path, false));
    }
    if let Some(text) = viewer.wishes.copy.take() {
        let copied = copy(&text);
        println!("{text}");
        let place = if copied { "the clipboard" } else { "the terminal" };
        viewer.session.say(format!("In {place}: {text}"));
    }
}

fn save_screenshot(path: PathBuf, scripted: bool) -> impl FnMut(On<ScreenshotCaptured>, Res<Handles>) {
    move |captured: On<ScreenshotCaptured>, shared: Res<Handles>| {
        let write = || {
            let picture = captured.image.clone().try_into_dynamic()?.to_rgb8();
            let (width, height) = (picture.width() as usize, picture.height() as usize);
            write_atomic(&path, &crate::data::png::encode_rgb(picture.as_raw(), width, height)?)?;
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
                Err(error) => viewer.session.say(format!("{error:#}")),
            }
        }
    }
}

/// Hands text to the system's clipboard by the program that it has for that. False when it has none.
fn copy(text: &str) -> bool {
    use std::io::Write;
    use std::process::{Command, Stdio};
    const PROGRAMS: [(&str, &[&str]); 5] = [
        ("wl-copy", &[]),
        ("xclip", &["-selection", "clipboard"]),
        ("xsel", &["--clipboard", "--input"]),
        ("pbcopy", &[]),
        ("clip", &[]),
    ];
    PROGRAMS.iter().any(|(program, arguments)| {
        let quiet = Command::new(program)
            .args(*arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let Ok(mut child) = quiet else { return false };
        let written = child.stdin.take().is_some_and(|mut stdin| stdin.write_all(text.as_bytes()).is_ok());
        // It may live on as the owner of the selection; a thread waits for it.
        std::thread::spawn(move || child.wait());
        written
    })
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
    if crate::run::interrupt::requested() {
        exit.write(AppExit::Success);
    }
}

/// On an adapter that runs on the CPU the layout is painted by our own painter and handed to the screen as a picture:
/// the driver would take several times as long for the same triangles.
fn paint(
    shared: Res<Handles>,
    painted: Res<Painted>,
    windows: Query<&Window, With<PrimaryWindow>>,
    mut contexts: Query<&mut EguiRenderOutput>,
) {
    let (Ok(window), Ok(mut output), mut shared) = (windows.single(), contexts.single_mut(), shared.lock()) else {
        return;
    };
    let shared = &mut *shared;
    let software = match &shared.stage {
        Stage::Ready(viewer) => Some(viewer.session.gpu().description.software),
        Stage::Loading(_) => None,
    };
    if software == Some(false) {
        return;
    }
    // Until it is known who paints, both keep their textures.
    shared.painter.update(&output.textures_delta);
    if let Stage::Ready(viewer) = &shared.stage {
        for (i, (picture, uploaded)) in (0..).zip(viewer.pictures().into_iter().zip(&mut shared.uploaded)) {
            if picture.version != *uploaded {
                *uploaded = picture.version;
                shared.painter.set_user(i, (picture.width, picture.height), &picture.rgba);
            }
        }
        let size = (window.physical_width() as usize, window.physical_height() as usize);
        let pixels = shared.painter.paint(&output.paint_jobs, size, window.scale_factor());
        let mut frame = painted.lock();
        frame.size = [window.physical_width(), window.physical_height()];
        frame.rgba.clear();
        frame.rgba.extend_from_slice(pixels);
        drop(frame);
        shared.painter.free(&output.textures_delta);
        output.textures_delta = egui::TexturesDelta::default();
        output.paint_jobs.clear();
    }
}

/// The last picture of the CPU painter, on its way to the render world.
#[derive(Default)]
struct Frame {
    size: [u32; 2],
    rgba: Vec<u8>,
}

#[derive(Resource, Clone, Default)]
struct Painted(Arc<Mutex<Frame>>);

impl Painted {
    fn lock(&self) -> MutexGuard<'_, Frame> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes the painted picture into the camera's target before anything is drawn on it.
fn hand_over(painted: Res<Painted>, queue: Res<RenderQueue>, targets: Query<&ViewTarget>) {
    let frame = painted.lock();
    for target in &targets {
        let texture = target.main_texture();
        if [texture.width(), texture.height()] != frame.size || frame.rgba.is_empty() {
            continue;
        }
        let rows = TexelCopyBufferLayout { offset: 0, bytes_per_row: Some(frame.size[0] * 4), rows_per_image: None };
        let size = Extent3d { width: frame.size[0], height: frame.size[1], depth_or_array_layers: 1 };
        queue.write_texture(texture.as_image_copy(), &frame.rgba, rows, size);
    }
}

/// What a script sends, as the window system would.
#[derive(bevy::ecs::system::SystemParam)]
struct Senders<'w> {
    moves: MessageWriter<'w, CursorMoved>,
    buttons: MessageWriter<'w, MouseButtonInput>,
    wheels: MessageWriter<'w, MouseWheel>,
    keys: MessageWriter<'w, KeyboardInput>,
    close: MessageWriter<'w, WindowCloseRequested>,
    exit: MessageWriter<'w, AppExit>,
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

impl Senders<'_> {
    fn send(&mut self, input: &Input, window: Entity) {
        let state = |pressed: bool| if pressed { ButtonState::Pressed } else { ButtonState::Released };
        match input {
            Input::Move(place) => {
                self.moves.write(CursorMoved { window, position: Vec2::new(place.x, place.y), delta: None });
            }
            Input::Button(button, pressed) => {
                let button = match button {
                    Button::Left => MouseButton::Left,
                    Button::Right => MouseButton::Right,
                    Button::Middle => MouseButton::Middle,
                };
                self.buttons.write(MouseButtonInput { button, state: state(*pressed), window });
            }
            Input::Wheel(lines) => {
                let (unit, phase) = (MouseScrollUnit::Line, TouchPhase::Moved);
                self.wheels.write(MouseWheel { unit, x: 0.0, y: *lines, window, phase });
            }
            Input::Key(name, pressed) => {
                if let Some((key_code, logical_key)) = key(name) {
                    let event = KeyboardInput {
                        key_code,
                        logical_key,
                        state: state(*pressed),
                        text: None,
                        repeat: false,
                        window,
                    };
                    self.keys.write(event);
                }
            }
            Input::Text(text) => {
                for letter in text.chars() {
                    for pressed in [true, false] {
                        self.keys.write(KeyboardInput {
                            key_code: KeyCode::Fn,
                            logical_key: Key::Character(letter.to_string().into()),
                            state: state(pressed),
                            text: None,
                            repeat: false,
                            window,
                        });
                    }
                }
            }
        }
    }
}

/// A key by egui's name for it.
fn key(name: &str) -> Option<(KeyCode, Key)> {
    let named = |code, key| Some((code, key));
    match name {
        "Space" => named(KeyCode::Space, Key::Space),
        "Enter" => named(KeyCode::Enter, Key::Enter),
        "Escape" => named(KeyCode::Escape, Key::Escape),
        "Tab" => named(KeyCode::Tab, Key::Tab),
        "ArrowLeft" => named(KeyCode::ArrowLeft, Key::ArrowLeft),
        "ArrowRight" => named(KeyCode::ArrowRight, Key::ArrowRight),
        "ArrowUp" => named(KeyCode::ArrowUp, Key::ArrowUp),
        "ArrowDown" => named(KeyCode::ArrowDown, Key::ArrowDown),
        "Period" => named(KeyCode::Period, Key::Character(".".into())),
        "Plus" => named(KeyCode::NumpadAdd, Key::Character("+".into())),
        "Minus" => named(KeyCode::Minus, Key::Character("-".into())),
        _ => {
            let mut letters = name.chars();
            let (letter, None) = (letters.next()?, letters.next()) else { return None };
            let code = LETTERS.iter().find(|(name, _)| name.eq_ignore_ascii_case(&letter))?.1;
            named(code, Key::Character(letter.to_ascii_lowercase().to_string().into()))
        }
    }
}

#[rustfmt::skip]
const LETTERS: [(char, KeyCode); 36] = [
    ('A', KeyCode::KeyA), ('B', KeyCode::KeyB), ('C', KeyCode::KeyC), ('D', KeyCode::KeyD), ('E', KeyCode::KeyE),
    ('F', KeyCode::KeyF), ('G', KeyCode::KeyG), ('H', KeyCode::KeyH), ('I', KeyCode::KeyI), ('J', KeyCode::KeyJ),
    ('K', KeyCode::KeyK), ('L', KeyCode::KeyL), ('M', KeyCode::KeyM), ('N', KeyCode::KeyN), ('O', KeyCode::KeyO),
    ('P', KeyCode::KeyP), ('Q', KeyCode::KeyQ), ('R', KeyCode::KeyR), ('S', KeyCode::KeyS), ('T', KeyCode::KeyT),
    ('U', KeyCode::KeyU), ('V', KeyCode::KeyV), ('W', KeyCode::KeyW), ('X', KeyCode::KeyX), ('Y', KeyCode::KeyY),
    ('Z', KeyCode::KeyZ), ('0', KeyCode::Digit0), ('1', KeyCode::Digit1), ('2', KeyCode::Digit2),
    ('3', KeyCode::Digit3), ('4', KeyCode::Digit4), ('5', KeyCode::Digit5), ('6', KeyCode::Digit6),
    ('7', KeyCode::Digit7), ('8', KeyCode::Digit8), ('9', KeyCode::Digit9),
];
