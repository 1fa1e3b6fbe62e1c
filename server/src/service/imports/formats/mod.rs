//! Readers of other systems' export files.

mod auth0;
mod django;
mod fields;
mod firebase;
mod keycloak;
mod supabase;

use std::io::{self, BufRead};

use chrono::{DateTime, Utc};
use latchkey_exports::{Columns, Fields, JsonObjects, PasswordFile, csv_rows, looks_like_json};
use serde_json::{Map, Value};

pub use self::firebase::HashConfig;
use super::reader::{Place, ReadRecord, Records};
use super::record::ImportRecord;

/// A system, and the parameters that its export file does not contain.
#[derive(Debug)]
pub enum ExportFormat {
    /// The export of a realm or of several, or a file of users.
    Keycloak,
    /// The export of users or of password hashes, or a file for the bulk import.
    Auth0 {
        /// The export of password hashes, if the export of users is read.
        passwords: Option<PasswordFile>,
    },
    /// `firebase auth:export`
    Firebase {
        /// The parameters of the project's password hashes.
        hashes: Option<HashConfig>,
    },
    /// The table `auth.users`.
    Supabase {
        /// The time that determines whether a ban has ended.
        now: DateTime<Utc>,
    },
    /// `manage.py dumpdata`
    Django,
}

impl ExportFormat {
    /// `None` if the object is not an account.
    fn convert(&mut self, object: &Map<String, Value>) -> io::Result<Option<Result<ImportRecord, String>>> {
        let fields = Fields(object);
        Ok(match self {
            Self::Keycloak => keycloak::convert(fields),
            Self::Auth0 { passwords } => return auth0::convert(object, passwords.as_mut()),
            Self::Firebase { hashes } => Some(firebase::convert(fields, hashes.as_ref())),
            Self::Supabase { now } => supabase::convert(fields, *now),
            Self::Django => django::convert(fields),
        })
    }

    /// The columns of a CSV file without a header.
    fn fixed_columns(&self) -> Option<&'static [&'static str]> {
        matches!(self, Self::Firebase { .. }).then_some(&firebase::COLUMNS)
    }
}

/// Reads an export, JSON or CSV.
///
/// # Errors
/// The file cannot be read or is neither.
pub fn read_export<'a>(mut format: ExportFormat, mut input: impl BufRead + 'a) -> io::Result<Records<'a>> {
    if let ExportFormat::Firebase { hashes: hashes @ None } = &mut format {
        *hashes = firebase::read_leading_config(&mut input)?;
    }
    if looks_like_json(&mut input)? { Ok(read_json(format, input)) } else { read_csv(format, input) }
}

fn read_json<'a>(mut format: ExportFormat, input: impl BufRead + 'a) -> Records<'a> {
    let mut number = 0;
    let records = JsonObjects::new(input).filter_map(move |object| {
        number += 1;
        let object = match object {
            Ok(object) => object
                .and_then(|bytes| serde_json::from_slice(&bytes).map_err(|_| "is not valid JSON".to_owned())),
            Err(error) => return Some(Err(error)),
        };
        read_object(&mut format, Place::Record(number), object).transpose()
    });
    Box::new(records)
}

fn read_object(
    format: &mut ExportFormat,
    place: Place,
    object: Result<Map<String, Value>, String>,
) -> io::Result<Option<ReadRecord>> {
    let record = match object {
        Ok(object) => format.convert(&object)?,
        Err(reason) => Some(Err(reason)),
    };
    Ok(record.map(|record| ReadRecord { place, record }))
}

fn read_csv<'a>(mut format: ExportFormat, input: impl BufRead + 'a) -> io::Result<Records<'a>> {
    let mut rows = csv_rows(input);
    let columns = match format.fixed_columns() {
        Some(columns) => Columns::fixed(columns),
        None => Columns::of(&rows.next().transpose()?.map(|row| row.values).unwrap_or_default()),
    };
    Ok(Box::new(rows.filter_map(move |row| {
        let read = row.and_then(|row| {
            let object = columns.object(&row.values);
            let object = object.ok_or_else(|| "has a value that is not UTF-8".to_owned());
            read_object(&mut format, Place::Line(row.line), object)
        });
        read.transpose()
    })))
}

#[cfg(test)]
mod tests;
