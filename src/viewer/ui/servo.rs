//! What visual servoing sees and does: mask, centroid and axes, the target, the phase, errors over time.

use super::super::pilot::{Axes, ServoReading, ServoState};
use super::super::session::Eye;
use super::{Viewer, theme};
use bevy_egui::egui::{
    self, Color32, Margin, Mesh, Painter, Pos2, Rect, RichText, Sense, Stroke, StrokeKind, Ui, vec2,
};
use egui_plot::{Line, Plot, PlotPoints, VLine};

const MASK: Color32 = Color32::from_rgb(43, 96, 222);
const SEEN: Color32 = Color32::from_rgb(255, 196, 0);
const TARGET: Color32 = Color32::from_rgb(64, 224, 128);
/// Errors along the picture's axes, and of the angle.
const ERRORS: [Color32; 3] =
    [Color32::from_rgb(43, 96, 222), Color32::from_rgb(206, 92, 0), Color32::from_rgb(24, 132, 84)];
/// Edge of the picture on the card, points.
const PICTURE: f32 = 196.0;
const PLOT: f32 = 86.0;
/// Height of all else on the card and around it, points.
const BELOW: f32 = 274.0;

/// Over the main view: the marks on the robot camera's picture where that is enlarged, and the card beside it.
pub fn show(ui: &mut Ui, viewer: &mut Viewer, area: Rect) {
    let Some(reading) = viewer.session.servo().filter(|_| viewer.session.show.servo) else { return };
    let enlarged = viewer.session.show.eye == Eye::Robot;
    if enlarged {
        marks(&ui.painter().with_clip_rect(viewer.view_rect.intersect(area)), viewer.view_rect, &reading);
    }
    let place = area.min + vec2(8.0, 48.0);
    // In a low window the picture makes room for what stands below it.
    let edge = (area.height() - BELOW).clamp(80.0, PICTURE);
    let shown = egui::Area::new(egui::Id::new("servo"))
        .order(egui::Order::Middle)
        .fade_in(false)
        .fixed_pos(place)
        .show(ui.ctx(), |ui| {
            theme::veil().inner_margin(Margin::same(10)).show(ui, |ui| {
                ui.set_width(PICTURE);
                ui.spacing_mut().item_spacing.y = 4.0;
                card(ui, &reading, (!enlarged).then_some(edge));
            });
        });
    viewer.mark("servo-card", &shown.response);
}

/// `picture_edge`: the edge of the picture, where there is one.
fn card(ui: &mut Ui, reading: &ServoReading, picture_edge: Option<f32>) {
    ui.horizontal(|ui| {
        theme::title(ui, "Servo");
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            let colour = match reading.state {
                ServoState::Waiting => theme::MUTED,
                ServoState::Servoing => theme::ACCENT,
                ServoState::Converged => theme::GOOD,
                ServoState::Failed => theme::BAD,
            };
            ui.label(RichText::new(&reading.phase).strong().color(colour));
        });
    });
    if let Some(edge) = picture_edge {
        let (rect, _) = ui.allocate_exact_size(vec2(edge, edge), Sense::hover());
        let painter = ui.painter().with_clip_rect(rect);
        picture(&painter, rect, reading);
        marks(&painter, rect, reading);
        ui.painter().rect_stroke(rect, 4.0, Stroke::new(1.0, theme::LINE), StrokeKind::Outside);
    }
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = 5.0;
        for (colour, what) in [(MASK, "mask"), (SEEN, "object"), (TARGET, "target")] {
            let (dot, _) = ui.allocate_exact_size(vec2(9.0, 12.0), Sense::hover());
            ui.painter().circle_filled(dot.center(), 4.0, colour);
            ui.label(theme::muted(what));
            ui.add_space(5.0);
        }
    });
    errors(ui, reading);
}

