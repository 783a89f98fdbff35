//! The settings of a run: its `config.toml`.

use super::error::TrainError;
use super::limits::Limits;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Version of `config.toml`. A run of another version is refused by name.
pub const FORMAT: i64 = 2;

/// The settings of one kind of learner.
pub trait LearnerConfig: Clone + PartialEq + Serialize + DeserializeOwned + Send + Sync {
    /// The learner's name: on the command line, in `config.toml`, and of its section there.
    const NAME: &'static str;

    /// Where its batches come from: the section `data`.
    type Data: Clone + PartialEq + Serialize + DeserializeOwned + Send + Sync;

    /// # Errors
    /// The first impossible setting, and what is possible.
    fn validate(&self, data: &Self::Data) -> Result<(), String>;

    /// Factor of every learning rate at `step`, when `done` of the run is over (a share in `[0, 1]`).
    fn lr_scale(&self, step: u64, done: f64) -> f64;
}

/// The whole of a run's settings. The same settings give the same run.
#[derive(Clone, Debug, PartialEq)]
pub struct RunConfig<C: LearnerConfig> {
    /// Seed of every random number of the run. In `config.toml` it is text from 2^63 on.
    pub seed: u64,
    /// Steps between lines of metrics, between pictures with an evaluation, and between checkpoints; 0 is never.
    pub log_interval: u64,
    /// Steps between evaluations and pictures; with 0 only the last step has them.
    pub image_interval: u64,
    /// Steps between checkpoints; with 0 there is one at the end or at an interruption alone.
    pub checkpoint_interval: u64,
    /// When the run is over; [`super::Trainer::set_limits`] changes it.
    pub limits: Limits,
    /// Where batches come from: the section `data`.
    pub data: C::Data,
    /// The learner's own settings, in the section of its name.
    pub learner: C,
}

/// What every run has besides its learner's own section.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Common<D> {
    format_version: i64,
    learner: String,
    seed: SeedText,
    log_interval: u64,
    image_interval: u64,
    checkpoint_interval: u64,
    limits: Limits,
    data: D,
}

/// TOML's whole numbers end at 2^63 - 1; larger seeds are text.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum SeedText {
    Number(i64),
    Text(String),
}

impl SeedText {
    fn new(seed: u64) -> Self {
        i64::try_from(seed).map_or_else(|_| Self::Text(seed.to_string()), Self::Number)
    }

    fn value(&self) -> Option<u64> {
        match self {
            Self::Number(number) => u64::try_from(*number).ok(),
            Self::Text(text) => text.parse().ok(),
        }
    }
}

impl<C: LearnerConfig> RunConfig<C> {
    /// A run of seed 0 without an end yet, with its steps between lines of metrics, pictures and checkpoints.
    pub fn new([log_interval, image_interval, checkpoint_interval]: [u64; 3], data: C::Data, learner: C) -> Self {
        let limits = Limits::default();
        Self { seed: 0, log_interval, image_interval, checkpoint_interval, limits, data, learner }
    }

    /// As text for `config.toml`.
    ///
    /// # Errors
    /// A setting that TOML cannot hold.
    pub fn to_toml(&self) -> Result<String, TrainError> {
        let text = |error: toml::ser::Error| TrainError::Config(error.to_string());
        toml::to_string(&self.to_table().map_err(text)?).map_err(text)
    }

    fn to_table(&self) -> Result<toml::Table, toml::ser::Error> {
        let mut table = toml::Table::try_from(Common {
            format_version: FORMAT,
            learner: C::NAME.to_owned(),
            seed: SeedText::new(self.seed),
            log_interval: self.log_interval,
            image_interval: self.image_interval,
            checkpoint_interval: self.checkpoint_interval,
            limits: self.limits,
            data: self.data.clone(),
        })?;
        table.insert(C::NAME.to_owned(), toml::Value::try_from(&self.learner)?);
        Ok(table)
    }

    fn from_table(table: toml::Table) -> Result<Self, String> {
        let config = Self::read_table(table.clone())?;
        let known = config.to_table().map_err(|error| error.to_string())?;
        if let Some(message) = unknown_key(&table, &known, "") {
            return Err(message);
        }
        Ok(config)
    }

