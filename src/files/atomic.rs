//! Files written whole or not at all, and their checksums.
//!
//! In: bytes and a path. Out: either the complete new file under that path, on the disk, or the old state and an error.
//! The bytes go to a temporary file in the same folder, which is synced and renamed over the target; then the folder is
//! synced, so that the new name itself survives a power cut. Temporary files are called `.<name>.<pid>-<n>.tmp` and are
//! removed when a write fails; [`remove_leftovers`] removes those of a process that was killed.

use sha2::{Digest, Sha256};
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// What can go wrong with a file, with its path.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("cannot {action} '{}': {source}", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error(
        "the disk is full: writing '{}' needs {} ({needed} bytes); free that much or choose another place",
        path.display(), human_bytes(*needed)
    )]
    DiskFull { path: PathBuf, needed: u64 },
    #[error(
        "the system lets this program write no file as large as '{}' (ulimit -f); raise the limit, or write less into one \
         file", path.display()
    )]
    SizeLimit { path: PathBuf },
    #[error(
        "'{}' has {size} bytes, more than the {limit} that are accepted here; it is not the file that was expected",
        path.display()
    )]
    TooLarge { path: PathBuf, size: u64, limit: u64 },
}

impl FileError {
    /// Gives an input/output error its path. `needed` is what the whole write takes, for the message of a full disk.
    pub fn new(action: &'static str, path: impl Into<PathBuf>, needed: u64, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull { path: path.into(), needed },
            io::ErrorKind::FileTooLarge => Self::SizeLimit { path: path.into() },
            _ => Self::Io { action, path: path.into(), source },
        }
    }

    /// An error of an operation that takes no space.
    pub fn io(action: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self::new(action, path, 0, source)
    }

    pub fn is_disk_full(&self) -> bool {
        matches!(self, Self::DiskFull { .. })
    }

    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    /// The file itself is gone or broken; trying again, or with more rights, would not help.
    pub fn is_damage(&self) -> bool {
        const BAD_SECTOR: i32 = 5;
        match self {
            Self::Io { source, .. } => {
                let broken = matches!(source.kind(), io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof);
                broken || (cfg!(unix) && source.raw_os_error() == Some(BAD_SECTOR))
            }
            Self::TooLarge { .. } => true,
            Self::DiskFull { .. } | Self::SizeLimit { .. } => false,
        }
    }
}

/// `1.5 MB`: powers of 1000, as disks are sold.
pub fn human_bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1000.0;
    let mut unit = 0;
    while value >= 999.95 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// Writes `bytes` to `path`, whole or not at all. The folder must exist.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let mut file = AtomicFile::create(path)?;
    file.expect_size(bytes.len() as u64);
    file.write_bytes(bytes)?;
    file.commit().map(|_| ())
}

/// Makes the names in a folder durable. Does nothing where folders cannot be synced (Windows).
pub fn sync_folder(folder: &Path) -> Result<(), FileError> {
    if cfg!(unix) {
        let handle = File::open(folder).map_err(|e| FileError::io("open the folder", folder, e))?;
        handle.sync_all().map_err(|e| FileError::io("sync the folder", folder, e))?;
    }
    Ok(())
}

/// Creates a folder with all its parents, durably.
pub fn create_folder(folder: &Path) -> Result<(), FileError> {
    if folder.is_dir() {
        return Ok(());
    }
    if folder.is_symlink() && !folder.exists() {
        let source =
            io::Error::other("it is a link to a place that does not exist; make that place, or remove the link");
        return Err(FileError::io("create the folder", folder, source));
    }
    std::fs::create_dir_all(folder).map_err(|e| FileError::io("create the folder", folder, e))?;
    // Each parent holds the name of the next; syncing the nearest two covers every folder this program creates.
    for parent in folder.ancestors().skip(1).take(2).filter(|p| p.is_dir()) {
        sync_folder(parent)?;
    }
    Ok(())
}

/// Reads a whole file of at most `limit` bytes; the size is looked at before anything is allocated.
pub fn read_capped(path: &Path, limit: u64) -> Result<Vec<u8>, FileError> {
    let file = File::open(path).map_err(|e| FileError::io("open", path, e))?;
    let size = file.metadata().map_err(|e| FileError::io("look at", path, e))?.len();
    if size > limit {
        return Err(FileError::TooLarge { path: path.into(), size, limit });
    }
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
    file.take(limit + 1).read_to_end(&mut bytes).map_err(|e| FileError::io("read", path, e))?;
    if bytes.len() as u64 > limit {
        return Err(FileError::TooLarge { path: path.into(), size: bytes.len() as u64, limit });
    }
    Ok(bytes)
}

/// A file that appears under its name only when it is [committed](Self::commit); dropped before that, it leaves nothing.
#[derive(Debug)]
pub struct AtomicFile {
    path: PathBuf,
    temporary: PathBuf,
    /// Taken by `commit`; `None` afterwards.
    writer: Option<BufWriter<File>>,
    hash: Sha256,
    written: u64,
    /// The size of the whole file if it is known beforehand, for the message of a full disk.
    needed: u64,
}

