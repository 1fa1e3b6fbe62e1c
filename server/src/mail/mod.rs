//! E-mails: templates, the SMTP client and the retry schedule (docs/reference/emails.md).

mod builtin;
mod delivery;
mod failure;
mod language;
mod message;
mod reply;
mod schedule;
mod sender;
mod smtp_client;
mod templates;
mod worker;

use chrono::TimeDelta;

pub use delivery::Deliverer;
pub use message::sample_facts;
pub use sender::MailSender;
pub use templates::{Content, Templates};
pub use worker::OutboxWorker;

/// The lifetime of a password reset link, which begins when it is sent (OWASP ASVS 5.0 §6.4.3).
pub const RESET_TOKEN_LIFETIME: TimeDelta = TimeDelta::minutes(30);
/// The lifetime of a link that verifies an address. NIST SP 800-63B-4 §4.2.1.2 allows 24 hours for codes sent by
/// e-mail.
pub const EMAIL_TOKEN_LIFETIME: TimeDelta = TimeDelta::hours(24);
/// The lifetime of an invitation, which includes a weekend.
pub const INVITATION_LIFETIME: TimeDelta = TimeDelta::days(7);

/// Judges a reply as one to each step.
#[cfg(any(test, fuzzing))]
pub fn judge_reply(code: u16, text: &str) {
    use reply::{Reply, Step};
    for step in [Step::Login, Step::MailFrom, Step::RcptTo, Step::Data] {
        let reply = Reply { step, code, text };
        let _ = reply.enhanced_code();
        assert!(!reply.blames_recipient() || code / 100 == 5);
    }
}
