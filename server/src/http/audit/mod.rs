//! `/api/v1/audit`

pub mod list;
mod names;
