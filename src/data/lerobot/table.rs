//! Rows as Parquet files: flat columns, columns of fixed-shape arrays and inline images, written column by column.
//!
//! In: rows of [`Cells`] in the order of the [`Field`]s. Out: files that PyArrow, pandas and `datasets` read.
//!
//! An array of shape `[a, b]` is a list of a lists of b values. Every list has its full length and nothing is null, so
//! the Dremel levels (Melnik et al. 2010, section 4.1) follow from the shape alone. All columns are declared nullable
//! nevertheless, as PyArrow does: `datasets` takes a description of its own for a column only when they agree in that.

use crate::data::DataError;
use crate::files::atomic::{AtomicFile, FileError, create_folder};
use parquet::basic::{ConvertedType, LogicalType, Repetition, Type as Physical};
use parquet::column::writer::ColumnWriter;
use parquet::data_type::ByteArray;
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::{ColumnPath, Type, TypePtr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Rows held in memory until a row group is written.
const GROUP_ROWS: usize = 1000;
/// Bytes after which a row group is written earlier.
const GROUP_BYTES: usize = 16 << 20;
/// Files of one folder `chunk-*`.
pub(super) const FILES_PER_CHUNK: u64 = 1000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Bool,
    I64,
    F32,
    F64,
    Text,
    Bytes,
}

/// A column of a table as its reader sees it.
#[derive(Clone, Debug)]
pub(super) enum Field {
    /// `shape` is empty for single values; no side of it is 0.
    Values { name: String, kind: Kind, shape: Vec<usize> },
    /// An image file and its name: two cells of a row, [`Cells::bytes`] and [`Cells::text`].
    Image { name: String },
}

impl Field {
    pub(super) fn values(name: impl Into<String>, kind: Kind, shape: &[usize]) -> Self {
        Self::Values { name: name.into(), kind, shape: shape.into() }
    }

    fn leaves(&self) -> Vec<Leaf> {
        match self {
            Self::Values { name, kind, shape } => {
                let path = std::iter::once(name.as_str()).chain(shape.iter().flat_map(|_| ["list", "element"]));
                // The column, and for each side the list and its element.
                vec![Leaf::new(path, *kind, shape, 1 + 2 * shape.len())]
            }
            Self::Image { name } => [("bytes", Kind::Bytes), ("path", Kind::Text)]
                .map(|(part, kind)| Leaf::new([name, part], kind, &[], 2))
                .into(),
        }
    }

    fn schema(&self) -> Result<TypePtr, ParquetError> {
        match self {
            Self::Values { name, kind, shape } => nested(name, *kind, shape),
            Self::Image { name } => {
                let parts = vec![nested("bytes", Kind::Bytes, &[])?, nested("path", Kind::Text, &[])?];
                let group = Type::group_type_builder(name).with_repetition(Repetition::OPTIONAL).with_fields(parts);
                Ok(Arc::new(group.build()?))
            }
        }
    }
}

/// The three-level list of the Parquet specification for every side of the shape.
fn nested(name: &str, kind: Kind, shape: &[usize]) -> Result<TypePtr, ParquetError> {
    let nullable = Repetition::OPTIONAL;
    if let [_, inner @ ..] = shape {
        let list = Type::group_type_builder("list")
            .with_repetition(Repetition::REPEATED)
            .with_fields(vec![nested("element", kind, inner)?])
            .build()?;
        let group = Type::group_type_builder(name)
            .with_repetition(nullable)
            .with_converted_type(ConvertedType::LIST)
            .with_logical_type(Some(LogicalType::List))
            .with_fields(vec![Arc::new(list)]);
        return Ok(Arc::new(group.build()?));
    }
    let physical = match kind {
        Kind::Bool => Physical::BOOLEAN,
        Kind::I64 => Physical::INT64,
        Kind::F32 => Physical::FLOAT,
        Kind::F64 => Physical::DOUBLE,
        Kind::Text | Kind::Bytes => Physical::BYTE_ARRAY,
    };
    let leaf = Type::primitive_type_builder(name, physical).with_repetition(nullable);
    let leaf = match kind {
        Kind::Text => leaf.with_converted_type(ConvertedType::UTF8).with_logical_type(Some(LogicalType::String)),
        _ => leaf,
    };
    Ok(Arc::new(leaf.build()?))
}

