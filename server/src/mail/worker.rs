//! The worker that empties the outbox. Several replicas run one each; leases keep them apart. Delivery is
//! at-least-once: a crash between the SMTP server's yes and the row's end sends the message again.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::delivery::{Delivered, Deliverer};
use super::failure::{Failure, FailureClass};
use super::schedule::{ATTEMPT_LIMIT, Fate, LEASE, decide_fate};
use crate::audit_log;
use crate::domain::{AuditEvent, AuditKind, Outcome};
use crate::metrics::Metrics;
use crate::store::{DueMail, StoreError};

/// Messages that other replicas' requests ask for, and those whose turn comes again, are looked for this often.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// Messages that a replica sends at once, so that a slow recipient does not hold the others up.
const SENDERS: usize = 4;

/// How often a login at the SMTP server is tried.
const PROBE_INTERVAL: Duration = Duration::from_mins(1);
/// How long a message that was not taken speaks against a server that lets us log in: another replica may have sent
/// it since.
const MESSAGE_FAULT_LASTS: Duration = Duration::from_mins(5);

/// What is wrong with mail.
#[derive(Debug, Default, PartialEq, Eq)]
struct Faults {
    /// Why the last login failed.
    login: Option<String>,
    /// Why the last message was not taken, and when.
    message: Option<(String, Instant)>,
}

impl Faults {
    fn observe_login(&mut self, fault: Option<String>, now: Instant) {
        let works = fault.is_none();
        self.login = fault;
        self.message =
            self.message.take().filter(|(_, at)| !works || now.duration_since(*at) < MESSAGE_FAULT_LASTS);
    }
}

/// Empties the outbox. Share it with an [`Arc`].
pub struct OutboxWorker {
    deliverer: Deliverer,
    wake: Arc<Notify>,
    metrics: Arc<Metrics>,
    faults: Mutex<Faults>,
}

