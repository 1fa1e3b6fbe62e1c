//! The commands of the command line other than `serve`. Commands that manage accounts need only the database, so that
//! they work while other dependencies are down.

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

/// Prints a line, but unlike `println!` does not panic if the pipe is closed.
///
/// # Errors
/// Standard output cannot be written to.
pub fn print_line(text: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{text}").context("the output cannot be written")
}
