//! The use cases of `/api/v1/users`.

mod change;
mod create;
mod delete;
mod end_sessions;
mod list;
mod list_groups;
mod read;
mod start_reset;

pub use change::{UserChangeForm, change_user};
pub use create::{AccountForm, UserForm, create_user};
pub use delete::delete_user;
pub use end_sessions::end_user_sessions;
pub use list::{Page, list_users};
pub use list_groups::list_user_groups;
pub use read::show_user;
pub use start_reset::start_user_reset;
