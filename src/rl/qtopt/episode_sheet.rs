//! Film strips of episodes: what was seen, what was expected, how it ended.

use super::collect::Episode;
use crate::draw::{ContactSheet, Picture};

/// Rows of an episode's images, one a step, the judged state last.
pub fn episode_sheet(title: &str, subtitle: &str, episodes: &[&Episode], size: usize, channels: usize) -> ContactSheet {
    let longest = episodes.iter().map(|episode| episode.transitions.len() + 1).max().unwrap_or(1).min(12);
    let names: Vec<String> = (1..=longest).map(|step| step.to_string()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut sheet = ContactSheet::new(title, subtitle).columns(&names).cell(2 * size.min(96));
    for episode in episodes {
        // Behind a generator's picture stands what the camera saw.
        let first = if channels > 3 { 3 } else { 0 };
        let camera = |image: &[u8]| -> Vec<u8> {
            image.chunks_exact(channels).flat_map(|pixel| pixel[first..first + 3].iter().copied()).collect()
        };
        let mut images: Vec<&[u8]> = episode.transitions.iter().map(|transition| &transition.image[..]).collect();
        images.push(&episode.last_image);
        // Of a long episode, the end.
        let shown = &images[images.len().saturating_sub(longest)..];
        let pictures = shown.iter().map(|image| Picture::photo(size, size, camera(image))).collect();
        let values: Vec<String> = episode.values.iter().map(|value| format!("{value:.2}")).collect();
        let outcome = if episode.success { "grasped" } else { "failed" };
        let steps = episode.transitions.len();
        sheet.row(format!("{outcome} after {steps} steps; Q {}", values.join(" ")), pictures);
    }
    sheet
}