/// What [`AtomicFile::commit`] knows about the finished file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    pub bytes: u64,
    /// Lower-case hexadecimal.
    pub sha256: String,
}

/// Bytes of a name that its temporary file still begins with: systems take names of 255.
const LONGEST_KEPT: usize = 200;

impl AtomicFile {
    pub fn create(path: &Path) -> Result<Self, FileError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let Some(name) = path.file_name() else {
            let source = io::Error::new(io::ErrorKind::InvalidInput, "the path has no file name");
            return Err(FileError::io("create", path, source));
        };
        let mut temporary_name = std::ffi::OsString::from(".");
        // The longest names leave no room for more.
        temporary_name.push(if name.len() <= LONGEST_KEPT { name } else { std::ffi::OsStr::new("long") });
        temporary_name.push(format!(".{}-{}.tmp", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
        let temporary = path.with_file_name(temporary_name);
        // Not `create_new`: a killed process that had the same id may have left one.
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(&temporary);
        let file = file.map_err(|e| FileError::io("create", path, e))?;
        let writer = Some(BufWriter::with_capacity(1 << 16, file));
        Ok(Self { path: path.into(), temporary, writer, hash: Sha256::new(), written: 0, needed: 0 })
    }

    /// Says how large the whole file will be, for the message of a full disk.
    pub fn expect_size(&mut self, bytes: u64) {
        self.needed = bytes;
    }

    pub fn write_bytes(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        let needed = self.needed.max(self.written + bytes.len() as u64);
        self.write_all(bytes).map_err(|e| FileError::new("write", &self.path, needed, e))
    }

    /// Syncs the file, gives it its name and syncs the folder.
    pub fn commit(mut self) -> Result<Committed, FileError> {
        let needed = self.needed.max(self.written);
        let fail = |path: &Path, e| FileError::new("write", path, needed, e);
        if let Some(writer) = self.writer.take() {
            let file = writer.into_inner().map_err(|e| fail(&self.path, e.into_error()))?;
            file.sync_all().map_err(|e| fail(&self.path, e))?;
        }
        std::fs::rename(&self.temporary, &self.path).map_err(|e| FileError::io("rename", &self.path, e))?;
        // The name is taken: nothing is left to remove.
        self.temporary = PathBuf::new();
        let folder = self.path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        sync_folder(folder)?;
        Ok(Committed { bytes: self.written, sha256: hex(&std::mem::take(&mut self.hash).finalize()) })
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(writer) = &mut self.writer else {
            return Err(io::Error::other("the file is committed already"));
        };
        let n = writer.write(bytes)?;
        self.hash.update(&bytes[..n]);
        self.written += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.as_mut().map_or(Ok(()), BufWriter::flush)
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if !self.temporary.as_os_str().is_empty() {
            // What is still in the buffer belongs to a file that goes away: do not write it.
            if let Some(writer) = self.writer.take() {
                drop(writer.into_parts().0);
            }
            // Nothing more can be done when this fails; `remove_leftovers` gets another chance.
            let _ = std::fs::remove_file(&self.temporary);
        }
    }
}

/// Removes the temporary files that a killed process left in `folder`. Call it only while no other process writes there.
pub fn remove_leftovers(folder: &Path) -> Result<usize, FileError> {
    let entries = std::fs::read_dir(folder).map_err(|e| FileError::io("list", folder, e))?;
    let mut removed = 0;
    for entry in entries {
        let entry = entry.map_err(|e| FileError::io("list", folder, e))?;
        if entry.file_name().to_str().is_some_and(is_temporary_name) {
            std::fs::remove_file(entry.path()).map_err(|e| FileError::io("remove", entry.path(), e))?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// [`remove_leftovers`] in a folder and in every folder below it. Links are not followed.
pub fn remove_leftovers_below(folder: &Path) -> Result<usize, FileError> {
    let mut removed = remove_leftovers(folder)?;
    let entries = std::fs::read_dir(folder).map_err(|e| FileError::io("list", folder, e))?;
    for entry in entries {
        let entry = entry.map_err(|e| FileError::io("list", folder, e))?;
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            removed += remove_leftovers_below(&entry.path())?;
        }
    }
    Ok(removed)
}

/// `.<name>.<pid>-<n>.tmp`
pub(crate) fn is_temporary_name(name: &str) -> bool {
    let number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    name.strip_prefix('.')
        .and_then(|rest| rest.strip_suffix(".tmp"))
        .and_then(|rest| rest.rsplit_once('.'))
        .and_then(|(stem, ids)| ids.split_once('-').filter(|_| !stem.is_empty()))
        .is_some_and(|(pid, n)| number(pid) && number(n))
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|b| [DIGITS[usize::from(b >> 4)], DIGITS[usize::from(b & 15)]]).map(char::from).collect()
}

/// SHA-256 of `bytes`, lower-case hexadecimal as `sha256sum` prints it.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// SHA-256 of a file's content, read piece by piece.
pub fn sha256_file(path: &Path) -> Result<String, FileError> {
    let mut file = File::open(path).map_err(|e| FileError::io("open", path, e))?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(hex(&hash.finalize())),
            Ok(n) => hash.update(&buffer[..n]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(FileError::io("read", path, e)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn replaces_whole_and_leaves_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        write_atomic(&path, b"first").unwrap();
        write_atomic(&path, b"second, longer").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"second, longer");
        assert_eq!(names(folder.path()), ["a.json"]);
    }

    #[test]
    fn the_longest_name_is_written() {
        let folder = tempfile::tempdir().unwrap();
        for length in [200, 201, 255] {
            let name = "n".repeat(length);
            write_atomic(&folder.path().join(&name), b"kept").unwrap();
            assert!(names(folder.path()).iter().eq([&name]));
            std::fs::remove_file(folder.path().join(name)).unwrap();
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_link_to_nowhere_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("nowhere", &link).unwrap();
        let error = create_folder(&link).unwrap_err().to_string();
        assert!(error.contains("link to a place that does not exist"), "{error}");
    }

    #[test]
    fn a_dropped_file_keeps_the_old_content() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights");
        write_atomic(&path, b"old").unwrap();
        let mut file = AtomicFile::create(&path).unwrap();
        file.write_bytes(&vec![1; 200_000]).unwrap();
        drop(file);
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(names(folder.path()), ["weights"]);
    }

    #[test]
    fn commit_tells_size_and_checksum() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("abc");
        let mut file = AtomicFile::create(&path).unwrap();
        file.write_bytes(b"a").unwrap();
        file.write_bytes(b"bc").unwrap();
        let committed = file.commit().unwrap();
        // FIPS 180-2, appendix B.1.
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(committed, Committed { bytes: 3, sha256: expected.into() });
        assert_eq!(sha256_hex(b"abc"), expected);
        assert_eq!(sha256_file(&path).unwrap(), expected);
    }

    #[test]
    fn leftovers_of_a_killed_process_go_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        for name in [".x.png.4711-12.tmp", "x.png", ".hidden", ".x.tmp", "y.4711-12.tmp", ".z.4711-.tmp"] {
            std::fs::write(folder.path().join(name), b"").unwrap();
        }
        assert_eq!(remove_leftovers(folder.path()).unwrap(), 1);
        assert_eq!(names(folder.path()), [".hidden", ".x.tmp", ".z.4711-.tmp", "x.png", "y.4711-12.tmp"]);
        let below = folder.path().join("images/loss");
        std::fs::create_dir_all(&below).unwrap();
        std::fs::write(below.join(".a.png.4711-1.tmp"), b"").unwrap();
        assert_eq!(remove_leftovers_below(folder.path()).unwrap(), 1);
        assert_eq!(names(&below), [""; 0]);
        let file = AtomicFile::create(&folder.path().join("new")).unwrap();
        assert!(is_temporary_name(file.temporary.file_name().unwrap().to_str().unwrap()));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_full_disk_says_how_much_was_needed() {
        // /dev/full answers every write with "no space left on device".
        let mut full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let error = full.write_all(b"x").unwrap_err();
        let error = FileError::new("write", "out/shard.tar", 1_500_000, error);
        assert!(error.is_disk_full());
        assert_eq!(
            error.to_string(),
            "the disk is full: writing 'out/shard.tar' needs 1.5 MB (1500000 bytes); free that much or choose another \
             place"
        );
    }

    #[test]
    #[cfg(unix)]
    fn a_limit_on_file_sizes_is_named() {
        // EFBIG, as a write beyond `ulimit -f` answers.
        let error = FileError::new("write", "out/shard.tar", 9, io::Error::from_raw_os_error(27));
        assert!(!error.is_damage() && !error.is_disk_full());
        assert!(error.to_string().contains("out/shard.tar") && error.to_string().contains("ulimit -f"), "{error}");
    }

    #[test]
    fn errors_name_the_path() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("no").join("file");
        let error = write_atomic(&missing, b"x").unwrap_err();
        assert!(error.to_string().contains("no/file") && error.is_not_found(), "{error}");
        let path = folder.path().join("big");
        write_atomic(&path, &[0; 11]).unwrap();
        assert!(matches!(read_capped(&path, 10), Err(FileError::TooLarge { size: 11, limit: 10, .. })));
        assert_eq!(read_capped(&path, 11).unwrap().len(), 11);
    }

    #[test]
    fn sizes_for_people() {
        assert_eq!(human_bytes(999), "999 B");
        assert_eq!(human_bytes(1_000), "1.0 kB");
        assert_eq!(human_bytes(999_999), "1.0 MB");
        assert_eq!(human_bytes(2_340_000_000), "2.3 GB");
    }
}
