//! The pages at mailed links: server-rendered, without JavaScript.

pub mod reset_password;
