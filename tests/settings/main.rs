//! The commands of the server, and its validation of the settings.
#![expect(clippy::unwrap_used, reason = "a test and its helper functions fail with a panic")]

mod check;
mod client_certificates;
mod commands;
mod concurrent_indexes;
mod help;
mod mail_preview;
mod migrate;
mod parts;
mod plugin_help;
mod read_only_database;
mod refused;
mod secrets_in_files;
mod sessions_end_all;
mod several_faults;
mod silent_database;
mod start;
mod superuser_create;
mod tls;
mod trusted_cas;
mod users_import;
mod users_import_exports;
mod users_import_groups;
mod users_import_rules;
