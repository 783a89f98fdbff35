//! What the keys do. One table serves the keyboard and the help page.

use super::super::camera::Preset;
use super::super::session::Eye;
use super::super::setup::PolicyChoice;
use super::super::stage::Teleop;
use super::Viewer;
use bevy_egui::egui::{self, Key};
use glam::Vec3;

/// (keys, what they do) by group, for the help page.
pub const HELP: [(&str, &[(&str, &str)]); 3] = [
    (
        "Play",
        &[
            ("Space", "play or pause"),
            (".", "one step"),
            ("R", "reset the episode"),
            ("N  /  B", "new seed / back to the last"),
            ("+  /  -", "faster / slower"),
            ("X", "drop another object"),
        ],
    ),
    (
        "Look",
        &[
            ("1 to 5", "overview, shoulder, top, side, wrist"),
            ("left drag", "turn; on an object: pull it"),
            ("right drag", "move the view"),
            ("scroll", "zoom"),
            ("double click", "look there"),
            ("O", "colliders, contacts, forces"),
            ("P", "screenshot"),
            ("Tab", "hide or show the controls"),
            ("Esc", "back to the free view"),
        ],
    ),
    (
        "Drive (keyboard)",
        &[
            ("W A S D", "away, left, near, right"),
            ("E  /  Q", "up / down"),
            ("Left / Right", "turn the gripper"),
            ("G", "close or open the gripper"),
            ("Enter", "lift and judge the grasp"),
        ],
    ),
];

pub fn handle(ctx: &egui::Context, viewer: &mut Viewer) {
    if ctx.egui_wants_keyboard_input() {
        viewer.session.stage_mut().teleop = Teleop::default();
        return;
    }
    let pressed = |key| ctx.input(|input| input.key_pressed(key) && !input.modifiers.command && !input.modifiers.alt);
    if pressed(Key::Escape) {
        if viewer.help || viewer.open.is_some() {
            viewer.help = false;
            viewer.open = None;
        } else if viewer.session.show.eye != Eye::Free {
            viewer.session.leave_panel();
        }
    }
    if pressed(Key::H) || pressed(Key::F1) {
        viewer.help = !viewer.help;
    }
    if pressed(Key::P) {
        viewer.take_screenshot();
    }
    let session = &mut viewer.session;
    if pressed(Key::Space) {
        session.toggle_play();
    }
    if pressed(Key::Period) {
        session.step_once();
    }
    if pressed(Key::R) {
        session.reset();
    }
    if pressed(Key::N) {
        session.new_seed();
    }
    if pressed(Key::B) {
        session.back();
    }
    if pressed(Key::Plus) || pressed(Key::Equals) {
        session.faster();
    }
    if pressed(Key::Minus) {
        session.slower();
    }
    if pressed(Key::X) {
        session.drop_another();
    }
    if pressed(Key::O) {
        let on = !(session.show.colliders || session.show.contacts || session.show.forces);
        (session.show.colliders, session.show.contacts, session.show.forces) = (on, on, on);
    }
    if pressed(Key::Tab) {
        session.show.controls = !session.show.controls;
    }
    for (key, preset) in [Key::Num1, Key::Num2, Key::Num3, Key::Num4, Key::Num5].into_iter().zip(Preset::ALL) {
        if pressed(key) {
            session.go_to(preset, false);
        }
    }
    drive(ctx, viewer);
}

/// The keys that move the gripper, relative to where the person looks from.
fn drive(ctx: &egui::Context, viewer: &mut Viewer) {
    let session = &mut viewer.session;
    if session.setup().policy != PolicyChoice::Keyboard {
        session.stage_mut().teleop = Teleop::default();
        return;
    }
    let axis = |plus: &[Key], minus: &[Key]| {
        let down = |keys: &[Key]| ctx.input(|input| keys.iter().any(|&key| input.key_down(key)));
        f32::from(u8::from(down(plus))) - f32::from(u8::from(down(minus)))
    };
    let (away, right) = match session.show.eye {
        Eye::Free => session.free.orbit.ground_axes(),
        Eye::Wrist | Eye::Robot => {
            // The camera's own right, flattened.
            let right = session.main_camera().world_from_camera.transform_vector(Vec3::X).with_z(0.0);
            let right = right.try_normalize().unwrap_or(Vec3::NEG_Y);
            (Vec3::Z.cross(right), right)
        }
    };
    let direction = away * axis(&[Key::W], &[Key::S])
        + right * axis(&[Key::D], &[Key::A])
        + Vec3::Z * axis(&[Key::E, Key::ArrowUp], &[Key::Q, Key::ArrowDown]);
    let turn = axis(&[Key::ArrowLeft], &[Key::ArrowRight]);
    let moves = direction != Vec3::ZERO || turn != 0.0;
    session.stage_mut().teleop = Teleop { direction, turn };
    let pressed = |key| ctx.input(|input| input.key_pressed(key));
    let (grip, lift) = (pressed(Key::G), pressed(Key::Enter));
    if grip {
        session.stage_mut().toggle_gripper();
    }
    if lift {
        session.stage_mut().terminate();
    }
    if (grip || lift || moves) && !session.playing {
        session.playing = true;
    }
}
