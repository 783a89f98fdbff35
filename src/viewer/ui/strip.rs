//! The strip under the main view: the robot camera's panels, and what is happening.

use super::super::pictures::Channel;
use super::super::session::Eye;
use super::super::translator::Output;
use super::{Viewer, theme};
use crate::contract::{Action, GripperCommand};
use bevy_egui::egui::{self, CornerRadius, Margin, Panel, Rect, RichText, Sense, Stroke, StrokeKind, Ui, pos2, vec2};
use egui_plot::{Line, Plot, PlotPoints, Points};

const PICTURE: f32 = 148.0;
const HEIGHT: f32 = 176.0;
/// The least width of what is said beside the panels.
const FACTS: f32 = 252.0;

pub fn show(ui: &mut Ui, viewer: &mut Viewer) {
    let frame = egui::Frame::new().fill(theme::GROUND).inner_margin(Margin { left: 8, right: 4, top: 0, bottom: 8 });
    Panel::bottom("strip").frame(frame).resizable(false).show_separator_line(false).exact_size(186.0).show_inside(
        ui,
        |ui| {
            ui.horizontal_top(|ui| {
                ui.spacing_mut().item_spacing.x = 8.0;
                let channels = viewer.session.channels();
                let room = (ui.available_width() - FACTS) / channels.len() as f32 - 16.0;
                let edge = room.floor().clamp(100.0, PICTURE);
                for (i, &channel) in channels.iter().enumerate() {
                    panel(ui, viewer, (i, channel), edge);
                }
                now(ui, viewer);
            });
        },
    );
}

fn panel(ui: &mut Ui, viewer: &mut Viewer, (i, channel): (usize, Channel), edge: f32) {
    let size = vec2(edge + 8.0, HEIGHT);
    let (rect, response) = ui.allocate_exact_size(size, Sense::click());
    let response = response.on_hover_text(format!("{}. Click to enlarge.", tooltip(viewer, channel)));
    viewer.mark(format!("panel-{}", channel.name()), &response);
    let enlarged = viewer.session.show.eye == Eye::Robot && viewer.session.show.channel == channel;
    let frame = if enlarged || response.hovered() { theme::ACCENT } else { theme::LINE };
    let painter = ui.painter();
    painter.rect(rect, CornerRadius::same(8), theme::PAPER, Stroke::new(1.0, frame), StrokeKind::Inside);
    let picture = Rect::from_min_size(rect.min + vec2(4.0, 4.0 + (PICTURE - edge) * 0.5), vec2(edge, edge));
    let drawn = !viewer.session.panels.panels[i].is_empty();
    if let Some(texture) = viewer.textures.panels[i].filter(|_| drawn) {
        theme::picture(painter, texture, picture);
    }
    let font = egui::FontId::proportional(12.0);
    let caption = match (channel, viewer.session.show.output) {
        (Channel::Source, _) => format!("Source: {}", short(viewer)),
        (Channel::Generated, Output::Segmentation) => "Generated classes".to_owned(),
        (Channel::Generated, Output::Depth) => "Generated depth".to_owned(),
        (other, _) => other.label().to_owned(),
    };
    let place = pos2(rect.min.x + 6.0, rect.max.y - 12.0);
    painter.text(place, egui::Align2::LEFT_CENTER, caption, font, if enlarged { theme::ACCENT } else { theme::INK });
    if response.clicked() {
        viewer.session.zoom_panel(channel);
    }
}

fn tooltip(viewer: &Viewer, channel: Channel) -> String {
    match (channel, viewer.session.translator()) {
        (Channel::Generated, Some(translator)) => format!(
            "{}: {}, {} pixels, {:.0} ms a picture",
            channel.tooltip(),
            translator.name,
            translator.size,
            translator.seconds() * 1e3
        ),
        _ => channel.tooltip().to_owned(),
    }
}

fn short(viewer: &Viewer) -> &'static str {
    viewer.session.setup().domain.name().trim_start_matches("randomized-")
}

/// State, action, reward, outcome, and how attempts went.
fn now(ui: &mut Ui, viewer: &mut Viewer) {
    let width = ui.available_width();
    if width < 170.0 {
        return;
    }
    let frame = theme::card().inner_margin(Margin::symmetric(12, 8));
    frame.show(ui, |ui| {
        ui.set_width(width - 26.0);
        ui.set_height(160.0);
        ui.vertical(|ui| {
            ui.spacing_mut().item_spacing.y = 2.0;
            ui.spacing_mut().interact_size.y = 17.0;
            heading(ui, viewer);
            egui::Grid::new("now").num_columns(2).spacing(vec2(10.0, 1.0)).show(ui, |ui| {
                for (name, value) in facts(viewer) {
                    ui.label(theme::muted(name));
                    ui.label(RichText::new(value).monospace());
                    ui.end_row();
                }
            });
            successes(ui, viewer);
        });
    });
}