    fn read_table(mut table: toml::Table) -> Result<Self, String> {
        let message = |error: toml::de::Error| error.message().to_owned();
        let section = table.remove(C::NAME).ok_or_else(|| format!("the section [{}] is missing", C::NAME))?;
        let learner = section.try_into().map_err(|error| format!("{}: {}", C::NAME, message(error)))?;
        let common: Common<C::Data> = table.try_into().map_err(message)?;
        let seed = common.seed.value().ok_or("seed must be a whole number from 0 to 2^64 - 1")?;
        Ok(Self {
            seed,
            log_interval: common.log_interval,
            image_interval: common.image_interval,
            checkpoint_interval: common.checkpoint_interval,
            limits: common.limits,
            data: common.data,
            learner,
        })
    }

    /// # Errors
    /// The first impossible setting, and what is possible.
    pub fn validate(&self) -> Result<(), String> {
        self.learner.validate(&self.data).map_err(|message| format!("{}: {message}", C::NAME))?;
        self.limits.validate().map_err(|message| format!("limits: {message}"))
    }

    /// Reads the settings of the run in `root`.
    ///
    /// # Errors
    /// Text that is no such settings, another learner's, or another version's.
    pub fn parse(text: &str, root: &Path) -> Result<Self, TrainError> {
        let path = || root.join("config.toml").display().to_string();
        let fail = |message: String| TrainError::WrongRun { path: path(), message };
        let table: toml::Table = toml::from_str(text).map_err(|error| fail(error.to_string()))?;
        match table.get("learner").and_then(toml::Value::as_str) {
            Some(name) if name == C::NAME => {}
            other => {
                return Err(fail(format!("it is a run of '{}', not of {}", other.unwrap_or("nothing known"), C::NAME)));
            }
        }
        let format = table.get("format_version").and_then(toml::Value::as_integer);
        if format != Some(FORMAT) {
            let found = format.map_or("an earlier format".to_owned(), |number| format!("format {number}"));
            return Err(fail(format!(
                "it has {found} and this version reads format {FORMAT}; use the version of bingrasp that wrote it, or train anew"
            )));
        }
        let config = Self::from_table(table).map_err(fail)?;
        config.validate().map_err(fail)?;
        Ok(config)
    }

    /// These settings with one `a.b=value` put in; [`Self::validate`] checks the whole.
    ///
    /// # Errors
    /// A key that is not there; a value of another kind.
    pub fn with(&self, assignment: &str) -> Result<Self, String> {
        let bad = |reason: String| format!("--set {assignment}: {reason}");
        let (key, value) = assignment.split_once('=').ok_or_else(|| bad("write KEY=VALUE".into()))?;
        let value = toml::from_str::<toml::Table>(&format!("value = {value}"))
            .ok()
            .and_then(|mut table| table.remove("value"))
            .unwrap_or_else(|| toml::Value::String(value.to_owned()));
        let mut table = self.to_table().map_err(|error| bad(error.to_string()))?;
        let mut keys: Vec<&str> = key.split('.').collect();
        let last = keys.pop().unwrap_or_default();
        let mut place = &mut table;
        for key in keys {
            let names = place.iter().filter(|(_, value)| value.is_table()).map(|(name, _)| name.as_str());
            let names = names.collect::<Vec<_>>().join(", ");
            place = place
                .get_mut(key)
                .and_then(toml::Value::as_table_mut)
                .ok_or_else(|| bad(format!("there is no group '{key}'; there are {names}")))?;
        }
        // A whole number where the setting takes any.
        let value = match (place.get(last), value) {
            (Some(toml::Value::Float(_)), toml::Value::Integer(whole)) => toml::Value::Float(whole as f64),
            (_, value) => value,
        };
        place.insert(last.to_owned(), value);
        Self::from_table(table).map_err(bad)
    }
}

/// Says which key of `table` is not among those of `known`, and what there is.
fn unknown_key(table: &toml::Table, known: &toml::Table, group: &str) -> Option<String> {
    table.iter().find_map(|(key, value)| match (value, known.get(key)) {
        (toml::Value::Table(inner), Some(toml::Value::Table(known))) => {
            unknown_key(inner, known, &format!("{group}{key}."))
        }
        (_, Some(_)) => None,
        (_, None) => {
            let names = known.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            Some(format!("{group}{key}: there is no such setting; there are {names}"))
        }
    })
}
