//! The worker that sends the messages in the outbox. Each replica runs one; a lease on each message prevents
//! concurrent deliveries. Delivery is at-least-once: a message is sent again after a crash between the SMTP server's
//! acceptance and the update of the row.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::delivery::{Delivered, Deliverer};
use super::failure::{Failure, FailureClass};
use super::schedule::{ATTEMPT_TIMEOUT, LEASE, RetryDecision, decide_retry};
use crate::audit_log;
use crate::domain::{AuditEvent, AuditKind, Outcome};
use crate::metrics::Metrics;
use crate::store::{DueMail, StoreError};

/// How often the worker polls for messages that other replicas queued and for retries.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// The number of messages that a replica sends concurrently, so that a slow recipient does not delay the others.
const SENDERS: usize = 4;

/// How often the worker logs in at the SMTP server.
const PROBE_INTERVAL: Duration = Duration::from_mins(1);
/// How long a message fault is reported while the login succeeds. Afterwards another replica may have sent the message.
const MESSAGE_FAULT_LIFETIME: Duration = Duration::from_mins(5);

/// The current problems of e-mail delivery.
#[derive(Debug, Default, PartialEq, Eq)]
struct Faults {
    /// Why the last login failed.
    login: Option<String>,
    /// Why the last message was not accepted, and when.
    message: Option<(String, Instant)>,
}

impl Faults {
    fn observe_login(&mut self, fault: Option<String>, now: Instant) {
        let succeeded = fault.is_none();
        self.login = fault;
        self.message = self
            .message
            .take()
            .filter(|(_, at)| !succeeded || now.duration_since(*at) < MESSAGE_FAULT_LIFETIME);
    }
}

pub struct OutboxWorker {
    deliverer: Deliverer,
    wake: Arc<Notify>,
    metrics: Arc<Metrics>,
    faults: Mutex<Faults>,
}

impl OutboxWorker {
    /// Creates a worker that polls immediately when `wake` is notified.
    pub fn new(deliverer: Deliverer, wake: Arc<Notify>, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self { deliverer, wake, metrics, faults: Mutex::default() })
    }

    /// The reason of a failed login or of a recently refused message; `None` if e-mail delivery works.
    pub fn fault(&self) -> Option<String> {
        let faults = self.faults.lock().ok()?;
        faults.login.clone().or_else(|| faults.message.as_ref().map(|(reason, _)| reason.clone()))
    }

    /// Runs until `stop` is cancelled, and then waits for running deliveries.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let prober = Arc::clone(&self);
        let probing = stop.clone();
        tokio::spawn(async move { probing.run_until_cancelled(prober.probe_periodically()).await });
        let (senders, sending) = (Arc::new(Semaphore::new(SENDERS)), TaskTracker::new());
        while let Some(permits) = stop.run_until_cancelled(acquire_permits(&senders)).await {
            // Only as many as can start now: the lease of a waiting message would expire.
            let limit = i64::try_from(permits.len()).unwrap_or(1);
            match self.deliverer.store.claim_due_mail(limit, LEASE).await {
                Ok(due) if due.is_empty() => {}
                Ok(due) => {
                    for (mail, permit) in due.into_iter().zip(permits) {
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
        let updated = match self.attempt(mail).await {
            Ok(delivered) => {
                if matches!(delivered, Delivered::Sent) {
                    self.update_faults(|faults| *faults = Faults::default());
                    self.metrics.count_mail(kind, "sent");
                    tracing::info!(kind, id, attempts = mail.attempts + 1, "mail sent");
                }
                self.deliverer.store.finish_mail(id).await
            }
            Err(failure) => self.handle_failure(mail, &failure).await,
        };
        if let Err(error) = updated {
            tracing::warn!(kind, id, %error, "the outbox row was not updated; it is retried when its lease expires");
        }
    }

    /// Attempts one delivery with a timeout. A panic counts as a failure of this attempt only.
    async fn attempt(&self, mail: &DueMail) -> Result<Delivered, Failure> {
        let delivery = AssertUnwindSafe(self.deliverer.deliver(mail)).catch_unwind();
        match tokio::time::timeout(ATTEMPT_TIMEOUT, delivery).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(Failure::new(FailureClass::Internal, "the attempt panicked")),
            Err(_) => {
                Err(Failure::new(FailureClass::Smtp, "the SMTP server did not accept the message in time"))
            }
        }
    }

    /// Schedules a retry of a failed message, or gives it up.
    async fn handle_failure(&self, mail: &DueMail, failure: &Failure) -> Result<(), StoreError> {
        let (kind, id, reason) = (mail.kind.as_str(), mail.id, failure.reason.as_str());
        let class = failure.class.as_str();
        if failure.class == FailureClass::Smtp {
            let reason = failure.reason.clone();
            self.update_faults(|faults| faults.message = Some((reason, Instant::now())));
        }
        match decide_retry(failure.class, mail.attempts, mail.age, jitter()) {
            RetryDecision::RetryAfter(delay) => {
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
            RetryDecision::GiveUp => {
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

    /// Logs in at the SMTP server periodically, so that problems are reported before the next message is due.
    async fn probe_periodically(&self) {
        loop {
            let outcome = self.deliverer.sender.check().await;
            let fault = outcome.err().map(|failure| failure.reason);
            self.update_faults(|faults| faults.observe_login(fault, Instant::now()));
            tokio::time::sleep(PROBE_INTERVAL).await;
        }
    }

    fn update_faults(&self, change: impl FnOnce(&mut Faults)) {
        if let Ok(mut faults) = self.faults.lock() {
            change(&mut faults);
        }
    }
}

/// The audit event of a message that was given up. It does not contain the address.
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

/// Waits until a message can be sent, and acquires all available permits.
async fn acquire_permits(senders: &Arc<Semaphore>) -> Vec<OwnedSemaphorePermit> {
    let mut permits: Vec<_> = Arc::clone(senders).acquire_owned().await.into_iter().collect();
    while let Ok(permit) = Arc::clone(senders).try_acquire_owned() {
        permits.push(permit);
    }
    permits
}

fn jitter() -> f64 {
    let mut byte = [0_u8; 1];
    // An error only means that there is no jitter.
    let _ = aws_lc_rs::rand::fill(&mut byte);
    f64::from(byte[0]) / 255.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_successful_login_clears_an_old_message_fault() {
        let start = Instant::now();
        let mut faults = Faults { login: None, message: Some(("554".to_owned(), start)) };
        faults.observe_login(None, start + MESSAGE_FAULT_LIFETIME / 2);
        assert!(faults.message.is_some(), "the fault is recent");
        faults.observe_login(Some("535".to_owned()), start + MESSAGE_FAULT_LIFETIME * 2);
        assert_eq!((faults.login.as_deref(), faults.message.is_some()), (Some("535"), true));
        faults.observe_login(None, start + MESSAGE_FAULT_LIFETIME * 2);
        assert_eq!(faults, Faults::default());
    }
}