fn heading(ui: &mut Ui, viewer: &Viewer) {
    let stage = viewer.session.stage();
    let world = stage.world();
    ui.horizontal(|ui| {
        theme::title(ui, &format!("Step {} of {}", world.step_index(), world.config().max_steps));
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            let outcome = match (&stage.last_step, world.is_done()) {
                (Some(step), true) if step.success() => Some(("grasped", theme::GOOD)),
                (Some(step), true) if step.invalid => Some(("cut off", theme::BAD)),
                (_, true) => Some(("missed", theme::BAD)),
                _ => None,
            };
            match outcome {
                Some((word, colour)) => ui.label(RichText::new(word).strong().color(colour)),
                None => ui.label(theme::muted(if stage.is_busy() { "moving" } else { "waiting" })),
            };
        });
    });
}

fn facts(viewer: &Viewer) -> [(&'static str, String); 4] {
    let stage = viewer.session.stage();
    let state = stage.world().gripper_state();
    let [left, right, palm] = stage.world().contact_forces().map(|newtons| newtons.max(0.0) + 0.0);
    let reward = stage.last_step.as_ref().map_or("–".to_owned(), |step| format!("{:+.2}", step.reward));
    [
        ("Action", stage.last_action.as_ref().map_or("–".to_owned(), describe)),
        (
            "Gripper",
            format!(
                "{} {:.0} mm, {:.0} cm up",
                if state.closed { "closed" } else { "open" },
                state.aperture_m * 1e3,
                (state.height_m * 100.0).max(0.0)
            ),
        ),
        ("Forces", format!("{left:.0} {right:.0} N, palm {palm:.0} N")),
        ("Reward", format!("{reward}, sum {:+.2}", stage.episode_return)),
    ]
}

fn describe(action: &Action) -> String {
    let [x, y, z] = action.translation_m.map(|metres| (metres * 1e3).round() as i32);
    let degrees = action.rotation_rad.to_degrees().round() as i32;
    let mut text = format!("{x:+} {y:+} {z:+} mm {degrees:+}°");
    match action.gripper {
        GripperCommand::Keep => {}
        GripperCommand::Close => text.push_str(" close"),
        GripperCommand::Open => text.push_str(" open"),
    }
    if action.terminate {
        text = "lift and judge".to_owned();
    }
    text
}

fn successes(ui: &mut Ui, viewer: &mut Viewer) {
    let scores = &viewer.session.scores;
    ui.add_space(3.0);
    ui.horizontal(|ui| {
        let text = match scores.rate() {
            Some(rate) => format!("{} of {} grasped ({:.0}%)", scores.successes, scores.attempts, rate * 100.0),
            None => "No attempt yet".to_owned(),
        };
        ui.label(RichText::new(text).small().strong());
    });
    let curve = scores.curve();
    let line = Line::new("success rate", PlotPoints::from(curve)).color(theme::ACCENT).width(1.6);
    let marks = |success: bool, height: f64| -> Vec<[f64; 2]> {
        let first = scores.attempts as usize - scores.recent().len();
        let which = scores.recent().iter().enumerate().filter(|&(_, &outcome)| outcome == success);
        which.map(|(i, _)| [(first + i + 1) as f64, height]).collect()
    };
    let dots = |name: &str, points: Vec<[f64; 2]>, colour| Points::new(name, points).color(colour).radius(2.2);
    let (grasped, missed) = (marks(true, 1.0), marks(false, 0.0));
    let response = Plot::new("success")
        .height(ui.available_height().max(24.0))
        .show_axes([false, false])
        .show_grid([false, true])
        .show_background(false)
        .show_x(false)
        .allow_zoom(false)
        .allow_drag(false)
        .allow_scroll(false)
        .allow_boxed_zoom(false)
        .include_y(-0.12)
        .include_y(1.12)
        .include_x(1.0)
        .include_x(10.0)
        .show(ui, |plot| {
            plot.line(line);
            plot.points(dots("grasped", grasped, theme::GOOD));
            plot.points(dots("missed", missed, theme::BAD));
        })
        .response;
    let response = response.on_hover_text("Every attempt, and the success rate of the last 20");
    viewer.mark("scores", &response);
}
