//! The worker that empties the outbox. Several replicas run one each; leases keep them apart. Delivery is
//! at-least-once: a crash between the SMTP server's yes and the row's end sends the message again.

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use chrono::TimeDelta;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::sender::{MailSender, SendError};
use super::templates;
use crate::crypto::OneTimeSecret;
use crate::metrics::Metrics;
use crate::store::{DueMail, MailKind, Store, TokenPurpose};

/// How long a mailed reset link is good, from when it is sent (OWASP ASVS 5.0 §6.4.3).
pub const RESET_TOKEN_LIFETIME: TimeDelta = TimeDelta::minutes(30);

/// Mail that asks for an address is sent by another replica's request too: looked for this often.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// Longer than the SMTP timeout times the batch.
const LEASE: Duration = Duration::from_mins(2);
const BATCH: i64 = 5;
/// A message older than this is given up.
const GIVE_UP_AFTER: TimeDelta = TimeDelta::hours(24);
const LONGEST_DELAY: Duration = Duration::from_mins(5);

/// Empties the outbox. Share it with an [`Arc`].
pub struct OutboxWorker {
    store: Store,
    sender: MailSender,
    link_base: String,
    wake: Arc<Notify>,
    metrics: Arc<Metrics>,
    /// What the last attempt came to: `None` while all is well.
    fault: Mutex<Option<String>>,
}

enum Sent {
    Yes,
    NobodyThere,
}

impl OutboxWorker {
    /// A worker whose links begin with `link_base` and that looks at once when `wake` is notified.
    pub fn new(
        store: Store,
        sender: MailSender,
        link_base: &str,
        wake: Arc<Notify>,
        metrics: Arc<Metrics>,
    ) -> Arc<Self> {
        Arc::new(Self {
            store,
            sender,
            link_base: link_base.to_owned(),
            wake,
            metrics,
            fault: Mutex::new(None),
        })
    }

    /// Why the last message did not leave; `None` while all is well.
    pub fn fault(&self) -> Option<String> {
        self.fault.lock().ok().and_then(|fault| fault.clone())
    }

