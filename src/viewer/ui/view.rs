//! The main view: the picture, the mouse on it, and what is laid over it.

use super::super::camera::Preset;
use super::super::pictures::Channel;
use super::super::session::Eye;
use super::super::setup::PolicyChoice;
use super::super::translator::Output;
use super::{Viewer, overlay, servo, theme};
use bevy_egui::egui::{
    self, Align2, Color32, CornerRadius, Margin, PointerButton, Pos2, Rect, Response, RichText, Sense, Ui, pos2, vec2,
};

/// Radians for each point of a drag.
const TURN: f32 = 0.006;

pub fn show(ui: &mut Ui, viewer: &mut Viewer) {
    let right = if viewer.session.show.controls { 4 } else { 8 };
    let bottom = 8;
    let frame = egui::Frame::new().fill(theme::GROUND).inner_margin(Margin { left: 8, right, top: 8, bottom });
    egui::CentralPanel::default().frame(frame).show_inside(ui, |ui| {
        let area = ui.available_rect_before_wrap();
        let response = ui.allocate_rect(area, Sense::click_and_drag());
        viewer.mark("view", &response);
        let scale = ui.ctx().pixels_per_point() * viewer.detail;
        let pixels = |points: f32| (points * scale).round().max(16.0) as u32;
        viewer.session.set_view_size(pixels(area.width()), pixels(area.height()));
        viewer.view_rect = picture_rect(viewer, area);
        let painter = ui.painter().with_clip_rect(area);
        painter.rect_filled(area, CornerRadius::same(8), Color32::from_rgb(225, 228, 234));
        if let Some(texture) = viewer.textures.main {
            theme::picture(&painter, texture, viewer.view_rect);
        }
        mouse(ui, viewer, &response);
        overlay::paint(&painter.with_clip_rect(viewer.view_rect.intersect(area)), viewer);
        presets(ui, viewer, area);
        channels(ui, viewer, area);
        if viewer.session.setup().policy == PolicyChoice::Keyboard {
            key_help(ui, area);
        }
        servo::show(ui, viewer, area);
        notice(ui, viewer, area);
        outcome(ui, viewer, area);
    });
}

/// The whole area, or for the robot's square pictures the largest square in its middle.
fn picture_rect(viewer: &Viewer, area: Rect) -> Rect {
    if viewer.session.show.eye == Eye::Robot {
        Rect::from_center_size(area.center(), egui::Vec2::splat(area.width().min(area.height())))
    } else {
        area
    }
}

fn mouse(ui: &Ui, viewer: &mut Viewer, response: &Response) {
    let pixel = |viewer: &Viewer, point: Pos2| viewer.to_pixel(point);
    if let Some(grip) = viewer.grip {
        match response.interact_pointer_pos().filter(|_| response.dragged_by(PointerButton::Primary)) {
            Some(point) => {
                let place = pixel(viewer, point);
                viewer.session.drag(&grip, place);
            }
            None => {
                viewer.session.stage_mut().let_go();
                viewer.grip = None;
            }
        }
        return;
    }
    let free = viewer.session.show.eye == Eye::Free;
    let shift = ui.input(|input| input.modifiers.shift);
    let origin = ui.input(|input| input.pointer.press_origin());
    if response.drag_started_by(PointerButton::Primary)
        && !shift
        && let Some(point) = origin
    {
        let place = pixel(viewer, point);
        viewer.grip = viewer.session.grab(place);
        if viewer.grip.is_some() {
            return;
        }
    }
    if !free {
        return;
    }
    let delta = response.drag_delta();
    let camera = &mut viewer.session.free;
    let pans = response.dragged_by(PointerButton::Secondary) || response.dragged_by(PointerButton::Middle);
    if delta != egui::Vec2::ZERO {
        if pans || (shift && response.dragged_by(PointerButton::Primary)) {
            let height = response.rect.height().max(1.0);
            camera.pan(delta.x / height, delta.y / height);
        } else if response.dragged_by(PointerButton::Primary) {
            camera.turn(delta.x * TURN, delta.y * TURN);
        }
    }
    if response.double_clicked()
        && let Some(point) = response.interact_pointer_pos()
        && let (_, Some(place)) = viewer.session.pick(pixel(viewer, point))
    {
        viewer.session.free.centre_on(place);
    }
    if response.contains_pointer() {
        let (scroll, pinch) = ui.input(|input| (input.smooth_scroll_delta().y, input.zoom_delta()));
        if scroll != 0.0 || pinch != 1.0 {
            viewer.session.free.zoom((-scroll * 0.003).exp() / pinch);
        }
    }
    let hover = response.hover_pos().map(|point| viewer.session.pick(pixel(viewer, point)).0);
    if let Some(Some(_)) = hover {
        ui.ctx().set_cursor_icon(egui::CursorIcon::Grab);
    }
}

