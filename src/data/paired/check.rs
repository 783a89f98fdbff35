//! Is a dataset what it says it is? Checksums, counts, sizes, ids, and whether the images of a pair lie on each other.

use super::align::{AlignmentSums, Shift};
use super::config::{Format, Manifest};
use super::layout::{CHECKSUMS_NAME, Layout, checksums_path};
use super::reader::{Pair, PairReader};
use crate::contract::{Class, Domain};
use crate::data::DataError;
use crate::files::atomic::{read_capped, sha256_file, sha256_hex};
use rayon::prelude::*;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// Problems listed by name; further ones are only counted.
const MAX_LISTED: usize = 100;
/// A list of checksums of ten million pairs.
const MAX_LIST_BYTES: u64 = 8 << 30;
/// Pairs decoded at a time.
const CHUNK: usize = 64;

/// How often a class is seen.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ClassStatistics {
    /// Name of the class, as [`Class::name`] has it.
    pub class: &'static str,
    /// Pixels of the class in all pairs that could be read.
    pub pixels: u64,
    /// Of all pixels.
    pub share: f64,
    /// Pairs in which it is visible.
    pub pairs: u64,
}

/// Depths over all pairs that could be read; 0 where no pixel hit anything.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct DepthStatistics {
    /// Of the pixels that hit something, metres.
    pub nearest_m: f64,
    /// Largest depth, metres.
    pub farthest_m: f64,
    /// Mean over the pixels that hit something, metres.
    pub mean_m: f64,
    /// Share of pixels without depth.
    pub missing: f64,
}

/// The offset at which an image's edges fit the edges of the ids best, pixels; (0, 0) is right.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Alignment {
    /// Of the canonical images; `None` where too few edges were seen to tell.
    pub canonical: Option<Shift>,
    /// Of the source domain's images; `None` where too few edges were seen to tell.
    pub randomized: Option<Shift>,
    /// Of the depth images; `None` where too few edges were seen to tell.
    pub depth: Option<Shift>,
}

/// What [`check`] found.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct CheckReport {
    /// Name of the dataset's format (`folder`, `webdataset`, `pix2pix`).
    pub format: &'static str,
    /// Whether the generation was finished; if not, that is one of the problems.
    pub complete: bool,
    /// Pairs that the settings ask for, of the shard where it is one.
    pub pairs_expected: u64,
    /// Pairs whose record and images could all be decoded.
    pub pairs_readable: u64,
    /// Files whose checksum was compared.
    pub files_checked: u64,
    /// One entry for each class, in the order of their ids.
    pub classes: Vec<ClassStatistics>,
    /// Pairs by the name of their [`Phase`](super::Phase); phases that were not seen are absent.
    pub phases: BTreeMap<&'static str, u64>,
    /// Range of the depth images.
    pub depth: DepthStatistics,
    /// Where the edges of the images lie, compared with those of the ids.
    pub alignment: Alignment,
    /// Problems found, those beyond the listed hundred included.
    pub problem_count: u64,
    /// Sentences, each naming its file; the first hundred.
    pub problems: Vec<String>,
}

impl CheckReport {
    /// Whether no problem was found.
    pub fn is_ok(&self) -> bool {
        self.problem_count == 0
    }

    fn problem(&mut self, text: impl Into<String>) {
        self.problem_count += 1;
        if self.problems.len() < MAX_LISTED {
            self.problems.push(text.into());
        }
    }
}

#[derive(Default)]
struct Totals {
    pixels: u64,
    class_pixels: [u64; Class::COUNT],
    class_pairs: [u64; Class::COUNT],
    depth_sum_mm: u64,
    hits: u64,
    nearest_mm: Option<u16>,
    farthest_mm: u16,
    canonical: AlignmentSums,
    randomized: AlignmentSums,
    depth: AlignmentSums,
}