    /// Works until `stop`; a message that is being sent is finished.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        if let Err(error) = self.sender.check().await {
            self.note_fault(&error.to_string());
        }
        while !stop.is_cancelled() {
            match self.store.claim_due_mail(BATCH, LEASE).await {
                Ok(due) if due.is_empty() => {}
                Ok(due) => {
                    for mail in due {
                        self.deliver(&mail).await;
                    }
                    continue;
                }
                Err(error) => tracing::debug!(%error, "the outbox cannot be read just now"),
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.wake.notified() => {}
                () = tokio::time::sleep(POLL_INTERVAL) => {}
            }
        }
    }

    async fn deliver(&self, mail: &DueMail) {
        let (kind, id) = (mail.kind.as_str(), mail.id);
        let after = match self.send(mail).await {
            Ok(sent) => {
                if matches!(sent, Sent::Yes) {
                    self.clear_fault();
                    self.metrics.count_mail(kind, "sent");
                    tracing::info!(kind, id, attempts = mail.attempts + 1, "mail sent");
                }
                self.store.finish_mail(id).await
            }
            Err(SendError::Permanent(reason)) => {
                self.metrics.count_mail(kind, "refused");
                tracing::warn!(kind, id, reason, "mail refused for good");
                self.store.bury_mail(id, &reason).await
            }
            Err(SendError::Transient(reason)) if mail.age > GIVE_UP_AFTER => {
                self.note_fault(&reason);
                self.metrics.count_mail(kind, "given_up");
                tracing::error!(kind, id, reason, "mail given up after a day");
                self.store.bury_mail(id, &reason).await
            }
            Err(SendError::Transient(reason)) => {
                self.note_fault(&reason);
                self.metrics.count_mail(kind, "postponed");
                let delay = backoff(mail.attempts, jitter());
                tracing::warn!(kind, id, reason, delay_seconds = delay.as_secs_f64(), "mail postponed");
                self.store.postpone_mail(id, delay, &reason).await
            }
        };
        if let Err(error) = after {
            tracing::warn!(kind, id, %error, "the outbox row was not updated; its lease will end");
        }
    }

    async fn send(&self, mail: &DueMail) -> Result<Sent, SendError> {
        let failed = |error: askama::Error| SendError::Transient(format!("the template failed: {error}"));
        let mut recipient = mail.recipient.clone();
        let content = match mail.kind {
            MailKind::PasswordRecovery => {
                let secret = OneTimeSecret::generate()
                    .ok_or_else(|| SendError::Transient("the system gives no randomness".to_owned()))?;
                let owner = self
                    .store
                    .create_reset_token(&mail.recipient, &secret.hash(), RESET_TOKEN_LIFETIME)
                    .await
                    .map_err(|error| SendError::Transient(error.to_string()))?;
                let Some(owner) = owner else { return Ok(Sent::NobodyThere) };
                recipient = owner;
                let link = format!("{}/reset-password?token={}", self.link_base, secret.expose());
                templates::password_recovery(&link, RESET_TOKEN_LIFETIME.num_minutes()).map_err(failed)?
            }
            MailKind::PasswordChanged => templates::password_changed().map_err(failed)?,
            MailKind::EmailVerification => {
                let (purpose, days) = (TokenPurpose::EmailVerification, 1);
                let Some(link) = self.link(mail, purpose, days, "verify-email").await? else {
                    return Ok(Sent::NobodyThere);
                };
                templates::plain("Confirm your e-mail address", &link)
            }
            MailKind::EmailChange => {
                let (purpose, days) = (TokenPurpose::EmailChange, 1);
                let Some(link) = self.link(mail, purpose, days, "confirm-email").await? else {
                    return Ok(Sent::NobodyThere);
                };
                templates::plain("Confirm your new e-mail address", &link)
            }
            MailKind::Invitation => {
                let (purpose, days) = (TokenPurpose::Invitation, 7);
                let Some(link) = self.link(mail, purpose, days, "reset-password").await? else {
                    return Ok(Sent::NobodyThere);
                };
                templates::plain("Choose a password", &link)
            }
            MailKind::RegistrationExists => templates::plain("You have an account already", ""),
            MailKind::UsernameTaken => templates::plain("The name is taken", &mail.data.to_string()),
            MailKind::EmailChangeNotice => {
                templates::plain("Another e-mail address was asked for", &mail.data.to_string())
            }
            MailKind::EmailChanged => {
                templates::plain("Your e-mail address was changed", &mail.data.to_string())
            }
            MailKind::AccountDeleted => templates::plain("Your account was deleted", ""),
        };
        // The same id at every attempt, so that a receiver can recognise a message sent twice.
        let message_id = format!("<latchkey-{}-{}@{}>", mail.kind.as_str(), mail.id, self.sender.domain());
        self.sender.send(&recipient, message_id, content).await.map(|()| Sent::Yes)
    }

    /// The link of a message, with a new token; `None` when it is for nobody any more.
    async fn link(
        &self,
        mail: &DueMail,
        purpose: TokenPurpose,
        days: i64,
        page: &str,
    ) -> Result<Option<String>, SendError> {
        let secret = OneTimeSecret::generate()
            .ok_or_else(|| SendError::Transient("the system gives no randomness".to_owned()))?;
        let recipient = self
            .store
            .create_link_token(mail.id, purpose, &secret.hash(), TimeDelta::days(days))
            .await
            .map_err(|error| SendError::Transient(error.to_string()))?;
        Ok(recipient.map(|_| format!("{}/{page}?token={}", self.link_base, secret.expose())))
    }

    fn note_fault(&self, reason: &str) {
        if let Ok(mut fault) = self.fault.lock() {
            *fault = Some(reason.to_owned());
        }
    }

    fn clear_fault(&self) {
        if let Ok(mut fault) = self.fault.lock() {
            *fault = None;
        }
    }
}

/// 1 s, 2 s, 4 s … up to five minutes, each shortened by up to a half so that replicas do not march in step.
fn backoff(attempts: i32, jitter: f64) -> Duration {
    let exponent = u32::try_from(attempts).unwrap_or(0).min(16);
    let full = Duration::from_secs(1 << exponent).min(LONGEST_DELAY);
    let shortened = full.mul_f64(1.0 - jitter.clamp(0.0, 1.0) / 2.0);
    // An interval of PostgreSQL has no nanoseconds.
    Duration::from_millis(u64::try_from(shortened.as_millis()).unwrap_or(u64::MAX))
}

fn jitter() -> f64 {
    let mut byte = [0_u8; 1];
    // Without randomness there is no jitter, which does no harm.
    let _ = aws_lc_rs::rand::fill(&mut byte);
    f64::from(byte[0]) / 255.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delay_doubles_up_to_five_minutes() {
        assert_eq!(backoff(0, 0.0), Duration::from_secs(1));
        assert_eq!(backoff(3, 0.0), Duration::from_secs(8));
        assert_eq!(backoff(3, 1.0), Duration::from_secs(4));
        assert_eq!(backoff(i32::MAX, 0.0), LONGEST_DELAY);
    }
}
