//! The graph of runs behind a paper's table: trainings, recordings and measurements that build on each other.
//!
//! A node's key is the hash of its settings and of the keys of its inputs. Its folder bears the key, so that a node is used
//! again exactly when it would come out the same, by whatever table asks for it, and an interrupted one is resumed.

use crate::files::atomic::{FileError, create_folder, read_capped, sha256_hex, write_atomic};
use crate::train::Ended;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Written into a node's folder when its work is done.
const MARK_NAME: &str = "node.json";
/// Characters of the key in a folder's name.
const KEY_CHARS: usize = 12;
const MAX_MARK_BYTES: u64 = 4 << 20;

/// What can go wrong in a graph of runs.
#[derive(Debug, thiserror::Error)]
pub enum GraphError {
    /// A node's folder or its mark could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// [`RunGraph::add`] got an input that was not added before.
    #[error("the run '{node}' needs '{input}', which the graph does not hold")]
    NoNode {
        /// The node that was to be added.
        node: String,
        /// The unknown input.
        input: String,
    },
    /// `node.json` cannot be read or is of other settings.
    #[error("'{}' is not what a finished run leaves there: {message}; remove it to run '{node}' again", path.display())]
    Mark {
        /// The node's name.
        node: String,
        /// The file.
        path: PathBuf,
        /// The fault in words.
        message: String,
    },
    /// What the work of a node met.
    #[error("{node}: {error:#}")]
    Work {
        /// The node's name.
        node: String,
        /// The error that its work returned.
        error: anyhow::Error,
    },
}

/// What the work of a node is given.
pub struct Context<'a> {
    /// The node's own folder. It is not made yet, or holds what an interrupted attempt left.
    pub folder: &'a Path,
    inputs: BTreeMap<&'a str, PathBuf>,
}

impl Context<'_> {
    /// The folder of one of the node's inputs. Panics for a name that the node did not declare.
    pub fn input(&self, name: &str) -> &Path {
        &self.inputs[name]
    }
}

type Work<'w> = Box<dyn FnMut(&Context<'_>) -> anyhow::Result<Ended> + 'w>;

/// One training, recording or measurement.
struct Node<'w> {
    settings: String,
    inputs: Vec<String>,
    key: String,
    work: Work<'w>,
}

/// What says that a node is done, and of what it was made.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Mark {
    key: String,
    settings: String,
    inputs: BTreeMap<String, String>,
}

/// Nodes by name. Inputs are added before what needs them, so that there are no circles.
pub struct RunGraph<'w> {
    root: PathBuf,
    nodes: BTreeMap<String, Node<'w>>,
}

