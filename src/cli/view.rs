//! `bingrasp view`: the interactive viewer, and its pictures without a person.

use super::common::{CellArg, ImportArgs, Inputs, TextureArgs, load_objects, usual_objects};
use super::servo_trials::MaskSource;
use super::{UsageError, numbers, servo_pilot};
use crate::contract::{Domain, TaskKind};
use crate::render::Gpu;
use crate::scene::CellDescription;
use crate::viewer::camera::{Orbit, Preset};
use crate::viewer::export::Scene;
use crate::viewer::offscreen::Offscreen;
use crate::viewer::pictures::Channel;
use crate::viewer::pilot::Pilot;
use crate::viewer::script::Script;
use crate::viewer::session::{Eye, Materials, Pool};
use crate::viewer::settings::Settings;
use crate::viewer::setup::{AxisKind, PolicyChoice, Setup, quoted};
use crate::viewer::{Session, Viewer, window};
use anyhow::Context;
use glam::Vec3;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::Arc;

#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// Seed of the first episode
    #[arg(long)]
    seed: Option<u64>,
    /// Domain of the source pictures: canonical, randomized-mild, randomized-medium, randomized-heavy,
    /// reality, reality-dev, reality-2
    #[arg(long)]
    domain: Option<Domain>,
    /// Objects: train, test or all of the built-in catalogue, household, household:SEED, ycb, spring-jointed,
    /// spring-jointed-rigid, or a folder of URDF, OBJ, STL, PLY, glTF or GLB files; several with commas between them
    #[arg(long, value_name = "SET|DIR")]
    objects: Option<String>,
    #[command(flatten)]
    object_options: ImportArgs,
    /// Objects in the bin
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=16))]
    count: Option<u8>,
    /// Offset of the divider from the middle of the bin, metres; drawn by the seed when left out
    #[arg(long, value_name = "M", allow_negative_numbers = true, value_parser = parse_divider)]
    divider: Option<f32>,
    /// Policy that acts: keyboard, scripted, noisy-planner, oracle, random, or the folder of a run of `train qtopt` or `train ppo`
    #[arg(long, value_name = "NAME|RUN")]
    policy: Option<PolicyArg>,
    /// Where to look from: overview, shoulder, top, side, wrist, robot, or X,Y,Z,DISTANCE,AZIMUTH,ELEVATION
    #[arg(long, value_name = "VIEW", allow_hyphen_values = true)]
    view: Option<View>,
    /// What the main view shows: source, canonical, segmentation, instances, depth, or generated with --generator
    #[arg(long)]
    channel: Option<Channel>,
    /// One look for a whole episode, also in randomized-heavy
    #[arg(long)]
    keep_look: bool,
    /// Draw one axis of randomization again, N times: textures, objects, light, jitter or camera
    #[arg(long, value_name = "AXIS=N")]
    roll: Vec<AxisValue>,
    /// Fix the seed of one axis
    #[arg(long, value_name = "AXIS=SEED")]
    pin: Vec<AxisValue>,
    /// Leave one axis as the canonical domain has it
    #[arg(long, value_name = "AXIS")]
    without: Vec<AxisKind>,
    /// Servo on masks: truth (the renderer's, no run needed), network (of --generator), k-means or watershed; after the pose
    /// agent of --policy where there is one, on pictures that --generator translates
    #[arg(long, value_name = "MASKS")]
    servo: Option<MaskSource>,
    /// Draw colliders, contacts and forces over the picture, or some of them, or what the servo sees
    #[arg(long, value_name = "WHAT", num_args = 0..=1, require_equals = true, value_delimiter = ',',
        default_missing_value = "colliders,contacts,forces")]
    overlay: Vec<Overlay>,
    /// A run of `train rcan`: its generator translates what the robot's camera sees, as one more panel
    #[arg(long, value_name = "RUN")]
    generator: Option<PathBuf>,
    #[command(flatten)]
    cell: CellArg,
    #[command(flatten)]
    textures: TextureArgs,
    /// A scene that was saved with the viewer
    #[arg(long, value_name = "FILE")]
    open: Option<PathBuf>,
    /// Physics ticks (240 a second) to run first
    #[arg(long, default_value_t = 0)]
    ticks: u32,
    /// Write what the window would show and leave; needs no display
    #[arg(long, value_name = "FILE")]
    screenshot: Option<PathBuf>,
    /// Size of the window in points
    #[arg(long, value_name = "WxH", value_parser = parse_size)]
    size: Option<(f32, f32)>,
    /// Pixels a point, for the screenshot; a window takes its display's
    #[arg(long, default_value_t = 1.0, value_parser = numbers::real32(0.5..=4.0))]
    pixels_per_point: f32,
    /// Folder for screenshots, recordings, scenes and pairs
    #[arg(long, value_name = "DIR", default_value = "bingrasp-view")]
    out: PathBuf,
    /// Forget what was remembered, and remember nothing
    #[arg(long)]
    fresh: bool,
    /// Start paused
    #[arg(long)]
    paused: bool,
    /// Input from a file, one JSON step a line, for tests and demonstrations
    #[arg(long, value_name = "FILE", hide = true)]
    script: Option<PathBuf>,
    /// Play the script without a display
    #[arg(long, requires = "script", hide = true)]
    headless: bool,
}

