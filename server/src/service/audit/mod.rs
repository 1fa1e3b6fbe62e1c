//! The use cases of `/api/v1/audit`.

mod list;

pub use list::list_audit;
