//! The commands of the server and what it makes of its settings, as whoever starts it finds them.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its own functions too")]

mod check;
mod commands;
mod help;
mod mail_preview;
mod migrate;
mod parts;
mod read_only_database;
mod refused;
mod secrets_in_files;
mod sessions_end_all;
mod several_faults;
mod silent_database;
mod start;
mod superuser_create;
mod trusted_cas;
mod users_import;
