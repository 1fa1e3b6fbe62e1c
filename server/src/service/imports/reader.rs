//! Reading an import file, JSON lines or CSV (RFC 4180), record by record in bounded memory.

use std::fmt;
use std::io::{self, BufRead, Read as _};

use latchkey_exports::{Row, csv_rows, parse_flag, without_mark};

use super::record::{FIELDS, ImportRecord};
use crate::domain::PasswordHash;

/// The longest line, in bytes.
const MAX_LINE: usize = 64 * 1024;

/// The format of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImportFormat {
    /// One JSON object per line.
    JsonLines,
    /// Comma-separated values; the first line names the columns.
    Csv,
}

/// The position of a record in its file, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The line on which the record begins.
    Line(u64),
    /// The number of the record, in a JSON document.
    Record(u64),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(number) => write!(f, "line {number}"),
            Self::Record(number) => write!(f, "record {number}"),
        }
    }
}

/// A record with its place, or why it cannot be read; errors never repeat the content.
#[derive(Debug, PartialEq, Eq)]
pub struct ReadRecord {
    pub place: Place,
    pub record: Result<ImportRecord, String>,
}

/// The records of a file.
pub type Records<'a> = Box<dyn Iterator<Item = io::Result<ReadRecord>> + 'a>;

/// Reads a file.
///
/// # Errors
/// The file cannot be read, or the first line of a CSV file names unknown columns.
pub fn read_records<'a>(format: ImportFormat, input: impl BufRead + 'a) -> io::Result<Records<'a>> {
    match format {
        ImportFormat::JsonLines => Ok(Box::new(JsonLines { input, line: 0 })),
        ImportFormat::Csv => read_csv(input),
    }
}

struct JsonLines<R> {
    input: R,
    line: u64,
}

impl<R: BufRead> Iterator for JsonLines<R> {
    type Item = io::Result<ReadRecord>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let mut bytes = Vec::new();
            let limit = u64::try_from(MAX_LINE).unwrap_or(u64::MAX);
            match self.input.by_ref().take(limit).read_until(b'\n', &mut bytes) {
                Ok(0) => return None,
                Ok(_) => self.line += 1,
                Err(error) => return Some(Err(error)),
            }
            let line = self.line;
            if bytes.len() == MAX_LINE && bytes.last() != Some(&b'\n') {
                if let Err(error) = self.input.skip_until(b'\n') {
                    return Some(Err(error));
                }
                return Some(Ok(ReadRecord {
                    place: Place::Line(line),
                    record: Err(format!("is longer than {MAX_LINE} bytes")),
                }));
            }
            let text = if line == 1 { without_mark(&bytes) } else { bytes.trim_ascii() };
            if !text.is_empty() {
                return Some(Ok(ReadRecord { place: Place::Line(line), record: parse_json(text) }));
            }
        }
    }
}

fn parse_json(text: &[u8]) -> Result<ImportRecord, String> {
    // serde would accept an array as a record.
    if text.first() != Some(&b'{') {
        return Err("is not a JSON object".to_owned());
    }
    serde_json::from_slice(text).map_err(|error| {
        // serde's message may repeat a value, which may be a hash.
        let said = error.to_string();
        let named = FIELDS.iter().find(|field| said.contains(&format!("field `{field}`")));
        match named {
            _ if !error.is_data() => "is not valid JSON".to_owned(),
            Some(field) if said.starts_with("duplicate") => format!("{field} is given twice"),
            _ if said.starts_with("unknown") => {
                format!("has a field that is not one of {}", FIELDS.join(", "))
            }
            _ => "has a field of the wrong type".to_owned(),
        }
    })
}

fn read_csv<'a>(input: impl BufRead + 'a) -> io::Result<Records<'a>> {
    let invalid = |reason: String| io::Error::new(io::ErrorKind::InvalidData, reason);
    let mut rows = csv_rows(input);
    let header = rows.next().transpose()?.map(|row| row.values).unwrap_or_default();
    let mut columns = Vec::new();
    for name in &header {
        let known = FIELDS.iter().find(|field| field.as_bytes() == without_mark(name));
        let known = *known
            .ok_or_else(|| invalid(format!("the first line must name columns, of {}", FIELDS.join(", "))))?;
        if columns.contains(&known) {
            return Err(invalid(format!("the column {known} is there twice")));
        }
        columns.push(known);
    }
    if !columns.contains(&"email") && !columns.contains(&"username") {
        return Err(invalid("the column email is missing in the first line".to_owned()));
    }
    Ok(Box::new(rows.map(move |row| {
        let Row { line, values } = row?;
        Ok(ReadRecord { place: Place::Line(line), record: parse_row(&columns, &values) })
    })))
}

