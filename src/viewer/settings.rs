//! What the viewer remembers from one day to the next.

use super::camera::Orbit;
use super::session::{Session, Show};
use super::setup::Setup;
use crate::files::atomic::{create_folder, read_capped, write_atomic};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

const LARGEST: u64 = 1 << 20;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// Points.
    pub window: [f32; 2],
    pub setup: Setup,
    pub orbit: Orbit,
    pub show: Show,
    pub speed: f32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            window: [1280.0, 720.0],
            setup: Setup::default(),
            orbit: Orbit::default(),
            show: Show::default(),
            speed: 1.0,
        }
    }
}

/// `BINGRASP_CONFIG_DIR`, or `bingrasp` in the user's folder for settings.
pub fn folder() -> Option<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    variable("BINGRASP_CONFIG_DIR").or_else(|| {
        let base = variable("XDG_CONFIG_HOME")
            .or_else(|| variable("APPDATA"))
            .or_else(|| variable("HOME").map(|home| home.join(".config")))?;
        Some(base.join("bingrasp"))
    })
}

impl Settings {
    /// What was remembered. Files that are damaged or from another version are worth no more than none.
    pub fn load() -> Self {
        let read = || {
            let bytes = read_capped(&folder()?.join("viewer.json"), LARGEST).ok()?;
            serde_json::from_slice::<Self>(&bytes).ok()
        };
        read().unwrap_or_default().sound()
    }

    /// Within what a window can be.
    fn sound(mut self) -> Self {
        let usable = |size: f32| size.is_finite() && (320.0..=8192.0).contains(&size);
        if !self.window.iter().all(|&size| usable(size)) {
            self.window = Self::default().window;
        }
        if !(0.05..=8.0).contains(&self.speed) {
            self.speed = 1.0;
        }
        self
    }

    pub fn of(session: &Session, window: [f32; 2]) -> Self {
        Self {
            window,
            setup: session.setup().clone(),
            orbit: session.free.orbit,
            show: session.show,
            speed: session.speed,
        }
    }

    /// Remembers, if there is a place for it; not being able to is no reason to trouble anyone.
    pub fn save(&self) {
        let Some(folder) = folder() else { return };
        if let (Ok(()), Ok(text)) = (create_folder(&folder), serde_json::to_vec_pretty(self)) {
            let _ = write_atomic(&folder.join("viewer.json"), &text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonsense_is_forgotten() {
        let odd: Settings = serde_json::from_str(r#"{"window": [3, 1e9], "speed": -4, "unknown": 1}"#).unwrap();
        assert_eq!(odd.sound(), Settings::default());
        let some: Settings = serde_json::from_str(r#"{"window": [1600, 900]}"#).unwrap();
        assert_eq!(some.sound().window, [1600.0, 900.0]);
    }
}