/// Checks a whole dataset. `progress(done, total)` counts files and pairs; it is called from several threads.
///
/// # Errors
/// Only when the dataset cannot be opened at all; everything else is a problem in the report.
pub fn check(root: &Path, progress: &(dyn Fn(u64, u64) + Sync)) -> Result<CheckReport, DataError> {
    let reader = PairReader::open(root)?;
    let manifest = reader.manifest();
    let range = manifest.dataset.range();
    let mut report = CheckReport {
        format: manifest.dataset.format.name(),
        complete: manifest.complete,
        pairs_expected: range.end - range.start,
        ..CheckReport::default()
    };
    if !manifest.complete {
        report.problem(format!(
            "'{}' is not complete: {} of {} pairs are committed; go on with --resume",
            root.display(),
            reader.len(),
            report.pairs_expected
        ));
    }
    let files = listed_files(root, manifest, &reader, &mut report)?;
    let total = files.len() as u64 + reader.len() as u64;
    let done = AtomicU64::new(0);
    let tick = || progress(done.fetch_add(1, Ordering::Relaxed) + 1, total);

    let verify = |(expected, name): &(String, String)| {
        let path = Layout::join(root, name);
        let problem = match sha256_file(&path) {
            Err(error) => Some(error.to_string()),
            Ok(found) if found != *expected => {
                Some(format!("'{}' has changed: its SHA-256 is not the one in {CHECKSUMS_NAME}", path.display()))
            }
            Ok(_) => None,
        };
        tick();
        problem
    };
    let problems: Vec<Option<String>> = files.par_iter().map(verify).collect();
    report.files_checked = files.len() as u64;
    problems.into_iter().flatten().for_each(|problem| report.problem(problem));

    let mut totals = Totals::default();
    for first in (0..reader.len()).step_by(CHUNK) {
        let positions: Vec<usize> = (first..(first + CHUNK).min(reader.len())).collect();
        let pairs: Vec<_> = positions
            .par_iter()
            .map(|&position| {
                let pair = reader.read(position).map(|pair| (look_at(&pair), pair));
                tick();
                pair
            })
            .collect();
        for pair in pairs {
            match pair {
                Ok((seen, pair)) => {
                    report.pairs_readable += 1;
                    *report.phases.entry(pair.meta.phase.name()).or_default() += 1;
                    seen.problems.into_iter().for_each(|problem| report.problem(problem));
                    totals.add(&seen.totals);
                }
                Err(error) => report.problem(error.to_string()),
            }
        }
    }
    totals.report(&mut report, manifest.dataset.domain);
    Ok(report)
}

/// The list of checksums, itself checked.
fn listed_files(
    root: &Path,
    manifest: &Manifest,
    reader: &PairReader,
    report: &mut CheckReport,
) -> Result<Vec<(String, String)>, DataError> {
    let path = checksums_path(root);
    let bytes = match read_capped(&path, MAX_LIST_BYTES) {
        Err(error) if error.is_not_found() && (reader.is_empty() || !manifest.complete) => Vec::new(),
        Err(error) => {
            report.problem(error.to_string());
            return Ok(Vec::new());
        }
        Ok(bytes) => bytes,
    };
    if manifest.checksums_sha256.as_ref().is_some_and(|sum| *sum != sha256_hex(&bytes)) {
        report.problem(format!("'{}' has changed: its SHA-256 is not the one in dataset.toml", path.display()));
    }
    let text = String::from_utf8_lossy(&bytes);
    let mut files = Vec::new();
    for (i, line) in text.lines().enumerate() {
        match line.split_once("  ").filter(|(sum, name)| sum.len() == 64 && is_inside(name)) {
            Some((sum, name)) => files.push((sum.to_owned(), name.to_owned())),
            None => report.problem(format!("'{}', line {}: it is not '<sha256>  <file>'", path.display(), i + 1)),
        }
    }
    let layout = reader.layout();
    let pairs = reader.len() as u64;
    let expected = match manifest.dataset.format {
        Format::WebDataset => pairs.div_ceil(manifest.dataset.pairs_per_tar),
        // The list of an unfinished dataset does not hold the metadata yet.
        _ => pairs * layout.channels().len() as u64 + u64::from(manifest.complete),
    };
    if (files.len() as u64) < expected {
        let message = format!("'{}' lists {} files, and the dataset has {expected}", path.display(), files.len());
        report.problem(message);
    }
    Ok(files)
}

/// A name that stays below the dataset's folder.
fn is_inside(name: &str) -> bool {
    !name.is_empty()
        && name.split('/').all(|part| !part.is_empty() && part != "." && part != ".." && !part.contains('\\'))
        && !name.contains(':')
}

struct Seen {
    totals: Totals,
    problems: Vec<String>,
}

