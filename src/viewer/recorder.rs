//! Recording: the main view with the panels beside it, as an animated GIF or a folder of PNGs.
//!
//! In: the pictures of the session, at most `RATE` a second of the person's time. Out: files, encoded on another thread
//! so that the view stays smooth; a frame is left out rather than waited for.

use super::pictures::{PANELS, Panels, Picture};
use crate::draw::png::encode_rgb;
use crate::files::atomic::{AtomicFile, create_folder, write_atomic};
use anyhow::Context;
use image::codecs::gif::{GifEncoder, Repeat};
use image::imageops::{FilterType, resize};
use image::{Delay, Frame, RgbImage, RgbaImage};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

/// Frames a second; a GIF counts in hundredths of a second.
const RATE: f64 = 12.5;
/// Width of the main view in a recording.
const WIDTH: u32 = 640;
/// A recording ends by itself after this many frames (two minutes).
pub const MOST_FRAMES: usize = 1500;

/// When, and the main view and the panels.
type Taken = (f64, [Picture; 1 + PANELS]);

/// Recordings run until they are stopped or dropped.
pub struct Recorder {
    sender: Option<SyncSender<Taken>>,
    worker: Option<JoinHandle<anyhow::Result<()>>>,
    path: PathBuf,
    frames: usize,
    next: f64,
}

impl Recorder {
    /// A GIF at `path`, or a folder of PNGs.
    ///
    /// # Errors
    /// The file or folder cannot be created.
    pub fn start(path: &Path, gif: bool) -> anyhow::Result<Self> {
        let (sender, receiver) = sync_channel::<Taken>(6);
        let worker = if gif {
            let file = AtomicFile::create(path)?;
            std::thread::Builder::new().name("recorder".into()).spawn(move || write_gif(file, &receiver))
        } else {
            create_folder(path)?;
            let folder = path.to_owned();
            std::thread::Builder::new().name("recorder".into()).spawn(move || write_pngs(&folder, &receiver))
        };
        let worker = worker.context("starting the recorder")?;
        Ok(Self { sender: Some(sender), worker: Some(worker), path: path.to_owned(), frames: 0, next: 0.0 })
    }

    pub fn frames(&self) -> usize {
        self.frames
    }

    /// Takes the pictures if it is time for a frame. False when the recording should be stopped.
    pub fn offer(&mut self, clock: f64, panels: &Panels) -> bool {
        if clock < self.next || panels.main.is_empty() {
            return true;
        }
        // On the beat, or from now on when the beat was lost.
        let beat = self.next + 1.0 / RATE;
        self.next = if beat > clock { beat } else { clock + 1.0 / RATE };
        let [a, b, c, d, e] = panels.panels.clone();
        let pictures = [panels.main.clone(), a, b, c, d, e];
        let taken = self.sender.as_ref().is_some_and(|sender| sender.try_send((clock, pictures)).is_ok());
        self.frames += usize::from(taken);
        let broken = self.worker.as_ref().is_none_or(JoinHandle::is_finished);
        !broken && self.frames < MOST_FRAMES
    }

    /// Ends the recording and waits for its file.
    ///
    /// # Errors
    /// What went wrong while writing.
    pub fn stop(mut self) -> anyhow::Result<PathBuf> {
        self.sender = None;
        if let Some(worker) = self.worker.take() {
            worker.join().map_err(|_| anyhow::anyhow!("the recorder broke down"))??;
        }
        Ok(self.path.clone())
    }
}

fn write_gif(mut file: AtomicFile, frames: &Receiver<Taken>) -> anyhow::Result<()> {
    {
        let mut encoder = GifEncoder::new_with_speed(&mut file, 20);
        encoder.set_repeat(Repeat::Infinite)?;
        // A frame is shown until the next was taken.
        let mut waiting: Option<Taken> = None;
        let mut encode = |pictures: &[Picture; 1 + PANELS], seconds: f64| {
            let composed = image::DynamicImage::ImageRgb8(compose(pictures)).into_rgba8();
            let delay = Delay::from_numer_denom_ms((seconds * 100.0).round().clamp(2.0, 500.0) as u32 * 10, 1);
            encoder.encode_frame(Frame::from_parts(composed, 0, 0, delay))
        };
        for (clock, pictures) in frames {
            if let Some((before, earlier)) = waiting.replace((clock, pictures)) {
                encode(&earlier, clock - before)?;
            }
        }
        if let Some((_, last)) = waiting {
            encode(&last, 1.0 / RATE)?;
        }
    }
    file.commit()?;
    Ok(())
}

