//! Light, one accent colour, even spacing.

use bevy_egui::egui::{
    self, Color32, CornerRadius, FontFamily, FontId, Margin, Response, RichText, Shadow, Stroke, TextStyle, Ui, vec2,
};

pub const ACCENT: Color32 = Color32::from_rgb(43, 96, 222);
pub const ACCENT_SOFT: Color32 = Color32::from_rgb(226, 234, 252);
pub const INK: Color32 = Color32::from_rgb(28, 33, 43);
pub const MUTED: Color32 = Color32::from_rgb(98, 107, 122);
pub const PAPER: Color32 = Color32::WHITE;
pub const GROUND: Color32 = Color32::from_rgb(243, 244, 247);
pub const LINE: Color32 = Color32::from_rgb(222, 225, 231);
pub const GOOD: Color32 = Color32::from_rgb(24, 132, 84);
pub const BAD: Color32 = Color32::from_rgb(190, 58, 50);
const RADIUS: u8 = 4;

pub fn install(ctx: &egui::Context) {
    ctx.set_theme(egui::Theme::Light);
    // Where frames take long, a press and its release are seen far apart; still it is a click.
    ctx.options_mut(|options| options.input_options.max_click_duration = 10.0);
    ctx.all_styles_mut(|style| {
        let font = |size| FontId::new(size, FontFamily::Proportional);
        style.text_styles = [
            (TextStyle::Small, font(11.5)),
            (TextStyle::Body, font(13.0)),
            (TextStyle::Button, font(13.0)),
            (TextStyle::Heading, font(17.0)),
            (TextStyle::Monospace, FontId::new(12.0, FontFamily::Monospace)),
        ]
        .into();
        let spacing = &mut style.spacing;
        spacing.item_spacing = vec2(8.0, 6.0);
        spacing.button_padding = vec2(9.0, 4.0);
        spacing.interact_size = vec2(30.0, 26.0);
        spacing.slider_width = 118.0;
        spacing.combo_width = 120.0;
        spacing.tooltip_width = 320.0;
        spacing.window_margin = Margin::same(16);
        style.animation_time = 0.06;
        style.interaction.tooltip_delay = 0.4;
        style.interaction.selectable_labels = false;
        let visuals = &mut style.visuals;
        *visuals = egui::Visuals::light();
        visuals.panel_fill = GROUND;
        visuals.window_fill = PAPER;
        visuals.extreme_bg_color = PAPER;
        visuals.faint_bg_color = GROUND;
        visuals.window_stroke = Stroke::new(1.0, LINE);
        visuals.window_corner_radius = CornerRadius::same(10);
        visuals.menu_corner_radius = CornerRadius::same(8);
        visuals.window_shadow = Shadow { offset: [0, 6], blur: 22, spread: 0, color: Color32::from_black_alpha(36) };
        visuals.popup_shadow = Shadow { offset: [0, 3], blur: 12, spread: 0, color: Color32::from_black_alpha(28) };
        visuals.selection.bg_fill = ACCENT;
        visuals.selection.stroke = Stroke::new(1.0, PAPER);
        visuals.hyperlink_color = ACCENT;
        visuals.slider_trailing_fill = true;
        visuals.override_text_color = None;
        let radius = CornerRadius::same(RADIUS);
        let widgets = &mut visuals.widgets;
        for (widget, fill, line) in [
            (&mut widgets.noninteractive, PAPER, LINE),
            (&mut widgets.inactive, PAPER, LINE),
            (&mut widgets.hovered, Color32::from_rgb(238, 242, 252), ACCENT),
            (&mut widgets.active, ACCENT_SOFT, ACCENT),
            (&mut widgets.open, ACCENT_SOFT, ACCENT),
        ] {
            widget.weak_bg_fill = fill;
            widget.bg_fill = fill;
            widget.bg_stroke = Stroke::new(1.0, line);
            widget.fg_stroke = Stroke::new(1.0, INK);
            widget.corner_radius = radius;
            widget.expansion = 0.0;
        }
        // Rails of sliders and boxes of check marks must stand out from white paper.
        widgets.inactive.bg_fill = Color32::from_rgb(214, 219, 228);
        widgets.hovered.bg_fill = Color32::from_rgb(198, 208, 228);
    });
}

/// A whole texture with rounded corners.
pub fn picture(painter: &egui::Painter, texture: egui::TextureId, rect: egui::Rect) {
    let whole = egui::Rect::from_min_max(egui::pos2(0.0, 0.0), egui::pos2(1.0, 1.0));
    let shape = egui::epaint::RectShape::filled(rect, CornerRadius::same(RADIUS), Color32::WHITE);
    painter.add(shape.with_texture(texture, whole));
}

/// White paper with a thin edge.
pub fn card() -> egui::Frame {
    egui::Frame::new()
        .fill(PAPER)
        .stroke(Stroke::new(1.0, LINE))
        .corner_radius(CornerRadius::same(8))
        .inner_margin(Margin::symmetric(12, 10))
}

/// Over the main view: legible on any picture.
pub fn veil() -> egui::Frame {
    egui::Frame::new()
        .fill(Color32::from_rgba_unmultiplied(255, 255, 255, 235))
        .stroke(Stroke::new(1.0, Color32::from_black_alpha(24)))
        .corner_radius(CornerRadius::same(8))
        .inner_margin(Margin::same(4))
}

pub fn title(ui: &mut Ui, text: &str) {
    ui.label(RichText::new(text).strong().color(INK));
}

/// A key as it looks on a keyboard.
pub fn key_cap(ui: &mut Ui, text: &str) {
    egui::Frame::new()
        .fill(PAPER)
        .stroke(Stroke::new(1.0, LINE))
        .corner_radius(CornerRadius::same(4))
        .inner_margin(Margin::symmetric(5, 1))
        .show(ui, |ui| ui.label(RichText::new(text).monospace().color(ACCENT)));
}

pub fn muted(text: impl Into<String>) -> RichText {
    RichText::new(text).color(MUTED).small()
}

/// A button filled with the accent colour.
pub fn primary(ui: &mut Ui, text: &str, width: f32) -> Response {
    let button = egui::Button::new(RichText::new(text).color(PAPER)).fill(ACCENT).min_size(vec2(width, 28.0));
    ui.scope(|ui| {
        let widgets = &mut ui.visuals_mut().widgets;
        for widget in [&mut widgets.inactive, &mut widgets.hovered, &mut widgets.active] {
            widget.bg_stroke = Stroke::NONE;
        }
        ui.add(button)
    })
    .inner
}

/// One of several choices.
pub fn choice(ui: &mut Ui, selected: bool, text: &str) -> Response {
    let (fill, colour) = if selected { (ACCENT, PAPER) } else { (Color32::TRANSPARENT, INK) };
    let button = egui::Button::new(RichText::new(text).color(colour))
        .fill(fill)
        .min_size(vec2(0.0, 24.0))
        .wrap_mode(egui::TextWrapMode::Extend);
    ui.scope(|ui| {
        ui.spacing_mut().button_padding.x = 7.0;
        ui.visuals_mut().widgets.inactive.bg_stroke = Stroke::NONE;
        ui.add(button)
    })
    .inner
}
