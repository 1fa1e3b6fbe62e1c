//! The HTML pages at the links that are mailed.

mod confirm_email;
mod reset_password;
mod verify_email;
