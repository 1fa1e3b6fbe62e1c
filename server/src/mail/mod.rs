//! E-mail: templates, the sender and the schedule (docs/reference/emails.md).

mod builtin;
mod delivery;
mod failure;
mod language;
mod message;
mod schedule;
mod sender;
mod templates;
mod worker;

use chrono::TimeDelta;

pub use delivery::Deliverer;
pub use message::sample_facts;
pub use sender::MailSender;
pub use templates::{Content, Templates};
pub use worker::OutboxWorker;

/// The lifetime of a password reset link, from when it is sent (OWASP ASVS 5.0 §6.4.3).
pub const RESET_TOKEN_LIFETIME: TimeDelta = TimeDelta::minutes(30);
/// How long a link that shows an address to be read is good. NIST SP 800-63B-4 §4.2.1.2 allows a code that is sent
/// by mail 24 hours.
pub const EMAIL_TOKEN_LIFETIME: TimeDelta = TimeDelta::hours(24);
/// The lifetime of an invitation: recipients are away at weekends.
pub const INVITATION_LIFETIME: TimeDelta = TimeDelta::days(7);
