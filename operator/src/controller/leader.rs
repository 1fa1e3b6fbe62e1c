//! Leader election over a Lease: one of several operator replicas reconciles. See `docs/decisions/0018`.
//!
//! A candidate measures the age of a record by its own monotonic clock, from when it observed the change, so that
//! clock differences between nodes do not matter. The holder measures from before it sent the renewal, which is
//! earlier than any candidate can observe it, and stops (renew deadline) before a candidate may take over (lease
//! duration).

use std::time::{Duration, Instant};

use kube::api::PostParams;
use kube::{Api, Client, ResourceExt as _};

use crate::cluster::fence::Fence;
use crate::controller::lease::LeaseRecord;
use crate::error_chain::ErrorChain;

/// The durations of the election.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Terms {
    /// How long a record is valid without a renewal.
    pub(crate) lease: Duration,
    /// How long the holder may write after it sent a successful renewal; shorter than `lease`.
    pub(crate) renew_deadline: Duration,
    /// The pause between two attempts.
    pub(crate) retry: Duration,
}

impl Terms {
    /// The timeout of one attempt, so that an unanswered request leaves time for another.
    fn attempt(&self) -> Duration {
        self.renew_deadline / 2
    }

    /// The pause after a failed attempt if the next one is urgent.
    fn urgent_retry(&self) -> Duration {
        self.retry / 8
    }

    /// The time between the last possible write of the holder and the first of another replica.
    pub(crate) fn margin(&self) -> Duration {
        self.lease.saturating_sub(self.renew_deadline)
    }
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry: Duration::from_secs(2),
        }
    }
}

/// The next action on the Lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    /// It has no holder, or its holder has expired: acquire it.
    Take,
    /// It is ours: renew it.
    Renew,
    Wait,
}

/// A record as observed by this replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sighting {
    pub(crate) holder: Option<String>,
    /// The lease duration that its holder requested.
    pub(crate) duration: Duration,
    /// When this replica first observed this version, or first observed that the Lease was deleted.
    pub(crate) seen: Instant,
}

/// Decides the action for the last observed record; `None` if there never was one. A deleted Lease counts like its
/// last record: its holder may not have noticed the deletion.
pub(crate) fn decide_election(sighting: Option<&Sighting>, identity: &str, now: Instant) -> Decision {
    let Some(Sighting { holder, duration, seen }) = sighting else { return Decision::Take };
    match holder.as_deref() {
        None | Some("") => Decision::Take,
        Some(holder) if holder == identity => Decision::Renew,
        Some(_) if now.duration_since(*seen) > *duration => Decision::Take,
        Some(_) => Decision::Wait,
    }
}

#[derive(Debug, thiserror::Error)]
pub enum LeaderError {
    /// Another replica may have taken over.
    #[error("the lease could not be renewed in time; another replica may lead now")]
    Lost,
}

/// The result of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Leads,
    Waits,
    /// Another writer changed it concurrently.
    Contended,
}

#[derive(Debug, thiserror::Error)]
enum AttemptError {
    /// The API server refused the request, or could not be reached.
    #[error(transparent)]
    Request(#[from] kube::Error),
    /// The API server did not respond.
    #[error("the API server did not answer in time")]
    TimedOut,
}

/// The election of one replica.
pub(crate) struct Election {
    leases: Api<LeaseRecord>,
    name: String,
    identity: String,
    terms: Terms,
    fence: Fence,
    /// The last observed record, and the Lease unless it was deleted.
    last: Option<(Option<LeaseRecord>, Sighting)>,
}

impl Election {
    /// Participates as `identity`, which must be unique. The fence is open while this replica leads.
    pub(crate) fn new(
        client: Client,
        (namespace, name): (&str, &str),
        identity: String,
        terms: Terms,
        fence: Fence,
    ) -> Self {
        Self {
            leases: Api::namespaced(client, namespace),
            name: name.to_owned(),
            identity,
            terms,
            fence,
            last: None,
        }
    }

    /// Returns when this replica leads. After each attempt, `answered` is called with whether the API server
    /// responded.
    pub(crate) async fn acquire(&mut self, answered: impl Fn(bool)) {
        loop {
            let outcome = self.attempt(self.terms.attempt(), false).await;
            answered(outcome.is_ok());
            match outcome {
                Ok(Outcome::Leads) => return,
                Ok(Outcome::Waits | Outcome::Contended) => {}
                Err(error) => {
                    tracing::warn!(error = %ErrorChain(&error), "the lease cannot be read or written; trying again");
                }
            }
            tokio::time::sleep(self.terms.retry).await;
        }
    }

    /// Renews the lease; returns when it is lost. From then on the fence permits no writes.
    pub(crate) async fn hold(&mut self) -> LeaderError {
        let mut pause = self.terms.retry;
        loop {
            tokio::time::sleep(pause.min(self.left())).await;
            // Checked before anything is sent: a suspended process must not renew an expired lease.
            let left = self.left();
            if left.is_zero() {
                break;
            }
            pause = match self.attempt(left.min(self.terms.attempt()), true).await {
                Ok(Outcome::Leads) => self.terms.retry,
                Ok(Outcome::Waits) => break,
                // Possibly changed by a replica that does not lead: the next attempt reads it.
                Ok(Outcome::Contended) => self.terms.urgent_retry(),
                Err(error) => {
                    tracing::warn!(error = %ErrorChain(&error), "the lease was not renewed; trying again");
                    self.terms.urgent_retry()
                }
            };
        }
        self.fence.close();
        LeaderError::Lost
    }

