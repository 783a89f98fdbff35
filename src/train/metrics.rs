//! `metrics.jsonl`: one line of figures a step, the same bytes for the same run.
//!
//! What depends on the clock does not belong here, so that a run that was interrupted and resumed ends with the file of
//! an uninterrupted one: at resume the file is cut back to where the checkpoint was written.

use crate::files::atomic::FileError;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// File of the figures within a run's folder.
pub const METRICS_NAME: &str = "metrics.jsonl";

/// The file of figures could not be opened or cut back.
#[derive(Debug, thiserror::Error)]
pub enum MetricsError {
    /// The file could not be opened or shortened.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file is shorter than it was when the checkpoint to resume from was saved.
    #[error(
        "'{}' has {size} bytes, and the checkpoint was written when it had {position}; it was changed since: restore it, \
         or remove it to start it anew",
        path.display()
    )]
    TooShort {
        /// The file.
        path: PathBuf,
        /// Its bytes now.
        size: u64,
        /// Its bytes at that checkpoint.
        position: u64,
    },
}

/// Appends lines.
#[derive(Debug)]
pub struct MetricsLog {
    path: PathBuf,
    file: File,
    position: u64,
}

impl MetricsLog {
    /// Opens the file of a run and drops everything behind `position` (0 for a new run). A file that is missing starts
    /// anew.
    pub fn open(folder: &Path, position: u64) -> Result<Self, MetricsError> {
        let path = folder.join(METRICS_NAME);
        let existed = path.exists();
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = file.map_err(|e| FileError::io("open", &path, e))?;
        let size = file.metadata().map_err(|e| FileError::io("look at", &path, e))?.len();
        if existed && size < position {
            return Err(MetricsError::TooShort { path, size, position });
        }
        let position = position.min(size);
        file.set_len(position)
            .and_then(|()| file.seek(SeekFrom::End(0)))
            .map_err(|e| FileError::io("shorten", &path, e))?;
        Ok(Self { path, file, position })
    }

    /// Appends `{"step":...,"name":value,...}` in the order given and hands it to the operating system, so that a
    /// killed process loses nothing. A value that is not finite becomes `null`.
    pub fn append(&mut self, step: u64, values: &[(&str, f64)]) -> Result<(), FileError> {
        let mut line = format!("{{\"step\":{step}");
        for (name, value) in values {
            line += &format!(",{}:{}", serde_json::Value::from(*name), number(*value));
        }
        line += "}\n";
        let needed = line.len() as u64;
        self.file.write_all(line.as_bytes()).map_err(|e| FileError::new("append to", &self.path, needed, e))?;
        self.position += needed;
        Ok(())
    }

    /// Bytes so far: what a checkpoint remembers. Durable after [`sync`](Self::sync).
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Makes all lines so far durable.
    ///
    /// # Errors
    /// A full or failing disk.
    pub fn sync(&mut self) -> Result<(), FileError> {
        self.file.sync_data().map_err(|e| FileError::new("sync", &self.path, 0, e))
    }
}

/// The shortest text that reads back as the same number, in single precision where that loses nothing.
fn number(value: f64) -> String {
    let single = value as f32;
    let value = if f64::from(single) == value { serde_json::Value::from(single) } else { value.into() };
    // `Value` widens singles; print those as what they are.
    if value.is_number() && single.is_finite() && value.as_f64() == Some(f64::from(single)) {
        let text = format!("{single:?}");
        return text.strip_suffix(".0").map_or(text.clone(), str::to_owned);
    }
    value.to_string()
}

/// One line of the file.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricsLine {
    /// Number of the step that the figures were written after, from 0.
    pub step: u64,
    /// Not finite where the file says `null`.
    pub values: BTreeMap<String, f64>,
}

/// Reads the lines of a run; an incomplete last line is left out.
///
/// # Errors
/// Names the line that is not one of ours.
pub fn read_metrics(folder: &Path) -> Result<Vec<MetricsLine>, FileError> {
    let path = folder.join(METRICS_NAME);
    let file = File::open(&path).map_err(|e| FileError::io("open", &path, e))?;
    parse_metrics(BufReader::new(file)).map_err(|e| FileError::io("read", &path, e))
}

