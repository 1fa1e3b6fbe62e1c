//! The use cases of `/api/v1/groups`.

mod add_member;
mod change;
mod create;
mod delete;
mod fields;
mod list;
mod list_members;
mod read;
mod remove_member;

pub use add_member::add_member;
pub use change::{GroupChangeForm, change_group};
pub use create::{GroupForm, create_group};
pub use delete::delete_group;
pub use list::list_groups;
pub use list_members::list_members;
pub use read::show_group;
pub use remove_member::remove_member;
