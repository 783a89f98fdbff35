//! Every parser of the program under libFuzzer. In: bytes. Out: nothing, as long as no parser panics, hangs or takes more
//! memory than it may.
//!
//! `BINGRASP_FUZZ=obj fuzz CORPUS -runs=1000000`; `scripts/fuzz.sh` builds it with coverage and runs all targets. What a
//! parser makes of bytes is thrown away; invariants that hold for everything it accepts are checked where there are any.

#![no_main]

mod memory;

use bingrasp::contract::{Domain, Seed};
use bingrasp::data::{episodes, paired};
use bingrasp::draw::png;
use bingrasp::gan::{cyclegan::CycleGanConfig, rcan::RcanConfig, semantic::SemanticConfig};
use bingrasp::objects::import::{ImportOptions, Limits, import_bytes, parse_bytes, parse_materials};
use bingrasp::pictures;
use bingrasp::rl::{ppo::PpoConfig, qtopt::QtOptConfig, rl_cyclegan::RlCycleGanConfig};
use bingrasp::scene::cells;
use bingrasp::train::checkpoint::parse_state_json;
use bingrasp::train::{LearnerConfig, RunConfig, TensorFile, parse_metrics};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

type Target = fn(&[u8]);

/// The name of a target, as in `fuzz/corpus/`, and what it does with bytes.
const TARGETS: &[(&str, Target)] = &[
    ("obj", |bytes| mesh("input.obj", bytes)),
    ("mtl", materials),
    ("stl", |bytes| mesh("input.stl", bytes)),
    ("ply", |bytes| mesh("input.ply", bytes)),
    ("gltf", |bytes| mesh("input.gltf", bytes)),
    ("glb", |bytes| mesh("input.glb", bytes)),
    ("urdf", |bytes| mesh("input.urdf", bytes)),
    ("object", object),
    ("picture", picture),
    ("depth", depth),
    ("png", dataset_png),
    ("cell", cell),
    ("settings", settings),
    ("assignment", assignment),
    ("safetensors", safetensors),
    ("state", |bytes| drop(parse_state_json(bytes))),
    ("shard", shard),
    ("episodes-toml", |bytes| drop(episodes::parse_manifest(bytes))),
    ("dataset-toml", |bytes| drop(paired::Manifest::parse(Path::new("dataset.toml"), bytes.to_vec()))),
    ("record", record),
    ("tar", tar),
    ("metrics", |bytes| drop(parse_metrics(bytes))),
    #[cfg(feature = "viewer")]
    ("scene", |bytes| drop(bingrasp::viewer::export::Scene::parse(Path::new("scene.json"), bytes))),
];

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    static TARGET: OnceLock<Target> = OnceLock::new();
    TARGET.get_or_init(chosen)(bytes);
});

fn chosen() -> Target {
    let name = std::env::var("BINGRASP_FUZZ").unwrap_or_default();
    let names = TARGETS.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    let found = TARGETS.iter().find(|(known, _)| *known == name);
    found.unwrap_or_else(|| panic!("BINGRASP_FUZZ={name} is no target; they are {names}")).1
}

/// A file of this name would lie beside the small files that references may lead to.
fn beside_stubs(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/stubs").join(name)
}

fn mesh(name: &str, bytes: &[u8]) {
    let _ = parse_bytes(&beside_stubs(name), bytes.to_vec(), &ImportOptions::default());
}

fn materials(bytes: &[u8]) {
    let _ = parse_materials(&beside_stubs("input.mtl"), bytes, &Limits::default());
}

/// The whole way from a file to an object: decomposition, mass, surface. Whatever comes out must be physical.
fn object(bytes: &[u8]) {
    let limits = Limits { vertices: 400, triangles: 400, ..Limits::default() };
    let options = ImportOptions { limits, ..ImportOptions::default() };
    if let Ok(object) = import_bytes(&beside_stubs("input.obj"), bytes.to_vec(), &options) {
        assert!(object.model.mass_kg.is_finite() && object.model.mass_kg > 0.0, "mass {}", object.model.mass_kg);
        assert!(object.model.inertia.is_physical(), "{:?}", object.model.inertia);
        assert!(!object.model.parts.is_empty());
    }
}

fn picture(bytes: &[u8]) {
    if let Ok(picture) = pictures::decode(bytes, Path::new("input")) {
        assert!(u64::from(picture.width()) * u64::from(picture.height()) <= pictures::MAX_PIXELS);
    }
}