/// The picture that was acted on, pixel by pixel.
fn picture(painter: &Painter, rect: Rect, reading: &ServoReading) {
    let size = reading.size;
    if reading.rgb.len() != size * size * 3 {
        painter.rect_filled(rect, 0.0, theme::GROUND);
        return;
    }
    let mut mesh = Mesh::default();
    let edge = rect.width() / size as f32;
    for (index, rgb) in reading.rgb.chunks_exact(3).enumerate() {
        let corner = rect.min + vec2((index % size) as f32, (index / size) as f32) * edge;
        let pixel = Rect::from_min_size(corner, vec2(edge, edge));
        mesh.add_colored_rect(pixel, Color32::from_rgb(rgb[0], rgb[1], rgb[2]));
    }
    painter.add(mesh);
}

/// Mask, axes and target over a picture that fills `rect`.
fn marks(painter: &Painter, rect: Rect, reading: &ServoReading) {
    let size = reading.size;
    let edge = rect.width() / size.max(1) as f32;
    if reading.mask.len() == size * size && size > 0 {
        outline(painter, rect, edge, reading);
    }
    let place = |[x, y]: [f32; 2]| rect.min + vec2(x + 0.5, y + 0.5) * edge;
    let width = (edge * 0.5).clamp(1.5, 3.0);
    if let Some(target) = &reading.target {
        axis(painter, (place(target.centre), target, edge), (TARGET, width));
        painter.circle_stroke(place(target.centre), 5.0, Stroke::new(width + 2.0, Color32::from_black_alpha(150)));
        painter.circle_stroke(place(target.centre), 5.0, Stroke::new(width, TARGET));
    }
    if let Some(seen) = &reading.seen {
        axis(painter, (place(seen.centre), seen, edge), (SEEN, width));
        painter.circle_filled(place(seen.centre), 4.0, Color32::from_black_alpha(180));
        painter.circle_filled(place(seen.centre), 3.0, SEEN);
    }
    if let (Some(seen), Some(target)) = (&reading.seen, &reading.target) {
        let way = [place(seen.centre), place(target.centre)];
        painter.extend(egui::Shape::dashed_line(&way, Stroke::new(1.2, Color32::WHITE), 4.0, 3.0));
    }
}

/// A tint, and a line where the mask ends.
fn outline(painter: &Painter, rect: Rect, edge: f32, reading: &ServoReading) {
    let size = reading.size;
    let on = |x: usize, y: usize| x < size && y < size && reading.mask[y * size + x];
    let corner = |x: usize, y: usize| rect.min + vec2(x as f32, y as f32) * edge;
    let mut tint = Mesh::default();
    let stroke = Stroke::new(1.5, MASK);
    for y in 0..size {
        for x in (0..size).filter(|&x| on(x, y)) {
            let pixel = Rect::from_min_size(corner(x, y), vec2(edge, edge));
            tint.add_colored_rect(pixel, Color32::from_rgba_unmultiplied(MASK.r(), MASK.g(), MASK.b(), 70));
            for (is_inside, from, to) in [
                (y > 0 && on(x, y - 1), (x, y), (x + 1, y)),
                (on(x, y + 1), (x, y + 1), (x + 1, y + 1)),
                (x > 0 && on(x - 1, y), (x, y), (x, y + 1)),
                (on(x + 1, y), (x + 1, y), (x + 1, y + 1)),
            ] {
                if !is_inside {
                    painter.line_segment([corner(from.0, from.1), corner(to.0, to.1)], stroke);
                }
            }
        }
    }
    painter.add(tint);
}

/// Both axes through a centre, the longer one thicker, with a dark edge.
fn axis(painter: &Painter, (centre, axes, edge): (Pos2, &Axes, f32), (colour, width): (Color32, f32)) {
    let (sin, cos) = axes.angle.sin_cos();
    for (half, [x, y], width) in [(axes.half[0], [cos, sin], width), (axes.half[1], [-sin, cos], 0.6 * width)] {
        let way = vec2(x, y) * half * edge;
        if half > 0.0 {
            painter
                .line_segment([centre - way, centre + way], Stroke::new(width + 2.0, Color32::from_black_alpha(150)));
            painter.line_segment([centre - way, centre + way], Stroke::new(width, colour));
        }
    }
}

