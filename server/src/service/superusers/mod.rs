//! Creating superusers at start and on the command line.

mod create;
mod create_first;

pub use create::create_superuser;
pub use create_first::{FirstSuperuserError, check_first_superuser, create_first_superuser};
