//! The layout painted on the CPU, and its way to the screen.

use super::{Handles, Stage};
use bevy::prelude::*;
use bevy::render::render_resource::{Extent3d, TexelCopyBufferLayout};
use bevy::render::renderer::RenderQueue;
use bevy::render::view::ViewTarget;
use bevy::window::PrimaryWindow;
use bevy_egui::{EguiRenderOutput, egui};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// On an adapter that runs on the CPU the layout is painted by our own painter and handed to the screen as a picture:
/// the driver would take several times as long for the same triangles.
pub(super) fn paint(
    shared: Res<Handles>,
    painted: Res<Painted>,
    windows: Query<&Window, With<PrimaryWindow>>,
    mut contexts: Query<&mut EguiRenderOutput>,
) {
    let (Ok(window), Ok(mut output), mut shared) = (windows.single(), contexts.single_mut(), shared.lock()) else {
        return;
    };
    let shared = &mut *shared;
    let software = match &shared.stage {
        Stage::Ready(viewer) => Some(viewer.session.gpu().description.software),
        Stage::Loading(_) => None,
    };
    if software == Some(false) {
        return;
    }
    // Until it is known who paints, both keep their textures.
    shared.painter.update(&output.textures_delta);
    if let Stage::Ready(viewer) = &shared.stage {
        for (i, (picture, uploaded)) in (0..).zip(viewer.pictures().into_iter().zip(&mut shared.uploaded)) {
            if picture.version != *uploaded {
                *uploaded = picture.version;
                shared.painter.set_user(i, (picture.width, picture.height), &picture.rgba);
            }
        }
        let size = (window.physical_width() as usize, window.physical_height() as usize);
        let pixels = shared.painter.paint(&output.paint_jobs, size, window.scale_factor());
        let mut frame = painted.lock();
        frame.size = [window.physical_width(), window.physical_height()];
        frame.rgba.clear();
        frame.rgba.extend_from_slice(pixels);
        drop(frame);
        shared.painter.free(&output.textures_delta);
        output.textures_delta = egui::TexturesDelta::default();
        output.paint_jobs.clear();
    }
}

/// The last picture of the CPU painter, on its way to the render world.
#[derive(Default)]
struct Frame {
    size: [u32; 2],
    rgba: Vec<u8>,
}

#[derive(Resource, Clone, Default)]
pub(super) struct Painted(Arc<Mutex<Frame>>);

impl Painted {
    fn lock(&self) -> MutexGuard<'_, Frame> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes the painted picture into the camera's target before anything is drawn on it.
pub(super) fn hand_over(painted: Res<Painted>, queue: Res<RenderQueue>, targets: Query<&ViewTarget>) {
    let frame = painted.lock();
    for target in &targets {
        let texture = target.main_texture();
        if [texture.width(), texture.height()] != frame.size || frame.rgba.is_empty() {
            continue;
        }
        let rows = TexelCopyBufferLayout { offset: 0, bytes_per_row: Some(frame.size[0] * 4), rows_per_image: None };
        let size = Extent3d { width: frame.size[0], height: frame.size[1], depth_or_array_layers: 1 };
        queue.write_texture(texture.as_image_copy(), &frame.rgba, rows, size);
    }
}
