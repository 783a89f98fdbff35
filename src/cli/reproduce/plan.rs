//! The runs behind a table: nodes of a graph whose work is a command of this program, in the words that a user would type.
//!
//! `@name` among the words stands for the folder of another node, or for a run that the user gave. A node's key is the hash of
//! its words and of its inputs' keys, so that it is used again exactly when it would come out the same.

use super::RESULT_NAME;
use crate::cli::{UsageError, episodes, eval, train};
use crate::data::episodes::EpisodeReader;
use crate::data::paired::checksums_path;
use crate::files::atomic::{create_folder, read_capped, sha256_file, write_atomic};
use crate::files::console::remark;
use crate::files::interrupt;
use crate::gan::cyclegan::Method;
use crate::gan::rcan::RcanConfig;
use crate::rl::qtopt::QtOptConfig;
use crate::rl::rl_cyclegan::RlCycleGanConfig;
use crate::train::checkpoint::CHECKSUMS_NAME;
use crate::train::graph::Context as Node;
use crate::train::{Ended, LearnerConfig, Preset, RunGraph, learner_name, load_run};
use anyhow::Context;
use clap::Parser;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

const MAX_RESULT_BYTES: u64 = 16 << 20;
/// What a node's command writes lies here in its folder, beside what the graph and the table keep.
const WORK: &str = "run";

/// The commands that a node may be.
#[derive(clap::Parser)]
#[command(name = "bingrasp")]
struct Line {
    #[command(subcommand)]
    command: LineCommand,
}

#[derive(clap::Subcommand)]
enum LineCommand {
    Train(train::Args),
    Episodes(episodes::Args),
    Eval(eval::Args),
}

/// What a word of a command is.
#[derive(Clone)]
enum Word {
    Plain(String),
    /// The work of another node.
    Node(String),
    /// A file in the node's own folder.
    Here(String),
}

/// The graph, and the folders of what the user gave.
pub struct Plan {
    graph: RunGraph<'static>,
    given: BTreeMap<String, PathBuf>,
    /// Settings that the words do not say: with other ones a training is another one.
    defaults: String,
}

impl Plan {
    /// Nodes lie in `root`.
    ///
    /// # Errors
    /// Settings that cannot be written down (never).
    pub fn new(root: &Path) -> anyhow::Result<Self> {
        let mut defaults = toml::to_string(&QtOptConfig::preset(Preset::Small))?;
        defaults += &toml::to_string(&RcanConfig::preset(crate::gan::rcan::Preset::Small))?;
        for method in Method::ALL {
            defaults += &toml::to_string(&RlCycleGanConfig::preset(method, Preset::Small))?;
        }
        Ok(Self { graph: RunGraph::new(root), given: BTreeMap::new(), defaults })
    }

    /// A finished run of the user as the node `name`: what it is counts, not where it lies.
    ///
    /// # Errors
    /// No finished run of RCAN or QT-Opt.
    pub fn give_run(&mut self, name: &str, flag: &str, folder: &Path) -> anyhow::Result<()> {
        let digest = digest_of_run(folder).with_context(|| format!("opening {flag} {}", folder.display()))?;
        self.give(name, folder, &digest)
    }

    /// The same for a recording.
    ///
    /// # Errors
    /// No recording.
    pub fn give_recording(&mut self, name: &str, flag: &str, folder: &Path) -> anyhow::Result<()> {
        let opening = || format!("opening {flag} {}", folder.display());
        EpisodeReader::open(folder).with_context(opening)?;
        let digest = sha256_file(&checksums_path(folder)).with_context(opening)?;
        self.give(name, folder, &digest)
    }

    fn give(&mut self, name: &str, folder: &Path, digest: &str) -> anyhow::Result<()> {
        self.given.insert(name.to_owned(), std::path::absolute(folder)?);
        Ok(self.graph.add(name, digest, &[], |_| Ok(Ended::Complete))?)
    }

    /// Adds the node `name`: a command as a user would type it, without the program's name, `--out` and `--resume`. Words are
    /// parted by blanks; `@here/NAME` is a file in the node's own folder.
    ///
    /// # Errors
    /// An `@name` that is no node yet.
    pub fn add(&mut self, name: &str, title: &str, command: &str) -> anyhow::Result<()> {
        let word = |word: &str| match word.strip_prefix('@') {
            Some(node) => match node.strip_prefix("here/") {
                Some(file) => Word::Here(file.to_owned()),
                None => Word::Node(node.to_owned()),
            },
            None => Word::Plain(word.to_owned()),
        };
        let words: Vec<Word> = command.split_whitespace().map(word).collect();
        let inputs: Vec<&str> = words
            .iter()
            .filter_map(|word| match word {
                Word::Node(node) => Some(node.as_str()),
                Word::Plain(_) | Word::Here(_) => None,
            })
            .collect();
        // Words that the program does not know are an error now, and not after the hours that its inputs take.
        parse(&line_of(&words, |node| PathBuf::from(node), Path::new("here")))?;
        let trains = command.starts_with("train ");
        let settings = format!("{command}\n{}", if trains { &self.defaults } else { "" });
        let (given, title) = (self.given.clone(), Rc::<str>::from(title));
        let work_words = words.clone();
        let work = move |context: &Node<'_>| run(context, &work_words, &given, &title);
        Ok(self.graph.add(name, &settings, &inputs, work)?)
    }

    /// Whether a node of this name was added or given.
    pub fn has(&self, name: &str) -> bool {
        self.graph.has(name)
    }

    /// Brings a node and all that it needs to an end.
    ///
    /// # Errors
    /// What the commands met.
    pub fn complete(&mut self, name: &str) -> anyhow::Result<Ended> {
        Ok(self.graph.complete(name)?)
    }