fn depth(bytes: &[u8]) {
    if let Ok(image) = pictures::decode_depth(bytes, Path::new("input")) {
        assert_eq!(image.depth_mm.len(), image.width * image.height);
        assert_eq!(image.square_m(8).len(), 64);
    }
}

fn dataset_png(bytes: &[u8]) {
    if let Ok(image) = png::decode_rgb(bytes) {
        assert_eq!(image.pixels.len(), 3 * image.width * image.height);
    }
    let _ = png::decode_indexed(bytes);
    let _ = png::decode_gray16(bytes);
}

fn text(bytes: &[u8], then: impl FnOnce(&str)) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        then(text);
    }
}

/// What is accepted is written as TOML that gives the same cell.
fn cell(bytes: &[u8]) {
    text(bytes, |text| {
        let Ok(cell) = cells::parse(text, "input", None) else { return };
        let again = cells::to_toml(&cell).expect("a valid cell has a text");
        assert_eq!(cells::parse(&again, "again", None).expect("and the text is a cell"), cell);
        let _ = cells::parse(text, "input", cell.presets.keys().next().map(String::as_str));
    });
}

fn settings(bytes: &[u8]) {
    fn of<C: LearnerConfig>(text: &str) {
        if let Ok(config) = RunConfig::<C>::parse(text, Path::new("run")) {
            let again = config.to_toml().expect("valid settings have a text");
            assert!(RunConfig::<C>::parse(&again, Path::new("run")).is_ok_and(|again| again == config), "{again}");
            assert!(config.learner.lr_scale(1, 0.5).is_finite());
        }
    }
    text(bytes, |text| {
        // As every command does that takes a run: the learner's name decides whose settings they are.
        let name = text.lines().find_map(|line| line.strip_prefix("learner = ")).unwrap_or_default().trim_matches('"');
        match name {
            QtOptConfig::NAME => of::<QtOptConfig>(text),
            PpoConfig::NAME => of::<PpoConfig>(text),
            CycleGanConfig::NAME => of::<CycleGanConfig>(text),
            RlCycleGanConfig::NAME => of::<RlCycleGanConfig>(text),
            SemanticConfig::NAME => of::<SemanticConfig>(text),
            _ => of::<RcanConfig>(text),
        }
    });
}

/// `--set KEY=VALUE` on valid settings.
fn assignment(bytes: &[u8]) {
    static BASE: OnceLock<RunConfig<QtOptConfig>> = OnceLock::new();
    let base = BASE.get_or_init(|| {
        let text = include_str!("corpus/settings/qtopt.toml");
        RunConfig::parse(text, Path::new("run")).expect("settings")
    });
    text(bytes, |text| {
        if let Ok(config) = base.with(text) {
            let _ = config.validate();
        }
    });
}

fn safetensors(bytes: &[u8]) {
    if let Ok(file) = TensorFile::parse(Path::new("input"), bytes.to_vec()) {
        for (_, tensor) in file.tensors().expect("checked before") {
            let elements: usize = tensor.shape.iter().product();
            assert_eq!(tensor.data.len(), elements * tensor.kind.size());
            assert_eq!(tensor.to_f32().map_or(elements, |values| values.len()), elements);
            assert_eq!(tensor.to_i64().map_or(elements, |values| values.len()), elements);
        }
    }
}

fn shard(bytes: &[u8]) {
    let config = episodes::EpisodesConfig {
        seed: Seed(0),
        domain: Domain::Canonical,
        width: 16,
        height: 16,
        count: 2,
        episodes_per_shard: 2,
        cell: episodes::RecordedCell::default(),
        policy: "random".into(),
        generator: toml::Table::new(),
    };
    for episode in episodes::parse_shard(&config, bytes.to_vec()).unwrap_or_default() {
        assert_eq!(episode.observations.len(), episode.steps.len() + 1);
    }
}

/// A record that is read is written as one that says the same.
fn record(bytes: &[u8]) {
    let Ok(record) = serde_json::from_slice::<paired::PairMeta>(bytes) else { return };
    if record.is_finite() {
        let again = serde_json::to_vec(&record).expect("a finite record has a text");
        assert_eq!(serde_json::from_slice::<paired::PairMeta>(&again).expect("a record"), record);
    }
}

fn tar(bytes: &[u8]) {
    let (names, _) = paired::parse_tar(bytes, 100);
    assert!(names.len() <= 100);
}