/// A column as Parquet stores it.
struct Leaf {
    path: ColumnPath,
    kind: Kind,
    /// Repetition levels of the values of one row: which list goes on.
    repetition: Vec<i16>,
    /// Definition level of every value: how much of what could be missing is there.
    definition: i16,
}

impl Leaf {
    fn new<'a>(path: impl IntoIterator<Item = &'a str>, kind: Kind, shape: &[usize], definition: usize) -> Self {
        let path = ColumnPath::new(path.into_iter().map(str::to_owned).collect());
        Self { path, kind, repetition: repetition_levels(shape), definition: definition as i16 }
    }
}

/// Repetition level of each value of an array: how many of the lists around it were open before it.
pub(super) fn repetition_levels(shape: &[usize]) -> Vec<i16> {
    let level = |mut index: usize| {
        let mut level = shape.len() as i16;
        for &side in shape.iter().rev() {
            if index % side != 0 {
                break;
            }
            (index, level) = (index / side, level - 1);
        }
        level
    };
    (0..shape.iter().product()).map(level).collect()
}

/// The values of one column, of one row or of many.
#[derive(Clone, Debug)]
pub(super) enum Cells {
    Bool(Vec<bool>),
    I64(Vec<i64>),
    F32(Vec<f32>),
    F64(Vec<f64>),
    Bytes(Vec<ByteArray>),
}

impl Cells {
    pub(super) fn bytes(bytes: Vec<u8>) -> Self {
        Self::Bytes(vec![bytes.into()])
    }

    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::bytes(text.into().into_bytes())
    }

    fn empty(kind: Kind) -> Self {
        match kind {
            Kind::Bool => Self::Bool(Vec::new()),
            Kind::I64 => Self::I64(Vec::new()),
            Kind::F32 => Self::F32(Vec::new()),
            Kind::F64 => Self::F64(Vec::new()),
            Kind::Text | Kind::Bytes => Self::Bytes(Vec::new()),
        }
    }

    /// Numbers as the statistics see them, true as 1; none for bytes.
    pub(super) fn numbers(&self) -> Vec<f64> {
        match self {
            Self::Bool(values) => values.iter().map(|&on| f64::from(u8::from(on))).collect(),
            Self::I64(values) => values.iter().map(|&v| v as f64).collect(),
            Self::F32(values) => values.iter().map(|&v| f64::from(v)).collect(),
            Self::F64(values) => values.clone(),
            Self::Bytes(_) => Vec::new(),
        }
    }

    fn size(&self) -> usize {
        match self {
            Self::Bool(values) => values.len(),
            Self::I64(values) => values.len() * 8,
            Self::F32(values) => values.len() * 4,
            Self::F64(values) => values.len() * 8,
            Self::Bytes(values) => values.iter().map(|v| v.len() + 4).sum(),
        }
    }

    /// Whether `other` was of the same kind and went to the end of these.
    fn append(&mut self, other: Self) -> bool {
        match (self, other) {
            (Self::Bool(all), Self::Bool(more)) => all.extend(more),
            (Self::I64(all), Self::I64(more)) => all.extend(more),
            (Self::F32(all), Self::F32(more)) => all.extend(more),
            (Self::F64(all), Self::F64(more)) => all.extend(more),
            (Self::Bytes(all), Self::Bytes(more)) => all.extend(more),
            _ => return false,
        }
        true
    }

    fn write(&self, writer: &mut ColumnWriter, definition: &[i16], repetition: &[i16]) -> Result<(), ParquetError> {
        // Levels of columns without lists are all 0, and a writer of such a column ignores them.
        let (d, r) = (Some(definition), Some(repetition));
        match (self, writer) {
            (Self::Bool(values), ColumnWriter::BoolColumnWriter(w)) => w.write_batch(values, d, r)?,
            (Self::I64(values), ColumnWriter::Int64ColumnWriter(w)) => w.write_batch(values, d, r)?,
            (Self::F32(values), ColumnWriter::FloatColumnWriter(w)) => w.write_batch(values, d, r)?,
            (Self::F64(values), ColumnWriter::DoubleColumnWriter(w)) => w.write_batch(values, d, r)?,
            (Self::Bytes(values), ColumnWriter::ByteArrayColumnWriter(w)) => w.write_batch(values, d, r)?,
            _ => return Err(ParquetError::General("a column holds values of another kind".into())),
        };
        Ok(())
    }
}