/// [`read_metrics`] from any source.
///
/// # Errors
/// As [`read_metrics`].
pub fn parse_metrics(mut reader: impl BufRead) -> std::io::Result<Vec<MetricsLine>> {
    let (mut lines, mut line) = (Vec::new(), Vec::new());
    loop {
        line.clear();
        reader.read_until(b'\n', &mut line)?;
        if line.last() != Some(&b'\n') {
            return Ok(lines);
        }
        let parsed = parse(&line)
            .ok_or_else(|| std::io::Error::other(format!("line {} is not a line of figures", lines.len() + 1)))?;
        lines.push(parsed);
    }
}

fn parse(line: &[u8]) -> Option<MetricsLine> {
    let mut values: BTreeMap<String, Option<f64>> = serde_json::from_slice(line).ok()?;
    let step = values.remove("step")??;
    (step >= 0.0).then(|| MetricsLine {
        step: step as u64,
        values: values.into_iter().map(|(name, value)| (name, value.unwrap_or(f64::NAN))).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_come_back() {
        for (value, text) in [
            (0.1, "0.1"),
            (f64::from(0.1_f32), "0.1"),
            (1.0, "1"),
            (-0.05, "-0.05"),
            (1e-9, "1e-9"),
            (123_456_789.0, "123456789.0"),
            (f64::NAN, "null"),
            (f64::INFINITY, "null"),
        ] {
            assert_eq!(number(value), text);
        }
        let mut rng = crate::contract::Seed(3).rng();
        for _ in 0..2000 {
            let single = f32::from_bits(rng.next_u64() as u32);
            if single.is_finite() {
                assert_eq!(number(f64::from(single)).parse::<f32>().unwrap(), single);
            }
        }
    }

    #[test]
    fn cut_back_and_written_again_is_the_same_file() {
        let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let line = |log: &mut MetricsLog, step: u64| {
            log.append(step, &[("loss/g", 1.0 / (step + 1) as f64), ("reward \"x\"", f64::NAN)]).unwrap();
        };
        let mut whole = MetricsLog::open(a.path(), 0).unwrap();
        (0..10).for_each(|step| line(&mut whole, step));

        let mut broken = MetricsLog::open(b.path(), 0).unwrap();
        (0..4).for_each(|step| line(&mut broken, step));
        let position = broken.position();
        (4..7).for_each(|step| line(&mut broken, step));
        drop(broken);
        let mut resumed = MetricsLog::open(b.path(), position).unwrap();
        (4..10).for_each(|step| line(&mut resumed, step));
        let read = |folder: &Path| std::fs::read(folder.join(METRICS_NAME)).unwrap();
        assert_eq!(read(a.path()), read(b.path()));

        let lines = read_metrics(a.path()).unwrap();
        assert_eq!(lines.len(), 10);
        assert_eq!(lines[3].values["loss/g"], 0.25);
        assert!(lines[3].values["reward \"x\""].is_nan());
    }

    #[test]
    fn a_file_that_lost_lines_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        MetricsLog::open(folder.path(), 0).unwrap().append(1, &[("x", 1.0)]).unwrap();
        let error = MetricsLog::open(folder.path(), 999).unwrap_err().to_string();
        assert!(error.contains("has 17 bytes") && error.contains("had 999"), "{error}");
        std::fs::remove_file(folder.path().join(METRICS_NAME)).unwrap();
        assert_eq!(MetricsLog::open(folder.path(), 999).unwrap().position(), 0);
    }

    #[test]
    fn a_torn_line_is_left_out_and_a_foreign_one_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(METRICS_NAME);
        std::fs::write(&path, "{\"step\":1,\"x\":2}\n{\"step\":2,\"x\"").unwrap();
        assert_eq!(read_metrics(folder.path()).unwrap().len(), 1);
        std::fs::write(&path, "{\"step\":1,\"x\":2}\nhello\n").unwrap();
        assert!(read_metrics(folder.path()).unwrap_err().to_string().contains("line 2"));
    }
}