    /// Where the command of a node writes.
    pub fn work(&self, name: &str) -> PathBuf {
        self.given.get(name).cloned().unwrap_or_else(|| self.graph.folder(name).join(WORK))
    }

    /// What the command of a finished node came to: the object of its `--json`.
    ///
    /// # Errors
    /// A result that is damaged.
    pub fn result(&self, name: &str) -> anyhow::Result<Value> {
        let path = self.graph.folder(name).join(RESULT_NAME);
        let bytes = read_capped(&path, MAX_RESULT_BYTES)?;
        serde_json::from_slice(&bytes)
            .with_context(|| format!("reading {}; remove its folder to make it again", path.display()))
    }
}

/// What a finished run is: its newest checkpoint.
fn digest_of_run(folder: &Path) -> anyhow::Result<String> {
    if learner_name(folder)? == RcanConfig::NAME {
        digest_of::<RcanConfig>(folder)
    } else {
        digest_of::<QtOptConfig>(folder)
    }
}

/// The digest of the newest checkpoint of a run, or of the one that `folder` is.
///
/// # Errors
/// No run of this learner with a checkpoint.
pub fn digest_of<C: LearnerConfig>(folder: &Path) -> anyhow::Result<String> {
    Ok(sha256_file(&load_run::<C>(folder)?.checkpoint.path.join(CHECKSUMS_NAME))?)
}

/// The words of a node's command, the program's name first, where `place` says where its inputs lie and `folder` is its own.
fn line_of(words: &[Word], place: impl Fn(&str) -> PathBuf, folder: &Path) -> Vec<String> {
    let mut line: Vec<String> = vec!["bingrasp".to_owned()];
    line.extend(words.iter().map(|word| match word {
        Word::Plain(word) => word.clone(),
        Word::Node(node) => place(node).display().to_string(),
        Word::Here(file) => folder.join(file).display().to_string(),
    }));
    if line.get(1).is_some_and(|kind| kind != "eval") {
        line.extend(["--out".to_owned(), folder.join(WORK).display().to_string()]);
    }
    line
}

fn parse(line: &[String]) -> anyhow::Result<Line> {
    Ok(Line::try_parse_from(line).map_err(|error| UsageError(format!("{}: {error}", line.join(" "))))?)
}

/// Runs a node's command, or resumes it.
fn run(context: &Node<'_>, words: &[Word], given: &BTreeMap<String, PathBuf>, title: &str) -> anyhow::Result<Ended> {
    if interrupt::requested() {
        return Ok(Ended::Interrupted);
    }
    remark(format_args!("{title}"));
    let own = context.folder.join(WORK);
    let place = |node: &str| given.get(node).cloned().unwrap_or_else(|| context.input(node).join(WORK));
    let mut line = line_of(words, place, context.folder);
    let kind = line[1].as_str();
    if kind == "train" && own.join("config.toml").is_file() {
        // Its settings are saved; only where it lies is to be said.
        line.truncate(3);
        line.extend(["--out".to_owned(), own.display().to_string(), "--resume".to_owned()]);
    } else if kind == "episodes" && own.is_dir() {
        line.push("--resume".to_owned());
    }
    let parsed = parse(&line)?;
    create_folder(context.folder)?;
    let (ended, result) = match &parsed.command {
        LineCommand::Train(args) => {
            let finished = train::to_end(args)?;
            (finished.outcome.ended, finished.summary)
        }
        LineCommand::Episodes(args) => {
            let complete = episodes::written(args)?;
            (if complete { Ended::Complete } else { Ended::Interrupted }, json!({}))
        }
        LineCommand::Eval(args) => (Ended::Complete, eval::measured(args)?),
    };
    if ended == Ended::Complete {
        write_atomic(&context.folder.join(RESULT_NAME), &serde_json::to_vec_pretty(&result)?)?;
    }
    Ok(ended)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_its_words_and_what_it_builds_on() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let place = |words: [&str; 2]| -> anyhow::Result<PathBuf> {
            let mut plan = Plan::new(folder.path())?;
            plan.add("recording", "recording", words[0])?;
            plan.add("sample", "sampling", words[1])?;
            Ok(plan.graph.folder("sample"))
        };
        let record = "episodes record --policy random --domain canonical --count 3";
        let sample = "episodes sample @recording --count 2";
        let first = place([record, sample])?;
        assert_eq!(first, place([record, sample])?);
        assert_ne!(first, place([record, "episodes sample @recording --count 1"])?);
        assert_ne!(first, place(["episodes record --policy random --domain canonical --count 4", sample])?);
        let mut plan = Plan::new(folder.path())?;
        let error = plan.add("sample", "sampling", sample).expect_err("no such node").to_string();
        assert!(error.contains("'recording'"), "{error}");
        // Words that the program does not know are named before anything is run.
        let error = format!("{:#}", plan.add("wrong", "measuring", "eval grasp --polcy oracle").expect_err("a typo"));
        assert!(error.contains("--polcy"), "{error}");
        Ok(())
    }

    #[test]
    fn a_measurement_is_made_once_and_kept() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let mut plan = Plan::new(folder.path())?;
        plan.add("oracle", "measuring", "eval grasp --policy oracle --objects test --attempts 4")?;
        assert_eq!(plan.complete("oracle")?, Ended::Complete);
        let result = plan.result("oracle")?;
        assert_eq!(result["attempts"], 4);
        assert_eq!(plan.complete("oracle")?, Ended::Complete);
        assert_eq!(plan.result("oracle")?["seconds"], result["seconds"], "it was not measured again");
        Ok(())
    }
}