fn write_pngs(folder: &Path, frames: &Receiver<Taken>) -> anyhow::Result<()> {
    for (i, (_, pictures)) in frames.iter().enumerate() {
        let picture = compose(&pictures);
        let png = encode_rgb(picture.as_raw(), picture.width() as usize, picture.height() as usize)?;
        write_atomic(&folder.join(format!("{i:06}.png")), &png)?;
    }
    Ok(())
}

/// The main view on the left, the panels in a column on the right.
fn compose([main, panels @ ..]: &[Picture; 1 + PANELS]) -> RgbImage {
    let height = (WIDTH as usize * main.height / main.width.max(1)).clamp(64, 960) as u32;
    let shown: Vec<&Picture> = panels.iter().filter(|panel| !panel.is_empty()).collect();
    let edge = if shown.is_empty() { 0 } else { height / shown.len().max(4) as u32 };
    let mut sheet = RgbImage::from_pixel(WIDTH + edge, height, image::Rgb([243, 244, 247]));
    place(&mut sheet, main, (0, 0), (WIDTH, height));
    for (i, panel) in (0_u32..).zip(shown) {
        place(&mut sheet, panel, (WIDTH, i * edge), (edge, edge));
    }
    sheet
}

fn place(sheet: &mut RgbImage, picture: &Picture, (x, y): (u32, u32), (width, height): (u32, u32)) {
    let size = (picture.width as u32, picture.height as u32);
    if let Some(image) = RgbaImage::from_raw(size.0, size.1, picture.rgba.clone()) {
        let image = image::DynamicImage::ImageRgba8(image).into_rgb8();
        let scaled = if size == (width, height) { image } else { resize(&image, width, height, FilterType::Triangle) };
        image::imageops::replace(sheet, &scaled, i64::from(x), i64::from(y));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::AnimationDecoder;

    fn panels(shade: u8) -> Panels {
        let picture = |w: usize, h: usize, v: u8| Picture { width: w, height: h, rgba: vec![v; w * h * 4], version: 1 };
        Panels {
            main: picture(320, 160, shade),
            panels: std::array::from_fn(|i| if i < 4 { picture(32, 32, 40 * i as u8) } else { Picture::default() }),
            ..Panels::default()
        }
    }

    #[test]
    fn a_gif_holds_every_frame_and_loops() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clip.gif");
        let mut recorder = Recorder::start(&path, true).unwrap();
        for i in 0..4_u8 {
            while recorder.frames() < usize::from(i) + 1 {
                assert!(recorder.offer(1.0 + f64::from(i), &panels(60 * i)));
            }
            // Too soon for another.
            assert!(recorder.offer(1.01 + f64::from(i), &panels(0)));
        }
        assert_eq!(recorder.frames(), 4);
        assert_eq!(recorder.stop().unwrap(), path);
        let bytes = std::fs::read(&path).unwrap();
        let decoder = image::codecs::gif::GifDecoder::new(std::io::Cursor::new(bytes)).unwrap();
        let frames = decoder.into_frames().collect_frames().unwrap();
        assert_eq!(frames.len(), 4);
        assert_eq!(frames[0].buffer().dimensions(), (640 + 80, 320));
        let shade = |i: usize| frames[i].buffer().get_pixel(100, 100).0[0];
        assert!(shade(0) < 10 && shade(3) > 170, "{} {}", shade(0), shade(3));
    }

    #[test]
    fn a_folder_of_pngs() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clip");
        let mut recorder = Recorder::start(&path, false).unwrap();
        recorder.offer(1.0, &panels(9));
        recorder.stop().unwrap();
        let png = crate::draw::png::decode_rgb(&std::fs::read(path.join("000000.png")).unwrap()).unwrap();
        assert_eq!((png.width, png.height), (720, 320));
        assert_eq!(png.pixels[0], 9);
    }
}
