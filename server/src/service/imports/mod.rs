//! Importing accounts on the command line.

mod reader;
mod record;
mod users;

pub use reader::{ImportFormat, Records, read_records};
pub use record::ImportRecord;
pub use users::{ImportCounts, ImportObserver, ImportRefusal, import_users};