/// One file. It appears under its name when it is [committed](Self::commit).
pub(super) struct Table {
    path: PathBuf,
    file: SerializedFileWriter<AtomicFile>,
    leaves: Vec<Leaf>,
    columns: Vec<Cells>,
    rows: usize,
    buffered: usize,
}

impl Table {
    /// `metadata` are the keys and values that the file carries beside its rows.
    pub(super) fn create(path: &Path, fields: &[Field], metadata: &[(&str, String)]) -> Result<Self, DataError> {
        let leaves: Vec<Leaf> = fields.iter().flat_map(Field::leaves).collect();
        let mut properties =
            WriterProperties::builder().set_statistics_enabled(EnabledStatistics::Chunk).set_key_value_metadata(Some(
                metadata.iter().map(|(key, value)| KeyValue::new((*key).to_owned(), value.clone())).collect(),
            ));
        for leaf in &leaves {
            // Repeated whole numbers and words shrink to a few bits; images and measurements hardly repeat.
            let repeats = matches!(leaf.kind, Kind::I64 | Kind::Text);
            properties = properties.set_column_dictionary_enabled(leaf.path.clone(), repeats);
            if leaf.kind == Kind::Bytes {
                properties = properties.set_column_statistics_enabled(leaf.path.clone(), EnabledStatistics::None);
            }
        }
        let fail = |error| failure(path, 0, error);
        let columns = fields.iter().map(Field::schema).collect::<Result<_, _>>().map_err(fail)?;
        let schema = Type::group_type_builder("schema").with_fields(columns).build().map_err(fail)?;
        let file = AtomicFile::create(path)?;
        let file = SerializedFileWriter::new(file, Arc::new(schema), Arc::new(properties.build())).map_err(fail)?;
        let columns = leaves.iter().map(|leaf| Cells::empty(leaf.kind)).collect();
        Ok(Self { path: path.into(), file, leaves, columns, rows: 0, buffered: 0 })
    }

    /// Bytes of the file so far, those in memory included.
    pub(super) fn bytes(&self) -> usize {
        self.file.bytes_written() + self.buffered
    }

    /// Appends a row: its cells in the order of the fields.
    pub(super) fn push(&mut self, row: Vec<Cells>) -> Result<(), DataError> {
        let misfit = |message: String| DataError::Input(format!("'{}': {message}", self.path.display()));
        if row.len() != self.leaves.len() {
            return Err(misfit(format!("a row of {} cells does not fit {} columns", row.len(), self.leaves.len())));
        }
        for ((leaf, column), cells) in self.leaves.iter().zip(&mut self.columns).zip(row) {
            self.buffered += cells.size();
            if !column.append(cells) {
                return Err(misfit(format!("a cell of column '{}' is of another kind", leaf.path.string())));
            }
        }
        self.rows += 1;
        if self.rows >= GROUP_ROWS || self.buffered >= GROUP_BYTES { self.flush() } else { Ok(()) }
    }

