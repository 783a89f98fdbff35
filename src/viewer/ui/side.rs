//! The column of controls: who acts, what lies in the bin, how it looks, what is laid over it.

use super::super::session::Show;
use super::super::setup::{AxisKind, PolicyChoice, Setup};
use super::{Viewer, theme};
use crate::contract::Domain;
use bevy_egui::egui::{self, Align, Button, ComboBox, Layout, Margin, Panel, RichText, Slider, Ui, vec2};

pub const WIDTH: f32 = 288.0;

pub fn show(ui: &mut Ui, viewer: &mut Viewer) {
    let frame = egui::Frame::new().fill(theme::GROUND).inner_margin(Margin { left: 4, right: 8, top: 8, bottom: 8 });
    Panel::right("side").frame(frame).resizable(false).show_separator_line(false).exact_size(WIDTH).show_inside(
        ui,
        |ui| {
            egui::ScrollArea::vertical().auto_shrink([false, false]).show(ui, |ui| {
                ui.spacing_mut().item_spacing.y = 8.0;
                let mut setup = viewer.session.setup().clone();
                card(ui, |ui| policy(ui, viewer, &mut setup));
                card(ui, |ui| appearance(ui, viewer, &mut setup));
                card(ui, |ui| bin(ui, viewer, &mut setup));
                card(ui, |ui| overlay(ui, viewer));
                if setup.policy != viewer.session.setup().policy {
                    viewer.session.set_policy(setup.policy);
                }
                viewer.session.apply(setup);
            });
        },
    );
}

fn card(ui: &mut Ui, contents: impl FnOnce(&mut Ui)) {
    theme::card().show(ui, |ui| {
        ui.set_width(ui.available_width());
        ui.spacing_mut().item_spacing.y = 5.0;
        contents(ui);
    });
}

/// A caption on the left and a control on the right.
fn row(ui: &mut Ui, caption: &str, control: impl FnOnce(&mut Ui)) {
    ui.horizontal(|ui| {
        ui.set_height(24.0);
        ui.label(caption);
        ui.with_layout(Layout::right_to_left(Align::Center), control);
    });
}

fn policy(ui: &mut Ui, viewer: &mut Viewer, setup: &mut Setup) {
    theme::title(ui, "Who acts");
    let learned = viewer.session.pilot().map(|_| PolicyChoice::Learned);
    let choices: Vec<PolicyChoice> = PolicyChoice::ALL.into_iter().chain(learned).collect();
    for row in choices.chunks(3) {
        ui.horizontal(|ui| {
            ui.spacing_mut().item_spacing.x = 2.0;
            for &choice in row {
                let name = choice.name();
                let servos =
                    choice == PolicyChoice::Learned && viewer.session.pilot().is_some_and(|pilot| pilot.servos);
                let shown = if servos { "servo" } else { name };
                let label = format!("{}{}", shown[..1].to_uppercase(), &shown[1..]);
                let response = theme::choice(ui, setup.policy == choice, &label).on_hover_text(choice.tooltip());
                viewer.mark(format!("policy-{name}"), &response);
                if response.clicked() {
                    setup.policy = choice;
                }
            }
        });
    }
}

fn appearance(ui: &mut Ui, viewer: &mut Viewer, setup: &mut Setup) {
    theme::title(ui, "Appearance");
    row(ui, "Domain", |ui| {
        let response = ComboBox::from_id_salt("domain")
            .selected_text(setup.domain.name())
            .width(158.0)
            .show_ui(ui, |ui| {
                for domain in Domain::ALL {
                    let response = ui.selectable_value(&mut setup.domain, domain, domain.name());
                    viewer.mark(format!("domain-{domain}"), &response);
                }
            })
            .response
            .on_hover_text("How the source pictures look");
        viewer.mark("domain", &response);
    });
    let step_index = viewer.session.stage().episode().step_index();
    for kind in AxisKind::ALL {
        let varies = kind.varies_in(setup.domain);
        ui.add_enabled_ui(varies, |ui| axis(ui, viewer, setup, (kind, step_index)));
    }
    if setup.domain == Domain::RandomizedHeavy {
        let response = ui.checkbox(&mut setup.every_step, "New look at every step");
        let response = response.on_hover_text("As learners see it; off: one look for the whole episode");
        viewer.mark("every-step", &response);
    }
}

