//! Importing accounts on the command line.

mod derived_group;
mod derived_username;
mod dry_run;
mod dry_run_groups;
mod formats;
#[cfg(any(test, fuzzing))]
mod fuzz_targets;
mod reader;
mod record;
mod users;

pub use formats::{ExportFormat, HashConfig, read_export};
#[cfg(any(test, fuzzing))]
pub use fuzz_targets::fuzz_import;
pub use reader::{ImportFormat, Place, Records, read_records};
pub use record::ImportRecord;
pub use users::{ImportCounts, ImportObserver, ImportOptions, ImportRefusal, import_users};
