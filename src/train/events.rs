//! TensorBoard event files: scalars, images and text.
//!
//! In: tags, steps, values. Out: `events.out.tfevents.*`, which TensorBoard follows while it grows. An event file is a
//! sequence of TFRecords (length, masked CRC-32C of the length, bytes, masked CRC-32C of the bytes), each a protocol
//! buffer `tensorflow.Event`. Only the few fields in use are encoded here.

use crate::files::atomic::FileError;
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// Appends to one new event file.
pub struct EventWriter {
    path: PathBuf,
    file: BufWriter<File>,
}

impl EventWriter {
    /// Starts a file in `folder`. `time_s` is the wall clock (seconds since 1970). With `resumed_at`, TensorBoard drops
    /// what earlier files of the folder say about that step and later ones.
    pub fn create(folder: &Path, time_s: f64, resumed_at: Option<u64>) -> Result<Self, FileError> {
        let seconds = time_s.max(0.0) as u64;
        let open = |n: u32| {
            let name = format!("events.out.tfevents.{seconds:010}.bingrasp.{}.{n}", std::process::id());
            let path = folder.join(name);
            OpenOptions::new()
                .write(true)
                .create_new(true)
                .open(&path)
                .map(|file| (path.clone(), file))
                .map_err(|e| (path, e))
        };
        let mut found = open(0);
        for n in 1..100 {
            match &found {
                Err((_, e)) if e.kind() == std::io::ErrorKind::AlreadyExists => found = open(n),
                _ => break,
            }
        }
        let (path, file) = found.map_err(|(path, e)| FileError::io("create", path, e))?;
        let mut writer = Self { path, file: BufWriter::new(file) };
        let mut version = Message::default();
        version.double(1, time_s).bytes(3, b"brain.Event:2");
        writer.record(&version.0)?;
        if let Some(step) = resumed_at {
            // SessionLog { status: START }
            let mut log = Message::default();
            log.varint(1, 1);
            let mut event = Message::default();
            event.double(1, time_s).varint(2, step).bytes(7, &log.0);
            writer.record(&event.0)?;
        }
        writer.flush()?;
        Ok(writer)
    }

    /// Several scalars of one step.
    pub fn scalars(&mut self, time_s: f64, step: u64, values: &[(&str, f64)]) -> Result<(), FileError> {
        let mut summary = Message::default();
        for (tag, value) in values {
            let mut entry = Message::default();
            entry.bytes(1, tag.as_bytes()).float(2, *value as f32);
            summary.bytes(1, &entry.0);
        }
        self.summary(time_s, step, &summary)
    }

    /// An encoded PNG.
    pub fn image(
        &mut self,
        time_s: f64,
        step: u64,
        tag: &str,
        (width, height): (usize, usize),
        png: &[u8],
    ) -> Result<(), FileError> {
        let mut image = Message::default();
        // Three channels: RGB.
        image.varint(1, height as u64).varint(2, width as u64).varint(3, 3).bytes(4, png);
        let mut entry = Message::default();
        entry.bytes(1, tag.as_bytes()).bytes(4, &image.0);
        let mut summary = Message::default();
        summary.bytes(1, &entry.0);
        self.summary(time_s, step, &summary)
    }

    /// Markdown, shown on the text page.
    pub fn text(&mut self, time_s: f64, step: u64, tag: &str, markdown: &str) -> Result<(), FileError> {
        let (mut plugin, mut metadata, mut shape) = (Message::default(), Message::default(), Message::default());
        plugin.bytes(1, b"text");
        metadata.bytes(1, &plugin.0);
        let mut dimension = Message::default();
        dimension.varint(1, 1);
        shape.bytes(2, &dimension.0);
        // TensorProto: DT_STRING, shape [1].
        let mut tensor = Message::default();
        tensor.varint(1, 7).bytes(2, &shape.0).bytes(8, markdown.as_bytes());
        let mut entry = Message::default();
        entry.bytes(1, format!("{tag}/text_summary").as_bytes()).bytes(8, &tensor.0).bytes(9, &metadata.0);
        let mut summary = Message::default();
        summary.bytes(1, &entry.0);
        self.summary(time_s, step, &summary)
    }