/// What one pair shows.
fn look_at(pair: &Pair) -> Seen {
    let mut totals = Totals { pixels: pair.segmentation.len() as u64, ..Totals::default() };
    let mut problems = Vec::new();
    let name = |text: String| format!("pair {}: {text}", pair.meta.index);
    for &class in &pair.segmentation {
        totals.class_pixels[usize::from(class)] += 1;
    }
    totals.class_pairs = totals.class_pixels.map(|n| u64::from(n > 0));
    for &mm in pair.depth_mm.iter().filter(|&&mm| mm > 0) {
        totals.hits += 1;
        totals.depth_sum_mm += u64::from(mm);
        totals.nearest_mm = Some(totals.nearest_mm.map_or(mm, |nearest| nearest.min(mm)));
        totals.farthest_mm = totals.farthest_mm.max(mm);
    }
    let background = Class::Background as u8;
    let hollow = pair.segmentation.iter().zip(&pair.depth_mm).filter(|&(&c, &mm)| c != background && mm == 0).count();
    // A stray pixel can come from rounding at an edge.
    if hollow * 1000 > pair.segmentation.len() {
        problems.push(name(format!("{hollow} pixels belong to something and have no depth")));
    }
    if let Some(instances) = &pair.instances {
        let differ = |&(&class, &instance): &(&u8, &u8)| (class == background) != (instance == 0);
        let odd = pair.segmentation.iter().zip(instances).filter(differ).count();
        if odd > 0 {
            problems.push(name(format!("{odd} pixels are background in one of class and instance ids only")));
        }
        // Each object's id may be worn by object pixels only.
        for object in &pair.meta.objects {
            let worn = |&(&class, &instance): &(&u8, &u8)| instance == object.instance && class != Class::Object as u8;
            let wrong = pair.segmentation.iter().zip(instances).filter(worn).count();
            if wrong > 0 {
                problems.push(name(format!("{wrong} pixels of {} are not of class object", object.name)));
            }
        }
    }
    let camera = pair.meta.camera.intrinsics;
    if (camera.width as usize, camera.height as usize) != (pair.width, pair.height) {
        problems.push(name(format!("its camera is for {}x{} pixels", camera.width, camera.height)));
    }
    let (w, h) = (pair.width, pair.height);
    let ids = |i: usize| (pair.segmentation[i], pair.instances.as_ref().map_or(0, |ids| ids[i]));
    let rgb = |image: &[u8], i: usize, j: usize| -> u32 {
        (0..3).map(|c| u32::from(image[3 * i + c].abs_diff(image[3 * j + c]))).sum()
    };
    totals.canonical.add_image((w, h), ids, |i, j| rgb(&pair.canonical, i, j));
    totals.randomized.add_image((w, h), ids, |i, j| rgb(&pair.randomized, i, j));
    // A step of 10 cm counts as much as one of a metre: it is where the edge is that matters.
    totals.depth.add_image((w, h), ids, |i, j| u32::from(pair.depth_mm[i].abs_diff(pair.depth_mm[j])).min(100));
    Seen { totals, problems }
}

impl Totals {
    fn add(&mut self, other: &Self) {
        self.pixels += other.pixels;
        for class in 0..Class::COUNT {
            self.class_pixels[class] += other.class_pixels[class];
            self.class_pairs[class] += other.class_pairs[class];
        }
        self.depth_sum_mm += other.depth_sum_mm;
        self.hits += other.hits;
        self.nearest_mm = self.nearest_mm.into_iter().chain(other.nearest_mm).min();
        self.farthest_mm = self.farthest_mm.max(other.farthest_mm);
        self.canonical.add(&other.canonical);
        self.randomized.add(&other.randomized);
        self.depth.add(&other.depth);
    }

    fn report(&self, report: &mut CheckReport, domain: Domain) {
        let pixels = self.pixels.max(1) as f64;
        let statistics = |class: Class| ClassStatistics {
            class: class.name(),
            pixels: self.class_pixels[class as usize],
            share: self.class_pixels[class as usize] as f64 / pixels,
            pairs: self.class_pairs[class as usize],
        };
        report.classes = Class::ALL.into_iter().map(statistics).collect();
        report.depth = DepthStatistics {
            nearest_m: f64::from(self.nearest_mm.unwrap_or(0)) / 1000.0,
            farthest_m: f64::from(self.farthest_mm) / 1000.0,
            mean_m: self.depth_sum_mm as f64 / self.hits.max(1) as f64 / 1000.0,
            missing: (self.pixels - self.hits) as f64 / pixels,
        };
        report.alignment = Alignment {
            canonical: self.canonical.best(),
            randomized: self.randomized.best(),
            depth: self.depth.best(),
        };
        // The stand-ins for reality bend the source image by their lens: there an offset is no fault.
        let randomized = report.alignment.randomized.filter(|_| !domain.stands_for_reality());
        let found =
            [("canonical", report.alignment.canonical), ("randomized", randomized), ("depth", report.alignment.depth)];
        for (name, shift) in found {
            if let Some(shift) = shift.filter(|s| *s != Shift::default()) {
                let Shift { dx, dy } = shift;
                report.problem(format!("the {name} images lie ({dx}, {dy}) pixels beside the ids"));
            }
        }
    }
}