    /// Writes what is in memory as a row group.
    fn flush(&mut self) -> Result<(), DataError> {
        if self.rows == 0 {
            return Ok(());
        }
        let needed = self.bytes() as u64;
        self.write_group().map_err(|error| failure(&self.path, needed, error))?;
        self.columns = self.leaves.iter().map(|leaf| Cells::empty(leaf.kind)).collect();
        (self.rows, self.buffered) = (0, 0);
        Ok(())
    }

    fn write_group(&mut self) -> Result<(), ParquetError> {
        let mut group = self.file.next_row_group()?;
        for (leaf, cells) in self.leaves.iter().zip(&self.columns) {
            let Some(mut column) = group.next_column()? else {
                return Err(ParquetError::General("the schema has too few columns".into()));
            };
            let repetition = leaf.repetition.repeat(self.rows);
            let definition = vec![leaf.definition; repetition.len()];
            cells.write(column.untyped(), &definition, &repetition)?;
            column.close()?;
        }
        group.close()?;
        Ok(())
    }

    /// Completes the file and gives it its name.
    pub(super) fn commit(mut self) -> Result<u64, DataError> {
        self.flush()?;
        let (path, needed) = (self.path, self.file.bytes_written() as u64);
        let fail = |error| failure(&path, needed, error);
        self.file.flush().map_err(|error| fail(error.into()))?;
        // `into_inner` writes the footer.
        Ok(self.file.into_inner().map_err(fail)?.commit()?.bytes)
    }
}

fn failure(path: &Path, needed: u64, error: ParquetError) -> DataError {
    let message = match error {
        ParquetError::External(source) => match source.downcast::<std::io::Error>() {
            Ok(source) => return FileError::new("write", path, needed, *source).into(),
            Err(source) => source.to_string(),
        },
        other => other.to_string(),
    };
    DataError::Input(format!("'{}' cannot be written: {message}", path.display()))
}

/// A table over files `chunk-000/file-000.parquet`, `chunk-000/file-001.parquet`, ... of about the same size.
pub(super) struct Tables {
    folder: PathBuf,
    fields: Vec<Field>,
    metadata: Vec<(&'static str, String)>,
    file_bytes: usize,
    open: Option<Table>,
    files: u64,
    bytes: u64,
}

impl Tables {
    /// `file_bytes` is the size after which a new file is begun.
    pub(super) fn new(
        folder: PathBuf,
        fields: Vec<Field>,
        metadata: Vec<(&'static str, String)>,
        file_bytes: usize,
    ) -> Self {
        Self { folder, fields, metadata, file_bytes, open: None, files: 0, bytes: 0 }
    }

    /// Chunk and file that take the next rows. Rows that belong together are written after one call.
    pub(super) fn place(&mut self) -> Result<(i64, i64), DataError> {
        if self.open.as_ref().is_some_and(|table| table.bytes() >= self.file_bytes) {
            self.close()?;
        }
        let number = self.files;
        let (chunk, file) = (number / FILES_PER_CHUNK, number % FILES_PER_CHUNK);
        if self.open.is_none() {
            let folder = self.folder.join(format!("chunk-{chunk:03}"));
            create_folder(&folder)?;
            let path = folder.join(format!("file-{file:03}.parquet"));
            self.open = Some(Table::create(&path, &self.fields, &self.metadata)?);
        }
        Ok((chunk as i64, file as i64))
    }

    pub(super) fn push(&mut self, row: Vec<Cells>) -> Result<(), DataError> {
        if self.open.is_none() {
            self.place()?;
        }
        self.open.as_mut().map_or(Ok(()), |table| table.push(row))
    }

    fn close(&mut self) -> Result<(), DataError> {
        if let Some(table) = self.open.take() {
            self.bytes += table.commit()?;
            self.files += 1;
        }
        Ok(())
    }

    /// Completes the last file; returns the bytes of all.
    pub(super) fn commit(mut self) -> Result<u64, DataError> {
        self.close()?;
        Ok(self.bytes)
    }
}