fn parse_row(columns: &[&'static str], row: &csv::ByteRecord) -> Result<ImportRecord, String> {
    if row.len() != columns.len() {
        return Err(format!("has {} values where there are {} columns", row.len(), columns.len()));
    }
    if row.as_slice().len() > MAX_LINE {
        return Err(format!("is longer than {MAX_LINE} bytes"));
    }
    let mut record = ImportRecord::default();
    for (column, value) in columns.iter().zip(row) {
        let value = std::str::from_utf8(value).map_err(|_| format!("{column} is not UTF-8"))?;
        if value.is_empty() {
            continue;
        }
        let flag = || parse_flag(value).map(Some).ok_or_else(|| format!("{column} must be true or false"));
        let text = || Some(value.to_owned());
        match *column {
            "username" => record.username = text(),
            "email" => record.email = text(),
            "name" => record.name = text(),
            "password_hash" => record.password_hash = text().map(PasswordHash::new),
            "is_superuser" => record.is_superuser = flag()?,
            "is_active" => record.is_active = flag()?,
            "email_verified" => record.email_verified = flag()?,
            _ => record.locale = text(),
        }
    }
    Ok(record)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(format: ImportFormat, bytes: &[u8]) -> io::Result<Vec<ReadRecord>> {
        read_records(format, bytes)?.collect()
    }

    fn line(read: &ReadRecord) -> u64 {
        match read.place {
            Place::Line(line) => line,
            Place::Record(_) => unreachable!("these files have lines"),
        }
    }

    fn json(bytes: &[u8]) -> Vec<(u64, Result<Option<String>, String>)> {
        let names = |read: ReadRecord| (line(&read), read.record.map(|record| record.username));
        read(ImportFormat::JsonLines, bytes).unwrap().into_iter().map(names).collect()
    }

    #[test]
    fn each_line_of_json_stands_for_itself() {
        let hash = "$2b$05$secretsecretsecret";
        let text = format!(
            "\u{feff}{{\"username\":\"a\",\"email\":\"a@x\"}}\r\n\n[\"b\",\"b@x\"]\n{{\"username\":\"c\"}}\n\
             {{\"username\":\"d\",\"email\":\"d@x\",\"password_hash\":7,\"name\":\"{hash}\"}}\n{{\"username\":\"e\n\
             {{\"username\":\"f\",\"email\":\"f@x\",\"{hash}\":1}}\n{{\"username\":\"g\",\"email\":null}}\n{}\n\
             {{\"username\":\"h\",\"email\":\"h@x\",\"name\":null,\"is_active\":false}}",
            "x".repeat(3 * MAX_LINE)
        );
        let found = json(text.as_bytes());
        let lines: Vec<_> = found.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [1, 3, 4, 5, 6, 7, 8, 9, 10]);
        let good: Vec<_> = found.iter().filter_map(|(_, name)| name.as_ref().ok()?.as_deref()).collect();
        assert_eq!(good, ["a", "c", "g", "h"]);
        let faults: Vec<_> = found.iter().filter_map(|(_, name)| name.as_ref().err()).collect();
        assert!(faults.iter().all(|fault| !fault.contains("secret")), "{faults:?}");
    }

    #[test]
    fn csv_has_quotes_lines_within_values_and_empty_values() {
        let text = "email,username,name,is_active\r\na@x,a,\"Doe, \"\"J\"\"\nJr\",\r\nb@x,b,,maybe\r\nc@x,c\r\n\r\nd@x,d,D,false\n";
        let found = read(ImportFormat::Csv, text.as_bytes()).unwrap();
        let lines: Vec<_> = found.iter().map(line).collect();
        assert_eq!(lines, [2, 4, 5, 7]);
        let unix = read(ImportFormat::Csv, text.replace("\r\n", "\n").trim_end().as_bytes()).unwrap();
        assert_eq!(unix, found);
        let stray = read(ImportFormat::Csv, b"username,email\na\r,a@x\r\nb,\"b@x\r\"\r").unwrap();
        assert_eq!(stray[0].record.as_ref().unwrap().username.as_deref(), Some("a\r"));
        assert_eq!(stray.len(), 2);
        let first = found[0].record.as_ref().unwrap();
        assert_eq!((first.name.as_deref(), first.is_active), (Some("Doe, \"J\"\nJr"), None));
        assert_eq!(found[1].record, Err("is_active must be true or false".to_owned()));
        assert_eq!(found[2].record, Err("has 2 values where there are 4 columns".to_owned()));
        assert_eq!(found[3].record.as_ref().unwrap().is_active, Some(false));
    }

    #[test]
    fn a_csv_file_without_known_columns_is_refused_as_a_whole() {
        for text in
            ["", "name,locale\na", "username,email,username\n", "username,email,password\n", "a,a@x\n"]
        {
            assert!(read(ImportFormat::Csv, text.as_bytes()).is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(
            csv in any::<bool>(),
            header in prop::sample::select(vec!["", "username,email\n", "{\"username\":\"a\",\"email\":"]),
            bytes in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..300),
                "(\\{|\\}|\"|,|:|\\n|\\r|username|email|is_active|true|null|[0-9]|\\PC){0,40}".prop_map(String::into_bytes),
            ],
        ) {
            let format = if csv { ImportFormat::Csv } else { ImportFormat::JsonLines };
            let all = [header.as_bytes(), &bytes].concat();
            for read in read(format, &all).into_iter().flatten() {
                let _ = read.record.map(ImportRecord::check);
            }
        }
    }
}
