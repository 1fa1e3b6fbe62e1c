//! `/api/v1/audit`

mod list;