impl OutboxWorker {
    /// A worker that looks at once when `wake` is notified.
    pub fn new(deliverer: Deliverer, wake: Arc<Notify>, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self { deliverer, wake, metrics, faults: Mutex::default() })
    }

    /// Why the SMTP server does not let us log in, or did not take a message lately; `None` while all is well.
    pub fn fault(&self) -> Option<String> {
        let faults = self.faults.lock().ok()?;
        faults.login.clone().or_else(|| faults.message.as_ref().map(|(reason, _)| reason.clone()))
    }

    /// Works until `stop`; messages that are being sent are finished.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let prober = Arc::clone(&self);
        let probing = stop.clone();
        tokio::spawn(async move { probing.run_until_cancelled(prober.keep_probing()).await });
        let (senders, sending) = (Arc::new(Semaphore::new(SENDERS)), TaskTracker::new());
        while let Some(free) = stop.run_until_cancelled(take_free(&senders)).await {
            // No more than are begun at once: a lease that is waited with would run out.
            let limit = i64::try_from(free.len()).unwrap_or(1);
            match self.deliverer.store.claim_due_mail(limit, LEASE).await {
                Ok(due) if due.is_empty() => {}
                Ok(due) => {
                    for (mail, permit) in due.into_iter().zip(free) {
                        let worker = Arc::clone(&self);
                        sending.spawn(async move {
                            worker.handle(&mail).await;
                            drop(permit);
                        });
                    }
                    continue;
                }
                Err(error) => tracing::debug!(%error, "the outbox cannot be read"),
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.wake.notified() => {}
                () = tokio::time::sleep(POLL_INTERVAL) => {}
            }
        }
        sending.close();
        sending.wait().await;
    }

    async fn handle(&self, mail: &DueMail) {
        let (kind, id) = (mail.kind.as_str(), mail.id);
        let after = match self.attempt(mail).await {
            Ok(delivered) => {
                if matches!(delivered, Delivered::Sent) {
                    self.note(|faults| *faults = Faults::default());
                    self.metrics.count_mail(kind, "sent");
                    tracing::info!(kind, id, attempts = mail.attempts + 1, "mail sent");
                }
                self.deliverer.store.finish_mail(id).await
            }
            Err(failure) => self.settle(mail, &failure).await,
        };
        if let Err(error) = after {
            tracing::warn!(kind, id, %error, "the outbox row was not updated; its lease will end");
        }
    }

    /// One attempt, which ends in time and whose faults are its own.
    async fn attempt(&self, mail: &DueMail) -> Result<Delivered, Failure> {
        let delivery = AssertUnwindSafe(self.deliverer.deliver(mail)).catch_unwind();
        match tokio::time::timeout(ATTEMPT_LIMIT, delivery).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(Failure::new(FailureClass::Internal, "the attempt panicked")),
            Err(_) => {
                Err(Failure::new(FailureClass::Smtp, "the SMTP server did not take the message in time"))
            }
        }
    }

    /// Puts a message that did not leave off, or parks it.
    async fn settle(&self, mail: &DueMail, failure: &Failure) -> Result<(), StoreError> {
        let (kind, id, reason) = (mail.kind.as_str(), mail.id, failure.reason.as_str());
        let class = failure.class.as_str();
        if failure.class == FailureClass::Smtp {
            let reason = failure.reason.clone();
            self.note(|faults| faults.message = Some((reason, Instant::now())));
        }
        match decide_fate(failure.class, mail.attempts, mail.age, jitter()) {
            Fate::Postpone(delay) => {
                self.metrics.count_mail(kind, "postponed");
                tracing::warn!(
                    kind,
                    id,
                    class,
                    reason,
                    delay_seconds = delay.as_secs_f64(),
                    "mail postponed"
                );
                self.deliverer.store.postpone_mail(id, delay, reason).await
            }
            Fate::Park => {
                let refused = failure.class == FailureClass::Recipient;
                self.metrics.count_mail(kind, if refused { "refused" } else { "given_up" });
                tracing::error!(kind, id, class, reason, "mail given up");
                let event = build_given_up_event(mail, failure.class);
                self.deliverer.store.bury_mail(id, reason, &event).await?;
                audit_log::emit(&self.metrics, &event);
                Ok(())
            }
        }
    }

    /// Logs in at the SMTP server now and then, so that it is known before a message is due whether it works.
    async fn keep_probing(&self) {
        loop {
            let outcome = self.deliverer.sender.check().await;
            let fault = outcome.err().map(|failure| failure.reason);
            self.note(|faults| faults.observe_login(fault, Instant::now()));
            tokio::time::sleep(PROBE_INTERVAL).await;
        }
    }

    fn note(&self, change: impl FnOnce(&mut Faults)) {
        if let Ok(mut faults) = self.faults.lock() {
            change(&mut faults);
        }
    }
}

/// What the audit says of a message that was given up: never the address.
fn build_given_up_event(mail: &DueMail, class: FailureClass) -> AuditEvent<'static> {
    AuditEvent {
        kind: AuditKind::MailGivenUp,
        outcome: Outcome::Refused,
        actor_id: None,
        user_id: mail.user_id,
        session_id: None,
        origin: None,
        detail: serde_json::json!({
            "mail": mail.kind.as_str(), "outbox_id": mail.id, "reason": class.as_str(),
        }),
    }
}

/// Waits until a message can be begun, and takes every free place; those not used are given back.
async fn take_free(senders: &Arc<Semaphore>) -> Vec<OwnedSemaphorePermit> {
    let mut free: Vec<_> = Arc::clone(senders).acquire_owned().await.into_iter().collect();
    while let Ok(permit) = Arc::clone(senders).try_acquire_owned() {
        free.push(permit);
    }
    free
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
    fn a_login_that_works_outweighs_a_message_that_was_not_taken_long_ago() {
        let start = Instant::now();
        let mut faults = Faults { login: None, message: Some(("554".to_owned(), start)) };
        faults.observe_login(None, start + MESSAGE_FAULT_LASTS / 2);
        assert!(faults.message.is_some(), "it may happen again at once");
        faults.observe_login(Some("535".to_owned()), start + MESSAGE_FAULT_LASTS * 2);
        assert_eq!((faults.login.as_deref(), faults.message.is_some()), (Some("535"), true));
        faults.observe_login(None, start + MESSAGE_FAULT_LASTS * 2);
        assert_eq!(faults, Faults::default());
    }
}
