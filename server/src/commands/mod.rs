//! What the command line does beside serving, one command a file. What works on accounts needs the database alone, so
//! that it works while nothing else does.

mod database;
pub mod mail_preview;
mod sessions_end_all;
mod superuser_create;
mod users_import;

pub use database::{DatabaseConnection, open_store};
pub use sessions_end_all::end_all_sessions;
pub use superuser_create::{SuperuserArguments, create_superuser};
pub use users_import::{ImportArguments, import_users};

use std::io::Write as _;

use anyhow::Context as _;

/// A closed pipe is the reader's business, not a panic.
///
/// # Errors
/// Standard output cannot be written to.
pub fn print_line(text: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{text}").context("the output cannot be written")
}
