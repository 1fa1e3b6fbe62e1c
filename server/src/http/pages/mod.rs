//! The pages at mailed links: server-rendered, without JavaScript. Looking at one uses nothing up, since software that
//! guards mailboxes follows links too; its button does.

pub mod confirm_email;
pub mod reset_password;
pub mod verify_email;

mod page;
mod texts;
