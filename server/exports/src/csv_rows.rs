//! Reads the rows of a CSV file (RFC 4180) one by one, in bounded memory.

use std::cell::Cell;
use std::io::{self, BufRead};
use std::rc::Rc;

use serde_json::{Map, Value};

use crate::without_mark;

/// The longest row, in bytes. A missing quote makes the rest of the file one row.
const MAX_ROW: usize = 16 * 1024 * 1024;

/// The maximum number of columns that are read.
const MAX_COLUMNS: usize = 500;

/// A row with the number of its first line.
pub struct Row {
    /// Counted from 1.
    pub line: u64,
    /// The values, whose line endings are `\n`.
    pub values: csv::ByteRecord,
}

impl Row {
    /// The number of line ends within the values.
    pub(crate) fn line_ends(&self) -> u64 {
        line_ends(&self.values)
    }
}

fn line_ends(values: &csv::ByteRecord) -> u64 {
    let count = values.as_slice().split(|byte| *byte == b'\n').count() - 1;
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// The names of columns.
#[derive(Debug, Clone)]
pub struct Columns(Vec<String>);

impl Columns {
    /// The names in the first row of a file.
    pub fn of(header: &csv::ByteRecord) -> Self {
        let name = |name| String::from_utf8_lossy(without_mark(name)).into_owned();
        Self(header.iter().take(MAX_COLUMNS).map(name).collect())
    }

    /// The names of a file without such a row.
    pub fn fixed(names: &[&str]) -> Self {
        Self(names.iter().map(|name| (*name).to_owned()).collect())
    }

    /// The values of a row by the names of their columns; `None` if one of them is not UTF-8. Empty values, and columns
    /// without a name, are left out.
    pub fn object(&self, values: &csv::ByteRecord) -> Option<Map<String, Value>> {
        let mut object = Map::new();
        for (column, value) in self.0.iter().zip(values) {
            let value = std::str::from_utf8(value).ok()?;
            if !column.is_empty() && !value.is_empty() {
                object.insert(column.clone(), Value::from(value));
            }
        }
        Some(object)
    }
}

/// The rows of a file.
pub struct CsvRows<R> {
    reader: csv::Reader<R>,
    unread: Rc<Cell<usize>>,
}

/// Returns all rows, including the header.
pub fn csv_rows<'a>(input: impl BufRead + 'a) -> CsvRows<impl io::Read + 'a> {
    let unread = Rc::new(Cell::new(0));
    let reader = csv::ReaderBuilder::new()
        .flexible(true)
        .has_headers(false)
        .terminator(csv::Terminator::Any(b'\n'))
        .from_reader(UnixLines { input, line: io::Cursor::default(), unread: Rc::clone(&unread) });
    CsvRows { reader, unread }
}

impl<R: io::Read> Iterator for CsvRows<R> {
    type Item = io::Result<Row>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut values = csv::ByteRecord::new();
        self.unread.set(0);
        match self.reader.read_byte_record(&mut values) {
            Ok(false) => None,
            Err(error) => Some(Err(csv_error(error))),
            Ok(true) => {
                // The reader is past the record's last line; before it skipped empty lines it knew where the record began.
                let line = self.reader.position().line().saturating_sub(1 + line_ends(&values));
                Some(Ok(Row { line, values }))
            }
        }
    }
}

/// Normalizes line endings to `\n`, and ends the last line with one, so that lines can be counted. A carriage return within
/// a line belongs to the value.
struct UnixLines<R> {
    input: R,
    line: io::Cursor<Vec<u8>>,
    /// Bytes that were read since the last row ended.
    unread: Rc<Cell<usize>>,
}

impl<R: BufRead> io::Read for UnixLines<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.line.read(buffer)?;
        if read > 0 || buffer.is_empty() {
            return Ok(read);
        }
        let mut line = Vec::new();
        let limit = u64::try_from(MAX_ROW).unwrap_or(u64::MAX);
        if self.input.by_ref().take(limit).read_until(b'\n', &mut line)? == 0 {
            return Ok(0);
        }
        let unread = self.unread.get() + line.len();
        if unread >= MAX_ROW {
            let reason = format!("a row is longer than {MAX_ROW} bytes; a quote may be missing");
            return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
        }
        self.unread.set(unread);
        let end = line.strip_suffix(b"\r\n").or_else(|| line.strip_suffix(b"\n")).unwrap_or(&line).len();
        line.truncate(end);
        line.push(b'\n');
        self.line = io::Cursor::new(line);
        self.line.read(buffer)
    }
}

fn csv_error(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        _ => io::Error::new(io::ErrorKind::InvalidData, "the file is not CSV"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unterminated_quote_does_not_exhaust_the_memory() {
        let endless = io::BufReader::new(io::Read::chain(&b"a,\""[..], io::repeat(b'x')));
        let mut rows = csv_rows(endless);
        assert!(rows.any(|row| row.is_err_and(|error| error.to_string().contains("a quote may be missing"))));
        let many = format!("a,{}\n", "b".repeat(1_000)).repeat(MAX_ROW / 500);
        assert!(csv_rows(many.as_bytes()).all(|row| row.is_ok()));
    }
}
