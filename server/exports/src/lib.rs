//! Files of accounts that other systems export, read in bounded memory. The server imports them.
//!
//! Auth0 exports accounts and password hashes in two files. The server joins them while it imports the accounts. In a pod
//! it only has its standard input, so the plugin joins them before ([`join_auth0`]).

pub mod auth0;
mod csv_rows;
mod fields;
mod join;
mod json_objects;
mod password_file;

pub use csv_rows::{Columns, CsvRows, Row, csv_rows};
pub use fields::{Fields, looks_like_json, parse_flag, without_mark};
pub use join::join_auth0;
pub use json_objects::{JsonObjects, MAX_OBJECT, ReadObject};
pub use password_file::PasswordFile;
