//! The pages of links in e-mails: server-rendered, without JavaScript. `GET` does not use up a link, since mail scanners
//! open links too; the button of the page does.

pub mod address;
pub mod reset_password;

mod page;
mod texts;