/// `--overlay`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Overlay {
    Colliders,
    Contacts,
    Forces,
    Servo,
}

/// `--policy`.
#[derive(Clone, Debug, PartialEq)]
enum PolicyArg {
    Builtin(PolicyChoice),
    /// The folder of a run.
    Run(PathBuf),
}

impl FromStr for PolicyArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse() {
            Ok(choice) => Ok(Self::Builtin(choice)),
            Err(_) if Path::new(text).is_dir() => Ok(Self::Run(text.into())),
            Err(error) => Err(format!("{error}, or pass the folder of a run of `train qtopt`")),
        }
    }
}

/// `--view`.
#[derive(Clone, Copy, Debug, PartialEq)]
enum View {
    Preset(Preset),
    Robot,
    Orbit(Orbit),
}

impl FromStr for View {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "robot" {
            return Ok(Self::Robot);
        }
        if !text.contains(',') {
            return Preset::from_str(text).map(Self::Preset).map_err(|error| error.replace(" or ", ", robot or "));
        }
        let numbers: Vec<f32> = text.split(',').filter_map(|word| word.trim().parse().ok()).collect();
        match numbers[..] {
            [x, y, z, distance, azimuth, elevation]
                if (0.01..=100.0).contains(&distance) && numbers.iter().all(|n| n.abs() <= 100.0) =>
            {
                Ok(Self::Orbit(Orbit { target: Vec3::new(x, y, z), distance, azimuth, elevation }))
            }
            _ => Err(
                "six numbers are needed: X,Y,Z,DISTANCE,AZIMUTH,ELEVATION in metres and radians, none beyond 100 and \
                      DISTANCE from 0.01"
                    .to_owned(),
            ),
        }
    }
}

/// `light=3`.
#[derive(Clone, Copy, Debug, PartialEq)]
struct AxisValue(AxisKind, u64);

impl FromStr for AxisValue {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, value) = text.split_once('=').ok_or("write AXIS=NUMBER, as light=1")?;
        let value = value.parse().map_err(|_| format!("'{value}' is not a whole number"))?;
        Ok(Self(name.parse()?, value))
    }
}

/// Within the bin of the usual cell.
fn parse_divider(text: &str) -> Result<f32, String> {
    let cell = CellDescription::iiwa_bin();
    let [low, high] = cell.bins.first().and_then(|bin| bin.divider).map_or([0.0; 2], |divider| divider.range);
    numbers::real32(thousandths(low)..=thousandths(high))(text).map(|metres| metres.clamp(low, high))
}

