//! The page with the keys.

use super::keys::HELP;
use super::{Viewer, theme};
use bevy_egui::egui::{self, RichText, vec2};

pub fn show(ctx: &egui::Context, viewer: &mut Viewer) {
    if !viewer.help {
        return;
    }
    let mut shown = true;
    egui::Window::new("bingrasp")
        .title_bar(false)
        .collapsible(false)
        .resizable(false)
        .anchor(egui::Align2::CENTER_CENTER, vec2(0.0, 0.0))
        .default_width(880.0)
        .show(ctx, |ui| {
            ui.horizontal(|ui| {
                ui.label(RichText::new("bingrasp").size(22.0).strong().color(theme::ACCENT));
                ui.label(theme::muted(env!("CARGO_PKG_VERSION")));
                ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                    let response = ui.button("Close").on_hover_text("Esc");
                    viewer.mark("close-help", &response);
                    shown = !response.clicked();
                });
            });
            ui.label(
                "A robot grasps from a bin: simulated by physics, drawn in several visual domains at once. \
                 What you see is drawn by the renderer that the learners see through.",
            );
            ui.add_space(10.0);
            ui.columns(HELP.len(), |columns| {
                for (ui, (group, keys)) in columns.iter_mut().zip(HELP) {
                    theme::title(ui, group);
                    ui.add_space(2.0);
                    ui.spacing_mut().interact_size.y = 18.0;
                    egui::Grid::new(group).num_columns(2).spacing(vec2(12.0, 5.0)).show(ui, |ui| {
                        for (key, what) in keys {
                            ui.label(RichText::new(*key).monospace().color(theme::ACCENT));
                            ui.label(*what);
                            ui.end_row();
                        }
                    });
                }
            });
            ui.add_space(10.0);
            let adapter = &viewer.session.gpu().description;
            let session = &viewer.session;
            for name in session
                .translator()
                .map(|t| format!("Generator: {}", t.name))
                .into_iter()
                .chain(session.pilot().map(|pilot| format!("Policy: {}", pilot.name)))
            {
                ui.label(theme::muted(name));
            }
            ui.label(theme::muted(format!(
                "Drawing on {}{}. Files go to {}.",
                adapter.name,
                if adapter.software { " (software)" } else { "" },
                viewer.out.display()
            )));
        });
    viewer.help = shown;
}