/// The last errors in numbers, and all of them as curves.
fn errors(ui: &mut Ui, reading: &ServoReading) {
    let last = reading.errors.iter().rev().find_map(|tick| tick.error);
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = 8.0;
        let text = |index: usize, unit: &str| match (last, index) {
            (None, _) => "–".to_owned(),
            (Some(error), 2) => format!("{:.1}{unit}", error[2]),
            (Some(error), index) => format!("{} {:.1}{unit}", ["x", "y"][index], error[index]),
        };
        for (index, unit) in [(0, " mm"), (1, " mm"), (2, "°")] {
            ui.label(RichText::new(text(index, unit)).small().strong().color(ERRORS[index]));
        }
    });
    let curve = |part: usize| -> Vec<[f64; 2]> {
        let seen = reading.errors.iter().enumerate();
        seen.filter_map(|(tick, of)| Some([tick as f64 + 1.0, f64::from(of.error?[part])])).collect()
    };
    let switches = reading.errors.windows(2).enumerate().filter(|(_, pair)| pair[0].is_full != pair[1].is_full);
    let switches: Vec<f64> = switches.map(|(tick, _)| tick as f64 + 1.5).collect();
    Plot::new("servo-errors")
        .height(PLOT)
        .show_axes([false, true])
        .y_axis_min_width(26.0)
        .show_grid([false, true])
        .show_background(false)
        .show_x(false)
        .allow_zoom(false)
        .allow_drag(false)
        .allow_scroll(false)
        .allow_boxed_zoom(false)
        .include_x(1.0)
        .include_x(20.0)
        .include_y(5.0)
        .include_y(-5.0)
        .show(ui, |plot| {
            for tick in switches {
                plot.vline(VLine::new("step", tick).color(theme::MUTED).width(1.0));
            }
            for (part, name) in ["x, mm", "y, mm", "angle, degrees"].into_iter().enumerate() {
                plot.line(Line::new(name, PlotPoints::from(curve(part))).color(ERRORS[part]).width(1.6));
            }
        });
    let returns = match reading.reverts {
        0 => String::new(),
        1 => ", 1 return to the linear step".to_owned(),
        more => format!(", {more} returns to the linear step"),
    };
    ui.label(theme::muted(format!("{} pictures{returns}", reading.tick)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use bevy_egui::egui::pos2;

    #[test]
    fn marks_lie_where_the_pixels_are() {
        let mut mask = vec![false; 16];
        mask[5] = true;
        let seen = Axes { centre: [1.0, 1.0], angle: 0.0, half: [1.0, 0.0] };
        let reading = ServoReading { size: 4, mask, seen: Some(seen), ..ServoReading::default() };
        let ctx = egui::Context::default();
        let rect = Rect::from_min_size(pos2(100.0, 50.0), vec2(40.0, 40.0));
        let output = ctx.run_ui(egui::RawInput::default(), |ui| {
            marks(&ui.painter().with_clip_rect(Rect::EVERYTHING), rect, &reading);
        });
        let bounds = |wanted: fn(&egui::Shape) -> bool| {
            let shapes = output.shapes.iter().map(|clipped| &clipped.shape).filter(|shape| wanted(shape));
            shapes.fold(Rect::NOTHING, |bounds, shape| bounds.union(shape.visual_bounding_rect()))
        };
        // The second pixel of the second row: 10 points an edge.
        assert_eq!(
            bounds(|shape| matches!(shape, egui::Shape::Mesh(_))),
            Rect::from_min_size(pos2(110.0, 60.0), vec2(10.0, 10.0))
        );
        assert_eq!(bounds(|shape| matches!(shape, egui::Shape::Circle(_))).center(), pos2(115.0, 65.0));
    }
}