impl<'w> RunGraph<'w> {
    /// An empty graph whose folders lie in `root`.
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), nodes: BTreeMap::new() }
    }

    /// Adds a node. `settings` is the whole of what decides its outcome beside its inputs.
    ///
    /// # Errors
    /// An input that was not added before.
    pub fn add(
        &mut self,
        name: &str,
        settings: &str,
        inputs: &[&str],
        work: impl FnMut(&Context<'_>) -> anyhow::Result<Ended> + 'w,
    ) -> Result<(), GraphError> {
        let mut text = format!("{}\n{settings}\n", name.len());
        for input in inputs {
            let missing = || GraphError::NoNode { node: name.to_owned(), input: (*input).to_owned() };
            let node = self.nodes.get(*input).ok_or_else(missing)?;
            text += &format!("{input} {}\n", node.key);
        }
        let node = Node {
            settings: settings.to_owned(),
            inputs: inputs.iter().map(|input| (*input).to_owned()).collect(),
            key: sha256_hex(text.as_bytes()),
            work: Box::new(work),
        };
        self.nodes.insert(name.to_owned(), node);
        Ok(())
    }

    /// Whether a node of this name was added.
    pub fn has(&self, name: &str) -> bool {
        self.nodes.contains_key(name)
    }

    /// Where a node's results are, or will be. Panics for a name that was not added.
    pub fn folder(&self, name: &str) -> PathBuf {
        self.root.join(format!("{name}-{}", &self.nodes[name].key[..KEY_CHARS]))
    }

    /// Whether a node's work is done.
    ///
    /// # Errors
    /// A mark that is damaged.
    pub fn is_done(&self, name: &str) -> Result<bool, GraphError> {
        let path = self.folder(name).join(MARK_NAME);
        if !path.is_file() {
            return Ok(false);
        }
        let bad = |message: String| GraphError::Mark { node: name.to_owned(), path: path.clone(), message };
        let mark: Mark =
            serde_json::from_slice(&read_capped(&path, MAX_MARK_BYTES)?).map_err(|e| bad(e.to_string()))?;
        if mark != self.mark(name) { Err(bad("it is of other settings".to_owned())) } else { Ok(true) }
    }

    fn mark(&self, name: &str) -> Mark {
        let node = &self.nodes[name];
        let inputs = node.inputs.iter().map(|input| (input.clone(), self.nodes[input].key.clone())).collect();
        Mark { key: node.key.clone(), settings: node.settings.clone(), inputs }
    }

    /// Does the work of a node and of everything that it needs, as far as it is not done. Stops where the work of one was
    /// interrupted.
    ///
    /// # Errors
    /// What the work met, a full disk, damage.
    pub fn complete(&mut self, name: &str) -> Result<Ended, GraphError> {
        if self.is_done(name)? {
            return Ok(Ended::Complete);
        }
        for input in self.nodes[name].inputs.clone() {
            if self.complete(&input)? == Ended::Interrupted {
                return Ok(Ended::Interrupted);
            }
        }
        let folder = self.folder(name);
        let inputs: Vec<(String, PathBuf)> =
            self.nodes[name].inputs.iter().map(|input| (input.clone(), self.folder(input))).collect();
        let context = Context {
            folder: &folder,
            inputs: inputs.iter().map(|(input, folder)| (input.as_str(), folder.clone())).collect(),
        };
        create_folder(&self.root)?;
        let Some(node) = self.nodes.get_mut(name) else { return Ok(Ended::Complete) };
        let ended = (node.work)(&context).map_err(|error| GraphError::Work { node: name.to_owned(), error })?;
        if ended == Ended::Complete {
            create_folder(&folder)?;
            let mark = serde_json::to_vec_pretty(&self.mark(name)).unwrap_or_default();
            write_atomic(&folder.join(MARK_NAME), &mark)?;
        }
        Ok(ended)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    /// A training and two measurements of it; `log` gets the names of those that ran, and whether the training is stopped.
    fn graph<'w>(root: &Path, steps: u32, log: &'w RefCell<Vec<&'static str>>, stopped: bool) -> RunGraph<'w> {
        let mut graph = RunGraph::new(root);
        let train = move |context: &Context<'_>| {
            log.borrow_mut().push("train");
            std::fs::create_dir_all(context.folder)?;
            std::fs::write(context.folder.join("weights"), format!("{steps}"))?;
            Ok(if stopped { Ended::Interrupted } else { Ended::Complete })
        };
        graph.add("train", &format!("steps = {steps}"), &[], train).unwrap();
        for name in ["simulation", "reality"] {
            let measure = move |context: &Context<'_>| {
                log.borrow_mut().push(name);
                let weights = std::fs::read_to_string(context.input("train").join("weights"))?;
                std::fs::create_dir_all(context.folder)?;
                std::fs::write(context.folder.join("result"), format!("{name} of {weights}"))?;
                Ok(Ended::Complete)
            };
            graph.add(name, name, &["train"], measure).unwrap();
        }
        graph
    }

    #[test]
    fn nodes_are_done_once_and_again_when_what_they_build_on_changes() {
        let folder = tempfile::tempdir().unwrap();
        let log = RefCell::new(Vec::new());
        let mut first = graph(folder.path(), 5, &log, true);
        assert_eq!(first.complete("reality").unwrap(), Ended::Interrupted);
        assert_eq!(log.take(), ["train"]);
        let mut first = graph(folder.path(), 5, &log, false);
        for name in ["reality", "simulation", "reality"] {
            assert_eq!(first.complete(name).unwrap(), Ended::Complete);
        }
        assert_eq!(log.take(), ["train", "reality", "simulation"]);
        assert_eq!(std::fs::read_to_string(first.folder("reality").join("result")).unwrap(), "reality of 5");
        // The same settings in another process: nothing to be done. Other settings: other folders, the old ones stay.
        assert_eq!(graph(folder.path(), 5, &log, false).complete("simulation").unwrap(), Ended::Complete);
        assert!(log.take().is_empty());
        let mut second = graph(folder.path(), 6, &log, false);
        assert_eq!(second.complete("reality").unwrap(), Ended::Complete);
        assert_eq!(log.take(), ["train", "reality"]);
        assert_ne!(first.folder("reality"), second.folder("reality"));
        assert_eq!(std::fs::read_to_string(first.folder("reality").join("result")).unwrap(), "reality of 5");
    }

    #[test]
    fn a_damaged_mark_and_a_missing_input_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let log = RefCell::new(Vec::new());
        let mut graph = graph(folder.path(), 5, &log, false);
        graph.complete("train").unwrap();
        std::fs::write(graph.folder("train").join(MARK_NAME), "{}").unwrap();
        let message = graph.complete("train").unwrap_err().to_string();
        assert!(message.contains("node.json") && message.contains("remove it"), "{message}");
        let message = graph.add("table", "", &["nobody"], |_| Ok(Ended::Complete)).unwrap_err().to_string();
        assert!(message.contains("'table'") && message.contains("'nobody'"), "{message}");
    }
}