/// Metres to the millimetre, so that 0.08 in 32 bits is not told as 0.07999999821.
fn thousandths(metres: f32) -> f64 {
    (f64::from(metres) * 1e3).round() / 1e3
}

fn parse_size(text: &str) -> Result<(f32, f32), String> {
    let parse = || {
        let (width, height) = text.split_once('x')?;
        let side = |word: &str| word.parse::<u16>().ok().filter(|n| (320..=7680).contains(n)).map(f32::from);
        Some((side(width)?, side(height)?))
    };
    parse().ok_or_else(|| "write WIDTHxHEIGHT, each from 320 to 7680, as 1280x720".to_owned())
}

impl Args {
    fn policy_run(&self) -> Option<&Path> {
        match &self.policy {
            Some(PolicyArg::Run(run)) => Some(run.as_path()),
            Some(PolicyArg::Builtin(_)) | None => None,
        }
    }

    /// Points.
    pub(super) fn window_size(&self) -> [f32; 2] {
        let (width, height) = self.size.unwrap_or((1280.0, 720.0));
        [width, height]
    }
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if let Some(path) = &args.screenshot {
        Inputs::default()
            .users("--open", args.open.as_deref())
            .users("--script", args.script.as_deref())
            .run("--generator", args.generator.as_deref())
            .run("--policy", args.policy_run())
            .objects(args.objects.as_deref())
            .textures(args.textures.folder())
            .check_picture("--screenshot", path)?;
    }
    let script = args.script.as_ref().map(|path| {
        let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        Script::parse(&text)
    });
    let script = script.transpose()?;
    // Pictures without a person depend on the command line alone.
    let alone = args.screenshot.is_some() || script.is_some();
    let settings = if args.fresh || alone { Settings::default() } else { Settings::load() };
    if args.screenshot.is_some() || args.headless {
        let size = args.size.unwrap_or((1280.0, 720.0));
        let mut offscreen = Offscreen::new(build(args, &settings)?, size, args.pixels_per_point);
        if let Some(script) = script {
            offscreen.play(script)?;
        }
        if let Some(path) = &args.screenshot {
            offscreen.screenshot(path)?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let window = args.size.map_or(settings.window, |(width, height)| [width, height]);
    let options = window::Options { size: window, remember: !(args.fresh || alone), script, measure: None };
    let (args, settings) = (args.clone(), settings);
    window::run(move || build(&args, &settings), options)?;
    Ok(ExitCode::SUCCESS)
}

/// The session that the arguments and the remembered settings describe.
pub(super) fn build(args: &Args, settings: &Settings) -> anyhow::Result<Viewer> {
    let gpu = Gpu::open()?;
    let cell = args.cell.load()?;
    let setup = setup(args, &settings.setup, &cell);
    let images = args.textures.load()?;
    let scene = args.open.as_deref().map(Scene::read).transpose()?;
    let pool = |name: &str| -> anyhow::Result<Pool> {
        Ok(Pool { name: name.to_owned(), models: Arc::new(load_objects(name, args.object_options)?) })
    };
    // A remembered folder may be gone.
    let pool = match pool(&setup.objects) {
        Err(_) if args.objects.is_none() => pool("train")?,
        loaded => loaded?,
    };
    let setup = Setup { objects: pool.name.clone(), ..setup };
    let options = args.object_options;
    let load = Box::new(move |name: &str| load_objects(name, options));
    let mut given: Vec<String> = Vec::new();
    let pilot = pilot(args, (&cell, setup.domain), &mut given)?;
    let materials = Materials { cell, pool, images, load };
    let mut session = Session::new(setup, materials, gpu);
    (session.show, session.speed) = (settings.show, settings.speed);
    session.set_orbit(settings.orbit);
    if let Some(pilot) = pilot {
        session.set_pilot(pilot);
    }
    if let Some(scene) = scene {
        scene.restore(&mut session)?;
    }
    match args.view {
        Some(View::Preset(preset)) => session.go_to(preset, true),
        Some(View::Robot) => session.show.eye = Eye::Robot,
        Some(View::Orbit(orbit)) => {
            session.show.eye = Eye::Free;
            session.set_orbit(orbit);
        }
        None => {}
    }
    if let Some(channel) = args.channel {
        session.show.channel = channel;
        if channel == Channel::Generated {
            session.show.eye = Eye::Robot;
        }
    }
    if !args.overlay.is_empty() {
        let on = |which| args.overlay.contains(&which);
        (session.show.colliders, session.show.contacts) = (on(Overlay::Colliders), on(Overlay::Contacts));
        (session.show.forces, session.show.servo) = (on(Overlay::Forces), on(Overlay::Servo));
    }
    if let Some(run) = &args.generator {
        // A semantic generator translates for the pose agent, and has no panel.
        if args.servo.is_none() {
            session.set_translator(super::generator::translator(run)?);
        }
        given.push(format!("--generator {}", quoted(&run.to_string_lossy())));
    }
    if let Some(folder) = &args.textures.textures {
        given.push(format!("--textures {}", quoted(&folder.to_string_lossy())));
    }
    let usual = ImportArgs::default();
    for (flag, value, usual) in [
        ("--scale", options.scale, usual.scale),
        ("--density", options.density, usual.density),
        ("--friction", options.friction, usual.friction),
    ] {
        if value != usual {
            given.push(format!("{flag} {value}"));
        }
    }
    session.run(args.ticks);
    session.playing = !(args.paused || args.open.is_some() || args.screenshot.is_some());
    let mut viewer = Viewer::new(session, args.out.clone());
    viewer.given = given;
    Ok(viewer)
}

/// The policy of a run, or the servo; `given` gets the words that name it.
fn pilot(
    args: &Args,
    (cell, domain): (&Arc<CellDescription>, Domain),
    given: &mut Vec<String>,
) -> anyhow::Result<Option<Pilot>> {
    let run = args.policy_run();
    given.extend(run.map(|run| format!("--policy {}", quoted(&run.to_string_lossy()))));
    if let Some(masks) = args.servo {
        if let Some(PolicyArg::Builtin(choice)) = &args.policy {
            let message = format!("--servo acts by itself; leave --policy {choice} out, or pass a run of train ppo");
            return Err(UsageError(message).into());
        }
        given.push(format!("--servo {}", servo_pilot::name_of(masks)));
        return servo_pilot::pilot(masks, (run, args.generator.as_deref()), domain, cell).map(Some);
    }
    run.map(super::pilot::pilot).transpose()
}

fn setup(args: &Args, remembered: &Setup, cell: &CellDescription) -> Setup {
    let mut setup = remembered.clone();
    if cell.task != TaskKind::BinGrasp {
        setup.count = cell.objects.per_episode;
        usual_objects(cell, false).clone_into(&mut setup.objects);
    }
    setup.seed = args.seed.unwrap_or(setup.seed);
    setup.domain = args.domain.unwrap_or(setup.domain);
    setup.objects = args.objects.clone().unwrap_or(setup.objects);
    setup.count = args.count.map_or(setup.count, usize::from);
    setup.divider_m = args.divider.or(setup.divider_m);
    // The run of a remembered learned policy may be gone.
    let remembered = if setup.policy == PolicyChoice::Learned { PolicyChoice::Scripted } else { setup.policy };
    setup.policy = match &args.policy {
        Some(PolicyArg::Builtin(choice)) => *choice,
        Some(PolicyArg::Run(_)) => PolicyChoice::Learned,
        None if args.servo.is_some() => PolicyChoice::Learned,
        None => remembered,
    };
    setup.every_step &= !args.keep_look;
    for &AxisValue(kind, rolls) in &args.roll {
        setup.axis_mut(kind).rolls = rolls;
    }
    for &AxisValue(kind, seed) in &args.pin {
        setup.axis_mut(kind).pinned = Some(crate::contract::Seed(seed));
    }
    for &kind in &args.without {
        setup.axis_mut(kind).on = false;
    }
    setup
}
