//! Input of a script, sent as the window system would.

use crate::viewer::script::{Button, Input};
use bevy::app::AppExit;
use bevy::input::ButtonState;
use bevy::input::keyboard::{Key, KeyCode, KeyboardInput};
use bevy::input::mouse::{MouseButton, MouseButtonInput, MouseScrollUnit, MouseWheel};
use bevy::input::touch::TouchPhase;
use bevy::prelude::*;
use bevy::window::{CursorMoved, WindowCloseRequested};

/// What a script sends, as the window system would.
#[derive(bevy::ecs::system::SystemParam)]
pub(super) struct Senders<'w> {
    moves: MessageWriter<'w, CursorMoved>,
    buttons: MessageWriter<'w, MouseButtonInput>,
    wheels: MessageWriter<'w, MouseWheel>,
    keys: MessageWriter<'w, KeyboardInput>,
    pub(super) close: MessageWriter<'w, WindowCloseRequested>,
    pub(super) exit: MessageWriter<'w, AppExit>,
}

impl Senders<'_> {
    pub(super) fn send(&mut self, input: &Input, window: Entity) {
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
