//! `bingrasp objects <verb>`: makes, lists, exports, imports and measures objects. In: words. Out: files in a new folder,
//! tables or one JSON object on standard output, remarks on standard error.

use super::{UsageError, common, numbers, output};
use crate::contract::Seed;
use crate::files::console;
use crate::files::paths::resolve;
use crate::objects::catalogue::Catalogue;
use crate::objects::export::{ExportFormat, check_output, export_objects, write_folder};
use crate::objects::generate::GenerateConfig;
use crate::objects::import::{Imported, import_dir};
use crate::objects::statistics::{Statistics, page};
use crate::objects::{ObjectModel, ObjectSet, Split};
use anyhow::{Result, bail};
use clap::{Subcommand, ValueEnum};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The things to grasp: make new ones, look at a set, bring your own, take ours elsewhere
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make new procedural objects
    #[command(after_help = "Example: bingrasp objects generate --count 100 --seed 7 --out my_objects")]
    Generate(GenerateArgs),
    /// List names, sizes and masses of a set, one object a line
    #[command(after_help = "Example: bingrasp objects list --split test")]
    List(ListArgs),
    /// Write a set as URDF (PyBullet's layout), OBJ or glTF
    #[command(after_help = "Example: bingrasp objects export --out urdfs --format urdf --split test")]
    Export(ExportArgs),
    /// Read a folder of URDF, OBJ, STL, PLY, glTF and GLB files and tell what became of each
    #[command(after_help = "Example: bingrasp objects import my_meshes --scale 0.001")]
    Import(ImportArgs),
    /// Print a set's statistics beside PyBullet's
    #[command(after_help = "Example: bingrasp objects stats --objects my_meshes --json")]
    Stats(StatsArgs),
    /// Draw many objects in one picture
    #[command(after_help = "Example: bingrasp objects sheet --objects test --out objects.png")]
    Sheet(super::object_sheet::SheetArgs),
    /// Plan, try and draw the good grasp poses of objects
    #[command(after_help = "Example: bingrasp objects grasps --objects ycb --out grasps.png")]
    Grasps(super::grasp_sheet::GraspSheetArgs),
}