/// A row of choices over the picture.
fn floating(ui: &mut Ui, id: &str, (corner, place): (Align2, Pos2), contents: impl FnOnce(&mut Ui)) {
    egui::Area::new(egui::Id::new(id)).order(egui::Order::Middle).fade_in(false).pivot(corner).fixed_pos(place).show(
        ui.ctx(),
        |ui| {
            theme::veil().show(ui, |ui| {
                ui.horizontal(|ui| {
                    ui.spacing_mut().item_spacing.x = 2.0;
                    contents(ui);
                });
            });
        },
    );
}

fn presets(ui: &mut Ui, viewer: &mut Viewer, area: Rect) {
    floating(ui, "presets", (Align2::LEFT_TOP, area.min + vec2(8.0, 8.0)), |ui| {
        for (i, preset) in Preset::ALL.into_iter().enumerate() {
            let selected = preset == Preset::Wrist && viewer.session.show.eye == Eye::Wrist;
            let response = theme::choice(ui, selected, preset.label()).on_hover_text(format!("Key {}", i + 1));
            viewer.mark(format!("preset-{}", preset.name()), &response);
            if response.clicked() {
                viewer.session.go_to(preset, false);
            }
        }
    });
}

fn channels(ui: &mut Ui, viewer: &mut Viewer, area: Rect) {
    floating(ui, "channels", (Align2::RIGHT_TOP, pos2(area.max.x - 8.0, area.min.y + 8.0)), |ui| {
        if viewer.session.show.eye == Eye::Robot {
            ui.label(theme::muted("  Robot camera"));
            if viewer.session.show.channel == Channel::Generated {
                for output in Output::ALL {
                    let response = theme::choice(ui, viewer.session.show.output == output, output.label());
                    viewer.mark(format!("output-{}", output.name()), &response);
                    if response.clicked() {
                        viewer.session.show.output = output;
                    }
                }
            }
            let response = theme::choice(ui, false, "✖ Close").on_hover_text("Back to the free view (Esc)");
            viewer.mark("close-panel", &response);
            if response.clicked() {
                viewer.session.leave_panel();
            }
            return;
        }
        for channel in Channel::ALL {
            let selected = viewer.session.show.channel == channel;
            let response = theme::choice(ui, selected, channel.label()).on_hover_text(channel.tooltip());
            viewer.mark(format!("channel-{}", channel.name()), &response);
            if response.clicked() {
                viewer.session.show.channel = channel;
            }
        }
    });
}

fn key_help(ui: &mut Ui, area: Rect) {
    let keys = [
        ("W A S D", "move"),
        ("Q E", "down, up"),
        ("⬅ ➡", "turn"),
        ("G", "grip"),
        ("Enter", "lift, judge"),
        ("H", "all keys"),
    ];
    floating(ui, "keys", (Align2::LEFT_BOTTOM, pos2(area.min.x + 8.0, area.max.y - 8.0)), |ui| {
        ui.spacing_mut().item_spacing.x = 5.0;
        for (key, what) in keys {
            ui.add_space(3.0);
            theme::key_cap(ui, key);
            ui.label(theme::muted(what));
        }
        ui.add_space(5.0);
    });
}

fn notice(ui: &mut Ui, viewer: &Viewer, area: Rect) {
    let Some(notice) = &viewer.session.notice else { return };
    let place = pos2(area.max.x - 8.0, area.max.y - 8.0);
    floating(ui, "notice", (Align2::RIGHT_BOTTOM, place), |ui| {
        ui.add_space(6.0);
        ui.set_max_width(area.width() * 0.7);
        ui.label(RichText::new(&notice.text));
        ui.add_space(6.0);
    });
}

fn outcome(ui: &mut Ui, viewer: &Viewer, area: Rect) {
    let stage = viewer.session.stage();
    let Some(step) = stage.last_step.as_ref().filter(|_| stage.episode().is_done()) else { return };
    let (text, colour) = if step.success() { ("✔ Grasped", theme::GOOD) } else { ("✖ Missed", theme::BAD) };
    let place = pos2(area.center().x, area.min.y + 56.0);
    floating(ui, "outcome", (Align2::CENTER_TOP, place), |ui| {
        ui.add_space(8.0);
        ui.label(RichText::new(text).size(16.0).strong().color(colour));
        ui.add_space(8.0);
    });
}
