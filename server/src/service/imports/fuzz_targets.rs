//! Import files.

use chrono::DateTime;

use super::{ExportFormat, ImportFormat, ImportRecord, read_export, read_records};

/// An import file; the first byte chooses the format.
pub fn fuzz_import(data: &[u8]) {
    let Some((choice, file)) = data.split_first() else { return };
    let now = DateTime::from_timestamp(1_800_000_000, 0).expect("a time");
    let records = match choice % 7 {
        0 => read_records(ImportFormat::JsonLines, file),
        1 => read_records(ImportFormat::Csv, file),
        2 => read_export(ExportFormat::Keycloak, file),
        3 => read_export(ExportFormat::Auth0 { passwords: None }, file),
        4 => read_export(ExportFormat::Firebase { hashes: None }, file),
        5 => read_export(ExportFormat::Supabase { now }, file),
        _ => read_export(ExportFormat::Django, file),
    };
    for read in records.into_iter().flatten().flatten() {
        let _ = read.record.map(ImportRecord::check);
    }
}
