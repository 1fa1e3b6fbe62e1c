//! `/api/v1/users`

mod account;
pub mod change;
pub mod create;
pub mod delete;
pub mod end_sessions;
pub mod list;
pub mod list_groups;
pub mod read;
pub mod start_reset;
