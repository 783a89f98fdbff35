//! The bar on top: time, seed, and what is taken home.

use super::super::session::SPEEDS;
use super::{OpenMenu, Viewer, theme};
use bevy_egui::egui::{self, Align, Button, DragValue, Layout, Margin, Panel, RichText, Ui, vec2};

/// Width of the bar from which on everything has its full words, points.
const ROOMY: f32 = 1080.0;

pub fn show(ui: &mut Ui, viewer: &mut Viewer) {
    let frame = egui::Frame::new().fill(theme::PAPER).inner_margin(Margin::symmetric(12, 8));
    Panel::top("top").frame(frame).exact_size(46.0).show_inside(ui, |ui| {
        let is_narrow = ui.available_width() < ROOMY;
        ui.horizontal_centered(|ui| {
            if !is_narrow {
                ui.label(RichText::new("bingrasp").heading().strong().color(theme::ACCENT));
                ui.add_space(8.0);
            }
            time(ui, viewer);
            ui.separator();
            seed(ui, viewer);
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| home(ui, viewer, is_narrow));
        });
    });
}

/// A button with a tooltip and a name for scripts.
fn button(ui: &mut Ui, viewer: &mut Viewer, (name, text, tip): (&str, &str, &str)) -> bool {
    let response = ui.add(Button::new(text).min_size(vec2(30.0, 28.0))).on_hover_text(tip);
    viewer.mark(name, &response);
    response.clicked()
}

fn time(ui: &mut Ui, viewer: &mut Viewer) {
    let text = if viewer.session.playing { "⏸  Pause" } else { "▶  Play" };
    let response = theme::primary(ui, text, 84.0).on_hover_text("Play or pause (Space)");
    viewer.mark("play", &response);
    if response.clicked() {
        viewer.session.toggle_play();
    }
    if button(ui, viewer, ("step", "⏭", "One step of the environment (.)")) {
        viewer.session.step_once();
    }
    if button(ui, viewer, ("reset", "⟲", "Start this episode again (R)")) {
        viewer.session.reset();
    }
    let speed = viewer.session.speed;
    let response = egui::ComboBox::from_id_salt("speed")
        .selected_text(format!("{speed}×"))
        .width(58.0)
        .show_ui(ui, |ui| {
            for choice in SPEEDS {
                let response = ui.selectable_value(&mut viewer.session.speed, choice, format!("{choice}×"));
                viewer.mark(format!("speed-{choice}"), &response);
            }
        })
        .response
        .on_hover_text("Speed of time (+ and -)");
    viewer.mark("speed", &response);
}

fn seed(ui: &mut Ui, viewer: &mut Viewer) {
    ui.label(RichText::new("Seed").color(theme::MUTED));
    let back = ui.add_enabled(viewer.session.can_go_back(), Button::new("⏴").min_size(vec2(28.0, 28.0)));
    let back = back.on_hover_text("Back to the seed before (B)");
    viewer.mark("back", &back);
    if back.clicked() {
        viewer.session.back();
    }
    let mut setup = viewer.session.setup().clone();
    let field = DragValue::new(&mut setup.seed).speed(0.1).update_while_editing(false);
    let response = ui.add_sized(vec2(72.0, 28.0), field).on_hover_text("The seed names the whole episode");
    viewer.mark("seed", &response);
    viewer.session.apply(setup);
    if button(ui, viewer, ("new-seed", "New", "Another seed (N)")) {
        viewer.session.new_seed();
    }
}

fn home(ui: &mut Ui, viewer: &mut Viewer, is_narrow: bool) {
    let short = |full, short| if is_narrow { short } else { full };
    if button(ui, viewer, ("help", "?", "Keys and about (H)")) {
        viewer.help = !viewer.help;
    }
    if button(ui, viewer, ("copy", short("Copy command", "Copy"), "Copy the command line that shows this again")) {
        let command = viewer.command_line();
        viewer.requests.copy = Some(command);
    }
    if button(
        ui,
        viewer,
        ("export", short("Export pair", "Export"), "Write the current pair (472 pixels) as a one-pair dataset"),
    ) {
        viewer.export_pair();
    }
    if button(ui, viewer, ("open", "Open", "Open a saved scene")) {
        viewer.open = Some(OpenMenu { files: viewer.saved_scenes(), path: String::new() });
    }
    if button(ui, viewer, ("save", "Save", "Save the scene: seed and everything that happened since")) {
        viewer.save_scene();
    }
    record(ui, viewer);
    if button(ui, viewer, ("screenshot", "📷", "Screenshot (P)")) {
        viewer.take_screenshot();
    }
}

fn record(ui: &mut Ui, viewer: &mut Viewer) {
    if let Some(recorder) = &viewer.recorder {
        let text = RichText::new(format!("⏹ {}", recorder.frames())).color(theme::BAD);
        let response = ui.add(Button::new(text).min_size(vec2(30.0, 28.0))).on_hover_text("Stop recording");
        viewer.mark("record", &response);
        if response.clicked() {
            viewer.stop_recording();
        }
        return;
    }
    let response = egui::ComboBox::from_id_salt("record")
        .selected_text("Record")
        .width(64.0)
        .show_ui(ui, |ui| {
            for (name, text, gif) in [("record-gif", "Animated GIF", true), ("record-png", "Folder of PNGs", false)] {
                let response = ui.selectable_label(false, text);
                viewer.mark(name, &response);
                if response.clicked() {
                    viewer.start_recording(gif);
                }
            }
        })
        .response
        .on_hover_text("Record the main view and the panels");
    viewer.mark("record", &response);
}

/// The list of saved scenes, when it is asked for.
pub fn show_open(ctx: &egui::Context, viewer: &mut Viewer) {
    let Some(mut menu) = viewer.open.take() else { return };
    let mut shown = true;
    let mut chosen = None;
    egui::Window::new("Open a scene")
        .open(&mut shown)
        .collapsible(false)
        .resizable(false)
        .anchor(egui::Align2::CENTER_CENTER, vec2(0.0, 0.0))
        .default_width(380.0)
        .show(ctx, |ui| {
            if menu.files.is_empty() {
                ui.label(theme::muted(format!("No scene is saved in {} yet.", viewer.out.display())));
            }
            egui::ScrollArea::vertical().max_height(260.0).show(ui, |ui| {
                for (i, file) in menu.files.iter().enumerate() {
                    let name = file.file_name().unwrap_or_default().to_string_lossy();
                    let response = ui.add(Button::new(name.as_ref()).min_size(vec2(340.0, 28.0)));
                    viewer.mark(format!("scene-{i}"), &response);
                    if response.clicked() {
                        chosen = Some(file.clone());
                    }
                }
            });
            ui.add_space(6.0);
            ui.horizontal(|ui| {
                ui.add(egui::TextEdit::singleline(&mut menu.path).hint_text("or a path").desired_width(270.0));
                if ui.button("Open").clicked() && !menu.path.trim().is_empty() {
                    chosen = Some(menu.path.trim().into());
                }
            });
        });
    match chosen {
        Some(path) => viewer.open_scene(&path),
        None if shown => viewer.open = Some(menu),
        None => {}
    }
}
