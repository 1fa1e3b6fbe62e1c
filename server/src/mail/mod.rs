//! Mail: what it says, who sends it, when.

mod sender;
mod templates;
mod worker;

pub use sender::{MailSender, SendError};
pub use worker::{OutboxWorker, RESET_TOKEN_LIFETIME};