fn axis(ui: &mut Ui, viewer: &mut Viewer, setup: &mut Setup, (kind, step_index): (AxisKind, u64)) {
    ui.horizontal(|ui| {
        ui.set_height(24.0);
        let response = ui.checkbox(&mut setup.axis_mut(kind).on, kind.label());
        let tip = if kind.varies_in(setup.domain) { kind.tooltip() } else { "This domain does not vary it" };
        let response = response.on_hover_text(tip).on_disabled_hover_text(tip);
        viewer.mark(format!("axis-{}", kind.name()), &response);
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            ui.spacing_mut().item_spacing.x = 4.0;
            ui.spacing_mut().button_padding.x = 7.0;
            let roll = ui.add(Button::new("Roll").min_size(vec2(0.0, 22.0)));
            let roll = roll.on_hover_text("Draw this axis again and leave the others as they are");
            viewer.mark(format!("roll-{}", kind.name()), &roll);
            if roll.clicked() {
                setup.roll(kind);
            }
            let pinned = setup.axis(kind).pinned.is_some();
            let pin = ui.add(Button::selectable(pinned, "Keep").min_size(vec2(0.0, 22.0)));
            let pin = pin.on_hover_text("Keep it over steps, episodes and seeds");
            viewer.mark(format!("pin-{}", kind.name()), &pin);
            if pin.clicked() {
                setup.set_pinned(kind, !pinned, step_index);
            }
        });
    });
}

fn bin(ui: &mut Ui, viewer: &mut Viewer, setup: &mut Setup) {
    theme::title(ui, "Bin");
    row(ui, "Objects", |ui| {
        let response = ComboBox::from_id_salt("objects")
            .selected_text(set_name(&setup.objects))
            .width(158.0)
            .show_ui(ui, |ui| {
                for name in ["train", "test", "all"] {
                    let response = ui.selectable_value(&mut setup.objects, name.to_owned(), set_name(name));
                    viewer.mark(format!("objects-{name}"), &response);
                }
            })
            .response
            .on_hover_text(format!(
                "{} objects in the set; --objects DIR brings your own",
                viewer.session.objects_in_set()
            ));
        viewer.mark("objects", &response);
    });
    row(ui, "Count", |ui| {
        let drop = ui.add(Button::new("Drop one").min_size(vec2(0.0, 22.0)));
        let drop = drop.on_hover_text("Drop another object into the bin (X)");
        viewer.mark("drop", &drop);
        if drop.clicked() {
            viewer.session.drop_another();
        }
        ui.spacing_mut().slider_width = 78.0;
        let response =
            ui.add(Slider::new(&mut setup.count, 1..=12)).on_hover_text("Objects at the start of an episode");
        viewer.mark("count", &response);
    });
    row(ui, "Divider", |ui| {
        let range = viewer.session.stage().cell().bins.first().and_then(|bin| bin.divider).map(|d| d.range);
        let [low, high] = range.unwrap_or([0.0, 0.0]);
        let mut fixed = setup.divider_m.is_some();
        let response = ui.checkbox(&mut fixed, "Fix").on_hover_text("Off: every episode draws its place");
        viewer.mark("fix-divider", &response);
        let now = viewer.session.stage().world().divider_offsets().first().copied().unwrap_or(0.0);
        let mut centimetres = setup.divider_m.unwrap_or(now) * 100.0;
        ui.spacing_mut().slider_width = 78.0;
        let slider = Slider::new(&mut centimetres, low * 100.0..=high * 100.0).fixed_decimals(1).suffix(" cm");
        let response = ui.add(slider).on_hover_text("Offset of the divider from the middle of the bin");
        viewer.mark("divider", &response);
        // A slider also rounds what it is given; only a hand on it counts.
        let moved = response.changed() && (response.dragged() || response.has_focus() || response.clicked());
        fixed |= moved;
        let place = if moved { centimetres / 100.0 } else { setup.divider_m.unwrap_or(now) };
        setup.divider_m = fixed.then_some(place);
    });
}

fn set_name(name: &str) -> String {
    match name {
        "train" => "training set (900)".to_owned(),
        "test" => "test set (100)".to_owned(),
        "all" => "all built-in (1,000)".to_owned(),
        folder => folder.rsplit('/').find(|part| !part.is_empty()).unwrap_or(folder).to_owned(),
    }
}

fn overlay(ui: &mut Ui, viewer: &mut Viewer) {
    ui.horizontal(|ui| {
        ui.set_height(18.0);
        theme::title(ui, "Overlay");
        ui.label(RichText::new("(O)").color(theme::MUTED).small());
    });
    ui.horizontal(|ui| {
        let Show { mut colliders, mut contacts, mut forces, .. } = viewer.session.show;
        for (name, label, tip, on) in [
            ("colliders", "Colliders", "Shapes that physics sees", &mut colliders),
            ("contacts", "Contacts", "Points where bodies touch", &mut contacts),
            ("forces", "Forces", "Forces on the fingers and the palm", &mut forces),
        ] {
            let response = ui.checkbox(on, label).on_hover_text(tip);
            viewer.mark(name, &response);
        }
        viewer.session.show = Show { colliders, contacts, forces, ..viewer.session.show };
    });
    if viewer.session.pilot().is_some_and(|pilot| pilot.servos) {
        let mut shown = viewer.session.show.servo;
        let tip = "Mask, centroid, axes and target of visual servoing, its phase, and errors over time";
        let response = ui.checkbox(&mut shown, "Servo").on_hover_text(tip);
        viewer.mark("servo", &response);
        viewer.session.show.servo = shown;
    }
}
