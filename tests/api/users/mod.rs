//! `/api/v1/users`

mod create;
mod password_policy;
mod unique_names;