#[derive(Debug, clap::Args)]
struct GenerateArgs {
    /// How many
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    count: u32,
    /// The same seed makes the same objects
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// A new or empty folder
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[arg(long, value_enum, default_value_t)]
    format: GenerateFormat,
    /// Fewest and most prisms in an object
    #[arg(long, num_args = 2, value_names = ["FEWEST", "MOST"], default_values_t = [2, 5])]
    prisms: Vec<u32>,
    /// Jaw opening, in metres, that must do for every object however it lies
    #[arg(long, value_name = "METRES", default_value_t = GenerateConfig::default().grasp_width_m,
        value_parser = numbers::real(0.005..=GenerateConfig::default().jaw_opening_m))]
    grasp_width: f64,
    /// Mass of every object
    #[arg(long, value_name = "KG", default_value_t = GenerateConfig::default().mass_kg, value_parser = numbers::real(1e-4..=100.0))]
    mass: f64,
    /// Figures on standard output as one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum GenerateFormat {
    /// NNN/NNN.urdf with NNN/NNN.obj, as PyBullet has them
    #[default]
    Urdf,
    /// NNN.glb
    Gltf,
    /// One text file, as in procedural_objects/
    Catalogue,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum FormatArg {
    /// NNN/NNN.urdf with NNN/NNN.obj, as PyBullet has them
    #[default]
    Urdf,
    /// NNN.obj, the mesh alone: neither mass nor friction nor colour
    Obj,
    /// NNN.glb
    Gltf,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum SplitArg {
    Train,
    Test,
    #[default]
    All,
}

/// Which set, and how its files are read.
#[derive(Debug, clap::Args)]
struct SetArgs {
    /// A folder of URDF, OBJ, STL, PLY, glTF or GLB files, or train, test, all, household, household:SEED, household-solid, ycb,
    /// spring-jointed or spring-jointed-rigid, several with commas; without it the 1,000 built-in objects
    #[arg(long, value_name = "DIR|SET")]
    objects: Option<PathBuf>,
    #[command(flatten)]
    options: common::ImportArgs,
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    #[command(flatten)]
    set: SetArgs,
    #[arg(long, value_enum, default_value_t)]
    split: SplitArg,
    /// One JSON object on standard output
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct ExportArgs {
    #[command(flatten)]
    set: SetArgs,
    #[arg(long, value_enum, default_value_t)]
    split: SplitArg,
    /// A new or empty folder
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[arg(long, value_enum, default_value_t)]
    format: FormatArg,
    /// Figures on standard output as one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct ImportArgs {
    /// The folder; everything below it is read
    dir: PathBuf,
    #[command(flatten)]
    options: common::ImportArgs,
    /// One JSON object on standard output
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct StatsArgs {
    #[command(flatten)]
    set: SetArgs,
    /// One JSON object on standard output
    #[arg(long, conflicts_with = "markdown")]
    json: bool,
    /// The page procedural_objects/STATISTICS.md
    #[arg(long)]
    markdown: bool,
}

impl From<SplitArg> for Split {
    fn from(split: SplitArg) -> Self {
        match split {
            SplitArg::Train => Self::Train,
            SplitArg::Test => Self::Test,
            SplitArg::All => Self::All,
        }
    }
}

/// Runs one verb. Figures go to standard output, remarks to standard error.
///
/// # Errors
/// A folder that is missing, empty, unreadable or, for output, in use; a configuration that no object satisfies; a file
/// that `import` cannot use (after the others are reported).
pub fn run(args: &Args) -> Result<ExitCode> {
    match &args.verb {
        Verb::Generate(args) => generate(args),
        Verb::List(args) => list(args),
        Verb::Export(args) => export(args),
        Verb::Import(args) => import(args),
        Verb::Stats(args) => stats(args),
        Verb::Sheet(args) => return super::object_sheet::run(args),
        Verb::Grasps(args) => return super::grasp_sheet::run(args),
    }?;
    Ok(ExitCode::SUCCESS)
}

fn generate(args: &GenerateArgs) -> Result<()> {
    common::Inputs::default().check_new_folder(&args.out)?;
    check_output(&args.out)?;
    let &[fewest, most] = args.prisms.as_slice() else {
        return Err(UsageError("--prisms takes two numbers, the fewest and the most".to_owned()).into());
    };
    if fewest == 0 || fewest > most {
        let message = format!("--prisms {fewest} {most}: give the fewest, at least 1, and then the most");
        return Err(UsageError(message).into());
    }
    let config = GenerateConfig {
        prisms: [fewest, most],
        grasp_width_m: args.grasp_width,
        mass_kg: args.mass,
        ..GenerateConfig::default()
    };
    let catalogue = Catalogue::generate(Seed(args.seed), args.count as usize, &config)?;
    let set = catalogue.to_set()?;
    // What a link leads to, as the link itself takes no other name.
    let out = resolve(&args.out)?;
    match args.format {
        GenerateFormat::Urdf => export_objects(set.objects(), &out, ExportFormat::Urdf)?,
        GenerateFormat::Gltf => export_objects(set.objects(), &out, ExportFormat::Gltf)?,
        GenerateFormat::Catalogue => {
            write_folder(&out, &[("catalogue.jsonl".into(), catalogue.to_text().into_bytes())])?;
        }
    }
    tell_written(set.len(), &args.out, args.json, &json!({"seed": args.seed}))
}

fn list(args: &ListArgs) -> Result<()> {
    let set = load(&args.set)?;
    let objects = set.split(args.split.into());
    if args.json {
        let rows: Vec<Value> = objects.iter().map(|object| figures(object)).collect();
        return output::json(
            &json!({"count": rows.len(), "objects": rows, "failures": texts(set.failures()), "skipped": texts(set.skipped())}),
        );
    }
    output::line(&header())?;
    objects.iter().try_for_each(|object| output::line(&line(object)))
}

fn export(args: &ExportArgs) -> Result<()> {
    let names = args.set.objects.as_deref().and_then(Path::to_str);
    common::Inputs::default().objects(names).check_new_folder(&args.out)?;
    check_output(&args.out)?;
    let objects = load(&args.set)?.split(args.split.into());
    if objects.iter().any(|object| object.assembly.is_some()) {
        console::remark("springs are not written: each spring-jointed object becomes one rigid body in its rest shape");
    }
    let format = match args.format {
        FormatArg::Urdf => ExportFormat::Urdf,
        FormatArg::Obj => ExportFormat::Obj,
        FormatArg::Gltf => ExportFormat::Gltf,
    };
    export_objects(&objects, &resolve(&args.out)?, format)?;
    tell_written(objects.len(), &args.out, args.json, &json!({}))
}

fn import(args: &ImportArgs) -> Result<()> {
    let report = import_dir(&args.dir, &args.options.into())?;
    if args.json {
        let objects: Vec<Value> = report.objects.iter().map(imported_figures).collect();
        let (failures, skipped) = (texts(&report.failures), texts(&report.skipped));
        output::json(&json!({"count": objects.len(), "objects": objects, "failures": failures, "skipped": skipped}))?;
    } else {
        output::line(&header())?;
        for imported in &report.objects {
            output::line(&line(&imported.model))?;
            imported.warnings.iter().try_for_each(|warning| output::line(&format!("    note: {warning}")))?;
        }
        report.skipped.iter().for_each(|skipped| console::remark(format_args!("not read: {skipped}")));
        report.failures.iter().for_each(|failure| console::remark(format_args!("failed: {failure}")));
    }
    let (bad, all) = (report.failures.len(), report.failures.len() + report.objects.len());
    if bad > 0 {
        bail!("{bad} of {all} objects in {} could not be used", args.dir.display());
    }
    Ok(())
}

fn stats(args: &StatsArgs) -> Result<()> {
    let set = load(&args.set)?;
    let ours = Statistics::of(set.objects(), set.failures().len());
    if args.json {
        return output::json(&ours);
    }
    let text = page(&ours, &Statistics::pybullet()?);
    if args.markdown {
        return output::line(text.trim_end());
    }
    // On a terminal the tables are what is wanted, one blank line apart.
    let rows: Vec<&str> = text.lines().filter(|line| line.starts_with('|') || line.is_empty()).collect();
    rows.split(|row| row.is_empty()).filter(|table| !table.is_empty()).try_for_each(|table| {
        output::line("")?;
        aligned(table).iter().try_for_each(|row| output::line(row))
    })
}

/// A Markdown table with its columns under each other, the first to the left, numbers to the right.
fn aligned(table: &[&str]) -> Vec<String> {
    let rows: Vec<Vec<&str>> = table
        .iter()
        .filter(|row| !row.starts_with("|--"))
        .map(|row| row.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    rows.iter()
        .map(|row| {
            let cells = row.iter().enumerate().map(|(column, cell)| {
                let width = width(column);
                if column == 0 { format!("{cell:<width$}") } else { format!("  {cell:>width$}") }
            });
            cells.collect()
        })
        .collect()
}

fn load(args: &SetArgs) -> Result<ObjectSet> {
    let Some(folder) = &args.objects else { return Ok(ObjectSet::builtin()) };
    if let Some(set) = folder.to_str().and_then(common::named_set) {
        return Ok(ObjectSet::new(set?));
    }
    if let Some(names) = folder.to_str().filter(|names| !folder.exists() && names.contains(',')) {
        return Ok(ObjectSet::new(common::load_objects(names, args.options)?));
    }
    if !folder.exists() {
        let message = format!("--objects: there is no set and no folder {}", folder.display());
        return Err(UsageError(message).into());
    }
    let set = ObjectSet::load_dir_with(folder, &args.options.into())?;
    set.failures().iter().for_each(|failure| console::remark(format_args!("left out: {failure}")));
    set.skipped().iter().for_each(|skipped| console::remark(format_args!("not read: {skipped}")));
    Ok(set)
}

fn texts(errors: &[impl ToString]) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

fn figures(object: &ObjectModel) -> Value {
    json!({
        "name": object.name,
        "parts": object.parts.len(),
        "pieces": object.num_pieces(),
        "mass_kg": object.mass_kg,
        "friction": object.friction,
        "extents_m": object.aabb().extents().to_array(),
        "grasp_width_m": object.grasp_width(),
        "volume_cm3": object.volume_m3 * 1e6,
        "has_mesh": object.mesh.is_some(),
    })
}

fn imported_figures(imported: &Imported) -> Value {
    let mut value = figures(&imported.model);
    value["path"] = json!(imported.path.display().to_string());
    value["warnings"] = json!(imported.warnings);
    value
}

fn header() -> String {
    format!(
        "{:<24}{:>6}{:>10}{:>10}{:>22}{:>10}{:>10}",
        "object", "parts", "kg", "friction", "extents cm", "width cm", "cm^3"
    )
}

fn line(object: &ObjectModel) -> String {
    let [x, y, z] = (object.aabb().extents() * 100.0).to_array();
    format!(
        "{:<24}{:>6}{:>10.3}{:>10.2}{:>22}{:>10.2}{:>10.1}",
        object.name,
        object.parts.len(),
        object.mass_kg,
        object.friction,
        format!("{x:.1} x {y:.1} x {z:.1}"),
        object.grasp_width() * 100.0,
        object.volume_m3 * 1e6
    )
}

fn tell_written(count: usize, out: &Path, as_json: bool, more: &Value) -> Result<()> {
    if as_json {
        let mut value = json!({"count": count, "out": out.display().to_string()});
        if let (Some(value), Some(more)) = (value.as_object_mut(), more.as_object()) {
            value.extend(more.clone());
        }
        return output::json(&value);
    }
    output::line(&format!("{count} objects in {}", out.display()))
}