    fn summary(&mut self, time_s: f64, step: u64, summary: &Message) -> Result<(), FileError> {
        let mut event = Message::default();
        event.double(1, time_s).varint(2, step).bytes(5, &summary.0);
        self.record(&event.0)
    }

    fn record(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        let length = (bytes.len() as u64).to_le_bytes();
        let parts = [&length[..], &masked_crc(&length).to_le_bytes(), bytes, &masked_crc(bytes).to_le_bytes()];
        let needed = bytes.len() as u64 + 16;
        let fail = |e| FileError::new("write", &self.path, needed, e);
        parts.iter().try_for_each(|part| self.file.write_all(part)).map_err(fail)
    }

    /// Hands everything so far to the operating system, so that TensorBoard sees it.
    ///
    /// # Errors
    /// A full disk.
    pub fn flush(&mut self) -> Result<(), FileError> {
        self.file.flush().map_err(|e| FileError::new("write", &self.path, 0, e))
    }

    /// The event file, whose name has its time of creation and the process id.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// A protocol buffer message under construction.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn raw_varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push((value & 0x7F) as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn key(&mut self, field: u64, wire_type: u64) {
        self.raw_varint(field << 3 | wire_type);
    }

    fn varint(&mut self, field: u64, value: u64) -> &mut Self {
        self.key(field, 0);
        self.raw_varint(value);
        self
    }

    fn double(&mut self, field: u64, value: f64) -> &mut Self {
        self.key(field, 1);
        self.0.extend(value.to_le_bytes());
        self
    }

    fn float(&mut self, field: u64, value: f32) -> &mut Self {
        self.key(field, 5);
        self.0.extend(value.to_le_bytes());
        self
    }

    fn bytes(&mut self, field: u64, value: &[u8]) -> &mut Self {
        self.key(field, 2);
        self.raw_varint(value.len() as u64);
        self.0.extend(value);
        self
    }
}

const CRC_TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        let (mut crc, mut bit) = (i as u32, 0);
        while bit < 8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0x82F6_3B78 } else { crc >> 1 };
            bit += 1;
        }
        table[i] = crc;
        i += 1;
    }
    table
};

/// CRC-32C (Castagnoli), reflected.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &b| CRC_TABLE[usize::from(crc as u8 ^ b)] ^ crc >> 8)
}

/// TFRecord stores checksums rotated and offset, because a checksum over data that holds checksums is weak.
fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c(bytes).rotate_right(15).wrapping_add(0xA282_EAD8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc32c_of_the_standard() {
        // RFC 3720, B.4, and the usual check value.
        assert_eq!(crc32c(b"123456789"), 0xE306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8A91_36AA);
        assert_eq!(crc32c(&[0xFF; 32]), 0x62A8_AB43);
    }

    #[test]
    fn bytes_that_tensorboard_has_read() {
        // `tests/fixtures/tensorboard/README` says how this file was read with TensorBoard's own loader.
        let folder = tempfile::tempdir().unwrap();
        let mut writer = EventWriter::create(folder.path(), 1_700_000_000.5, Some(3)).unwrap();
        writer.scalars(1_700_000_001.0, 3, &[("loss/generator", 0.25), ("loss/task", -1.5)]).unwrap();
        let png = crate::draw::png::encode_rgb(&[255, 0, 0, 0, 255, 0], 2, 1).unwrap();
        writer.image(1_700_000_002.0, 300, "sample", (2, 1), &png).unwrap();
        writer.text(1_700_000_003.0, 3, "config", "**seed** 7").unwrap();
        writer.flush().unwrap();
        let found = std::fs::read(writer.path()).unwrap();
        let expected: &[u8] = include_bytes!("../../tests/fixtures/tensorboard/events.bin");
        assert!(found == expected, "the event file changed; read it with TensorBoard, then replace the fixture");
    }

    #[test]
    fn two_files_of_one_second_have_different_names() {
        let folder = tempfile::tempdir().unwrap();
        let a = EventWriter::create(folder.path(), 5.0, None).unwrap();
        let b = EventWriter::create(folder.path(), 5.0, None).unwrap();
        assert_ne!(a.path(), b.path());
    }
}