    /// How long this replica may still write.
    fn left(&self) -> Duration {
        let end = self.fence.end();
        end.map_or(Duration::ZERO, |end| end.saturating_duration_since(Instant::now()))
    }

    /// Releases the lease, so that another replica need not wait for its expiry. No write may follow, and the API
    /// server must have none left to carry out.
    ///
    /// # Errors
    /// When it could not be written; then it expires.
    pub(crate) async fn release(&mut self) -> Result<(), kube::Error> {
        let Some((Some(mut lease), sighting)) = self.last.take() else { return Ok(()) };
        if sighting.holder.as_deref() != Some(&self.identity) {
            return Ok(());
        }
        lease.release();
        self.leases.replace(&self.name, &PostParams::default(), &lease).await.map(drop)
    }

    async fn attempt(&mut self, within: Duration, leads: bool) -> Result<Outcome, AttemptError> {
        match tokio::time::timeout(within, self.step(leads)).await {
            Ok(outcome) => Ok(outcome?),
            Err(_) => Err(AttemptError::TimedOut),
        }
    }

    async fn step(&mut self, leads: bool) -> Result<Outcome, kube::Error> {
        // The Lease still contains our last write unless another replica took it, in which case this write fails.
        let holds = matches!(
            &self.last,
            Some((Some(_), seen)) if seen.holder.as_deref() == Some(&self.identity)
        );
        if !holds {
            let found = self.leases.get_opt(&self.name).await?;
            self.see(found, Instant::now());
        }
        let sighting = self.last.as_ref().map(|(_, sighting)| sighting);
        let decision = decide_election(sighting, &self.identity, Instant::now());
        let lease = self.last.as_ref().and_then(|(lease, _)| lease.clone());
        // A replica that observes another holder of its lease has lost it, even if that record has expired.
        if decision == Decision::Wait || (leads && decision == Decision::Take && lease.is_some()) {
            return Ok(Outcome::Waits);
        }
        // Before anything is sent: no other replica can have observed the record earlier.
        let sent = Instant::now();
        let written = match lease {
            None => {
                let lease = self.signed(LeaseRecord::new(&self.name), Decision::Take);
                self.leases.create(&PostParams::default(), &lease).await
            }
            Some(lease) => {
                let lease = self.signed(lease, decision);
                self.leases.replace(&self.name, &PostParams::default(), &lease).await
            }
        };
        match written {
            Ok(lease) => {
                self.see(Some(lease), sent);
                self.fence.extend(sent + self.terms.renew_deadline);
                Ok(Outcome::Leads)
            }
            // Another replica wrote between our read and our write. The next read observes it.
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {
                if holds {
                    self.last = None;
                }
                Ok(Outcome::Contended)
            }
            Err(error) => Err(error),
        }
    }

    fn see(&mut self, found: Option<LeaseRecord>, now: Instant) {
        let last = self.last.take();
        let Some(lease) = found else {
            self.last = last.map(|(lease, sighting)| {
                // Just deleted: its holder gets a full lease duration again.
                let seen = if lease.is_some() { now } else { sighting.seen };
                (None, Sighting { seen, ..sighting })
            });
            return;
        };
        let seen = match last {
            Some((Some(before), sighting)) if before.resource_version() == lease.resource_version() => {
                sighting.seen
            }
            _ => now,
        };
        let sighting = Sighting {
            holder: lease.holder().map(str::to_owned),
            duration: lease.duration().map_or(self.terms.lease, Duration::from_secs),
            seen,
        };
        self.last = Some((Some(lease), sighting));
    }

    fn signed(&self, mut lease: LeaseRecord, decision: Decision) -> LeaseRecord {
        let seconds = i32::try_from(self.terms.lease.as_secs()).unwrap_or(i32::MAX);
        lease.sign(&self.identity, seconds, decision == Decision::Take);
        lease
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seen(holder: Option<&str>, seconds: u64, seen: Instant) -> Sighting {
        Sighting { holder: holder.map(str::to_owned), duration: Duration::from_secs(seconds), seen }
    }

    #[test]
    fn a_lease_that_does_not_exist_or_was_given_up_is_taken() {
        let now = Instant::now();
        assert_eq!(decide_election(None, "a", now), Decision::Take);
        assert_eq!(decide_election(Some(&seen(None, 15, now)), "a", now), Decision::Take);
        assert_eq!(decide_election(Some(&seen(Some(""), 1, now)), "a", now), Decision::Take);
    }

    #[test]
    fn the_holder_gives_up_before_another_may_take_over() {
        let terms = Terms::default();
        assert!(terms.renew_deadline + terms.retry < terms.lease);
    }

    proptest! {
        #[test]
        fn another_holder_is_respected_exactly_as_long_as_it_asked(duration in 1_u64..60, passed in 0_u64..120) {
            let start = Instant::now();
            let sighting = seen(Some("b"), duration, start);
            let expected = if passed > duration { Decision::Take } else { Decision::Wait };
            prop_assert_eq!(decide_election(Some(&sighting), "a", start + Duration::from_secs(passed)), expected);
        }

        #[test]
        fn our_own_lease_is_renewed_however_old(passed in 0_u64..10_000) {
            let start = Instant::now();
            let sighting = seen(Some("a"), 15, start);
            prop_assert_eq!(decide_election(Some(&sighting), "a", start + Duration::from_secs(passed)), Decision::Renew);
        }
    }
}
