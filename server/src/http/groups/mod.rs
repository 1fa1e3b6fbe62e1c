//! `/api/v1/groups`

pub mod add_member;
pub mod change;
pub mod create;
pub mod delete;
pub mod group;
pub mod list;
pub mod list_members;
mod names;
pub mod read;
pub mod remove_member;
